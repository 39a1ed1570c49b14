//! Sites that are caught again and again become jumps.
//!
//! The system call instruction itself is never touched, so that calls in flight return as they
//! would have, and who jumps right to it is caught as before. What becomes a jump is the one
//! instruction before it, where that is known: 5 bytes or more hold a jump to a thunk; 2 or 3
//! bytes a short one to padding near by, which holds the long one. A program with threads is
//! changed by one aligned store of 8 bytes, or with all its threads' CPUs brought up to date
//! between the steps (`membarrier`): at each instant what lies there is one of both.
//!
//! A pattern could also be the tail of a longer instruction. Those that are taken name the
//! number that the call was made with, which such a tail would not set; the others are whole
//! functions.

use core::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use core::sync::atomic::{AtomicU8, AtomicU64};

use crate::calls::{self, call, call6};
use crate::entry::address;
use crate::layout::{Count, THUNKS};
use crate::state::{AREAS, Area, SEEN, base, count, private, quiet};

/// How many thunks of each form a page has.
pub const THUNKS_OF: [usize; 4] = [80, 16, 8, 24];
/// Bytes of a thunk, and of its data a page behind.
const THUNK: usize = 32;
const PAGE: u64 = 4096;
/// A patch costs as much as some catches.
const PATIENCE: u32 = 3;

/// Which instruction the jump covers.
#[derive(Clone, Copy)]
struct Covered {
    form: usize,
    len: u64,
}

/// `struct procmap_query`
#[repr(C)]
#[derive(Default)]
pub struct Query {
    size: u64,
    flags: u64,
    address: u64,
    start: u64,
    end: u64,
    vma_flags: u64,
    page_size: u64,
    offset: u64,
    pub inode: u64,
    pub device: [u32; 2],
    name_size: u32,
    id_size: u32,
    name: u64,
    id: u64,
}
/// `PROCMAP_QUERY`, Linux 6.11
const PROCMAP_QUERY: u64 = 0xc068_6611;
/// `PROCMAP_QUERY_VMA_READABLE | _EXECUTABLE`, of those and writable and shared.
const READ_EXECUTE: u64 = 1 | 4;

/// A site was caught; it lies before `behind`.
pub fn caught(behind: u64, number: u64) {
    let seen = &private().seen[(behind >> 1) as usize & (SEEN - 1)];
    let (was, site) = (seen.load(Relaxed), ((behind >> 1) as u32) << 8);
    // Another site at this place begins anew; each comes to its patch in the end.
    let times = if was & !0xff == site { was & 0xff } else { 0 };
    if times >= PATIENCE {
        return;
    }
    seen.store(site | (times + 1), Relaxed);
    if times + 1 < PATIENCE || quiet() {
        return;
    }
    if private().lock.swap(1, Acquire) != 0 {
        // Another thread is at it; next time.
        seen.store(site | (PATIENCE - 1), Relaxed);
        return;
    }
    let done = known(behind, number).is_some_and(|covered| patch(behind, number, covered));
    private().lock.store(0, Release);
    count(if done { Count::Patched } else { Count::Unpatched });
}

/// Reads a byte of the program's text.
///
/// # Safety
/// It lies in the page of an instruction that was just executed.
unsafe fn byte(at: u64) -> u8 {
    // SAFETY: the caller's.
    unsafe { (at as *const u8).read_volatile() }
}

/// Reads some bytes of it.
///
/// # Safety
/// As [`byte`], each.
unsafe fn bytes<const N: usize>(at: u64) -> [u8; N] {
    let mut bytes = [0; N];
    for (i, to) in bytes.iter_mut().enumerate() {
        // SAFETY: the caller's.
        *to = unsafe { byte(at + i as u64) };
    }
    bytes
}

/// The instruction before the system call, if it is one that can be moved.
fn known(behind: u64, number: u64) -> Option<Covered> {
    // All that is looked at lies in the page of the instruction, which can be read: text is
    // not mapped for execution alone where there are no protection keys in use.
    if behind & (PAGE - 1) < 40 {
        return None;
    }
    let call = behind - 2;
    let n = (number as u32).to_le_bytes();
    // SAFETY: within the page, as asked above.
    unsafe {
        if bytes(call) != [0x0f, 0x05] {
            return None;
        }
        let prefix = |at: u64| byte(at) & 0xf0 == 0x40;
        // mov $number, %eax
        if bytes(call - 5) == [0xb8, n[0], n[1], n[2], n[3]] && !prefix(call - 6) {
            return Some(Covered { form: 0, len: 5 });
        }
        // mov $number, %rax; by that one of rt_sigreturn unwinders know a signal's frame
        let long = [0x48, 0xc7, 0xc0, n[0], n[1], n[2], n[3]];
        if bytes(call - 7) == long && number != calls::RT_SIGRETURN {
            return Some(Covered { form: 0, len: 7 });
        }
        // xor %eax, %eax
        if number == 0 && bytes(call - 2) == [0x31, 0xc0] && !prefix(call - 3) {
            return Some(Covered { form: 1, len: 2 });
        }
        // The last of syscall(3): mov 8(%rsp), %r9, behind the other five moves.
        let function = [
            0x48, 0x89, 0xf8, 0x48, 0x89, 0xf7, 0x48, 0x89, 0xd6, 0x48, 0x89, 0xca, 0x4d, 0x89,
            0xc2, 0x4d, 0x89, 0xc8, 0x4c, 0x8b, 0x4c, 0x24, 0x08,
        ];
        if bytes(call - 23) == function {
            return Some(Covered { form: 2, len: 5 });
        }
        // Go's Syscall6: mov %rcx, %rsi; mov %rbx, %rdi
        if bytes(call - 6) == [0x48, 0x89, 0xce, 0x48, 0x89, 0xdf] {
            return Some(Covered { form: 3, len: 3 });
        }
    }
    None
}

