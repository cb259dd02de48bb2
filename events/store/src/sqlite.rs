//! The event store in one SQLite file.
//!
//! One connection writes, owned by the sequencer; a few others read, each in a snapshot of what is committed.
//! Several processes may share the file: the sequencer's transactions take SQLite's write lock first and read
//! the log's end under it. Every answered append is on the disk (`synchronous = FULL`).

use std::path::Path;

use async_trait::async_trait;
use events::{Position, Recorded, RenderId, Sha256, StreamId, StreamVersion, Timestamp, WorkspaceId};
use sqlx::{Row as _, SqlitePool};
use tokio::sync::watch;

use crate::chain;
use crate::sequencer::Sequencer;
use crate::store::{
    ApiKeyRow, Append, AppendError, EventStore, Head, IdempotencyRow, IdempotencyScope, LeaseKey, LeaseRow,
    QueueRow, StoreError,
};
use crate::subscription::check_contiguous;
use clock::NOW;
use ledger::SqliteLedger;
use queue::parsed;
use record::{envelope, stored};

mod clock;
mod ledger;
mod open;
mod queue;
mod record;
mod rows;

pub use open::OpenError;

/// A log in a SQLite file.
#[derive(Debug)]
pub struct SqliteStore {
    readers: SqlitePool,
    sequencer: Sequencer,
}

impl SqliteStore {
    /// Opens the file, creating it where it is missing (its folder must exist), and brings its schema up to
    /// date. Needs a tokio runtime. The file is closed when the store is dropped.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub async fn open(path: &Path) -> Result<SqliteStore, OpenError> {
        let writer = open::writer(path).await?;
        let readers = open::readers(path).await?;
        let head = read_head(&readers).await.map_err(|source| OpenError::Database {
            path: path.to_owned(),
            doing: "reading its head",
            source,
        })?;
        let sequencer = Sequencer::start(SqliteLedger::new(writer), head.position);
        Ok(SqliteStore { readers, sequencer })
    }
}

/// What a driver's error becomes.
fn failed(doing: &'static str) -> impl FnOnce(sqlx::Error) -> StoreError {
    move |source| StoreError::Database { doing, source: Box::new(source) }
}

async fn read_head(pool: &SqlitePool) -> Result<Head, sqlx::Error> {
    let last: Option<(i64, Vec<u8>)> =
        sqlx::query_as("SELECT position, hash FROM events ORDER BY position DESC LIMIT 1")
            .fetch_optional(pool)
            .await?;
    Ok(match last {
        Some((position, hash)) => Head {
            position: Position(position.cast_unsigned()),
            hash: Sha256(
                hash.try_into().map_err(|_length| sqlx::Error::Decode("a hash has 32 bytes".into()))?,
            ),
        },
        None => Head { position: Position(0), hash: chain::GENESIS },
    })
}

