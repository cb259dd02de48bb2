//! Every way in which a request is refused, and that refusing leaves no trace.

use api::ServiceLimits;
use axum::body::Body;
use axum::http::{Method, StatusCode};
use event_store::EventStore as _;
use events::Position;
use futures_util::StreamExt as _;
use serde_json::{Value, json};

use super::service::{Answer, KEY, Service, film, request};

async fn log_length(service: &Service) -> usize {
    service.store.read_after(Position(0), 1_000).await.expect("memory").len()
}

async fn post_text(service: &Service, headers: &[(&str, &str)], body: impl Into<Body>) -> Answer {
    service.send(request(Method::POST, "/v1/renders", headers, body)).await
}

#[tokio::test]
async fn without_a_known_key_everything_is_refused_alike() {
    let service = Service::start().await;
    let mut answers = Vec::new();
    for key in ["", "Bearer fl_live_unknown", "Basic abc", "Bearer", &format!("Bearer {KEY}x")] {
        let answer = service.post_with(&[("authorization", key)], &film()).await;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{key}: {answer:?}");
        assert_eq!(answer.error(), ("unauthorized", vec![]), "{key}");
        assert_eq!(answer.header("www-authenticate"), Some("Bearer"));
        answers.push(answer.body);
    }
    assert!(answers.windows(2).all(|pair| pair[0] == pair[1]), "no answer tells what was wrong with the key");
}

#[tokio::test]
async fn malformed_json_is_told_with_line_and_column() {
    let service = Service::start().await;
    let answer = post_text(&service, &[], "{\n \"width\": 12,\n}").await;
    assert_eq!((answer.status, answer.error()), (StatusCode::BAD_REQUEST, ("malformed_json", vec![])));
    let message = answer.body["error"]["message"].as_str().expect("a message");
    assert!(message.contains("line 3 column 1"), "{message}");
    assert_eq!(
        post_text(&service, &[], "").await.status,
        StatusCode::BAD_REQUEST,
        "nothing is no JSON either"
    );
}

#[tokio::test]
async fn another_content_type_is_refused() {
    let service = Service::start().await;
    let answer = service.post_with(&[("content-type", "text/plain")], &film()).await;
    assert_eq!(answer.status, StatusCode::UNSUPPORTED_MEDIA_TYPE, "{answer:?}");
    assert_eq!(answer.error(), ("unsupported_media_type", vec![]));
}

#[tokio::test]
async fn a_packed_body_is_refused_by_its_coding() {
    let service = Service::start().await;
    let answer = service.post_with(&[("content-encoding", "gzip")], &film()).await;
    assert_eq!(
        (answer.status, answer.error().0),
        (StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type")
    );
    let message = answer.body["error"]["message"].as_str().expect("a message");
    assert!(message.contains("Content-Encoding is \"gzip\""), "{message}");
    let plain = service.post_with(&[("content-encoding", "identity")], &film()).await;
    assert_eq!(plain.status, StatusCode::ACCEPTED, "{plain:?}");
}

#[tokio::test]
async fn a_body_that_does_not_come_is_not_waited_for_for_ever() {
    let service = Service::within(ServiceLimits { body_within_s: 1, ..ServiceLimits::default() }).await;
    let begun = Body::from_stream(
        futures_util::stream::iter([Ok::<_, std::convert::Infallible>("{")])
            .chain(futures_util::stream::pending()),
    );
    let answer = post_text(&service, &[], begun).await;
    assert_eq!((answer.status, answer.error().0), (StatusCode::REQUEST_TIMEOUT, "request_timeout"));
    assert_eq!(answer.header("connection"), Some("close"), "the rest of the body may come yet");
}

#[tokio::test]
async fn all_faults_are_told_at_once() {
    let service = Service::start().await;
    let before = log_length(&service).await;
    let body = json!({ "width": 9000, "height": 180, "elements": [{ "type": "text", "duration": 2 }, { "type": "vide" }] });
    let answer = service.post(&body).await;
    assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY, "{answer:?}");
    let (code, faults) = answer.error();
    assert_eq!(code, "invalid_request");
    for expected in [
        ("/width", "out_of_range"),
        ("/elements/0/text", "missing_field"),
        ("/elements/1/type", "unknown_value"),
    ] {
        assert!(faults.contains(&expected), "{expected:?} is missing in {faults:?}");
    }
    assert_eq!(log_length(&service).await, before, "nothing was recorded");
}

#[tokio::test]
async fn a_body_over_the_limit_is_read_to_its_end_and_refused() {
    let service = Service::start().await;
    let limit = composition::Limits::default().body_bytes_max;
    let padded = |bytes: usize| format!("{}{}", " ".repeat(bytes - 2), "{}");
    let answer = post_text(&service, &[], padded(limit + 1)).await;
    assert_eq!(answer.status, StatusCode::PAYLOAD_TOO_LARGE, "{answer:?}");
    assert_eq!(answer.error(), ("payload_too_large", vec![]));
    let fits = post_text(&service, &[], padded(limit)).await;
    assert_eq!(fits.status, StatusCode::ACCEPTED, "the limit itself is allowed: {fits:?}");
}

#[tokio::test]
async fn what_is_not_there_is_told_in_the_same_envelope() {
    let service = Service::start().await;
    let nowhere = service.send(request(Method::GET, "/v1/nowhere", &[], "")).await;
    assert_eq!((nowhere.status, nowhere.error()), (StatusCode::NOT_FOUND, ("not_found", vec![])));
    let method = service.send(request(Method::PUT, "/v1/renders", &[], "")).await;
    assert_eq!((method.status, method.error().0), (StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed"));
    assert_eq!(method.header("allow"), Some("POST"));
    for answer in [nowhere, method] {
        assert_eq!(answer.header("x-request-id"), Some("made-here"), "every answer can be found in the log");
    }
}

#[tokio::test]
async fn an_idempotency_key_has_at_most_255_characters() {
    let service = Service::start().await;
    let answer = service.post_with(&[("idempotency-key", &"k".repeat(256))], &film()).await;
    assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY, "{answer:?}");
    assert_eq!(answer.error(), ("invalid_request", vec![("Idempotency-Key", "out_of_range")]));
    let mut twice = request(Method::POST, "/v1/renders", &[("idempotency-key", "a")], film().to_string());
    twice.headers_mut().append("idempotency-key", "b".parse().expect("a value"));
    let twice = service.send(twice).await;
    assert_eq!(twice.error(), ("invalid_request", vec![("Idempotency-Key", "conflicting_fields")]));
    let longest = service.post_with(&[("idempotency-key", &"k".repeat(255))], &film()).await;
    assert_eq!(longest.status, StatusCode::ACCEPTED, "{longest:?}");
}

#[tokio::test]
async fn nothing_that_is_no_object_is_a_request() {
    let service = Service::start().await;
    for body in [Value::Null, json!([]), json!("film"), json!(7)] {
        let answer = service.post(&body).await;
        assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY, "{body}: {answer:?}");
        assert!(
            answer.error().1.iter().all(|(path, _)| !path.is_empty()),
            "a fault always names a place: {answer:?}"
        );
    }
}
