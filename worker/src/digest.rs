//! Digests of whole files, read in blocks.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

use events::Sha256;
use sha2::Digest as _;

/// Bytes read at a time.
const BLOCK: usize = 1 << 18;

/// Digest and length of a file. `read` is told the bytes of each block, and may end it.
pub(crate) fn of_file<E>(
    path: &Path,
    unreadable: impl Fn(io::Error) -> E,
    mut read: impl FnMut(u64) -> Result<(), E>,
) -> Result<(Sha256, u64), E> {
    let (mut hasher, mut size) = (sha2::Sha256::new(), 0);
    let mut file = File::open(path).map_err(&unreadable)?;
    let mut block = vec![0; BLOCK];
    loop {
        match file.read(&mut block).map_err(&unreadable)? {
            0 => return Ok((Sha256(hasher.finalize().into()), size)),
            length => {
                hasher.update(&block[..length]);
                size += length as u64;
                read(length as u64)?;
            }
        }
    }
}
