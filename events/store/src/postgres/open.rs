//! Opening the database: where it is, whether it is good enough, and the schema's versions.

use std::time::Duration;

use events::Position;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{ConnectOptions as _, Connection as _, PgConnection, PgPool};
use thiserror::Error;

use super::prompt::send_at_once;

/// The log's tables.
const SCHEMA: PostgresSchema = PostgresSchema {
    what: "the event log",
    versions: "framelane_schema",
    migrations: &[include_str!("schema.sql"), include_str!("schema_2.sql")],
};

/// The advisory lock that nodes take in turns to change the schema: `framelan`, as a number.
const MIGRATION_LOCK: i64 = i64::from_be_bytes(*b"framelan");

/// Older servers compute instants as floats and lack what the queries use.
const OLDEST_SERVER: i32 = 150_000;

/// Tables of one purpose in a database: the log's are one set, the read models' another.
#[derive(Debug, Clone, Copy)]
pub struct PostgresSchema {
    /// What messages call it: `the event log`.
    pub what: &'static str,
    /// The table that notes the versions it has been through.
    pub versions: &'static str,
    /// Every version, oldest first. A released entry never changes; a new version is a new entry.
    pub migrations: &'static [&'static str],
}

/// Connections of one process that read.
const READERS: u32 = 8;

/// How long a connection may take to be there.
const CONNECT_PATIENCE: Duration = Duration::from_secs(5);

/// Where the log is.
#[derive(Clone)]
pub struct PostgresOptions {
    connect: PgConnectOptions,
    route: Route,
}

impl std::fmt::Debug for PostgresOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PostgresOptions").field("at", &self.place()).field("route", &self.route).finish()
    }
}

/// What lies between us and the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Route {
    /// Nothing: a connection is a session.
    Direct,
    /// A proxy that gives every transaction a session of its choice (pgbouncer's `pool_mode = transaction`): there are
    /// no prepared statements and no notifications, and every statement is inside a transaction.
    Pooler,
}

/// The log's database could not be opened.
#[derive(Debug, Error)]
pub enum OpenPostgresError {
    /// The text is no address.
    #[error("could not read the database's address: expected postgres://user:password@host:5432/database")]
    Address(#[source] Option<sqlx::Error>),
    /// The server is too old.
    #[error("could not open the event log: the server is PostgreSQL {found}, 15 is the oldest that works")]
    ServerTooOld {
        /// What was found.
        found: String,
    },
    /// The server only follows another one.
    #[error("could not open the event log: {place} is a standby; give the address of the primary")]
    Standby {
        /// Which server.
        place: String,
    },
    /// The database stores texts in another encoding.
    #[error("could not open the event log: {place} has the encoding {found}; create it with ENCODING 'UTF8'")]
    Encoding {
        /// Which database.
        place: String,
        /// Its encoding.
        found: String,
    },
    /// Answered appends would not outlive a power cut.
    #[error(
        "could not open the event log: {place} has synchronous_commit = off, so that answered appends could be lost; \
         turn it on for this database (ALTER DATABASE … SET synchronous_commit = on)"
    )]
    NotDurable {
        /// Which database.
        place: String,
    },
    /// The database was written by a newer release.
    #[error("could not open {what}: {place} has schema version {found}, this release knows {known} at most")]
    Newer {
        /// Which tables.
        what: &'static str,
        /// Which database.
        place: String,
        /// Its version.
        found: i64,
        /// The newest one known here.
        known: usize,
    },
    /// The database failed.
    #[error("could not open the event log at {place}: {doing}")]
    Database {
        /// Which database.
        place: String,
        /// What was being done.
        doing: &'static str,
        /// The driver's error.
        #[source]
        source: sqlx::Error,
    },
}

