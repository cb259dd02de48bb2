//! The command side's tables: writing them inside the append's transaction.

use events::{RenderId, Slot, Timestamp};
use sqlx::PgConnection;

use super::ledger::end;
use super::record::{Query, stored};
use crate::store::{ApiKeyRow, IdempotencyRow, IdempotencyScope, LeaseKey, NewQueueRow, SideRow};

/// Makes one change.
pub(super) async fn write(
    connection: &mut PgConnection,
    named: bool,
    now: Timestamp,
    row: &SideRow,
) -> Result<(), sqlx::Error> {
    for query in changes(now, row) {
        query.persistent(named).execute(&mut *connection).await?;
    }
    Ok(())
}

/// The statements that make a change.
fn changes(now: Timestamp, row: &SideRow) -> Vec<Query<'_>> {
    vec![match row {
        SideRow::PutDocument { workspace, sha256, bytes } => sqlx::query(
            "INSERT INTO documents (workspace_id, sha256, bytes) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING",
        )
        .bind(workspace.to_string())
        .bind(sha256.0.to_vec())
        .bind(bytes.as_slice()),
        SideRow::PutIdempotency { scope, row, keep_ms } => put_idempotency(scope, row, end(now, *keep_ms)),
        SideRow::PutLease(key, ttl_ms) => put_lease(now, key, *ttl_ms),
        SideRow::DeleteLease(render, slot) => {
            of_slot("DELETE FROM leases WHERE render_id = $1 AND slot = $2", *render, *slot)
        }
        SideRow::Enqueue(row) => enqueue(now, row),
        SideRow::Dequeue(render, slot) => {
            of_slot("DELETE FROM work_queue WHERE render_id = $1 AND slot = $2", *render, *slot)
        }
        SideRow::ClearRender(render) => return clear_render(*render).into(),
        SideRow::OpenRender { render, workspace, deadline } => sqlx::query(
            "INSERT INTO renders (render_id, workspace_id, deadline) VALUES ($1, $2, $3) \
             ON CONFLICT (render_id) DO UPDATE SET \
             workspace_id = excluded.workspace_id, deadline = excluded.deadline, begun = FALSE",
        )
        .bind(render.to_string())
        .bind(workspace.to_string())
        .bind(deadline.map(|instant| instant.0)),
        // Of a render that is not there nothing can be begun: a log from elsewhere may know it, this table does not.
        SideRow::BeginRender(render, _) => {
            of_render("UPDATE renders SET begun = TRUE WHERE render_id = $1", *render)
        }
        SideRow::CloseRender(render) => {
            let [leases, queue] = clear_render(*render);
            return vec![leases, queue, of_render("DELETE FROM renders WHERE render_id = $1", *render)];
        }
        SideRow::PutArtifact(render) => sqlx::query(
            "INSERT INTO artifacts (render_id, finished_at) VALUES ($1, $2) \
             ON CONFLICT (render_id) DO UPDATE SET finished_at = excluded.finished_at",
        )
        .bind(render.to_string())
        .bind(now.0),
        SideRow::DeleteArtifact(render) => of_render("DELETE FROM artifacts WHERE render_id = $1", *render),
        SideRow::PutApiKey(row) => put_api_key(row),
        SideRow::DeleteApiKey(sha256) => {
            sqlx::query("DELETE FROM api_keys WHERE key_sha256 = $1").bind(sha256.0.to_vec())
        }
        SideRow::PutWorkspace(workspace) => {
            sqlx::query("INSERT INTO workspaces (workspace_id) VALUES ($1) ON CONFLICT DO NOTHING")
                .bind(workspace.to_string())
        }
        SideRow::SetConcurrency(workspace, concurrency) => {
            sqlx::query("UPDATE workspaces SET concurrency = $1 WHERE workspace_id = $2")
                .bind(concurrency.map(i64::from))
                .bind(workspace.to_string())
        }
        SideRow::PutSecret { workspace, name, bytes } => sqlx::query(
            "INSERT INTO secrets (workspace_id, name, bytes) VALUES ($1, $2, $3) \
             ON CONFLICT (workspace_id, name) DO UPDATE SET bytes = excluded.bytes",
        )
        .bind(workspace.to_string())
        .bind(name.as_str())
        .bind(bytes.as_slice()),
    }]
}

