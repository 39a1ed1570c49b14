//! The table behind hash maps: buckets of one cache line that name elements.
//!
//! A look-up touches two lines, the key's home bucket and the element; chains of
//! overflow buckets are rare (the table has room for 7 elements per bucket and at
//! most 4 on average). Readers take no lock. Writers hold the chain of the key's
//! home bucket, which serialises all that happens to a key. Elements, and the
//! memory of empty overflow buckets, are recycled, never unmapped: a reader that
//! meets a recycled one finds another key and a changed count, and looks again.

use std::sync::atomic::{AtomicU32, Ordering};

use skep_abi::Errno;

use super::bucket::{Bucket, Chain, SLOTS, Slot, tag_of};
use super::key::{Key, Seed};
use crate::mem::Mapping;
use crate::spin::{SpinLock, window};

/// Buckets and elements.
#[derive(Debug)]
pub struct Table {
    buckets: Mapping,
    mask: u32,
    overflow: Overflow,
    elements: Mapping,
    stride: usize,
    key_at: usize,
    pub seed: Seed,
}

/// Where an element was found.
#[derive(Clone, Copy)]
pub struct Place<'a> {
    bucket: &'a Bucket,
    index: usize,
    slot: Slot,
}

impl Place<'_> {
    /// The element's number.
    #[inline(always)]
    pub fn element(self) -> u32 {
        self.slot.element()
    }

    /// Whether the element stands here, still or again. A key that was read from it before
    /// this call is its key, when it does; a value may be of two updates.
    #[inline(always)]
    pub fn holds(self) -> bool {
        self.bucket.still_has(self.index, self.slot)
    }
}

/// A position among all slots: the home bucket, and the slot counted along its chain.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub struct Position {
    pub home: u32,
    pub ordinal: u32,
}

impl Table {
    /// Home buckets for this many elements: a power of two, a quarter of them or more.
    pub fn homes(capacity: u32) -> u64 {
        u64::from(capacity).div_ceil(4).next_power_of_two()
    }

    /// A table for `capacity` keys in elements of `stride` bytes, numbered up to `total`,
    /// with the key at `key_at`.
    pub fn new(
        capacity: u32,
        total: u64,
        stride: usize,
        key_at: usize,
        seed: Seed,
    ) -> Result<Table, Errno> {
        let homes = Table::homes(capacity);
        let bytes = (total + 1).checked_mul(stride as u64).ok_or(Errno::ENOMEM)?;
        Ok(Table {
            buckets: Mapping::new(homes * size_of::<Bucket>() as u64)?,
            mask: (homes - 1) as u32,
            overflow: Overflow::new(capacity)?,
            elements: Mapping::new(bytes)?,
            stride,
            key_at,
            seed,
        })
    }

    #[inline(always)]
    fn bucket(&self, index: u32) -> &Bucket {
        debug_assert!(index <= self.mask);
        // SAFETY: home buckets are numbered up to `mask`; zeroed memory is a valid bucket,
        // all of whose fields are atomics; the mapping lives as long as `self`.
        unsafe { &*self.buckets.base().cast::<Bucket>().add(index as usize) }
    }

    /// The home bucket of a hash.
    #[inline(always)]
    pub fn home(&self, hash: u64) -> &Bucket {
        self.bucket(hash as u32 & self.mask)
    }

    /// Address of an element's first byte.
    #[inline(always)]
    pub fn element(&self, element: u32) -> *mut u8 {
        debug_assert!((element as usize + 1) * self.stride <= self.elements.len());
        // SAFETY: slots, lists and spares hold only numbers up to the table's total, for
        // which the mapping has room.
        unsafe { self.elements.base().add(element as usize * self.stride) }
    }

    /// Address of an element's key.
    #[inline(always)]
    pub fn key(&self, element: u32) -> *mut u8 {
        // SAFETY: the key is inside the element.
        unsafe { self.element(element).add(self.key_at) }
    }

