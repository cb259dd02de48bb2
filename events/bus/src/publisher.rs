//! The port to subscribers outside: public events, in the log's order, on a stream that they read at their own pace.
//!
//! The stream is a copy and may vanish at any moment; whoever publishes keeps its own place in the log. A window is told
//! where the stream ends in the writer's eyes, so that a writer who has slept can neither repeat nor reorder anything.
//! Must not know: which events are public, how they are written.

use async_trait::async_trait;
use bytes::Bytes;
use events::{EventId, Position, RenderId, StreamVersion, WorkspaceId};
use thiserror::Error;

/// A public event on its way out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutgoingEvent {
    /// The log's event id; what doubles are known by.
    pub id: EventId,
    /// Its place in the log.
    pub position: Position,
    /// Its place in the job's history.
    pub version: StreamVersion,
    /// Whose it is.
    pub workspace: WorkspaceId,
    /// The job.
    pub render: RenderId,
    /// `render.submitted`, …
    pub event_type: &'static str,
    /// ISO 8601, UTC.
    pub created_at: String,
    /// What is told, as `/v1/events` tells it.
    pub json: Bytes,
}

/// The end of the stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tail {
    /// The stream's own number of its last message; 0 where there was none yet.
    pub sequence: u64,
    /// The event in the last message; `None` where there is no message, or none of ours.
    pub last: Option<Mark>,
}

/// An event that the stream holds, as its message names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark {
    /// Its place in the log.
    pub position: Position,
    /// Which it is: a place alone could be another log's.
    pub id: EventId,
}

/// Puts public events on the stream.
#[async_trait]
pub trait EventPublisher: Send + Sync + std::fmt::Debug {
    /// Makes the stream where there is none, holds its settings against ours, and says where it ends.
    async fn ensure(&self) -> Result<Tail, PublishError>;

    /// Appends a window behind the message `after` and waits until all of it is acknowledged; the new end. Events that the
    /// stream has had within the last two minutes are taken as appended. After an error some may have been.
    async fn publish(&self, after: u64, window: &[OutgoingEvent]) -> Result<u64, PublishError>;
}

/// Events could not be published.
#[derive(Debug, Error)]
pub enum PublishError {
    /// The stream's end is elsewhere: another writer was there, or the stream has been made anew. Look again.
    #[error("the stream of events ends elsewhere than it did: another writer, or it was made anew")]
    Moved,
    /// Not now; later may help.
    #[error("could not publish events: {0}")]
    Unavailable(String),
    /// Not before somebody has mended something: what and how is said.
    #[error("could not publish events: {0}")]
    Refused(String),
}
