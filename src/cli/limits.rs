//! The limits that an installation may choose, as flags.

use api::{RateLimit, ServiceLimits};
use bytesize::ByteSize;
use clap::Args;
use jiff::{Span, SpanRelativeTo};

/// What one workspace, one key and one disk are allowed.
#[derive(Debug, Clone, Args)]
pub(crate) struct LimitOptions {
    /// Requests of one API key, like 100/s, 600/min or 5000/h; any number unless given
    #[arg(long, env = "FRAMELANE_RATE_LIMIT", value_name = "RATE")]
    rate_limit: Option<RateLimit>,

    /// Renders of one workspace in work at once, where the workspace has no setting of its own; any number unless given
    #[arg(long, env = "FRAMELANE_CONCURRENCY", value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    concurrency: Option<u32>,

    /// How long films and the links to them are kept after their completion
    #[arg(long, env = "FRAMELANE_RETENTION", default_value = "30d", value_name = "TIME", value_parser = seconds)]
    retention: u64,

    /// Room that must be free on the disk of the data folder: with less nothing new is accepted or begun
    #[arg(long, env = "FRAMELANE_MIN_FREE_DISK", default_value = "1GiB", value_name = "SIZE")]
    min_free_disk: ByteSize,

    /// How long an Idempotency-Key is kept
    #[arg(long, env = "FRAMELANE_IDEMPOTENCY_RETENTION", default_value = "24h", value_name = "TIME", value_parser = seconds)]
    idempotency_retention: u64,
}

impl LimitOptions {
    /// The whole table.
    pub(crate) fn service_limits(&self) -> ServiceLimits {
        ServiceLimits {
            rate_limit: self.rate_limit,
            concurrency: self.concurrency,
            retention_s: self.retention,
            min_free_disk_bytes: self.min_free_disk.as_u64(),
            idempotency_retention_s: self.idempotency_retention,
            ..ServiceLimits::default()
        }
    }
}

/// The longest time that anything is kept: a century.
const SECONDS_MAX: i64 = 100 * 366 * 24 * 60 * 60;

/// Reads a length of time, like `30d`, `36h` or `90min`.
pub(super) fn seconds(text: &str) -> Result<u64, String> {
    let fault = || format!("{text:?} is no length of time from 1 s on: expected one like 30d, 36h or 90min");
    let span: Span = text.parse().map_err(|_no_span| fault())?;
    let length = span.to_duration(SpanRelativeTo::days_are_24_hours()).map_err(|_no_calendar| fault())?;
    let seconds = Some(length.as_secs()).filter(|seconds| (1..=SECONDS_MAX).contains(seconds));
    seconds.map(i64::unsigned_abs).ok_or_else(fault)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_of_time_are_read_as_people_write_them() {
        for (text, expected) in
            [("30d", 2_592_000), ("24h", 86_400), ("90min", 5_400), ("1d 12h", 129_600), ("5s", 5)]
        {
            assert_eq!(seconds(text), Ok(expected), "{text}");
        }
        for text in ["", "30", "-5d", "0s", "one day", "1mo", "9999999d"] {
            assert!(
                seconds(text).is_err_and(|fault| fault.contains("30d")),
                "{text} is refused with an example"
            );
        }
    }
}
