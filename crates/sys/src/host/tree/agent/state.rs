//! The process's own state, the shared page, and who a thread is.

use core::arch::asm;
use core::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering::Relaxed};

use crate::calls::{self, call};
use crate::layout::{BLOCKED, CODE, CONTROL, Count, LEFT, PID_BITS, PRIVATE, TRAP_BLOCKED, shared};

/// Sites of clone, fork and vfork that one program may have.
pub const SITES: usize = 256;
/// Sites that are counted at once.
pub const SEEN: usize = 512;
/// Areas of thunks.
pub const AREAS: usize = 16;

/// An area of thunks near code that was patched.
#[repr(C)]
pub struct Area {
    pub at: AtomicU64,
    /// Thunks in use, of each form.
    pub used: [AtomicU8; 8],
}

/// Copies of files in memory whose functions are probed.
pub const INSTANCES: usize = 64;

/// One of them.
#[repr(C)]
pub struct Instance {
    /// Its thunks; 0: nobody's.
    pub area: AtomicU64,
    /// What is to be added to addresses of the file.
    pub bias: AtomicU64,
    /// From the first place that is probed up to behind the last.
    pub start: AtomicU64,
    pub end: AtomicU64,
    /// Which of the files.
    pub module: AtomicU64,
}

/// State of the process: copied at fork, shared with what shares its memory.
#[repr(C)]
pub struct Private {
    /// Where the ring is mapped.
    pub ring: AtomicU64,
    /// Not 0: calls pass and nothing is recorded.
    pub off: AtomicU32,
    /// Not 0: the program has a filter of its own; the agent makes no calls of its own.
    pub quiet: AtomicU32,
    /// Not 0: there have been threads.
    pub threads: AtomicU32,
    /// Held while a site is patched.
    pub lock: AtomicU32,
    /// The reader's position at which this process gave up waiting for it, and one.
    pub stalled: AtomicU64,
    /// Which ring it is.
    pub slot: AtomicU32,
    /// What the program thinks SIGSYS does: handler, flags, restorer, mask.
    pub sigsys: [AtomicU64; 4],
    /// Not 0: SIGTRAP is the agent's.
    pub trapped: AtomicU32,
    /// Held while functions are changed.
    pub planting: AtomicU32,
    /// The same of SIGTRAP.
    pub sigtrap: [AtomicU64; 4],
    /// Where [`Probes`](crate::layout::Probes) are mapped; 0: there are none.
    pub probes: AtomicU64,
    /// The table of open calls whose returns are wanted; 0: there is none.
    pub returns: AtomicU64,
    pub instances: [Instance; INSTANCES],
    /// libc's handlers of signals 32 and 33.
    pub cancel: [AtomicU64; 2],
    /// Sites of clone: the instruction behind, and the number in bits 48 to 61; bit 62 says
    /// that memory is shared.
    pub sites: [AtomicU64; SITES],
    pub areas: [Area; AREAS],
    /// How often sites were caught: which one in bits 8 on, how often below; by a hash.
    pub seen: [AtomicU32; SEEN],
}
const _: () = assert!(size_of::<Private>() <= crate::layout::PRIVATE_LEN);

/// Where the agent is mapped.
#[inline(always)]
pub fn base() -> usize {
    let base;
    // SAFETY: takes an address.
    unsafe {
        asm!("lea {}, [rip + agent_start]", out(reg) base, options(nomem, nostack, pure, preserves_flags));
    }
    base
}

/// The process's own state.
#[inline(always)]
pub fn private() -> &'static Private {
    // SAFETY: it is mapped there for as long as this code is; all zeros is a state, and all
    // of it is atomic.
    unsafe { &*((base() + PRIVATE) as *const Private) }
}

/// A u32 of the shared page.
#[inline(always)]
pub fn word(offset: usize) -> &'static AtomicU32 {
    // SAFETY: `layout` asserts that its offsets lie within the page; as above.
    unsafe { &*((base() + CONTROL + offset) as *const AtomicU32) }
}

