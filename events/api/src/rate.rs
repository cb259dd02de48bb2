//! How many requests a key may send: a token bucket for each key of this process.
//!
//! The bucket holds one window's requests and fills evenly, so that a key may send a window's worth at once and then at
//! the window's pace. Only keys that open something have a bucket: guesses cost no memory. What is left is told in the
//! headers `RateLimit-Policy` and `RateLimit` (draft-ietf-httpapi-ratelimit-headers-10). Must not know: HTTP, the wall
//! clock.

use std::collections::HashMap;
use std::fmt;
use std::str::FromStr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use events::KeyId;
use serde::Serialize;

/// Buckets kept at most; beyond, those that are full again are dropped.
const BUCKETS_MAX: usize = 100_000;

/// A number of requests in a window of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct RateLimit {
    /// How many.
    pub requests: u32,
    /// In how many seconds.
    pub window_s: u32,
}

impl FromStr for RateLimit {
    type Err = String;

    fn from_str(text: &str) -> Result<RateLimit, String> {
        let fault = || {
            format!("{text:?} is no rate: expected a whole number from 1 on and /s, /min or /h, like 600/min")
        };
        let (requests, window) = text.split_once('/').ok_or_else(fault)?;
        let window_s = match window.trim() {
            "s" => 1,
            "min" => 60,
            "h" => 3600,
            _ => return Err(fault()),
        };
        let requests = requests.trim().parse().ok().filter(|requests| *requests > 0).ok_or_else(fault)?;
        Ok(RateLimit { requests, window_s })
    }
}

impl RateLimit {
    /// The value of `RateLimit-Policy`.
    #[must_use]
    pub fn policy(self) -> String {
        format!("\"default\";q={};w={}", self.requests, self.window_s)
    }
}

/// What is left to a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quota {
    /// The rule.
    pub limit: RateLimit,
    /// Requests that may be sent now.
    pub remaining: u32,
    /// Seconds until all of them may be.
    pub reset_s: u32,
    /// Seconds until one more may be sent, where none may be sent now.
    pub retry_after_s: Option<u32>,
}

impl fmt::Display for Quota {
    /// The value of `RateLimit`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"default\";r={};t={}", self.remaining, self.reset_s)
    }
}

/// The buckets.
#[derive(Debug)]
pub struct RateLimiter {
    limit: RateLimit,
    buckets: Mutex<HashMap<KeyId, Bucket>>,
}

/// A bucket as it was when it was last looked at.
#[derive(Debug, Clone, Copy)]
struct Bucket {
    tokens: f64,
    at: Instant,
}

impl RateLimiter {
    /// A limiter that has seen nobody yet.
    #[must_use]
    pub fn new(limit: RateLimit) -> RateLimiter {
        RateLimiter { limit, buckets: Mutex::default() }
    }

    /// Takes one request from the key's bucket. Where none is left, [`Quota::retry_after_s`] says for how long.
    pub fn take(&self, key: KeyId, now: Instant) -> Quota {
        let (capacity, window_s) = (f64::from(self.limit.requests), f64::from(self.limit.window_s));
        let per_second = capacity / window_s;
        let filled = |bucket: &Bucket| {
            let since = now.saturating_duration_since(bucket.at).as_secs_f64();
            (bucket.tokens + since * per_second).min(capacity)
        };
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        if buckets.len() >= BUCKETS_MAX && !buckets.contains_key(&key) {
            buckets.retain(|_, bucket| filled(bucket) < capacity);
        }
        let bucket = buckets.entry(key).or_insert(Bucket { tokens: capacity, at: now });
        let tokens = filled(bucket);
        let admitted = tokens >= 1.0;
        *bucket = Bucket { tokens: if admitted { tokens - 1.0 } else { tokens }, at: now.max(bucket.at) };
        let seconds =
            |tokens: f64| Duration::from_secs_f64(tokens.max(0.0) / per_second).as_secs_f64().ceil() as u32;
        Quota {
            limit: self.limit,
            remaining: bucket.tokens as u32,
            reset_s: seconds(capacity - bucket.tokens),
            retry_after_s: (!admitted).then(|| seconds(1.0 - bucket.tokens).max(1)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: KeyId = KeyId::new(1);

    fn limiter(text: &str) -> RateLimiter {
        RateLimiter::new(text.parse().expect("a rate"))
    }

    #[test]
    fn a_rate_is_a_number_and_a_window() {
        assert_eq!("100/s".parse(), Ok(RateLimit { requests: 100, window_s: 1 }));
        assert_eq!("600 / min".parse(), Ok(RateLimit { requests: 600, window_s: 60 }));
        assert_eq!("5/h".parse(), Ok(RateLimit { requests: 5, window_s: 3600 }));
        for text in ["", "100", "0/s", "-1/s", "1.5/s", "100/d", "100/", "/s", "99999999999/s"] {
            let fault = text.parse::<RateLimit>().expect_err(text);
            assert!(fault.contains("600/min"), "it says what is expected: {fault}");
        }
    }

    #[test]
    fn a_windows_worth_may_be_sent_at_once_and_then_at_the_windows_pace() {
        let (limiter, start) = (limiter("4/min"), Instant::now());
        let at = |seconds: u64| limiter.take(KEY, start + Duration::from_secs(seconds));
        let told: Vec<_> = (0..4).map(|_| at(0)).map(|quota| (quota.remaining, quota.reset_s)).collect();
        assert_eq!(told, [(3, 15), (2, 30), (1, 45), (0, 60)]);
        assert_eq!(at(0).retry_after_s, Some(15));
        assert_eq!(at(10).retry_after_s, Some(5), "asking in vain costs nothing");
        assert_eq!(at(15).retry_after_s, None);
        assert_eq!(at(16).retry_after_s, Some(14));
        assert_eq!(at(1_000).remaining, 3, "a long pause fills it, and no further");
    }

    #[test]
    fn keys_have_buckets_of_their_own() {
        let (limiter, now) = (limiter("1/h"), Instant::now());
        assert_eq!(limiter.take(KEY, now).retry_after_s, None);
        assert_eq!(limiter.take(KEY, now).retry_after_s, Some(3600));
        assert_eq!(limiter.take(KeyId::new(2), now).retry_after_s, None);
    }

    #[test]
    fn headers_are_structured_fields() {
        let limiter = limiter("100/s");
        let quota = limiter.take(KEY, Instant::now());
        assert_eq!(quota.limit.policy(), "\"default\";q=100;w=1");
        assert_eq!(quota.to_string(), "\"default\";r=99;t=1");
    }
}
