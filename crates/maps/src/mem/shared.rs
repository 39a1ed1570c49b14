//! Memory backed by a memfd, which can be lent to user space.
//!
//! The kernel's view may repeat the last part of the memory right behind itself,
//! as Linux's ring buffers do (`bpf_ringbuf_area_alloc()`: data pages are mapped
//! twice, so a record that wraps around is contiguous). A private page may stand
//! in front of the view; it is not part of the memfd. Nothing can be accessed right before
//! and behind all that. User space gets [`View`]s, which keep nothing of the map alive but
//! their own pages. The memfd is sealed at its size: who gets at it, by a loan or through
//! `/proc`, can take no page from under a running program.

use std::ptr::NonNull;

use skep_abi::Errno;

/// memfd-backed memory with its mapping in this process.
#[derive(Debug)]
pub struct SharedMemory {
    /// Everything that is reserved: private pages, the memory, its repetition.
    reserved: platform::Reserved,
    private: usize,
    len: usize,
    repeated: usize,
    file: platform::File,
}

// SAFETY: the mapping is owned by this value and accessed through raw pointers with atomics.
unsafe impl Send for SharedMemory {}
// SAFETY: as above.
unsafe impl Sync for SharedMemory {}

impl SharedMemory {
    /// `len` bytes of zeros, of which the last `repeated` are mapped once more behind
    /// them, with `private` bytes of this process's own in front. All are multiples of the
    /// page size. ENOMEM where the host has no room.
    pub fn new(private: usize, len: usize, repeated: usize) -> Result<SharedMemory, Errno> {
        debug_assert!([private, len, repeated].iter().all(|n| n % super::PAGE == 0));
        debug_assert!(repeated <= len && len > 0);
        let total = private
            .checked_add(len)
            .and_then(|sum| sum.checked_add(repeated))
            .filter(|&sum| sum <= isize::MAX as usize)
            .ok_or(Errno::ENOMEM)?;
        let file = platform::create(len)?;
        let reserved = platform::reserve(total)?;
        platform::overlay(&reserved, private, &file, 0, len)?;
        if repeated > 0 {
            platform::overlay(&reserved, private + len, &file, len - repeated, repeated)?;
        }
        Ok(SharedMemory { reserved, private, len, repeated, file })
    }

    /// The shared memory's first byte. Private bytes stand before it.
    #[inline]
    pub fn base(&self) -> *mut u8 {
        // SAFETY: `private` bytes are within the reservation.
        unsafe { self.reserved.base().add(self.private) }
    }

    /// Size in bytes without private and repeated parts.
    #[allow(clippy::len_without_is_empty)] // never empty
    #[inline]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Bytes that are mapped again behind the end.
    pub fn repeated(&self) -> usize {
        self.repeated
    }

    /// The memfd, for a process or a thread that maps it itself. It knows no repetition.
    #[cfg(target_os = "linux")]
    pub fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        use std::os::fd::AsFd;
        self.file.as_fd()
    }

    /// Maps `len` bytes from `offset` once more, as `mmap(2)` on a map's fd does: the
    /// repetition counts as part of the memory. EINVAL when not inside or not on a page.
    pub fn view(&self, offset: usize, len: usize, writable: bool) -> Result<View, Errno> {
        let end = offset.checked_add(len).ok_or(Errno::EINVAL)?;
        let pages =
            len > 0 && offset.is_multiple_of(super::PAGE) && len.is_multiple_of(super::PAGE);
        if !pages || end > self.len + self.repeated {
            return Err(Errno::EINVAL);
        }
        let mut reserved = platform::reserve(len)?;
        let first = len.min(self.len.saturating_sub(offset));
        if first > 0 {
            platform::overlay(&reserved, 0, &self.file, offset, first)?;
        }
        if first < len {
            let from = offset + first - self.repeated;
            platform::overlay(&reserved, first, &self.file, from, len - first)?;
        }
        if !writable {
            reserved.protect()?;
        }
        Ok(View { reserved, len })
    }
}

/// A mapping of shared memory, as user space holds it.
#[derive(Debug)]
pub struct View {
    reserved: platform::Reserved,
    len: usize,
}

// SAFETY: the mapping is owned by this value; accesses go through raw pointers.
unsafe impl Send for View {}
// SAFETY: as above.
unsafe impl Sync for View {}

