//! Picture and sound stay together: a flash and a beep meet within 10 ms, from the first second to the last.

use serde_json::json;

use crate::support::{System, decode, small};

/// Flashes (white frames of 0.2 s) and beeps (1 kHz, 0.2 s) every 10 s, 60 s long.
const PICTURE: &str = "-f lavfi -i color=black:size=320x180:rate=30:duration=60,drawbox=t=fill:color=white:enable='lt(mod(t,10),0.2)'";
const SOUND: &str = "-f lavfi -i aevalsrc='sin(2*PI*1000*t)*lt(mod(t,10),0.2)':s=48000:d=60";
const CODECS: &str = "-c:v libx264 -preset veryfast -pix_fmt yuv420p -c:a aac";

/// The instants (s) at which the picture turns white.
fn flashes(film: &std::path::Path, rate: f64) -> Vec<f64> {
    let luma = decode(film, &["-vf", "scale=1:1:flags=area,format=gray", "-f", "rawvideo"]);
    onsets(luma.iter().map(|&y| y > 128)).into_iter().map(|frame| frame as f64 / rate).collect()
}

/// The instants (s) at which the sound begins.
fn beeps(film: &std::path::Path) -> Vec<f64> {
    let bytes = decode(film, &["-ac", "1", "-ar", "48000", "-f", "f32le"]);
    let samples: Vec<f32> =
        bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]).abs()).collect();
    // Loud from here on for most of 5 ms: a codec's ringing before the beep is not the beep.
    let loud = samples.windows(240).map(|w| w.iter().filter(|s| **s > 0.2).count() > 120);
    onsets(loud).into_iter().map(|at| (at + 120) as f64 / 48_000.0).fold(Vec::new(), |mut beeps, at| {
        if beeps.last().is_none_or(|last| at - last > 1.0) {
            beeps.push(at);
        }
        beeps
    })
}

fn onsets(signal: impl Iterator<Item = bool>) -> Vec<usize> {
    let mut before = false;
    signal
        .enumerate()
        .filter_map(|(at, on)| (std::mem::replace(&mut before, on) != on && on).then_some(at))
        .collect()
}

async fn assert_in_sync(name: &str, recipe: &str, speed: f64) {
    let source = format!("{PICTURE} {SOUND} {recipe}");
    let system = System::start(&[(name, &source)], &[]).await;
    let seconds = 60.0 / speed;
    let elements = json!([{ "type": "video", "source_url": system.outside.media(name), "out_point": 60, "speed": speed }]);
    let (_, film) = system.render(&small(seconds, elements)).await;
    let (flashes, beeps) = (flashes(&film, 30.0), beeps(&film));
    assert_eq!((flashes.len(), beeps.len()), (6, 6), "six flashes and six beeps: {flashes:?} {beeps:?}");
    for (index, (flash, beep)) in flashes.iter().zip(&beeps).enumerate() {
        let due = index as f64 * 10.0 / speed;
        assert!((beep - due).abs() <= 0.010, "beep {index} is due at {due} s and comes at {beep} s");
        // A flash can only show on the frame grid: it is due on the first frame that shows its instant.
        let shown = (due * 30.0 - 1e-6).ceil() / 30.0;
        assert!((flash - shown).abs() <= 0.010, "flash {index} is due at {shown} s and comes at {flash} s");
    }
}

#[tokio::test]
async fn flash_and_beep_meet_at_normal_speed() {
    assert_in_sync("plain.mp4", CODECS, 1.0).await;
}

#[tokio::test]
async fn flash_and_beep_meet_at_one_and_a_half_times_the_speed() {
    assert_in_sync("fast.mp4", CODECS, 1.5).await;
}

#[tokio::test]
async fn flash_and_beep_meet_from_a_source_of_variable_frame_rate() {
    // Two of three frames of every other second are dropped; the timestamps of the rest stay.
    let recipe = format!("-vf select='not(mod(floor(t),2))+not(mod(n,3))' -fps_mode vfr {CODECS}");
    assert_in_sync("vfr.mp4", &recipe, 1.0).await;
}
