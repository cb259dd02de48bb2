//! A workspace with ten jobs beside one with ten thousand: how long the small one waits. The clock is the test's, so the
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
/// Jobs of the large workspace, and of the small one.
const CROWD: usize = 10_000;
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
}

impl Shop {
    async fn open() -> Shop {
        Shop {
            service: Service::start().await,
            now_ms: 0,
            leases: 0,
            held: Vec::new(),
            begun: BTreeMap::new(),
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
            Slot::Assemble => assembled(&order),
        };
        self.service.report(&order, outcome).await;
        self.claim().await;
    }

    /// A workspace comes with its few jobs; how long each waited, the shortest first.
    async fn waits(&mut self) -> Vec<i64> {
        let store = Arc::clone(&self.service.store) as Arc<dyn EventStore>;
        let vault = Arc::clone(&self.service.role.workspaces().vault);
        let (workspace, key) = create_workspace(store, vault, "small").await.expect("memory");
        let came = self.now_ms;
        self.submit(&key, FEW).await;
        self.claim().await;
        let begun = |shop: &Shop| -> Vec<i64> {
            let own = shop.begun.values().filter(|(_, owner)| *owner == workspace);
            own.map(|(at, _)| at - came).collect()
        };
        while begun(self).len() < FEW {
            self.step().await;
        }
        let mut waits = begun(self);
        waits.sort_unstable();
        waits
    }
}

#[tokio::test]
async fn beside_ten_thousand_jobs_ten_wait_about_twice_as_long_as_alone() {
    let alone = Shop::open().await.waits().await;
    let mut shop = Shop::open().await;
    shop.submit(KEY, CROWD).await;
    shop.claim().await;
    for _ in 0..UNDER_WAY {
        shop.step().await;
    }
    let beside = shop.waits().await;
    let (most_alone, most_beside) = (alone[FEW - 1], beside[FEW - 1]);
    let ratio = most_beside as f64 / most_alone as f64;
    eprintln!(
        "figure: {FEW} jobs beside {CROWD}: p99 of the wait {most_beside} ms, alone {most_alone} ms, {ratio:.2}× (target: 2×); {beside:?}, {alone:?}"
    );
    // Nobody is driven out of a slot: a half of the turns, and the rest of one lease.
    let rest = WORK_MS.0 + WORK_MS.1;
    assert!(most_beside <= 2 * most_alone + rest, "{beside:?} ms, alone {alone:?} ms");
}
