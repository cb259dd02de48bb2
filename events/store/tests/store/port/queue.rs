//! The work queue.

use std::sync::Arc;

use event_store::{
    Append, AppendError, Census, EventStore, Guard, LeaseKey, NewQueueRow, SideRow, WorkspaceLoad,
};
use events::{RenderId, Slot, StreamVersion, Timestamp, Token, WorkspaceId};

use crate::words::{OTHER, OWNER, put, render};

fn row(number: u128, slot: Slot, workspace: WorkspaceId, priority: i32) -> NewQueueRow {
    let (render, begun) = (render(number), false);
    NewQueueRow { render, slot, workspace, priority, fingerprint: None, not_before: None, begun }
}

async fn enqueue(store: &dyn EventStore, number: u128, slot: Slot, workspace: WorkspaceId, priority: i32) {
    put(store, vec![SideRow::Enqueue(row(number, slot, workspace, priority))]).await;
}

async fn due(store: &dyn EventStore, limit: u32, per_workspace: u32) -> Vec<(RenderId, Slot)> {
    let rows = store.due_work(limit, per_workspace).await.unwrap();
    rows.iter().map(|it| (it.row.render, it.row.slot)).collect()
}

pub(crate) async fn work_is_due_by_priority_and_then_by_age(store: Arc<dyn EventStore>) {
    assert_eq!(due(&*store, 10, 10).await, []);
    assert_eq!(store.queue_position(render(1)).await.unwrap(), None);
    enqueue(&*store, 1, Slot::Plan, OWNER, 0).await;
    enqueue(&*store, 2, Slot::Part(1), OWNER, -5).await;
    // In one transaction, so at one instant.
    let together = (3..6).map(|number| SideRow::Enqueue(row(number, Slot::Plan, OTHER, 0))).collect();
    put(&*store, together).await;
    enqueue(&*store, 6, Slot::Audio, OTHER, 100).await;
    let order = [
        (6, Slot::Audio),
        (1, Slot::Plan),
        (3, Slot::Plan),
        (4, Slot::Plan),
        (5, Slot::Plan),
        (2, Slot::Part(1)),
    ]
    .map(|(number, slot)| (render(number), slot));
    assert_eq!(due(&*store, 10, 10).await, order);
    assert_eq!(due(&*store, 2, 10).await, order[..2]);
    for (before, (render, _)) in order.iter().enumerate() {
        assert_eq!(store.queue_position(*render).await.unwrap(), Some(before as u64));
    }
    assert_eq!(store.waiting().await.unwrap(), order.map(|(render, _)| render), "all of them at once");
    let first = store.due_work(1, 1).await.unwrap().remove(0);
    assert_eq!(first.row, row(6, Slot::Audio, OTHER, 100), "as it was put");
    assert!(first.enqueued_at <= store.now().await.unwrap(), "enqueued in the future");
}

pub(crate) async fn no_workspace_fills_the_page(store: Arc<dyn EventStore>) {
    for number in 0..10 {
        enqueue(&*store, number, Slot::Plan, OWNER, 0).await;
    }
    enqueue(&*store, 10, Slot::Plan, OTHER, -1).await;
    enqueue(&*store, 11, Slot::Plan, WorkspaceId::new(3), -2).await;
    let fair = [0, 1, 10, 11].map(|number| (render(number), Slot::Plan));
    assert_eq!(due(&*store, 10, 2).await, fair);
    assert_eq!(due(&*store, 3, 2).await, fair[..3]);
    assert_eq!(due(&*store, 10, 0).await, []);
}

pub(crate) async fn what_was_begun_goes_before_what_would_be_and_neither_hides_the_other(
    store: Arc<dyn EventStore>,
) {
    // Three urgent plans, then the parts of an older render that was begun, queued after them.
    for number in 10..13 {
        enqueue(&*store, number, Slot::Plan, OWNER, 5).await;
    }
    enqueue(&*store, 2, Slot::Plan, OWNER, 0).await;
    for (number, slot) in [(3, Slot::Part(0)), (1, Slot::Part(7)), (1, Slot::Audio), (1, Slot::Part(0))] {
        put(&*store, vec![SideRow::Enqueue(NewQueueRow { begun: true, ..row(number, slot, OWNER, 0) })])
            .await;
    }
    let order = [
        (10, Slot::Plan),
        (11, Slot::Plan),
        (12, Slot::Plan),
        (1, Slot::Part(7)),
        (1, Slot::Audio),
        (1, Slot::Part(0)),
        (3, Slot::Part(0)),
        (2, Slot::Plan),
    ]
    .map(|(number, slot)| (render(number), slot));
    assert_eq!(due(&*store, 10, 10).await, order);
    let few = [order[0], order[1], order[3], order[4]];
    assert_eq!(due(&*store, 10, 2).await, few, "plans in plenty never hide the work that was begun");
    let positions = [10, 11, 12, 2, 1].map(render);
    assert_eq!(store.waiting().await.unwrap(), positions[..4], "what was begun does not wait to be");
    for (before, render) in positions.iter().enumerate() {
        let expected = if before < 4 { Some(before as u64) } else { None };
        assert_eq!(store.queue_position(*render).await.unwrap(), expected, "renders to be begun before it");
    }
}

