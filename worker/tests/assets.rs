//! Fetching and keeping sources, against servers that count, wait and refuse.

#![expect(clippy::unwrap_used, reason = "in a test a panic is the report")]

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, Mutex};
use std::time::{Duration, Instant};

use composition::element::SourceUrl;
use events::fault::FaultCode;
use events::{Sha256, WorkspaceId};
use outbound::{AllowedNetworks, FetchLimits, Outbound};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use worker::assets::Asset;
use worker::{Assets, AssetsConfig, Control, Failure};

const MINE: WorkspaceId = WorkspaceId::new(1);
const YOURS: WorkspaceId = WorkspaceId::new(2);

/// What a server answers with.
#[derive(Debug, Clone)]
enum Answer {
    /// These bytes under this validator; 304 to whoever has them.
    Film(&'static str, Vec<u8>),
    /// These bytes without a validator.
    Plain(Vec<u8>),
    /// This status.
    Status(&'static str),
    /// Bytes for ever, a few every millisecond.
    Endless,
    /// Bytes for ever, as fast as they go.
    Flood,
    /// Nothing, for ever.
    Silence,
    /// The film, but slowly.
    Slow(Vec<u8>),
}

/// A server on loopback with one answer at a time.
struct Server {
    url: SourceUrl,
    answer: Arc<Mutex<Answer>>,
    /// Requests so far, and those answered with a body.
    asked: Arc<AtomicUsize>,
    sent: Arc<AtomicUsize>,
    /// Connections that are open.
    open: Arc<AtomicUsize>,
}

impl Server {
    fn start(runtime: &Runtime, answer: Answer) -> Server {
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let server = Server {
            url: SourceUrl(format!("http://{}/film.mp4?token=secret", listener.local_addr().unwrap())),
            answer: Arc::new(Mutex::new(answer)),
            asked: Arc::default(),
            sent: Arc::default(),
            open: Arc::default(),
        };
        let (answer, asked) = (Arc::clone(&server.answer), Arc::clone(&server.asked));
        let (sent, open) = (Arc::clone(&server.sent), Arc::clone(&server.open));
        runtime.spawn(async move {
            loop {
                let (connection, _) = listener.accept().await.unwrap();
                let (answer, asked) = (Arc::clone(&answer), Arc::clone(&asked));
                let (sent, open) = (Arc::clone(&sent), Arc::clone(&open));
                tokio::spawn(async move {
                    open.fetch_add(1, Ordering::SeqCst);
                    drop(serve(connection, &answer, &asked, &sent).await);
                    open.fetch_sub(1, Ordering::SeqCst);
                });
            }
        });
        server
    }

    fn answers(&self, answer: Answer) {
        *self.answer.lock().unwrap() = answer;
    }

    /// Requests, and bodies sent.
    fn count(&self) -> (usize, usize) {
        (self.asked.load(Ordering::SeqCst), self.sent.load(Ordering::SeqCst))
    }
}

async fn serve(
    mut connection: TcpStream,
    answer: &Mutex<Answer>,
    asked: &AtomicUsize,
    sent: &AtomicUsize,
) -> std::io::Result<()> {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        request.push(connection.read_u8().await?);
    }
    let request = String::from_utf8(request).unwrap().to_lowercase();
    asked.fetch_add(1, Ordering::SeqCst);
    let answer = answer.lock().unwrap().clone();
    let head = |head: &str, body: &[u8]| {
        sent.fetch_add(usize::from(!body.is_empty()), Ordering::SeqCst);
        let mut bytes = format!("HTTP/1.1 {head}\r\nConnection: close\r\n\r\n").into_bytes();
        bytes.extend_from_slice(body);
        bytes
    };
    let whole = |etag: &str, body: &[u8]| format!("200 OK{etag}\r\nContent-Length: {}", body.len());
    match answer {
        Answer::Film(etag, _) if request.contains(&format!("if-none-match: \"{etag}\"")) => {
            connection.write_all(&head(&format!("304 Not Modified\r\nETag: \"{etag}\""), b"")).await
        }
        Answer::Film(etag, body) => {
            connection.write_all(&head(&whole(&format!("\r\nETag: \"{etag}\""), &body), &body)).await
        }
        Answer::Plain(body) => connection.write_all(&head(&whole("", &body), &body)).await,
        Answer::Status(status) => {
            connection.write_all(&head(&format!("{status}\r\nContent-Length: 0"), b"")).await
        }
        Answer::Endless => {
            connection.write_all(&head("200 OK", b"begun")).await?;
            loop {
                connection.write_all(b"and on").await?;
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        }
        Answer::Flood => {
            connection.write_all(&head("200 OK", b"begun")).await?;
            loop {
                connection.write_all(&[7; 1 << 16]).await?;
            }
        }
        Answer::Silence => {
            // Until the other side has had enough.
            connection.read_u8().await.map(drop)
        }
        Answer::Slow(body) => {
            connection.write_all(&head(&whole("", &body), b"")).await?;
            for byte in body {
                connection.write_all(&[byte]).await?;
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            Ok(())
        }
    }
}

fn limits() -> FetchLimits {
    FetchLimits { bytes_max: 4 << 20, retry_after: Vec::new(), ..FetchLimits::default() }
}

fn open_with(runtime: &Runtime, folder: &Path, kept_bytes_max: u64, limits: FetchLimits) -> Assets {
    let outbound = Outbound::new(AllowedNetworks::parse("127.0.0.0/8").unwrap()).unwrap();
    let config = AssetsConfig { folder: folder.to_owned(), kept_bytes_max, limits, local_files: false };
    Assets::open(config, outbound, runtime.handle().clone()).unwrap()
}

fn open(runtime: &Runtime, folder: &Path) -> Assets {
    open_with(runtime, folder, 1 << 30, limits())
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

fn get(assets: &Assets, workspace: WorkspaceId, server: &Server) -> Result<Asset, Failure> {
    assets.fetch(workspace, &server.url, &Control::default())
}

fn code(failure: &Failure) -> Option<FaultCode> {
    match failure {
        Failure::Fault(fault) => Some(fault.code),
        Failure::Stopped(_) | Failure::Full => None,
    }
}

fn bytes(asset: &Asset) -> Vec<u8> {
    std::fs::read(&asset.path).unwrap()
}

/// Files below a folder, and their bytes in all.
fn held_on_disk(folder: &Path) -> (usize, u64) {
    let mut sum = (0, 0);
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let (files, bytes) = if path.is_dir() {
            held_on_disk(&path)
        } else if path.extension().is_some() {
            (0, 0)
        } else {
            (1, path.metadata().unwrap().len())
        };
        sum = (sum.0 + files, sum.1 + bytes);
    }
    sum
}

#[test]
fn the_same_address_and_validator_is_sent_once() {
    let (runtime, folder) = (runtime(), tempfile::tempdir().unwrap());
    let server = Server::start(&runtime, Answer::Film("v1", b"a film".to_vec()));
    let assets = open(&runtime, folder.path());
    for _ in 0..3 {
        let asset = get(&assets, MINE, &server).unwrap();
        assert_eq!((bytes(&asset), asset.content), (b"a film".to_vec(), Sha256::of(b"a film")));
    }
    assert_eq!(server.count(), (3, 1), "asked each time, sent once");
    server.answers(Answer::Film("v2", b"another".to_vec()));
    assert_eq!(bytes(&get(&assets, MINE, &server).unwrap()), b"another");
    assert_eq!(server.count(), (4, 2), "what has changed is sent");
    assert_eq!(bytes(&get(&assets, MINE, &server).unwrap()), b"another");
    assert_eq!(server.count(), (5, 2), "and is known from then on");
}

#[test]
fn without_a_validator_nobody_can_tell_and_it_is_sent_each_time() {
    let (runtime, folder) = (runtime(), tempfile::tempdir().unwrap());
    let server = Server::start(&runtime, Answer::Plain(b"a film".to_vec()));
    let assets = open(&runtime, folder.path());
    for _ in 0..2 {
        assert_eq!(bytes(&get(&assets, MINE, &server).unwrap()), b"a film");
    }
    assert_eq!(server.count(), (2, 2));
    assert_eq!(held_on_disk(folder.path()), (1, 6), "equal bytes are kept once");
}

#[test]
fn many_slots_wait_for_one_fetch() {
    let (runtime, folder) = (runtime(), tempfile::tempdir().unwrap());
    let film = vec![5; 20];
    let server = Server::start(&runtime, Answer::Slow(film.clone()));
    let assets = open(&runtime, folder.path());
    let together = Barrier::new(8);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                together.wait();
                let control = Control::default();
                assert_eq!(bytes(&assets.fetch(MINE, &server.url, &control).unwrap()), film);
                assert!(control.units() >= 20, "each lease sees it move: {}", control.units());
            });
        }
    });
    assert_eq!(server.count().0, 1, "one request for eight");
}

