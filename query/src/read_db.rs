//! The read models' own file: rows and checkpoints commit together, so a lost commit is only read again.
//!
//! A second file beside the log, so that projections never queue behind its fsync; `synchronous = NORMAL` may lose the
//! last commits in a power cut, and they are made again from the log. Must not know: what the rows mean.

use std::path::Path;

use event_store::sqlite_file::{OpenError, READERS, SqliteFile};
use events::Position;
use sqlx::sqlite::{SqlitePoolOptions, SqliteSynchronous};
use sqlx::{Connection as _, Row as _, Sqlite, SqliteConnection, SqlitePool, Transaction};

const FILE: SqliteFile = SqliteFile {
    what: "the read models",
    thread: "read-models",
    synchronous: SqliteSynchronous::Normal,
    migrations: &[
        include_str!("read_db/schema.sql"),
        include_str!("read_db/schema_2.sql"),
        include_str!("read_db/schema_3.sql"),
        include_str!("read_db/schema_4.sql"),
        include_str!("read_db/schema_5.sql"),
    ],
};

/// The read models' database. Clones share connections.
#[derive(Debug, Clone)]
pub struct ReadDb {
    writer: SqlitePool,
    readers: SqlitePool,
}

/// A generation of a projection and how far it has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Checkpoint {
    /// Which set of rows.
    pub generation: i64,
    /// The last event applied to it.
    pub position: Position,
}

impl ReadDb {
    /// Opens the file, making it where it is missing; its folder must exist.
    ///
    /// # Errors
    /// [`OpenError`].
    pub async fn open(path: &Path) -> Result<ReadDb, OpenError> {
        FILE.open(path).await?.close().await.map_err(FILE.failed(path, "closing it once"))?;
        // One connection: projector, dispatcher and rebuild take turns here instead of in SQLite's busy loop.
        let writer = SqlitePoolOptions::new().max_connections(1).connect_with(FILE.writer(path)).await;
        let readers = SqlitePoolOptions::new().max_connections(READERS).connect_with(FILE.reader(path)).await;
        Ok(ReadDb {
            writer: writer.map_err(FILE.failed(path, "connecting"))?,
            readers: readers.map_err(FILE.failed(path, "connecting readers"))?,
        })
    }

    /// The connections that only read.
    #[must_use]
    pub fn readers(&self) -> &SqlitePool {
        &self.readers
    }

    /// Begins a transaction that holds the write lock from the start.
    ///
    /// # Errors
    /// Where the lock can't be had in time.
    pub async fn write(&self) -> Result<Transaction<'static, Sqlite>, sqlx::Error> {
        self.writer.begin_with("BEGIN IMMEDIATE").await
    }

    /// Closes every connection; the write-ahead log is folded into the file.
    pub async fn close(&self) {
        self.readers.close().await;
        self.writer.close().await;
    }
}

/// The live generation's checkpoint and the version of the code that made it; `None` before the first.
pub(crate) async fn live(
    connection: &mut SqliteConnection,
    name: &str,
) -> Result<Option<(Checkpoint, i64)>, sqlx::Error> {
    let row = sqlx::query("SELECT generation, position, version FROM projection WHERE name = ? AND live = 1")
        .bind(name)
        .fetch_optional(connection)
        .await?;
    row.map(|row| {
        let checkpoint = Checkpoint { generation: row.try_get(0)?, position: position(row.try_get(1)?) };
        Ok((checkpoint, row.try_get(2)?))
    })
    .transpose()
}

/// Begins a new generation at position 0.
pub(crate) async fn begin_generation(
    connection: &mut SqliteConnection,
    name: &str,
    version: u32,
    live: bool,
) -> Result<Checkpoint, sqlx::Error> {
    let generation: i64 = sqlx::query_scalar(
        "INSERT INTO projection (name, generation, version, position, live)
         SELECT ?1, COALESCE(MAX(generation), 0) + 1, ?2, 0, ?3 FROM projection WHERE name = ?1
         RETURNING generation",
    )
    .bind(name)
    .bind(i64::from(version))
    .bind(i64::from(live))
    .fetch_one(connection)
    .await?;
    Ok(Checkpoint { generation, position: Position(0) })
}

/// Moves a checkpoint, if it still is where the caller thinks: false means that someone else has moved or replaced it.
pub(crate) async fn advance(
    connection: &mut SqliteConnection,
    name: &str,
    from: Checkpoint,
    to: Position,
) -> Result<bool, sqlx::Error> {
    let moved =
        sqlx::query("UPDATE projection SET position = ? WHERE name = ? AND generation = ? AND position = ?")
            .bind(to.0.cast_signed())
            .bind(name)
            .bind(from.generation)
            .bind(from.position.0.cast_signed())
            .execute(connection)
            .await?;
    Ok(moved.rows_affected() == 1)
}

/// A stored position.
pub(crate) fn position(stored: i64) -> Position {
    Position(stored.cast_unsigned())
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn database() -> (tempfile::TempDir, ReadDb) {
        let directory = tempfile::tempdir().expect("a scratch directory");
        let db = ReadDb::open(&directory.path().join("read.db")).await.expect("opens");
        (directory, db)
    }

    #[tokio::test]
    async fn a_checkpoint_moves_only_from_where_its_mover_stands() {
        let (_directory, db) = database().await;
        let mut transaction = db.write().await.expect("locks");
        let start = begin_generation(&mut transaction, "p", 1, true).await.expect("begins");
        assert!(advance(&mut transaction, "p", start, Position(5)).await.expect("runs"), "from the start");
        assert!(!advance(&mut transaction, "p", start, Position(6)).await.expect("runs"), "it has moved on");
        let other = Checkpoint { generation: start.generation + 1, position: Position(5) };
        assert!(
            !advance(&mut transaction, "p", other, Position(6)).await.expect("runs"),
            "another generation"
        );
        let found = live(&mut transaction, "p").await.expect("reads").expect("there is one").0;
        assert_eq!(found, Checkpoint { generation: start.generation, position: Position(5) });
    }
}
