//! Judging appends: what a batch must know, and what each append becomes or why it is refused. Pure.
//!
//! Appends are judged in the order they came; each sees the effects of those before it in the same batch. A
//! refused append changes nothing, so it never disturbs its neighbours. Must not know: SQL, clocks, channels.

use std::collections::{BTreeSet, HashMap, HashSet};

use events::{
    Position, Recorded, RenderId, Sha256, Slot, StreamId, StreamVersion, Timestamp, Token, WorkspaceId,
};

use crate::chain;
use crate::store::{Append, AppendError, Guard, Head, IdempotencyScope, LeaseKey, SideRow, StreamAppend};

/// What a batch must know before it can be judged.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Needs {
    /// Whose versions.
    pub(crate) streams: BTreeSet<StreamId>,
    /// Which idempotency keys' live rows.
    pub(crate) scopes: Vec<IdempotencyScope>,
    /// Which slots' lease rows.
    pub(crate) leases: BTreeSet<(RenderId, Slot)>,
    /// Which slots' queue rows.
    pub(crate) queued: BTreeSet<(RenderId, Slot)>,
    /// How much of which workspaces is in work.
    pub(crate) begun: BTreeSet<WorkspaceId>,
}

impl Needs {
    /// Adds what judging `append` takes.
    pub(crate) fn add(&mut self, append: &Append) {
        self.streams.extend(append.streams.iter().map(|part| part.stream.clone()));
        self.scopes.extend(append.rows.iter().filter_map(|row| match row {
            SideRow::PutIdempotency { scope, .. } => Some(scope.clone()),
            _ => None,
        }));
        for guard in &append.guards {
            match guard {
                Guard::LeaseExpired(key) => self.leases.insert((key.render, key.slot)),
                Guard::Queued(render, slot) => self.queued.insert((*render, *slot)),
                Guard::Room(workspace, _) => self.begun.insert(*workspace),
            };
        }
    }
}

/// A slot's lease row, as far as judging needs it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LeaseEnd {
    /// Whose lease it is.
    pub(crate) token: Token,
    /// When it ends.
    pub(crate) expires_at: Timestamp,
}

/// What is known when the transaction begins, and then what has become of it append by append.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Known {
    /// The database's clock.
    pub(crate) now: Timestamp,
    /// The log's end.
    pub(crate) head: Head,
    /// When the last event was recorded: time never goes backwards in the log, whatever the clock does.
    pub(crate) last_recorded_at: Timestamp,
    /// Versions of the needed streams; absent is 0.
    pub(crate) versions: HashMap<StreamId, StreamVersion>,
    /// Needed idempotency keys that hold a live row.
    pub(crate) taken: HashSet<IdempotencyScope>,
    /// Lease rows of the needed slots.
    pub(crate) leases: HashMap<(RenderId, Slot), LeaseEnd>,
    /// Needed slots that have a queue row.
    pub(crate) queued: HashSet<(RenderId, Slot)>,
    /// Renders in work of the needed workspaces; absent is 0.
    pub(crate) begun: HashMap<WorkspaceId, u32>,
}

impl Known {
    /// Knows the end of the log and nothing else.
    pub(crate) fn at(now: Timestamp, head: Head, last_recorded_at: Timestamp) -> Known {
        Known {
            now,
            head,
            last_recorded_at,
            versions: HashMap::new(),
            taken: HashSet::new(),
            leases: HashMap::new(),
            queued: HashSet::new(),
            begun: HashMap::new(),
        }
    }

    /// The events that `append` becomes, with position, version, time and hash; or why it is refused.
    pub(crate) fn admit(&mut self, append: &Append) -> Result<Vec<Recorded>, AppendError> {
        self.check_guards(&append.guards)?;
        let scopes = self.check_idempotency(&append.rows)?;
        let versions = self.check_versions(&append.streams)?;
        self.versions.extend(versions);
        self.taken.extend(scopes);
        for row in &append.rows {
            self.note(row);
        }
        Ok(append.streams.iter().flat_map(|part| self.record(part)).collect())
    }

