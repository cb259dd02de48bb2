//! Sound lies where ffmpeg puts it, to the sample, from wherever it is read.

use std::f32::consts::FRAC_1_SQRT_2;
use std::path::Path;

use crate::clips::{audio, clip, clip_of, host, open, sound_by_ffmpeg};

/// Noise of 4 s: every sample differs, so that a shift by one shows.
const NOISE: &str = "-f lavfi -i anoisesrc=r=48000:a=0.3:seed=7:d=4";

/// Everything from sample `start` on, in reads of changing length.
fn read_from(path: &Path, start: i64) -> Vec<f32> {
    let host = host();
    let file = open(path);
    let mut reader = host.open_audio(&file, &audio(&host, &file)).unwrap();
    let mut samples = Vec::new();
    for count in (1..).map(|n| 700 * n) {
        let position = start + (samples.len() / 2) as i64;
        let more = reader.read(position, count).unwrap();
        samples.extend_from_slice(&more);
        if more.len() < count * 2 {
            break;
        }
    }
    samples
}

/// The largest difference between the two, over what both have.
fn difference(ours: &[f32], theirs: &[f32]) -> f32 {
    ours.iter().zip(theirs).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

#[test]
fn stereo_at_48_khz_is_what_ffmpeg_decodes() {
    for (name, encoder) in [
        ("noise.wav", "-ac 2 -c:a pcm_s16le"),
        ("noise.m4a", "-ac 2 -c:a aac -b:a 128k"),
        ("noise.flac", "-ac 2 -c:a flac"),
        ("noise.webm", "-ac 2 -c:a libopus -b:a 96k"),
        ("noise.mp3", "-ac 2 -c:a libmp3lame -b:a 128k"),
    ] {
        let path = clip(name, &format!("{NOISE} {encoder}"));
        let (ours, theirs) = (read_from(&path, 0), sound_by_ffmpeg(&path));
        let (length, expected) = (ours.len() / 2, theirs.len() / 2);
        assert!(length.abs_diff(expected) <= 1, "{name}: {length} samples, by ffmpeg {expected}");
        let worst = difference(&ours, &theirs);
        assert!(worst < 1e-4, "{name} differs by {worst}");
    }
}

#[test]
fn other_rates_and_layouts_are_brought_to_stereo_at_48_khz() {
    // 0.4 at the left of 5.1, nothing elsewhere but −6 dB of it in the centre.
    let surround = "aevalsrc=0.4*sin(2*PI*500*t)|0|0.2*sin(2*PI*500*t)|0|0|0:c=5.1:s=48000:d=1";
    let path = clip_of("surround.wav", &["-f", "lavfi", "-i", surround]);
    let sound = read_from(&path, 0);
    let peak =
        |side: usize| sound.iter().skip(side).step_by(2).fold(0.0f32, |most, sample| most.max(sample.abs()));
    assert!(
        (peak(0) - (0.4 + 0.2 * FRAC_1_SQRT_2)).abs() < 0.002,
        "left and −3 dB of the centre: {}",
        peak(0)
    );
    assert!((peak(1) - 0.2 * FRAC_1_SQRT_2).abs() < 0.002, "−3 dB of the centre: {}", peak(1));

    let path = clip_of("mono.wav", &["-f", "lavfi", "-i", "aevalsrc=0.5*sin(2*PI*441*t):s=44100:d=1"]);
    let sound = read_from(&path, 0);
    assert_eq!(sound.len() / 2, 48_000, "a second");
    for (n, pair) in sound.chunks_exact(2).enumerate().skip(200).take(47_600) {
        let expected = 0.5 * (2.0 * std::f64::consts::PI * 441.0 * n as f64 / 48_000.0).sin();
        assert!(
            (f64::from(pair[0]) - expected).abs() < 0.002,
            "sample {n}: {} instead of {expected}",
            pair[0]
        );
        assert_eq!(pair[0].to_bits(), pair[1].to_bits(), "mono goes to both sides at full level");
    }
}

#[test]
fn a_read_from_the_middle_gives_what_a_read_from_the_start_gives() {
    for (name, encoder, tolerance) in [
        ("noise.wav", "-ac 2 -c:a pcm_s16le", 0.0),
        // Without the tool that has the decoder make up noise of its own.
        ("noise.m4a", "-ac 2 -c:a aac -aac_pns 0 -b:a 128k", 1e-4),
        ("noise.mp3", "-ac 2 -c:a libmp3lame -b:a 128k", 1e-4),
        ("noise.ts", "-ac 2 -c:a aac -aac_pns 0 -b:a 128k", 1e-4),
    ] {
        let path = clip(name, &format!("{NOISE} {encoder}"));
        let whole = read_from(&path, 0);
        for start in [30_000, 96_001, 150_000] {
            let tail = read_from(&path, start as i64);
            assert_eq!(tail.len(), whole.len() - 2 * start, "{name} from {start} to its end");
            let worst = difference(&tail, &whole[2 * start..]);
            assert!(worst <= tolerance, "{name} from {start} differs by {worst}");
        }
    }
}

#[test]
fn before_the_first_sample_there_is_silence() {
    let path = clip("noise.wav", &format!("{NOISE} -ac 2 -c:a pcm_s16le"));
    let (early, whole) = (read_from(&path, -480), read_from(&path, 0));
    assert!(early[..960].iter().all(|sample| *sample == 0.0), "10 ms of silence");
    assert!(early[960..] == whole, "and then the sound");
}

#[test]
fn a_gap_in_the_timestamps_is_silence_of_the_same_length() {
    // Packets between 1 and 2 s are left out; times stay.
    let whole = clip("gapless.ts", "-f lavfi -i sine=500:r=48000:d=3 -ac 2 -c:a mp2");
    let gap = clip_of(
        "gap.ts",
        &[
            "-i",
            whole.to_str().unwrap(),
            "-c",
            "copy",
            "-bsf:a",
            "noise=drop=between((pts-startpts)*tb\\,1\\,2)",
        ],
    );
    let (cut, sound) = (read_from(&gap, 0), read_from(&whole, 0));
    assert_eq!(cut.len(), sound.len(), "as long as before");
    let at = |seconds: f64| 2 * (seconds * 48_000.0) as usize;
    assert!(cut[at(1.1)..at(1.9)].iter().all(|sample| *sample == 0.0), "silent in the gap");
    assert!(difference(&cut[at(2.1)..], &sound[at(2.1)..]) < 1e-4, "and in place after it");
}

#[test]
fn a_beep_a_minute_in_is_still_in_place() {
    // A beep of 50 ms at the beginning of every 10th second, with pictures beside it, at 44.1 kHz.
    let beeps = "aevalsrc=if(lt(mod(t\\,10)\\,0.05)\\,0.8*cos(2*PI*1000*t)\\,0):s=44100:d=61";
    let path = clip_of(
        "beeps.mp4",
        &[
            "-f",
            "lavfi",
            "-i",
            "color=black:s=32x32:r=30:d=61",
            "-f",
            "lavfi",
            "-i",
            beeps,
            "-c:v",
            "libx264",
            "-preset",
            "ultrafast",
            "-c:a",
            "aac",
            "-b:a",
            "128k",
        ],
    );
    let sound = read_from(&path, 0);
    for second in [10usize, 30, 60] {
        let around = second * 48_000 - 960;
        let onset = sound[2 * around..].chunks_exact(2).position(|pair| pair[0].abs() > 0.3).unwrap();
        let offset = (around + onset) as i64 - (second * 48_000) as i64;
        // AAC smears an onset over some samples; 24 are half a millisecond.
        assert!(offset.abs() <= 24, "the beep at {second} s is off by {offset} samples");
    }
}
