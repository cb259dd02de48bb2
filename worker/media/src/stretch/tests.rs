//! Where things are heard, and how they sound, after stretching.

use super::*;

/// A source made of a function of the frame's number.
struct Made<F>(F);

impl<F: Fn(i64) -> f64 + Send> AudioSource for Made<F> {
    fn read(&mut self, start_frame: i64, out: &mut [f32]) -> Result<(), SourceError> {
        for (n, frame) in (start_frame..).zip(out.as_chunks_mut::<CHANNELS>().0) {
            let sample = (self.0)(n) as f32;
            *frame = [sample, -0.5 * sample];
        }
        Ok(())
    }
}

fn stretched(
    sample: impl Fn(i64) -> f64 + Send + 'static,
    speed: f64,
    frames: usize,
    block: usize,
) -> Vec<f32> {
    let mut stretch = Stretch::new(Box::new(Made(sample)), 0, speed);
    let mut out = vec![0.0; frames * CHANNELS];
    for block in out.chunks_mut(block * CHANNELS) {
        stretch.read(block).expect("samples");
    }
    out.as_chunks::<CHANNELS>().0.iter().map(|frame| frame[0]).collect()
}

fn sine(frequency: f64, n: i64) -> f64 {
    libm::sin(std::f64::consts::TAU * frequency * n as f64 / 48_000.0)
}

const SPEEDS: [f64; 7] = [0.25, 0.5, 0.8, 1.25, 1.5, 2.0, 4.0];

/// Where `sound` first and last reaches half of its highest magnitude within `frames`.
fn edges(sound: &[f32], frames: std::ops::Range<usize>) -> (usize, usize) {
    let window = &sound[frames.start..frames.end.min(sound.len())];
    let half = window.iter().fold(0.0_f32, |most, sample| most.max(sample.abs())) / 2.0;
    let first = window.iter().position(|sample| sample.abs() >= half).expect("a sound");
    let last = window.iter().rposition(|sample| sample.abs() >= half).expect("a sound");
    (frames.start + first, frames.start + last)
}

#[test]
fn a_beep_is_heard_when_it_should_be_anywhere_in_a_film() {
    // Beeps of 0.2 s every 3 s plus an odd offset; 60 s of output.
    const PERIOD: i64 = 144_000;
    let begins = |beep: i64| beep * PERIOD + 24_000 + beep * 37;
    let beep = move |n: i64| {
        let within = n - begins(n / PERIOD);
        if (0..9600).contains(&within) { 0.5 * sine(1000.0, within) } else { 0.0 }
    };
    for speed in SPEEDS {
        let frames = 60 * 48_000;
        let out = stretched(beep, speed, frames, 2048);
        let mut worst = 0.0_f64;
        for number in 0.. {
            let (begin, end) = (begins(number) as f64 / speed, (begins(number) + 9600) as f64 / speed);
            if end as usize + 9600 > frames {
                break;
            }
            let (first, last) = edges(&out, begin as usize - 4800..end as usize + 4800);
            worst = worst.max((first as f64 - begin).abs()).max((last as f64 - end).abs());
        }
        assert!(worst <= 96.0, "at speed {speed} an edge is {:.2} ms off", worst / 48.0);
    }
}

#[test]
fn a_click_is_heard_once_and_in_time() {
    for speed in SPEEDS {
        let click = |n: i64| if n % 24_000 == 12_345 { 0.9 } else { 0.001 * sine(300.0, n) };
        let out = stretched(click, speed, 480_000, 2048);
        let clicks: Vec<usize> = (0..out.len()).filter(|&n| out[n].abs() > 0.1).collect();
        let due = (0..).map(|k| (f64::from(k) * 24_000.0 + 12_345.0) / speed);
        let due: Vec<f64> = due.take_while(|&at| at < 479_000.0).collect();
        assert_eq!(clicks.len(), due.len(), "at speed {speed} every click is heard once");
        for (click, due) in clicks.iter().zip(due) {
            assert!((*click as f64 - due).abs() <= 72.0, "at speed {speed} a click is at {click}, not {due}");
        }
    }
}

#[test]
fn pitch_and_loudness_stay() {
    for speed in SPEEDS {
        for frequency in [110.0, 440.0, 3000.0] {
            let out = stretched(move |n| 0.5 * sine(frequency, n), speed, 96_000, 2048);
            let out = &out[9600..];
            let crossings = out.windows(2).filter(|pair| pair[0] < 0.0 && pair[1] >= 0.0).count();
            let heard = crossings as f64 * 48_000.0 / out.len() as f64;
            assert!(
                (heard / frequency - 1.0).abs() < 0.02,
                "{frequency} Hz at speed {speed} sounds as {heard:.1}"
            );
            let power = out.iter().map(|&sample| f64::from(sample) * f64::from(sample)).sum::<f64>()
                / out.len() as f64;
            assert!(
                (power / 0.125 - 1.0).abs() < 0.1,
                "{frequency} Hz at speed {speed} has power {power:.3}"
            );
        }
    }
}

#[test]
fn the_blocks_it_is_pulled_in_do_not_matter() {
    let noise = |n: i64| ((n * n % 65_521) as f64 / 65_521.0 - 0.5) * sine(3.0, n);
    assert_eq!(stretched(noise, 1.3, 30_000, 2048), stretched(noise, 1.3, 30_000, 100), "equal sound");
}

#[test]
fn sources_are_read_forward_from_the_in_point() {
    struct Forward(i64);
    impl AudioSource for Forward {
        fn read(&mut self, start_frame: i64, out: &mut [f32]) -> Result<(), SourceError> {
            assert_eq!(start_frame, self.0, "where the last read ended");
            self.0 += (out.len() / CHANNELS) as i64;
            out.fill(0.25);
            Ok(())
        }
    }
    let mut stretch = Stretch::new(Box::new(Forward(777)), 777, 0.7);
    let mut out = vec![0.0; 100_000];
    stretch.read(&mut out).expect("samples");
    let most = stretch.frames.len();
    assert!(most < 10_000, "{most} frames are held: a fraction of a second");
}

#[test]
fn bursts_however_dense_neither_break_it_nor_grow_louder() {
    for (seed, speed) in (1..).zip([0.25, 0.26, 0.37, 0.61, 0.99, 1.01, 1.77, 2.9, 3.99, 4.0]) {
        let burst = move |n: i64| {
            // Pieces of 300 to 4000 frames, each silent or loud.
            let piece = n / (300 + seed * 370);
            let loudness = (piece.wrapping_mul(2_654_435_761) >> 7) % 3;
            0.5 * loudness as f64 * sine(700.0 + (piece % 13) as f64 * 90.0, n)
        };
        let out = stretched(burst, speed, 240_000, 1000);
        let highest = out.iter().fold(0.0_f32, |highest, sample| highest.max(sample.abs()));
        assert!((0.9..=1.0).contains(&highest), "at speed {speed} the loudest sample is {highest}");
    }
}
