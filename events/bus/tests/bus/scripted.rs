//! A command side that answers as it is told to, and the words the tests are written in.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bus::{BusError, WorkBus, WorkService};
use events::job::ProgressStage;
use events::render::{PartRange, Plan, StoredObject, StoredPart};
use events::work::{
    Claim, Fingerprint, Heartbeat, HeartbeatReply, Outcome, ReportReply, Slot, WorkOrder, WorkReport,
};
use events::{RenderId, Sha256, StreamVersion, Token, WorkerId, WorkspaceId};
use tokio::time::timeout;

/// Nothing here takes longer, even on a loaded machine.
pub(crate) const SOON: Duration = Duration::from_secs(20);

/// A command side that answers as it is told to.
pub(crate) struct Scripted {
    /// What a claim of the worker with this number gets.
    pub(crate) claim: Box<dyn Fn(u128) -> Result<Option<WorkOrder>, BusError> + Send + Sync>,
    /// How long it thinks about a claim.
    pub(crate) thinking: Duration,
    /// Everything that was reported.
    pub(crate) reports: std::sync::Mutex<Vec<WorkReport>>,
    /// How many claims came.
    pub(crate) claims: AtomicU64,
}

impl Scripted {
    pub(crate) fn granting(
        claim: impl Fn(u128) -> Result<Option<WorkOrder>, BusError> + Send + Sync + 'static,
    ) -> Arc<Scripted> {
        Arc::new(Scripted {
            claim: Box::new(claim),
            thinking: Duration::ZERO,
            reports: std::sync::Mutex::default(),
            claims: AtomicU64::new(0),
        })
    }

    pub(crate) fn reported(&self) -> Vec<WorkReport> {
        self.reports.lock().unwrap().clone()
    }
}

#[async_trait]
impl WorkService for Scripted {
    async fn claim(&self, claim: Claim) -> Result<Option<WorkOrder>, BusError> {
        self.claims.fetch_add(1, Ordering::SeqCst);
        tokio::time::sleep(self.thinking).await;
        (self.claim)(claim.worker.bits())
    }

    /// Goes on with even tokens.
    async fn heartbeat(&self, heartbeat: Heartbeat) -> Result<HeartbeatReply, BusError> {
        let goes_on = heartbeat.token.0.0.is_multiple_of(2);
        Ok(if goes_on { HeartbeatReply::Continue } else { HeartbeatReply::Stop })
    }

    /// Accepts even tokens.
    async fn report(&self, report: WorkReport) -> Result<ReportReply, BusError> {
        let accepts = report.token.0.0.is_multiple_of(2);
        self.reports.lock().unwrap().push(report);
        let refused = || ReportReply::Refused { reason: "the token is stale".to_owned() };
        Ok(if accepts { ReportReply::Accepted } else { refused() })
    }
}

pub(crate) fn claim(worker: u128) -> Claim {
    Claim { worker: WorkerId::new(worker), fingerprint: Fingerprint("lavapipe".to_owned()) }
}

pub(crate) fn heartbeat(token: u64) -> Heartbeat {
    Heartbeat {
        render: RenderId::new(1),
        slot: Slot::Part(3),
        token: Token(StreamVersion(token)),
        engine: Fingerprint("lavapipe".to_owned()),
        units: 17,
        frames: 5,
        stage: ProgressStage::Compositing,
    }
}

pub(crate) fn report(token: u64, outcome: Outcome) -> WorkReport {
    WorkReport { render: RenderId::new(1), slot: Slot::Plan, token: Token(StreamVersion(token)), outcome }
}

fn object(number: u32) -> StoredObject {
    StoredObject { key: format!("renders/x/part-{number}"), sha256: Sha256([7; 32]), size_bytes: 123_456 }
}

/// An order for a render of that number, with everything that an order can hold.
pub(crate) fn order(render: u128, document: String) -> WorkOrder {
    let part = |index| StoredPart { slot: Slot::Part(index), object: object(index), frames: 120, work_ms: 7 };
    WorkOrder {
        workspace: WorkspaceId::new(9),
        render: RenderId::new(render),
        slot: Slot::Assemble,
        token: Token(StreamVersion(4)),
        attempt: 2,
        ttl_ms: 15_000,
        document,
        plan: Some(plan(3)),
        stored: (0..3).map(part).collect(),
    }
}

pub(crate) fn plan(parts: u64) -> Plan {
    Plan {
        generation: 1,
        fingerprint: Fingerprint("lavapipe".to_owned()),
        frames: parts * 120,
        duration: 0.1 + 0.2,
        parts: (0..parts).map(|index| PartRange { first: index * 120, count: 120 }).collect(),
        audio: true,
        detail: object(0),
        warnings: Vec::new(),
        work_ms: 12,
    }
}

/// Waits until somebody answers this worker.
pub(crate) async fn until_served(worker: &dyn WorkBus) {
    let answered = async {
        while worker.heartbeat(heartbeat(0)).await.is_err() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    timeout(SOON, answered).await.expect("somebody answers");
}
