//! One download over all its tries: what has been written so far, and how the next try goes on from there.

use std::io;
use std::time::Instant;

use bytes::Bytes;
use events::Sha256;
use reqwest::header::{
    ACCEPT, ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_RANGE, CONTENT_TYPE, ETAG, HeaderName, IF_NONE_MATCH,
    IF_RANGE, LOCATION, RANGE,
};
use reqwest::{Response, StatusCode};
use sha2::Digest as _;
use tokio::fs::File;
use tokio::io::{AsyncSeekExt as _, AsyncWriteExt as _};
use url::Url;

use crate::client::{Failure, Obstacle, Outbound};
use crate::fetch::pace::Pace;
use crate::fetch::{FetchError, FetchLimits, Fetched};
use crate::target;

/// Redirects followed, each checked like the first URL.
const REDIRECTS_MAX: usize = 5;

/// How much of a header's value messages show.
const SHOWN_HEADER_CHARS: usize = 40;

/// How a try ended that needs no other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ended {
    /// Everything is in the file.
    Written,
    /// The server still has what the caller knows.
    Unchanged,
}

/// What the body of an answer is.
enum Answer {
    /// The rest of what the file holds.
    GoesOn,
    /// All of it.
    StartsOver,
    /// Nothing: what the caller knows is still so.
    Unchanged,
}

/// A try that failed.
#[derive(Debug)]
pub(super) struct Setback {
    pub(super) error: FetchError,
    /// Whether another try may end otherwise.
    pub(super) again: bool,
    /// Whether this try brought bytes that the next one need not fetch.
    pub(super) forward: bool,
}

/// A download under way.
#[derive(Debug)]
pub(super) struct Download<'a> {
    outbound: &'a Outbound,
    url: Url,
    shown: &'a str,
    limits: &'a FetchLimits,
    file: File,
    /// The validator of what the caller has already.
    known: Option<&'a str>,
    hasher: sha2::Sha256,
    /// Bytes in the file.
    written: u64,
    /// Bytes received over all tries.
    received: u64,
    /// The whole size, where the server told it.
    expected: Option<u64>,
    etag: Option<String>,
    content_type: Option<String>,
}

impl<'a> Download<'a> {
    pub(super) fn new(
        outbound: &'a Outbound,
        url: Url,
        shown: &'a str,
        file: File,
        known: Option<&'a str>,
        limits: &'a FetchLimits,
    ) -> Self {
        Download {
            outbound,
            url,
            shown,
            limits,
            file,
            known: known.filter(|etag| is_strong(etag)),
            hasher: sha2::Sha256::new(),
            written: 0,
            received: 0,
            expected: None,
            etag: None,
            content_type: None,
        }
    }

    /// One try, from where the last one ended.
    pub(super) async fn attempt(&mut self, progress: &mut (dyn FnMut(u64) + Send)) -> Result<Ended, Setback> {
        progress(self.received);
        let begun = Instant::now();
        // However many hops it takes, the answer has to begin in the time that a source may be silent.
        let response = match tokio::time::timeout(self.limits.silence_max, self.request()).await {
            Ok(response) => response?,
            Err(_elapsed) => return Err(self.silent()),
        };
        match self.judge(&response)? {
            Answer::Unchanged => return Ok(Ended::Unchanged),
            Answer::GoesOn => {}
            Answer::StartsOver => self.start_over(&response).await?,
        }
        let before = self.written;
        let copied = self.copy(response, progress).await;
        let brought = self.written.saturating_sub(before);
        copied.map(|()| Ended::Written).map_err(|setback| Setback {
            forward: self.validator().is_some() && self.is_forward(brought, begun),
            ..setback
        })
    }

    /// Whether a try brought enough: as much as the slowest source must, the wait for the next try included. Otherwise a
    /// server that breaks off after every byte could be asked for ever.
    fn is_forward(&self, brought: u64, begun: Instant) -> bool {
        let wait = self.limits.retry_after.first().copied().unwrap_or_default();
        let due = (begun.elapsed() + wait).as_secs_f64() * self.limits.rate_min as f64;
        brought > 0 && brought as f64 >= due
    }

    /// The digest and size of what was written, once it is safely in the file.
    pub(super) async fn finish(mut self) -> Result<Fetched, FetchError> {
        let url = self.shown.to_owned();
        self.file.flush().await.map_err(|source| FetchError::Disk { url, source })?;
        Ok(Fetched {
            sha256: Sha256(self.hasher.finalize().into()),
            size: self.written,
            etag: self.etag,
            content_type: self.content_type,
        })
    }

