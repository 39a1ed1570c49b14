//! Records of the slow way, and what happens when a ring is full.

use core::arch::x86_64::_rdtsc;
use core::sync::atomic::{AtomicU64, Ordering::*};

use crate::calls::{self, call};
use crate::entry::Frame;
use crate::layout::{
    COUNTS, Count, ENTER_UNITS, EXIT_UNITS, HEAD, LIFE_UNITS, RECORDS, TAIL, UNIT_LOG, UNITS, kind,
    shared, tag,
};
use crate::state::{count, gone, private, quiet, who, word};

const _: () = assert!(COUNTS * 8 + shared::COUNTS <= shared::EXEC_SLOTS);

/// Room in the ring.
pub struct Claim {
    position: u64,
    units: u64,
    at: *mut u64,
}

fn position(offset: usize) -> &'static AtomicU64 {
    let ring = private().ring.load(Relaxed) as usize;
    // SAFETY: a ring is mapped there for as long as the agent is.
    unsafe { &*((ring + offset) as *const AtomicU64) }
}

/// Claims room; waits for it as long as that makes sense.
pub fn claim(units: usize) -> Option<Claim> {
    let units = units as u64;
    loop {
        let head = position(HEAD).load(Relaxed);
        let used = head.wrapping_add(units).wrapping_sub(position(TAIL).load(Acquire));
        if used > UNITS as u64 {
            if !wait() {
                return None;
            }
            continue;
        }
        if position(HEAD).compare_exchange(head, head + units, AcqRel, Relaxed).is_ok() {
            let offset = ((head as usize) << UNIT_LOG) & (RECORDS - 1);
            let at = (private().ring.load(Relaxed) as usize + 4096 + offset) as *mut u64;
            return Some(Claim { position: head, units, at });
        }
    }
}

impl Claim {
    /// Writes a word; the tag comes last, by [`Claim::commit`].
    pub fn set(&self, word: usize, value: u64) {
        if word < (self.units as usize) << (UNIT_LOG - 3) {
            // SAFETY: the word lies in what was claimed, at most `SLACK` from a place within
            // the ring; others may write there too, and nothing here depends on it.
            unsafe { self.at.add(word).write_volatile(value) };
        }
    }

    /// Where its memory lies, from a word on.
    pub fn memory(&self, word: usize) -> u64 {
        // SAFETY: within the claim, as callers ask.
        unsafe { self.at.add(word) as u64 }
    }

    /// Time, who and number, and out it goes.
    pub fn commit(self, number: u64, kind: u64) {
        // SAFETY: the instruction is there on every x86-64.
        self.set(1, unsafe { _rdtsc() });
        self.set(2, who() | number << 48);
        core::sync::atomic::fence(Release);
        self.set(0, tag(self.position, self.units, kind));
    }
}

/// Fills in a call's beginning.
pub fn enter_words(claim: &Claim, frame: &Frame) {
    for (i, arg) in frame.regs.iter().enumerate() {
        claim.set(3 + i, *arg);
    }
    claim.set(9, frame.site);
    claim.set(10, frame as *const Frame as u64 + crate::entry::SLOW_DEPTH as u64);
}

/// Records that a call begins.
pub fn enter(frame: &Frame) {
    if let Some(claim) = claim(ENTER_UNITS) {
        enter_words(&claim, frame);
        claim.commit(frame.number, kind::ENTER);
    }
}

/// Records that it has ended.
pub fn exit(number: u64, result: i64) {
    if let Some(claim) = claim(EXIT_UNITS) {
        claim.set(3, result as u64);
        claim.commit(number, kind::EXIT);
    }
}

/// Records something of a task's life.
pub fn life(kind: u64, number: u64, words: [u64; 5]) {
    if let Some(claim) = claim(LIFE_UNITS) {
        for (i, word) in words.iter().enumerate() {
            claim.set(3 + i, *word);
        }
        claim.commit(number, kind);
    }
}

/// How often a thread waits for room, and how long each time: two seconds in all.
const WAITS: u32 = 2000;
const WAIT_NS: u64 = 1_000_000;
/// `FUTEX_WAIT`, `FUTEX_WAKE`
const WAIT: u64 = 0;
const WAKE: u64 = 1;

/// Waits until the reader has made room. Gives false where it did not: the record is lost.
fn wait() -> bool {
    let tail = position(TAIL).load(Acquire);
    // Who has a filter may not be able to wait, nor who has lost a record already: a reader
    // that stalls must stop nobody for longer than once.
    if !gone() && !quiet() && private().stalled.load(Relaxed) != tail + 1 {
        for _ in 0..WAITS {
            let drained = word(shared::DRAINED).load(Acquire);
            if position(TAIL).load(Acquire) != tail {
                return true;
            }
            if gone() {
                break;
            }
            ring();
            word(shared::WAITERS).fetch_add(1, AcqRel);
            let time = [0u64, WAIT_NS];
            let futex = word(shared::DRAINED) as *const _ as u64;
            // SAFETY: the time lies on the stack.
            unsafe { call(calls::FUTEX, futex, WAIT, drained.into(), &raw const time as u64) };
            word(shared::WAITERS).fetch_sub(1, AcqRel);
        }
        private().stalled.store(tail + 1, Relaxed);
    }
    if position(TAIL).load(Acquire) != tail {
        return true;
    }
    count(Count::Lost);
    false
}

/// Tells the reader that there is much to read.
fn ring() {
    word(shared::BELL).fetch_add(1, AcqRel);
    if word(shared::SLEEPS).load(Acquire) != 0 {
        wake(shared::BELL);
    }
}

/// Wakes who waits at a word of the shared page.
pub fn wake(offset: usize) {
    // SAFETY: reads nothing, writes nothing.
    unsafe { call(calls::FUTEX, word(offset) as *const _ as u64, WAKE, 1, 0) };
}

/// Waits at a word of the shared page while it is `value`, for 2 ms at most.
pub fn wait_at(offset: usize, value: u32) {
    let time = [0u64, 2_000_000];
    // SAFETY: the time lies on the stack.
    unsafe {
        call(
            calls::FUTEX,
            word(offset) as *const _ as u64,
            WAIT,
            value.into(),
            &raw const time as u64,
        )
    };
}

/// The fast way has found no room. Gives whether to try again.
pub extern "C" fn agent_no_room(_: *mut Frame) -> u32 {
    wait().into()
}

/// The fast way has filled another quarter.
pub extern "C" fn agent_quarter(_: *mut Frame) {
    if !quiet() {
        ring();
    }
}
