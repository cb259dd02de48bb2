//! The sequencer's transactions, on the one connection that writes.
//!
//! Several nodes append: the lock on the row of `log_head` excludes all but one, and what a node remembers of the log
//! holds only where the log still ends where it left it (the sequencer sees to that). A node that stops in the middle
//! of a transaction loses the lock after [`LIMITS`].

use std::time::Duration;

use async_trait::async_trait;
use events::{Position, Recorded, Sha256, StreamId, StreamVersion, Timestamp, Token};
use sqlx::postgres::PgRow;
use sqlx::{Connection as _, PgConnection, Row as _};
use tracing::{debug, warn};

use super::clock::THIS_MOMENT;
use super::listener::CHANNEL;
use super::open::{PostgresOptions, Route};
use super::record::{self, stored};
use super::{failed, rows};
use crate::sequencer::batch::{Known, LeaseEnd, Needs, lease_end};
use crate::sequencer::{Ledger, Opening, WriteError};
use crate::store::{Head, IdempotencyScope, LeaseKey, SideRow, StoreError};

/// What the server ends by itself, whatever becomes of us: a wait for the lock, a statement, a transaction in which
/// nothing happens. For this transaction only: over a pooler the session is somebody else's afterwards.
macro_rules! limits {
    () => {
        "SET LOCAL lock_timeout = '10s'; SET LOCAL statement_timeout = '30s'; \
         SET LOCAL idle_in_transaction_session_timeout = '10s'"
    };
}

/// The lock first, and everything else in statements after it: each sees what was committed before it began.
const BEGIN: &str = concat!(
    "BEGIN ISOLATION LEVEL READ COMMITTED; ",
    limits!(),
    "; SELECT the_only_one FROM log_head FOR UPDATE; SELECT ",
    THIS_MOMENT!(),
    ", last.position, last.hash, last.recorded_at FROM (SELECT 1) AS always LEFT JOIN \
     (SELECT position, hash, recorded_at FROM events ORDER BY position DESC LIMIT 1) AS last ON TRUE"
);

/// Longer than any of the limits above: past this the connection is given up, not waited for.
const PATIENCE: Duration = Duration::from_secs(45);
/// A rollback has nothing to wait for.
const ROLLBACK_PATIENCE: Duration = Duration::from_secs(5);

/// The connection that writes; made anew when it is lost.
pub(super) struct PostgresLedger {
    options: PostgresOptions,
    connection: Option<PgConnection>,
    /// The end of the log as this transaction leaves it, where it moves it.
    appended: Option<Position>,
}

impl PostgresLedger {
    pub(super) fn new(options: PostgresOptions, connection: PgConnection) -> PostgresLedger {
        PostgresLedger { options, connection: Some(connection), appended: None }
    }

    /// Whether statements may have names.
    fn named(&self) -> bool {
        self.options.route() == Route::Direct
    }

    /// The connection of the transaction that has begun.
    fn connection(&mut self) -> Result<&mut PgConnection, sqlx::Error> {
        self.connection.as_mut().ok_or_else(|| sqlx::Error::Io(std::io::ErrorKind::NotConnected.into()))
    }
}

/// Whatever the network does, nobody waits for ever.
async fn within<T>(
    patience: Duration,
    work: impl Future<Output = Result<T, sqlx::Error>>,
) -> Result<T, sqlx::Error> {
    let elapsed = || Err(sqlx::Error::Io(std::io::ErrorKind::TimedOut.into()));
    tokio::time::timeout(patience, work).await.unwrap_or_else(|_elapsed| elapsed())
}

/// Whether the connection is gone, and not the statement wrong.
fn is_lost(error: &sqlx::Error) -> bool {
    match error.as_database_error() {
        // Connection exceptions, and what a server says that stops or starts.
        Some(told) => told.code().is_some_and(|code| code.starts_with("08") || code.starts_with("57P")),
        None => true,
    }
}

