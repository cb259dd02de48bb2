//! Levels: what a decoder must be able to do for a film (H.264 annex A).

use composition::FrameRate;
use thiserror::Error;

/// A level as the SPS writes it: ten times its number (31 is level 3.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Level(pub u8);

/// The most macroblocks (16×16 pixels) a picture can have in any level that the encoder knows.
pub const MAX_MACROBLOCKS: u64 = 36_864;

/// The most macroblocks a second in any level that the encoder knows.
pub const MAX_MACROBLOCK_RATE: u64 = 2_073_600;

/// Why no level covers a film.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum LevelError {
    /// Too many pixels, or too long a side.
    #[error(
        "encode {width}x{height} pictures as H.264: level 5.2 ends at {MAX_MACROBLOCKS} macroblocks of 16x16, 543 along a side, \
         and this has {macroblocks}; use av1"
    )]
    Size {
        /// Pixels in a row.
        width: u32,
        /// Rows.
        height: u32,
        /// Macroblocks in a picture.
        macroblocks: u64,
    },
    /// Too many pixels a second.
    #[error(
        "encode {macroblocks_per_second} macroblocks a second as H.264: level 5.2 ends at {MAX_MACROBLOCK_RATE}; use av1"
    )]
    Rate {
        /// Macroblocks a second, rounded up.
        macroblocks_per_second: u64,
    },
}

/// One row of H.264 table A-1.
struct Limits {
    level: u8,
    /// MaxMBPS: macroblocks a second.
    macroblock_rate: u64,
    /// MaxFS: macroblocks a picture.
    macroblocks: u64,
    /// MaxBR in units of 1000 bit/s; High profile may have 1.25 times as much (A.3.3 and table A-2).
    kilobits: u64,
}

/// H.264 table A-1, without 1b.
#[rustfmt::skip]
const TABLE_A1: [Limits; 16] = [
    Limits { level: 10, macroblock_rate:     1_485, macroblocks:     99, kilobits:      64 },
    Limits { level: 11, macroblock_rate:     3_000, macroblocks:    396, kilobits:     192 },
    Limits { level: 12, macroblock_rate:     6_000, macroblocks:    396, kilobits:     384 },
    Limits { level: 13, macroblock_rate:    11_880, macroblocks:    396, kilobits:     768 },
    Limits { level: 20, macroblock_rate:    11_880, macroblocks:    396, kilobits:   2_000 },
    Limits { level: 21, macroblock_rate:    19_800, macroblocks:    792, kilobits:   4_000 },
    Limits { level: 22, macroblock_rate:    20_250, macroblocks:  1_620, kilobits:   4_000 },
    Limits { level: 30, macroblock_rate:    40_500, macroblocks:  1_620, kilobits:  10_000 },
    Limits { level: 31, macroblock_rate:   108_000, macroblocks:  3_600, kilobits:  14_000 },
    Limits { level: 32, macroblock_rate:   216_000, macroblocks:  5_120, kilobits:  20_000 },
    Limits { level: 40, macroblock_rate:   245_760, macroblocks:  8_192, kilobits:  20_000 },
    Limits { level: 41, macroblock_rate:   245_760, macroblocks:  8_192, kilobits:  50_000 },
    Limits { level: 42, macroblock_rate:   522_240, macroblocks:  8_704, kilobits:  50_000 },
    Limits { level: 50, macroblock_rate:   589_824, macroblocks: 22_080, kilobits: 135_000 },
    Limits { level: 51, macroblock_rate:   983_040, macroblocks: 36_864, kilobits: 240_000 },
    Limits { level: 52, macroblock_rate: 2_073_600, macroblocks: 36_864, kilobits: 240_000 },
];

/// The lowest level for pictures of `width` × `height` at `rate`, held under `max_bitrate` bits a second.
///
/// It depends on the plan alone, never on what a part came to weigh: all parts of a film must carry the same. A bit rate
/// beyond every level's asks for the highest.
///
/// # Errors
/// Where the size or the rate is beyond level 5.2.
pub fn level_for(width: u32, height: u32, rate: FrameRate, max_bitrate: u32) -> Result<Level, LevelError> {
    let (columns, rows) = (u64::from(width).div_ceil(16), u64::from(height).div_ceil(16));
    let macroblocks = columns * rows;
    // A.3.1 f and g: neither side may have more than √(8·MaxFS) macroblocks.
    let longest = columns.max(rows);
    let fits = |most: u64| macroblocks <= most && longest * longest <= 8 * most;
    if !fits(MAX_MACROBLOCKS) {
        return Err(LevelError::Size { width, height, macroblocks });
    }
    let per_second =
        (macroblocks * u64::from(rate.numerator.get())).div_ceil(u64::from(rate.denominator.get()));
    if per_second > MAX_MACROBLOCK_RATE {
        return Err(LevelError::Rate { macroblocks_per_second: per_second });
    }
    let level = TABLE_A1.iter().find(|limits| {
        fits(limits.macroblocks)
            && per_second <= limits.macroblock_rate
            && u64::from(max_bitrate) <= limits.kilobits * 1250
    });
    Ok(Level(level.map_or(52, |limits| limits.level)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn level(width: u32, height: u32, fps: u32, max_bitrate: u32) -> Result<u8, LevelError> {
        let rate = FrameRate::new(fps, 1).expect("a valid rate");
        level_for(width, height, rate, max_bitrate).map(|level| level.0)
    }

    #[test]
    fn usual_films_have_their_usual_levels() {
        assert_eq!(level(1280, 720, 30, 16_000_000), Ok(31), "720p30 fills 3.1 exactly");
        assert_eq!(level(1280, 720, 60, 24_000_000), Ok(32), "720p60");
        assert_eq!(level(1920, 1080, 30, 25_000_000), Ok(40), "1080p30");
        assert_eq!(level(1920, 1080, 60, 40_000_000), Ok(42), "1080p60");
        assert_eq!(level(3840, 2160, 30, 60_000_000), Ok(51), "2160p30");
        assert_eq!(level(3840, 2160, 60, 60_000_000), Ok(52), "2160p60");
    }

    #[test]
    fn a_higher_ceiling_asks_for_a_higher_level() {
        assert_eq!(level(1280, 720, 30, 17_500_000), Ok(31), "1.25 × 14 Mbit/s is allowed in High profile");
        assert_eq!(level(1280, 720, 30, 17_500_001), Ok(32), "and nothing more");
        assert_eq!(level(1280, 720, 30, u32::MAX), Ok(52), "no level covers it, the highest comes nearest");
    }

    #[test]
    fn what_no_level_covers_is_refused_by_name() {
        assert_eq!(level(4096, 2304, 24, 1), Ok(51), "36 864 macroblocks are the most");
        let error = level(4112, 2304, 30, 1).expect_err("too many macroblocks");
        assert!(error.to_string().contains("36864"), "{error} names the limit");
        let error = level(8704, 16, 30, 1).expect_err("too long a side");
        assert!(error.to_string().contains("543"), "{error} names the limit");
        let error = level(3840, 2160, 120, 1).expect_err("too many macroblocks a second");
        assert!(error.to_string().contains("2073600"), "{error} names the limit");
    }
}
