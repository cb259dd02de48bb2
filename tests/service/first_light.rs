//! From a request to a film, and everything a client can read about it on the way.

use axum::http::StatusCode;
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{System, WEBHOOK_SECRET, probe, small, stream};

/// Half a screen of every kind of element, with sound.
fn everything(system: &System) -> Value {
    json!({
        "width": 640, "height": 360, "duration": 5, "frame_rate": 30, "output_filename": "my film",
        "background_color": "#203040", "metadata": { "order": "42" },
        "webhook_url": format!("{}/hook", system.outside.address),
        "elements": [
            { "type": "video", "id": "clip", "source_url": system.outside.media("clip.mp4"), "width": "60%", "height": "60%" },
            { "type": "image", "id": "photo", "source_url": system.outside.media("photo.png"), "duration": 4, "time": 1,
              "x": "75%", "width": "40%", "height": "50%", "z_rotation": "10deg", "opacity": 80, "blur": 5 },
            { "type": "text", "text": "Hello ✨ مرحبا", "duration": 5, "y": "85%", "height": "20%", "font_size": 40 },
            { "type": "audio", "source_url": system.outside.media("tone.wav"), "volume": 50, "fade_in_duration": 0.5 },
        ],
    })
}

async fn system() -> System {
    System::start(
        &[
            ("clip.mp4", "-f lavfi -i testsrc2=size=640x360:rate=30:duration=3 -f lavfi -i sine=220:d=3 -c:v libx264 -preset veryfast -pix_fmt yuv420p -c:a aac"),
            ("photo.png", "-f lavfi -i smptebars=size=800x600 -frames:v 1"),
            ("tone.wav", "-f lavfi -i sine=440:d=6"),
        ],
        &[],
    )
    .await
}

#[tokio::test]
async fn a_composition_becomes_a_film_that_ffprobe_has_nothing_to_say_about() {
    let system = system().await;
    let (job, film) = system.render(&everything(&system)).await;

    let found = probe(&film);
    let video = stream(&found, "video");
    for (field, expected) in [
        ("codec_name", "h264"),
        ("profile", "High"),
        ("pix_fmt", "yuv420p"),
        ("color_space", "bt709"),
        ("color_transfer", "bt709"),
        ("color_primaries", "bt709"),
        ("color_range", "tv"),
        ("nb_read_frames", "150"),
        ("r_frame_rate", "30/1"),
        ("sample_aspect_ratio", "1:1"),
    ] {
        assert_eq!(video[field], expected, "the picture's {field}");
    }
    let audio = stream(&found, "audio");
    for (field, expected) in
        [("codec_name", "aac"), ("profile", "LC"), ("sample_rate", "48000"), ("channels", "2")]
    {
        assert_eq!(audio[field].to_string().trim_matches('"'), expected, "the sound's {field}");
    }
    assert_eq!(found["format"]["start_time"], "0.000000", "the film starts at 0");
    assert_eq!(found["format"]["duration"], "5.000000", "and lasts as long as asked");
    let bytes = std::fs::read(&film).unwrap();
    let place = |kind: &[u8]| bytes.windows(4).position(|window| window == kind).unwrap();
    assert!(place(b"moov") < place(b"mdat"), "the index stands before the media");

    assert_eq!(job["progress_percent"], 100, "only a completed job is at 100");
    assert_eq!(job["metadata"]["order"], "42", "metadata is echoed");
    assert_eq!(job["output"]["frame_count"], 150, "the job tells the frames");
    assert_eq!(job["output"]["size_bytes"], bytes.len(), "and the size");
}

