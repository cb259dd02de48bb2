//! Settings and keys of a workspace, as their callers change them.

use axum::http::{Method, StatusCode};
use event_store::EventStore as _;
use events::workspace_view::WorkspaceView;
use events::{Position, StreamId};
use serde_json::{Value, json};

use super::service::{Answer, KEY, Service, film, request};

async fn patch(service: &Service, body: &Value) -> Answer {
    service.send(request(Method::PATCH, "/v1/workspace", &[], body.to_string())).await
}

async fn make_key(service: &Service, headers: &[(&str, &str)], body: &Value) -> Answer {
    service.send(request(Method::POST, "/v1/api-keys", headers, body.to_string())).await
}

async fn revoke(service: &Service, id: &str) -> Answer {
    service.send(request(Method::DELETE, &format!("/v1/api-keys/{id}"), &[], "")).await
}

fn text<'a>(answer: &'a Answer, field: &str) -> &'a str {
    answer.body[field].as_str().unwrap_or_else(|| panic!("{field}: {answer:?}"))
}

async fn opens(service: &Service, key: &str) -> bool {
    let answer = service.post_with(&[("authorization", &format!("Bearer {key}"))], &film()).await;
    answer.status == StatusCode::ACCEPTED
}

/// The log as a whole, for looking for what must not be in it.
async fn log(service: &Service) -> String {
    let log = service.store.read_after(Position(0), 10_000).await.expect("memory");
    log.iter().map(|it| String::from_utf8_lossy(&it.event.data).into_owned()).collect()
}

async fn key_ids(service: &Service) -> Vec<String> {
    let workspace = service.store.workspaces().await.expect("memory")[0];
    let stream = service.store.load(&StreamId::from(workspace)).await.expect("memory");
    let view = WorkspaceView::fold(&stream).expect("it decodes").expect("a workspace");
    view.keys.iter().map(|key| key.id.to_string()).collect()
}

#[tokio::test]
async fn a_key_is_told_once_and_opens_until_it_is_revoked() {
    let service = Service::start().await;
    let made = make_key(&service, &[], &json!({ "name": "CI" })).await;
    assert_eq!(made.status, StatusCode::CREATED, "{made:?}");
    let (id, key) = (text(&made, "id"), text(&made, "key"));
    let expected = json!({
        "id": id, "name": "CI", "key": key, "key_prefix": key[..12], "created_at": "2027-01-15T08:00:00.000Z",
    });
    assert_eq!(made.body, expected);
    assert!(key.starts_with("fl_live_") && key.len() > 40 && id.starts_with("key_"), "{made:?}");
    assert_eq!(made.header("cache-control"), Some("no-store"));
    assert!(!log(&service).await.contains(key), "it is kept as a digest");
    assert!(opens(&service, key).await);
    let revoked = revoke(&service, id).await;
    assert_eq!((revoked.status, &revoked.body), (StatusCode::NO_CONTENT, &Value::Null));
    assert!(!opens(&service, key).await, "at once");
    let again = revoke(&service, id).await;
    assert_eq!((again.status, again.error().0), (StatusCode::NOT_FOUND, "not_found"));
}

#[tokio::test]
async fn a_caller_may_revoke_its_own_key_but_not_the_last_one() {
    let service = Service::start().await;
    let first = key_ids(&service).await.remove(0);
    let refused = revoke(&service, &first).await;
    assert_eq!((refused.status, refused.error()), (StatusCode::CONFLICT, ("conflict", vec![])));
    assert!(opens(&service, KEY).await, "nobody is locked out");
    let other = make_key(&service, &[], &json!({ "name": "other" })).await;
    assert_eq!(revoke(&service, &first).await.status, StatusCode::NO_CONTENT, "the key it came with");
    assert!(!opens(&service, KEY).await && opens(&service, text(&other, "key")).await);
}

