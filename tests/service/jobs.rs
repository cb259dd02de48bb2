//! Jobs in which nothing is rendered, from a client's POST to the end that it waits for: what the service itself costs.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use reqwest::Method;
use serde_json::json;
use tokio::time::Instant;

use crate::history::Log;
use crate::house::{Ground, House};
use crate::scale::{figure, fsync_p50, quantile, times};
use crate::support::{client, small};

/// Clients at once, each with one job at a time.
const CLIENTS: u64 = 64;
/// Slots of the worker; each is a thread for a moment.
const SLOTS: usize = 16;
/// Events of a job at least: submitted, queued, three leases, planned, stored, completed.
const EVENTS_MIN: usize = 8;

/// Each client submits and waits for the end, again and again.
async fn jobs_a_second(ground: Ground, what: &str, target: &str) {
    let jobs = times("FRAMELANE_TEST_JOBS", 300, 20_000);
    let house = Arc::new(House::build(ground).await);
    house.read();
    let _hands = house.hire(SLOTS);
    let shared = client();
    let begun = Instant::now();
    let clients = (0..CLIENTS).map(|number| {
        let (house, client) = (Arc::clone(&house), shared.clone());
        tokio::spawn(async move {
            let mut made = Vec::new();
            for _ in (number..jobs).step_by(CLIENTS as usize) {
                let id = house.submit(&client, &small(1.0, json!([]))).await;
                loop {
                    let path = format!("/v1/renders/{id}?wait=30");
                    let (status, job) = house.call(&client, Method::GET, &path, None).await;
                    assert_eq!(status, 200, "{job}");
                    if job["status"] == "completed" {
                        break;
                    }
                    assert_ne!(job["status"], "failed", "{job}");
                }
                made.push(id);
            }
            made
        })
    });
    let made: Vec<String> = join_all(clients).await.into_iter().flat_map(Result::unwrap).collect();
    let took = begun.elapsed();
    let log = Log(Arc::clone(&house.store));
    let mut events = 0;
    for id in &made {
        let life = log.of(id).await;
        life.keeps_the_laws();
        assert!(life.events.len() >= EVENTS_MIN, "{id}: {:?}", life.events);
        events += life.events.len();
    }
    let rate = made.len() as f64 / took.as_secs_f64();
    let each = events as f64 / made.len() as f64;
    figure(
        &format!("{what}: {} jobs of {each:.1} events, {CLIENTS} clients", made.len()),
        format!("{rate:.0} jobs/s, fsync p50 {:?}", fsync_p50(house.folder.path())),
        target,
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn jobs_without_work_in_one_process() {
    jobs_a_second(Ground::Embedded, "SQLite, one process", "700 jobs/s").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn jobs_without_work_over_postgres_and_nats() {
    jobs_a_second(Ground::Servers, "PostgreSQL and NATS", "300 jobs/s").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_idle_service_begins_a_job_at_once() {
    let rounds = times("FRAMELANE_TEST_STARTS", 20, 500);
    for ground in [Ground::Embedded, Ground::Servers] {
        let house = House::build(ground).await;
        house.read();
        let (hands, client) = (house.hire(2), client());
        let (mut since_asked, mut since_answered): (Vec<Duration>, Vec<Duration>) = Default::default();
        for _ in 0..rounds {
            let asked = Instant::now();
            let id = house.submit(&client, &small(1.0, json!([]))).await;
            let answered = Instant::now();
            let (_, job) = house.call(&client, Method::GET, &format!("/v1/renders/{id}?wait=30"), None).await;
            assert_eq!(job["status"], "completed", "{job}");
            let begun = hands.performer.begun_at(&id).unwrap();
            since_asked.push(begun - asked);
            since_answered.push(begun.saturating_duration_since(answered));
        }
        let fsync = fsync_p50(house.folder.path());
        let (asked, answered) = (quantile(&mut since_asked, 50), quantile(&mut since_answered, 50));
        let ratio = asked.as_secs_f64() / fsync.as_secs_f64();
        figure(
            &format!("{ground:?}: submit to start, idle, {rounds} jobs"),
            format!(
                "p50 {asked:?} since the request ({ratio:.1} fsyncs of {fsync:?}), {answered:?} since its answer"
            ),
            "4 fsyncs",
        );
    }
}