/// Counts.
#[inline(always)]
pub fn count(what: Count) {
    let at = base() + CONTROL + shared::COUNTS + 8 * what as usize;
    // SAFETY: as in `word`.
    unsafe { &*(at as *const AtomicU64) }.fetch_add(1, Relaxed);
}

/// Whether nobody reads any more, or this process is not traced.
#[inline(always)]
pub fn gone() -> bool {
    word(shared::ALIVE).load(Relaxed) & LEFT != 0 || private().off.load(Relaxed) != 0
}

/// Whether the agent may not make calls of its own.
#[inline(always)]
pub fn quiet() -> bool {
    private().quiet.load(Relaxed) != 0
}

/// The base of gs: who the thread is. Programs do not use it (x86-64's thread pointer is fs);
/// one that asks for it by a system call leaves (`special`).
#[inline(always)]
pub fn who() -> u64 {
    let who;
    // SAFETY: reads a register; the reader has checked that the CPU and Linux allow it.
    unsafe { asm!("rdgsbase {}", out(reg) who, options(nomem, nostack, preserves_flags)) };
    who
}

/// Sets it.
#[inline(always)]
pub fn set_who(who: u64) {
    // SAFETY: nothing of the agent lies behind gs; bits from 47 on are 0 as an address needs.
    unsafe {
        asm!("wrgsbase {}", in(reg) who & ((1 << 47) - 1), options(nomem, nostack, preserves_flags));
    }
}

/// The process, as it said itself.
pub fn own_pid() -> u64 {
    who() >> PID_BITS & ((1 << PID_BITS) - 1)
}

/// `PR_SET_SYSCALL_USER_DISPATCH`
const DISPATCH: u64 = 59;

/// Has the calling thread's system calls caught. Gives whether they are.
pub fn arm() -> bool {
    // SAFETY: takes numbers.
    let (pid, tid) =
        unsafe { (call(calls::GETPID, 0, 0, 0, 0) as u64, call(calls::GETTID, 0, 0, 0, 0) as u64) };
    set_who((who() & (BLOCKED | TRAP_BLOCKED)) | pid << PID_BITS | tid);
    // SAFETY: the range is the agent's; the handler is there.
    let armed = unsafe { call(calls::PRCTL, DISPATCH, 1, base() as u64, CODE as u64) } == 0;
    if armed {
        count(Count::Armed);
    }
    armed
}

/// Has them pass.
pub fn disarm() {
    // SAFETY: takes numbers.
    unsafe { call(calls::PRCTL, DISPATCH, 0, 0, 0) };
}

/// Takes the process out for good.
pub fn leave(why: Count) {
    crate::plant::untrap();
    private().off.store(1, Relaxed);
    count(why);
    disarm();
}

/// Whether `len` bytes at an address of the program's can be read: asked of the kernel, by a
/// call that copies 8 bytes in and then refuses what it is to do with them.
pub fn readable(at: u64, len: u64) -> bool {
    const NOTHING: u64 = 99;
    // A filter of the program's might end it for the question.
    if quiet() {
        return true;
    }
    let probe = |at: u64| {
        // SAFETY: no mask is changed by such a number.
        let answer = unsafe { call(calls::RT_SIGPROCMASK, NOTHING, at, 0, 8) };
        answer == calls::EINVAL
    };
    at != 0 && probe(at) && (len <= 8 || probe(at + len - 8))
}

/// Reads a word of the program's.
///
/// # Safety
/// It is [`readable`].
pub unsafe fn read(at: u64) -> u64 {
    // SAFETY: the caller's.
    unsafe { (at as *const u64).read_unaligned() }
}

/// Writes one.
///
/// # Safety
/// It can be written.
pub unsafe fn write(at: u64, value: u64) {
    // SAFETY: the caller's.
    unsafe { (at as *mut u64).write_unaligned(value) }
}