pub(crate) async fn workspaces_take_turns_within_a_priority(store: Arc<dyn EventStore>) {
    for number in 0..4 {
        enqueue(&*store, number, Slot::Plan, OWNER, 0).await;
    }
    for number in 4..6 {
        enqueue(&*store, number, Slot::Plan, OTHER, 0).await;
    }
    enqueue(&*store, 6, Slot::Plan, OTHER, 1).await;
    let order = [6, 0, 4, 1, 5, 2, 3].map(|number| (render(number), Slot::Plan));
    assert_eq!(due(&*store, 10, 10).await, order);
    assert_eq!(due(&*store, 3, 10).await, order[..3], "a short page is fair as well");
}

pub(crate) async fn the_load_of_a_workspace_is_what_it_has_begun(store: Arc<dyn EventStore>) {
    assert_eq!(store.loads().await.unwrap(), []);
    let open = |number, workspace| SideRow::OpenRender { render: render(number), workspace, deadline: None };
    put(&*store, vec![SideRow::PutWorkspace(OWNER), SideRow::PutWorkspace(OTHER)]).await;
    put(
        &*store,
        vec![open(1, OWNER), open(2, OWNER), open(3, OTHER), SideRow::BeginRender(render(1), OWNER)],
    )
    .await;
    let load = |workspace, begun, concurrency| WorkspaceLoad { workspace, begun, concurrency };
    assert_eq!(store.loads().await.unwrap(), [load(OWNER, 1, None)], "what waits is no load");
    put(&*store, vec![SideRow::SetConcurrency(OTHER, Some(4)), SideRow::BeginRender(render(2), OWNER)]).await;
    let mut loads = store.loads().await.unwrap();
    loads.sort_by_key(|load| load.workspace);
    assert_eq!(loads, [load(OWNER, 2, None), load(OTHER, 0, Some(4))]);
    put(&*store, vec![SideRow::CloseRender(render(1)), SideRow::SetConcurrency(OTHER, None)]).await;
    assert_eq!(store.loads().await.unwrap(), [load(OWNER, 1, None)]);
}

pub(crate) async fn a_census_counts_what_waits_and_what_is_in_work(store: Arc<dyn EventStore>) {
    assert_eq!(store.census().await.unwrap(), Census::default(), "nothing yet");
    let open = |number| SideRow::OpenRender { render: render(number), workspace: OWNER, deadline: None };
    put(&*store, vec![open(1), open(2), open(3), SideRow::BeginRender(render(1), OWNER)]).await;
    enqueue(&*store, 2, Slot::Plan, OWNER, 0).await;
    let oldest = store.census().await.unwrap().oldest_waiting;
    enqueue(&*store, 3, Slot::Plan, OWNER, 9).await;
    let lease = |slot| LeaseKey { render: render(1), slot, token: Token(StreamVersion(1)) };
    let ended = SideRow::PutLease(lease(Slot::Part(1)), 0);
    put(&*store, vec![SideRow::PutLease(lease(Slot::Part(0)), 60_000), ended]).await;
    let census = store.census().await.unwrap();
    assert!(oldest.is_some(), "the first one waits longest");
    let expected =
        Census { renders_waiting: 2, renders_begun: 1, slots_waiting: 2, oldest_waiting: oldest, leases: 1 };
    assert_eq!(census, expected);
}

