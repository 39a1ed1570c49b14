//! Which elements of a hash map are free.
//!
//! Elements are numbered from 1. Each lane (one per vCPU, one for system calls)
//! has its own range of elements never used so far and its own list of elements
//! given back, linked through their key's place; a lane that has none takes from
//! the others, so that exactly as many elements as the map holds can be in use.
//! Beside them each lane has a *spare*: an update of an existing key writes the
//! new value to the spare and keeps the old element as its next one, so that
//! readers see the old value whole or the new one. (Linux: `percpu_freelist.c`
//! and `extra_elems`; as there, a deleted element is the next one used again.)

use std::sync::atomic::{AtomicU32, Ordering};

use crate::spin::{Backoff, SpinLock};

/// Free elements, by lane.
#[derive(Debug)]
pub struct Pool {
    lanes: Box<[Lane]>,
    /// Whether a lane may take from another.
    shared: bool,
}

/// Padded to its own pair of cache lines.
#[derive(Debug)]
#[repr(align(128))]
struct Lane {
    lock: SpinLock,
    /// First element of the list, 0 when empty. Under `lock`.
    head: AtomicU32,
    /// The next element never used, and where the range ends. Under `lock`.
    fresh: AtomicU32,
    end: u32,
    spare: AtomicU32,
}

impl Pool {
    /// `capacity` elements for `lanes` lanes, the ranges of all but the last `idle` lanes
    /// being equal. Element numbers go up to [`Pool::total`].
    pub fn new(capacity: u32, lanes: u32, idle: u32, shared: bool) -> Pool {
        let owners = lanes - idle;
        let bound = |lane: u32| {
            (u64::from(capacity) * u64::from(lane.min(owners)) / u64::from(owners)) as u32 + 1
        };
        let lanes = (0..lanes)
            .map(|lane| Lane {
                lock: SpinLock::default(),
                head: AtomicU32::new(0),
                fresh: AtomicU32::new(bound(lane)),
                end: bound(lane + 1),
                spare: AtomicU32::new(capacity + 1 + lane),
            })
            .collect();
        Pool { lanes, shared }
    }

    /// The largest element number for a pool of this size: spares included.
    pub fn total(capacity: u32, lanes: u32) -> u64 {
        u64::from(capacity) + u64::from(lanes)
    }

    /// A free element, from this lane first; `None` when all are in use. `link` is the
    /// place of an element's link.
    pub fn take<'a>(&self, lane: u32, link: impl Fn(u32) -> &'a AtomicU32) -> Option<u32> {
        let count = self.lanes.len();
        let tries = if self.shared { count } else { 1 };
        (0..tries).find_map(|step| self.lanes[(lane as usize + step) % count].take(&link))
    }

    /// Gives an element back.
    pub fn give<'a>(&self, lane: u32, element: u32, link: impl Fn(u32) -> &'a AtomicU32) {
        let lane = &self.lanes[lane as usize];
        let _held = lane.lock.lock();
        link(element).store(lane.head.load(Ordering::Relaxed), Ordering::Relaxed);
        lane.head.store(element, Ordering::Relaxed);
    }

    /// Takes the lane's spare. It must come back, itself or another, by
    /// [`Pool::put_spare`] and without waiting for anything in between.
    #[inline(always)]
    pub fn take_spare(&self, lane: u32) -> u32 {
        let spare = self.lanes[lane as usize].spare.swap(0, Ordering::Acquire);
        if spare != 0 { spare } else { self.wait_for_spare(lane) }
    }

    /// Two threads update through one lane, as system calls do.
    #[cold]
    fn wait_for_spare(&self, lane: u32) -> u32 {
        let mut backoff = Backoff::new();
        loop {
            let spare = self.lanes[lane as usize].spare.swap(0, Ordering::Acquire);
            if spare != 0 {
                return spare;
            }
            backoff.wait();
        }
    }

    /// The lane's next spare.
    #[inline(always)]
    pub fn put_spare(&self, lane: u32, element: u32) {
        self.lanes[lane as usize].spare.store(element, Ordering::Release);
    }
}

impl Lane {
    fn take<'a>(&self, link: &impl Fn(u32) -> &'a AtomicU32) -> Option<u32> {
        let _held = self.lock.lock();
        let head = self.head.load(Ordering::Relaxed);
        if head != 0 {
            self.head.store(link(head).load(Ordering::Relaxed), Ordering::Relaxed);
            return Some(head);
        }
        let fresh = self.fresh.load(Ordering::Relaxed);
        (fresh < self.end).then(|| {
            self.fresh.store(fresh + 1, Ordering::Relaxed);
            fresh
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn exactly_the_capacity_can_be_taken_from_any_lane() {
        for (capacity, lanes) in [(1, 3), (2, 2), (10, 3), (7, 5)] {
            let links: Vec<AtomicU32> = (0..64).map(|_| AtomicU32::new(0)).collect();
            let link = |element: u32| &links[element as usize];
            let pool = Pool::new(capacity, lanes, 1, true);
            let mut taken = HashSet::new();
            for step in 0..capacity {
                taken.insert(pool.take(step % lanes, link).unwrap());
            }
            assert_eq!(pool.take(0, link), None);
            for lane in 0..lanes {
                taken.insert(pool.take_spare(lane));
            }
            let all = Pool::total(capacity, lanes) as u32;
            assert_eq!(taken, (1..=all).collect());
            pool.give(0, 1, link);
            pool.give(lanes - 1, 2, link);
            assert_eq!(pool.take(0, link), Some(1), "the last one given is the first taken");
            assert_eq!(pool.take(0, link), Some(2), "then another lane's");
            assert_eq!(pool.take(0, link), None);
        }
    }

    #[test]
    fn lanes_that_do_not_share_keep_to_their_own() {
        let links: Vec<AtomicU32> = (0..64).map(|_| AtomicU32::new(0)).collect();
        let link = |element: u32| &links[element as usize];
        let pool = Pool::new(4, 2, 0, false);
        assert!(pool.take(0, link).is_some() && pool.take(0, link).is_some());
        assert_eq!(pool.take(0, link), None);
        assert!(pool.take(1, link).is_some());
    }
}