impl PostgresLedger {
    async fn try_begin(&mut self) -> Result<Opening, sqlx::Error> {
        if self.connection.is_none() {
            self.connection = Some(self.options.connect().await?);
        }
        let rows = within(PATIENCE, sqlx::raw_sql(BEGIN).fetch_all(self.connection()?)).await?;
        match rows.as_slice() {
            [_lock, row] => opening(row),
            _ => Err(sqlx::Error::Protocol("log_head has no row to lock".to_owned())),
        }
    }

    async fn learn_versions(&mut self, needs: &Needs, known: &mut Known) -> Result<(), sqlx::Error> {
        if needs.streams.is_empty() {
            return Ok(());
        }
        // Each subquery is one step down the index of (stream, version).
        let wanted: Vec<&str> = needs.streams.iter().map(StreamId::as_str).collect();
        let found: Vec<(String, Option<i64>)> = sqlx::query_as(
            "SELECT wanted, (SELECT max(stream_version) FROM events WHERE stream_id = wanted) \
             FROM unnest($1::text[]) AS wanted",
        )
        .persistent(self.named())
        .bind(wanted)
        .fetch_all(self.connection()?)
        .await?;
        let version = |found: Option<i64>| StreamVersion(count(found));
        known.versions.extend(found.into_iter().map(|(name, at)| (StreamId::from_stored(name), version(at))));
        Ok(())
    }

    async fn learn_scopes(
        &mut self,
        scopes: &[IdempotencyScope],
        known: &mut Known,
    ) -> Result<(), sqlx::Error> {
        if scopes.is_empty() {
            return Ok(());
        }
        let found: Vec<i64> = sqlx::query_scalar(
            "SELECT wanted.at FROM unnest($1::text[], $2::text[], $3::bytea[]) WITH ORDINALITY \
             AS wanted (workspace_id, path, key_sha256, at) \
             JOIN idempotency AS held USING (workspace_id, path, key_sha256) WHERE held.expires_at > $4",
        )
        .persistent(self.named())
        .bind(scopes.iter().map(|it| it.workspace.to_string()).collect::<Vec<_>>())
        .bind(scopes.iter().map(|it| it.path.as_str()).collect::<Vec<_>>())
        .bind(scopes.iter().map(|it| it.key_sha256.0.to_vec()).collect::<Vec<_>>())
        .bind(known.now.0)
        .fetch_all(self.connection()?)
        .await?;
        known.taken.extend(found.into_iter().filter_map(|at| scopes.get(place(at)?)).cloned());
        Ok(())
    }

    async fn learn_leases(&mut self, needs: &Needs, known: &mut Known) -> Result<(), sqlx::Error> {
        if needs.leases.is_empty() {
            return Ok(());
        }
        let slots: Vec<_> = needs.leases.iter().collect();
        let found: Vec<(i64, i64, i64)> = sqlx::query_as(
            "SELECT wanted.at, held.token, held.expires_at FROM unnest($1::text[], $2::text[]) WITH ORDINALITY \
             AS wanted (render_id, slot, at) JOIN leases AS held USING (render_id, slot)",
        )
        .persistent(self.named())
        .bind(slots.iter().map(|(render, _)| render.to_string()).collect::<Vec<_>>())
        .bind(slots.iter().map(|(_, slot)| slot.to_string()).collect::<Vec<_>>())
        .fetch_all(self.connection()?)
        .await?;
        known.leases.extend(found.into_iter().filter_map(|(at, token, expires_at)| {
            let token = Token(StreamVersion(token.cast_unsigned()));
            Some((**slots.get(place(at)?)?, LeaseEnd { token, expires_at: Timestamp(expires_at) }))
        }));
        Ok(())
    }

    async fn learn_queued(&mut self, needs: &Needs, known: &mut Known) -> Result<(), sqlx::Error> {
        if needs.queued.is_empty() {
            return Ok(());
        }
        let slots: Vec<_> = needs.queued.iter().collect();
        let found: Vec<i64> = sqlx::query_scalar(
            "SELECT wanted.at FROM unnest($1::text[], $2::text[]) WITH ORDINALITY \
             AS wanted (render_id, slot, at) JOIN work_queue AS held USING (render_id, slot)",
        )
        .persistent(self.named())
        .bind(slots.iter().map(|(render, _)| render.to_string()).collect::<Vec<_>>())
        .bind(slots.iter().map(|(_, slot)| slot.to_string()).collect::<Vec<_>>())
        .fetch_all(self.connection()?)
        .await?;
        known.queued.extend(found.into_iter().filter_map(|at| Some(**slots.get(place(at)?)?)));
        Ok(())
    }

