//! Memory for machine code: written once, then executable and never writable again,
//! between two pages that nothing can touch; given back with its owner. Machines whose
//! processors fetch instructions past what was stored (aarch64, riscv64) are told to look
//! again, all of their cores, before anybody can enter it.

use std::ffi::c_void;
use std::io;

use jit_icache_coherence::{clear_cache, pipeline_flush_mt};
use rustix::mm::{MapFlags, MprotectFlags, ProtFlags, mmap_anonymous, mprotect, munmap};

/// Machine code of one program.
pub struct CodeMemory {
    start: *mut c_void,
    mapped: usize,
    page: usize,
    /// Bytes of the first page that are left out.
    lead: usize,
    len: usize,
}

// SAFETY: the memory is owned, and nobody writes to it after `new`.
unsafe impl Send for CodeMemory {}
// SAFETY: as above.
unsafe impl Sync for CodeMemory {}

impl CodeMemory {
    /// A copy of `code`, executable, `lead` bytes behind the start of a page.
    ///
    /// # Errors
    /// The system has no memory, or does not let it be executed.
    pub fn new(code: &[u8], lead: usize) -> io::Result<CodeMemory> {
        let page = rustix::param::page_size();
        let inner = (lead + code.len()).next_multiple_of(page);
        let mapped = inner + 2 * page;
        // SAFETY: a new mapping; nothing else lies there.
        let start = unsafe {
            mmap_anonymous(std::ptr::null_mut(), mapped, ProtFlags::empty(), MapFlags::PRIVATE)?
        };
        let memory = CodeMemory { start, mapped, page, lead, len: code.len() };
        let inside = memory.entry().cast_mut();
        // SAFETY: `entry` lies `lead` bytes behind the start of the page.
        let first = unsafe { inside.sub(lead) };
        // SAFETY: `inner` bytes from `first` on are this mapping's own, and nobody
        // else knows of them yet.
        unsafe {
            mprotect(first.cast(), inner, MprotectFlags::READ | MprotectFlags::WRITE)?;
            std::ptr::copy_nonoverlapping(code.as_ptr(), inside, code.len());
            mprotect(first.cast(), inner, MprotectFlags::READ | MprotectFlags::EXEC)?;
        }
        // SAFETY: the code that was just written; nobody runs it yet.
        unsafe { clear_cache(inside.cast(), code.len()) }.map_err(io::Error::other)?;
        pipeline_flush_mt().map_err(io::Error::other)?;
        Ok(memory)
    }

    /// The first byte, where the entry is.
    pub fn entry(&self) -> *const u8 {
        // SAFETY: the page before the code is part of the mapping, and so is the lead.
        unsafe { self.start.cast::<u8>().add(self.page + self.lead) }
    }

    /// The code.
    pub fn bytes(&self) -> &[u8] {
        // SAFETY: mapped, readable and never written as long as `self` lives.
        unsafe { std::slice::from_raw_parts(self.entry(), self.len) }
    }
}

impl Drop for CodeMemory {
    fn drop(&mut self) {
        // SAFETY: the mapping that `new` made; nobody runs in it, since running borrows
        // its owner.
        let unmapped = unsafe { munmap(self.start, self.mapped) };
        debug_assert!(unmapped.is_ok());
    }
}