    /// A strong validator: only that says that the rest belongs to the bytes we have.
    fn validator(&self) -> Option<&str> {
        self.etag.as_deref().filter(|etag| is_strong(etag))
    }

    /// Asks for the bytes that are missing, over at most [`REDIRECTS_MAX`] redirects.
    async fn request(&self) -> Result<Response, Setback> {
        let mut url = self.url.clone();
        for _hop in 0..=REDIRECTS_MAX {
            let response = self.send(&url).await?;
            let status = response.status();
            if !matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308) {
                return Ok(response);
            }
            let location = header(&response, LOCATION).and_then(|location| url.join(&location).ok());
            url = location
                .ok_or_else(|| self.refused(format!("it answered {status} without a usable Location")))?;
            target::check(&url, &self.outbound.allowed).map_err(|error| {
                let failure = Failure::from(error);
                let reason =
                    format!("it redirects to {}, but {}", target::redacted(url.as_str()), failure.reason);
                self.setback(Failure { reason, ..failure }, false)
            })?;
        }
        Err(self.refused(format!("it redirects more than {REDIRECTS_MAX} times")))
    }

    async fn send(&self, url: &Url) -> Result<Response, Setback> {
        let mut request =
            self.outbound.client.get(url.clone()).header(ACCEPT, "*/*").header(ACCEPT_ENCODING, "identity");
        if let Some(validator) = self.validator().filter(|_| self.written > 0) {
            request = request.header(RANGE, format!("bytes={}-", self.written)).header(IF_RANGE, validator);
        } else if let Some(known) = self.known {
            request = request.header(IF_NONE_MATCH, known);
        }
        request.send().await.map_err(|error| {
            let failure = Failure::of(error);
            let again = failure.obstacle != Obstacle::Forbidden;
            self.setback(failure, again)
        })
    }

    /// What the answer is to what was asked for.
    fn judge(&mut self, response: &Response) -> Result<Answer, Setback> {
        let status = response.status();
        let reason = format!("the server answered {status}");
        // We ask for the bytes as they are; what comes packed all the same is not the media that the URL names.
        let encoding = header(response, CONTENT_ENCODING).filter(|it| !it.eq_ignore_ascii_case("identity"));
        if let Some(encoding) = encoding.filter(|_| status.is_success()) {
            let encoding: String = encoding.chars().take(SHOWN_HEADER_CHARS).collect();
            return Err(
                self.refused(format!("it comes with Content-Encoding {encoding:?}, which was not asked for"))
            );
        }
        match status {
            StatusCode::OK => Ok(Answer::StartsOver),
            StatusCode::PARTIAL_CONTENT if self.resumes_with(response) => Ok(Answer::GoesOn),
            StatusCode::NOT_MODIFIED if self.known.is_some() && self.written == 0 => Ok(Answer::Unchanged),
            StatusCode::PARTIAL_CONTENT | StatusCode::RANGE_NOT_SATISFIABLE if self.written > 0 => {
                // Without a validator the next try asks for everything.
                self.etag = None;
                Err(self.setback(Failure::new(Obstacle::Broken, "it changed while it was fetched"), true))
            }
            StatusCode::NOT_FOUND | StatusCode::GONE => {
                Err(self.setback(Failure::new(Obstacle::UnknownHost, reason), false))
            }
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                Err(self.setback(Failure::new(Obstacle::Forbidden, reason), false))
            }
            StatusCode::TOO_MANY_REQUESTS => Err(self.setback(Failure::new(Obstacle::Broken, reason), true)),
            _ => Err(self.setback(Failure::new(Obstacle::Broken, reason), status.is_server_error())),
        }
    }

    fn resumes_with(&self, response: &Response) -> bool {
        let range = header(response, CONTENT_RANGE).unwrap_or_default();
        let same = header(response, ETAG).is_none_or(|etag| Some(etag.as_str()) == self.validator());
        self.written > 0 && same && continues(&range, self.written, self.expected)
    }

    async fn start_over(&mut self, response: &Response) -> Result<(), Setback> {
        self.hasher = sha2::Sha256::new();
        self.written = 0;
        self.expected = response.content_length();
        self.etag = header(response, ETAG);
        self.content_type = header(response, CONTENT_TYPE);
        let emptied = async {
            self.file.set_len(0).await?;
            self.file.rewind().await
        };
        emptied.await.map_err(|source| self.disk(source))?;
        match self.expected {
            Some(size) if size > self.limits.bytes_max => Err(self.too_large(size)),
            _ => Ok(()),
        }
    }

    async fn copy(
        &mut self,
        mut response: Response,
        progress: &mut (dyn FnMut(u64) + Send),
    ) -> Result<(), Setback> {
        let mut pace = Pace::new(self.limits.silence_max, self.limits.rate_min, Instant::now());
        loop {
            let chunk = match tokio::time::timeout(self.limits.silence_max, response.chunk()).await {
                Ok(Ok(Some(chunk))) => chunk,
                Ok(Ok(None)) => break,
                Ok(Err(error)) => return Err(self.setback(Failure::of(error), true)),
                Err(_elapsed) => return Err(self.silent()),
            };
            self.keep(&chunk).await?;
            progress(self.received);
            if !pace.keeps_up(chunk.len() as u64, Instant::now()) {
                let reason = format!("it sends less than {} bytes a second", self.limits.rate_min);
                return Err(self.setback(Failure::new(Obstacle::TimedOut, reason), false));
            }
        }
        match self.expected {
            Some(expected) if expected != self.written => {
                let reason = format!("it ended after {} of {expected} bytes", self.written);
                Err(self.setback(Failure::new(Obstacle::Broken, reason), true))
            }
            _ => Ok(()),
        }
    }

    async fn keep(&mut self, chunk: &Bytes) -> Result<(), Setback> {
        let size = self.written.saturating_add(chunk.len() as u64);
        if size > self.limits.bytes_max {
            return Err(self.too_large(size));
        }
        self.file.write_all(chunk).await.map_err(|source| self.disk(source))?;
        self.hasher.update(chunk);
        self.written = size;
        self.received = self.received.saturating_add(chunk.len() as u64);
        Ok(())
    }

    fn setback(&self, failure: Failure, again: bool) -> Setback {
        Setback { error: FetchError::of(self.shown, failure), again, forward: false }
    }

    fn refused(&self, reason: String) -> Setback {
        self.setback(Failure::new(Obstacle::Broken, reason), false)
    }

    fn silent(&self) -> Setback {
        let reason = format!("no byte came for {} s", self.limits.silence_max.as_secs_f32());
        self.setback(Failure::new(Obstacle::TimedOut, reason), true)
    }

    fn too_large(&self, size: u64) -> Setback {
        let reason = format!("it has {size} bytes or more; at most {} are allowed", self.limits.bytes_max);
        let error = FetchError::TooLarge { url: self.shown.to_owned(), reason };
        Setback { error, again: false, forward: false }
    }

    fn disk(&self, source: io::Error) -> Setback {
        let error = FetchError::Disk { url: self.shown.to_owned(), source };
        Setback { error, again: false, forward: false }
    }
}

