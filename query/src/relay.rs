//! The relay: public events from the log to the stream that subscribers read at NATS.
//!
//! ```text
//! log ─▶ a page behind the checkpoint ─▶ public events ─▶ windows, every event acknowledged ─▶ checkpoint := page's end
//!              ▲                                                                                    │
//!              └──────────── the larger of checkpoint and the position in the stream's last message ┘   (at every start)
//! ```
//! The checkpoint may lag behind the stream (a crash, a lost read database): then the stream's own last message says how
//! far it is, if the log has that very event there. The stream may be lost altogether: then it goes on from the checkpoint.
//! Two relays at a time write one stream (see [`EventPublisher`]), so a lease around this only saves work.
//!
//! The first relay of a log begins at its beginning, not at its end: what is published is a copy that auditors and late
//! subscribers read, and the stream's limits bound how much of it is kept. Must not know: NATS.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bus::{EventPublisher, OutgoingEvent, PublishError, Tail};
use event_store::{EventStore, StoreError, Subscription};
use events::public_event::PublicEvent;
use events::upcast::DecodeError;
use events::{Position, Recorded};
use thiserror::Error;
use tokio_util::sync::CancellationToken;

use crate::projector::chain;
use crate::read_db::{self, Checkpoint, ReadDb};

/// The checkpoint's name.
pub(crate) const NAME: &str = "nats_relay";
/// Of this code; another one would begin anew.
const VERSION: u32 = 1;

/// Events read from the log at a time: those of a window at most.
const PAGE: u32 = 256;

/// Bytes of a window: what shares the connection waits behind it.
const WINDOW_BYTES: usize = 1024 * 1024;

/// How often in a row another writer may be ahead before it is told of.
const OVERTAKEN_MAX: u32 = 20;

/// The pauses between attempts while nothing goes: the first one, and the longest.
const PAUSE: Duration = Duration::from_millis(250);
const PAUSE_MAX: Duration = Duration::from_secs(15);

/// Publishes a log's public events.
#[derive(Debug)]
pub struct Relay {
    store: Arc<dyn EventStore>,
    db: ReadDb,
    publisher: Arc<dyn EventPublisher>,
    failing: AtomicBool,
}

