//! The sequencer's transactions, on the one connection that writes.

use std::collections::BTreeSet;

use async_trait::async_trait;
use events::{Position, Recorded, Sha256, StreamId, StreamVersion, Timestamp, Token, WorkspaceId};
use serde_json::json;
use sqlx::sqlite::SqliteRow;
use sqlx::{Row as _, SqliteConnection};
use tracing::debug;

use super::clock::NOW;
use super::{failed, record, rows};
use crate::sequencer::batch::{Known, LeaseEnd, Needs, lease_end};
use crate::sequencer::{Ledger, Opening, WriteError};
use crate::store::{Head, IdempotencyScope, LeaseKey, SideRow, StoreError};

/// The connection that writes.
#[derive(Debug)]
pub(super) struct SqliteLedger {
    connection: SqliteConnection,
}

impl SqliteLedger {
    pub(super) fn new(connection: SqliteConnection) -> SqliteLedger {
        SqliteLedger { connection }
    }

    async fn learn_versions(&mut self, needs: &Needs, known: &mut Known) -> Result<(), sqlx::Error> {
        if needs.streams.is_empty() {
            return Ok(());
        }
        // One statement for any number of streams: each subquery is one step down the index of (stream,
        // version).
        let found: Vec<(String, Option<i64>)> = sqlx::query_as(
            "SELECT wanted.value, (SELECT max(stream_version) FROM events WHERE stream_id = wanted.value) \
             FROM json_each(?) AS wanted",
        )
        .bind(json!(needs.streams).to_string())
        .fetch_all(&mut self.connection)
        .await?;
        known.versions.extend(
            found
                .into_iter()
                .map(|(stream, version)| (StreamId::from_stored(stream), StreamVersion(count(version)))),
        );
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
        let wanted: Vec<_> = scopes.iter().map(|it| json!([it.workspace, it.path, it.key_sha256])).collect();
        let found: Vec<i64> = sqlx::query_scalar(
            "SELECT wanted.key FROM json_each(?) AS wanted CROSS JOIN idempotency AS held \
             ON held.workspace_id = wanted.value ->> 0 AND held.path = wanted.value ->> 1 \
             AND held.key_sha256 = unhex(wanted.value ->> 2) WHERE held.expires_at > ?",
        )
        .bind(json!(wanted).to_string())
        .bind(known.now.0)
        .fetch_all(&mut self.connection)
        .await?;
        known.taken.extend(found.into_iter().filter_map(|at| scopes.get(usize::try_from(at).ok()?)).cloned());
        Ok(())
    }

    async fn learn_slots(&mut self, needs: &Needs, known: &mut Known) -> Result<(), sqlx::Error> {
        if !needs.leases.is_empty() {
            let slots: Vec<_> = needs.leases.iter().collect();
            let found: Vec<(i64, i64, i64)> = sqlx::query_as(
                "SELECT wanted.key, held.token, held.expires_at \
                 FROM json_each(?) AS wanted CROSS JOIN leases AS held \
                 ON held.render_id = wanted.value ->> 0 AND held.slot = wanted.value ->> 1",
            )
            .bind(json!(slots).to_string())
            .fetch_all(&mut self.connection)
            .await?;
            known.leases.extend(found.into_iter().filter_map(|(at, token, expires_at)| {
                let end = LeaseEnd {
                    token: Token(StreamVersion(token.cast_unsigned())),
                    expires_at: Timestamp(expires_at),
                };
                Some((**slots.get(usize::try_from(at).ok()?)?, end))
            }));
        }
        if !needs.queued.is_empty() {
            let slots: Vec<_> = needs.queued.iter().collect();
            let found: Vec<i64> = sqlx::query_scalar(
                "SELECT wanted.key FROM json_each(?) AS wanted CROSS JOIN work_queue AS held \
                 ON held.render_id = wanted.value ->> 0 AND held.slot = wanted.value ->> 1",
            )
            .bind(json!(slots).to_string())
            .fetch_all(&mut self.connection)
            .await?;
            known
                .queued
                .extend(found.into_iter().filter_map(|at| Some(**slots.get(usize::try_from(at).ok()?)?)));
        }
        Ok(())
    }

    async fn learn_begun(
        &mut self,
        workspaces: &BTreeSet<WorkspaceId>,
        known: &mut Known,
    ) -> Result<(), sqlx::Error> {
        for workspace in workspaces {
            let begun: u32 =
                sqlx::query_scalar("SELECT count(*) FROM renders WHERE workspace_id = ? AND begun = 1")
                    .bind(workspace.to_string())
                    .fetch_one(&mut self.connection)
                    .await?;
            known.begun.insert(*workspace, begun);
        }
        Ok(())
    }
}