    async fn learn_begun(&mut self, needs: &Needs, known: &mut Known) -> Result<(), sqlx::Error> {
        if needs.begun.is_empty() {
            return Ok(());
        }
        let workspaces: Vec<_> = needs.begun.iter().collect();
        let found: Vec<(i64, i64)> = sqlx::query_as(
            "SELECT wanted.at, (SELECT count(*) FROM renders WHERE renders.workspace_id = wanted.id AND begun) \
             FROM unnest($1::text[]) WITH ORDINALITY AS wanted (id, at)",
        )
        .persistent(self.named())
        .bind(workspaces.iter().map(|workspace| workspace.to_string()).collect::<Vec<_>>())
        .fetch_all(self.connection()?)
        .await?;
        known.begun.extend(found.into_iter().filter_map(|(at, begun)| {
            Some((**workspaces.get(place(at)?)?, u32::try_from(begun).unwrap_or(u32::MAX)))
        }));
        Ok(())
    }

    async fn learn_all(&mut self, needs: &Needs, known: &mut Known) -> Result<(), StoreError> {
        self.learn_versions(needs, known).await.map_err(failed("reading stream versions"))?;
        self.learn_scopes(&needs.scopes, known).await.map_err(failed("reading idempotency keys"))?;
        self.learn_leases(needs, known).await.map_err(failed("reading leases"))?;
        self.learn_queued(needs, known).await.map_err(failed("reading the work queue"))?;
        self.learn_begun(needs, known).await.map_err(failed("counting renders in work"))
    }
}

#[async_trait]
impl Ledger for PostgresLedger {
    async fn begin(&mut self) -> Result<Opening, StoreError> {
        self.appended = None;
        let was_idle = self.connection.is_some();
        let begun = match self.try_begin().await {
            // It was lost while nothing was going on (the server restarted, say), and nothing has been done yet.
            Err(error) if was_idle && is_lost(&error) => {
                debug!(error = &error as &dyn std::error::Error, "connecting again");
                self.connection = None;
                self.try_begin().await
            }
            begun => begun,
        };
        begun.map_err(failed("taking its write lock"))
    }

    async fn learn(&mut self, needs: &Needs, known: &mut Known) -> Result<(), StoreError> {
        let learned = tokio::time::timeout(PATIENCE, self.learn_all(needs, known)).await;
        learned.unwrap_or_else(|_elapsed| Err(silent("reading what a batch needs")))
    }

    async fn write(
        &mut self,
        now: Timestamp,
        events: &[&[Recorded]],
        side_rows: &[&SideRow],
    ) -> Result<(), WriteError> {
        let named = self.named();
        let events: Vec<_> = events.iter().copied().flatten().collect();
        self.appended = events.last().map(|last| last.position);
        let connection = self.connection().map_err(refused("inserting events"))?;
        let inserted = within(PATIENCE, record::insert(connection, named, &events)).await;
        inserted.map_err(refused("inserting events"))?;
        for row in side_rows {
            let written = within(PATIENCE, rows::write(connection, named, now, row)).await;
            written.map_err(refused("writing side rows"))?;
        }
        if side_rows.iter().any(|row| matches!(row, SideRow::PutIdempotency { .. })) {
            let dropped = within(PATIENCE, rows::drop_lapsed_idempotency(connection, named, now)).await;
            dropped.map_err(refused("dropping lapsed keys"))?;
        }
        Ok(())
    }