/// Why the relay begins again.
#[derive(Debug, Error)]
enum RelayError {
    #[error(transparent)]
    Publish(#[from] PublishError),
    #[error("could not read the log")]
    Store(#[from] StoreError),
    #[error("could not read an event")]
    Decode(#[from] DecodeError),
    #[error("could not write an event")]
    Write(#[from] serde_json::Error),
    #[error("could not keep the relay's place")]
    Database(#[from] sqlx::Error),
    /// Another relay has moved the checkpoint.
    #[error("the checkpoint moved")]
    Superseded,
}

/// What has been said of a trouble that lasts: once what it is, and in the end that it is over.
#[derive(Debug)]
struct Trouble {
    told: Option<String>,
    pause: Duration,
    overtaken: u32,
}

impl Default for Trouble {
    fn default() -> Trouble {
        Trouble { told: None, pause: PAUSE, overtaken: 0 }
    }
}

impl Trouble {
    /// Whether being overtaken once more is no trouble yet.
    fn lets_pass(&mut self) -> bool {
        self.overtaken += 1;
        self.overtaken <= OVERTAKEN_MAX
    }

    /// Takes note of an error; how long to wait now.
    fn met(&mut self, error: &RelayError) -> Duration {
        let what = chain(error);
        // An outage has many faces, and is one.
        let trouble = match error {
            RelayError::Publish(PublishError::Unavailable(_)) => String::new(),
            _ => what.clone(),
        };
        if self.told.as_ref() != Some(&trouble) {
            tracing::warn!(error = what, "events are not published at NATS for now; trying again");
            self.told = Some(trouble);
        }
        let pause = self.pause;
        self.pause = (pause * 2).min(PAUSE_MAX);
        pause
    }

    fn over(&mut self) {
        if self.told.take().is_some() {
            tracing::info!("events are published at NATS again");
        }
        (self.pause, self.overtaken) = (PAUSE, 0);
    }
}

impl Relay {
    /// A relay from this log, with its checkpoint among the read models.
    #[must_use]
    pub fn new(store: Arc<dyn EventStore>, db: ReadDb, publisher: Arc<dyn EventPublisher>) -> Relay {
        Relay { store, db, publisher, failing: AtomicBool::new(false) }
    }

    /// Publishes until it is cancelled. Whatever is away meanwhile, nothing waits for the relay but subscribers.
    pub async fn run(&self, stop: CancellationToken) {
        let mut trouble = Trouble::default();
        while !stop.is_cancelled() {
            let Some(ended) = stop.run_until_cancelled(self.follow(&mut trouble)).await else { return };
            let pause = match ended {
                Ok(never) => match never {},
                // Another writer was there: a moment later it is seen where it has come to.
                Err(RelayError::Superseded | RelayError::Publish(PublishError::Moved))
                    if trouble.lets_pass() =>
                {
                    PAUSE
                }
                Err(error) => {
                    self.failing.store(true, Ordering::Relaxed);
                    trouble.met(&error)
                }
            };
            stop.run_until_cancelled(tokio::time::sleep(pause)).await;
        }
    }

    /// Whether nothing can be published right now.
    #[must_use]
    pub fn is_failing(&self) -> bool {
        self.failing.load(Ordering::Relaxed)
    }

    /// The last event that is known to be published, by this relay or another.
    ///
    /// # Errors
    /// Where the read models can't be read.
    pub async fn position(&self) -> Result<Position, sqlx::Error> {
        let live = read_db::live_now(&self.db, NAME).await?;
        Ok(live.map_or(Position(0), |(checkpoint, _version)| checkpoint.position))
    }

    async fn follow(&self, trouble: &mut Trouble) -> Result<Infallible, RelayError> {
        let tail = self.publisher.ensure().await?;
        let mut checkpoint = self.checkpoint().await?;
        let start = self.start(checkpoint.position, &tail).await?;
        let mut end = tail.sequence;
        let mut subscription = Subscription::new(Arc::clone(&self.store), start, PAGE);
        loop {
            let mut page = subscription.waiting_page().await?;
            if page.is_empty() {
                self.goes(trouble);
                page = subscription.next_page().await?;
            }
            for window in windows(outgoing(&page)?) {
                end = self.publisher.publish(end, &window).await?;
            }
            let reached = page.last().map_or(subscription.checkpoint(), |last| last.position);
            checkpoint = self.advance(checkpoint, reached).await?;
            subscription.applied(reached);
            self.goes(trouble);
        }
    }

    fn goes(&self, trouble: &mut Trouble) {
        self.failing.store(false, Ordering::Relaxed);
        trouble.over();
    }

    /// Where to go on: a message counts only if the log has the event that it names, at the place that it names. Else it is
    /// another log's, or a stranger's.
    async fn start(&self, checkpoint: Position, tail: &Tail) -> Result<Position, RelayError> {
        let Some(mark) = tail.last.filter(|mark| mark.position > checkpoint) else { return Ok(checkpoint) };
        let found = self.store.read_after(Position(mark.position.0 - 1), 1).await?;
        let is_ours =
            found.first().is_some_and(|event| event.position == mark.position && event.event_id == mark.id);
        if is_ours {
            return Ok(mark.position);
        }
        tracing::warn!(
            position = mark.position.0,
            "the last message at NATS is none of this log's; events go on from the relay's checkpoint"
        );
        Ok(checkpoint)
    }

    /// The checkpoint; the first one is the log's beginning.
    async fn checkpoint(&self) -> Result<Checkpoint, RelayError> {
        let mut transaction = self.db.write().await?;
        let checkpoint = match read_db::live(&mut transaction, NAME).await? {
            Some((checkpoint, _version)) => checkpoint,
            None => read_db::begin_generation(&mut transaction, NAME, VERSION, true)
                .await?
                .ok_or(RelayError::Superseded)?,
        };
        transaction.commit().await?;
        Ok(checkpoint)
    }

    async fn advance(&self, from: Checkpoint, to: Position) -> Result<Checkpoint, RelayError> {
        let mut transaction = self.db.write().await?;
        if !read_db::advance(&mut transaction, NAME, from, to).await? {
            return Err(RelayError::Superseded);
        }
        transaction.commit().await?;
        Ok(Checkpoint { position: to, ..from })
    }
}

/// The public events of a page, as they leave.
fn outgoing(page: &[Recorded]) -> Result<Vec<OutgoingEvent>, RelayError> {
    let mut outgoing = Vec::new();
    for recorded in page {
        // One that can't be read may be a newer release's: it waits for that release rather than be left out for ever.
        let Some(public) = PublicEvent::of(recorded)? else { continue };
        outgoing.push(OutgoingEvent {
            id: public.id,
            position: recorded.position,
            version: recorded.stream_version,
            workspace: recorded.workspace_id,
            render: public.render_id,
            event_type: public.event_type,
            json: serde_json::to_vec(&public)?.into(),
            created_at: public.created_at,
        });
    }
    Ok(outgoing)
}

/// Events in windows of [`WINDOW_BYTES`], or of one event that is larger.
fn windows(events: Vec<OutgoingEvent>) -> Vec<Vec<OutgoingEvent>> {
    let (mut windows, mut bytes): (Vec<Vec<_>>, _) = (Vec::new(), 0);
    for event in events {
        bytes += event.json.len();
        match windows.last_mut() {
            Some(window) if bytes <= WINDOW_BYTES => window.push(event),
            _ => {
                bytes = event.json.len();
                windows.push(vec![event]);
            }
        }
    }
    windows
}

#[cfg(test)]
mod tests {
    use events::{EventId, RenderId, StreamVersion, WorkspaceId};

    use super::*;

    fn event(position: u64, bytes: usize) -> OutgoingEvent {
        OutgoingEvent {
            id: EventId::new(u128::from(position)),
            position: Position(position),
            version: StreamVersion(1),
            workspace: WorkspaceId::new(1),
            render: RenderId::new(1),
            event_type: "render.progress",
            created_at: String::new(),
            json: vec![b' '; bytes].into(),
        }
    }

    #[test]
    fn a_window_is_bounded_by_bytes() {
        let sizes = [WINDOW_BYTES / 2, WINDOW_BYTES / 2, 1, WINDOW_BYTES, WINDOW_BYTES * 2, 5];
        let events = (1..).zip(sizes).map(|(position, bytes)| event(position, bytes)).collect();
        let windows = windows(events);
        let shown: Vec<Vec<u64>> =
            windows.iter().map(|window| window.iter().map(|event| event.position.0).collect()).collect();
        assert_eq!(shown, [vec![1, 2], vec![3], vec![4], vec![5], vec![6]]);
    }

    #[test]
    fn a_trouble_is_told_once_and_waited_out_ever_longer() {
        let mut trouble = Trouble::default();
        let away = || RelayError::Publish(PublishError::Unavailable("nobody is there".to_owned()));
        assert_eq!((trouble.met(&away()), trouble.met(&away())), (PAUSE, PAUSE * 2));
        let pauses: Vec<_> = (0..10).map(|_| trouble.met(&away())).collect();
        assert_eq!(pauses.last(), Some(&PAUSE_MAX));
        assert!(trouble.told.is_some());
        trouble.over();
        assert_eq!((trouble.met(&away()), trouble.told.is_some()), (PAUSE, true));
        let mut trouble = Trouble::default();
        let quiet = (0..100).filter(|_| trouble.lets_pass()).count();
        assert_eq!(quiet, 20, "being overtaken for ever is a trouble");
    }
}
