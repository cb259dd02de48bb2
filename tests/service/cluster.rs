//! The service on several processes: its face with a log in PostgreSQL, workers that meet it at NATS, one folder of objects.
//! Whoever dies, sleeps or goes away meanwhile: the film is the one that a single process makes, to the bit.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use crate::postgres::Database;
use crate::scale::{figure, is_soak};
use crate::support::{Outside, Service, ffmpeg, get_url, small};

/// How long a lease lasts here without a heartbeat.
const TTL_MS: u64 = 1000;

/// A NATS server on a port of its own, gone with the test.
pub(crate) struct Nats {
    child: Child,
    folder: tempfile::TempDir,
    port: u16,
}

impl Nats {
    pub(crate) async fn start() -> Nats {
        let folder = tempfile::tempdir().unwrap();
        let child = Nats::spawn(folder.path(), "-1");
        let port = Nats::port_of(folder.path(), child.id()).await;
        Nats { child, folder, port }
    }

    /// The same, but it can't keep anything.
    async fn without_streams() -> Nats {
        let mut nats = Nats::start().await;
        nats.kill();
        let mut command = Nats::command(nats.folder.path(), &nats.port.to_string());
        nats.child = command.spawn().unwrap();
        Nats::port_of(nats.folder.path(), nats.child.id()).await;
        nats
    }

    fn spawn(folder: &Path, port: &str) -> Child {
        let mut command = Nats::command(folder, port);
        command.args(["--jetstream", "--store_dir"]).arg(folder.join("streams"));
        command.spawn().expect("nats-server is installed (make setup-test)")
    }

    fn command(folder: &Path, port: &str) -> Command {
        // Debian puts it where only administrators' paths look.
        let installed = Path::new("/usr/sbin/nats-server");
        let executable = if installed.exists() { installed } else { Path::new("nats-server") };
        let mut command = Command::new(executable);
        command.args(["--addr", "127.0.0.1", "--port", port, "--ports_file_dir"]).arg(folder);
        command.stdout(Stdio::null()).stderr(Stdio::null());
        command
    }

    async fn port_of(folder: &Path, pid: u32) -> u16 {
        let path = folder.join(format!("nats-server_{pid}.ports"));
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            let ports: Value =
                serde_json::from_str(&std::fs::read_to_string(&path).unwrap_or_default()).unwrap_or_default();
            if let Some(address) = ports["nats"][0].as_str() {
                return address.rsplit(':').next().unwrap().parse().unwrap();
            }
            assert!(Instant::now() < deadline, "NATS does not start");
            sleep(Duration::from_millis(5)).await;
        }
    }

    pub(crate) fn address(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    pub(crate) fn kill(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }

    pub(crate) async fn restart(&mut self) {
        self.child = Nats::spawn(self.folder.path(), &self.port.to_string());
        Nats::port_of(self.folder.path(), self.child.id()).await;
    }
}

impl Drop for Nats {
    fn drop(&mut self) {
        self.kill();
    }
}

/// One face and some workers. What is listed first is dropped first: the processes before their servers.
pub(crate) struct Cluster {
    pub(crate) face: Service,
    pub(crate) workers: Vec<Service>,
    nats: Nats,
    pub(crate) outside: Outside,
    pub(crate) folder: tempfile::TempDir,
    pub(crate) database: Database,
}

impl Cluster {
    async fn start(workers: usize) -> Cluster {
        let mut cluster = Cluster::without_workers(TTL_MS).await;
        for _ in 0..workers {
            cluster.add_worker(&["--slots", "1"]).await;
        }
        cluster
    }

    /// The face alone, whose leases last so long without a heartbeat.
    pub(crate) async fn without_workers(ttl_ms: u64) -> Cluster {
        let (nats, database) = (Nats::start().await, Database::create().await);
        let folder = tempfile::tempdir().unwrap();
        ffmpeg(CLIP, &folder.path().join("clip.mp4"));
        let outside = Outside::start(folder.path().to_owned()).await;
        let objects = folder.path().join("objects").to_str().unwrap().to_owned();
        let (address, database_url, ttl) = (nats.address(), database.address(), ttl_ms.to_string());
        let meeting = ["--nats-url", &address, "--objects", &objects];
        let roles = ["--roles", "command,query,projector,webhooks", "--lease-ttl-ms", &ttl];
        let options = [&meeting[..], &roles, &["--database-url", &database_url]].concat();
        let face = Service::start(&folder.path().join("face"), &options).await;
        Cluster { face, workers: Vec::new(), nats, outside, folder, database }
    }

