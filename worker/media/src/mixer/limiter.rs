//! A true-peak limiter that looks ahead.
//!
//! ```text
//! peak of every sample, between samples too ─▶ gain it needs ─▶ least gain of the next 5 ms
//!     ─▶ slow recovery ─▶ average over 5 ms ─▶ multiply
//! ```
//!
//! The gain reaches what a peak needs exactly when the peak comes: the least gain of the next `L` samples is constant
//! over the `L` samples before a peak, and averaging those gives that very gain. Gains are integers, so the running
//! average is exact and 1 means 1: sound that needs no limiting passes bit for bit.
//!
//! Promises: no true peak above −1 dBTP (ITU-R BS.1770-4 annex 2); nothing is delayed. Must not know: tracks.

use std::collections::VecDeque;

use super::CHANNELS;

/// −1 dB as an amplitude.
const CEILING: f64 = 0.891_250_938;

/// Where louder sound is brought to: a hundredth lower, room for what the moving gain does between samples.
const TARGET: f64 = CEILING * 0.99;

/// Samples that the gain takes to come down: 5 ms.
const LOOK_AHEAD: usize = 240;

/// The gain 1.
const UNITY: u32 = 1 << 30;

/// How far the gain recovers in a sample, of what is missing, in 1/2³²: a time constant of 100 ms.
const RECOVERY: u64 = (1 << 32) / 4800;

/// Points between samples at which the signal is looked at, plus one. The four of BS.1770's example read a tone of 20 kHz
/// up to 0.5 dB too low; eight read it 0.1 dB too low.
const PHASES: usize = 8;

/// Samples on either side that a point between two samples is computed from.
const REACH: usize = 12;

type Frame = [f32; CHANNELS];

/// Limits a stream of frames.
#[derive(Debug)]
pub(super) struct Limiter {
    interpolator: Interpolator,
    /// [`REACH`] frames that were handed out but that the interpolator still needs, then those that wait for their gain.
    frames: VecDeque<Frame>,
    /// How many frames came since one that could be near a peak.
    calm: usize,
    /// The peak between the last examined frame and the next.
    peak_behind: f64,
    /// Gains needed by examined frames whose window is open: position and gain, both rising.
    least: VecDeque<(u64, u32)>,
    /// How many frames were examined.
    examined: u64,
    /// The recovering gain.
    gain: u32,
    /// The last [`LOOK_AHEAD`] values of `gain`, and their sum.
    recent: VecDeque<u32>,
    sum: u64,
}

impl Limiter {
    pub(super) fn new() -> Limiter {
        let mut limiter = Limiter {
            interpolator: Interpolator::new(),
            frames: VecDeque::from([[0.0; CHANNELS]; REACH]),
            calm: 0,
            peak_behind: 0.0,
            least: VecDeque::new(),
            examined: 0,
            gain: UNITY,
            recent: VecDeque::from([UNITY; LOOK_AHEAD]),
            sum: u64::from(UNITY) * LOOK_AHEAD as u64,
        };
        // Silence before the start, over which the gain can come down for a peak at the very start.
        for _silence in 0..LOOK_AHEAD {
            limiter.push([0.0; CHANNELS], &mut Vec::new());
        }
        limiter
    }

    /// Takes frames (left and right in turn) and appends those to `out` that are settled: all but the last few ms.
    pub(super) fn process(&mut self, frames: &[f32], out: &mut Vec<f32>) {
        for &frame in frames.as_chunks::<CHANNELS>().0 {
            self.push(frame, out);
        }
    }

    /// Appends the frames that still wait.
    pub(super) fn finish(mut self, out: &mut Vec<f32>) {
        for _silence in 0..REACH + LOOK_AHEAD - 1 {
            self.push([0.0; CHANNELS], out);
        }
    }

    fn push(&mut self, frame: Frame, out: &mut Vec<f32>) {
        self.frames.push_back(frame);
        self.calm = if self.interpolator.may_peak(highest(&frame)) { 0 } else { self.calm + 1 };
        // The examined frame lies REACH before the newest: the interpolator sees as far ahead as behind.
        if self.frames.len() <= 2 * REACH {
            return;
        }
        self.examine(self.frames.len() - 1 - REACH);
        if self.examined >= LOOK_AHEAD as u64 {
            self.settle(out);
        }
    }

