//! SIGSYS: the agent's handler, and how it is kept from being blocked, ignored or taken; so is
//! SIGTRAP where functions have breakpoints.

use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::calls::{self, call};
use crate::entry::{FAST_DEPTH, FAST_SITE, Frame, SLOW_DEPTH, address};
use crate::layout::{BLOCKED, Count, ENTER, EXIT, TRAP_BLOCKED};
use crate::patch;
use crate::plant;
use crate::ring;
use crate::special::{wanted, words};
use crate::state::{count, disarm, gone, private, quiet, set_who, who, write};

const SIGSYS: u64 = 31;
/// Its bit in masks.
const BIT: u64 = 1 << (SIGSYS - 1);
const SIGTRAP: u64 = 5;
const TRAP_BIT: u64 = 1 << (SIGTRAP - 1);
/// libc's own signals, by which threads are cancelled.
const CANCELS: core::ops::RangeInclusive<u64> = 32..=33;
/// `SA_SIGINFO | SA_RESTORER | SA_ONSTACK | SA_NODEFER`
const FLAGS: u64 = 4 | 0x0400_0000 | 0x0800_0000 | 0x4000_0000;
/// `SYS_USER_DISPATCH` of `si_code`
const DISPATCHED: i32 = 2;
/// `AUDIT_ARCH_X86_64`
const X86_64: u32 = 0xc000_003e;

/// Registers of `struct ucontext`, as words from its beginning.
mod uc {
    pub const R8: usize = 5;
    pub const RDI: usize = R8 + 8;
    pub const RSI: usize = R8 + 9;
    pub const RBX: usize = R8 + 11;
    pub const RDX: usize = R8 + 12;
    pub const RAX: usize = R8 + 13;
    pub const RCX: usize = R8 + 14;
    pub const RSP: usize = R8 + 15;
    pub const RIP: usize = R8 + 16;
    pub const R9: usize = R8 + 1;
    pub const R10: usize = R8 + 2;
    /// `uc_sigmask`
    pub const MASK: usize = 37;
    /// From the mask's beginning; in bytes.
    pub const RAX_BYTES: u64 = 8 * RAX as u64;
}

/// Bits of masks that are the agent's.
fn bits() -> u64 {
    match private().trapped.load(Relaxed) {
        0 => BIT,
        _ => BIT | TRAP_BIT,
    }
}

/// What the program thinks that a signal of the agent's does.
fn known(signal: u64) -> Option<&'static [AtomicU64; 4]> {
    match signal {
        SIGSYS => Some(&private().sigsys),
        SIGTRAP if private().trapped.load(Relaxed) != 0 => Some(&private().sigtrap),
        _ => None,
    }
}

/// Makes the handlers the agent's; gives what was there.
pub fn install() -> [[u64; 4]; 2] {
    let set = |signal: u64, handler: u64| {
        let action = [handler, FLAGS, address!("agent_restorer"), !0];
        let mut old = [0u64; 4];
        // SAFETY: both lie on the stack.
        unsafe {
            call(calls::RT_SIGACTION, signal, &raw const action as u64, &raw mut old as u64, 8);
        }
        old
    };
    let sigsys = set(SIGSYS, address!("agent_on_sigsys"));
    match private().trapped.load(Relaxed) {
        0 => [sigsys, [0; 4]],
        _ => [sigsys, set(SIGTRAP, address!("agent_on_sigtrap"))],
    }
}

/// SIGTRAP, with all signals blocked: a function's breakpoint goes on at its thunk.
///
/// # Safety
/// The kernel calls it, with a signal's frame.
#[unsafe(no_mangle)]
unsafe extern "C" fn agent_on_sigtrap(signal: i32, info: *const u8, context: *mut u64) {
    // SAFETY: as in `agent_on_sigsys`.
    unsafe {
        let (rip, code) = (context.add(uc::RIP), info.add(8).cast::<i32>().read());
        match plant::thunk_of(rip.read().wrapping_sub(1)) {
            Some(thunk) if code > 0 => rip.write(thunk),
            _ => own(signal, info, context),
        }
    }
}

