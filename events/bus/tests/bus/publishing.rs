//! Public events on a JetStream stream: what lies there, who else may write, servers without it, or with other ideas of it.

use bus::{EventPublisher as _, Mark, NatsEvents, OutgoingEvent, PublishError, Tail};
use events::{EventId, Position, RenderId, StreamVersion, WorkspaceId};
use futures_util::StreamExt as _;
use serde_json::{Value, json};
use tokio::time::{Duration, timeout};

use crate::scripted::SOON;
use crate::server::Server;

const MAX_BYTES: u64 = 64 * 1024 * 1024;

/// A server, a publisher of events there, and a stranger who looks.
struct Scene {
    server: Server,
    publisher: NatsEvents,
    stranger: async_nats::Client,
}

impl Scene {
    async fn start() -> Scene {
        let server = Server::with_streams("").await;
        let publisher = server.connect().await.events(MAX_BYTES);
        let stranger = async_nats::connect(server.address()).await.unwrap();
        Scene { server, publisher, stranger }
    }

    /// What JetStream answers.
    async fn ask(&self, request: &str, question: Value) -> Value {
        let answer = self.stranger.request(format!("$JS.API.{request}"), question.to_string().into()).await;
        serde_json::from_slice(&answer.unwrap().payload).unwrap()
    }

    async fn settings(&self) -> Value {
        self.ask("STREAM.INFO.EVENTS", json!({})).await["config"].clone()
    }

    /// How many messages lie on the stream.
    async fn count(&self) -> u64 {
        self.ask("STREAM.INFO.EVENTS", json!({})).await["state"]["messages"].as_u64().unwrap()
    }

    /// The positions that the messages name, in the stream's order.
    async fn positions(&self) -> Vec<u64> {
        let (mut found, count) = (Vec::new(), self.count().await);
        for sequence in 1.. {
            if found.len() as u64 == count {
                break;
            }
            let message =
                self.ask("STREAM.MSG.GET.EVENTS", json!({ "seq": sequence })).await["message"].clone();
            found.push(position(&message));
        }
        found
    }
}

/// The position that a message's body names; 0 where it is none of ours.
fn position(message: &Value) -> u64 {
    use base64::Engine as _;
    let body = base64::engine::general_purpose::STANDARD.decode(message["data"].as_str().unwrap()).unwrap();
    serde_json::from_slice::<Value>(&body).map_or(0, |event| event["sequence"].as_u64().unwrap_or(0))
}

fn event(position: u64) -> OutgoingEvent {
    OutgoingEvent {
        id: EventId::new(u128::from(position) << 64),
        position: Position(position),
        version: StreamVersion(position + 100),
        workspace: WorkspaceId::new(1),
        render: RenderId::new(u128::from(position % 2)),
        event_type: if position.is_multiple_of(2) { "render.progress" } else { "render.completed" },
        created_at: "2026-01-02T03:04:05.678Z".to_owned(),
        json: json!({ "sequence": position }).to_string().into(),
    }
}

fn events(positions: impl IntoIterator<Item = u64>) -> Vec<OutgoingEvent> {
    positions.into_iter().map(event).collect()
}

fn tail(sequence: u64, position: u64) -> Tail {
    Tail { sequence, last: Some(Mark { position: Position(position), id: event(position).id }) }
}

fn refusal(outcome: Result<Tail, PublishError>) -> String {
    match outcome {
        Err(PublishError::Refused(what)) => what,
        other => panic!("it is not refused for good: {other:?}"),
    }
}

