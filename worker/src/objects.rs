//! What a lease stores and reads: put in place whole, and taken back when nobody will use it.
//!
//! A key holds the lease's token, so what is taken back is never another lease's.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use events::Sha256;
use events::render::StoredObject;
use events::work::{Outcome, WorkOrder, object_key};
use storage::{Storage, StorageError};
use tokio::runtime::Handle;
use tokio::task::JoinHandle;

use crate::control::{Control, Stopped};
use crate::digest;
use crate::failure::Failure;
use crate::scratch::ScratchFile;

/// How often a transfer's bytes are told to whoever keeps the lease.
const TOLD_EVERY: Duration = Duration::from_millis(500);

/// What an upload and whoever waits for it share.
#[derive(Debug, Default)]
struct Transfer {
    /// Bytes that have gone since they were last told.
    moved: AtomicU64,
    /// Nobody wants it any more.
    given_up: AtomicBool,
}

/// A worker's way to storage.
#[derive(Debug)]
pub(crate) struct Objects {
    pub(crate) storage: Arc<dyn Storage>,
    pub(crate) runtime: Handle,
}

impl Objects {
    /// Moves a finished file into storage, under a key that only this lease uses.
    ///
    /// # Errors
    /// Where it can't be stored, or the work was told to stop meanwhile: then nothing of it stays.
    pub(crate) fn store(
        &self,
        order: &WorkOrder,
        file: ScratchFile,
        control: &Control,
    ) -> Result<StoredObject, Failure> {
        let (sha256, size_bytes) = digest(&file, control)?;
        let key = object_key(order.render, order.slot, order.token, Some(sha256));
        let transfer = Arc::<Transfer>::default();
        let put = {
            let (storage, key, transfer) = (Arc::clone(&self.storage), key.clone(), Arc::clone(&transfer));
            self.runtime.spawn(async move {
                let moved = |bytes| {
                    transfer.moved.fetch_add(bytes, Ordering::Relaxed);
                    !transfer.given_up.load(Ordering::Relaxed)
                };
                storage.put_file(&key, &file, sha256, &moved).await
            })
        };
        self.wait_for(put, &key, &transfer, control)?;
        Ok(StoredObject { key, sha256, size_bytes })
    }

    /// Stores bytes in the same way.
    ///
    /// # Errors
    /// As [`Objects::store`].
    pub(crate) fn store_bytes(
        &self,
        order: &WorkOrder,
        bytes: Vec<u8>,
        control: &Control,
    ) -> Result<StoredObject, Failure> {
        let (sha256, size_bytes) = (Sha256::of(&bytes), bytes.len() as u64);
        let key = object_key(order.render, order.slot, order.token, Some(sha256));
        let put = {
            let (storage, key) = (Arc::clone(&self.storage), key.clone());
            self.runtime.spawn(async move { storage.put_bytes(&key, &bytes).await })
        };
        self.wait_for(put, &key, &Transfer::default(), control)?;
        Ok(StoredObject { key, sha256, size_bytes })
    }

    /// Waits until it is stored or the work is told to stop: a disk may take seconds to make a large file last, a network
    /// minutes to carry it.
    fn wait_for(
        &self,
        mut put: JoinHandle<Result<(), StorageError>>,
        key: &str,
        transfer: &Transfer,
        control: &Control,
    ) -> Result<(), Failure> {
        let ended = self.runtime.block_on(async {
            loop {
                tokio::select! {
                    ended = &mut put => break Some(ended),
                    Stopped = control.stopped() => break None,
                    () = tokio::time::sleep(TOLD_EVERY) => {
                        control.advance(transfer.moved.swap(0, Ordering::Relaxed));
                    }
                }
            }
        });
        let Some(ended) = ended else {
            transfer.given_up.store(true, Ordering::Relaxed);
            let (storage, key) = (Arc::clone(&self.storage), key.to_owned());
            self.runtime.spawn(async move {
                drop(put.await);
                take_back(storage.as_ref(), &key).await;
            });
            return Err(Failure::Stopped(Stopped));
        };
        ended
            .map_err(|panic| Failure::internal("store what was made", &panic))?
            .map_err(|error| Failure::internal("store what was made", &error))
    }

