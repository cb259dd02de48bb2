//! The fonts: our own list of files, read when first needed and never found by looking around the host.
//!
//! Promises: equal fingerprints mean equal bytes in every file, so equal glyphs. Opening a set reads file sizes only; a file
//! of the expected size is trusted to be the expected one until it is read, and then it is checked.
//! Must not know: where the files are. [`FontFiles`] brings their bytes.

pub mod coverage;
pub mod files;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::{fmt, io};

use parley::fontique::Blob;
use sha2::{Digest, Sha256};
use thiserror::Error;

pub use coverage::DEFAULT_FAMILY;
pub use files::{FILES, FontFile};

/// Where font files come from: a directory, as a rule. Paths are those of [`FontFile::path`].
pub trait FontFiles: Send + Sync {
    /// The file's length in bytes. `NotFound` where there is none.
    ///
    /// # Errors
    /// As the place of the files says.
    fn size(&self, path: &str) -> io::Result<u64>;

    /// The file's bytes.
    ///
    /// # Errors
    /// As the place of the files says.
    fn read(&self, path: &str) -> io::Result<Vec<u8>>;
}

/// Why a font could not be had.
#[derive(Debug, Error)]
pub enum FontError {
    /// A file could not be read.
    #[error("read the font {path} of the package {package}")]
    Read {
        /// See [`FontFile::path`].
        path: &'static str,
        /// See [`FontFile::package`].
        package: &'static str,
        /// Why not.
        source: io::Error,
    },
    /// A file has other bytes than when the set was opened, or than its length promised.
    #[error("use the font {path}: its content is not that of the package {package}; reinstall it")]
    Altered {
        /// See [`FontFile::path`].
        path: &'static str,
        /// See [`FontFile::package`].
        package: &'static str,
    },
    /// None of the files of a family is there.
    #[error("find the font family {family}; install the package {package}")]
    Absent {
        /// A family of [`FILES`].
        family: &'static str,
        /// The package that has it.
        package: &'static str,
    },
}

/// The fonts of one installation.
pub struct FontSet {
    files: Box<dyn FontFiles>,
    /// By index in [`FILES`]: the SHA-256 in hex, `None` where the file is absent.
    digests: Vec<Option<String>>,
    loaded: Mutex<BTreeMap<usize, Blob<u8>>>,
    fingerprint: String,
}

impl FontSet {
    /// Looks at the length of every file of [`FILES`]. A file of another length than expected is read and digested, so
    /// that hosts with other versions of a font have another fingerprint.
    ///
    /// # Errors
    /// Where a file is there but cannot be read. Absent files are no error; text that needs them says so.
    pub fn open(files: Box<dyn FontFiles>) -> Result<FontSet, FontError> {
        let digests =
            FILES.iter().map(|file| digest_of(files.as_ref(), file)).collect::<Result<Vec<_>, _>>()?;
        let mut hash = Sha256::new();
        for (file, digest) in FILES.iter().zip(&digests) {
            hash.update(format!("{} {}\n", file.path, digest.as_deref().unwrap_or("absent")));
        }
        let fingerprint = hex::encode(hash.finalize());
        Ok(FontSet { files, digests, loaded: Mutex::new(BTreeMap::new()), fingerprint })
    }

    /// SHA-256 in hex over the names and digests of all files.
    #[must_use]
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    /// The files that are not there.
    pub fn absent(&self) -> impl Iterator<Item = &'static FontFile> + '_ {
        FILES.iter().zip(&self.digests).filter(|(_, digest)| digest.is_none()).map(|(file, _)| file)
    }

    /// The family's proper name for any way of writing it in upper and lower case.
    #[must_use]
    pub fn family(name: &str) -> Option<&'static str> {
        let mut families = FILES.iter().flat_map(|file| file.families);
        families.find(|family| family.eq_ignore_ascii_case(name.trim())).copied()
    }

    /// The file of a family that is nearest to a weight and a slant, as CSS chooses (CSS Fonts 4, 5.2). `None`: the family
    /// is not here.
    pub(crate) fn nearest(&self, family: &str, weight: u16, italic: bool) -> Option<usize> {
        let here = |index: &usize| self.digests[*index].is_some() && FILES[*index].families.contains(&family);
        (0..FILES.len()).filter(here).min_by_key(|index| {
            (FILES[*index].italic != italic, weight_distance(weight, FILES[*index].weight))
        })
    }

    /// The bytes of a file by its index in [`FILES`]; read once.
    pub(crate) fn load(&self, index: usize) -> Result<Blob<u8>, FontError> {
        let mut loaded = self.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(blob) = loaded.get(&index) {
            return Ok(blob.clone());
        }
        let FontFile { path, package, .. } = FILES[index];
        let bytes = self.files.read(path).map_err(|source| FontError::Read { path, package, source })?;
        if self.digests[index].as_deref() != Some(&hex::encode(Sha256::digest(&bytes))) {
            return Err(FontError::Altered { path, package });
        }
        let blob = Blob::new(Arc::new(bytes));
        loaded.insert(index, blob.clone());
        Ok(blob)
    }
}

