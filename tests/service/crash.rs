//! A power cut at any moment of a render: the job still completes, once.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::sleep;

use crate::scale::times;
use crate::support::{System, small};

/// How often the service is killed, each time at another moment of a render. `FRAMELANE_TEST_KILLS` asks for more.
const KILLS: u64 = 8;

#[tokio::test]
async fn a_job_survives_the_death_of_the_service_at_any_moment() {
    let clip = "-f lavfi -i testsrc2=size=320x180:rate=30:duration=20 -f lavfi -i sine=330:d=20 -c:v libx264 -preset veryfast -pix_fmt yuv420p -c:a aac";
    let mut system = System::start(&[("clip.mp4", clip)], &["--lease-ttl-ms", "1500"]).await;
    let mut digest: Option<Value> = None;
    let kills = times("FRAMELANE_TEST_KILLS", KILLS, 200);
    for round in 0..kills {
        let mut composition = small(
            20.0,
            json!([{ "type": "video", "source_url": system.outside.media("clip.mp4"), "out_point": 20 }]),
        );
        composition["webhook_url"] = json!(format!("{}/hook", system.outside.address));
        let id = system.service.submit(&composition).await;
        sleep(Duration::from_millis(40 + round * 1360 / kills)).await;
        let stored_before = parts(&system.service.events(&id).await);
        system.service.kill();
        system.service.restart().await;

        let job = system.service.finished(&id).await;
        assert_eq!(job["status"], "completed", "round {round}: {job}");
        let events = system.service.events(&id).await;
        let terminal = events.iter().filter(|event| event["type"] == "render.completed").count();
        assert_eq!(terminal, 1, "round {round}: exactly one terminal event");
        let stored = parts(&events);
        let once: std::collections::BTreeSet<&String> = stored.iter().collect();
        assert_eq!(once.len(), stored.len(), "round {round}: no part is stored twice: {stored:?}");
        assert_eq!(
            stored[..stored_before.len()],
            stored_before[..],
            "round {round}: what was stored is kept"
        );
        let sha256 = &job["output"]["sha256"];
        assert_eq!(
            digest.get_or_insert(sha256.clone()),
            sha256,
            "round {round}: the same film as undisturbed"
        );

        let delivered = delivered(&system, &id).await;
        assert!(delivered.windows(2).all(|pair| pair[0] == pair[1]), "round {round}: one id and one body");
    }
}

#[tokio::test]
async fn a_part_whose_decoder_is_killed_is_done_again() {
    let clip = "-f lavfi -i testsrc2=size=1280x720:rate=30:duration=12 -c:v libx264 -preset ultrafast -pix_fmt yuv420p";
    let system = System::start(&[("clip.mp4", clip)], &[]).await;
    let id = system
        .service
        .submit(&small(
            12.0,
            json!([{ "type": "video", "source_url": system.outside.media("clip.mp4"), "out_point": 12 }]),
        ))
        .await;
    let mut victim = None;
    for _ in 0..2000 {
        let events = system.service.events(&id).await;
        let rendering = events.iter().any(|event| event["type"] == "render.planned");
        if let Some(decoder) = system.service.decoders().first().filter(|_| rendering) {
            victim = Some(*decoder);
            break;
        }
        sleep(Duration::from_millis(2)).await;
    }
    let victim = victim.expect("a decoder is at work while parts are rendered");
    assert!(std::process::Command::new("kill").args(["-9", &victim.to_string()]).status().unwrap().success());

    let job = system.service.finished(&id).await;
    assert_eq!(job["status"], "completed", "{job}");
    let events = system.service.events(&id).await;
    let failed = events.iter().filter(|event| event["type"] == "render.attempt_failed").count();
    assert_eq!(failed, 1, "one attempt failed and was repeated");
}

/// The slots of the stored parts, in order.
fn parts(events: &[Value]) -> Vec<String> {
    let stored = events.iter().filter(|event| event["type"] == "render.part_stored");
    stored.map(|event| event["data"]["slot"].as_str().unwrap().to_owned()).collect()
}

/// The bodies of this job's webhook, at least one.
async fn delivered(system: &System, id: &str) -> Vec<Vec<u8>> {
    for _ in 0..400 {
        let bodies: Vec<Vec<u8>> = system
            .outside
            .ends()
            .into_iter()
            .filter(|delivery| String::from_utf8_lossy(&delivery.body).contains(id))
            .map(|delivery| delivery.body.to_vec())
            .collect();
        if !bodies.is_empty() {
            return bodies;
        }
        sleep(Duration::from_millis(50)).await;
    }
    panic!("the webhook of {id} was not delivered");
}
