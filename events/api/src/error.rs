//! The error envelope: `{"error":{"code","message","details":[{"path","code","message"}]}}`, and its HTTP codes.
//!
//! Every refusal of the API is made here. Messages are for people and hold no secret; causes go to the log, not the wire.

use std::fmt;

use axum::Json;
use axum::http::header::{self, HeaderName};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use event_store::StoreError;
use serde::{Deserialize, Serialize};

/// When to come back to a service without space: somebody has to make some.
pub const FULL_RETRY_S: u32 = 30;

/// One fault of a request, where it is and what would be right.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Detail {
    /// JSON pointer (RFC 6901) into the body, or the name of a query parameter or header; never empty.
    pub path: String,
    /// Lower case: `out_of_range`, `unsupported_feature`, …
    pub code: String,
    /// What was given and what is allowed.
    pub message: String,
}

impl Detail {
    /// A fault at `path`.
    #[must_use]
    pub fn new(path: impl Into<String>, code: impl Into<String>, message: impl Into<String>) -> Detail {
        Detail { path: path.into(), code: code.into(), message: message.into() }
    }
}

/// A refusal, as it goes out. Boxed inside, so that `Result`s stay small.
#[derive(Debug, Clone, PartialEq)]
pub struct ApiError(Box<Refusal>);

#[derive(Debug, Clone, PartialEq)]
struct Refusal {
    status: StatusCode,
    code: &'static str,
    message: String,
    details: Vec<Detail>,
    header: Option<(HeaderName, HeaderValue)>,
}

impl ApiError {
    fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> ApiError {
        ApiError(Box::new(Refusal {
            status,
            code,
            message: message.into(),
            details: Vec::new(),
            header: None,
        }))
    }

    fn header(mut self, name: HeaderName, value: HeaderValue) -> ApiError {
        self.0.header = Some((name, value));
        self
    }

    /// 400 `malformed_json`: the body is not JSON; the message names line and column.
    #[must_use]
    pub fn malformed_json(error: &serde_json::Error) -> ApiError {
        // serde_json's text ends with "at line L column C" wherever it knows the place.
        ApiError::new(
            StatusCode::BAD_REQUEST,
            "malformed_json",
            format!("the body is not valid JSON: {error}"),
        )
    }

    /// 401 `unauthorized`: one text for a missing, misspelt, unknown and revoked key, so that it tells nothing apart.
    #[must_use]
    pub fn unauthorized() -> ApiError {
        ApiError::new(
            StatusCode::UNAUTHORIZED,
            "unauthorized",
            "this endpoint needs a valid API key in the header `Authorization: Bearer fl_live_…`",
        )
        .header(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"))
    }

    /// 403 `forbidden`: who asks is not allowed to, whoever they are.
    #[must_use]
    pub fn forbidden(message: impl Into<String>) -> ApiError {
        ApiError::new(StatusCode::FORBIDDEN, "forbidden", message)
    }

    /// 404 `not_found`: `what` does not exist, or belongs to another workspace.
    #[must_use]
    pub fn not_found(what: impl fmt::Display) -> ApiError {
        ApiError::new(StatusCode::NOT_FOUND, "not_found", format!("there is no {what}"))
    }

    /// 405 `method_not_allowed`: the path exists, with other methods.
    #[must_use]
    pub fn method_not_allowed(method: &str, path: &str) -> ApiError {
        let message = format!("{path} does not take {method}; the header Allow lists what it takes");
        ApiError::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", message)
    }

    /// 409 `conflict`: the request is sound, and what it is about is in another state.
    #[must_use]
    pub fn conflict(message: impl Into<String>) -> ApiError {
        ApiError::new(StatusCode::CONFLICT, "conflict", message)
    }

    /// 410 `gone`: it was there, and will not be again.
    #[must_use]
    pub fn gone(message: impl Into<String>) -> ApiError {
        ApiError::new(StatusCode::GONE, "gone", message)
    }

    /// 413 `payload_too_large`: the body has more than `max_bytes`.
    #[must_use]
    pub fn payload_too_large(max_bytes: usize) -> ApiError {
        let message = format!("the body is larger than {max_bytes} bytes, the most this endpoint takes");
        ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, "payload_too_large", message)
    }

    /// 415 `unsupported_media_type`: the body is said to be something else than JSON.
    #[must_use]
    pub fn unsupported_media_type(found: &str) -> ApiError {
        let found: String = found.chars().take(100).collect();
        let message = format!("the body's Content-Type is {found:?}; this endpoint takes application/json");
        ApiError::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", message)
    }

    /// 422 `invalid_request`: all faults at once.
    #[must_use]
    pub fn invalid_request(details: Vec<Detail>) -> ApiError {
        let message = match details.as_slice() {
            [only] => format!("{}: {}", only.path, only.message),
            all => format!("the request has {} faults; `details` names each", all.len()),
        };
        let mut error = ApiError::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid_request", message);
        error.0.details = details;
        error
    }

