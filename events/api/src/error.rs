//! The error envelope: `{"error":{"code","message","details":[{"path","code","message"}]}}`, and its HTTP codes.
//!
//! Every refusal of the API is made here. Messages are for people and hold no secret; causes go to the log, not the wire.

use std::fmt;

use axum::Json;
use axum::http::header::{self, HeaderName};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use event_store::StoreError;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// When to come back to a service without space: somebody has to make some.
pub const FULL_RETRY_S: u32 = 30;

macro_rules! codes {
    ($($(#[doc = $doc:literal])+ $name:ident = $word:literal, $status:ident;)*) => {
        /// What a refusal is, for programs.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
        #[schemars(rename = "ErrorCode")]
        pub enum Code {$(
            $(#[doc = $doc])+
            #[serde(rename = $word)]
            $name,
        )*}

        impl Code {
            /// Every code.
            pub const ALL: &'static [Code] = &[$(Code::$name),*];

            /// The wire's word.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self {$(Code::$name => $word,)*}
            }

            /// The HTTP code it comes with.
            #[must_use]
            pub fn status(self) -> StatusCode {
                match self {$(Code::$name => StatusCode::$status,)*}
            }

            /// What it means.
            #[must_use]
            pub fn meaning(self) -> &'static str {
                match self {$(Code::$name => concat!($($doc),+).trim_ascii(),)*}
            }
        }
    };
}

codes! {
    /// The request can't be understood.
    BadRequest = "bad_request", BAD_REQUEST;
    /// The body is not JSON; the message names line and column.
    MalformedJson = "malformed_json", BAD_REQUEST;
    /// There is no valid API key; one answer for a missing, misspelt, unknown and revoked one.
    Unauthorized = "unauthorized", UNAUTHORIZED;
    /// Who asks is not allowed to, whoever they are.
    Forbidden = "forbidden", FORBIDDEN;
    /// It does not exist, or belongs to another workspace.
    NotFound = "not_found", NOT_FOUND;
    /// The path exists, with other methods; the header `Allow` lists them.
    MethodNotAllowed = "method_not_allowed", METHOD_NOT_ALLOWED;
    /// The process that was asked does something else; ask another one of the installation.
    Misdirected = "misdirected", MISDIRECTED_REQUEST;
    /// The body did not come in time.
    RequestTimeout = "request_timeout", REQUEST_TIMEOUT;
    /// The request is sound, and what it is about is in another state.
    Conflict = "conflict", CONFLICT;
    /// It was there, and will not be again.
    Gone = "gone", GONE;
    /// The body is larger than the endpoint takes.
    PayloadTooLarge = "payload_too_large", PAYLOAD_TOO_LARGE;
    /// The body is said to be something else than JSON, or to be packed.
    UnsupportedMediaType = "unsupported_media_type", UNSUPPORTED_MEDIA_TYPE;
    /// The range lies beyond the file's end; the header `Content-Range` tells its size.
    RangeNotSatisfiable = "range_not_satisfiable", RANGE_NOT_SATISFIABLE;
    /// The request has faults; `details` names all of them at once.
    InvalidRequest = "invalid_request", UNPROCESSABLE_ENTITY;
    /// Too many requests; the header `Retry-After` says when to come again.
    RateLimited = "rate_limited", TOO_MANY_REQUESTS;
    /// Address and headers together are larger than the service takes.
    HeadersTooLarge = "headers_too_large", REQUEST_HEADER_FIELDS_TOO_LARGE;
    /// The HTTP status says why.
    Refused = "refused", BAD_REQUEST;
    /// Ours; the header `x-request-id` names the request in the server's log.
    Internal = "internal", INTERNAL_SERVER_ERROR;
    /// Ours, and passing: the service is starting, stopping or short of space.
    Unavailable = "unavailable", SERVICE_UNAVAILABLE;
}

/// One fault of a request, where it is and what would be right.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "ErrorDetail")]
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
    /// The code's own, except where only a bare status is known.
    status: StatusCode,
    code: Code,
    message: String,
    details: Vec<Detail>,
    header: Option<(HeaderName, HeaderValue)>,
}

