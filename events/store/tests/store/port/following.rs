//! Reading the log in order, and auditing it.

use std::sync::Arc;

use event_store::{EventStore, StoreError, Subscription, Verdict, verify};
use events::{Position, Sha256, StreamVersion, WorkspaceId};

use crate::words::{OTHER, OWNER, part, stream, streams};

/// Events that [`many_writers_and_restarting_readers_meet_every_event_once`] writes; `FRAMELANE_TEST_EVENTS` asks for
/// more.
const EVENTS: u64 = 4_800;
const WRITERS: u64 = 16;
const READERS: usize = 4;

pub(crate) async fn many_writers_and_restarting_readers_meet_every_event_once(
    nodes: [Arc<dyn EventStore>; 3],
) {
    let events: u64 = std::env::var("FRAMELANE_TEST_EVENTS").map_or(EVENTS, |events| events.parse().unwrap());
    let (each, total) = (events / WRITERS, events / WRITERS * WRITERS);
    let of = |number: usize| nodes[number % nodes.len()].clone();
    let writers: Vec<_> = (0..WRITERS)
        .map(|writer| {
            let store = of(usize::try_from(writer).unwrap());
            tokio::spawn(async move {
                for version in 0..each {
                    store.append(streams(vec![part(stream(writer.into()), version, 1)])).await.unwrap();
                }
            })
        })
        .collect();
    let readers: Vec<_> = (0..READERS).map(|reader| tokio::spawn(read_all(of(reader), total))).collect();
    for writer in writers {
        writer.await.unwrap();
    }
    for reader in readers {
        assert_eq!(
            reader.await.unwrap(),
            (1..=total).collect::<Vec<_>>(),
            "none skipped, none twice, no gap"
        );
    }
    for writer in 0..WRITERS {
        let versions: Vec<_> =
            of(1).load(&stream(writer.into())).await.unwrap().iter().map(|it| it.stream_version).collect();
        assert_eq!(versions, (1..=each).map(StreamVersion).collect::<Vec<_>>());
    }
    let head = of(0).head().await.unwrap();
    assert_eq!(verify(&of(2), None, |_| {}).await.unwrap(), Verdict::Intact(head));
}

/// The positions that a reader meets which starts anew from its checkpoint after every third page, and forgets one page
/// that it had in hand.
async fn read_all(store: Arc<dyn EventStore>, total: u64) -> Vec<u64> {
    let (mut seen, mut checkpoint) = (Vec::new(), Position(0));
    while checkpoint < Position(total) {
        let mut reader = Subscription::new(store.clone(), checkpoint, 50);
        for _ in 0..3 {
            if checkpoint == Position(total) {
                break;
            }
            let page = reader.next_page().await.unwrap();
            seen.extend(page.iter().map(|it| it.position.0));
            checkpoint = page.last().unwrap().position;
            reader.applied(checkpoint);
        }
        if checkpoint < Position(total) {
            reader.next_page().await.unwrap();
        }
    }
    seen
}

pub(crate) async fn a_page_begins_right_after_its_checkpoint(store: Arc<dyn EventStore>) {
    store.append(streams(vec![part(stream(1), 0, 10)])).await.unwrap();
    let page = store.read_after(Position(4), 3).await.unwrap();
    assert_eq!(page.iter().map(|it| it.position.0).collect::<Vec<_>>(), [5, 6, 7]);
    assert_eq!(store.read_after(Position(10), 3).await.unwrap(), []);
}

pub(crate) async fn a_waiting_reader_is_woken_by_a_commit(store: Arc<dyn EventStore>) {
    let mut signal = store.committed();
    let mut reader = Subscription::new(store.clone(), Position(0), 10);
    let waiting = tokio::spawn(async move { reader.next_page().await });
    store.append(streams(vec![part(stream(1), 0, 2)])).await.unwrap();
    assert_eq!(waiting.await.unwrap().unwrap().len(), 2);
    assert_eq!(*signal.borrow_and_update(), Position(2));
}