impl View {
    /// Address of the first byte.
    pub fn base(&self) -> NonNull<u8> {
        self.reserved.start()
    }

    /// Size in bytes.
    #[allow(clippy::len_without_is_empty)] // never empty
    pub fn len(&self) -> usize {
        self.len
    }

    /// Copies `target.len()` bytes out from `offset`; EFAULT when not inside or when
    /// `offset` is not a multiple of 8.
    pub fn read(&self, offset: usize, target: &mut [u8]) -> Result<(), Errno> {
        let end = offset.checked_add(target.len()).ok_or(Errno::EFAULT)?;
        if end > self.len || !offset.is_multiple_of(8) {
            return Err(Errno::EFAULT);
        }
        // SAFETY: inside the mapping and aligned, as just checked.
        unsafe { super::words::load(target, self.reserved.base().add(offset)) };
        Ok(())
    }
}

#[cfg(target_os = "linux")]
mod platform {
    use std::ffi::c_void;
    use std::os::fd::OwnedFd;
    use std::ptr::{NonNull, null_mut};

    use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, ftruncate, memfd_create};
    use rustix::mm::{MapFlags, MprotectFlags, ProtFlags, mmap, mmap_anonymous, mprotect, munmap};
    use skep_abi::Errno;

    use crate::mem::PAGE;

    pub type File = OwnedFd;

    /// Pages before and behind, in bytes.
    const GUARDS: usize = 2 * PAGE;

    /// An address range of this process between two pages that nothing can touch, unmapped
    /// with them on drop.
    #[derive(Debug)]
    pub struct Reserved {
        start: NonNull<u8>,
        len: usize,
    }

    impl Reserved {
        pub fn base(&self) -> *mut u8 {
            self.start.as_ptr()
        }

        pub fn start(&self) -> NonNull<u8> {
            self.start
        }

        /// Makes the range read-only.
        pub fn protect(&mut self) -> Result<(), Errno> {
            let start = self.base().cast::<c_void>();
            // SAFETY: the whole range belongs to this value, which nobody has written to yet.
            unsafe { mprotect(start, self.len, MprotectFlags::READ) }.map_err(|_| Errno::ENOMEM)
        }
    }

    impl Drop for Reserved {
        fn drop(&mut self) {
            // SAFETY: what `reserve` mapped, with the pages around it; it has no owner but
            // this value.
            let _ = unsafe { munmap(self.base().sub(PAGE).cast::<c_void>(), self.len + GUARDS) };
        }
    }

    pub fn create(len: usize) -> Result<File, Errno> {
        let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
        let file = memfd_create("skep-map", flags).map_err(|_| Errno::ENOMEM)?;
        ftruncate(&file, len as u64).map_err(|_| Errno::ENOMEM)?;
        let seals = SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL;
        fcntl_add_seals(&file, seals).map_err(|_| Errno::ENOMEM)?;
        Ok(file)
    }

    pub fn reserve(len: usize) -> Result<Reserved, Errno> {
        let (none, flags) = (ProtFlags::empty(), MapFlags::PRIVATE | MapFlags::NORESERVE);
        let whole = len.checked_add(GUARDS).ok_or(Errno::ENOMEM)?;
        // SAFETY: a new mapping at an address that the host chooses touches nothing else.
        let start = unsafe { mmap_anonymous(null_mut(), whole, none, flags) };
        let start = start.map_err(|_| Errno::ENOMEM)?.cast::<u8>();
        // SAFETY: the mapping is longer than the page.
        let start = NonNull::new(unsafe { start.add(PAGE) }).ok_or(Errno::ENOMEM)?;
        let reserved = Reserved { start, len };
        let access = MprotectFlags::READ | MprotectFlags::WRITE;
        // SAFETY: the `len` bytes between the guards of the mapping just made.
        unsafe { mprotect(reserved.base().cast::<c_void>(), len, access) }
            .map_err(|_| Errno::ENOMEM)?;
        Ok(reserved)
    }

    /// Puts `len` bytes of `file` from `from` at `at` of a reservation.
    pub fn overlay(
        reserved: &Reserved,
        at: usize,
        file: &File,
        from: usize,
        len: usize,
    ) -> Result<(), Errno> {
        assert!(at.checked_add(len).is_some_and(|end| end <= reserved.len));
        // SAFETY: MAP_FIXED replaces pages of the reservation only, as just asserted, and
        // nothing points into them yet.
        let mapped = unsafe {
            mmap(
                reserved.base().add(at).cast::<c_void>(),
                len,
                ProtFlags::READ | ProtFlags::WRITE,
                MapFlags::SHARED | MapFlags::FIXED | MapFlags::NORESERVE,
                file,
                from as u64,
            )
        };
        mapped.map(|_| ()).map_err(|_| Errno::ENOMEM)
    }
}

