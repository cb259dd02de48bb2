//! What happens when others write between our reading and our writing.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use domain::Render;
use domain::render::{Command, Rejection};
use event_store::{Append, EventStore as _, SideRow};
use events::job::JobStatus;
use events::work::{Claim, Fingerprint, Outcome, ReportReply, Slot};
use events::{RenderEvent, WorkerId};
use futures_util::FutureExt as _;

use super::service::{ENGINE, Service, assembled, part, plan};
use crate::handler::{Along, ExecuteError, Origin};

#[tokio::test]
async fn a_conflict_is_decided_again_and_never_an_answer() {
    let service = Service::start().await;
    let render = service.planned(false).await;
    let renders = &service.role.policies().renders;
    let origin = Origin::system();
    let cancel = || renders.execute(render, &origin, Along::default(), |_| Command::Cancel);
    let asked = AtomicUsize::new(0);
    let late = |_: &Render| {
        if asked.fetch_add(1, Ordering::SeqCst) == 0 {
            // Memory never waits, so the other writer is done before this one goes on.
            cancel().now_or_never().expect("memory never waits").expect("it lives");
        }
        Command::MarkProgress { percent: 50 }
    };
    let outcome = renders.execute(render, &Origin::system(), Along::default(), late).await;
    let expected = Rejection::AlreadyFinished { status: JobStatus::Cancelled };
    assert!(matches!(&outcome, Err(ExecuteError::Rejected(no)) if *no == expected), "{outcome:?}");
    assert_eq!(asked.load(Ordering::SeqCst), 2, "once before the conflict, once after it");
    assert!(
        matches!(service.last_event(render).await, RenderEvent::RenderCancelled(_)),
        "nothing follows the end"
    );
}

#[tokio::test]
async fn what_a_node_remembers_refuses_nobody() {
    let service = Service::start().await;
    service.planned(false).await;
    let late = service.claim().await;
    service.wait_ms(15_000);
    let other = service.another_role();
    other.policies().reap().await.expect("memory");
    let claim = Claim { worker: WorkerId::new(2), fingerprint: Fingerprint(ENGINE.to_owned()) };
    let order = other.work_service().claim(claim).await.expect("memory").expect("it is due again");
    assert_eq!((order.slot, order.attempt), (late.slot, 2));
    // The first node has heard of neither the lease's end nor the new one.
    assert_eq!(service.report(&order, Outcome::Stored(part(&order))).await, ReportReply::Accepted);
    let reply = service.report(&late, Outcome::Stored(part(&late))).await;
    assert!(matches!(reply, ReportReply::Refused { .. }), "{reply:?}");
}

#[tokio::test]
async fn a_slot_that_left_the_queue_meanwhile_is_not_granted() {
    let service = Service::start().await;
    let render = service.submit().await;
    let due = service.store.due_work(1, 1).await.expect("memory").remove(0);
    let rows = vec![SideRow::Dequeue(render, Slot::Plan)];
    service.store.append(Append { rows, ..Append::default() }).await.expect("memory");
    let claim = Claim { worker: WorkerId::new(1), fingerprint: Fingerprint(ENGINE.to_owned()) };
    let outcome = service.role.reports().try_grant(&claim, &due, None).await;
    assert!(matches!(outcome, Err(ExecuteError::GuardFailed)), "{outcome:?}");
    assert_eq!(service.history(render).await.len(), 2, "nothing was recorded");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn workers_that_claim_and_report_at_one_instant_never_share_a_slot() {
    let service = Arc::new(Service::start().await);
    let mut renders = Vec::new();
    for _ in 0..10 {
        renders.push(service.submit().await);
    }
    let worker = |_| {
        let service = Arc::clone(&service);
        tokio::spawn(async move {
            while let Some(order) = service.claim_with(ENGINE).await {
                let outcome = match order.slot {
                    Slot::Plan => Outcome::Planned(plan(&order, true)),
                    Slot::Part(_) | Slot::Audio => Outcome::Stored(part(&order)),
                    Slot::Assemble => assembled(&order),
                };
                assert_eq!(service.report(&order, outcome).await, ReportReply::Accepted, "{order:?}");
            }
        })
    };
    for worker in (0..8).map(worker).collect::<Vec<_>>() {
        worker.await.expect("no panic");
    }
    // A worker that found nothing while the last pieces were in others' hands has gone: one more does what is left.
    worker(0).await.expect("no panic");
    for render in renders {
        let history = service.history(render).await;
        let leases = history.iter().filter(|it| *it == "LeaseGranted").count();
        assert_eq!((leases, history.last().map(String::as_str)), (5, Some("RenderCompleted")), "{history:?}");
    }
}
