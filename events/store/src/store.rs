//! The port of the event log: what every adapter promises, in the domain's words.
//!
//! Promises: positions are gapless and in commit order; one [`Append`] is one transaction with its side rows
//! and guards; stored events never change. Must not know: what events mean.

use async_trait::async_trait;
use events::{
    KeyId, NewEvent, Position, Recorded, RenderId, Sha256, Slot, StreamId, StreamVersion, Timestamp, Token,
    WorkspaceId,
};
use thiserror::Error;
use tokio::sync::watch;

/// The log and the command side's own tables.
#[async_trait]
pub trait EventStore: Send + Sync + std::fmt::Debug {
    /// All events of a stream, oldest first; empty where there is none.
    async fn load(&self, stream: &StreamId) -> Result<Vec<Recorded>, StoreError>;

    /// Events of a stream after `after`, oldest first, at most `limit`.
    async fn load_after(
        &self,
        stream: &StreamId,
        after: StreamVersion,
        limit: u32,
    ) -> Result<Vec<Recorded>, StoreError>;

    /// Appends everything in one transaction, or nothing. Returns the new events, in order.
    async fn append(&self, append: Append) -> Result<Vec<Recorded>, AppendError>;

    /// Events with `position > checkpoint`, in order, at most `limit`. The first one is `checkpoint + 1` or
    /// there is none.
    async fn read_after(&self, checkpoint: Position, limit: u32) -> Result<Vec<Recorded>, StoreError>;

    /// A workspace's events with `position > after`, in order, at most `limit`. Unlike [`EventStore::read_after`]'s
    /// they have gaps, where other workspaces' events lie.
    async fn read_workspace_after(
        &self,
        workspace: WorkspaceId,
        after: Position,
        limit: u32,
    ) -> Result<Vec<Recorded>, StoreError>;

    /// The last position and its hash; position 0 and 32 zero bytes for the empty log.
    async fn head(&self) -> Result<Head, StoreError>;

    /// Signals every committed batch with the new head position. A signal is a hint: readers also poll.
    fn committed(&self) -> watch::Receiver<Position>;

    /// Moves the end of live leases to now + ttl, by the store's clock. Returns those among `leases` that
    /// were still live and are extended; the others are gone.
    async fn extend_leases(&self, leases: &[LeaseKey]) -> Result<Vec<LeaseKey>, StoreError>;

    /// Lease rows whose end has passed, by the store's clock, oldest first.
    async fn expired_leases(&self, limit: u32) -> Result<Vec<LeaseRow>, StoreError>;

    /// Ends every lease at once: an embedded service that starts knows that none of its workers lives.
    async fn expire_all_leases(&self) -> Result<(), StoreError>;

    /// Work-queue rows that are due (by the store's clock), at most `limit`: priority first; then the workspaces
    /// take turns, each with what belongs to begun renders before what begins one, the oldest render first. Of
    /// one workspace there are at most `per_workspace` rows of begun renders, and as many that begin one.
    async fn due_work(&self, limit: u32, per_workspace: u32) -> Result<Vec<QueueRow>, StoreError>;

    /// How many renders are to be begun before this one (0: it is next); `None` where it does not wait to be.
    async fn queue_position(&self, render: RenderId) -> Result<Option<u64>, StoreError>;

    /// Every render that waits to be begun, in the order of [`EventStore::queue_position`].
    async fn waiting(&self) -> Result<Vec<RenderId>, StoreError>;

    /// How much is in work, of each workspace that has anything in work or a concurrency of its own.
    async fn loads(&self) -> Result<Vec<WorkspaceLoad>, StoreError>;

    /// What waits and what is in work, in numbers.
    async fn census(&self) -> Result<Census, StoreError>;

    /// Living renders whose deadline has passed, by the store's clock, the longest overdue first.
    async fn overdue_renders(&self, limit: u32) -> Result<Vec<RenderId>, StoreError>;

    /// Renders whose artifact is kept and was finished at or before `instant`, the oldest first.
    async fn artifacts_finished_by(
        &self,
        instant: Timestamp,
        limit: u32,
    ) -> Result<Vec<RenderId>, StoreError>;

    /// The bytes of a document.
    async fn document(&self, workspace: WorkspaceId, sha256: Sha256) -> Result<Option<Vec<u8>>, StoreError>;

    /// What was recorded under an idempotency key and has not lapsed (by the store's clock).
    async fn idempotent(&self, scope: &IdempotencyScope) -> Result<Option<IdempotencyRow>, StoreError>;

    /// Whose key has this digest; `None` where no such key opens anything.
    async fn api_key(&self, key_sha256: Sha256) -> Result<Option<ApiKeyRow>, StoreError>;