    /// Looks a key up without holding anything. The element was the key's when its slot was
    /// read.
    #[inline(always)]
    pub fn find<K: Key>(&self, key: K, hash: u64) -> Option<Place<'_>> {
        let home = self.home(hash);
        loop {
            let before = home.unlinked();
            let found = self.find_along(home, key, hash);
            // An element that was reused while its key was compared has left the chain.
            if found.is_some() || !home.changed_since(before) {
                return found;
            }
        }
    }

    /// Looks a key up in a chain that the caller holds.
    #[inline(always)]
    pub fn find_held<'a, K: Key>(
        &'a self,
        chain: &Chain<'a>,
        key: K,
        hash: u64,
    ) -> Option<Place<'a>> {
        self.find_along(chain.home(), key, hash)
    }

    #[inline(always)]
    fn find_along<'a, K: Key>(&'a self, home: &'a Bucket, key: K, hash: u64) -> Option<Place<'a>> {
        let mut bucket = home;
        loop {
            let mut candidates = bucket.candidates(tag_of(hash));
            while candidates != 0 {
                let index = candidates.trailing_zeros() as usize;
                let slot = bucket.slot(index);
                window();
                // SAFETY: the element, of whichever number, has a key of this map's key size.
                if slot != Slot::EMPTY && unsafe { key.is_at(self.key(slot.element())) } {
                    return Some(Place { bucket, index, slot });
                }
                candidates &= candidates - 1;
            }
            match bucket.next() {
                0 => return None,
                next => bucket = self.overflow.bucket(next),
            }
        }
    }

    /// Finds the slot of an element, whatever its key, in a chain that the caller holds.
    pub fn find_element<'a>(&'a self, chain: &Chain<'a>, element: u32) -> Option<Place<'a>> {
        let mut bucket = chain.home();
        loop {
            for index in 0..SLOTS {
                let slot = bucket.slot(index);
                if slot.element() == element {
                    return Some(Place { bucket, index, slot });
                }
            }
            match bucket.next() {
                0 => return None,
                next => bucket = self.overflow.bucket(next),
            }
        }
    }

    /// Puts a new key's element, already filled, into the chain. ENOMEM when there is no
    /// overflow bucket left.
    pub fn insert(&self, chain: &Chain<'_>, hash: u64, element: u32) -> Result<(), Errno> {
        let slot = Slot::new(tag_of(hash), element);
        let mut bucket = chain.home();
        loop {
            if let Some(index) = bucket.hole() {
                bucket.set_slot(index, slot);
                return Ok(());
            }
            match bucket.next() {
                0 => break,
                next => bucket = self.overflow.bucket(next),
            }
        }
        let number = self.overflow.take().ok_or(Errno::ENOMEM)?;
        let last = self.overflow.bucket(number);
        last.set_next(0);
        last.set_slot(0, slot);
        bucket.set_next(number);
        Ok(())
    }

    /// Lets another element, already filled, stand for the same key. The old one may be
    /// reused once the chain is released.
    #[inline(always)]
    pub fn replace(&self, chain: &mut Chain<'_>, place: Place<'_>, element: u32) {
        place.bucket.set_slot(place.index, Slot::new(place.slot.tag(), element));
        chain.note_unlinked();
    }

    /// Takes an element out of the chain. The element may be reused once the chain is
    /// released, and so may the overflow bucket, if any, that is empty now.
    pub fn unlink(&self, chain: &mut Chain<'_>, place: Place<'_>) -> Option<EmptyBucket> {
        place.bucket.set_slot(place.index, Slot::EMPTY);
        chain.note_unlinked();
        let mut before = chain.home();
        if std::ptr::eq(place.bucket, before) || !place.bucket.is_empty() {
            return None;
        }
        loop {
            let number = before.next();
            let bucket = self.overflow.bucket(number);
            if std::ptr::eq(bucket, place.bucket) {
                before.set_next(bucket.next());
                return Some(EmptyBucket(number));
            }
            before = bucket;
        }
    }

    /// Lets another chain have an overflow bucket. Its former chain has been released.
    pub fn recycle(&self, bucket: EmptyBucket) {
        self.overflow.give(bucket.0);
    }

    /// The position of a key that is in the table.
    pub fn position<K: Key>(&self, key: K, hash: u64) -> Option<Position> {
        let place = self.find(key, hash)?;
        let home = hash as u32 & self.mask;
        let mut bucket = self.bucket(home);
        let mut ordinal = place.index as u32;
        while !std::ptr::eq(bucket, place.bucket) {
            bucket = match bucket.next() {
                0 => return None,
                next => self.overflow.bucket(next),
            };
            ordinal += SLOTS as u32;
        }
        Some(Position { home, ordinal })
    }

    /// The first used slot at or behind a position, and the position behind it.
    pub fn scan(&self, from: Position) -> Option<(Place<'_>, Position)> {
        (from.home..=self.mask).find_map(|home| {
            let start = if home == from.home { from.ordinal } else { 0 };
            let mut bucket = self.bucket(home);
            let mut base = 0;
            loop {
                for index in start.saturating_sub(base) as usize..SLOTS {
                    let slot = bucket.slot(index);
                    if slot != Slot::EMPTY {
                        let next = Position { home, ordinal: base + index as u32 + 1 };
                        return Some((Place { bucket, index, slot }, next));
                    }
                }
                bucket = match bucket.next() {
                    0 => return None,
                    next => self.overflow.bucket(next),
                };
                base += SLOTS as u32;
            }
        })
    }

    /// Holds the chain of a home bucket by its number; `None` past the last.
    pub fn lock_home(&self, home: u32) -> Option<Chain<'_>> {
        (home <= self.mask).then(|| self.bucket(home).lock())
    }

    /// The elements of a held chain from a slot on, with the slots' ordinals.
    pub fn chain_elements(&self, chain: &Chain<'_>, from: u32) -> Vec<(u32, u32)> {
        let mut found = Vec::new();
        let mut bucket = chain.home();
        let mut ordinal = 0;
        loop {
            for index in 0..SLOTS {
                let element = bucket.slot(index).element();
                if element != 0 && ordinal >= from {
                    found.push((ordinal, element));
                }
                ordinal += 1;
            }
            match bucket.next() {
                0 => return found,
                next => bucket = self.overflow.bucket(next),
            }
        }
    }
}

