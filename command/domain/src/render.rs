//! The life of a render: who may do which piece of it, and when it is over.
//!
//! ```text
//!             Submit        ReportPlanned          the last StorePart        Assembled
//! Unsubmitted ─────▶ Planning ─────────▶ Rendering ───────────────▶ Assembling ────────▶ Finished
//!                       ▲      Replan        │                                              ▲
//!                       └────────────────────┘        Cancel, a fault, lost workers, the deadline: from any
//! ```
//!
//! Invariants, held by the laws in `render/tests/laws.rs`: one terminal event, and nothing after it; a report is judged by the
//! token of its own slot alone, and an old token is never accepted; tokens rise; progress never goes down; a command
//! that already took effect decides on no events.

mod command;
mod decide;
mod evolve;
mod progress;
mod rejection;
mod slot;
#[cfg(test)]
mod tests;

use events::job::{JobStatus, ProgressStage};
use events::render::{Plan, RenderCompleted, StoredPart};
use events::work::{Fingerprint, Slot, Token};
use events::{Fault, RenderEvent, Sha256, StreamVersion, Timestamp};

pub use command::{Claim, Command, Failure, Jitter, backoff_ms};
pub use rejection::Rejection;
pub use slot::{Ended, Ending, Lease, Piece, SlotState};

use crate::aggregate::Aggregate;

/// After this many retryable failures of one slot the render fails.
pub const FAILURES_MAX: u32 = 3;
/// After this many expired leases of one slot the render fails.
pub const EXPIRIES_MAX: u32 = 5;

/// Where a render is in its life; each state holds what is true in it and nothing else.
#[derive(Debug, Clone, PartialEq, Default)]
pub enum Render {
    /// Nobody has asked for it.
    #[default]
    Unsubmitted,
    /// Sources are to be probed and the film is to be cut.
    Planning(Planning),
    /// Parts and sound are to be made.
    Rendering(Rendering),
    /// Everything is made and is to be joined.
    Assembling(Assembling),
    /// It is over.
    Finished(Outcome),
}

/// What is known of a render from its submission to its end.
#[derive(Debug, Clone, PartialEq)]
pub struct Facts {
    /// The normalised composition's digest.
    pub document: Sha256,
    /// −100…100, higher first.
    pub priority: i32,
    /// When it is of no use any more.
    pub deadline: Option<Timestamp>,
    /// 0–99; never goes down.
    pub percent: u8,
    /// What is being done; `None` before the first lease. Never goes back.
    pub stage: Option<ProgressStage>,
}

/// See [`Render::Planning`].
#[derive(Debug, Clone, PartialEq)]
pub struct Planning {
    /// What is known.
    pub facts: Facts,
    /// The number that the plan will have: 1 for the first.
    pub generation: u32,
    /// The one slot.
    pub slot: SlotState,
}

/// See [`Render::Rendering`].
#[derive(Debug, Clone, PartialEq)]
pub struct Rendering {
    /// What is known.
    pub facts: Facts,
    /// How the film is cut.
    pub plan: Plan,
    /// The lease that made the plan.
    pub planned_by: Token,
    /// One for each of the plan's parts.
    pub parts: Vec<Piece>,
    /// The sound; `None`: a silent film.
    pub audio: Option<Piece>,
}

/// See [`Render::Assembling`].
#[derive(Debug, Clone, PartialEq)]
pub struct Assembling {
    /// What is known.
    pub facts: Facts,
    /// How the film was cut.
    pub plan: Plan,
    /// The lease that made the plan.
    pub planned_by: Token,
    /// Parts in order, then the sound, each with the lease that made it.
    pub stored: Vec<(StoredPart, Token)>,
    /// The one slot.
    pub slot: SlotState,
}

/// How a render ended.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// The artifact exists.
    Completed(Box<RenderCompleted>),
    /// It will not be.
    Failed(Fault),
    /// Stopped on request.
    Cancelled,
}

impl Outcome {
    /// The job's status.
    #[must_use]
    pub fn status(&self) -> JobStatus {
        match self {
            Outcome::Completed(_) => JobStatus::Completed,
            Outcome::Failed(_) => JobStatus::Failed,
            Outcome::Cancelled => JobStatus::Cancelled,
        }
    }
}

impl Aggregate for Render {
    type Command = Command;
    type Event = RenderEvent;
    type Rejection = Rejection;

