//! The memory a worker shares with the service: where pictures and sound go.
#![expect(unsafe_code, reason = "mapping shared memory")]

use std::io;
use std::os::fd::BorrowedFd;
use std::ptr::{self, NonNull};

use rustix::fs::fstat;
use rustix::mm::{MapFlags, ProtFlags, mmap};

/// The mapping, for the life of the process.
pub(crate) struct Ring {
    base: NonNull<u8>,
    len: usize,
}

impl Ring {
    /// Maps all of it.
    pub(crate) fn map(memory: BorrowedFd<'_>) -> io::Result<Ring> {
        let len = usize::try_from(fstat(memory)?.st_size).unwrap_or(0);
        let access = ProtFlags::READ | ProtFlags::WRITE;
        // SAFETY: a new mapping at an address of the kernel's choice; the memory is sealed against shrinking.
        let base = unsafe { mmap(ptr::null_mut(), len, access, MapFlags::SHARED, memory, 0)? };
        let base = NonNull::new(base.cast()).ok_or_else(|| io::Error::from(io::ErrorKind::OutOfMemory))?;
        Ok(Ring { base, len })
    }

    /// Slot number `slot` of slots of `slot_len` bytes; `None` where it would not lie within the ring.
    pub(crate) fn slot(&mut self, slot: u32, slot_len: usize) -> Option<&mut [u8]> {
        let start = slot_len.checked_mul(slot as usize)?;
        let end = start.checked_add(slot_len).filter(|end| *end <= self.len)?;
        // SAFETY: within the mapping, and borrowed from `self`, so nothing else here has it. The service reads it
        // only once it is told that the slot is filled.
        Some(unsafe { std::slice::from_raw_parts_mut(self.base.as_ptr().add(start), end - start) })
    }
}
