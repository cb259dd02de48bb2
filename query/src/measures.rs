//! How the read side is doing, in numbers: how far its projections are behind, and what waits to be delivered.

use std::sync::Arc;

use event_store::{EventStore, StoreError};
use events::Position;
use thiserror::Error;

use crate::read_db::{ReadDb, sql};

/// The read side in numbers.
#[derive(Debug, Clone, PartialEq)]
pub struct Measures {
    /// The last event of the log.
    pub log_position: Position,
    /// Each projection, by name, and the relay to NATS where there is one.
    pub projections: Vec<(&'static str, Lag)>,
    /// What is to be delivered.
    pub deliveries: Deliveries,
}

/// How far a projection is behind the log.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Lag {
    /// Events not yet applied.
    pub events: u64,
    /// How long the oldest of them has been in the log, in seconds; 0 where there is none.
    pub seconds: f64,
    /// Whether the last page could not be applied.
    pub failing: bool,
}

/// Deliveries by what becomes of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Deliveries {
    /// To be sent at a later time.
    pub waiting: u64,
    /// To be sent now.
    pub due: u64,
    /// To be sent more than a minute ago.
    pub overdue: u64,
}

/// The numbers could not be had.
#[derive(Debug, Error)]
pub enum MeasureError {
    /// The log can't be read.
    #[error("could not measure the read side")]
    Store(#[from] StoreError),
    /// The read models can't be read.
    #[error("could not measure the read side")]
    Database(#[from] sqlx::Error),
}

/// Later than this a due delivery is overdue: receivers were slow, or nobody sends. Microseconds.
const OVERDUE_US: i64 = 60_000_000;

pub(crate) async fn measure(
    store: &Arc<dyn EventStore>,
    db: &ReadDb,
    readers: Vec<(&'static str, Position, bool)>,
) -> Result<Measures, MeasureError> {
    let (head, now) = (store.head().await?.position, store.now().await?);
    let mut lags = Vec::new();
    for (name, position, failing) in readers {
        let oldest = store.read_after(position, 1).await?;
        let seconds =
            oldest.first().map_or(0.0, |event| now.ms_since(event.recorded_at).max(0) as f64 / 1000.0);
        let events = head.0.saturating_sub(position.0);
        lags.push((name, Lag { events, seconds, failing }));
    }
    Ok(Measures { log_position: head, projections: lags, deliveries: deliveries(db, now.0).await? })
}

async fn deliveries(db: &ReadDb, now_us: i64) -> Result<Deliveries, sqlx::Error> {
    let counting = sql("SELECT count(*) AS pending, count(*) FILTER (WHERE due_at <= $1) AS due,
                count(*) FILTER (WHERE due_at <= $2) AS overdue
         FROM webhook_deliveries WHERE status = 'pending'");
    let counting = counting.bind(now_us).bind(now_us.saturating_sub(OVERDUE_US));
    let row = db.fetch_optional(counting).await?.ok_or(sqlx::Error::RowNotFound)?;
    let (pending, due, overdue): (i64, i64, i64) =
        (row.get("pending")?, row.get("due")?, row.get("overdue")?);
    let count = i64::cast_unsigned;
    Ok(Deliveries { waiting: count(pending - due), due: count(due - overdue), overdue: count(overdue) })
}
