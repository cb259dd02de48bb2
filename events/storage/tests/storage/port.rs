//! What every adapter promises: the same tests on each.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use events::Sha256;
use storage::{LocalStorage, S3Storage, Storage, StorageError};
use tokio::io::AsyncReadExt as _;

use crate::s3::options;
use crate::server::Server;

/// One adapter over an empty place.
pub(crate) struct Place {
    pub(crate) storage: Arc<dyn Storage>,
    /// For files of the test.
    pub(crate) folder: tempfile::TempDir,
    _server: Option<Server>,
}

impl Place {
    async fn local() -> Place {
        let folder = tempfile::tempdir().unwrap();
        let storage = LocalStorage::open(folder.path().join("storage")).await.unwrap();
        Place { storage: Arc::new(storage), folder, _server: None }
    }

    async fn s3() -> Place {
        let (folder, server) = (tempfile::tempdir().unwrap(), Server::start().await);
        let storage = S3Storage::open(options(&server.address(), folder.path())).await.unwrap();
        Place { storage: Arc::new(storage), folder, _server: Some(server) }
    }

    fn file(&self, bytes: &[u8]) -> std::path::PathBuf {
        let path = self.folder.path().join("upload");
        std::fs::write(&path, bytes).unwrap();
        path
    }
}

/// Runs each law on each adapter.
macro_rules! on_every_adapter {
    ($($law:ident)*) => {
        mod local {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $law() { super::$law(super::Place::local().await).await })*
        }
        mod s3 {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $law() { super::$law(super::Place::s3().await).await })*
        }
    };
}

on_every_adapter! {
    what_was_put_is_read_from_any_offset
    the_first_put_wins_and_consumes_every_file
    of_many_puts_at_once_exactly_one_is_stored_whole
    a_large_file_arrives_whole_and_is_never_replaced
    a_local_file_holds_the_object_or_is_refused
    what_is_not_there_is_not_found_and_deleting_it_is_no_error
    a_listing_holds_every_key_below_a_prefix_in_order
    no_key_leads_elsewhere
}

pub(crate) fn any(_bytes: u64) -> bool {
    true
}

pub(crate) async fn bytes_of(storage: &dyn Storage, key: &str, offset: u64) -> Vec<u8> {
    let mut reader = storage.read(key, offset).await.unwrap();
    let mut bytes = Vec::new();
    reader.bytes.read_to_end(&mut bytes).await.unwrap();
    bytes
}

async fn put(storage: &dyn Storage, key: &str, file: &Path) -> Result<(), StorageError> {
    storage.put_file(key, file, Sha256::of(&std::fs::read(file).unwrap()), &any).await
}

async fn what_was_put_is_read_from_any_offset(place: Place) {
    let storage = place.storage.as_ref();
    storage.put_bytes("a/b/c", b"hello").await.unwrap();
    for (offset, rest) in [(0, &b"hello"[..]), (3, b"lo"), (5, b""), (9, b"")] {
        assert_eq!(bytes_of(storage, "a/b/c", offset).await, rest, "from {offset}");
        let size = storage.read("a/b/c", offset).await.unwrap().size_bytes;
        assert_eq!(size, 5, "from {offset}: the whole object's size");
    }
    assert_eq!(storage.size("a/b/c").await.unwrap(), 5);
    storage.put_bytes("empty", b"").await.unwrap();
    assert_eq!(bytes_of(storage, "empty", 0).await, b"");
}

async fn the_first_put_wins_and_consumes_every_file(place: Place) {
    for text in ["first", "second"] {
        let file = place.file(text.as_bytes());
        put(place.storage.as_ref(), "k", &file).await.unwrap();
        assert!(!file.exists(), "the file is consumed");
    }
    place.storage.put_bytes("k", b"third").await.unwrap();
    assert_eq!(bytes_of(place.storage.as_ref(), "k", 0).await, b"first");
}

async fn of_many_puts_at_once_exactly_one_is_stored_whole(place: Place) {
    let puts = (0..16_u8).map(|n| {
        let storage = Arc::clone(&place.storage);
        tokio::spawn(async move { storage.put_bytes("deep/k", &vec![n; 100_000]).await })
    });
    for put in puts.collect::<Vec<_>>() {
        put.await.unwrap().unwrap();
    }
    let bytes = bytes_of(place.storage.as_ref(), "deep/k", 0).await;
    assert_eq!(bytes.len(), 100_000);
    assert!(bytes.iter().all(|byte| *byte == bytes[0]), "one writer's bytes, unmixed");
}

