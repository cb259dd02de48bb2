//! What the workers' claims and heartbeats tell this node: which engines live, which leases move, how far their frames are.
//!
//! Kept in memory only, because nothing rests on it: after a restart engines count as alive for a while, leases as
//! moving, and the log's own facts decide as before. A worker is heard by one node or another: which engines live is told
//! to all of them by way of the store, now and then. Times are [`crate::world::World::elapsed_ms`].

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};

use event_store::LeaseKey;
use events::job::ProgressStage;
use events::work::{Fingerprint, Heartbeat, Slot};
use events::{RenderId, Token};

/// A lease whose units stand still for this long is failed as `stalled`.
pub(crate) const STALL_MS: u64 = 60_000;
/// An engine that nobody has claimed or worked with for this long counts as gone.
pub(crate) const ENGINE_GONE_MS: u64 = 60_000;
/// Progress of one render is recorded at most this often.
const MARK_INTERVAL_MS: u64 = 1_000;
/// What was not heard of for this long is forgotten: its lease has long expired.
const FORGET_MS: u64 = 600_000;
/// An engine that is heard of is told to the other nodes at most this often.
const TELL_MS: u64 = 10_000;

/// What a heartbeat says of its lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Movement {
    /// Units have moved within [`STALL_MS`].
    Moving,
    /// They have not.
    Stalled,
}

/// What should be recorded of a render's progress now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Due {
    /// The phase it has entered.
    pub(crate) phase: Option<ProgressStage>,
    /// Whether its percentage may be marked again.
    pub(crate) mark: bool,
}

/// The workers as far as this process has heard of them.
#[derive(Debug, Default)]
pub(crate) struct Fleet {
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    /// When somebody last claimed or worked with an engine.
    engines: HashMap<Fingerprint, u64>,
    /// When the other nodes were last told of one.
    told: HashMap<Fingerprint, u64>,
    renders: HashMap<RenderId, Watched>,
}

#[derive(Debug)]
struct Watched {
    leases: BTreeMap<Slot, Lease>,
    marked_at: Option<u64>,
    stage: Option<ProgressStage>,
    heard_at: u64,
}

#[derive(Debug)]
struct Lease {
    token: Token,
    units: u64,
    frames: u64,
    moved_at: u64,
}

impl Fleet {
    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Somebody asks for work with this engine.
    pub(crate) fn claimed_with(&self, engine: &Fingerprint, now: u64) {
        self.known().engines.insert(engine.clone(), now);
    }

    /// A lease begins.
    pub(crate) fn leased(&self, key: LeaseKey, now: u64) {
        let lease = Lease { token: key.token, units: 0, frames: 0, moved_at: now };
        self.known().watch(key.render, now).leases.insert(key.slot, lease);
    }

    /// A lease's worker lives.
    pub(crate) fn beat(&self, beat: &Heartbeat, now: u64) -> Movement {
        let mut known = self.known();
        let watched = known.watch(beat.render, now);
        let new = || Lease { token: beat.token, units: beat.units, frames: 0, moved_at: now };
        let lease = watched.leases.entry(beat.slot).or_insert_with(new);
        if lease.token != beat.token {
            *lease = new();
        }
        if beat.units > lease.units {
            lease.moved_at = now;
        }
        lease.units = beat.units;
        lease.frames = beat.frames;
        let movement =
            if now.saturating_sub(lease.moved_at) >= STALL_MS { Movement::Stalled } else { Movement::Moving };
        known.engines.insert(beat.engine.clone(), now);
        movement
    }

    /// Whether the other nodes should be told that this engine lives; whoever asks tells them.
    pub(crate) fn to_tell(&self, engine: &Fingerprint, now: u64) -> bool {
        let mut known = self.known();
        let due = known.told.get(engine).is_none_or(|told| now.saturating_sub(*told) >= TELL_MS);
        if due {
            known.told.insert(engine.clone(), now);
        }
        due
    }

    /// What of a render's progress should be recorded; whoever asks does it.
    pub(crate) fn due(&self, render: RenderId, stage: ProgressStage, now: u64) -> Due {
        let mut known = self.known();
        let watched = known.watch(render, now);
        let phase = (watched.stage < Some(stage)).then_some(stage);
        watched.stage = watched.stage.max(Some(stage));
        let mark = watched.marked_at.is_none_or(|at| now.saturating_sub(at) >= MARK_INTERVAL_MS);
        if mark {
            watched.marked_at = Some(now);
        }
        Due { phase, mark }
    }

    /// Frames that each slot of a render in hand has done.
    pub(crate) fn frames(&self, render: RenderId) -> BTreeMap<Slot, u64> {
        let known = self.known();
        let leases = known.renders.get(&render).map(|watched| &watched.leases);
        leases.into_iter().flatten().map(|(slot, lease)| (*slot, lease.frames)).collect()
    }

