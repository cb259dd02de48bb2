//! Fetching from servers that behave, misbehave, break off, trickle and redirect.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use events::{FaultCode, Sha256};
use outbound::{AllowedNetworks, FetchError, FetchLimits, Fetched, Outbound};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// A server that answers its n-th connection with the n-th script, then closes it; the last script goes on for ever.
struct Server {
    address: SocketAddr,
    requests: Arc<Mutex<Vec<String>>>,
}

/// What a connection is answered with.
#[derive(Clone)]
enum Script {
    /// These bytes, then the connection closes.
    Bytes(Vec<u8>),
    /// These bytes, then nothing for ever.
    Silence(Vec<u8>),
    /// A head, then a few bytes every few milliseconds for ever.
    Trickle(Vec<u8>),
    /// Nothing for this long, then these bytes, then the connection closes.
    Late(Duration, Vec<u8>),
}

impl Server {
    async fn start(scripts: Vec<Script>) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
        let address = listener.local_addr().expect("an address");
        let requests = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&requests);
        tokio::spawn(async move {
            for n in 0.. {
                let (connection, _) = listener.accept().await.expect("accepts");
                let script = scripts.get(n).or(scripts.last()).expect("a script").clone();
                tokio::spawn(answer(connection, script, Arc::clone(&seen)));
            }
        });
        Server { address, requests }
    }

    fn url(&self) -> String {
        format!("http://{}/film.mp4?token=secret", self.address)
    }

    fn requests(&self) -> Vec<String> {
        self.requests.lock().expect("no panic").clone()
    }
}

async fn answer(mut connection: TcpStream, script: Script, seen: Arc<Mutex<Vec<String>>>) {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        match connection.read_u8().await {
            Ok(byte) => request.push(byte),
            Err(_closed) => return,
        }
    }
    seen.lock().expect("no panic").push(String::from_utf8(request).expect("ASCII"));
    let (Script::Bytes(bytes) | Script::Silence(bytes) | Script::Trickle(bytes) | Script::Late(_, bytes)) =
        &script;
    if let Script::Late(wait, _) = script {
        tokio::time::sleep(wait).await;
    }
    // The client may have had enough before everything is written.
    drop(connection.write_all(bytes).await);
    match script {
        Script::Bytes(_) | Script::Late(..) => drop(connection.shutdown().await),
        Script::Silence(_) => std::future::pending().await,
        Script::Trickle(_) => {
            while connection.write_all(b"drop").await.is_ok() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
    }
}

fn response(head: &str, body: &[u8]) -> Script {
    let mut bytes = format!("HTTP/1.1 {head}\r\nConnection: close\r\n\r\n").into_bytes();
    bytes.extend_from_slice(body);
    Script::Bytes(bytes)
}

fn whole(body: &[u8]) -> Script {
    response(&format!("200 OK\r\nContent-Length: {}\r\nContent-Type: video/mp4", body.len()), body)
}

fn redirect(to: &str) -> Script {
    Script::Bytes(redirect_bytes(to))
}

fn redirect_bytes(to: &str) -> Vec<u8> {
    format!("HTTP/1.1 302 Found\r\nConnection: close\r\nContent-Length: 0\r\nLocation: {to}\r\n\r\n")
        .into_bytes()
}

fn limits() -> FetchLimits {
    FetchLimits {
        bytes_max: 100_000,
        silence_max: Duration::from_millis(300),
        retry_after: vec![Duration::from_millis(1), Duration::from_millis(2)],
        ..FetchLimits::default()
    }
}

fn outbound(allowed: &str) -> Outbound {
    Outbound::new(AllowedNetworks::parse(allowed).expect("networks")).expect("builds")
}

/// What a fetch gave: its result, the file's bytes and the last progress.
struct Outcome {
    fetched: Result<Fetched, FetchError>,
    bytes: Option<Vec<u8>>,
    progress: Vec<u64>,
}

async fn fetch(url: &str, limits: &FetchLimits) -> Outcome {
    let directory = tempfile::tempdir().expect("a scratch directory");
    let path: PathBuf = directory.path().join("source");
    let mut progress = Vec::new();
    let mut note = |bytes| progress.push(bytes);
    let fetched = outbound("127.0.0.0/8").fetch_to_file(url, &path, limits, &mut note).await;
    Outcome { fetched, bytes: std::fs::read(path).ok(), progress }
}

