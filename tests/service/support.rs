//! The harness: a service in its own process and folder, media on a loopback server, a receiver of webhooks, and
//! ffprobe and ffmpeg as independent eyes.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path as UrlPath, State};
use axum::http::{HeaderMap, StatusCode};
use axum::routing::{get, post};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::time::{Instant, sleep};

use crate::s3_server;

/// The key every test service is started with.
pub(crate) const KEY: &str = "fl_live_test_0123456789abcdef";

/// The secret webhooks are signed with: `whsec_` and 32 bytes of base64.
pub(crate) const WEBHOOK_SECRET: &str = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";

/// No job of these tests takes longer, even on a loaded machine.
const PATIENCE: Duration = Duration::from_secs(240);

/// A received webhook.
#[derive(Debug, Clone)]
pub(crate) struct Delivery {
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

/// Media served on a loopback port, and webhooks received there.
#[derive(Debug, Clone)]
pub(crate) struct Outside {
    pub(crate) address: String,
    received: Arc<Mutex<Vec<Delivery>>>,
}

impl Outside {
    /// Serves `folder` under `/media/…`, takes webhooks at `/hook`, and at `/gone` wants none.
    pub(crate) async fn start(folder: PathBuf) -> Outside {
        let received = Arc::new(Mutex::new(Vec::new()));
        let app = Router::new()
            .route("/media/{name}", get(serve_file))
            .with_state(folder)
            .route("/gone", post(async || StatusCode::GONE))
            .merge(Router::new().route("/hook", post(receive)).with_state(Arc::clone(&received)));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        Outside { address, received }
    }

    /// The address of a file in the folder.
    pub(crate) fn media(&self, name: &str) -> String {
        format!("{}/media/{name}", self.address)
    }

