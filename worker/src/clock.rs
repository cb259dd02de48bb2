//! Where the time goes: wall time by stage, summed over threads and sorted by length. For people and benches, never for
//! decisions.

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

/// The lengths that pieces of work are sorted by, in seconds: from a frame of a small film to the plan of a large one.
pub const BOUNDS_S: [f64; 12] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0, 30.0, 120.0];

/// Times by stage; shared by all slots of a worker.
#[derive(Debug, Default)]
pub struct StageClock {
    stages: [Account; Stage::ALL.len()],
}

/// One stage's times.
#[derive(Debug, Default)]
struct Account {
    nanoseconds: AtomicU64,
    /// Pieces of work by length; the last are those longer than all bounds.
    counts: [AtomicU64; BOUNDS_S.len() + 1],
}

/// One stage's times as they are now.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct StageTimes {
    /// All of it.
    pub sum_s: f64,
    /// Pieces of work no longer than each of [`BOUNDS_S`] and longer than the bound before; the last are the longest.
    pub counts: [u64; BOUNDS_S.len() + 1],
}

impl StageClock {
    /// Runs `work` on a stage's account.
    pub fn time<T>(&self, stage: Stage, work: impl FnOnce() -> T) -> T {
        let started = Instant::now();
        let result = work();
        let spent = started.elapsed();
        let account = &self.stages[stage as usize];
        let nanoseconds = u64::try_from(spent.as_nanos()).unwrap_or(u64::MAX);
        account.nanoseconds.fetch_add(nanoseconds, Ordering::Relaxed);
        let length = BOUNDS_S.partition_point(|bound| spent.as_secs_f64() > *bound);
        account.counts[length].fetch_add(1, Ordering::Relaxed);
        result
    }

    /// The time spent in a stage so far.
    #[must_use]
    pub fn spent(&self, stage: Stage) -> Duration {
        Duration::from_nanos(self.stages[stage as usize].nanoseconds.load(Ordering::Relaxed))
    }

    /// The times of a stage so far, sorted by length.
    #[must_use]
    pub fn times(&self, stage: Stage) -> StageTimes {
        let counts = &self.stages[stage as usize].counts;
        StageTimes {
            sum_s: self.spent(stage).as_secs_f64(),
            counts: std::array::from_fn(|at| counts[at].load(Ordering::Relaxed)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_is_counted_by_its_stage_and_length() {
        let clock = StageClock::default();
        clock.time(Stage::Encode, || {});
        clock.time(Stage::Encode, || std::thread::sleep(Duration::from_millis(3)));
        let times = clock.times(Stage::Encode);
        assert_eq!((times.counts[0], times.counts.iter().sum::<u64>()), (1, 2), "one was short");
        assert!(times.sum_s >= 0.003, "{times:?}");
        assert_eq!(clock.times(Stage::Plan).counts, [0; BOUNDS_S.len() + 1], "the others were not at work");
    }
}
