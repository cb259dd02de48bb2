//! Events as rows.

use std::sync::LazyLock;

use events::{
    Actor, EncodedEvent, EventId, Position, Recorded, Sha256, StreamId, StreamVersion, Timestamp, WorkspaceId,
};
use futures_util::TryStreamExt as _;
use sqlx::sqlite::{SqliteArguments, SqliteRow};
use sqlx::{Row as _, Sqlite, SqliteConnection, SqlitePool};

use super::failed;
use crate::store::StoreError;

/// Rows per insert statement: three prepared statements serve batches of any size.
const STEPS: [usize; 3] = [32, 8, 1];

static INSERTS: LazyLock<[String; 3]> = LazyLock::new(|| {
    STEPS.map(|rows| {
        let row = "(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";
        format!(
            "INSERT INTO events (position, event_id, stream_id, stream_version, type, schema_version, \
             workspace_id, correlation_id, causation_id, actor, traceparent, recorded_at, data, hash) \
             VALUES {}",
            vec![row; rows].join(", ")
        )
    })
});

/// Inserts events that have their place already.
pub(super) async fn insert(
    connection: &mut SqliteConnection,
    events: &[&Recorded],
) -> Result<(), sqlx::Error> {
    let mut rest = events;
    for (step, sql) in STEPS.into_iter().zip(INSERTS.iter()) {
        while let Some((chunk, after)) = rest.split_at_checked(step) {
            let mut query = sqlx::query(sql.as_str());
            for event in chunk {
                query = bind(query, event);
            }
            query.execute(&mut *connection).await?;
            rest = after;
        }
    }
    Ok(())
}

type Query<'q> = sqlx::query::Query<'q, Sqlite, SqliteArguments>;

fn bind<'q>(query: Query<'q>, event: &'q Recorded) -> Query<'q> {
    query
        .bind(stored(event.position.0))
        .bind(event.event_id.bits().to_be_bytes().to_vec())
        .bind(event.stream_id.as_str())
        .bind(stored(event.stream_version.0))
        .bind(event.event.event_type.as_str())
        .bind(event.event.schema_version)
        .bind(event.workspace_id.to_string())
        .bind(event.correlation_id.as_str())
        .bind(event.causation_id.map(|id| id.bits().to_be_bytes().to_vec()))
        .bind(event.actor.0.as_str())
        .bind(event.traceparent.as_deref())
        .bind(event.recorded_at.0)
        .bind(event.event.data.as_slice())
        .bind(event.hash.0.to_vec())
}

/// A count as SQLite keeps it. Positions and versions count events: they never come near 2⁶³.
pub(super) fn stored(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// What a query selects to be read by [`fetch`]: position, envelope, data.
///
/// The envelope's columns come as one JSON array: each value that crosses over from SQLite's thread is
/// allocated there and freed here, and three values are cheaper than fourteen (measured: a quarter of a
/// page's time).
macro_rules! envelope {
    () => {
        "position, json_array(hex(event_id), stream_id, stream_version, type, schema_version, workspace_id, \
         correlation_id, hex(causation_id), actor, traceparent, recorded_at, lower(hex(hash))), data"
    };
}
pub(super) use envelope;

/// The JSON array of [`envelope`]. The hex of an absent identifier is empty.
type Envelope<'r> = (
    &'r str,
    StreamId,
    StreamVersion,
    String,
    u16,
    WorkspaceId,
    String,
    &'r str,
    Actor,
    Option<String>,
    Timestamp,
    Sha256,
);

/// Runs a query for [`envelope`]. Each row is decoded while SQLite's thread fetches the next.
pub(super) async fn fetch(
    pool: &SqlitePool,
    query: Query<'_>,
    doing: &'static str,
) -> Result<Vec<Recorded>, StoreError> {
    let mut rows = query.fetch(pool);
    let mut events = Vec::new();
    while let Some(row) = rows.try_next().await.map_err(failed(doing))? {
        let position: i64 = row.try_get(0).map_err(failed(doing))?;
        let position = Position(position.cast_unsigned());
        events.push(record(position, &row).map_err(|what| StoreError::Corrupt { position, what })?);
    }
    Ok(events)
}

fn record(position: Position, row: &SqliteRow) -> Result<Recorded, String> {
    let unreadable = |error: &dyn std::error::Error| format!("it cannot be read: {error}");
    let envelope: &str = row.try_get(1).map_err(|error| unreadable(&error))?;
    let envelope: Envelope<'_> = serde_json::from_str(envelope).map_err(|error| unreadable(&error))?;
    let (event_id, stream_id, stream_version, event_type, schema_version, workspace_id, ..) = envelope;
    let (.., correlation_id, causation_id, actor, traceparent, recorded_at, hash) = envelope;
    let id = |hex: &str| u128::from_str_radix(hex, 16).map(EventId::new).map_err(|error| unreadable(&error));
    Ok(Recorded {
        event_id: id(event_id)?,
        stream_id,
        stream_version,
        position,
        event: EncodedEvent {
            event_type,
            schema_version,
            data: row.try_get(2).map_err(|error| unreadable(&error))?,
        },
        workspace_id,
        correlation_id,
        causation_id: if causation_id.is_empty() { None } else { Some(id(causation_id)?) },
        actor,
        traceparent,
        recorded_at,
        hash,
    })
}
