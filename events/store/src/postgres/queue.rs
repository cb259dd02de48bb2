//! Reading the work queue and the leases.

use events::{RenderId, StreamVersion, Timestamp, Token, WorkspaceId};
use sqlx::Row as _;
use sqlx::postgres::PgRow;

use super::Reader;
use super::clock::NOW;
use crate::store::{Census, LeaseKey, LeaseRow, NewQueueRow, QueueRow, WorkspaceLoad};

/// See [`crate::EventStore::due_work`].
///
/// The first part steps from workspace to workspace along the index, the second takes each one's first due
/// rows: the cost is that of the answer, not of the queue's length.
pub(super) async fn due_work(
    reader: &mut Reader,
    limit: u32,
    per_workspace: u32,
) -> Result<Vec<QueueRow>, sqlx::Error> {
    sqlx::query(concat!(
        "WITH RECURSIVE waiting AS ( \
             (SELECT workspace_id FROM work_queue ORDER BY workspace_id LIMIT 1) \
             UNION ALL \
             SELECT (SELECT work_queue.workspace_id FROM work_queue \
                     WHERE work_queue.workspace_id > waiting.workspace_id ORDER BY 1 LIMIT 1) \
             FROM waiting WHERE waiting.workspace_id IS NOT NULL) \
         SELECT render_id, slot, due.workspace_id, priority, fingerprint, not_before, due.begun, enqueued_at \
         FROM waiting CROSS JOIN (VALUES (FALSE), (TRUE)) AS kinds (begun) CROSS JOIN LATERAL ( \
             SELECT * FROM work_queue AS own \
             WHERE own.workspace_id = waiting.workspace_id AND own.begun = kinds.begun \
             AND (own.not_before IS NULL OR own.not_before <= ",
        NOW!(),
        ") ORDER BY own.priority DESC, own.render_id, own.arrival LIMIT $1) AS due \
         ORDER BY priority DESC, row_number() OVER ( \
                 PARTITION BY due.workspace_id, priority ORDER BY due.begun DESC, render_id, arrival), \
             render_id, arrival LIMIT $2"
    ))
    .persistent(reader.named())
    .bind(i64::from(per_workspace))
    .bind(i64::from(limit))
    .fetch_all(&mut **reader)
    .await?
    .iter()
    .map(queue_row)
    .collect()
}

/// See [`crate::EventStore::queue_position`].
pub(super) async fn position(reader: &mut Reader, render: RenderId) -> Result<Option<u64>, sqlx::Error> {
    let before: Option<i64> = sqlx::query_scalar(
        "WITH own AS (SELECT priority, render_id FROM work_queue WHERE render_id = $1 AND NOT begun LIMIT 1) \
         SELECT (SELECT count(DISTINCT render_id) FROM work_queue AS other \
                 WHERE NOT other.begun AND other.priority > own.priority) \
              + (SELECT count(DISTINCT render_id) FROM work_queue AS other \
                 WHERE NOT other.begun AND other.priority = own.priority AND other.render_id < own.render_id) \
         FROM own",
    )
    .persistent(reader.named())
    .bind(render.to_string())
    .fetch_optional(&mut **reader)
    .await?;
    Ok(before.map(i64::cast_unsigned))
}

/// See [`crate::EventStore::waiting`].
pub(super) async fn waiting(reader: &mut Reader) -> Result<Vec<RenderId>, sqlx::Error> {
    let rows =
        sqlx::query("SELECT render_id FROM work_queue WHERE NOT begun ORDER BY priority DESC, render_id");
    let rows = rows.persistent(reader.named()).fetch_all(&mut **reader).await?;
    let mut waiting = rows.iter().map(|row| parsed(row, 0)).collect::<Result<Vec<_>, _>>()?;
    waiting.dedup();
    Ok(waiting)
}

