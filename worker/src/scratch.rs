//! Files in the making: gone with whoever makes them, however that ends.

use std::io;
use std::ops::Deref;
use std::path::{Path, PathBuf};

/// A path that is its holder's alone. Whatever lies there when this is dropped is removed.
#[derive(Debug)]
pub(crate) struct ScratchFile(PathBuf);

impl ScratchFile {
    pub(crate) fn at(path: PathBuf) -> ScratchFile {
        ScratchFile(path)
    }
}

impl Deref for ScratchFile {
    type Target = Path;

    fn deref(&self) -> &Path {
        &self.0
    }
}

impl Drop for ScratchFile {
    fn drop(&mut self) {
        match std::fs::remove_file(&self.0) {
            Ok(()) => {}
            // Never written, or moved to where it belongs.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => {
                tracing::warn!(%error, path = %self.0.display(), "a file in the making was left behind; the next start removes it");
            }
        }
    }
}