    /// Notes the gain that the frame at `at` needs.
    fn examine(&mut self, at: usize) {
        let ahead = if self.calm < 2 * REACH {
            self.interpolator.peak(self.frames.range(at + 1 - REACH..=at + REACH))
        } else {
            0.0
        };
        let peak = f64::from(highest(&self.frames[at])).max(ahead).max(self.peak_behind);
        self.peak_behind = ahead;
        // Rounded down. Below 1, as the quotient is.
        let needed = if peak > CEILING { (TARGET / peak * f64::from(UNITY)) as u32 } else { UNITY };
        while self.least.back().is_some_and(|&(_, gain)| gain >= needed) {
            self.least.pop_back();
        }
        self.least.push_back((self.examined, needed));
        self.examined += 1;
    }

    /// Hands out the oldest waiting frame; the window of frames from it on is examined.
    fn settle(&mut self, out: &mut Vec<f32>) {
        let least = self.least.front().map_or(UNITY, |&(_, gain)| gain);
        let position = self.examined - LOOK_AHEAD as u64;
        if self.least.front().is_some_and(|&(at, _)| at == position) {
            self.least.pop_front();
        }
        let missing = u64::from(UNITY - self.gain);
        // At most `missing`, so the sum is at most UNITY; at least 1, so the gain arrives.
        let recovered = ((missing * RECOVERY) >> 32).max(1).min(missing) as u32;
        self.gain = (self.gain + recovered).min(least);
        self.sum += u64::from(self.gain);
        self.recent.push_back(self.gain);
        self.sum -= u64::from(self.recent.pop_front().unwrap_or(UNITY));

        let mut frame = self.frames[REACH];
        let unity = u64::from(UNITY) * LOOK_AHEAD as u64;
        if self.sum < unity {
            let gain = self.sum as f64 / unity as f64;
            frame = frame.map(|sample| (f64::from(sample) * gain) as f32);
        }
        if position >= LOOK_AHEAD as u64 {
            out.extend_from_slice(&frame);
        }
        self.frames.pop_front();
    }
}

/// Looks at the signal between two samples (BS.1770-4 annex 2, with a longer filter than its example).
#[derive(Debug)]
struct Interpolator {
    /// One row for each point between the samples: weights of the 2·[`REACH`] samples around them.
    weights: [[f32; 2 * REACH]; PHASES - 1],
    /// No point between samples is higher than the highest sample around it times this.
    bound: f32,
}

impl Interpolator {
    fn new() -> Interpolator {
        let mut weights = [[0.0; 2 * REACH]; PHASES - 1];
        let mut bound = 1.0_f64;
        for (phase, row) in weights.iter_mut().enumerate() {
            let at = REACH as f64 - 1.0 + (phase + 1) as f64 / PHASES as f64;
            let exact: [f64; 2 * REACH] = std::array::from_fn(|tap| windowed_sinc(tap as f64 - at));
            // A constant signal stays what it is.
            let total: f64 = exact.iter().sum();
            *row = exact.map(|weight| (weight / total) as f32);
            bound = bound.max(row.iter().map(|weight| f64::from(weight.abs())).sum());
        }
        // Rounding in the products is far below a thousandth.
        Interpolator { weights, bound: (bound * 1.001) as f32 }
    }

    /// Whether a point near a sample of this height can be above the ceiling.
    fn may_peak(&self, height: f32) -> bool {
        f64::from(height * self.bound) > CEILING
    }

    /// The highest point between the middle two of 2·[`REACH`] frames.
    fn peak<'a>(&self, window: impl Iterator<Item = &'a Frame> + Clone) -> f64 {
        let mut peak = 0.0_f32;
        for row in &self.weights {
            let mut point = [0.0_f32; CHANNELS];
            for (weight, frame) in row.iter().zip(window.clone()) {
                for (point, sample) in point.iter_mut().zip(frame) {
                    *point += weight * sample;
                }
            }
            peak = peak.max(highest(&point));
        }
        f64::from(peak)
    }
}

/// The larger magnitude of a frame's samples.
fn highest(frame: &Frame) -> f32 {
    frame.iter().fold(0.0, |highest, sample| highest.max(sample.abs()))
}

/// sin(πx)/πx under a Hann window that ends at ±[`REACH`].
fn windowed_sinc(x: f64) -> f64 {
    use std::f64::consts::PI;
    let sinc = if x == 0.0 { 1.0 } else { libm::sin(PI * x) / (PI * x) };
    sinc * (0.5 + 0.5 * libm::cos(PI * x / REACH as f64))
}