/// See [`crate::EventStore::loads`].
pub(super) async fn loads(reader: &mut Reader) -> Result<Vec<WorkspaceLoad>, sqlx::Error> {
    let rows = sqlx::query(
        "SELECT workspace_id, coalesce(load.begun, 0), workspaces.concurrency FROM workspaces \
         FULL JOIN (SELECT workspace_id, count(*) AS begun FROM renders WHERE begun GROUP BY workspace_id) AS load \
         USING (workspace_id) WHERE load.begun > 0 OR workspaces.concurrency IS NOT NULL",
    )
    .persistent(reader.named())
    .fetch_all(&mut **reader)
    .await?;
    let few = |column, count: i64| u32::try_from(count).map_err(|error| undecodable(column, error.into()));
    let load = |row: &PgRow| {
        let concurrency: Option<i64> = row.try_get(2)?;
        Ok(WorkspaceLoad {
            workspace: parsed(row, 0)?,
            begun: few(1, row.try_get(1)?)?,
            concurrency: concurrency.map(|concurrency| few(2, concurrency)).transpose()?,
        })
    };
    rows.iter().map(load).collect()
}

/// See [`crate::EventStore::census`].
pub(super) async fn census(reader: &mut Reader) -> Result<Census, sqlx::Error> {
    let row = sqlx::query(concat!(
        "SELECT (SELECT count(*) FROM renders WHERE NOT begun), (SELECT count(*) FROM renders WHERE begun), \
             (SELECT count(*) FROM work_queue), (SELECT min(enqueued_at) FROM work_queue), \
             (SELECT count(*) FROM leases WHERE expires_at > ",
        NOW!(),
        ")"
    ))
    .persistent(reader.named())
    .fetch_one(&mut **reader)
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
pub(super) async fn overdue(reader: &mut Reader, limit: u32) -> Result<Vec<RenderId>, sqlx::Error> {
    let rows = sqlx::query(concat!(
        "SELECT render_id FROM renders WHERE deadline <= ",
        NOW!(),
        " ORDER BY deadline LIMIT $1"
    ));
    let rows = rows.persistent(reader.named()).bind(i64::from(limit));
    rows.fetch_all(&mut **reader).await?.iter().map(|row| parsed(row, 0)).collect()
}

/// See [`crate::EventStore::artifacts_finished_by`].
pub(super) async fn finished_by(
    reader: &mut Reader,
    instant: Timestamp,
    limit: u32,
) -> Result<Vec<RenderId>, sqlx::Error> {
    let rows =
        sqlx::query("SELECT render_id FROM artifacts WHERE finished_at <= $1 ORDER BY finished_at LIMIT $2");
    let rows = rows.persistent(reader.named()).bind(instant.0).bind(i64::from(limit));
    rows.fetch_all(&mut **reader).await?.iter().map(|row| parsed(row, 0)).collect()
}

/// See [`crate::EventStore::expired_leases`].
pub(super) async fn expired(reader: &mut Reader, limit: u32) -> Result<Vec<LeaseRow>, sqlx::Error> {
    sqlx::query(concat!(
        "SELECT render_id, slot, token, ttl_ms, expires_at FROM leases WHERE expires_at <= ",
        NOW!(),
        " ORDER BY expires_at LIMIT $1"
    ))
    .persistent(reader.named())
    .bind(i64::from(limit))
    .fetch_all(&mut **reader)
    .await?
    .iter()
    .map(lease_row)
    .collect()
}

fn queue_row(row: &PgRow) -> Result<QueueRow, sqlx::Error> {
    let fingerprint = row.try_get::<Option<Vec<u8>>, _>(4)?.map(String::from_utf8).transpose();
    Ok(QueueRow {
        row: NewQueueRow {
            render: parsed(row, 0)?,
            slot: parsed(row, 1)?,
            workspace: parsed::<WorkspaceId>(row, 2)?,
            priority: row.try_get(3)?,
            fingerprint: fingerprint.map_err(|error| undecodable(4, error.into()))?,
            not_before: row.try_get::<Option<i64>, _>(5)?.map(Timestamp),
            begun: row.try_get(6)?,
        },
        enqueued_at: Timestamp(row.try_get(7)?),
    })
}

fn lease_row(row: &PgRow) -> Result<LeaseRow, sqlx::Error> {
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
pub(super) fn parsed<T>(row: &PgRow, column: usize) -> Result<T, sqlx::Error>
where
    T: std::str::FromStr,
    T::Err: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let text: &str = row.try_get(column)?;
    text.parse().map_err(|error: T::Err| undecodable(column, error.into()))
}

fn undecodable(column: usize, source: Box<dyn std::error::Error + Send + Sync>) -> sqlx::Error {
    sqlx::Error::ColumnDecode { index: column.to_string(), source }
}