async fn fault(url: &str, limits: &FetchLimits) -> (FaultCode, String) {
    let outcome = fetch(url, limits).await;
    assert!(outcome.bytes.is_none(), "a failed fetch leaves no file");
    let error = outcome.fetched.expect_err("a fault");
    assert!(!error.to_string().contains("secret"), "messages hold no query: {error}");
    (error.fault_code(), error.to_string())
}

#[tokio::test]
async fn a_source_is_written_and_hashed() {
    let body = vec![7; 50_000];
    let server = Server::start(vec![whole(&body)]).await;
    let outcome = fetch(&server.url(), &limits()).await;
    let fetched = outcome.fetched.expect("fetched");
    assert_eq!(fetched.sha256, Sha256::of(&body));
    assert_eq!((fetched.size, fetched.content_type.as_deref()), (50_000, Some("video/mp4")));
    assert_eq!(outcome.bytes.expect("a file"), body);
    assert_eq!(outcome.progress.last(), Some(&50_000));
    let request = server.requests().remove(0).to_lowercase();
    assert!(request.contains("accept-encoding: identity"), "the bytes as they are: {request}");
    for header in ["cookie", "referer", "authorization"] {
        assert!(!request.contains(header), "nothing of ours goes out: {request}");
    }
}

#[tokio::test]
async fn a_broken_connection_is_resumed_where_the_server_gave_a_validator() {
    let head = "200 OK\r\nContent-Length: 10\r\nETag: \"v1\"";
    let rest = "206 Partial Content\r\nContent-Length: 6\r\nContent-Range: bytes 4-9/10\r\nETag: \"v1\"";
    let server = Server::start(vec![response(head, b"0123"), response(rest, b"456789")]).await;
    let outcome = fetch(&server.url(), &limits()).await;
    assert_eq!(outcome.fetched.expect("fetched").sha256, Sha256::of(b"0123456789"));
    assert_eq!(outcome.bytes.expect("a file"), b"0123456789");
    let requests = server.requests();
    assert_eq!(requests.len(), 2, "one break");
    assert!(requests[1].to_lowercase().contains("range: bytes=4-"), "the rest only: {}", requests[1]);
    assert!(requests[1].to_lowercase().contains("if-range: \"v1\""), "of the same bytes: {}", requests[1]);
}

#[tokio::test]
async fn a_resumable_source_may_break_more_often_than_there_are_retries() {
    let part = |n: usize| {
        let rest = 10 - n;
        let head = format!(
            "206 Partial Content\r\nContent-Length: {rest}\r\nContent-Range: bytes {n}-9/10\r\nETag: \"v\""
        );
        response(&head, b"x")
    };
    let mut scripts = vec![response("200 OK\r\nContent-Length: 10\r\nETag: \"v\"", b"x")];
    scripts.extend((1..10).map(part));
    let server = Server::start(scripts).await;
    let patient = FetchLimits { rate_min: 0, ..limits() };
    let outcome = fetch(&server.url(), &patient).await;
    assert_eq!(outcome.bytes.expect("a file"), b"xxxxxxxxxx", "a byte at a time is forward each time");
    // With a pace to keep, a byte a try is none: the retries are used up.
    let server = Server::start(vec![
        response("200 OK\r\nContent-Length: 10\r\nETag: \"v\"", b"x"),
        part(1),
        part(2),
        part(3),
        part(4),
    ])
    .await;
    let strict = FetchLimits { rate_min: 1_000_000, ..limits() };
    let (code, message) = fault(&server.url(), &strict).await;
    assert_eq!(code, FaultCode::InvalidSource, "{message}");
    assert_eq!(server.requests().len(), 3, "the first try and two more");
}

#[tokio::test]
async fn what_is_known_is_not_sent_again() {
    let unchanged = Server::start(vec![response("304 Not Modified\r\nETag: \"v1\"", b"")]).await;
    let changed = Server::start(vec![whole(b"new")]).await;
    let folder = tempfile::tempdir().expect("a scratch folder");
    let path = folder.path().join("source");
    let client = outbound("127.0.0.0/8");
    let fetched =
        client.fetch_if_changed(&unchanged.url(), Some("\"v1\""), &path, &limits(), &mut |_| ()).await;
    assert_eq!(fetched.expect("an answer"), None, "the server has what is known");
    assert!(!path.exists(), "and nothing was written");
    assert!(
        unchanged.requests()[0].to_lowercase().contains("if-none-match: \"v1\""),
        "asked by its validator"
    );
    let fetched =
        client.fetch_if_changed(&changed.url(), Some("\"v1\""), &path, &limits(), &mut |_| ()).await;
    assert_eq!(fetched.expect("an answer").expect("new bytes").sha256, Sha256::of(b"new"));
    // A weak validator says that the meaning is the same, not the bytes.
    let weak = client.fetch_if_changed(&changed.url(), Some("W/\"v1\""), &path, &limits(), &mut |_| ()).await;
    assert!(weak.expect("an answer").is_some(), "fetched");
    assert!(!changed.requests()[1].to_lowercase().contains("if-none-match"), "{}", changed.requests()[1]);
}

