//! A real browser: it plays what we make, from 0 to the end, and reads the page that shows the contract.

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use crate::support::{System, small};

/// Plays a video to its end and tells what happened.
const PLAY: &str = "
    const [done] = arguments, video = document.querySelector('video');
    const tell = (how) => {
        const quality = video.getVideoPlaybackQuality();
        done({ how, from, at: video.currentTime, duration: video.duration, frames: quality.totalVideoFrames,
               width: video.videoWidth, height: video.videoHeight, error: video.error && video.error.message });
    };
    let from = null;
    video.onplaying = () => { from ??= video.currentTime; };
    video.onended = () => tell('ended');
    video.onerror = () => tell('error');
    video.muted = true;
    video.play().catch((error) => done({ how: String(error) }));";

/// chromedriver on a free port; killed when dropped.
struct Driver {
    child: Child,
    address: String,
    client: reqwest::Client,
}

impl Driver {
    async fn start() -> Driver {
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let child = Command::new("chromedriver")
            .arg(format!("--port={port}"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("chromedriver is installed (make setup-test)");
        let driver =
            Driver { child, address: format!("http://127.0.0.1:{port}"), client: crate::support::client() };
        let deadline = Instant::now() + Duration::from_secs(30);
        while driver.client.get(format!("{}/status", driver.address)).send().await.is_err() {
            assert!(Instant::now() < deadline, "chromedriver answers");
            sleep(Duration::from_millis(50)).await;
        }
        driver
    }

    async fn post(&self, path: &str, body: Value) -> Value {
        let request = self.client.post(format!("{}{path}", self.address)).body(body.to_string());
        let answer = request.send().await.unwrap();
        let bytes = answer.bytes().await.unwrap();
        let answer: Value = serde_json::from_slice(&bytes).unwrap();
        assert!(answer["value"]["error"].is_null(), "{path}: {answer}");
        answer["value"].clone()
    }
}

/// What the headless browser is started with: nothing of its own on the network, and no sound.
const BROWSER: &[&str] = &[
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--mute-audio",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--autoplay-policy=no-user-gesture-required",
    "--window-size=1400,1000",
];

/// A browser window.
struct Session<'d> {
    driver: &'d Driver,
    path: String,
}

impl Driver {
    async fn open(&self) -> Session<'_> {
        let options = json!({ "args": BROWSER });
        let wanted = json!({
            "goog:chromeOptions": options,
            "goog:loggingPrefs": { "browser": "ALL", "performance": "ALL" },
            "timeouts": { "script": 60_000 },
        });
        let session = self.post("/session", json!({ "capabilities": { "alwaysMatch": wanted } })).await;
        Session { driver: self, path: format!("/session/{}", session["sessionId"].as_str().unwrap()) }
    }
}

