//! What a run holds that others wait for: records of ring buffers and locks of values. All
//! of it is given back when the run ends, whichever way: a record that stayed busy would
//! stop its ring for ever, and a lock everybody who wants it. (What the verifier accepts
//! gives all of it back by itself, unless the budget or a panic ends the run before.)
//!
//! Elided code keeps its own list, which costs it less: `jit::run::State`.

use std::collections::BTreeMap;
use std::sync::Arc;

use skep_isa::Size;

use crate::mem::value::{Region, Value};
use crate::objects::MapHandle;

/// Records and locks of a run.
#[derive(Default)]
pub(crate) struct Held {
    /// By their first address; the region's epoch is the number of the reservation.
    records: BTreeMap<u64, Record>,
    reserved: u64,
    locks: Vec<Value>,
}

/// A ring buffer record that was reserved.
struct Record {
    map: Arc<MapHandle>,
    region: Region,
}

impl Held {
    /// Whether nothing is held.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.records.is_empty() && self.locks.is_empty()
    }

    /// Notes a record that was reserved; gives what the program may use.
    pub fn reserve(&mut self, map: Arc<MapHandle>, region: Region) -> Region {
        self.reserved += 1;
        let region = region.with_epoch(self.reserved);
        self.records.insert(region.start(), Record { map, region });
        region
    }

    /// Whether the record that a region is has not been given back.
    pub fn has_record(&self, region: Region) -> bool {
        let record = self.records.get(&region.start());
        record.is_some_and(|record| record.region.epoch() == region.epoch())
    }

    /// The record that starts at an address.
    pub fn record_at(&self, address: u64) -> Option<Region> {
        self.records.get(&address).map(|record| record.region)
    }

    /// Hands a record over, or throws it away; false where it is not held.
    pub fn commit(&mut self, region: Region, flags: u64, discard: bool) -> bool {
        if !self.has_record(region) {
            return false;
        }
        if let Some(record) = self.records.remove(&region.start()) {
            record.map.map.commit_record(record.region, flags, discard);
        }
        true
    }

    /// Notes a lock that was taken.
    pub fn lock(&mut self, lock: Value) {
        self.locks.push(lock);
    }

    /// Gives a lock back; false where it is not held.
    pub fn unlock(&mut self, lock: Value) -> bool {
        let at = self.locks.iter().rposition(|held| held.bits == lock.bits);
        at.map(|at| release(self.locks.swap_remove(at))).is_some()
    }

    /// Gives back whatever is held. The maps that it lies in are still the run's.
    pub fn give_back(&mut self) {
        for record in std::mem::take(&mut self.records).into_values() {
            record.map.map.commit_record(record.region, 0, true);
        }
        self.locks.drain(..).for_each(release);
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
