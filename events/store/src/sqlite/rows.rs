//! The command side's tables: writing them inside the append's transaction.

use events::{RenderId, Slot, Timestamp};
use sqlx::SqliteConnection;

use super::ledger::end;
use super::record::stored;
use crate::store::{ApiKeyRow, IdempotencyRow, IdempotencyScope, LeaseKey, NewQueueRow, SideRow};

/// Makes one change.
pub(super) async fn write(
    connection: &mut SqliteConnection,
    now: Timestamp,
    row: &SideRow,
) -> Result<(), sqlx::Error> {
    let query = match row {
        SideRow::PutDocument { workspace, sha256, bytes } => sqlx::query(
            "INSERT INTO documents (workspace_id, sha256, bytes) VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
        )
        .bind(workspace.to_string())
        .bind(sha256.0.to_vec())
        .bind(bytes.as_slice()),
        SideRow::PutIdempotency { scope, row, keep_ms } => {
            return put_idempotency(connection, scope, row, end(now, *keep_ms)).await;
        }
        SideRow::PutLease(key, ttl_ms) => return put_lease(connection, now, key, *ttl_ms).await,
        SideRow::DeleteLease(render, slot) => {
            sqlx::query("DELETE FROM leases WHERE render_id = ? AND slot = ?")
                .bind(render.to_string())
                .bind(slot.to_string())
        }
        SideRow::Enqueue(row) => return enqueue(connection, now, row).await,
        SideRow::Dequeue(render, slot) => return dequeue(connection, *render, *slot).await,
        SideRow::ClearRender(render) => return clear_render(connection, *render).await,
        SideRow::OpenRender { render, workspace, deadline } => {
            sqlx::query("INSERT OR REPLACE INTO renders (render_id, workspace_id, deadline) VALUES (?, ?, ?)")
                .bind(render.to_string())
                .bind(workspace.to_string())
                .bind(deadline.map(|instant| instant.0))
        }
        // Of a render that is not there nothing can be begun: a log from elsewhere may know it, this table does not.
        SideRow::BeginRender(render, _) => {
            sqlx::query("UPDATE renders SET begun = 1 WHERE render_id = ?").bind(render.to_string())
        }
        SideRow::CloseRender(render) => {
            clear_render(&mut *connection, *render).await?;
            sqlx::query("DELETE FROM renders WHERE render_id = ?").bind(render.to_string())
        }
        SideRow::PutArtifact(render) => {
            sqlx::query("INSERT OR REPLACE INTO artifacts (render_id, finished_at) VALUES (?, ?)")
                .bind(render.to_string())
                .bind(now.0)
        }
        SideRow::DeleteArtifact(render) => {
            sqlx::query("DELETE FROM artifacts WHERE render_id = ?").bind(render.to_string())
        }
        SideRow::PutApiKey(row) => return put_api_key(connection, row).await,
        SideRow::DeleteApiKey(sha256) => {
            sqlx::query("DELETE FROM api_keys WHERE key_sha256 = ?").bind(sha256.0.to_vec())
        }
        SideRow::PutWorkspace(workspace) => {
            sqlx::query("INSERT INTO workspaces (workspace_id) VALUES (?) ON CONFLICT DO NOTHING")
                .bind(workspace.to_string())
        }
        SideRow::SetConcurrency(workspace, concurrency) => {
            sqlx::query("UPDATE workspaces SET concurrency = ? WHERE workspace_id = ?")
                .bind(*concurrency)
                .bind(workspace.to_string())
        }
        SideRow::PutSecret { workspace, name, bytes } => {
            sqlx::query("INSERT OR REPLACE INTO secrets (workspace_id, name, bytes) VALUES (?, ?, ?)")
                .bind(workspace.to_string())
                .bind(name.as_str())
                .bind(bytes.as_slice())
        }
    };
    query.execute(connection).await.map(|_done| ())
}