    /// Lets time go by, unless the work is told to stop.
    pub(crate) fn pause(&self, length: Duration, control: &Control) {
        drop(self.runtime.block_on(async { tokio::time::timeout(length, control.stopped()).await }));
    }

    /// A stored object as a local file.
    ///
    /// # Errors
    /// Where it can't be had, or the work is told to stop meanwhile.
    pub(crate) fn local(&self, object: &StoredObject, control: &Control) -> Result<PathBuf, Failure> {
        let moved = |bytes| {
            control.advance(bytes);
            control.go_on().is_ok()
        };
        let found = self.runtime.block_on(async {
            tokio::select! {
                found = self.storage.local_file(&object.key, Some(object.sha256), &moved) => found.map_err(Some),
                Stopped = control.stopped() => Err(None),
            }
        });
        found.map_err(|error| match error {
            None | Some(StorageError::GivenUp { .. }) => Failure::Stopped(Stopped),
            Some(error) => Failure::internal("read a stored part", &error),
        })
    }

    /// Removes what an outcome stored that nobody has accepted.
    pub(crate) fn discard(&self, outcome: &Outcome) {
        let object = match outcome {
            Outcome::Planned(plan) => &plan.detail,
            Outcome::Stored(part) => &part.object,
            Outcome::Assembled { artifact, .. } => &artifact.object,
            Outcome::Failed(_) | Outcome::Released => return,
        };
        let (storage, key) = (Arc::clone(&self.storage), object.key.clone());
        self.runtime.spawn(async move { take_back(storage.as_ref(), &key).await });
    }
}

/// Removes an object; one that stays behind is found by the sweeper.
async fn take_back(storage: &dyn Storage, key: &str) {
    if let Err(error) = storage.delete(key).await {
        tracing::warn!(%error, key, "an unused object was left in storage; the sweeper removes it");
    }
}

