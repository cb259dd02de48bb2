//! The relay to a NATS server of the test's own: what lies there in the end, whatever was lost or away on the way.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bus::{EventPublisher, NatsEvents, OutgoingEvent, PublishError, Tail};
use events::{Position, WorkspaceId};
use query::read_db::ReadDb;
use query::{QueryOptions, Relay};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use crate::lives::{Document, Life, cancelled, completed, leased, part_stored, progress};
use crate::nats_server::Server;
use crate::service::{OWNER, STRANGER, Service, fast_webhooks};

/// A publisher that takes note of what it is given.
#[derive(Debug)]
struct Noting {
    inner: NatsEvents,
    given: AtomicUsize,
}

#[async_trait::async_trait]
impl EventPublisher for Noting {
    async fn ensure(&self) -> Result<Tail, PublishError> {
        self.inner.ensure().await
    }

    async fn publish(&self, after: u64, window: &[OutgoingEvent]) -> Result<u64, PublishError> {
        self.given.fetch_add(window.len(), Ordering::SeqCst);
        self.inner.publish(after, window).await
    }
}

struct Scene {
    nats: Server,
    publisher: Arc<Noting>,
    service: Service,
}

impl Scene {
    /// A server and a log with some history, and no relay yet.
    async fn prepared() -> Scene {
        let nats = Server::with_streams("").await;
        let inner = nats.connect().await.events(1 << 28);
        let publisher = Arc::new(Noting { inner, given: AtomicUsize::new(0) });
        let service = Service::prepared().await;
        let scene = Scene { nats, publisher, service };
        scene.lives(3).await;
        scene
    }

    async fn start() -> Scene {
        let mut scene = Scene::prepared().await;
        scene.run().await;
        scene
    }

    async fn run(&mut self) {
        let publisher: Arc<dyn EventPublisher> = self.publisher.clone();
        let options =
            QueryOptions { webhooks: fast_webhooks(), publisher: Some(publisher), ..QueryOptions::default() };
        self.service.run_with(options).await;
    }

    /// Appends whole lives of both workspaces: seven events each, all public.
    async fn lives(&self, count: usize) {
        for number in 0..count {
            let workspace = if number % 2 == 0 { OWNER } else { STRANGER };
            let store = self.service.store.as_ref();
            let mut life = Life::begin(store, workspace, &self.service.key, &Document::default()).await;
            let events = [
                leased(),
                progress(10),
                part_stored(),
                progress(90),
                completed("renders/a/1", b"film", "film.mp4"),
            ];
            life.append(store, &events).await;
        }
    }

    async fn told(&self, key: &str) -> String {
        self.service.get_as(key, "/v1/events").await.text()
    }

    /// Waits until so many messages lie on the stream; their bodies in its order.
    async fn stream(&self, count: usize) -> Vec<String> {
        let client = async_nats::connect(self.nats.address()).await.expect("connects");
        let deadline = Instant::now() + Duration::from_secs(30);
        loop {
            let bodies = bodies(&client).await;
            if bodies.len() >= count {
                assert_eq!(bodies.len(), count, "there are more");
                return bodies;
            }
            assert!(Instant::now() < deadline, "{} of {count} events are there", bodies.len());
            sleep(Duration::from_millis(20)).await;
        }
    }

    async fn delete_stream(&self) {
        let client = async_nats::connect(self.nats.address()).await.expect("connects");
        client.request("$JS.API.STREAM.DELETE.EVENTS", "".into()).await.expect("an answer");
    }
}

/// The body of every message of the stream.
async fn bodies(client: &async_nats::Client) -> Vec<String> {
    use base64::Engine as _;
    let ask = async |request: &str, question: Value| -> Value {
        let answer =
            client.request(format!("$JS.API.STREAM.{request}.EVENTS"), question.to_string().into()).await;
        answer.map_or(Value::Null, |answer| serde_json::from_slice(&answer.payload).expect("JSON"))
    };
    let state = ask("INFO", json!({})).await["state"].clone();
    let (first, last) = (state["first_seq"].as_u64().unwrap_or(1), state["last_seq"].as_u64().unwrap_or(0));
    let mut bodies = Vec::new();
    for sequence in first..=last {
        let message = ask("MSG.GET", json!({ "seq": sequence })).await["message"].clone();
        let body =
            base64::engine::general_purpose::STANDARD.decode(message["data"].as_str().unwrap_or_default());
        bodies.push(String::from_utf8(body.expect("base64")).expect("UTF-8"));
    }
    bodies
}

fn positions(bodies: &[String]) -> Vec<u64> {
    let position =
        |body: &String| -> Option<u64> { serde_json::from_str::<Value>(body).ok()?["sequence"].as_u64() };
    bodies.iter().map(|body| position(body).expect("a position")).collect()
}

fn in_order(bodies: &[String]) -> bool {
    positions(bodies).is_sorted_by(|one, other| one < other)
}

#[tokio::test]
async fn subscribers_are_told_what_the_api_tells_from_the_logs_beginning_on() {
    let scene = Scene::start().await;
    let bodies = scene.stream(21).await;
    scene.lives(2).await;
    let later = scene.stream(35).await;
    assert_eq!(later[..21], bodies, "what was there stays");
    assert!(in_order(&later), "in the log's order");
    let told = [scene.told("fl_live_owner").await, scene.told("fl_live_stranger").await];
    for body in &later {
        assert!(told.iter().any(|page| page.contains(body)), "the API tells otherwise: {body}");
    }
}