fn header(response: &Response, name: HeaderName) -> Option<String> {
    response.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned)
}

/// Whether the validator tells bytes apart, not only meanings (RFC 9110 8.8.1).
pub(super) fn is_strong(etag: &str) -> bool {
    etag.starts_with('"')
}

/// Whether a Content-Range (RFC 9110 14.4) starts at `offset` and agrees on the whole size.
fn continues(range: &str, offset: u64, expected: Option<u64>) -> bool {
    let Some((span, size)) = range.strip_prefix("bytes ").and_then(|range| range.split_once('/')) else {
        return false;
    };
    let first = span.split_once('-').and_then(|(first, _)| first.parse::<u64>().ok());
    let agrees = match (size.parse::<u64>().ok(), expected) {
        (Some(size), Some(expected)) => size == expected,
        _ => true,
    };
    first == Some(offset) && agrees
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_range_from_our_offset_of_the_same_whole_continues() {
        assert!(continues("bytes 5-9/10", 5, Some(10)));
        assert!(continues("bytes 5-9/*", 5, Some(10)), "an unknown size agrees with every size");
        for other in ["bytes 4-9/10", "bytes 5-9/11", "bytes */10", "5-9/10", ""] {
            assert!(!continues(other, 5, Some(10)), "{other:?}");
        }
    }
}
