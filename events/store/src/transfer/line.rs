//! The lines of an export. A stored format: it changes only with its number.

use events::{
    Actor, EncodedEvent, EventId, Position, Recorded, Sha256, StreamId, StreamVersion, Timestamp, WorkspaceId,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::Digest as _;

/// One line.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Line {
    /// The first.
    Log(Header),
    /// One for each event, in their order.
    Event(EventLine),
    /// One for each row of a table beside the log.
    Row(RowLine),
    /// The last.
    End(End),
}

/// What an export is of.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Header {
    /// The version of these lines.
    pub(super) format: u32,
    /// What the first event follows; 0: it is the first of all.
    pub(super) after: Position,
    /// The hash there.
    pub(super) after_hash: Sha256,
    /// The master key that sealed bytes are sealed with, by a digest that does not tell it.
    pub(super) master_key: Option<String>,
}

/// An event.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct EventLine {
    pub(super) position: Position,
    event_id: EventId,
    stream_id: StreamId,
    stream_version: StreamVersion,
    #[serde(rename = "type")]
    event_type: String,
    schema_version: u16,
    workspace_id: WorkspaceId,
    correlation_id: String,
    causation_id: Option<EventId>,
    actor: Actor,
    traceparent: Option<String>,
    recorded_at: Timestamp,
    /// The exact text that was hashed.
    data: String,
    hash: Sha256,
}

impl EventLine {
    /// An event as a line; `None` where its data are no text.
    pub(super) fn of(event: Recorded) -> Option<EventLine> {
        Some(EventLine {
            position: event.position,
            event_id: event.event_id,
            stream_id: event.stream_id,
            stream_version: event.stream_version,
            event_type: event.event.event_type,
            schema_version: event.event.schema_version,
            workspace_id: event.workspace_id,
            correlation_id: event.correlation_id,
            causation_id: event.causation_id,
            actor: event.actor,
            traceparent: event.traceparent,
            recorded_at: event.recorded_at,
            data: String::from_utf8(event.event.data).ok()?,
            hash: event.hash,
        })
    }

    /// The event.
    pub(super) fn recorded(self) -> Recorded {
        Recorded {
            event_id: self.event_id,
            stream_id: self.stream_id,
            stream_version: self.stream_version,
            position: self.position,
            event: EncodedEvent {
                event_type: self.event_type,
                schema_version: self.schema_version,
                data: self.data.into_bytes(),
            },
            workspace_id: self.workspace_id,
            correlation_id: self.correlation_id,
            causation_id: self.causation_id,
            actor: self.actor,
            traceparent: self.traceparent,
            recorded_at: self.recorded_at,
            hash: self.hash,
        }
    }
}

/// A row.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RowLine {
    /// Of which table.
    pub(super) table: String,
    /// In the order of its columns.
    pub(super) cells: Vec<Value>,
    /// See [`row_hash`].
    pub(super) hash: Sha256,
}

/// Where everything ends.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct End {
    /// The last event's position.
    pub(super) position: Position,
    /// Its hash.
    pub(super) hash: Sha256,
    /// How many rows there are.
    pub(super) rows: u64,
    /// The last row's hash; the header's digest where there is none.
    pub(super) rows_hash: Sha256,
}

/// The hash of a row after one with the hash `previous`; the first one's is the digest of the header's line.
pub(super) fn row_hash(previous: Sha256, table: &str, cells: &[Value]) -> Sha256 {
    let mut digest = sha2::Sha256::new_with_prefix(previous.0);
    digest.update(table.as_bytes());
    // No table's name ends in a bracket, and JSON shows its own end.
    digest.update(Value::from(cells).to_string().as_bytes());
    Sha256(digest.finalize().into())
}
