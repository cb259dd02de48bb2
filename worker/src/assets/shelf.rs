//! Sources kept on disk, each workspace's for itself, within one limit: what was not used for longest goes first.
//!
//! ```text
//!   sources/ws_…/<sha256 of the bytes>        the source; its time of change is that of its last use
//!   sources/ws_…/<sha256 of the bytes>.json   the addresses it came from, as digests, and their validators
//! ```
//!
//! Promises: what is held stays; what an earlier process left is looked at before it is trusted. What is held and what is
//! arriving counts against the limit, and may go beyond it: a job needs its sources, all at once.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use events::{Sha256, WorkspaceId};
use serde::{Deserialize, Serialize};

/// Addresses remembered for one source, newest last. Signed addresses are new ones each time and never come again.
const ADDRESSES_MAX: usize = 8;

/// What names a kept source: whose it is, and what its bytes are.
pub(super) type Name = (WorkspaceId, Sha256);

/// An address that a source came from. The address may be a secret, its digest is none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Origin {
    /// Digest of the URL.
    pub(super) address: Sha256,
    /// The server's strong validator for these bytes.
    pub(super) etag: String,
}

/// The kept sources.
#[derive(Debug)]
pub(super) struct Shelf {
    folder: PathBuf,
    bytes_max: u64,
    // A std mutex: held for looking things up and for a rename or a removal, never across a fetch.
    inventory: Mutex<Inventory>,
}

#[derive(Debug, Default)]
struct Inventory {
    kept: BTreeMap<Name, Kept>,
    /// Of all that is kept.
    bytes: u64,
    /// Of what is being fetched.
    arriving: u64,
    /// Counts uses; the order of last uses.
    uses: u64,
}

#[derive(Debug)]
struct Kept {
    /// Tells it from an earlier file of the same name.
    serial: u64,
    size: u64,
    last_use: u64,
    holders: usize,
    /// Whether this process knows that the bytes are what the name says.
    proven: bool,
    origins: Vec<Origin>,
}

/// Keeps a source on the shelf for as long as it lives.
#[derive(Debug)]
pub(super) struct Hold {
    shelf: Arc<Shelf>,
    name: Name,
    serial: u64,
    size: u64,
}

/// The bytes of a fetch in progress, counted against the limit.
#[derive(Debug)]
pub(super) struct Arriving {
    shelf: Arc<Shelf>,
    bytes: u64,
}

impl Shelf {
    /// The shelf in `folder`, with what an earlier process kept there; what is none of its files is removed.
    pub(super) fn open(folder: PathBuf, bytes_max: u64) -> io::Result<Arc<Shelf>> {
        fs::create_dir_all(&folder)?;
        let mut found = Vec::new();
        for entry in fs::read_dir(&folder)? {
            let path = entry?.path();
            match name_of(&path).and_then(|name| name.parse().ok()) {
                Some(workspace) if path.is_dir() => found.extend(left_behind(workspace, &path)?),
                _ => remove(&path),
            }
        }
        found.sort_by_key(|(_, _, used_at)| *used_at);
        let mut inventory = Inventory::default();
        for (name, mut kept, _) in found {
            inventory.uses += 1;
            inventory.bytes += kept.size;
            (kept.serial, kept.last_use) = (inventory.uses, inventory.uses);
            inventory.kept.insert(name, kept);
        }
        let shelf = Shelf { folder, bytes_max, inventory: Mutex::new(inventory) };
        shelf.make_room(&mut shelf.inventory());
        Ok(Arc::new(shelf))
    }

    fn inventory(&self) -> MutexGuard<'_, Inventory> {
        self.inventory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn path(&self, (workspace, content): Name) -> PathBuf {
        self.folder.join(workspace.to_string()).join(content.to_string())
    }

    /// Holds a source, if it is there and its bytes are what its name says. Reads it all where nobody has since this
    /// process began.
    pub(super) fn hold(self: &Arc<Self>, name: Name) -> Option<Hold> {
        let path = self.path(name);
        let (hold, proven) = {
            let mut inventory = self.inventory();
            let kept = inventory.kept.get_mut(&name)?;
            kept.holders += 1;
            let hold = Hold { shelf: Arc::clone(self), name, serial: kept.serial, size: kept.size };
            (hold, kept.proven)
        };
        let is_there = if proven { path.is_file() } else { is_intact(&path, name.1, hold.size) };
        let mut inventory = self.inventory();
        let kept = inventory.kept.get_mut(&name).filter(|kept| kept.serial == hold.serial);
        match kept {
            Some(kept) if is_there => kept.proven = true,
            // Nobody is given it any more.
            Some(_) => self.forget(&mut inventory, name),
            None => {}
        }
        // The hold locks the inventory when it goes.
        drop(inventory);
        is_there.then_some(hold)
    }

