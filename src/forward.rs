//! Requests that this process does not answer are passed on to one that does, so that clients need one address whatever the
//! processes do.
//!
//! Promises: the request arrives as it was sent and the answer comes back as it was given; what is large is streamed. Where a
//! process is not there the next one is asked; a request that may have arrived is never sent twice. Must not know: what requests mean, who sends them.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use api::{ApiError, Endpoints, RequestId};
use axum::Extension;
use axum::body::{Body, Bytes, HttpBody as _};
use axum::extract::{Request, State};
use axum::http::header::{self, HeaderName};
use axum::http::{HeaderMap, HeaderValue, Method};
use axum::response::{IntoResponse as _, Response};
use outbound::{BuildError, operators_client};

/// Headers that hold between two neighbours only (RFC 9110 7.6.1), and those that the client makes itself.
const HOP_BY_HOP: [HeaderName; 8] = [
    header::CONNECTION,
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    header::HOST,
];

/// Bodies of at most so many bytes are kept until they have arrived; larger ones are passed on as they come.
const KEPT_MAX: u64 = 1024 * 1024;

/// How long such a body may take.
const PATIENCE_S: u64 = 30;

/// What we are called in `Via` (RFC 9110 7.6.3): a request that bears it already goes in circles.
const VIA: &str = "1.1 framelane";

/// Where requests go that are not answered here.
#[derive(Debug, Clone)]
pub(crate) struct Forward {
    client: reqwest::Client,
    /// `http://host:port`, without a slash at the end; empty: nowhere.
    targets: Arc<[String]>,
    turn: Arc<AtomicUsize>,
}

impl Forward {
    /// To these processes in turn.
    ///
    /// # Errors
    /// Where the system has no root certificates.
    pub(crate) fn new(targets: &[String]) -> Result<Forward, BuildError> {
        let targets = targets.iter().map(|target| target.trim_end_matches('/').to_owned()).collect();
        Ok(Forward { client: operators_client()?, targets, turn: Arc::default() })
    }

    /// `endpoints`, answered elsewhere.
    pub(crate) fn endpoints(self, endpoints: Endpoints) -> Endpoints {
        endpoints.answered_by(pass_on, self)
    }

    async fn send(&self, request: Request) -> Result<reqwest::Response, ApiError> {
        let (parts, body) = request.into_parts();
        let mut body = Passed::of(body).await?;
        let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
        let headers = passed(&parts.headers);
        let first = self.turn.fetch_add(1, Ordering::Relaxed);
        let mut refused = None;
        for turn in (first..).take(self.targets.len()) {
            let Some(target) = self.targets.get(turn % self.targets.len().max(1)) else { break };
            let mut passing =
                self.client.request(parts.method.clone(), format!("{target}{path}")).headers(headers.clone());
            let Some(next) = body.next() else { break };
            if let Some(next) = next {
                passing = passing.body(next);
            }
            match passing.send().await {
                Ok(answer) => return Ok(answer),
                Err(error) if error.is_connect() => {
                    tracing::warn!(target, %error, "a process that requests are passed on to is not there");
                    refused = Some(error);
                }
                Err(error) => return Err(ApiError::unavailable(&error)),
            }
        }
        Err(match refused {
            Some(error) => ApiError::unavailable(&error),
            None => ApiError::misdirected(),
        })
    }
}

/// A body on its way.
#[derive(Debug)]
enum Passed {
    /// There is none.
    Nothing,
    /// As often as it takes.
    Kept(Bytes),
    /// Once; `None`: it is under way.
    Streamed(Option<Body>),
}

impl Passed {
    async fn of(body: Body) -> Result<Passed, ApiError> {
        if body.is_end_stream() {
            return Ok(Passed::Nothing);
        }
        if body.size_hint().upper().is_none_or(|bytes| bytes > KEPT_MAX) {
            return Ok(Passed::Streamed(Some(body)));
        }
        let kept = axum::body::to_bytes(body, usize::MAX);
        match tokio::time::timeout(Duration::from_secs(PATIENCE_S), kept).await {
            Ok(Ok(bytes)) => Ok(Passed::Kept(bytes)),
            Ok(Err(error)) => Err(ApiError::unavailable(&error)),
            Err(_elapsed) => Err(ApiError::request_timeout(PATIENCE_S)),
        }
    }

    /// What to send now; `None`: it can't be sent again.
    fn next(&mut self) -> Option<Option<reqwest::Body>> {
        match self {
            Passed::Nothing => Some(None),
            Passed::Kept(bytes) => Some(Some(bytes.clone().into())),
            Passed::Streamed(body) => {
                body.take().map(|body| Some(reqwest::Body::wrap_stream(body.into_data_stream())))
            }
        }
    }
}

async fn pass_on(
    State(forward): State<Forward>,
    id: Option<Extension<RequestId>>,
    mut request: Request,
) -> Result<Response, ApiError> {
    let circles = request.headers().get_all(header::VIA).iter().any(|via| via == VIA);
    if circles {
        tracing::error!(
            path = request.uri().path(),
            "a request goes in circles: --forward-to leads back here"
        );
        return Err(ApiError::misdirected());
    }
    request.headers_mut().append(header::VIA, HeaderValue::from_static(VIA));
    if let Some(Extension(RequestId(id))) = id
        && let Ok(id) = HeaderValue::from_str(&id)
    {
        request.headers_mut().insert(api::REQUEST_ID, id);
    }
    let is_head = request.method() == Method::HEAD;
    let answer = forward.send(request).await?;
    let (status, headers) = (answer.status(), passed(answer.headers()));
    let body = if is_head { Body::empty() } else { Body::from_stream(answer.bytes_stream()) };
    Ok((status, headers, body).into_response())
}

/// The headers that are for whoever is at the other end.
fn passed(headers: &HeaderMap) -> HeaderMap {
    let mut passed = headers.clone();
    let named: Vec<HeaderName> = headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|names| names.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    for name in HOP_BY_HOP.iter().chain(&named) {
        passed.remove(name);
    }
    passed
}
