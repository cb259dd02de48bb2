//! A storage whose objects clients read at another address.

use std::path::{Path, PathBuf};

use async_trait::async_trait;
use events::Sha256;
use storage::{LocalStorage, Moved, ObjectReader, Storage, StorageError, View};

/// Objects of a folder, shown at `https://store.example`.
#[derive(Debug)]
pub(crate) struct Elsewhere(pub(crate) LocalStorage);

#[async_trait]
impl Storage for Elsewhere {
    async fn put_file(
        &self,
        key: &str,
        file: &Path,
        sha256: Sha256,
        moved: Moved<'_>,
    ) -> Result<(), StorageError> {
        self.0.put_file(key, file, sha256, moved).await
    }

    async fn put_bytes(&self, key: &str, bytes: &[u8]) -> Result<(), StorageError> {
        self.0.put_bytes(key, bytes).await
    }

    async fn local_file(
        &self,
        key: &str,
        expected: Option<Sha256>,
        moved: Moved<'_>,
    ) -> Result<PathBuf, StorageError> {
        self.0.local_file(key, expected, moved).await
    }

    async fn size(&self, key: &str) -> Result<u64, StorageError> {
        self.0.size(key).await
    }

    async fn read(&self, key: &str, offset: u64) -> Result<ObjectReader, StorageError> {
        self.0.read(key, offset).await
    }

    async fn address(&self, key: &str, view: &View<'_>) -> Result<Option<String>, StorageError> {
        let View { head, content_type, seconds, .. } = view;
        Ok(Some(format!("https://store.example/{key}?head={head}&type={content_type}&for={seconds}")))
    }

    async fn delete(&self, key: &str) -> Result<(), StorageError> {
        self.0.delete(key).await
    }

    async fn list(&self, prefix: &str) -> Result<Vec<String>, StorageError> {
        self.0.list(prefix).await
    }
}
