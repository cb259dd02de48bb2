//! Room on the disk: with less than the installation's floor nothing new is accepted and no work is given out, so that
//! what runs can be finished and the log can always be written. When there is room again everything goes on by itself.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use thiserror::Error;

/// Tells how much room there is.
pub trait Space: Send + Sync + std::fmt::Debug {
    /// Bytes that can still be written.
    ///
    /// # Errors
    /// Where the disk does not say.
    fn free_bytes(&self) -> io::Result<u64>;
}

/// The room on the disk that a folder lies on.
#[derive(Debug)]
pub struct DiskSpace(pub PathBuf);

impl Space for DiskSpace {
    fn free_bytes(&self) -> io::Result<u64> {
        let disk = rustix::fs::statvfs(&self.0)?;
        Ok(disk.f_bavail.saturating_mul(disk.f_frsize))
    }
}

/// There is too little room for anything new.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error(
    "{free_bytes} bytes are free on the service's disk, {floor_bytes} are needed to take on anything new"
)]
pub(crate) struct TooLittleSpace {
    pub(crate) free_bytes: u64,
    pub(crate) floor_bytes: u64,
}

/// The floor that the free room must not fall below.
#[derive(Debug)]
pub(crate) struct Floor {
    space: Arc<dyn Space>,
    floor_bytes: u64,
    /// Whether the last look found too little: each change is logged once.
    is_low: AtomicBool,
}

impl Floor {
    pub(crate) fn new(space: Arc<dyn Space>, floor_bytes: u64) -> Floor {
        Floor { space, floor_bytes, is_low: AtomicBool::new(false) }
    }

    /// Whether there is room for something new. A disk that does not say how much is free is taken to have enough:
    /// when it has not, writing fails and is told then.
    pub(crate) fn check(&self) -> Result<(), TooLittleSpace> {
        let free_bytes = match self.space.free_bytes() {
            Ok(free_bytes) => free_bytes,
            Err(error) => {
                tracing::debug!(%error, "the disk does not say how much room there is");
                return Ok(());
            }
        };
        let (floor_bytes, is_low) = (self.floor_bytes, free_bytes < self.floor_bytes);
        if self.is_low.swap(is_low, Ordering::Relaxed) != is_low {
            if is_low {
                tracing::error!(
                    free_bytes,
                    floor_bytes,
                    "the disk is short of room: nothing new is accepted or begun"
                );
            } else {
                tracing::info!(free_bytes, floor_bytes, "the disk has room again: going on");
            }
        }
        if is_low { Err(TooLittleSpace { free_bytes, floor_bytes }) } else { Ok(()) }
    }
}
