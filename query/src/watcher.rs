//! Follows what another process projects, for those here who wait for it: requests that read what they wrote, long polls,
//! the dispatcher.
//!
//! Looks at the checkpoints now and then: what is seen late is late by one look, and nothing rests on it. Must not know: what
//! the rows mean.

use std::sync::Arc;
use std::time::Duration;

use event_store::{EventStore, StoreError};
use events::{Position, RenderId};
use thiserror::Error;
use tokio_util::sync::CancellationToken;

use crate::progress::Progress;
use crate::projector::chain;
use crate::read_db::{ReadDb, position, sql};

/// How often is looked: a request that reads what was just written waits half as long on average.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// How often is looked while nothing happens.
const LOOK_IDLE: Duration = Duration::from_millis(100);

/// Events read from the log at a time, to name the renders they touch.
const PAGE: u32 = 256;

/// Tells progress that is made elsewhere.
#[derive(Debug)]
pub(crate) struct Watcher {
    pub(crate) store: Arc<dyn EventStore>,
    pub(crate) db: ReadDb,
    /// Projections by name.
    pub(crate) watched: Vec<(&'static str, Arc<Progress>)>,
}

/// A look was in vain.
#[derive(Debug, Error)]
enum WatchError {
    #[error("could not read the checkpoints")]
    Database(#[from] sqlx::Error),
    #[error("could not read the log")]
    Store(#[from] StoreError),
}

impl Watcher {
    /// Looks until it is cancelled.
    pub(crate) async fn run(&self, stop: CancellationToken) {
        let mut commits = self.store.committed();
        while !stop.is_cancelled() {
            let pause = match self.look().await {
                Ok(true) => LOOK_EVERY,
                Ok(false) => LOOK_IDLE,
                Err(error) => {
                    tracing::warn!(error = %chain(&error), "the read models are not seen; looking again");
                    LOOK_IDLE * 10
                }
            };
            tokio::select! {
                () = stop.cancelled() => {}
                () = tokio::time::sleep(pause) => {}
                // Where something was written something is about to be projected.
                Ok(()) = commits.changed(), if pause == LOOK_IDLE => tokio::time::sleep(LOOK_EVERY / 4).await,
            }
        }
    }

    /// Looks once; whether anything has moved or is about to.
    async fn look(&self) -> Result<bool, WatchError> {
        let live = sql("SELECT name, position FROM projection WHERE live = 1");
        let mut moved = false;
        for row in self.db.fetch_all(live).await? {
            let (name, reached): (String, Position) = (row.get("name")?, position(row.get("position")?));
            let Some((_, progress)) = self.watched.iter().find(|(watched, _)| *watched == name) else {
                continue;
            };
            moved |= self.tell(progress, reached).await? || *self.store.committed().borrow() > reached;
        }
        Ok(moved)
    }

    /// Tells how far a projection has come since the last look, and which renders that touched.
    async fn tell(&self, progress: &Progress, reached: Position) -> Result<bool, StoreError> {
        let mut from = progress.position();
        if from >= reached {
            return Ok(false);
        }
        // At the first look nobody has waited yet.
        if from == Position(0) {
            progress.applied(reached, None);
            return Ok(true);
        }
        while from < reached {
            let mut page = self.store.read_after(from, PAGE).await?;
            page.retain(|event| event.position <= reached);
            let Some(last) = page.last() else { break };
            from = last.position;
            let touched: Vec<RenderId> = page.iter().filter_map(|event| event.stream_id.render()).collect();
            progress.applied(from, touched);
        }
        Ok(true)
    }
}