    async fn extend(&mut self, now: Timestamp, leases: &[LeaseKey]) -> Result<Vec<LeaseKey>, StoreError> {
        let named = self.named();
        let connection = self.connection().map_err(failed("extending leases"))?;
        let live: Result<Vec<i64>, _> = within(
            PATIENCE,
            sqlx::query_scalar(
                "UPDATE leases SET expires_at = $1 + leases.ttl_ms * 1000 \
                 FROM unnest($2::text[], $3::text[], $4::bigint[]) WITH ORDINALITY \
                 AS wanted (render_id, slot, token, at) \
                 WHERE (leases.render_id, leases.slot, leases.token) = (wanted.render_id, wanted.slot, wanted.token) \
                 AND leases.expires_at > $1 RETURNING wanted.at",
            )
            .persistent(named)
            .bind(now.0)
            .bind(leases.iter().map(|it| it.render.to_string()).collect::<Vec<_>>())
            .bind(leases.iter().map(|it| it.slot.to_string()).collect::<Vec<_>>())
            .bind(leases.iter().map(|it| stored(it.token.0.0)).collect::<Vec<_>>())
            .fetch_all(connection),
        )
        .await;
        let live = live.map_err(failed("extending leases"))?;
        Ok(live.into_iter().filter_map(|at| leases.get(place(at)?)).copied().collect())
    }

    async fn expire_all(&mut self, now: Timestamp) -> Result<(), StoreError> {
        let named = self.named();
        let connection = self.connection().map_err(failed("ending leases"))?;
        let ended = sqlx::query("UPDATE leases SET expires_at = $1 WHERE expires_at > $1")
            .persistent(named)
            .bind(now.0)
            .execute(connection);
        within(PATIENCE, ended).await.map(|_done| ()).map_err(failed("ending leases"))
    }

    async fn commit(&mut self) -> Result<(), StoreError> {
        // One notification a batch: each takes a lock that all of the server's databases share.
        let sql = match self.appended {
            Some(Position(head)) => format!("NOTIFY {CHANNEL}, '{head}'; COMMIT"),
            None => "COMMIT".to_owned(),
        };
        let connection = self.connection().map_err(failed("committing"))?;
        let committed = sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).execute(connection);
        within(PATIENCE, committed).await.map(|_done| ()).map_err(failed("committing"))
    }

    async fn rollback(&mut self) {
        let Some(mut connection) = self.connection.take() else { return };
        match within(ROLLBACK_PATIENCE, sqlx::raw_sql("ROLLBACK").execute(&mut connection)).await {
            Ok(_done) => self.connection = Some(connection),
            Err(error) => {
                // The server ends the transaction with the connection.
                warn!(error = &error as &dyn std::error::Error, "giving up the connection that writes");
                drop(connection.close_hard().await);
            }
        }
    }
}

fn opening(row: &PgRow) -> Result<Opening, sqlx::Error> {
    let hash: Option<Vec<u8>> = row.try_get(2)?;
    let hash = hash.and_then(|hash| hash.try_into().ok()).map_or(crate::chain::GENESIS, Sha256);
    let last_recorded_at: Option<i64> = row.try_get(3)?;
    Ok(Opening {
        now: Timestamp(row.try_get(0)?),
        head: Head { position: Position(count(row.try_get(1)?)), hash },
        last_recorded_at: Timestamp(last_recorded_at.unwrap_or(i64::MIN)),
    })
}

/// A stored count, 0 where there is none.
fn count(stored: Option<i64>) -> u64 {
    stored.map_or(0, i64::cast_unsigned)
}

/// The index that an ordinality is about: they count from 1.
fn place(ordinality: i64) -> Option<usize> {
    usize::try_from(ordinality - 1).ok()
}

fn silent(doing: &'static str) -> StoreError {
    failed(doing)(sqlx::Error::Io(std::io::ErrorKind::TimedOut.into()))
}

/// Tells a request that can't be written from a failing database.
fn refused(doing: &'static str) -> impl FnOnce(sqlx::Error) -> WriteError {
    move |error| {
        // Data exceptions (22), broken constraints (23) and rows beyond a limit (54) are one request's fault.
        let code = error.as_database_error().and_then(|told| told.code());
        let broken = code.is_some_and(|code| ["22", "23", "54"].iter().any(|class| code.starts_with(class)));
        let error = failed(doing)(error);
        if broken { WriteError::Constraint(error) } else { WriteError::Failed(error) }
    }
}

/// When a row written now lapses.
pub(super) fn end(now: Timestamp, duration_ms: u64) -> i64 {
    lease_end(now, duration_ms).0
}