/// Removes some of the keys that have lapsed: more than a batch can add, few enough to go unnoticed.
pub(super) async fn drop_lapsed_idempotency(
    connection: &mut SqliteConnection,
    now: Timestamp,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "DELETE FROM idempotency WHERE rowid IN \
         (SELECT rowid FROM idempotency WHERE expires_at <= ? ORDER BY expires_at LIMIT 512)",
    )
    .bind(now.0)
    .execute(connection)
    .await
    .map(|_done| ())
}

/// A row that is still here has lapsed, or the append would have been refused.
async fn put_idempotency(
    connection: &mut SqliteConnection,
    scope: &IdempotencyScope,
    row: &IdempotencyRow,
    expires_at: i64,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "INSERT OR REPLACE INTO idempotency \
         (workspace_id, path, key_sha256, body_sha256, stream_id, expires_at) VALUES (?, ?, ?, ?, ?, ?)",
    )
    .bind(scope.workspace.to_string())
    .bind(scope.path.as_str())
    .bind(scope.key_sha256.0.to_vec())
    .bind(row.body_sha256.0.to_vec())
    .bind(row.stream.as_str())
    .bind(expires_at)
    .execute(connection)
    .await
    .map(|_done| ())
}

async fn put_lease(
    connection: &mut SqliteConnection,
    now: Timestamp,
    key: &LeaseKey,
    ttl_ms: u64,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "INSERT OR REPLACE INTO leases (render_id, slot, token, ttl_ms, expires_at) VALUES (?, ?, ?, ?, ?)",
    )
    .bind(key.render.to_string())
    .bind(key.slot.to_string())
    .bind(stored(key.token.0.0))
    .bind(stored(ttl_ms))
    .bind(end(now, ttl_ms))
    .execute(connection)
    .await
    .map(|_done| ())
}

/// A slot that waits already keeps its turn.
async fn enqueue(
    connection: &mut SqliteConnection,
    now: Timestamp,
    row: &NewQueueRow,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "INSERT INTO work_queue \
         (render_id, slot, workspace_id, priority, fingerprint, not_before, begun, enqueued_at) \
         VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (render_id, slot) DO UPDATE SET \
         workspace_id = excluded.workspace_id, priority = excluded.priority, \
         fingerprint = excluded.fingerprint, not_before = excluded.not_before, begun = excluded.begun",
    )
    .bind(row.render.to_string())
    .bind(row.slot.to_string())
    .bind(row.workspace.to_string())
    .bind(row.priority)
    .bind(row.fingerprint.as_deref())
    .bind(row.not_before.map(|instant| instant.0))
    .bind(row.begun)
    .bind(now.0)
    .execute(connection)
    .await
    .map(|_done| ())
}

async fn dequeue(connection: &mut SqliteConnection, render: RenderId, slot: Slot) -> Result<(), sqlx::Error> {
    sqlx::query("DELETE FROM work_queue WHERE render_id = ? AND slot = ?")
        .bind(render.to_string())
        .bind(slot.to_string())
        .execute(connection)
        .await
        .map(|_done| ())
}

async fn clear_render(connection: &mut SqliteConnection, render: RenderId) -> Result<(), sqlx::Error> {
    for sql in ["DELETE FROM leases WHERE render_id = ?", "DELETE FROM work_queue WHERE render_id = ?"] {
        sqlx::query(sql).bind(render.to_string()).execute(&mut *connection).await?;
    }
    Ok(())
}

async fn put_api_key(connection: &mut SqliteConnection, row: &ApiKeyRow) -> Result<(), sqlx::Error> {
    sqlx::query("INSERT OR REPLACE INTO api_keys (key_sha256, key_id, workspace_id) VALUES (?, ?, ?)")
        .bind(row.key_sha256.0.to_vec())
        .bind(row.key_id.to_string())
        .bind(row.workspace.to_string())
        .execute(connection)
        .await
        .map(|_done| ())
}