#[cfg(not(target_os = "linux"))]
mod platform {
    use std::ptr::NonNull;

    use skep_abi::Errno;

    #[derive(Debug)]
    pub struct File;

    /// Never made: there is no shareable memory here yet.
    #[derive(Debug)]
    pub enum Reserved {}

    impl Reserved {
        pub fn base(&self) -> *mut u8 {
            match *self {}
        }

        pub fn start(&self) -> NonNull<u8> {
            match *self {}
        }

        pub fn protect(&mut self) -> Result<(), Errno> {
            match *self {}
        }
    }

    pub fn create(_len: usize) -> Result<File, Errno> {
        Err(Errno::ENOTSUPP)
    }

    pub fn reserve(_len: usize) -> Result<Reserved, Errno> {
        Err(Errno::ENOTSUPP)
    }

    pub fn overlay(
        reserved: &Reserved,
        _at: usize,
        _file: &File,
        _from: usize,
        _len: usize,
    ) -> Result<(), Errno> {
        match *reserved {}
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
    use crate::mem::PAGE;

    #[test]
    fn the_repetition_shows_the_same_bytes() {
        let memory = SharedMemory::new(PAGE, 3 * PAGE, PAGE).unwrap();
        // SAFETY: both addresses are inside the mapping and its repetition.
        unsafe {
            memory.base().add(3 * PAGE + 5).write(7);
            assert_eq!(memory.base().add(2 * PAGE + 5).read(), 7);
            memory.base().sub(PAGE).write(9);
            assert_eq!(memory.base().read(), 0, "the private page is not shared");
        }
    }

    #[test]
    fn nothing_can_be_accessed_around_shared_memory() {
        let memory = SharedMemory::new(PAGE, 2 * PAGE, PAGE).unwrap();
        let (start, end) = (memory.base().addr() - PAGE, memory.base().addr() + 3 * PAGE);
        let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
        let around: Vec<&str> = maps.lines().filter(|line| line.contains("---p")).collect();
        assert!(around.iter().any(|line| line.contains(&format!("-{start:x} "))));
        assert!(around.iter().any(|line| line.starts_with(&format!("{end:x}-"))));
    }

    #[test]
    fn the_size_of_shared_memory_is_sealed() {
        let memory = SharedMemory::new(0, 2 * PAGE, 0).unwrap();
        for len in [0, PAGE, 3 * PAGE] {
            let resized = rustix::fs::ftruncate(memory.as_fd(), len as u64);
            assert_eq!(resized, Err(rustix::io::Errno::PERM), "{len}");
        }
    }

    #[test]
    fn views_see_the_memory_and_stay_inside_it() {
        let memory = SharedMemory::new(0, 3 * PAGE, 2 * PAGE).unwrap();
        // SAFETY: inside the mapping.
        unsafe { memory.base().add(PAGE).write(42) };
        let view = memory.view(PAGE, 4 * PAGE, false).unwrap();
        let mut byte = [0];
        view.read(0, &mut byte).unwrap();
        assert_eq!(byte, [42]);
        view.read(2 * PAGE, &mut byte).unwrap();
        assert_eq!(byte, [42], "the repetition, two pages on");
        let only_repeated = memory.view(3 * PAGE, PAGE, false).unwrap();
        only_repeated.read(0, &mut byte).unwrap();
        assert_eq!(byte, [42]);
        assert_eq!(view.read(4 * PAGE - 1, &mut [0; 2]), Err(Errno::EFAULT));
        for (offset, len) in [(0, 6 * PAGE), (8, PAGE), (0, 0), (usize::MAX, PAGE)] {
            assert_eq!(memory.view(offset, len, true).unwrap_err(), Errno::EINVAL);
        }
    }
}
