//! Anonymous zero-filled memory.
//!
//! On Linux a mapping of its own without swap reservation: a sparse map costs
//! what it touches. Nothing can be accessed right before and behind it, so that code
//! which left its memory would end there. From 2 MiB on it starts at a huge page's
//! boundary and asks for huge pages, which saves a TLB miss per access in maps that
//! outgrow the caches. Elsewhere it is the global allocator's zeroed memory.

use std::ptr::NonNull;

use skep_abi::Errno;

/// Zero-filled memory of a fixed size and address, freed on drop.
#[derive(Debug)]
pub struct Mapping {
    base: NonNull<u8>,
    len: usize,
}

// SAFETY: the memory is owned by this value alone and is only accessed through raw pointers,
// with atomic accesses (`mem::words`).
unsafe impl Send for Mapping {}
// SAFETY: as above.
unsafe impl Sync for Mapping {}

/// Size and alignment of a huge page.
const HUGE: usize = 2 << 20;

impl Mapping {
    /// `len` bytes of zeros (one page at least); ENOMEM where the host has no room.
    pub fn new(len: u64) -> Result<Mapping, Errno> {
        let len = super::page_align(len.max(1)).ok_or(Errno::ENOMEM)?;
        if len > isize::MAX as usize - 2 * HUGE {
            return Err(Errno::ENOMEM);
        }
        platform::map(len).map(|base| Mapping { base, len })
    }

    /// The first byte's address.
    #[inline]
    pub fn base(&self) -> *mut u8 {
        self.base.as_ptr()
    }

    /// Size in bytes, a multiple of the page size.
    #[allow(clippy::len_without_is_empty)] // never empty
    #[inline]
    pub fn len(&self) -> usize {
        self.len
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        platform::unmap(self.base, self.len);
    }
}

#[cfg(target_os = "linux")]
mod platform {
    use std::ffi::c_void;
    use std::ptr::{NonNull, null_mut};

    use rustix::mm::{
        Advice, MapFlags, MprotectFlags, ProtFlags, madvise, mmap_anonymous, mprotect, munmap,
    };
    use skep_abi::Errno;

    use super::HUGE;
    use crate::mem::PAGE;

    /// Pages before and behind, in bytes.
    const GUARDS: usize = 2 * PAGE;

    pub fn map(len: usize) -> Result<NonNull<u8>, Errno> {
        let slack = if len >= HUGE { HUGE } else { 0 };
        let whole = len + slack + GUARDS;
        let (none, flags) = (ProtFlags::empty(), MapFlags::PRIVATE | MapFlags::NORESERVE);
        // SAFETY: a new mapping at an address that the host chooses touches nothing else.
        let start = unsafe { mmap_anonymous(null_mut(), whole, none, flags) }
            .map_err(|_| Errno::ENOMEM)?
            .cast::<u8>();
        // SAFETY: the mapping is longer than the page.
        let first = unsafe { start.add(PAGE) };
        let before = if slack > 0 { first.align_offset(HUGE) } else { 0 };
        // SAFETY: `PAGE + before + len + PAGE` bytes are within the mapping just made: what
        // is more than that is cut off at both ends, and the `len` bytes from `base` on
        // are made accessible.
        let (base, opened) = unsafe {
            let base = first.add(before);
            if slack > 0 {
                let _ = munmap(start.cast::<c_void>(), before);
                let _ = munmap(base.add(len + PAGE).cast::<c_void>(), slack - before);
            }
            let access = MprotectFlags::READ | MprotectFlags::WRITE;
            (base, mprotect(base.cast::<c_void>(), len, access))
        };
        let base = NonNull::new(base).ok_or(Errno::ENOMEM)?;
        if opened.is_err() {
            unmap(base, len);
            return Err(Errno::ENOMEM);
        }
        if slack > 0 {
            // SAFETY: the mapping's own bytes. Advice only: without it everything works,
            // a little slower.
            let _ = unsafe { madvise(base.as_ptr().cast::<c_void>(), len, Advice::LinuxHugepage) };
        }
        Ok(base)
    }

    pub fn unmap(base: NonNull<u8>, len: usize) {
        // SAFETY: what `map` returned, with the pages around it; its owner is being dropped.
        let _ = unsafe { munmap(base.as_ptr().sub(PAGE).cast::<c_void>(), len + GUARDS) };
    }
}

#[cfg(not(target_os = "linux"))]
mod platform {
    use std::alloc::{Layout, alloc_zeroed, dealloc};
    use std::ptr::NonNull;

    use skep_abi::Errno;

    use crate::mem::PAGE;

    fn layout(len: usize) -> Result<Layout, Errno> {
        Layout::from_size_align(len, PAGE).map_err(|_| Errno::ENOMEM)
    }

    pub fn map(len: usize) -> Result<NonNull<u8>, Errno> {
        // SAFETY: the layout's size is at least one page, never zero.
        NonNull::new(unsafe { alloc_zeroed(layout(len)?) }).ok_or(Errno::ENOMEM)
    }

    pub fn unmap(base: NonNull<u8>, len: usize) {
        if let Ok(layout) = layout(len) {
            // SAFETY: allocated by `map` with this layout.
            unsafe { dealloc(base.as_ptr(), layout) };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_mappings_are_zeroed_and_huge_page_aligned() {
        let mapping = Mapping::new(5 << 20).unwrap();
        assert_eq!(mapping.base() as usize % HUGE, 0);
        assert_eq!(mapping.len(), 5 << 20);
        for offset in [0, 4096, (5 << 20) - 1] {
            // SAFETY: inside the mapping.
            assert_eq!(unsafe { mapping.base().add(offset).read() }, 0);
        }
    }

    #[test]
    fn nothing_can_be_accessed_around_a_mapping() {
        let maps = || std::fs::read_to_string("/proc/self/maps").unwrap();
        for len in [1, 3 * crate::mem::PAGE as u64, 5 << 20] {
            let mapping = Mapping::new(len).unwrap();
            let (start, end) = (mapping.base().addr(), mapping.base().addr() + mapping.len());
            let closed = |line: &&str| line.contains("---p");
            let maps = maps();
            let around: Vec<&str> = maps.lines().filter(closed).collect();
            assert!(around.iter().any(|line| line.contains(&format!("-{start:x} "))), "{len}");
            assert!(around.iter().any(|line| line.starts_with(&format!("{end:x}-"))), "{len}");
        }
    }

    #[test]
    fn what_the_address_space_cannot_hold_is_enomem() {
        for len in [u64::MAX, i64::MAX as u64, 1 << 62] {
            assert_eq!(Mapping::new(len).unwrap_err(), Errno::ENOMEM, "{len}");
        }
    }
}