    /// 429 `rate_limited`: try again after `retry_after_s` seconds.
    #[must_use]
    pub fn rate_limited(message: impl Into<String>, retry_after_s: u32) -> ApiError {
        ApiError::new(StatusCode::TOO_MANY_REQUESTS, "rate_limited", message)
            .header(header::RETRY_AFTER, HeaderValue::from(retry_after_s))
    }

    /// 431 `headers_too_large`: address and headers together have more than `max_bytes`.
    #[must_use]
    pub fn headers_too_large(max_bytes: usize) -> ApiError {
        let message = format!(
            "the address and the headers have more than {max_bytes} bytes, the most this service takes"
        );
        ApiError::new(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, "headers_too_large", message)
    }

    /// What a bare status says, where nothing more is known: `bad_request`, `range_not_satisfiable`, …
    #[must_use]
    pub fn of_status(status: StatusCode) -> ApiError {
        let (code, message) = match status {
            StatusCode::BAD_REQUEST => ("bad_request", "the request can't be understood"),
            StatusCode::RANGE_NOT_SATISFIABLE => (
                "range_not_satisfiable",
                "the range lies beyond the end; the header Content-Range tells the size",
            ),
            status if status.is_server_error() => ("internal", "something failed on the server"),
            _ => ("refused", "the request was refused; the HTTP status says why"),
        };
        ApiError::new(status, code, message)
    }

    /// 500 `internal`: ours. Logs the error with its causes, once, here; the caller sees the request id only.
    #[must_use]
    pub fn internal(error: &(dyn std::error::Error + 'static)) -> ApiError {
        tracing::error!(error = %chain(error), "a request failed");
        ApiError::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "internal",
            "something failed on the server; the header x-request-id names this request in its log",
        )
    }

    /// 503 `unavailable`: ours, and passing: the service is starting or stopping. Logs like [`ApiError::internal`].
    #[must_use]
    pub fn unavailable(error: &(dyn std::error::Error + 'static)) -> ApiError {
        tracing::warn!(error = %chain(error), "a request came while the service could not answer");
        ApiError::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "unavailable",
            "the service can't answer now; try again",
        )
        .header(header::RETRY_AFTER, HeaderValue::from_static("1"))
    }

    /// 503 `unavailable`, because of what everyone asks of the service and not of this request: it passes by itself.
    #[must_use]
    pub fn busy(message: impl Into<String>, retry_after_s: u32) -> ApiError {
        ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", message)
            .header(header::RETRY_AFTER, HeaderValue::from(retry_after_s))
    }

    /// The event store failed: 503 where that passes by itself (it is starting, stopping, or out of space), else 500.
    #[must_use]
    pub fn of_store(error: &StoreError) -> ApiError {
        match error {
            StoreError::Full { .. } => {
                tracing::error!(error = %chain(error), "the disk is full: nothing can be recorded");
                ApiError::busy(
                    "the service has no space left to record the request; try again later",
                    FULL_RETRY_S,
                )
            }
            StoreError::Stopped => ApiError::unavailable(error),
            StoreError::Database { .. } | StoreError::Corrupt { .. } => ApiError::internal(error),
        }
    }

    /// The HTTP code.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        self.0.status
    }
}

impl From<Detail> for ApiError {
    fn from(detail: Detail) -> ApiError {
        ApiError::invalid_request(vec![detail])
    }
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: {}", self.0.status.as_u16(), self.0.code, self.0.message)
    }
}

impl std::error::Error for ApiError {}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let Refusal { status, code, message, details, header } = *self.0;
        let envelope = Envelope { error: Body { code, message: &message, details: &details } };
        let mut response = (status, Json(envelope)).into_response();
        if let Some((name, value)) = header {
            response.headers_mut().insert(name, value);
        }
        response
    }
}

#[derive(Serialize)]
struct Envelope<'e> {
    error: Body<'e>,
}

#[derive(Serialize)]
struct Body<'e> {
    code: &'e str,
    message: &'e str,
    details: &'e [Detail],
}

/// An error and its causes in one line.
fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text.push_str(": ");
        text.push_str(&inner.to_string());
        cause = inner.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_fault_is_told_in_the_message_and_many_are_counted() {
        let fault = |path: &str| Detail::new(path, "out_of_range", "it is 9000; allowed are 16 to 8192");
        let one = ApiError::invalid_request(vec![fault("/width")]);
        assert_eq!(one.to_string(), "422 invalid_request: /width: it is 9000; allowed are 16 to 8192");
        let two = ApiError::invalid_request(vec![fault("/width"), fault("/height")]);
        assert_eq!(two.to_string(), "422 invalid_request: the request has 2 faults; `details` names each");
    }

    #[test]
    fn malformed_json_names_line_and_column() {
        let error =
            serde_json::from_str::<serde_json::Value>("{\n  \"a\": ,\n}").expect_err("a comma too early");
        assert!(ApiError::malformed_json(&error).to_string().ends_with("line 2 column 8"), "{error}");
    }
}
