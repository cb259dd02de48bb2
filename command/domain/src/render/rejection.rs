//! Why a render says no.

use events::job::JobStatus;
use events::work::{Fingerprint, Slot, Token};
use thiserror::Error;

/// A *no* of the render's. Each finishes "could not …: ".
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Rejection {
    /// Nothing is known of it.
    #[error("there is no such render")]
    NotSubmitted,
    /// Its life has begun already, with another request.
    #[error("the render has been submitted already")]
    AlreadySubmitted,
    /// It is over.
    #[error("the render is {} already", status.as_str())]
    AlreadyFinished {
        /// How it ended.
        status: JobStatus,
    },
    /// No worker has held a slot of it yet: there is nothing to tell of.
    #[error("nobody has begun the render")]
    NotStarted,
    /// Another worker holds the slot.
    #[error("{slot} is being done by another worker")]
    SlotTaken {
        /// Which.
        slot: Slot,
    },
    /// Nothing is left to do in the slot.
    #[error("{slot} is done")]
    SlotDone {
        /// Which.
        slot: Slot,
    },
    /// The render has no such slot now.
    #[error("{slot} is not to be done now")]
    SlotNotOpen {
        /// Which.
        slot: Slot,
    },
    /// The worker's engine makes other bits than the plan counts on.
    #[error("{slot} must be done with the engine {}", needed.0)]
    WrongEngine {
        /// Which.
        slot: Slot,
        /// The plan's engine.
        needed: Fingerprint,
    },
    /// The reporter's lease is not the slot's current one.
    #[error("the lease {} of {slot} is over", reported.0.0)]
    StaleToken {
        /// Which.
        slot: Slot,
        /// The reporter's lease.
        reported: Token,
        /// The lease that holds the slot now, if one does.
        current: Option<Token>,
    },
    /// The report contradicts itself or the plan.
    #[error("the report of {slot} does not fit: {reason}")]
    UnfitReport {
        /// Which.
        slot: Slot,
        /// What does not fit.
        reason: &'static str,
    },
    /// The deadline is still ahead, or there is none.
    #[error("the deadline has not passed")]
    DeadlineAhead,
    /// The plan can be gone on with: it is another one, or someone is at it.
    #[error("there is no need to plan anew")]
    PlanStands,
}
