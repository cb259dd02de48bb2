//! The event store in memory: the reference that every other adapter is compared with.
//!
//! One lock, one append at a time, plain maps searched from end to end: right before fast. Nothing outlives
//! the process.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use events::{
    EventId, Position, Recorded, RenderId, Sha256, Slot, StreamId, StreamVersion, Timestamp, WorkspaceId,
};
use tokio::sync::watch;

use crate::chain;
use crate::nodes::LocalNodes;
use crate::sequencer::advance;
use crate::sequencer::batch::{Known, LeaseEnd, lease_end};
use crate::store::{
    ApiKeyRow, Append, AppendError, Census, EventStore, Head, IdempotencyRow, IdempotencyScope, LeaseKey,
    LeaseRow, QueueRow, SideRow, StoreError, WorkspaceLoad,
};

/// A log in memory.
pub struct MemoryStore {
    tables: Mutex<Tables>,
    nodes: LocalNodes,
    clock: Box<dyn Fn() -> Timestamp + Send + Sync>,
    signal: watch::Sender<Position>,
}

impl std::fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MemoryStore").field("head", &self.tables().head()).finish_non_exhaustive()
    }
}

#[derive(Debug, Default)]
struct Tables {
    events: Vec<Recorded>,
    event_ids: HashSet<EventId>,
    versions: HashMap<StreamId, StreamVersion>,
    documents: HashMap<(WorkspaceId, Sha256), Vec<u8>>,
    idempotency: HashMap<IdempotencyScope, (IdempotencyRow, Timestamp)>,
    leases: BTreeMap<(RenderId, Slot), LeaseRow>,
    /// In order of arrival.
    queue: Vec<QueueRow>,
    renders: BTreeMap<RenderId, LivingRender>,
    artifacts: BTreeMap<RenderId, Timestamp>,
    api_keys: Vec<ApiKeyRow>,
    workspaces: Vec<WorkspaceId>,
    concurrency: HashMap<WorkspaceId, u32>,
    secrets: HashMap<(WorkspaceId, String), Vec<u8>>,
}

#[derive(Debug)]
struct LivingRender {
    workspace: WorkspaceId,
    deadline: Option<Timestamp>,
    begun: bool,
}

impl Default for MemoryStore {
    fn default() -> MemoryStore {
        MemoryStore::new()
    }
}

impl MemoryStore {
    /// An empty log that lives by the computer's clock.
    #[must_use]
    pub fn new() -> MemoryStore {
        MemoryStore::with_clock(|| {
            let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            Timestamp(i64::try_from(since_1970.as_micros()).unwrap_or(i64::MAX))
        })
    }

    /// An empty log that lives by `clock`.
    #[must_use]
    pub fn with_clock(clock: impl Fn() -> Timestamp + Send + Sync + 'static) -> MemoryStore {
        let (signal, _) = watch::channel(Position(0));
        MemoryStore { tables: Mutex::default(), nodes: LocalNodes::default(), clock: Box::new(clock), signal }
    }

