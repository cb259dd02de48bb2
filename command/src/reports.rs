//! What workers say and hear: claims, heartbeats and reports, in process or over a network alike.
//!
//! A worker never writes the log: it reports, and the render accepts or refuses by the slot's token.

use std::sync::Arc;

use async_trait::async_trait;
use bus::{BusError, WorkService};
use domain::Render;
use domain::render::{Claim as ClaimSlot, Command, Failure, Rejection};
use event_store::{EventStore, Guard, LeaseKey, QueueRow, ReadDocumentError, Vault, read_document};
use events::render::{RenderCompleted, StoredPart};
use events::work::{
    Claim, Fingerprint, Heartbeat, HeartbeatReply, Outcome, ReportReply, Slot, WorkOrder, WorkReport,
};
use events::{Actor, Fault, FaultCode, RenderId, Token};

use crate::chain::chain;
use crate::fleet::{Fleet, Movement, STALL_MS};
use crate::handler::{Along, ExecuteError, Executed, Origin};
use crate::renders::{RenderError, Renders};
use crate::space::Floor;
use crate::turns::{Room, Turns};
use crate::world::World;

/// Due rows that one claim looks at, in all and of one workspace: first a few, among which there nearly always is one to
/// grant, then enough to find rows of this engine among another's.
const LOOKS: [(u32, u32); 2] = [(1024, 16), (1024, 128)];

/// The longest message of a fault that is kept: the log is no place for a decoder's whole output.
const FAULT_CHARS_MAX: usize = 2_000;

/// The command side's answers to workers.
#[derive(Debug)]
pub(crate) struct Reports {
    pub(crate) store: Arc<dyn EventStore>,
    pub(crate) vault: Arc<Vault>,
    pub(crate) world: Arc<dyn World>,
    pub(crate) renders: Arc<Renders>,
    pub(crate) fleet: Arc<Fleet>,
    pub(crate) turns: Turns,
    pub(crate) floor: Arc<Floor>,
    pub(crate) lease_ttl_ms: u64,
    /// Renders of one workspace in work at once, where it has no setting of its own; `None`: any number.
    pub(crate) concurrency: Option<u32>,
}

#[async_trait]
impl WorkService for Reports {
    async fn claim(&self, claim: Claim) -> Result<Option<WorkOrder>, BusError> {
        self.grant(&claim).await.map_err(failed("claim"))
    }

    async fn heartbeat(&self, heartbeat: Heartbeat) -> Result<HeartbeatReply, BusError> {
        self.keep_alive(&heartbeat).await.map_err(failed("heartbeat"))
    }

    async fn report(&self, report: WorkReport) -> Result<ReportReply, BusError> {
        let WorkReport { render, slot, token, outcome } = report;
        match self.settle(render, slot, token, outcome).await {
            Ok(executed) => {
                self.fleet.ended(render, slot);
                self.tell_progress(render, &executed).await;
                Ok(ReportReply::Accepted)
            }
            Err(ExecuteError::Rejected(no)) => {
                tracing::info!(render.id = %render, %slot, reason = %no, "a report was refused");
                Ok(ReportReply::Refused { reason: no.to_string() })
            }
            Err(error) => Err(failed("report")(error)),
        }
    }
}

impl Reports {
    /// Offers the due slots to the worker, best first, until one is granted.
    async fn grant(&self, claim: &Claim) -> Result<Option<WorkOrder>, RenderError> {
        self.fleet.claimed_with(&claim.fingerprint, self.world.elapsed_ms());
        self.tell_of(&claim.fingerprint).await?;
        // Whatever is begun needs room; what runs already goes on.
        if self.floor.check().is_err() {
            return Ok(None);
        }
        for (limit, per_workspace) in LOOKS {
            let due = self.store.due_work(limit, per_workspace).await?;
            let is_all = due.len() < per_workspace as usize;
            let granted = self.grant_one_of(due, claim).await?;
            if granted.is_some() || is_all {
                return Ok(granted);
            }
        }
        Ok(None)
    }

