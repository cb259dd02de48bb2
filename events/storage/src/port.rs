//! The port of object storage.

use std::path::{Path, PathBuf};
use std::pin::Pin;

use async_trait::async_trait;
use events::Sha256;
use thiserror::Error;
use tokio::io::AsyncRead;

/// A store of objects by key. Keys are `[A-Za-z0-9._/-]+`, relative, without empty or dotted segments.
#[async_trait]
pub trait Storage: Send + Sync + std::fmt::Debug {
    /// Stores a finished local file under `key` unless the key exists: then the stored object stays as it is.
    /// The file is consumed (moved or deleted). Durable when this returns.
    async fn put_file(&self, key: &str, file: &Path) -> Result<(), StorageError>;

    /// Stores bytes under `key` unless the key exists.
    async fn put_bytes(&self, key: &str, bytes: &[u8]) -> Result<(), StorageError>;

    /// The object as a local file, for reading only: the stored file itself where it is local, a copy in the cache
    /// otherwise. Fails with [`StorageError::Changed`] where `expected` is given and the digest differs.
    async fn local_file(&self, key: &str, expected: Option<Sha256>) -> Result<PathBuf, StorageError>;

    /// Size and bytes from `offset` on, streamed.
    async fn read(&self, key: &str, offset: u64) -> Result<ObjectReader, StorageError>;

    /// Deletes the object; one that is not there is no error.
    async fn delete(&self, key: &str) -> Result<(), StorageError>;

    /// Every key below `prefix/`, in order.
    async fn list(&self, prefix: &str) -> Result<Vec<String>, StorageError>;
}

/// An object being read.
pub struct ObjectReader {
    /// The whole object's size.
    pub size_bytes: u64,
    /// The bytes from the offset asked for.
    pub bytes: Pin<Box<dyn AsyncRead + Send>>,
}

impl std::fmt::Debug for ObjectReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ObjectReader").field("size_bytes", &self.size_bytes).finish_non_exhaustive()
    }
}

/// Storage could not do it.
#[derive(Debug, Error)]
pub enum StorageError {
    /// There is no such object.
    #[error("could not find the object {key}")]
    NotFound {
        /// Its key.
        key: String,
    },
    /// The key is not one we could have made.
    #[error("could not use the key {key:?}: expected relative segments of A-Z a-z 0-9 . _ -")]
    BadKey {
        /// What was given.
        key: String,
    },
    /// The bytes are not those that were stored.
    #[error("could not trust the object {key}: its digest is not the recorded one")]
    Changed {
        /// Its key.
        key: String,
    },
    /// No space is left.
    #[error("could not store the object {key}: no space is left")]
    Full {
        /// Its key.
        key: String,
    },
    /// Anything else.
    #[error("could not {doing} the object {key}")]
    Io {
        /// What was being done.
        doing: &'static str,
        /// Its key.
        key: String,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
}
