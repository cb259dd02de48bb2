//! The few words that the tests are written in.

use std::sync::atomic::{AtomicU64, Ordering};

use event_store::{Append, EventStore, SideRow, StreamAppend};
use events::{Actor, EncodedEvent, EventId, NewEvent, RenderId, StreamId, StreamVersion, WorkspaceId};

pub(crate) const OWNER: WorkspaceId = WorkspaceId::new(1);
pub(crate) const OTHER: WorkspaceId = WorkspaceId::new(2);

pub(crate) fn render(number: u128) -> RenderId {
    RenderId::new(number)
}

pub(crate) fn stream(number: u128) -> StreamId {
    StreamId::from(render(number))
}

/// A fresh event with some data.
pub(crate) fn event(data: &str) -> NewEvent {
    static IDS: AtomicU64 = AtomicU64::new(1);
    NewEvent {
        event_id: EventId::new(u128::from(IDS.fetch_add(1, Ordering::Relaxed))),
        event: EncodedEvent {
            event_type: "Tested".to_owned(),
            schema_version: 1,
            data: data.as_bytes().to_vec(),
        },
        workspace_id: OWNER,
        correlation_id: "req_1".to_owned(),
        causation_id: None,
        actor: Actor::system(),
        traceparent: None,
    }
}

/// `count` events for a stream at version `expected`.
pub(crate) fn part(stream: StreamId, expected: u64, count: usize) -> StreamAppend {
    let events = (0..count).map(|index| event(&format!("{{\"n\":{index}}}"))).collect();
    StreamAppend { stream, expected: StreamVersion(expected), events }
}

pub(crate) fn streams(streams: Vec<StreamAppend>) -> Append {
    Append { streams, ..Append::default() }
}

pub(crate) fn rows(rows: Vec<SideRow>) -> Append {
    Append { rows, ..Append::default() }
}

/// Appends side rows that nothing can be in the way of.
pub(crate) async fn put(store: &dyn EventStore, these: Vec<SideRow>) {
    store.append(rows(these)).await.unwrap();
}

/// An append of `count` events to the stream of this number, which is at version `expected`.
pub(crate) fn events(number: u128, expected: u64, count: usize) -> Append {
    streams(vec![part(stream(number), expected, count)])
}
