//! Appending: places, conflicts, all or nothing.

use std::sync::Arc;

use event_store::{AppendError, EventStore, SideRow};
use events::{Actor, EventId, Position, Sha256, StreamVersion};

use crate::words::{OTHER, OWNER, event, part, put, stream, streams};

pub(crate) async fn an_append_comes_back_as_it_was_written(store: Arc<dyn EventStore>) {
    let before = store.now().await.unwrap();
    let append = streams(vec![part(stream(1), 0, 2)]);
    let recorded = store.append(append.clone()).await.unwrap();
    for (index, (new, recorded)) in append.streams[0].events.iter().zip(&recorded).enumerate() {
        assert_eq!(recorded.event_id, new.event_id);
        assert_eq!(recorded.event, new.event, "type, version and exact bytes");
        assert_eq!(recorded.workspace_id, OWNER);
        assert_eq!(recorded.stream_id, stream(1));
        assert_eq!(recorded.stream_version, StreamVersion(index as u64 + 1));
        assert_eq!(recorded.position, Position(index as u64 + 1));
        assert!(recorded.recorded_at >= before, "recorded before it was appended");
    }
    assert_eq!(store.load(&stream(1)).await.unwrap(), recorded);
    assert_eq!(store.read_after(Position(0), 100).await.unwrap(), recorded);
    assert_eq!(store.load(&stream(2)).await.unwrap(), [], "another stream");
}

pub(crate) async fn every_optional_field_survives(store: Arc<dyn EventStore>) {
    let mut full = event("{\"text\":\"… \u{0} 漢\"}");
    full.causation_id = Some(EventId::new(u128::MAX));
    full.traceparent = Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".to_owned());
    full.actor = Actor(String::new());
    full.correlation_id = "\" \\ / \u{0} \u{1f} \u{7f} \u{2028} 漢 \u{1f600}".to_owned();
    full.workspace_id = OTHER;
    full.event.schema_version = u16::MAX;
    let mut append = streams(vec![part(stream(1), 0, 0)]);
    append.streams[0].events = vec![full.clone()];
    store.append(append).await.unwrap();
    let found = store.load(&stream(1)).await.unwrap().remove(0);
    assert_eq!(found.event, full.event);
    assert_eq!((found.causation_id, found.traceparent), (full.causation_id, full.traceparent));
    assert_eq!((found.actor, found.correlation_id), (full.actor, full.correlation_id));
    assert_eq!(found.workspace_id, full.workspace_id);
}

pub(crate) async fn a_version_conflict_is_a_value(store: Arc<dyn EventStore>) {
    store.append(streams(vec![part(stream(1), 0, 3)])).await.unwrap();
    for wrong in [0, 2, 4] {
        let refused = store.append(streams(vec![part(stream(1), wrong, 1)])).await;
        assert!(
            matches!(refused, Err(AppendError::Conflict { ref stream, expected, actual: StreamVersion(3) })
                if *stream == crate::words::stream(1) && expected == StreamVersion(wrong)),
            "got {refused:?}"
        );
    }
    store.append(streams(vec![part(stream(1), 3, 1)])).await.unwrap();
    assert_eq!(store.head().await.unwrap().position, Position(4));
}

pub(crate) async fn one_conflict_among_many_appends_disturbs_no_other(store: Arc<dyn EventStore>) {
    let tasks: Vec<_> = (0..100_u64)
        .map(|number| {
            let store = store.clone();
            // Every tenth writer expects a version that is not there.
            let expected = if number % 10 == 0 { 7 } else { 0 };
            tokio::spawn(async move {
                store.append(streams(vec![part(stream(number.into()), expected, 1)])).await
            })
        })
        .collect();
    let mut refused = 0;
    for task in tasks {
        match task.await.unwrap() {
            Ok(recorded) => assert_eq!(recorded.len(), 1),
            Err(AppendError::Conflict { .. }) => refused += 1,
            Err(other) => panic!("got {other:?}"),
        }
    }
    assert_eq!(refused, 10);
    let log = store.read_after(Position(0), 1000).await.unwrap();
    let positions: Vec<u64> = log.iter().map(|it| it.position.0).collect();
    assert_eq!(positions, (1..=90).collect::<Vec<_>>(), "a refused append leaves no gap");
}

pub(crate) async fn several_streams_are_appended_together_or_not_at_all(store: Arc<dyn EventStore>) {
    let document = SideRow::PutDocument { workspace: OWNER, sha256: Sha256([1; 32]), bytes: vec![1] };
    let mut append = streams(vec![part(stream(1), 0, 1), part(stream(2), 5, 1)]);
    append.rows.push(document.clone());
    assert!(matches!(store.append(append).await, Err(AppendError::Conflict { .. })));
    assert_eq!(store.head().await.unwrap().position, Position(0));
    assert_eq!(store.document(OWNER, Sha256([1; 32])).await.unwrap(), None, "its rows neither");
    let mut append = streams(vec![part(stream(1), 0, 1), part(stream(2), 0, 1)]);
    append.rows.push(document);
    assert_eq!(store.append(append).await.unwrap().len(), 2);
    assert_eq!(store.document(OWNER, Sha256([1; 32])).await.unwrap(), Some(vec![1]));
}

pub(crate) async fn an_event_id_is_used_once(store: Arc<dyn EventStore>) {
    let first = streams(vec![part(stream(1), 0, 1)]);
    store.append(first.clone()).await.unwrap();
    let mut again = streams(vec![part(stream(2), 0, 1)]);
    again.streams[0].events[0].event_id = first.streams[0].events[0].event_id;
    let neighbours: Vec<_> = (10..40_u128)
        .map(|number| {
            let store = store.clone();
            tokio::spawn(async move { store.append(streams(vec![part(stream(number), 0, 1)])).await })
        })
        .collect();
    let refused = store.append(again).await;
    assert!(matches!(refused, Err(AppendError::Store(_))), "got {refused:?}");
    for neighbour in neighbours {
        assert!(neighbour.await.unwrap().is_ok(), "an append in the same batch suffers for it");
    }
    assert_eq!(store.head().await.unwrap().position, Position(31));
    assert_eq!(store.load(&stream(2)).await.unwrap(), []);
}

pub(crate) async fn rows_without_events_are_kept(store: Arc<dyn EventStore>) {
    put(&*store, vec![SideRow::PutSecret { workspace: OWNER, name: "a".to_owned(), bytes: vec![1] }]).await;
    assert_eq!(store.secret(OWNER, "a").await.unwrap(), Some(vec![1]));
    assert_eq!(store.head().await.unwrap().position, Position(0));
}

pub(crate) async fn the_head_follows_the_log(store: Arc<dyn EventStore>) {
    let empty = store.head().await.unwrap();
    assert_eq!((empty.position, empty.hash), (Position(0), Sha256([0; 32])));
    assert_eq!(*store.committed().borrow(), Position(0));
    let recorded = store.append(streams(vec![part(stream(1), 0, 3)])).await.unwrap();
    let head = store.head().await.unwrap();
    assert_eq!((head.position, head.hash), (recorded[2].position, recorded[2].hash));
    assert_eq!(*store.committed().borrow(), Position(3), "signalled before the answer");
}
