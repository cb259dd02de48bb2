//! Reading the work queue and the leases.

use events::{RenderId, StreamVersion, Timestamp, Token, WorkspaceId};
use sqlx::sqlite::SqliteRow;
use sqlx::{Row as _, SqlitePool};

use super::clock::NOW;
use crate::store::{Census, LeaseKey, LeaseRow, NewQueueRow, QueueRow, WorkspaceLoad};

/// See [`crate::EventStore::due_work`].
///
/// The first part steps from workspace to workspace along the index, the second takes each one's first due
/// rows: the cost is that of the answer, not of the queue's length.
pub(super) async fn due_work(
    pool: &SqlitePool,
    limit: u32,
    per_workspace: u32,
) -> Result<Vec<QueueRow>, sqlx::Error> {
    sqlx::query(concat!(
        "WITH RECURSIVE moment(now) AS (SELECT ",
        NOW!(),
        "), waiting(workspace_id) AS ( \
             SELECT min(workspace_id) FROM work_queue \
             UNION ALL \
             SELECT (SELECT min(workspace_id) FROM work_queue WHERE workspace_id > waiting.workspace_id) \
             FROM waiting WHERE waiting.workspace_id IS NOT NULL), \
         kinds(begun) AS (VALUES (0), (1)) \
         SELECT render_id, slot, work_queue.workspace_id, priority, fingerprint, not_before, \
             work_queue.begun, enqueued_at \
         FROM moment CROSS JOIN waiting CROSS JOIN kinds CROSS JOIN work_queue ON work_queue.arrival IN ( \
             SELECT arrival FROM work_queue AS own \
             WHERE own.workspace_id = waiting.workspace_id AND own.begun = kinds.begun \
             AND coalesce(own.not_before, moment.now) <= moment.now \
             ORDER BY own.priority DESC, own.render_id, own.arrival LIMIT ?) \
         ORDER BY priority DESC, row_number() OVER ( \
                 PARTITION BY work_queue.workspace_id, priority \
                 ORDER BY work_queue.begun DESC, render_id, arrival), \
             render_id, arrival LIMIT ?"
    ))
    .bind(per_workspace)
    .bind(limit)
    .fetch_all(pool)
    .await?
    .iter()
    .map(queue_row)
    .collect()
}

/// See [`crate::EventStore::queue_position`].
pub(super) async fn position(pool: &SqlitePool, render: RenderId) -> Result<Option<u64>, sqlx::Error> {
    let before: Option<i64> = sqlx::query_scalar(
        "WITH own AS (SELECT priority, render_id FROM work_queue WHERE render_id = ? AND begun = 0 LIMIT 1) \
         SELECT (SELECT count(DISTINCT render_id) FROM work_queue AS other \
                 WHERE other.begun = 0 AND other.priority > own.priority) \
              + (SELECT count(DISTINCT render_id) FROM work_queue AS other \
                 WHERE other.begun = 0 AND other.priority = own.priority AND other.render_id < own.render_id) \
         FROM own",
    )
    .bind(render.to_string())
    .fetch_optional(pool)
    .await?;
    Ok(before.map(i64::cast_unsigned))
}

/// See [`crate::EventStore::waiting`].
pub(super) async fn waiting(pool: &SqlitePool) -> Result<Vec<RenderId>, sqlx::Error> {
    let rows =
        sqlx::query("SELECT render_id FROM work_queue WHERE begun = 0 ORDER BY priority DESC, render_id");
    let rows = rows.fetch_all(pool).await?;
    let mut waiting = rows.iter().map(|row| parsed(row, 0)).collect::<Result<Vec<_>, _>>()?;
    waiting.dedup();
    Ok(waiting)
}

/// See [`crate::EventStore::loads`].
pub(super) async fn loads(pool: &SqlitePool) -> Result<Vec<WorkspaceLoad>, sqlx::Error> {
    let rows = sqlx::query(
        "SELECT workspace_id, count(*), \
             (SELECT concurrency FROM workspaces WHERE workspaces.workspace_id = renders.workspace_id) \
         FROM renders WHERE begun = 1 GROUP BY workspace_id \
         UNION ALL \
         SELECT workspace_id, 0, concurrency FROM workspaces WHERE concurrency IS NOT NULL \
         AND NOT EXISTS (SELECT 1 FROM renders WHERE renders.workspace_id = workspaces.workspace_id AND begun = 1)",
    )
    .fetch_all(pool)
    .await?;
    let load = |row: &SqliteRow| {
        let (workspace, begun, concurrency) = (parsed(row, 0)?, row.try_get(1)?, row.try_get(2)?);
        Ok(WorkspaceLoad { workspace, begun, concurrency })
    };
    rows.iter().map(load).collect()
}

