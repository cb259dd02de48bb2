//! Which events webhooks tell of, and in which words.

use crate::envelope::Recorded;
use crate::render::{QueueReason, RenderEvent};
use crate::upcast::DecodeError;

/// An event that endpoints can be told of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct News {
    /// `render.completed`, …
    pub event_type: &'static str,
    /// Worth nothing once there is newer news.
    pub fleeting: bool,
    /// Whether a job's own `webhook_url` is told, too.
    pub for_the_job: bool,
}

/// What tells of a worker that has begun: only the first lease of a render does.
pub const PROCESSING: &str = "render.processing";

/// What is sent to try an endpoint.
pub const TEST: &str = "webhook.test";

impl News {
    /// What an event of a render is to endpoints; `None`: nothing.
    ///
    /// # Errors
    /// Where the stored event can't be decoded.
    pub fn of(event: &Recorded) -> Result<Option<News>, DecodeError> {
        let told = |event_type, fleeting, for_the_job| Some(News { event_type, fleeting, for_the_job });
        Ok(match event.event.event_type.as_str() {
            "RenderQueued" => match RenderEvent::decode(&event.event)? {
                Some(RenderEvent::RenderQueued(queued))
                    if matches!(queued.reason, QueueReason::Submitted | QueueReason::Ingested) =>
                {
                    told("render.queued", false, false)
                }
                _ => None,
            },
            "LeaseGranted" => told(PROCESSING, false, false),
            "ProgressMarked" => told("render.progress", true, true),
            "RenderCompleted" => told("render.completed", false, true),
            "RenderFailed" => told("render.failed", false, true),
            "RenderCancelled" => told("render.cancelled", false, true),
            _ => None,
        })
    }

    /// Whether what has been told can be told again: what is fleeting is not kept.
    #[must_use]
    pub fn lasts(&self) -> bool {
        !self.fleeting
    }
}
