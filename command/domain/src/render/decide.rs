//! The render's decisions, one small function for each command.

use events::job::ProgressStage;
use events::render::{
    AttemptFailed, CancelRequested, LeaseExpired, LeaseGranted, PartStored, PhaseChanged, Plan,
    ProgressMarked, QueueReason, RenderCancelled, RenderCompleted, RenderFailed, RenderPlanned, RenderQueued,
    RenderSubmitted, SlotReleased, StoredPart,
};
use events::work::{Slot, Token};
use events::{Fault, FaultCode, RenderEvent, Timestamp};

use super::{
    Claim, EXPIRIES_MAX, Ending, FAILURES_MAX, Facts, Failure, Lease, Outcome, Rejection, Render, SlotState,
    backoff_ms,
};

type Decision = Result<Vec<RenderEvent>, Rejection>;

/// The highest percentage of a render that is not completed.
const PERCENT_UNFINISHED_MAX: u8 = 99;

impl Render {
    pub(super) fn submit(&self, submitted: RenderSubmitted) -> Decision {
        match self {
            Render::Unsubmitted => {
                let queued = RenderQueued { reason: QueueReason::Submitted, slot: None, not_before: None };
                Ok(vec![RenderEvent::RenderSubmitted(submitted), RenderEvent::RenderQueued(queued)])
            }
            _ if self.facts().is_some_and(|facts| facts.document == submitted.document) => Ok(Vec::new()),
            _ => Err(Rejection::AlreadySubmitted),
        }
    }

    pub(super) fn claim(&self, claim: Claim) -> Decision {
        let Claim { slot, worker, fingerprint, ttl_ms } = claim;
        self.living()?;
        let Some(state) = self.open(slot) else {
            let done = self.stored(slot).is_some() || (slot == Slot::Plan && self.plan().is_some());
            return Err(if done { Rejection::SlotDone { slot } } else { Rejection::SlotNotOpen { slot } });
        };
        if state.lease.is_some() {
            return Err(Rejection::SlotTaken { slot });
        }
        if let Some(needed) = self.engine_for(slot).filter(|needed| **needed != fingerprint) {
            return Err(Rejection::WrongEngine { slot, needed: needed.clone() });
        }
        let attempt = state.next_attempt();
        Ok(vec![RenderEvent::LeaseGranted(LeaseGranted { slot, attempt, worker, fingerprint, ttl_ms })])
    }

    pub(super) fn report_planned(&self, token: Token, mut plan: Plan) -> Decision {
        if let Some((recorded, planned_by)) = self.plan()
            && planned_by == token
        {
            plan.generation = recorded.generation;
            let repeated = *recorded == plan;
            return if repeated { Ok(Vec::new()) } else { Err(self.stale(Slot::Plan, token)) };
        }
        let (_, lease) = self.held(Slot::Plan, token)?;
        if let Some(reason) = misfit(&plan, lease) {
            return Err(Rejection::UnfitReport { slot: Slot::Plan, reason });
        }
        if let Render::Planning(planning) = self {
            plan.generation = planning.generation;
        }
        let mut events = vec![RenderEvent::RenderPlanned(RenderPlanned { token, plan })];
        events.extend(self.phase(ProgressStage::Compositing));
        Ok(events)
    }

    pub(super) fn store_part(&self, token: Token, part: StoredPart) -> Decision {
        let slot = part.slot;
        if self.stored(slot).is_some_and(|(stored, by)| by == token && *stored == part) {
            return Ok(Vec::new());
        }
        self.held(slot, token)?;
        let Render::Rendering(rendering) = self else { return Err(Rejection::SlotNotOpen { slot }) };
        let expected = match slot {
            Slot::Part(index) => usize::try_from(index)
                .ok()
                .and_then(|index| rendering.plan.parts.get(index))
                .map_or(0, |range| range.count),
            Slot::Plan | Slot::Audio | Slot::Assemble => 0,
        };
        if part.frames != expected {
            return Err(Rejection::UnfitReport {
                slot,
                reason: "it has another number of frames than the plan says",
            });
        }
        let is_last = rendering.pieces().filter(|(_, piece)| piece.open().is_some()).count() == 1;
        let mut events = vec![RenderEvent::PartStored(PartStored { token, part })];
        events.extend(if is_last { self.phase(ProgressStage::Encoding) } else { None });
        Ok(events)
    }

    pub(super) fn complete(&self, completed: RenderCompleted) -> Decision {
        match self {
            Render::Finished(Outcome::Completed(recorded)) if **recorded == completed => Ok(Vec::new()),
            _ => {
                self.held(Slot::Assemble, completed.token)?;
                Ok(vec![RenderEvent::RenderCompleted(completed)])
            }
        }
    }

    pub(super) fn fail_attempt(&self, failure: Failure) -> Decision {
        let Failure { slot, token, fault, now, jitter } = failure;
        if self.open(slot).is_some_and(|state| state.has_ended(token, Ending::Failed)) {
            return Ok(Vec::new());
        }
        let (state, _) = self.held(slot, token)?;
        let is_last = !fault.retryable || state.failures + 1 >= FAILURES_MAX;
        let failed = RenderEvent::AttemptFailed(AttemptFailed { slot, token, fault: fault.clone() });
        let then = if is_last {
            RenderEvent::RenderFailed(RenderFailed { fault })
        } else {
            let not_before = Some(now.plus_ms(backoff_ms(state.failures, jitter)));
            RenderEvent::RenderQueued(RenderQueued {
                reason: QueueReason::Retry,
                slot: Some(slot),
                not_before,
            })
        };
        Ok(vec![failed, then])
    }

