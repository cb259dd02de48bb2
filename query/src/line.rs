//! The line of renders that wait to be begun: who stands where.
//!
//! Promises: a place is told exactly where the line is short, and as of at most [`FRESH`] ago where it is long, at a cost
//! that does not grow with the line's length for each reader. Whoever joined since is looked up by itself.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use event_store::{EventStore, StoreError};
use events::RenderId;
use tokio::sync::Mutex;
use tokio::time::Instant;

/// How old a place may be that is told of a long line.
pub(crate) const FRESH: Duration = Duration::from_millis(250);

/// Looking at a line costs at most one part in so many of the time: a very long one is looked at less often.
const SHARE: u32 = 20;

/// In a line of this length each place is counted when it is asked for.
const SHORT: usize = 100;

/// Tells places in the line.
#[derive(Debug)]
pub(crate) struct Line {
    store: Arc<dyn EventStore>,
    seen: Mutex<Option<Sight>>,
}

/// The line as it was seen.
#[derive(Debug, Clone)]
struct Sight {
    good_until: Instant,
    places: Arc<HashMap<RenderId, u64>>,
}

impl Line {
    pub(crate) fn new(store: Arc<dyn EventStore>) -> Line {
        Line { store, seen: Mutex::new(None) }
    }

    /// How many renders are to be begun before this one; `None` where it does not wait to be.
    ///
    /// # Errors
    /// What the store says.
    pub(crate) async fn position(&self, render: RenderId) -> Result<Option<u64>, StoreError> {
        let places = self.look().await?;
        match places.get(&render).filter(|_| places.len() > SHORT) {
            Some(place) => Ok(Some(*place)),
            None => self.store.queue_position(render).await,
        }
    }

    /// The line as it was seen lately; whoever comes while another looks waits for what that one sees.
    async fn look(&self) -> Result<Arc<HashMap<RenderId, u64>>, StoreError> {
        let mut seen = self.seen.lock().await;
        let begun = Instant::now();
        if let Some(sight) = seen.as_ref().filter(|sight| begun < sight.good_until) {
            return Ok(Arc::clone(&sight.places));
        }
        let waiting = self.store.waiting().await?;
        let places: Arc<HashMap<RenderId, u64>> = Arc::new(waiting.into_iter().zip(0..).collect());
        let good_until = Instant::now() + FRESH.max(begun.elapsed() * SHARE);
        *seen = Some(Sight { good_until, places: Arc::clone(&places) });
        Ok(places)
    }
}

#[cfg(test)]
mod tests {
    use event_store::{Append, MemoryStore, NewQueueRow, SideRow};
    use events::{Slot, WorkspaceId};

    use super::*;

    async fn join(store: &MemoryStore, numbers: std::ops::Range<u128>, priority: i32) {
        let row = |number| NewQueueRow {
            render: RenderId::new(number),
            slot: Slot::Plan,
            workspace: WorkspaceId::new(1),
            priority,
            fingerprint: None,
            not_before: None,
            begun: false,
        };
        let rows = numbers.map(|number| SideRow::Enqueue(row(number))).collect();
        store.append(Append { rows, ..Append::default() }).await.expect("they join");
    }

    #[tokio::test]
    async fn places_in_a_long_line_are_seen_at_once_and_those_who_join_are_found() {
        let store = Arc::new(MemoryStore::new());
        let line = Line::new(Arc::clone(&store) as Arc<dyn EventStore>);
        let place = async |number| line.position(RenderId::new(number)).await.expect("the store answers");
        join(&store, 0..3, 0).await;
        assert_eq!((place(2).await, place(3).await), (Some(2), None), "a short line");
        join(&store, 3..200, 0).await;
        assert_eq!(place(150).await, Some(150), "counted, for it joined since the last look");
        tokio::time::sleep(FRESH * 2).await;
        assert_eq!(place(150).await, Some(150), "a long line");
        join(&store, 500..510, 9).await;
        assert_eq!(place(505).await, Some(5), "who has just joined is found");
        tokio::time::sleep(FRESH * 2).await;
        assert_eq!(place(150).await, Some(160), "and before long the others know");
    }
}
