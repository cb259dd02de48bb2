//! Webhooks at pace and under fire: how many are delivered a second with their attempts noted, what one dead endpoint does
//! to the others, and a sender that is killed again and again before a receiver that fails.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::time::{Instant, sleep};

use crate::cluster::Nats;
use crate::house::{Ground, House};
use crate::scale::{figure, fsync_p50, is_soak, quantile, times};
use crate::support::{Service, client, small};

/// Receivers that all hear of every job.
const RECEIVERS: usize = 8;

/// The longest delays before the second, third and fourth attempt, and what may pass beside them.
const DELAYS: [Duration; 3] = [Duration::from_secs(6), Duration::from_secs(36), Duration::from_secs(144)];
const LATE_MAX: Duration = Duration::from_secs(60);

/// One delivery as it arrived.
#[derive(Debug, Clone)]
struct Arrival {
    id: String,
    job: String,
    body: Bytes,
    at: Instant,
    taken: bool,
}

/// A receiver of webhooks that refuses some of them.
#[derive(Debug, Clone)]
struct Receiver {
    address: String,
    arrivals: Arc<Mutex<Vec<Arrival>>>,
    fail_percent: u32,
    attempts_max: usize,
}

impl Receiver {
    /// Takes everything.
    async fn start() -> Receiver {
        Receiver::refusing(0, 1).await
    }

    /// Fails this share of the requests with 500; an attempt of this number never, because the next one would come too
    /// late for a test.
    async fn refusing(fail_percent: u32, attempts_max: usize) -> Receiver {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}/", listener.local_addr().unwrap());
        let receiver = Receiver { address, arrivals: Arc::default(), fail_percent, attempts_max };
        let app = Router::new().route("/", post(receive)).with_state(receiver.clone());
        tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        receiver
    }

    fn arrivals(&self) -> Vec<Arrival> {
        self.arrivals.lock().unwrap().clone()
    }

    /// Everything that was told of each job, by delivery, in order.
    fn by_job(&self) -> BTreeMap<String, BTreeMap<String, Vec<Arrival>>> {
        let mut jobs: BTreeMap<String, BTreeMap<String, Vec<Arrival>>> = BTreeMap::new();
        for arrival in self.arrivals() {
            let told = jobs.entry(arrival.job.clone()).or_default();
            told.entry(arrival.id.clone()).or_default().push(arrival);
        }
        jobs
    }

    fn taken(&self) -> usize {
        self.arrivals.lock().unwrap().iter().filter(|arrival| arrival.taken).count()
    }
}

async fn receive(State(receiver): State<Receiver>, headers: HeaderMap, body: Bytes) -> StatusCode {
    let told: Value = serde_json::from_slice(&body).unwrap();
    let id = headers["webhook-id"].to_str().unwrap().to_owned();
    assert!(headers["framelane-signature"].to_str().unwrap().contains("v1="), "signed");
    let job = told["data"]["id"].as_str().unwrap().to_owned();
    let mut arrivals = receiver.arrivals.lock().unwrap();
    let attempt = 1 + arrivals.iter().filter(|arrival| arrival.id == id).count();
    let refused = attempt < receiver.attempts_max && rand::random_range(0..100) < receiver.fail_percent;
    let taken = !refused;
    arrivals.push(Arrival { id, job, body, at: Instant::now(), taken });
    if taken { StatusCode::OK } else { StatusCode::INTERNAL_SERVER_ERROR }
}

/// An endpoint that takes connections and never says anything.
async fn dead_endpoint() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}/", listener.local_addr().unwrap());
    tokio::spawn(async move {
        let mut held = Vec::new();
        while let Ok((connection, _)) = listener.accept().await {
            held.push(connection);
        }
    });
    address
}

async fn tell_of_cancellations(house: &House, client: &reqwest::Client, url: &str) {
    let body = json!({ "url": url, "events": ["render.cancelled"] });
    let (status, made) = house.call(client, Method::POST, "/v1/webhooks", Some(&body)).await;
    assert_eq!(status, 201, "{made}");
}

/// A job that is over at once; its id.
async fn cancelled(house: &House, client: &reqwest::Client) -> String {
    let id = house.submit(client, &small(1.0, json!([]))).await;
    let (status, job) = house.call(client, Method::DELETE, &format!("/v1/renders/{id}"), None).await;
    assert_eq!((status, &job["status"]), (200, &json!("cancelled")), "{job}");
    id
}

