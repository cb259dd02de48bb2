//! The event store in one SQLite file.
//!
//! One connection writes, owned by the sequencer; a few others read, each in a snapshot of what is committed.
//! Several processes may share the file: the sequencer's transactions take SQLite's write lock first and read
//! the log's end under it. Every answered append is on the disk (`synchronous = FULL`).

use std::path::{Path, PathBuf};

use async_trait::async_trait;
use events::{Position, Recorded, RenderId, Sha256, StreamId, StreamVersion, Timestamp, WorkspaceId};
use sqlx::sqlite::{SqlitePoolOptions, SqliteSynchronous};
use sqlx::{Row as _, SqliteExecutor, SqlitePool};
use tokio::sync::watch;

use crate::chain;
use crate::nodes::LocalNodes;
use crate::sequencer::Sequencer;
use crate::sqlite_file::{OpenError, READERS, SqliteFile};
use crate::store::{
    ApiKeyRow, Append, AppendError, Census, EventStore, Head, IdempotencyRow, IdempotencyScope, LeaseKey,
    LeaseRow, QueueRow, StoreError, WorkspaceLoad,
};
use crate::subscription::check_contiguous;
use clock::NOW;
use ledger::SqliteLedger;
use queue::parsed;
use record::{envelope, stored};

mod clock;
mod ledger;
mod queue;
mod record;
mod rows;
mod transfer;

const FILE: SqliteFile = SqliteFile {
    what: "the event log",
    thread: "log",
    // FULL makes every commit last through a power cut: NORMAL would lose acknowledged appends.
    synchronous: SqliteSynchronous::Full,
    migrations: &[
        include_str!("sqlite/schema.sql"),
        include_str!("sqlite/schema_2.sql"),
        include_str!("sqlite/schema_3.sql"),
    ],
};

/// A log in a SQLite file.
#[derive(Debug)]
pub struct SqliteStore {
    path: PathBuf,
    readers: SqlitePool,
    sequencer: Sequencer,
    /// One service works on a file, so all its nodes are in this process.
    nodes: LocalNodes,
}

impl SqliteStore {
    /// Opens the file, creating it where it is missing (its folder must exist), and brings its schema up to
    /// date. Needs a tokio runtime. The file is closed when the store is dropped.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub async fn open(path: &Path) -> Result<SqliteStore, OpenError> {
        let writer = FILE.open(path).await?;
        let readers = connect_readers(path).await?;
        let head = read_head(&readers).await.map_err(FILE.failed(path, "reading its head"))?;
        let sequencer = Sequencer::start(SqliteLedger::new(writer), watch::Sender::new(head.position));
        Ok(SqliteStore { path: path.to_owned(), readers, sequencer, nodes: LocalNodes::default() })
    }
}

async fn connect_readers(path: &Path) -> Result<SqlitePool, OpenError> {
    let connected = SqlitePoolOptions::new().max_connections(READERS).connect_with(FILE.reader(path)).await;
    connected.map_err(FILE.failed(path, "connecting readers"))
}

/// SQLite's result code for a file that could not grow.
const SQLITE_FULL: &str = "13";

/// What a driver's error becomes.
fn failed(doing: &'static str) -> impl FnOnce(sqlx::Error) -> StoreError {
    move |error| {
        let code = error.as_database_error().and_then(|error| error.code());
        let is_full = code.is_some_and(|code| code == SQLITE_FULL);
        let source = Box::new(error);
        if is_full { StoreError::Full { source } } else { StoreError::Database { doing, source } }
    }
}

async fn read_head<'c>(executor: impl SqliteExecutor<'c>) -> Result<Head, sqlx::Error> {
    let last: Option<(i64, Vec<u8>)> =
        sqlx::query_as("SELECT position, hash FROM events ORDER BY position DESC LIMIT 1")
            .fetch_optional(executor)
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

/// Pages of more events are read row by row: packed they would be a text of many megabytes.
const PACKED_MAX: u32 = 2048;

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
        let doing = "reading a page";
        let packed = match limit {
            ..=PACKED_MAX => record::fetch_page(&self.readers, checkpoint, limit, doing).await?,
            _ => None,
        };
        let page = match packed {
            Some(page) => page,
            None => {
                let query = sqlx::query(concat!(
                    "SELECT ",
                    envelope!(),
                    " FROM events WHERE position > ? ORDER BY position LIMIT ?"
                ));
                let query = query.bind(stored(checkpoint.0)).bind(limit);
                record::fetch(&self.readers, query, doing).await?
            }
        };
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
            envelope!(),
            " FROM events WHERE workspace_id = ? AND position > ? ORDER BY position LIMIT ?"
        ))
        .bind(workspace.to_string())
        .bind(stored(after.0))
        .bind(limit);
        record::fetch(&self.readers, query, "reading a workspace's page").await
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

    async fn waiting(&self) -> Result<Vec<RenderId>, StoreError> {
        queue::waiting(&self.readers).await.map_err(failed("reading the queue"))
    }

    async fn loads(&self) -> Result<Vec<WorkspaceLoad>, StoreError> {
        queue::loads(&self.readers).await.map_err(failed("counting renders in work"))
    }

    async fn census(&self) -> Result<Census, StoreError> {
        queue::census(&self.readers).await.map_err(failed("counting what waits"))
    }

    async fn overdue_renders(&self, limit: u32) -> Result<Vec<RenderId>, StoreError> {
        queue::overdue(&self.readers, limit).await.map_err(failed("reading deadlines"))
    }

    async fn artifacts_finished_by(
        &self,
        instant: Timestamp,
        limit: u32,
    ) -> Result<Vec<RenderId>, StoreError> {
        queue::finished_by(&self.readers, instant, limit).await.map_err(failed("reading artifacts' ages"))
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
        let row = sqlx::query(concat!("SELECT ", NOW!()))
            .fetch_one(&self.readers)
            .await
            .map_err(failed("reading its clock"))?;
        row.try_get(0).map(Timestamp).map_err(failed("reading its clock"))
    }
}

