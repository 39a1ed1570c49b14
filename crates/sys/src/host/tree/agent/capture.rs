//! Memory behind pointers, as it is when the call begins.
//!
//! The kernel copies it (`process_vm_readv` of oneself), straight into the ring: a bad pointer
//! gives less, and never a fault.

use crate::calls::{self, call6};
use crate::entry::Frame;
use crate::layout::{
    ENTER_UNITS, ITEM, ITEM_MARK, ITEMS, ROWS, ROWS_EACH, Row, SLACK, UNIT_LOG, form, kind,
};
use crate::ring::{self, Claim};
use crate::state::{base, own_pid, quiet};

/// The most pointers of a list.
const POINTERS: usize = 64;

/// A row, taken apart.
#[derive(Clone, Copy)]
struct Wanted {
    argument: usize,
    form: u16,
    most: usize,
}

/// The rows of a call; a length that another argument says is known already.
fn rows(f: &Frame) -> [Wanted; ROWS_EACH] {
    let table = base() + ROWS + (f.number as usize & 511) * ROWS_EACH * size_of::<Row>();
    let mut rows = [Wanted { argument: 0, form: 0, most: 0 }; ROWS_EACH];
    for (i, wanted) in rows.iter_mut().enumerate() {
        // SAFETY: the table is part of the code, and has this many for each number.
        let row = unsafe { *((table + i * size_of::<Row>()) as *const Row) };
        let (form, length) = (row >> 3 & 7, row >> 6 & 7);
        let mut most = (row >> 9) as usize * 64;
        if form == form::BYTES {
            most = most.min(usize::try_from(argument(f, length.into())).unwrap_or(usize::MAX));
        }
        *wanted = Wanted { argument: (row & 7).into(), form, most };
    }
    rows
}

/// An argument.
fn argument(f: &Frame, i: usize) -> u64 {
    f.regs.get(i).copied().unwrap_or(0)
}

/// Words that an item may take.
fn room(wanted: &Wanted) -> usize {
    match wanted.form {
        0 => 0,
        form::LIST => 2 + POINTERS + wanted.most / ITEM * (2 + ITEM / 8),
        _ => 2 + wanted.most.div_ceil(8),
    }
}

/// Records that a call begins, with memory.
#[inline(never)]
pub fn enter(f: &Frame) {
    let rows = rows(f);
    let mut words = ITEMS + 1;
    for wanted in &rows {
        words += room(wanted);
    }
    let units = (words * 8).div_ceil(1 << UNIT_LOG).min(SLACK >> UNIT_LOG);
    // Calls of the agent's own may not be allowed.
    if quiet() || units <= ENTER_UNITS {
        return ring::enter(f);
    }
    let Some(claim) = ring::claim(units) else {
        return;
    };
    ring::enter_words(&claim, f);
    let mut items = Items { claim: &claim, next: ITEMS, end: (units << (UNIT_LOG - 3)) - 1 };
    for wanted in &rows {
        let at = argument(f, wanted.argument);
        match wanted.form {
            0 => {}
            _ if at == 0 => {}
            form::LIST => items.list(wanted.argument, at, wanted.most / ITEM),
            form => drop(items.item(wanted.argument, at, wanted.most, form == form::TEXT)),
        }
    }
    let next = items.next;
    claim.set(next, 0);
    claim.commit(f.number, kind::ENTER);
}

/// Items, one behind the other.
pub struct Items<'a> {
    pub claim: &'a Claim,
    /// The word at which the next begins.
    pub next: usize,
    /// The last word, which stays free.
    pub end: usize,
}

impl Items<'_> {
    /// Adds one, if there is room. Gives the word at which its bytes begin, and how many.
    pub fn item(&mut self, argument: usize, at: u64, most: usize, text: bool) -> (usize, usize) {
        let first = self.next + 2;
        let most = most.min(self.end.saturating_sub(first) * 8);
        if self.next + 2 >= self.end || most == 0 {
            return (first, 0);
        }
        let mut len = copy(self.claim.memory(first), at, most);
        if text {
            len = text_len(self.claim.memory(first), len);
        }
        self.claim.set(self.next, ITEM_MARK | (argument as u64) << 32 | len as u64);
        self.claim.set(self.next + 1, at);
        self.next = first + len.div_ceil(8);
        (first, len)
    }

    /// Adds the pointers of a list, then what they point to.
    fn list(&mut self, argument: usize, at: u64, most: usize) {
        let (first, len) = self.item(argument, at, POINTERS * 8, false);
        for i in 0..(len / 8).min(most) {
            // SAFETY: it lies in the record; what others have written there meanwhile is
            // an address as good as any.
            let pointer = unsafe { (self.claim.memory(first + i) as *const u64).read_volatile() };
            if pointer == 0 {
                break;
            }
            self.item(argument, pointer, ITEM, true);
        }
    }
}

/// Up to the zero byte, which counts.
fn text_len(at: u64, len: usize) -> usize {
    for i in 0..len {
        // SAFETY: within the record.
        if unsafe { (at as *const u8).add(i).read_volatile() } == 0 {
            return i + 1;
        }
    }
    len
}

/// Copies from an address of the program's, up to where it ends. Gives how many bytes.
fn copy(to: u64, from: u64, len: usize) -> usize {
    const PAGE: u64 = 4096;
    let local = [to, len as u64];
    // What is copied in part is copied by whole pieces: they end where pages do.
    let mut pieces = [[0u64; 2]; 5];
    let (mut at, mut left, mut count) = (from, len as u64, 0);
    for piece in &mut pieces {
        if left == 0 {
            break;
        }
        let size = left.min(PAGE - (at & (PAGE - 1)));
        *piece = [at, size];
        at = at.wrapping_add(size);
        left -= size;
        count += 1;
    }
    let (local, pieces) = (&raw const local as u64, &raw const pieces as u64);
    // SAFETY: writes into the record alone.
    let copied = unsafe { call6(calls::PROCESS_VM_READV, [own_pid(), local, 1, pieces, count, 0]) };
    usize::try_from(copied).unwrap_or(0).min(len)
}