#[tokio::test]
async fn without_a_strong_validator_a_broken_source_starts_over() {
    for validator in ["X-None: 1", "ETag: W/\"v1\""] {
        let broken = response(&format!("200 OK\r\nContent-Length: 10\r\n{validator}"), b"0123");
        let server = Server::start(vec![broken, whole(b"abcdefghij")]).await;
        let outcome = fetch(&server.url(), &limits()).await;
        assert_eq!(outcome.bytes.expect("a file"), b"abcdefghij", "nothing of the first try is left");
        assert_eq!(outcome.progress.last(), Some(&14), "progress counts what came, and never goes down");
        assert!(
            !server.requests()[1].to_lowercase().contains("range:"),
            "{validator}: everything is asked for"
        );
    }
}

#[tokio::test]
async fn a_source_that_changed_between_the_tries_starts_over() {
    let broken = response("200 OK\r\nContent-Length: 10\r\nETag: \"v1\"", b"0123");
    let other = "206 Partial Content\r\nContent-Length: 6\r\nContent-Range: bytes 4-9/10\r\nETag: \"v2\"";
    let server = Server::start(vec![broken, response(other, b"efghij"), whole(b"abcdefghij")]).await;
    assert_eq!(fetch(&server.url(), &limits()).await.bytes.expect("a file"), b"abcdefghij");
}

#[tokio::test]
async fn refusals_that_pass_are_tried_again_and_the_others_are_not() {
    let table = [
        ("429 Too Many Requests", 3, FaultCode::InvalidSource),
        ("500 Internal Server Error", 3, FaultCode::InvalidSource),
        ("503 Service Unavailable", 3, FaultCode::InvalidSource),
        ("400 Bad Request", 1, FaultCode::InvalidSource),
        ("204 No Content", 1, FaultCode::InvalidSource),
        ("304 Not Modified", 1, FaultCode::InvalidSource),
        ("404 Not Found", 1, FaultCode::SourceNotFound),
        ("410 Gone", 1, FaultCode::SourceNotFound),
        ("401 Unauthorized", 1, FaultCode::SourceForbidden),
        ("403 Forbidden", 1, FaultCode::SourceForbidden),
    ];
    for (status, tries, code) in table {
        let server = Server::start(vec![response(&format!("{status}\r\nContent-Length: 0"), b"")]).await;
        let (found, message) = fault(&server.url(), &limits()).await;
        assert_eq!(found, code, "{status}");
        assert!(message.contains(&status[..3]), "the message names the status: {message}");
        assert_eq!(server.requests().len(), tries, "{status}");
    }
    let recovering = Server::start(vec![response("503 Busy\r\nContent-Length: 0", b""), whole(b"ok")]).await;
    assert_eq!(fetch(&recovering.url(), &limits()).await.bytes.expect("a file"), b"ok");
}

#[tokio::test]
async fn a_refused_connection_and_an_unknown_host_are_told_apart() {
    let closed = TcpListener::bind("127.0.0.1:0").await.expect("binds").local_addr().expect("an address");
    let (code, message) = fault(&format!("http://{closed}/"), &limits()).await;
    assert_eq!(code, FaultCode::InvalidSource);
    assert!(message.contains("refused"), "the reason is named: {message}");
    let (code, message) = fault("http://no-such-host.invalid/", &limits()).await;
    assert_eq!(code, FaultCode::SourceNotFound, "{message}");
}

#[tokio::test]
async fn a_source_above_the_limit_is_stopped_by_its_promise_and_by_its_bytes() {
    let promised = Server::start(vec![response("200 OK\r\nContent-Length: 100001", b"")]).await;
    assert_eq!(fault(&promised.url(), &limits()).await.0, FaultCode::SourceTooLarge);
    let unannounced = Server::start(vec![response("200 OK", &vec![0; 200_000])]).await;
    assert_eq!(fault(&unannounced.url(), &limits()).await.0, FaultCode::SourceTooLarge);
}

