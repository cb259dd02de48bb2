//! Where the time goes: seconds of wall time by stage, summed over threads. For people and benches, never for decisions.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// A kind of work that takes time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Fetching, probing, laying out.
    Plan,
    /// Waiting for decoded pictures.
    Decode,
    /// Drawing frames.
    Composite,
    /// Encoding pictures.
    Encode,
    /// Decoding, mixing and encoding the sound.
    Sound,
    /// Joining the parts.
    Assemble,
}

impl Stage {
    /// Every stage, in the order of a render.
    pub const ALL: [Stage; 6] =
        [Stage::Plan, Stage::Decode, Stage::Composite, Stage::Encode, Stage::Sound, Stage::Assemble];

    /// Its name in reports.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Stage::Plan => "plan",
            Stage::Decode => "decode",
            Stage::Composite => "composite",
            Stage::Encode => "encode",
            Stage::Sound => "sound",
            Stage::Assemble => "assemble",
        }
    }
}

/// Sums of time by stage; shared by all slots of a worker.
#[derive(Debug, Default)]
pub struct StageClock {
    nanoseconds: [AtomicU64; Stage::ALL.len()],
}

impl StageClock {
    /// Runs `work` on a stage's account.
    pub fn time<T>(&self, stage: Stage, work: impl FnOnce() -> T) -> T {
        let started = Instant::now();
        let result = work();
        let spent = u64::try_from(started.elapsed().as_nanos()).unwrap_or(u64::MAX);
        self.nanoseconds[stage as usize].fetch_add(spent, Ordering::Relaxed);
        result
    }

    /// The time spent in a stage so far.
    #[must_use]
    pub fn spent(&self, stage: Stage) -> Duration {
        Duration::from_nanos(self.nanoseconds[stage as usize].load(Ordering::Relaxed))
    }
}