impl Session<'_> {
    async fn visit(&self, address: &str) {
        self.driver.post(&format!("{}/url", self.path), json!({ "url": address })).await;
    }

    /// What a script tells by calling its last argument.
    async fn told(&self, script: &str) -> Value {
        let script = json!({ "script": script, "args": [] });
        self.driver.post(&format!("{}/execute/async", self.path), script).await
    }

    /// Entries of the browser's own log of a kind.
    async fn log(&self, kind: &str) -> Vec<Value> {
        let entries = self.driver.post(&format!("{}/se/log", self.path), json!({ "type": kind })).await;
        entries.as_array().unwrap().clone()
    }

    async fn close(self) {
        drop(self.driver.client.delete(format!("{}{}", self.driver.address, self.path)).send().await);
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

#[tokio::test]
async fn a_browser_plays_a_film_from_the_start_to_the_end() {
    let clip = "-f lavfi -i testsrc2=size=320x180:rate=30:duration=6 -f lavfi -i sine=330:d=6 -c:v libx264 -preset veryfast -pix_fmt yuv420p -c:a aac";
    let system = System::start(&[("clip.mp4", clip)], &[]).await;
    let elements =
        json!([{ "type": "video", "source_url": system.outside.media("clip.mp4"), "out_point": 6 }]);
    let (_, film) = system.render(&small(6.0, elements)).await;
    std::fs::copy(&film, system.folder.path().join("film.mp4")).unwrap();
    std::fs::write(
        system.folder.path().join("play.html"),
        "<!doctype html><video src=film.mp4 preload=auto></video>",
    )
    .unwrap();

    let driver = Driver::start().await;
    let session = driver.open().await;
    session.visit(&system.outside.media("play.html")).await;
    let told = session.told(PLAY).await;
    session.close().await;

    assert_eq!(told["how"], "ended", "{told}");
    assert_eq!((&told["width"], &told["height"]), (&json!(320), &json!(180)), "{told}");
    assert_eq!(told["duration"], json!(6), "the browser sees the exact length: {told}");
    assert!(told["from"].as_f64().unwrap() < 0.2, "it began at the start: {told}");
    assert!(told["at"].as_f64().unwrap() >= 5.99, "it played to the end: {told}");
    assert!(told["frames"].as_u64().unwrap() >= 150, "most of 180 frames were shown: {told}");
}

/// Waits until the page shows the document, searches it, opens every schema once, and tries an endpoint out.
const READ: &str = "
    const [done] = arguments, all = (selector) => [...document.querySelectorAll(selector)];
    const until = async (what) => { while (!what()) await new Promise((next) => setTimeout(next, 20)); };
    (async () => {
        await until(() => all('section').length > 0);
        const shown = () => all('section').filter((section) => !section.hidden).map(({ id }) => id);
        const ids = shown();
        all('section details:not(.try)').forEach((details) => { details.open = true; });
        await until(() => all('.fields .name').some(({ textContent }) => textContent === 'elements'));
        const search = document.querySelector('#search');
        search.value = 'cancel';
        search.dispatchEvent(new Event('input'));
        const found = shown();
        search.value = '';
        search.dispatchEvent(new Event('input'));
        const health = document.querySelector('#get_health .try');
        health.open = true;
        health.querySelector('button[type=submit]').click();
        const result = health.querySelector('pre[aria-live]');
        await until(() => result.textContent.length > 1);
        const back = () => getComputedStyle(document.body).backgroundColor;
        const before = back();
        document.querySelector('#theme').click();
        done({ ids, found, answer: result.textContent, curl: health.querySelector('pre code').textContent,
               themes: [before, back()], links: all('nav a').length });
    })().catch((error) => done({ error: String(error) }));";

#[tokio::test]
async fn a_browser_reads_the_contract_and_asks_no_other_host() {
    let system = System::start(&[], &[]).await;
    let home = format!("{}/", system.service.address);
    let driver = Driver::start().await;
    let session = driver.open().await;
    session.visit(&format!("{home}docs")).await;
    let told = session.told(READ).await;
    let complaints = session.log("browser").await;
    let network = session.log("performance").await;
    session.close().await;

    assert!(told["error"].is_null(), "{told}");
    let ids: Vec<_> = told["ids"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    assert!(ids.contains(&"submit_render") && ids.contains(&"on_render_completed"), "{ids:?}");
    assert_eq!(told["links"], json!(ids.len()), "every endpoint is in the contents");
    let found = told["found"].as_array().unwrap();
    assert!(
        found.contains(&json!("cancel_render")) && found.len() < ids.len(),
        "the search finds: {found:?}"
    );
    assert!(told["answer"].as_str().unwrap().contains("HTTP 200"), "an endpoint can be tried: {told}");
    assert!(told["curl"].as_str().unwrap().contains("/healthz"), "and as curl: {told}");
    assert_ne!(told["themes"][0], told["themes"][1], "there is a light and a dark form");
    assert_eq!(complaints, Vec::<Value>::new(), "the browser has no complaint");
    let mut asked = 0;
    for entry in &network {
        let event: Value = serde_json::from_str(entry["message"].as_str().unwrap()).unwrap();
        let event = &event["message"];
        if event["method"] == "Network.requestWillBeSent" {
            let address = event["params"]["request"]["url"].as_str().unwrap();
            assert!(address.starts_with(&home) || address.starts_with("data:"), "the page asked {address}");
            asked += 1;
        }
    }
    assert!(asked >= 3, "this test must see the requests, it saw {asked}");
}
