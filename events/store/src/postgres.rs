//! The event store in a PostgreSQL database, for any number of nodes.
//!
//! One connection of each node writes, owned by its sequencer; all of them take the same row's lock before they append,
//! so the log has one order. A few other connections read. Commits are told to other nodes with `NOTIFY`, which is a
//! hint: readers also look by themselves. Over a pooler ([`Route::Pooler`]) every statement is part of a transaction
//! and nothing rests on the session.

use std::ops::{Deref, DerefMut};

use async_trait::async_trait;
use events::{Position, Recorded, RenderId, Sha256, StreamId, StreamVersion, Timestamp, WorkspaceId};
use sqlx::pool::PoolConnection;
use sqlx::{PgConnection, PgPool, Postgres, Transaction};
use tokio::sync::watch;
use tokio::task::AbortHandle;

use crate::sequencer::Sequencer;
use crate::store::{
    ApiKeyRow, Append, AppendError, Census, EventStore, Head, IdempotencyRow, IdempotencyScope, LeaseKey,
    LeaseRow, QueueRow, StoreError, WorkspaceLoad,
};
use crate::subscription::check_contiguous;
use ledger::PostgresLedger;
use record::{columns, stored};

mod clock;
mod ledger;
mod listener;
mod nodes;
mod open;
mod prompt;
mod queue;
mod record;
mod rows;
mod tables;
mod transfer;

pub use open::{OpenPostgresError, PostgresOptions, PostgresSchema, Route};

/// A log in a PostgreSQL database.
#[derive(Debug)]
pub struct PostgresStore {
    readers: PgPool,
    route: Route,
    sequencer: Sequencer,
    listening: Option<AbortHandle>,
}

impl PostgresStore {
    /// Opens the database, which must exist, and brings its schema up to date. Needs a tokio runtime.
    ///
    /// # Errors
    /// See [`OpenPostgresError`].
    pub async fn open(options: PostgresOptions) -> Result<PostgresStore, OpenPostgresError> {
        let mut writer = open::writer(&options).await?;
        let head = open::head(&mut writer, &options).await?;
        let signal = watch::Sender::new(head);
        let (readers, route) = (options.readers(), options.route());
        let listening = (route == Route::Direct)
            .then(|| tokio::spawn(listener::listen(options.clone(), signal.clone())).abort_handle());
        let sequencer = Sequencer::start(PostgresLedger::new(options, writer), signal);
        Ok(PostgresStore { readers, route, sequencer, listening })
    }

    async fn reader(&self) -> Result<Reader, sqlx::Error> {
        Ok(match self.route {
            Route::Direct => Reader::Session(self.readers.acquire().await?),
            // The transaction keeps the statement and its execution together.
            Route::Pooler => Reader::Transaction(self.readers.begin().await?),
        })
    }

    async fn read<T>(
        &self,
        doing: &'static str,
        work: impl AsyncFnOnce(&mut Reader) -> Result<T, sqlx::Error>,
    ) -> Result<T, StoreError> {
        let mut reader = self.reader().await.map_err(failed(doing))?;
        work(&mut reader).await.map_err(failed(doing))
    }

    /// The same for what is written beside the log's own order.
    async fn change<T>(
        &self,
        doing: &'static str,
        work: impl AsyncFnOnce(&mut Reader) -> Result<T, sqlx::Error>,
    ) -> Result<T, StoreError> {
        let mut writer = self.reader().await.map_err(failed(doing))?;
        let done = work(&mut writer).await.map_err(failed(doing))?;
        if let Reader::Transaction(transaction) = writer {
            transaction.commit().await.map_err(failed(doing))?;
        }
        Ok(done)
    }

    async fn events(
        &self,
        query: record::Query<'_>,
        doing: &'static str,
    ) -> Result<Vec<Recorded>, StoreError> {
        let mut reader = self.reader().await.map_err(failed(doing))?;
        let query = query.persistent(reader.named());
        record::fetch(&mut reader, query, doing).await
    }
}