    /// One worker more.
    pub(crate) async fn add_worker(&mut self, options: &[&str]) {
        let objects = self.folder.path().join("objects").to_str().unwrap().to_owned();
        let address = self.nats.address();
        let meeting = ["--roles", "worker", "--nats-url", &address, "--objects", &objects];
        let place = self.folder.path().join(format!("worker{}", self.workers.len()));
        self.workers.push(Service::start(&place, &[&meeting[..], options].concat()).await);
    }

    pub(crate) fn film(&self) -> Value {
        film(&self.outside)
    }

    /// The digest of the film that one process makes of the same.
    pub(crate) async fn alone(&self) -> String {
        self.alone_makes(&self.film()).await
    }

    /// The digest of what one process makes of a composition.
    pub(crate) async fn alone_makes(&self, composition: &Value) -> String {
        let service = Service::start(&self.folder.path().join("alone"), &["--slots", "2"]).await;
        let (job, _) = service.film(&service.submit(composition).await).await;
        job["output"]["sha256"].as_str().unwrap().to_owned()
    }

    /// Waits until the job's history has so many events of a type.
    pub(crate) async fn until(&self, id: &str, event_type: &str, count: usize) {
        let deadline = Instant::now() + Duration::from_secs(120);
        while of_type(&self.face.events(id).await, event_type) < count {
            assert!(Instant::now() < deadline, "{event_type} does not come {count} times");
            sleep(Duration::from_millis(10)).await;
        }
    }

    /// Whatever happened: the film is this one, made of parts that were stored once each, and the job ended once.
    pub(crate) async fn ends_with(&self, id: &str, sha256: &str, what: &str) {
        let (job, _) = self.face.film(id).await;
        assert_eq!(job["output"]["sha256"], sha256, "{what}: {job}");
        let events = self.face.events(id).await;
        let parts = events.iter().filter(|event| event["type"] == "render.part_stored");
        let mut parts: Vec<String> = parts.map(|event| event["data"]["slot"].to_string()).collect();
        let stored = parts.len();
        parts.sort();
        parts.dedup();
        assert_eq!(parts.len(), stored, "{what}: no part counts twice: {parts:?}");
        assert_eq!(of_type(&events, "render.completed"), 1, "{what}: it ended once");
        assert_eq!(events.last().unwrap()["type"], "render.completed", "{what}: and nothing came after");
    }
}

const CLIP: &str = "-f lavfi -i testsrc2=size=640x360:rate=30 -f lavfi -i sine=440 -t 24 -c:v libx264 -preset veryfast -g 60 -pix_fmt yuv420p -c:a aac";

const LONG_CLIP: &str = "-f lavfi -i testsrc2=size=640x360:rate=30 -f lavfi -i sine=440 -t 120 -c:v libx264 -preset veryfast -g 60 -pix_fmt yuv420p -c:a aac";

/// Six parts and a sound.
fn film(outside: &Outside) -> Value {
    let clip =
        json!({ "type": "video", "source_url": outside.media("clip.mp4"), "out_point": 24, "blur": 4 });
    let title = json!({ "type": "text", "text": "One film, many hands", "duration": 24, "font_size": 24 });
    small(24.0, json!([title, clip]))
}

fn of_type(events: &[Value], event_type: &str) -> usize {
    events.iter().filter(|event| event["type"] == event_type).count()
}

pub(crate) async fn frames_of(worker: &Service) -> f64 {
    let text = get_url(format!("{}/metrics", worker.address)).await.unwrap().text().await.unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix("framelane_frames_total "));
    line.unwrap().parse().unwrap()
}

#[tokio::test]
async fn workers_elsewhere_make_the_film_that_one_process_makes() {
    let mut cluster = Cluster::start(2).await;
    let alone = cluster.alone().await;
    let id = cluster.face.submit(&cluster.film()).await;
    cluster.ends_with(&id, &alone, "two workers").await;
    for worker in &cluster.workers {
        assert!(frames_of(worker).await > 0.0, "each of them had a part in it");
    }
    if is_soak() {
        cluster.workers.clear();
        compare_crowds(cluster).await;
    }
}