#[tokio::test]
async fn what_comes_packed_although_nobody_asked_is_refused() {
    let packed =
        Server::start(vec![response("200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 2", b"\x1f\x8b")]);
    let server = packed.await;
    let (code, message) = fault(&server.url(), &limits()).await;
    assert_eq!(code, FaultCode::InvalidSource, "{message}");
    assert!(message.contains("Content-Encoding \"gzip\""), "{message}");
    assert_eq!(server.requests().len(), 1, "asking again would not change it");
    let plain =
        Server::start(vec![response("200 OK\r\nContent-Encoding: identity\r\nContent-Length: 2", b"ok")]);
    assert_eq!(fetch(&plain.await.url(), &limits()).await.bytes.expect("a file"), b"ok");
}

#[tokio::test]
async fn lies_about_the_length_never_pass_for_the_whole() {
    // More promised than sent; chunks that end without the last one; two lengths; a length that is none.
    for (lie, head, body) in [
        ("too long", "200 OK\r\nContent-Length: 100", &b"short"[..]),
        ("cut chunks", "200 OK\r\nTransfer-Encoding: chunked", b"5\r\nhello\r\n"),
        ("bad chunks", "200 OK\r\nTransfer-Encoding: chunked", b"zz\r\nhello\r\n0\r\n\r\n"),
        ("two lengths", "200 OK\r\nContent-Length: 5\r\nContent-Length: 6", b"hello!"),
        ("no number", "200 OK\r\nContent-Length: five", b"hello"),
        ("negative", "200 OK\r\nContent-Length: -5", b"hello"),
    ] {
        let server = Server::start(vec![response(head, body)]).await;
        let (code, message) = fault(&server.url(), &limits()).await;
        assert_eq!(code, FaultCode::InvalidSource, "{lie}: {message}");
        assert_eq!(server.requests().len(), 3, "{lie}: tried again, in vain");
    }
    // Less promised than sent: what is beyond the promise is not the answer's.
    let server = Server::start(vec![response("200 OK\r\nContent-Length: 5", b"hello and more")]).await;
    assert_eq!(fetch(&server.url(), &limits()).await.bytes.expect("a file"), b"hello");
}

#[tokio::test]
async fn chunks_without_end_are_stopped_by_size() {
    let mut endless = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
    for _ in 0..40 {
        endless.extend_from_slice(b"1000\r\n");
        endless.extend_from_slice(&[7; 0x1000]);
        endless.extend_from_slice(b"\r\n");
    }
    let server = Server::start(vec![Script::Silence(endless)]).await;
    assert_eq!(fault(&server.url(), &limits()).await.0, FaultCode::SourceTooLarge);
}

#[tokio::test]
async fn headers_that_trickle_or_never_end_are_given_up() {
    let once = FetchLimits { retry_after: Vec::new(), ..limits() };
    for begun in
        ["HTTP/1.1 200 OK\r\nX-Drops: ", "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nX: "]
    {
        let server = Server::start(vec![Script::Trickle(begun.as_bytes().to_vec())]).await;
        let (code, message) = fault(&server.url(), &once).await;
        assert_eq!(code, FaultCode::SourceTimeout, "{message}");
    }
    let mut endless = b"HTTP/1.1 200 OK\r\n".to_vec();
    (0..100_000).for_each(|n| endless.extend_from_slice(format!("X-{n}: drop\r\n").as_bytes()));
    let server = Server::start(vec![Script::Bytes(endless)]).await;
    let (code, message) = fault(&server.url(), &once).await;
    assert_eq!(code, FaultCode::InvalidSource, "{message}");
}

#[tokio::test]
async fn hops_share_the_time_that_a_source_may_be_silent() {
    // Each hop alone answers in time; five of them together do not.
    let server = Server::start(vec![Script::Late(Duration::from_millis(120), redirect_bytes("?on"))]).await;
    let once = FetchLimits { retry_after: Vec::new(), ..limits() };
    let (code, message) = fault(&server.url(), &once).await;
    assert_eq!(code, FaultCode::SourceTimeout, "{message}");
    assert!(server.requests().len() < 5, "given up on the way: {}", server.requests().len());
}

