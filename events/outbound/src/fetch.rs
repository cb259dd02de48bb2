//! Fetching a source to a file: streamed, hashed on the way, bounded, resumed where the server lets us.
//!
//! Refusals, timeouts, 429 and 5xx are tried again after 1 s and 3 s. After a broken connection a server that named the
//! representation by a strong validator is asked for the rest only (RFC 9110 13.1.5, 14.2); every other one starts over.

mod download;
mod pace;

use std::path::Path;
use std::time::Duration;

use events::{FaultCode, Sha256};
use thiserror::Error;

use crate::client::{Failure, Obstacle, Outbound};
use crate::fetch::download::{Download, Ended, Setback};
use crate::target;

/// The longest validator that is remembered; what servers send is a digest or a counter.
const VALIDATOR_BYTES_MAX: usize = 256;

/// Bounds of one fetch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FetchLimits {
    /// The largest source.
    pub bytes_max: u64,
    /// The longest time without a byte, before the answer or within it.
    pub silence_max: Duration,
    /// The slowest source, bytes a second over a span of `silence_max`.
    pub rate_min: u64,
    /// The longest time for everything, retries included.
    pub total_max: Duration,
    /// How long to wait before each further try.
    pub retry_after: Vec<Duration>,
}

impl Default for FetchLimits {
    /// The contract's limits of a source: 5 GiB, 30 s without a byte, tries after 1 s and 3 s; and one hour in all, at
    /// no less than 1 KiB a second.
    fn default() -> FetchLimits {
        FetchLimits {
            bytes_max: 5 << 30,
            silence_max: Duration::from_secs(30),
            rate_min: 1024,
            total_max: Duration::from_secs(60 * 60),
            retry_after: vec![Duration::from_secs(1), Duration::from_secs(3)],
        }
    }
}

/// What was fetched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fetched {
    /// The bytes' digest.
    pub sha256: Sha256,
    /// How many bytes.
    pub size: u64,
    /// The server's validator, as it was sent.
    pub etag: Option<String>,
    /// The media type that the server claims.
    pub content_type: Option<String>,
}

impl Fetched {
    /// The validator, where it tells bytes apart and is worth remembering.
    #[must_use]
    pub fn validator(&self) -> Option<&str> {
        self.etag.as_deref().filter(|etag| download::is_strong(etag) && etag.len() <= VALIDATOR_BYTES_MAX)
    }
}

/// A fetch that did not happen. The messages name the URL without its secrets, and the reason.
#[derive(Debug, Error)]
pub enum FetchError {
    /// 404, 410 or an unknown host.
    #[error("could not fetch {url}: {reason}")]
    NotFound {
        /// Without secrets.
        url: String,
        /// Why.
        reason: String,
    },
    /// A forbidden address, scheme or userinfo, or the server's 401 or 403.
    #[error("could not fetch {url}: {reason}")]
    Forbidden {
        /// Without secrets.
        url: String,
        /// Why.
        reason: String,
    },
    /// A refused or broken connection, TLS faults, other 4xx, 5xx and 429 to the end, too many redirects.
    #[error("could not fetch {url}: {reason}")]
    Invalid {
        /// Without secrets.
        url: String,
        /// Why.
        reason: String,
    },
    /// A time limit ran out.
    #[error("could not fetch {url}: {reason}")]
    TimedOut {
        /// Without secrets.
        url: String,
        /// Why.
        reason: String,
    },
    /// More bytes than allowed.
    #[error("could not fetch {url}: {reason}")]
    TooLarge {
        /// Without secrets.
        url: String,
        /// Why.
        reason: String,
    },
    /// The local file can't be written.
    #[error("could not keep what was fetched from {url}")]
    Disk {
        /// Without secrets.
        url: String,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
}

impl FetchError {
    /// The job's error code.
    #[must_use]
    pub fn fault_code(&self) -> FaultCode {
        match self {
            FetchError::NotFound { .. } => FaultCode::SourceNotFound,
            FetchError::Forbidden { .. } => FaultCode::SourceForbidden,
            FetchError::Invalid { .. } => FaultCode::InvalidSource,
            FetchError::TimedOut { .. } => FaultCode::SourceTimeout,
            FetchError::TooLarge { .. } => FaultCode::SourceTooLarge,
            FetchError::Disk { .. } => FaultCode::Internal,
        }
    }