#[tokio::test]
async fn a_job_can_be_listed_followed_and_downloaded_under_its_name() {
    let system = system().await;
    let id = system.service.submit(&everything(&system)).await;
    let (status, waited) = system.service.call(Method::GET, &format!("/v1/renders/{id}?wait=60"), None).await;
    assert_eq!(
        (status, &waited["status"]),
        (StatusCode::OK, &json!("completed")),
        "waiting ends when the job does"
    );

    let (_, page) = system.service.call(Method::GET, "/v1/renders?limit=5", None).await;
    assert_eq!(page["data"][0]["id"], json!(id), "the newest job comes first");
    assert_eq!(page["has_more"], json!(false), "and it is the only one");

    let events = system.service.events(&id).await;
    let kinds: Vec<&str> = events.iter().map(|event| event["type"].as_str().unwrap()).collect();
    assert_eq!(kinds.first(), Some(&"render.submitted"), "history begins with the request");
    assert_eq!(kinds.last(), Some(&"render.completed"), "and ends with the film");
    assert_eq!(
        kinds.iter().filter(|kind| **kind == "render.part_stored").count(),
        3,
        "two parts and the sound: {kinds:?}"
    );

    let client =
        crate::support::client_builder().redirect(reqwest::redirect::Policy::none()).build().unwrap();
    let address = format!("{}/v1/renders/{id}/download", system.service.address);
    let answer = client.get(address).bearer_auth(crate::support::KEY).send().await.unwrap();
    assert_eq!(answer.status().as_u16(), 302, "a download is a redirect to a signed link");
    let file = crate::support::get_url(answer.headers()["location"].to_str().unwrap()).await.unwrap();
    let name = file.headers()["content-disposition"].to_str().unwrap().to_owned();
    assert!(
        name.contains("my film.mp4") || name.contains("my%20film.mp4"),
        "under the name asked for: {name}"
    );
}