    fn decide(&self, command: Command) -> Result<Vec<RenderEvent>, Rejection> {
        match command {
            Command::Submit(submitted) => self.submit(*submitted),
            Command::ClaimSlot(claim) => self.claim(claim),
            Command::ReportPlanned { token, plan } => self.report_planned(token, *plan),
            Command::StorePart { token, part } => self.store_part(token, part),
            Command::Assembled(completed) => self.complete(*completed),
            Command::Fail(failure) => self.fail_attempt(failure),
            Command::Release { slot, token } => self.release(slot, token),
            Command::ExpireLease { slot, token } => self.expire(slot, token),
            Command::EnterPhase { stage } => self.enter_phase(stage),
            Command::MarkProgress { percent } => self.mark_progress(percent),
            Command::Cancel => self.cancel(),
            Command::PassDeadline { now } => self.pass_deadline(now),
            Command::FailRender { fault } => self.fail_render(fault),
            Command::Replan { generation } => self.replan(generation),
        }
    }

    fn evolve(self, event: &RenderEvent, version: StreamVersion) -> Render {
        self.after(event, version)
    }
}

impl Render {
    /// What is known of it while it lives.
    #[must_use]
    pub fn facts(&self) -> Option<&Facts> {
        match self {
            Render::Planning(Planning { facts, .. })
            | Render::Rendering(Rendering { facts, .. })
            | Render::Assembling(Assembling { facts, .. }) => Some(facts),
            Render::Unsubmitted | Render::Finished(_) => None,
        }
    }

    /// How the film is cut, and the lease that said so, while it lives.
    #[must_use]
    pub fn plan(&self) -> Option<(&Plan, Token)> {
        match self {
            Render::Rendering(Rendering { plan, planned_by, .. })
            | Render::Assembling(Assembling { plan, planned_by, .. }) => Some((plan, *planned_by)),
            Render::Unsubmitted | Render::Planning(_) | Render::Finished(_) => None,
        }
    }

    /// Whether nothing will change any more.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        matches!(self, Render::Finished(_))
    }

    /// A slot that is neither done nor yet to come.
    #[must_use]
    pub fn open(&self, slot: Slot) -> Option<&SlotState> {
        match (self, slot) {
            (Render::Planning(planning), Slot::Plan) => Some(&planning.slot),
            (Render::Rendering(rendering), Slot::Part(_) | Slot::Audio) => rendering.piece(slot)?.open(),
            (Render::Assembling(assembling), Slot::Assemble) => Some(&assembling.slot),
            _ => None,
        }
    }

    /// What a slot's last lease stored, and that lease.
    #[must_use]
    pub fn stored(&self, slot: Slot) -> Option<(&StoredPart, Token)> {
        match self {
            Render::Rendering(rendering) => rendering.piece(slot)?.stored(),
            Render::Assembling(assembling) => assembling
                .stored
                .iter()
                .find(|(part, _)| part.slot == slot)
                .map(|(part, token)| (part, *token)),
            Render::Unsubmitted | Render::Planning(_) | Render::Finished(_) => None,
        }
    }

    /// Every open slot, in the order in which they are best done.
    #[must_use]
    pub fn open_slots(&self) -> Vec<(Slot, &SlotState)> {
        match self {
            Render::Planning(planning) => vec![(Slot::Plan, &planning.slot)],
            Render::Rendering(rendering) => {
                rendering.pieces().filter_map(|(slot, piece)| Some((slot, piece.open()?))).collect()
            }
            Render::Assembling(assembling) => vec![(Slot::Assemble, &assembling.slot)],
            Render::Unsubmitted | Render::Finished(_) => Vec::new(),
        }
    }

    /// The engine that a slot must be done with; `None`: any. Probing pins the engine, and joining copies packets.
    #[must_use]
    pub fn engine_for(&self, slot: Slot) -> Option<&Fingerprint> {
        match (self, slot) {
            (Render::Rendering(rendering), Slot::Part(_) | Slot::Audio) => Some(&rendering.plan.fingerprint),
            _ => None,
        }
    }
}

impl Rendering {
    /// One of the pieces the plan asks for.
    fn piece(&self, slot: Slot) -> Option<&Piece> {
        match slot {
            Slot::Part(index) => self.parts.get(usize::try_from(index).ok()?),
            Slot::Audio => self.audio.as_ref(),
            Slot::Plan | Slot::Assemble => None,
        }
    }

    /// Parts in order, then the sound.
    fn pieces(&self) -> impl Iterator<Item = (Slot, &Piece)> {
        let parts = (0..).map(Slot::Part).zip(&self.parts);
        parts.chain(self.audio.as_ref().map(|piece| (Slot::Audio, piece)))
    }
}
