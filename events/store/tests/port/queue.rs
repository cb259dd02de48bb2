//! The work queue.

use std::sync::Arc;

use event_store::{Append, AppendError, EventStore, Guard, LeaseKey, NewQueueRow, SideRow};
use events::{RenderId, Slot, StreamVersion, Timestamp, Token, WorkspaceId};

use super::{OTHER, OWNER, put, render};

fn row(number: u128, slot: Slot, workspace: WorkspaceId, priority: i32) -> NewQueueRow {
    NewQueueRow { render: render(number), slot, workspace, priority, fingerprint: None, not_before: None }
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
    put(&*store, vec![SideRow::ClearRender(render(1))]).await;
    assert_eq!(due(&*store, 10, 10).await, [(render(2), Slot::Part(0))]);
    assert_eq!(store.extend_leases(&leases).await.unwrap(), leases[2..]);
    assert_eq!(store.queue_position(render(1)).await.unwrap(), None);
}