    /// Every end of a job that was delivered so far; progress is left out.
    pub(crate) fn ends(&self) -> Vec<Delivery> {
        let progress = |delivery: &Delivery| {
            let body: Value = serde_json::from_slice(&delivery.body).unwrap();
            body["type"] == "render.progress"
        };
        let received = self.received.lock().unwrap();
        received.iter().filter(|delivery| !progress(delivery)).cloned().collect()
    }
}

async fn serve_file(
    State(folder): State<PathBuf>,
    UrlPath(name): UrlPath<String>,
) -> Result<([(&'static str, &'static str); 1], Vec<u8>), StatusCode> {
    let kind = if name.ends_with(".html") { "text/html" } else { "application/octet-stream" };
    let bytes = tokio::fs::read(folder.join(name)).await.map_err(|_absent| StatusCode::NOT_FOUND)?;
    Ok(([("content-type", kind)], bytes))
}

async fn receive(
    State(received): State<Arc<Mutex<Vec<Delivery>>>>,
    headers: HeaderMap,
    body: Bytes,
) -> StatusCode {
    received.lock().unwrap().push(Delivery { headers, body });
    StatusCode::OK
}

/// A process that does not outlive its test, however that ends.
#[derive(Debug)]
struct Process(Child);

impl Process {
    fn kill(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A running service; killed when dropped.
#[derive(Debug)]
pub(crate) struct Service {
    child: Process,
    pub(crate) address: String,
    folder: PathBuf,
    options: Vec<String>,
    client: reqwest::Client,
}

impl Service {
    /// Starts a service with its data in `folder` and waits until it is ready.
    pub(crate) async fn start(folder: &Path, options: &[&str]) -> Service {
        let options: Vec<String> = options.iter().map(|&option| option.to_owned()).collect();
        let (child, address) = Service::spawn(folder, &options).await;
        Service { child, address, folder: folder.to_owned(), options, client: client() }
    }

    async fn spawn(folder: &Path, options: &[String]) -> (Process, String) {
        // A port of the system's choice: taken, released, and used at once.
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        std::fs::create_dir_all(folder).unwrap();
        let log =
            std::fs::OpenOptions::new().create(true).append(true).open(folder.join("service.log")).unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_framelane"))
            .args(["serve", "--listen", &format!("127.0.0.1:{port}"), "--data-dir"])
            .arg(folder.join("data"))
            .args(options)
            .env("FRAMELANE_API_KEY", KEY)
            .env("FRAMELANE_WEBHOOK_SECRET", WEBHOOK_SECRET)
            .env("FRAMELANE_ALLOW_NETWORKS", "127.0.0.0/8")
            .env("AWS_ACCESS_KEY_ID", s3_server::KEY_ID)
            .env("AWS_SECRET_ACCESS_KEY", s3_server::SECRET)
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        let mut child = Process(child);
        let address = format!("http://127.0.0.1:{port}");
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Ok(answer) = get_url(format!("{address}/readyz")).await
                && answer.status().is_success()
            {
                return (child, address);
            }
            let ended = child.0.try_wait().unwrap();
            assert!(ended.is_none(), "the service ended with {ended:?}: {}", Service::log_of(folder));
            assert!(Instant::now() < deadline, "the service is not ready: {}", Service::log_of(folder));
            sleep(Duration::from_millis(5)).await;
        }
    }

    fn log_of(folder: &Path) -> String {
        let log = std::fs::read_to_string(folder.join("service.log")).unwrap_or_default();
        log.lines().rev().take(30).collect::<Vec<_>>().into_iter().rev().collect::<Vec<_>>().join("\n")
    }

    /// Kills the process as a power cut would.
    pub(crate) fn kill(&mut self) {
        self.child.kill();
    }

    /// Sends the process a signal by name.
    pub(crate) fn signal(&self, name: &str) {
        let sent = Command::new("kill").args(["-s", name, &self.child.0.id().to_string()]).status().unwrap();
        assert!(sent.success(), "the process is there");
    }

    /// Starts it again on the same data.
    pub(crate) async fn restart(&mut self) {
        (self.child, self.address) = Service::spawn(&self.folder, &self.options).await;
    }

    /// The decoder processes at work right now.
    pub(crate) fn decoders(&self) -> Vec<u32> {
        let stat = |pid: u32| std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let parent =
            |pid: u32| stat(pid).rsplit(") ").next().and_then(|rest| rest.split(' ').nth(1)?.parse().ok());
        let processes = std::fs::read_dir("/proc")
            .unwrap()
            .filter_map(|entry| entry.unwrap().file_name().to_str()?.parse().ok());
        let service = self.child.0.id();
        // A decoder at work is a child of the zygote, which is a child of the service.
        processes.filter(|&pid: &u32| parent(pid).and_then(parent) == Some(service)).collect()
    }

    /// The names of the worker's threads that are at work right now.
    pub(crate) fn slots_at_work(&self) -> Vec<String> {
        let threads = std::fs::read_dir(format!("/proc/{}/task", self.child.0.id())).unwrap();
        let names =
            threads.filter_map(|thread| std::fs::read_to_string(thread.ok()?.path().join("comm")).ok());
        names.map(|name| name.trim().to_owned()).filter(|name| name.starts_with("slot.")).collect()
    }

    /// A path below the service's data folder.
    pub(crate) fn data(&self, path: &str) -> PathBuf {
        self.folder.join("data").join(path)
    }

    /// One request with the key; status and JSON body.
    pub(crate) async fn call(
        &self,
        method: reqwest::Method,
        path: &str,
        body: Option<&Value>,
    ) -> (StatusCode, Value) {
        let mut request = self.client.request(method, format!("{}{path}", self.address)).bearer_auth(KEY);
        if let Some(body) = body {
            request = request.header("content-type", "application/json").body(body.to_string());
        }
        let answer = request.send().await.unwrap();
        let status = StatusCode::from_u16(answer.status().as_u16()).unwrap();
        let bytes = answer.bytes().await.unwrap();
        (status, serde_json::from_slice(&bytes).unwrap_or(Value::Null))
    }

    /// Submits a composition and returns the job's id.
    pub(crate) async fn submit(&self, composition: &Value) -> String {
        let (status, job) = self.call(reqwest::Method::POST, "/v1/renders", Some(composition)).await;
        assert_eq!(status, StatusCode::ACCEPTED, "the composition is accepted: {job}");
        job["id"].as_str().unwrap().to_owned()
    }

    /// Reads a job.
    pub(crate) async fn job(&self, id: &str) -> Value {
        let (status, job) = self.call(reqwest::Method::GET, &format!("/v1/renders/{id}"), None).await;
        assert_eq!(status, StatusCode::OK, "the job is there: {job}");
        job
    }

    /// Waits until the job is terminal.
    pub(crate) async fn finished(&self, id: &str) -> Value {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let job = self.job(id).await;
            if matches!(job["status"].as_str(), Some("completed" | "failed" | "cancelled")) {
                return job;
            }
            assert!(
                Instant::now() < deadline,
                "the job is not done: {job}\n{}",
                Service::log_of(&self.folder)
            );
            sleep(Duration::from_millis(100)).await;
        }
    }

    /// Waits until the job is completed and downloads its film.
    pub(crate) async fn film(&self, id: &str) -> (Value, PathBuf) {
        let job = self.finished(id).await;
        assert_eq!(
            job["status"],
            "completed",
            "the job is completed: {job}\n{}",
            Service::log_of(&self.folder)
        );
        let answer = get_url(job["output"]["url"].as_str().unwrap()).await.unwrap();
        assert!(answer.status().is_success(), "the signed link works without a key");
        let format = job["output"]["content_type"].as_str().unwrap().rsplit('/').next().unwrap().to_owned();
        let path = self.folder.join(format!("{id}.{format}"));
        std::fs::write(&path, answer.bytes().await.unwrap()).unwrap();
        (job, path)
    }

