//! What surrounds an event: stream, version, position, cause, and its exact bytes.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::digest::Sha256;
use crate::id::{EventId, RenderId, WorkspaceId};
use crate::time::Timestamp;

/// The name of a stream: the identifier of the aggregate it is the life of.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct StreamId(String);

impl StreamId {
    /// The stream named by this text, as read back from a store.
    #[must_use]
    pub fn from_stored(text: String) -> StreamId {
        StreamId(text)
    }

    /// The stream's name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The render whose life this is, if it is one.
    #[must_use]
    pub fn render(&self) -> Option<RenderId> {
        self.0.parse().ok()
    }
}

impl From<RenderId> for StreamId {
    fn from(id: RenderId) -> StreamId {
        StreamId(id.to_string())
    }
}

impl From<WorkspaceId> for StreamId {
    fn from(id: WorkspaceId) -> StreamId {
        StreamId(id.to_string())
    }
}

impl fmt::Display for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The place of an event in its stream, from 1; 0 is the empty stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct StreamVersion(pub u64);

/// The place of an event in the whole log, from 1, without gaps, in commit order; 0 is the empty log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Position(pub u64);

/// Who caused an event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Actor(pub String);

impl Actor {
    /// The service itself: policies, reaper, start-up.
    #[must_use]
    pub fn system() -> Actor {
        Actor("system".to_owned())
    }
}

/// An event's type, version and exact UTF-8 JSON bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EncodedEvent {
    /// `RenderSubmitted`, … — never renamed.
    pub event_type: String,
    /// From 1; a changed shape is a new version.
    pub schema_version: u16,
    /// What is stored and hashed, byte for byte.
    pub data: Vec<u8>,
}

/// An event about to be appended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewEvent {
    /// UUIDv7 bits, made by the caller.
    pub event_id: EventId,
    /// Type, version, bytes.
    pub event: EncodedEvent,
    /// Whose data this is.
    pub workspace_id: WorkspaceId,
    /// The request that everything in this chain goes back to.
    pub correlation_id: String,
    /// The event that led to this one.
    pub causation_id: Option<EventId>,
    /// Who caused it.
    pub actor: Actor,
    /// W3C trace context, where the request carried one.
    pub traceparent: Option<String>,
}

/// An event of the log: identity, place and time exist only after storing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recorded {
    /// UUIDv7 bits.
    pub event_id: EventId,
    /// The stream it belongs to.
    pub stream_id: StreamId,
    /// Its place there.
    pub stream_version: StreamVersion,
    /// Its place in the log.
    pub position: Position,
    /// Type, version, bytes.
    pub event: EncodedEvent,
    /// Whose data this is.
    pub workspace_id: WorkspaceId,
    /// The request it goes back to.
    pub correlation_id: String,
    /// The event that led to it.
    pub causation_id: Option<EventId>,
    /// Who caused it.
    pub actor: Actor,
    /// W3C trace context, if any.
    pub traceparent: Option<String>,
    /// When, by the database's clock.
    pub recorded_at: Timestamp,
    /// The hash chain's value here.
    pub hash: Sha256,
}