    fn tables(&self) -> MutexGuard<'_, Tables> {
        // A panic while the lock was held can only have come from a bug that already failed its caller.
        self.tables.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Tables {
    fn head(&self) -> Head {
        self.events.last().map_or(Head { position: Position(0), hash: chain::GENESIS }, |last| Head {
            position: last.position,
            hash: last.hash,
        })
    }

    fn append(&mut self, now: Timestamp, append: &Append) -> Result<Vec<Recorded>, AppendError> {
        let last_recorded_at = self.events.last().map_or(Timestamp(i64::MIN), |last| last.recorded_at);
        let mut known = Known::at(now, self.head(), last_recorded_at);
        known.versions.clone_from(&self.versions);
        known.taken = self
            .idempotency
            .keys()
            .filter(|scope| self.live_idempotency(scope, now).is_some())
            .cloned()
            .collect();
        known.leases = self
            .leases
            .iter()
            .map(|(slot, row)| (*slot, LeaseEnd { token: row.key.token, expires_at: row.expires_at }))
            .collect();
        known.queued = self.queue.iter().map(|it| (it.row.render, it.row.slot)).collect();
        known.begun = self.begun();
        let recorded = known.admit(append)?;
        self.check_event_ids(&recorded)?;
        self.versions = known.versions;
        self.event_ids.extend(recorded.iter().map(|event| event.event_id));
        self.events.extend(recorded.iter().cloned());
        for row in &append.rows {
            self.write(now, row);
        }
        Ok(recorded)
    }

    fn check_event_ids(&self, recorded: &[Recorded]) -> Result<(), StoreError> {
        let mut fresh = HashSet::new();
        match recorded.iter().find(|it| self.event_ids.contains(&it.event_id) || !fresh.insert(it.event_id)) {
            Some(event) => Err(StoreError::Database {
                doing: "inserting events",
                source: format!("{} is in the log already", event.event_id).into(),
            }),
            None => Ok(()),
        }
    }

    fn live_idempotency(&self, scope: &IdempotencyScope, now: Timestamp) -> Option<&IdempotencyRow> {
        self.idempotency.get(scope).filter(|(_, expires_at)| *expires_at > now).map(|(row, _)| row)
    }

    fn write(&mut self, now: Timestamp, row: &SideRow) {
        match row.clone() {
            SideRow::PutDocument { workspace, sha256, bytes } => {
                self.documents.entry((workspace, sha256)).or_insert(bytes);
            }
            SideRow::PutIdempotency { scope, row, keep_ms } => {
                self.idempotency.insert(scope, (row, lease_end(now, keep_ms)));
            }
            SideRow::PutLease(key, ttl_ms) => {
                let row = LeaseRow { key, ttl_ms, expires_at: lease_end(now, ttl_ms) };
                self.leases.insert((key.render, key.slot), row);
            }
            SideRow::DeleteLease(render, slot) => {
                self.leases.remove(&(render, slot));
            }
            SideRow::Enqueue(row) => {
                match self.queue.iter_mut().find(|it| (it.row.render, it.row.slot) == (row.render, row.slot))
                {
                    Some(waiting) => waiting.row = row,
                    None => self.queue.push(QueueRow { row, enqueued_at: now }),
                }
            }
            SideRow::Dequeue(render, slot) => {
                self.queue.retain(|it| (it.row.render, it.row.slot) != (render, slot))
            }
            SideRow::ClearRender(render) => self.clear(render),
            SideRow::OpenRender { render, workspace, deadline } => {
                self.renders.insert(render, LivingRender { workspace, deadline, begun: false });
            }
            SideRow::BeginRender(render, _) => {
                if let Some(living) = self.renders.get_mut(&render) {
                    living.begun = true;
                }
            }
            SideRow::CloseRender(render) => {
                self.clear(render);
                self.renders.remove(&render);
            }
            SideRow::PutArtifact(render) => {
                self.artifacts.insert(render, now);
            }
            SideRow::DeleteArtifact(render) => {
                self.artifacts.remove(&render);
            }
            SideRow::PutApiKey(row) => {
                self.api_keys.retain(|it| it.key_sha256 != row.key_sha256);
                self.api_keys.push(row);
            }
            SideRow::DeleteApiKey(sha256) => self.api_keys.retain(|it| it.key_sha256 != sha256),
            SideRow::PutWorkspace(workspace) => {
                if !self.workspaces.contains(&workspace) {
                    self.workspaces.push(workspace);
                }
            }
            SideRow::SetConcurrency(workspace, concurrency) => {
                self.concurrency.remove(&workspace);
                self.concurrency.extend(concurrency.map(|most| (workspace, most)));
            }
            SideRow::PutSecret { workspace, name, bytes } => {
                self.secrets.insert((workspace, name), bytes);
            }
        }
    }

    fn clear(&mut self, render: RenderId) {
        self.leases.retain(|(of, _), _| *of != render);
        self.queue.retain(|it| it.row.render != render);
    }

    fn begun(&self) -> HashMap<WorkspaceId, u32> {
        let mut begun = HashMap::new();
        for living in self.renders.values().filter(|living| living.begun) {
            *begun.entry(living.workspace).or_default() += 1;
        }
        begun
    }

    /// The queue in each workspace's own order of service. The sort is stable: equals stay in order of arrival.
    fn in_turn(&self) -> Vec<&QueueRow> {
        let mut queue: Vec<_> = self.queue.iter().collect();
        queue.sort_by_key(|it| (Reverse(it.row.priority), !it.row.begun, it.row.render));
        queue
    }
}

#[async_trait]
impl EventStore for MemoryStore {
    async fn load(&self, stream: &StreamId) -> Result<Vec<Recorded>, StoreError> {
        self.load_after(stream, StreamVersion(0), u32::MAX).await
    }

