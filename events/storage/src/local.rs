//! Objects as files of a directory.
//!
//! ```text
//! root/objects/<key>    whole objects, never changed
//! root/tmp/<random>     being written; swept at start
//! ```
//! A put writes aside, syncs the file, makes a hard link under the key (which fails where the key exists: the first put
//! wins, atomically) and syncs the directories, so that an object is whole and durable, or absent, at every instant.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, ErrorKind, Read as _, SeekFrom, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use events::Sha256;
use sha2::Digest as _;
use tokio::io::AsyncSeekExt as _;

use crate::key;
use crate::port::{Moved, ObjectReader, Storage, StorageError, View};

/// Files aside that are older than this were left by a process that died.
const ABANDONED_AFTER: Duration = Duration::from_secs(24 * 60 * 60);

/// Digests remembered; past that all are forgotten and found out anew.
const VERIFIED_MAX: usize = 10_000;

/// Bytes read at a time while hashing.
const HASH_BUFFER_BYTES: usize = 1 << 20;

/// Storage in a directory of a local (or hard-link capable) file system.
#[derive(Debug, Clone)]
pub struct LocalStorage {
    root: Arc<Path>,
    /// Objects whose digest was found right, with what tells that the file is still the same one.
    verified: Arc<Mutex<HashMap<String, (FileIdentity, Sha256)>>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct FileIdentity {
    inode: u64,
    size_bytes: u64,
    modified_ns: i128,
}

impl LocalStorage {
    /// Opens (or begins) the storage below `root` and sweeps what dead processes left aside.
    ///
    /// # Errors
    /// [`StorageError::Io`] where the directories can't be made.
    pub async fn open(root: impl Into<PathBuf>) -> Result<LocalStorage, StorageError> {
        let storage = LocalStorage { root: root.into().into(), verified: Arc::default() };
        storage
            .blocking("open", "", |storage, _| {
                fs::create_dir_all(storage.root.join("objects"))?;
                fs::create_dir_all(storage.root.join("tmp"))?;
                storage.sweep()
            })
            .await?;
        Ok(storage)
    }

    fn path(&self, key: &str) -> PathBuf {
        self.root.join("objects").join(key)
    }

    fn sweep(&self) -> io::Result<()> {
        for entry in fs::read_dir(self.root.join("tmp"))? {
            let entry = entry?;
            let age = SystemTime::now().duration_since(entry.metadata()?.modified()?).unwrap_or_default();
            if age > ABANDONED_AFTER {
                remove_if_there(&entry.path())?;
            }
        }
        Ok(())
    }

    /// Runs `work` on a thread that may block, and says of a failure what was being done to which object.
    async fn blocking<T: Send + 'static>(
        &self,
        doing: &'static str,
        key: &str,
        work: impl FnOnce(&LocalStorage, &str) -> io::Result<T> + Send + 'static,
    ) -> Result<T, StorageError> {
        let (storage, owned) = (self.clone(), key.to_owned());
        let done = tokio::task::spawn_blocking(move || work(&storage, &owned)).await;
        done.map_err(io::Error::other).flatten().map_err(|source| failure(doing, key, source))
    }

    /// Puts a whole, closed file in place under `key`, unless the key exists. The file is gone afterwards.
    fn place(&self, key: &str, file: &Path) -> io::Result<()> {
        File::open(file)?.sync_all()?;
        let target = self.path(key);
        match self.link_new(file, &target) {
            Err(error) if error.kind() == ErrorKind::CrossesDevices => {
                let aside = self.aside();
                let copied = fs::copy(file, &aside)
                    .and_then(|_bytes| File::open(&aside)?.sync_all())
                    .and_then(|()| self.link_new(&aside, &target));
                remove_if_there(&aside)?;
                copied?;
            }
            linked => linked?,
        }
        remove_if_there(file)
    }

