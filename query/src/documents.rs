//! What callers wrote, on the read side: read from the documents beside the log, kept sealed in the read models.
//!
//! Everything is sealed with the key of the caller's workspace, which is read anew each time: throwing it away erases the
//! rows here at once, together with the documents.

use std::collections::BTreeMap;
use std::sync::Arc;

use event_store::documents::DOCUMENT_KEY;
use event_store::{EventStore, ReadDocumentError, StoreError, Vault, WorkspaceKey, read_document};
use events::{RenderId, Sha256, WorkspaceId};
use hmac::{Hmac, KeyInit as _, Mac as _};
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

/// The digest that stands for one pair of a workspace's metadata: what lists filter by, and tells nothing.
pub type PairDigest = [u8; 16];

/// Opens documents, and seals what is taken from them.
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

    /// A text that lies with the documents, as endpoints' addresses do; `None` where it can't be read any more.
    ///
    /// # Errors
    /// Where the store can't be read now.
    pub async fn text(&self, workspace: WorkspaceId, sha256: Sha256) -> Result<Option<String>, StoreError> {
        match read_document(self.store.as_ref(), &self.vault, workspace, sha256).await {
            Ok(bytes) => Ok(bytes.and_then(|bytes| String::from_utf8(bytes).ok())),
            Err(ReadDocumentError::Store { source, .. }) => Err(source),
            Err(ReadDocumentError::Erased { .. }) => Ok(None),
            Err(error @ (ReadDocumentError::Sealed { .. } | ReadDocumentError::WrongDigest { .. })) => {
                tracing::error!(%error, %workspace, "a text beside the log can't be read");
                Ok(None)
            }
        }
    }

    /// The workspace's key; `None` where it has been thrown away, or does not open.
    ///
    /// # Errors
    /// Where the store can't be read now.
    pub async fn key(&self, workspace: WorkspaceId) -> Result<Option<WorkspaceKey>, StoreError> {
        let Some(wrapped) = self.store.secret(workspace, DOCUMENT_KEY).await? else { return Ok(None) };
        let key = self.vault.workspace_key(&wrapped);
        Ok(key
            .inspect_err(|error| tracing::error!(%error, %workspace, "a workspace's key does not open"))
            .ok())
    }

    /// The digest of a pair of metadata. Keyed, so that nobody finds a value by trying.
    #[must_use]
    pub fn pair(&self, workspace: WorkspaceId, key: &str, value: &str) -> PairDigest {
        let secret = self.vault.derive("metadata pairs");
        let mut mac =
            Hmac::<sha2::Sha256>::new_from_slice(secret.as_slice()).expect("HMAC takes keys of every length");
        for part in [workspace.to_string().as_bytes(), key.as_bytes(), value.as_bytes()] {
            // Lengths first: no two triples give the same bytes.
            mac.update(&(part.len() as u64).to_be_bytes());
            mac.update(part);
        }
        let digest: [u8; 32] = mac.finalize().into_bytes().into();
        let (first, _) = digest.split_first_chunk().expect("a digest has more than 16 bytes");
        *first
    }
}

/// A job's metadata as it is kept: sealed, or nothing where there is none.
pub(crate) fn seal_metadata(
    key: Option<&WorkspaceKey>,
    render: RenderId,
    metadata: &BTreeMap<String, String>,
) -> Vec<u8> {
    match key {
        Some(key) if !metadata.is_empty() => {
            // A map of strings always has a JSON form.
            let plain = serde_json::to_vec(metadata).expect("metadata is representable in JSON");
            key.seal(&metadata_context(render), &plain)
        }
        _ => Vec::new(),
    }
}

/// Reads what [`seal_metadata`] made; what does not open is as if it were not there.
pub(crate) fn open_metadata(
    key: Option<&WorkspaceKey>,
    render: RenderId,
    sealed: &[u8],
) -> BTreeMap<String, String> {
    let (Some(key), false) = (key, sealed.is_empty()) else { return BTreeMap::new() };
    let plain = key.open(&metadata_context(render), sealed);
    let plain =
        plain.inspect_err(|error| tracing::error!(render.id = %render, %error, "metadata does not open"));
    plain.ok().and_then(|plain| serde_json::from_slice(&plain).ok()).unwrap_or_default()
}

fn metadata_context(render: RenderId) -> Vec<u8> {
    format!("metadata {render}").into_bytes()
}