/// One long render by one process with as many slots as there are cores, then by one, two and four with one slot each
/// (the first of them with all slots, as it is the measure).
async fn compare_crowds(mut cluster: Cluster) {
    let cores = std::thread::available_parallelism().unwrap().to_string();
    ffmpeg(LONG_CLIP, &cluster.folder.path().join("clip.mp4"));
    let clip = json!({ "type": "video", "source_url": cluster.outside.media("clip.mp4"), "out_point": 120, "blur": 4 });
    let long = small(120.0, json!([clip]));
    let mut measured: Vec<(String, Duration, Value)> = Vec::new();
    for (crowd, slots) in [(1, cores.as_str()), (1, "1"), (2, "1"), (4, "1")] {
        cluster.workers.clear();
        for _ in 0..crowd {
            cluster.add_worker(&["--slots", slots]).await;
        }
        let begun = Instant::now();
        let job = cluster.face.finished(&cluster.face.submit(&long).await).await;
        assert_eq!(job["status"], "completed", "{job}");
        measured.push((format!("{crowd} × {slots} slots"), begun.elapsed(), job["output"]["sha256"].clone()));
    }
    let (_, alone, sha256) = &measured[0];
    for (crowd, wall, made) in &measured {
        assert_eq!(made, sha256, "{crowd}: one film");
        let ratio = wall.as_secs_f64() / alone.as_secs_f64();
        figure(
            &format!("one long render, {crowd}"),
            format!("{wall:?}, {ratio:.2}×"),
            "1.1× with every core at work",
        );
    }
}

#[tokio::test]
async fn whoever_dies_or_sleeps_costs_a_part_and_never_the_film() {
    let mut cluster = Cluster::start(2).await;
    let alone = cluster.alone().await;

    let id = cluster.face.submit(&cluster.film()).await;
    cluster.until(&id, "render.part_stored", 1).await;
    cluster.workers[0].kill();
    let killed = Instant::now();
    cluster.ends_with(&id, &alone, "a killed worker").await;
    assert!(killed.elapsed() < Duration::from_secs(60), "taken over: {:?}", killed.elapsed());
    cluster.workers[0].restart().await;

    let id = cluster.face.submit(&cluster.film()).await;
    cluster.until(&id, "render.part_stored", 1).await;
    cluster.workers[1].signal("STOP");
    sleep(Duration::from_millis(3 * TTL_MS)).await;
    cluster.workers[1].signal("CONT");
    cluster.ends_with(&id, &alone, "a worker that slept past its lease").await;

    let id = cluster.face.submit(&cluster.film()).await;
    cluster.until(&id, "render.part_stored", 1).await;
    cluster.face.kill();
    sleep(Duration::from_millis(500)).await;
    cluster.face.restart().await;
    cluster.ends_with(&id, &alone, "a killed face").await;
}

#[tokio::test]
async fn nats_may_go_away_and_come_back() {
    let mut cluster = Cluster::start(2).await;
    let alone = cluster.alone().await;
    let id = cluster.face.submit(&cluster.film()).await;
    cluster.until(&id, "render.part_stored", 1).await;
    cluster.nats.kill();
    sleep(Duration::from_secs(3)).await;
    let (status, _) = cluster.face.call(reqwest::Method::POST, "/v1/renders", Some(&cluster.film())).await;
    assert_eq!(status.as_u16(), 202, "requests are taken meanwhile");
    let ready = get_url(format!("{}/readyz", cluster.workers[0].address)).await.unwrap();
    assert_eq!(ready.status().as_u16(), 503, "a worker says that it hears of no work");
    cluster.nats.restart().await;
    let back = Instant::now();
    cluster.ends_with(&id, &alone, "without NATS for a while").await;
    assert!(back.elapsed() < Duration::from_secs(60), "it goes on soon: {:?}", back.elapsed());
}

/// What JetStream answers.
async fn jetstream(client: &async_nats::Client, request: &str, question: Value) -> Value {
    let request = format!("$JS.API.STREAM.{request}.EVENTS");
    let answer = client.request(request, question.to_string().into()).await.unwrap();
    serde_json::from_slice(&answer.payload).unwrap()
}