#[tokio::test]
async fn a_repeated_request_makes_one_key_and_tells_it_once() {
    let service = Service::start().await;
    let (keyed, body) = ([("idempotency-key", "a")], json!({ "name": "CI" }));
    let made = make_key(&service, &keyed, &body).await;
    let again = make_key(&service, &keyed, &body).await;
    assert_eq!((again.status, again.header("idempotent-replayed")), (StatusCode::OK, Some("true")));
    assert_eq!((text(&again, "id"), again.body.get("key")), (text(&made, "id"), None), "kept nowhere");
    assert_eq!(key_ids(&service).await.len(), 2, "the first and this one");
    let other = make_key(&service, &keyed, &json!({ "name": "another" })).await;
    assert_eq!((other.status, other.error().0), (StatusCode::CONFLICT, "conflict"));
    assert_eq!(
        service.post_with(&keyed, &film()).await.status,
        StatusCode::ACCEPTED,
        "another endpoint's key"
    );
    revoke(&service, text(&made, "id")).await;
    assert_eq!(make_key(&service, &keyed, &body).await.status, StatusCode::CONFLICT, "it is gone");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn one_idempotency_key_at_one_instant_makes_one_api_key() {
    let service = std::sync::Arc::new(Service::start().await);
    let ask = |_| {
        let service = std::sync::Arc::clone(&service);
        tokio::spawn(async move {
            make_key(&service, &[("idempotency-key", "a")], &json!({ "name": "CI" })).await.status
        })
    };
    let mut made = 0;
    for answer in (0..20).map(ask).collect::<Vec<_>>() {
        made += u32::from(answer.await.expect("no panic") == StatusCode::CREATED);
    }
    assert_eq!((made, key_ids(&service).await.len()), (1, 2));
}

#[tokio::test]
async fn a_workspace_has_at_most_a_hundred_keys() {
    let service = Service::start().await;
    for number in 1..api::ServiceLimits::default().api_keys_max {
        let made = make_key(&service, &[], &json!({ "name": format!("key {number}") })).await;
        assert_eq!(made.status, StatusCode::CREATED, "{made:?}");
    }
    let refused = make_key(&service, &[], &json!({ "name": "one more" })).await;
    assert_eq!((refused.status, refused.error().0), (StatusCode::CONFLICT, "conflict"), "{refused:?}");
    assert_eq!(domain::workspace::KEYS_MAX, api::ServiceLimits::default().api_keys_max, "as is told");
}

#[tokio::test]
async fn settings_change_one_by_one_and_all_faults_are_told() {
    let service = Service::start().await;
    let changed = patch(&service, &json!({ "name": "Studio", "concurrency": 3 })).await;
    assert_eq!(changed.status, StatusCode::OK, "{changed:?}");
    let expected = json!({
        "id": changed.body["id"], "name": "Studio", "concurrency": 3, "ingest_external": false,
        "created_at": "2027-01-15T08:00:00.000Z", "updated_at": "2027-01-15T08:00:00.000Z",
    });
    assert_eq!(changed.body, expected);
    service.wait_ms(1_000);
    let changed = patch(&service, &json!({ "concurrency": null })).await;
    assert_eq!((text(&changed, "name"), &changed.body["concurrency"]), ("Studio", &Value::Null));
    assert_eq!(text(&changed, "updated_at"), "2027-01-15T08:00:01.000Z");
    let nothing = patch(&service, &json!({})).await;
    assert_eq!((nothing.status, text(&nothing, "updated_at")), (StatusCode::OK, "2027-01-15T08:00:01.000Z"));

    let wrong = json!({ "name": "", "concurrency": 0, "ingest_external": "yes" });
    let refused = patch(&service, &wrong).await;
    assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY);
    let faults =
        [("/name", "out_of_range"), ("/concurrency", "out_of_range"), ("/ingest_external", "wrong_type")];
    assert_eq!(refused.error(), ("invalid_request", faults.to_vec()));
    let refused = patch(&service, &json!({ "ingest_external": true })).await;
    assert_eq!(refused.error(), ("invalid_request", vec![("/ingest_external", "unsupported_feature")]));
    for body in [json!([]), json!("name"), Value::Null] {
        assert_eq!(patch(&service, &body).await.status, StatusCode::UNPROCESSABLE_ENTITY, "{body}");
    }
    let odd = patch(&service, &json!({ "nmae": "x" })).await;
    assert_eq!(odd.body["warnings"][0]["path"], "/nmae", "{odd:?}");
    assert!(
        odd.body["warnings"][0]["message"].as_str().is_some_and(|text| text.contains("\"name\"")),
        "{odd:?}"
    );
}

#[tokio::test]
async fn a_workspaces_own_concurrency_goes_before_the_installations() {
    let limits = api::ServiceLimits { concurrency: Some(5), ..api::ServiceLimits::default() };
    let service = Service::within(limits).await;
    patch(&service, &json!({ "concurrency": 1 })).await;
    let first = service.submit().await;
    service.submit().await;
    assert_eq!(service.claim().await.render, first);
    assert_eq!(service.claim_with("lavapipe").await, None, "one at a time");
    patch(&service, &json!({ "concurrency": 2 })).await;
    assert!(service.claim_with("lavapipe").await.is_some(), "it counts at once");
}