#[cfg(test)]
mod tests {
    use events::{Actor, EncodedEvent, EventId, NewEvent};

    use super::*;
    use crate::audit::{Verdict, verify};
    use crate::store::{SideRow, StreamAppend};

    const OWNER: WorkspaceId = WorkspaceId::new(1);

    /// A render's first event with a document of 64 KiB.
    fn submission(number: u8) -> Append {
        let event = NewEvent {
            event_id: EventId::new(u128::from(number)),
            event: EncodedEvent { event_type: "Tested".to_owned(), schema_version: 1, data: b"{}".to_vec() },
            workspace_id: OWNER,
            correlation_id: "req_1".to_owned(),
            causation_id: None,
            actor: Actor::system(),
            traceparent: None,
        };
        let stream = StreamId::from(RenderId::new(u128::from(number)));
        let part = StreamAppend { stream, expected: StreamVersion(0), events: vec![event] };
        let bytes = vec![number; 64 << 10];
        let document = SideRow::PutDocument { workspace: OWNER, sha256: Sha256([number; 32]), bytes };
        Append { streams: vec![part], rows: vec![document], ..Append::default() }
    }

    #[tokio::test]
    async fn a_full_disk_refuses_whole_appends_and_harms_nothing() {
        let folder = tempfile::tempdir().expect("a scratch folder");
        let path = folder.path().join("log.db");
        let mut writer = FILE.open(&path).await.expect("a new file");
        // SQLite's own limit takes the same way as a disk's: the file can't grow.
        sqlx::raw_sql("PRAGMA max_page_count = 128").execute(&mut writer).await.expect("a limit");
        let readers = connect_readers(&path).await.expect("connections");
        let sequencer = Sequencer::start(SqliteLedger::new(writer), watch::Sender::new(Position(0)));
        let store: std::sync::Arc<dyn EventStore> = std::sync::Arc::new(SqliteStore {
            path: path.clone(),
            readers,
            sequencer,
            nodes: LocalNodes::default(),
        });
        let mut stored = 0;
        let refused = loop {
            match store.append(submission(stored + 1)).await {
                Ok(_) => stored += 1,
                Err(error) => break error,
            }
        };
        assert!(matches!(refused, AppendError::Store(StoreError::Full { .. })), "got {refused:?}");
        assert!(stored > 0, "some fit");
        for number in [stored + 1, stored + 2] {
            let again = store.append(submission(number)).await;
            assert!(matches!(again, Err(AppendError::Store(StoreError::Full { .. }))), "got {again:?}");
            let half = store.document(OWNER, Sha256([number; 32])).await.expect("reading goes on");
            assert_eq!(half, None, "nothing of a refused append is left");
        }
        assert_eq!(store.head().await.expect("reading goes on").position, Position(u64::from(stored)));
        // What needs no room still gets through, and the log is whole.
        let verdict = verify(&store, None, |_| {}).await.expect("reading goes on");
        assert!(matches!(verdict, Verdict::Intact(_)), "got {verdict:?}");
        drop(store);
        let store = SqliteStore::open(&path).await.expect("it opens with more room");
        let recorded = store.append(submission(stored + 1)).await.expect("and goes on where it was");
        assert_eq!(recorded[0].position, Position(u64::from(stored) + 1));
    }

    #[tokio::test]
    async fn a_file_of_the_first_schema_is_brought_up_to_date_with_what_its_log_tells() {
        let folder = tempfile::tempdir().expect("a scratch folder");
        let path = folder.path().join("log.db");
        let first = SqliteFile { migrations: &FILE.migrations[..1], ..FILE };
        let mut old = first.open(&path).await.expect("a file of the first schema");
        let lives = [
            ("RenderSubmitted", r#"{"deadline":9000000000000000}"#, 1, 1),
            ("LeaseGranted", "{}", 1, 2),
            ("RenderSubmitted", r#"{"deadline":null}"#, 2, 1),
            ("RenderSubmitted", r#"{"deadline":1}"#, 3, 1),
            ("RenderCompleted", "{}", 3, 2),
        ];
        for ((event_type, data, number, version), position) in lives.into_iter().zip(1_i64..) {
            sqlx::query(
                "INSERT INTO events (position, event_id, stream_id, stream_version, type, schema_version, \
                 workspace_id, correlation_id, actor, recorded_at, data, hash) \
                 VALUES (?1, randomblob(16), ?2, ?3, ?4, 1, ?5, 'r', 'system', ?1, ?6, randomblob(32))",
            )
            .bind(position)
            .bind(RenderId::new(number).to_string())
            .bind(version)
            .bind(event_type)
            .bind(OWNER.to_string())
            .bind(data.as_bytes())
            .execute(&mut old)
            .await
            .expect("an event");
        }
        drop(old);
        let store = SqliteStore::open(&path).await.expect("it is brought up to date");
        let load = WorkspaceLoad { workspace: OWNER, begun: 1, concurrency: None };
        assert_eq!(store.loads().await.expect("to read"), [load]);
        assert_eq!(store.overdue_renders(10).await.expect("to read"), [], "what is over is never late");
        let kept = store.artifacts_finished_by(Timestamp(5), 10).await.expect("to read");
        assert_eq!(kept, [RenderId::new(3)]);
    }
}