    /// Every workspace that has been created, oldest first.
    async fn workspaces(&self) -> Result<Vec<WorkspaceId>, StoreError>;

    /// A sealed secret of a workspace.
    async fn secret(&self, workspace: WorkspaceId, name: &str) -> Result<Option<Vec<u8>>, StoreError>;

    /// Takes or keeps a duty that one node at a time should have, for `ttl_ms` from now by the store's clock; `false`:
    /// another node has it. `node` names a process.
    async fn take_duty(&self, duty: &str, node: &str, ttl_ms: u64) -> Result<bool, StoreError>;

    /// Gives a duty back, where `node` has it.
    async fn leave_duty(&self, duty: &str, node: &str) -> Result<(), StoreError>;

    /// A worker with this engine lives: all nodes know from now on.
    async fn hear_engine(&self, engine: &str) -> Result<(), StoreError>;

    /// When any node has last heard of a worker with this engine, by the store's clock; `None`: not in the last day.
    async fn engine_heard_at(&self, engine: &str) -> Result<Option<Timestamp>, StoreError>;

    /// The store's clock.
    async fn now(&self) -> Result<Timestamp, StoreError>;
}

/// One transaction: events on one or more streams, the side rows that belong to them, and what must hold for
/// it.
#[derive(Debug, Clone, Default)]
pub struct Append {
    /// Events by stream.
    pub streams: Vec<StreamAppend>,
    /// Typed changes of the command side's tables.
    pub rows: Vec<SideRow>,
    /// Conditions checked inside the transaction.
    pub guards: Vec<Guard>,
}

/// New events of one stream.
#[derive(Debug, Clone)]
pub struct StreamAppend {
    /// Which stream.
    pub stream: StreamId,
    /// Its version must be this.
    pub expected: StreamVersion,
    /// In order; the first becomes `expected + 1`.
    pub events: Vec<NewEvent>,
}

/// A change of the command side's tables, in the same transaction as the events.
#[derive(Debug, Clone, PartialEq)]
pub enum SideRow {
    /// Keeps a document's (sealed) bytes; the same digest in the same workspace again changes nothing.
    PutDocument {
        /// Whose.
        workspace: WorkspaceId,
        /// Digest of the plain bytes.
        sha256: Sha256,
        /// As sealed by the vault.
        bytes: Vec<u8>,
    },
    /// Records what an idempotency key was used for. Where the key holds a live row already the append fails
    /// with [`AppendError::IdempotencyKeyTaken`].
    PutIdempotency {
        /// Which key.
        scope: IdempotencyScope,
        /// What it was used for.
        row: IdempotencyRow,
        /// How long it is kept.
        keep_ms: u64,
    },
    /// A lease begins (replaces the slot's older row): it ends at now + ttl.
    PutLease(LeaseKey, u64),
    /// A slot's lease is over, whatever its token.
    DeleteLease(RenderId, Slot),
    /// A slot becomes claimable; one that waits already takes the new values and keeps its turn.
    Enqueue(NewQueueRow),
    /// A slot is claimed or void.
    Dequeue(RenderId, Slot),
    /// Everything of a render leaves queue and leases: what it was to do is void.
    ClearRender(RenderId),
    /// A render lives.
    OpenRender {
        /// Which.
        render: RenderId,
        /// Whose.
        workspace: WorkspaceId,
        /// When it is of no use any more.
        deadline: Option<Timestamp>,
    },
    /// A worker is at a render for the first time.
    BeginRender(RenderId, WorkspaceId),
    /// A render is over: nothing of it is left in queue and leases.
    CloseRender(RenderId),
    /// A render's artifact is kept from now on.
    PutArtifact(RenderId),
    /// A render's artifact has been deleted.
    DeleteArtifact(RenderId),
    /// A key opens its workspace.
    PutApiKey(ApiKeyRow),
    /// A key opens nothing any more.
    DeleteApiKey(Sha256),
    /// A workspace exists.
    PutWorkspace(WorkspaceId),
    /// How many renders of a workspace may be in work at once; `None`: as many as the installation's setting says.
    SetConcurrency(WorkspaceId, Option<u32>),
    /// Keeps a sealed secret (replaces an older one of that name).
    PutSecret {
        /// Whose.
        workspace: WorkspaceId,
        /// `document_key`, `webhook_secret`.
        name: String,
        /// As sealed by the vault.
        bytes: Vec<u8>,
    },
}

