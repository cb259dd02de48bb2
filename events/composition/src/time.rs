//! Exact time: ticks, frame rates and frame indices. Seconds as floats exist only on the wire and in logs.

use std::fmt;
use std::num::NonZeroU32;
use std::ops::{Add, Sub};

use serde::{Deserialize, Serialize};

/// A point in time or a length of time, in ticks of 1/705 600 000 s.
///
/// This tick divides the frame of every usual rate (24, 25, 30, 48, 50, 60, 90, 100, 120 and their 1000/1001
/// relatives) and the sample of 44.1 and 48 kHz without remainder, so sums of such lengths never drift.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Ticks(pub i64);

/// Ticks in one second.
pub const TICKS_PER_SECOND: i64 = 705_600_000;

impl Ticks {
    /// The instant zero, or no time at all.
    pub const ZERO: Ticks = Ticks(0);

    /// The tick nearest to `seconds`; finite values beyond ±4·10⁸ s saturate.
    #[must_use]
    pub fn from_seconds(seconds: f64) -> Ticks {
        // Float-to-int casts saturate, and the parser has refused NaN.
        Ticks(libm::round(seconds * TICKS_PER_SECOND as f64) as i64)
    }

    /// `numerator / denominator` seconds, to the nearest tick.
    #[must_use]
    pub fn from_ratio(numerator: i64, denominator: i64) -> Ticks {
        let scaled = i128::from(numerator) * i128::from(TICKS_PER_SECOND);
        Ticks(round_div(scaled, i128::from(denominator)))
    }

    /// In seconds, for people, logs and the wire.
    #[must_use]
    pub fn seconds(self) -> f64 {
        self.0 as f64 / TICKS_PER_SECOND as f64
    }

    /// The number of units of `1/rate` s in this time, to the nearest unit (`rate` = 48 000: audio samples).
    #[must_use]
    pub fn in_units_of(self, rate: u32) -> i64 {
        round_div(i128::from(self.0) * i128::from(rate), i128::from(TICKS_PER_SECOND))
    }

    /// This time played at `speed` (> 1 covers more source in the same time), to the nearest tick.
    #[must_use]
    pub fn at_speed(self, speed: f64) -> Ticks {
        Ticks(libm::round(self.0 as f64 * speed) as i64)
    }
}

impl Add for Ticks {
    type Output = Ticks;
    fn add(self, other: Ticks) -> Ticks {
        Ticks(self.0.saturating_add(other.0))
    }
}

impl Sub for Ticks {
    type Output = Ticks;
    fn sub(self, other: Ticks) -> Ticks {
        Ticks(self.0.saturating_sub(other.0))
    }
}

impl fmt::Display for Ticks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.3} s", self.seconds())
    }
}

/// The number of a frame, counted from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct FrameIndex(pub u64);

/// Frames per second as an exact ratio.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct FrameRate {
    /// Frames …
    pub numerator: NonZeroU32,
    /// … in this many seconds.
    pub denominator: NonZeroU32,
}

impl FrameRate {
    /// `numerator/denominator` frames a second; `None` where either is 0.
    #[must_use]
    pub fn new(numerator: u32, denominator: u32) -> Option<FrameRate> {
        Some(FrameRate { numerator: NonZeroU32::new(numerator)?, denominator: NonZeroU32::new(denominator)? })
    }

    /// The instant that frame `index` shows: index / rate.
    #[must_use]
    pub fn instant(self, index: FrameIndex) -> Ticks {
        let numerator =
            i128::from(index.0) * i128::from(self.denominator.get()) * i128::from(TICKS_PER_SECOND);
        Ticks(round_div(numerator, i128::from(self.numerator.get())))
    }

    /// How many frames a film of this length has: max(1, round(duration × rate)).
    #[must_use]
    pub fn frames_in(self, duration: Ticks) -> u64 {
        let scaled = i128::from(duration.0) * i128::from(self.numerator.get());
        let frames = round_div(scaled, i128::from(TICKS_PER_SECOND) * i128::from(self.denominator.get()));
        u64::try_from(frames).unwrap_or(0).max(1)
    }

    /// As a float, for people.
    #[must_use]
    pub fn as_f64(self) -> f64 {
        f64::from(self.numerator.get()) / f64::from(self.denominator.get())
    }
}

impl fmt::Display for FrameRate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.denominator.get() {
            1 => write!(f, "{}", self.numerator),
            denominator => write!(f, "{}/{denominator}", self.numerator),
        }
    }
}

/// `numerator / denominator` rounded half up; saturates at the ends of `i64`.
fn round_div(numerator: i128, denominator: i128) -> i64 {
    let rounded = (numerator * 2 + denominator).div_euclid(denominator * 2);
    i64::try_from(rounded).unwrap_or(if rounded < 0 { i64::MIN } else { i64::MAX })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_of_ntsc_film_fall_on_exact_ticks() {
        let rate = FrameRate::new(30_000, 1001).expect("a valid rate");
        assert_eq!(
            rate.instant(FrameIndex(30_000)),
            Ticks(1001 * TICKS_PER_SECOND),
            "30 000 frames last 1001 s"
        );
        assert_eq!(rate.frames_in(Ticks::from_seconds(1001.0)), 30_000, "and 1001 s hold 30 000 frames");
    }

    #[test]
    fn a_film_has_at_least_one_frame() {
        let rate = FrameRate::new(1, 1).expect("a valid rate");
        assert_eq!(rate.frames_in(Ticks::from_seconds(0.01)), 1, "even when it is shorter than half a frame");
    }
}