impl PostgresOptions {
    /// Reads `postgres://user:password@host:5432/database`; `?sslmode=verify-full` and the other parameters of libpq
    /// work, and what is missing comes from `PGHOST` and its siblings.
    ///
    /// # Errors
    /// [`OpenPostgresError::Address`].
    pub fn parse(address: &str, route: Route) -> Result<PostgresOptions, OpenPostgresError> {
        // The driver takes any scheme.
        if !address.starts_with("postgres://") && !address.starts_with("postgresql://") {
            return Err(OpenPostgresError::Address(None));
        }
        let parsed = address.parse();
        let connect: PgConnectOptions = parsed.map_err(|error| OpenPostgresError::Address(Some(error)))?;
        // Poolers know few start-up parameters, and nothing here is a float.
        let connect =
            connect.application_name("framelane").extra_float_digits(None).disable_statement_logging();
        Ok(PostgresOptions { connect, route })
    }

    /// What lies between us and the server.
    pub(super) fn route(&self) -> Route {
        self.route
    }

    /// For people, without secrets.
    fn place(&self) -> String {
        let host = self.connect.get_socket().map_or_else(
            || format!("{}:{}", self.connect.get_host(), self.connect.get_port()),
            |socket| socket.display().to_string(),
        );
        format!("{host}/{}", self.connect.get_database().unwrap_or(self.connect.get_username()))
    }

    fn failed(&self, doing: &'static str) -> impl FnOnce(sqlx::Error) -> OpenPostgresError {
        let place = self.place();
        move |source| OpenPostgresError::Database { place, doing, source }
    }

    /// A connection of its own.
    pub(super) async fn connect(&self) -> Result<PgConnection, sqlx::Error> {
        let patience = || sqlx::Error::Io(std::io::ErrorKind::TimedOut.into());
        let connecting = tokio::time::timeout(CONNECT_PATIENCE, self.connect.connect());
        let connection = connecting.await.map_err(|_elapsed| patience())??;
        self.send_at_once();
        Ok(connection)
    }

    /// The connections that read; made when they are needed.
    pub(super) fn readers(&self) -> PgPool {
        self.pool(READERS)
    }

    /// At most `connections`, made when they are needed.
    fn pool(&self, connections: u32) -> PgPool {
        let options = self.clone();
        PgPoolOptions::new()
            .max_connections(connections)
            .acquire_timeout(CONNECT_PATIENCE)
            .after_connect(move |_connection, _about| {
                options.send_at_once();
                Box::pin(async { Ok(()) })
            })
            .connect_lazy_with(self.connect.clone())
    }

    /// See [`send_at_once`].
    fn send_at_once(&self) {
        if self.connect.get_socket().is_none()
            && let Err(error) = send_at_once(self.connect.get_port())
        {
            tracing::warn!(%error, "connections to the database may wait before they send: it is slow to answer");
        }
    }

    /// One connection that hears notifications.
    pub(super) fn listener(&self) -> PgPool {
        let pool = PgPoolOptions::new().max_connections(1).max_lifetime(None).idle_timeout(None);
        pool.acquire_timeout(CONNECT_PATIENCE).connect_lazy_with(self.connect.clone())
    }
}

/// Opens the connection that writes, makes sure that the server is good enough, and brings the schema up to date.
pub(super) async fn writer(options: &PostgresOptions) -> Result<PgConnection, OpenPostgresError> {
    let mut connection = options.connect().await.map_err(options.failed("connecting"))?;
    check_server(&mut connection, options).await?;
    SCHEMA.migrate(&mut connection, options).await?;
    Ok(connection)
}

impl PostgresSchema {
    /// Makes sure that the server is good enough, brings the tables up to date; a pool of at most `connections`, and
    /// what lies between it and the server.
    ///
    /// # Errors
    /// See [`OpenPostgresError`].
    pub async fn open(
        &self,
        options: &PostgresOptions,
        connections: u32,
    ) -> Result<(PgPool, Route), OpenPostgresError> {
        let mut connection = options.connect().await.map_err(options.failed("connecting"))?;
        check_server(&mut connection, options).await?;
        self.migrate(&mut connection, options).await?;
        // Only a polite goodbye.
        drop(connection.close().await);
        Ok((options.pool(connections), options.route))
    }
}