    async fn grant_one_of(
        &self,
        due: Vec<QueueRow>,
        claim: &Claim,
    ) -> Result<Option<WorkOrder>, RenderError> {
        let begins = due.iter().any(|it| !it.row.begun);
        let loads = if begins { self.store.loads().await? } else { Vec::new() };
        let room = Room::new(self.concurrency, loads);
        for row in self.turns.in_order(due, &claim.fingerprint, &room) {
            let Some(_in_hand) = self.turns.take(&row) else { continue };
            match self.try_grant(claim, &row, room.of(row.row.workspace)).await {
                Ok(Some(order)) => {
                    self.turns.served(order.workspace);
                    return Ok(Some(order));
                }
                // Another process was faster, or the render is over: its row is gone by now. Or its workspace is at its
                // limit by now: the row waits.
                Ok(None) | Err(ExecuteError::Rejected(_) | ExecuteError::GuardFailed) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(None)
    }

    pub(crate) async fn try_grant(
        &self,
        claim: &Claim,
        row: &QueueRow,
        most: Option<u32>,
    ) -> Result<Option<WorkOrder>, RenderError> {
        let (render, slot, workspace) = (row.row.render, row.row.slot, row.row.workspace);
        // The document first: a lease on a render that nobody can read would only have to be ended again.
        let Some(digest) = self.renders.known(render).await?.state.facts().map(|facts| facts.document) else {
            return Ok(None);
        };
        let document = match read_document(self.store.as_ref(), &self.vault, workspace, digest).await {
            Ok(Some(bytes)) => bytes,
            Err(ReadDocumentError::Store { source, .. }) => return Err(source.into()),
            Ok(None) => return self.give_up(render, None).await,
            Err(error) => return self.give_up(render, Some(&error)).await,
        };
        let Ok(document) = String::from_utf8(document) else { return self.give_up(render, None).await };
        let ask = |_: &Render| {
            Command::ClaimSlot(ClaimSlot {
                slot,
                worker: claim.worker,
                fingerprint: claim.fingerprint.clone(),
                ttl_ms: self.lease_ttl_ms,
            })
        };
        let origin = Origin::of(Actor(claim.worker.to_string()));
        let mut along = Along::guard(Guard::Queued(render, slot));
        // What was read before is judged again where nobody can come between.
        along.guards.extend(most.filter(|_| !row.row.begun).map(|most| Guard::Room(workspace, most)));
        let Executed { after, .. } = self.renders.execute(render, &origin, along, ask).await?;
        let token = Token(after.version);
        self.fleet.leased(LeaseKey { render, slot, token }, self.world.elapsed_ms());
        let attempt = after.state.open(slot).map_or(1, |state| state.next_attempt());
        let plan = after.state.plan().map(|(plan, _)| plan.clone());
        let stored = stored_for(slot, &after.state);
        let ttl_ms = self.lease_ttl_ms;
        Ok(Some(WorkOrder { workspace, render, slot, token, attempt, ttl_ms, document, plan, stored }))
    }

    /// A render whose document can't be read any more can't be rendered by anyone.
    async fn give_up(
        &self,
        render: RenderId,
        error: Option<&ReadDocumentError>,
    ) -> Result<Option<WorkOrder>, RenderError> {
        let reason = error.map_or_else(|| "it is not there".to_owned(), |error| chain(error));
        tracing::error!(render.id = %render, error = reason, "a render's document can't be read: failing the render");
        let fault = Fault {
            code: FaultCode::Internal,
            message: "the stored request can't be read any more; send it again".to_owned(),
            element_id: None,
            path: None,
            retryable: false,
        };
        let ask = |_: &Render| Command::FailRender { fault: fault.clone() };
        self.renders.execute(render, &Origin::system(), Along::default(), ask).await?;
        Ok(None)
    }

    async fn keep_alive(&self, beat: &Heartbeat) -> Result<HeartbeatReply, RenderError> {
        let key = LeaseKey { render: beat.render, slot: beat.slot, token: beat.token };
        if self.fleet.beat(beat, self.world.elapsed_ms()) == Movement::Stalled {
            self.fleet.ended(beat.render, beat.slot);
            let outcome = Outcome::Failed(stalled(beat.slot));
            return match self.settle(beat.render, beat.slot, beat.token, outcome).await {
                Ok(_) | Err(ExecuteError::Rejected(_)) => Ok(HeartbeatReply::Stop),
                Err(error) => Err(error),
            };
        }
        self.tell_of(&beat.engine).await?;
        if self.store.extend_leases(&[key]).await?.is_empty() {
            self.fleet.ended(beat.render, beat.slot);
            return Ok(HeartbeatReply::Stop);
        }
        let due = self.fleet.due(beat.render, beat.stage, self.world.elapsed_ms());
        let noted = async {
            if let Some(stage) = due.phase {
                self.note(beat.render, |_| Command::EnterPhase { stage }).await?;
            }
            if due.mark {
                self.mark(beat.render).await?;
            }
            Ok(())
        };
        match noted.await {
            Ok(()) => Ok(HeartbeatReply::Continue),
            Err(ExecuteError::Rejected(_)) => Ok(HeartbeatReply::Stop),
            Err(error) => Err(error),
        }
    }

    /// The other nodes may hear of this engine from nobody but us.
    async fn tell_of(&self, engine: &Fingerprint) -> Result<(), RenderError> {
        if self.fleet.to_tell(engine, self.world.elapsed_ms()) {
            self.store.hear_engine(&engine.0).await?;
        }
        Ok(())
    }

    /// Puts the end of a lease into the log.
    async fn settle(
        &self,
        render: RenderId,
        slot: Slot,
        token: Token,
        outcome: Outcome,
    ) -> Result<Executed<Render>, RenderError> {
        let tells_of_it = match &outcome {
            Outcome::Planned(_) => slot == Slot::Plan,
            Outcome::Stored(part) => slot == part.slot,
            Outcome::Assembled { .. } => slot == Slot::Assemble,
            Outcome::Failed(_) | Outcome::Released => true,
        };
        if !tells_of_it {
            let reason = "it tells of another slot";
            return Err(ExecuteError::Rejected(Rejection::UnfitReport { slot, reason }));
        }
        let command = match outcome {
            Outcome::Planned(plan) => Command::ReportPlanned { token, plan: Box::new(plan) },
            Outcome::Stored(part) => Command::StorePart { token, part },
            Outcome::Assembled { artifact, timings } => {
                Command::Assembled(Box::new(RenderCompleted { token, artifact, timings }))
            }
            Outcome::Failed(mut fault) => {
                fault.message = fault.message.chars().take(FAULT_CHARS_MAX).collect();
                let (now, jitter) = (self.store.now().await?, self.world.jitter());
                Command::Fail(Failure { slot, token, fault, now, jitter })
            }
            Outcome::Released => Command::Release { slot, token },
        };
        let executed =
            self.renders.execute(render, &Origin::system(), Along::default(), |_| command.clone()).await?;
        if executed.after.state.is_finished() {
            self.fleet.finished(render);
        }
        Ok(executed)
    }

    /// A stored part is progress too. What goes wrong here is told again by the next heartbeat.
    async fn tell_progress(&self, render: RenderId, executed: &Executed<Render>) {
        let Some(stage) = executed.after.state.facts().and_then(|facts| facts.stage) else { return };
        if self.fleet.due(render, stage, self.world.elapsed_ms()).mark
            && let Err(error) = self.mark(render).await
        {
            tracing::debug!(render.id = %render, error = chain(&error), "progress was not marked");
        }
    }

    async fn mark(&self, render: RenderId) -> Result<(), RenderError> {
        let frames = self.fleet.frames(render);
        let frames_of = |slot| frames.get(&slot).copied().unwrap_or(0);
        self.note(render, |state| Command::MarkProgress { percent: state.percent_done(frames_of) }).await
    }

    async fn note(
        &self,
        render: RenderId,
        ask: impl Fn(&Render) -> Command + Send + Sync,
    ) -> Result<(), RenderError> {
        self.renders.execute(render, &Origin::system(), Along::default(), ask).await.map(drop)
    }
}

/// What assembling needs of the others; nobody else needs any.
fn stored_for(slot: Slot, state: &Render) -> Vec<StoredPart> {
    match (slot, state) {
        (Slot::Assemble, Render::Assembling(assembling)) => {
            assembling.stored.iter().map(|(part, _)| part.clone()).collect()
        }
        _ => Vec::new(),
    }
}

fn stalled(slot: Slot) -> Fault {
    Fault {
        code: FaultCode::Stalled,
        message: format!("{slot} made no progress for {} s", STALL_MS / 1000),
        element_id: None,
        path: None,
        retryable: true,
    }
}

/// The bus carries the text only: the cause is logged here, where it happened.
fn failed(what: &'static str) -> impl Fn(RenderError) -> BusError {
    move |error| {
        let error = chain(&error);
        tracing::error!(error, "could not answer a worker's {what}");
        BusError::Failed(error)
    }
}
