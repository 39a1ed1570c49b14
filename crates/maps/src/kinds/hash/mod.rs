//! Hash maps: plain, per-CPU, LRU, LRU per-CPU.
//!
//! An element is `[LRU head: 8 bytes] key value`, key and value each rounded up to
//! 8 bytes; a per-CPU map's values stand in one area per vCPU instead, at the
//! element's number. An update of an existing key swaps the element for a spare one
//! (per-CPU values are written in place, as on Linux), so a value is seen whole or
//! not at all; with `BPF_F_LOCK` it writes in place. Deleted elements are used again at
//! once. Answers to `kernel/bpf/hashtab.c`.
//!
//! What an inlined look-up relies on: [`table::Table`]'s and [`bucket::Bucket`]'s
//! layouts, `key::Seed`, and the value's address, `elements + number * stride +
//! value_at`, or `values + vcpu * area + number * slot` in per-CPU maps.

mod batch;
mod bucket;
mod key;
mod lru;
mod pool;
mod table;

use std::ptr::NonNull;
use std::sync::atomic::AtomicU32;

use skep_abi::{Errno, flags};

use key::{Key, Seed, with_key, with_key_at};
use lru::Lru;
use pool::Pool;
pub use table::Position;
use table::{Place, Table};

use super::Caller;
use super::percpu::PerCpu;
use crate::fields::Fields;
use crate::mem::bytes::Bytes;
use crate::mem::words;
use crate::spin::window;

/// A hash map's storage.
#[derive(Debug)]
pub struct Hash {
    table: Table,
    pool: Pool,
    key_size: usize,
    value_size: usize,
    value_at: usize,
    fields: Fields,
    percpu: Option<PerCpu>,
    lru: Option<Lru>,
    cpus: u32,
    /// What an insertion gets when no element is free.
    full: Errno,
}

/// What a hash map is to be.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    /// Bytes of a key.
    pub key_size: u32,
    /// Bytes of a value.
    pub value_size: u32,
    /// Most keys at a time.
    pub capacity: u32,
    /// Elements that memory may be used for; fewer than `capacity` where a map that takes its
    /// memory as it grows is larger than allowed.
    pub elements: u32,
    /// vCPUs.
    pub cpus: u32,
    /// Each vCPU has a value of its own.
    pub percpu: bool,
    /// The least recently used keys give way to new ones.
    pub lru: bool,
    /// Each vCPU evicts from a share of its own (`BPF_F_NO_COMMON_LRU`).
    pub lru_shares: bool,
    /// The hash is the same in each run (`BPF_F_ZERO_SEED`).
    pub zero_seed: bool,
}

impl Shape {
    /// One lane per vCPU, the last for system calls.
    fn lanes(&self) -> u32 {
        self.cpus + 1
    }

    fn key_at(&self) -> usize {
        if self.lru { lru::HEAD } else { 0 }
    }

    fn value_at(&self) -> usize {
        self.key_at() + (self.key_size as usize).next_multiple_of(8)
    }

    /// Bytes from an element to the next. Small elements never straddle a cache line.
    fn stride(&self) -> usize {
        let value = if self.percpu { 0 } else { (self.value_size as usize).next_multiple_of(8) };
        let size = self.value_at() + value;
        if size <= 64 { size.next_power_of_two() } else { size }
    }

    /// Bytes of the empty table.
    pub fn table_bytes(&self) -> u64 {
        Table::homes(self.capacity) * 64
    }

    /// Bytes of an element with its values.
    pub fn element_bytes(&self) -> u64 {
        let values = if self.percpu { PerCpu::footprint(1, self.value_size, self.cpus) } else { 0 };
        self.stride() as u64 + values
    }
}

impl Hash {
    /// An empty map; ENOMEM where the host has no room.
    pub fn new(shape: Shape, fields: Fields) -> Result<Hash, Errno> {
        let total = Pool::total(shape.elements, shape.lanes());
        let seed = if shape.zero_seed { Seed::ZERO } else { Seed::random() };
        let percpu = match shape.percpu {
            true => Some(PerCpu::new(total + 1, shape.value_size, shape.cpus, fields.clone())?),
            false => None,
        };
        Ok(Hash {
            table: Table::new(shape.capacity, total, shape.stride(), shape.key_at(), seed)?,
            pool: Pool::new(shape.elements, shape.lanes(), 1, !shape.lru_shares),
            key_size: shape.key_size as usize,
            value_size: shape.value_size as usize,
            value_at: shape.value_at(),
            fields,
            percpu,
            lru: shape.lru.then(|| Lru::new(total, shape.cpus, shape.lru_shares)),
            cpus: shape.cpus,
            full: if shape.elements < shape.capacity { Errno::ENOMEM } else { Errno::E2BIG },
        })
    }

