//! A workspace with ten jobs beside one with thousands: how long the small one waits. The clock is the test's, so the
//! figures are the same on every machine.

use std::collections::BTreeMap;
use std::sync::Arc;

use event_store::EventStore;
use events::work::{Outcome, Slot, WorkOrder};
use events::{RenderId, WorkspaceId};

use super::service::{ENGINE, KEY, Service, assembled, film, part, plan};
use crate::create_workspace;

/// Slots of all workers.
const SLOTS: usize = 4;
/// How long one lease works, milliseconds: at least, and how much more at most.
const WORK_MS: (i64, i64) = (60, 80);
/// Jobs of the small workspace.
const FEW: usize = 10;
/// Leases that have ended before the small workspace comes.
const UNDER_WAY: usize = 400;

/// A service and its workers, busy with whatever is due.
struct Shop {
    service: Service,
    now_ms: i64,
    leases: i64,
    /// When each lease in hand ends.
    held: Vec<(i64, WorkOrder)>,
    /// When each render was begun, and whose it is.
    begun: BTreeMap<RenderId, (i64, WorkspaceId)>,
    /// When each was complete, and whose it is.
    done: BTreeMap<RenderId, (i64, WorkspaceId)>,
}

/// How long a workspace's jobs waited to be begun, and to be complete; the longest of them.
#[derive(Debug)]
struct Waits {
    begun_ms: i64,
    done_ms: i64,
}

impl Shop {
    async fn open() -> Shop {
        Shop {
            service: Service::start().await,
            now_ms: 0,
            leases: 0,
            held: Vec::new(),
            begun: BTreeMap::new(),
            done: BTreeMap::new(),
        }
    }

    async fn submit(&self, key: &str, jobs: usize) {
        for _ in 0..jobs {
            let answer =
                self.service.post_with(&[("authorization", &format!("Bearer {key}"))], &film()).await;
            assert_eq!(answer.status, axum::http::StatusCode::ACCEPTED, "{answer:?}");
        }
    }

    /// Free slots claim what is due.
    async fn claim(&mut self) {
        while self.held.len() < SLOTS
            && let Some(order) = self.service.claim_with(ENGINE).await
        {
            self.leases += 1;
            // Lengths that differ, so that slots are not in step.
            let length = WORK_MS.0 + self.leases * 37 % WORK_MS.1;
            self.begun.entry(order.render).or_insert((self.now_ms, order.workspace));
            self.held.push((self.now_ms + length, order));
        }
    }

    /// The next lease ends, and its slot goes on.
    async fn step(&mut self) {
        let next = (0..self.held.len()).min_by_key(|at| self.held[*at].0).expect("somebody works");
        let (ends, order) = self.held.swap_remove(next);
        self.service.wait_ms(ends - self.now_ms);
        self.now_ms = ends;
        let outcome = match order.slot {
            Slot::Plan => Outcome::Planned(plan(&order, false)),
            Slot::Part(_) | Slot::Audio => Outcome::Stored(part(&order)),
            Slot::Assemble => {
                self.done.insert(order.render, (self.now_ms, order.workspace));
                assembled(&order)
            }
        };
        self.service.report(&order, outcome).await;
        self.claim().await;
    }

    /// A workspace comes with its few jobs.
    async fn waits(&mut self) -> Waits {
        let store = Arc::clone(&self.service.store) as Arc<dyn EventStore>;
        let vault = Arc::clone(&self.service.role.workspaces().vault);
        let (workspace, key) = create_workspace(store, vault, "small").await.expect("memory");
        let came = self.now_ms;
        self.submit(&key, FEW).await;
        self.claim().await;
        let own = |book: &BTreeMap<RenderId, (i64, WorkspaceId)>| -> Vec<i64> {
            book.values().filter(|(_, owner)| *owner == workspace).map(|(at, _)| at - came).collect()
        };
        while own(&self.done).len() < FEW {
            self.step().await;
        }
        let longest = |waits: Vec<i64>| waits.into_iter().max().expect("some");
        Waits { begun_ms: longest(own(&self.begun)), done_ms: longest(own(&self.done)) }
    }
}

#[tokio::test]
async fn a_few_jobs_beside_thousands_take_half_of_the_turns() {
    let crowd = if std::env::var_os("FRAMELANE_SOAK").is_some() { 10_000 } else { 1_000 };
    let alone = Shop::open().await.waits().await;
    let mut shop = Shop::open().await;
    shop.submit(KEY, crowd).await;
    shop.claim().await;
    for _ in 0..UNDER_WAY {
        shop.step().await;
    }
    let beside = shop.waits().await;
    let ratio = |beside: i64, alone: i64| beside as f64 / alone as f64;
    eprintln!(
        "figure: {FEW} jobs beside {crowd}, the longest wait: {:.2}× that alone until begun, {:.2}× until complete (target: 2×; {beside:?}, alone {alone:?})",
        ratio(beside.begun_ms, alone.begun_ms),
        ratio(beside.done_ms, alone.done_ms),
    );
    // Half of the turns; nobody is driven out of a slot, so the rest of a lease comes on top.
    let rest = WORK_MS.0 + WORK_MS.1;
    assert!(beside.done_ms <= 2 * alone.done_ms + rest, "{beside:?}, alone {alone:?}");
}
