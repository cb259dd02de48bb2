//! The contract, held against the service by tools that know nothing of it: a validator, a generated client, a fuzzer
//! that sends what the document allows and what it forbids, and a browser that reads the page.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use axum::http::StatusCode;
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{KEY, System, get_url, probe, stream};

/// A program of the tests' virtual environment.
pub(crate) fn python(program: &str) -> Command {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(".venv/bin");
    let path = folder.join(program);
    assert!(path.exists(), "{} is not there: make setup-test", path.display());
    Command::new(path)
}

fn told(output: &Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    format!("{}{}", text(&output.stdout), text(&output.stderr))
}

async fn document(system: &System) -> Value {
    let answer = get_url(format!("{}/openapi.json", system.service.address)).await.unwrap();
    assert_eq!(answer.status().as_u16(), 200, "the document needs no key");
    serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap()
}

/// `(method, path, operation)` of everything in the document.
fn operations(document: &Value) -> Vec<(Method, String, Value)> {
    let paths = document["paths"].as_object().unwrap();
    let all = paths.iter().flat_map(|(path, methods)| {
        methods.as_object().unwrap().iter().map(move |(method, operation)| {
            (method.to_uppercase().parse().unwrap(), path.clone(), operation.clone())
        })
    });
    all.collect()
}

#[tokio::test]
async fn what_is_documented_is_served_and_a_generated_client_works() {
    let system = System::start(&[], &[]).await;
    let document = document(&system).await;

    let operations = operations(&document);
    assert!(operations.len() >= 12, "this test must see the endpoints, it saw {}", operations.len());
    for (method, path, operation) in operations {
        let address = format!("{}{}", system.service.address, path.replace(['{', '}'], ""));
        let request = crate::support::client().request(method.clone(), address);
        // Without a key: what needs one says so, whatever else is wrong.
        let answer = request.send().await.unwrap();
        let (status, needs_key) = (answer.status().as_u16(), operation["security"].is_null());
        assert_eq!(status == 401, needs_key, "{method} {path} answers {status} without a key");
        assert!(status != 404 && status != 405, "{method} {path} is not served: {status}");
        let described = operation["responses"].as_object().unwrap().contains_key(&status.to_string());
        assert!(described, "{method} {path} answers {status}, which it does not tell of");
    }

    for (name, example) in
        document["paths"]["/v1/renders"]["post"]["requestBody"]["content"]["application/json"]["examples"]
            .as_object()
            .unwrap()
    {
        let (job, film) = system.render(&example["value"]).await;
        assert_eq!(job["warnings"], json!([]), "{name} has nothing suspicious");
        assert!(std::fs::metadata(film).unwrap().len() > 0, "{name} gives a file");
    }

    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/service/contract.py");
    let folder = system.folder.path().to_owned();
    let address = system.service.address.clone();
    let client = move || python("python").arg(script).args([&address, KEY]).arg(folder).output().unwrap();
    let outcome = tokio::task::spawn_blocking(client).await.unwrap();
    assert!(outcome.status.success(), "{}", told(&outcome));
    let film = PathBuf::from(String::from_utf8(outcome.stdout).unwrap().trim());
    assert_eq!(stream(&probe(&film), "video")["width"], 320, "the film the generated client asked for");
}

#[tokio::test]
async fn nothing_that_is_sent_is_answered_otherwise_than_documented() {
    let system = System::start(&[], &["--slots", "1"]).await;
    let checks = [
        "not_a_server_error",
        "status_code_conformance",
        "content_type_conformance",
        "response_headers_conformance",
        "response_schema_conformance",
        "negative_data_rejection",
        "unsupported_method",
        "ignored_auth",
    ];
    let address = format!("{}/openapi.json", system.service.address);
    let run = |options: &[&str]| {
        let mut fuzzer = python("schemathesis");
        fuzzer
            .args([
                "run",
                &address,
                "--seed",
                "20260101",
                "--no-shrink",
                "--continue-on-failure",
                "--no-color",
            ])
            .args(["--header", &format!("Authorization: Bearer {KEY}"), "--checks", &checks.join(",")])
            .args(options)
            .current_dir(system.folder.path());
        fuzzer.output().unwrap()
    };
    // The deep body of a submission has ten thousands of edge cases, of which a random share is tried; of all else each.
    let submission =
        ["--include-operation-id", "submit_render", "--phases", "examples,fuzzing", "--max-examples", "150"];
    let all_else =
        ["--exclude-operation-id", "submit_render", "--phases", "coverage,fuzzing", "--max-examples", "30"];
    for options in [&submission, &all_else] {
        let outcome = run(options);
        assert!(outcome.status.success(), "{}", told(&outcome));
    }
    // Whatever was accepted of it, the service is well.
    let (status, _) = system.service.call(Method::GET, "/readyz", None).await;
    assert_eq!(status, StatusCode::OK);
}
