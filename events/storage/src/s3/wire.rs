//! How requests to an S3 store travel: through our HTTP client, with its time limits.
//!
//! One thing is added on the way. The library completes an upload in parts whatever lies under the key by then; S3 takes
//! a condition there as well, so it goes along. It need not be signed: S3 demands that of the host and its own headers.

use std::time::Duration;

use async_trait::async_trait;
use http_body_util::BodyExt as _;
use object_store::ClientOptions;
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse, HttpResponseBody,
    HttpService,
};
use reqwest::header::{HeaderValue, IF_NONE_MATCH};
use reqwest::redirect::Policy;
use reqwest::{Body, Method, Request, Url};

/// Who we say we are.
const USER_AGENT: &str = concat!("framelane/", env!("CARGO_PKG_VERSION"));

/// How long a connection may take to come about.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a store may be silent: it takes a whole part before it answers.
const SILENCE_TIMEOUT: Duration = Duration::from_secs(120);

/// Our HTTP client, as the library wants it.
#[derive(Debug, Clone)]
pub(crate) struct Wire(reqwest::Client);

impl Wire {
    /// A client that goes where the operator told it to.
    ///
    /// # Errors
    /// Where the system has no root certificates.
    pub(crate) fn new() -> reqwest::Result<Wire> {
        // Whoever comes second finds the same provider in place.
        drop(rustls::crypto::ring::default_provider().install_default());
        let client = reqwest::Client::builder().user_agent(USER_AGENT).redirect(Policy::none());
        client.connect_timeout(CONNECT_TIMEOUT).read_timeout(SILENCE_TIMEOUT).build().map(Wire)
    }
}

impl HttpConnector for Wire {
    fn connect(&self, _options: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(HttpClient::new(self.clone()))
    }
}

#[async_trait]
impl HttpService for Wire {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let (parts, body) = request.into_parts();
        let url: Url =
            parts.uri.to_string().parse().map_err(|error| HttpError::new(HttpErrorKind::Unknown, error))?;
        let completes = parts.method == Method::POST && url.query_pairs().any(|(name, _)| name == "uploadId");
        let mut request = Request::new(parts.method, url);
        *request.headers_mut() = parts.headers;
        if completes {
            request.headers_mut().insert(IF_NONE_MATCH, HeaderValue::from_static("*"));
        }
        *request.body_mut() = Some(Body::wrap(body));
        let answer = self.0.execute(request).await.map_err(fault)?;
        let (status, headers) = (answer.status(), answer.headers().clone());
        let mut response = HttpResponse::new(HttpResponseBody::new(Body::from(answer).map_err(fault)));
        *response.status_mut() = status;
        *response.headers_mut() = headers;
        Ok(response)
    }
}

/// The failure in the library's kinds, which decide what is tried again: what broke is, also where the store may have heard
/// it. Everything we send may be sent twice, as a put of what is there already is no error.
fn fault(error: reqwest::Error) -> HttpError {
    let kind = if error.is_timeout() {
        HttpErrorKind::Timeout
    } else if error.is_decode() {
        HttpErrorKind::Decode
    } else {
        HttpErrorKind::Request
    };
    // An address may hold a signature.
    HttpError::new(kind, error.without_url())
}
