//! The master key's file: 32 random bytes that only their owner may read.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

use chacha20poly1305::aead::Generate as _;
use zeroize::Zeroizing;

use super::VaultError;

/// Permission bits of the group and of others: none may be set.
const OTHERS: u32 = 0o077;

/// The key in the file; a new one where there is no file.
pub(super) fn read_or_create(path: &Path) -> Result<Zeroizing<[u8; 32]>, VaultError> {
    let failed = |doing| move |source| VaultError::File { path: path.to_owned(), doing, source };
    match read(path) {
        Err(VaultError::File { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
            create(path).map_err(failed("create"))?;
            // Read back what is there: another process may have been first.
            read(path)
        }
        outcome => outcome,
    }
}

fn read(path: &Path) -> Result<Zeroizing<[u8; 32]>, VaultError> {
    let failed = |source| VaultError::File { path: path.to_owned(), doing: "read", source };
    let file = File::open(path).map_err(failed)?;
    let metadata = file.metadata().map_err(failed)?;
    let mode = metadata.permissions().mode() & 0o777;
    if mode & OTHERS != 0 {
        return Err(VaultError::Exposed { path: path.to_owned(), mode });
    }
    let mut bytes = Zeroizing::new(Vec::with_capacity(64));
    // One byte more than a key has, to notice a longer file.
    file.take(33).read_to_end(&mut bytes).map_err(failed)?;
    match bytes.as_slice().try_into() {
        Ok(key) => Ok(Zeroizing::new(key)),
        Err(_length) => Err(VaultError::WrongLength { path: path.to_owned(), found: metadata.len() }),
    }
}

/// Writes a new key beside its place and links it there: the file appears whole or not at all, and never over
/// another.
fn create(path: &Path) -> io::Result<()> {
    let draft = path.with_extension(format!("new-{}", std::process::id()));
    let key = Zeroizing::new(<[u8; 32]>::generate());
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&draft)?;
    file.write_all(key.as_slice())?;
    file.sync_all()?;
    let linked = fs::hard_link(&draft, path);
    fs::remove_file(&draft)?;
    match linked {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    // The name too must outlive a power cut: what is sealed from now on depends on it.
    match path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        Some(folder) => File::open(folder)?.sync_all(),
        None => File::open(".")?.sync_all(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_key_is_private_and_stays() {
        let folder = tempfile::tempdir().expect("a scratch folder");
        let path = folder.path().join("master.key");
        let key = read_or_create(&path).expect("a new key");
        let mode = fs::metadata(&path).expect("the file").permissions().mode() & 0o777;
        assert_eq!(mode, 0o600, "owner only");
        assert_eq!(read_or_create(&path).expect("the same file"), key, "read back, not made anew");
        assert_eq!(fs::read_dir(folder.path()).expect("the folder").count(), 1, "the draft is gone");
    }

    #[test]
    fn a_key_that_others_may_read_is_refused() {
        let folder = tempfile::tempdir().expect("a scratch folder");
        let path = folder.path().join("master.key");
        read_or_create(&path).expect("a new key");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).expect("to open it up");
        let refused = read_or_create(&path);
        assert!(matches!(refused, Err(VaultError::Exposed { mode: 0o640, .. })), "got {refused:?}");
    }

    #[test]
    fn a_file_of_another_length_is_refused_and_kept() {
        let folder = tempfile::tempdir().expect("a scratch folder");
        let path = folder.path().join("master.key");
        for length in [0, 31, 33] {
            fs::write(&path, vec![7; length]).expect("to write");
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("to close it");
            let refused = read_or_create(&path);
            assert!(
                matches!(refused, Err(VaultError::WrongLength { found, .. }) if found == length as u64),
                "got {refused:?}"
            );
            assert_eq!(fs::read(&path).expect("the file").len(), length, "left as it was");
        }
    }
}