pub(crate) async fn no_more_is_begun_than_there_is_room_for(store: Arc<dyn EventStore>) {
    let rows = (0..20).map(|number| SideRow::OpenRender {
        render: render(number),
        workspace: OWNER,
        deadline: None,
    });
    put(&*store, rows.collect()).await;
    let begin = |number| Append {
        guards: vec![Guard::Room(OWNER, 3)],
        rows: vec![SideRow::BeginRender(render(number), OWNER)],
        ..Append::default()
    };
    let racing: Vec<_> = (0..20)
        .map(|number| {
            let (store, begin) = (store.clone(), begin(number));
            tokio::spawn(async move { store.append(begin).await })
        })
        .collect();
    let mut begun = Vec::new();
    for (number, attempt) in racing.into_iter().enumerate() {
        match attempt.await.unwrap() {
            Ok(_) => begun.push(number as u128),
            Err(AppendError::GuardFailed(Guard::Room(..))) => {}
            Err(other) => panic!("got {other:?}"),
        }
    }
    assert_eq!(begun.len(), 3, "however many ask at once: {begun:?}");
    put(&*store, vec![SideRow::CloseRender(render(begun[0]))]).await;
    let next = (0..20).find(|number| !begun.contains(number)).unwrap();
    store.append(begin(next)).await.expect("one has made room");
}

pub(crate) async fn work_is_not_due_before_its_time(store: Arc<dyn EventStore>) {
    let now = store.now().await.unwrap();
    let at = |number, not_before: Timestamp| {
        let row = NewQueueRow {
            not_before: Some(not_before),
            fingerprint: Some("engine".to_owned()),
            ..row(number, Slot::Plan, OWNER, 0)
        };
        SideRow::Enqueue(row)
    };
    put(&*store, vec![at(1, now.plus_ms(3_600_000)), at(2, now)]).await;
    assert_eq!(due(&*store, 10, 1).await, [(render(2), Slot::Plan)], "what waits does not count either");
    let row = store.due_work(1, 1).await.unwrap().remove(0).row;
    assert_eq!((row.not_before, row.fingerprint.as_deref()), (Some(now), Some("engine")));
}

pub(crate) async fn a_slot_is_claimed_by_one_of_many(store: Arc<dyn EventStore>) {
    enqueue(&*store, 1, Slot::Plan, OWNER, 0).await;
    let claim = Append {
        guards: vec![Guard::Queued(render(1), Slot::Plan)],
        rows: vec![SideRow::Dequeue(render(1), Slot::Plan)],
        ..Append::default()
    };
    let claims: Vec<_> = (0..20)
        .map(|_| {
            let (store, claim) = (store.clone(), claim.clone());
            tokio::spawn(async move { store.append(claim).await })
        })
        .collect();
    let mut granted = 0;
    for claim in claims {
        match claim.await.unwrap() {
            Ok(_) => granted += 1,
            Err(AppendError::GuardFailed(Guard::Queued(..))) => {}
            Err(other) => panic!("got {other:?}"),
        }
    }
    assert_eq!(granted, 1);
}

pub(crate) async fn enqueuing_again_keeps_the_turn(store: Arc<dyn EventStore>) {
    enqueue(&*store, 1, Slot::Plan, OWNER, 0).await;
    enqueue(&*store, 2, Slot::Plan, OWNER, 0).await;
    enqueue(&*store, 1, Slot::Plan, OWNER, 0).await;
    assert_eq!(due(&*store, 10, 10).await, [(render(1), Slot::Plan), (render(2), Slot::Plan)]);
    enqueue(&*store, 1, Slot::Plan, OWNER, -1).await;
    assert_eq!(due(&*store, 10, 10).await, [(render(2), Slot::Plan), (render(1), Slot::Plan)]);
}

pub(crate) async fn a_render_that_is_over_leaves_nothing_behind(store: Arc<dyn EventStore>) {
    let lease = |number, slot| LeaseKey { render: render(number), slot, token: Token(StreamVersion(1)) };
    enqueue(&*store, 1, Slot::Part(0), OWNER, 0).await;
    enqueue(&*store, 1, Slot::Part(1), OWNER, 0).await;
    enqueue(&*store, 2, Slot::Part(0), OWNER, 0).await;
    let leases = [lease(1, Slot::Plan), lease(1, Slot::Audio), lease(2, Slot::Plan)];
    put(&*store, leases.iter().map(|lease| SideRow::PutLease(*lease, 3_600_000)).collect()).await;
    put(&*store, vec![SideRow::CloseRender(render(1))]).await;
    assert_eq!(due(&*store, 10, 10).await, [(render(2), Slot::Part(0))]);
    assert_eq!(store.extend_leases(&leases).await.unwrap(), leases[2..]);
    assert_eq!(store.queue_position(render(1)).await.unwrap(), None);
}
