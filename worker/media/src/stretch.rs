//! Sound played faster or slower at its own pitch.
//!
//! Overlap-add by similarity (WSOLA): the output is made of windows of 30 ms that overlap by half. Each is cut from the
//! source near the place that the speed asks for, shifted by up to 5 ms to where it continues the window before it.
//! Sudden changes would be repeated or lost that way, so they are found beforehand ([`transients`]) and their
//! surroundings are copied as they are, anchored at exactly the right instant:
//!
//! ```text
//! source  ───────────────╫──────────────      ╫ a transient at s
//! output  ──────────────────────────╫──────────────────────────      at s/speed, once
//! ```
//!
//! Promises: source time `t` sounds at `t/speed` wherever in the film, because every window is placed from the start and
//! not from the window before it; a transient is within a millisecond or two of it. Equal sound gives equal sound, whatever the size of
//! the blocks it is pulled in. Memory is a fraction of a second. Must not know: tracks, volumes.

mod transients;

use std::collections::VecDeque;

use crate::mixer::{AudioSource, CHANNELS, SourceError};
use transients::TransientFinder;

/// Half a window, and the distance between windows: 15 ms.
const HOP: i64 = 720;

/// How far a window may be shifted to fit the one before it: 5 ms, enough for a period of 100 Hz in both directions.
const SEARCH: i64 = 240;

/// What a window leaves out behind a transient: the transient's own sharpness, 2 ms.
const GUARD: i64 = 96;

/// Source frames fetched at a time.
const FETCH: usize = 1024;

type Frame = [f32; CHANNELS];

/// A source at another speed.
pub(crate) struct Stretch {
    source: Box<dyn AudioSource>,
    /// The source frame that sounds at output frame 0. All positions below count from it.
    in_point: i64,
    speed: f64,
    /// Source frames from `first` on.
    frames: VecDeque<Frame>,
    first: i64,
    finder: TransientFinder,
    /// Accepted transients that may still matter, rising.
    transients: VecDeque<i64>,
    /// The rising half of a window (the falling half is what is missing to 1).
    rise: Vec<f32>,
    /// The number of the next window; its middle is at output frame `window · HOP`.
    window: i64,
    /// The second half of the last window, not yet faded.
    tail: Vec<Frame>,
    /// Finished output.
    ready: VecDeque<Frame>,
}

impl Stretch {
    /// `source` from frame `in_point` on at `speed` source seconds a second.
    pub(crate) fn new(source: Box<dyn AudioSource>, in_point: i64, speed: f64) -> Stretch {
        let rise = |n: i64| 0.5 - 0.5 * libm::cos(std::f64::consts::PI * (n as f64 + 0.5) / HOP as f64);
        // Windows near the start may be looked for before it, where there is nothing.
        let before = 2 * HOP + SEARCH;
        Stretch {
            source,
            in_point,
            speed,
            frames: VecDeque::from(vec![[0.0; CHANNELS]; before as usize]),
            first: -before,
            finder: TransientFinder::new(),
            transients: VecDeque::new(),
            rise: (0..HOP).map(|n| rise(n) as f32).collect(),
            window: 0,
            tail: Vec::new(),
            ready: VecDeque::new(),
        }
    }

    /// The next output frames, left and right in turn.
    pub(crate) fn read(&mut self, out: &mut [f32]) -> Result<(), SourceError> {
        for frame in out.as_chunks_mut::<CHANNELS>().0 {
            *frame = loop {
                match self.ready.pop_front() {
                    Some(frame) => break frame,
                    None => self.add_window()?,
                }
            };
        }
        Ok(())
    }

    /// Adds the next window; its first half completes [`HOP`] frames of output.
    fn add_window(&mut self) -> Result<(), SourceError> {
        let output = self.window * HOP;
        let nominal = (output as f64 * self.speed).round() as i64;
        // The window itself, the search, and transients that could keep the window away from here.
        let ahead = HOP + SEARCH + GUARD + (HOP as f64 * self.speed.max(1.0)) as i64;
        self.fetch_until(nominal + ahead)?;
        let middle = match self.placement(output, nominal) {
            Placement::At(middle) => middle,
            Placement::Within { least, nominal, most } => self.most_similar(least, nominal, most),
        };
        let start = middle - HOP;
        if self.window > 0 {
            for n in 0..HOP as usize {
                let (rising, falling) = (self.frame(start + n as i64), self.tail[n]);
                let weight = self.rise[n];
                self.ready.push_back(std::array::from_fn(|c| falling[c] + (rising[c] - falling[c]) * weight));
            }
        }
        self.tail = (middle..middle + HOP).map(|at| self.frame(at)).collect();
        self.window += 1;
        self.forget_before(nominal - ahead);
        Ok(())
    }

