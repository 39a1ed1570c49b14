//! Shared memory: the mapping of a map's values or of a ring buffer.
//!
//! Other threads, other processes and the kernel write into it at any time, so no
//! reference into it is ever given out: bytes are copied by relaxed atomics, as wide as
//! their place allows, and words are atomic. Accesses of different widths to the same
//! bytes meet only where other sides are programs in compiled code or the kernel.
//!
//! All of the memory can be accessed while it is mapped: Linux maps the pages of arrays
//! and of ring buffers at once, and an embedded kernel's files are sealed against
//! shrinking. An arena's pages come when they are touched, and where they do not, that is
//! a signal; those are copied by a system call, which fails instead.
#![allow(unsafe_code)]

use std::os::fd::BorrowedFd;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering, fence};

use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};

use skep_abi::Errno;

/// A shared mapping, unmapped when dropped.
#[derive(Debug)]
pub struct Mapping {
    start: NonNull<u8>,
    len: usize,
    /// Bytes from the start that may be written.
    writable: usize,
    /// Whether an access may fail.
    faults: bool,
    /// Who unmaps it; without, this mapping does.
    owner: Option<Box<dyn Owner>>,
}

/// What owns the memory of a mapping.
pub trait Owner: std::fmt::Debug + Send + Sync {}
impl<T: std::fmt::Debug + Send + Sync> Owner for T {}

// SAFETY: the mapping is owned, and every access to it is atomic or by a system call.
unsafe impl Send for Mapping {}
// SAFETY: as above.
unsafe impl Sync for Mapping {}

impl Mapping {
    /// Maps `len` bytes of what `fd` is from `offset`, shared, of which the first `writable`
    /// may be written. Where `faults` is not set, all that can be mapped of it can be accessed.
    ///
    /// # Errors
    /// The errno of `mmap(2)`.
    pub(crate) fn new(
        fd: BorrowedFd<'_>,
        offset: u64,
        len: usize,
        writable: usize,
        faults: bool,
    ) -> Result<Mapping, Errno> {
        let writable = writable.min(len);
        let access = match writable {
            0 => ProtFlags::READ,
            _ => ProtFlags::READ | ProtFlags::WRITE,
        };
        // SAFETY: a new mapping at an address of the kernel's choice touches no
        // memory that Rust knows of.
        let start =
            unsafe { mmap(std::ptr::null_mut(), len, access, MapFlags::SHARED, fd, offset) }
                .map_err(|errno| Errno(errno.raw_os_error()))?;
        let start = NonNull::new(start.cast()).ok_or(Errno::ENOMEM)?;
        Ok(Mapping { start, len, writable, faults, owner: None })
    }

    /// Memory that is mapped already, and unmapped when `owner` is dropped.
    ///
    /// # Safety
    /// `len` bytes from `start` stay mapped and can be accessed, for writing where
    /// `writable`, as long as `owner` lives; `start` is 8-byte aligned, and whoever else
    /// accesses them does so atomically, or not as Rust.
    pub unsafe fn owned(
        start: NonNull<u8>,
        len: usize,
        writable: bool,
        owner: Box<dyn Owner>,
    ) -> Mapping {
        let writable = if writable { len } else { 0 };
        Mapping { start, len, writable, faults: false, owner: Some(owner) }
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
        if self.faults {
            let local = libc::iovec { iov_base: bytes.as_mut_ptr().cast(), iov_len: bytes.len() };
            return self.copy(libc::process_vm_readv, local, offset);
        }
        let (head, words) = self.split(offset, bytes.len());
        let (head, rest) = bytes.split_at_mut(head);
        let (middle, tail) = rest.split_at_mut(words * 8);
        let mut at = offset;
        for byte in head {
            *byte = self.atomic::<AtomicU8>(at).load(Ordering::Relaxed);
            at += 1;
        }
        for word in middle.chunks_exact_mut(8) {
            let value = self.atomic::<AtomicU64>(at).load(Ordering::Relaxed);
            word.copy_from_slice(&value.to_ne_bytes());
            at += 8;
        }
        for byte in tail {
            *byte = self.atomic::<AtomicU8>(at).load(Ordering::Relaxed);
            at += 1;
        }
        true
    }