    /// Puts the file `aside`, which came from `address`, on the shelf and holds it. Without a validator nobody could ask
    /// for it by its address again.
    pub(super) fn keep(
        self: &Arc<Self>,
        name: Name,
        size: u64,
        aside: &Path,
        address: Sha256,
        etag: Option<String>,
    ) -> io::Result<Hold> {
        let path = self.path(name);
        let mut inventory = self.inventory();
        fs::create_dir_all(path.parent().unwrap_or(&self.folder))?;
        // Equal bytes replace equal bytes; readers of the old file go on reading it.
        fs::rename(aside, &path)?;
        self.forget_address(&mut inventory, name.0, address);
        let mut kept = inventory.kept.remove(&name).unwrap_or_else(|| {
            inventory.uses += 1;
            inventory.bytes += size;
            let (serial, origins) = (inventory.uses, Vec::new());
            Kept { serial, size, last_use: serial, holders: 0, proven: true, origins }
        });
        kept.proven = true;
        kept.holders += 1;
        let hold = Hold { shelf: Arc::clone(self), name, serial: kept.serial, size };
        if let Some(etag) = etag {
            kept.origins.push(Origin { address, etag });
            let surplus = kept.origins.len().saturating_sub(ADDRESSES_MAX);
            kept.origins.drain(..surplus);
            note_origins(&path, &kept.origins);
        }
        inventory.kept.insert(name, kept);
        self.make_room(&mut inventory);
        drop(inventory);
        Ok(hold)
    }

    /// What an address gave before is not what it gives now.
    fn forget_address(&self, inventory: &mut Inventory, workspace: WorkspaceId, address: Sha256) {
        for (name, kept) in inventory.kept.range_mut(all_of(workspace)) {
            if let Some(at) = kept.origins.iter().position(|origin| origin.address == address) {
                kept.origins.remove(at);
                note_origins(&self.path(*name), &kept.origins);
            }
        }
    }

    /// What the workspace last got from this address under a validator, if it is still there.
    pub(super) fn known(self: &Arc<Self>, workspace: WorkspaceId, address: Sha256) -> Option<(Hold, String)> {
        let (name, etag) = {
            let inventory = self.inventory();
            inventory.kept.range(all_of(workspace)).find_map(|(name, kept)| {
                let origin = kept.origins.iter().find(|origin| origin.address == address)?;
                Some((*name, origin.etag.clone()))
            })?
        };
        self.hold(name).map(|hold| (hold, etag))
    }

    /// Counts the bytes of a fetch.
    pub(super) fn arriving(self: &Arc<Self>) -> Arriving {
        Arriving { shelf: Arc::clone(self), bytes: 0 }
    }

    /// Removes what was not used for longest and is not held, until the rest is within the limit.
    fn make_room(&self, inventory: &mut Inventory) {
        while inventory.bytes.saturating_add(inventory.arriving) > self.bytes_max {
            let idle = inventory.kept.iter().filter(|(_, kept)| kept.holders == 0);
            let Some(name) = idle.min_by_key(|(_, kept)| kept.last_use).map(|(name, _)| *name) else {
                return;
            };
            tracing::debug!(workspace = %name.0, content = %name.1, "a source makes room for others");
            self.forget(inventory, name);
        }
    }

    fn forget(&self, inventory: &mut Inventory, name: Name) {
        if let Some(kept) = inventory.kept.remove(&name) {
            inventory.bytes -= kept.size;
            let path = self.path(name);
            remove(&origins_path(&path));
            remove(&path);
        }
    }
}

impl Hold {
    /// Where the source lies.
    pub(super) fn path(&self) -> PathBuf {
        self.shelf.path(self.name)
    }

    /// What its bytes are.
    pub(super) fn content(&self) -> Sha256 {
        self.name.1
    }

    /// How many.
    pub(super) fn size(&self) -> u64 {
        self.size
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        let mut inventory = self.shelf.inventory();
        inventory.uses += 1;
        let now = inventory.uses;
        // Forgotten meanwhile: there is nothing to let go of.
        let kept = inventory.kept.get_mut(&self.name).filter(|kept| kept.serial == self.serial);
        let Some(kept) = kept else { return };
        kept.holders = kept.holders.saturating_sub(1);
        kept.last_use = now;
        if kept.holders == 0 {
            // For the next process. Without it the file only looks older than it is.
            let file = fs::File::options().append(true).open(self.path());
            drop(file.and_then(|file| file.set_modified(SystemTime::now())));
            self.shelf.make_room(&mut inventory);
        }
    }
}

