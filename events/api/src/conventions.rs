//! What holds for every answer of the API: a request id, and the envelope also where no endpoint was met.

use axum::Router;
use axum::extract::Request;
use axum::http::{HeaderName, HeaderValue, Method, Uri};
use axum::middleware::{Next, from_fn};
use axum::response::Response;
use tracing::Instrument as _;

use crate::error::ApiError;

/// Joins an answer with the server's log: taken from the client where it is sane, made here otherwise.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The longest request id taken from a client.
const REQUEST_ID_CHARS_MAX: usize = 128;

/// The id of the request in hand, as an extension of it; events carry it as their correlation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestId(pub String);

/// The routers of all roles, joined, with what holds for every answer. Call once, last; `make_id` makes a fresh
/// request id (a random one: it is only ever compared by people).
pub fn with_conventions(endpoints: Router, make_id: fn() -> String) -> Router {
    endpoints
        .fallback(|uri: Uri| async move { ApiError::not_found(format_args!("endpoint {}", uri.path())) })
        .method_not_allowed_fallback(|method: Method, uri: Uri| async move {
            ApiError::method_not_allowed(method.as_str(), uri.path())
        })
        .layer(from_fn(move |request: Request, next: Next| identify(request, next, make_id)))
}

async fn identify(mut request: Request, next: Next, make_id: fn() -> String) -> Response {
    let given =
        request.headers().get(REQUEST_ID).and_then(|value| value.to_str().ok()).filter(|id| is_sane(id));
    let id = given.map_or_else(make_id, str::to_owned);
    let span = tracing::info_span!("http.request", request.id = %id, method = %request.method(), path = request.uri().path());
    request.extensions_mut().insert(RequestId(id.clone()));
    let mut response = next.run(request).instrument(span).await;
    if let Ok(value) = HeaderValue::from_str(&id) {
        response.headers_mut().insert(REQUEST_ID, value);
    }
    response
}

/// Whether a client's id can stand in a log line and a header as it is.
fn is_sane(id: &str) -> bool {
    let chars =
        |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b':' | b'/' | b'+' | b'=');
    (1..=REQUEST_ID_CHARS_MAX).contains(&id.len()) && id.bytes().all(chars)
}
