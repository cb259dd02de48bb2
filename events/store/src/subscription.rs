//! Reading the log from a checkpoint on, page by page, for as long as it lives.
//!
//! Promises: every event exactly once and in order, none left out; a hole is an error, never a jump. A reader
//! keeps its own checkpoint, together with what it made of the events: this side only reads.

use std::sync::Arc;
use std::time::Duration;

use events::{Position, Recorded};
use tokio::sync::watch;

use crate::store::{EventStore, StoreError};

/// How long a reader sleeps at most: signals may get lost, and other processes' commits send none.
const POLL: Duration = Duration::from_secs(1);

/// A reader's place in the log.
#[derive(Debug)]
pub struct Subscription {
    store: Arc<dyn EventStore>,
    committed: watch::Receiver<Position>,
    checkpoint: Position,
    page: u32,
    /// Whether the checkpoint is known to lie within the log.
    anchored: bool,
}

impl Subscription {
    /// Follows the log after `checkpoint`, at most `page` events at a time.
    #[must_use]
    pub fn new(store: Arc<dyn EventStore>, checkpoint: Position, page: u32) -> Subscription {
        let committed = store.committed();
        Subscription { store, committed, checkpoint, page, anchored: false }
    }

    /// The last position that was applied.
    #[must_use]
    pub fn checkpoint(&self) -> Position {
        self.checkpoint
    }

    /// Moves on: everything up to `position` has been dealt with, and whatever was made of it is kept
    /// together with the position. Until then, `next_page` gives the same events again.
    pub fn applied(&mut self, position: Position) {
        self.checkpoint = position;
    }

    /// The next events, at least one; waits until there are any. Dropping the future loses nothing.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] where the log has a hole, or ends before the checkpoint.
    pub async fn next_page(&mut self) -> Result<Vec<Recorded>, StoreError> {
        loop {
            // Before reading: a commit that falls between the read and the wait still wakes the wait.
            self.committed.borrow_and_update();
            let page = self.waiting_page().await?;
            if !page.is_empty() {
                return Ok(page);
            }
            tokio::select! {
                () = tokio::time::sleep(POLL) => {}
                Ok(()) = self.committed.changed() => {}
            }
        }
    }

    /// The events that are there now; none where the log ends at the checkpoint.
    ///
    /// # Errors
    /// As [`Subscription::next_page`].
    pub async fn waiting_page(&mut self) -> Result<Vec<Recorded>, StoreError> {
        let page = self.store.read_after(self.checkpoint, self.page).await?;
        check_contiguous(self.checkpoint, &page)?;
        if page.is_empty() && !self.anchored {
            let head = self.store.head().await?.position;
            if head < self.checkpoint {
                let what = format!("it ends here, but a reader has been as far as {}", self.checkpoint.0);
                return Err(StoreError::Corrupt { position: head, what });
            }
        }
        self.anchored = true;
        Ok(page)
    }
}

/// The first event follows the checkpoint, and each its predecessor.
pub(crate) fn check_contiguous(checkpoint: Position, page: &[Recorded]) -> Result<(), StoreError> {
    for (wanted, found) in (checkpoint.0 + 1..).zip(page) {
        if found.position.0 != wanted {
            let what = format!("it is missing: the next one is {}", found.position.0);
            return Err(StoreError::Corrupt { position: Position(wanted), what });
        }
    }
    Ok(())
}
