//! Instants of the calendar: microseconds since 1970, UTC. Where an instant comes from is the caller's business.

use std::fmt;

use jiff::civil::{Date, Time};
use jiff::tz::Offset;
use serde::{Deserialize, Serialize};

/// Microseconds since 1970-01-01T00:00:00Z.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(pub i64);

impl Timestamp {
    /// Reads an ISO 8601 instant with a zone (`2026-01-02T03:04:05.678Z`).
    #[must_use]
    pub fn parse(text: &str) -> Option<Timestamp> {
        text.parse::<jiff::Timestamp>().ok().map(|instant| Timestamp(instant.as_microsecond()))
    }

    /// This instant moved by `ms` milliseconds.
    #[must_use]
    pub fn plus_ms(self, ms: i64) -> Timestamp {
        Timestamp(self.0.saturating_add(ms.saturating_mul(1000)))
    }

    /// Milliseconds from `earlier` to this instant; negative when it is later.
    #[must_use]
    pub fn ms_since(self, earlier: Timestamp) -> i64 {
        (self.0 - earlier.0) / 1000
    }

    /// The calendar month (UTC) that this instant is in: its first instant and that of the next one.
    #[must_use]
    pub fn month(self) -> (Timestamp, Timestamp) {
        let day = Offset::UTC.to_datetime(self.instant()).date().first_of_month();
        let next = day.saturating_add(jiff::Span::new().months(1));
        let midnight = |day: Date| {
            let instant =
                Offset::UTC.to_timestamp(day.to_datetime(Time::midnight())).unwrap_or(jiff::Timestamp::MAX);
            Timestamp(instant.as_microsecond())
        };
        (midnight(day), midnight(next))
    }

    fn instant(self) -> jiff::Timestamp {
        jiff::Timestamp::from_microsecond(self.0).unwrap_or(jiff::Timestamp::UNIX_EPOCH)
    }

    /// Whole seconds since 1970.
    #[must_use]
    pub fn unix_seconds(self) -> i64 {
        self.0.div_euclid(1_000_000)
    }
}

impl fmt::Display for Timestamp {
    /// ISO 8601, UTC, milliseconds: the wire's form.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.3}", self.instant())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wire_shows_milliseconds_in_utc() {
        let instant = Timestamp::parse("2026-01-02T03:04:05.6789+01:00").expect("a valid instant");
        assert_eq!(instant.to_string(), "2026-01-02T02:04:05.678Z");
    }

    #[test]
    fn a_month_ends_where_the_next_begins() {
        let month_of = |text: &str| {
            let (first, next) = Timestamp::parse(text).expect("a valid instant").month();
            (first.to_string(), next.to_string())
        };
        let february = ("2028-02-01T00:00:00.000Z".to_owned(), "2028-03-01T00:00:00.000Z".to_owned());
        assert_eq!(month_of("2028-02-01T00:00:00Z"), february, "its first instant");
        assert_eq!(month_of("2028-02-29T23:59:59.999999Z"), february, "its last");
        assert_eq!(month_of("2028-03-01T00:30:00+01:00"), february, "by UTC");
        assert_eq!(month_of("2027-12-31T00:00:00Z").1, "2028-01-01T00:00:00.000Z");
    }
}
