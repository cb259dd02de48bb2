//! Transitions as they are seen and heard: against the sources' own frames, and at equal power.

use std::path::Path;

use serde_json::{Value, json};

use crate::support::{Service, System, decode, small};

/// Pixels of one frame's luma.
const LUMA: usize = 320 * 180;
/// Bytes of a 4:2:0 frame.
const FRAME: usize = LUMA * 3 / 2;
const RATE: usize = 48_000;

fn clip(source: &str, sound: u32) -> String {
    format!(
        "-f lavfi -i {source}=size=320x180:rate=30 -f lavfi -i sine={sound}:sample_rate=48000 -t 8 -c:v libx264 \
         -preset veryfast -crf 6 -g 40 -pix_fmt yuv420p -colorspace bt709 -color_primaries bt709 -color_trc bt709 -c:a pcm_s16le"
    )
}

fn luma(film: &Path) -> Vec<u8> {
    let planes = decode(film, &["-f", "rawvideo", "-pix_fmt", "yuv420p"]);
    planes.chunks_exact(FRAME).flat_map(|frame| &frame[..LUMA]).copied().collect()
}

/// The mean distance of a frame's luma from a mix of two others.
fn distance(shown: &[u8], left: &[u8], entered: &[u8], share: f64) -> f64 {
    let mixed = left.iter().zip(entered).map(|(a, b)| (1.0 - share) * f64::from(*a) + share * f64::from(*b));
    shown.iter().zip(mixed).map(|(shown, mixed)| (f64::from(*shown) - mixed).abs()).sum::<f64>() / LUMA as f64
}

/// How loud a tone is around an instant: the amplitude of that frequency in a window of 20 ms.
fn loudness(sound: &[f64], at: f64, frequency: f64) -> f64 {
    let (length, middle) = (RATE / 50, (at * RATE as f64) as usize);
    let window = &sound[middle - length / 2..middle + length / 2];
    let (mut real, mut imaginary, mut weight) = (0.0, 0.0, 0.0);
    for (n, sample) in window.iter().enumerate() {
        let hann = 0.5 - 0.5 * (std::f64::consts::TAU * n as f64 / length as f64).cos();
        let turn = std::f64::consts::TAU * frequency * n as f64 / RATE as f64;
        real += hann * sample * turn.cos();
        imaginary += hann * sample * turn.sin();
        weight += hann;
    }
    2.0 * real.hypot(imaginary) / weight
}

fn mono(film: &Path) -> Vec<f64> {
    let bytes = decode(film, &["-ac", "1", "-ar", "48000", "-f", "f32le"]);
    bytes.as_chunks::<4>().0.iter().map(|sample| f64::from(f32::from_le_bytes(*sample))).collect()
}

fn film(system: &System, transition: &Value) -> Value {
    let video = |name: &str, more: Value| {
        let mut video = json!({ "type": "video", "id": name, "source_url": system.outside.media(name) });
        video.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        video
    };
    // The first part of the film ends with frame 119: the transition begins in it and is over in the second.
    let left = video("a.mov", json!({ "in_point": 1, "out_point": 4.5 }));
    let entered = video("b.mov", json!({ "time": 3.5, "out_point": 4 }));
    let mut film = small(7.5, json!([left, entered]));
    film["transitions"] = json!([transition]);
    film["output"] = json!({ "quality": 95 });
    film
}

#[tokio::test]
async fn one_clip_dissolves_into_the_next_and_their_sounds_cross_at_equal_power() {
    let system =
        System::start(&[("a.mov", &clip("testsrc2", 440)), ("b.mov", &clip("mandelbrot", 1000))], &[]).await;
    let transition = json!({ "type": "fade", "duration": 2, "from_id": "a.mov", "to_id": "b.mov" });
    let (job, shown) = system.render(&film(&system, &transition)).await;
    assert_eq!(job["warnings"], json!([]), "nothing is suspicious");
    let [left, entered] = ["a.mov", "b.mov"].map(|name| luma(&system.folder.path().join(name)));
    let picture = luma(&shown);
    assert_eq!(picture.len(), 225 * LUMA, "nothing shifts in time");
    let frame = |of: &[u8], n: usize| of[n * LUMA..][..LUMA].to_vec();
    for n in [0, 60, 104, 105, 112, 119, 120, 121, 135, 150, 164, 165, 224] {
        let share = ((n as f64 - 105.0) / 60.0).clamp(0.0, 1.0);
        // After its end the one that is left goes on into frames that its source still has.
        let (old, new) = (frame(&left, (30 + n).min(239)), frame(&entered, n.saturating_sub(105)));
        let off = distance(&frame(&picture, n), &old, &new, share);
        assert!(off < 1.5, "frame {n}, share {share}: {off} code values off on average");
    }
    let sound = mono(&shown);
    let (full_left, full_entered) = (loudness(&sound, 2.0, 440.0), loudness(&sound, 6.5, 1000.0));
    for step in 0..=8 {
        let (progress, at) = (f64::from(step) / 8.0, 3.5 + f64::from(step) / 4.0);
        let old = loudness(&sound, at, 440.0) / full_left;
        let new = loudness(&sound, at, 1000.0) / full_entered;
        let turn = progress * std::f64::consts::FRAC_PI_2;
        assert!((old - turn.cos()).abs() < 0.03, "at {at} s the old sound is {old}, not {}", turn.cos());
        assert!((new - turn.sin()).abs() < 0.03, "at {at} s the new sound is {new}, not {}", turn.sin());
    }
}

#[tokio::test]
async fn parts_that_share_a_transition_are_rendered_apart_and_alike() {
    let system = System::start(
        &[("a.mov", &clip("testsrc2", 440)), ("b.mov", &clip("mandelbrot", 1000))],
        &["--slots", "1"],
    )
    .await;
    let four = Service::start(&system.folder.path().join("four"), &["--slots", "4"]).await;
    let dip = json!({ "type": "dip_to_black", "duration": 2, "to_id": "b.mov" });
    let mut mixed = film(&system, &json!({ "type": "cross_dissolve", "duration": 2 }));
    // Neither covers the other: the frames are mixed from two scenes.
    mixed["elements"][0]["height"] = json!("40%");
    mixed["elements"][1]["width"] = json!("30%");
    for composition in [film(&system, &dip), mixed] {
        let mut digests = Vec::new();
        for service in [&system.service, &four] {
            let (job, _) = service.film(&service.submit(&composition).await).await;
            digests.push(job["output"]["sha256"].as_str().unwrap().to_owned());
        }
        assert_eq!(digests[0], digests[1], "one slot and four: {}", composition["transitions"]);
    }
}
