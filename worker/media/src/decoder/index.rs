//! The frames of a video in presentation order, and where decoding can start: made once per source by reading its
//! packets, recorded, and used by every worker, so that all agree which frame is number n.

use composition::time::Ticks;
use serde::{Deserialize, Serialize};

use super::protocol::{Anchor, PackedIndex};

/// Every frame of a video, by number.
///
/// Times are source time: 0 is the earliest presentation time over the source's audio and video streams. There is
/// always at least one frame.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "StoredIndex", into = "StoredIndex")]
pub struct PacketIndex {
    stored: StoredIndex,
    /// Strictly rising, in the stream's timebase.
    frames: Vec<i64>,
    /// Rising by pts.
    anchors: Vec<Anchor>,
}

/// As recorded: run lengths, so a film of constant frame rate takes a few hundred bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct StoredIndex {
    /// Stream time that is source time 0.
    pub(super) origin: Ticks,
    #[serde(flatten)]
    pub(super) packed: PackedIndex,
}

/// Why a stored index is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum IndexError {
    /// There is no frame.
    #[error("read a frame table without frames")]
    Empty,
    /// The table would not fit in memory.
    #[error("read a frame table of more than {MAX_FRAMES} frames")]
    TooLong,
    /// A timestamp does not follow its predecessor, or a number cannot be.
    #[error("read a frame table whose times are out of order")]
    Disordered,
}

/// More frames than 24 hours at 120 Hz have; also bounds what a hostile table can allocate.
pub(super) const MAX_FRAMES: u32 = 12_000_000;

/// A frame is shown from its time on, and from a little before, because instants of the output are rounded too.
const TOLERANCE: Ticks = Ticks(706);

impl PacketIndex {
    /// Number of frames; at least 1.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "an index is never empty")]
    pub fn len(&self) -> usize {
        self.frames.len()
    }

    /// The frame shown at this instant: the last that begins at or before it (+1 µs). Before the first frame that
    /// is the first, after the end the last.
    #[must_use]
    pub fn frame_at(&self, time: Ticks) -> usize {
        let time = time + TOLERANCE;
        self.frames.partition_point(|frame| self.source_time(*frame) <= time).saturating_sub(1)
    }

    /// When frame `n` begins, in source time; past the last, when that one begins.
    #[must_use]
    pub fn time_of(&self, n: usize) -> Ticks {
        self.source_time(self.timestamp(n))
    }

    /// When the last frame's time is over, in source time.
    #[must_use]
    pub fn end(&self) -> Ticks {
        self.source_time(self.timestamp(self.len()).saturating_add(self.stored.packed.last_duration))
    }

    /// Whether frames last differently long, by more than rounding to the timebase's units can explain.
    #[must_use]
    pub fn is_variable(&self) -> bool {
        let steps = self.frames.windows(2).map(|pair| pair[1] - pair[0]);
        let (least, most) =
            steps.fold((i64::MAX, 0), |(least, most), step| (least.min(step), most.max(step)));
        // A frame that was dropped doubles a step; 240 frames a second in milliseconds are steps of 4 and 5.
        self.len() > 2 && most.saturating_mul(2) > least.saturating_mul(3)
    }

    /// The presentation timestamp of frame `n` in the stream's timebase; past the last, that of the last.
    pub(super) fn timestamp(&self, n: usize) -> i64 {
        self.frames[n.min(self.frames.len() - 1)]
    }

    /// The number of the last frame at or before this timestamp.
    pub(super) fn number_of(&self, timestamp: i64) -> usize {
        self.frames.partition_point(|frame| *frame <= timestamp).saturating_sub(1)
    }

    /// The packets to start from for frame `n`: the last `count` at or before it, best first. Leading pictures of
    /// an open GOP come before its key picture and so belong to the key before it.
    pub(super) fn anchors(&self, n: usize, count: usize) -> Vec<Anchor> {
        let timestamp = self.timestamp(n);
        let end = self.anchors.partition_point(|anchor| anchor.pts <= timestamp);
        self.anchors[end.saturating_sub(count)..end].iter().rev().copied().collect()
    }

    /// Whether decoding for frame `n` starts at the very first packet anyway.
    pub(super) fn starts_at_the_beginning(&self, n: usize) -> bool {
        self.anchors.partition_point(|anchor| anchor.pts <= self.timestamp(n)) <= 1
    }

    /// Whether frames are told apart by counting alone.
    pub(super) fn is_counted(&self) -> bool {
        self.stored.packed.is_counted
    }

    fn source_time(&self, timestamp: i64) -> Ticks {
        ticks(timestamp, self.stored.packed.time_base) - self.stored.origin
    }
}

/// A timestamp in this timebase as ticks.
pub(super) fn ticks(timestamp: i64, (numerator, denominator): (u32, u32)) -> Ticks {
    // from_ratio takes 64-bit numerators: whole units first, so that nothing can overflow.
    let (n, d) = (i128::from(numerator), i128::from(denominator.max(1)));
    let units = i128::from(timestamp) * n;
    let whole = i64::try_from(units.div_euclid(d)).unwrap_or(if units < 0 { i64::MIN } else { i64::MAX });
    let rest = i64::try_from(units.rem_euclid(d)).unwrap_or(0);
    let whole = Ticks(whole.saturating_mul(composition::time::TICKS_PER_SECOND));
    whole + Ticks::from_ratio(rest, i64::from(denominator.max(1)))
}

