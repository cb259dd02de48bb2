//! Documents: what callers wrote, sealed with their workspace's key and found by the digest of its plain
//! bytes.
//!
//! The log names documents by digest only. Throwing the workspace's key away erases them all; nothing here
//! keeps a key for later, so that it takes effect at once.

use events::{Sha256, WorkspaceId};
use thiserror::Error;

use crate::store::{EventStore, SideRow, StoreError};
use crate::vault::{Vault, VaultError, WorkspaceKey};

/// The name of the secret that holds a workspace's wrapped key.
pub const DOCUMENT_KEY: &str = "document_key";

/// The name of the secret that a workspace's webhooks are signed with. Sealed in [`webhook_secret_context`].
pub const WEBHOOK_SECRET: &str = "webhook_secret";

/// The context that a workspace's webhook secret is sealed in: it opens in no other place.
#[must_use]
pub fn webhook_secret_context(workspace: WorkspaceId) -> Vec<u8> {
    format!("{WEBHOOK_SECRET} {workspace}").into_bytes()
}

/// A document could not be read.
#[derive(Debug, Error)]
pub enum ReadDocumentError {
    /// The store failed.
    #[error("could not read document {sha256}")]
    Store {
        /// Which document.
        sha256: Sha256,
        /// What failed.
        #[source]
        source: StoreError,
    },
    /// The workspace's key is gone: its documents are erased.
    #[error("could not read document {sha256}: the key of {workspace} has been thrown away")]
    Erased {
        /// Which document.
        sha256: Sha256,
        /// Whose.
        workspace: WorkspaceId,
    },
    /// The key or the document does not open.
    #[error("could not read document {sha256}")]
    Sealed {
        /// Which document.
        sha256: Sha256,
        /// Why.
        #[source]
        source: VaultError,
    },
    /// It opens, but to other bytes than its name says.
    #[error("could not read document {sha256}: its bytes have another digest")]
    WrongDigest {
        /// Which document.
        sha256: Sha256,
    },
}

/// Seals a document: its digest, and the row to append with the event that names it.
#[must_use]
pub fn seal_document(key: &WorkspaceKey, workspace: WorkspaceId, plain: &[u8]) -> (Sha256, SideRow) {
    let sha256 = Sha256::of(plain);
    let bytes = key.seal(&context(workspace, sha256), plain);
    (sha256, SideRow::PutDocument { workspace, sha256, bytes })
}

/// Reads a document that [`seal_document`] made; `None` where there is none of that digest.
///
/// # Errors
/// See [`ReadDocumentError`].
pub async fn read_document(
    store: &dyn EventStore,
    vault: &Vault,
    workspace: WorkspaceId,
    sha256: Sha256,
) -> Result<Option<Vec<u8>>, ReadDocumentError> {
    let failed = |source| ReadDocumentError::Store { sha256, source };
    let unreadable = |source| ReadDocumentError::Sealed { sha256, source };
    let Some(sealed) = store.document(workspace, sha256).await.map_err(failed)? else { return Ok(None) };
    let Some(wrapped) = store.secret(workspace, DOCUMENT_KEY).await.map_err(failed)? else {
        return Err(ReadDocumentError::Erased { sha256, workspace });
    };
    let key = vault.workspace_key(&wrapped).map_err(unreadable)?;
    let plain = key.open(&context(workspace, sha256), &sealed).map_err(unreadable)?;
    if Sha256::of(&plain) == sha256 {
        Ok(Some(plain))
    } else {
        Err(ReadDocumentError::WrongDigest { sha256 })
    }
}

/// Binds the sealed bytes to their place: moved to another row they do not open.
fn context(workspace: WorkspaceId, sha256: Sha256) -> Vec<u8> {
    format!("document {workspace} {sha256}").into_bytes()
}

#[cfg(test)]
mod tests {
    use zeroize::Zeroizing;

    use super::*;
    use crate::memory::MemoryStore;
    use crate::store::Append;

    const OWNER: WorkspaceId = WorkspaceId::new(1);

    fn rows(rows: Vec<SideRow>) -> Append {
        Append { rows, ..Append::default() }
    }

    fn put_key(wrapped: Vec<u8>) -> SideRow {
        SideRow::PutSecret { workspace: OWNER, name: DOCUMENT_KEY.to_owned(), bytes: wrapped }
    }

    #[tokio::test]
    async fn a_document_is_read_back_through_its_workspaces_key() {
        let (store, vault) = (MemoryStore::new(), Vault::with_master_key(Zeroizing::new([1; 32])));
        let (key, wrapped) = vault.new_workspace_key();
        let (sha256, document) = seal_document(&key, OWNER, b"{\"width\":1}");
        store.append(rows(vec![put_key(wrapped), document])).await.expect("to put both");
        let read = read_document(&store, &vault, OWNER, sha256).await.expect("to read");
        assert_eq!(read.as_deref(), Some(b"{\"width\":1}".as_slice()));
        let sealed = store.document(OWNER, sha256).await.expect("to read").expect("the row");
        assert!(!sealed.windows(5).any(|bytes| bytes == b"width"), "the database holds no plain text");
        let other = read_document(&store, &vault, OWNER, Sha256::of(b"other")).await.expect("to look");
        assert_eq!(other, None);
    }

    #[tokio::test]
    async fn without_its_key_a_document_is_erased_and_with_another_it_stays_shut() {
        let (store, vault) = (MemoryStore::new(), Vault::with_master_key(Zeroizing::new([1; 32])));
        let (key, _wrapped) = vault.new_workspace_key();
        let (sha256, document) = seal_document(&key, OWNER, b"plain");
        store.append(rows(vec![document])).await.expect("to put it");
        let erased = read_document(&store, &vault, OWNER, sha256).await;
        assert!(matches!(erased, Err(ReadDocumentError::Erased { .. })), "got {erased:?}");
        let (_, another) = vault.new_workspace_key();
        store.append(rows(vec![put_key(another)])).await.expect("to put another key");
        let shut = read_document(&store, &vault, OWNER, sha256).await;
        assert!(matches!(shut, Err(ReadDocumentError::Sealed { .. })), "got {shut:?}");
    }
}