    /// The job's public events, oldest first.
    pub(crate) async fn events(&self, id: &str) -> Vec<Value> {
        let (status, page) = self.call(reqwest::Method::GET, &format!("/v1/renders/{id}/events"), None).await;
        assert_eq!(status, StatusCode::OK, "the history is there: {page}");
        page["data"].as_array().unwrap().clone()
    }
}

/// An HTTP client that may be built: whoever comes first installs the TLS provider, which nothing here uses.
pub(crate) fn client_builder() -> reqwest::ClientBuilder {
    drop(rustls::crypto::ring::default_provider().install_default());
    reqwest::Client::builder()
}

/// A plain HTTP client.
pub(crate) fn client() -> reqwest::Client {
    client_builder().build().unwrap()
}

/// One GET without a key.
pub(crate) async fn get_url(address: impl reqwest::IntoUrl) -> reqwest::Result<reqwest::Response> {
    client().get(address).send().await
}

/// A folder with media, a server for it, and a service.
#[derive(Debug)]
pub(crate) struct System {
    pub(crate) outside: Outside,
    pub(crate) service: Service,
    pub(crate) folder: tempfile::TempDir,
}

impl System {
    /// Starts everything; `media` lists ffmpeg arguments (without the output) by file name.
    pub(crate) async fn start(media: &[(&str, &str)], options: &[&str]) -> System {
        let folder = tempfile::tempdir().unwrap();
        for (name, recipe) in media {
            ffmpeg(recipe, &folder.path().join(name));
        }
        let outside = Outside::start(folder.path().to_owned()).await;
        let service = Service::start(&folder.path().join("service"), options).await;
        System { outside, service, folder }
    }

    /// Renders a composition to a file.
    pub(crate) async fn render(&self, composition: &Value) -> (Value, PathBuf) {
        let id = self.service.submit(composition).await;
        self.service.film(&id).await
    }
}

/// Makes a file with ffmpeg; arguments are separated by blanks.
pub(crate) fn ffmpeg(arguments: &str, output: &Path) {
    let outcome = Command::new("ffmpeg")
        .args(["-nostdin", "-v", "error", "-y"])
        .args(arguments.split_whitespace())
        .arg(output)
        .output()
        .expect("ffmpeg is installed (make setup)");
    assert!(outcome.status.success(), "ffmpeg {arguments}: {}", String::from_utf8_lossy(&outcome.stderr));
}

/// What ffmpeg prints on standard error (its measuring filters report there).
pub(crate) fn ffmpeg_report(arguments: &[&str]) -> String {
    let outcome = Command::new("ffmpeg").args(["-nostdin", "-hide_banner"]).args(arguments).output().unwrap();
    let report = String::from_utf8_lossy(&outcome.stderr).into_owned();
    assert!(outcome.status.success(), "ffmpeg {arguments:?}: {report}");
    report
}

/// A film's decoded bytes in a raw format, frame after frame.
pub(crate) fn decode(film: &Path, arguments: &[&str]) -> Vec<u8> {
    let outcome = Command::new("ffmpeg")
        .args(["-nostdin", "-v", "error", "-i"])
        .arg(film)
        .args(arguments)
        .arg("-")
        .stderr(Stdio::inherit())
        .output()
        .unwrap();
    assert!(outcome.status.success(), "ffmpeg decodes {}", film.display());
    outcome.stdout
}

/// What ffprobe says of a file, frames counted by decoding.
pub(crate) fn probe(film: &Path) -> Value {
    let outcome = Command::new("ffprobe")
        .args(["-v", "error", "-count_frames", "-show_streams", "-show_format", "-of", "json"])
        .arg(film)
        .output()
        .expect("ffprobe is installed (make setup)");
    assert!(
        outcome.stderr.is_empty(),
        "ffprobe has no complaint: {}",
        String::from_utf8_lossy(&outcome.stderr)
    );
    serde_json::from_slice(&outcome.stdout).unwrap()
}

/// The stream of a kind (`video`, `audio`) in a probe; `Null` where there is none.
pub(crate) fn stream<'p>(probe: &'p Value, kind: &str) -> &'p Value {
    let streams = probe["streams"].as_array().unwrap();
    streams.iter().find(|stream| stream["codec_type"] == kind).unwrap_or(&Value::Null)
}

/// PSNR of the luma of a film against a reference, both as ffmpeg decodes them.
pub(crate) fn psnr_y(film: &Path, reference: &Path, reference_filter: &str) -> f64 {
    let graph = format!(
        "[0:v]setpts=PTS-STARTPTS,setparams=color_primaries=bt709:color_trc=bt709:colorspace=bt709:range=tv[a];\
         [1:v]{reference_filter}setpts=PTS-STARTPTS,setparams=color_primaries=bt709:color_trc=bt709:colorspace=bt709:range=tv[b];\
         [a][b]psnr=shortest=1"
    );
    let report = ffmpeg_report(&[
        "-i",
        film.to_str().unwrap(),
        "-i",
        reference.to_str().unwrap(),
        "-lavfi",
        &graph,
        "-f",
        "null",
        "-",
    ]);
    let value = report.rsplit("PSNR y:").next().and_then(|rest| rest.split_whitespace().next()).unwrap();
    value.parse().unwrap_or(f64::INFINITY)
}

/// The usual composition: a canvas of 320×180 with these elements.
pub(crate) fn small(duration: f64, elements: Value) -> Value {
    json!({ "width": 320, "height": 180, "duration": duration, "elements": elements })
}