#[tokio::test]
async fn subscribers_at_nats_are_told_what_the_api_tells_and_a_lost_stream_holds_nothing_up() {
    let cluster = Cluster::start(1).await;
    let client = async_nats::connect(cluster.nats.address()).await.unwrap();
    let id = cluster.face.submit(&cluster.film()).await;
    let (job, _) = cluster.face.film(&id).await;
    let (told, mut heard) = (cluster.face.events(&id).await, Vec::new());
    let deadline = Instant::now() + Duration::from_secs(30);
    while heard.len() < told.len() {
        assert!(Instant::now() < deadline, "{} of {} events are on the stream", heard.len(), told.len());
        let message =
            jetstream(&client, "MSG.GET", json!({ "seq": heard.len() + 1 })).await["message"].clone();
        match message["data"].as_str() {
            Some(data) => {
                heard.push(serde_json::from_slice::<Value>(&STANDARD.decode(data).unwrap()).unwrap())
            }
            None => sleep(Duration::from_millis(50)).await,
        }
    }
    assert_eq!(heard, told);

    let id = cluster.face.submit(&cluster.film()).await;
    cluster.until(&id, "render.part_stored", 1).await;
    assert_eq!(jetstream(&client, "DELETE", json!({})).await["success"], true);
    let sha256 = job["output"]["sha256"].as_str().unwrap();
    cluster.ends_with(&id, sha256, "without its stream").await;
    let end = json!({ "last_by_subj": format!("framelane.events.*.{id}.render.completed") });
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let found = client.request("$JS.API.STREAM.MSG.GET.EVENTS", end.to_string().into()).await;
        let found = found.map(|answer| serde_json::from_slice::<Value>(&answer.payload).unwrap());
        if found.is_ok_and(|found| found["message"].is_object()) {
            break;
        }
        assert!(Instant::now() < deadline, "the stream is not made anew");
        sleep(Duration::from_millis(50)).await;
    }
    let metrics = get_url(format!("{}/metrics", cluster.face.address)).await.unwrap().text().await.unwrap();
    let failing = "framelane_projection_failing{projection=\"nats_relay\"} 0";
    assert!(metrics.contains(failing), "the relay tells how it is: {metrics}");
}

#[tokio::test]
async fn a_nats_that_keeps_no_events_is_refused_with_the_remedy() {
    let nats = Nats::without_streams().await;
    let folder = tempfile::tempdir().unwrap();
    let serve = |options: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_framelane"));
        command.args(["serve", "--listen", "127.0.0.1:0", "--roles", "command,query,projector,webhooks"]);
        command.args(["--nats-url", &nats.address(), "--data-dir"]).arg(folder.path()).args(options);
        command.stdout(Stdio::null()).stderr(Stdio::piped());
        command
    };
    let refused = serve(&[]).output().unwrap();
    let said = String::from_utf8(refused.stderr).unwrap();
    assert!(!refused.status.success() && said.contains("nats-server with -js"), "{said}");
    let options = [
        "--roles",
        "command,query,projector,webhooks",
        "--nats-url",
        &nats.address(),
        "--nats-events",
        "off",
    ];
    let service = Service::start(&folder.path().join("without"), &options).await;
    let ready = get_url(format!("{}/readyz", service.address)).await.unwrap();
    assert!(ready.status().is_success(), "it goes without");
}

#[test]
fn roles_that_can_not_meet_are_refused_with_the_remedy() {
    let serve = |roles: &str| {
        let folder = tempfile::tempdir().unwrap();
        let outcome = Command::new(env!("CARGO_BIN_EXE_framelane"))
            .args(["serve", "--listen", "127.0.0.1:0", "--roles", roles, "--data-dir"])
            .arg(folder.path())
            .output()
            .unwrap();
        assert!(!outcome.status.success());
        String::from_utf8(outcome.stderr).unwrap()
    };
    assert!(serve("worker").contains("--nats-url"), "{}", serve("worker"));
    assert!(serve("command,worker").contains("--database-url"), "{}", serve("command,worker"));
    assert!(serve("painter").contains("possible values: command, query"), "{}", serve("painter"));
}

#[tokio::test]
async fn a_second_service_on_one_folder_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let service = Service::start(folder.path(), &[]).await;
    let second = Command::new(env!("CARGO_BIN_EXE_framelane"))
        .args(["serve", "--listen", "127.0.0.1:0", "--data-dir"])
        .arg(service.data(""))
        .output()
        .unwrap();
    let said = String::from_utf8(second.stderr).unwrap();
    assert!(!second.status.success() && said.contains("another framelane serve works with it"), "{said}");
    let ready = get_url(format!("{}/readyz", service.address)).await.unwrap();
    assert!(ready.status().is_success(), "the first one goes on");
}
