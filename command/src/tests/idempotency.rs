//! One key, one job: whatever is repeated, in whatever order, at whatever instant.

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::http::StatusCode;
use event_store::EventStore as _;
use events::{Position, RenderEvent};
use serde_json::json;

use super::service::{Service, film};

const DAY_MS: i64 = 24 * 60 * 60 * 1000;

fn keyed(key: &str) -> [(&str, &str); 1] {
    [("idempotency-key", key)]
}

#[tokio::test]
async fn the_same_request_again_answers_with_the_job_as_it_is_now() {
    let service = Service::start().await;
    let first = service.post_with(&keyed("a"), &film()).await;
    assert_eq!((first.status, first.header("idempotent-replayed")), (StatusCode::ACCEPTED, None));
    service.claim().await;
    let again = service.post_with(&keyed("a"), &film()).await;
    assert_eq!((again.status, again.header("idempotent-replayed")), (StatusCode::OK, Some("true")));
    assert_eq!(again.render(), first.render());
    assert_eq!(again.body["status"], "processing", "not as it was");
    assert_eq!(again.body["metadata"], json!({ "customer": "7" }), "read back from the sealed document");
}

#[tokio::test]
async fn bodies_are_compared_by_meaning_unknown_fields_included() {
    let service = Service::start().await;
    let post = async |body: &str| {
        let request =
            super::service::request(axum::http::Method::POST, "/v1/renders", &keyed("a"), body.to_owned());
        service.send(request).await.status
    };
    assert_eq!(post(r#"{"width": 320, "height": 180, "mine": 1}"#).await, StatusCode::ACCEPTED);
    assert_eq!(
        post(r#"{"mine":1.0,"height":1.8e2,"width":320}"#).await,
        StatusCode::OK,
        "order and spelling are free"
    );
    assert_eq!(post(r#"{"width": 320, "height": 180, "mine": 2}"#).await, StatusCode::CONFLICT);
    assert_eq!(post(r#"{"width": 320, "height": 180}"#).await, StatusCode::CONFLICT);
}

#[tokio::test]
async fn the_key_of_another_body_is_a_conflict_even_for_a_faulty_one() {
    let service = Service::start().await;
    service.post_with(&keyed("a"), &film()).await;
    let answer = service.post_with(&keyed("a"), &json!({ "width": 1 })).await;
    assert_eq!((answer.status, answer.error()), (StatusCode::CONFLICT, ("conflict", vec![])));
}

#[tokio::test]
async fn a_refused_request_does_not_use_its_key_up() {
    let service = Service::start().await;
    let refused = service.post_with(&keyed("a"), &json!({ "width": 1 })).await;
    assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(service.post_with(&keyed("a"), &film()).await.status, StatusCode::ACCEPTED);
}

#[tokio::test]
async fn a_key_is_kept_for_a_day() {
    let service = Service::start().await;
    let first = service.post_with(&keyed("a"), &film()).await.render();
    service.wait_ms(DAY_MS - 1);
    assert_eq!(service.post_with(&keyed("a"), &film()).await.render(), first);
    service.wait_ms(1);
    let later = service.post_with(&keyed("a"), &film()).await;
    assert_eq!(later.status, StatusCode::ACCEPTED);
    assert_ne!(later.render(), first);
}

#[tokio::test]
async fn requests_without_a_key_are_never_the_same() {
    let service = Service::start().await;
    assert_ne!(service.submit().await, service.submit().await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn fifty_requests_at_one_instant_make_one_job() {
    let service = Arc::new(Service::start().await);
    let post = |_| {
        let service = Arc::clone(&service);
        tokio::spawn(async move { service.post_with(&keyed("a"), &film()).await })
    };
    let racing: Vec<_> = (0..50).map(post).collect();
    let mut answers = Vec::new();
    for answer in racing {
        answers.push(answer.await.expect("no panic"));
    }
    let accepted = answers.iter().filter(|it| it.status == StatusCode::ACCEPTED).count();
    let replayed = answers.iter().filter(|it| it.status == StatusCode::OK).count();
    assert_eq!((accepted, replayed), (1, 49), "one is the job, the others are its replay");
    assert_eq!(answers.iter().map(super::service::Answer::render).collect::<BTreeSet<_>>().len(), 1);
    let log = service.store.read_after(Position(0), 1_000).await.expect("memory");
    let submissions = log
        .iter()
        .filter(|it| matches!(RenderEvent::decode(&it.event), Ok(Some(RenderEvent::RenderSubmitted(_)))));
    assert_eq!(submissions.count(), 1, "and the log holds one");
}