#[cfg(test)]
mod tests {
    use std::f64::consts::PI;

    use super::*;

    fn limited(frames: &[f32]) -> Vec<f32> {
        let mut limiter = Limiter::new();
        let mut out = Vec::new();
        for block in frames.chunks(777 * CHANNELS) {
            limiter.process(block, &mut out);
        }
        limiter.finish(&mut out);
        out
    }

    fn stereo(frames: usize, sample: impl Fn(usize) -> f64) -> Vec<f32> {
        (0..frames).flat_map(|n| [sample(n) as f32, -0.3 * sample(n) as f32]).collect()
    }

    fn sine(frequency: f64, n: usize) -> f64 {
        libm::sin(std::f64::consts::TAU * frequency * n as f64 / 48_000.0 + 0.7)
    }

    /// Highest magnitude of either channel, sixteen times oversampled with 64 samples on either side.
    fn true_peak(frames: &[f32]) -> f64 {
        let channel =
            |c: usize| -> Vec<f64> { frames.iter().skip(c).step_by(CHANNELS).map(|&s| s.into()).collect() };
        let mut peak = 0.0_f64;
        for samples in [channel(0), channel(1)] {
            for phase in 0..16 {
                let weights: Vec<f64> = (0..128)
                    .map(|tap| {
                        let x = f64::from(tap) - 63.0 - f64::from(phase) / 16.0;
                        let sinc = if x == 0.0 { 1.0 } else { libm::sin(x * PI) / (x * PI) };
                        sinc * (0.5 + 0.5 * libm::cos(x / 64.0 * PI))
                    })
                    .collect();
                for window in samples.windows(128) {
                    peak = peak.max(window.iter().zip(&weights).map(|(s, w)| s * w).sum::<f64>().abs());
                }
            }
        }
        peak
    }

    const MINUS_1_DB: f64 = 0.891_251;

    #[test]
    fn sound_below_the_ceiling_passes_bit_for_bit() {
        let quiet = stereo(10_000, |n| 0.85 * sine(997.0, n) * libm::sin(n as f64 / 10_000.0 * PI));
        assert!(limited(&quiet) == quiet, "nothing is added, delayed or rounded");
    }

    #[test]
    fn no_true_peak_is_above_minus_1_db() {
        // A quarter of the sample rate, half way between samples: the samples are 3 dB below the peak.
        let between = stereo(6000, |n| 1.2 * libm::sin(std::f64::consts::FRAC_PI_4 * (2 * n + 1) as f64));
        let loud = stereo(6000, |n| 3.0 * sine(997.0, n) * if n % 2000 < 300 { 1.0 } else { 0.1 });
        let high = stereo(6000, |n| 1.5 * sine(15_000.0, n) + 0.6 * sine(60.0, n));
        let click = stereo(6000, |n| if n == 3000 { 4.0 } else { 0.5 * sine(300.0, n) });
        for (name, sound) in [("between", between), ("loud", loud), ("high", high), ("click", click)] {
            let peak = true_peak(&limited(&sound));
            assert!(peak <= MINUS_1_DB, "{name} peaks at {peak}");
            assert!(peak > 0.8, "{name} is not pushed down for nothing: {peak}");
        }
    }

    #[test]
    fn the_gain_recovers_to_exactly_1() {
        let sound = stereo(96_000, |n| if n == 100 { 2.0 } else { 0.5 * sine(440.0, n) });
        let out = limited(&sound);
        assert_eq!(out.len(), sound.len(), "no sample is lost");
        assert_ne!(out[150 * 2..152 * 2], sound[150 * 2..152 * 2], "just behind the click it is softer");
        assert_eq!(out[95_000 * 2..], sound[95_000 * 2..], "and a good second later untouched");
    }

    #[test]
    fn the_gain_bends_rather_than_jumps() {
        let sound = stereo(4800, |n| if n < 2400 { 0.5 } else { 1.5 });
        let out = limited(&sound);
        let gains: Vec<f32> =
            out.iter().step_by(2).zip(sound.iter().step_by(2)).map(|(o, i)| o / i).collect();
        let jump = gains.windows(2).map(|pair| (pair[1] - pair[0]).abs()).fold(0.0, f32::max);
        assert!(jump < 0.005, "the largest step of the gain is {jump}");
        assert_eq!(gains[2000], 1.0, "more than 5 ms before the peak nothing happens");
    }
}
