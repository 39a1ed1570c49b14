//! Memory that ends where nothing can be accessed, for what Linux measures by itself.
//!
//! How many bytes of a key or a value Linux copies is a matter of the map behind an fd,
//! and any thread may close that fd and open another map under its number between a look
//! at the map's sizes and the call. So nobody looks: Linux works on a copy of the slice
//! whose last byte is the last before a guard, and answers `EFAULT` by itself where it
//! would go on. That its copies cannot jump over the guard:
//!
//! - Within one copy, bytes are touched from the first to the last, and each of them:
//!   `copy_to_user` and `copy_from_user` go upwards, in units of at most 64 bytes.
//! - Element k of a batch or of a list starts where element k-1 ended, and Linux gives up
//!   at the first that it cannot copy. The same holds for the fragments of a packet.
//!
//! So the first byte that it touches behind the slice lies in the guard's first unit, and
//! one page would do. The guard has 64 KiB, a multiple of each page size that Linux has.
//! Where Linux computes an address by a number that safe code chose (`fd_array`), the
//! length is checked instead ([`super::lengths`]).

use std::cell::RefCell;
use std::ptr::NonNull;

use rustix::mm::{MapFlags, MprotectFlags, ProtFlags, mmap_anonymous, mprotect, munmap};

use skep_abi::Errno;

/// Bytes behind a buffer that cannot be accessed.
const GUARD: usize = 64 << 10;
/// Bytes of the buffers that a thread keeps.
const KEPT: usize = 64 << 10;
/// Buffers that a thread keeps: more than the fields of one batch.
const MOST_KEPT: usize = 6;

thread_local! {
    /// Buffers of `KEPT` bytes that nobody uses now.
    static FREE: RefCell<Vec<Room>> = const { RefCell::new(Vec::new()) };
}

/// A mapping of `len` bytes that can be accessed, and a guard.
struct Room {
    start: NonNull<u8>,
    len: usize,
}

impl Room {
    fn new(len: usize) -> Result<Room, Errno> {
        let failed = |errno: rustix::io::Errno| Errno(errno.raw_os_error());
        let whole = len.checked_add(GUARD).ok_or(Errno::EFAULT)?;
        // SAFETY: a new mapping at an address of the kernel's choice touches no memory
        // that Rust knows of.
        let start = unsafe {
            mmap_anonymous(std::ptr::null_mut(), whole, ProtFlags::empty(), MapFlags::PRIVATE)
        };
        let start = NonNull::new(start.map_err(failed)?.cast::<u8>()).ok_or(Errno::ENOMEM)?;
        let room = Room { start, len };
        let access = MprotectFlags::READ | MprotectFlags::WRITE;
        // SAFETY: the mapping was made above; nobody else knows of it.
        unsafe { mprotect(start.as_ptr().cast(), len, access) }.map_err(failed)?;
        Ok(room)
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        // SAFETY: `new` mapped exactly this range and nobody else unmaps it. An error
        // would leave the range mapped, which is harmless.
        let _ = unsafe { munmap(self.start.as_ptr().cast(), self.len + GUARD) };
    }
}

/// A copy of some bytes, right before a guard.
pub(super) struct Guarded {
    /// Given back when this is dropped.
    room: Option<Room>,
    start: NonNull<u8>,
    len: usize,
}

impl Guarded {
    /// Copies `bytes`; `ENOMEM` where there is no room for them.
    pub(super) fn copy(bytes: &[u8]) -> Result<Guarded, Errno> {
        let kept = match bytes.len() {
            // Where the thread is ending, it keeps no more.
            0..=KEPT => FREE.try_with(|free| free.borrow_mut().pop()).unwrap_or(None),
            _ => None,
        };
        let room = match kept {
            Some(room) => room,
            None => Room::new(bytes.len().max(KEPT).next_multiple_of(GUARD))?,
        };
        // SAFETY: the room has at least so many bytes, and their end is its end.
        let start = unsafe { room.start.add(room.len - bytes.len()) };
        // SAFETY: nobody but this buffer's owner knows the room.
        unsafe { start.copy_from_nonoverlapping(NonNull::from(bytes).cast(), bytes.len()) };
        Ok(Guarded { room: Some(room), start, len: bytes.len() })
    }

    /// Where it is, for Linux.
    pub(super) fn address(&self) -> u64 {
        self.start.as_ptr().expose_provenance() as u64
    }

    /// What it holds.
    pub(super) fn bytes(&self) -> &[u8] {
        // SAFETY: inside of the room, which was filled; Linux writes to it only during a
        // system call, while nothing borrows it.
        unsafe { NonNull::slice_from_raw_parts(self.start, self.len).as_ref() }
    }

    /// What it holds, to be changed before Linux sees it.
    pub(super) fn bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY: as above, and `self` is borrowed alone.
        unsafe { NonNull::slice_from_raw_parts(self.start, self.len).as_mut() }
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        let Some(room) = self.room.take().filter(|room| room.len == KEPT) else { return };
        // Where the thread is ending or has enough of them, the mapping goes.
        let _ = FREE.try_with(|free| {
            let mut free = free.borrow_mut();
            if free.len() < MOST_KEPT {
                free.push(room);
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::{Guarded, KEPT};

    #[test]
    fn copies_end_at_their_guard_whatever_their_length() {
        for len in [0, 1, 8, KEPT - 1, KEPT, KEPT + 1, 3 * KEPT + 5] {
            let bytes: Vec<u8> = (0..len).map(|at| at as u8).collect();
            let copy = Guarded::copy(&bytes).unwrap();
            assert_eq!(copy.bytes(), bytes);
            let end = copy.address() + len as u64;
            assert_eq!(end % KEPT.min(4096) as u64, 0, "{len} bytes end inside of a page");
            // Linux itself says what can be accessed.
            // SAFETY: the system call checks the address, and writes nothing.
            let result = unsafe { libc::syscall(libc::SYS_access, end, 0) };
            let error = std::io::Error::last_os_error().raw_os_error();
            assert_eq!((result, error), (-1, Some(libc::EFAULT)), "{len} bytes: more can be read");
        }
    }
}
