//! What holds for every answer of the API: a request id, the envelope also where no endpoint made the answer, what is
//! left of a key's rate, and that nothing a caller does ends a connection without an answer.

use std::panic::AssertUnwindSafe;
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use axum::Router;
use axum::extract::Request;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse as _, Response};
use events::KeyId;
use futures_util::FutureExt as _;
use tracing::Instrument as _;

use crate::error::ApiError;
use crate::limits::ServiceLimits;
use crate::rate::{Quota, RateLimiter};

/// Joins an answer with the server's log: taken from the client where it is sane, made here otherwise.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

const RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit");
const RATE_LIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");

/// The longest request id taken from a client.
const REQUEST_ID_CHARS_MAX: usize = 128;

/// The id of the request in hand, as an extension of it; events carry it as their correlation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestId(pub String);

/// The way of one request past the rate limit, as an extension of it. Whoever finds out whose request it is asks.
#[derive(Debug, Clone)]
pub(crate) struct Admission {
    limiter: Arc<RateLimiter>,
    told: Arc<OnceLock<Quota>>,
}

impl Admission {
    /// Counts the request as this key's.
    ///
    /// # Errors
    /// 429 where the key has none left.
    pub(crate) fn admit(&self, key: KeyId) -> Result<(), ApiError> {
        // Asked again for the same request, the first answer holds.
        let quota = *self.told.get_or_init(|| self.limiter.take(key, Instant::now()));
        match quota.retry_after_s {
            None => Ok(()),
            Some(seconds) => {
                let (requests, window) = (quota.limit.requests, quota.limit.window_s);
                let message =
                    format!("this key may send {requests} requests in {window} s; try again in {seconds} s");
                Err(ApiError::rate_limited(message, seconds))
            }
        }
    }
}

/// What [`with_conventions`] goes by.
#[derive(Debug, Clone)]
struct Conventions {
    make_id: fn() -> String,
    header_bytes_max: usize,
    limiter: Option<Arc<RateLimiter>>,
}

/// The routers of all roles, joined, with what holds for every answer. Call once, last; `make_id` makes a fresh
/// request id (a random one: it is only ever compared by people).
pub fn with_conventions(endpoints: Router, make_id: fn() -> String, limits: &ServiceLimits) -> Router {
    let conventions = Conventions {
        make_id,
        header_bytes_max: limits.header_bytes_max,
        limiter: limits.rate_limit.map(|limit| Arc::new(RateLimiter::new(limit))),
    };
    endpoints
        .fallback(|uri: Uri| async move { no_endpoint(&uri) })
        .method_not_allowed_fallback(|method: Method, uri: Uri| async move {
            ApiError::method_not_allowed(method.as_str(), uri.path())
        })
        .layer(from_fn(move |request: Request, next: Next| {
            let conventions = conventions.clone();
            async move { conventions.answer(request, next).await }
        }))
}

impl Conventions {
    async fn answer(&self, mut request: Request, next: Next) -> Response {
        let given =
            request.headers().get(REQUEST_ID).and_then(|value| value.to_str().ok()).filter(|id| is_sane(id));
        let id = given.map_or_else(self.make_id, str::to_owned);
        let span = tracing::info_span!("http.request", request.id = %id, method = %request.method(), path = request.uri().path());
        request.extensions_mut().insert(RequestId(id.clone()));
        let told = Arc::new(OnceLock::new());
        if let Some(limiter) = &self.limiter {
            let admission = Admission { limiter: Arc::clone(limiter), told: Arc::clone(&told) };
            request.extensions_mut().insert(admission);
        }
        let answered = async {
            match self.unfit(&request) {
                Some(refusal) => refusal.into_response(),
                None => enveloped(run(request, next).await),
            }
        };
        let mut response = answered.instrument(span).await;
        if let Ok(value) = HeaderValue::from_str(&id) {
            response.headers_mut().insert(REQUEST_ID, value);
        }
        if let Some(quota) = told.get() {
            tell(quota, response.headers_mut());
        }
        response
    }

    /// What no endpoint should have to look at.
    fn unfit(&self, request: &Request) -> Option<ApiError> {
        let header = |(name, value): (&HeaderName, &HeaderValue)| name.as_str().len() + value.len();
        let bytes = request.uri().to_string().len() + request.headers().iter().map(header).sum::<usize>();
        if bytes > self.header_bytes_max {
            return Some(ApiError::headers_too_large(self.header_bytes_max));
        }
        (!is_text(request.uri().path())).then(|| no_endpoint(request.uri()))
    }
}

/// Runs the endpoint. One that panics is a fault of ours: its caller learns so, and everyone else is served on.
async fn run(request: Request, next: Next) -> Response {
    let outcome = AssertUnwindSafe(next.run(request)).catch_unwind().await;
    outcome.unwrap_or_else(|_panic| {
        // The panic itself has been reported by the hook.
        ApiError::internal(&std::io::Error::other("an endpoint panicked")).into_response()
    })
}