    async fn load_after(
        &self,
        stream: &StreamId,
        after: StreamVersion,
        limit: u32,
    ) -> Result<Vec<Recorded>, StoreError> {
        let tables = self.tables();
        let of_stream =
            tables.events.iter().filter(|it| it.stream_id == *stream && it.stream_version > after);
        Ok(of_stream.take(limit as usize).cloned().collect())
    }

    async fn append(&self, append: Append) -> Result<Vec<Recorded>, AppendError> {
        let now = (self.clock)();
        let recorded = self.tables().append(now, &append)?;
        if let Some(last) = recorded.last() {
            advance(&self.signal, last.position);
        }
        Ok(recorded)
    }

    async fn read_after(&self, checkpoint: Position, limit: u32) -> Result<Vec<Recorded>, StoreError> {
        let tables = self.tables();
        let start = usize::try_from(checkpoint.0).unwrap_or(usize::MAX);
        Ok(tables.events.iter().skip(start).take(limit as usize).cloned().collect())
    }

    async fn read_workspace_after(
        &self,
        workspace: WorkspaceId,
        after: Position,
        limit: u32,
    ) -> Result<Vec<Recorded>, StoreError> {
        let tables = self.tables();
        let start = usize::try_from(after.0).unwrap_or(usize::MAX);
        let own = tables.events.iter().skip(start).filter(|event| event.workspace_id == workspace);
        Ok(own.take(limit as usize).cloned().collect())
    }

    async fn head(&self) -> Result<Head, StoreError> {
        Ok(self.tables().head())
    }

    fn committed(&self) -> watch::Receiver<Position> {
        self.signal.subscribe()
    }

    async fn extend_leases(&self, leases: &[LeaseKey]) -> Result<Vec<LeaseKey>, StoreError> {
        let now = (self.clock)();
        let mut tables = self.tables();
        let mut extended = Vec::new();
        for key in leases {
            if let Some(row) = tables.leases.get_mut(&(key.render, key.slot))
                && row.key == *key
                && row.expires_at > now
            {
                row.expires_at = lease_end(now, row.ttl_ms);
                extended.push(*key);
            }
        }
        Ok(extended)
    }

    async fn expired_leases(&self, limit: u32) -> Result<Vec<LeaseRow>, StoreError> {
        let now = (self.clock)();
        let tables = self.tables();
        let mut expired: Vec<_> =
            tables.leases.values().filter(|row| row.expires_at <= now).copied().collect();
        expired.sort_by_key(|row| row.expires_at);
        expired.truncate(limit as usize);
        Ok(expired)
    }

    async fn expire_all_leases(&self) -> Result<(), StoreError> {
        let now = (self.clock)();
        self.tables().leases.values_mut().for_each(|row| row.expires_at = row.expires_at.min(now));
        Ok(())
    }

    async fn due_work(&self, limit: u32, per_workspace: u32) -> Result<Vec<QueueRow>, StoreError> {
        let now = (self.clock)();
        let tables = self.tables();
        let mut taken: HashMap<(WorkspaceId, bool), u32> = HashMap::new();
        let due =
            tables.in_turn().into_iter().filter(|it| it.row.not_before.is_none_or(|instant| instant <= now));
        let few = due.filter(|it| {
            let taken = taken.entry((it.row.workspace, it.row.begun)).or_default();
            *taken += 1;
            *taken <= per_workspace
        });
        let mut turns: HashMap<(WorkspaceId, i32), u32> = HashMap::new();
        let mut fair: Vec<_> = few
            .map(|it| {
                let turn = turns.entry((it.row.workspace, it.row.priority)).or_default();
                *turn += 1;
                (*turn, it)
            })
            .collect();
        fair.sort_by_key(|(turn, it)| (Reverse(it.row.priority), *turn, it.row.render));
        Ok(fair.into_iter().take(limit as usize).map(|(_, it)| it.clone()).collect())
    }

