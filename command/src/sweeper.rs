//! Removes from storage what no event names: parts of finished renders, and what lost leases left behind.
//!
//! Promises: only keys below a finished render's own folder are removed, and its artifact only when it is asked for by
//! name; a render that lives is left alone. Removing twice is harmless, so every process may sweep.

use std::collections::{BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use domain::Render;
use domain::render::Outcome;
use events::RenderId;
use storage::{Storage, StorageError};
use thiserror::Error;

use crate::chain::chain;
use crate::handler::LoadError;
use crate::renders::Renders;
use crate::world::World;

/// Below this every render has a folder of its own.
const FOLDER: &str = "renders";

/// A finished render is looked at once more after this long: a worker that had not heard of the end may have stored
/// something after the first look.
const SECOND_LOOK_MS: u64 = 60_000;

/// Renders that wait for a second look at most; beyond, the look at the next start finds what was left.
const WAITING_MAX: usize = 10_000;

/// Sweeps storage.
#[derive(Debug)]
pub(crate) struct Sweeper {
    pub(crate) storage: Arc<dyn Storage>,
    pub(crate) renders: Arc<Renders>,
    pub(crate) world: Arc<dyn World>,
    /// In order of the instant of the second look.
    pub(crate) waiting: Mutex<VecDeque<(u64, RenderId)>>,
}

/// A sweep that did not get through.
#[derive(Debug, Error)]
pub(crate) enum SweepError {
    #[error("could not sweep storage")]
    Load(#[from] LoadError),
    #[error("could not sweep storage")]
    Storage(#[from] StorageError),
}

impl Sweeper {
    /// A render has just finished.
    pub(crate) async fn finished(&self, render: RenderId) {
        self.sweep_and_log(render).await;
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.len() < WAITING_MAX {
            waiting.push_back((self.world.elapsed_ms().saturating_add(SECOND_LOOK_MS), render));
        }
    }

    /// The second looks that are due.
    pub(crate) async fn look_again(&self) {
        let now = self.world.elapsed_ms();
        while let Some(render) = self.next_due(now) {
            self.sweep_and_log(render).await;
        }
    }

    fn next_due(&self, now: u64) -> Option<RenderId> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let &(at, render) = waiting.front()?;
        if at > now {
            return None;
        }
        waiting.pop_front();
        Some(render)
    }

    /// Everything there is, as at start.
    pub(crate) async fn sweep_all(&self) -> Result<(), SweepError> {
        let keys = self.storage.list(FOLDER).await?;
        let renders: BTreeSet<RenderId> =
            keys.iter().filter_map(|key| key.split('/').nth(1)?.parse().ok()).collect();
        for render in renders {
            self.sweep(render).await?;
        }
        Ok(())
    }

    async fn sweep_and_log(&self, render: RenderId) {
        if let Err(error) = self.sweep(render).await {
            tracing::warn!(render.id = %render, error = chain(&error), "objects were left in storage; the next sweep looks again");
        }
    }

    /// Removes what a finished render needs no more.
    pub(crate) async fn sweep(&self, render: RenderId) -> Result<(), SweepError> {
        let folded = self.renders.load(render).await?;
        let Render::Finished(outcome) = &folded.state else { return Ok(()) };
        let kept = match outcome {
            Outcome::Completed(completed) => Some(completed.artifact.object.key.as_str()),
            Outcome::Failed(_) | Outcome::Cancelled => None,
        };
        self.remove(render, kept).await
    }

    /// Removes everything of a finished render, its artifact too.
    pub(crate) async fn erase(&self, render: RenderId) -> Result<(), SweepError> {
        if self.renders.load(render).await?.state.is_finished() {
            self.remove(render, None).await
        } else {
            Ok(())
        }
    }

    async fn remove(&self, render: RenderId, kept: Option<&str>) -> Result<(), SweepError> {
        for key in self.storage.list(&format!("{FOLDER}/{render}")).await? {
            if Some(key.as_str()) != kept {
                self.storage.delete(&key).await?;
            }
        }
        Ok(())
    }
}
