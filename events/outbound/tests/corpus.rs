//! The corpus of hostile URLs, `hostile_urls.json`: each is refused by its own reason, whichever way it is used, and
//! nothing is dialled.
//!
//! `{port}` stands for the port of listeners on 127.0.0.1 and ::1 that count who connects. The resolver answers every
//! name with 127.0.0.1.

use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use events::FaultCode;
use futures_util::future::BoxFuture;
use outbound::{AllowedNetworks, FetchLimits, NameLookup, Outbound, PostError};
use serde::Deserialize;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

/// URLs that are refused alike.
#[derive(Debug, Deserialize)]
struct Group {
    code: FaultCode,
    because: String,
    urls: Vec<String>,
}

/// What names in the corpus are refused for: nothing else may ask the resolver.
const RESOLVED: &str = "its host resolves to";

fn corpus(port: u16) -> Vec<Group> {
    let mut groups: Vec<Group> =
        serde_json::from_str(include_str!("hostile_urls.json")).expect("groups of URLs");
    for url in groups.iter_mut().flat_map(|group| &mut group.urls) {
        *url = url.replace("{port}", &port.to_string());
    }
    groups
}

/// Listeners on both loopback addresses and one port; counts connections.
async fn traps() -> (u16, Arc<AtomicUsize>) {
    let seen = Arc::new(AtomicUsize::new(0));
    let first = TcpListener::bind("127.0.0.1:0").await.expect("binds");
    let port = first.local_addr().expect("an address").port();
    // A machine without IPv6 has nothing to reach there either.
    let second = TcpListener::bind(("::1", port)).await.ok();
    for listener in [Some(first), second].into_iter().flatten() {
        let seen = Arc::clone(&seen);
        tokio::spawn(async move {
            while listener.accept().await.is_ok() {
                seen.fetch_add(1, Ordering::SeqCst);
            }
        });
    }
    (port, seen)
}

/// Answers every name with 127.0.0.1 and counts the questions.
#[derive(Debug, Default)]
struct Loopback(AtomicUsize);

impl NameLookup for Loopback {
    fn lookup(&self, _name: &str) -> BoxFuture<'static, io::Result<Vec<IpAddr>>> {
        self.0.fetch_add(1, Ordering::SeqCst);
        Box::pin(std::future::ready(Ok(vec![IpAddr::from([127, 0, 0, 1])])))
    }
}

fn client(allowed: &str, lookup: &Arc<Loopback>) -> Outbound {
    let allowed = AllowedNetworks::parse(allowed).expect("networks");
    Outbound::with_lookup(allowed, Arc::clone(lookup) as Arc<dyn NameLookup>).expect("builds")
}

/// Code and message of a fetch that must fail.
async fn refusal(outbound: &Outbound, url: &str) -> (FaultCode, String) {
    let folder = tempfile::tempdir().expect("a scratch folder");
    let limits = FetchLimits { retry_after: Vec::new(), ..FetchLimits::default() };
    let fetched = outbound.fetch_to_file(url, &folder.path().join("source"), &limits, &mut |_| ()).await;
    let error = fetched.expect_err(url);
    (error.fault_code(), error.to_string())
}

#[tokio::test]
async fn every_hostile_url_is_refused_by_its_reason_and_nothing_is_dialled() {
    let (port, seen) = traps().await;
    let lookup = Arc::new(Loopback::default());
    let outbound = client("", &lookup);
    let (mut tried, mut otherwise) = (0, Vec::new());
    for group in corpus(port) {
        for url in &group.urls {
            let asked = lookup.0.load(Ordering::SeqCst);
            let (code, message) = refusal(&outbound, url).await;
            let posted = outbound.post(url, &[], Bytes::new(), Duration::from_secs(5)).await;
            let questions = if group.because.starts_with(RESOLVED) { 2 } else { 0 };
            let as_told = code == group.code
                && message.contains(&group.because)
                && matches!(&posted, Err(PostError::Forbidden { reason, .. }) if reason.contains(&group.because))
                && lookup.0.load(Ordering::SeqCst) - asked == questions;
            if !as_told {
                otherwise.push(format!("{url:?}, {}: {code:?}, {message}, {posted:?}", group.because));
            }
            tried += 1;
        }
    }
    assert!(otherwise.is_empty(), "refused otherwise than told:\n{}", otherwise.join("\n"));
    assert!(tried >= 300, "the corpus was read: {tried} URLs");
    assert_eq!(seen.load(Ordering::SeqCst), 0, "nothing was dialled");
}

#[tokio::test]
async fn a_redirect_to_any_of_them_ends_the_same_way() {
    let (port, seen) = traps().await;
    // The one address that is allowed by name serves redirects; it is none of the corpus.
    let listener = TcpListener::bind("127.77.0.1:0").await.expect("binds");
    let server = format!("http://{}/", listener.local_addr().expect("an address"));
    let lookup = Arc::new(Loopback::default());
    let outbound = client("127.77.0.1", &lookup);
    let mut tried = 0;
    for group in corpus(port) {
        // What is no URL by itself may be one relative to the server, and headers carry visible ASCII only.
        let absolute = |url: &&String| url.contains("://") && url.bytes().all(|byte| byte.is_ascii_graphic());
        for url in group.urls.iter().filter(|_| group.code == FaultCode::SourceForbidden).filter(absolute) {
            let (refused, ()) = tokio::join!(refusal(&outbound, &server), redirect_once(&listener, url));
            let (code, message) = refused;
            assert_eq!(code, FaultCode::SourceForbidden, "{url}: {message}");
            assert!(message.contains(&group.because), "{url} is refused for another reason: {message}");
            tried += 1;
        }
    }
    assert!(tried >= 150, "the corpus was read: {tried} URLs");
    assert_eq!(seen.load(Ordering::SeqCst), 0, "nothing was dialled");
}

/// Answers one request with a redirect.
async fn redirect_once(listener: &TcpListener, to: &str) {
    let (mut connection, _) = listener.accept().await.expect("accepts");
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        request.push(connection.read_u8().await.expect("a request"));
    }
    let answer =
        format!("HTTP/1.1 302 Found\r\nConnection: close\r\nContent-Length: 0\r\nLocation: {to}\r\n\r\n");
    connection.write_all(answer.as_bytes()).await.expect("writes");
}