#[test]
fn a_workspace_is_never_given_what_another_has_fetched() {
    let (runtime, folder) = (runtime(), tempfile::tempdir().unwrap());
    let server = Server::start(&runtime, Answer::Film("v1", b"private".to_vec()));
    let assets = open(&runtime, folder.path());
    let mine = get(&assets, MINE, &server).unwrap();
    // The same address, but the server does not know the other caller: what counts is its answer.
    server.answers(Answer::Status("403 Forbidden"));
    let failure = get(&assets, YOURS, &server).unwrap_err();
    assert_eq!(code(&failure), Some(FaultCode::SourceForbidden));
    let pinned = assets.pinned(YOURS, &server.url, mine.content, &Control::default());
    assert_eq!(code(&pinned.unwrap_err()), Some(FaultCode::SourceForbidden), "not by its digest either");
    server.answers(Answer::Film("v1", b"private".to_vec()));
    let yours = get(&assets, YOURS, &server).unwrap();
    assert_eq!(server.count().1, 2, "fetched again for itself, without a condition");
    assert_ne!(mine.path, yours.path, "and kept apart");
}

#[test]
fn two_workspaces_at_once_fetch_twice() {
    let (runtime, folder) = (runtime(), tempfile::tempdir().unwrap());
    let server = Server::start(&runtime, Answer::Slow(vec![5; 10]));
    let assets = open(&runtime, folder.path());
    std::thread::scope(|scope| {
        scope.spawn(|| get(&assets, MINE, &server).unwrap());
        scope.spawn(|| get(&assets, YOURS, &server).unwrap());
    });
    assert_eq!(server.count().0, 2, "one request for each");
}

