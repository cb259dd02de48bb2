//! A real browser plays what we make, from 0 to the end.

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
    let arguments = json!([
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
    ]);
    let options = json!({ "args": arguments });
    let capabilities = json!({ "capabilities": { "alwaysMatch": { "goog:chromeOptions": options, "timeouts": { "script": 60_000 } } } });
    let session = driver.post("/session", capabilities).await;
    let session = format!("/session/{}", session["sessionId"].as_str().unwrap());
    driver.post(&format!("{session}/url"), json!({ "url": system.outside.media("play.html") })).await;
    let told = driver.post(&format!("{session}/execute/async"), json!({ "script": PLAY, "args": [] })).await;
    drop(driver.client.delete(format!("{}{session}", driver.address)).send().await);

    assert_eq!(told["how"], "ended", "{told}");
    assert_eq!((&told["width"], &told["height"]), (&json!(320), &json!(180)), "{told}");
    assert_eq!(told["duration"], json!(6), "the browser sees the exact length: {told}");
    assert!(told["from"].as_f64().unwrap() < 0.2, "it began at the start: {told}");
    assert!(told["at"].as_f64().unwrap() >= 5.99, "it played to the end: {told}");
    assert!(told["frames"].as_u64().unwrap() >= 150, "most of 180 frames were shown: {told}");
}