/// See [`crate::EventStore::census`].
pub(super) async fn census(pool: &SqlitePool) -> Result<Census, sqlx::Error> {
    let row = sqlx::query(concat!(
        "SELECT (SELECT count(*) FROM renders WHERE begun = 0), (SELECT count(*) FROM renders WHERE begun = 1), \
             (SELECT count(*) FROM work_queue), (SELECT min(enqueued_at) FROM work_queue), \
             (SELECT count(*) FROM leases WHERE expires_at > ",
        NOW!(),
        ")"
    ))
    .fetch_one(pool)
    .await?;
    let count = |column: usize| row.try_get(column).map(i64::cast_unsigned);
    Ok(Census {
        renders_waiting: count(0)?,
        renders_begun: count(1)?,
        slots_waiting: count(2)?,
        oldest_waiting: row.try_get::<Option<i64>, _>(3)?.map(Timestamp),
        leases: count(4)?,
    })
}

/// See [`crate::EventStore::overdue_renders`].
pub(super) async fn overdue(pool: &SqlitePool, limit: u32) -> Result<Vec<RenderId>, sqlx::Error> {
    let rows = sqlx::query(concat!(
        "SELECT render_id FROM renders WHERE deadline <= ",
        NOW!(),
        " ORDER BY deadline LIMIT ?"
    ));
    rows.bind(limit).fetch_all(pool).await?.iter().map(|row| parsed(row, 0)).collect()
}

/// See [`crate::EventStore::artifacts_finished_by`].
pub(super) async fn finished_by(
    pool: &SqlitePool,
    instant: Timestamp,
    limit: u32,
) -> Result<Vec<RenderId>, sqlx::Error> {
    let rows =
        sqlx::query("SELECT render_id FROM artifacts WHERE finished_at <= ? ORDER BY finished_at LIMIT ?");
    rows.bind(instant.0).bind(limit).fetch_all(pool).await?.iter().map(|row| parsed(row, 0)).collect()
}

/// See [`crate::EventStore::expired_leases`].
pub(super) async fn expired(pool: &SqlitePool, limit: u32) -> Result<Vec<LeaseRow>, sqlx::Error> {
    sqlx::query(concat!(
        "SELECT render_id, slot, token, ttl_ms, expires_at FROM leases WHERE expires_at <= ",
        NOW!(),
        " ORDER BY expires_at LIMIT ?"
    ))
    .bind(limit)
    .fetch_all(pool)
    .await?
    .iter()
    .map(lease_row)
    .collect()
}

fn queue_row(row: &SqliteRow) -> Result<QueueRow, sqlx::Error> {
    Ok(QueueRow {
        row: NewQueueRow {
            render: parsed(row, 0)?,
            slot: parsed(row, 1)?,
            workspace: parsed::<WorkspaceId>(row, 2)?,
            priority: row.try_get(3)?,
            fingerprint: row.try_get(4)?,
            not_before: row.try_get::<Option<i64>, _>(5)?.map(Timestamp),
            begun: row.try_get(6)?,
        },
        enqueued_at: Timestamp(row.try_get(7)?),
    })
}

fn lease_row(row: &SqliteRow) -> Result<LeaseRow, sqlx::Error> {
    let token: i64 = row.try_get(2)?;
    let ttl_ms: i64 = row.try_get(3)?;
    Ok(LeaseRow {
        key: LeaseKey {
            render: parsed(row, 0)?,
            slot: parsed(row, 1)?,
            token: Token(StreamVersion(token.cast_unsigned())),
        },
        ttl_ms: ttl_ms.cast_unsigned(),
        expires_at: Timestamp(row.try_get(4)?),
    })
}

/// A column of text that is something's own spelling.
pub(super) fn parsed<T>(row: &SqliteRow, column: usize) -> Result<T, sqlx::Error>
where
    T: std::str::FromStr,
    T::Err: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let text: &str = row.try_get(column)?;
    text.parse().map_err(|error: T::Err| sqlx::Error::ColumnDecode {
        index: column.to_string(),
        source: error.into(),
    })
}