    /// Where the window in the middle of which output frame `output` lies may be cut from.
    fn placement(&self, output: i64, nominal: i64) -> Placement {
        let (mut least, mut most) = (nominal - SEARCH, nominal + SEARCH);
        if self.window == 0 {
            return Placement::At(nominal);
        }
        for &transient in &self.transients {
            let distance = output - self.output_of(transient);
            if distance.abs() <= HOP {
                return Placement::At(transient + distance);
            }
            // Every other window must not contain it, or it would be heard twice.
            if distance < 0 {
                most = most.min(transient - HOP);
                least = least.min(most);
            } else {
                least = least.max(transient + GUARD + HOP);
                most = most.max(least);
            }
        }
        Placement::Within { least, nominal: nominal.clamp(least, most), most }
    }

    fn output_of(&self, source: i64) -> i64 {
        (source as f64 / self.speed).round() as i64
    }

    /// The middle between `least` and `most` whose window continues the last one best; `nominal` where none is better.
    fn most_similar(&self, least: i64, nominal: i64, most: i64) -> i64 {
        let wanted: Vec<f32> = self.tail.iter().flatten().copied().collect();
        let from = usize::try_from(least - HOP - self.first).unwrap_or(0);
        let candidates: Vec<f32> =
            self.frames.range(from..from + (most - least + HOP) as usize).flatten().copied().collect();
        let judged = |middle: i64| {
            let at = (middle - least) as usize * CHANNELS;
            (similarity(&wanted, &candidates[at..at + wanted.len()]), middle)
        };
        // Every third, from the nominal place outwards, then the neighbours of the best.
        let mut best = judged(nominal);
        for distance in (3..=nominal - least).step_by(3) {
            best = better(best, judged(nominal - distance));
        }
        for distance in (3..=most - nominal).step_by(3) {
            best = better(best, judged(nominal + distance));
        }
        let coarse = best.1;
        for middle in (coarse - 2).max(least)..=(coarse + 2).min(most) {
            best = better(best, judged(middle));
        }
        best.1
    }

    fn frame(&self, at: i64) -> Frame {
        usize::try_from(at - self.first).ok().and_then(|at| self.frames.get(at)).copied().unwrap_or_default()
    }

    /// Fetches source frames up to `end`, and as many more as it takes to know all transients before `end`.
    fn fetch_until(&mut self, end: i64) -> Result<(), SourceError> {
        while self.finder.position() < end {
            let next = self.first + self.frames.len() as i64;
            let mut block = [0.0; FETCH * CHANNELS];
            self.source.read(self.in_point + next, &mut block)?;
            let (block, _) = block.as_chunks::<CHANNELS>();
            self.frames.extend(block);
            // Two transients must leave room for a whole window between them, in the source and in the output.
            let apart = (2 * HOP + GUARD).max((2.0 * HOP as f64 * self.speed) as i64 + 1);
            let transients = &mut self.transients;
            self.finder.examine(block, |found| {
                if transients.back().is_none_or(|last| found - last >= apart) {
                    transients.push_back(found);
                }
            });
        }
        Ok(())
    }

    fn forget_before(&mut self, start: i64) {
        let old = usize::try_from(start - 2 * HOP - self.first).unwrap_or(0).min(self.frames.len());
        self.frames.drain(..old);
        self.first += old as i64;
        // The last one stays: the next must not come too close to it.
        while self.transients.len() > 1 && self.transients[0] < start {
            self.transients.pop_front();
        }
    }
}

/// Where a window may be cut from.
enum Placement {
    /// There and nowhere else.
    At(i64),
    /// Wherever it fits best.
    Within { least: i64, nominal: i64, most: i64 },
}

/// The more similar of two; the first where they are equal.
fn better(a: (f32, i64), b: (f32, i64)) -> (f32, i64) {
    if b.0 > a.0 { b } else { a }
}

/// How alike `candidate` is to what is wanted: their product over the candidate's loudness. The wanted run's own loudness
/// is left out, since it is the same for every candidate.
fn similarity(wanted: &[f32], candidate: &[f32]) -> f32 {
    const LANES: usize = 8;
    // Eight sums side by side: the compiler may not reorder one, but can compute these together.
    let (mut product, mut energy) = ([0.0_f32; LANES], [0.0_f32; LANES]);
    for (a, b) in wanted.as_chunks::<LANES>().0.iter().zip(candidate.as_chunks::<LANES>().0) {
        for lane in 0..LANES {
            product[lane] += a[lane] * b[lane];
            energy[lane] += b[lane] * b[lane];
        }
    }
    let energy = energy.iter().sum::<f32>();
    if energy > 1e-10 { product.iter().sum::<f32>() / energy.sqrt() } else { 0.0 }
}

#[cfg(test)]
mod tests;
