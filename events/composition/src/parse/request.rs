//! The body of a render request.

use std::collections::BTreeMap;

use serde_json::Value;

use super::reader::Reader;
use super::report::{Report, quoted, step};
use super::scalar::shown;
use super::{element, film, format, transition};
use crate::color::Color;
use crate::composition::{Background, Composition, Size};
use crate::element::SourceUrl;
use crate::problem::ProblemCode;
use crate::schema::Kind;
use crate::schema::request::REQUEST;
use crate::time::Ticks;

/// The canvas where the document gives none.
const DEFAULT_CANVAS: Size = Size { width: 1280, height: 720 };

/// Reads the body; `None` where it is no object.
pub(super) fn read(body: &Value, report: &mut Report<'_>) -> Option<Composition> {
    if !body.is_object() {
        // A problem's path is never empty, so a fault of the whole names the member that matters most.
        let given = shown(Kind::Boolean, body);
        let message = format!("the body is {given}; expected an object with the fields of a render request");
        report.problem("/elements", ProblemCode::WrongType, message);
        return None;
    }
    let mut request = Reader::open(&REQUEST, body, String::new(), report)?;
    let canvas = canvas(&mut request);
    let output = format::read(&mut request, canvas);
    let canvas = canvas.unwrap_or(DEFAULT_CANVAS);
    let frame_rate = request.defaulted("frame_rate");
    let given_duration = request.optional("duration");
    let elements = element::list(&mut request, 0);
    let transitions = transition::read(&mut request, &elements);
    let duration = film::duration(given_duration, &elements);
    film::limits(&mut request, canvas, frame_rate, duration, output.format.is_still());
    snapshot(&mut request, output.snapshot_time, duration);
    film::warnings(&elements, duration, request.report);
    let composition = Composition {
        canvas,
        duration,
        frame_rate,
        output,
        background: background(&mut request),
        elements,
        transitions,
        metadata: metadata(&mut request),
        webhook_url: request.optional("webhook_url"),
        priority: i32::try_from(request.defaulted::<i64>("priority"))
            .expect("the table's range fits 32 bits"),
        deadline_us: request.optional("deadline"),
    };
    request.finish();
    Some(composition)
}

/// Width and height come together; `None` where they do not, or are out of range.
fn canvas(request: &mut Reader<'_, '_, '_>) -> Option<Size> {
    let (width, height): (Option<i64>, Option<i64>) = (request.optional("width"), request.optional("height"));
    let given = |name: &str| request.given(name).is_some();
    let missing = match (given("width"), given("height")) {
        (false, false) => return Some(DEFAULT_CANVAS),
        (true, true) => {
            return Some(Size { width: u32::try_from(width?).ok()?, height: u32::try_from(height?).ok()? });
        }
        (true, false) => "height",
        (false, true) => "width",
    };
    let message = format!("{missing} is missing; expected width and height together, or neither (1280x720)");
    request.problem(missing, ProblemCode::MissingField, message);
    None
}

fn background(request: &mut Reader<'_, '_, '_>) -> Background {
    Background {
        color: request.optional("background_color").unwrap_or(Color::BLACK),
        image: request.optional("background_image_url").map(SourceUrl),
    }
}

/// A still shows an instant of the film.
fn snapshot(request: &mut Reader<'_, '_, '_>, instant: Option<Ticks>, duration: Option<Ticks>) {
    if let (Some(instant), Some(duration)) = (instant, duration)
        && instant >= duration
    {
        let (instant, duration) = (instant.seconds(), duration.seconds());
        let message =
            format!("snapshot_time is {instant}; expected less than the film's length ({duration} s)");
        request.problem("snapshot_time", ProblemCode::ConflictingFields, message);
    }
}

fn metadata(request: &mut Reader<'_, '_, '_>) -> BTreeMap<String, String> {
    let (keys_max, chars_max) =
        (request.report.limits().metadata_keys_max, request.report.limits().metadata_chars_max);
    let Some(value) = request.raw("metadata") else { return BTreeMap::new() };
    let Some(map) = value.as_object() else {
        let (given, expected) = (shown(Kind::Metadata, value), Kind::Metadata.expectation());
        let message = format!("metadata is {given}; expected {expected}");
        request.problem("metadata", ProblemCode::WrongType, message);
        return BTreeMap::new();
    };
    if map.len() > keys_max {
        let message = format!("metadata has {} keys; the limit metadata_keys_max is {keys_max}", map.len());
        request.problem("metadata", ProblemCode::LimitExceeded, message);
    }
    let too_long = |text: &str| text.chars().take(chars_max + 1).count() > chars_max;
    let mut metadata = BTreeMap::new();
    for (key, value) in map {
        if too_long(key) {
            let message =
                format!("the key {} is longer than the limit metadata_chars_max, {chars_max}", quoted(key));
            request.problem("metadata", ProblemCode::LimitExceeded, message);
            continue;
        }
        let path = step(&request.path_of("metadata"), key);
        match value.as_str() {
            Some(text) if too_long(text) => {
                let message = format!(
                    "the value of {} is longer than the limit metadata_chars_max, {chars_max}",
                    quoted(key)
                );
                request.report.problem(&path, ProblemCode::LimitExceeded, message);
            }
            Some(text) => {
                metadata.insert(key.clone(), text.to_owned());
            }
            None => {
                let message = format!(
                    "the value of {} is {}; expected a string",
                    quoted(key),
                    shown(Kind::Metadata, value)
                );
                request.report.problem(&path, ProblemCode::WrongType, message);
            }
        }
    }
    metadata
}