    async fn queue_position(&self, render: RenderId) -> Result<Option<u64>, StoreError> {
        let waiting = self.waiting().await?;
        Ok(waiting.iter().position(|it| *it == render).map(|before| before as u64))
    }

    async fn waiting(&self) -> Result<Vec<RenderId>, StoreError> {
        let tables = self.tables();
        let mut waiting: Vec<_> =
            tables.in_turn().into_iter().filter(|it| !it.row.begun).map(|it| it.row.render).collect();
        waiting.dedup();
        Ok(waiting)
    }

    async fn loads(&self) -> Result<Vec<WorkspaceLoad>, StoreError> {
        let tables = self.tables();
        let begun = tables.begun();
        let known: BTreeSet<_> = begun.keys().chain(tables.concurrency.keys()).copied().collect();
        let loaded = known.into_iter().map(|workspace| WorkspaceLoad {
            workspace,
            begun: begun.get(&workspace).copied().unwrap_or(0),
            concurrency: tables.concurrency.get(&workspace).copied(),
        });
        Ok(loaded.collect())
    }

    async fn census(&self) -> Result<Census, StoreError> {
        let now = (self.clock)();
        let tables = self.tables();
        let begun = tables.renders.values().filter(|living| living.begun).count() as u64;
        Ok(Census {
            renders_waiting: tables.renders.len() as u64 - begun,
            renders_begun: begun,
            slots_waiting: tables.queue.len() as u64,
            oldest_waiting: tables.queue.iter().map(|row| row.enqueued_at).min(),
            leases: tables.leases.values().filter(|lease| lease.expires_at > now).count() as u64,
        })
    }

    async fn overdue_renders(&self, limit: u32) -> Result<Vec<RenderId>, StoreError> {
        let now = (self.clock)();
        let tables = self.tables();
        let mut overdue: Vec<_> = tables
            .renders
            .iter()
            .filter_map(|(render, living)| Some((living.deadline.filter(|at| *at <= now)?, *render)))
            .collect();
        overdue.sort_unstable();
        Ok(overdue.into_iter().take(limit as usize).map(|(_, render)| render).collect())
    }

    async fn artifacts_finished_by(
        &self,
        instant: Timestamp,
        limit: u32,
    ) -> Result<Vec<RenderId>, StoreError> {
        let tables = self.tables();
        let mut kept: Vec<_> =
            tables.artifacts.iter().filter(|(_, at)| **at <= instant).map(|(id, at)| (*at, *id)).collect();
        kept.sort_unstable();
        Ok(kept.into_iter().take(limit as usize).map(|(_, render)| render).collect())
    }

    async fn document(&self, workspace: WorkspaceId, sha256: Sha256) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.tables().documents.get(&(workspace, sha256)).cloned())
    }

    async fn idempotent(&self, scope: &IdempotencyScope) -> Result<Option<IdempotencyRow>, StoreError> {
        let now = (self.clock)();
        Ok(self.tables().live_idempotency(scope, now).cloned())
    }

    async fn api_key(&self, key_sha256: Sha256) -> Result<Option<ApiKeyRow>, StoreError> {
        Ok(self.tables().api_keys.iter().find(|row| row.key_sha256 == key_sha256).copied())
    }

    async fn workspaces(&self) -> Result<Vec<WorkspaceId>, StoreError> {
        Ok(self.tables().workspaces.clone())
    }

    async fn secret(&self, workspace: WorkspaceId, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.tables().secrets.get(&(workspace, name.to_owned())).cloned())
    }

    async fn take_duty(&self, duty: &str, node: &str, ttl_ms: u64) -> Result<bool, StoreError> {
        Ok(self.nodes.take_duty(duty, node, ttl_ms, self.now().await?))
    }

    async fn leave_duty(&self, duty: &str, node: &str) -> Result<(), StoreError> {
        self.nodes.leave_duty(duty, node);
        Ok(())
    }

    async fn hear_engine(&self, engine: &str) -> Result<(), StoreError> {
        self.nodes.hear_engine(engine, self.now().await?);
        Ok(())
    }

    async fn engine_heard_at(&self, engine: &str) -> Result<Option<Timestamp>, StoreError> {
        Ok(self.nodes.engine_heard_at(engine))
    }

    async fn now(&self) -> Result<Timestamp, StoreError> {
        Ok((self.clock)())
    }
}
