//! Cancelling: over in the answer, the worker stopped within a moment, and nothing left of it, whatever was being done.

use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::StatusCode;
use axum::routing::get;
use futures_util::stream;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::time::{Instant, sleep};

use crate::scale::figure;
use crate::support::{Service, System, small};

/// The longest a worker may take to stop. It takes a tenth of that on an idle machine; this one is not.
const STOPPED_WITHIN: Duration = Duration::from_secs(1);

/// One group of pictures, so that a late frame is hundreds of frames' decoding away; noisy, so that nothing is cheap.
const LONG_WALK: &str = "-f lavfi -i color=gray:size=1280x720:rate=30:duration=15,noise=alls=80:allf=t -c:v libx264 -preset ultrafast -g 100000 -sc_threshold 0 -crf 40 -pix_fmt yuv420p";

/// An address whose answer never ends.
async fn endless_source() -> String {
    let endless = || async {
        let chunks = stream::unfold((), |()| async {
            sleep(Duration::from_millis(20)).await;
            Some((Ok::<_, std::convert::Infallible>(vec![0_u8; 64 << 10]), ()))
        });
        Body::from_stream(chunks)
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, Router::new().route("/clip.mp4", get(endless))).await });
    format!("http://{address}/clip.mp4")
}

/// Cancels, and says how long the worker was still at it after the answer. Nothing may be left of the job.
async fn cancel(service: &Service, id: &str) -> Duration {
    let (status, job) = service.call(Method::DELETE, &format!("/v1/renders/{id}"), None).await;
    let answered = Instant::now();
    assert_eq!((status, &job["status"]), (StatusCode::OK, &json!("cancelled")), "over in the answer: {job}");
    loop {
        let (threads, decoders) = (service.slots_at_work(), service.decoders());
        if threads.is_empty() && decoders.is_empty() {
            break;
        }
        assert!(answered.elapsed() < STOPPED_WITHIN, "still at work: {threads:?}, decoders {decoders:?}");
        sleep(Duration::from_millis(2)).await;
    }
    let took = answered.elapsed();
    let (status, _) = service.call(Method::DELETE, &format!("/v1/renders/{id}"), None).await;
    assert_eq!(status, StatusCode::CONFLICT, "it can be cancelled once");
    let job = service.job(id).await;
    assert_eq!((&job["status"], &job["output"]), (&json!("cancelled"), &Value::Null), "{job}");
    let folders = [service.data("objects/objects/renders").join(id), service.data("cache/work")];
    let left = || folders.iter().flat_map(|folder| std::fs::read_dir(folder).into_iter().flatten()).count();
    while left() > 0 {
        assert!(answered.elapsed() < Duration::from_secs(5), "{} files are left", left());
        sleep(Duration::from_millis(10)).await;
    }
    took
}

/// Waits until the job's history holds such an event.
async fn until(service: &Service, id: &str, event_type: &str, holds: impl Fn(&Value) -> bool) {
    for _ in 0..30_000 {
        let events = service.events(id).await;
        if events.iter().any(|event| event["type"] == event_type && holds(event)) {
            return;
        }
        sleep(Duration::from_millis(2)).await;
    }
    panic!("{id} never came to {event_type}");
}

#[tokio::test]
async fn a_cancelled_job_is_left_at_once_whatever_was_being_done() {
    let noise = "-f lavfi -i anoisesrc=d=1800:r=48000 -c:a pcm_s16le";
    let system = System::start(&[("walk.mp4", LONG_WALK), ("noise.wav", noise)], &["--slots", "2"]).await;
    let service = &system.service;
    let mut measured = Vec::new();

    let endless = endless_source().await;
    let fetching = json!([{ "type": "video", "source_url": endless, "out_point": 5 }]);
    let id = service.submit(&small(5.0, fetching)).await;
    until(service, &id, "render.slot_started", |_| true).await;
    sleep(Duration::from_millis(300)).await;
    let queued = service.submit(&small(5.0, json!([]))).await;
    measured.push(("fetching", cancel(service, &id).await));
    let (status, _) = service.call(Method::DELETE, &format!("/v1/renders/{queued}"), None).await;
    assert!(status == StatusCode::OK || status == StatusCode::CONFLICT, "waiting, begun or done: {status}");

    let walk = json!([{ "type": "video", "source_url": system.outside.media("walk.mp4"), "in_point": 13, "out_point": 15 }]);
    let id = service.submit(&small(2.0, walk)).await;
    until(service, &id, "render.planned", |_| true).await;
    sleep(Duration::from_millis(200)).await;
    assert!(!service.decoders().is_empty(), "a decoder is on its way to the first frame");
    measured.push(("decoding", cancel(service, &id).await));

    let mut large = small(
        20.0,
        json!([{ "type": "video", "source_url": system.outside.media("walk.mp4"), "out_point": 20, "blur": 20 }]),
    );
    (large["width"], large["height"]) = (json!(3840), json!(2160));
    large["output"] = json!({ "quality": 90 });
    let id = service.submit(&large).await;
    until(service, &id, "render.progress", |_| true).await;
    measured.push(("drawing and encoding", cancel(service, &id).await));

    let sound =
        json!([{ "type": "audio", "source_url": system.outside.media("noise.wav"), "out_point": 1800 }]);
    let mut long = small(1800.0, sound);
    (long["width"], long["height"], long["frame_rate"]) = (json!(16), json!(16), json!(1));
    let id = service.submit(&long).await;
    until(service, &id, "render.planned", |_| true).await;
    while !service.slots_at_work().iter().any(|slot| slot.starts_with("slot.audio")) {
        sleep(Duration::from_millis(5)).await;
    }
    sleep(Duration::from_millis(200)).await;
    measured.push(("mixing", cancel(service, &id).await));
    let longest = measured.iter().map(|(_, took)| *took).max().unwrap();
    figure(&format!("a worker's stop after a cancellation {measured:?}"), format!("{longest:?}"), "250 ms");
}

#[tokio::test]
async fn a_job_that_is_being_joined_can_be_cancelled() {
    let system = System::start(&[("walk.mp4", LONG_WALK)], &[]).await;
    let service = &system.service;
    let mut film = small(
        8.0,
        json!([{ "type": "video", "source_url": system.outside.media("walk.mp4"), "out_point": 8 }]),
    );
    (film["width"], film["height"]) = (json!(1280), json!(720));
    film["output"] = json!({ "quality": 95, "max_bitrate": 400_000_000 });
    // Joining is a matter of a moment: it may be over before it is noticed.
    for _ in 0..5 {
        let id = service.submit(&film).await;
        until(service, &id, "render.phase_changed", |event| event["data"]["stage"] == "encoding").await;
        let (status, job) = service.call(Method::DELETE, &format!("/v1/renders/{id}"), None).await;
        if status == StatusCode::CONFLICT {
            assert_eq!(service.job(&id).await["status"], "completed", "{job}");
            continue;
        }
        assert_eq!((status, &job["status"]), (StatusCode::OK, &json!("cancelled")), "{job}");
        sleep(STOPPED_WITHIN).await;
        assert_eq!(service.slots_at_work(), Vec::<String>::new(), "nobody is at it");
        let left = std::fs::read_dir(service.data("objects/objects/renders").join(&id));
        assert!(left.is_err(), "no part and no film is left");
        let events = service.events(&id).await;
        assert_eq!(events.last().unwrap()["type"], "render.cancelled", "and nothing follows");
        return;
    }
    panic!("joining was always over before it was noticed");
}