    /// Copies bytes in; `false` where they are not all mapped for writing.
    pub fn write(&self, offset: usize, bytes: &[u8]) -> bool {
        if !self.may_write(offset, bytes.len()) {
            return false;
        }
        if self.faults {
            let from = bytes.as_ptr().cast_mut().cast();
            let local = libc::iovec { iov_base: from, iov_len: bytes.len() };
            return self.copy(libc::process_vm_writev, local, offset);
        }
        let (head, words) = self.split(offset, bytes.len());
        let (head, rest) = bytes.split_at(head);
        let (middle, tail) = rest.split_at(words * 8);
        let mut at = offset;
        for byte in head {
            self.atomic::<AtomicU8>(at).store(*byte, Ordering::Relaxed);
            at += 1;
        }
        for word in middle.as_chunks::<8>().0 {
            self.atomic::<AtomicU64>(at).store(u64::from_ne_bytes(*word), Ordering::Relaxed);
            at += 8;
        }
        for byte in tail {
            self.atomic::<AtomicU8>(at).store(*byte, Ordering::Relaxed);
            at += 1;
        }
        true
    }

    /// Loads an aligned word, acquiring what was written before it.
    pub fn load_u32(&self, offset: usize) -> Option<u32> {
        self.check::<AtomicU32>(offset)?;
        if self.faults {
            return self.load(offset).map(u32::from_ne_bytes);
        }
        Some(self.atomic::<AtomicU32>(offset).load(Ordering::Acquire))
    }

    /// Loads an aligned word, acquiring what was written before it.
    pub fn load_u64(&self, offset: usize) -> Option<u64> {
        self.check::<AtomicU64>(offset)?;
        if self.faults {
            return self.load(offset).map(u64::from_ne_bytes);
        }
        Some(self.atomic::<AtomicU64>(offset).load(Ordering::Acquire))
    }

    /// Stores an aligned word, releasing what was written before it; `false` where
    /// it is not mapped for writing.
    pub fn store_u64(&self, offset: usize, value: u64) -> bool {
        if !self.may_write(offset, 8) || self.check::<AtomicU64>(offset).is_none() {
            return false;
        }
        if self.faults {
            return self.write(offset, &value.to_ne_bytes());
        }
        self.atomic::<AtomicU64>(offset).store(value, Ordering::Release);
        true
    }

    /// Bytes before the first aligned word of a range, and how many words follow.
    fn split(&self, offset: usize, len: usize) -> (usize, usize) {
        let head = (offset.next_multiple_of(8) - offset).min(len);
        (head, (len - head) / 8)
    }

    /// A word of memory that may not be there.
    fn load<const N: usize>(&self, offset: usize) -> Option<[u8; N]> {
        let mut bytes = [0; N];
        let there = self.read(offset, &mut bytes);
        fence(Ordering::Acquire);
        there.then_some(bytes)
    }

    /// Has Linux copy between a buffer of ours and the mapping: an access that would be a
    /// signal is an error then.
    fn copy(&self, call: CopyCall, local: libc::iovec, offset: usize) -> bool {
        // SAFETY: the caller checked that the range is inside of the mapping.
        let there = unsafe { self.start.add(offset) };
        let remote = libc::iovec { iov_base: there.as_ptr().cast(), iov_len: local.iov_len };
        // SAFETY: `local` is a buffer that the caller borrows, for writing where the call
        // writes it; the other range is inside of the mapping.
        let copied = unsafe { call(libc::getpid(), &raw const local, 1, &raw const remote, 1, 0) };
        usize::try_from(copied).is_ok_and(|copied| copied == local.iov_len)
    }

    /// Whether an aligned word is there.
    fn check<T>(&self, offset: usize) -> Option<()> {
        let aligned = offset.is_multiple_of(align_of::<T>());
        (aligned && self.contains(offset, size_of::<T>())).then_some(())
    }

    /// An atomic word at an offset that was checked: inside of the mapping, and aligned.
    fn atomic<T: Atomic>(&self, offset: usize) -> &T {
        debug_assert!(self.check::<T>(offset).is_some());
        // SAFETY: every caller checked it; the start is aligned, the memory lives as long
        // as `self`, and all bytes are valid. It is only stored to where it is writable.
        unsafe { self.start.add(offset).cast::<T>().as_ref() }
    }

    fn may_write(&self, offset: usize, len: usize) -> bool {
        offset.checked_add(len).is_some_and(|end| end <= self.writable)
    }

    fn contains(&self, offset: usize, len: usize) -> bool {
        offset.checked_add(len).is_some_and(|end| end <= self.len)
    }
}

/// `process_vm_readv(2)` or `process_vm_writev(2)`.
type CopyCall = unsafe extern "C" fn(
    libc::pid_t,
    *const libc::iovec,
    libc::c_ulong,
    *const libc::iovec,
    libc::c_ulong,
    libc::c_ulong,
) -> isize;

/// Atomics that any bytes are a value of.
trait Atomic {}
impl Atomic for AtomicU8 {}
impl Atomic for AtomicU32 {}
impl Atomic for AtomicU64 {}

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