    fn check_guards(&self, guards: &[Guard]) -> Result<(), AppendError> {
        let holds = |guard: &&Guard| match guard {
            Guard::LeaseExpired(LeaseKey { render, slot, token }) => self
                .leases
                .get(&(*render, *slot))
                .is_none_or(|lease| lease.token != *token || lease.expires_at <= self.now),
            Guard::Queued(render, slot) => self.queued.contains(&(*render, *slot)),
            Guard::Room(workspace, max) => self.begun.get(workspace).is_none_or(|begun| begun < max),
        };
        match guards.iter().find(|guard| !holds(guard)) {
            Some(guard) => Err(AppendError::GuardFailed(guard.clone())),
            None => Ok(()),
        }
    }

    /// The keys that the rows take.
    fn check_idempotency(&self, rows: &[SideRow]) -> Result<HashSet<IdempotencyScope>, AppendError> {
        let mut scopes = HashSet::new();
        for row in rows {
            if let SideRow::PutIdempotency { scope, .. } = row
                && (self.taken.contains(scope) || !scopes.insert(scope.clone()))
            {
                return Err(AppendError::IdempotencyKeyTaken);
            }
        }
        Ok(scopes)
    }

    /// The streams' versions after this append. A stream that appears twice continues its own first half.
    fn check_versions(
        &self,
        parts: &[StreamAppend],
    ) -> Result<HashMap<StreamId, StreamVersion>, AppendError> {
        let mut versions: HashMap<StreamId, StreamVersion> = HashMap::with_capacity(parts.len());
        for part in parts {
            let actual = versions.get(&part.stream).or_else(|| self.versions.get(&part.stream));
            let actual = actual.copied().unwrap_or_default();
            if actual != part.expected {
                return Err(AppendError::Conflict {
                    stream: part.stream.clone(),
                    expected: part.expected,
                    actual,
                });
            }
            versions.insert(part.stream.clone(), StreamVersion(actual.0 + part.events.len() as u64));
        }
        Ok(versions)
    }

    /// What a side row means for the guards of later appends.
    fn note(&mut self, row: &SideRow) {
        match row {
            SideRow::PutLease(key, ttl_ms) => {
                let lease = LeaseEnd { token: key.token, expires_at: lease_end(self.now, *ttl_ms) };
                self.leases.insert((key.render, key.slot), lease);
            }
            SideRow::DeleteLease(render, slot) => {
                self.leases.remove(&(*render, *slot));
            }
            SideRow::Enqueue(row) => {
                self.queued.insert((row.render, row.slot));
            }
            SideRow::Dequeue(render, slot) => {
                self.queued.remove(&(*render, *slot));
            }
            // Whose render closes is not told: a place that becomes free here counts from the next batch on.
            SideRow::ClearRender(render) | SideRow::CloseRender(render) => {
                self.leases.retain(|(of, _), _| of != render);
                self.queued.retain(|(of, _)| of != render);
            }
            SideRow::BeginRender(_, workspace) => *self.begun.entry(*workspace).or_default() += 1,
            SideRow::OpenRender { .. }
            | SideRow::PutArtifact(_)
            | SideRow::DeleteArtifact(_)
            | SideRow::SetConcurrency(..)
            | SideRow::PutDocument { .. }
            | SideRow::PutIdempotency { .. }
            | SideRow::PutApiKey(_)
            | SideRow::DeleteApiKey(_)
            | SideRow::PutWorkspace(_)
            | SideRow::PutSecret { .. } => {}
        }
    }

    fn record(&mut self, part: &StreamAppend) -> Vec<Recorded> {
        let recorded_at = self.now.max(self.last_recorded_at);
        let mut records = Vec::with_capacity(part.events.len());
        for (version, new) in (part.expected.0 + 1..).zip(&part.events) {
            let mut recorded = Recorded {
                event_id: new.event_id,
                stream_id: part.stream.clone(),
                stream_version: StreamVersion(version),
                position: Position(self.head.position.0 + 1),
                event: new.event.clone(),
                workspace_id: new.workspace_id,
                correlation_id: new.correlation_id.clone(),
                causation_id: new.causation_id,
                actor: new.actor.clone(),
                traceparent: new.traceparent.clone(),
                recorded_at,
                hash: Sha256([0; 32]),
            };
            recorded.hash = chain::link(self.head.hash, &recorded);
            self.head = Head { position: recorded.position, hash: recorded.hash };
            self.last_recorded_at = recorded_at;
            records.push(recorded);
        }
        records
    }
}

/// When something that starts now and lasts `duration_ms` ends.
pub(crate) fn lease_end(now: Timestamp, duration_ms: u64) -> Timestamp {
    now.plus_ms(i64::try_from(duration_ms).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests;