/// Asks for the mapping of an address: of a file, private, not writable, with this access at
/// least (`PROCMAP_QUERY_VMA_READABLE` and so on).
pub fn mapping(at: u64, access: u64) -> Option<Query> {
    let path = *b"/proc/self/maps\0";
    let mut query = Query { size: size_of::<Query>() as u64, address: at, ..Query::default() };
    // SAFETY: what is pointed to lies on the stack; the file is closed again.
    unsafe {
        let file = call(calls::OPEN, &raw const path as u64, 0x8_0000, 0, 0);
        if file < 0 {
            return None;
        }
        let result = call(calls::IOCTL, file as u64, PROCMAP_QUERY, &raw mut query as u64, 0);
        call(calls::CLOSE, file as u64, 0, 0, 0);
        // Neither writable nor shared.
        let text = query.inode != 0 && query.vma_flags & (access | 2 | 8) == access;
        (result == 0 && text && query.start <= at && at < query.end).then_some(query)
    }
}

/// Padding where a short jump reaches: 8 bytes of one no-operation, or of int3 between
/// functions. Gives its address and length.
///
/// # Safety
/// The mapping can be read.
unsafe fn padding(site: u64, query: &Query) -> Option<(u64, u64)> {
    const NOPS: [([u8; 10], u64); 4] = [
        ([0x66, 0x2e, 0x0f, 0x1f, 0x84, 0, 0, 0, 0, 0], 10),
        ([0x0f, 0x1f, 0x84, 0, 0, 0, 0, 0, 0, 0], 8),
        ([0x0f, 0x1f, 0x80, 0, 0, 0, 0, 0, 0, 0], 7),
        ([0xcc; 10], 7),
    ];
    let first = (site - 120).max(query.start + 1);
    let last = (site + 120).min(query.end - 16);
    (first..last).find_map(|at| {
        let near = at + 16 > site && at < site + 9;
        // SAFETY: between the mapping's ends.
        let before = unsafe { byte(at - 1) };
        // A prefix would make it part of something else.
        if near || before == 0x66 || before == 0x2e || at & 7 == 7 {
            return None;
        }
        let is = |(nop, len): &&([u8; 10], u64)| {
            // SAFETY: as above.
            nop.iter().zip(0..*len).all(|(b, i)| unsafe { byte(at + i) } == *b)
        };
        NOPS.iter().find(is).map(|&(_, len)| (at, len))
    })
}

/// Makes a site a jump.
fn patch(behind: u64, number: u64, covered: Covered) -> bool {
    let site = behind - 2 - covered.len;
    let Some(query) = mapping(site, READ_EXECUTE) else {
        return false;
    };
    if site < query.start + 16 || behind + 16 > query.end {
        return false;
    }
    let threads = private().threads.load(Relaxed) != 0;
    let whole = covered.len >= 5 && (!threads || site & 7 <= 3);
    let hop = match whole {
        true => None,
        false if site & 7 == 7 => return false,
        // SAFETY: the mapping was asked for right now.
        false => match unsafe { padding(site, &query) } {
            Some(hop) => Some(hop),
            None => return false,
        },
    };
    let Some(thunk) = thunk(site, behind, number, covered.form) else {
        return false;
    };
    let low = hop.map_or(site, |(at, _)| at.min(site)) & !(PAGE - 1);
    let high = hop.map_or(site, |(at, _)| at.max(site)) + 16;
    let len = ((high - low) + PAGE - 1) & !(PAGE - 1);
    // Executable all the while where other threads may be there.
    let access = if threads { 7 } else { 3 };
    // SAFETY: the pages are those of the mapping; each store replaces the beginning of one
    // instruction, or padding that nothing executes but to come to its end.
    unsafe {
        if call(calls::MPROTECT, low, len, access, 0) != 0 {
            return false;
        }
        match hop {
            None => store(site, &jump(site, thunk), threads),
            Some((at, size)) => {
                // First over the padding, then the long jump behind, then the way there.
                store(at, &[0xeb, size as u8 - 2], threads);
                barrier(threads);
                store_bytes(at + 2, &jump(at + 2, thunk));
                barrier(threads);
                let short = (at + 2).wrapping_sub(site + 2) as u8;
                store(site, &[0xeb, short], threads);
            }
        }
        call(calls::MPROTECT, low, len, READ_EXECUTE, 0);
    }
    true
}

