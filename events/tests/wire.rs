//! Every event ever written still reads: `wire/` keeps a sample of each version of each type, as its bytes lie in the
//! log, for ever.
//!
//! A changed shape gets a new version with a sample of its own; an old sample is never edited, and still decodes, through
//! the upcasters, to what it meant.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use events::job::JobStatus;
use events::job_view::JobView;
use events::public_event::{self, PublicEvent};
use events::workspace_view::WorkspaceView;
use events::{
    Actor, EncodedEvent, EventId, Position, Recorded, RenderEvent, RenderId, Sha256, StreamId, StreamVersion,
    Timestamp, WorkspaceEvent, WorkspaceId,
};

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("wire")
}

/// The stored bytes of a sample: the file without its line break.
fn sample(event_type: &str, schema_version: u16) -> EncodedEvent {
    let path = folder().join(format!("{event_type}.{schema_version}.json"));
    let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let data = text.trim_end_matches('\n').as_bytes().to_vec();
    EncodedEvent { event_type: event_type.to_owned(), schema_version, data }
}

fn render_event(event_type: &str, schema_version: u16) -> RenderEvent {
    let decoded = RenderEvent::decode(&sample(event_type, schema_version));
    decoded.unwrap_or_else(|error| panic!("{event_type}: {error:?}")).expect("a render's event")
}

/// The event as a store would give it back.
fn recorded(event: EncodedEvent, version: u64) -> Recorded {
    Recorded {
        event_id: EventId::new(u128::from(version)),
        stream_id: StreamId::from(RenderId::new(1)),
        stream_version: StreamVersion(version),
        position: Position(version),
        event,
        workspace_id: WorkspaceId::new(1),
        correlation_id: String::new(),
        causation_id: None,
        actor: Actor::system(),
        traceparent: None,
        recorded_at: Timestamp(1_800_000_000_000_000),
        hash: Sha256::of(&[]),
    }
}

#[test]
fn todays_events_are_written_as_their_samples_are() {
    for (event_type, version) in RenderEvent::TYPES {
        let sample = sample(event_type, *version);
        assert_eq!(text(&render_event(event_type, *version).encode()), text(&sample), "{event_type}");
    }
    for (event_type, version) in WorkspaceEvent::TYPES {
        let sample = sample(event_type, *version);
        let event = WorkspaceEvent::decode(&sample).expect("it decodes").expect("a workspace's event");
        assert_eq!(text(&event.encode()), text(&sample), "{event_type}");
    }
}

fn text(event: &EncodedEvent) -> (String, u16, String) {
    let data = String::from_utf8(event.data.clone()).expect("JSON is UTF-8");
    (event.event_type.clone(), event.schema_version, data)
}

#[test]
fn every_version_of_every_type_has_its_sample_and_no_sample_is_lost() {
    let known = RenderEvent::TYPES.iter().chain(WorkspaceEvent::TYPES);
    let expected: BTreeSet<String> = known
        .flat_map(|(event_type, current)| {
            (1..=*current).map(move |version| format!("{event_type}.{version}.json"))
        })
        .collect();
    let files = fs::read_dir(folder()).expect("the folder of samples");
    let names = files.map(|file| file.expect("an entry").file_name().into_string().expect("ASCII"));
    assert_eq!(names.collect::<BTreeSet<_>>(), expected);
}

#[test]
fn every_version_of_a_workspaces_events_still_means_what_it_meant() {
    let life = [
        sample("WorkspaceCreated", 1),
        sample("WorkspaceChanged", 1),
        sample("ApiKeyCreated", 1),
        sample("ApiKeyCreated", 2),
    ];
    let life: Vec<Recorded> = life.into_iter().zip(1..).map(|(event, at)| recorded(event, at)).collect();
    let view = WorkspaceView::fold(&life).expect("they decode").expect("a workspace");
    assert_eq!((view.name.as_str(), view.concurrency), ("studio", Some(4)));
    let made_with: Vec<bool> = view.keys.iter().map(|key| key.idempotency_key_hash.is_some()).collect();
    assert_eq!(made_with, [false, true], "version 1 knew of no idempotency keys");
    let revoked = life.into_iter().chain([recorded(sample("ApiKeyRevoked", 1), 5)]).collect::<Vec<_>>();
    let view = WorkspaceView::fold(&revoked).expect("they decode").expect("a workspace");
    assert_eq!(view.keys, [], "both samples are the same key, and it is gone");
}

#[test]
fn the_list_of_public_types_is_what_events_are_shown_as() {
    let shown: BTreeSet<&str> = RenderEvent::TYPES
        .iter()
        .filter_map(|(event_type, version)| {
            PublicEvent::of(&recorded(sample(event_type, *version), 1)).expect("it decodes")
        })
        .map(|event| event.event_type)
        .collect();
    assert_eq!(shown, public_event::TYPES.iter().copied().collect());
}

#[test]
fn every_render_event_folds_and_the_terminal_ones_end_the_job() {
    for (event_type, current) in RenderEvent::TYPES {
        for version in 1..=*current {
            let life = [sample("RenderSubmitted", 1), sample("LeaseGranted", 1), sample(event_type, version)];
            let life: Vec<Recorded> =
                life.into_iter().zip(1..).map(|(event, at)| recorded(event, at)).collect();
            let view = JobView::fold(&life).expect("they decode").expect("a job");
            let expected = match *event_type {
                "RenderCompleted" => JobStatus::Completed,
                "RenderFailed" => JobStatus::Failed,
                "RenderCancelled" => JobStatus::Cancelled,
                _ => JobStatus::Processing,
            };
            assert_eq!(view.status, expected, "{event_type} of version {version}");
            assert_eq!(view.version, StreamVersion(3), "{event_type} was folded");
        }
    }
}
