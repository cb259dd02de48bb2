//! Traces, sent by OTLP where the operator asks for them.
//!
//! Spans are made from the log and from the deliveries' ledger, not collected along the way: everything that they tell is
//! recorded there anyway, so that a crash loses none, any number of nodes makes one trace, and work is not slowed down by
//! being watched. A span's id follows from what it tells of: what is sent twice is one span twice.
//!
//! ```text
//!  log ─▶ a render has ended ─▶ its events ─▶ spans ─┐
//!  ledger ─▶ attempts older than 15 s ───────▶ spans ─┴─▶ POST …/v1/traces ─▶ checkpoint
//! ```
//! Promises: at least once, in the order of the log; a collector that is away is tried again until it is back, and holds up
//! nothing else. Must not know: what renders are made of.

mod otlp;
mod spans;

use std::sync::Arc;
use std::time::Duration;

use event_store::{EventStore, StoreError};
use events::upcast::DecodeError;
use events::{Position, Recorded, RenderEvent, RenderId, StreamId, StreamVersion, Timestamp};
use thiserror::Error;
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::projector::chain;
use crate::read_db::{ReadDb, Row, position, sql};
use otlp::{Collector, SendError};
pub use otlp::{TraceTarget, TraceTargetError};
use spans::{Attempted, Span};

/// Events looked at before what was found is sent.
const PAGE: u32 = 500;

/// Spans in one request.
const SPANS_MAX: usize = 500;

/// An attempt is in the ledger at the latest so long after it began: its deadline is 10 s.
const SETTLED_AFTER: Duration = Duration::from_secs(15);

/// How often is looked where nobody says that there is news.
const LOOK: Duration = Duration::from_secs(1);

/// The pauses after failures.
const PAUSES: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));

/// Sends traces.
#[derive(Debug, Clone)]
pub(crate) struct Tracer {
    store: Arc<dyn EventStore>,
    db: ReadDb,
    clock: Clock,
    collector: Arc<Collector>,
}

/// How far traces have been sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Sent {
    position: Position,
    attempted_at: Timestamp,
}

