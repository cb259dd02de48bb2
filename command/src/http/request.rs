//! What every request that changes something carries besides its body: who is behind it, and an Idempotency-Key.

use api::{Answer, ApiError, Caller, Code, Detail, Operation, RequestId};
use axum::Extension;
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use axum::response::Response;
use serde_json::json;

use super::State;
use crate::handler::Origin;
use crate::idempotency::IdempotencyError;

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
const IDEMPOTENT_REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");
/// W3C Trace Context 3.2.
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// An operation whose events remember where they come from.
pub(super) fn traced(operation: Operation) -> Operation {
    operation.header(
        "traceparent",
        "W3C Trace Context: what follows from the request is linked to it.",
        json!({ "type": "string" }),
    )
}

/// An operation that does its work once for each Idempotency-Key.
pub(super) fn once(operation: Operation, state: &State) -> Operation {
    operation
        .header(
            "Idempotency-Key",
            "The same key with the same body gives the same answer, however often and however concurrently it is sent; with \
             another body it is a conflict. It is kept for a day, or as `service_limits` of the capabilities say.",
            json!({ "type": "string", "minLength": 1, "maxLength": state.limits.idempotency_key_chars_max }),
        )
        .refuses(&[Code::Conflict, Code::InvalidRequest])
}

/// The answer to a request that was sent before.
pub(super) fn replayed(answer: Answer) -> Answer {
    answer.with("Idempotent-Replayed")
}

/// On whose behalf the request's command is given.
pub(super) fn origin(
    caller: &Caller,
    request_id: Option<Extension<RequestId>>,
    headers: &HeaderMap,
) -> Origin {
    Origin {
        actor: caller.actor(),
        workspace: Some(caller.workspace),
        // Whatever the request is called in the server's log.
        correlation_id: Some(request_id.map(|Extension(RequestId(id))| id).unwrap_or_default()),
        traceparent: traceparent(headers),
    }
}

fn traceparent(headers: &HeaderMap) -> Option<String> {
    let value = headers.get(TRACEPARENT)?.to_str().ok()?;
    // Version 00 has 55 characters; later ones may have more, within reason.
    (55..=128).contains(&value.len()).then(|| value.to_owned())
}

/// The Idempotency-Key, where there is one.
///
/// # Errors
/// A fault for a 422.
pub(super) fn idempotency_key(headers: &HeaderMap, chars_max: usize) -> Result<Option<String>, Detail> {
    let mut keys = headers.get_all(IDEMPOTENCY_KEY).iter();
    let Some(key) = keys.next() else { return Ok(None) };
    let fault = |code, message: String| Detail::new("Idempotency-Key", code, message);
    if keys.next().is_some() {
        return Err(fault(
            "conflicting_fields",
            "the header is given more than once; give it once".to_owned(),
        ));
    }
    // Header values are bytes; ours are compared as text.
    let key = std::str::from_utf8(key.as_bytes())
        .map_err(|_bytes| fault("malformed_value", "the header is not UTF-8".to_owned()))?;
    let chars = key.chars().count();
    if (1..=chars_max).contains(&chars) {
        return Ok(Some(key.to_owned()));
    }
    Err(fault("out_of_range", format!("the header has {chars} characters; allowed are 1 to {chars_max}")))
}

/// Says that the answer is one given before.
pub(super) fn mark_replayed(response: &mut Response) {
    response.headers_mut().insert(IDEMPOTENT_REPLAYED, HeaderValue::from_static("true"));
}

/// A key that can't be used.
pub(super) fn key_refused(error: &IdempotencyError) -> ApiError {
    match error {
        IdempotencyError::Reused => ApiError::conflict(
            "this Idempotency-Key was used for another body; send the same body again, or a new key",
        ),
        IdempotencyError::Store(error) => ApiError::of_store(error),
    }
}