    /// Makes `target` a name of `file` and that durable; an existing target stays as it is.
    fn link_new(&self, file: &Path, target: &Path) -> io::Result<()> {
        let directory = target.parent().expect("an object lies below the root");
        loop {
            fs::create_dir_all(directory)?;
            match fs::hard_link(file, target) {
                Ok(()) => break,
                Err(error) if error.kind() == ErrorKind::AlreadyExists => break,
                // A delete took the emptied directory away between the two calls; a missing file would stay missing.
                Err(error) if error.kind() == ErrorKind::NotFound && file.exists() => {}
                Err(error) => return Err(error),
            }
        }
        let objects = self.root.join("objects");
        for directory in directory.ancestors().take_while(|directory| directory.starts_with(&objects)) {
            match File::open(directory) {
                Ok(directory) => directory.sync_all()?,
                // Already swept by a delete of this very object.
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn aside(&self) -> PathBuf {
        self.root.join("tmp").join(format!("{:032x}", rand::random::<u128>()))
    }

    /// Whether the stored file has this digest; the bytes are read once per file and process.
    fn has_digest(&self, key: &str, expected: Sha256) -> io::Result<bool> {
        let mut file = File::open(self.path(key))?;
        let metadata = file.metadata()?;
        let identity = FileIdentity {
            inode: metadata.ino(),
            size_bytes: metadata.len(),
            modified_ns: i128::from(metadata.mtime()) * 1_000_000_000 + i128::from(metadata.mtime_nsec()),
        };
        let verified = self.verified.lock().unwrap_or_else(PoisonError::into_inner).get(key).copied();
        if let Some((_, digest)) = verified.filter(|(known, _)| *known == identity) {
            return Ok(digest == expected);
        }
        let mut hasher = sha2::Sha256::new();
        let mut buffer = vec![0; HASH_BUFFER_BYTES];
        loop {
            match file.read(&mut buffer)? {
                0 => break,
                read => hasher.update(&buffer[..read]),
            }
        }
        let digest = Sha256(hasher.finalize().into());
        let mut verified = self.verified.lock().unwrap_or_else(PoisonError::into_inner);
        if verified.len() >= VERIFIED_MAX {
            verified.clear();
        }
        verified.insert(key.to_owned(), (identity, digest));
        Ok(digest == expected)
    }

    /// Removes the object and the directories that it leaves empty.
    fn remove(&self, key: &str) -> io::Result<()> {
        self.verified.lock().unwrap_or_else(PoisonError::into_inner).remove(key);
        let (path, objects) = (self.path(key), self.root.join("objects"));
        remove_if_there(&path)?;
        let parents = path.ancestors().skip(1).take_while(|directory| *directory != objects);
        for directory in parents {
            match fs::remove_dir(directory) {
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) if error.kind() == ErrorKind::DirectoryNotEmpty => break,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Keys of the files below `directory`, whose own key is `prefix`.
    fn walk(directory: &Path, prefix: &str, keys: &mut Vec<String>) -> io::Result<()> {
        let entries = match fs::read_dir(directory) {
            Ok(entries) => entries,
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        for entry in entries {
            let entry = entry?;
            let name = entry.file_name();
            let name = name.to_string_lossy();
            let key = if prefix.is_empty() { name.into_owned() } else { format!("{prefix}/{name}") };
            if entry.file_type()?.is_dir() {
                LocalStorage::walk(&entry.path(), &key, keys)?;
            } else {
                keys.push(key);
            }
        }
        Ok(())
    }
}

#[async_trait]
impl Storage for LocalStorage {
    async fn put_file(
        &self,
        key: &str,
        file: &Path,
        _sha256: Sha256,
        _moved: Moved<'_>,
    ) -> Result<(), StorageError> {
        key::check(key)?;
        let file = file.to_owned();
        self.blocking("store", key, move |storage, key| storage.place(key, &file)).await
    }

    async fn put_bytes(&self, key: &str, bytes: &[u8]) -> Result<(), StorageError> {
        key::check(key)?;
        let bytes = bytes.to_vec();
        self.blocking("store", key, move |storage, key| {
            let aside = storage.aside();
            let written = File::create_new(&aside)
                .and_then(|mut file| file.write_all(&bytes))
                .and_then(|()| storage.place(key, &aside));
            if written.is_err() {
                remove_if_there(&aside)?;
            }
            written
        })
        .await
    }

    async fn local_file(
        &self,
        key: &str,
        expected: Option<Sha256>,
        _moved: Moved<'_>,
    ) -> Result<PathBuf, StorageError> {
        key::check(key)?;
        let trusted = self
            .blocking("read", key, move |storage, key| match expected {
                Some(expected) => storage.has_digest(key, expected),
                None => object_metadata(&storage.path(key)).map(|_found| true),
            })
            .await?;
        if trusted { Ok(self.path(key)) } else { Err(StorageError::Changed { key: key.to_owned() }) }
    }

    async fn size(&self, key: &str) -> Result<u64, StorageError> {
        key::check(key)?;
        self.blocking("read", key, |storage, key| Ok(object_metadata(&storage.path(key))?.len())).await
    }

    async fn read(&self, key: &str, offset: u64) -> Result<ObjectReader, StorageError> {
        key::check(key)?;
        let (file, size_bytes) = self
            .blocking("read", key, |storage, key| {
                let path = storage.path(key);
                Ok((File::open(&path)?, object_metadata(&path)?.len()))
            })
            .await?;
        let mut file = tokio::fs::File::from_std(file);
        file.seek(SeekFrom::Start(offset)).await.map_err(|source| failure("read", key, source))?;
        Ok(ObjectReader { size_bytes, bytes: Box::pin(file) })
    }

    async fn address(&self, key: &str, _view: &View<'_>) -> Result<Option<String>, StorageError> {
        key::check(key)?;
        Ok(None)
    }

    async fn delete(&self, key: &str) -> Result<(), StorageError> {
        key::check(key)?;
        self.blocking("delete", key, LocalStorage::remove).await
    }

    async fn list(&self, prefix: &str) -> Result<Vec<String>, StorageError> {
        if !prefix.is_empty() {
            key::check(prefix)?;
        }
        self.blocking("list", prefix, |storage, prefix| {
            let mut keys = Vec::new();
            LocalStorage::walk(&storage.root.join("objects").join(prefix), prefix, &mut keys)?;
            keys.sort_unstable();
            Ok(keys)
        })
        .await
    }
}

/// The object's metadata; a directory is no object.
fn object_metadata(path: &Path) -> io::Result<fs::Metadata> {
    let metadata = fs::metadata(path)?;
    if metadata.is_file() { Ok(metadata) } else { Err(ErrorKind::NotFound.into()) }
}

fn remove_if_there(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}

fn failure(doing: &'static str, key: &str, source: io::Error) -> StorageError {
    let key = key.to_owned();
    match source.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => StorageError::Full { key },
        ErrorKind::NotFound | ErrorKind::NotADirectory if doing == "read" => StorageError::NotFound { key },
        _ => StorageError::Io { doing, key, source },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn storage() -> (tempfile::TempDir, LocalStorage) {
        let directory = tempfile::tempdir().expect("a scratch directory");
        let storage = LocalStorage::open(directory.path()).await.expect("opens");
        (directory, storage)
    }

    async fn put(storage: &LocalStorage, file: &Path, text: &str) {
        fs::write(file, text).expect("writes");
        storage.put_file("k", file, Sha256::of(text.as_bytes()), &|_bytes| true).await.expect("stores");
    }

    #[tokio::test]
    async fn no_put_leaves_anything_aside() {
        let (directory, storage) = storage().await;
        for text in ["first", "second"] {
            put(&storage, &directory.path().join("upload"), text).await;
            storage.put_bytes("k", text.as_bytes()).await.expect("stores or finds it stored");
        }
        let left = fs::read_dir(directory.path().join("tmp")).expect("lists").count();
        assert_eq!(left, 0);
    }

    #[tokio::test]
    async fn a_file_from_another_file_system_is_copied_in() {
        let (directory, storage) = storage().await;
        let elsewhere = tempfile::tempdir_in("/dev/shm").expect("shared memory is a file system of its own");
        let here = fs::metadata(directory.path()).expect("is there").dev();
        assert_ne!(fs::metadata(elsewhere.path()).expect("is there").dev(), here, "two file systems");
        let file = elsewhere.path().join("upload");
        put(&storage, &file, "from afar").await;
        assert_eq!(fs::read(storage.path("k")).expect("reads"), b"from afar");
        assert!(!file.exists(), "the file is consumed");
    }

    #[tokio::test]
    async fn an_altered_object_is_not_trusted() {
        let (_directory, storage) = storage().await;
        storage.put_bytes("k", b"pinned").await.expect("stores");
        let digest = Sha256::of(b"pinned");
        let path = storage.local_file("k", Some(digest), &|_bytes| true).await.expect("as stored");
        assert_eq!(fs::read(&path).expect("reads"), b"pinned");
        let other = storage.local_file("k", Some(Sha256::of(b"other")), &|_bytes| true).await;
        assert!(matches!(other, Err(StorageError::Changed { .. })), "another digest: {other:?}");
        fs::write(&path, "altered").expect("someone alters it");
        let altered = storage.local_file("k", Some(digest), &|_bytes| true).await;
        assert!(
            matches!(altered, Err(StorageError::Changed { .. })),
            "altered since it was verified: {altered:?}"
        );
    }

    #[test]
    fn a_full_disk_says_so() {
        for code in [28, 122] {
            let error = failure("store", "k", io::Error::from_raw_os_error(code));
            assert!(
                matches!(error, StorageError::Full { .. }),
                "ENOSPC and EDQUOT are a full disk: {error:?}"
            );
        }
    }
}