/// Digest and length of a file.
fn digest(file: &Path, control: &Control) -> Result<(Sha256, u64), Failure> {
    let unreadable = |error: std::io::Error| Failure::internal("read what was made", &error);
    digest::of_file(file, unreadable, |bytes| {
        control.advance(bytes);
        Ok(control.go_on()?)
    })
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::time::Instant;

    use async_trait::async_trait;
    use events::work::{Slot, Token};
    use events::{RenderId, StreamVersion, WorkspaceId};
    use storage::{LocalStorage, Moved, ObjectReader, View};
    use tokio::sync::Notify;

    use super::*;

    /// Bytes of an upload that go before it stands still.
    const SLOW_BYTES: u64 = 1_000_000_000;

    /// A storage whose disk stands still until it is told to go on.
    #[derive(Debug)]
    struct SlowStorage {
        disk: LocalStorage,
        began: Notify,
        goes_on: Notify,
        is_slow: AtomicBool,
        still_wanted: AtomicBool,
    }

    #[async_trait]
    impl Storage for SlowStorage {
        async fn put_file(
            &self,
            key: &str,
            file: &Path,
            sha256: Sha256,
            moved: Moved<'_>,
        ) -> Result<(), StorageError> {
            moved(SLOW_BYTES);
            self.began.notify_one();
            if self.is_slow.load(Ordering::SeqCst) {
                self.goes_on.notified().await;
            }
            self.still_wanted.store(moved(1), Ordering::SeqCst);
            self.disk.put_file(key, file, sha256, moved).await
        }

        async fn put_bytes(&self, key: &str, bytes: &[u8]) -> Result<(), StorageError> {
            self.disk.put_bytes(key, bytes).await
        }

        async fn local_file(
            &self,
            key: &str,
            expected: Option<Sha256>,
            moved: Moved<'_>,
        ) -> Result<PathBuf, StorageError> {
            self.disk.local_file(key, expected, moved).await
        }

        async fn size(&self, key: &str) -> Result<u64, StorageError> {
            self.disk.size(key).await
        }

        async fn address(&self, key: &str, view: &View<'_>) -> Result<Option<String>, StorageError> {
            self.disk.address(key, view).await
        }

        async fn read(&self, key: &str, offset: u64) -> Result<ObjectReader, StorageError> {
            self.disk.read(key, offset).await
        }

        async fn delete(&self, key: &str) -> Result<(), StorageError> {
            self.disk.delete(key).await
        }

        async fn list(&self, prefix: &str) -> Result<Vec<String>, StorageError> {
            self.disk.list(prefix).await
        }
    }

    struct Desk {
        objects: Objects,
        storage: Arc<SlowStorage>,
        control: Control,
        folder: tempfile::TempDir,
    }

    impl Desk {
        async fn new() -> Desk {
            let folder = tempfile::tempdir().expect("a scratch folder");
            let disk = LocalStorage::open(folder.path().join("objects")).await.expect("storage");
            let (began, goes_on) = (Notify::new(), Notify::new());
            let (is_slow, still_wanted) = (AtomicBool::new(true), AtomicBool::new(true));
            let storage = Arc::new(SlowStorage { disk, began, goes_on, is_slow, still_wanted });
            let objects =
                Objects { storage: Arc::clone(&storage) as Arc<dyn Storage>, runtime: Handle::current() };
            Desk { objects, storage, control: Control::default(), folder }
        }

        fn film(&self) -> ScratchFile {
            let file = ScratchFile::at(self.folder.path().join("film"));
            std::fs::write(&*file, vec![7; 3 << 20]).expect("writes");
            file
        }

        async fn stored(&self) -> Vec<String> {
            self.storage.list("").await.expect("lists")
        }
    }

    fn order() -> WorkOrder {
        WorkOrder {
            workspace: WorkspaceId::new(1),
            render: RenderId::new(1),
            slot: Slot::Assemble,
            token: Token(StreamVersion(9)),
            attempt: 1,
            ttl_ms: 1_000,
            document: String::new(),
            plan: None,
            stored: Vec::new(),
        }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn an_upload_is_left_at_once_and_nothing_of_it_stays() {
        let desk = Arc::new(Desk::new().await);
        let working = {
            let desk = Arc::clone(&desk);
            tokio::task::spawn_blocking(move || {
                let stored = desk.objects.store(&order(), desk.film(), &desk.control);
                (stored, Instant::now())
            })
        };
        desk.storage.began.notified().await;
        let told = Instant::now();
        desk.control.stop();
        let (stored, left) = working.await.expect("no panic");
        assert!(matches!(stored, Err(Failure::Stopped(_))), "got {stored:?}");
        let took = left - told;
        assert!(took < Duration::from_millis(100), "the thread is free at once, not after {took:?}");
        // The disk finishes what nobody waits for any more.
        desk.storage.goes_on.notify_one();
        for _ in 0..500 {
            tokio::time::sleep(Duration::from_millis(10)).await;
            if desk.stored().await.is_empty() && !desk.folder.path().join("film").exists() {
                assert!(!desk.storage.still_wanted.load(Ordering::SeqCst), "the upload was told to give up");
                return;
            }
        }
        panic!("left behind: {:?}", desk.stored().await);
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn bytes_that_travel_show_that_the_work_moves() {
        let desk = Arc::new(Desk::new().await);
        let working = {
            let desk = Arc::clone(&desk);
            tokio::task::spawn_blocking(move || desk.objects.store(&order(), desk.film(), &desk.control))
        };
        desk.storage.began.notified().await;
        let deadline = Instant::now() + Duration::from_secs(5);
        while desk.control.units() < SLOW_BYTES {
            assert!(Instant::now() < deadline, "only {} units after 5 s", desk.control.units());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        desk.storage.goes_on.notify_one();
        working.await.expect("no panic").expect("stores");
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn what_nobody_accepted_is_taken_back() {
        let desk = Arc::new(Desk::new().await);
        desk.storage.is_slow.store(false, Ordering::SeqCst);
        let stored = {
            let desk = Arc::clone(&desk);
            tokio::task::spawn_blocking(move || desk.objects.store(&order(), desk.film(), &desk.control))
        };
        let object = stored.await.expect("no panic").expect("stores");
        assert_eq!(desk.stored().await, std::slice::from_ref(&object.key));
        let part = events::render::StoredPart { slot: Slot::Part(0), object, frames: 1, work_ms: 1 };
        desk.objects.discard(&Outcome::Stored(part));
        for _ in 0..500 {
            tokio::time::sleep(Duration::from_millis(10)).await;
            if desk.stored().await.is_empty() {
                return;
            }
        }
        panic!("left behind: {:?}", desk.stored().await);
    }
}