#[test]
fn the_next_process_asks_under_the_validators_of_the_last_one() {
    let (runtime, folder) = (runtime(), tempfile::tempdir().unwrap());
    let server = Server::start(&runtime, Answer::Film("v1", b"a film".to_vec()));
    let path = get(&open(&runtime, folder.path()), MINE, &server).unwrap().path;
    assert_eq!(bytes(&get(&open(&runtime, folder.path()), MINE, &server).unwrap()), b"a film");
    assert_eq!(server.count(), (2, 1), "kept over the restart");
    // A power cut leaves the name, and other bytes.
    std::fs::write(&path, b"\0\0\0\0\0\0").unwrap();
    assert_eq!(bytes(&get(&open(&runtime, folder.path()), MINE, &server).unwrap()), b"a film");
    assert_eq!(server.count(), (3, 2), "what is damaged is fetched again");
}

#[test]
fn the_limit_holds_and_what_is_in_use_stays() {
    let (runtime, folder) = (runtime(), tempfile::tempdir().unwrap());
    let assets = open_with(&runtime, folder.path(), 2_500, limits());
    let servers: Vec<Server> =
        (0..6u8).map(|n| Server::start(&runtime, Answer::Film("v", vec![n; 1000]))).collect();
    let in_use = get(&assets, MINE, &servers[0]).unwrap();
    for server in &servers[1..] {
        drop(get(&assets, MINE, server).unwrap());
        assert!(held_on_disk(folder.path()).1 <= 2_500, "{:?}", held_on_disk(folder.path()));
        assert_eq!(bytes(&in_use), vec![0; 1000], "never taken from under its user");
    }
    drop(in_use);
    // More than the limit at once: a job needs all its sources.
    let all: Vec<Asset> = servers.iter().map(|server| get(&assets, MINE, server).unwrap()).collect();
    assert_eq!(all.iter().map(|asset| bytes(asset).len()).sum::<usize>(), 6000);
    drop(all);
    assert_eq!(held_on_disk(folder.path()), (2, 2000), "and the limit holds again after it");
}

#[test]
fn what_was_pinned_is_read_by_its_digest_and_other_bytes_are_refused() {
    let (runtime, folder) = (runtime(), tempfile::tempdir().unwrap());
    let server = Server::start(&runtime, Answer::Film("v1", b"planned".to_vec()));
    let assets = open(&runtime, folder.path());
    let planned = get(&assets, MINE, &server).unwrap().content;
    server.answers(Answer::Film("v2", b"changed".to_vec()));
    let pinned = assets.pinned(MINE, &server.url, planned, &Control::default()).unwrap();
    assert_eq!((bytes(&pinned), server.count().0), (b"planned".to_vec(), 1), "nobody is asked");
    // Another machine has only the address.
    let elsewhere = tempfile::tempdir().unwrap();
    let failure =
        open(&runtime, elsewhere.path()).pinned(MINE, &server.url, planned, &Control::default()).unwrap_err();
    assert_eq!(code(&failure), Some(FaultCode::SourceChanged));
    assert!(!failure.to_string().contains("secret"), "{failure}");
}

