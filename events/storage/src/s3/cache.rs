//! Copies of stored objects on the local disk, for those who need files.
//!
//! Every process has a folder of its own, whose lock ends with it; what dead ones left is removed at the next start. What
//! was not asked for longest goes first once there is too much, but nothing within the hour after it was asked for.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use events::Sha256;

/// Whoever asked for a copy has opened it by then.
const KEPT: Duration = Duration::from_secs(60 * 60);

/// A lock is taken so soon after it was made, or never will be.
const LOCKED_WITHIN: Duration = Duration::from_secs(60);

/// What a folder's lock is called.
const LOCK: &str = "lock";

/// The copies of one process.
#[derive(Debug)]
pub(crate) struct Cache {
    folder: PathBuf,
    bytes_max: u64,
    copies: Mutex<HashMap<String, Copy>>,
    /// Held for as long as the process uses the folder.
    _lock: File,
}

#[derive(Debug, Clone)]
struct Copy {
    path: PathBuf,
    sha256: Sha256,
    size_bytes: u64,
    used: Instant,
}

impl Cache {
    /// Begins an empty cache below `root`, and removes those of dead processes.
    ///
    /// # Errors
    /// Where the folders can't be made or removed.
    pub(crate) fn open(root: &Path, bytes_max: u64) -> io::Result<Cache> {
        fs::create_dir_all(root)?;
        for entry in fs::read_dir(root)? {
            let left = entry?.path();
            if is_dead(&left.join(LOCK)) {
                fs::remove_dir_all(&left)?;
            }
        }
        let folder = root.join(format!("{:032x}", rand::random::<u128>()));
        fs::create_dir(&folder)?;
        let lock = File::create_new(folder.join(LOCK))?;
        lock.lock()?;
        Ok(Cache { folder, bytes_max, copies: Mutex::default(), _lock: lock })
    }

    /// A place for a copy in the making.
    pub(crate) fn aside(&self) -> PathBuf {
        self.folder.join(format!("{:032x}", rand::random::<u128>()))
    }

    /// The copy of an object and its digest.
    pub(crate) fn find(&self, key: &str) -> Option<(PathBuf, Sha256)> {
        let mut copies = self.copies.lock().unwrap_or_else(PoisonError::into_inner);
        let copy = copies.get_mut(key).filter(|copy| copy.path.exists())?;
        copy.used = Instant::now();
        Some((copy.path.clone(), copy.sha256))
    }

    /// Keeps a finished copy where it is, and makes room.
    pub(crate) fn keep(&self, key: &str, path: PathBuf, sha256: Sha256, size_bytes: u64) {
        let copy = Copy { path, sha256, size_bytes, used: Instant::now() };
        let mut copies = self.copies.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(older) = copies.insert(key.to_owned(), copy) {
            // Two have fetched it at once; whoever has opened the older one keeps reading it.
            remove(&older.path);
        }
        for path in superfluous(&mut copies, self.bytes_max, KEPT) {
            remove(&path);
        }
    }

    /// Forgets an object that is no more.
    pub(crate) fn forget(&self, key: &str) {
        if let Some(copy) = self.copies.lock().unwrap_or_else(PoisonError::into_inner).remove(key) {
            remove(&copy.path);
        }
    }
}

impl Drop for Cache {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.folder) {
            tracing::warn!(%error, folder = %self.folder.display(), "copies of objects were left behind; the next start removes them");
        }
    }
}

/// Whether nobody holds the lock, and nobody is about to take it.
fn is_dead(lock: &Path) -> bool {
    // Without a lock it is being made or removed right now, or not ours.
    let Ok(lock) = File::open(lock) else { return false };
    let made = lock.metadata().and_then(|metadata| metadata.modified());
    let is_settled = made.is_ok_and(|made| made.elapsed().is_ok_and(|age| age > LOCKED_WITHIN));
    is_settled && lock.try_lock().is_ok()
}

/// Takes the copies out that are too much: those longest unused, and none that was used just now.
fn superfluous(copies: &mut HashMap<String, Copy>, bytes_max: u64, kept: Duration) -> Vec<PathBuf> {
    let mut bytes: u64 = copies.values().map(|copy| copy.size_bytes).sum();
    if bytes <= bytes_max {
        return Vec::new();
    }
    let mut unused: Vec<(Instant, String)> = copies
        .iter()
        .filter(|(_, copy)| copy.used.elapsed() >= kept)
        .map(|(key, copy)| (copy.used, key.clone()))
        .collect();
    unused.sort_unstable();
    let mut paths = Vec::new();
    for (_, key) in unused {
        if bytes <= bytes_max {
            break;
        }
        if let Some(copy) = copies.remove(&key) {
            bytes -= copy.size_bytes;
            paths.push(copy.path);
        }
    }
    paths
}

pub(crate) fn remove(path: &Path) {
    match fs::remove_file(path) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => {
            tracing::warn!(%error, path = %path.display(), "a copy of an object was left behind; the next start removes it");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;

    fn copies(ages_s: &[(&str, u64)]) -> HashMap<String, Copy> {
        let copy = |&(name, age_s): &(&str, u64)| {
            let used =
                Instant::now().checked_sub(Duration::from_secs(age_s)).expect("the machine runs for longer");
            let path = PathBuf::from(name);
            (name.to_owned(), Copy { path, sha256: Sha256::of(b""), size_bytes: 10, used })
        };
        ages_s.iter().map(copy).collect()
    }

    #[test]
    fn what_was_unused_for_longest_goes_first_and_what_is_in_use_stays() {
        let mut held = copies(&[("now", 0), ("older", 9), ("oldest", 12), ("old", 6)]);
        let gone = superfluous(&mut held, 25, Duration::from_secs(5));
        assert_eq!(gone, [PathBuf::from("oldest"), PathBuf::from("older")]);
        let mut used = copies(&[("a", 1), ("b", 2)]);
        assert!(superfluous(&mut used, 5, Duration::from_secs(5)).is_empty(), "both are in use");
        assert!(superfluous(&mut used, 20, Duration::ZERO).is_empty(), "there is room");
    }

    #[test]
    fn the_folder_of_a_dead_process_is_removed_and_that_of_a_living_one_stays() {
        let root = tempfile::tempdir().expect("a scratch folder");
        let dead = root.path().join("dead");
        fs::create_dir(&dead).expect("makes");
        let lock = File::create(dead.join(LOCK)).expect("makes");
        let long_ago = SystemTime::now() - 2 * LOCKED_WITHIN;
        lock.set_modified(long_ago).expect("ages");
        let one = Cache::open(root.path(), 1).expect("opens");
        assert!(!dead.exists(), "nobody holds its lock");
        let other = Cache::open(root.path(), 1).expect("opens");
        assert!(one.folder.exists() && other.folder.exists(), "both are in use");
    }
}