/// SIGSYS, with all signals blocked.
///
/// The call itself is not made here, but by `agent_entry` after the return: on the program's
/// stack, with its mask, so that what interrupts it, jumps out of it or calls again from a
/// handler finds all as it would be.
///
/// # Safety
/// The kernel calls it, with a signal's frame.
#[unsafe(no_mangle)]
unsafe extern "C" fn agent_on_sigsys(signal: i32, info: *const u8, context: *mut u64) {
    // SAFETY: a siginfo is 128 bytes, a ucontext has all registers.
    unsafe {
        if info.add(8).cast::<i32>().read() != DISPATCHED {
            return own(signal, info, context);
        }
        let rip = context.add(uc::RIP);
        let site = rip.read();
        if gone() {
            // The thread is as it was; its own instruction makes the call.
            plant::untrap();
            disarm();
            rip.write(site - 2);
            return;
        }
        count(Count::Caught);
        if info.add(28).cast::<u32>().read() != X86_64 {
            // `int 0x80`: no register may change.
            count(Count::Odd);
            let rsp = context.add(uc::RSP);
            rsp.write(rsp.read() - 136);
            write(rsp.read(), site);
            rip.write(address!("agent_gate32"));
            return;
        }
        patch::caught(site, context.add(uc::RAX).read());
        context.add(uc::RCX).write(site);
        rip.write(address!("agent_entry"));
    }
}

/// A SIGSYS that was sent, or that the program's own filter raised; a SIGTRAP that is none of
/// the agent's: for its own handler.
///
/// # Safety
/// As above.
unsafe fn own(signal: i32, info: *const u8, context: *mut u64) {
    let number = signal as u64;
    let Some(known) = known(number) else {
        return;
    };
    let (handler, flags, mask) =
        (known[0].load(Relaxed), known[1].load(Relaxed), known[3].load(Relaxed));
    // SAFETY: a siginfo is 128 bytes.
    let forced = number == SIGTRAP && unsafe { info.add(8).cast::<i32>().read() } > 0;
    match handler {
        // SIG_DFL: as the signal would have it. One that an instruction raised cannot be ignored.
        _ if handler == 0 || handler == 1 && forced => {
            let default = [0u64, 0x0400_0000, address!("agent_restorer"), 0];
            // SAFETY: the action lies on the stack.
            unsafe {
                disarm();
                call(calls::RT_SIGACTION, number, &raw const default as u64, 0, 8);
                let pid = call(calls::GETPID, 0, 0, 0, 0) as u64;
                let tid = call(calls::GETTID, 0, 0, 0, 0) as u64;
                call(calls::TGKILL, pid, tid, number, 0);
            }
        }
        1 => {}
        _ => {
            if flags & 0x8000_0000 != 0 {
                // SA_RESETHAND
                known[0].store(0, Relaxed);
            }
            // SAFETY: the program gave this function for this signal; it may make calls, which
            // have to raise SIGSYS, so the mask is the one it asked for.
            unsafe {
                let mask = (context.add(uc::MASK).read() | mask) & !bits();
                if !quiet() {
                    call(calls::RT_SIGPROCMASK, 2, &raw const mask as u64, 0, 8);
                }
                let handler: extern "C" fn(i32, *const u8, *mut u64) =
                    core::mem::transmute(handler as usize);
                handler(signal, info, context);
            }
        }
    }
}

/// `rt_sigaction`. Gives the result where the call is not to be made.
pub fn action(f: &mut Frame) -> Option<i64> {
    let [signal, new, old, size, ..] = f.regs;
    if size != 8 {
        return None;
    }
    let given = match new {
        0 => None,
        _ => match words::<4>(new) {
            Ok(words) => Some(words),
            // Let the kernel say so.
            Err(_) => return None,
        },
    };
    if let Some(known) = known(signal) {
        if old != 0 {
            // SAFETY: has the kernel write there, or refuse to.
            let result = unsafe { call(calls::RT_SIGACTION, signal, 0, old, 8) };
            if result < 0 {
                return Some(result);
            }
            for i in 0..4 {
                // SAFETY: the kernel has just written these 32 bytes.
                unsafe { write(old + 8 * i as u64, known[i].load(Relaxed)) };
            }
        }
        for (i, word) in given.iter().flatten().enumerate() {
            known[i & 3].store(*word, Relaxed);
        }
        return Some(0);
    }
    if let Some([mut handler, flags, restorer, mask]) = given {
        if CANCELS.contains(&signal) && handler > 1 {
            f.slot = private().cancel[signal as usize & 1].swap(handler, Relaxed);
            handler = address!("agent_on_cancel");
        }
        f.scratch = [handler, flags, restorer, mask & !bits()];
        f.args[1] = &raw const f.scratch as u64;
    } else if CANCELS.contains(&signal) {
        f.slot = private().cancel[signal as usize & 1].load(Relaxed);
    }
    None
}

/// Behind it: the program sees its own handler.
pub fn acted(f: &Frame) {
    let [signal, _, old, ..] = f.regs;
    if CANCELS.contains(&signal) && old != 0 {
        // SAFETY: the kernel has just written 32 bytes there.
        unsafe {
            if crate::state::read(old) == address!("agent_on_cancel") {
                write(old, f.slot);
            }
        }
    }
}

