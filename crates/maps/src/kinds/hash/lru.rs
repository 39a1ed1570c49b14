//! Which element of an LRU map gives way.
//!
//! Each element has a head of 8 bytes: `u8 used, u8 0, u16 share, u32 link`. A
//! program's look-up and any update set `used`; system calls' look-ups do not. A
//! hand goes round over the elements, clears `used` where it is set and evicts where
//! it is not (the clock algorithm; Linux's two lists, `bpf_lru_list.c`, come to much
//! the same). Unlike Linux nothing is evicted before the map is full, and never is
//! there an element more than the map may have.

use std::sync::atomic::{AtomicU8, AtomicU16, AtomicU32, Ordering::Relaxed};

/// Bytes of an element's head.
pub const HEAD: usize = 8;

/// The hands of an LRU map.
#[derive(Debug)]
pub struct Lru {
    /// One hand, or one per vCPU when each evicts from its own share.
    hands: Box<[AtomicU32]>,
    /// Whether each vCPU has its own share.
    shares: bool,
    /// The largest element number.
    total: u32,
}

impl Lru {
    /// Hands over `total` elements.
    pub fn new(total: u64, cpus: u32, shares: bool) -> Lru {
        let hands = if shares { cpus } else { 1 };
        Lru {
            hands: (0..hands).map(|_| AtomicU32::new(0)).collect(),
            shares,
            total: u32::try_from(total).unwrap_or(u32::MAX),
        }
    }

    /// The lane whose free elements a lane uses: with shares, system calls use vCPU 0's.
    pub fn source(&self, lane: u32) -> u32 {
        if self.shares && lane as usize >= self.hands.len() { 0 } else { lane }
    }

    /// The lane that a deleted element goes back to.
    pub fn owner(&self, head: *mut u8, lane: u32) -> u32 {
        if self.shares { self.share_of(head) } else { lane }
    }

    /// Whether an element may be evicted for this lane.
    pub fn may_evict(&self, head: *mut u8, lane: u32) -> bool {
        !self.shares || self.share_of(head) == lane
    }

    fn share_field(head: *mut u8) -> *mut u16 {
        // SAFETY: `head` is an element's head of 8 bytes.
        unsafe { head.add(2) }.cast()
    }

    fn share_of(&self, head: *mut u8) -> u32 {
        // SAFETY: bytes 2 and 3 of an element's head, 2-byte aligned.
        u32::from(unsafe { AtomicU16::from_ptr(Lru::share_field(head)) }.load(Relaxed))
    }

    fn set_share(head: *mut u8, share: u16) {
        // SAFETY: bytes 2 and 3 of an element's head, 2-byte aligned.
        unsafe { AtomicU16::from_ptr(Lru::share_field(head)) }.store(share, Relaxed);
    }

    fn used<'a>(head: *mut u8) -> &'a AtomicU8 {
        // SAFETY: byte 0 of an element's head; callers do not keep the reference.
        unsafe { AtomicU8::from_ptr(head) }
    }

    /// The element was used.
    #[inline(always)]
    pub fn touch(&self, head: *mut u8) {
        let used = Lru::used(head);
        // Mostly it is set already, and then its line stays shared between CPUs.
        if used.load(Relaxed) == 0 {
            used.store(1, Relaxed);
        }
    }

    /// A new key's element: not used yet.
    pub fn start(&self, head: *mut u8, share: u32) {
        Lru::used(head).store(0, Relaxed);
        Lru::set_share(head, share as u16);
    }

    /// The new element stands for the key from now on, in the old one's share.
    pub fn exchange(&self, old: *mut u8, new: *mut u8) {
        let (from, to) = (self.share_of(old), self.share_of(new));
        Lru::set_share(old, to as u16);
        Lru::set_share(new, from as u16);
        Lru::used(new).store(1, Relaxed);
    }

    /// Whether the element was used since the hand last came by; it is marked unused.
    pub fn second_chance(&self, head: *mut u8) -> bool {
        let used = Lru::used(head);
        let was = used.load(Relaxed) != 0;
        if was {
            used.store(0, Relaxed);
        }
        was
    }

    /// Elements in the order in which the lane's hand meets them, some rounds long.
    pub fn candidates(&self, lane: u32) -> impl Iterator<Item = u32> {
        let hand = &self.hands[if self.shares { lane as usize } else { 0 }];
        let total = self.total;
        (0..u64::from(total) * 4).map(move |_| hand.fetch_add(1, Relaxed) % total + 1)
    }
}
