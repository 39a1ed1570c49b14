//! Shared memory: the mapping of a map's values or of a ring buffer.
//!
//! Other threads, other processes and the kernel write into it at any time, so no
//! reference into it is ever given out: bytes are copied, and words are atomic.
#![allow(unsafe_code)]

use std::os::fd::BorrowedFd;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};

use crate::Errno;

/// A shared mapping, unmapped when dropped.
#[derive(Debug)]
pub struct Mapping {
    start: NonNull<u8>,
    len: usize,
    writable: bool,
    /// Who unmaps it; without, this mapping does.
    owner: Option<Box<dyn Owner>>,
}

/// What owns the memory of a mapping.
pub trait Owner: std::fmt::Debug + Send + Sync {}
impl<T: std::fmt::Debug + Send + Sync> Owner for T {}

// SAFETY: the mapping is owned, and every access to it is atomic or a volatile copy.
unsafe impl Send for Mapping {}
// SAFETY: as above.
unsafe impl Sync for Mapping {}

impl Mapping {
    /// Maps `len` bytes of `fd` from `offset`, shared.
    ///
    /// # Errors
    /// The errno of `mmap(2)`.
    pub fn new(
        fd: BorrowedFd<'_>,
        offset: u64,
        len: usize,
        writable: bool,
    ) -> Result<Mapping, Errno> {
        let access = if writable { ProtFlags::READ | ProtFlags::WRITE } else { ProtFlags::READ };
        // SAFETY: a new mapping at an address of the kernel's choice touches no
        // memory that Rust knows of.
        let start =
            unsafe { mmap(std::ptr::null_mut(), len, access, MapFlags::SHARED, fd, offset) }
                .map_err(|errno| Errno(errno.raw_os_error()))?;
        let start = NonNull::new(start.cast()).ok_or(Errno::ENOMEM)?;
        Ok(Mapping { start, len, writable, owner: None })
    }

    /// Memory that is mapped already, and unmapped when `owner` is dropped.
    ///
    /// # Safety
    /// `len` bytes from `start` stay mapped, for writing where `writable`, as long as
    /// `owner` lives.
    pub unsafe fn owned(
        start: NonNull<u8>,
        len: usize,
        writable: bool,
        owner: Box<dyn Owner>,
    ) -> Mapping {
        Mapping { start, len, writable, owner: Some(owner) }
    }

    /// Bytes mapped.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether nothing is mapped.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Copies bytes out; `false` where they are not all mapped.
    pub fn read(&self, offset: usize, bytes: &mut [u8]) -> bool {
        if !self.contains(offset, bytes.len()) {
            return false;
        }
        for (index, byte) in bytes.iter_mut().enumerate() {
            // SAFETY: inside of the mapping, which lives as long as self.
            *byte = unsafe { self.start.add(offset + index).read_volatile() };
        }
        true
    }

    /// Copies bytes in; `false` where they are not all mapped for writing.
    pub fn write(&self, offset: usize, bytes: &[u8]) -> bool {
        if !self.writable || !self.contains(offset, bytes.len()) {
            return false;
        }
        for (index, byte) in bytes.iter().enumerate() {
            // SAFETY: inside of the mapping, which lives as long as self, and writable.
            unsafe { self.start.add(offset + index).write_volatile(*byte) };
        }
        true
    }

    /// Loads an aligned word, acquiring what was written before it.
    pub fn load_u32(&self, offset: usize) -> Option<u32> {
        let word = self.word::<AtomicU32>(offset)?;
        // SAFETY: `word` checked bounds and alignment; the mapping is readable.
        Some(unsafe { word.as_ref() }.load(Ordering::Acquire))
    }

    /// Loads an aligned word, acquiring what was written before it.
    pub fn load_u64(&self, offset: usize) -> Option<u64> {
        let word = self.word::<AtomicU64>(offset)?;
        // SAFETY: `word` checked bounds and alignment; the mapping is readable.
        Some(unsafe { word.as_ref() }.load(Ordering::Acquire))
    }

    /// Stores an aligned word, releasing what was written before it; `false` where
    /// it is not mapped for writing.
    pub fn store_u64(&self, offset: usize, value: u64) -> bool {
        match self.word::<AtomicU64>(offset) {
            Some(word) if self.writable => {
                // SAFETY: `word` checked bounds and alignment; the mapping is writable.
                unsafe { word.as_ref() }.store(value, Ordering::Release);
                true
            }
            _ => false,
        }
    }

    fn contains(&self, offset: usize, len: usize) -> bool {
        offset.checked_add(len).is_some_and(|end| end <= self.len)
    }

    fn word<T>(&self, offset: usize) -> Option<NonNull<T>> {
        let aligned = offset.is_multiple_of(align_of::<T>());
        // SAFETY: the offset is inside of the mapping.
        (aligned && self.contains(offset, size_of::<T>()))
            .then(|| unsafe { self.start.add(offset) }.cast())
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        if self.owner.is_some() {
            return;
        }
        // SAFETY: `new` mapped exactly this range and nobody else unmaps it. An error
        // would leave the range mapped, which is harmless.
        let _ = unsafe { munmap(self.start.as_ptr().cast(), self.len) };
    }
}
