//! A SQLite file as this service keeps them: how connections are set up, which library is good enough, who may read it,
//! and the schema's versions. The log is one, the read models another.

use std::fs::{self, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};
use sqlx::{ConnectOptions as _, Connection as _, SqliteConnection};
use thiserror::Error;

/// Older libraries can corrupt a write-ahead log when it is reset (fixed in 3.51.3).
const OLDEST_LIBRARY: (u32, u32, u32) = (3, 51, 3);

/// How long a connection waits for another process's lock.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// Connections that read: reads are short, and each connection is a thread.
pub const READERS: u32 = 4;

/// Its owner reads and writes it, nobody else.
const PRIVATE: u32 = 0o600;

/// What one of the service's files is.
#[derive(Debug, Clone, Copy)]
pub struct SqliteFile {
    /// What messages call it: `the event log`.
    pub what: &'static str,
    /// What its connections' threads are called.
    pub thread: &'static str,
    /// How much of a commit lasts through a power cut.
    pub synchronous: SqliteSynchronous,
    /// Every version of the schema, oldest first: the file's `user_version` counts those it has been through. A
    /// released entry never changes; a new version is a new entry.
    pub migrations: &'static [&'static str],
}

/// A file could not be opened.
#[derive(Debug, Error)]
pub enum OpenError {
    /// The SQLite library is too old to be trusted with a write-ahead log.
    #[error(
        "could not open {what}: the SQLite library is {found}, and those before 3.51.3 can corrupt a \
         write-ahead log; build with the bundled library"
    )]
    LibraryTooOld {
        /// Which file.
        what: &'static str,
        /// What was found.
        found: String,
    },
    /// The file was written by a newer release.
    #[error(
        "could not open {what}: {path} has schema version {found}, this release knows {known} at most; run the \
         newer release"
    )]
    Newer {
        /// Which file.
        what: &'static str,
        /// Where.
        path: PathBuf,
        /// Its version.
        found: i64,
        /// The newest one known here.
        known: usize,
    },
    /// The file system cannot hold a write-ahead log (a network share, for example).
    #[error("could not open {what}: {path} cannot be kept in WAL mode; put it on a local disk")]
    NoWriteAheadLog {
        /// Which file.
        what: &'static str,
        /// Where.
        path: PathBuf,
    },
    /// The file could not be made, or kept from others.
    #[error("could not open {what}: could not make {path} readable by its owner only")]
    File {
        /// Which file.
        what: &'static str,
        /// Where.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The database failed.
    #[error("could not open {what} at {path}: {doing}")]
    Database {
        /// Which file.
        what: &'static str,
        /// Where.
        path: PathBuf,
        /// What was being done.
        doing: &'static str,
        /// The driver's error.
        #[source]
        source: sqlx::Error,
    },
}

/// The version of the SQLite library in this build.
///
/// # Errors
/// Where the library does not work.
pub async fn library_version() -> Result<String, OpenError> {
    let (what, path) = ("a database", Path::new(":memory:"));
    let failed =
        |source| OpenError::Database { what, path: path.to_owned(), doing: "asking for the version", source };
    let mut connection = SqliteConnectOptions::new().filename(path).connect().await.map_err(failed)?;
    sqlx::query_scalar("SELECT sqlite_version()").fetch_one(&mut connection).await.map_err(failed)
}

impl SqliteFile {
    /// Opens a connection that writes, making the file where it is missing (its folder must exist), and brings the
    /// schema up to date.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub async fn open(&self, path: &Path) -> Result<SqliteConnection, OpenError> {
        keep_private(path).map_err(|source| OpenError::File {
            what: self.what,
            path: path.to_owned(),
            source,
        })?;
        let mut connection = self.writer(path).connect().await.map_err(self.failed(path, "connecting"))?;
        self.check(&mut connection, path).await?;
        self.migrate(&mut connection, path).await?;
        Ok(connection)
    }

    /// How connections that write are set up, once [`SqliteFile::open`] has made the file what it should be.
    #[must_use]
    pub fn writer(&self, path: &Path) -> SqliteConnectOptions {
        self.options(path, "write")
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(self.synchronous)
            // Checkpoints copy the write-ahead log into the file behind a commit; every 16 MiB instead of every 4.
            .pragma("wal_autocheckpoint", "4000")
            .pragma("cache_size", "-16384")
    }

    /// How connections that read are set up.
    #[must_use]
    pub fn reader(&self, path: &Path) -> SqliteConnectOptions {
        // A page's rows pass without the two threads waiting for each other at every fiftieth.
        self.options(path, "read").read_only(true).row_buffer_size(1024)
    }

    fn options(&self, path: &Path, purpose: &'static str) -> SqliteConnectOptions {
        let thread = self.thread;
        SqliteConnectOptions::new()
            .filename(path)
            .busy_timeout(BUSY_TIMEOUT)
            // A mapped file turns an I/O error into a signal that ends the process.
            .pragma("mmap_size", "0")
            .thread_name(move |id| format!("{thread}-{purpose}-{id}"))
            .disable_statement_logging()
    }

    /// What a driver's error becomes.
    pub fn failed<'p>(
        &self,
        path: &'p Path,
        doing: &'static str,
    ) -> impl FnOnce(sqlx::Error) -> OpenError + use<'p> {
        let what = self.what;
        move |source| OpenError::Database { what, path: path.to_owned(), doing, source }
    }

    async fn check(&self, connection: &mut SqliteConnection, path: &Path) -> Result<(), OpenError> {
        let found: String = sqlx::query_scalar("SELECT sqlite_version()")
            .fetch_one(&mut *connection)
            .await
            .map_err(self.failed(path, "asking for its library's version"))?;
        if parse_version(&found) < Some(OLDEST_LIBRARY) {
            return Err(OpenError::LibraryTooOld { what: self.what, found });
        }
        let mode: String = sqlx::query_scalar("PRAGMA journal_mode")
            .fetch_one(connection)
            .await
            .map_err(self.failed(path, "asking for its mode"))?;
        if !mode.eq_ignore_ascii_case("wal") {
            return Err(OpenError::NoWriteAheadLog { what: self.what, path: path.to_owned() });
        }
        Ok(())
    }

    /// Runs the versions that the file has not been through, each in one transaction with its number.
    async fn migrate(&self, connection: &mut SqliteConnection, path: &Path) -> Result<(), OpenError> {
        let failed = |doing| self.failed(path, doing);
        // Immediate, and the version read inside: two processes that start at once take turns.
        let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await.map_err(failed("locking it"))?;
        let found: i64 = sqlx::query_scalar("PRAGMA user_version")
            .fetch_one(&mut *transaction)
            .await
            .map_err(failed("reading its schema version"))?;
        let known = self.migrations.len();
        let done = usize::try_from(found).unwrap_or(usize::MAX);
        if done > known {
            return Err(OpenError::Newer { what: self.what, path: path.to_owned(), found, known });
        }
        for migration in &self.migrations[done..] {
            sqlx::raw_sql(*migration)
                .execute(&mut *transaction)
                .await
                .map_err(failed("changing its schema"))?;
        }
        let version = format!("PRAGMA user_version = {known}");
        sqlx::raw_sql(sqlx::AssertSqlSafe(version))
            .execute(&mut *transaction)
            .await
            .map_err(failed("noting its schema version"))?;
        transaction.commit().await.map_err(failed("changing its schema"))
    }
}