async fn a_large_file_arrives_whole_and_is_never_replaced(place: Place) {
    let film: Vec<u8> = (0..20_u32 << 20).map(|n| n.to_le_bytes()[(n % 3) as usize]).collect();
    let (file, moved) = (place.file(&film), AtomicU64::new(0));
    let count = |bytes: u64| {
        moved.fetch_add(bytes, Ordering::SeqCst);
        true
    };
    place.storage.put_file("film", &file, Sha256::of(&film), &count).await.unwrap();
    assert!(
        [0, film.len() as u64].contains(&moved.load(Ordering::SeqCst)),
        "every byte that travels is told"
    );
    let other = place.file(&vec![7; film.len() + 1]);
    put(place.storage.as_ref(), "film", &other).await.unwrap();
    assert!(!other.exists(), "the file is consumed");
    assert_eq!(Sha256::of(&bytes_of(place.storage.as_ref(), "film", 0).await), Sha256::of(&film));
    let range = bytes_of(place.storage.as_ref(), "film", (film.len() - 1000) as u64).await;
    assert_eq!(range, film[film.len() - 1000..]);
}

async fn a_local_file_holds_the_object_or_is_refused(place: Place) {
    place.storage.put_bytes("k", b"pinned").await.unwrap();
    let (digest, other) = (Sha256::of(b"pinned"), Sha256::of(b"other"));
    for round in ["at first", "again"] {
        let refused = place.storage.local_file("k", Some(other), &any).await;
        assert!(matches!(refused, Err(StorageError::Changed { .. })), "{round}: {refused:?}");
        for expected in [None, Some(digest)] {
            let path = place.storage.local_file("k", expected, &any).await.unwrap();
            assert_eq!(std::fs::read(&path).unwrap(), b"pinned", "{round}");
        }
    }
}

async fn what_is_not_there_is_not_found_and_deleting_it_is_no_error(place: Place) {
    let storage = place.storage.as_ref();
    storage.put_bytes("a/b", b"x").await.unwrap();
    storage.local_file("a/b", None, &any).await.unwrap();
    let is_absent = async |key: &str| {
        matches!(storage.read(key, 0).await, Err(StorageError::NotFound { .. }))
            && matches!(storage.read(key, 3).await, Err(StorageError::NotFound { .. }))
            && matches!(storage.size(key).await, Err(StorageError::NotFound { .. }))
            && matches!(storage.local_file(key, None, &any).await, Err(StorageError::NotFound { .. }))
    };
    for key in ["nothing", "a", "a/b/c"] {
        assert!(is_absent(key).await, "{key}");
    }
    storage.delete("nothing/here").await.unwrap();
    storage.delete("a/b").await.unwrap();
    assert!(is_absent("a/b").await, "it is gone, and so is every copy");
}

async fn a_listing_holds_every_key_below_a_prefix_in_order(place: Place) {
    let storage = place.storage.as_ref();
    for key in ["r/b", "r/a/2", "r/a/10", "rx/1", "s"] {
        storage.put_bytes(key, b"").await.unwrap();
    }
    assert_eq!(storage.list("r").await.unwrap(), ["r/a/10", "r/a/2", "r/b"]);
    assert_eq!(storage.list("").await.unwrap(), ["r/a/10", "r/a/2", "r/b", "rx/1", "s"]);
    assert!(storage.list("none").await.unwrap().is_empty(), "an empty prefix is no error");
    storage.delete("r/a/2").await.unwrap();
    storage.delete("r/a/10").await.unwrap();
    assert_eq!(storage.list("r").await.unwrap(), ["r/b"]);
}

async fn no_key_leads_elsewhere(place: Place) {
    std::fs::write(place.folder.path().join("secret"), "x").unwrap();
    for key in ["../secret", "/etc/passwd", "a/../../secret", ""] {
        assert!(matches!(place.storage.read(key, 0).await, Err(StorageError::BadKey { .. })), "{key}");
        assert!(matches!(place.storage.put_bytes(key, b"").await, Err(StorageError::BadKey { .. })), "{key}");
        assert!(matches!(place.storage.delete(key).await, Err(StorageError::BadKey { .. })), "{key}");
    }
}
