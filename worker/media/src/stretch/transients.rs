//! Sudden changes in sound: attacks and cut-offs.
//!
//! The energy of the signal's slope is taken over blocks of 1.3 ms (and slices of them). Where it rises to many times what it was over the
//! last 32 ms, something begins; where it falls to a small share of that and stays there, something ends. The spans are
//! long enough to hold two periods of a low voice, whose every pulse would count otherwise.
//!
//! Promises: what is found depends on the samples alone, not on how they come in. Must not know: speed, windows.

use std::collections::VecDeque;

use crate::mixer::CHANNELS;

/// Frames in a slice, the precision of the answer: 0.33 ms.
const SLICE: i64 = 16;

/// Slices in a block.
const BLOCK: usize = 4;

/// Blocks before an instant that count as its past.
const PAST: usize = 24;

/// Blocks from an instant on that count as its future.
const FUTURE: usize = 12;

/// A beginning has this many times the mean energy of its past.
const RISE: f64 = 12.0;

/// An end leaves less than one part in this many of the mean energy of its past.
const FALL: f64 = 200.0;

/// What counts as silence: the slope energy of a block at about −70 dBFS.
const FLOOR: f64 = 64.0 * 1e-7;

/// Finds transients in a stream of frames.
pub(super) struct TransientFinder {
    last: [f32; CHANNELS],
    /// Energy of the unfinished slice, and its frames so far.
    energy: f64,
    filled: i64,
    /// Energies of the last slices: the past, then the future.
    energies: VecDeque<f64>,
    /// Where the future begins.
    position: i64,
}

impl TransientFinder {
    pub(super) fn new() -> TransientFinder {
        // Silence before the start, so that sound from the first sample on is a beginning too.
        let energies = VecDeque::from([0.0; PAST * BLOCK]);
        TransientFinder { last: [0.0; CHANNELS], energy: 0.0, filled: 0, energies, position: 0 }
    }

    /// All transients before this frame are found, counted from the first examined.
    pub(super) fn position(&self) -> i64 {
        // The end of something is only seen in the block behind it.
        self.position - SLICE * BLOCK as i64
    }

    /// Looks at the next frames and names each transient by the frame that it begins with, in no more than roughly
    /// rising order.
    pub(super) fn examine(&mut self, frames: &[[f32; CHANNELS]], mut found: impl FnMut(i64)) {
        for frame in frames {
            for (sample, last) in frame.iter().zip(&mut self.last) {
                let slope = f64::from(sample - *last);
                self.energy += slope * slope;
                *last = *sample;
            }
            self.filled += 1;
            if self.filled < SLICE {
                continue;
            }
            self.energies.push_back(self.energy);
            (self.energy, self.filled) = (0.0, 0);
            if self.energies.len() == (PAST + FUTURE) * BLOCK {
                if let Some(at) = self.transient() {
                    found(at);
                }
                self.energies.drain(..BLOCK);
                self.position += SLICE * BLOCK as i64;
            }
        }
    }

    /// Where something begins in the first block of the future, or ends in the last of the past.
    fn transient(&self) -> Option<i64> {
        let now = PAST * BLOCK;
        let past = self.energies.range(..now).sum::<f64>() / PAST as f64;
        let here = self.energies.range(now..now + BLOCK);
        if here.clone().sum::<f64>() > past * RISE + FLOOR {
            let highest = here.clone().fold(0.0_f64, |highest, &energy| highest.max(energy));
            let before = here.take_while(|&&energy| energy < highest / 4.0).count();
            return Some(self.position + SLICE * before as i64);
        }
        let silence = (past - FLOOR) / FALL;
        let loudest = self.energies.range(now..).fold(0.0_f64, |loudest, &energy| loudest.max(energy));
        if loudest * BLOCK as f64 > silence {
            return None;
        }
        let quiet =
            self.energies.range(..now).rev().take_while(|&&energy| energy * BLOCK as f64 <= silence).count();
        // Further back it was found before.
        (quiet < BLOCK).then(|| self.position - SLICE * quiet as i64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn transients(frames: usize, sample: impl Fn(usize) -> f64) -> Vec<i64> {
        let frames: Vec<[f32; 2]> = (0..frames).map(|n| [sample(n) as f32; 2]).collect();
        let mut found = Vec::new();
        let mut finder = TransientFinder::new();
        for block in frames.chunks(1000) {
            finder.examine(block, |at| found.push(at));
        }
        found
    }

    fn sine(frequency: f64, n: usize) -> f64 {
        libm::sin(std::f64::consts::TAU * frequency * n as f64 / 48_000.0)
    }

    #[test]
    fn a_beep_has_a_beginning_and_an_end() {
        let found =
            transients(48_000, |n| if (10_000..20_000).contains(&n) { 0.5 * sine(1000.0, n) } else { 0.0 });
        let near = |at: i64| found.iter().any(|found| (found - at).abs() <= SLICE);
        assert!(near(10_000), "the beginning is among {found:?}");
        assert!(near(20_000), "the end is among {found:?}");
        let elsewhere =
            found.iter().filter(|&&at| !(9984..12_000).contains(&at) && !(19_984..22_000).contains(&at));
        assert_eq!(elsewhere.count(), 0, "and nothing between or behind: {found:?}");
    }

    #[test]
    fn a_low_voice_has_no_transients() {
        // A pulse every 12.5 ms, ringing at 600 Hz.
        let voice = |n: usize| 0.5 * libm::exp(-((n % 600) as f64) / 100.0) * sine(600.0, n % 600);
        let found = transients(96_000, voice);
        assert!(found.iter().all(|&at| at < 3000), "but where it starts: {found:?}");
    }
}
