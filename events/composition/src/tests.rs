//! What the parser promises, tested through one door: a body in, problems or a composition out.

mod captions;
mod contract;
mod faults;
mod features;
mod films;
mod formats;
mod keyframes;
mod laws;
mod meaning;
mod transitions;

use serde_json::{Value, json};

use crate::{Composition, ParseOptions, Parsed, Problem, ProblemCode, parse};

/// What a good body means.
#[track_caller]
fn accepted(body: &Value) -> Parsed {
    parse(body, &ParseOptions::default()).unwrap_or_else(|problems| panic!("refused: {problems:#?}"))
}

#[track_caller]
fn composition(body: &Value) -> Composition {
    accepted(body).composition
}

/// What is wrong with a bad one.
#[track_caller]
fn refused(body: &Value) -> Vec<Problem> {
    parse(body, &ParseOptions::default()).expect_err("the body is accepted")
}

/// The same without messages.
#[track_caller]
fn faults(body: &Value) -> Vec<(String, ProblemCode)> {
    refused(body).into_iter().map(|problem| (problem.path, problem.code)).collect()
}

/// A body has just this one fault; its message is the answer.
#[track_caller]
fn only_fault(body: &Value, path: &str, code: ProblemCode) -> String {
    let problems = refused(body);
    assert_eq!(problems.len(), 1, "expected one problem at {path}, found {problems:#?}");
    assert_eq!((problems[0].path.as_str(), problems[0].code), (path, code), "{}", problems[0]);
    problems[0].message.clone()
}

/// The warnings as `code path`.
#[track_caller]
fn warnings(body: &Value) -> Vec<String> {
    let warnings = accepted(body).warnings;
    warnings.iter().map(|warning| format!("{} {}", warning.code.as_str(), warning.path)).collect()
}

/// `base` with the fields of `more`.
fn with(base: &Value, more: &Value) -> Value {
    let mut merged = base.clone();
    let fields = more.as_object().expect("an object").clone();
    merged.as_object_mut().expect("an object").extend(fields);
    merged
}

/// A body with one element.
fn body(element: &Value) -> Value {
    json!({ "elements": [element] })
}

fn video() -> Value {
    json!({ "type": "video", "source_url": "https://media.example/a.mp4", "out_point": 5 })
}

fn image() -> Value {
    json!({ "type": "image", "id": "logo", "source_url": "https://media.example/a.png", "duration": 5 })
}

fn text() -> Value {
    json!({ "type": "text", "text": "Hello", "duration": 5 })
}

fn audio() -> Value {
    json!({ "type": "audio", "source_url": "https://media.example/a.mp3", "out_point": 5 })
}

/// One good element of each type that is carried out.
fn elements() -> [Value; 4] {
    [video(), image(), text(), audio()]
}
