//! The command role killed again and again under load, as by a power cut: what it has acknowledged is there, once and
//! whole, and what fifty requests asked for under one key is one job.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bus::{NatsAccess, NatsBus};
use event_store::{Append, StreamAppend};
use events::{EventId, NewEvent, Position, RenderId, Sha256, StreamId, StreamVersion};
use futures_util::future::join_all;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use crate::cluster::Nats;
use crate::history::{Life, Log};
use crate::no_op::Hands;
use crate::scale::{figure, fsync_p50, is_soak, quantile, times};
use crate::support::{KEY, Service, client, small};

/// Requests that come at once under one key.
const AT_ONCE: usize = 50;
/// Renders of one append that makes a log long.
const RENDERS_AT_ONCE: u64 = 125;

/// What the clients know: where the service is to be found, and whether they may go home.
#[derive(Clone)]
struct Load {
    address: watch::Receiver<String>,
    over: Arc<AtomicBool>,
    client: reqwest::Client,
}

impl Load {
    /// Posts until somebody answers, as a client with an idempotency key may. The job's id.
    async fn insist(&self, key: &str) -> String {
        loop {
            if let Some(id) = self.post(Some(key)).await {
                return id;
            }
            sleep(Duration::from_millis(5)).await;
        }
    }

    /// One POST; `None` where nobody has answered.
    async fn post(&self, key: Option<&str>) -> Option<String> {
        let address = self.address.borrow().clone();
        let request = self.client.post(format!("{address}/v1/renders")).bearer_auth(KEY);
        let request =
            request.header("content-type", "application/json").body(small(1.0, json!([])).to_string());
        let request = key.into_iter().fold(request, |request, key| request.header("idempotency-key", key));
        let answer = request.send().await.ok()?;
        let status = answer.status().as_u16();
        let text = answer.text().await.ok()?;
        if status == 503 {
            return None;
        }
        assert!(status == 202 || status == 200, "{status}: {text}");
        let job: Value = serde_json::from_str(&text).unwrap();
        Some(job["id"].as_str().unwrap().to_owned())
    }

    /// Fifty requests under each key, at once; the jobs in the keys' order.
    async fn under_keys(self, least: u64) -> Vec<(String, String)> {
        let mut made = Vec::new();
        for number in 0.. {
            if number >= least && self.over.load(Ordering::SeqCst) {
                break;
            }
            let key = format!("order {number}");
            let ids = join_all((0..AT_ONCE).map(|_| self.insist(&key))).await;
            assert!(ids.iter().all(|id| *id == ids[0]), "one key, one job: {ids:?}");
            made.push((key, ids[0].clone()));
        }
        made
    }

