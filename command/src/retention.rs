//! Retention: films are deleted when they have been kept for as long as was promised.
//!
//! The instant follows from the log (a render's completion) and the installation's setting alone; the list of artifacts
//! that are kept is written with the completion and survives restarts. The object goes first, then its line in the list:
//! whatever fails is done again by the next look. The links to it end at the same instant.

use std::sync::Arc;

use event_store::{Append, AppendError, EventStore, SideRow, StoreError};
use events::RenderId;
use thiserror::Error;

use crate::chain::chain;
use crate::sweeper::{SweepError, Sweeper};

/// Artifacts that are deleted in one go.
const AT_ONCE: u32 = 64;

/// Deletes artifacts whose time has passed.
#[derive(Debug)]
pub(crate) struct Retention {
    pub(crate) store: Arc<dyn EventStore>,
    pub(crate) sweeper: Arc<Sweeper>,
    /// How long an artifact is kept.
    pub(crate) keep_ms: i64,
}

/// An artifact that is still there.
#[derive(Debug, Error)]
pub(crate) enum LetGoError {
    #[error("could not let go of an artifact")]
    Store(#[from] StoreError),
    #[error("could not let go of an artifact")]
    Sweep(#[from] SweepError),
    #[error("could not let go of an artifact")]
    Append(#[from] AppendError),
}

impl Retention {
    /// Deletes everything whose time has passed. What can't be deleted now is tried again by the next call.
    pub(crate) async fn let_go(&self) {
        loop {
            match self.some().await {
                Ok(deleted) if deleted < AT_ONCE as usize => return,
                Ok(_) => {}
                Err(error) => {
                    tracing::warn!(
                        error = chain(&error),
                        "artifacts are kept beyond their time; trying again"
                    );
                    return;
                }
            }
        }
    }

    async fn some(&self) -> Result<usize, LetGoError> {
        let oldest_kept = self.store.now().await?.plus_ms(-self.keep_ms);
        let over = self.store.artifacts_finished_by(oldest_kept, AT_ONCE).await?;
        for render in &over {
            self.delete(*render).await?;
        }
        Ok(over.len())
    }

    async fn delete(&self, render: RenderId) -> Result<(), LetGoError> {
        self.sweeper.erase(render).await?;
        let rows = vec![SideRow::DeleteArtifact(render)];
        self.store.append(Append { rows, ..Append::default() }).await?;
        tracing::info!(render.id = %render, "its film has been kept for its time and is deleted");
        Ok(())
    }
}
