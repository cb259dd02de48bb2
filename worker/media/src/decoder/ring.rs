//! Memory shared with one worker: slots into which it writes what it decoded.
//!
//! The memory is sealed against resizing, so a worker cannot make our reads fault. It can rewrite a slot while we
//! read it; what is copied out may then be torn, never unsafe: it is only ever copied, byte by byte, before use.
#![expect(unsafe_code, reason = "mapping memory that another process writes")]

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::ptr::{self, NonNull};

use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, ftruncate, memfd_create};
use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};

/// A shared mapping, ours to read.
#[derive(Debug)]
pub(super) struct Ring {
    memory: OwnedFd,
    base: NonNull<u8>,
    len: usize,
    slot_len: usize,
}

// SAFETY: the mapping belongs to this value alone within this process and is only read through `read`.
unsafe impl Send for Ring {}
// SAFETY: reads through a shared reference do not touch any state of this process.
unsafe impl Sync for Ring {}

impl Ring {
    /// `slots` slots of `slot_len` bytes; pages come into being when the worker first writes them.
    pub(super) fn new(slots: usize, slot_len: usize) -> io::Result<Ring> {
        let len = slots
            .checked_mul(slot_len)
            .filter(|len| *len > 0)
            .ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
        let memory = memfd_create("framelane-ring", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?;
        ftruncate(&memory, len as u64)?;
        fcntl_add_seals(&memory, SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL)?;
        // SAFETY: a new mapping at an address of the kernel's choice; `memory` covers `len` bytes and is sealed.
        let base = unsafe { mmap(ptr::null_mut(), len, ProtFlags::READ, MapFlags::SHARED, &memory, 0)? };
        let base = NonNull::new(base.cast()).ok_or_else(|| io::Error::from(io::ErrorKind::OutOfMemory))?;
        Ok(Ring { memory, base, len, slot_len })
    }

    /// For handing to the worker.
    pub(super) fn memory(&self) -> BorrowedFd<'_> {
        self.memory.as_fd()
    }

    /// Copies the beginning of a slot.
    pub(super) fn read(&self, slot: usize, into: &mut [u8]) {
        assert!(
            into.len() <= self.slot_len && (slot + 1) * self.slot_len <= self.len,
            "reads stay within a slot"
        );
        // SAFETY: the range lies within the mapping (asserted above), and `into` is memory of our own.
        unsafe {
            let from = self.base.as_ptr().add(slot * self.slot_len);
            ptr::copy_nonoverlapping(from, into.as_mut_ptr(), into.len());
        }
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        // SAFETY: mapped in `new` with this length, and nothing refers to it any more. Unmapping a whole mapping of
        // our own cannot fail.
        let _unmapped = unsafe { munmap(self.base.as_ptr().cast(), self.len) };
    }
}
