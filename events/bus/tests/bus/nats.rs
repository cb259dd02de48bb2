//! What the network adds: servers that go and come, several of each side, strangers, small messages.

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bus::{BusError, EventPublisher as _, HintBus as _, NatsBus, OpenBusError, WorkBus as _};
use events::RenderId;
use events::work::{Claim, HeartbeatReply, Outcome, ReportReply, WorkReport};
use futures_util::StreamExt as _;
use serde_json::{Value, json};
use tokio::time::{sleep, timeout};

use crate::scripted::{SOON, Scripted, claim, heartbeat, order, report, until_served};
use crate::server::Server;

/// A server, a command node that `service` answers on, and a worker that it answers.
async fn scene(configuration: &str, service: &Arc<Scripted>) -> (Server, NatsBus, NatsBus) {
    let server = Server::start(configuration).await;
    let (command, worker) = (server.connect().await, server.connect().await);
    command.serve(service.clone());
    until_served(&worker).await;
    (server, command, worker)
}

/// Someone on the network who is none of ours.
async fn stranger(server: &Server) -> async_nats::Client {
    async_nats::connect(server.address()).await.unwrap()
}

fn nothing_due() -> Arc<Scripted> {
    Scripted::granting(|_| Ok(None))
}

fn always_due() -> Arc<Scripted> {
    Scripted::granting(|worker| Ok(Some(order(worker, "{}".to_owned()))))
}

