//! execve: the reader is asked to attach for as long as it takes.
//!
//! No step needs a living reader: who waits looks again and again whether it still is, and
//! for a second at most. A program that the reader does not attach to runs untraced.

use core::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};

use crate::calls::{self, call};
use crate::entry::Frame;
use crate::layout::{Count, EXEC_SLOT, EXECS, LEFT, exec as state, shared};
use crate::ring::{wait_at, wake};
use crate::special::silent;
use crate::state::{base, count, who, word};

/// `AT_FDCWD`, as an argument.
const CWD: u64 = -100i64 as u64;
/// `AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH`
const AT: u64 = 0x100 | 0x1000;
/// `AT_EMPTY_PATH`
const EMPTY: u64 = 0x1000;
/// `AT_EACCESS`
const EFFECTIVE: u64 = 0x200;
/// `X_OK`
const EXECUTE: u64 = 1;
const ENOSYS: i64 = -38;
/// Rounds of waiting, 2 ms each.
const ROUNDS: u32 = 500;

/// Offset of a slot's word.
fn slot(i: usize, field: usize) -> usize {
    shared::EXEC_SLOTS + (i % EXECS) * EXEC_SLOT + field * 4
}

/// Asks. Gives the slot and one, or 0: the program will run untraced, or not at all.
#[inline(never)]
pub fn ask(f: &Frame) -> u64 {
    if silent() {
        count(Count::Untraced);
        return 0;
    }
    let (directory, path, flags) = match f.number {
        calls::EXECVE => (CWD, f.regs[0], 0),
        _ => (f.regs[0], f.regs[1], f.regs[4] & AT),
    };
    // What is looked for along PATH is mostly not there: that needs nobody.
    // SAFETY: the kernel reads the path, or refuses to.
    let access = unsafe { call(calls::FACCESSAT2, directory, path, EXECUTE, flags | EFFECTIVE) };
    if access < 0 && access != ENOSYS {
        return 0;
    }
    if has_rights(directory, path, flags) {
        count(Count::Untraced);
        return 0;
    }
    let free = (0..EXECS).find(|&i| {
        let state = word(slot(i, 0));
        state.compare_exchange(state::FREE, state::TAKEN, AcqRel, Relaxed).is_ok()
    });
    let Some(i) = free else {
        count(Count::Unanswered);
        return 0;
    };
    let tid = who() & ((1 << crate::layout::PID_BITS) - 1);
    word(slot(i, 1)).store(tid as u32, Relaxed);
    word(slot(i, 2)).store(f.number as u32, Relaxed);
    word(slot(i, 4)).store(base() as u32, Relaxed);
    word(slot(i, 5)).store((base() >> 32) as u32, Relaxed);
    word(slot(i, 0)).store(state::ASKED, Release);
    count(Count::Asked);
    ring_doorbell();
    match wait(i) {
        state::ATTACHED => i as u64 + 1,
        _ => {
            count(Count::Unanswered);
            0
        }
    }
}

/// Waits for an answer, which is given; what has none is taken back.
fn wait(i: usize) -> u32 {
    let state = word(slot(i, 0));
    for round in 0.. {
        let now = state.load(Acquire);
        if now != state::ASKED && now != state::COMING {
            if now != state::ATTACHED {
                state.store(state::FREE, Release);
            }
            return now;
        }
        if word(shared::ALIVE).load(Acquire) & LEFT != 0 {
            return state::REFUSED;
        }
        if round >= ROUNDS {
            // One that was about to come lets go by itself when it sees this.
            let then = if now == state::ASKED { state::FREE } else { state::ABANDONED };
            if state.compare_exchange(now, then, AcqRel, Relaxed).is_ok() {
                return state::REFUSED;
            }
        }
        wait_at(slot(i, 0), now);
    }
    state::REFUSED
}

/// Whether a file gives rights of its own (set-user-id, set-group-id, capabilities), which
/// the kernel would leave out for a program with a tracer.
#[inline(never)]
fn has_rights(directory: u64, path: u64, flags: u64) -> bool {
    // `struct stat`: the mode is the u32 at 24.
    let mut stat = [0u64; 18];
    const SET_ID: u64 = 0o6000;
    let name = *b"security.capability\0";
    let name = &raw const name as u64;
    // SAFETY: the kernel reads the path, or refuses to; the rest lies on the stack.
    unsafe {
        let result = call(calls::NEWFSTATAT, directory, path, &raw mut stat as u64, flags);
        if result < 0 || stat[3] & SET_ID != 0 {
            return true;
        }
        let found = match flags & EMPTY {
            0 => call(calls::GETXATTR, path, name, 0, 0),
            _ => call(calls::FGETXATTR, directory, name, 0, 0),
        };
        found >= 0
    }
}

/// The exec has failed: the reader lets go.
pub fn failed(slot_and_one: u64) {
    let i = slot_and_one as usize - 1;
    let state = word(slot(i, 0));
    if state.compare_exchange(state::ATTACHED, state::FAILED, AcqRel, Relaxed).is_err() {
        return;
    }
    ring_doorbell();
    for _ in 0..ROUNDS {
        if state.load(Acquire) != state::FAILED || word(shared::ALIVE).load(Acquire) & LEFT != 0 {
            return;
        }
        wait_at(slot(i, 0), state::FAILED);
    }
}

fn ring_doorbell() {
    word(shared::DOORBELL).fetch_add(1, AcqRel);
    wake(shared::DOORBELL);
}
