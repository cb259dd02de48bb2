//! The port of object storage.

use std::path::{Path, PathBuf};
use std::pin::Pin;

use async_trait::async_trait;
use events::Sha256;
use thiserror::Error;
use tokio::io::AsyncRead;

/// Told of bytes as they are moved; answers whether to go on.
pub type Moved<'a> = &'a (dyn Fn(u64) -> bool + Send + Sync);

/// A store of objects by key. Keys are `[A-Za-z0-9._/-]+`, relative, without empty or dotted segments.
#[async_trait]
pub trait Storage: Send + Sync + std::fmt::Debug {
    /// Stores a finished local file under `key` unless the key exists: then the stored object stays as it is.
    /// The file, whose digest this is, is consumed (moved or deleted). Durable when this returns. Where `moved` says so
    /// before the last byte has gone, it ends with [`StorageError::GivenUp`] and nothing is stored.
    async fn put_file(
        &self,
        key: &str,
        file: &Path,
        sha256: Sha256,
        moved: Moved<'_>,
    ) -> Result<(), StorageError>;

    /// Stores bytes under `key` unless the key exists.
    async fn put_bytes(&self, key: &str, bytes: &[u8]) -> Result<(), StorageError>;

    /// The object as a local file, for reading only: the stored file itself where it is local, a copy in the cache
    /// otherwise. Fails with [`StorageError::Changed`] where `expected` is given and the digest differs. A copy stays for
    /// an hour after it was last asked for, and longer while there is room.
    async fn local_file(
        &self,
        key: &str,
        expected: Option<Sha256>,
        moved: Moved<'_>,
    ) -> Result<PathBuf, StorageError>;

    /// The object's size.
    async fn size(&self, key: &str) -> Result<u64, StorageError>;

    /// Size and bytes from `offset` on, streamed.
    async fn read(&self, key: &str, offset: u64) -> Result<ObjectReader, StorageError>;

    /// An address at which a client reads the object from the store itself for as long as the view says. `None` where
    /// clients are to be sent the bytes of [`Storage::read`].
    async fn address(&self, key: &str, view: &View<'_>) -> Result<Option<String>, StorageError>;

    /// Deletes the object; one that is not there is no error.
    async fn delete(&self, key: &str) -> Result<(), StorageError>;

    /// Every key below `prefix/`, in order.
    async fn list(&self, prefix: &str) -> Result<Vec<String>, StorageError>;
}

/// How an object is shown to a client.
#[derive(Debug, Clone, Copy)]
pub struct View<'a> {
    /// Only its headers are asked for.
    pub head: bool,
    /// The answer's Content-Type.
    pub content_type: &'a str,
    /// The answer's Content-Disposition.
    pub disposition: &'a str,
    /// How long the address may work, in seconds.
    pub seconds: u64,
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
    /// Whoever watched the transfer ended it.
    #[error("could not go on with the object {key}: told to give up")]
    GivenUp {
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
