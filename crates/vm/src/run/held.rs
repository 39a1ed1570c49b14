//! What a run holds. Records of ring buffers and locks of values are what others wait for:
//! all of it is given back when the run ends, whichever way, since a record that stayed busy
//! would stop its ring for ever, and a lock everybody who wants it. (What the verifier accepts
//! gives all of it back by itself, unless the budget or a panic ends the run before.) The
//! references are what keeps things there that the program has pointers to.
//!
//! Checked programs have what they hold looked up; elided code, for which the verifier
//! vouches, has a list of plain addresses, which costs it less.
#![allow(unsafe_code, reason = "elided code's records and locks are addresses")]

use std::collections::{BTreeMap, VecDeque};
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use skep_isa::Size;
use skep_maps::{self as maps, RingBuf};

use super::bits::BitIters;
use super::dynptrs::Dynptrs;
use super::sockets::Sockets;
use crate::memory::value::{Region, Value};
use crate::objects::heap::Heap;
use crate::objects::map::MapHandle;
use crate::objects::program::Program;

/// Records, locks and references of a run.
#[derive(Default)]
pub(crate) struct Held {
    /// What elided code holds.
    pub plain: Plain,
    pub dynptrs: Dynptrs,
    pub bits: BitIters,
    /// By their first address; the region's epoch is the number of the reservation.
    records: BTreeMap<u64, Record>,
    reserved: u64,
    locks: Vec<Value>,
    /// Maps found in maps of maps.
    maps: Vec<Arc<MapHandle>>,
    /// Programs that others went on in the place of: what they had pointers to stays.
    left: Vec<Arc<Program>>,
    rare: Option<Box<Rare>>,
}

/// What few programs hold.
#[derive(Default)]
pub(crate) struct Rare {
    /// Sockets that were looked up.
    pub sockets: Sockets,
    /// Options of sockets that were set: by level and name.
    pub options: BTreeMap<(u32, u32), Vec<u8>>,
    /// Bytes of a TCP header that were reserved for options.
    pub reserved_options: usize,
    /// Objects that the run owns.
    pub owned: Owned,
    pub stored: Stored,
    /// Iterations, by the address of the iterator: what is still to come.
    pub walks: BTreeMap<u64, VecDeque<u64>>,
}

/// What maps keep for a socket or a cgroup that is there for this run alone: it goes with it.
#[derive(Default)]
pub(crate) struct Stored {
    owner: Option<u64>,
    maps: Vec<Arc<MapHandle>>,
}

impl Stored {
    /// The number of the owner, of which a map keeps something from now on.
    pub fn owner(&mut self, map: &Arc<MapHandle>) -> u64 {
        /// Owners of runs are told from all others by the highest bit.
        static NEXT: AtomicU64 = AtomicU64::new(1 << 63);
        let owner = *self.owner.get_or_insert_with(|| NEXT.fetch_add(1, Ordering::Relaxed));
        if !self.maps.iter().any(|known| Arc::ptr_eq(known, map)) {
            self.maps.push(map.clone());
        }
        owner
    }
}

impl Drop for Stored {
    fn drop(&mut self) {
        for map in self.maps.drain(..) {
            let _there_may_be_none = map.forget_owner(self.owner.unwrap_or(0));
        }
    }
}

/// Objects that a run owns, by any address in each: who ends it before it gave them on frees
/// them.
#[derive(Default)]
pub(crate) struct Owned {
    heap: Option<Arc<Heap>>,
    objects: Vec<u64>,
}

impl Owned {
    /// Notes that the run owns an object.
    pub fn take(&mut self, heap: &Arc<Heap>, address: u64) {
        self.heap.get_or_insert_with(|| heap.clone());
        self.objects.push(address);
    }

    /// Whether the run owns so much that it may make no more.
    pub fn is_full(&self) -> bool {
        /// More than any verifier lets a program hold.
        const MOST: usize = 1 << 12;
        self.objects.len() >= MOST
    }

    /// Whether the run owned what starts at an address, which it gives on.
    pub fn give(&mut self, address: u64) -> bool {
        let at = self.objects.iter().rposition(|owned| *owned == address);
        at.map(|at| self.objects.swap_remove(at)).is_some()
    }
}

impl Drop for Owned {
    fn drop(&mut self) {
        if let Some(heap) = &self.heap {
            self.objects.drain(..).for_each(|object| heap.release(object));
        }
    }
}

/// A ring buffer record that was reserved.
struct Record {
    map: Arc<MapHandle>,
    region: Region,
}

