//! Functions that are probed: their calls, and their returns.
//!
//! A call whose return is wanted gets another address to return to, and the table of returns
//! keeps the old one by where on the stack it lies: there is one such word of each call, in
//! whatever thread. What was left by a jump out of many calls is found by that its word has
//! been written over.

use core::sync::atomic::{
    AtomicU64,
    Ordering::{AcqRel, Acquire, Relaxed, Release},
};

use crate::calls::{self, EFAULT, call, call6};
use crate::capture::Items;
use crate::entry::address;
use crate::layout::{
    BEHIND, Count, FUNCTION_ITEMS, LIFE_UNITS, REGISTER_UNITS, RESULT_ITEM, STACK, STACK_ITEM,
    UNIT_LOG, kind, probe,
};
use crate::ring;
use crate::state::{count, gone, private, quiet, read, write};

/// What `entry` lays on the stack: registers as `struct pt_regs` has them, and flags.
#[repr(C)]
pub struct Registers {
    general: [u64; 15],
    flags: u64,
}
const RSI: usize = 13;
const RDI: usize = 14;
const RDX: usize = 12;
const RCX: usize = 11;
const RAX: usize = 10;
const R8: usize = 9;
const R9: usize = 8;
const RBP: usize = 4;
/// Arguments, in their order.
const ARGUMENTS: [usize; 6] = [RDI, RSI, RDX, RCX, R8, R9];

/// From the registers to the program's stack pointer at a call: the thunk, the function, the
/// red zone.
const CALLED: u64 = size_of::<Registers>() as u64 + 16 + 128;
/// The same at a return.
const RETURNED: u64 = size_of::<Registers>() as u64 + 8;
/// From where a thunk goes on back to the address of its function.
const SITE: u64 = 24;
const PAGE: u64 = 4096;

/// A call whose return is wanted.
#[repr(C)]
pub struct Open {
    /// Where its return address lies; 0: nobody's; [`BUSY`] until it does.
    slot: AtomicU64,
    /// Where it returns to.
    to: AtomicU64,
    /// The function's address.
    site: AtomicU64,
    /// Which it is, and in the upper half how many others return by this word before it.
    which: AtomicU64,
}
const BUSY: u64 = 1 << 63;
/// Calls that have one hash.
const BUCKET: usize = 16;
const BUCKETS: usize = 1024;
/// Length of the table.
pub const TABLE: u64 = (BUCKETS * BUCKET * size_of::<Open>()) as u64;

/// A call, from its thunk.
pub extern "C" fn agent_called(registers: *const Registers) {
    if gone() {
        return;
    }
    let sp = registers as u64 + CALLED;
    // SAFETY: `entry` has laid it on the stack; the thunk has an address in front of it.
    let (registers, site, which) = unsafe {
        let behind = registers.add(1).cast::<u64>();
        (&*registers, read(behind.read() - SITE), behind.add(1).read() as u32)
    };
    // SAFETY: the page is that of what was just pushed.
    let word = if sp & (PAGE - 1) == 0 { 0 } else { unsafe { read(sp) } };
    if which & probe::ENTRY != 0 {
        record(registers, which, u64::from(which), [site, sp, word]);
    }
    if which & probe::RETURN != 0 && word != 0 && !open(sp, word, site, which) {
        count(Count::Unreturned);
    }
}

/// A return. Gives where it goes.
pub extern "C" fn agent_returned_to(registers: *const Registers) -> u64 {
    let sp = registers as u64 + RETURNED;
    let slot = sp - 8;
    // SAFETY: `entry` has laid it on the stack.
    let registers = unsafe { &*registers };
    loop {
        // The last that was opened comes first.
        let mut last: Option<(&Open, u64)> = None;
        for open in bucket(slot) {
            let depth = open.which.load(Relaxed) >> 32;
            if open.slot.load(Relaxed) == slot && last.is_none_or(|(_, most)| depth > most) {
                last = Some((open, depth));
            }
        }
        let Some((open, _)) = last else {
            return 0;
        };
        let (to, site) = (open.to.load(Relaxed), open.site.load(Relaxed));
        let which = open.which.load(Relaxed) as u32;
        open.slot.store(0, Release);
        if !gone() {
            record(registers, which, u64::from(which) | probe::RETURNED, [to, sp, site]);
        }
        if to != address!("agent_returned") {
            return to;
        }
    }
}

fn bucket(slot: u64) -> &'static [Open] {
    let table = private().returns.load(Relaxed) as *const Open;
    if table.is_null() {
        return &[];
    }
    let hash = (slot >> 3).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 48;
    // SAFETY: the table is mapped for as long as the agent is; all of it is atomic.
    unsafe { core::slice::from_raw_parts(table.add(hash as usize % BUCKETS * BUCKET), BUCKET) }
}

