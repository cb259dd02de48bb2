//! `POST /v1/renders`, where it goes well.

use std::sync::atomic::Ordering;

use axum::http::StatusCode;
use event_store::EventStore as _;
use events::{RenderEvent, Sha256};
use serde_json::json;

use super::service::{KEY, Service, film};

#[tokio::test]
async fn a_submission_answers_with_the_job_and_where_it_is() {
    let service = Service::start().await;
    let answer = service.post(&film()).await;
    assert_eq!(answer.status, StatusCode::ACCEPTED, "{answer:?}");
    let render = answer.render();
    assert_eq!(answer.header("location"), Some(format!("/v1/renders/{render}").as_str()));
    let expected = json!({
        "id": render, "kind": "render", "workspace_id": answer.body["workspace_id"], "status": "queued",
        "created_at": "2027-01-15T08:00:00.000Z", "updated_at": "2027-01-15T08:00:00.000Z", "task_type": null,
        "progress_percent": 0, "progress_stage": null, "output": null, "error": null, "metadata": { "customer": "7" },
        "completed_at": null, "warnings": [], "attempt": 0, "timings": null,
        "resolved": {
            "width": 320, "height": 180, "duration": 2.0, "frame_rate": "30", "frame_count": null, "output_format": "mp4",
        },
    });
    assert_eq!(answer.body, expected);
}

#[tokio::test]
async fn a_submission_is_two_events_a_sealed_document_and_a_hint() {
    let service = Service::start().await;
    let render = service.submit().await;
    assert_eq!(service.history(render).await, ["RenderSubmitted", "RenderQueued"]);
    let recorded = service.recorded(render).await;
    assert_eq!(recorded[1].causation_id, Some(recorded[0].event_id), "the second follows from the first");
    assert_eq!(recorded[0].correlation_id, "made-here", "both go back to the request");
    let RenderEvent::RenderSubmitted(submitted) = &service.events(render).await[0] else {
        panic!("it begins")
    };
    assert_eq!(submitted.metadata_keys, ["customer"], "keys are told, values are not");
    let workspace = recorded[0].workspace_id;
    let sealed =
        service.store.document(workspace, submitted.document).await.expect("memory").expect("it is kept");
    assert!(!sealed.windows(5).any(|window| window == b"Hello"), "nothing of it can be read in the store");
    assert_ne!(Sha256::of(&sealed), submitted.document, "the digest is the plain document's");
    assert_eq!(service.bus.hints.load(Ordering::SeqCst), 1, "workers hear of it");
}

#[tokio::test]
async fn unknown_fields_are_accepted_and_named() {
    let service = Service::start().await;
    let answer = service.post(&json!({ "widht": 1280, "elements": [] })).await;
    assert_eq!(answer.status, StatusCode::ACCEPTED, "{answer:?}");
    let warnings = answer.body["warnings"].as_array().expect("a list");
    let unknown = warnings.iter().find(|it| it["code"] == "unknown_field").expect("it is named");
    assert_eq!(unknown["path"], "/widht");
}

#[tokio::test]
async fn a_body_without_a_content_type_is_taken_for_json() {
    let service = Service::start().await;
    let answer = service.post_with(&[("content-type", "")], &film()).await;
    assert_eq!(answer.status, StatusCode::ACCEPTED, "{answer:?}");
}

#[tokio::test]
async fn a_sane_request_id_comes_back_and_joins_the_events() {
    let service = Service::start().await;
    let answer = service.post_with(&[("x-request-id", "client-42")], &film()).await;
    assert_eq!(answer.header("x-request-id"), Some("client-42"));
    assert_eq!(service.recorded(answer.render()).await[0].correlation_id, "client-42");
    let odd = service.post_with(&[("x-request-id", "two words")], &film()).await;
    assert_eq!(
        odd.header("x-request-id"),
        Some("made-here"),
        "what could not stand in a log line is replaced"
    );
}

#[tokio::test]
async fn the_key_itself_is_nowhere_in_the_log() {
    let service = Service::start().await;
    let render = service.submit().await;
    let log = service.store.read_after(events::Position(0), 100).await.expect("memory");
    assert!(log.len() > 3, "the workspace's events and the render's");
    for recorded in &log {
        let data = String::from_utf8_lossy(&recorded.event.data).into_owned();
        assert!(!data.contains(KEY), "{data}");
    }
    assert!(
        !log.is_empty() && service.recorded(render).await[0].actor.0.starts_with("key_"),
        "the key's name is"
    );
}