/// Removes some of the keys that have lapsed: more than a batch can add, few enough to go unnoticed.
pub(super) async fn drop_lapsed_idempotency(
    connection: &mut PgConnection,
    named: bool,
    now: Timestamp,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "DELETE FROM idempotency WHERE ctid = ANY (ARRAY( \
         SELECT ctid FROM idempotency WHERE expires_at <= $1 ORDER BY expires_at LIMIT 512))",
    )
    .persistent(named)
    .bind(now.0)
    .execute(connection)
    .await
    .map(|_done| ())
}

fn clear_render(render: RenderId) -> [Query<'static>; 2] {
    ["DELETE FROM leases WHERE render_id = $1", "DELETE FROM work_queue WHERE render_id = $1"]
        .map(|sql| of_render(sql, render))
}

fn of_render(sql: &'static str, render: RenderId) -> Query<'static> {
    sqlx::query(sql).bind(render.to_string())
}

fn of_slot(sql: &'static str, render: RenderId, slot: Slot) -> Query<'static> {
    sqlx::query(sql).bind(render.to_string()).bind(slot.to_string())
}

/// A row that is still here has lapsed, or the append would have been refused.
fn put_idempotency<'q>(scope: &'q IdempotencyScope, row: &'q IdempotencyRow, expires_at: i64) -> Query<'q> {
    sqlx::query(
        "INSERT INTO idempotency (workspace_id, path, key_sha256, body_sha256, stream_id, expires_at) \
         VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (workspace_id, path, key_sha256) DO UPDATE SET \
         body_sha256 = excluded.body_sha256, stream_id = excluded.stream_id, expires_at = excluded.expires_at",
    )
    .bind(scope.workspace.to_string())
    .bind(scope.path.as_str())
    .bind(scope.key_sha256.0.to_vec())
    .bind(row.body_sha256.0.to_vec())
    .bind(row.stream.as_str())
    .bind(expires_at)
}

fn put_lease(now: Timestamp, key: &LeaseKey, ttl_ms: u64) -> Query<'static> {
    sqlx::query(
        "INSERT INTO leases (render_id, slot, token, ttl_ms, expires_at) VALUES ($1, $2, $3, $4, $5) \
         ON CONFLICT (render_id, slot) DO UPDATE SET \
         token = excluded.token, ttl_ms = excluded.ttl_ms, expires_at = excluded.expires_at",
    )
    .bind(key.render.to_string())
    .bind(key.slot.to_string())
    .bind(stored(key.token.0.0))
    .bind(stored(ttl_ms))
    .bind(end(now, ttl_ms))
}

/// A slot that waits already keeps its turn.
fn enqueue(now: Timestamp, row: &NewQueueRow) -> Query<'_> {
    sqlx::query(
        "INSERT INTO work_queue \
         (render_id, slot, workspace_id, priority, fingerprint, not_before, begun, enqueued_at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (render_id, slot) DO UPDATE SET \
         workspace_id = excluded.workspace_id, priority = excluded.priority, \
         fingerprint = excluded.fingerprint, not_before = excluded.not_before, begun = excluded.begun",
    )
    .bind(row.render.to_string())
    .bind(row.slot.to_string())
    .bind(row.workspace.to_string())
    .bind(row.priority)
    .bind(row.fingerprint.as_deref().map(str::as_bytes))
    .bind(row.not_before.map(|instant| instant.0))
    .bind(row.begun)
    .bind(now.0)
}

fn put_api_key(row: &ApiKeyRow) -> Query<'static> {
    sqlx::query(
        "INSERT INTO api_keys (key_sha256, key_id, workspace_id) VALUES ($1, $2, $3) \
         ON CONFLICT (key_sha256) DO UPDATE SET key_id = excluded.key_id, workspace_id = excluded.workspace_id",
    )
    .bind(row.key_sha256.0.to_vec())
    .bind(row.key_id.to_string())
    .bind(row.workspace.to_string())
}
