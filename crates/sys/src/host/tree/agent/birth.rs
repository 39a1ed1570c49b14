//! clone, fork and vfork: children arm themselves.

use core::sync::atomic::Ordering::{AcqRel, Relaxed, Release};

use crate::calls::{self, call, call6};
use crate::entry::{Frame, address};
use crate::layout::{
    CONTROL, Count, ENTER, EXIT, PID_BITS, RING, RINGS, kind, ring_offset, shared,
};
use crate::plant;
use crate::ring;
use crate::signals;
use crate::special::{wanted, words};
use crate::state::{SITES, arm, base, count, disarm, gone, private, quiet, set_who, who, word};

const CLONE_VM: u64 = 0x100;
const CLONE_VFORK: u64 = 0x4000;
/// In the key of a site: the child shares the memory.
const SHARES: u64 = 1 << 62;
/// `MREMAP_MAYMOVE`
const MAY_MOVE: u64 = 1;

/// Before the call. Gives the copy of the instruction to use; 0: the program's own.
pub extern "C" fn agent_clone(frame: *mut Frame) -> u64 {
    // SAFETY: `entry` has laid it on the stack.
    let f = unsafe { &mut *frame };
    if !gone() && f.wanted as u8 & ENTER != 0 {
        ring::enter(f);
    }
    let flags = match f.number {
        calls::CLONE => f.regs[0],
        calls::VFORK => CLONE_VM | CLONE_VFORK,
        // The kernel will read it again; what differs then is the program's own doing.
        calls::CLONE3 => words::<1>(f.regs[0]).map_or(0, |[flags]| flags),
        _ => 0,
    };
    if flags & (CLONE_VM | CLONE_VFORK) == CLONE_VM {
        private().threads.store(1, Relaxed);
    }
    let shares = if flags & CLONE_VM != 0 { SHARES } else { 0 };
    let key = f.site | f.number << 48 | shares;
    for (i, site) in private().sites.iter().enumerate() {
        match site.compare_exchange(0, key, AcqRel, Relaxed) {
            Ok(_) => return address!("agent_clones") + 8 * i as u64,
            Err(there) if there == key => return address!("agent_clones") + 8 * i as u64,
            Err(_) => {}
        }
    }
    // Too many different ones: this thread makes the call by itself, uncaught from here on.
    count(Count::Left);
    plant::untrap();
    disarm();
    0
}

/// Behind it, in the parent and in the child.
pub extern "C" fn agent_born(frame: *mut Frame) -> i64 {
    // SAFETY: `entry` has laid it on the stack.
    let f = unsafe { &mut *frame };
    // What `entry` pushed: the result for the number, the copy for the site.
    let result = f.number as i64;
    let copy = (f.site.wrapping_sub(address!("agent_clones")) >> 3) as usize;
    let key = private().sites[copy % SITES].load(Relaxed);
    let number = key >> 48 & 0x3fff;
    f.site = key & ((1 << 48) - 1);
    if result == 0 {
        child(number, key & SHARES != 0);
    }
    if !gone() && wanted(number, EXIT) {
        ring::exit(number, result);
    }
    result
}

/// In the child: nothing of the parent's is known but what it shares, and who it was.
fn child(number: u64, shares: bool) {
    let parent = who();
    if !shares {
        private().threads.store(0, Relaxed);
        private().lock.store(0, Relaxed);
        private().planting.store(0, Relaxed);
    }
    if gone() {
        return plant::untrap();
    }
    if quiet() {
        // No call can be made to learn who this is.
        count(Count::Untraced);
        plant::untrap();
        match shares {
            true => set_who(parent & !((1 << PID_BITS) - 1)),
            false => private().off.store(1, Relaxed),
        }
        return;
    }
    // SAFETY: takes nothing.
    let pid = unsafe { call(calls::GETPID, 0, 0, 0, 0) };
    // The first of a pid namespace: its numbers are not the reader's.
    if pid == 1 {
        count(Count::Untraced);
        if !shares {
            private().off.store(1, Relaxed);
        }
        return;
    }
    if !shares {
        own_ring(pid as u32);
    }
    // `CLONE_CLEAR_SIGHAND` takes it away.
    signals::install();
    arm();
    ring::life(kind::BORN, number, [parent, shares.into(), 0, 0, 0]);
}

/// Takes a ring of its own; where there is none, or no room to map it, the parent's stays.
fn own_ring(pid: u32) {
    let Some(slot) = free_ring(pid) else {
        return share(private().slot.load(Relaxed) as usize);
    };
    let control = (base() + CONTROL) as u64;
    let skipped = ring_offset(slot) as u64;
    // The shared page is the beginning of the file: of it a mapping of any length can be
    // made without the file (a length of 0 duplicates a shared mapping).
    // SAFETY: at an address of the kernel's choice.
    let at = unsafe { call6(calls::MREMAP, [control, 0, skipped + RING as u64, MAY_MOVE, 0, 0]) };
    if at < 0 {
        word(shared::OWNERS + 8 * slot).store(0, Release);
        return share(private().slot.load(Relaxed) as usize);
    }
    let old = private().ring.swap(at as u64 + skipped, Release);
    private().slot.store(slot as u32, Relaxed);
    private().stalled.store(0, Relaxed);
    // SAFETY: what lies before the ring is used by nobody, and the old ring no more: this
    // process has one thread.
    unsafe {
        call(calls::MUNMAP, at as u64, skipped, 0, 0);
        call(calls::MUNMAP, old, RING as u64, 0, 0);
    }
}

/// Claims a ring, by its number: the one that the process had before an exec, or one that is
/// free.
pub fn free_ring(pid: u32) -> Option<usize> {
    let owner = |slot: usize| word(shared::OWNERS + 8 * slot);
    if let Some(own) = (0..RINGS).find(|&slot| owner(slot).load(Relaxed) == pid) {
        return Some(own);
    }
    (0..RINGS).find(|&slot| owner(slot).compare_exchange(0, pid, AcqRel, Relaxed).is_ok())
}

/// Says that the ring of another is used, so that it is not given away.
pub fn share(slot: usize) {
    word(shared::OWNERS + 8 * (slot % RINGS) + 4).fetch_add(1, AcqRel);
    count(Count::Sharing);
}