    fn of(url: &str, failure: Failure) -> FetchError {
        let (url, reason) = (url.to_owned(), failure.reason);
        match failure.obstacle {
            Obstacle::Forbidden => FetchError::Forbidden { url, reason },
            Obstacle::UnknownHost => FetchError::NotFound { url, reason },
            Obstacle::TimedOut => FetchError::TimedOut { url, reason },
            Obstacle::Broken | Obstacle::Invalid => FetchError::Invalid { url, reason },
        }
    }
}

impl Outbound {
    /// Fetches `url` into a new file at `path` (an older one is replaced). `progress` is told the bytes received so far,
    /// over all tries: at each new try and with each piece. A failed fetch leaves no file; a dropped one may leave a part
    /// of it.
    ///
    /// # Errors
    /// [`FetchError`], after the retries that the limits ask for.
    pub async fn fetch_to_file(
        &self,
        url: &str,
        path: &Path,
        limits: &FetchLimits,
        progress: &mut (dyn FnMut(u64) + Send),
    ) -> Result<Fetched, FetchError> {
        let fetched = self.fetch_if_changed(url, None, path, limits, progress).await?;
        // Nothing was asked under a condition, and a 304 all the same is a refusal.
        Ok(fetched.expect("what was asked for without a condition has come"))
    }

    /// The same where the server has something else than what `known`, a strong validator, names; `None`: it has that
    /// still, and there is no file.
    ///
    /// # Errors
    /// As [`Outbound::fetch_to_file`].
    pub async fn fetch_if_changed(
        &self,
        url: &str,
        known: Option<&str>,
        path: &Path,
        limits: &FetchLimits,
        progress: &mut (dyn FnMut(u64) + Send),
    ) -> Result<Option<Fetched>, FetchError> {
        let shown = target::redacted(url);
        let target = target::parse(url, &self.allowed)
            .map_err(|error| FetchError::of(&shown, Failure::from(error)))?;
        let disk = |source| FetchError::Disk { url: shown.clone(), source };
        let file = tokio::fs::File::create(path).await.map_err(disk)?;
        let download = Download::new(self, target, &shown, file, known, limits);
        let fetched = match tokio::time::timeout(limits.total_max, run(download, limits, progress)).await {
            Ok(fetched) => fetched,
            Err(_elapsed) => {
                let reason = format!("it took longer than {} s in all", limits.total_max.as_secs_f32());
                Err(FetchError::TimedOut { url: shown.clone(), reason })
            }
        };
        if !matches!(fetched, Ok(Some(_))) {
            // What counts is why there is nothing; the file lies in a directory that its owner sweeps.
            drop(tokio::fs::remove_file(path).await);
        }
        fetched
    }
}

/// Tries until it works or the tries are used up; a try that brought a resumable download forward counts as the first.
async fn run(
    mut download: Download<'_>,
    limits: &FetchLimits,
    progress: &mut (dyn FnMut(u64) + Send),
) -> Result<Option<Fetched>, FetchError> {
    let mut used = 0;
    loop {
        let Setback { error, again, forward } = match download.attempt(progress).await {
            Ok(Ended::Written) => return download.finish().await.map(Some),
            Ok(Ended::Unchanged) => return Ok(None),
            Err(setback) => setback,
        };
        if forward {
            used = 0;
        }
        let Some(wait) = limits.retry_after.get(used).filter(|_| again) else { return Err(error) };
        used += 1;
        tracing::debug!(error = %error, "a fetch is tried again");
        tokio::time::sleep(*wait).await;
    }
}
