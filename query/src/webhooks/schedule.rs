//! When a delivery that failed is tried again: pure.

use std::time::Duration;

/// Delays before each further attempt, in the contract's words: 5 s, 30 s, 2 min, 10 min, 30 min, 2 h, 6 h, 12 h.
const STANDARD: [Duration; 8] = [
    Duration::from_secs(5),
    Duration::from_secs(30),
    Duration::from_mins(2),
    Duration::from_mins(10),
    Duration::from_mins(30),
    Duration::from_hours(2),
    Duration::from_hours(6),
    Duration::from_hours(12),
];

/// How far a delay is stretched or shortened by chance, so that deliveries which failed together don't come back together.
const JITTER: f64 = 0.2;

/// The delays between attempts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schedule(Vec<Duration>);

impl Default for Schedule {
    fn default() -> Schedule {
        Schedule(STANDARD.to_vec())
    }
}

impl Schedule {
    /// Other delays than the contract's.
    #[must_use]
    pub fn new(delays: Vec<Duration>) -> Schedule {
        Schedule(delays)
    }

    /// How long to wait after the failure of attempt `number` (from 1); `None`: it was the last one. `chance` is in
    /// 0…1.
    #[must_use]
    pub fn after(&self, number: u32, chance: f64) -> Option<Duration> {
        let delay = self.0.get(usize::try_from(number).ok()?.checked_sub(1)?)?;
        Some(delay.mul_f64(1.0 - JITTER + 2.0 * JITTER * chance.clamp(0.0, 1.0)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_delays_are_the_contracts_and_then_it_is_over() {
        let schedule = Schedule::default();
        let seconds: Vec<u64> = (1..=8).map(|n| schedule.after(n, 0.5).expect("a delay").as_secs()).collect();
        assert_eq!(seconds, [5, 30, 120, 600, 1800, 7200, 21600, 43200]);
        assert_eq!(schedule.after(9, 0.5), None, "nine attempts in all");
    }

    #[test]
    fn chance_moves_a_delay_by_a_fifth_at_most() {
        let schedule = Schedule::default();
        assert_eq!(schedule.after(1, 0.0), Some(Duration::from_secs(4)));
        assert_eq!(schedule.after(1, 1.0), Some(Duration::from_secs(6)));
        assert_eq!(schedule.after(1, 7.0), Some(Duration::from_secs(6)), "whatever is drawn");
    }
}
