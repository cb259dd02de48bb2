//! NATS taken away in the middle of a load, and everything that lies in it deleted: requests are accepted meanwhile, and
//! every job ends, once, soon after it is back.

use std::sync::Arc;
use std::time::Duration;

use bus::{NatsAccess, NatsBus};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use crate::cluster::Nats;
use crate::history::{Life, Log};
use crate::no_op::Hands;
use crate::scale::{figure, is_soak, times};
use crate::support::{Service, small};

/// Pause between two requests of the load.
const PACE: Duration = Duration::from_millis(20);

/// Submits at a steady pace for so long; the jobs.
async fn submit_for(face: &Service, length: Duration) -> Vec<String> {
    let (begun, mut made) = (Instant::now(), Vec::new());
    while begun.elapsed() < length {
        made.push(face.submit(&small(1.0, json!([]))).await);
        sleep(PACE).await;
    }
    made
}

/// Deletes every stream of the server; how many there were.
async fn delete_streams(nats: &Nats) -> usize {
    let client = async_nats::connect(nats.address()).await.unwrap();
    let ask = async |subject: String| -> Value {
        let answer = client.request(subject, "".into()).await;
        answer.map(|answer| serde_json::from_slice(&answer.payload).unwrap()).unwrap_or_default()
    };
    let listed = ask("$JS.API.STREAM.NAMES".to_owned()).await;
    let streams: Vec<&str> =
        listed["streams"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    for stream in &streams {
        let answer = ask(format!("$JS.API.STREAM.DELETE.{stream}")).await;
        assert_eq!(answer["success"], true, "{stream}: {answer}");
    }
    streams.len()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nats_may_lose_everything_under_load() {
    let away = Duration::from_secs(times("FRAMELANE_TEST_OUTAGE_S", 3, 60));
    let around = Duration::from_secs(if is_soak() { 10 } else { 2 });
    let (mut nats, folder) = (Nats::start().await, tempfile::tempdir().unwrap());
    let objects = folder.path().join("objects").to_str().unwrap().to_owned();
    let roles = "command,query,projector,webhooks";
    let options = ["--roles", roles, "--nats-url", &nats.address(), "--objects", &objects];
    let face = Service::start(&folder.path().join("face"), &options).await;
    let bus = Arc::new(NatsBus::connect(&NatsAccess::from(nats.address().as_str())).await.unwrap());
    let _hands = Hands::start(bus, 4);

    let mut made = submit_for(&face, around).await;
    let mut deleted = delete_streams(&nats).await;
    made.extend(submit_for(&face, around).await);
    nats.kill();
    let meanwhile = submit_for(&face, away).await;
    nats.restart().await;
    let back = Instant::now();
    deleted += delete_streams(&nats).await;
    let log = Log::in_file(&face.data("log.db")).await;
    for id in &meanwhile {
        assert_eq!(face.finished(id).await["status"], "completed");
    }
    let caught_up = back.elapsed();
    made.extend(meanwhile);
    made.extend(submit_for(&face, around).await);
    log.is_idle_within(Duration::from_secs(120)).await;
    let lives = log.lives_after(events::Position(0)).await;
    lives.values().for_each(Life::keeps_the_laws);
    lives.values().for_each(Life::is_completed);
    assert_eq!(lives.len(), made.len(), "each request is one job");
    let what = format!(
        "NATS away for {away:?} under load, {deleted} streams deleted: {} jobs, all ended once; caught up",
        made.len()
    );
    figure(&what, format!("{caught_up:?} after it was back"), "30 s");
}