impl Arriving {
    /// So many bytes have arrived in all; gives back how many are new.
    pub(super) fn is_at(&mut self, bytes: u64) -> u64 {
        let more = bytes.saturating_sub(self.bytes);
        if more > 0 {
            self.bytes += more;
            let mut inventory = self.shelf.inventory();
            inventory.arriving += more;
            self.shelf.make_room(&mut inventory);
        }
        more
    }
}

impl Drop for Arriving {
    fn drop(&mut self) {
        self.shelf.inventory().arriving -= self.bytes;
    }
}

/// The names of all that a workspace may have.
fn all_of(workspace: WorkspaceId) -> RangeInclusive<Name> {
    (workspace, Sha256([0; 32]))..=(workspace, Sha256([0xff; 32]))
}

/// A workspace's kept sources, each with the time of its last use.
fn left_behind(workspace: WorkspaceId, folder: &Path) -> io::Result<Vec<(Name, Kept, SystemTime)>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let facts = fs::symlink_metadata(&path)?;
        let content = name_of(&path).and_then(Sha256::parse).filter(|_| facts.is_file());
        let Some(content) = content else {
            let is_note = path.extension().is_some_and(|e| e == "json") && path.with_extension("").is_file();
            if !is_note {
                remove(&path);
            }
            continue;
        };
        let origins = fs::read(origins_path(&path)).ok();
        let origins = origins.and_then(|json| serde_json::from_slice(&json).ok()).unwrap_or_default();
        let used_at = facts.modified().unwrap_or(SystemTime::UNIX_EPOCH);
        let kept = Kept { serial: 0, size: facts.len(), last_use: 0, holders: 0, proven: false, origins };
        found.push(((workspace, content), kept, used_at));
    }
    Ok(found)
}

fn name_of(path: &Path) -> Option<&str> {
    path.file_name().and_then(OsStr::to_str)
}

/// Whether the file's bytes are those. A power cut may have kept a name and lost what it names.
fn is_intact(path: &Path, content: Sha256, size: u64) -> bool {
    let found = crate::digest::of_file(path, |error: io::Error| error, |_| Ok(()));
    found.is_ok_and(|found| found == (content, size))
}

fn origins_path(path: &Path) -> PathBuf {
    path.with_extension("json")
}

/// Writes down where a source came from. Where that fails it is fetched once more after a restart.
fn note_origins(path: &Path, origins: &[Origin]) {
    let noted = serde_json::to_vec(origins).map_err(io::Error::other);
    if let Err(error) = noted.and_then(|json| fs::write(origins_path(path), json)) {
        tracing::warn!(%error, "the origin of a kept source could not be noted");
    }
}

