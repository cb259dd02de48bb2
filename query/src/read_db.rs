//! The read models' own database: rows and checkpoints commit together, so a lost commit is only read again.
//!
//! One process keeps them in a second file beside the log, so that projections never queue behind its fsync; `synchronous =
//! NORMAL` may lose the last commits in a power cut, and they are made again from the log. Several processes share tables
//! in PostgreSQL. Must not know: what the rows mean.

use std::path::{Path, PathBuf};

use event_store::sqlite_file::{OpenError, READERS, SqliteFile};
use event_store::{OpenPostgresError, PostgresOptions, PostgresSchema, Route};
use events::Position;
use sqlx::sqlite::{SqlitePoolOptions, SqliteSynchronous};
use sqlx::{Connection as _, PgPool, SqlitePool};
use thiserror::Error;

mod statement;

pub use statement::{Column, Dialect, Row, Statement, Value, Writing, sql};
use statement::{Connection, Inside, Named};

const FILE: SqliteFile = SqliteFile {
    what: "the read models",
    thread: "read-models",
    synchronous: SqliteSynchronous::Normal,
    migrations: &[
        include_str!("read_db/sqlite_1.sql"),
        include_str!("read_db/sqlite_2.sql"),
        include_str!("read_db/sqlite_3.sql"),
        include_str!("read_db/sqlite_4.sql"),
        include_str!("read_db/sqlite_5.sql"),
    ],
};

const SCHEMA: PostgresSchema = PostgresSchema {
    what: "the read models",
    versions: "framelane_read_schema",
    migrations: &[include_str!("read_db/postgres_1.sql")],
};

/// Connections of one process to the server.
const CONNECTIONS: u32 = 8;

/// Where the read models are.
#[derive(Debug, Clone)]
pub enum ReadPlace {
    /// In a file of this process's own; its folder must exist.
    File(PathBuf),
    /// In a database that any number of processes share.
    Postgres(Box<PostgresOptions>),
}

/// The read models could not be opened.
#[derive(Debug, Error)]
pub enum OpenReadDbError {
    /// The file.
    #[error(transparent)]
    File(#[from] OpenError),
    /// The database.
    #[error(transparent)]
    Postgres(#[from] OpenPostgresError),
}

/// The read models' database. Clones share connections.
#[derive(Debug, Clone)]
pub struct ReadDb(Pools);

#[derive(Debug, Clone)]
enum Pools {
    Sqlite { writer: SqlitePool, readers: SqlitePool },
    Postgres { pool: PgPool, route: Route },
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
    /// Opens the read models, making the tables where they are missing.
    ///
    /// # Errors
    /// [`OpenReadDbError`].
    pub async fn open(place: &ReadPlace) -> Result<ReadDb, OpenReadDbError> {
        Ok(ReadDb(match place {
            ReadPlace::File(path) => open_file(path).await?,
            ReadPlace::Postgres(options) => {
                let (pool, route) = SCHEMA.open(options, CONNECTIONS).await?;
                Pools::Postgres { pool, route }
            }
        }))
    }

    /// Which database it is.
    #[must_use]
    pub fn dialect(&self) -> Dialect {
        match &self.0 {
            Pools::Sqlite { .. } => Dialect::Sqlite,
            Pools::Postgres { .. } => Dialect::Postgres,
        }
    }

    /// The rows that a statement answers with, which only reads.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn fetch_all(&self, statement: Statement) -> Result<Vec<Row>, sqlx::Error> {
        match &self.0 {
            Pools::Sqlite { readers, .. } => {
                Connection::Sqlite(&mut *readers.acquire().await?).fetch_all(statement).await
            }
            Pools::Postgres { pool, route: Route::Direct } => {
                Connection::Postgres(&mut *pool.acquire().await?, Named(true)).fetch_all(statement).await
            }
            // The transaction keeps the statement and its execution together.
            Pools::Postgres { pool, route: Route::Pooler } => {
                Connection::Postgres(&mut *pool.begin().await?, Named(false)).fetch_all(statement).await
            }
        }
    }

    /// The row that a statement answers with, if any.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn fetch_optional(&self, statement: Statement) -> Result<Option<Row>, sqlx::Error> {
        Ok(self.fetch_all(statement).await?.into_iter().next())
    }

