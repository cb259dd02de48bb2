//! The port of the bus: what workers may ask, and what the command side answers.

use std::sync::Arc;

use async_trait::async_trait;
use events::RenderId;
use events::work::{Claim, Heartbeat, HeartbeatReply, ReportReply, WorkOrder, WorkReport};
use thiserror::Error;
use tokio::sync::broadcast;

/// The command side's answers. Implemented by `command`, called through a bus.
#[async_trait]
pub trait WorkService: Send + Sync {
    /// Grants the best due slot to the worker; `None` where there is nothing for it.
    async fn claim(&self, claim: Claim) -> Result<Option<WorkOrder>, BusError>;
    /// Extends a lease and takes note of its progress.
    async fn heartbeat(&self, heartbeat: Heartbeat) -> Result<HeartbeatReply, BusError>;
    /// Records the end of a lease.
    async fn report(&self, report: WorkReport) -> Result<ReportReply, BusError>;
}

/// A worker's end of the bus.
#[async_trait]
pub trait WorkBus: Send + Sync + std::fmt::Debug {
    /// See [`WorkService::claim`].
    async fn claim(&self, claim: Claim) -> Result<Option<WorkOrder>, BusError>;
    /// See [`WorkService::heartbeat`].
    async fn heartbeat(&self, heartbeat: Heartbeat) -> Result<HeartbeatReply, BusError>;
    /// See [`WorkService::report`].
    async fn report(&self, report: WorkReport) -> Result<ReportReply, BusError>;
    /// Returns when there may be work (a hint arrived since the last call). Workers also look by themselves at intervals.
    async fn work_hint(&self);
    /// Renders that are over before their work is: whoever holds a slot of one stops at once.
    fn cancellations(&self) -> broadcast::Receiver<RenderId>;
}

/// The command side's end of the bus.
#[async_trait]
pub trait HintBus: Send + Sync + std::fmt::Debug {
    /// Says that there may be work.
    fn hint_work(&self);
    /// Says that a render is over.
    fn push_cancellation(&self, render: RenderId);
    /// Answers workers from now on; over a network, from a moment later on.
    fn serve(&self, service: Arc<dyn WorkService>);
}

/// The bus could not carry a request or its answer.
#[derive(Debug, Error)]
pub enum BusError {
    /// Nobody answers, and nobody will.
    #[error("could not reach the command side: it has stopped")]
    Stopped,
    /// Nobody answers now; asking again later may help.
    #[error("could not reach the command side: {0}")]
    Unreachable(String),
    /// The other side failed; asking again later may help.
    #[error("could not get an answer from the command side: {0}")]
    Failed(String),
}
