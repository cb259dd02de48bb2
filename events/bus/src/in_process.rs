//! The bus of the embedded service: direct calls and channels inside one process.

use std::sync::{Arc, OnceLock};

use async_trait::async_trait;
use events::RenderId;
use events::work::{Claim, Heartbeat, HeartbeatReply, ReportReply, WorkOrder, WorkReport};
use tokio::sync::{Notify, broadcast};

use crate::port::{BusError, HintBus, WorkBus, WorkService};

/// How many cancellations a worker may lag behind. One that missed some learns of them by its next heartbeats.
const CANCELLATION_BACKLOG: usize = 1024;

/// Both ends of the bus in one process. Clones share everything.
#[derive(Clone)]
pub struct InProcessBus {
    inner: Arc<Inner>,
}

struct Inner {
    service: OnceLock<Arc<dyn WorkService>>,
    hint: Notify,
    cancellations: broadcast::Sender<RenderId>,
}

impl std::fmt::Debug for InProcessBus {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("InProcessBus")
            .field("serving", &self.inner.service.get().is_some())
            .finish_non_exhaustive()
    }
}

impl Default for InProcessBus {
    fn default() -> Self {
        let (cancellations, _) = broadcast::channel(CANCELLATION_BACKLOG);
        InProcessBus {
            inner: Arc::new(Inner { service: OnceLock::new(), hint: Notify::new(), cancellations }),
        }
    }
}

impl InProcessBus {
    fn service(&self) -> Result<&Arc<dyn WorkService>, BusError> {
        self.inner.service.get().ok_or(BusError::Stopped)
    }
}

#[async_trait]
impl WorkBus for InProcessBus {
    async fn claim(&self, claim: Claim) -> Result<Option<WorkOrder>, BusError> {
        self.service()?.claim(claim).await
    }

    async fn heartbeat(&self, heartbeat: Heartbeat) -> Result<HeartbeatReply, BusError> {
        self.service()?.heartbeat(heartbeat).await
    }

    async fn report(&self, report: WorkReport) -> Result<ReportReply, BusError> {
        self.service()?.report(report).await
    }

    async fn work_hint(&self) {
        self.inner.hint.notified().await;
    }

    fn cancellations(&self) -> broadcast::Receiver<RenderId> {
        self.inner.cancellations.subscribe()
    }
}

#[async_trait]
impl HintBus for InProcessBus {
    fn hint_work(&self) {
        // One waiter wakes, or the next one to wait does: a worker that takes a slot looks for more at once.
        self.inner.hint.notify_one();
    }

    fn push_cancellation(&self, render: RenderId) {
        // No receiver means no worker is listening: there is nothing to stop.
        drop(self.inner.cancellations.send(render));
    }

    fn serve(&self, service: Arc<dyn WorkService>) {
        assert!(self.inner.service.set(service).is_ok(), "one service answers on one in-process bus");
    }
}