/// Removes a file or a folder; what is not there is as good.
fn remove(path: &Path) {
    let removed = if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
    if let Err(error) = removed
        && error.kind() != io::ErrorKind::NotFound
    {
        tracing::warn!(%error, path = %path.display(), "a file of the cache could not be removed");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINE: WorkspaceId = WorkspaceId::new(1);
    const YOURS: WorkspaceId = WorkspaceId::new(2);

    struct Room {
        folder: tempfile::TempDir,
        bytes_max: u64,
    }

    impl Room {
        fn new(bytes_max: u64) -> Room {
            Room { folder: tempfile::tempdir().expect("a folder"), bytes_max }
        }

        fn open(&self) -> Arc<Shelf> {
            Shelf::open(self.folder.path().join("sources"), self.bytes_max).expect("opens")
        }

        /// Keeps ten bytes.
        fn keep(&self, shelf: &Arc<Shelf>, workspace: WorkspaceId, fill: u8) -> Hold {
            let aside = self.folder.path().join("aside");
            fs::write(&aside, [fill; 10]).expect("writes");
            let (address, etag) = (Sha256::of(&[fill]), format!("\"{fill}\""));
            shelf.keep((workspace, Sha256::of(&[fill; 10])), 10, &aside, address, Some(etag)).expect("keeps")
        }
    }

    fn has(shelf: &Arc<Shelf>, workspace: WorkspaceId, fill: u8) -> bool {
        shelf.hold((workspace, Sha256::of(&[fill; 10]))).is_some()
    }

    #[test]
    fn what_was_not_used_for_longest_goes_first() {
        let room = Room::new(30);
        let shelf = room.open();
        (1..=3).for_each(|fill| drop(room.keep(&shelf, MINE, fill)));
        assert!(has(&shelf, MINE, 1), "used again");
        drop(room.keep(&shelf, MINE, 4));
        assert!(!has(&shelf, MINE, 2), "the oldest use");
        assert!([1, 3, 4].iter().all(|fill| has(&shelf, MINE, *fill)), "the others stay");
    }

    #[test]
    fn what_is_held_stays_and_goes_when_it_is_let_go() {
        let room = Room::new(15);
        let shelf = room.open();
        let first = room.keep(&shelf, MINE, 1);
        let second = room.keep(&shelf, MINE, 2);
        assert!(first.path().is_file() && second.path().is_file(), "both are needed, limit or not");
        let path = first.path();
        drop(first);
        assert!(!path.exists(), "the limit holds again");
        assert!(second.path().is_file(), "the other is still held");
    }

    #[test]
    fn what_is_arriving_takes_room() {
        let room = Room::new(30);
        let shelf = room.open();
        (1..=3).for_each(|fill| drop(room.keep(&shelf, MINE, fill)));
        let mut arriving = shelf.arriving();
        arriving.is_at(11);
        assert_eq!([1, 2, 3].map(|fill| has(&shelf, MINE, fill)), [false, false, true], "two had to go");
        drop(arriving);
        drop(room.keep(&shelf, MINE, 4));
        assert!(has(&shelf, MINE, 3), "what did not arrive takes none");
    }

    #[test]
    fn a_workspace_never_finds_what_is_anothers() {
        let room = Room::new(100);
        let shelf = room.open();
        drop(room.keep(&shelf, MINE, 1));
        assert!(!has(&shelf, YOURS, 1), "not by its bytes");
        assert!(shelf.known(YOURS, Sha256::of(&[1])).is_none(), "nor by its address");
        let (_, etag) = shelf.known(MINE, Sha256::of(&[1])).expect("known to its own");
        assert_eq!(etag, "\"1\"");
    }

    #[test]
    fn the_next_process_finds_it_all_in_the_same_order() {
        let room = Room::new(30);
        let shelf = room.open();
        for fill in 1..=3 {
            drop(room.keep(&shelf, MINE, fill));
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        assert!(has(&shelf, MINE, 1), "used last");
        drop(shelf);
        let shelf = room.open();
        assert!(shelf.known(MINE, Sha256::of(&[2])).is_some(), "with its address and validator");
        std::thread::sleep(std::time::Duration::from_millis(20));
        drop(room.keep(&shelf, MINE, 4));
        assert_eq!([1, 2, 3, 4].map(|fill| has(&shelf, MINE, fill)), [true, true, false, true]);
    }

    #[test]
    fn what_was_damaged_between_two_processes_is_not_given_out() {
        let room = Room::new(100);
        let path = {
            let shelf = room.open();
            let hold = room.keep(&shelf, MINE, 1);
            hold.path()
        };
        fs::write(&path, [9; 10]).expect("writes");
        let shelf = room.open();
        assert!(!has(&shelf, MINE, 1), "its bytes are others");
        assert!(!path.exists(), "and it is gone");
    }

    #[test]
    fn what_does_not_belong_on_the_shelf_is_removed() {
        let room = Room::new(100);
        let sources = room.folder.path().join("sources");
        let mine = sources.join(MINE.to_string());
        fs::create_dir_all(&mine).expect("a folder");
        let foreign =
            [sources.join(Sha256::of(b"old").to_string()), mine.join("notes.txt"), mine.join("a.json")];
        for path in &foreign {
            fs::write(path, b"x").expect("writes");
        }
        drop(room.open());
        assert!(foreign.iter().all(|path| !path.exists()), "nothing fills the disk unseen");
    }

    #[test]
    fn addresses_of_one_source_do_not_pile_up() {
        let room = Room::new(100);
        let shelf = room.open();
        for n in 0..20u8 {
            let aside = room.folder.path().join("aside");
            fs::write(&aside, [1; 10]).expect("writes");
            let (address, etag) = (Sha256::of(&[n]), "\"v\"".to_owned());
            drop(shelf.keep((MINE, Sha256::of(&[1; 10])), 10, &aside, address, Some(etag)).expect("keeps"));
        }
        assert!(shelf.known(MINE, Sha256::of(&[0])).is_none(), "the oldest is forgotten");
        assert!(shelf.known(MINE, Sha256::of(&[19])).is_some(), "the newest is known");
        assert_eq!(shelf.inventory().bytes, 10, "equal bytes are kept once");
    }
}