/// Has a call return here. False: there is no room.
fn open(slot: u64, to: u64, site: u64, which: u32) -> bool {
    let (bucket, own) = (bucket(slot), address!("agent_returned"));
    // A function that ends by a jump to this one has left its word.
    let (chained, mut depth) = (to == own, 0);
    for open in bucket {
        if open.slot.load(Relaxed) == slot {
            match chained {
                true => depth = depth.max((open.which.load(Relaxed) >> 32) + 1),
                false => open.slot.store(0, Release),
            }
        }
    }
    if chained && depth == 0 {
        return false;
    }
    let free = || {
        let claim = |open: &&Open| {
            open.slot.compare_exchange(0, slot | BUSY, AcqRel, Relaxed).is_ok()
        };
        bucket.iter().find(claim)
    };
    let Some(open) = free().or_else(|| {
        sweep(bucket, own);
        free()
    }) else {
        return false;
    };
    open.to.store(to, Relaxed);
    open.site.store(site, Relaxed);
    open.which.store(u64::from(which) | depth << 32, Relaxed);
    if !chained {
        // SAFETY: the word was read by the caller, and its page was just written.
        unsafe { write(slot, own) };
    }
    open.slot.store(slot, Release);
    true
}

/// Forgets calls that were left otherwise.
fn sweep(bucket: &[Open], own: u64) {
    if quiet() {
        return;
    }
    // SAFETY: takes nothing. (A thread that was born behind a filter does not know.)
    let pid = unsafe { call(calls::GETPID, 0, 0, 0, 0) } as u64;
    for open in bucket {
        let slot = open.slot.load(Acquire);
        if slot & BUSY != 0 || slot == 0 {
            continue;
        }
        let mut word = 0u64;
        let (to, from) = ([&raw mut word as u64, 8], [slot, 8]);
        let args = [pid, &raw const to as u64, 1, &raw const from as u64, 1, 0];
        // SAFETY: writes the word.
        let result = unsafe { call6(calls::PROCESS_VM_READV, args) };
        // Where it cannot be looked at it may be there still.
        if result == EFAULT || result == 8 && word != own {
            open.slot.compare_exchange(slot, 0, AcqRel, Relaxed).ok();
        }
    }
}

/// Writes the record. `at`: the instruction, the stack pointer, and the word there or the
/// function.
fn record(registers: &Registers, which: u32, named: u64, at: [u64; 3]) {
    let returned = named & probe::RETURNED != 0;
    let registers_too = which & probe::REGISTERS != 0;
    let mut words = FUNCTION_ITEMS + 1;
    if !quiet() && registers_too {
        let behind = |wanted: bool| if wanted { 2 + BEHIND / 8 } else { 0 };
        for i in 0..ARGUMENTS.len() as u32 {
            words += behind(!returned && which & probe::MEMORY << i != 0);
        }
        words += behind(returned && which & probe::RESULT != 0);
        words += if which & probe::STACK != 0 { 2 + STACK / 8 } else { 0 };
    }
    let units = match (registers_too, words > FUNCTION_ITEMS + 1) {
        (false, _) => LIFE_UNITS,
        (true, false) => REGISTER_UNITS,
        (true, true) => (words * 8).div_ceil(1 << UNIT_LOG),
    };
    let Some(claim) = ring::claim(units) else {
        return;
    };
    let [ip, sp, word] = at;
    for (i, value) in [named, ip, sp, registers.general[RBP], word].iter().enumerate() {
        claim.set(3 + i, *value);
    }
    if !registers_too {
        return claim.commit(0, kind::FUNCTION);
    }
    for (i, value) in registers.general.iter().enumerate() {
        claim.set(8 + i, *value);
    }
    claim.set(23, registers.flags);
    if units > REGISTER_UNITS {
        let end = (units << (UNIT_LOG - 3)) - 1;
        let mut items = Items { claim: &claim, next: FUNCTION_ITEMS, end };
        for (i, &register) in ARGUMENTS.iter().enumerate() {
            if !returned && which & probe::MEMORY << i != 0 {
                behind(&mut items, i, registers.general.get(register).copied().unwrap_or(0));
            }
        }
        if returned && which & probe::RESULT != 0 {
            behind(&mut items, RESULT_ITEM, registers.general[RAX]);
        }
        if which & probe::STACK != 0 {
            items.item(STACK_ITEM, sp, STACK, false);
        }
        let next = items.next;
        claim.set(next, 0);
    }
    claim.commit(0, kind::REGISTERS);
}

/// Memory behind a value, if it can be an address.
fn behind(items: &mut Items<'_>, argument: usize, at: u64) {
    if (0x1_0000..1 << 47).contains(&at) {
        items.item(argument, at, BEHIND, false);
    }
}
