//! A receiver of webhooks on loopback that answers as it is told and keeps what it got.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum::routing::post;
use tokio::net::TcpListener;
use tokio::sync::mpsc;

/// How the n-th request is answered; the last one goes on for ever.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Reply {
    Status(u16),
    Text(u16, &'static str),
    RedirectTo(&'static str),
    Never,
}

/// A request as it came.
#[derive(Debug, Clone)]
pub(crate) struct Received {
    pub(crate) headers: HashMap<String, String>,
    pub(crate) body: Vec<u8>,
}

pub(crate) struct Receiver {
    address: SocketAddr,
    received: mpsc::Receiver<Received>,
}

#[derive(Debug, Clone)]
struct Script {
    replies: Arc<[Reply]>,
    count: Arc<AtomicUsize>,
    sender: mpsc::Sender<Received>,
}

impl Receiver {
    pub(crate) async fn start(replies: &[Reply]) -> Receiver {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
        let address = listener.local_addr().expect("an address");
        let (sender, received) = mpsc::channel(1024);
        let script = Script { replies: replies.into(), count: Arc::default(), sender };
        let router = Router::new().route("/hook", post(take)).with_state(script);
        tokio::spawn(async move { axum::serve(listener, router).await });
        Receiver { address, received }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/hook", self.address)
    }

    /// The next request; fails where none comes.
    pub(crate) async fn next(&mut self) -> Received {
        let waited = tokio::time::timeout(Duration::from_secs(30), self.received.recv()).await;
        waited.expect("a webhook arrives").expect("the receiver lives")
    }

    /// What has come and was not looked at.
    pub(crate) fn unseen(&mut self) -> usize {
        let mut count = 0;
        while self.received.try_recv().is_ok() {
            count += 1;
        }
        count
    }
}

async fn take(State(script): State<Script>, headers: HeaderMap, body: Bytes) -> Response {
    let text = |value: &axum::http::HeaderValue| value.to_str().expect("text").to_owned();
    let headers = headers.iter().map(|(name, value)| (name.to_string(), text(value))).collect();
    let n = script.count.fetch_add(1, Ordering::SeqCst);
    script.sender.send(Received { headers, body: body.to_vec() }).await.expect("the test listens");
    match script.replies.get(n).or(script.replies.last()).expect("a reply") {
        Reply::Status(status) => StatusCode::from_u16(*status).expect("a status").into_response(),
        Reply::Text(status, text) => {
            (StatusCode::from_u16(*status).expect("a status"), *text).into_response()
        }
        Reply::RedirectTo(to) => (StatusCode::FOUND, [("location", *to)]).into_response(),
        Reply::Never => std::future::pending().await,
    }
}
