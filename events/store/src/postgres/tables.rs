//! Reading the log's end and the tables beside it.

use events::{Position, Sha256, StreamId, Timestamp, WorkspaceId};
use sqlx::{PgConnection, Row as _};

use super::Reader;
use super::clock::NOW;
use super::queue::parsed;
use crate::chain;
use crate::store::{ApiKeyRow, Head, IdempotencyRow, IdempotencyScope};

/// See [`crate::EventStore::head`].
pub(super) async fn head(reader: &mut Reader) -> Result<Head, sqlx::Error> {
    let named = reader.named();
    head_of(reader, named).await
}

/// The log's end as this connection sees it.
pub(super) async fn head_of(connection: &mut PgConnection, named: bool) -> Result<Head, sqlx::Error> {
    let last: Option<(i64, Vec<u8>)> =
        sqlx::query_as("SELECT position, hash FROM events ORDER BY position DESC LIMIT 1")
            .persistent(named)
            .fetch_optional(connection)
            .await?;
    Ok(match last {
        Some((position, hash)) => Head { position: Position(position.cast_unsigned()), hash: digest(hash)? },
        None => Head { position: Position(0), hash: chain::GENESIS },
    })
}

/// See [`crate::EventStore::document`].
pub(super) async fn document(
    reader: &mut Reader,
    workspace: WorkspaceId,
    sha256: Sha256,
) -> Result<Option<Vec<u8>>, sqlx::Error> {
    sqlx::query_scalar("SELECT bytes FROM documents WHERE workspace_id = $1 AND sha256 = $2")
        .persistent(reader.named())
        .bind(workspace.to_string())
        .bind(sha256.0.to_vec())
        .fetch_optional(&mut **reader)
        .await
}

/// See [`crate::EventStore::idempotent`].
pub(super) async fn idempotent(
    reader: &mut Reader,
    scope: &IdempotencyScope,
) -> Result<Option<IdempotencyRow>, sqlx::Error> {
    let found: Option<(Vec<u8>, String)> = sqlx::query_as(concat!(
        "SELECT body_sha256, stream_id FROM idempotency \
         WHERE workspace_id = $1 AND path = $2 AND key_sha256 = $3 AND expires_at > ",
        NOW!()
    ))
    .persistent(reader.named())
    .bind(scope.workspace.to_string())
    .bind(scope.path.as_str())
    .bind(scope.key_sha256.0.to_vec())
    .fetch_optional(&mut **reader)
    .await?;
    let row = |(body, stream)| {
        Ok::<_, sqlx::Error>(IdempotencyRow {
            body_sha256: digest(body)?,
            stream: StreamId::from_stored(stream),
        })
    };
    found.map(row).transpose()
}

/// See [`crate::EventStore::api_key`].
pub(super) async fn api_key(
    reader: &mut Reader,
    key_sha256: Sha256,
) -> Result<Option<ApiKeyRow>, sqlx::Error> {
    let found = sqlx::query("SELECT key_id, workspace_id FROM api_keys WHERE key_sha256 = $1")
        .persistent(reader.named())
        .bind(key_sha256.0.to_vec())
        .fetch_optional(&mut **reader)
        .await?;
    let Some(row) = found else { return Ok(None) };
    Ok(Some(ApiKeyRow { key_sha256, key_id: parsed(&row, 0)?, workspace: parsed(&row, 1)? }))
}

/// See [`crate::EventStore::workspaces`].
pub(super) async fn workspaces(reader: &mut Reader) -> Result<Vec<WorkspaceId>, sqlx::Error> {
    let rows = sqlx::query("SELECT workspace_id FROM workspaces ORDER BY arrival")
        .persistent(reader.named())
        .fetch_all(&mut **reader)
        .await?;
    rows.iter().map(|row| parsed(row, 0)).collect()
}

/// See [`crate::EventStore::secret`].
pub(super) async fn secret(
    reader: &mut Reader,
    workspace: WorkspaceId,
    name: &str,
) -> Result<Option<Vec<u8>>, sqlx::Error> {
    sqlx::query_scalar("SELECT bytes FROM secrets WHERE workspace_id = $1 AND name = $2")
        .persistent(reader.named())
        .bind(workspace.to_string())
        .bind(name)
        .fetch_optional(&mut **reader)
        .await
}

/// See [`crate::EventStore::now`].
pub(super) async fn now(reader: &mut Reader) -> Result<Timestamp, sqlx::Error> {
    let now =
        sqlx::query(concat!("SELECT ", NOW!())).persistent(reader.named()).fetch_one(&mut **reader).await?;
    now.try_get(0).map(Timestamp)
}

fn digest(bytes: Vec<u8>) -> Result<Sha256, sqlx::Error> {
    let bytes = bytes.try_into().map_err(|_length| sqlx::Error::Decode("a digest has 32 bytes".into()))?;
    Ok(Sha256(bytes))
}