    /// The value of a key on a vCPU, as a program looks it up. The address stays valid
    /// while the map lives; the element may serve another key once it is deleted.
    #[inline]
    pub fn lookup(&self, key: &[u8], cpu: u32) -> Option<NonNull<u8>> {
        with_key!(key, |k| self.lookup_of(k, cpu))
    }

    /// [`Hash::lookup`] of a key in a program's memory.
    ///
    /// # Safety
    /// `key` is valid for atomic reads of a key.
    #[inline(always)]
    pub unsafe fn lookup_at(&self, key: *const u8, cpu: u32) -> Option<NonNull<u8>> {
        // SAFETY: as the caller promises.
        unsafe { with_key_at!(self.key_size, key, |k| self.lookup_of(k, cpu)) }
    }

    /// Bytes of a key that [`Hash::lookup_plain`] takes: one or two words, of a map that keeps no
    /// account of use and has one value for all vCPUs.
    pub fn plain_key(&self) -> Option<usize> {
        let plain = self.lru.is_none() && self.percpu.is_none();
        Some(self.key_size).filter(|size| plain && matches!(size, 4 | 8 | 16))
    }

    /// [`Hash::lookup_at`] for a map whose [`Hash::plain_key`] is `SIZE`.
    ///
    /// # Safety
    /// It is, and `key` is valid for atomic reads of a key.
    #[inline(always)]
    pub unsafe fn lookup_plain<const SIZE: usize>(&self, key: *const u8) -> Option<NonNull<u8>> {
        // SAFETY: as the caller promises.
        let place = unsafe { with_key_at!(SIZE, key, |k| self.find(k)) }?;
        // SAFETY: the value is inside the element.
        NonNull::new(unsafe { self.table.element(place.element()).add(self.value_at) })
    }

    #[inline(always)]
    fn lookup_of<K: Key>(&self, key: K, cpu: u32) -> Option<NonNull<u8>> {
        let element = self.find(key)?.element();
        if let Some(lru) = &self.lru {
            lru.touch(self.table.element(element));
        }
        NonNull::new(self.value(element, cpu))
    }

