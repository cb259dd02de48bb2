//! The log's end, read once for all event streams: a window of the latest public events that every stream looks into.
//!
//! ```text
//! log ──▶ one reader ──▶ window (the last few thousand events, each made public once) ──▶ any number of streams
//!   └───────────────────────────── what is older than the window ───────────────────────▶ a stream that is behind
//! ```
//! A stream is a place in the log and nothing else: nothing is queued for it, so a slow one costs what an idle one costs,
//! and none can miss or double an event. Must not know: HTTP.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use event_store::{EventStore, StoreError, Subscription};
use events::public_event::PublicEvent;
use events::upcast::DecodeError;
use events::{Position, Recorded, RenderId, StreamVersion, WorkspaceId};
use thiserror::Error;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::projector::chain;

/// Events kept at most, and their bytes: some minutes of a busy service.
const WINDOW_EVENTS: usize = 4096;
const WINDOW_BYTES: usize = 16 * 1024 * 1024;

/// Events read from the log at a time.
const PAGE: u32 = 256;

/// The pause after a failure, so that a log in trouble is not hammered.
const PAUSE_AFTER_FAILURE: Duration = Duration::from_secs(1);

/// A public event, written once for everyone it is told to.
#[derive(Debug)]
pub(crate) struct Told {
    pub(crate) position: Position,
    pub(crate) version: StreamVersion,
    pub(crate) workspace: WorkspaceId,
    pub(crate) render: RenderId,
    pub(crate) event_type: &'static str,
    /// Whether the job's history ends here.
    pub(crate) is_terminal: bool,
    /// The event as JSON, in one line.
    pub(crate) json: String,
}