/// `rt_sigprocmask`: SIGSYS is never blocked, and looks so if the program thinks so.
pub fn mask(f: &mut Frame) {
    let [_, set, _, size, ..] = f.regs;
    f.scratch[1] = 0;
    if set == 0 || size != 8 {
        return;
    }
    if let Ok([mask]) = words::<1>(set) {
        f.scratch[0] = mask & !bits();
        f.scratch[1] = mask & bits();
        f.args[1] = &raw const f.scratch as u64;
    }
}

/// Behind it.
pub fn masked(f: &Frame) {
    let [how, set, old, ..] = f.regs;
    for (bit, flag) in [(BIT, BLOCKED), (TRAP_BIT, TRAP_BLOCKED)] {
        if bits() & bit == 0 {
            continue;
        }
        let before = who() & flag != 0;
        if before && old != 0 {
            // SAFETY: the kernel has just written 8 bytes there.
            unsafe { write(old, crate::state::read(old) | bit) };
        }
        let named = f.scratch[1] & bit != 0;
        let after = match how {
            _ if set == 0 => before,
            0 => before || named,
            1 => before && !named,
            _ => named,
        };
        if before != after {
            set_who(who() ^ flag);
        }
    }
}

/// A call that waits with a mask, to which an argument points.
pub fn waits(f: &mut Frame, argument: usize) -> u32 {
    let at = f.regs[argument % 6];
    if at != 0
        && let Ok([mask]) = words::<1>(at)
    {
        f.scratch[0] = mask & !bits();
        f.args[argument % 6] = &raw const f.scratch as u64;
    }
    0
}

/// `pselect6`, whose last argument points to a pointer and a size.
pub fn waits_pair(f: &mut Frame) -> u32 {
    if f.regs[5] != 0
        && let Ok([at, size]) = words::<2>(f.regs[5])
        && at != 0
        && let Ok([mask]) = words::<1>(at)
    {
        let scratch = &raw const f.scratch as u64;
        f.scratch = [mask & !bits(), scratch, size, 0];
        f.args[5] = scratch + 8;
    }
    0
}

/// `rt_sigreturn`, which gives back the registers that lie on the program's stack; rax is
/// what it seems to result in.
pub extern "C" fn agent_sigreturn(frame: *mut Frame) {
    // SAFETY: `entry` has laid it on the stack.
    let f = unsafe { &*frame };
    if gone() {
        return;
    }
    if wanted(f.number, ENTER) {
        ring::enter(f);
    }
    if wanted(f.number, EXIT) {
        let context = frame as u64 + SLOW_DEPTH as u64;
        // SAFETY: the kernel reads the frame from there next, or ends the program.
        ring::exit(f.number, unsafe { crate::state::read(context + uc::RAX_BYTES) } as i64);
    }
}

/// Signals 32 and 33: libc cancels a thread by where its handler finds it (musl), or by
/// unwinding from there (glibc). A thread in a call is shown at the program's own place. It
/// goes on there: the call that was not made yet is made by its own instruction, which counts
/// as another, as a restarted one does in Linux. Gives the program's handler.
pub extern "C" fn agent_cancelled(signal: u64, _: *const u8, context: *mut u64) -> u64 {
    // SAFETY: the kernel's frame; the stack that is read is `entry`'s at these instructions.
    unsafe {
        let reg = |i: usize| context.add(i);
        let (ip, sp) = (reg(uc::RIP).read(), reg(uc::RSP).read());
        let fast = ip.wrapping_sub(address!("agent_call"));
        let slow = ip.wrapping_sub(address!("agent_slow_call"));
        let made = fast == 2 || slow == 2;
        let place = match (fast, slow) {
            (0 | 2, _) => Some((sp + FAST_SITE as u64, sp + FAST_DEPTH as u64, sp + 8)),
            (_, 0 | 2) => {
                let f = &*(sp as *const Frame);
                let to = [uc::RDI, uc::RSI, uc::RDX, uc::R10, uc::R8, uc::R9];
                for (register, value) in to.iter().zip(f.regs) {
                    reg(*register).write(value);
                }
                reg(uc::RBX).write(f.rbx);
                let number = &raw const f.number as u64;
                Some((&raw const f.site as u64, sp + SLOW_DEPTH as u64, number))
            }
            _ => None,
        };
        if let Some((site, stack, number)) = place {
            let (site, number) = (crate::state::read(site), crate::state::read(number));
            reg(uc::RSP).write(stack);
            reg(uc::RIP).write(if made { site } else { site - 2 });
            if wanted(number, EXIT) && !gone() {
                /// `ERESTARTNOINTR`: as the kernel's own exit event has it.
                const AGAIN: i64 = -513;
                let result = if made { reg(uc::RAX).read() as i64 } else { AGAIN };
                ring::exit(number, result);
            }
        }
        private().cancel[signal as usize & 1].load(Relaxed)
    }
}
