//! The job as the command side answers it: the fold of its events, with what only the document knows.

use std::collections::BTreeMap;
use std::sync::Arc;

use event_store::{EventStore, ReadDocumentError, StoreError, Vault, read_document};
use events::StreamId;
use events::job::Job;
use events::job_view::JobView;
use events::upcast::DecodeError;
use serde::Deserialize;
use storage::LinkSigner;
use thiserror::Error;

/// Makes public jobs.
#[derive(Debug, Clone)]
pub(crate) struct Presenter {
    pub(crate) store: Arc<dyn EventStore>,
    pub(crate) vault: Arc<Vault>,
    pub(crate) links: Arc<LinkSigner>,
}

/// A job could not be presented.
#[derive(Debug, Error)]
pub(crate) enum PresentError {
    #[error("could not present a job")]
    Store(#[from] StoreError),
    #[error("could not present a job")]
    Decode(#[from] DecodeError),
    #[error("could not present a job")]
    Document(#[from] ReadDocumentError),
    #[error("could not present a job: its document is no composition")]
    Malformed(#[from] serde_json::Error),
}

/// What of a document is echoed.
#[derive(Deserialize)]
struct Echoed {
    metadata: BTreeMap<String, String>,
}

impl Presenter {
    /// The job that a stream tells of, as it is now; `None` for the empty stream.
    pub(crate) async fn job(&self, stream: &StreamId) -> Result<Option<Job>, PresentError> {
        let Some(view) = JobView::fold(&self.store.load(stream).await?)? else { return Ok(None) };
        let document =
            read_document(self.store.as_ref(), &self.vault, view.workspace_id, view.document).await;
        let metadata = match document {
            Ok(Some(bytes)) => serde_json::from_slice::<Echoed>(&bytes)?.metadata,
            // Erased with its workspace's key: what is left of the job is what the log tells.
            Ok(None) | Err(ReadDocumentError::Erased { .. }) => BTreeMap::new(),
            Err(error) => return Err(error.into()),
        };
        Ok(Some(self.present(&view, metadata)))
    }

    pub(crate) fn present(&self, view: &JobView, metadata: BTreeMap<String, String>) -> Job {
        view.present(metadata, |artifact| {
            self.links.artifact(artifact, view.completed_at.unwrap_or(view.updated_at))
        })
    }
}
