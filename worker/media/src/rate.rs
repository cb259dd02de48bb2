//! Quantisers and bit-rate ceilings.
//!
//! Parts are encoded at a constant quantiser, because rate control starts cold in every part and the picture would pulse
//! at the joins. A ceiling is therefore met from outside: encode a part, look at its bytes, and where they are too many
//! encode it again with a coarser quantiser.
//!
//! Promises: decisions depend on the part's own bytes alone, so every worker comes to the same. Must not know: encoders.

use composition::FrameRate;

/// An H.264 quantisation parameter, 0–51; six steps up halve the precision.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Qp(u8);

impl Qp {
    /// The coarsest that 8-bit H.264 has (H.264 7.4.2.2).
    pub const MAX: Qp = Qp(51);

    /// `qp`, at most [`Qp::MAX`].
    #[must_use]
    pub fn new(qp: u8) -> Qp {
        Qp(qp).min(Qp::MAX)
    }

    /// The quantiser that a quality of 1–100 asks for: round(47 − 0.35·quality).
    #[must_use]
    pub fn from_quality(quality: u8) -> Qp {
        let quality = u32::from(quality.min(100));
        // Hundredths, so that halves round up exactly.
        Qp::new(u8::try_from((4700 - 35 * quality + 50) / 100).unwrap_or(u8::MAX))
    }

    /// `steps` coarser, at most [`Qp::MAX`].
    #[must_use]
    pub fn coarser(self, steps: u8) -> Qp {
        Qp::new(self.0.saturating_add(steps))
    }

    /// As a number, 0–51.
    #[must_use]
    pub fn get(self) -> u8 {
        self.0
    }
}

/// How often a part is encoded at most.
pub const MAX_TRIES: u32 = 4;

/// What a part may weigh.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ceiling {
    /// On the average of a part, bits a second.
    pub average: Option<u32>,
    /// On every second of a part, bits a second. A part shorter than a second counts as one second.
    pub peak: u32,
}

/// What to do with an encoded part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Keep it.
    Accept,
    /// Encode it again.
    Retry(Qp),
}

impl Ceiling {
    /// Judges try number `tries` (1 is the first) of a part whose frames took `sizes` bytes at `qp`.
    ///
    /// Bits fall by half for about six steps of the quantiser, a little faster in practice: hence 0.9 of what that rule
    /// asks. The last try has no other behind it and goes the whole way and a step further. Its result is accepted as
    /// it is, as is anything at [`Qp::MAX`].
    #[must_use]
    pub fn judge(&self, tries: u32, qp: Qp, sizes: &[u32], rate: FrameRate) -> Verdict {
        let excess = self.excess(sizes, rate);
        if excess <= 1.0 || tries >= MAX_TRIES || qp == Qp::MAX {
            return Verdict::Accept;
        }
        let steps = 6.0 * libm::log2(excess);
        let steps = if tries + 1 == MAX_TRIES { libm::ceil(steps) + 1.0 } else { libm::ceil(steps * 0.9) };
        // Between 1 and 200 or so; the cast saturates.
        Verdict::Retry(qp.coarser(steps as u8))
    }

    /// By which factor the worse of the two limits is exceeded; at most 1 where both are kept.
    fn excess(&self, sizes: &[u32], rate: FrameRate) -> f64 {
        let bits = |bytes: u64| bytes as f64 * 8.0;
        let seconds = |frames: usize| frames as f64 / rate.as_f64();
        let total = sizes.iter().map(|&size| u64::from(size)).sum::<u64>();
        let average = match self.average {
            Some(limit) if !sizes.is_empty() => bits(total) / seconds(sizes.len()) / f64::from(limit.max(1)),
            _ => 0.0,
        };
        let window = (libm::round(rate.as_f64()) as usize).max(1);
        let mut sum = 0_u64;
        let mut peak = 0_u64;
        for (index, &size) in sizes.iter().enumerate() {
            sum += u64::from(size);
            sum -= index.checked_sub(window).map_or(0, |left| u64::from(sizes[left]));
            peak = peak.max(sum);
        }
        let peak = bits(peak) / seconds(window).max(1.0) / f64::from(self.peak.max(1));
        average.max(peak)
    }
}

