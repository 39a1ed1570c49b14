//! A program has just been executed, and has not begun yet.

use core::sync::atomic::Ordering::Relaxed;

use crate::birth::{free_ring, share};
use crate::calls::{self, call, call6};
use crate::layout::{
    BLOCKED, CONTROL, CONTROL_LEN, Count, EXIT, LEFT, PRIVATE, PRIVATE_LEN, RING, RINGS, Stub,
    TRAP_BLOCKED, kind, ring_offset, shared,
};
use crate::plant;
use crate::ring;
use crate::signals;
use crate::special::wanted;
use crate::state::{arm, base, count, private, set_who, word};

/// `PROT_READ | PROT_WRITE`
const RW: u64 = 3;
const MAP_SHARED: u64 = 1;
/// `MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED`
const OWN: u64 = 2 | 0x20 | 0x10;
const MAP_FIXED: u64 = 0x10;
/// `O_RDWR | O_CLOEXEC`
const OPEN: u64 = 2 | 0x8_0000;
/// `PR_GET_NAME`
const GET_NAME: u64 = 16;
const SIGSYS_BIT: u64 = 1 << 30;
const SIGTRAP_BIT: u64 = 1 << 4;

/// The stub in the vDSO page calls it. Whatever fails, the program begins untraced.
pub extern "C" fn agent_start_up(stub: *const Stub) {
    // SAFETY: the stub passes what lies behind it.
    let stub = unsafe { &*stub };
    let path = &raw const stub.shared_path as u64;
    // SAFETY: the path ends with a zero.
    let file = unsafe { call(calls::OPEN, path, OPEN, 0, 0) };
    if file < 0 {
        return;
    }
    let ready = map(file as u64, stub.shared_inode);
    // SAFETY: it was opened above, and is not needed any more.
    unsafe { call(calls::CLOSE, file as u64, 0, 0, 0) };
    if ready && word(shared::ALIVE).load(Relaxed) & LEFT == 0 {
        plant::begin(stub);
        begin(stub.number);
    }
}

/// Maps what is not code: the process's own state, the shared page, a ring.
fn map(file: u64, inode: u64) -> bool {
    let mut stat = [0u64; 18];
    let (private_at, control) = ((base() + PRIVATE) as u64, (base() + CONTROL) as u64);
    // SAFETY: the range behind the code was reserved with it; nothing of the program's is
    // mapped over.
    unsafe {
        if call(calls::FSTAT, file, &raw mut stat as u64, 0, 0) != 0 || stat[1] != inode {
            return false;
        }
        let own = [private_at, PRIVATE_LEN as u64, RW, OWN, !0, 0];
        let page = [control, CONTROL_LEN as u64, RW, MAP_SHARED | MAP_FIXED, file, 0];
        if call6(calls::MMAP, own) < 0 || call6(calls::MMAP, page) < 0 {
            return false;
        }
        let pid = call(calls::GETPID, 0, 0, 0, 0);
        let slot = free_ring(pid as u32).unwrap_or_else(|| {
            let slot = pid as usize % RINGS;
            share(slot);
            slot
        });
        let ring = [0, RING as u64, RW, MAP_SHARED, file, ring_offset(slot) as u64];
        let at = call6(calls::MMAP, ring);
        if at < 0 {
            return false;
        }
        private().ring.store(at as u64, Relaxed);
        private().slot.store(slot as u32, Relaxed);
        pid != 1
    }
}

/// From here on its calls are caught.
fn begin(number: u64) {
    let trapped = private().trapped.load(Relaxed) != 0;
    let mask = SIGSYS_BIT | if trapped { SIGTRAP_BIT } else { 0 };
    let (mut blocked, mut name) = (0u64, [0u64; 2]);
    let [sigsys, sigtrap] = signals::install();
    for (word, old) in private().sigsys.iter().zip(sigsys) {
        word.store(old, Relaxed);
    }
    for (word, old) in private().sigtrap.iter().zip(sigtrap) {
        word.store(old, Relaxed);
    }
    // SAFETY: all that is pointed to lies on the stack.
    let (uid, gid, parent) = unsafe {
        call(calls::RT_SIGPROCMASK, 1, &raw const mask as u64, &raw mut blocked as u64, 8);
        call(calls::PRCTL, GET_NAME, &raw mut name as u64, 0, 0);
        let ask = |id| call(id, 0, 0, 0, 0) as u64;
        (ask(calls::GETUID), ask(calls::GETGID), ask(calls::GETPPID))
    };
    let thinks = |bit: u64, blocks: u64| if blocked & bit != 0 { blocks } else { 0 };
    let traps = if trapped { thinks(SIGTRAP_BIT, TRAP_BLOCKED) } else { 0 };
    set_who(thinks(SIGSYS_BIT, BLOCKED) | traps);
    if !arm() {
        return;
    }
    count(Count::Begun);
    let number = if number == 0 { calls::EXECVE } else { number };
    ring::life(kind::EXEC, number, [name[0], name[1], uid, gid, parent]);
    if wanted(number, EXIT) {
        ring::exit(number, 0);
    }
}
