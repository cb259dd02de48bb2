//! A piece of a render on its way: leased or waiting, how often it went wrong, and in the end what is stored.

use events::WorkerId;
use events::render::StoredPart;
use events::work::{Fingerprint, Token};

/// A slot that is to be done.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SlotState {
    /// Who holds it now.
    pub lease: Option<Lease>,
    /// How the last lease ended, where one did.
    pub ended: Option<Ended>,
    /// Retryable failures so far.
    pub failures: u32,
    /// Expired leases so far.
    pub expiries: u32,
}

/// A worker's hold on a slot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    /// Judges every report of it.
    pub token: Token,
    /// Who holds it.
    pub worker: WorkerId,
    /// With which engine.
    pub fingerprint: Fingerprint,
}

/// The end of a lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ended {
    /// Which.
    pub token: Token,
    /// How.
    pub how: Ending,
}

/// How a lease ended without a result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// Its worker reported a failure.
    Failed,
    /// Nobody heard of its worker any more.
    Expired,
    /// Its worker handed it back.
    Released,
}

impl SlotState {
    /// The number of the next attempt, from 1; handing back counts as none.
    #[must_use]
    pub fn next_attempt(&self) -> u32 {
        self.failures + self.expiries + 1
    }

    /// Whether the lease with this token has ended in this way.
    #[must_use]
    pub fn has_ended(&self, token: Token, how: Ending) -> bool {
        self.ended == Some(Ended { token, how })
    }

    /// The lease with this token ends; another one stays as it is.
    pub(super) fn end(&mut self, token: Token, how: Ending) {
        if self.lease.as_ref().is_none_or(|lease| lease.token != token) {
            return;
        }
        self.lease = None;
        self.ended = Some(Ended { token, how });
        match how {
            Ending::Failed => self.failures += 1,
            Ending::Expired => self.expiries += 1,
            Ending::Released => {}
        }
    }
}

/// A part of the picture, or the sound: to be done, or done.
#[derive(Debug, Clone, PartialEq)]
pub enum Piece {
    /// To be done.
    Open(SlotState),
    /// Done, by the lease with this token.
    Stored(StoredPart, Token),
}

impl Piece {
    pub(super) fn open(&self) -> Option<&SlotState> {
        match self {
            Piece::Open(slot) => Some(slot),
            Piece::Stored(..) => None,
        }
    }

    pub(super) fn stored(&self) -> Option<(&StoredPart, Token)> {
        match self {
            Piece::Open(_) => None,
            Piece::Stored(part, token) => Some((part, *token)),
        }
    }
}

impl Default for Piece {
    fn default() -> Piece {
        Piece::Open(SlotState::default())
    }
}
