//! How fast bytes come: a source that trickles is stopped although it is never silent.

use std::time::{Duration, Instant};

/// Bytes counted over windows of one length.
#[derive(Debug)]
pub(super) struct Pace {
    window: Duration,
    bytes_min: u64,
    since: Instant,
    bytes: u64,
}

impl Pace {
    /// Expects at least `rate_min` bytes a second over each `window`.
    pub(super) fn new(window: Duration, rate_min: u64, now: Instant) -> Pace {
        let bytes_min = u128::from(rate_min).saturating_mul(window.as_millis()) / 1000;
        Pace { window, bytes_min: u64::try_from(bytes_min).unwrap_or(u64::MAX), since: now, bytes: 0 }
    }

    /// Counts bytes that came at `now`; false: the window that just ended held too few.
    pub(super) fn keeps_up(&mut self, bytes: u64, now: Instant) -> bool {
        self.bytes = self.bytes.saturating_add(bytes);
        if now.duration_since(self.since) < self.window {
            return true;
        }
        let enough = self.bytes >= self.bytes_min;
        (self.since, self.bytes) = (now, 0);
        enough
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trickle_is_noticed_when_its_window_ends() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut pace = Pace::new(Duration::from_secs(30), 1024, start);
        assert!(pace.keeps_up(1, at(29)), "the first window is not over");
        assert!(pace.keeps_up(30 * 1024, at(30)), "enough in the first window");
        assert!(pace.keeps_up(1, at(59)), "the second window is not over");
        assert!(!pace.keeps_up(1, at(60)), "two bytes in 30 s are a trickle");
    }
}
