//! What callers trust the service with is found nowhere: not in the log, not on the disk, not in what leaves the house.

use std::path::Path;

use axum::http::StatusCode;
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{KEY, System, WEBHOOK_SECRET, client, small};

/// What a caller would not like to find anywhere.
const MARKERS: [&str; 5] =
    ["S3CRET-user", "S3CRET-password", "S3CRET-token", "S3CRET-fragment", "S3CRET-hook"];

/// Every file below a folder.
fn files(folder: &Path) -> Vec<std::path::PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

fn holds(bytes: &[u8], needle: &str) -> bool {
    bytes.windows(needle.len()).any(|window| window == needle.as_bytes())
}

/// Sends a body and returns the answer as text.
async fn post(system: &System, body: &Value) -> (StatusCode, String) {
    let request = client()
        .post(format!("{}/v1/renders", system.service.address))
        .bearer_auth(KEY)
        .header("content-type", "application/json")
        .header("idempotency-key", "S3CRET-token-as-a-key");
    let answer = request.body(body.to_string()).send().await.unwrap();
    (StatusCode::from_u16(answer.status().as_u16()).unwrap(), answer.text().await.unwrap())
}

#[tokio::test]
async fn secrets_of_callers_are_found_nowhere_after_jobs_that_failed_and_one_that_did_not() {
    let clip = "-f lavfi -i testsrc2=size=320x180:rate=30 -t 1 -c:v libx264 -pix_fmt yuv420p";
    let system = System::start(&[("clip.mp4", clip)], &["--log", "debug"]).await;
    let secret = |url: &str| {
        let bare = url.trim_start_matches("http://");
        format!("http://{bare}?key=S3CRET-token#S3CRET-fragment")
    };
    let film = |source: String| {
        let hook = format!("{}/hook?auth=S3CRET-hook", system.outside.address);
        let mut film = small(1.0, json!([{ "type": "video", "source_url": source, "out_point": 1 }]));
        film["webhook_url"] = json!(hook);
        film
    };
    let with_user =
        system.outside.media("clip.mp4").replace("http://", "http://S3CRET-user:S3CRET-password@");
    for (url, status) in [
        (secret(&system.outside.media("clip.mp4")), "completed"),
        (secret(&system.outside.media("absent.mp4")), "failed"),
        (secret("http://10.0.0.1/a.mp4"), "failed"),
        (secret("http://127.0.0.1:9/a.mp4"), "failed"),
        (with_user, "failed"),
    ] {
        let job = system.service.finished(&system.service.submit(&film(url)).await).await;
        assert_eq!(job["status"], status, "{job}");
        let events = system.service.events(job["id"].as_str().unwrap()).await;
        let told = format!("{job} {}", Value::from(events));
        assert!(!told.contains("S3CRET"), "reads tell nothing: {told}");
    }
    // Refused bodies are answered by name, and keys of idempotency are kept as digests.
    let malformed = film("http:/S3CRET-user:S3CRET-password@host".to_owned());
    let (status, answer) = post(&system, &malformed).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{answer}");
    assert!(!answer.contains("S3CRET"), "nor does a refusal: {answer}");
    let (status, _) = post(&system, &film(secret(&system.outside.media("clip.mp4")))).await;
    assert_eq!(status, StatusCode::ACCEPTED);
    let (status, page) = system.service.call(Method::GET, "/v1/events?limit=1000", None).await;
    assert_eq!(status, StatusCode::OK);
    assert!(!page.to_string().contains("S3CRET"), "nor the workspace's history");
    for delivery in system.outside.ends() {
        assert!(!String::from_utf8_lossy(&delivery.body).contains("S3CRET"), "nor a webhook");
    }
    let own = [KEY, WEBHOOK_SECRET, "S3CRET-token-as-a-key"];
    for path in files(&system.folder.path().join("service")) {
        let bytes = std::fs::read(&path).unwrap_or_default();
        for marker in MARKERS.into_iter().chain(own) {
            assert!(!holds(&bytes, marker), "{marker} is in the clear in {}", path.display());
        }
    }
}
