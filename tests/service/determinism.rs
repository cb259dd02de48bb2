//! One composition, one sha256: however many slots, however often.

use serde_json::json;

use crate::support::{Service, System, small};

#[tokio::test]
async fn one_slot_and_four_make_the_same_bytes() {
    let clip = "-f lavfi -i testsrc2=size=320x180:rate=25:duration=14 -f lavfi -i sine=330:d=14 -c:v libx264 -preset veryfast -bf 3 -g 40 -pix_fmt yuv420p -c:a aac";
    // One file for all: an encoder with threads does not write the same one twice.
    let system = System::start(&[("clip.mp4", clip)], &["--slots", "1"]).await;
    let four = Service::start(&system.folder.path().join("four"), &["--slots", "4"]).await;
    let video = json!({ "type": "video", "source_url": system.outside.media("clip.mp4"), "out_point": 14, "blur": 3 });
    let mut front = video.clone();
    front["blur"] = json!(0);
    for (field, value) in
        [("width", json!("40%")), ("height", json!("40%")), ("z_rotation", json!(7)), ("volume", json!(0))]
    {
        front[field] = value;
    }
    let text = json!({ "type": "text", "text": "the same, always", "duration": 14, "font_size": 24 });
    let composition = small(14.0, json!([video, front, text]));
    let mut digests = Vec::new();
    for service in [&system.service, &four, &system.service, &four] {
        let (job, _) = service.film(&service.submit(&composition).await).await;
        digests.push(job["output"]["sha256"].as_str().unwrap().to_owned());
    }
    assert!(digests.iter().all(|digest| *digest == digests[0]), "four renders, one digest: {digests:?}");
}

#[tokio::test]
async fn films_that_are_rendered_at_once_do_not_mix() {
    // Films without sources have equal plans: nothing but the job tells them apart.
    let system = System::start(&[], &["--slots", "4"]).await;
    let films: Vec<_> = (0..6)
        .map(|n| {
            small(
                5.0,
                json!([{ "type": "text", "text": format!("film {n}"), "duration": 5, "font_size": 60 }]),
            )
        })
        .collect();
    let mut together = Vec::new();
    for film in &films {
        together.push(system.service.submit(film).await);
    }
    for (film, id) in films.iter().zip(together) {
        let (at_once, _) = system.service.film(&id).await;
        let (alone, _) = system.service.film(&system.service.submit(film).await).await;
        assert_eq!(at_once["output"]["sha256"], alone["output"]["sha256"], "{}", film["elements"][0]["text"]);
    }
}
