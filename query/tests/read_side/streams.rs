//! Event streams under strain: many clients, broken connections, and clients that don't read.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::time::Duration;

use axum::body::BodyDataStream;
use axum::http::{StatusCode, header};
use futures_util::StreamExt as _;
use query::QueryOptions;
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpSocket;

use crate::lives::{Document, Life, cancelled, failed, leased, progress};
use crate::service::{STRANGER, Service};

/// A stream as a client reads it.
struct Reader {
    body: BodyDataStream,
    read: String,
}

impl Reader {
    /// Opens `path` behind the place `seen`.
    async fn open(service: &Service, path: &str, seen: u64) -> Reader {
        let request = service.request(path).header(header::ACCEPT, "text/event-stream");
        let response = service.open(request.header("last-event-id", seen)).await;
        assert_eq!(response.status(), StatusCode::OK, "a stream");
        Reader { body: response.into_body().into_data_stream(), read: String::new() }
    }

    /// The next block; `None` at the end.
    async fn block(&mut self) -> Option<String> {
        loop {
            if let Some((block, rest)) = self.read.split_once("\n\n") {
                let (block, rest) = (block.to_owned(), rest.to_owned());
                self.read = rest;
                return Some(block);
            }
            let chunk = tokio::time::timeout(Duration::from_secs(30), self.body.next()).await;
            let chunk = chunk.expect("something comes")?.expect("a chunk");
            self.read.push_str(std::str::from_utf8(&chunk).expect("UTF-8"));
        }
    }

    /// The next event: its place and itself.
    async fn event(&mut self) -> Option<(u64, Value)> {
        loop {
            let block = self.block().await?;
            let field =
                |name: &str| block.lines().find_map(|line| line.strip_prefix(name)).map(str::trim_start);
            if let (Some(id), Some(data)) = (field("id:"), field("data:")) {
                return Some((id.parse().expect("a number"), serde_json::from_str(data).expect("JSON")));
            }
        }
    }
}

/// A number from 0 to `below`, drawn from a sequence that is the same in every run.
fn draw(state: &mut u64, below: u64) -> u64 {
    // Knuth's MMIX generator.
    *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    (*state >> 33) % below
}

/// All of the owner's events by pages.
async fn all(service: &Service) -> Vec<Value> {
    let (mut all, mut after) = (Vec::new(), "0".to_owned());
    loop {
        let page = service.get(&format!("/v1/events?limit=7&after={after}")).await.json();
        all.extend(page["data"].as_array().expect("a list").clone());
        match page["next_cursor"].as_str() {
            Some(cursor) => cursor.clone_into(&mut after),
            None => return all,
        }
    }
}

#[tokio::test]
async fn a_workspaces_events_are_those_of_its_jobs_in_the_logs_order() {
    let service = Service::start().await;
    let mut lives =
        vec![service.submit(&Document::default()).await, service.submit(&Document::default()).await];
    let mut other = Life::begin(service.store.as_ref(), STRANGER, &service.key, &Document::default()).await;
    other.append(service.store.as_ref(), &[leased()]).await;
    for life in &mut lives {
        life.append(service.store.as_ref(), &[leased(), progress(10), failed()]).await;
    }
    let whole = service.get("/v1/events").await.json()["data"].as_array().expect("a list").clone();
    assert_eq!(
        Value::Array(all(&service).await),
        Value::Array(whole.clone()),
        "the pages together are the whole"
    );
    let sequences: Vec<u64> =
        whole.iter().map(|event| event["sequence"].as_u64().expect("a number")).collect();
    assert_eq!(sequences, [1, 2, 3, 4, 8, 9, 10, 11, 12, 13], "those of the other workspace are not there");
    let mut reader = Reader::open(&service, "/v1/events", 3).await;
    for expected in &whole[3..] {
        let (id, event) = reader.event().await.expect("an event");
        assert_eq!((&event, id), (expected, expected["sequence"].as_u64().expect("a number")));
    }
    service.submit(&Document::default()).await;
    assert_eq!(reader.event().await.expect("it goes on").0, 14, "what happens now follows");
    let beyond = service.request("/v1/events?after=99").header(header::ACCEPT, "text/event-stream");
    assert_eq!(service.ask(beyond).await.status, StatusCode::UNPROCESSABLE_ENTITY, "the log ends before");
}

#[tokio::test]
async fn no_event_is_lost_or_doubled_however_often_the_connection_breaks() {
    let service = Service::start().await;
    let told = Cell::new(false);
    let telling = async {
        let mut chance = 1;
        let mut lives = Vec::new();
        for _ in 0..400 {
            if lives.len() < 5 {
                lives.push(service.submit(&Document::default()).await);
            }
            let which = usize::try_from(draw(&mut chance, lives.len() as u64)).expect("small");
            let over = draw(&mut chance, 20) == 0;
            let event = if over { cancelled() } else { progress(1) };
            lives[which].append(service.store.as_ref(), &[event]).await;
            if over {
                lives.remove(which);
            }
            for _ in 0..draw(&mut chance, 4) {
                tokio::task::yield_now().await;
            }
        }
        let last = service.submit(&Document::default()).await;
        told.set(true);
        last
    };
    let following = async {
        let (mut chance, mut seen, mut found, mut breaks) = (7, 0, Vec::new(), 0);
        'all: loop {
            let mut reader = Reader::open(&service, "/v1/events", seen).await;
            for _ in 0..draw(&mut chance, 12) {
                let (id, event) = reader.event().await.expect("it goes on");
                seen = id;
                found.push(event);
                if told.get() && service.store_head().await == seen {
                    break 'all;
                }
            }
            breaks += 1;
        }
        (found, breaks)
    };
    let (last, (found, breaks)) = tokio::join!(telling, following);
    assert!(breaks > 30, "it broke often enough to mean something");
    let expected = all(&service).await;
    assert!(
        expected.last().is_some_and(|event| event["render_id"] == last.id.to_string()),
        "told to the end"
    );
    let ids: BTreeSet<&str> = found.iter().map(|event| event["id"].as_str().expect("an id")).collect();
    assert_eq!(ids.len(), found.len(), "none twice");
    assert_eq!(Value::Array(found), Value::Array(expected), "none lost, in order");
}