    #[inline(always)]
    fn find<K: Key>(&self, key: K) -> Option<Place<'_>> {
        self.table.find(key, key.hash(&self.table.seed))
    }

    #[inline(always)]
    fn value(&self, element: u32, cpu: u32) -> *mut u8 {
        match &self.percpu {
            // SAFETY: the value is inside the element.
            None => unsafe { self.table.element(element).add(self.value_at) },
            Some(values) => values.slot(element as usize, cpu),
        }
    }

    fn lane(&self, caller: Caller) -> u32 {
        match caller {
            Caller::Program(cpu) => cpu.min(self.cpus),
            Caller::System => self.cpus,
        }
    }

    /// The link of a free element: in the LRU head, or over the key.
    fn link(&self, element: u32) -> &AtomicU32 {
        let at = match self.lru {
            // SAFETY: the second word of the head.
            Some(_) => unsafe { self.table.element(element).add(4) },
            None => self.table.key(element),
        };
        // SAFETY: 4 bytes inside the element, 4-byte aligned, that live as long as `self`.
        unsafe { AtomicU32::from_ptr(at.cast()) }
    }

    fn take(&self, lane: u32) -> Option<u32> {
        match &self.lru {
            None => self.pool.take(lane, |element| self.link(element)),
            Some(lru) => {
                let lane = lru.source(lane);
                let element = self.pool.take(lane, |element| self.link(element))?;
                lru.start(self.table.element(element), lane);
                Some(element)
            }
        }
    }

    fn give(&self, lane: u32, element: u32) {
        let lane = match &self.lru {
            Some(lru) => lru.owner(self.table.element(element), lane),
            None => lane,
        };
        self.pool.give(lane, element, |element| self.link(element));
    }

    /// Writes key and value of an element that no slot names.
    #[inline(always)]
    fn fill<K: Key>(&self, element: u32, key: K, value: &[u8], caller: Caller) {
        bucket::before_filling();
        // SAFETY: the element has room for key and value, 8-byte aligned.
        unsafe { key.put(self.table.key(element)) };
        match &self.percpu {
            // SAFETY: as above.
            None => unsafe {
                self.fields.store(self.value(element, 0), &value[..self.value_size]);
            },
            Some(values) => values.fill(element as usize, value, caller),
        }
    }

    /// Creates or replaces a key's value by `flags` (`BPF_ANY`, `BPF_NOEXIST`,
    /// `BPF_EXIST`, and `BPF_F_LOCK`). E2BIG when full; EEXIST and ENOENT as the flags say.
    #[inline]
    pub fn update(
        &self,
        key: &[u8],
        value: &[u8],
        flags: u64,
        caller: Caller,
    ) -> Result<(), Errno> {
        if flags > flags::update::EXIST {
            return self.update_locked(key, value, flags, caller);
        }
        with_key!(key, |k| self.upsert(k, value, flags, caller))
    }

    /// [`Hash::update`] of a key in a program's memory.
    ///
    /// # Safety
    /// `key` is valid for atomic reads of a key.
    #[inline(always)]
    pub unsafe fn update_at(
        &self,
        key: *const u8,
        value: &[u8],
        flags: u64,
        caller: Caller,
    ) -> Result<(), Errno> {
        if flags > flags::update::EXIST {
            let mut bytes = Bytes::zeros(self.key_size);
            // SAFETY: as the caller promises.
            unsafe { words::gather(&mut bytes, key) };
            return self.update_locked(&bytes, value, flags, caller);
        }
        // SAFETY: as above.
        unsafe { with_key_at!(self.key_size, key, |k| self.upsert(k, value, flags, caller)) }
    }

    /// `BPF_F_LOCK`: the value of an existing key is overwritten in place, by its lock.
    #[cold]
    fn update_locked(
        &self,
        key: &[u8],
        value: &[u8],
        flags: u64,
        caller: Caller,
    ) -> Result<(), Errno> {
        use flags::update::{EXIST, LOCK, NOEXIST};
        let how = flags & !LOCK;
        if how > EXIST || !self.fields.has_lock() {
            return Err(Errno::EINVAL);
        }
        loop {
            if how != NOEXIST
                && let Some(done) = with_key!(key, |k| self.overwrite_locked(k, value))
            {
                return done;
            }
            if how == EXIST {
                return Err(Errno::ENOENT);
            }
            match self.update(key, value, NOEXIST, caller) {
                // Somebody else made the element meanwhile.
                Err(Errno::EEXIST) if how != NOEXIST => {}
                done => return done,
            }
        }
    }

    /// Overwrites a key's value by its lock; `None` where there is no such key. The chain is
    /// held meanwhile, so that the element stays the key's: who holds a value's lock calls
    /// no helper that waits for a chain.
    fn overwrite_locked<K: Key>(&self, key: K, value: &[u8]) -> Option<Result<(), Errno>> {
        let hash = key.hash(&self.table.seed);
        let chain = self.table.home(hash).lock();
        let element = self.table.find_held(&chain, key, hash)?.element();
        let to = self.value(element, 0);
        // SAFETY: the element has room for a value, 8-byte aligned.
        let store = || unsafe { self.fields.store(to, &value[..self.value_size]) };
        // SAFETY: as above; elements of a map with locks hold values.
        Some(unsafe { self.fields.locked(to, store) })
    }

    #[inline(always)]
    fn upsert<K: Key>(
        &self,
        key: K,
        value: &[u8],
        flags: u64,
        caller: Caller,
    ) -> Result<(), Errno> {
        let hash = key.hash(&self.table.seed);
        let lane = self.lane(caller);
        let mut chain = self.table.home(hash).lock();
        let Some(place) = self.table.find_held(&chain, key, hash) else {
            if flags == flags::update::EXIST {
                return Err(Errno::ENOENT);
            }
            if let Some(element) = self.take(lane) {
                self.fill(element, key, value, caller);
                return self.table.insert(&chain, hash, element);
            }
            drop(chain);
            return self.evict_and_insert(key, value, flags, caller);
        };
        if flags == flags::update::NOEXIST {
            return Err(Errno::EEXIST);
        }
        let old = place.element();
        if let Some(lru) = &self.lru {
            lru.touch(self.table.element(old));
        }
        if let Some(values) = &self.percpu {
            values.overwrite(old as usize, value, caller);
            return Ok(());
        }
        let new = self.pool.take_spare(lane);
        self.fill(new, key, value, caller);
        if let Some(lru) = &self.lru {
            lru.exchange(self.table.element(old), self.table.element(new));
        }
        self.table.replace(&mut chain, place, new);
        drop(chain);
        self.pool.put_spare(lane, old);
        Ok(())
    }

    /// No element was free for a new key. The chain was let go, since the victim's chain
    /// has to be held, so the key may have been created meanwhile.
    #[cold]
    fn evict_and_insert<K: Key>(
        &self,
        key: K,
        value: &[u8],
        flags: u64,
        caller: Caller,
    ) -> Result<(), Errno> {
        let lane = self.lane(caller);
        let Some(lru) = &self.lru else {
            return Err(self.full);
        };
        let element = self.evict(lru, lru.source(lane)).ok_or(Errno::ENOMEM)?;
        let hash = key.hash(&self.table.seed);
        let chain = self.table.home(hash).lock();
        if self.table.find_held(&chain, key, hash).is_some() {
            drop(chain);
            self.give(lane, element);
            return self.upsert(key, value, flags, caller);
        }
        self.fill(element, key, value, caller);
        self.table.insert(&chain, hash, element)
    }

    /// Unlinks the next element that was not used for a round, or takes one that became
    /// free. `None` if other threads are quicker, again and again.
    fn evict(&self, lru: &Lru, lane: u32) -> Option<u32> {
        for candidate in lru.candidates(lane) {
            let head = self.table.element(candidate);
            if !lru.may_evict(head, lane) || lru.second_chance(head) {
                continue;
            }
            let mut chain = self.table.home(self.hash_of(candidate)).lock();
            let place = self.table.find_element(&chain, candidate);
            let emptied = place.and_then(|place| self.table.unlink(&mut chain, place));
            drop(chain);
            if let Some(bucket) = emptied {
                self.table.recycle(bucket);
            }
            if place.is_some() {
                lru.start(head, lane);
                return Some(candidate);
            }
            let free = self.take(lane);
            if free.is_some() {
                return free;
            }
        }
        None
    }

    /// The hash of an element's key. Of an element that is being reused it is any number.
    fn hash_of(&self, element: u32) -> u64 {
        let mut short = [0; 16];
        let mut long = Vec::new();
        let key = if self.key_size <= short.len() {
            &mut short[..self.key_size]
        } else {
            long.resize(self.key_size, 0);
            &mut long[..]
        };
        // SAFETY: the key is inside the element, 8-byte aligned.
        unsafe { words::load(key, self.table.key(element)) };
        with_key!(&*key, |k| k.hash(&self.table.seed))
    }

    /// Deletes a key; ENOENT when there is none.
    pub fn delete(&self, key: &[u8], caller: Caller) -> Result<(), Errno> {
        self.delete_with(key, caller, |_| Ok(()))
    }

    fn delete_with(
        &self,
        key: &[u8],
        caller: Caller,
        last_look: impl FnOnce(u32) -> Result<(), Errno>,
    ) -> Result<(), Errno> {
        let element = with_key!(key, |k| {
            let hash = k.hash(&self.table.seed);
            let mut chain = self.table.home(hash).lock();
            let place = self.table.find_held(&chain, k, hash).ok_or(Errno::ENOENT)?;
            last_look(place.element())?;
            let emptied = self.table.unlink(&mut chain, place);
            drop(chain);
            if let Some(bucket) = emptied {
                self.table.recycle(bucket);
            }
            place.element()
        });
        self.give(self.lane(caller), element);
        Ok(())
    }

    /// Copies a key's value out, as a system call sees it (a per-CPU map's values one after
    /// the other): never a mixture of two updates, except of a program's own stores and of
    /// those in place, against which `locked` helps.
    pub fn read(&self, key: &[u8], out: &mut [u8], locked: bool) -> Result<(), Errno> {
        with_key!(key, |k| self.read_of(k, out, locked))
    }

    /// Two updates of a key may bring its element back to its slot, with another value: only
    /// the chain's count tells that. Where others change the chain all the time, the last
    /// try holds it.
    fn read_of<K: Key>(&self, key: K, out: &mut [u8], locked: bool) -> Result<(), Errno> {
        const TRIES: u32 = 8;
        let hash = key.hash(&self.table.seed);
        let home = self.table.home(hash);
        for _ in 0..TRIES {
            let copy = || {
                let place = self.table.find(key, hash).ok_or(Errno::ENOENT)?;
                window();
                self.copy_value(place.element(), out, locked)
            };
            if let Some(done) = home.unless_changed(copy) {
                return done;
            }
        }
        let chain = home.lock();
        let place = self.table.find_held(&chain, key, hash).ok_or(Errno::ENOENT)?;
        self.copy_value(place.element(), out, locked)
    }

    /// Copies a key's value out and deletes the key.
    pub fn read_and_delete(&self, key: &[u8], out: &mut [u8], locked: bool) -> Result<(), Errno> {
        self.delete_with(key, Caller::System, |element| self.copy_value(element, out, locked))
    }

    fn copy_value(&self, element: u32, out: &mut [u8], locked: bool) -> Result<(), Errno> {
        if let Some(values) = &self.percpu {
            values.copy_out(element as usize, out);
            return Ok(());
        }
        let from = self.value(element, 0);
        // SAFETY: the value is inside the element, 8-byte aligned.
        let mut load = || unsafe { self.fields.load(&mut out[..self.value_size], from) };
        if locked {
            // SAFETY: as above.
            return unsafe { self.fields.locked(from, load) };
        }
        load();
        Ok(())
    }

    /// The key behind `key` in the table's order; the first for none or an unknown one.
    pub fn next_key(&self, key: Option<&[u8]>, out: &mut [u8]) -> Result<(), Errno> {
        let after = key
            .and_then(|key| with_key!(key, |k| self.table.position(k, k.hash(&self.table.seed))));
        let mut from =
            after.map_or(Position::default(), |at| Position { ordinal: at.ordinal + 1, ..at });
        loop {
            let (place, next) = self.table.scan(from).ok_or(Errno::ENOENT)?;
            // SAFETY: the key is inside the element, 8-byte aligned.
            unsafe {
                words::load(&mut out[..self.key_size], self.table.key(place.element()));
            }
            if place.holds() {
                return Ok(());
            }
            // Replaced or deleted just now: look at the slot once more.
            from = Position { ordinal: next.ordinal - 1, ..next };
        }
    }

    /// The next element at or behind a position: addresses of its key and of its value on
    /// a vCPU, and the position behind it (`bpf_for_each_map_elem`).
    pub fn walk(&self, from: Position, cpu: u32) -> Option<(NonNull<u8>, NonNull<u8>, Position)> {
        let (place, next) = self.table.scan(from)?;
        let key = NonNull::new(self.table.key(place.element()))?;
        Some((key, NonNull::new(self.value(place.element(), cpu))?, next))
    }
}

#[cfg(test)]
mod tests {
    use super::key::Key8;
    use super::*;

    #[test]
    fn chains_that_grew_give_their_overflow_buckets_back() {
        // One chain at a time gets all keys: it needs 9 of the 64 overflow buckets.
        let shape = Shape {
            key_size: 8,
            value_size: 8,
            capacity: 64,
            elements: 64,
            cpus: 1,
            percpu: false,
            lru: false,
            lru_shares: false,
            zero_seed: true,
        };
        let map = Hash::new(shape, Fields::default()).unwrap();
        let home = |key: u64| std::ptr::from_ref(map.table.home(Key8(key).hash(&Seed::ZERO)));
        for first in 0..200u64 {
            let neighbours = (first..).filter(|key| home(*key) == home(first)).take(64);
            let keys: Vec<_> = neighbours.map(u64::to_ne_bytes).collect();
            for key in &keys {
                map.update(key, key, 0, Caller::Program(0)).unwrap();
            }
            assert_eq!(map.update(&[0xff; 8], &[0; 8], 0, Caller::System), Err(Errno::E2BIG));
            for key in &keys {
                assert!(map.lookup(key, 0).is_some());
                map.delete(key, Caller::Program(0)).unwrap();
            }
        }
    }
}
