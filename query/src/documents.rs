//! What read models need of the documents beside the log: the caller's metadata and the job's webhook address.

use std::collections::BTreeMap;
use std::sync::Arc;

use event_store::{EventStore, ReadDocumentError, StoreError, Vault, read_document};
use events::{Sha256, WorkspaceId};
use serde::Deserialize;

/// The caller's own words, as far as this side repeats them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub struct DocumentFacts {
    /// Echoed.
    #[serde(default)]
    pub metadata: BTreeMap<String, String>,
    /// Receives this job's webhooks.
    #[serde(default)]
    pub webhook_url: Option<String>,
}

/// Opens documents.
#[derive(Debug, Clone)]
pub struct Documents {
    store: Arc<dyn EventStore>,
    vault: Arc<Vault>,
}

impl Documents {
    /// Documents of this store, opened with this vault.
    #[must_use]
    pub fn new(store: Arc<dyn EventStore>, vault: Arc<Vault>) -> Documents {
        Documents { store, vault }
    }

    /// The facts of one document. An erased tenant's documents, and those that don't open, have none: a projection goes
    /// on without them, since waiting would not bring them back.
    ///
    /// # Errors
    /// Where the store can't be read now.
    pub async fn facts(&self, workspace: WorkspaceId, sha256: Sha256) -> Result<DocumentFacts, StoreError> {
        let document = match read_document(self.store.as_ref(), &self.vault, workspace, sha256).await {
            Ok(document) => document,
            Err(ReadDocumentError::Store { source, .. }) => return Err(source),
            Err(ReadDocumentError::Erased { .. }) => None,
            Err(error @ (ReadDocumentError::Sealed { .. } | ReadDocumentError::WrongDigest { .. })) => {
                tracing::error!(%error, workspace = %workspace, "a job is shown without its document");
                None
            }
        };
        let facts = document.and_then(|json| {
            let read = serde_json::from_slice::<DocumentFacts>(&json);
            read.inspect_err(
                |_of_content| tracing::error!(document = %sha256, "a document is no JSON object of ours"),
            )
            .ok()
        });
        Ok(facts.unwrap_or_default())
    }
}