/// An answer that tells of an error, made by the framework or without a body, in the envelope.
fn enveloped(response: Response) -> Response {
    let status = response.status();
    let json = |value: &HeaderValue| value.as_bytes().starts_with(b"application/json");
    if status < StatusCode::BAD_REQUEST || response.headers().get(CONTENT_TYPE).is_some_and(json) {
        return response;
    }
    let mut envelope = ApiError::of_status(status).into_response();
    for (name, value) in response.headers() {
        if !envelope.headers().contains_key(name) && name != axum::http::header::CONTENT_LENGTH {
            envelope.headers_mut().append(name, value.clone());
        }
    }
    envelope
}

fn tell(quota: &Quota, headers: &mut HeaderMap) {
    // Digits, letters and quotation marks: always a header's value.
    for (name, text) in [(RATE_LIMIT_POLICY, quota.limit.policy()), (RATE_LIMIT, quota.to_string())] {
        if let Ok(value) = HeaderValue::from_str(&text) {
            headers.insert(name, value);
        }
    }
}

fn no_endpoint(uri: &Uri) -> ApiError {
    let path: String = uri.path().chars().take(200).collect();
    ApiError::not_found(format_args!("endpoint {path}"))
}

/// Whether a path is text once its escapes are undone (RFC 3986 2.1): nothing of ours has another name.
fn is_text(path: &str) -> bool {
    let mut bytes = Vec::with_capacity(path.len());
    let mut rest = path.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        let escaped =
            after.get(..2).filter(|_| first == b'%').and_then(|digits| std::str::from_utf8(digits).ok());
        let byte = escaped.and_then(|digits| u8::from_str_radix(digits, 16).ok());
        bytes.push(byte.unwrap_or(first));
        rest = if byte.is_some() { &after[2..] } else { after };
    }
    std::str::from_utf8(&bytes).is_ok()
}

/// Whether a client's id can stand in a log line and a header as it is.
fn is_sane(id: &str) -> bool {
    let chars =
        |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b':' | b'/' | b'+' | b'=');
    (1..=REQUEST_ID_CHARS_MAX).contains(&id.len()) && id.bytes().all(chars)
}

#[cfg(test)]
mod tests {
    use axum::body::{Body, to_bytes};
    use axum::extract::Path;
    use axum::routing::get;
    use tower::ServiceExt as _;

    use super::*;

    async fn panics() {
        panic!("a bug");
    }

    fn service() -> Router {
        let endpoints = Router::new()
            .route("/number/{n}", get(|Path(n): Path<u32>| async move { n.to_string() }))
            .route("/panics", get(panics))
            .route(
                "/bare",
                get(|| async { (StatusCode::RANGE_NOT_SATISFIABLE, [("content-range", "bytes */9")]) }),
            );
        with_conventions(endpoints, || "made-here".to_owned(), &ServiceLimits::default())
    }

    async fn ask(request: axum::http::request::Builder) -> (StatusCode, HeaderMap, serde_json::Value) {
        let request = request.body(Body::empty()).expect("a request");
        let (parts, body) = service().oneshot(request).await.expect("it always answers").into_parts();
        let bytes = to_bytes(body, 1 << 20).await.expect("a body");
        (parts.status, parts.headers, serde_json::from_slice(&bytes).unwrap_or_default())
    }

    #[tokio::test]
    async fn whatever_goes_wrong_is_told_in_the_envelope() {
        let huge = "x".repeat(70_000);
        let cases = [
            (Request::get("/nowhere"), 404, "not_found"),
            (Request::post("/bare"), 405, "method_not_allowed"),
            (Request::get("/number/seven"), 400, "bad_request"),
            (Request::get("/number/%FF"), 404, "not_found"),
            (Request::get("/panics"), 500, "internal"),
            (Request::get("/bare"), 416, "range_not_satisfiable"),
            (Request::get("/number/7").header("cookie", huge.as_str()), 431, "headers_too_large"),
        ];
        for (request, status, code) in cases {
            let (found, headers, body) = ask(request).await;
            assert_eq!(
                (found.as_u16(), &body["error"]["code"]),
                (status, &serde_json::json!(code)),
                "{body}"
            );
            assert!(body["error"]["message"].as_str().is_some_and(|message| !message.is_empty()), "{body}");
            assert_eq!(body["error"]["details"], serde_json::json!([]), "{body}");
            assert_eq!(headers[REQUEST_ID], "made-here", "every answer can be found in the log");
        }
        assert_eq!(ask(Request::get("/bare")).await.1["content-range"], "bytes */9", "its headers are kept");
        assert_eq!(ask(Request::get("/number/7")).await.0, StatusCode::OK);
    }

    #[test]
    fn a_path_is_text_with_its_escapes_undone() {
        for path in ["/", "/v1/renders/%C3%BC", "/%", "/%2", "/%zz", "/%25FF"] {
            assert!(is_text(path), "{path}");
        }
        for path in ["/%FF", "/a/%C3/b", "/%c3%28"] {
            assert!(!is_text(path), "{path}");
        }
    }
}