/// An overflow bucket that left its chain.
#[must_use]
pub struct EmptyBucket(u32);

/// Overflow buckets, numbered from 1. Each in use holds an element at least.
#[derive(Debug)]
struct Overflow {
    memory: Mapping,
    lock: SpinLock,
    /// Under `lock`: the next bucket never used, and the first of those given back, linked
    /// by a word of their own since readers may still be in them.
    fresh: AtomicU32,
    head: AtomicU32,
    links: Mapping,
    capacity: u32,
}

impl Overflow {
    fn new(capacity: u32) -> Result<Overflow, Errno> {
        let count = u64::from(capacity) + 1;
        Ok(Overflow {
            memory: Mapping::new(count * size_of::<Bucket>() as u64)?,
            lock: SpinLock::default(),
            fresh: AtomicU32::new(1),
            head: AtomicU32::new(0),
            links: Mapping::new(count * 4)?,
            capacity,
        })
    }

    #[inline(always)]
    fn bucket(&self, number: u32) -> &Bucket {
        debug_assert!(number >= 1 && number <= self.capacity);
        // SAFETY: chains hold only numbers from 1 to `capacity`, for which there is room;
        // zeroed memory is a valid bucket of atomics that lives as long as `self`.
        unsafe { &*self.memory.base().cast::<Bucket>().add(number as usize) }
    }

    fn link(&self, number: u32) -> &AtomicU32 {
        // SAFETY: there is one link for each number, 4-byte aligned.
        unsafe { AtomicU32::from_ptr(self.links.base().cast::<u32>().add(number as usize)) }
    }

    fn take(&self) -> Option<u32> {
        let _held = self.lock.lock();
        let head = self.head.load(Ordering::Relaxed);
        if head != 0 {
            self.head.store(self.link(head).load(Ordering::Relaxed), Ordering::Relaxed);
            return Some(head);
        }
        let fresh = self.fresh.load(Ordering::Relaxed);
        (fresh <= self.capacity).then(|| {
            self.fresh.store(fresh + 1, Ordering::Relaxed);
            fresh
        })
    }

    fn give(&self, number: u32) {
        let _held = self.lock.lock();
        self.link(number).store(self.head.load(Ordering::Relaxed), Ordering::Relaxed);
        self.head.store(number, Ordering::Relaxed);
    }
}