pub(crate) async fn a_reader_ahead_of_the_log_is_told(store: Arc<dyn EventStore>) {
    store.append(streams(vec![part(stream(1), 0, 2)])).await.unwrap();
    let mut reader = Subscription::new(store.clone(), Position(3), 10);
    let refused = reader.next_page().await;
    assert!(matches!(refused, Err(StoreError::Corrupt { position: Position(2), .. })), "got {refused:?}");
    let mut reader = Subscription::new(store, Position(2), 10);
    assert_eq!(reader.waiting_page().await.unwrap(), [], "at the end, not beyond it");
}

pub(crate) async fn a_stream_is_read_in_pieces(store: Arc<dyn EventStore>) {
    store.append(streams(vec![part(stream(1), 0, 5), part(stream(2), 0, 5)])).await.unwrap();
    let piece = store.load_after(&stream(2), StreamVersion(2), 2).await.unwrap();
    assert_eq!(piece.iter().map(|it| it.stream_version.0).collect::<Vec<_>>(), [3, 4]);
    assert_eq!(store.load_after(&stream(2), StreamVersion(5), 2).await.unwrap(), []);
}

pub(crate) async fn a_workspaces_events_are_read_in_the_logs_order(store: Arc<dyn EventStore>) {
    for number in 1..=6 {
        let mut part = part(stream(number), 0, 2);
        let workspace = if number % 2 == 0 { OWNER } else { OTHER };
        part.events.iter_mut().for_each(|event| event.workspace_id = workspace);
        store.append(streams(vec![part])).await.unwrap();
    }
    let positions = async |after, limit| {
        let page = store.read_workspace_after(OWNER, Position(after), limit).await.unwrap();
        page.iter().map(|it| it.position.0).collect::<Vec<_>>()
    };
    assert_eq!(positions(0, 10).await, [3, 4, 7, 8, 11, 12]);
    assert_eq!(positions(3, 2).await, [4, 7], "a page begins behind its place");
    assert_eq!(positions(5, 10).await, [7, 8, 11, 12], "which need not be one of the workspace's own");
    assert_eq!(positions(12, 10).await, Vec::<u64>::new());
    assert_eq!(store.read_workspace_after(WorkspaceId::new(9), Position(0), 10).await.unwrap(), []);
}

pub(crate) async fn an_untouched_log_verifies(store: Arc<dyn EventStore>) {
    let empty = store.head().await.unwrap();
    assert_eq!(verify(&store, None, |_| {}).await.unwrap(), Verdict::Intact(empty));
    let anchor = store.append(streams(vec![part(stream(1), 0, 5)])).await.unwrap().remove(2);
    store.append(streams(vec![part(stream(1), 5, 5000)])).await.unwrap();
    let mut steps = Vec::new();
    let verdict = verify(&store, Some((anchor.position, anchor.hash)), |at| steps.push(at)).await.unwrap();
    assert_eq!(verdict, Verdict::Intact(store.head().await.unwrap()));
    assert_eq!(steps.last(), Some(&Position(5005)), "progress ends at the end");
    assert!(steps.len() > 1, "progress is told on the way");
}

pub(crate) async fn an_anchor_of_another_log_is_noticed(store: Arc<dyn EventStore>) {
    use event_store::audit::Finding;
    store.append(streams(vec![part(stream(1), 0, 5)])).await.unwrap();
    let other = Sha256([7; 32]);
    let verdict = verify(&store, Some((Position(3), other)), |_| {}).await.unwrap();
    assert_eq!(verdict, Verdict::Altered { position: Position(3), finding: Finding::Rewritten });
    let verdict = verify(&store, Some((Position(9), other)), |_| {}).await.unwrap();
    assert_eq!(verdict, Verdict::Altered { position: Position(6), finding: Finding::CutOff });
}
