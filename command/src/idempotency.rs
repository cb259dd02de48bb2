//! Idempotency keys: a request under a key takes effect once, whoever repeats it how often and how concurrently.
//!
//! The key's row is written in the transaction that appends the request's events, so there is no cache, and no window in
//! which a second request runs. Two bodies are the same request when their canonical forms (RFC 8785) are equal. Keys are
//! kept as digests.

use event_store::{EventStore, IdempotencyRow, IdempotencyScope, SideRow, StoreError};
use events::{Sha256, StreamId, WorkspaceId};
use serde_json::Value;
use thiserror::Error;

/// A key and the request it came with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Idempotency {
    scope: IdempotencyScope,
    body_sha256: Sha256,
}

/// A key that says nothing of this request.
#[derive(Debug, Error)]
pub(crate) enum IdempotencyError {
    #[error("could not use the idempotency key: it was used for another body")]
    Reused,
    #[error("could not use the idempotency key")]
    Store(#[from] StoreError),
}

impl Idempotency {
    /// The key as it came with a body to an endpoint: keys of different endpoints are different keys.
    ///
    /// # Errors
    /// Where the body has no canonical form.
    pub(crate) fn new(
        workspace: WorkspaceId,
        path: &str,
        key: &str,
        body: &Value,
    ) -> Result<Idempotency, serde_json::Error> {
        let canonical = serde_json_canonicalizer::to_vec(body)?;
        let scope =
            IdempotencyScope { workspace, path: path.to_owned(), key_sha256: Sha256::of(key.as_bytes()) };
        Ok(Idempotency { scope, body_sha256: Sha256::of(&canonical) })
    }

    /// The key's digest, for the event that the request becomes.
    pub(crate) fn key_sha256(&self) -> Sha256 {
        self.scope.key_sha256
    }

    /// What the same request has made before; `None` where this is the first.
    ///
    /// # Errors
    /// Where the key was used for another request.
    pub(crate) async fn made(&self, store: &dyn EventStore) -> Result<Option<StreamId>, IdempotencyError> {
        match store.idempotent(&self.scope).await? {
            None => Ok(None),
            Some(used) if used.body_sha256 == self.body_sha256 => Ok(Some(used.stream)),
            Some(_) => Err(IdempotencyError::Reused),
        }
    }

    /// The row that takes the key for `stream`.
    pub(crate) fn row(&self, stream: StreamId, keep_ms: u64) -> SideRow {
        let row = IdempotencyRow { body_sha256: self.body_sha256, stream };
        SideRow::PutIdempotency { scope: self.scope.clone(), row, keep_ms }
    }
}
