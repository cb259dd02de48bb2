//! A proxy before an S3 server that tells what it saw and does as a test says: stores of other makes, and bad days.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Request, State};
use axum::http::header::{HOST, IF_NONE_MATCH};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};

/// What it does beside passing requests on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Meddling {
    /// Nothing.
    None,
    /// Forgets conditions, as older stores do.
    Unconditional,
    /// Refuses the second part of every upload.
    LosesParts,
    /// Refuses everything, quoting secrets as a store that found a wrong signature does.
    Refuses,
}

/// One request that came by: method, path with query, and whether it was conditional.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) method: String,
    pub(crate) target: String,
    pub(crate) is_conditional: bool,
}

/// A running proxy.
#[derive(Debug, Clone)]
pub(crate) struct Meddler {
    pub(crate) address: String,
    seen: Arc<Mutex<Vec<Seen>>>,
}

#[derive(Debug, Clone)]
struct Proxy {
    upstream: String,
    meddling: Meddling,
    client: reqwest::Client,
    seen: Arc<Mutex<Vec<Seen>>>,
}

impl Meddler {
    pub(crate) async fn start(upstream: String, meddling: Meddling) -> Meddler {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let proxy = Proxy { upstream, meddling, client: reqwest::Client::new(), seen: Arc::clone(&seen) };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let app = Router::new().fallback(pass_on).with_state(proxy);
        tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        Meddler { address, seen }
    }

    /// What came by since this was last asked.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        std::mem::take(&mut self.seen.lock().unwrap())
    }
}

async fn pass_on(State(proxy): State<Proxy>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let target = parts.uri.path_and_query().unwrap().to_string();
    let is_conditional = parts.headers.get(IF_NONE_MATCH).is_some_and(|value| value == "*");
    let seen = Seen { method: parts.method.to_string(), target: target.clone(), is_conditional };
    proxy.seen.lock().unwrap().push(seen);
    if proxy.meddling == Meddling::Refuses {
        let key = super::server::KEY_ID;
        let said = format!(
            "<Error><Code>SignatureDoesNotMatch</Code><AWSAccessKeyId>{key}</AWSAccessKeyId></Error>"
        );
        return (StatusCode::FORBIDDEN, said).into_response();
    }
    if proxy.meddling == Meddling::LosesParts && target.contains("partNumber=2") {
        return (StatusCode::BAD_REQUEST, "<Error><Code>BadDigest</Code></Error>").into_response();
    }
    let mut headers: HeaderMap = parts.headers;
    headers.remove(HOST);
    if proxy.meddling == Meddling::Unconditional {
        headers.remove(IF_NONE_MATCH);
    }
    let body: Bytes = axum::body::to_bytes(body, usize::MAX).await.unwrap();
    let request = proxy.client.request(parts.method, format!("{}{target}", proxy.upstream)).headers(headers);
    let answer = request.body(body).send().await.unwrap();
    let (status, headers) = (answer.status(), answer.headers().clone());
    (status, headers, answer.bytes().await.unwrap()).into_response()
}