#[test]
fn a_cancelled_fetch_ends_within_a_quarter_of_a_second() {
    for answer in [Answer::Endless, Answer::Flood, Answer::Silence] {
        let (runtime, folder) = (runtime(), tempfile::tempdir().unwrap());
        let server = Server::start(&runtime, answer.clone());
        let roomy = FetchLimits { bytes_max: 1 << 40, ..limits() };
        let assets = open_with(&runtime, folder.path(), 1 << 40, roomy);
        let control = Control::default();
        std::thread::scope(|scope| {
            let fetching = scope.spawn(|| assets.fetch(MINE, &server.url, &control));
            until("the server is asked", || server.count().0 == 1);
            std::thread::sleep(Duration::from_millis(100));
            let stopped_at = Instant::now();
            control.stop();
            let fetched = fetching.join().unwrap();
            assert!(
                stopped_at.elapsed() < Duration::from_millis(250),
                "{answer:?}: {:?}",
                stopped_at.elapsed()
            );
            assert!(matches!(fetched, Err(Failure::Stopped(_))), "{answer:?}: {fetched:?}");
        });
        until("the connection is closed", || server.open.load(Ordering::SeqCst) == 0);
        until("nothing stays behind", || held_on_disk(folder.path()) == (0, 0));
    }
}

#[test]
fn a_waiter_that_leaves_takes_nothing_from_the_others() {
    let (runtime, folder) = (runtime(), tempfile::tempdir().unwrap());
    let server = Server::start(&runtime, Answer::Slow(vec![3; 30]));
    let assets = open(&runtime, folder.path());
    let (first, second) = (Control::default(), Control::default());
    std::thread::scope(|scope| {
        let began = scope.spawn(|| assets.fetch(MINE, &server.url, &first));
        until("the first has asked", || server.count().0 == 1);
        let joined = scope.spawn(|| assets.fetch(MINE, &server.url, &second));
        until("the second waits too", || second.units() > 0);
        first.stop();
        assert!(matches!(began.join().unwrap(), Err(Failure::Stopped(_))), "who began it has left");
        assert_eq!(bytes(&joined.join().unwrap().unwrap()), vec![3; 30], "the other has its film");
    });
    assert_eq!(server.count().0, 1, "from the same fetch");
}

#[test]
fn a_fault_is_everybodys_and_the_next_fetch_starts_afresh() {
    let (runtime, folder) = (runtime(), tempfile::tempdir().unwrap());
    let server = Server::start(&runtime, Answer::Status("404 Not Found"));
    let assets = open(&runtime, folder.path());
    assert_eq!(code(&get(&assets, MINE, &server).unwrap_err()), Some(FaultCode::SourceNotFound));
    server.answers(Answer::Plain(b"there".to_vec()));
    assert_eq!(bytes(&get(&assets, MINE, &server).unwrap()), b"there");
}

#[test]
fn tries_in_silence_are_movement_and_end_by_the_fetchs_own_limits() {
    let (runtime, folder) = (runtime(), tempfile::tempdir().unwrap());
    let server = Server::start(&runtime, Answer::Silence);
    let impatient = FetchLimits {
        silence_max: Duration::from_millis(200),
        retry_after: vec![Duration::from_millis(100); 2],
        ..limits()
    };
    let assets = open_with(&runtime, folder.path(), 1 << 30, impatient);
    let control = Control::default();
    let failure = assets.fetch(MINE, &server.url, &control).unwrap_err();
    assert_eq!(code(&failure), Some(FaultCode::SourceTimeout), "{failure}");
    assert_eq!((server.count().0, control.units()), (3, 3), "a lease that looks sees each try");
}

#[test]
fn an_endless_source_is_stopped_by_size_and_leaves_nothing() {
    let (runtime, folder) = (runtime(), tempfile::tempdir().unwrap());
    let server = Server::start(&runtime, Answer::Flood);
    let failure = get(&open(&runtime, folder.path()), MINE, &server).unwrap_err();
    assert_eq!(code(&failure), Some(FaultCode::SourceTooLarge), "{failure}");
    assert_eq!(held_on_disk(folder.path()), (0, 0));
}

fn until(what: &str, holds: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !holds() {
        assert!(Instant::now() < deadline, "{what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}