impl fmt::Debug for FontSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FontSet").field("fingerprint", &self.fingerprint).finish_non_exhaustive()
    }
}

/// What a file's bytes digest to, by its length where that is the expected one.
fn digest_of(files: &dyn FontFiles, file: &FontFile) -> Result<Option<String>, FontError> {
    let FontFile { path, package, .. } = *file;
    let unreadable = |source| FontError::Read { path, package, source };
    match files.size(path) {
        Ok(size) if size == file.size => Ok(Some(file.sha256.to_owned())),
        Ok(_) => Ok(Some(hex::encode(Sha256::digest(files.read(path).map_err(unreadable)?)))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(unreadable(error)),
    }
}

/// How far a weight is from the one asked for; the first number is the direction in which CSS looks later.
fn weight_distance(asked: u16, weight: u16) -> (u8, u16) {
    let distance = asked.abs_diff(weight);
    let later = match asked {
        400..=500 if weight > 500 => 2,
        400..=500 => u8::from(weight < asked),
        ..400 => u8::from(weight > asked),
        _ => u8::from(weight < asked),
    };
    (later, distance)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// The fonts of the machine that runs the tests.
    pub(crate) struct Installed;

    impl FontFiles for Installed {
        fn size(&self, path: &str) -> io::Result<u64> {
            Ok(std::fs::metadata(installed(path))?.len())
        }

        fn read(&self, path: &str) -> io::Result<Vec<u8>> {
            std::fs::read(installed(path))
        }
    }

    fn installed(path: &str) -> std::path::PathBuf {
        let root = std::env::var_os("FRAMELANE_FONTS").unwrap_or_else(|| "/usr/share/fonts".into());
        std::path::Path::new(&root).join(path)
    }

    /// At most one file: the first of the list.
    struct Fake(Option<&'static [u8]>);

    impl FontFiles for Fake {
        fn size(&self, path: &str) -> io::Result<u64> {
            Ok(self.read(path)?.len() as u64)
        }

        fn read(&self, path: &str) -> io::Result<Vec<u8>> {
            let found = self.0.filter(|_| path == FILES[0].path);
            found.map(<[u8]>::to_vec).ok_or_else(|| io::ErrorKind::NotFound.into())
        }
    }

    #[test]
    fn the_fingerprint_is_that_of_the_bytes() {
        let set = |file| FontSet::open(Box::new(Fake(file))).expect("opens");
        let (one, same) = (set(Some(b"ab")), set(Some(b"ab")));
        assert_eq!(one.fingerprint(), same.fingerprint(), "equal files, equal fingerprint");
        assert_ne!(one.fingerprint(), set(Some(b"ac")).fingerprint(), "other bytes, another one");
        assert_ne!(one.fingerprint(), set(None).fingerprint(), "an absent file, another one");
        assert_eq!(one.absent().count(), FILES.len() - 1, "all but one are absent");
        assert_eq!(one.load(0).expect("loads").as_ref(), b"ab", "a foreign version is used as it is");
    }

    #[test]
    fn a_file_whose_content_is_not_what_its_length_promised_is_refused() {
        struct Swapped;
        impl FontFiles for Swapped {
            fn size(&self, path: &str) -> io::Result<u64> {
                FILES
                    .iter()
                    .find(|file| file.path == path)
                    .map(|file| file.size)
                    .ok_or_else(|| io::ErrorKind::NotFound.into())
            }
            fn read(&self, _: &str) -> io::Result<Vec<u8>> {
                Ok(b"not a font".to_vec())
            }
        }
        let set = FontSet::open(Box::new(Swapped)).expect("opening reads sizes only");
        let refused = set.load(0).expect_err("its digest is another");
        assert!(refused.to_string().contains("reinstall"), "and the message says what to do: {refused}");
    }

    #[test]
    fn the_nearest_weight_is_chosen_as_browsers_do() {
        let set = FontSet::open(Box::new(Installed)).expect("the fonts are installed");
        let weight =
            |family, weight, italic| set.nearest(family, weight, italic).map(|index| FILES[index].weight);
        let table =
            [("Inter", 450, 500), ("Inter", 950, 900), ("Noto Sans", 500, 400), ("Noto Sans", 600, 700)];
        for (family, asked, chosen) in table {
            assert_eq!(weight(family, asked, false), Some(chosen), "{family} at {asked}");
        }
        let slanted = set.nearest("Inter", 700, true).map(|index| FILES[index].path);
        assert_eq!(slanted, Some("opentype/inter/Inter-BoldItalic.otf"), "a family's own italic is taken");
        assert_eq!(FontSet::family(" iNTER "), Some("Inter"), "names are matched in any case");
        assert_eq!(FontSet::family("Papyrus"), None, "and unknown ones are unknown");
    }
}