async fn check_server(
    connection: &mut PgConnection,
    options: &PostgresOptions,
) -> Result<(), OpenPostgresError> {
    // As one plain statement: it works over any route.
    let row = sqlx::raw_sql(
        "SELECT current_setting('server_version_num')::integer, current_setting('server_version'), \
         pg_is_in_recovery(), current_setting('server_encoding'), current_setting('synchronous_commit'), \
         current_setting('fsync')",
    )
    .fetch_one(connection)
    .await
    .map_err(options.failed("asking for its settings"))?;
    let read = <(i32, String, bool, String, String, String) as sqlx::FromRow<_>>::from_row(&row);
    let (number, version, is_standby, encoding, commits, fsync) =
        read.map_err(options.failed("reading its settings"))?;
    let place = options.place();
    if number < OLDEST_SERVER {
        return Err(OpenPostgresError::ServerTooOld { found: version });
    }
    if is_standby {
        return Err(OpenPostgresError::Standby { place });
    }
    if encoding != "UTF8" {
        return Err(OpenPostgresError::Encoding { place, found: encoding });
    }
    if commits == "off" {
        return Err(OpenPostgresError::NotDurable { place });
    }
    if fsync == "off" {
        tracing::warn!(place, "the database runs with fsync = off: a power cut can destroy the log");
    }
    Ok(())
}

impl PostgresSchema {
    /// Runs the versions that the database has not been through, all in one transaction.
    async fn migrate(
        &self,
        connection: &mut PgConnection,
        options: &PostgresOptions,
    ) -> Result<(), OpenPostgresError> {
        let PostgresSchema { what, versions, migrations } = *self;
        let mut transaction = connection.begin().await.map_err(options.failed("beginning to migrate"))?;
        // Nodes that start at once take turns; the lock ends with the transaction.
        let lock = format!("SELECT pg_advisory_xact_lock({MIGRATION_LOCK})");
        run(&mut transaction, lock).await.map_err(options.failed("waiting to migrate"))?;
        let table = format!(
            "CREATE TABLE IF NOT EXISTS {versions} (version INTEGER PRIMARY KEY, since TIMESTAMPTZ NOT NULL)"
        );
        run(&mut transaction, table).await.map_err(options.failed("changing its schema"))?;
        let newest = format!("SELECT coalesce(max(version), 0)::bigint FROM {versions}");
        let found = sqlx::raw_sql(sqlx::AssertSqlSafe(newest))
            .fetch_one(&mut *transaction)
            .await
            .and_then(|row| sqlx::Row::try_get::<i64, _>(&row, 0))
            .map_err(options.failed("reading its schema version"))?;
        let done = usize::try_from(found).unwrap_or(usize::MAX);
        if done > migrations.len() {
            let place = options.place();
            return Err(OpenPostgresError::Newer { what, place, found, known: migrations.len() });
        }
        for (version, migration) in (1..).zip(migrations).skip(done) {
            run(&mut transaction, (*migration).to_owned())
                .await
                .map_err(options.failed("changing its schema"))?;
            let note = format!("INSERT INTO {versions} VALUES ({version}, clock_timestamp())");
            run(&mut transaction, note).await.map_err(options.failed("noting its schema version"))?;
        }
        transaction.commit().await.map_err(options.failed("changing its schema"))
    }
}

/// Runs statements of our own as plain text.
async fn run(connection: &mut PgConnection, sql: String) -> Result<(), sqlx::Error> {
    sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).execute(connection).await.map(|_done| ())
}

/// Where the log ends now.
pub(super) async fn head(
    connection: &mut PgConnection,
    options: &PostgresOptions,
) -> Result<Position, OpenPostgresError> {
    let head = sqlx::raw_sql("SELECT coalesce(max(position), 0) FROM events")
        .fetch_one(connection)
        .await
        .and_then(|row| sqlx::Row::try_get::<i64, _>(&row, 0))
        .map_err(options.failed("reading its head"))?;
    Ok(Position(head.cast_unsigned()))
}