#[tokio::test]
async fn the_webhook_of_a_completed_job_is_signed_and_arrives_once() {
    let system = system().await;
    let id = system.service.submit(&everything(&system)).await;
    system.service.finished(&id).await;
    let deadline = tokio::time::Instant::now() + std::time::Duration::from_secs(20);
    while system.outside.ends().is_empty() {
        assert!(tokio::time::Instant::now() < deadline, "the webhook arrives");
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    let deliveries = system.outside.ends();
    assert_eq!(deliveries.len(), 1, "one event, one delivery");
    let body: Value = serde_json::from_slice(&deliveries[0].body).unwrap();
    assert_eq!(
        (&body["type"], &body["data"]["id"]),
        (&json!("render.completed"), &json!(id)),
        "of this job's end"
    );

    // Python's hmac as the second implementation.
    let check = "import hmac,hashlib,sys\n\
        secret,signature,body=sys.argv[1],sys.argv[2],sys.stdin.buffer.read()\n\
        parts=dict(part.split('=',1) for part in signature.split(','))\n\
        expected=hmac.new(secret.encode(),parts['t'].encode()+b'.'+body,hashlib.sha256).hexdigest()\n\
        sys.exit(0 if hmac.compare_digest(expected,parts['v1']) else 1)";
    let signature = deliveries[0].headers["framelane-signature"].to_str().unwrap();
    let mut python = std::process::Command::new("python3")
        .args(["-c", check, WEBHOOK_SECRET, signature])
        .stdin(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    std::io::Write::write_all(&mut python.stdin.take().unwrap(), &deliveries[0].body).unwrap();
    assert!(python.wait().unwrap().success(), "the signature is that of the body");
}

#[tokio::test]
async fn stills_come_as_png_and_jpg() {
    let system = system().await;
    for (format, codec) in [("png", "png"), ("jpg", "mjpeg")] {
        let mut still = small(
            2.0,
            json!([{ "type": "image", "id": "i", "source_url": system.outside.media("photo.png"), "duration": 2 }]),
        );
        still["output_format"] = json!(format);
        let (job, file) = system.render(&still).await;
        let found = probe(&file);
        let video = stream(&found, "video");
        assert_eq!(
            (&video["codec_name"], &video["width"], &video["height"]),
            (&json!(codec), &json!(320), &json!(180)),
            "{format}"
        );
        assert_eq!(job["output"]["frame_count"], 1, "a still is one frame");
    }
}

#[tokio::test]
async fn every_fault_of_a_request_is_named_at_once() {
    let system = System::start(&[], &[]).await;
    let faulty = json!({
        "width": 641, "height": 4, "output_format": "webm", "frame_rate": 0,
        "elements": [{ "type": "text", "text": "", "duration": -1, "effects": [], "motion": [], "blend_mode": "multply" },
                     { "type": "vidoe" }],
    });
    let (status, answer) = system.service.call(Method::POST, "/v1/renders", Some(&faulty)).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{answer}");
    let details = answer["error"]["details"].as_array().unwrap();
    let paths: Vec<&str> = details.iter().map(|detail| detail["path"].as_str().unwrap()).collect();
    for path in [
        "/height",
        "/output_format",
        "/frame_rate",
        "/elements/0/text",
        "/elements/0/duration",
        "/elements/0/blend_mode",
        "/elements/1/type",
    ] {
        assert!(paths.contains(&path), "{path} is named: {paths:?}");
    }
    assert!(answer.to_string().contains("multiply"), "the nearest name is offered: {answer}");
}

#[tokio::test]
async fn fifty_requests_with_one_idempotency_key_make_one_job() {
    let system = System::start(&[], &[]).await;
    let body = small(1.0, json!([{ "type": "text", "text": "once", "duration": 1 }])).to_string();
    let client = crate::support::client();
    let requests = (0..50).map(|_| {
        client
            .post(format!("{}/v1/renders", system.service.address))
            .bearer_auth(crate::support::KEY)
            .header("content-type", "application/json")
            .header("idempotency-key", "the-same")
            .body(body.clone())
            .send()
    });
    let tasks: Vec<_> = requests.map(tokio::spawn).collect();
    let mut ids = std::collections::BTreeSet::new();
    let mut accepted = 0;
    for task in tasks {
        let answer = task.await.unwrap().unwrap();
        accepted += u32::from(answer.status().as_u16() == 202);
        let job: Value = serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap();
        ids.insert(job["id"].as_str().unwrap().to_owned());
    }
    assert_eq!((ids.len(), accepted), (1, 1), "one job, accepted once: {ids:?}");
}

#[tokio::test]
async fn a_missing_source_fails_the_job_by_name_and_a_cancelled_job_leaves_nothing() {
    let system = system().await;
    let missing = small(
        1.0,
        json!([{ "type": "video", "id": "gone", "source_url": system.outside.media("nothing.mp4") }]),
    );
    let id = system.service.submit(&missing).await;
    let job = system.service.finished(&id).await;
    assert_eq!(
        (&job["status"], &job["error"]["code"]),
        (&json!("failed"), &json!("source_not_found")),
        "{job}"
    );
    assert_eq!(
        (&job["error"]["element_id"], &job["error"]["path"]),
        (&json!("gone"), &json!("/elements/0/source_url")),
        "{job}"
    );

    let mut long = everything(&system);
    long["duration"] = json!(3600);
    let id = system.service.submit(&long).await;
    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    let (status, job) = system.service.call(Method::DELETE, &format!("/v1/renders/{id}"), None).await;
    assert_eq!((status, &job["status"]), (StatusCode::OK, &json!("cancelled")), "cancelled at once");
    let (status, _) = system.service.call(Method::DELETE, &format!("/v1/renders/{id}"), None).await;
    assert_eq!(status, StatusCode::CONFLICT, "a job that is over can't be cancelled");
    let objects = system.folder.path().join("service/data/objects/renders").join(&id);
    let deadline = tokio::time::Instant::now() + std::time::Duration::from_secs(10);
    while std::process::Command::new("find").arg(&objects).args(["-type", "f"]).output().unwrap().stdout
        != b""
    {
        assert!(tokio::time::Instant::now() < deadline, "nothing of a cancelled job is kept");
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
}
