//! Commands to renders, with what the others are told afterwards: hints that there is work, and that there is none.

use std::sync::Arc;

use bus::HintBus;
use domain::Render;
use domain::render::{Command, Rejection};
use event_store::{EventStore, SideRow};
use events::{Fault, Recorded, RenderEvent, RenderId, StreamId};

use crate::handler::{Along, ExecuteError, Executed, Folded, Handler, LoadError, Origin};
use crate::world::World;

/// Why a render's command took no effect.
pub(crate) type RenderError = ExecuteError<Rejection>;

/// All renders.
#[derive(Debug)]
pub(crate) struct Renders {
    handler: Handler<Render>,
    bus: Arc<dyn HintBus>,
}

impl Renders {
    pub(crate) fn new(store: Arc<dyn EventStore>, world: Arc<dyn World>, bus: Arc<dyn HintBus>) -> Renders {
        Renders { handler: Handler::new(store, world), bus }
    }

    /// See [`Handler::execute`]. Whoever should hear of the outcome hears of it after it is in the log.
    pub(crate) async fn execute(
        &self,
        render: RenderId,
        origin: &Origin,
        along: Along,
        ask: impl Fn(&Render) -> Command + Send + Sync,
    ) -> Result<Executed<Render>, RenderError> {
        let executed = self.handler.execute(&StreamId::from(render), origin, along, ask).await?;
        executed.recorded.iter().for_each(|recorded| log_fault(render, recorded));
        let is_due = |row: &SideRow| matches!(row, SideRow::Enqueue(row) if row.not_before.is_none());
        if executed.rows.iter().any(is_due) {
            self.bus.hint_work();
        }
        // Where others still hold slots of a render that is over, they stop at once.
        if !executed.recorded.is_empty() && executed.after.state.is_finished() {
            self.bus.push_cancellation(render);
        }
        Ok(executed)
    }

    /// See [`Handler::known`].
    pub(crate) async fn known(&self, render: RenderId) -> Result<Arc<Folded<Render>>, LoadError> {
        self.handler.known(&StreamId::from(render)).await
    }

    /// The state of a render now.
    pub(crate) async fn load(&self, render: RenderId) -> Result<Arc<Folded<Render>>, LoadError> {
        self.handler.load(&StreamId::from(render)).await
    }
}

/// The operator's line of what a client sees as the job's `error`: `correlation.id` is the `x-request-id` of the answer
/// that the render was accepted with.
fn log_fault(render: RenderId, recorded: &Recorded) {
    let correlation = recorded.correlation_id.as_str();
    let place = |fault: &Fault| fault.path.clone().unwrap_or_default();
    match RenderEvent::decode(&recorded.event) {
        Ok(Some(RenderEvent::RenderFailed(failed))) => {
            let (code, path) = (failed.fault.code.as_str(), place(&failed.fault));
            tracing::error!(render.id = %render, correlation.id = correlation, code, path, fault = failed.fault.message, "the render failed");
        }
        Ok(Some(RenderEvent::AttemptFailed(failed))) => {
            let (code, path) = (failed.fault.code.as_str(), place(&failed.fault));
            tracing::warn!(render.id = %render, correlation.id = correlation, slot = %failed.slot, code, path, fault = failed.fault.message, "an attempt failed");
        }
        _ => {}
    }
}
