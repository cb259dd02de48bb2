//! How a public event looks as a message: its subject, and CloudEvents 1.0 in binary mode.
//!
//! ```text
//! framelane.events.<workspace>.<render>.<type>      framelane.events.ws_….render_….render.completed
//! ```
//! The dot of a type stays one: a type is two tokens of the subject, so that a subscriber can ask for one type
//! (`framelane.events.*.*.render.completed`), for a job (`framelane.events.*.render_….>`) or for a workspace
//! (`framelane.events.ws_….>`). A log's position has a header of its own: a subscriber that has missed something reads
//! `/v1/events?after=<position>`.

use async_nats::HeaderMap;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use events::Position;
use events::cloud_event::{MESSAGE_ID, POSITION, VERSION};

use crate::publisher::{Mark, OutgoingEvent};

/// Every subject of the stream.
pub(super) const SUBJECTS: &str = "framelane.events.>";

/// What subject and headers add to an event's JSON, at most.
pub(super) const ENVELOPE_BYTES: usize = 2048;

/// Where an event goes.
pub(super) fn subject(event: &OutgoingEvent) -> String {
    format!("framelane.events.{}.{}.{}", event.workspace, event.render, event.event_type)
}

/// What goes with it.
pub(super) fn headers(event: &OutgoingEvent) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(MESSAGE_ID, event.id.to_string());
    headers.insert("ce-specversion", "1.0");
    headers.insert("ce-id", event.id.to_string());
    headers.insert("ce-source", format!("urn:framelane:{}", event.workspace));
    headers.insert("ce-type", event.event_type);
    headers.insert("ce-subject", event.render.to_string());
    headers.insert("ce-time", event.created_at.as_str());
    headers.insert("content-type", "application/json");
    headers.insert(POSITION, event.position.0.to_string());
    headers.insert(VERSION, event.version.0.to_string());
    headers
}

/// Which event a stored message holds, from its headers as the server gives them: base64 of the block before the body.
/// `None` where it is none of ours.
pub(super) fn mark(stored: &str) -> Option<Mark> {
    let block = String::from_utf8(STANDARD.decode(stored).ok()?).ok()?;
    let value = |name: &str| {
        let lines = block.lines().filter_map(|line| line.split_once(':'));
        lines.into_iter().find(|(found, _)| *found == name).map(|(_, value)| value.trim().to_owned())
    };
    let position: u64 = value(POSITION)?.parse().ok()?;
    Some(Mark { position: Position(position), id: value(MESSAGE_ID)?.parse().ok()? })
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use events::{EventId, RenderId, StreamVersion, WorkspaceId};

    use super::*;

    fn event() -> OutgoingEvent {
        OutgoingEvent {
            id: EventId::new(5),
            position: Position(41),
            version: StreamVersion(7),
            workspace: WorkspaceId::new(1),
            render: RenderId::new(2),
            event_type: "render.part_stored",
            created_at: "2026-01-02T03:04:05.678Z".to_owned(),
            json: Bytes::from_static(b"{}"),
        }
    }

    #[test]
    fn an_event_is_a_cloud_event_in_binary_mode() {
        let headers = headers(&event());
        let ids = ["00000000000000000000000005", "00000000000000000000000001", "00000000000000000000000002"];
        for (name, value) in [
            ("Nats-Msg-Id", format!("evt_{}", ids[0])),
            ("ce-specversion", "1.0".to_owned()),
            ("ce-id", format!("evt_{}", ids[0])),
            ("ce-source", format!("urn:framelane:ws_{}", ids[1])),
            ("ce-type", "render.part_stored".to_owned()),
            ("ce-subject", format!("render_{}", ids[2])),
            ("ce-time", "2026-01-02T03:04:05.678Z".to_owned()),
            ("content-type", "application/json".to_owned()),
            ("Framelane-Position", "41".to_owned()),
            ("Framelane-Version", "7".to_owned()),
        ] {
            assert_eq!(headers.get(name).map(ToString::to_string), Some(value), "{name}");
        }
        let described = events::cloud_event::HEADERS;
        assert!(described.iter().all(|(name, _)| headers.get(*name).is_some()), "all that are described");
        assert_eq!(headers.len(), described.len(), "and nothing else is told");
        assert_eq!(
            subject(&event()),
            format!("framelane.events.ws_{}.render_{}.render.part_stored", ids[1], ids[2])
        );
    }

    #[test]
    fn every_type_is_two_tokens_of_a_subject() {
        for event_type in events::public_event::TYPES {
            let tokens: Vec<_> = event_type.split('.').collect();
            assert!(tokens.len() == 2 && tokens.iter().all(|token| !token.is_empty()), "{event_type}");
        }
    }

    #[test]
    fn a_stored_message_names_its_event() {
        let id = EventId::new(5);
        let stored = |block: String| STANDARD.encode(block);
        let ours = format!("NATS/1.0\r\nce-id: x\r\nNats-Msg-Id: {id}\r\nFramelane-Position: 41\r\n\r\n");
        assert_eq!(mark(&stored(ours)), Some(Mark { position: Position(41), id }));
        for foreign in [
            "NATS/1.0\r\n\r\n".to_owned(),
            format!("NATS/1.0\r\nNats-Msg-Id: {id}\r\n\r\n"),
            format!("NATS/1.0\r\nNats-Msg-Id: {id}\r\nFramelane-Position: -1\r\n\r\n"),
            "NATS/1.0\r\nNats-Msg-Id: me\r\nFramelane-Position: 41\r\n\r\n".to_owned(),
        ] {
            assert_eq!(mark(&stored(foreign.clone())), None, "{foreign:?}");
        }
        assert_eq!(mark("no base64 at all"), None);
    }
}