#[tokio::test]
async fn a_jobs_stream_begun_anywhere_gives_the_rest_of_its_history() {
    let service = Service::start().await;
    let mut life = service.submit(&Document::default()).await;
    let path = format!("/v1/renders/{}/events", life.id);
    // More than the window keeps lies behind, and another job's events in between.
    let mut other = service.submit(&Document::default()).await;
    let some: Vec<_> = (0..2500).map(|_| progress(1)).collect();
    life.append(service.store.as_ref(), &some).await;
    other.append(service.store.as_ref(), &some).await;
    let mut readers = Vec::new();
    for seen in [0, 2, 1000, 2501, 2502] {
        readers.push((seen, Reader::open(&service, &path, seen).await));
    }
    life.append(service.store.as_ref(), &[progress(50), failed()]).await;
    for (seen, mut reader) in readers {
        let mut versions = Vec::new();
        while let Some((version, _)) = reader.event().await {
            versions.push(version);
        }
        assert_eq!(versions, (seen + 1..=2504).collect::<Vec<_>>(), "after {seen}");
    }
}

#[tokio::test]
async fn silence_is_broken_by_a_heartbeat_and_clients_are_told_when_to_come_back() {
    let mut service = Service::prepared().await;
    service.run_with(QueryOptions { heartbeat: Duration::from_millis(50), ..QueryOptions::default() }).await;
    let life = service.submit(&Document::default()).await;
    let mut reader = Reader::open(&service, &format!("/v1/renders/{}/events", life.id), 2).await;
    assert_eq!(reader.block().await.as_deref(), Some("retry: 2000"));
    assert_eq!(reader.block().await.as_deref(), Some(": heartbeat"));
    assert_eq!(reader.block().await.as_deref(), Some(": heartbeat"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_clients_hear_everything_without_a_thread_each() {
    let service = std::sync::Arc::new(Service::start().await);
    let mut life = service.submit(&Document::default()).await;
    let mut readers = Vec::new();
    let threads = threads();
    for number in 0..200 {
        let path =
            if number % 2 == 0 { "/v1/events".to_owned() } else { format!("/v1/renders/{}/events", life.id) };
        let mut reader = Reader::open(&service, &path, 2).await;
        readers.push(tokio::spawn(async move {
            let mut heard = Vec::new();
            for _ in 0..100 {
                heard
                    .push(reader.event().await.expect("it goes on").1["version"].as_u64().expect("a number"));
            }
            heard
        }));
    }
    for _ in 0..100 {
        life.append(service.store.as_ref(), &[progress(1)]).await;
    }
    for reader in readers {
        assert_eq!(reader.await.expect("it ends"), (3..=102).collect::<Vec<u64>>(), "each hears everything");
    }
    assert!(threads_grew_little(threads), "no thread for each");
}

/// Threads of this process.
fn threads() -> usize {
    std::fs::read_dir("/proc/self/task").expect("Linux").count()
}

fn threads_grew_little(before: usize) -> bool {
    threads() < before + 20
}

#[tokio::test]
async fn a_client_that_does_not_read_is_dropped_and_holds_nobody_up() {
    let service = Service::start().await;
    let mut life = service.submit(&Document::default()).await;
    // More than the sockets' buffers take.
    for _ in 0..40 {
        let some: Vec<_> = (0..1000).map(|_| progress(1)).collect();
        life.append(service.store.as_ref(), &some).await;
    }
    let deadline = Duration::from_millis(500);
    let address = service.listen(deadline).await;
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.set_recv_buffer_size(4096).expect("a small buffer");
    let mut deaf = socket.connect(address).await.expect("connects");
    let request = format!(
        "GET /v1/renders/{}/events HTTP/1.1\r\nhost: x\r\nauthorization: Bearer fl_live_owner\r\naccept: text/event-stream\r\n\r\n",
        life.id
    );
    deaf.write_all(request.as_bytes()).await.expect("writes");
    let mut reader = Reader::open(&service, "/v1/events", 40_000).await;
    assert_eq!(reader.event().await.expect("an event").0, 40_001, "others hear what happens");
    tokio::time::sleep(deadline * 4).await;
    let mut got = Vec::new();
    let ended = tokio::time::timeout(Duration::from_secs(10), deaf.read_to_end(&mut got)).await;
    // The end of the connection shows as a reset or as an end, depending on what was still in flight.
    assert!(ended.is_ok(), "the connection was closed");
    let text = String::from_utf8_lossy(&got);
    assert!(text.contains("event: render.progress"), "it was sent what it could take");
    assert!(text.matches("event: ").count() < 40_002, "and not everything");
    assert!(!text.ends_with("\r\n0\r\n\r\n"), "nobody told it that this was the end");
}
