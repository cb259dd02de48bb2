//! Webhooks end to end: from an event in the log to a receiver on loopback.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use query::read_db::{ReadDb, Row, sql};
use query::webhooks::{DispatcherConfig, Schedule};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::lives::{Document, cancelled, completed, failed, leased};
use crate::receiver::{Received, Receiver, Reply};
use crate::service::{OWNER, SECRET, Service, fast_webhooks};

/// HMAC-SHA-256 as RFC 2104 defines it, written out: a second implementation.
fn hmac(key: &[u8], message: &[u8]) -> Vec<u8> {
    let mut block = [0_u8; 64];
    let hashed = Sha256::digest(key);
    let key = if key.len() > 64 { hashed.as_slice() } else { key };
    block[..key.len()].copy_from_slice(key);
    let pad = |byte: u8| block.map(|b| b ^ byte);
    let inner = Sha256::new().chain_update(pad(0x36)).chain_update(message).finalize();
    Sha256::new().chain_update(pad(0x5c)).chain_update(inner).finalize().to_vec()
}

fn assert_signed(received: &Received) {
    let header = |name: &str| received.headers.get(name).unwrap_or_else(|| panic!("{name} is sent")).clone();
    let timestamp = header("webhook-timestamp");
    let own = hmac(SECRET.as_bytes(), &[timestamp.as_bytes(), b".", &received.body].concat());
    assert_eq!(header("framelane-signature"), format!("t={timestamp},v1={}", hex::encode(own)));
    let key: Vec<u8> = (0..32).collect();
    let id = header("webhook-id");
    let standard = hmac(&key, &[id.as_bytes(), b".", timestamp.as_bytes(), b".", &received.body].concat());
    assert_eq!(header("webhook-signature"), format!("v1,{}", STANDARD.encode(standard)));
    assert_eq!(header("content-type"), "application/json");
    assert_eq!(body(received)["id"], id, "the body's id is the header's");
}

pub(crate) fn body(received: &Received) -> Value {
    serde_json::from_slice(&received.body).expect("JSON")
}

/// `(status, attempts)` of each delivery, oldest first.
pub(crate) async fn deliveries(service: &Service) -> Vec<(String, i64)> {
    let db = ReadDb::open(&service.read_db()).await.expect("opens");
    let rows = db.fetch_all(sql("SELECT status, attempts FROM webhook_deliveries ORDER BY sequence")).await;
    db.close().await;
    let read = |row: &Row| Ok::<_, sqlx::Error>((row.get("status")?, row.get("attempts")?));
    rows.expect("reads").iter().map(read).collect::<Result<_, _>>().expect("columns")
}

/// `(status, status_code)` of each attempt, oldest first.
async fn attempts(service: &Service) -> Vec<(String, Option<i64>)> {
    let db = ReadDb::open(&service.read_db()).await.expect("opens");
    let made =
        "SELECT status, status_code FROM webhook_attempts WHERE status <> 'pending' ORDER BY attempted_at";
    let rows = db.fetch_all(sql(made)).await;
    db.close().await;
    let read = |row: &Row| Ok::<_, sqlx::Error>((row.get("status")?, row.get("status_code")?));
    rows.expect("reads").iter().map(read).collect::<Result<_, _>>().expect("columns")
}

