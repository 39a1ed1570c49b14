//! One cache line of the hash table.
//!
//! ```text
//!   u32 state    bit 0: a writer holds the chain; the rest counts unlinked elements
//!   u32 next     number of the overflow bucket behind this one, 0 for none
//!   u64 slot[7]  tag << 32 | element, 0 for none
//! ```
//!
//! A slot is one word, so a reader sees tag and element as a pair. The tag is the
//! upper half of the hash with bit 0 set, which tells it from an empty slot. `state`
//! matters in the home bucket only; it covers the whole chain. Replacing an
//! element stores to its slot; nothing ever moves between slots, so a reader that
//! found nothing and sees the same count of unlinked elements as before has its
//! answer, whatever writers did meanwhile.

use crate::spin::Backoff;
use crate::sync::{AtomicU32, AtomicU64, Ordering, fence};

/// Slots of a bucket.
pub const SLOTS: usize = 7;

/// A bucket, exactly one cache line.
#[derive(Default)]
#[repr(C, align(64))]
pub struct Bucket {
    state: AtomicU32,
    next: AtomicU32,
    slots: [AtomicU64; SLOTS],
}

#[cfg(not(loom))]
const _: () = assert!(size_of::<Bucket>() == 64);

/// Before an element that has left its slot is filled anew: readers that still compare with
/// it, or copy it, find that it left.
#[inline(always)]
pub fn before_filling() {
    fence(Ordering::Release);
}

/// The tag of a hash: its upper half, never 0.
#[inline(always)]
pub fn tag_of(hash: u64) -> u32 {
    (hash >> 32) as u32 | 1
}

/// What stands in a slot.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Slot(u64);

impl Slot {
    /// No element.
    pub const EMPTY: Slot = Slot(0);

    /// An element (from 1) under its tag.
    #[inline(always)]
    pub fn new(tag: u32, element: u32) -> Slot {
        Slot(u64::from(tag) << 32 | u64::from(element))
    }

    /// The tag, 0 when empty.
    #[inline(always)]
    pub fn tag(self) -> u32 {
        (self.0 >> 32) as u32
    }

    /// The element's number, 0 when empty.
    #[inline(always)]
    pub fn element(self) -> u32 {
        self.0 as u32
    }
}

impl Bucket {
    /// The slot's content; what the element was before it got there is visible with it.
    #[inline(always)]
    pub fn slot(&self, index: usize) -> Slot {
        Slot(self.slots[index].load(Ordering::Acquire))
    }

    /// Replaces the slot's content. The caller holds the chain.
    #[inline(always)]
    pub fn set_slot(&self, index: usize, slot: Slot) {
        self.slots[index].store(slot.0, Ordering::Release);
    }

    /// Bit `i` is set when slot `i` has this tag.
    #[cfg(all(target_arch = "x86_64", not(loom)))]
    #[inline(always)]
    pub fn candidates(&self, tag: u32) -> u32 {
        let found: u32;
        // SAFETY: reads this cache line and nothing else, in aligned 16-byte loads, whose
        // 8-byte halves are atomic on x86-64: it is what the loop of the other
        // architectures does.
        unsafe {
            std::arch::asm!(
                // Without the line's first word: a writer has just stored to it, and a load
                // across that store would wait for it.
                "movq {low}, [{line} + 8]",
                "movaps {high}, [{line} + 32]",
                "shufps {low}, [{line} + 16], 0xd9",
                "shufps {high}, [{line} + 48], 0xdd",
                "movd {tags}, {tag:e}",
                "pshufd {tags}, {tags}, 0",
                "pcmpeqd {low}, {tags}",
                "pcmpeqd {high}, {tags}",
                "packssdw {low}, {high}",
                "packsswb {low}, {low}",
                "pmovmskb {found:e}, {low}",
                line = in(reg) self,
                tag = in(reg) tag,
                low = out(xmm_reg) _,
                high = out(xmm_reg) _,
                tags = out(xmm_reg) _,
                found = lateout(reg) found,
                options(nostack, readonly, preserves_flags),
            );
        }
        // The second lane is empty.
        (found >> 1 | found & 1) & 0x7f
    }

