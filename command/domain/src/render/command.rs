//! What may be asked of a render.

use events::job::ProgressStage;
use events::render::{Plan, RenderCompleted, RenderSubmitted, StoredPart};
use events::work::{Fingerprint, Slot, Token};
use events::{Fault, Timestamp, WorkerId};

/// A request in the imperative.
#[derive(Debug, Clone, PartialEq)]
pub enum Command {
    /// Begin this render's life.
    Submit(Box<RenderSubmitted>),
    /// Give a slot to a worker.
    ClaimSlot(Claim),
    /// The plan slot is done. The plan's generation is ours to count: the one given does not matter.
    ReportPlanned {
        /// The plan slot's lease.
        token: Token,
        /// How the film is cut.
        plan: Box<Plan>,
    },
    /// A part or the sound is done.
    StorePart {
        /// The lease of the part's slot.
        token: Token,
        /// What is stored.
        part: StoredPart,
    },
    /// The assemble slot is done, and with it the render.
    Assembled(Box<RenderCompleted>),
    /// An attempt failed.
    Fail(Failure),
    /// A worker hands a slot back.
    Release {
        /// The piece.
        slot: Slot,
        /// Its lease.
        token: Token,
    },
    /// A lease ended without a word. Whoever sends this knows it by the store's clock.
    ExpireLease {
        /// The piece.
        slot: Slot,
        /// Its lease.
        token: Token,
    },
    /// The work as a whole has come this far.
    EnterPhase {
        /// What is being done.
        stage: ProgressStage,
    },
    /// The work as a whole has come this far.
    MarkProgress {
        /// 0–99; more is taken for 99.
        percent: u8,
    },
    /// Stop it.
    Cancel,
    /// Fail it if its deadline has passed.
    PassDeadline {
        /// The instant it is judged by.
        now: Timestamp,
    },
    /// Fail it: the service itself can't go on with it.
    FailRender {
        /// Why.
        fault: Fault,
    },
    /// Plan anew, because no engine that could go on with this plan is alive.
    Replan {
        /// The plan that can't be gone on with.
        generation: u32,
    },
}

/// See [`Command::ClaimSlot`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// The piece.
    pub slot: Slot,
    /// Who asks.
    pub worker: WorkerId,
    /// What it would render with.
    pub fingerprint: Fingerprint,
    /// How long the lease lasts without a heartbeat.
    pub ttl_ms: u64,
}

/// See [`Command::Fail`].
#[derive(Debug, Clone, PartialEq)]
pub struct Failure {
    /// The piece.
    pub slot: Slot,
    /// Its lease.
    pub token: Token,
    /// What went wrong, and whether trying again may help.
    pub fault: Fault,
    /// From when on the wait before a retry counts.
    pub now: Timestamp,
    /// Spreads retries of jobs that failed together.
    pub jitter: Jitter,
}

/// A deviation of at most a fifth, drawn by the sender.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Jitter {
    permille: i16,
}

impl Jitter {
    /// The most it deviates, in thousandths.
    pub const PERMILLE_MAX: i16 = 200;

    /// A deviation by `permille` thousandths, kept within ±200.
    #[must_use]
    pub fn new(permille: i16) -> Jitter {
        Jitter { permille: permille.clamp(-Self::PERMILLE_MAX, Self::PERMILLE_MAX) }
    }
}

/// The first retry's wait; each further one waits three times as long.
const BACKOFF_FIRST_MS: i64 = 5_000;

/// How long a slot waits after its `failures + 1`-th failure: 5 s · 3ⁿ, ±20 %.
#[must_use]
pub fn backoff_ms(failures: u32, jitter: Jitter) -> i64 {
    let wait = BACKOFF_FIRST_MS.saturating_mul(3_i64.saturating_pow(failures));
    wait.saturating_add(wait / 1000 * i64::from(jitter.permille))
}
