//! Anonymous zero-filled memory.
//!
//! On Linux a mapping of its own without swap reservation: a sparse map costs
//! what it touches. From 2 MiB on it starts at a huge page's boundary and asks
//! for huge pages, which saves a TLB miss per access in maps that outgrow the
//! caches. Elsewhere it is the global allocator's zeroed memory.

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
        if len > isize::MAX as usize - HUGE {
            return Err(Errno::ENOMEM);
        }
        platform::map(len).map(|base| Mapping { base, len })
    }

    /// The first byte's address.
    pub fn base(&self) -> *mut u8 {
        self.base.as_ptr()
    }

    /// Size in bytes, a multiple of the page size.
    #[allow(clippy::len_without_is_empty)] // never empty
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

    use rustix::mm::{Advice, MapFlags, ProtFlags, madvise, mmap_anonymous, munmap};
    use skep_abi::Errno;

    use super::HUGE;

    pub fn map(len: usize) -> Result<NonNull<u8>, Errno> {
        let slack = if len >= HUGE { HUGE } else { 0 };
        // SAFETY: a new mapping at an address that the host chooses touches nothing else.
        let start = unsafe {
            mmap_anonymous(
                null_mut(),
                len + slack,
                ProtFlags::READ | ProtFlags::WRITE,
                MapFlags::PRIVATE | MapFlags::NORESERVE,
            )
        }
        .map_err(|_| Errno::ENOMEM)?
        .cast::<u8>();
        let mut base = start;
        if slack > 0 {
            let before = start.align_offset(HUGE);
            let after = slack - before;
            // SAFETY: `before + len + after` is the mapping just made; the two ends are cut
            // off and what remains is `len` bytes from `base`.
            unsafe {
                base = start.add(before);
                if before > 0 {
                    let _ = munmap(start.cast::<c_void>(), before);
                }
                if after > 0 {
                    let _ = munmap(base.add(len).cast::<c_void>(), after);
                }
                // Advice only: without it everything works, a little slower.
                let _ = madvise(base.cast::<c_void>(), len, Advice::LinuxHugepage);
            }
        }
        NonNull::new(base).ok_or(Errno::ENOMEM)
    }

    pub fn unmap(base: NonNull<u8>, len: usize) {
        // SAFETY: exactly what `map` returned, and its owner is being dropped.
        let _ = unsafe { munmap(base.as_ptr().cast::<c_void>(), len) };
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
    fn what_the_address_space_cannot_hold_is_enomem() {
        for len in [u64::MAX, i64::MAX as u64, 1 << 62] {
            assert_eq!(Mapping::new(len).unwrap_err(), Errno::ENOMEM, "{len}");
        }
    }
}
