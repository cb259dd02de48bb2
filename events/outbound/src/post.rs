//! Sending a webhook: one POST, no redirects, a bounded look at the answer.

use std::time::{Duration, Instant};

use bytes::Bytes;
use thiserror::Error;

use crate::client::{Failure, Obstacle, Outbound};
use crate::target;

/// How much of an answer's body is kept.
pub const REPLY_BODY_BYTES_MAX: usize = 1024;

/// A server's answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PostReply {
    /// The HTTP status; a redirect's own status, it is not followed.
    pub status: u16,
    /// The body's first [`REPLY_BODY_BYTES_MAX`] bytes.
    pub body: Vec<u8>,
    /// From the first byte out to the status line in.
    pub latency: Duration,
}

/// There was no answer.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum PostError {
    /// The target may not be dialled.
    #[error("could not post to {url}: {reason}")]
    Forbidden {
        /// Without secrets.
        url: String,
        /// Why.
        reason: String,
    },
    /// No answer within the time given.
    #[error("could not post to {url}: {reason}")]
    TimedOut {
        /// Without secrets.
        url: String,
        /// Why.
        reason: String,
    },
    /// No connection, or one that broke.
    #[error("could not post to {url}: {reason}")]
    Unreachable {
        /// Without secrets.
        url: String,
        /// Why.
        reason: String,
    },
}

impl PostError {
    /// Why, without the address: that of a webhook is a secret of its owner's, path and all.
    #[must_use]
    pub fn reason(&self) -> &str {
        match self {
            PostError::Forbidden { reason, .. }
            | PostError::TimedOut { reason, .. }
            | PostError::Unreachable { reason, .. } => reason,
        }
    }
}

impl Outbound {
    /// Posts `body` and waits at most `timeout` for the answer's status; what comes of its body in that time is kept.
    ///
    /// # Errors
    /// [`PostError`] where no status came. A status that tells of failure is a reply.
    pub async fn post(
        &self,
        url: &str,
        headers: &[(&str, String)],
        body: Bytes,
        timeout: Duration,
    ) -> Result<PostReply, PostError> {
        let begun = Instant::now();
        let failed = |failure| no_answer(url, failure);
        let target = target::parse(url, &self.allowed).map_err(|error| failed(Failure::from(error)))?;
        let request = headers
            .iter()
            .fold(self.client.post(target), |request, (name, value)| request.header(*name, value));
        let sent = tokio::time::timeout(timeout, request.body(body).send()).await;
        let mut response = match sent {
            Ok(response) => response.map_err(|error| failed(Failure::of(error)))?,
            Err(_elapsed) => {
                let reason = format!("no answer within {} s", timeout.as_secs_f32());
                return Err(failed(Failure::new(Obstacle::TimedOut, reason)));
            }
        };
        let latency = begun.elapsed();
        let mut kept = Vec::new();
        let reading = async {
            // The status has decided; a body that breaks off is as good as its beginning.
            while let Ok(Some(chunk)) = response.chunk().await {
                let wanted = REPLY_BODY_BYTES_MAX - kept.len();
                kept.extend_from_slice(&chunk[..chunk.len().min(wanted)]);
                if kept.len() == REPLY_BODY_BYTES_MAX {
                    break;
                }
            }
        };
        if tokio::time::timeout(timeout.saturating_sub(latency), reading).await.is_err() {
            tracing::debug!("an answer's body did not end in time; its beginning is kept");
        }
        Ok(PostReply { status: response.status().as_u16(), body: kept, latency })
    }
}

fn no_answer(url: &str, failure: Failure) -> PostError {
    let (url, reason) = (target::redacted(url), failure.reason);
    match failure.obstacle {
        Obstacle::Forbidden | Obstacle::Invalid => PostError::Forbidden { url, reason },
        Obstacle::TimedOut => PostError::TimedOut { url, reason },
        Obstacle::UnknownHost | Obstacle::Broken => PostError::Unreachable { url, reason },
    }
}
