//! The hash chain: every event's hash covers its own bytes and the hash before it.
//!
//! `hash = SHA-256(previous ‖ field ‖ field ‖ …)`. `previous` is the 32 bytes of the hash at the position
//! before, 32 zero bytes before the first event. Each field is its length in bytes as a 32-bit big-endian
//! number, then the bytes; an absent field is the length 2³² − 1 and no bytes, so that absent and empty
//! differ. In this order:
//!
//! | field | bytes |
//! | --- | --- |
//! | position | 64-bit big-endian |
//! | event_id | the 128 bits, big-endian |
//! | stream_id | UTF-8 |
//! | stream_version | 64-bit big-endian |
//! | type | UTF-8 |
//! | schema_version | 16-bit big-endian |
//! | workspace_id | UTF-8 (`ws_…`) |
//! | correlation_id | UTF-8 |
//! | causation_id | the 128 bits, big-endian, or absent |
//! | actor | UTF-8 |
//! | traceparent | UTF-8, or absent |
//! | recorded_at | microseconds since 1970, 64-bit big-endian, two's complement |
//! | data | as stored |
//!
//! This is a stored format: it never changes. A database is not needed to check it.

use events::{Recorded, Sha256};
use sha2::Digest as _;

/// The hash before the first event.
pub const GENESIS: Sha256 = Sha256([0; 32]);

/// The length that says that a field is absent.
const ABSENT: u32 = u32::MAX;

/// The hash of `event` after an event with the hash `previous`. The event's own `hash` is not looked at.
#[must_use]
pub fn link(previous: Sha256, event: &Recorded) -> Sha256 {
    let mut fields = Fields(sha2::Sha256::new_with_prefix(previous.0));
    fields.put(&event.position.0.to_be_bytes());
    fields.put(&event.event_id.bits().to_be_bytes());
    fields.put(event.stream_id.as_str().as_bytes());
    fields.put(&event.stream_version.0.to_be_bytes());
    fields.put(event.event.event_type.as_bytes());
    fields.put(&event.event.schema_version.to_be_bytes());
    fields.put(event.workspace_id.to_string().as_bytes());
    fields.put(event.correlation_id.as_bytes());
    fields.put_optional(
        event.causation_id.map(|id| id.bits().to_be_bytes()).as_ref().map(<[u8; 16]>::as_slice),
    );
    fields.put(event.actor.0.as_bytes());
    fields.put_optional(event.traceparent.as_deref().map(str::as_bytes));
    fields.put(&event.recorded_at.0.to_be_bytes());
    fields.put(&event.event.data);
    Sha256(fields.0.finalize().into())
}

/// A digest that is fed length-prefixed fields.
struct Fields(sha2::Sha256);

impl Fields {
    fn put(&mut self, bytes: &[u8]) {
        let length = u32::try_from(bytes.len()).expect("a field of an event is far shorter than 4 GiB");
        self.0.update(length.to_be_bytes());
        self.0.update(bytes);
    }

    fn put_optional(&mut self, bytes: Option<&[u8]>) {
        match bytes {
            Some(bytes) => self.put(bytes),
            None => self.0.update(ABSENT.to_be_bytes()),
        }
    }
}

#[cfg(test)]
mod tests {
    use events::{Actor, EncodedEvent, EventId, Position, StreamId, StreamVersion, Timestamp, WorkspaceId};

    use super::*;

    fn event() -> Recorded {
        Recorded {
            event_id: EventId::new(0x0190_1234_5678_7abc_8def_0123_4567_89ab),
            stream_id: StreamId::from_stored("render_x".to_owned()),
            stream_version: StreamVersion(3),
            position: Position(7),
            event: EncodedEvent {
                event_type: "RenderQueued".to_owned(),
                schema_version: 1,
                data: br#"{"a":1}"#.to_vec(),
            },
            workspace_id: WorkspaceId::new(5),
            correlation_id: "req_1".to_owned(),
            causation_id: None,
            actor: Actor::system(),
            traceparent: None,
            recorded_at: Timestamp(1_700_000_000_000_000),
            hash: GENESIS,
        }
    }

    /// The documented byte form, written out by hand.
    #[test]
    fn the_hash_is_the_digest_of_the_documented_bytes() {
        let absent: &[u8] = &[0xff; 4];
        let bytes = [
            [0; 32].as_slice(),
            &[0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 7],
            &[
                0, 0, 0, 16, 0x01, 0x90, 0x12, 0x34, 0x56, 0x78, 0x7a, 0xbc, 0x8d, 0xef, 0x01, 0x23, 0x45,
                0x67, 0x89, 0xab,
            ],
            b"\0\0\0\x08render_x",
            &[0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 3],
            b"\0\0\0\x0cRenderQueued",
            &[0, 0, 0, 2, 0, 1],
            b"\0\0\0\x1dws_00000000000000000000000005",
            b"\0\0\0\x05req_1",
            absent,
            b"\0\0\0\x06system",
            absent,
            &[0, 0, 0, 8, 0, 0x06, 0x0a, 0x24, 0x18, 0x1e, 0x40, 0x00],
            b"\0\0\0\x07{\"a\":1}",
        ]
        .concat();
        assert_eq!(link(GENESIS, &event()), Sha256::of(&bytes));
    }

    #[test]
    fn every_field_counts() {
        let before = link(GENESIS, &event());
        let changes: [fn(&mut Recorded); 13] = [
            |e| e.event_id = EventId::new(1),
            |e| e.stream_id = StreamId::from_stored("render_y".to_owned()),
            |e| e.stream_version = StreamVersion(4),
            |e| e.position = Position(8),
            |e| e.event.event_type.push('X'),
            |e| e.event.schema_version = 2,
            |e| e.event.data.push(b' '),
            |e| e.workspace_id = WorkspaceId::new(6),
            |e| e.correlation_id.clear(),
            |e| e.causation_id = Some(EventId::new(0)),
            |e| e.actor.0.push('X'),
            |e| e.traceparent = Some(String::new()),
            |e| e.recorded_at = Timestamp(0),
        ];
        for (index, change) in changes.into_iter().enumerate() {
            let mut changed = event();
            change(&mut changed);
            assert_ne!(link(GENESIS, &changed), before, "change {index} goes unnoticed");
        }
        assert_ne!(link(Sha256([1; 32]), &event()), before, "what came before goes unnoticed");
    }
}
