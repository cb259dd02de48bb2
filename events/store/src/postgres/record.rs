//! Events as rows.

use events::{Actor, EncodedEvent, EventId, Position, Recorded, Sha256, StreamId, StreamVersion, Timestamp};
use futures_util::TryStreamExt as _;
use sqlx::postgres::{PgArguments, PgRow};
use sqlx::{PgConnection, Postgres, Row as _};

use super::failed;
use crate::store::StoreError;

/// Columns of an event, in the order in which [`fetch`] reads them.
macro_rules! columns {
    () => {
        "position, event_id, stream_id, stream_version, type, schema_version, workspace_id, correlation_id, \
         causation_id, actor, traceparent, recorded_at, data, hash"
    };
}
pub(super) use columns;

pub(super) type Query<'q> = sqlx::query::Query<'q, Postgres, PgArguments>;

/// Inserts events that have their place already: one statement for any number of them.
pub(super) async fn insert(
    connection: &mut PgConnection,
    named: bool,
    events: &[&Recorded],
) -> Result<(), sqlx::Error> {
    if events.is_empty() {
        return Ok(());
    }
    let bytes16 = |id: EventId| id.bits().to_be_bytes();
    let text = |text: &str| text.as_bytes().to_vec();
    sqlx::query(concat!(
        "INSERT INTO events (",
        columns!(),
        ") SELECT * FROM unnest($1::bigint[], $2::bytea[], $3::text[], $4::bigint[], $5::text[], $6::integer[], \
         $7::text[], $8::bytea[], $9::bytea[], $10::bytea[], $11::bytea[], $12::bigint[], $13::bytea[], $14::bytea[])"
    ))
    .persistent(named)
    .bind(column(events, |it| stored(it.position.0)))
    .bind(column(events, |it| bytes16(it.event_id).to_vec()))
    .bind(column(events, |it| it.stream_id.as_str().to_owned()))
    .bind(column(events, |it| stored(it.stream_version.0)))
    .bind(column(events, |it| it.event.event_type.clone()))
    .bind(column(events, |it| i32::from(it.event.schema_version)))
    .bind(column(events, |it| it.workspace_id.to_string()))
    .bind(column(events, |it| text(&it.correlation_id)))
    .bind(column(events, |it| it.causation_id.map(|id| bytes16(id).to_vec())))
    .bind(column(events, |it| text(&it.actor.0)))
    .bind(column(events, |it| it.traceparent.as_deref().map(text)))
    .bind(column(events, |it| it.recorded_at.0))
    .bind(column(events, |it| it.event.data.clone()))
    .bind(column(events, |it| it.hash.0.to_vec()))
    .execute(connection)
    .await
    .map(|_done| ())
}

fn column<T>(events: &[&Recorded], value: impl Fn(&Recorded) -> T) -> Vec<T> {
    events.iter().map(|event| value(event)).collect()
}

/// A count as the database keeps it. Positions and versions count events: they never come near 2⁶³.
pub(super) fn stored(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// Runs a query for [`columns`].
pub(super) async fn fetch(
    connection: &mut PgConnection,
    query: Query<'_>,
    doing: &'static str,
) -> Result<Vec<Recorded>, StoreError> {
    let mut rows = query.fetch(connection);
    let mut events = Vec::new();
    while let Some(row) = rows.try_next().await.map_err(failed(doing))? {
        let position: i64 = row.try_get(0).map_err(failed(doing))?;
        let position = Position(position.cast_unsigned());
        events.push(record(position, &row).map_err(|error| {
            let what = format!("it cannot be read: {error}");
            StoreError::Corrupt { position, what }
        })?);
    }
    Ok(events)
}

type Unreadable = Box<dyn std::error::Error + Send + Sync>;

fn record(position: Position, row: &PgRow) -> Result<Recorded, Unreadable> {
    let id = |bytes: &[u8]| Ok::<_, Unreadable>(EventId::new(u128::from_be_bytes(bytes.try_into()?)));
    let text = |bytes: &[u8]| Ok::<_, Unreadable>(std::str::from_utf8(bytes)?.to_owned());
    Ok(Recorded {
        event_id: id(row.try_get(1)?)?,
        stream_id: StreamId::from_stored(row.try_get(2)?),
        stream_version: StreamVersion(row.try_get::<i64, _>(3)?.cast_unsigned()),
        position,
        event: EncodedEvent {
            event_type: row.try_get(4)?,
            schema_version: u16::try_from(row.try_get::<i32, _>(5)?)?,
            data: row.try_get(12)?,
        },
        workspace_id: row.try_get::<&str, _>(6)?.parse()?,
        correlation_id: text(row.try_get(7)?)?,
        causation_id: row.try_get::<Option<&[u8]>, _>(8)?.map(id).transpose()?,
        actor: Actor(text(row.try_get(9)?)?),
        traceparent: row.try_get::<Option<&[u8]>, _>(10)?.map(text).transpose()?,
        recorded_at: Timestamp(row.try_get(11)?),
        hash: Sha256(row.try_get::<&[u8], _>(13)?.try_into()?),
    })
}