    /// Bit `i` is set when slot `i` has this tag.
    #[cfg(any(not(target_arch = "x86_64"), loom))]
    #[inline(always)]
    pub fn candidates(&self, tag: u32) -> u32 {
        let mut found = 0;
        for (index, slot) in self.slots.iter().enumerate() {
            let slot = Slot(slot.load(Ordering::Relaxed));
            found |= u32::from(slot.tag() == tag) << index;
        }
        found
    }

    /// The first empty slot.
    pub fn hole(&self) -> Option<usize> {
        (0..SLOTS).find(|&index| self.slot(index) == Slot::EMPTY)
    }

    /// Whether no slot is used.
    pub fn is_empty(&self) -> bool {
        (0..SLOTS).all(|index| self.slot(index) == Slot::EMPTY)
    }

    /// Number of the overflow bucket behind this one, 0 for none.
    #[inline(always)]
    pub fn next(&self) -> u32 {
        self.next.load(Ordering::Acquire)
    }

    /// Appends or removes the rest of the chain. The caller holds the chain.
    pub fn set_next(&self, next: u32) {
        self.next.store(next, Ordering::Release);
    }

    /// How many elements have left this chain so far (modulo 2^31): a reader takes it
    /// before it looks and compares after it found nothing.
    #[inline(always)]
    pub fn unlinked(&self) -> u32 {
        self.state.load(Ordering::Acquire) >> 1
    }

    /// Whether an element left this chain since `before` was taken.
    #[inline(always)]
    pub fn changed_since(&self, before: u32) -> bool {
        fence(Ordering::Acquire);
        self.state.load(Ordering::Relaxed) >> 1 != before
    }

    /// Reads something of this chain's elements; `None` where an element left meanwhile, so
    /// that what was read may be of two.
    #[inline(always)]
    pub fn unless_changed<T, E>(
        &self,
        read: impl FnOnce() -> Result<T, E>,
    ) -> Option<Result<T, E>> {
        let before = self.unlinked();
        let found = read();
        (found.is_err() || !self.changed_since(before)).then_some(found)
    }

    /// Whether the slot still has this content, after the element was read.
    #[inline(always)]
    pub fn still_has(&self, index: usize, slot: Slot) -> bool {
        fence(Ordering::Acquire);
        self.slots[index].load(Ordering::Relaxed) == slot.0
    }

    /// Holds the chain of this home bucket.
    #[inline(always)]
    pub fn lock(&self) -> Chain<'_> {
        let state = self.state.load(Ordering::Relaxed) & !1;
        let taken =
            self.state.compare_exchange(state, state | 1, Ordering::Acquire, Ordering::Relaxed);
        let state = if taken.is_ok() { state } else { self.lock_slow() };
        Chain { home: self, state }
    }

    #[cold]
    fn lock_slow(&self) -> u32 {
        let mut backoff = Backoff::new();
        loop {
            let state = self.state.load(Ordering::Relaxed);
            if state & 1 == 0
                && self
                    .state
                    .compare_exchange_weak(state, state | 1, Ordering::Acquire, Ordering::Relaxed)
                    .is_ok()
            {
                return state;
            }
            backoff.wait();
        }
    }
}

/// A held chain; released on drop.
pub struct Chain<'a> {
    home: &'a Bucket,
    state: u32,
}

impl<'a> Chain<'a> {
    /// The chain's first bucket.
    #[inline(always)]
    pub fn home(&self) -> &'a Bucket {
        self.home
    }

    /// Notes that an element has left the chain. It may be given to a next owner only
    /// after the chain is released, which is when readers can see the note.
    #[inline(always)]
    pub fn note_unlinked(&mut self) {
        self.state = self.state.wrapping_add(2);
    }
}

impl Drop for Chain<'_> {
    #[inline(always)]
    fn drop(&mut self) {
        self.home.state.store(self.state, Ordering::Release);
    }
}
