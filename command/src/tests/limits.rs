//! What one installation allows: deadlines, room, turns and how long things are kept.

use std::sync::atomic::Ordering;

use api::ServiceLimits;
use axum::http::StatusCode;
use event_store::EventStore as _;
use events::work::{HeartbeatReply, Outcome, Slot};
use events::{FaultCode, RenderEvent, RenderId, Timestamp};
use serde_json::{Value, json};

use super::service::{START, Service, film, part, plan};

fn with(field: &str, value: Value) -> Value {
    let mut request = film();
    request[field] = value;
    request
}

async fn submit(service: &Service, request: &Value) -> RenderId {
    let answer = service.post(request).await;
    assert_eq!(answer.status, StatusCode::ACCEPTED, "{answer:?}");
    answer.render()
}

fn due_at(at: Timestamp) -> Value {
    with("deadline", json!(at.to_string()))
}

#[tokio::test]
async fn a_deadline_that_has_passed_is_a_fault_among_the_others() {
    let service = Service::start().await;
    let mut request = due_at(START);
    let answer = service.post(&request).await;
    assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY, "{answer:?}");
    assert_eq!(answer.error(), ("invalid_request", vec![("/deadline", "out_of_range")]));
    request["width"] = json!(1);
    let answer = service.post(&request).await;
    let (_, faults) = answer.error();
    for path in ["/width", "/deadline"] {
        assert!(faults.iter().any(|(found, _)| *found == path), "{path}: {answer:?}");
    }
    submit(&service, &due_at(START.plus_ms(1))).await;
}

#[tokio::test]
async fn a_deadline_that_passes_ends_the_job_wherever_it_is_and_stops_its_workers() {
    let service = Service::start().await;
    let request = due_at(START.plus_ms(60_000));
    let (held, waiting) = (submit(&service, &request).await, submit(&service, &request).await);
    let order = service.claim().await;
    assert_eq!(order.render, held);
    service.wait_ms(59_999);
    // Another process, that was not there when it was submitted.
    let other = service.another_role();
    other.policies().pass_deadlines().await.expect("memory");
    assert_eq!(service.history(waiting).await.len(), 2, "it has a moment left");
    service.wait_ms(1);
    other.policies().pass_deadlines().await.expect("memory");
    for render in [held, waiting] {
        let RenderEvent::RenderFailed(failed) = service.last_event(render).await else {
            panic!("it is too late")
        };
        assert_eq!(failed.fault.code, FaultCode::DeadlineExceeded);
        assert_eq!(failed.fault.path.as_deref(), Some("/deadline"));
    }
    let mut stopped = service.bus.cancelled();
    stopped.sort_unstable();
    assert_eq!(stopped, [held, waiting], "whoever is at it is told");
    assert_eq!(service.beat(&order, 1, 0).await, HeartbeatReply::Stop);
    assert_eq!(service.claim_with("lavapipe").await, None);
}

#[tokio::test]
async fn a_deadline_of_what_is_over_passes_unnoticed() {
    let service = Service::start().await;
    let render = submit(&service, &due_at(START.plus_ms(60_000))).await;
    service.delete(render).await;
    service.wait_ms(60_000);
    service.role.policies().pass_deadlines().await.expect("memory");
    assert!(matches!(service.last_event(render).await, RenderEvent::RenderCancelled(_)), "it ended before");
}

#[tokio::test]
async fn films_come_one_after_another_however_many_wait() {
    let service = Service::start().await;
    let first = service.submit().await;
    for _ in 0..300 {
        service.submit().await;
    }
    let order = service.claim().await;
    assert_eq!(order.render, first);
    service.report(&order, Outcome::Planned(plan(&order, false))).await;
    // Its parts are the youngest rows of a long queue.
    for _ in 0..2 {
        let order = service.claim().await;
        assert_eq!(order.render, first, "what was begun is finished first");
        service.report(&order, Outcome::Stored(part(&order))).await;
    }
    let order = service.claim().await;
    assert_eq!((order.render, order.slot), (first, Slot::Assemble));
}

#[tokio::test]
async fn a_workspace_begins_no_more_renders_than_it_may() {
    let limits = ServiceLimits { concurrency: Some(2), ..ServiceLimits::default() };
    let service = Service::within(limits).await;
    let renders = [service.submit().await, service.submit().await, service.submit().await];
    let (one, two) = (service.claim().await, service.claim().await);
    assert_eq!([one.render, two.render], renders[..2]);
    assert_eq!(service.claim_with("lavapipe").await, None, "the third waits");
    service.report(&one, Outcome::Planned(plan(&one, false))).await;
    assert_eq!(service.claim().await.render, one.render, "what is begun goes on");
    service.delete(two.render).await;
    service.claim().await;
    assert_eq!(service.claim().await.render, renders[2], "one that is over makes room");
}

#[tokio::test]
async fn a_short_disk_takes_on_nothing_and_loses_nothing() {
    let limits = ServiceLimits { min_free_disk_bytes: 1_000, ..ServiceLimits::default() };
    let service = Service::within(limits).await;
    let keyed = [("idempotency-key", "a")];
    let accepted = service.post_with(&keyed, &film()).await.render();
    let running = service.claim().await;
    let waiting = service.submit().await;

    service.disk.free_bytes.store(999, Ordering::SeqCst);
    let refused = service.post(&film()).await;
    assert_eq!((refused.status, refused.error().0), (StatusCode::SERVICE_UNAVAILABLE, "unavailable"));
    assert_eq!(refused.header("retry-after"), Some("30"));
    assert_eq!(
        service.post_with(&keyed, &film()).await.render(),
        accepted,
        "what was accepted is answered for"
    );
    assert_eq!(service.claim_with("lavapipe").await, None, "nothing new is begun");
    assert_eq!(service.beat(&running, 1, 0).await, HeartbeatReply::Continue, "what runs goes on");
    service.report(&running, Outcome::Planned(plan(&running, false))).await;
    assert_eq!(service.delete(waiting).await.status, StatusCode::OK, "and less is always possible");

    service.disk.free_bytes.store(1_000, Ordering::SeqCst);
    assert_eq!(service.claim().await.render, accepted, "it goes on by itself");
    submit(&service, &film()).await;
}

#[tokio::test]
async fn a_film_is_deleted_when_it_has_been_kept_for_its_time() {
    let limits = || ServiceLimits { retention_s: 60, ..ServiceLimits::default() };
    let service = Service::within(limits()).await;
    let (old, failed) = (service.complete().await, service.submit().await);
    service.delete(failed).await;
    service.wait_ms(30_000);
    let young = service.complete().await;
    let store_films = async |render: RenderId| {
        let RenderEvent::RenderCompleted(completed) = service.last_event(render).await else {
            panic!("done")
        };
        let key = completed.artifact.object.key;
        service.storage.put_bytes(&key, b"film").await.expect("storage");
        key
    };
    let keys = [store_films(old).await, store_films(young).await];
    let kept = async || service.storage.list("renders").await.expect("storage");

    service.wait_ms(29_999);
    service.role.policies().retention.let_go().await;
    assert_eq!(kept().await, keys, "it has a moment left");
    service.wait_ms(1);
    // Whichever process comes first, also one that was not there when the film was made.
    let other = service.another_role_within(limits());
    other.policies().retention.let_go().await;
    assert_eq!(kept().await, keys[1..]);
    let left = service.store.artifacts_finished_by(START.plus_ms(60_000), 10).await.expect("memory");
    assert_eq!(left, [young], "and is not looked for again");
    assert!(
        matches!(service.last_event(old).await, RenderEvent::RenderCompleted(_)),
        "the log tells of it for ever"
    );
}