/// The ceiling on every second where the caller names none, bits a second: 16 Mbit/s for 1280×720 at 30.
///
/// It grows with the 0.55th power of the pixel rate, since larger pictures need fewer bits a pixel; 1920×1080 at 30 so
/// comes to the 25 Mbit/s that level 4 allows. At least 1 Mbit/s, in whole steps of 0.1.
#[must_use]
pub fn default_peak(width: u32, height: u32, rate: FrameRate) -> u32 {
    const REFERENCE: f64 = 1280.0 * 720.0 * 30.0;
    let pixel_rate = f64::from(width) * f64::from(height) * rate.as_f64();
    let tenths = libm::round(160.0 * libm::pow(pixel_rate / REFERENCE, 0.55)).max(10.0);
    // At most a few thousand for any size H.264 has; the cast saturates.
    (tenths as u32).saturating_mul(100_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rate(numerator: u32, denominator: u32) -> FrameRate {
        FrameRate::new(numerator, denominator).expect("a valid rate")
    }

    #[test]
    fn quality_is_a_quantiser() {
        let qp = |quality| Qp::from_quality(quality).get();
        assert_eq!(
            [qp(60), qp(1), qp(100), qp(50), qp(90)],
            [26, 47, 12, 30, 16],
            "round(47 − 0.35·quality)"
        );
    }

    #[test]
    fn a_part_within_its_ceilings_is_kept() {
        let ceiling = Ceiling { average: Some(240_000), peak: 480_000 };
        // 1000 bytes a frame at 30 are 240 kbit/s.
        assert_eq!(
            ceiling.judge(1, Qp::new(26), &[1000; 120], rate(30, 1)),
            Verdict::Accept,
            "exactly the average"
        );
        assert_eq!(
            ceiling.judge(1, Qp::new(26), &[1001; 120], rate(30, 1)),
            Verdict::Retry(Qp::new(27)),
            "a thousandth more is one step"
        );
    }

    #[test]
    fn every_second_counts_wherever_it_begins() {
        let ceiling = Ceiling { average: None, peak: 240_000 };
        let mut sizes = [100_u32; 120];
        sizes[45..75].fill(2000);
        assert_eq!(
            ceiling.judge(1, Qp::new(26), &sizes, rate(30, 1)),
            Verdict::Retry(Qp::new(32)),
            "one second at twice the ceiling: ceil(6·0.9) = 6 steps"
        );
        sizes[45..75].fill(1000);
        assert_eq!(ceiling.judge(1, Qp::new(26), &sizes, rate(30, 1)), Verdict::Accept, "at the ceiling");
    }

    #[test]
    fn a_part_shorter_than_a_second_may_hold_a_seconds_bits() {
        let ceiling = Ceiling { average: None, peak: 240_000 };
        assert_eq!(
            ceiling.judge(1, Qp::new(26), &[30_000], rate(30, 1)),
            Verdict::Accept,
            "one frame, 240 kbit"
        );
    }

    #[test]
    fn the_tries_end() {
        let ceiling = Ceiling { average: Some(1), peak: 1 };
        let judge = |tries, qp| ceiling.judge(tries, Qp::new(qp), &[1000; 30], rate(30, 1));
        assert_eq!(judge(1, 26), Verdict::Retry(Qp::MAX), "nothing is coarser than 51");
        assert_eq!(judge(1, 51), Verdict::Accept, "which is kept");
        assert_eq!(judge(MAX_TRIES, 26), Verdict::Accept, "as is the last try");
        let twice = Ceiling { average: Some(120_000), peak: u32::MAX };
        let judge = |tries| twice.judge(tries, Qp::new(26), &[1000; 30], rate(30, 1));
        assert_eq!(judge(3), Verdict::Retry(Qp::new(33)), "the last try goes a step beyond the rule");
    }

    #[test]
    fn the_default_ceiling_follows_the_pixel_rate() {
        assert_eq!(default_peak(1280, 720, rate(30, 1)), 16_000_000, "the reference");
        assert_eq!(
            default_peak(1920, 1080, rate(30, 1)),
            25_000_000,
            "level 4 allows 25 Mbit/s in High profile"
        );
        assert_eq!(default_peak(3840, 2160, rate(30, 1)), 53_600_000, "nine times the pixels");
        assert_eq!(default_peak(16, 16, rate(1, 1)), 1_000_000, "never absurdly low");
    }
}