/// `jmp to`, at an address.
pub fn jump(at: u64, to: u64) -> [u8; 5] {
    let [a, b, c, d] = (to.wrapping_sub(at + 5) as u32).to_le_bytes();
    [0xe9, a, b, c, d]
}

/// Replaces bytes by one aligned store; with a single thread at once in any way.
///
/// # Safety
/// They can be written, and lie within 8 aligned bytes where there are threads.
unsafe fn store(at: u64, new: &[u8], threads: bool) {
    if !threads {
        // SAFETY: the caller's.
        return unsafe { store_bytes(at, new) };
    }
    let aligned = at & !7;
    // SAFETY: the caller's; instructions are read by CPUs, and by nothing else in Rust.
    let word = unsafe { &*(aligned as *const AtomicU64) };
    let mut bytes = word.load(Relaxed).to_le_bytes();
    for (i, byte) in new.iter().enumerate() {
        bytes[((at & 7) as usize + i) & 7] = *byte;
    }
    word.store(u64::from_le_bytes(bytes), Release);
}

/// Replaces bytes that nothing executes.
///
/// # Safety
/// They can be written.
pub unsafe fn store_bytes(at: u64, new: &[u8]) {
    for (i, byte) in new.iter().enumerate() {
        // SAFETY: the caller's.
        unsafe { (at as *mut u8).add(i).write_volatile(*byte) };
    }
}

/// Every CPU that runs a thread of the process has fetched what is there now.
pub fn barrier(threads: bool) {
    /// `MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED_SYNC_CORE` and the command itself
    const REGISTER: u64 = 64;
    const SYNC_CORE: u64 = 32;
    if threads {
        // SAFETY: takes numbers.
        unsafe {
            call(calls::MEMBARRIER, REGISTER, 0, 0, 0);
            call(calls::MEMBARRIER, SYNC_CORE, 0, 0, 0);
        }
    }
}

/// A thunk within reach, with its data.
fn thunk(site: u64, behind: u64, number: u64, form: usize) -> Option<u64> {
    let (area, index) = private().areas.iter().find_map(|area| room(area, site, form))?;
    let first: usize = THUNKS_OF.iter().take(form).sum();
    let thunk = area + ((first + index) * THUNK) as u64;
    let data = thunk + PAGE;
    // SAFETY: the area's second page is the process's own, and this part of it is not in use.
    unsafe {
        crate::state::write(data, behind);
        crate::state::write(data + 8, number);
        crate::state::write(data + 16, address!("agent_entry"));
    }
    Some(thunk)
}

/// Room for a thunk in an area, which is made if there is none yet. The last are for places
/// far from the others.
fn room(area: &Area, site: u64, form: usize) -> Option<(u64, usize)> {
    const REACH: u64 = 0x7f00_0000;
    let mut at = area.at.load(Acquire);
    if at == 0 {
        at = make_area(site)?;
        area.at.store(at, Release);
    }
    if at.abs_diff(site) > REACH {
        return None;
    }
    let used: &AtomicU8 = &area.used[form & 7];
    let index = used.load(Relaxed) as usize;
    if index >= THUNKS_OF[form & 3] {
        return None;
    }
    used.store(index as u8 + 1, Relaxed);
    Some((at, index))
}

/// Maps the page of thunks once more, below a site, with a page for data behind it.
fn make_area(site: u64) -> Option<u64> {
    /// `MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE`
    const NEW: u64 = 2 | 0x20 | 0x10_0000;
    /// `MREMAP_MAYMOVE | MREMAP_FIXED`
    const FIXED: u64 = 1 | 2;
    const STEP: u64 = 1 << 20;
    let top = site & !(STEP - 1);
    (1..2000u64).find_map(|k| {
        let at = top.checked_sub(k * STEP).filter(|&at| at >= 0x1_0000)?;
        // SAFETY: nothing is there, or the kernel says so; the code is a shared mapping, which
        // a length of 0 duplicates.
        unsafe {
            let new = [at, 2 * PAGE, 3, NEW, !0, 0];
            let there = call6(calls::MMAP, new);
            if there < 0 {
                return None;
            }
            if there as u64 == at {
                let thunks = (base() + THUNKS) as u64;
                let copy = call6(calls::MREMAP, [thunks, 0, PAGE, FIXED, at, 0]);
                if copy as u64 == at {
                    return Some(at);
                }
            }
            call(calls::MUNMAP, there as u64, 2 * PAGE, 0, 0);
        }
        None
    })
}

const _: () =
    assert!(AREAS > 1 && THUNKS_OF[0] + THUNKS_OF[1] + THUNKS_OF[2] + THUNKS_OF[3] == 128);