    /// Begins a transaction that writes. In the file it holds the write lock from the start.
    ///
    /// # Errors
    /// Where the lock, or a connection, can't be had in time.
    pub async fn write(&self) -> Result<Writing, sqlx::Error> {
        Ok(Writing(match &self.0 {
            Pools::Sqlite { writer, .. } => Inside::Sqlite(writer.begin_with("BEGIN IMMEDIATE").await?),
            Pools::Postgres { pool, route } => {
                Inside::Postgres(pool.begin().await?, Named(*route == Route::Direct))
            }
        }))
    }

    /// Closes every connection; a file's write-ahead log is folded into it.
    pub async fn close(&self) {
        match &self.0 {
            Pools::Sqlite { writer, readers } => {
                readers.close().await;
                writer.close().await;
            }
            Pools::Postgres { pool, .. } => pool.close().await,
        }
    }
}

async fn open_file(path: &Path) -> Result<Pools, OpenError> {
    FILE.open(path).await?.close().await.map_err(FILE.failed(path, "closing it once"))?;
    // One connection: projector, dispatcher and rebuild take turns here instead of in SQLite's busy loop.
    let writer = SqlitePoolOptions::new().max_connections(1).connect_with(FILE.writer(path)).await;
    let readers = SqlitePoolOptions::new().max_connections(READERS).connect_with(FILE.reader(path)).await;
    Ok(Pools::Sqlite {
        writer: writer.map_err(FILE.failed(path, "connecting"))?,
        readers: readers.map_err(FILE.failed(path, "connecting readers"))?,
    })
}

/// The live generation's checkpoint and the version of the code that made it.
fn read_live(row: &Row) -> Result<(Checkpoint, i64), sqlx::Error> {
    let checkpoint =
        Checkpoint { generation: row.get("generation")?, position: position(row.get("position")?) };
    Ok((checkpoint, row.get("version")?))
}

fn find_live(name: &str) -> Statement {
    sql("SELECT generation, position, version FROM projection WHERE name = $1 AND live = 1").bind(name)
}

/// The live generation as readers see it; `None` before the first.
pub(crate) async fn live_now(db: &ReadDb, name: &str) -> Result<Option<(Checkpoint, i64)>, sqlx::Error> {
    db.fetch_optional(find_live(name)).await?.as_ref().map(read_live).transpose()
}

/// The live generation's checkpoint and the version of the code that made it; `None` before the first.
pub(crate) async fn live(
    transaction: &mut Writing,
    name: &str,
) -> Result<Option<(Checkpoint, i64)>, sqlx::Error> {
    transaction.fetch_optional(find_live(name)).await?.as_ref().map(read_live).transpose()
}

/// Begins a new generation at position 0; `None`: another process has begun it in this moment.
pub(crate) async fn begin_generation(
    transaction: &mut Writing,
    name: &str,
    version: u32,
    live: bool,
) -> Result<Option<Checkpoint>, sqlx::Error> {
    let begin = sql("INSERT INTO projection (name, generation, version, position, live)
         SELECT $1, COALESCE(MAX(generation), 0) + 1, $2, 0, $3 FROM projection WHERE name = $1
         ON CONFLICT DO NOTHING RETURNING generation")
    .bind(name)
    .bind(version)
    .bind(live);
    let row = transaction.fetch_optional(begin).await?;
    row.map(|row| Ok(Checkpoint { generation: row.get("generation")?, position: Position(0) })).transpose()
}

/// Moves a checkpoint, if it still is where the caller thinks: false means that someone else has moved or replaced it.
pub(crate) async fn advance(
    transaction: &mut Writing,
    name: &str,
    from: Checkpoint,
    to: Position,
) -> Result<bool, sqlx::Error> {
    let advance =
        sql("UPDATE projection SET position = $1 WHERE name = $2 AND generation = $3 AND position = $4")
            .bind(to.0.cast_signed())
            .bind(name)
            .bind(from.generation)
            .bind(from.position.0.cast_signed());
    Ok(transaction.execute(advance).await? == 1)
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
        let db = ReadDb::open(&ReadPlace::File(directory.path().join("read.db"))).await.expect("opens");
        (directory, db)
    }

    #[tokio::test]
    async fn a_checkpoint_moves_only_from_where_its_mover_stands() {
        let (_directory, db) = database().await;
        let mut transaction = db.write().await.expect("locks");
        let start = begin_generation(&mut transaction, "p", 1, true).await.expect("runs");
        let start = start.expect("nobody else begins one");
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