impl Held {
    /// Whether nothing is held but programs that were left.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
            && self.locks.is_empty()
            && self.maps.is_empty()
            && self.plain.is_empty()
            && self.dynptrs.is_empty()
            && self.bits.is_empty()
            && self.rare.is_none()
    }

    /// What few programs hold.
    pub fn rare(&mut self) -> &mut Rare {
        self.rare.get_or_insert_default()
    }

    /// Notes a record that was reserved; gives what the program may use.
    pub fn reserve(&mut self, map: Arc<MapHandle>, region: Region) -> Region {
        self.reserved += 1;
        let region = region.with_epoch(self.reserved);
        self.records.insert(region.start(), Record { map, region });
        region
    }

    /// Whether the record that a region is, or is in, has not been given back.
    pub fn has_record(&self, region: Region) -> bool {
        let record = self.records.range(..=region.start()).next_back();
        record.is_some_and(|(_, record)| record.region.epoch() == region.epoch())
    }

    /// The record that starts at an address, as a pointer to it.
    pub fn record_at(&self, address: u64) -> Option<Value> {
        self.records.get(&address).map(|record| record.region.pointer(0))
    }

    /// Hands a record over, or throws it away; false where it is not held.
    pub fn commit(&mut self, region: Region, flags: u64, discard: bool) -> bool {
        if !self.has_record(region) {
            return false;
        }
        let record = self.records.remove(&region.start());
        if let Some(record) = &record {
            record.map.commit_record(record.region, flags, discard);
        }
        record.is_some()
    }

    /// Notes a lock that was taken.
    pub fn lock(&mut self, lock: Value) {
        self.locks.push(lock);
    }

    /// Whether the run holds a lock.
    pub fn has_lock(&self, lock: Value) -> bool {
        self.locks.iter().any(|held| held.bits == lock.bits)
    }

    /// Gives a lock back; false where it is not held.
    pub fn unlock(&mut self, lock: Value) -> bool {
        let at = self.locks.iter().rposition(|held| held.bits == lock.bits);
        at.map(|at| release(self.locks.swap_remove(at))).is_some()
    }

    /// Maps found in maps of maps, by the numbers that [`Held::found`] gave.
    #[inline]
    pub fn maps(&self) -> &[Arc<MapHandle>] {
        &self.maps
    }

    /// Keeps a map that was found in another one; gives its number.
    pub fn found(&mut self, map: Arc<MapHandle>) -> u32 {
        let known = self.maps.iter().position(|other| Arc::ptr_eq(other, &map));
        let index = known.unwrap_or(self.maps.len());
        if known.is_none() {
            self.maps.push(map);
        }
        index as u32
    }

    /// Keeps a program that another one goes on in the place of.
    pub fn left(&mut self, program: Arc<Program>) {
        self.left.push(program);
    }

    /// Gives back whatever is held. The maps that it lies in are still the run's.
    pub fn give_back(&mut self) {
        for record in std::mem::take(&mut self.records).into_values() {
            record.map.commit_record(record.region, 0, true);
        }
        self.locks.drain(..).for_each(release);
        if !self.plain.is_empty() {
            self.plain.give_back();
        }
        self.dynptrs.clear();
        self.bits.clear();
        self.maps.clear();
        self.left.clear();
        self.rare = None;
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.give_back();
    }
}

fn release(lock: Value) {
    let released = lock.update(0, Size::W, |_| 0);
    debug_assert!(released.is_ok(), "it could be taken");
}

/// Records and locks of elided code: the verifier sees to it that it gives them back,
/// unless the budget or a panic ends the run before. They lie in maps of the programs that
/// the run has, and of those that its guard keeps.
#[derive(Default)]
pub(crate) struct Plain {
    /// Records with their rings, the last one last.
    records: Vec<(NonNull<RingBuf>, NonNull<u8>)>,
    /// The lock; no verifier lets a program hold two.
    lock: Option<NonNull<AtomicU32>>,
}

// SAFETY: what is held is given back before the run ends, on its thread.
unsafe impl Send for Plain {}

impl Plain {
    /// Whether nothing is held.
    #[inline]
    fn is_empty(&self) -> bool {
        self.records.is_empty() && self.lock.is_none()
    }

    /// Notes a record that was reserved.
    ///
    /// # Safety
    /// The run keeps the ring until it has given back what it holds.
    #[inline]
    pub unsafe fn reserved(&mut self, ring: &RingBuf, record: NonNull<u8>) {
        self.records.push((NonNull::from(ring), record));
    }

    /// Hands the record at an address over, or throws it away; nothing where it is not held.
    #[inline]
    pub fn commit(&mut self, record: u64, flags: u64, discard: bool) {
        if let Some((ring, record)) = self.take(record) {
            // SAFETY: as `reserved` was promised.
            unsafe { ring.as_ref() }.commit(record, flags, discard);
        }
    }

    #[inline]
    fn take(&mut self, record: u64) -> Option<(NonNull<RingBuf>, NonNull<u8>)> {
        let held = |(_, held): &(NonNull<RingBuf>, NonNull<u8>)| held.addr().get() as u64 == record;
        // Nearly always the one that was reserved last.
        if self.records.last().is_some_and(held) {
            return self.records.pop();
        }
        let at = self.records.iter().rposition(held)?;
        Some(self.records.swap_remove(at))
    }

    /// Notes a lock that was taken.
    ///
    /// # Safety
    /// As for [`Plain::reserved`], of the map that it lies in.
    #[inline]
    pub unsafe fn locked(&mut self, lock: &AtomicU32) {
        self.lock = Some(NonNull::from(lock));
    }

    /// Gives the lock back; one that could not be taken is another's.
    #[inline]
    pub fn unlock(&mut self, lock: &AtomicU32) {
        if self.lock == Some(NonNull::from(lock)) {
            self.lock = None;
            maps::release(lock);
        }
    }

    #[cold]
    fn give_back(&mut self) {
        while let Some((ring, record)) = self.records.pop() {
            // SAFETY: as `reserved` was promised.
            unsafe { ring.as_ref() }.commit(record, 0, true);
        }
        if let Some(lock) = self.lock.take() {
            // SAFETY: as `locked` was promised.
            maps::release(unsafe { lock.as_ref() });
        }
    }
}