    pub(super) fn release(&self, slot: Slot, token: Token) -> Decision {
        if self.open(slot).is_some_and(|state| state.has_ended(token, Ending::Released)) {
            return Ok(Vec::new());
        }
        self.held(slot, token)?;
        Ok(vec![RenderEvent::SlotReleased(SlotReleased { slot, token })])
    }

    pub(super) fn expire(&self, slot: Slot, token: Token) -> Decision {
        if self.open(slot).is_some_and(|state| state.has_ended(token, Ending::Expired)) {
            return Ok(Vec::new());
        }
        let (state, _) = self.held(slot, token)?;
        let then = if state.expiries + 1 >= EXPIRIES_MAX {
            RenderEvent::RenderFailed(RenderFailed { fault: worker_lost(slot) })
        } else {
            RenderEvent::RenderQueued(RenderQueued {
                reason: QueueReason::Rescue,
                slot: Some(slot),
                not_before: None,
            })
        };
        Ok(vec![RenderEvent::LeaseExpired(LeaseExpired { slot, token }), then])
    }

    pub(super) fn enter_phase(&self, stage: ProgressStage) -> Decision {
        self.living()?.stage.ok_or(Rejection::NotStarted)?;
        Ok(self.phase(stage).into_iter().collect())
    }

    pub(super) fn mark_progress(&self, percent: u8) -> Decision {
        let facts = self.living()?;
        let stage = facts.stage.ok_or(Rejection::NotStarted)?;
        let percent = percent.min(PERCENT_UNFINISHED_MAX);
        let marked = RenderEvent::ProgressMarked(ProgressMarked { percent, stage });
        Ok(if percent > facts.percent { vec![marked] } else { Vec::new() })
    }

    pub(super) fn cancel(&self) -> Decision {
        self.living()?;
        Ok(vec![
            RenderEvent::CancelRequested(CancelRequested {}),
            RenderEvent::RenderCancelled(RenderCancelled {}),
        ])
    }

    pub(super) fn pass_deadline(&self, now: Timestamp) -> Decision {
        match self.living()?.deadline {
            Some(deadline) if deadline <= now => self.fail_render(Fault {
                code: FaultCode::DeadlineExceeded,
                message: format!("the deadline {deadline} passed before the render was done"),
                element_id: None,
                path: Some("/deadline".to_owned()),
                retryable: false,
            }),
            _ => Err(Rejection::DeadlineAhead),
        }
    }

    pub(super) fn fail_render(&self, fault: Fault) -> Decision {
        self.living()?;
        Ok(vec![RenderEvent::RenderFailed(RenderFailed { fault })])
    }

    pub(super) fn replan(&self, generation: u32) -> Decision {
        self.living()?;
        match self {
            Render::Planning(planning) if planning.generation == generation.saturating_add(1) => {
                Ok(Vec::new())
            }
            Render::Rendering(rendering) if rendering.plan.generation == generation => {
                // Whoever holds a part has the engine: the plan can be gone on with.
                if self.open_slots().iter().any(|(_, state)| state.lease.is_some()) {
                    return Err(Rejection::PlanStands);
                }
                let queued =
                    RenderQueued { reason: QueueReason::Rescue, slot: Some(Slot::Plan), not_before: None };
                Ok(vec![RenderEvent::RenderQueued(queued)])
            }
            _ => Err(Rejection::PlanStands),
        }
    }

    /// What is known of it, while it lives.
    fn living(&self) -> Result<&Facts, Rejection> {
        match self {
            Render::Finished(outcome) => Err(Rejection::AlreadyFinished { status: outcome.status() }),
            _ => self.facts().ok_or(Rejection::NotSubmitted),
        }
    }

    /// The slot, where this is its current lease: the one place where reports are judged.
    fn held(&self, slot: Slot, token: Token) -> Result<(&SlotState, &Lease), Rejection> {
        self.living()?;
        let state = self.open(slot);
        let held = state.and_then(|state| Some((state, state.lease.as_ref()?)));
        held.filter(|(_, lease)| lease.token == token).ok_or_else(|| self.stale(slot, token))
    }

    fn stale(&self, slot: Slot, reported: Token) -> Rejection {
        let lease = self.open(slot).and_then(|state| state.lease.as_ref());
        Rejection::StaleToken { slot, reported, current: lease.map(|lease| lease.token) }
    }

    /// The event that enters a phase; `None` where the work has come so far already.
    fn phase(&self, stage: ProgressStage) -> Option<RenderEvent> {
        let is_new = self.facts().is_some_and(|facts| facts.stage < Some(stage));
        is_new.then_some(RenderEvent::PhaseChanged(PhaseChanged { stage }))
    }
}

/// What is wrong with a plan, if anything is.
fn misfit(plan: &Plan, lease: &Lease) -> Option<&'static str> {
    let counted: u64 = plan.parts.iter().map(|part| part.count).sum();
    let gapless = plan.parts.iter().scan(0, |next, part| {
        let fits = part.first == *next && part.count > 0;
        *next = part.first.saturating_add(part.count);
        Some(fits)
    });
    if plan.parts.is_empty() {
        Some("it has no parts")
    } else if !gapless.into_iter().all(|fits| fits) {
        Some("its parts leave a gap or are out of order")
    } else if counted != plan.frames {
        Some("its parts do not make up its frames")
    } else if plan.fingerprint != lease.fingerprint {
        Some("it names another engine than the one that claimed the slot")
    } else {
        None
    }
}

fn worker_lost(slot: Slot) -> Fault {
    Fault {
        code: FaultCode::WorkerLost,
        message: format!("{EXPIRIES_MAX} workers in a row were lost while doing {slot}"),
        element_id: None,
        path: None,
        retryable: true,
    }
}