#[tokio::test]
async fn events_lie_on_the_stream_in_their_order_and_can_be_filtered() {
    let scene = Scene::start().await;
    let mut ends = scene.stranger.subscribe("framelane.events.*.*.render.completed").await.unwrap();
    let of_a_job = format!("framelane.events.*.{}.>", RenderId::new(0));
    let mut of_a_job = scene.stranger.subscribe(of_a_job).await.unwrap();
    scene.stranger.flush().await.unwrap();
    assert_eq!(scene.publisher.ensure().await.unwrap(), Tail::default());
    assert_eq!(scene.publisher.publish(0, &events([4, 7, 9])).await.unwrap(), 3);
    assert_eq!(scene.publisher.publish(3, &events(10..400)).await.unwrap(), 393);
    assert_eq!(scene.publisher.ensure().await.unwrap(), tail(393, 399));
    let expected: Vec<u64> = [4, 7, 9].into_iter().chain(10..400).collect();
    assert_eq!(scene.positions().await, expected);

    let end = timeout(SOON, ends.next()).await.unwrap().unwrap();
    assert_eq!(end.payload, r#"{"sequence":7}"#, "the body is what was given");
    let headers = end.headers.unwrap();
    let header = |name: &str| headers.get(name).unwrap().as_str().to_owned();
    assert_eq!(header("ce-id"), event(7).id.to_string());
    assert_eq!(
        (header("ce-type"), header("content-type")),
        ("render.completed".into(), "application/json".into())
    );
    assert_eq!((header("Framelane-Position"), header("Framelane-Version")), ("7".into(), "107".into()));
    let first = timeout(SOON, of_a_job.next()).await.unwrap().unwrap();
    assert_eq!(first.payload, r#"{"sequence":4}"#, "one job's events");

    let settings = scene.settings().await;
    for (name, value) in [
        ("subjects", json!(["framelane.events.>"])),
        ("retention", json!("limits")),
        ("storage", json!("file")),
        ("max_bytes", json!(MAX_BYTES)),
        ("max_age", json!(7_u64 * 24 * 3600 * 1_000_000_000)),
        ("duplicate_window", json!(120_000_000_000_u64)),
    ] {
        assert_eq!(settings[name], value, "{name}");
    }
}

#[tokio::test]
async fn two_publishers_of_the_same_events_make_one_stream() {
    let scene = Scene::start().await;
    let other = scene.server.connect().await.events(MAX_BYTES);
    let end = scene.publisher.ensure().await.unwrap().sequence;
    assert_eq!(other.ensure().await.unwrap().sequence, end);
    let all = events(1..=600);
    for window in all.chunks(200) {
        let end = window[0].position.0 - 1;
        let (one, two) = tokio::join!(scene.publisher.publish(end, window), other.publish(end, window));
        assert_eq!((one.unwrap(), two.unwrap()), (end + 200, end + 200));
    }
    assert_eq!(scene.positions().await, (1..=600).collect::<Vec<_>>(), "each once, in order");
}

#[tokio::test]
async fn a_publisher_that_has_slept_is_refused() {
    let scene = Scene::start().await;
    let sleeper = scene.server.connect().await.events(MAX_BYTES);
    let end = sleeper.ensure().await.unwrap().sequence;
    scene.publisher.publish(end, &events(1..=5)).await.unwrap();
    // Others than the stream still knows by their ids.
    let late = sleeper.publish(end, &events(101..=105)).await;
    assert!(matches!(late, Err(PublishError::Moved)), "got {late:?}");
    assert_eq!(scene.positions().await, [1, 2, 3, 4, 5]);
}

#[tokio::test]
async fn events_that_are_there_already_are_not_there_twice_whoever_wrote_last() {
    let scene = Scene::start().await;
    scene.publisher.ensure().await.unwrap();
    scene.publisher.publish(0, &events(1..=3)).await.unwrap();
    scene.stranger.request("framelane.events.x", "{}".into()).await.unwrap();
    let end = scene.publisher.ensure().await.unwrap();
    assert_eq!(end, Tail { sequence: 4, last: None }, "the last message says nothing of the log");
    assert_eq!(scene.publisher.publish(4, &events(1..=6)).await.unwrap(), 7);
    assert_eq!(scene.positions().await, [1, 2, 3, 0, 4, 5, 6]);
}

#[tokio::test]
async fn whoever_answers_events_as_they_pass_acknowledges_nothing() {
    let scene = Scene::start().await;
    let mut passing = scene.stranger.subscribe("framelane.events.>").await.unwrap();
    scene.stranger.flush().await.unwrap();
    let polite = scene.stranger.clone();
    tokio::spawn(async move {
        while let Some(event) = passing.next().await {
            let reply = event.reply.unwrap();
            polite.publish(reply.clone(), r#"{"seq":1000}"#.into()).await.unwrap();
            polite.publish(reply, "thank you".into()).await.unwrap();
        }
    });
    scene.publisher.ensure().await.unwrap();
    assert_eq!(scene.publisher.publish(0, &events(1..=50)).await.unwrap(), 50);
    assert_eq!(scene.publisher.publish(50, &events(51..=100)).await.unwrap(), 100);
}

#[tokio::test]
async fn a_deleted_stream_is_noticed_and_made_anew() {
    let scene = Scene::start().await;
    scene.publisher.ensure().await.unwrap();
    let end = scene.publisher.publish(0, &events(1..=3)).await.unwrap();
    scene.ask("STREAM.DELETE.EVENTS", json!({})).await;
    let gone = scene.publisher.publish(end, &events(4..=5)).await;
    assert!(matches!(gone, Err(PublishError::Moved)), "got {gone:?}");
    assert_eq!(scene.publisher.ensure().await.unwrap(), Tail::default());
    assert_eq!(scene.publisher.publish(0, &events(4..=5)).await.unwrap(), 2);
    assert_eq!(scene.positions().await, [4, 5]);
}

#[tokio::test]
async fn an_emptied_stream_goes_on_behind_its_last_message() {
    let scene = Scene::start().await;
    scene.publisher.ensure().await.unwrap();
    scene.publisher.publish(0, &events(1..=3)).await.unwrap();
    scene.ask("STREAM.PURGE.EVENTS", json!({})).await;
    assert_eq!(scene.publisher.ensure().await.unwrap(), Tail { sequence: 3, last: None });
    assert_eq!(scene.publisher.publish(3, &events([4])).await.unwrap(), 4);
}

#[tokio::test]
async fn the_stream_outlives_the_server_and_the_publisher_the_loss_of_the_stream() {
    let mut scene = Scene::start().await;
    scene.publisher.ensure().await.unwrap();
    scene.publisher.publish(0, &events(1..=3)).await.unwrap();
    let ensured = async |scene: &Scene| {
        let again = async {
            loop {
                match scene.publisher.ensure().await {
                    Ok(tail) => return tail,
                    Err(_not_yet) => tokio::time::sleep(Duration::from_millis(20)).await,
                }
            }
        };
        timeout(SOON, again).await.expect("it comes back by itself")
    };
    scene.server.kill();
    let away = async {
        while !matches!(scene.publisher.publish(3, &events([4])).await, Err(PublishError::Unavailable(_))) {}
    };
    timeout(SOON, away).await.expect("it says that nobody is there");
    scene.server.restart().await;
    assert_eq!(ensured(&scene).await, tail(3, 3));
    scene.server.kill();
    scene.server.forget();
    scene.server.restart().await;
    assert_eq!(ensured(&scene).await, Tail::default());
}

#[tokio::test]
async fn a_stream_with_other_settings_is_changed_and_the_operators_own_stay() {
    let scene = Scene::start().await;
    let older = json!({
        "name": "EVENTS", "subjects": ["framelane.events.>"], "retention": "limits", "storage": "file", "max_age": 0,
        "num_replicas": 1, "max_consumers": 7, "allow_direct": true, "max_bytes": 1024, "discard": "new",
    });
    assert_eq!(scene.ask("STREAM.CREATE.EVENTS", older).await["error"], Value::Null);
    scene.publisher.ensure().await.unwrap();
    let settings = scene.settings().await;
    let (bytes, discard) = (&settings["max_bytes"], &settings["discard"]);
    assert_eq!((bytes, discard), (&json!(MAX_BYTES), &json!("old")), "ours are there: {settings}");
    let (consumers, direct) = (&settings["max_consumers"], &settings["allow_direct"]);
    assert_eq!((consumers, direct), (&json!(7), &json!(true)), "theirs, too: {settings}");
}

#[tokio::test]
async fn a_stream_that_can_not_be_changed_is_refused_with_what_it_has_and_the_remedy() {
    let scene = Scene::start().await;
    let subjects = json!(["framelane.events.>"]);
    let in_memory = json!({ "name": "EVENTS", "subjects": subjects, "storage": "memory", "num_replicas": 1 });
    assert_eq!(scene.ask("STREAM.CREATE.EVENTS", in_memory).await["error"], Value::Null);
    let told = refusal(scene.publisher.ensure().await);
    assert!(told.contains(r#"storage is "memory" where "file" was asked for"#), "{told}");
    assert!(told.contains("delete the stream"), "{told}");
}

#[tokio::test]
async fn somebody_elses_stream_of_our_name_is_not_touched() {
    let scene = Scene::start().await;
    let orders = json!({ "name": "EVENTS", "subjects": ["orders.>"], "num_replicas": 1 });
    scene.ask("STREAM.CREATE.EVENTS", orders).await;
    let before = scene.settings().await;
    let told = refusal(scene.publisher.ensure().await);
    assert!(told.contains("orders.>") && told.contains("account of its own"), "{told}");
    assert_eq!(scene.settings().await, before);
}

#[tokio::test]
async fn a_stream_that_there_is_no_room_for_is_refused_with_the_option() {
    let scene = Scene::start().await;
    let told = refusal(scene.server.connect().await.events(1 << 40).ensure().await);
    assert!(told.contains("--nats-events-max-bytes"), "{told}");
}

#[tokio::test]
async fn a_server_without_jetstream_is_refused_with_the_remedy() {
    let server = Server::start("").await;
    let told = refusal(server.connect().await.events(MAX_BYTES).ensure().await);
    assert!(told.contains("nats-server with -js") && told.contains("--nats-events off"), "{told}");

    let accounts = "accounts { SYS: { users: [ { user: sys, password: sys } ] }, A: { users: [ { user: a, password: a } ] } }
        system_account: SYS";
    let server = Server::with_streams(accounts).await;
    let told = refusal(server.try_connect("a:a").await.unwrap().events(MAX_BYTES).ensure().await);
    assert!(told.contains("jetstream: enabled in the account"), "{told}");
}

#[tokio::test]
async fn a_server_that_carries_too_little_for_an_event_is_refused_with_the_remedy() {
    let server = Server::with_streams("max_payload: 262144").await;
    let told = refusal(server.connect().await.events(MAX_BYTES).ensure().await);
    assert!(told.contains("raise max_payload"), "{told}");
    let server = Server::with_streams("max_payload: 524288").await;
    let publisher = server.connect().await.events(MAX_BYTES);
    publisher.ensure().await.unwrap();
    let largest = OutgoingEvent { json: vec![b' '; 256 * 1024].into(), ..event(1) };
    assert_eq!(publisher.publish(0, &[largest]).await.unwrap(), 1);
}

/// Answers for JetStream as an older server would: takes everything, and keeps only what it knows.
async fn forgetful_jetstream(server: &Server) {
    let client = async_nats::connect(server.address()).await.unwrap();
    let mut questions = client.subscribe("$JS.API.STREAM.*.EVENTS").await.unwrap();
    client.flush().await.unwrap();
    tokio::spawn(async move {
        while let Some(question) = questions.next().await {
            let answer = if question.subject.contains(".INFO.") {
                json!({ "error": { "code": 404, "err_code": 10059, "description": "stream not found" } })
            } else {
                let mut config: Value = serde_json::from_slice(&question.payload).unwrap();
                config.as_object_mut().unwrap().remove("duplicate_window");
                json!({ "config": config, "state": { "messages": 0, "last_seq": 0 } })
            };
            client.publish(question.reply.unwrap(), answer.to_string().into()).await.unwrap();
        }
    });
}

#[tokio::test]
async fn a_setting_that_the_server_ignores_is_named_with_what_was_asked_for() {
    let server = Server::start("").await;
    forgetful_jetstream(&server).await;
    let told = refusal(server.connect().await.events(MAX_BYTES).ensure().await);
    assert!(told.contains("duplicate_window is null where 120000000000 was asked for"), "{told}");
    assert!(told.contains("2.9 or newer"), "{told}");
}