/// Makes the file, and takes it from everyone but its owner. SQLite gives its companions (`-wal`, `-shm`) the same
/// permissions when it makes them; those that are there already are changed here.
fn keep_private(path: &Path) -> io::Result<()> {
    match OpenOptions::new().write(true).create_new(true).mode(PRIVATE).open(path) {
        Ok(_made) => return Ok(()),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(error),
    }
    for suffix in ["", "-wal", "-shm"] {
        let mut file = path.as_os_str().to_owned();
        file.push(suffix);
        match fs::metadata(&file) {
            Ok(found) if found.permissions().mode() & 0o777 == PRIVATE => {}
            Ok(_) => fs::set_permissions(&file, Permissions::from_mode(PRIVATE))?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// `3.51.3` and the like.
fn parse_version(text: &str) -> Option<(u32, u32, u32)> {
    let mut numbers = text.split('.').map(str::parse);
    Some((numbers.next()?.ok()?, numbers.next()?.ok()?, numbers.next().unwrap_or(Ok(0)).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: SqliteFile = SqliteFile {
        what: "a test's file",
        thread: "test",
        synchronous: SqliteSynchronous::Normal,
        migrations: &["CREATE TABLE one (a INTEGER) STRICT", "ALTER TABLE one ADD COLUMN b INTEGER"],
    };

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).expect("the file").permissions().mode() & 0o777
    }

    #[test]
    fn library_versions_compare_by_number() {
        assert!(parse_version("3.51.2") < Some(OLDEST_LIBRARY), "one patch too old");
        assert!(parse_version("3.9.12") < Some(OLDEST_LIBRARY), "9 is less than 51");
        assert!(parse_version("3.51.3") >= Some(OLDEST_LIBRARY), "the first good one");
        assert!(parse_version("3.52") >= Some(OLDEST_LIBRARY), "without a patch number");
        assert!(parse_version("unknown") < Some(OLDEST_LIBRARY), "no version is too old");
    }

    #[tokio::test]
    async fn an_older_file_goes_through_what_it_lacks_and_a_newer_one_is_refused() {
        let folder = tempfile::tempdir().expect("a scratch folder");
        let path = folder.path().join("file.db");
        let older = SqliteFile { migrations: &FILE.migrations[..1], ..FILE };
        older.open(&path).await.expect("opens").close().await.expect("closes");
        for _again in 0..2 {
            let mut connection = FILE.open(&path).await.expect("opens");
            sqlx::raw_sql("INSERT INTO one VALUES (1, 2)")
                .execute(&mut connection)
                .await
                .expect("has both columns");
            connection.close().await.expect("closes");
        }
        let refused = older.open(&path).await.expect_err("made by a newer release");
        assert!(matches!(refused, OpenError::Newer { found: 2, known: 1, .. }), "{refused}");
    }

    #[tokio::test]
    async fn nobody_but_its_owner_reads_a_file() {
        let folder = tempfile::tempdir().expect("a scratch folder");
        let path = folder.path().join("file.db");
        let wal = folder.path().join("file.db-wal");
        let open = FILE.open(&path).await.expect("opens");
        assert_eq!((mode(&path), mode(&wal)), (PRIVATE, PRIVATE), "from the start");
        for file in [&path, &wal] {
            fs::set_permissions(file, Permissions::from_mode(0o644)).expect("to open it up");
        }
        let again = FILE.open(&path).await.expect("opens");
        assert_eq!((mode(&path), mode(&wal)), (PRIVATE, PRIVATE), "and whatever it was like before");
        drop((open, again));
    }
}
