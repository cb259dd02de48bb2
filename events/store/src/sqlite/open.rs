//! Opening the file: how connections are set up, which library is good enough, and the schema's versions.

use std::path::{Path, PathBuf};
use std::time::Duration;

use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{ConnectOptions as _, Connection as _, SqliteConnection, SqlitePool};
use thiserror::Error;

/// Older libraries can corrupt a write-ahead log when it is reset (fixed in 3.51.3).
const OLDEST_LIBRARY: (u32, u32, u32) = (3, 51, 3);

/// Every version of the schema, oldest first: the file's `user_version` counts those it has been through. A
/// released entry never changes; a new version is a new entry.
const MIGRATIONS: &[&str] = &[include_str!("schema.sql"), include_str!("schema_2.sql")];

/// How long a connection waits for another process's lock.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// Connections that read: reads are short, and each connection is a thread.
const READERS: u32 = 4;

/// The log's file could not be opened.
#[derive(Debug, Error)]
pub enum OpenError {
    /// The SQLite library is too old to be trusted with a write-ahead log.
    #[error(
        "could not open the event log: the SQLite library is {found}, and those before 3.51.3 can corrupt a \
         write-ahead log; build with the bundled library"
    )]
    LibraryTooOld {
        /// What was found.
        found: String,
    },
    /// The file was written by a newer release.
    #[error(
        "could not open the event log: {path} has schema version {found}, this release knows {known} at most"
    )]
    Newer {
        /// Which file.
        path: PathBuf,
        /// Its version.
        found: i64,
        /// The newest one known here.
        known: usize,
    },
    /// The file system cannot hold a write-ahead log (a network share, for example).
    #[error("could not open the event log: {path} cannot be kept in WAL mode; put it on a local disk")]
    NoWriteAheadLog {
        /// Which file.
        path: PathBuf,
    },
    /// The database failed.
    #[error("could not open the event log at {path}: {doing}")]
    Database {
        /// Which file.
        path: PathBuf,
        /// What was being done.
        doing: &'static str,
        /// The driver's error.
        #[source]
        source: sqlx::Error,
    },
}

/// Opens the one connection that writes, and brings the schema up to date.
pub(super) async fn writer(path: &Path) -> Result<SqliteConnection, OpenError> {
    writer_of(path, MIGRATIONS).await
}

/// The same in an older release, that knew the first `versions` of the schema.
#[cfg(test)]
pub(super) async fn with_schema(path: &Path, versions: usize) -> Result<SqliteConnection, OpenError> {
    writer_of(path, &MIGRATIONS[..versions]).await
}

async fn writer_of(path: &Path, migrations: &[&'static str]) -> Result<SqliteConnection, OpenError> {
    let failed = |doing| {
        let path = path.to_owned();
        move |source| OpenError::Database { path, doing, source }
    };
    let mut connection = options(path, "log-write")
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        // FULL makes every commit last through a power cut: NORMAL would lose acknowledged appends.
        .synchronous(SqliteSynchronous::Full)
        // Checkpoints copy the log into the database behind a commit; every 16 MiB instead of every 4.
        .pragma("wal_autocheckpoint", "4000")
        .pragma("cache_size", "-16384")
        .connect()
        .await
        .map_err(failed("connecting"))?;
    check_library(&mut connection).await.map_err(failed("asking for its version"))?.map_or(Ok(()), Err)?;
    let mode: String = sqlx::query_scalar("PRAGMA journal_mode")
        .fetch_one(&mut connection)
        .await
        .map_err(failed("asking for its mode"))?;
    if !mode.eq_ignore_ascii_case("wal") {
        return Err(OpenError::NoWriteAheadLog { path: path.to_owned() });
    }
    migrate(&mut connection, path, migrations).await?;
    Ok(connection)
}

/// Opens the connections that read. The file exists by now.
pub(super) async fn readers(path: &Path) -> Result<SqlitePool, OpenError> {
    SqlitePoolOptions::new()
        .max_connections(READERS)
        // A page's rows pass without the two threads waiting for each other at every fiftieth.
        .connect_with(options(path, "log-read").read_only(true).row_buffer_size(1024))
        .await
        .map_err(|source| OpenError::Database { path: path.to_owned(), doing: "connecting readers", source })
}

fn options(path: &Path, thread: &'static str) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .busy_timeout(BUSY_TIMEOUT)
        // A mapped file turns an I/O error into a signal that ends the process.
        .pragma("mmap_size", "0")
        .thread_name(move |id| format!("{thread}-{id}"))
        .disable_statement_logging()
}

async fn check_library(connection: &mut SqliteConnection) -> Result<Option<OpenError>, sqlx::Error> {
    let found: String = sqlx::query_scalar("SELECT sqlite_version()").fetch_one(connection).await?;
    Ok((parse_version(&found) < Some(OLDEST_LIBRARY)).then_some(OpenError::LibraryTooOld { found }))
}

/// `3.51.3` and the like.
fn parse_version(text: &str) -> Option<(u32, u32, u32)> {
    let mut numbers = text.split('.').map(str::parse);
    Some((numbers.next()?.ok()?, numbers.next()?.ok()?, numbers.next().unwrap_or(Ok(0)).ok()?))
}

/// Runs the versions that the file has not been through, each in one transaction with its number.
async fn migrate(
    connection: &mut SqliteConnection,
    path: &Path,
    migrations: &[&'static str],
) -> Result<(), OpenError> {
    let failed = |doing| move |source| OpenError::Database { path: path.to_owned(), doing, source };
    // Immediate, and the version read inside: two processes that start at once take turns.
    let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await.map_err(failed("locking it"))?;
    let found: i64 = sqlx::query_scalar("PRAGMA user_version")
        .fetch_one(&mut *transaction)
        .await
        .map_err(failed("reading its schema version"))?;
    let done = usize::try_from(found).unwrap_or(usize::MAX);
    if done > migrations.len() {
        return Err(OpenError::Newer { path: path.to_owned(), found, known: migrations.len() });
    }
    for migration in &migrations[done..] {
        sqlx::raw_sql(*migration).execute(&mut *transaction).await.map_err(failed("changing its schema"))?;
    }
    let version = format!("PRAGMA user_version = {}", migrations.len());
    sqlx::raw_sql(sqlx::AssertSqlSafe(version))
        .execute(&mut *transaction)
        .await
        .map_err(failed("noting its schema version"))?;
    transaction.commit().await.map_err(failed("changing its schema"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn library_versions_compare_by_number() {
        assert!(parse_version("3.51.2") < Some(OLDEST_LIBRARY), "one patch too old");
        assert!(parse_version("3.9.12") < Some(OLDEST_LIBRARY), "9 is less than 51");
        assert!(parse_version("3.51.3") >= Some(OLDEST_LIBRARY), "the first good one");
        assert!(parse_version("3.52") >= Some(OLDEST_LIBRARY), "without a patch number");
        assert!(parse_version("nonsense") < Some(OLDEST_LIBRARY), "unknown is not trusted");
    }

    #[tokio::test]
    async fn a_file_of_a_newer_release_is_refused() {
        let folder = tempfile::tempdir().expect("a scratch folder");
        let path = folder.path().join("log.db");
        let mut connection = writer(&path).await.expect("a new file");
        sqlx::raw_sql("PRAGMA user_version = 99").execute(&mut connection).await.expect("to set the version");
        connection.close().await.expect("to close");
        let refused = writer(&path).await;
        assert!(matches!(refused, Err(OpenError::Newer { found: 99, .. })), "got {refused:?}");
    }
}
