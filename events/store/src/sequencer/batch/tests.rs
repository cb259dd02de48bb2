//! What judging promises, by example and by law.

use events::{Actor, EncodedEvent, EventId, NewEvent, WorkspaceId};
use proptest::collection::vec as some;
use proptest::prelude::*;

use super::*;
use crate::memory::MemoryStore;
use crate::store::{EventStore as _, IdempotencyRow, NewQueueRow};

const NOW: Timestamp = Timestamp(1_000_000);
const RENDER: RenderId = RenderId::new(9);
const GENESIS: Head = Head { position: Position(0), hash: chain::GENESIS };

fn known() -> Known {
    Known::at(NOW, GENESIS, Timestamp(i64::MIN))
}

fn stream(name: u8) -> StreamId {
    StreamId::from_stored(format!("stream_{name}"))
}

fn events(stream_name: u8, expected: u64, ids: std::ops::Range<u128>) -> StreamAppend {
    let new = |id| NewEvent {
        event_id: EventId::new(id),
        event: EncodedEvent { event_type: "Tested".to_owned(), schema_version: 1, data: b"{}".to_vec() },
        workspace_id: WorkspaceId::new(1),
        correlation_id: "req".to_owned(),
        causation_id: None,
        actor: Actor::system(),
        traceparent: None,
    };
    StreamAppend {
        stream: stream(stream_name),
        expected: StreamVersion(expected),
        events: ids.map(new).collect(),
    }
}

fn streams(streams: Vec<StreamAppend>) -> Append {
    Append { streams, ..Append::default() }
}

fn scope(key: u8) -> IdempotencyScope {
    let key_sha256 = Sha256([key; 32]);
    IdempotencyScope { workspace: WorkspaceId::new(1), path: "/v1/renders".to_owned(), key_sha256 }
}

fn take(key: u8) -> SideRow {
    let row = IdempotencyRow { body_sha256: Sha256([0; 32]), stream: stream(0) };
    SideRow::PutIdempotency { scope: scope(key), row, keep_ms: 1000 }
}

fn lease(token: u64) -> LeaseKey {
    LeaseKey { render: RENDER, slot: Slot::Plan, token: Token(StreamVersion(token)) }
}

fn enqueue() -> SideRow {
    SideRow::Enqueue(NewQueueRow {
        render: RENDER,
        slot: Slot::Plan,
        workspace: WorkspaceId::new(1),
        priority: 0,
        fingerprint: None,
        not_before: None,
        begun: false,
    })
}

fn rows(rows: Vec<SideRow>) -> Append {
    Append { rows, ..Append::default() }
}

fn guarded(guard: Guard) -> Append {
    Append { guards: vec![guard], ..Append::default() }
}

#[test]
fn a_refused_append_leaves_its_neighbours_their_places() {
    let mut known = known();
    let first = known.admit(&streams(vec![events(0, 0, 1..3)])).expect("nothing in its way");
    let refused = known.admit(&streams(vec![events(1, 0, 3..4), events(0, 1, 4..5)]));
    let third = known.admit(&streams(vec![events(1, 0, 5..6)])).expect("the refused append left no trace");
    let told = "could not append to stream_0: expected version 1, found 2";
    assert_eq!(refused.expect_err("two events are there already").to_string(), told);
    let positions: Vec<u64> = first.iter().chain(&third).map(|it| it.position.0).collect();
    assert_eq!(positions, [1, 2, 3]);
    assert_eq!(third[0].stream_version, StreamVersion(1));
}

#[test]
fn a_stream_named_twice_in_one_append_continues_itself() {
    let recorded = known().admit(&streams(vec![events(0, 0, 1..3), events(0, 2, 3..4)])).expect("in step");
    let versions: Vec<u64> = recorded.iter().map(|it| it.stream_version.0).collect();
    assert_eq!(versions, [1, 2, 3]);
    assert!(known().admit(&streams(vec![events(0, 0, 1..3), events(0, 0, 3..4)])).is_err(), "out of step");
}

#[test]
fn time_in_the_log_never_goes_backwards() {
    let later = Timestamp(NOW.0 + 5);
    let mut known = Known::at(NOW, GENESIS, later);
    let recorded = known.admit(&streams(vec![events(0, 0, 1..2)])).expect("nothing in its way");
    assert_eq!(recorded[0].recorded_at, later, "the clock was set back");
    known.now = Timestamp(later.0 + 1);
    let recorded = known.admit(&streams(vec![events(0, 1, 2..3)])).expect("nothing in its way");
    assert_eq!(recorded[0].recorded_at, known.now, "and has caught up");
}