#[tokio::test]
async fn a_lost_checkpoint_repeats_nothing() {
    let mut scene = Scene::start().await;
    scene.stream(21).await;
    scene.service.stop().await;
    for file in ["read.db", "read.db-wal", "read.db-shm"] {
        drop(std::fs::remove_file(scene.service.directory.path().join(file)));
    }
    let given = scene.publisher.given.load(Ordering::SeqCst);
    scene.lives(1).await;
    scene.run().await;
    assert!(in_order(&scene.stream(28).await));
    assert_eq!(scene.publisher.given.load(Ordering::SeqCst), given + 7, "only what is new was sent");
}

#[tokio::test]
async fn a_deleted_stream_is_made_anew_and_goes_on_from_the_checkpoint() {
    let mut scene = Scene::start().await;
    let before = scene.stream(21).await;
    scene.delete_stream().await;
    scene.lives(1).await;
    let after = scene.stream(7).await;
    assert!(positions(&after)[0] > *positions(&before).last().expect("some"), "nothing is repeated");
    scene.service.stop().await;
    scene.delete_stream().await;
    scene.run().await;
    scene.lives(1).await;
    assert!(
        positions(&scene.stream(7).await)[0] > *positions(&after).last().expect("some"),
        "after a start, too"
    );
}

#[tokio::test]
async fn two_relays_make_one_stream() {
    let scene = Scene::start().await;
    let other = scene.nats.connect().await.events(1 << 28);
    let db = ReadDb::open(&scene.service.read_db()).await.expect("opens");
    let relay = Arc::new(Relay::new(scene.service.store.clone(), db, Arc::new(other)));
    let stop = CancellationToken::new();
    let running = tokio::spawn({
        let (relay, stop) = (Arc::clone(&relay), stop.clone());
        async move { relay.run(stop).await }
    });
    for _ in 0..20 {
        scene.lives(2).await;
        sleep(Duration::from_millis(5)).await;
    }
    assert!(in_order(&scene.stream(21 + 280).await), "each once, in the log's order");
    stop.cancel();
    running.await.expect("it ends");
}

#[tokio::test]
async fn nats_away_holds_nothing_up_and_nothing_is_lost() {
    let mut scene = Scene::start().await;
    scene.stream(21).await;
    let head = Position(scene.service.store_head().await);
    scene.nats.kill();
    scene.lives(2).await;
    let page: Value = serde_json::from_str(&scene.told("fl_live_owner").await).expect("JSON");
    let last = page["data"].as_array().expect("a list").last().expect("one")["sequence"].as_u64();
    assert!(last > Some(head.0), "the API tells it meanwhile: {last:?}");
    sleep(Duration::from_millis(600)).await;
    scene.nats.restart().await;
    assert!(in_order(&scene.stream(35).await));
}

#[tokio::test]
async fn a_message_that_is_none_of_this_log_moves_nobody() {
    let mut scene = Scene::prepared().await;
    // Another log was here: its position is one that ours has, and one that it has not.
    for foreign in [12, 5000] {
        scene.publisher.inner.ensure().await.expect("a stream");
        let end = scene.publisher.inner.ensure().await.expect("a stream").sequence;
        let event = OutgoingEvent {
            id: events::EventId::new(u128::from(foreign) << 100),
            position: Position(foreign),
            version: events::StreamVersion(1),
            workspace: WorkspaceId::new(9),
            render: events::RenderId::new(9),
            event_type: "render.progress",
            created_at: String::new(),
            json: json!({ "sequence": foreign }).to_string().into(),
        };
        scene.publisher.inner.publish(end, &[event]).await.expect("published");
    }
    scene.run().await;
    let bodies = scene.stream(2 + 21).await;
    assert_eq!(positions(&bodies)[..2], [12, 5000]);
    assert!(in_order(&bodies[2..]), "all of this log's");
}

#[tokio::test]
async fn an_operator_sees_how_far_behind_subscribers_are() {
    let mut scene = Scene::start().await;
    scene.stream(21).await;
    let db = ReadDb::open(&scene.service.read_db()).await.expect("opens");
    let relay = Relay::new(scene.service.store.clone(), db, scene.publisher.clone());
    let head = scene.service.store_head().await;
    let deadline = Instant::now() + Duration::from_secs(10);
    while relay.position().await.expect("read") < Position(head) {
        assert!(Instant::now() < deadline, "the checkpoint stays behind");
        sleep(Duration::from_millis(10)).await;
    }
    assert!(!relay.is_failing(), "all is well");
    scene.nats.kill();
    let stop = CancellationToken::new();
    let (ended, ()) = tokio::join!(relay.run(stop.clone()), async {
        let mut life = scene.service.submit(&Document::default()).await;
        life.append(scene.service.store.as_ref(), &[cancelled()]).await;
        let deadline = Instant::now() + Duration::from_secs(20);
        while !relay.is_failing() {
            assert!(Instant::now() < deadline, "it does not say that it stands still");
            sleep(Duration::from_millis(20)).await;
        }
        assert_eq!(relay.position().await.expect("read"), Position(head), "and where");
        stop.cancel();
    });
    ended
}