    /// Requests without a key, one after the other: those that were acknowledged.
    async fn without_keys(self) -> Vec<String> {
        let mut acknowledged = Vec::new();
        while !self.over.load(Ordering::SeqCst) {
            match self.post(None).await {
                Some(id) => acknowledged.push(id),
                None => sleep(Duration::from_millis(5)).await,
            }
        }
        acknowledged
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_was_acknowledged_outlives_every_kill_once_and_whole() {
    let kills = times("FRAMELANE_TEST_KILLS", 6, 200);
    let keys = times("FRAMELANE_TEST_KEYS", 12, 500);
    let long = times("FRAMELANE_TEST_EVENTS", 0, 1_000_000);
    let (nats, folder) = (Nats::start().await, tempfile::tempdir().unwrap());
    let objects = folder.path().join("objects").to_str().unwrap().to_owned();
    let roles = "command,query,projector,webhooks";
    let options =
        ["--roles", roles, "--nats-url", &nats.address(), "--objects", &objects, "--lease-ttl-ms", "1000"];
    let mut face = Service::start(&folder.path().join("face"), &options).await;
    let bus = Arc::new(NatsBus::connect(&NatsAccess::from(nats.address().as_str())).await.unwrap());
    let _hands = Hands::start(bus, 4);
    let template = face.submit(&small(1.0, json!([]))).await;
    assert_eq!(face.finished(&template).await["status"], "completed");
    if long > 0 {
        face.kill();
        lengthen(&face.data("log.db"), &template, long).await;
        face.restart().await;
    }
    let log = Log::in_file(&face.data("log.db")).await;
    let before = log.0.head().await.unwrap().position;

    let (tell, address) = watch::channel(face.address.clone());
    let load = Load { address, over: Arc::new(AtomicBool::new(false)), client: client() };
    let keyed = tokio::spawn(load.clone().under_keys(keys));
    let lone = [tokio::spawn(load.clone().without_keys()), tokio::spawn(load.clone().without_keys())];
    let mut back = Vec::new();
    for round in 0..kills {
        // Moments that differ: from among the first answers to well under way.
        sleep(Duration::from_millis(20 + round * 37 % 400)).await;
        face.kill();
        let begun = Instant::now();
        face.restart().await;
        tell.send_replace(face.address.clone());
        load.insist("is it back?").await;
        back.push(begun.elapsed());
    }
    load.over.store(true, Ordering::SeqCst);
    let keyed = keyed.await.unwrap();
    let lone: Vec<String> = join_all(lone).await.into_iter().flat_map(Result::unwrap).collect();
    log.is_idle_within(Duration::from_secs(120)).await;
    face.kill();

    log.is_intact().await;
    let lives = log.lives_after(before).await;
    lives.values().for_each(Life::keeps_the_laws);
    lives.values().for_each(Life::is_completed);
    for id in lone.iter().chain(keyed.iter().map(|(_, id)| id)) {
        assert!(lives.contains_key(id), "{id} was acknowledged and is not there");
    }
    for (key, id) in &keyed {
        let made: Vec<&String> =
            lives.iter().filter(|(_, life)| is_under(life, key)).map(|(id, _)| id).collect();
        assert_eq!(made, [id], "{key:?} has made one job");
    }
    let summary =
        format!("{} keys of {AT_ONCE} requests, {} lone ones, {} jobs", keyed.len(), lone.len(), lives.len());
    figure(&format!("{kills} kills of the command role, {summary}"), "0 lost, 0 half, 0 double", "the same");
    let (p50, most) = (quantile(&mut back, 50), quantile(&mut back, 100));
    let held = format!("serving again after a kill, {} events in the log", before.0);
    figure(&held, format!("p50 {p50:?}, at most {most:?}"), "1 s");
    eprintln!("figure: fsync p50 {:?}, soak: {}", fsync_p50(folder.path()), is_soak());
}

/// Whether the job was asked for under this key.
fn is_under(life: &Life, key: &str) -> bool {
    let events::RenderEvent::RenderSubmitted(submitted) = &life.events[0] else { return false };
    submitted.idempotency_key_hash == Some(Sha256::of(key.as_bytes()))
}

/// Makes a log long: one render's life, lived again and again under other names.
async fn lengthen(path: &Path, template: &str, events: u64) {
    let log = Log::in_file(path).await;
    let (render, life) = (template.parse::<RenderId>().unwrap(), log.of(template).await);
    let mut appended = 0;
    for batch in 1.. {
        let streams = (0..RENDERS_AT_ONCE).map(|number| {
            let id = RenderId::new(render.bits().wrapping_add(u128::from(batch * RENDERS_AT_ONCE + number)));
            let events = life.recorded.iter().map(|it| NewEvent {
                event_id: EventId::new(rand::random()),
                event: it.event.clone(),
                workspace_id: it.workspace_id,
                correlation_id: it.correlation_id.clone(),
                causation_id: None,
                actor: it.actor.clone(),
                traceparent: None,
            });
            StreamAppend { stream: StreamId::from(id), expected: StreamVersion(0), events: events.collect() }
        });
        let append = Append { streams: streams.collect(), ..Append::default() };
        appended += log.0.append(append).await.unwrap().len() as u64;
        if appended >= events {
            let head: Position = log.0.head().await.unwrap().position;
            eprintln!("the log has {} events", head.0);
            return;
        }
    }
}