/// Waits until the deliveries are as expected.
pub(crate) async fn until_deliveries(service: &Service, expected: &[(&str, i64)]) {
    let expected: Vec<_> = expected.iter().map(|(status, count)| ((*status).to_owned(), *count)).collect();
    let waiting = async {
        while deliveries(service).await != expected {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    if tokio::time::timeout(Duration::from_secs(30), waiting).await.is_err() {
        panic!("deliveries are {:?}, not {expected:?}", deliveries(service).await);
    }
}

#[tokio::test]
async fn the_end_of_a_job_is_told_once_with_the_job_as_it_is() {
    let service = Service::start().await;
    let mut receiver = Receiver::start(&[Reply::Status(204)]).await;
    let mut life = service.submit(&Document::with_webhook(&receiver.url())).await;
    life.append(service.store.as_ref(), &[leased(), completed("renders/a/1", b"film", "film.mp4")]).await;
    let received = receiver.next().await;
    assert_signed(&received);
    let body = body(&received);
    assert_eq!((&body["type"], &body["sequence"]), (&"render.completed".into(), &4.into()), "{body}");
    assert_eq!(body["workspace_id"], OWNER.to_string());
    let job = service.get(&format!("/v1/renders/{}", life.id)).await.json();
    assert_eq!(body["data"], job, "the same job as GET shows, link included");
    until_deliveries(&service, &[("succeeded", 1)]).await;
    assert_eq!(receiver.unseen(), 0, "once");
}

#[tokio::test]
async fn failure_and_cancellation_are_told_too() {
    let service = Service::start().await;
    let mut receiver = Receiver::start(&[Reply::Status(200)]).await;
    for (end, told) in [(failed(), "render.failed"), (cancelled(), "render.cancelled")] {
        let mut life = service.submit(&Document::with_webhook(&receiver.url())).await;
        life.append(service.store.as_ref(), &[leased(), end]).await;
        assert_eq!(body(&receiver.next().await)["type"], told);
    }
    let mut silent = service.submit(&Document::default()).await;
    silent.append(service.store.as_ref(), &[failed()]).await;
    until_deliveries(&service, &[("succeeded", 1), ("succeeded", 1)]).await;
}

#[tokio::test]
async fn a_receiver_that_fails_gets_the_same_id_and_bytes_again() {
    let service = Service::start().await;
    let mut receiver = Receiver::start(&[Reply::Status(500), Reply::Status(429), Reply::Status(200)]).await;
    let mut life = service.submit(&Document::with_webhook(&receiver.url())).await;
    life.append(service.store.as_ref(), &[failed()]).await;
    let (first, second, third) = (receiver.next().await, receiver.next().await, receiver.next().await);
    for again in [&second, &third] {
        assert_eq!(again.body, first.body, "the same bytes");
        assert_eq!(again.headers["webhook-id"], first.headers["webhook-id"], "the same id");
        assert_signed(again);
    }
    until_deliveries(&service, &[("succeeded", 3)]).await;
    let statuses: Vec<_> =
        attempts(&service).await.into_iter().map(|(status, code)| (status, code.unwrap_or(0))).collect();
    let expected = [("failed", 500), ("failed", 429), ("succeeded", 200)];
    assert_eq!(statuses, expected.map(|(status, code)| (status.to_owned(), code)), "every attempt is kept");
}

#[tokio::test]
async fn what_never_succeeds_dies_after_the_schedule_and_410_at_once() {
    let service = Service::start().await;
    let failing = Receiver::start(&[Reply::Status(503)]).await;
    let gone = Receiver::start(&[Reply::Status(410)]).await;
    let moved = Receiver::start(&[Reply::RedirectTo("http://127.0.0.1:1/")]).await;
    for url in [failing.url(), gone.url(), moved.url(), "http://10.0.0.1/".to_owned()] {
        let mut life = service.submit(&Document::with_webhook(&url)).await;
        life.append(service.store.as_ref(), &[failed()]).await;
    }
    let expected = [("dead", 4), ("dead", 1), ("dead", 4), ("dead", 4)];
    until_deliveries(&service, &expected).await;
    let redirects = attempts(&service).await.into_iter().filter(|(_, code)| *code == Some(302)).count();
    assert_eq!(redirects, 4, "a redirect is a failure and is not followed");
}

#[tokio::test]
async fn a_slow_receiver_gets_eight_at_a_time_and_holds_nobody_back() {
    let service = Service::start().await;
    let mut slow = Receiver::start(&[Reply::Never]).await;
    let mut quick = Receiver::start(&[Reply::Status(200)]).await;
    for _ in 0..20 {
        let mut life = service.submit(&Document::with_webhook(&slow.url())).await;
        life.append(service.store.as_ref(), &[failed()]).await;
    }
    for _ in 0..8 {
        slow.next().await;
    }
    for _ in 0..20 {
        let mut life = service.submit(&Document::with_webhook(&quick.url())).await;
        life.append(service.store.as_ref(), &[failed()]).await;
    }
    for _ in 0..20 {
        quick.next().await;
    }
    assert_eq!(slow.unseen(), 0, "no ninth before one of the eight has ended");
}

#[tokio::test]
async fn a_slow_endpoint_holds_back_none_on_the_same_host() {
    let service = Service::start().await;
    let mut receiver = Receiver::start(&[Reply::Never]).await;
    for number in 0..3 {
        for _ in 0..10 {
            let mut life =
                service.submit(&Document::with_webhook(&format!("{}?n={number}", receiver.url()))).await;
            life.append(service.store.as_ref(), &[failed()]).await;
        }
    }
    for _ in 0..24 {
        receiver.next().await;
    }
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(receiver.unseen(), 0, "eight to each of three");
}

#[tokio::test]
async fn the_reference_library_of_standard_webhooks_accepts_ours() {
    let service = Service::start().await;
    let mut receiver = Receiver::start(&[Reply::Status(204)]).await;
    let mut life = service.submit(&Document::with_webhook(&receiver.url())).await;
    life.append(service.store.as_ref(), &[failed()]).await;
    let received = receiver.next().await;
    let check = "import json, sys\n\
        from standardwebhooks import Webhook\n\
        secret, headers = sys.argv[1], json.loads(sys.argv[2])\n\
        Webhook(secret).verify(sys.stdin.buffer.read(), headers)";
    let verify = |secret: &str, body: &[u8]| {
        let python = concat!(env!("CARGO_MANIFEST_DIR"), "/../.venv/bin/python3");
        let mut python = std::process::Command::new(python)
            .args(["-c", check, secret, &serde_json::json!(received.headers).to_string()])
            .stdin(std::process::Stdio::piped())
            .stderr(std::process::Stdio::null())
            .spawn()
            .expect("the tests' Python is there (make setup-test)");
        std::io::Write::write_all(&mut python.stdin.take().expect("a pipe"), body).expect("it reads");
        python.wait().expect("it ends").success()
    };
    assert!(verify(SECRET, &received.body), "the signature is that of the body");
    assert!(!verify(SECRET, b"{}"), "and of no other");
    assert!(
        !verify("whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHhA=", &received.body),
        "with no other secret"
    );
}

#[tokio::test]
async fn after_a_crash_in_mid_air_the_same_webhook_is_sent_again() {
    let mut service = Service::prepared().await;
    let webhooks = DispatcherConfig { claim_ttl: Duration::from_millis(50), ..fast_webhooks() };
    service.run(webhooks.clone()).await;
    let mut receiver = Receiver::start(&[Reply::Never, Reply::Status(200)]).await;
    let mut life = service.submit(&Document::with_webhook(&receiver.url())).await;
    life.append(service.store.as_ref(), &[completed("renders/a/1", b"film", "film.mp4")]).await;
    let first = receiver.next().await;
    service.crash().await;
    service.run(webhooks).await;
    let second = receiver.next().await;
    assert_eq!(second.body, first.body, "the same bytes");
    assert_eq!(second.headers["webhook-id"], first.headers["webhook-id"], "the same id");
    until_deliveries(&service, &[("succeeded", 1)]).await;
    service.stop().await;
}

#[tokio::test]
async fn a_service_that_stops_lets_what_is_in_flight_land() {
    let mut service = Service::start().await;
    let mut receiver = Receiver::start(&[Reply::Status(200)]).await;
    let mut life = service.submit(&Document::with_webhook(&receiver.url())).await;
    life.append(service.store.as_ref(), &[failed()]).await;
    receiver.next().await;
    service.stop().await;
    assert_eq!(deliveries(&service).await, [("succeeded".to_owned(), 1)], "the answer was noted");
}

#[tokio::test]
async fn neither_a_rebuild_nor_a_restart_sends_anything_twice() {
    let mut service = Service::start().await;
    let mut receiver = Receiver::start(&[Reply::Status(200)]).await;
    let mut life = service.submit(&Document::with_webhook(&receiver.url())).await;
    life.append(service.store.as_ref(), &[failed()]).await;
    receiver.next().await;
    until_deliveries(&service, &[("succeeded", 1)]).await;
    let store = std::sync::Arc::clone(&service.store);
    query::rebuild(store, std::sync::Arc::clone(&service.vault), &service.read_db(), |_| ())
        .await
        .expect("rebuilds");
    service.stop().await;
    service.run(fast_webhooks()).await;
    let mut witness = service.submit(&Document::with_webhook(&receiver.url())).await;
    witness.append(service.store.as_ref(), &[failed()]).await;
    assert_eq!(body(&receiver.next().await)["data"]["id"], witness.id.to_string(), "only what is new");
    until_deliveries(&service, &[("succeeded", 1), ("succeeded", 1)]).await;
}

#[tokio::test]
async fn a_history_that_was_there_before_is_skipped() {
    let mut service = Service::prepared().await;
    let mut receiver = Receiver::start(&[Reply::Status(200)]).await;
    let mut old = service.submit(&Document::with_webhook(&receiver.url())).await;
    old.append(service.store.as_ref(), &[failed()]).await;
    let mut begun = service.submit(&Document::with_webhook(&receiver.url())).await;
    service.run(DispatcherConfig { schedule: Schedule::default(), ..fast_webhooks() }).await;
    begun.append(service.store.as_ref(), &[failed()]).await;
    assert_eq!(body(&receiver.next().await)["data"]["id"], begun.id.to_string(), "what ends now is told");
    until_deliveries(&service, &[("skipped", 0), ("succeeded", 1)]).await;
}