#[async_trait]
impl EventStore for SqliteStore {
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
            envelope!(),
            " FROM events WHERE stream_id = ? AND stream_version > ? ORDER BY stream_version LIMIT ?"
        ))
        .bind(stream.as_str())
        .bind(stored(after.0))
        .bind(limit);
        record::fetch(&self.readers, query, "loading a stream").await
    }

    async fn append(&self, append: Append) -> Result<Vec<Recorded>, AppendError> {
        self.sequencer.append(append).await
    }

    async fn read_after(&self, checkpoint: Position, limit: u32) -> Result<Vec<Recorded>, StoreError> {
        let query = sqlx::query(concat!(
            "SELECT ",
            envelope!(),
            " FROM events WHERE position > ? ORDER BY position LIMIT ?"
        ))
        .bind(stored(checkpoint.0))
        .bind(limit);
        let page = record::fetch(&self.readers, query, "reading a page").await?;
        check_contiguous(checkpoint, &page)?;
        Ok(page)
    }

    async fn head(&self) -> Result<Head, StoreError> {
        read_head(&self.readers).await.map_err(failed("reading its head"))
    }

    fn committed(&self) -> watch::Receiver<Position> {
        self.sequencer.committed()
    }

    async fn extend_leases(&self, leases: &[LeaseKey]) -> Result<Vec<LeaseKey>, StoreError> {
        self.sequencer.extend(leases).await
    }

    async fn expired_leases(&self, limit: u32) -> Result<Vec<LeaseRow>, StoreError> {
        queue::expired(&self.readers, limit).await.map_err(failed("reading expired leases"))
    }

    async fn expire_all_leases(&self) -> Result<(), StoreError> {
        self.sequencer.expire_all().await
    }

    async fn due_work(&self, limit: u32, per_workspace: u32) -> Result<Vec<QueueRow>, StoreError> {
        queue::due_work(&self.readers, limit, per_workspace).await.map_err(failed("reading the work queue"))
    }

    async fn queue_position(&self, render: RenderId) -> Result<Option<u64>, StoreError> {
        queue::position(&self.readers, render).await.map_err(failed("reading a place in the queue"))
    }

    async fn document(&self, workspace: WorkspaceId, sha256: Sha256) -> Result<Option<Vec<u8>>, StoreError> {
        sqlx::query_scalar("SELECT bytes FROM documents WHERE workspace_id = ? AND sha256 = ?")
            .bind(workspace.to_string())
            .bind(sha256.0.to_vec())
            .fetch_optional(&self.readers)
            .await
            .map_err(failed("reading a document"))
    }

    async fn idempotent(&self, scope: &IdempotencyScope) -> Result<Option<IdempotencyRow>, StoreError> {
        let found: Option<(Vec<u8>, String)> = sqlx::query_as(concat!(
            "SELECT body_sha256, stream_id FROM idempotency \
             WHERE workspace_id = ? AND path = ? AND key_sha256 = ? AND expires_at > ",
            NOW!()
        ))
        .bind(scope.workspace.to_string())
        .bind(scope.path.as_str())
        .bind(scope.key_sha256.0.to_vec())
        .fetch_optional(&self.readers)
        .await
        .map_err(failed("reading an idempotency key"))?;
        // The table's CHECK holds digests to 32 bytes.
        Ok(found.and_then(|(body, stream)| {
            Some(IdempotencyRow {
                body_sha256: Sha256(body.try_into().ok()?),
                stream: StreamId::from_stored(stream),
            })
        }))
    }

    async fn api_key(&self, key_sha256: Sha256) -> Result<Option<ApiKeyRow>, StoreError> {
        let read = async {
            let found = sqlx::query("SELECT key_id, workspace_id FROM api_keys WHERE key_sha256 = ?")
                .bind(key_sha256.0.to_vec())
                .fetch_optional(&self.readers)
                .await?;
            found
                .map(|row| {
                    Ok::<_, sqlx::Error>(ApiKeyRow {
                        key_sha256,
                        key_id: parsed(&row, 0)?,
                        workspace: parsed(&row, 1)?,
                    })
                })
                .transpose()
        };
        read.await.map_err(failed("reading an API key"))
    }

    async fn workspaces(&self) -> Result<Vec<WorkspaceId>, StoreError> {
        let read = async {
            let rows = sqlx::query("SELECT workspace_id FROM workspaces ORDER BY arrival")
                .fetch_all(&self.readers)
                .await?;
            rows.iter().map(|row| parsed(row, 0)).collect::<Result<_, sqlx::Error>>()
        };
        read.await.map_err(failed("reading the workspaces"))
    }

    async fn secret(&self, workspace: WorkspaceId, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
        sqlx::query_scalar("SELECT bytes FROM secrets WHERE workspace_id = ? AND name = ?")
            .bind(workspace.to_string())
            .bind(name.to_owned())
            .fetch_optional(&self.readers)
            .await
            .map_err(failed("reading a secret"))
    }

    async fn now(&self) -> Result<Timestamp, StoreError> {
        let row = sqlx::query(concat!("SELECT ", NOW!()))
            .fetch_one(&self.readers)
            .await
            .map_err(failed("reading its clock"))?;
        row.try_get(0).map(Timestamp).map_err(failed("reading its clock"))
    }
}
