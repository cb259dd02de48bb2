//! Timestamps in a stream's timebase, ticks and samples, converted exactly.

use crate::protocol::{SAMPLE_RATE, TICKS_PER_SECOND};

/// A timestamp in this timebase (seconds per unit) as the nearest tick; saturates.
pub(crate) fn ticks(timestamp: i64, (numerator, denominator): (u32, u32)) -> i64 {
    let scaled = i128::from(timestamp) * i128::from(numerator) * i128::from(TICKS_PER_SECOND);
    round_div(scaled, i128::from(denominator.max(1)))
}

/// Ticks as the nearest timestamp in this timebase; saturates.
pub(crate) fn in_time_base(ticks: i64, (numerator, denominator): (u32, u32)) -> i64 {
    let unit = i128::from(numerator.max(1)) * i128::from(TICKS_PER_SECOND);
    round_div(i128::from(ticks) * i128::from(denominator), unit)
}

/// Ticks as the nearest output sample.
pub(crate) fn in_samples(ticks: i64) -> i64 {
    round_div(i128::from(ticks) * i128::from(SAMPLE_RATE), i128::from(TICKS_PER_SECOND))
}

/// `count` samples at another rate as the nearest output sample.
pub(crate) fn at_output_rate(count: i64, rate: u32) -> i64 {
    round_div(i128::from(count) * i128::from(SAMPLE_RATE), i128::from(rate.max(1)))
}

/// An output sample as ticks: exact.
pub(crate) fn of_sample(sample: i64) -> i64 {
    sample.saturating_mul(TICKS_PER_SECOND / i64::from(SAMPLE_RATE))
}

/// Rounded half up.
fn round_div(numerator: i128, denominator: i128) -> i64 {
    let rounded = (numerator * 2 + denominator).div_euclid(denominator * 2);
    i64::try_from(rounded).unwrap_or(if rounded < 0 { i64::MIN } else { i64::MAX })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_survive_the_way_there_and_back() {
        let time_base = (1, 90_000);
        for timestamp in [-123_456_789, -1, 0, 1, 8_589_934_591] {
            assert_eq!(
                in_time_base(ticks(timestamp, time_base), time_base),
                timestamp,
                "{timestamp} / 90 000 s"
            );
        }
        assert_eq!(in_samples(of_sample(-77)), -77, "samples are whole ticks");
        assert_eq!(at_output_rate(44_100, 44_100), 48_000, "a second is a second");
    }
}