#[tokio::test]
async fn a_server_that_resumes_wrongly_is_asked_for_everything() {
    let begin = response("200 OK\r\nContent-Length: 10\r\nETag: \"v1\"", b"0123");
    for (fault, wrong) in [
        (
            "another offset",
            "206 Partial Content\r\nContent-Length: 6\r\nContent-Range: bytes 3-8/10\r\nETag: \"v1\"",
        ),
        (
            "another size",
            "206 Partial Content\r\nContent-Length: 6\r\nContent-Range: bytes 4-9/11\r\nETag: \"v1\"",
        ),
        ("no range", "206 Partial Content\r\nContent-Length: 6\r\nETag: \"v1\""),
        (
            "another file",
            "206 Partial Content\r\nContent-Length: 6\r\nContent-Range: bytes 4-9/10\r\nETag: \"v2\"",
        ),
        (
            "many parts",
            "206 Partial Content\r\nContent-Length: 6\r\nContent-Type: multipart/byteranges; boundary=b",
        ),
        ("nothing there", "416 Range Not Satisfiable\r\nContent-Length: 6\r\nContent-Range: bytes */3"),
    ] {
        let server =
            Server::start(vec![begin.clone(), response(wrong, b"456789"), whole(b"abcdefghij")]).await;
        let outcome = fetch(&server.url(), &limits()).await;
        assert_eq!(outcome.bytes.expect("a file"), b"abcdefghij", "{fault}");
        assert_eq!(outcome.fetched.expect("fetched").sha256, Sha256::of(b"abcdefghij"), "{fault}");
        assert!(!server.requests()[2].to_lowercase().contains("range:"), "{fault}: all of it is asked for");
    }
    // The representation changed: the server sends the new one whole, and it replaces the old beginning.
    let changed = response("200 OK\r\nContent-Length: 3\r\nETag: \"v2\"", b"new");
    let server = Server::start(vec![begin, changed]).await;
    assert_eq!(fetch(&server.url(), &limits()).await.bytes.expect("a file"), b"new");
}

#[tokio::test]
async fn silence_before_and_within_the_answer_ends_the_fetch() {
    let limits = FetchLimits { retry_after: Vec::new(), ..limits() };
    for begun in ["", "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n0123"] {
        let server = Server::start(vec![Script::Silence(begun.as_bytes().to_vec())]).await;
        let (code, message) = fault(&server.url(), &limits).await;
        assert_eq!(code, FaultCode::SourceTimeout, "{message}");
    }
}

#[tokio::test]
async fn an_endless_trickle_ends_by_rate_or_by_the_whole_time() {
    let head = b"HTTP/1.1 200 OK\r\n\r\n".to_vec();
    let slow = FetchLimits { rate_min: 1_000_000, ..limits() };
    let server = Server::start(vec![Script::Trickle(head.clone())]).await;
    let (code, message) = fault(&server.url(), &slow).await;
    assert_eq!(code, FaultCode::SourceTimeout, "{message}");
    assert!(message.contains("bytes a second"), "{message}");
    let short = FetchLimits { total_max: Duration::from_millis(200), rate_min: 0, ..limits() };
    let server = Server::start(vec![Script::Trickle(head)]).await;
    let (code, message) = fault(&server.url(), &short).await;
    assert_eq!(code, FaultCode::SourceTimeout, "{message}");
    assert!(message.contains("in all"), "{message}");
}

#[tokio::test]
async fn five_redirects_are_followed_and_the_sixth_is_not() {
    let mut scripts = vec![redirect("/next"); 5];
    scripts.push(whole(b"end"));
    let server = Server::start(scripts).await;
    assert_eq!(fetch(&server.url(), &limits()).await.bytes.expect("a file"), b"end");
    let endless = Server::start(vec![redirect("?again")]).await;
    let (code, message) = fault(&endless.url(), &limits()).await;
    assert_eq!(code, FaultCode::InvalidSource, "{message}");
    assert_eq!(endless.requests().len(), 6, "the first request and five redirects");
}

#[tokio::test]
async fn every_redirect_is_checked_like_the_first_url() {
    for to in [
        "http://10.0.0.1/",
        "http://169.254.169.254/latest/meta-data/",
        "http://[::1]/",
        "http://[::ffff:10.0.0.1]/",
        "http://user:pw@127.0.0.1/",
        "ftp://127.0.0.1/",
        "file:///etc/passwd",
        "gopher://127.0.0.1/",
    ] {
        let server = Server::start(vec![redirect(to)]).await;
        let (code, message) = fault(&server.url(), &limits()).await;
        assert_eq!(code, FaultCode::SourceForbidden, "{to}: {message}");
        assert_eq!(server.requests().len(), 1, "{to}: nothing is tried again");
    }
}