/// Traces could not be sent now.
#[derive(Debug, Error)]
enum TraceError {
    #[error("could not read the log")]
    Store(#[from] StoreError),
    #[error("could not read the log")]
    Decode(#[from] DecodeError),
    #[error("could not read or write how far traces have been sent")]
    Database(#[from] sqlx::Error),
    #[error("could not send traces")]
    Send(#[from] SendError),
}

impl Tracer {
    pub(crate) fn new(
        store: Arc<dyn EventStore>,
        db: ReadDb,
        clock: Clock,
        target: TraceTarget,
    ) -> Result<Tracer, outbound::BuildError> {
        Ok(Tracer { store, db, clock, collector: Arc::new(Collector::new(target)?) })
    }

    /// Sends until it is cancelled; what then was not sent is sent at the next start.
    pub(crate) async fn run(&self, stop: CancellationToken) {
        let mut commits = self.store.committed();
        let mut pause = PAUSES.0;
        while !stop.is_cancelled() {
            let Some(turn) = stop.run_until_cancelled(self.turn()).await else { return };
            let wait = match turn {
                Ok(true) => {
                    pause = PAUSES.0;
                    continue;
                }
                Ok(false) => {
                    pause = PAUSES.0;
                    LOOK
                }
                Err(error) => {
                    tracing::warn!(error = %chain(&error), again_in_s = pause.as_secs(), "traces wait");
                    let wait = pause;
                    pause = (pause * 2).min(PAUSES.1);
                    stop.run_until_cancelled(tokio::time::sleep(wait)).await;
                    continue;
                }
            };
            tokio::select! {
                () = stop.cancelled() => {}
                () = tokio::time::sleep(wait) => {}
                // A log that is gone says nothing more; the clock does.
                changed = commits.changed() => if changed.is_err() { tokio::time::sleep(wait).await },
            }
        }
    }

    /// Looks at what is new and sends it; `false` where there is nothing.
    async fn turn(&self) -> Result<bool, TraceError> {
        let from = self.sent().await?;
        let page = self.store.read_after(from.position, PAGE).await?;
        let until = Timestamp((self.clock.now().0 - micros(SETTLED_AFTER)).max(from.attempted_at.0));
        let attempts = self.attempts(from.attempted_at, until).await?;
        let to =
            Sent { position: page.last().map_or(from.position, |event| event.position), attempted_at: until };
        let mut spans = Vec::new();
        for render in ended(&page)? {
            spans.extend(spans::of_render(&self.store.load(&StreamId::from(render)).await?)?);
            self.send_full(&mut spans).await?;
        }
        for attempt in &attempts {
            let first = self.store.load_after(&StreamId::from(attempt.render), StreamVersion(0), 1).await?;
            spans.extend(first.first().map(|first| spans::of_attempt(first, attempt)));
            self.send_full(&mut spans).await?;
        }
        if !spans.is_empty() {
            self.collector.send(&spans).await?;
        }
        if to.position != from.position || !attempts.is_empty() {
            self.save(to).await?;
        }
        Ok(page.len() == PAGE as usize)
    }

    async fn send_full(&self, spans: &mut Vec<Span>) -> Result<(), SendError> {
        while spans.len() >= SPANS_MAX {
            let rest = spans.split_off(SPANS_MAX);
            self.collector.send(spans).await?;
            *spans = rest;
        }
        Ok(())
    }

    /// Whoever asks for traces is told of what happens from then on.
    async fn sent(&self) -> Result<Sent, TraceError> {
        let saved = self.db.fetch_optional(sql("SELECT position, attempted_at FROM trace_export")).await?;
        if let Some(row) = saved {
            return Ok(Sent {
                position: position(row.get("position")?),
                attempted_at: Timestamp(row.get("attempted_at")?),
            });
        }
        let sent = Sent { position: self.store.head().await?.position, attempted_at: self.clock.now() };
        self.save(sent).await?;
        Ok(sent)
    }

    async fn save(&self, sent: Sent) -> Result<(), sqlx::Error> {
        let mut transaction = self.db.write().await?;
        let save = sql(r#"INSERT INTO trace_export ("only", position, attempted_at) VALUES (1, $1, $2)
             ON CONFLICT ("only") DO UPDATE SET position = excluded.position, attempted_at = excluded.attempted_at"#);
        transaction.execute(save.bind(sent.position.0.cast_signed()).bind(sent.attempted_at.0)).await?;
        transaction.commit().await
    }

    /// The attempts that were made from one instant on and before another.
    async fn attempts(&self, from: Timestamp, until: Timestamp) -> Result<Vec<Attempted>, sqlx::Error> {
        let made = sql(
            "SELECT made.delivery_id, made.job_id, attempt_number, made.status, status_code, reason, latency_ms, \
                 attempted_at, event_type \
             FROM webhook_attempts AS made JOIN webhook_deliveries USING (delivery_id) \
             WHERE attempted_at >= $1 AND attempted_at < $2 AND made.job_id <> '' ORDER BY attempted_at",
        );
        let rows = self.db.fetch_all(made.bind(from.0).bind(until.0)).await?;
        rows.iter().map(attempted).collect()
    }
}

/// The renders that ended in these events.
fn ended(page: &[Recorded]) -> Result<Vec<RenderId>, DecodeError> {
    let mut ended = Vec::new();
    for recorded in page {
        let Some(render) = recorded.stream_id.render() else { continue };
        let terminal = matches!(
            RenderEvent::decode(&recorded.event)?,
            Some(
                RenderEvent::RenderCompleted(_)
                    | RenderEvent::RenderFailed(_)
                    | RenderEvent::RenderCancelled(_)
            )
        );
        if terminal {
            ended.push(render);
        }
    }
    Ok(ended)
}

fn attempted(row: &Row) -> Result<Attempted, sqlx::Error> {
    Ok(Attempted {
        delivery: row.get("delivery_id")?,
        render: row.parse("job_id")?,
        number: row.get("attempt_number")?,
        succeeded: row.get::<String>("status")? == "succeeded",
        status_code: row.get("status_code")?,
        reason: row.get("reason")?,
        latency_ms: row.get::<Option<i64>>("latency_ms")?.unwrap_or(0),
        attempted_at: Timestamp(row.get("attempted_at")?),
        event_type: row.get("event_type")?,
    })
}

fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}
