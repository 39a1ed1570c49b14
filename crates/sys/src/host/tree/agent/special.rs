//! Calls for which more is to be done than to record them: what changes signals, what
//! executes programs, what takes from the agent something that it needs.

use crate::calls::{self, EFAULT, EINVAL};
use crate::entry::Frame;
use crate::layout::{CAPTURE, Count, ENTER, EXIT, WANTED};
use crate::state::{
    arm, base, disarm, gone, leave, private, quiet, read, readable, set_who, write,
};
use crate::{capture, exec, plant, ring, signals};
use core::sync::atomic::Ordering::Relaxed;

/// What to do behind [`agent_before`].
const CALL: u32 = 0;
/// Not to make the call: its result is in the scratch memory.
const DONE: u32 = 1;
/// To have the program's own instruction make it, uncaught.
const AGAIN: u32 = 2;

/// What a program may ask `prctl` for that concerns the agent.
mod pr {
    pub const SET_SECCOMP: u64 = 22;
    pub const SET_TSC: u64 = 26;
    pub const TSC_SIGSEGV: u64 = 2;
    pub const SET_SYSCALL_USER_DISPATCH: u64 = 59;
    pub const ARCH_SET_GS: u64 = 0x1001;
    pub const ARCH_GET_GS: u64 = 0x1004;
}
/// `SECCOMP_SET_MODE_STRICT`, `SECCOMP_SET_MODE_FILTER`
const SET_MODE_STRICT: u64 = 0;
const SET_MODE_FILTER: u64 = 1;
/// `SECCOMP_MODE_STRICT` of `prctl`
const STRICT: u64 = 1;

/// Whether the reader wants something of a call.
pub fn wanted(number: u64, what: u8) -> bool {
    if number >= crate::layout::CALLS as u64 {
        return false;
    }
    // SAFETY: the table is part of the code.
    let byte = unsafe { *((base() + WANTED + number as usize) as *const u8) };
    byte & what == what
}

/// Before a call that goes the slow way.
pub extern "C" fn agent_before(frame: *mut Frame) -> u32 {
    // SAFETY: `entry` has laid it on the stack, for this function alone.
    let f = unsafe { &mut *frame };
    f.args = f.regs;
    f.slot = 0;
    let live = !gone();
    if live && f.wanted as u8 & ENTER != 0 {
        match f.wanted as u8 & CAPTURE {
            0 => ring::enter(f),
            _ => capture::enter(f),
        }
    }
    match f.number {
        calls::EXECVE | calls::EXECVEAT if live => {
            f.slot = exec::ask(f);
            CALL
        }
        calls::MUNMAP => unmap(f, live),
        calls::RT_SIGACTION => match signals::action(f) {
            Some(result) => done(f, result),
            None => CALL,
        },
        calls::RT_SIGPROCMASK => {
            signals::mask(f);
            CALL
        }
        calls::RT_SIGSUSPEND => signals::waits(f, 0),
        calls::PPOLL => signals::waits(f, 3),
        calls::EPOLL_PWAIT | calls::EPOLL_PWAIT2 => signals::waits(f, 4),
        calls::PSELECT6 => signals::waits_pair(f),
        calls::PRCTL => match f.regs[0] {
            // There is one user of it at a time.
            pr::SET_SYSCALL_USER_DISPATCH => done(f, EINVAL),
            pr::SET_SECCOMP if f.regs[1] == STRICT => strict(),
            pr::SET_SECCOMP => filtered(),
            // The agent reads the counter; such a program goes on alone.
            pr::SET_TSC if f.regs[1] == pr::TSC_SIGSEGV => {
                leave(Count::Left);
                CALL
            }
            _ => CALL,
        },
        calls::SECCOMP if f.regs[0] == SET_MODE_STRICT => strict(),
        calls::SECCOMP if f.regs[0] == SET_MODE_FILTER => filtered(),
        // gs says who a thread is: it is given back, and the program goes on alone.
        calls::ARCH_PRCTL if f.regs[0] == pr::ARCH_SET_GS => {
            leave(Count::Left);
            set_who(0);
            CALL
        }
        _ => CALL,
    }
}

/// Behind the call.
pub extern "C" fn agent_after(frame: *mut Frame, result: i64) -> i64 {
    // SAFETY: as in `agent_before`.
    let f = unsafe { &mut *frame };
    match f.number {
        calls::EXECVE | calls::EXECVEAT if f.slot != 0 => exec::failed(f.slot),
        calls::MMAP if result >= 0 => plant::mapped(f, result as u64),
        calls::RT_SIGPROCMASK if result == 0 => signals::masked(f),
        calls::RT_SIGACTION if result == 0 => signals::acted(f),
        calls::PRCTL if f.regs[0] == pr::SET_SECCOMP && result < 0 => unfiltered(),
        calls::SECCOMP if f.regs[0] == SET_MODE_FILTER && result < 0 => unfiltered(),
        // What the kernel has just written there is who the thread is.
        calls::ARCH_PRCTL if f.regs[0] == pr::ARCH_GET_GS && result == 0 && !gone() => {
            // SAFETY: the kernel has written these 8 bytes.
            unsafe { write(f.regs[1], 0) }
        }
        _ => {}
    }
    if f.wanted as u8 & EXIT != 0 && !gone() {
        ring::exit(f.number, result);
    }
    result
}

/// The result is known without a call.
fn done(f: &mut Frame, result: i64) -> u32 {
    if f.wanted as u8 & EXIT != 0 && !gone() {
        ring::exit(f.number, result);
    }
    f.scratch[0] = result as u64;
    DONE
}

/// A thread that unmaps its own stack (musl's do, at their end): nothing can be caught without
/// a stack, so this call and the exit that must follow are made by its own instructions.
fn unmap(f: &mut Frame, live: bool) -> u32 {
    let own = &raw const *f as u64;
    if own.wrapping_sub(f.regs[0]) >= f.regs[1] {
        return CALL;
    }
    if live {
        if f.wanted as u8 & EXIT != 0 {
            ring::exit(f.number, 0);
        }
        if wanted(calls::EXIT, ENTER) {
            f.number = calls::EXIT;
            f.regs = [0; 6];
            ring::enter(f);
            f.number = calls::MUNMAP;
            f.regs = f.args;
        }
    }
    disarm();
    AGAIN
}

/// The program installs a filter, which may allow none of the agent's calls, not even the
/// return from its handler: none are made from here on. Sites that are patched go on.
fn filtered() -> u32 {
    if !gone() {
        // The return from a handler may not be allowed either.
        plant::untrap();
        private().quiet.store(1, Relaxed);
        disarm();
    }
    CALL
}

/// Strict mode forbids even to read the time stamp counter.
fn strict() -> u32 {
    if !gone() {
        leave(Count::Left);
    }
    CALL
}

/// It was refused.
fn unfiltered() {
    if !gone() {
        private().quiet.store(0, Relaxed);
        arm();
    }
}

/// Reads `N` words of the program's.
pub fn words<const N: usize>(at: u64) -> Result<[u64; N], i64> {
    if !readable(at, 8 * N as u64) {
        return Err(EFAULT);
    }
    let mut words = [0; N];
    for (i, word) in words.iter_mut().enumerate() {
        // SAFETY: the kernel can read it, so that this can.
        *word = unsafe { read(at + 8 * i as u64) };
    }
    Ok(words)
}

/// Whether no call may be made for the agent's own sake.
pub fn silent() -> bool {
    quiet() || gone()
}
