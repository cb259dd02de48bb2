//! The loop that feeds a projection: read a page, work out its changes, write them with the checkpoint.
//!
//! ```text
//! checkpoint P ─▶ read events after P ─▶ gather, changes ─▶ [ write rows; P := P' if it still is P ] ─▶ tell readers
//!      ▲                                                          one transaction                           │
//!      └────────────────────────────── woken by a commit, or after 1 s ◀────────────────────────────────────┘
//! ```
//! The compare-and-swap on (position, generation) makes a crash, a second projector and a rebuild's swap the same case:
//! whoever stands elsewhere than the checkpoint writes nothing and reads it anew.

use std::sync::Arc;
use std::time::Duration;

use event_store::{EventStore, Subscription};
use events::{Position, Recorded};
use tokio_util::sync::CancellationToken;

use crate::progress::Progress;
use crate::projections::{ProjectError, Projection};
use crate::read_db::{self, Checkpoint, ReadDb};

/// Events applied in one transaction at most.
const PAGE: u32 = 256;

/// The pause after a failure, so that a log or a disk in trouble is not hammered.
pub(crate) const PAUSE_AFTER_FAILURE: Duration = Duration::from_secs(1);

/// Feeds one projection's live generation.
#[derive(Debug)]
pub struct Projector<P> {
    projection: P,
    store: Arc<dyn EventStore>,
    db: ReadDb,
    progress: Arc<Progress>,
}

impl<P: Projection> Projector<P> {
    /// A projector of `projection` over this log and database.
    #[must_use]
    pub fn new(projection: P, store: Arc<dyn EventStore>, db: ReadDb) -> Projector<P> {
        Projector { projection, store, db, progress: Arc::default() }
    }

    /// What it feeds.
    pub(crate) fn projection(&self) -> &P {
        &self.projection
    }

    /// How far it has come.
    #[must_use]
    pub fn progress(&self) -> Arc<Progress> {
        Arc::clone(&self.progress)
    }

    /// Projects until it is cancelled; failures are logged here, and tried again.
    pub async fn run(&self, stop: CancellationToken) {
        while !stop.is_cancelled() {
            let Some(followed) = stop.run_until_cancelled(self.follow()).await else { return };
            match followed {
                Ok(never) => match never {},
                Err(ProjectError::Superseded) => {
                    tracing::debug!(projection = P::NAME, "the checkpoint moved: reading it anew")
                }
                Err(error) => {
                    self.progress.failed();
                    tracing::error!(projection = P::NAME, error = %chain(&error), "a projection stands still and tries again");
                    stop.run_until_cancelled(tokio::time::sleep(PAUSE_AFTER_FAILURE)).await;
                }
            }
        }
    }

    /// Applies everything that is in the log now; the position reached.
    ///
    /// # Errors
    /// [`ProjectError`]; what was applied stays applied.
    pub async fn catch_up(&self) -> Result<Position, ProjectError> {
        let mut checkpoint = self.checkpoint().await?;
        let mut subscription = Subscription::new(Arc::clone(&self.store), checkpoint.position, PAGE);
        loop {
            let page = subscription.waiting_page().await?;
            if page.is_empty() {
                return Ok(checkpoint.position);
            }
            checkpoint = self.apply(checkpoint, &page).await?;
            subscription.applied(checkpoint.position);
        }
    }

    async fn follow(&self) -> Result<std::convert::Infallible, ProjectError> {
        let mut checkpoint = self.checkpoint().await?;
        self.progress.applied(checkpoint.position, None);
        let mut subscription = Subscription::new(Arc::clone(&self.store), checkpoint.position, PAGE);
        loop {
            let page = subscription.next_page().await?;
            checkpoint = self.apply(checkpoint, &page).await?;
            subscription.applied(checkpoint.position);
        }
    }

    /// The live generation's checkpoint; the first generation begins here.
    async fn checkpoint(&self) -> Result<Checkpoint, ProjectError> {
        let mut transaction = self.db.write().await?;
        let checkpoint = match read_db::live(&mut transaction, P::NAME).await? {
            Some((checkpoint, _version)) => checkpoint,
            None => read_db::begin_generation(&mut transaction, P::NAME, P::VERSION, true)
                .await?
                .ok_or(ProjectError::Superseded)?,
        };
        transaction.commit().await?;
        Ok(checkpoint)
    }

    async fn apply(&self, from: Checkpoint, page: &[Recorded]) -> Result<Checkpoint, ProjectError> {
        let reached = apply_page(&self.projection, &self.db, from, page).await?;
        self.progress.applied(reached.position, page.iter().filter_map(|event| event.stream_id.render()));
        Ok(reached)
    }
}

/// Applies a page to one generation, all of it or nothing.
pub(crate) async fn apply_page<P: Projection>(
    projection: &P,
    db: &ReadDb,
    from: Checkpoint,
    page: &[Recorded],
) -> Result<Checkpoint, ProjectError> {
    let applied = write_page(projection, db, from, page).await;
    if applied.is_err() {
        projection.forget();
    }
    applied
}

async fn write_page<P: Projection>(
    projection: &P,
    db: &ReadDb,
    from: Checkpoint,
    page: &[Recorded],
) -> Result<Checkpoint, ProjectError> {
    let mut changes = Vec::new();
    for event in page {
        let facts = projection.gather(event).await?;
        changes.extend(projection.changes(event, facts)?);
    }
    let to = page.last().map_or(from.position, |event| event.position);
    let mut transaction = db.write().await?;
    if !read_db::advance(&mut transaction, P::NAME, from, to).await? {
        return Err(ProjectError::Superseded);
    }
    projection.write(&mut transaction, from.generation, changes).await?;
    transaction.commit().await?;
    Ok(Checkpoint { position: to, ..from })
}

/// An error and its causes in one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}