async fn eventually(what: &str, holds: impl Fn() -> bool) {
    let started = Instant::now();
    while !holds() {
        assert!(started.elapsed() < SOON, "not in time: {what}");
        sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn several_command_nodes_share_the_questions() {
    let (one, two) = (nothing_due(), nothing_due());
    let (server, _one, worker) = scene("", &one).await;
    let second = server.connect().await;
    second.serve(two.clone());
    let mut asked = 0;
    while two.claims.load(Ordering::SeqCst) < 20 {
        assert_eq!(worker.claim(claim(1)).await.unwrap(), None);
        asked += 1;
        assert!(asked < 10_000, "the second node is never asked");
    }
    let answered = one.claims.load(Ordering::SeqCst) + two.claims.load(Ordering::SeqCst);
    assert_eq!(answered, asked, "each question is answered by one of them");
    assert!(one.claims.load(Ordering::SeqCst) > 0, "the first node is asked no more");
}

#[tokio::test]
async fn a_command_node_that_stops_answers_what_it_has_in_hand_and_leaves_the_rest_to_others() {
    let mut slow = Arc::into_inner(always_due()).unwrap();
    slow.thinking = Duration::from_millis(300);
    let (slow, other) = (Arc::new(slow), nothing_due());
    let (server, command, worker) = scene("", &slow).await;
    let in_hand = tokio::spawn({
        let worker = worker.clone();
        async move { worker.claim(claim(1)).await }
    });
    eventually("the claim is in hand", || slow.claims.load(Ordering::SeqCst) == 1).await;
    command.close().await;
    assert!(in_hand.await.unwrap().unwrap().is_some(), "what was in hand is answered");
    let nobody = worker.claim(claim(1)).await;
    assert!(
        matches!(&nobody, Err(BusError::Unreachable(what)) if what.contains("nobody listens")),
        "got {nobody:?}"
    );
    let second = server.connect().await;
    second.serve(other);
    until_served(&worker).await;
    assert_eq!(worker.claim(claim(1)).await.unwrap(), None);
    assert_eq!(slow.claims.load(Ordering::SeqCst), 1, "it takes no further questions");
}

#[tokio::test]
async fn a_dropped_bus_answers_no_more() {
    let service = nothing_due();
    let (_server, command, worker) = scene("", &service).await;
    let clone = command.clone();
    drop(command);
    assert_eq!(worker.claim(claim(1)).await.unwrap(), None, "a clone is the same bus");
    drop(clone);
    eventually("the service is let go", || Arc::strong_count(&service) == 1).await;
    let nobody = worker.claim(claim(1)).await;
    assert!(matches!(nobody, Err(BusError::Unreachable(_))), "got {nobody:?}");
}

#[tokio::test]
async fn an_order_that_nobody_takes_is_taken_back_at_once() {
    let service = always_due();
    let (server, _command, _worker) = scene("", &service).await;
    let gone = stranger(&server).await;
    let started = Instant::now();
    let question = serde_json::to_vec(&claim(1)).unwrap();
    gone.publish_with_reply("framelane.work.claim", "_INBOX.nobody.1", question.into()).await.unwrap();
    eventually("the order is taken back", || !service.reported().is_empty()).await;
    assert!(started.elapsed() < Duration::from_secs(2), "the server knows that nobody listens there");
    let mut released = report(4, Outcome::Released);
    released.slot = order(1, String::new()).slot;
    assert_eq!(service.reported(), [released]);
}

#[tokio::test]
async fn an_order_that_arrives_at_a_worker_that_has_given_up_is_taken_back() {
    let service = always_due();
    let (server, _command, _worker) = scene("", &service).await;
    let given_up = stranger(&server).await;
    let mut inbox = given_up.subscribe("_INBOX.given-up").await.unwrap();
    let question = serde_json::to_vec(&claim(1)).unwrap();
    given_up.publish_with_reply("framelane.work.claim", "_INBOX.given-up", question.into()).await.unwrap();
    let got = timeout(SOON, inbox.next()).await.unwrap().unwrap();
    let answer: Value = serde_json::from_slice(&got.payload).unwrap();
    assert_eq!(answer["ok"]["token"], 4, "it is there, but nobody says so: {answer}");
    eventually("the order is taken back", || !service.reported().is_empty()).await;
}

#[tokio::test]
async fn an_order_that_is_taken_is_not_taken_back() {
    let service = always_due();
    let (_server, _command, worker) = scene("", &service).await;
    assert!(worker.claim(claim(1)).await.unwrap().is_some());
    // Longer than an untaken order is waited for.
    sleep(Duration::from_millis(3500)).await;
    assert_eq!(service.reported(), []);
}

#[tokio::test]
async fn everything_goes_on_after_the_server_restarts() {
    let service = nothing_due();
    let (mut server, command, worker) = scene("", &service).await;
    let mut cancellations = worker.cancellations();
    server.kill();
    eventually("the loss is noticed", || !worker.is_connected() && !command.is_connected()).await;
    let started = Instant::now();
    let asked = worker.claim(claim(1)).await;
    assert!(
        matches!(&asked, Err(BusError::Unreachable(what)) if what.contains("no connection")),
        "got {asked:?}"
    );
    assert!(started.elapsed() < Duration::from_secs(1), "nobody waits for an answer that can't come");
    server.restart().await;
    until_served(&worker).await;
    assert_eq!(worker.claim(claim(1)).await.unwrap(), None);
    assert_eq!(worker.report(report(4, Outcome::Released)).await.unwrap(), ReportReply::Accepted);
    assert_eq!(service.claims.load(Ordering::SeqCst), 1, "what was asked meanwhile is not asked afterwards");
    command.push_cancellation(RenderId::new(7));
    assert_eq!(timeout(SOON, cancellations.recv()).await.unwrap().unwrap(), RenderId::new(7));
    command.hint_work();
    timeout(SOON, worker.work_hint()).await.expect("hints come again");
}

#[tokio::test]
async fn work_goes_on_whatever_becomes_of_streams_and_server() {
    let left: Arc<Mutex<BTreeSet<u128>>> = Arc::new(Mutex::new((1..=90).collect()));
    let due = Arc::clone(&left);
    let service = Scripted::granting(move |_worker| {
        Ok(due.lock().unwrap().first().map(|&render| order(render, "{}".to_owned())))
    });
    let mut server = Server::with_streams("").await;
    let (command, worker) = (server.connect().await, server.connect().await);
    command.serve(service);
    until_served(&worker).await;
    command.events(1 << 20).ensure().await.unwrap();
    let todo = Arc::clone(&left);
    let working = tokio::spawn(async move {
        while !todo.lock().unwrap().is_empty() {
            sleep(Duration::from_millis(5)).await;
            let Ok(Some(order)) = worker.claim(claim(1)).await else { continue };
            let done = WorkReport { render: order.render, ..report(4, Outcome::Released) };
            while worker.report(done.clone()).await.is_err() {
                sleep(Duration::from_millis(20)).await;
            }
            todo.lock().unwrap().remove(&order.render.bits());
        }
    });
    let at_most = |count: usize| left.lock().unwrap().len() <= count;
    eventually("a third is done", || at_most(60)).await;
    let stranger = stranger(&server).await;
    let deleted = stranger.request("$JS.API.STREAM.DELETE.EVENTS", "".into()).await.unwrap();
    assert!(std::str::from_utf8(&deleted.payload).unwrap().contains("\"success\":true"), "no stream is left");
    eventually("two thirds are done", || at_most(30)).await;
    server.kill();
    server.forget();
    sleep(Duration::from_millis(500)).await;
    assert!(!at_most(0), "there is work left");
    server.restart().await;
    timeout(SOON, working).await.expect("all of it is done").unwrap();
}

#[tokio::test]
async fn a_server_that_falls_silent_costs_patience_only() {
    let (server, _command, worker) = scene("", &nothing_due()).await;
    server.signal("STOP");
    let started = Instant::now();
    let asked = worker.heartbeat(heartbeat(4)).await;
    assert!(matches!(asked, Err(BusError::Unreachable(_))), "got {asked:?}");
    assert!(started.elapsed() < Duration::from_secs(5), "a heartbeat is waited for too long");
    server.signal("CONT");
    until_served(&worker).await;
    assert_eq!(worker.heartbeat(heartbeat(4)).await.unwrap(), HeartbeatReply::Continue);
}

#[tokio::test]
async fn strangers_are_counted_and_harm_nobody() {
    let (server, command, worker) = scene("", &always_due()).await;
    let stranger = stranger(&server).await;
    let garbage: [&[u8]; 5] = [b"", b"{", b"\xff\xfe\x00", b"[[[[[[[[", br#"{"worker":17}"#];
    for subject in ["framelane.work.claim", "framelane.work.heartbeat", "framelane.work.report"] {
        for bytes in garbage {
            stranger.publish(subject, bytes.into()).await.unwrap();
            let answer = stranger.request(subject, bytes.into()).await.unwrap();
            let answer: Value = serde_json::from_slice(&answer.payload).unwrap();
            assert!(
                answer["failed"].as_str().is_some_and(|what| what.contains("byte")),
                "{subject}: {answer}"
            );
        }
        for (pieces, inbox) in
            [("2", ""), ("2", "framelane.work.hint"), ("2", "_INBOX.>"), ("-1", "_INBOX.a"), ("0", "")]
        {
            let mut headers = async_nats::HeaderMap::new();
            headers.insert("Framelane-Pieces", pieces);
            headers.insert("Framelane-Inbox", inbox);
            let answer = stranger.request_with_headers(subject, headers, "x".into()).await.unwrap();
            let answer: Value = serde_json::from_slice(&answer.payload).unwrap();
            assert!(answer["failed"].is_string(), "{subject}, {pieces} pieces at {inbox:?}: {answer}");
        }
    }
    for bytes in garbage {
        stranger.publish("framelane.work.cancel", bytes.into()).await.unwrap();
        stranger.publish("framelane.work.hint", bytes.into()).await.unwrap();
    }
    // Every message without a reply or readable content on a question's subject, on the command node; every
    // cancellation of nothing, on both.
    eventually("all are counted", || command.malformed() == 3 * (5 + 5 + 5) + 5 && worker.malformed() == 5)
        .await;
    assert!(worker.claim(claim(1)).await.unwrap().is_some(), "workers are answered as ever");
}

#[tokio::test]
async fn releases_that_differ_by_a_field_understand_each_other() {
    let (server, _command, _worker) = scene("", &nothing_due()).await;
    let newer = stranger(&server).await;
    let mut question = serde_json::to_value(heartbeat(4)).unwrap();
    question["temperature"] = json!({ "celsius": 70 });
    let answer = newer.request("framelane.work.heartbeat", question.to_string().into()).await.unwrap();
    assert_eq!(answer.payload, r#"{"ok":"continue"}"#);

    let server = Server::start("").await;
    let worker = server.connect().await;
    let newer = stranger(&server).await;
    let mut questions =
        newer.queue_subscribe("framelane.work.claim", "framelane.command".to_owned()).await.unwrap();
    newer.flush().await.unwrap();
    tokio::spawn(async move {
        while let Some(question) = questions.next().await {
            assert!(serde_json::from_slice::<Claim>(&question.payload).is_ok());
            let mut granted = serde_json::to_value(order(1, "{}".to_owned())).unwrap();
            granted["colour_space"] = json!("rec2020");
            granted["plan"]["chapters"] = json!([1, 2]);
            let answer = json!({ "ok": granted, "node": "command-2" });
            newer
                .publish(question.reply.unwrap(), json!({ "ok": answer["ok"] }).to_string().into())
                .await
                .unwrap();
        }
    });
    let mut got = worker.claim(claim(1)).await;
    while matches!(got, Err(BusError::Unreachable(_))) {
        got = worker.claim(claim(1)).await;
    }
    assert_eq!(got.unwrap(), Some(order(1, "{}".to_owned())));
}

#[tokio::test]
async fn documents_arrive_over_a_server_of_small_messages() {
    let document = "\"…\n".repeat(200_000);
    let given = document.clone();
    let service = Scripted::granting(move |worker| Ok(Some(order(worker, given.clone()))));
    let (_server, _command, worker) = scene("max_payload: 65536", &service).await;
    let got = worker.claim(claim(1)).await.unwrap().expect("an order");
    assert!(got == order(1, document), "the document is another one");
    sleep(Duration::from_millis(3500)).await;
    assert_eq!(service.reported(), [], "it was taken");
}

#[tokio::test]
async fn a_server_of_too_small_messages_is_refused_with_the_remedy() {
    let server = Server::start("max_payload: 65535").await;
    let refused = server.try_connect("").await.expect_err("too small");
    assert!(matches!(refused, OpenBusError::PayloadTooSmall { found: 65_535, .. }), "got {refused:?}");
    assert!(refused.to_string().contains("raise max_payload"), "{refused}");
}

#[tokio::test]
async fn without_a_server_the_bus_does_not_open() {
    let mut server = Server::start("").await;
    server.kill();
    let refused = server.try_connect("").await.expect_err("nobody is there");
    assert!(refused.to_string().starts_with("could not connect to NATS at 127.0.0.1:"), "{refused}");
}