/// A stored event could not be made public.
#[derive(Debug, Error)]
pub(crate) enum TellError {
    #[error("could not read an event")]
    Decode(#[from] DecodeError),
    #[error("could not write an event")]
    Write(#[from] serde_json::Error),
}

impl Told {
    /// The event as it is told; `None`: clients are not told of it.
    pub(crate) fn of(recorded: &Recorded) -> Result<Option<Told>, TellError> {
        let Some(public) = PublicEvent::of(recorded)? else { return Ok(None) };
        Ok(Some(Told {
            position: recorded.position,
            version: recorded.stream_version,
            workspace: recorded.workspace_id,
            render: public.render_id,
            event_type: public.event_type,
            is_terminal: public.is_terminal(),
            json: serde_json::to_string(&public)?,
        }))
    }
}

/// The window. One task [`runs`](Feed::run) it.
#[derive(Debug)]
pub(crate) struct Feed {
    window: Mutex<Window>,
    reached: watch::Sender<Position>,
}

/// Every public event behind `from`, up to where the feed has come.
#[derive(Debug)]
struct Window {
    from: Position,
    told: VecDeque<Arc<Told>>,
    bytes: usize,
}

impl Feed {
    /// An empty window at the log's end.
    pub(crate) fn new(head: Position) -> Feed {
        let window = Window { from: head, told: VecDeque::new(), bytes: 0 };
        Feed { window: Mutex::new(window), reached: watch::Sender::new(head) }
    }

    /// How far the window goes; changes wake.
    pub(crate) fn reached(&self) -> watch::Receiver<Position> {
        self.reached.subscribe()
    }

    /// The events behind `after` that `wants` wants, at most `limit`, and up to where that is all of them; `None`: the
    /// window begins later.
    pub(crate) fn since(
        &self,
        after: Position,
        limit: usize,
        wants: impl Fn(&Told) -> bool,
    ) -> Option<(VecDeque<Arc<Told>>, Position)> {
        let window = self.window();
        if after < window.from {
            return None;
        }
        let first = window.told.partition_point(|told| told.position <= after);
        let wanted = window.told.range(first..).filter(|told| wants(told));
        let found: VecDeque<_> = wanted.take(limit).cloned().collect();
        let all_until = match found.back() {
            Some(last) if found.len() == limit => last.position,
            _ => after.max(*self.reached.borrow()),
        };
        Some((found, all_until))
    }

    /// Follows the log until it is cancelled; failures are logged here, and tried again.
    pub(crate) async fn run(&self, store: Arc<dyn EventStore>, stop: CancellationToken) {
        while !stop.is_cancelled() {
            let Some(followed) = stop.run_until_cancelled(self.follow(&store)).await else { return };
            match followed {
                Ok(never) => match never {},
                Err(error) => {
                    tracing::error!(error = %chain(&error), "event streams stand still; trying again");
                    stop.run_until_cancelled(tokio::time::sleep(PAUSE_AFTER_FAILURE)).await;
                }
            }
        }
    }

    async fn follow(&self, store: &Arc<dyn EventStore>) -> Result<std::convert::Infallible, StoreError> {
        let start = *self.reached.borrow();
        let mut subscription = Subscription::new(Arc::clone(store), start, PAGE);
        loop {
            let page = subscription.next_page().await?;
            let last = page.last().map_or(subscription.checkpoint(), |last| last.position);
            self.take_in(&page, last);
            subscription.applied(last);
        }
    }

    fn take_in(&self, page: &[Recorded], last: Position) {
        let told: Vec<_> = page.iter().filter_map(tell).collect();
        let mut window = self.window();
        for told in told {
            window.bytes += told.json.len();
            window.told.push_back(Arc::new(told));
        }
        while window.told.len() > WINDOW_EVENTS || window.bytes > WINDOW_BYTES {
            let Some(oldest) = window.told.pop_front() else { break };
            window.from = oldest.position;
            window.bytes -= oldest.json.len();
        }
        // Under the lock: whoever sees the new end finds what lies before it.
        self.reached.send_replace(last);
    }

    fn window(&self) -> MutexGuard<'_, Window> {
        // A panic while the lock was held can only have come from a bug that has been reported already.
        self.window.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An event that can't be told is left out for everyone rather than end every stream; the projections stop at it.
fn tell(recorded: &Recorded) -> Option<Told> {
    match Told::of(recorded) {
        Ok(told) => told,
        Err(error) => {
            tracing::error!(position = recorded.position.0, error = %chain(&error), "an event can't be told");
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(position: u64, workspace: u128, bytes: usize) -> Told {
        Told {
            position: Position(position),
            version: StreamVersion(position),
            workspace: WorkspaceId::new(workspace),
            render: RenderId::new(1),
            event_type: "render.progress",
            is_terminal: false,
            json: "x".repeat(bytes),
        }
    }

    fn feed(events: impl IntoIterator<Item = Told>, last: u64) -> Feed {
        let feed = Feed::new(Position(0));
        let mut window = feed.window();
        window.told = events.into_iter().map(Arc::new).collect();
        window.bytes = window.told.iter().map(|told| told.json.len()).sum();
        drop(window);
        feed.take_in(&[], Position(last));
        feed
    }

    fn positions(found: &VecDeque<Arc<Told>>) -> Vec<u64> {
        found.iter().map(|told| told.position.0).collect()
    }

    #[test]
    fn a_stream_finds_what_is_behind_its_place_and_how_far_that_is_all() {
        let feed = feed([told(2, 1, 1), told(3, 2, 1), told(5, 1, 1)], 9);
        let own = |told: &Told| told.workspace == WorkspaceId::new(1);
        let (found, until) = feed.since(Position(0), 10, own).expect("within the window");
        assert_eq!((positions(&found), until), (vec![2, 5], Position(9)), "all there is, up to the end");
        let (found, until) = feed.since(Position(0), 1, own).expect("within the window");
        assert_eq!((positions(&found), until), (vec![2], Position(2)), "a full page goes no further");
        let (found, until) = feed.since(Position(12), 10, own).expect("within the window");
        assert_eq!((positions(&found), until), (vec![], Position(12)), "nobody is sent back");
    }

    #[test]
    fn the_window_is_bounded_by_events_and_by_bytes() {
        let count = WINDOW_EVENTS as u64 + 10;
        let many = feed((1..=count).map(|position| told(position, 1, 1)), count);
        assert!(many.since(Position(9), 1, |_| true).is_none(), "the oldest are gone");
        assert!(many.since(Position(10), 1, |_| true).is_some(), "the others are all there");
        let large = feed((1..=4).map(|position| told(position, 1, WINDOW_BYTES / 2)), 4);
        assert!(large.since(Position(1), 1, |_| true).is_none(), "two fit");
        let (found, _) = large.since(Position(2), 10, |_| true).expect("within the window");
        assert_eq!(positions(&found), [3, 4]);
    }
}