impl TryFrom<StoredIndex> for PacketIndex {
    type Error = IndexError;

    fn try_from(stored: StoredIndex) -> Result<PacketIndex, IndexError> {
        let packed = &stored.packed;
        let total: u64 = packed.frames.iter().map(|(_, count)| u64::from(*count)).sum();
        let starts: u64 = packed.anchors.iter().map(|(_, _, count)| u64::from(*count)).sum();
        if total == 0 {
            return Err(IndexError::Empty);
        }
        if total.max(starts) > u64::from(MAX_FRAMES) {
            return Err(IndexError::TooLong);
        }
        let mut frames = Vec::with_capacity(usize::try_from(total).unwrap_or(0));
        let mut timestamp = 0i64;
        for (step, count) in &packed.frames {
            for _ in 0..*count {
                timestamp = timestamp.checked_add(*step).ok_or(IndexError::Disordered)?;
                frames.push(timestamp);
            }
        }
        let mut anchors = Vec::with_capacity(usize::try_from(starts).unwrap_or(0));
        let mut pts = 0i64;
        for (step, lead, count) in &packed.anchors {
            for _ in 0..*count {
                pts = pts.checked_add(*step).ok_or(IndexError::Disordered)?;
                anchors.push(Anchor { pts, dts: pts.checked_sub(*lead).ok_or(IndexError::Disordered)? });
            }
        }
        let rising = frames.windows(2).all(|pair| pair[0] < pair[1])
            && anchors.windows(2).all(|pair| pair[0].pts < pair[1].pts);
        let sane = packed.time_base.0 > 0 && packed.time_base.1 > 0 && packed.last_duration >= 0;
        if rising && sane { Ok(PacketIndex { stored, frames, anchors }) } else { Err(IndexError::Disordered) }
    }
}

impl From<PacketIndex> for StoredIndex {
    fn from(index: PacketIndex) -> StoredIndex {
        index.stored
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn index(frames: Vec<(i64, u32)>, anchors: Vec<(i64, i64, u32)>) -> Result<PacketIndex, IndexError> {
        let packed =
            PackedIndex { time_base: (1, 1000), frames, anchors, last_duration: 40, is_counted: false };
        PacketIndex::try_from(StoredIndex { origin: Ticks::from_ratio(1, 1), packed })
    }

    /// Frames at 1.0, 1.04, 1.08, 1.18, 1.28 s of stream time; source time starts at 1 s.
    fn five_frames() -> PacketIndex {
        index(vec![(1000, 1), (40, 2), (100, 2)], vec![(1000, 80, 1), (180, 80, 1)]).expect("a sound table")
    }

    #[test]
    fn the_frame_shown_is_the_last_that_has_begun() {
        let index = five_frames();
        let shown: Vec<usize> = [-500, 0, 39, 40, 79, 80, 179, 180, 5000]
            .iter()
            .map(|milliseconds| index.frame_at(Ticks::from_ratio(*milliseconds, 1000)))
            .collect();
        assert_eq!(shown, [0, 0, 0, 1, 1, 2, 2, 3, 4], "first before the start, last after the end");
        let just_before = Ticks::from_ratio(40, 1000) - Ticks(700);
        assert_eq!(index.frame_at(just_before), 1, "within 1 µs of its beginning a frame is shown");
    }

    #[test]
    fn the_last_frame_lasts_for_its_duration() {
        assert_eq!(five_frames().end(), Ticks::from_ratio(320, 1000), "1.28 + 0.04 − 1 s");
    }

    #[test]
    fn frames_of_one_length_are_told_from_others() {
        let steps = |steps: &[i64]| {
            let frames = [0].iter().chain(steps).map(|step| (*step, 1)).collect();
            index(frames, vec![(0, 0, 1)]).expect("a sound table").is_variable()
        };
        assert!(!steps(&[33, 33, 34, 33]) && !steps(&[4, 4, 5, 4]), "rounded to milliseconds");
        assert!(steps(&[33, 66, 33]), "a frame is missing");
        assert!(!steps(&[]) && !steps(&[50]), "too few to differ");
    }

    #[test]
    fn decoding_starts_at_the_last_key_not_after_the_frame() {
        let index = five_frames();
        assert_eq!(index.anchors(2, 3), [Anchor { pts: 1000, dts: 920 }], "frame 2 is before the second key");
        assert_eq!(index.anchors(3, 3)[0], Anchor { pts: 1180, dts: 1100 }, "frame 3 is the second key");
        assert!(
            index.starts_at_the_beginning(2) && !index.starts_at_the_beginning(3),
            "only the first is free"
        );
    }

    #[test]
    fn a_recorded_table_reads_back_equal() {
        let index = five_frames();
        let json = serde_json::to_string(&index).expect("serialises");
        assert_eq!(serde_json::from_str::<PacketIndex>(&json).expect("reads back"), index, "from {json}");
    }

    #[test]
    fn hostile_tables_are_refused() {
        assert_eq!(index(vec![], vec![]), Err(IndexError::Empty), "no frames");
        assert_eq!(
            index(vec![(1, u32::MAX)], vec![]),
            Err(IndexError::TooLong),
            "four thousand million frames"
        );
        assert_eq!(index(vec![(5, 1), (-1, 1)], vec![]), Err(IndexError::Disordered), "time runs back");
        assert_eq!(index(vec![(i64::MAX, 2)], vec![]), Err(IndexError::Disordered), "time overflows");
    }
}
