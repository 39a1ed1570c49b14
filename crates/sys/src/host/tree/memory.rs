//! The two files of a tree: the agent's code, sealed, and what its processes share.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, ftruncate, memfd_create};
use rustix::io::Errno;
use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};

use super::layout::{
    CODE, CONTROL_LEN, Count, EXEC_SLOT, EXECS, PROBES, RING, RINGS, ROWS, Row, TOKEN, TOKEN_LEN,
    UNIT_LOG, WANTED, ring_offset, shared,
};

/// The agent, as `build.rs` has linked it.
pub(super) static AGENT: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/agent.bin"));

/// What the processes of a tree share with the reader, mapped here. Each of them can write all
/// of it at any time: it is only ever accessed by atomics, and nothing read is believed.
pub(super) struct Shared {
    at: *mut u8,
    file: OwnedFd,
}

// SAFETY: all access is by atomics, within the mapping, which lasts as long as this.
unsafe impl Send for Shared {}
// SAFETY: as above.
unsafe impl Sync for Shared {}

/// Length of the shared file.
const LEN: usize = ring_offset(RINGS);

impl Shared {
    pub fn new() -> io::Result<Shared> {
        let file = memfd_create("skep-events", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?;
        ftruncate(&file, LEN as u64)?;
        // Who can open it could cut it: reading here would end this process.
        fcntl_add_seals(&file, SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL)?;
        let access = ProtFlags::READ | ProtFlags::WRITE;
        // SAFETY: a new mapping at an address of the kernel's choice.
        let at = unsafe { mmap(std::ptr::null_mut(), LEN, access, MapFlags::SHARED, &file, 0)? };
        Ok(Shared { at: at.cast(), file })
    }

    /// A u32 of the shared page.
    pub fn word(&self, offset: usize) -> &AtomicU32 {
        assert!(offset.is_multiple_of(4) && offset < CONTROL_LEN);
        // SAFETY: within the mapping, aligned.
        unsafe { &*self.at.add(offset).cast() }
    }

    pub fn count(&self, what: Count) -> u64 {
        // SAFETY: `layout` has the counts within the page.
        let count: &AtomicU64 = unsafe { &*self.at.add(shared::COUNTS + 8 * what as usize).cast() };
        count.load(Ordering::Relaxed)
    }

    /// A word of the slot of an exec.
    pub fn exec(&self, slot: usize, field: usize) -> &AtomicU32 {
        assert!(slot < EXECS && field < EXEC_SLOT / 4);
        self.word(shared::EXEC_SLOTS + slot * EXEC_SLOT + field * 4)
    }

    /// Whose a ring is, and how many others use it.
    pub fn owner(&self, ring: usize) -> (&AtomicU32, &AtomicU32) {
        assert!(ring < RINGS);
        let at = shared::OWNERS + 8 * ring;
        (self.word(at), self.word(at + 4))
    }

    /// A u64 of a ring.
    pub fn ring(&self, ring: usize, offset: usize) -> &AtomicU64 {
        assert!(ring < RINGS && offset.is_multiple_of(8) && offset < RING);
        // SAFETY: within the mapping, aligned: rings are whole pages.
        unsafe { &*self.at.add(ring_offset(ring) + offset).cast() }
    }

    /// A word of the record at a position.
    pub fn record(&self, ring: usize, position: u64, word: usize) -> u64 {
        let unit = position as usize & (super::layout::UNITS - 1);
        let offset = 4096 + (unit << UNIT_LOG) + 8 * word;
        self.ring(ring, offset.min(RING - 8)).load(Ordering::Relaxed)
    }

    /// Waits at a word of the shared page while it is `value`.
    pub fn wait(&self, offset: usize, value: u32, most: Duration) {
        let time = libc::timespec {
            tv_sec: most.as_secs() as libc::time_t,
            tv_nsec: most.subsec_nanos().into(),
        };
        let word = self.word(offset).as_ptr();
        // SAFETY: the word is mapped, the time lies on the stack.
        unsafe { libc::syscall(libc::SYS_futex, word, libc::FUTEX_WAIT, value, &raw const time) };
    }

    /// Wakes all who wait at one.
    pub fn wake(&self, offset: usize) {
        let word = self.word(offset).as_ptr();
        // SAFETY: the word is mapped; nothing else is accessed.
        unsafe { libc::syscall(libc::SYS_futex, word, libc::FUTEX_WAKE, i32::MAX) };
    }

    /// The path by which a process that may look at this one finds the file, and its inode.
    pub fn place(&self) -> io::Result<(String, u64)> {
        place(&self.file)
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        // SAFETY: the mapping is this object's, and nothing borrows from it any more.
        unsafe { munmap(self.at.cast(), LEN).ok() };
    }
}

fn place(file: &OwnedFd) -> io::Result<(String, u64)> {
    let inode = File::from(file.try_clone()?).metadata()?.ino();
    Ok((format!("/proc/{}/fd/{}", std::process::id(), file.as_raw_fd()), inode))
}

/// The agent's code with its tables, as a file that nobody can change.
pub(super) struct Code {
    file: OwnedFd,
    pub token: [u8; TOKEN_LEN],
    /// Bytes of the probes.
    pub probes: usize,
}

impl Code {
    /// With what is known of functions, as `probes` has laid it out.
    pub fn new(wanted: &[u8], rows: &[Row], probes: &[u8]) -> io::Result<Code> {
        let mut image = AGENT.to_vec();
        image.resize(CODE, 0);
        let mut token = [0; TOKEN_LEN];
        // SAFETY: the kernel writes as many bytes as there are.
        if unsafe { libc::getrandom(token.as_mut_ptr().cast(), TOKEN_LEN, 0) } != TOKEN_LEN as isize
        {
            return Err(io::Error::last_os_error());
        }
        image[TOKEN..][..TOKEN_LEN].copy_from_slice(&token);
        image[WANTED..][..wanted.len()].copy_from_slice(wanted);
        let rows: Vec<u8> = rows.iter().flat_map(|row| row.to_le_bytes()).collect();
        image[ROWS..][..rows.len()].copy_from_slice(&rows);
        if !probes.is_empty() {
            image.resize(PROBES, 0);
            image.extend(probes);
        }
        let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
        // Kernels before 6.3 do not know the flag, and need none.
        let file = match memfd_create("skep-agent", flags | MemfdFlags::EXEC) {
            Err(Errno::INVAL) => memfd_create("skep-agent", flags)?,
            file => file?,
        };
        let mut file = File::from(file);
        file.write_all(&image)?;
        let file = OwnedFd::from(file);
        let seals = SealFlags::WRITE | SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL;
        fcntl_add_seals(&file, seals)?;
        Ok(Code { file, token, probes: probes.len() })
    }

    /// As [`Shared::place`].
    pub fn place(&self) -> io::Result<(String, u64)> {
        place(&self.file)
    }
}
