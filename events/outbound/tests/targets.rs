//! Names: judged by every address they resolve to, each time anew. The URLs themselves are in `corpus.rs`.

use std::io;
use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use events::FaultCode;
use futures_util::future::BoxFuture;
use outbound::{AllowedNetworks, FetchLimits, NameLookup, Outbound, PostError};
use tokio::net::TcpListener;

/// Answers every name with the next list; the last one goes on for ever.
#[derive(Debug)]
struct Scripted {
    answers: Vec<Vec<&'static str>>,
    asked: AtomicUsize,
    names: Mutex<Vec<String>>,
}

impl Scripted {
    fn new(answers: &[&[&'static str]]) -> Arc<Scripted> {
        let answers = answers.iter().map(|list| list.to_vec()).collect();
        Arc::new(Scripted { answers, asked: AtomicUsize::new(0), names: Mutex::default() })
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

impl NameLookup for Scripted {
    fn lookup(&self, name: &str) -> BoxFuture<'static, io::Result<Vec<IpAddr>>> {
        self.names.lock().expect("no panic").push(name.to_owned());
        let n = self.asked.fetch_add(1, Ordering::SeqCst);
        let answer = self.answers.get(n).or(self.answers.last()).expect("an answer");
        let answer = answer.iter().map(|text| text.parse().expect("an address")).collect();
        Box::pin(std::future::ready(Ok(answer)))
    }
}

fn client(allowed: &str, lookup: &Arc<Scripted>) -> Outbound {
    let allowed = AllowedNetworks::parse(allowed).expect("networks");
    Outbound::with_lookup(allowed, Arc::clone(lookup) as Arc<dyn NameLookup>).expect("builds")
}

async fn fetch_fault(outbound: &Outbound, url: &str) -> FaultCode {
    let directory = tempfile::tempdir().expect("a scratch directory");
    let limits = FetchLimits {
        retry_after: Vec::new(),
        silence_max: Duration::from_secs(5),
        ..FetchLimits::default()
    };
    let fetched = outbound.fetch_to_file(url, &directory.path().join("source"), &limits, &mut |_| ()).await;
    fetched.expect_err(url).fault_code()
}

/// A listener on loopback and how many connections it has seen.
async fn trap() -> (u16, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
    let port = listener.local_addr().expect("an address").port();
    let seen = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&seen);
    tokio::spawn(async move {
        while listener.accept().await.is_ok() {
            count.fetch_add(1, Ordering::SeqCst);
        }
    });
    (port, seen)
}

#[tokio::test]
async fn a_name_is_refused_when_any_of_its_addresses_is_forbidden() {
    let (port, seen) = trap().await;
    for addresses in [
        &["127.0.0.1"][..],
        &["93.184.215.14", "127.0.0.1"],
        &["2606:2800:21f:cb07:6820:80da:af6b:8b2c", "::1"],
        &["::ffff:127.0.0.1"],
        &["169.254.169.254"],
    ] {
        let lookup = Scripted::new(&[addresses]);
        let outbound = client("", &lookup);
        let url = format!("http://films.example:{port}/");
        assert_eq!(fetch_fault(&outbound, &url).await, FaultCode::SourceForbidden, "{addresses:?}");
        let posted = outbound.post(&url, &[], Bytes::new(), Duration::from_secs(5)).await;
        assert!(matches!(posted, Err(PostError::Forbidden { .. })), "{addresses:?}: {posted:?}");
    }
    assert_eq!(seen.load(Ordering::SeqCst), 0, "nothing was dialled");
}

#[tokio::test]
async fn a_name_that_changes_its_address_is_judged_by_each_answer() {
    let (port, seen) = trap().await;
    // Permitted first (the network is allowed by name), then rebound to an address that is not.
    let lookup = Scripted::new(&[&["127.0.0.1"], &["10.0.0.1"]]);
    let outbound = client("127.0.0.0/8", &lookup);
    let url = format!("http://films.example:{port}/");
    assert_eq!(
        fetch_fault(&outbound, &url).await,
        FaultCode::InvalidSource,
        "the trap closes the connection"
    );
    assert_eq!((seen.load(Ordering::SeqCst), lookup.asked()), (1, 1), "one look-up for one connection");
    assert_eq!(
        fetch_fault(&outbound, &url).await,
        FaultCode::SourceForbidden,
        "the second answer is judged anew"
    );
    assert_eq!((seen.load(Ordering::SeqCst), lookup.asked()), (1, 2), "the second address was not dialled");
}

#[tokio::test]
async fn a_name_without_addresses_is_not_found() {
    let lookup = Scripted::new(&[&[]]);
    assert_eq!(fetch_fault(&client("", &lookup), "http://films.example/").await, FaultCode::SourceNotFound);
    assert_eq!(*lookup.names.lock().expect("no panic"), ["films.example"]);
}