    /// A lease is over.
    pub(crate) fn ended(&self, render: RenderId, slot: Slot) {
        if let Some(watched) = self.known().renders.get_mut(&render) {
            watched.leases.remove(&slot);
        }
    }

    /// A render is over.
    pub(crate) fn finished(&self, render: RenderId) {
        self.known().renders.remove(&render);
    }

    /// Whether this node has not heard of the engine for [`ENGINE_GONE_MS`], counted from this process's start.
    pub(crate) fn is_gone(&self, engine: &Fingerprint, now: u64) -> bool {
        let heard = self.known().engines.get(engine).copied().unwrap_or(0);
        now.saturating_sub(heard) >= ENGINE_GONE_MS
    }

    /// Lets go of what was not heard of for long.
    pub(crate) fn forget(&self, now: u64) {
        let mut known = self.known();
        known.engines.retain(|_, heard| now.saturating_sub(*heard) < FORGET_MS);
        known.told.retain(|_, told| now.saturating_sub(*told) < FORGET_MS);
        known.renders.retain(|_, watched| now.saturating_sub(watched.heard_at) < FORGET_MS);
    }
}

impl Known {
    fn watch(&mut self, render: RenderId, now: u64) -> &mut Watched {
        let new = || Watched { leases: BTreeMap::new(), marked_at: None, stage: None, heard_at: now };
        let watched = self.renders.entry(render).or_insert_with(new);
        watched.heard_at = now;
        watched
    }
}

#[cfg(test)]
mod tests {
    use events::StreamVersion;

    use super::*;

    const RENDER: RenderId = RenderId::new(1);

    fn beat(units: u64, token: u64) -> Heartbeat {
        let token = Token(StreamVersion(token));
        Heartbeat {
            render: RENDER,
            slot: Slot::Part(0),
            token,
            engine: Fingerprint("lavapipe".to_owned()),
            units,
            frames: units,
            stage: ProgressStage::Compositing,
        }
    }

    #[test]
    fn a_lease_stalls_when_its_units_stand_still_for_a_minute() {
        let fleet = Fleet::default();
        assert_eq!(fleet.beat(&beat(5, 3), 0), Movement::Moving);
        assert_eq!(fleet.beat(&beat(5, 3), 59_999), Movement::Moving);
        assert_eq!(fleet.beat(&beat(6, 3), 59_999), Movement::Moving, "one unit is enough");
        assert_eq!(fleet.beat(&beat(6, 3), 119_998), Movement::Moving);
        assert_eq!(fleet.beat(&beat(6, 3), 119_999), Movement::Stalled);
        assert_eq!(fleet.beat(&beat(0, 9), 120_000), Movement::Moving, "another lease begins anew");
    }

    #[test]
    fn progress_is_due_once_a_second_and_a_phase_once() {
        let fleet = Fleet::default();
        let first = Due { phase: Some(ProgressStage::Compositing), mark: true };
        assert_eq!(fleet.due(RENDER, ProgressStage::Compositing, 100), first);
        assert_eq!(fleet.due(RENDER, ProgressStage::Compositing, 1_099), Due::default());
        assert_eq!(fleet.due(RENDER, ProgressStage::Downloading, 1_100), Due { phase: None, mark: true });
        let next = Due { phase: Some(ProgressStage::Encoding), mark: false };
        assert_eq!(fleet.due(RENDER, ProgressStage::Encoding, 1_200), next);
    }

    #[test]
    fn an_engine_lives_while_someone_claims_or_works_with_it() {
        let (fleet, engine) = (Fleet::default(), Fingerprint("lavapipe".to_owned()));
        assert!(!fleet.is_gone(&engine, 59_999), "a service that has just begun has heard of nobody yet");
        assert!(fleet.is_gone(&engine, 60_000));
        fleet.claimed_with(&engine, 60_000);
        assert!(!fleet.is_gone(&engine, 119_999));
        fleet.beat(&beat(1, 3), 119_999);
        assert!(!fleet.is_gone(&engine, 179_998), "a heartbeat is a sign of life");
        assert!(fleet.is_gone(&engine, 179_999));
    }

    #[test]
    fn an_engine_is_told_to_the_other_nodes_now_and_then() {
        let (fleet, engine) = (Fleet::default(), Fingerprint("lavapipe".to_owned()));
        assert!(fleet.to_tell(&engine, 5));
        assert!(!fleet.to_tell(&engine, 10_004));
        assert!(fleet.to_tell(&Fingerprint("another".to_owned()), 10_004));
        assert!(fleet.to_tell(&engine, 10_005));
    }

    #[test]
    fn frames_are_counted_for_live_leases() {
        let fleet = Fleet::default();
        fleet.beat(&beat(40, 3), 0);
        assert_eq!(fleet.frames(RENDER), BTreeMap::from([(Slot::Part(0), 40)]));
        fleet.ended(RENDER, Slot::Part(0));
        assert_eq!(fleet.frames(RENDER), BTreeMap::new());
    }
}
