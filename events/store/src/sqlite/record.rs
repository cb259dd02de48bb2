//! Events as rows.

use std::sync::LazyLock;

use events::{
    Actor, EncodedEvent, EventId, Position, Recorded, Sha256, StreamId, StreamVersion, Timestamp, WorkspaceId,
};
use futures_util::TryStreamExt as _;
use sqlx::sqlite::{SqliteArguments, SqliteRow};
use sqlx::{Row as _, Sqlite, SqliteConnection, SqliteExecutor};

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
type Columns<'r> = (
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

/// The events behind a position as one text, for a row wakes its reader, and a page of one row does so once; and `format`
/// makes a text in half the time that SQLite's JSON takes (measured: together a third of a page's time). Of each event:
/// numbers and hex, each with a bar behind it; then, one after the other, the texts and the data, whose lengths in bytes
/// are among the numbers (-1: absent). It ends texts at a NUL: a page that has one is read row by row.
const PAGE: &str = "SELECT group_concat(format('%d|%d|%d|%d|%d|%s|%s|%s|%d|%d|%d|%d|%d|%d|%s%s%s%s%s%s', \
     position, length(data), stream_version, schema_version, recorded_at, hex(event_id), hex(causation_id), hex(hash), \
     length(CAST(stream_id AS BLOB)), length(CAST(type AS BLOB)), length(CAST(workspace_id AS BLOB)), \
     length(CAST(correlation_id AS BLOB)), length(CAST(actor AS BLOB)), \
     ifnull(length(CAST(traceparent AS BLOB)), -1), \
     stream_id, type, workspace_id, correlation_id, actor, traceparent) || CAST(data AS TEXT), '') \
     FROM (SELECT * FROM events WHERE position > ? ORDER BY position LIMIT ?)";

/// The events behind a position, in their order; `None` where they can't be read like this: what somebody has altered need
/// not be text.
pub(super) async fn fetch_page<'c>(
    executor: impl SqliteExecutor<'c>,
    after: Position,
    limit: u32,
    doing: &'static str,
) -> Result<Option<Vec<Recorded>>, StoreError> {
    let query = sqlx::query(PAGE).bind(stored(after.0)).bind(limit);
    let row = query.fetch_one(executor).await.map_err(failed(doing))?;
    let Ok(text) = row.try_get::<Option<&str>, _>(0) else { return Ok(None) };
    let mut rest = Envelope(text.unwrap_or_default());
    let mut events = Vec::new();
    while !rest.0.is_empty() {
        let Ok(event) = rest.event() else { return Ok(None) };
        events.push(event);
    }
    Ok(Some(events))
}

/// The text of [`PAGE`], read from its front.
struct Envelope<'t>(&'t str);

impl<'t> Envelope<'t> {
    /// What stands before the next bar.
    fn field(&mut self) -> Result<&'t str, String> {
        let (field, rest) = self.0.split_once('|').ok_or("it ends too early")?;
        self.0 = rest;
        Ok(field)
    }

    fn number<N: std::str::FromStr<Err: std::fmt::Display>>(&mut self) -> Result<N, String> {
        self.field()?.parse().map_err(|error: N::Err| format!("a number cannot be read: {error}"))
    }

    /// The next event.
    fn event(&mut self) -> Result<Recorded, String> {
        let (position, data) = (Position(self.number()?), self.number()?);
        let (stream_version, schema_version, recorded_at) = (self.number()?, self.number()?, self.number()?);
        let (event_id, causation_id, hash) = (self.field()?, self.field()?, self.field()?);
        let mut lengths = [0; 5];
        for length in &mut lengths {
            *length = self.number()?;
        }
        let traceparent: i64 = self.number()?;
        let [stream_id, event_type, workspace_id, correlation_id, actor] = lengths;
        let id = |hex: &str| {
            let bits = u128::from_str_radix(hex, 16);
            bits.map(EventId::new).map_err(|error| format!("an id cannot be read: {error}"))
        };
        let mut event = Recorded {
            event_id: id(event_id)?,
            stream_id: StreamId::from_stored(self.text(stream_id)?.to_owned()),
            stream_version: StreamVersion(stream_version),
            position,
            event: EncodedEvent {
                event_type: self.text(event_type)?.to_owned(),
                schema_version,
                data: Vec::new(),
            },
            workspace_id: self
                .text(workspace_id)?
                .parse()
                .map_err(|error| format!("it cannot be read: {error}"))?,
            correlation_id: self.text(correlation_id)?.to_owned(),
            causation_id: if causation_id.is_empty() { None } else { Some(id(causation_id)?) },
            actor: Actor(self.text(actor)?.to_owned()),
            traceparent: match usize::try_from(traceparent) {
                Ok(length) => Some(self.text(length)?.to_owned()),
                Err(_absent) => None,
            },
            recorded_at: Timestamp(recorded_at),
            hash: Sha256::parse(hash).ok_or("its hash cannot be read")?,
        };
        event.event.data = self.text(data)?.as_bytes().to_vec();
        Ok(event)
    }

    /// A text of so many bytes.
    fn text(&mut self, length: usize) -> Result<&'t str, String> {
        let (text, rest) = self.0.split_at_checked(length).ok_or("a text is shorter than it should be")?;
        self.0 = rest;
        Ok(text)
    }
}

/// Runs a query for [`envelope`]. Each row is decoded while SQLite's thread fetches the next.
pub(super) async fn fetch<'c>(
    executor: impl SqliteExecutor<'c>,
    query: Query<'_>,
    doing: &'static str,
) -> Result<Vec<Recorded>, StoreError> {
    let mut rows = query.fetch(executor);
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
    let envelope: Columns<'_> = serde_json::from_str(envelope).map_err(|error| unreadable(&error))?;
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