impl ApiError {
    fn new(code: Code, message: impl Into<String>) -> ApiError {
        let (status, message) = (code.status(), message.into());
        ApiError(Box::new(Refusal { status, code, message, details: Vec::new(), header: None }))
    }

    fn header(mut self, name: HeaderName, value: HeaderValue) -> ApiError {
        self.0.header = Some((name, value));
        self
    }

    /// 400 `malformed_json`: the body is not JSON; the message names line and column.
    #[must_use]
    pub fn malformed_json(error: &serde_json::Error) -> ApiError {
        // serde_json's text ends with "at line L column C" wherever it knows the place.
        ApiError::new(Code::MalformedJson, format!("the body is not valid JSON: {error}"))
    }

    /// 401 `unauthorized`: one text for a missing, misspelt, unknown and revoked key, so that it tells nothing apart.
    #[must_use]
    pub fn unauthorized() -> ApiError {
        ApiError::new(
            Code::Unauthorized,
            "this endpoint needs a valid API key in the header `Authorization: Bearer fl_live_…`",
        )
        .header(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"))
    }

    /// 403 `forbidden`: who asks is not allowed to, whoever they are.
    #[must_use]
    pub fn forbidden(message: impl Into<String>) -> ApiError {
        ApiError::new(Code::Forbidden, message)
    }

    /// 404 `not_found`: `what` does not exist, or belongs to another workspace.
    #[must_use]
    pub fn not_found(what: impl fmt::Display) -> ApiError {
        ApiError::new(Code::NotFound, format!("there is no {what}"))
    }

    /// 405 `method_not_allowed`: the path exists, with other methods.
    #[must_use]
    pub fn method_not_allowed(method: &str, path: &str) -> ApiError {
        let message = format!("{path} does not take {method}; the header Allow lists what it takes");
        ApiError::new(Code::MethodNotAllowed, message)
    }

    /// 408 `request_timeout`: the body did not come within `seconds`.
    #[must_use]
    pub fn request_timeout(seconds: u64) -> ApiError {
        let message = format!("the body did not come within {seconds} seconds, the most this service waits");
        // Half of a body is still to come: nothing else can be said on this connection (RFC 9110, 15.5.9).
        ApiError::new(Code::RequestTimeout, message)
            .header(header::CONNECTION, HeaderValue::from_static("close"))
    }

    /// 409 `conflict`: the request is sound, and what it is about is in another state.
    #[must_use]
    pub fn conflict(message: impl Into<String>) -> ApiError {
        ApiError::new(Code::Conflict, message)
    }

    /// 410 `gone`: it was there, and will not be again.
    #[must_use]
    pub fn gone(message: impl Into<String>) -> ApiError {
        ApiError::new(Code::Gone, message)
    }

    /// 413 `payload_too_large`: the body has more than `max_bytes`.
    #[must_use]
    pub fn payload_too_large(max_bytes: usize) -> ApiError {
        let message = format!("the body is larger than {max_bytes} bytes, the most this endpoint takes");
        ApiError::new(Code::PayloadTooLarge, message)
    }

    /// 415 `unsupported_media_type`: the body is said to be something else than JSON.
    #[must_use]
    pub fn unsupported_media_type(found: &str) -> ApiError {
        let found: String = found.chars().take(100).collect();
        let message = format!("the body's Content-Type is {found:?}; this endpoint takes application/json");
        ApiError::new(Code::UnsupportedMediaType, message)
    }

    /// 415 `unsupported_media_type`: the body comes packed.
    #[must_use]
    pub fn unsupported_coding(found: &str) -> ApiError {
        let found: String = found.chars().take(100).collect();
        let message =
            format!("the body's Content-Encoding is {found:?}; this endpoint takes bodies as they are");
        ApiError::new(Code::UnsupportedMediaType, message)
    }

    /// 422 `invalid_request`: all faults at once.
    #[must_use]
    pub fn invalid_request(details: Vec<Detail>) -> ApiError {
        let message = match details.as_slice() {
            [only] => format!("{}: {}", only.path, only.message),
            all => format!("the request has {} faults; `details` names each", all.len()),
        };
        let mut error = ApiError::new(Code::InvalidRequest, message);
        error.0.details = details;
        error
    }

    /// 429 `rate_limited`: try again after `retry_after_s` seconds.
    #[must_use]
    pub fn rate_limited(message: impl Into<String>, retry_after_s: u32) -> ApiError {
        ApiError::new(Code::RateLimited, message)
            .header(header::RETRY_AFTER, HeaderValue::from(retry_after_s))
    }

    /// 431 `headers_too_large`: address and headers together have more than `max_bytes`.
    #[must_use]
    pub fn headers_too_large(max_bytes: usize) -> ApiError {
        let message = format!(
            "the address and the headers have more than {max_bytes} bytes, the most this service takes"
        );
        ApiError::new(Code::HeadersTooLarge, message)
    }

    /// What a bare status says, where nothing more is known: `bad_request`, `range_not_satisfiable`, …
    #[must_use]
    pub fn of_status(status: StatusCode) -> ApiError {
        let (code, message) = match status {
            StatusCode::BAD_REQUEST => (Code::BadRequest, "the request can't be understood"),
            StatusCode::RANGE_NOT_SATISFIABLE => (
                Code::RangeNotSatisfiable,
                "the range lies beyond the end; the header Content-Range tells the size",
            ),
            status if status.is_server_error() => (Code::Internal, "something failed on the server"),
            _ => (Code::Refused, "the request was refused; the HTTP status says why"),
        };
        let mut error = ApiError::new(code, message);
        error.0.status = status;
        error
    }

    /// 500 `internal`: ours. Logs the error with its causes, once, here; the caller sees the request id only.
    #[must_use]
    pub fn internal(error: &(dyn std::error::Error + 'static)) -> ApiError {
        tracing::error!(error = %chain(error), "a request failed");
        ApiError::new(
            Code::Internal,
            "something failed on the server; the header x-request-id names this request in its log",
        )
    }

    /// 503 `unavailable`: ours, and passing: the service is starting or stopping. Logs like [`ApiError::internal`].
    #[must_use]
    pub fn unavailable(error: &(dyn std::error::Error + 'static)) -> ApiError {
        tracing::warn!(error = %chain(error), "a request came while the service could not answer");
        ApiError::new(Code::Unavailable, "the service can't answer now; try again")
            .header(header::RETRY_AFTER, HeaderValue::from_static("1"))
    }

    /// 421 `misdirected`: this process answers no such requests, and knows of none that does.
    #[must_use]
    pub fn misdirected() -> ApiError {
        ApiError::new(
            Code::Misdirected,
            "this process answers no such requests; ask one that does, or start this one with --forward-to",
        )
    }

    /// 503 `unavailable`, because of what everyone asks of the service and not of this request: it passes by itself.
    #[must_use]
    pub fn busy(message: impl Into<String>, retry_after_s: u32) -> ApiError {
        ApiError::new(Code::Unavailable, message)
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
        write!(f, "{} {}: {}", self.status().as_u16(), self.0.code.as_str(), self.0.message)
    }
}

impl std::error::Error for ApiError {}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let Refusal { status, code, message, details, header } = *self.0;
        let mut response =
            (status, Json(Envelope { error: Body { code, message, details } })).into_response();
        if let Some((name, value)) = header {
            response.headers_mut().insert(name, value);
        }
        response
    }
}

/// The body of every refusal.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Error")]
pub(crate) struct Envelope {
    pub(crate) error: Body,
}

/// What was refused and why.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "ErrorBody")]
pub(crate) struct Body {
    /// For programs.
    pub(crate) code: Code,
    /// For people: what was given, what is allowed.
    pub(crate) message: String,
    /// Every fault of the request; empty where `code` and `message` say all there is.
    pub(crate) details: Vec<Detail>,
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