impl Drop for PostgresStore {
    fn drop(&mut self) {
        if let Some(listening) = &self.listening {
            listening.abort();
        }
    }
}

/// A connection to read with, given back when it is dropped.
enum Reader {
    Session(PoolConnection<Postgres>),
    Transaction(Transaction<'static, Postgres>),
}

impl Reader {
    /// Whether statements may have names: one of a name stays with its session.
    fn named(&self) -> bool {
        matches!(self, Reader::Session(_))
    }
}

impl Deref for Reader {
    type Target = PgConnection;

    fn deref(&self) -> &PgConnection {
        match self {
            Reader::Session(connection) => connection,
            Reader::Transaction(transaction) => transaction,
        }
    }
}

impl DerefMut for Reader {
    fn deref_mut(&mut self) -> &mut PgConnection {
        match self {
            Reader::Session(connection) => connection,
            Reader::Transaction(transaction) => transaction,
        }
    }
}

/// The server's code for a disk that is full.
const DISK_FULL: &str = "53100";

/// The server's codes for a named statement that its session does not know, or has already.
const STRANGE_STATEMENT: [&str; 2] = ["26000", "42P05"];

/// Another session answers than the one that was asked before: the address is a pooler's, and nobody said so.
#[derive(Debug, thiserror::Error)]
#[error("a transaction-pooling proxy lies between this node and the database: say so with --database-pooler")]
struct UnexpectedPooler(#[source] sqlx::Error);

/// What a driver's error becomes.
fn failed(doing: &'static str) -> impl FnOnce(sqlx::Error) -> StoreError {
    move |error| {
        let code = error.as_database_error().and_then(sqlx::error::DatabaseError::code);
        match code.as_deref() {
            Some(DISK_FULL) => StoreError::Full { source: Box::new(error) },
            Some(code) if STRANGE_STATEMENT.contains(&code) => {
                StoreError::Database { doing, source: Box::new(UnexpectedPooler(error)) }
            }
            _ => StoreError::Database { doing, source: Box::new(error) },
        }
    }
}

#[async_trait]
impl EventStore for PostgresStore {
    async fn load(&self, stream: &StreamId) -> Result<Vec<Recorded>, StoreError> {
        self.load_after(stream, StreamVersion(0), u32::MAX).await
    }

    async fn load_after(
        &self,
        stream: &StreamId,
        after: StreamVersion,
        limit: u32,
    ) -> Result<Vec<Recorded>, StoreError> {
        let query = sqlx::query(concat!(
            "SELECT ",
            columns!(),
            " FROM events WHERE stream_id = $1 AND stream_version > $2 ORDER BY stream_version LIMIT $3"
        ))
        .bind(stream.as_str())
        .bind(stored(after.0))
        .bind(i64::from(limit));
        self.events(query, "loading a stream").await
    }

    async fn append(&self, append: Append) -> Result<Vec<Recorded>, AppendError> {
        self.sequencer.append(append).await
    }

    async fn read_after(&self, checkpoint: Position, limit: u32) -> Result<Vec<Recorded>, StoreError> {
        let query = sqlx::query(concat!(
            "SELECT ",
            columns!(),
            " FROM events WHERE position > $1 ORDER BY position LIMIT $2"
        ))
        .bind(stored(checkpoint.0))
        .bind(i64::from(limit));
        let page = self.events(query, "reading a page").await?;
        check_contiguous(checkpoint, &page)?;
        Ok(page)
    }

    async fn read_workspace_after(
        &self,
        workspace: WorkspaceId,
        after: Position,
        limit: u32,
    ) -> Result<Vec<Recorded>, StoreError> {
        let query = sqlx::query(concat!(
            "SELECT ",
            columns!(),
            " FROM events WHERE workspace_id = $1 AND position > $2 ORDER BY position LIMIT $3"
        ))
        .bind(workspace.to_string())
        .bind(stored(after.0))
        .bind(i64::from(limit));
        self.events(query, "reading a workspace's events").await
    }

    async fn head(&self) -> Result<Head, StoreError> {
        self.read("reading its head", tables::head).await
    }

    fn committed(&self) -> watch::Receiver<Position> {
        self.sequencer.committed()
    }

    async fn extend_leases(&self, leases: &[LeaseKey]) -> Result<Vec<LeaseKey>, StoreError> {
        self.sequencer.extend(leases).await
    }

    async fn expired_leases(&self, limit: u32) -> Result<Vec<LeaseRow>, StoreError> {
        self.read("reading expired leases", async |reader| queue::expired(reader, limit).await).await
    }

    async fn expire_all_leases(&self) -> Result<(), StoreError> {
        self.sequencer.expire_all().await
    }

    async fn due_work(&self, limit: u32, per_workspace: u32) -> Result<Vec<QueueRow>, StoreError> {
        let due = async |reader: &mut Reader| queue::due_work(reader, limit, per_workspace).await;
        self.read("reading the work queue", due).await
    }

    async fn queue_position(&self, render: RenderId) -> Result<Option<u64>, StoreError> {
        self.read("reading a place in the queue", async |reader| queue::position(reader, render).await).await
    }

    async fn waiting(&self) -> Result<Vec<RenderId>, StoreError> {
        self.read("reading the queue", queue::waiting).await
    }

    async fn loads(&self) -> Result<Vec<WorkspaceLoad>, StoreError> {
        self.read("reading the load", queue::loads).await
    }

    async fn census(&self) -> Result<Census, StoreError> {
        self.read("counting what waits", queue::census).await
    }

    async fn overdue_renders(&self, limit: u32) -> Result<Vec<RenderId>, StoreError> {
        self.read("reading deadlines", async |reader| queue::overdue(reader, limit).await).await
    }

    async fn artifacts_finished_by(
        &self,
        instant: Timestamp,
        limit: u32,
    ) -> Result<Vec<RenderId>, StoreError> {
        let finished = async |reader: &mut Reader| queue::finished_by(reader, instant, limit).await;
        self.read("reading kept artifacts", finished).await
    }

    async fn document(&self, workspace: WorkspaceId, sha256: Sha256) -> Result<Option<Vec<u8>>, StoreError> {
        self.read("reading a document", async |reader| tables::document(reader, workspace, sha256).await)
            .await
    }

    async fn idempotent(&self, scope: &IdempotencyScope) -> Result<Option<IdempotencyRow>, StoreError> {
        self.read("reading an idempotency key", async |reader| tables::idempotent(reader, scope).await).await
    }

    async fn api_key(&self, key_sha256: Sha256) -> Result<Option<ApiKeyRow>, StoreError> {
        self.read("reading an API key", async |reader| tables::api_key(reader, key_sha256).await).await
    }

    async fn workspaces(&self) -> Result<Vec<WorkspaceId>, StoreError> {
        self.read("reading the workspaces", tables::workspaces).await
    }

    async fn secret(&self, workspace: WorkspaceId, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
        self.read("reading a secret", async |reader| tables::secret(reader, workspace, name).await).await
    }

    async fn take_duty(&self, duty: &str, node: &str, ttl_ms: u64) -> Result<bool, StoreError> {
        let take = async |writer: &mut Reader| nodes::take_duty(writer, duty, node, ttl_ms).await;
        self.change("taking a duty", take).await
    }

    async fn leave_duty(&self, duty: &str, node: &str) -> Result<(), StoreError> {
        self.change("giving a duty back", async |writer| nodes::leave_duty(writer, duty, node).await).await
    }

    async fn hear_engine(&self, engine: &str) -> Result<(), StoreError> {
        self.change("noting an engine", async |writer| nodes::hear_engine(writer, engine).await).await
    }

    async fn engine_heard_at(&self, engine: &str) -> Result<Option<Timestamp>, StoreError> {
        self.read("looking for an engine", async |reader| nodes::engine_heard_at(reader, engine).await).await
    }

    async fn now(&self) -> Result<Timestamp, StoreError> {
        self.read("reading its clock", tables::now).await
    }
}