#[test]
fn an_idempotency_key_is_taken_once_in_a_batch() {
    let mut known = known();
    known.admit(&rows(vec![take(1)])).expect("free");
    assert!(matches!(known.admit(&rows(vec![take(1)])), Err(AppendError::IdempotencyKeyTaken)));
    assert!(matches!(known.admit(&rows(vec![take(2), take(2)])), Err(AppendError::IdempotencyKeyTaken)));
    known.admit(&rows(vec![take(2)])).expect("still free: the double use took nothing");
}

#[test]
fn a_lease_guard_sees_what_came_before_it_in_the_batch() {
    let expired = |token| guarded(Guard::LeaseExpired(lease(token)));
    let mut known = known();
    known.admit(&expired(1)).expect("absent means expired");
    known.admit(&rows(vec![SideRow::PutLease(lease(1), 10)])).expect("no condition");
    assert!(matches!(known.admit(&expired(1)), Err(AppendError::GuardFailed(_))), "it has just begun");
    known.admit(&expired(0)).expect("the slot has another lease: the old one is gone");
    known.now = NOW.plus_ms(10);
    known.admit(&expired(1)).expect("its end has come");
    known.now = NOW;
    known.admit(&rows(vec![SideRow::ClearRender(RENDER)])).expect("no condition");
    known.admit(&expired(1)).expect("cleared");
}

#[test]
fn a_slot_is_claimed_once_in_a_batch() {
    let claim = Append {
        rows: vec![SideRow::Dequeue(RENDER, Slot::Plan)],
        ..guarded(Guard::Queued(RENDER, Slot::Plan))
    };
    let mut known = known();
    assert!(known.admit(&claim).is_err(), "nothing is queued");
    known.admit(&rows(vec![enqueue()])).expect("no condition");
    known.admit(&claim).expect("queued");
    assert!(
        matches!(known.admit(&claim), Err(AppendError::GuardFailed(Guard::Queued(..)))),
        "claimed already"
    );
}

/// Appends that often, but not always, fit what is there.
fn any_append() -> impl Strategy<Value = Append> {
    let row = prop_oneof![
        (0..3_u8).prop_map(take),
        (0..3_u64, prop_oneof![Just(0_u64), Just(1000)])
            .prop_map(|(token, ttl)| SideRow::PutLease(lease(token), ttl)),
        Just(SideRow::DeleteLease(RENDER, Slot::Plan)),
        Just(SideRow::ClearRender(RENDER)),
        Just(enqueue()),
        Just(SideRow::Dequeue(RENDER, Slot::Plan)),
    ];
    let guard = prop_oneof![
        (0..3_u64).prop_map(|token| Guard::LeaseExpired(lease(token))),
        Just(Guard::Queued(RENDER, Slot::Plan)),
    ];
    let part = (0..3_u8, 0..4_u64, any::<u64>(), 0..3_u128).prop_map(|(stream, expected, id, count)| {
        let id = u128::from(id) << 8;
        events(stream, expected, id..id + count)
    });

    (some(part, 0..3), some(row, 0..3), some(guard, 0..2)).prop_map(|(streams, rows, guards)| Append {
        streams,
        rows,
        guards,
    })
}

fn told(result: &Result<Vec<Recorded>, AppendError>) -> String {
    format!("{result:?}")
}

proptest! {
    /// Sharing a transaction changes nothing but the speed.
    #[test]
    fn a_batch_is_the_same_as_one_append_after_the_other(batch in some(any_append(), 1..20)) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        let alone = MemoryStore::with_clock(|| NOW);
        let mut known = known();
        for append in &batch {
            let together = known.admit(append);
            let apart = runtime.block_on(alone.append(append.clone()));
            prop_assert_eq!(told(&together), told(&apart));
        }
    }

    #[test]
    fn what_is_admitted_has_no_gaps_and_what_is_refused_leaves_no_trace(
        batch in some(any_append(), 1..20),
    ) {
        let mut known = known();
        let mut log: Vec<Recorded> = Vec::new();
        for append in &batch {
            let before = known.clone();
            match known.admit(append) {
                Ok(recorded) => log.extend(recorded),
                Err(_) => prop_assert_eq!(&known, &before),
            }
        }
        let mut head = GENESIS;
        for event in &log {
            prop_assert_eq!(event.position.0, head.position.0 + 1);
            prop_assert_eq!(event.hash, chain::link(head.hash, event));
            let before = log.iter().take_while(|it| it.position < event.position);
            let in_stream = before.filter(|it| it.stream_id == event.stream_id).count();
            prop_assert_eq!(event.stream_version.0, in_stream as u64 + 1);
            head = Head { position: event.position, hash: event.hash };
        }
        prop_assert_eq!(known.head, head);
    }
}
