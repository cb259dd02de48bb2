//! Sources that are missing, damaged, hostile or without end: each job fails by its named code at its element, and the
//! service works on.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, sleep};

use crate::support::{System, small};

/// No fault takes longer to be found, even where a server is asked three times.
const WITHIN: Duration = Duration::from_secs(60);

const CLIP: &str = "-f lavfi -i testsrc2=size=320x180:rate=30 -t 4 -c:v libx264 -preset veryfast -pix_fmt yuv420p -movflags +faststart";

fn make_hostile(folder: &Path) {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/media/hostile.py");
    let made = Command::new("python3").arg(script).arg(folder).arg(folder.join("clip.mp4")).status().unwrap();
    assert!(made.success(), "the hostile files are made");
}

/// A server that answers any path: `/endless` without end, `/503` and `/403` by that status.
async fn unkind_server() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        loop {
            let (connection, _) = listener.accept().await.unwrap();
            tokio::spawn(answer(connection));
        }
    });
    address
}

async fn answer(mut connection: TcpStream) {
    let mut request = [0; 4096];
    let length = connection.read(&mut request).await.unwrap_or(0);
    let request = String::from_utf8_lossy(&request[..length]).into_owned();
    let path = request.split([' ', '?']).nth(1).unwrap_or_default();
    if path == "/endless" {
        let head = b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-type: video/mp4\r\n\r\n";
        drop(connection.write_all(head).await);
        let block = [0x5a; 65536];
        while connection.write_all(&block).await.is_ok() {}
        return;
    }
    let status = path.trim_start_matches('/');
    let head = format!("HTTP/1.1 {status} Refused\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
    drop(connection.write_all(head.as_bytes()).await);
}

/// An element of a type with this source.
fn element(kind: &str, url: &str) -> Value {
    json!({ "type": kind, "id": "the culprit", "source_url": format!("{url}?token=S3CRET"), "duration": 1, "out_point": 1 })
}

#[tokio::test]
async fn every_fault_of_a_source_fails_its_job_by_name_and_harms_nothing_else() {
    let system = System::start(&[("clip.mp4", CLIP)], &["--source-limit", "24MiB"]).await;
    make_hostile(system.folder.path());
    let unkind = unkind_server().await;
    let file = |name: &str| system.outside.media(name);
    let table = [
        ("video", file("absent.mp4"), "source_not_found"),
        ("video", file("empty.mp4"), "unsupported_media"),
        ("audio", file("empty.mp4"), "unsupported_media"),
        ("image", file("empty.mp4"), "unsupported_media"),
        ("video", file("text.mp4"), "unsupported_media"),
        ("image", file("page.png"), "unsupported_media"),
        ("video", file("truncated.mp4"), "corrupt_media"),
        ("video", file("indexless.mp4"), "corrupt_media"),
        ("image", file("truncated.png"), "corrupt_media"),
        ("image", file("huge.png"), "source_too_large"),
        ("image", file("header.png"), "source_too_large"),
        ("image", file("clip.mp4"), "unsupported_media"),
        ("audio", file("clip.mp4"), "unsupported_media"),
        ("video", format!("{unkind}/endless"), "source_too_large"),
        ("video", format!("{unkind}/403"), "source_forbidden"),
        ("video", format!("{unkind}/410"), "source_not_found"),
        ("video", format!("{unkind}/503"), "invalid_source"),
        ("video", "http://127.0.0.1:9/refused.mp4".to_owned(), "invalid_source"),
        ("video", "http://nobody.invalid/a.mp4".to_owned(), "source_not_found"),
        ("video", "http://[fd00::1]/a.mp4".to_owned(), "source_forbidden"),
        ("image", "file:///etc/passwd".to_owned(), "source_forbidden"),
    ];
    let mut jobs = Vec::new();
    for (kind, url, code) in &table {
        let film =
            small(1.0, json!([{ "type": "text", "text": "before", "duration": 1 }, element(kind, url)]));
        jobs.push((system.service.submit(&film).await, format!("{kind} from {url}"), *code));
    }
    let begun = Instant::now();
    for (id, what, code) in jobs {
        let job = system.service.finished(&id).await;
        let error = &job["error"];
        assert_eq!((&job["status"], &error["code"]), (&json!("failed"), &json!(code)), "{what}: {job}");
        assert_eq!(error["element_id"], "the culprit", "{what}: {job}");
        assert_eq!(error["path"], "/elements/1/source_url", "{what}: {job}");
        assert!(!job.to_string().contains("S3CRET"), "{what}: {job}");
        assert!(error["message"].as_str().is_some_and(|message| message.len() > 10), "{what}: {job}");
        assert_eq!(job["attempt"], 1, "{what}: no fault of a source is worth another attempt: {job}");
    }
    assert!(begun.elapsed() < WITHIN, "all of them within {:?}", begun.elapsed());
    bomb(&system).await;
    let film = small(1.0, json!([element("video", &file("clip.mp4"))]));
    let (job, _) = system.render(&film).await;
    assert_eq!(job["output"]["frame_count"], 30, "after all that the service renders as before");
    for _ in 0..100 {
        if system.service.decoders().is_empty() {
            return;
        }
        sleep(Duration::from_millis(20)).await;
    }
    panic!("decoders are left: {:?}", system.service.decoders());
}

/// A picture with a gibibyte of profile and text: they are of no use here, so that it is shown or refused, in little time
/// and memory.
async fn bomb(system: &System) {
    let film = small(1.0, json!([element("image", &system.outside.media("bomb.png"))]));
    let job = system.service.finished(&system.service.submit(&film).await).await;
    let refused = ["source_too_large", "corrupt_media"].map(Value::from).contains(&job["error"]["code"]);
    assert!(job["status"] == "completed" || refused, "{job}");
}

#[tokio::test]
async fn what_is_suspicious_about_a_source_is_told_when_it_is_known() {
    let uneven = "-f lavfi -i testsrc2=size=160x90:rate=30 -vf select='not(mod(n,3))+not(mod(n,4))' -t 3 -fps_mode vfr -c:v libx264 -pix_fmt yuv420p";
    let system = System::start(&[("clip.mp4", CLIP), ("uneven.mp4", uneven)], &[]).await;
    let warnings = async |name: &str, out_point: f64| {
        let source =
            json!({ "type": "video", "source_url": system.outside.media(name), "out_point": out_point });
        let (job, _) = system.render(&small(1.0, json!([source]))).await;
        let told = job["warnings"].as_array().unwrap().iter();
        told.map(|warning| (warning["code"].clone(), warning["path"].clone())).collect::<Vec<_>>()
    };
    let at = |code: &str, field: &str| (json!(code), json!(format!("/elements/0/{field}")));
    assert_eq!(warnings("clip.mp4", 3.0).await, []);
    assert_eq!(warnings("clip.mp4", 30.0).await, [at("source_shorter_than_out_point", "out_point")]);
    let found = warnings("uneven.mp4", 1.0).await;
    assert_eq!(found, [at("variable_frame_rate", "source_url"), at("upscaled", "source_url")]);
}