async fn until(what: &str, patience: Duration, holds: impl Fn() -> bool) {
    let deadline = Instant::now() + patience;
    while !holds() {
        assert!(Instant::now() < deadline, "{what}");
        sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deliveries_a_second() {
    let jobs = usize::try_from(times("FRAMELANE_TEST_DELIVERED_JOBS", 50, 2_000)).unwrap();
    let (house, client) = (House::build(Ground::Embedded).await, client());
    let mut receivers = Vec::new();
    for _ in 0..RECEIVERS {
        receivers.push(Receiver::start().await);
        tell_of_cancellations(&house, &client, &receivers[receivers.len() - 1].address).await;
    }
    for _ in 0..jobs {
        cancelled(&house, &client).await;
    }
    // All of it is due at once when the read side begins.
    house.read();
    let all = jobs * RECEIVERS;
    let taken = || receivers.iter().map(Receiver::taken).sum::<usize>();
    until("everything is delivered", Duration::from_secs(300), || taken() == all).await;
    let mut arrived: Vec<Instant> = receivers.iter().flat_map(Receiver::arrivals).map(|it| it.at).collect();
    arrived.sort();
    let took = arrived[arrived.len() - 1] - arrived[0];
    assert_eq!(arrived.len(), all, "each once");
    let rate = all as f64 / took.as_secs_f64();
    let fsync = fsync_p50(house.folder.path());
    figure(
        &format!("{all} signed deliveries to {RECEIVERS} receivers, SQLite"),
        format!("{rate:.0}/s, fsync p50 {fsync:?}"),
        "1,000/s",
    );
}

/// Jobs at a steady pace; how long after the job's end each receiver has heard of it, p99.
async fn pace(house: &House, client: &reqwest::Client, receivers: &[Receiver], jobs: u64) -> Duration {
    let mut ended = HashMap::new();
    let told = |receivers: &[Receiver]| receivers.iter().map(|it| it.arrivals().len()).sum::<usize>();
    let before = told(receivers);
    for _ in 0..jobs {
        let id = cancelled(house, client).await;
        ended.insert(id, Instant::now());
        sleep(Duration::from_millis(20)).await;
    }
    let all = before + ended.len() * receivers.len();
    until("all are told", Duration::from_secs(60), || told(receivers) >= all).await;
    let arrivals = receivers.iter().flat_map(Receiver::arrivals);
    let waits = arrivals.filter_map(|it| Some(it.at.saturating_duration_since(*ended.get(&it.job)?)));
    quantile(&mut waits.collect::<Vec<_>>(), 99)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_endpoint_is_nobody_elses_business() {
    let jobs = times("FRAMELANE_TEST_PACED_JOBS", 40, 2_000);
    let (house, client) = (House::build(Ground::Embedded).await, client());
    house.read();
    let mut receivers = Vec::new();
    for _ in 0..4 {
        receivers.push(Receiver::start().await);
        tell_of_cancellations(&house, &client, &receivers[receivers.len() - 1].address).await;
    }
    // The first ones open connections.
    pace(&house, &client, &receivers, 10).await;
    let alone = pace(&house, &client, &receivers, jobs).await;
    tell_of_cancellations(&house, &client, &dead_endpoint().await).await;
    let beside = pace(&house, &client, &receivers, jobs).await;
    let change = 100.0 * (beside.as_secs_f64() / alone.as_secs_f64() - 1.0);
    figure(
        &format!("p99 of {jobs} paced deliveries to each of 4 receivers"),
        format!("{alone:?}, beside a dead endpoint {beside:?} ({change:+.1} %)"),
        "below +10 %",
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sender_that_is_killed_delivers_everything_all_the_same() {
    let kills = times("FRAMELANE_TEST_SENDER_KILLS", 4, 200);
    let (nats, folder) = (Nats::start().await, tempfile::tempdir().unwrap());
    let objects = folder.path().join("objects").to_str().unwrap().to_owned();
    let roles = "command,query,projector,webhooks";
    let options = ["--roles", roles, "--nats-url", &nats.address(), "--objects", &objects];
    let mut face = Service::start(&folder.path().join("face"), &options).await;
    let receiver = Receiver::refusing(30, if is_soak() { 4 } else { 2 }).await;
    let mut film = small(1.0, json!([]));
    film["webhook_url"] = json!(receiver.address);
    let mut jobs = Vec::new();
    for round in 0..kills {
        for _ in 0..5 {
            let id = face.submit(&film).await;
            let (status, job) = face.call(Method::DELETE, &format!("/v1/renders/{id}"), None).await;
            assert_eq!(status.as_u16(), 200, "{job}");
            jobs.push(id);
        }
        // While some are on their way, at another moment each time.
        sleep(Duration::from_millis(round * 7 % 60)).await;
        face.kill();
        face.restart().await;
    }
    let all_told = || {
        let told = receiver.by_job();
        let is_told =
            |job: &String| told.get(job).is_some_and(|told| told.values().flatten().any(|it| it.taken));
        jobs.iter().all(is_told)
    };
    until("every end is delivered", DELAYS.iter().sum::<Duration>() + LATE_MAX, all_told).await;
    let (mut doubles, mut latest) = (0, Duration::ZERO);
    for (job, told) in receiver.by_job() {
        assert_eq!(told.len(), 1, "{job}: one end, one id: {told:?}");
        let arrivals = told.into_values().next().unwrap();
        assert!(arrivals.iter().all(|it| it.body == arrivals[0].body), "{job}: the same bytes each time");
        doubles += arrivals.iter().filter(|it| it.taken).count().saturating_sub(1) as u64;
        for (pair, delay) in arrivals.windows(2).zip(DELAYS.iter()) {
            latest = latest.max((pair[1].at - pair[0].at).saturating_sub(*delay));
        }
    }
    assert!(doubles <= kills, "{doubles} doubles of {} deliveries after {kills} kills", jobs.len());
    assert!(latest <= LATE_MAX, "none is {latest:?} past due");
    figure(
        &format!("{kills} kills of the webhook sender, {} ends, a receiver that fails 30 %", jobs.len()),
        format!("all delivered, {doubles} doubles, at most {latest:?} past due"),
        "all; 1 double a kill; 60 s",
    );
}