#[async_trait]
impl Ledger for SqliteLedger {
    async fn begin(&mut self) -> Result<Opening, StoreError> {
        // Immediate: the lock first, then everything read under it. Two statements in one trip to SQLite's
        // thread.
        let row = sqlx::query(concat!(
            "BEGIN IMMEDIATE; SELECT ",
            NOW!(),
            ", last.position, last.hash, last.recorded_at FROM (SELECT 1) LEFT JOIN \
             (SELECT position, hash, recorded_at FROM events ORDER BY position DESC LIMIT 1) AS last"
        ))
        .fetch_one(&mut self.connection)
        .await
        .map_err(failed("taking its write lock"))?;
        opening(&row).map_err(failed("reading its head"))
    }

    async fn learn(&mut self, needs: &Needs, known: &mut Known) -> Result<(), StoreError> {
        self.learn_versions(needs, known).await.map_err(failed("reading stream versions"))?;
        self.learn_scopes(&needs.scopes, known).await.map_err(failed("reading idempotency keys"))?;
        self.learn_slots(needs, known).await.map_err(failed("reading leases and queue"))?;
        self.learn_begun(&needs.begun, known).await.map_err(failed("counting renders in work"))
    }

    async fn write(
        &mut self,
        now: Timestamp,
        events: &[&[Recorded]],
        side_rows: &[&SideRow],
    ) -> Result<(), WriteError> {
        let events: Vec<_> = events.iter().copied().flatten().collect();
        record::insert(&mut self.connection, &events).await.map_err(refused("inserting events"))?;
        for row in side_rows {
            rows::write(&mut self.connection, now, row).await.map_err(refused("writing side rows"))?;
        }
        if side_rows.iter().any(|row| matches!(row, SideRow::PutIdempotency { .. })) {
            rows::drop_lapsed_idempotency(&mut self.connection, now)
                .await
                .map_err(refused("dropping lapsed keys"))?;
        }
        Ok(())
    }

    async fn extend(&mut self, now: Timestamp, leases: &[LeaseKey]) -> Result<Vec<LeaseKey>, StoreError> {
        let mut extended = Vec::with_capacity(leases.len());
        for lease in leases {
            let done = sqlx::query(
                "UPDATE leases SET expires_at = ?1 + ttl_ms * 1000 \
                 WHERE render_id = ?2 AND slot = ?3 AND token = ?4 AND expires_at > ?1",
            )
            .bind(now.0)
            .bind(lease.render.to_string())
            .bind(lease.slot.to_string())
            .bind(record::stored(lease.token.0.0))
            .execute(&mut self.connection)
            .await
            .map_err(failed("extending leases"))?;
            if done.rows_affected() > 0 {
                extended.push(*lease);
            }
        }
        Ok(extended)
    }

    async fn expire_all(&mut self, now: Timestamp) -> Result<(), StoreError> {
        sqlx::query("UPDATE leases SET expires_at = ?1 WHERE expires_at > ?1")
            .bind(now.0)
            .execute(&mut self.connection)
            .await
            .map(|_done| ())
            .map_err(failed("ending leases"))
    }

    async fn commit(&mut self) -> Result<(), StoreError> {
        sqlx::query("COMMIT")
            .execute(&mut self.connection)
            .await
            .map(|_done| ())
            .map_err(failed("committing"))
    }

    async fn rollback(&mut self) {
        // After some failures SQLite has rolled back by itself, and there is nothing left to undo.
        if let Err(error) = sqlx::query("ROLLBACK").execute(&mut self.connection).await {
            debug!(error = &error as &dyn std::error::Error, "nothing to roll back");
        }
    }
}

fn opening(row: &SqliteRow) -> Result<Opening, sqlx::Error> {
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

/// Tells a broken constraint from a failing database.
fn refused(doing: &'static str) -> impl FnOnce(sqlx::Error) -> WriteError {
    move |error| {
        use sqlx::error::ErrorKind;
        let kind = error.as_database_error().map(sqlx::error::DatabaseError::kind);
        let broken = matches!(
            kind,
            Some(
                ErrorKind::UniqueViolation
                    | ErrorKind::NotNullViolation
                    | ErrorKind::CheckViolation
                    | ErrorKind::ForeignKeyViolation
            )
        );
        let error = failed(doing)(error);
        if broken { WriteError::Constraint(error) } else { WriteError::Failed(error) }
    }
}

/// When a row written now lapses.
pub(super) fn end(now: Timestamp, duration_ms: u64) -> i64 {
    lease_end(now, duration_ms).0
}