/// A key that opens a workspace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ApiKeyRow {
    /// SHA-256 of the whole key.
    pub key_sha256: Sha256,
    /// Its name in the API.
    pub key_id: KeyId,
    /// What it opens.
    pub workspace: WorkspaceId,
}

/// A condition checked inside the transaction, by the store's clock.
#[derive(Debug, Clone, PartialEq)]
pub enum Guard {
    /// The slot has no lease row, one of another token, or one whose end has passed.
    LeaseExpired(LeaseKey),
    /// The slot's queue row exists (it has not been claimed by someone else).
    Queued(RenderId, Slot),
    /// Fewer renders of the workspace are in work than this many.
    Room(WorkspaceId, u32),
}

/// A lease, by render, slot and token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct LeaseKey {
    /// The job.
    pub render: RenderId,
    /// The piece.
    pub slot: Slot,
    /// The fencing token.
    pub token: Token,
}

/// A stored lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LeaseRow {
    /// Which.
    pub key: LeaseKey,
    /// How long a heartbeat lasts.
    pub ttl_ms: u64,
    /// When it ends.
    pub expires_at: Timestamp,
}

/// A slot about to be claimable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewQueueRow {
    /// The job.
    pub render: RenderId,
    /// The piece.
    pub slot: Slot,
    /// Whose.
    pub workspace: WorkspaceId,
    /// −100…100, higher first.
    pub priority: i32,
    /// Only an engine with this fingerprint may do it; `None`: any.
    pub fingerprint: Option<String>,
    /// Not before this instant.
    pub not_before: Option<Timestamp>,
    /// Whether a worker has been at the render before: such work goes before work that begins one.
    pub begun: bool,
}

/// A claimable slot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueueRow {
    /// As it was put.
    pub row: NewQueueRow,
    /// When.
    pub enqueued_at: Timestamp,
}

/// What a workspace has in work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WorkspaceLoad {
    /// Which.
    pub workspace: WorkspaceId,
    /// Renders that have been begun and are not over.
    pub begun: u32,
    /// How many it may have, where it has a setting of its own.
    pub concurrency: Option<u32>,
}

/// What waits and what is in work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Census {
    /// Renders of which no worker has held a slot yet.
    pub renders_waiting: u64,
    /// Renders begun and not over.
    pub renders_begun: u64,
    /// Slots that wait for a worker, of begun renders and others.
    pub slots_waiting: u64,
    /// When the slot was put that waits longest.
    pub oldest_waiting: Option<Timestamp>,
    /// Slots that workers hold.
    pub leases: u64,
}

/// An idempotency key's scope: workspace, path and the key's digest.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct IdempotencyScope {
    /// Whose.
    pub workspace: WorkspaceId,
    /// `/v1/renders`.
    pub path: String,
    /// SHA-256 of the key.
    pub key_sha256: Sha256,
}

/// What an idempotency key was used for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdempotencyRow {
    /// Digest of the canonical body.
    pub body_sha256: Sha256,
    /// What was made.
    pub stream: StreamId,
}

/// The log's end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// The last position; 0: empty.
    pub position: Position,
    /// Its hash; genesis is 32 zero bytes.
    pub hash: Sha256,
}

/// The store could not answer.
#[derive(Debug, Error)]
pub enum StoreError {
    /// The database failed.
    #[error("could not use the event store: {doing}")]
    Database {
        /// What was being done.
        doing: &'static str,
        /// The driver's error.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// There is no space left to write in; what was stored before is whole.
    #[error("could not write to the event store: no space is left")]
    Full {
        /// The driver's error.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// What is stored is not what was written.
    #[error("could not read the log at position {}: {what}", position.0)]
    Corrupt {
        /// Where.
        position: Position,
        /// What is wrong.
        what: String,
    },
    /// The store is shutting down or its queue is full beyond patience.
    #[error("could not reach the event store's writer: it has stopped")]
    Stopped,
}

/// An append that did not happen.
#[derive(Debug, Error)]
pub enum AppendError {
    /// A stream is at another version. Never an answer to a client: load, decide again.
    #[error("could not append to {stream}: expected version {}, found {}", expected.0, actual.0)]
    Conflict {
        /// Which stream.
        stream: StreamId,
        /// What was expected.
        expected: StreamVersion,
        /// What it is.
        actual: StreamVersion,
    },
    /// The idempotency key holds a live row: look it up and answer from it.
    #[error("could not append: the idempotency key is taken")]
    IdempotencyKeyTaken,
    /// A guard did not hold.
    #[error("could not append: a condition no longer holds: {0:?}")]
    GuardFailed(Guard),
    /// The store failed.
    #[error("could not append")]
    Store(#[from] StoreError),
}
