//! The maps of the embedded kernel.
//!
//! A [`Map`] has two sides. Programs get addresses into it ([`Map::lookup`]), which
//! stay valid while the map lives, and call the helpers' counterparts; they run on a
//! vCPU, which no other program runs on at the same time. System calls copy in and
//! out; they may run on any thread. Errors are Linux 6.18's, in its order of checks;
//! access modes, freezing and fds are the system call layer's, which finds the state
//! that it needs here.
//!
//! Layouts and concurrency are those that compiled programs rely on: see `array`,
//! `percpu`, `hash`.
#![allow(unsafe_code)]

mod array;
mod create;
mod hash;
mod percpu;
mod spin;

#[cfg(test)]
mod tests;

use std::ptr::NonNull;
use std::sync::Arc;

use skep_abi::{Errno, MapType, flags};

use crate::mem::SharedMemory;
use array::Array;
pub use create::MapAttr;
use hash::{Hash, Position, Shape};

/// A map.
#[derive(Debug)]
pub struct Map {
    map_type: MapType,
    key_size: u32,
    value_size: u32,
    max_entries: u32,
    flags: u32,
    cpus: u32,
    storage: Storage,
}

#[derive(Debug)]
enum Storage {
    Array(Array),
    Hash(Hash),
}

/// Who asks: decides which vCPU's value is meant.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Caller {
    /// A program on this vCPU: it reads and writes that vCPU's value.
    Program(u32),
    /// A system call: it brings or takes the values of all vCPUs.
    System,
}

/// A position in a walk over a map; starts as the default.
#[derive(Clone, Copy, Default, Debug)]
pub struct Cursor(Position);

/// An element that a walk came to.
#[derive(Clone, Copy, Debug)]
pub struct Element {
    /// Address of the key, except in arrays, whose key is `index`.
    pub key: Option<NonNull<u8>>,
    /// Its number in an array.
    pub index: u32,
    /// Address of the value.
    pub value: NonNull<u8>,
}

/// Where a batch of elements goes: room for as many keys and values as both slices hold.
#[derive(Debug)]
pub struct Batch<'a> {
    keys: std::slice::ChunksExactMut<'a, u8>,
    values: std::slice::ChunksExactMut<'a, u8>,
    done: u32,
}

impl<'a> Batch<'a> {
    fn new(map: &Map, keys: &'a mut [u8], values: &'a mut [u8]) -> Batch<'a> {
        Batch {
            keys: keys.chunks_exact_mut(map.key_size.max(1) as usize),
            values: values.chunks_exact_mut(map.user_value_size()),
            done: 0,
        }
    }

    fn room(&self) -> usize {
        self.keys.len().min(self.values.len())
    }

    /// The next element's place. There is room.
    fn next(&mut self) -> (&'a mut [u8], &'a mut [u8]) {
        self.done += 1;
        (
            self.keys.next().unwrap_or_default(),
            self.values.next().unwrap_or_default(),
        )
    }

    fn done(&self) -> u32 {
        self.done
    }
}

/// How a batch command ended. Linux writes count and cursor back even with some errors.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BatchResult {
    /// What the command returns.
    pub result: Result<(), Errno>,
    /// What to write to `batch.count`, if anything.
    pub count: Option<u32>,
    /// What to write to `batch.out_batch`, if anything.
    pub cursor: Option<Vec<u8>>,
}

impl BatchResult {
    fn refused(errno: Errno) -> BatchResult {
        BatchResult {
            result: Err(errno),
            count: None,
            cursor: None,
        }
    }
}

/// The `u32` that an array's key is.
fn index_of(key: &[u8]) -> u32 {
    key.first_chunk()
        .map_or(u32::MAX, |bytes| u32::from_ne_bytes(*bytes))
}

impl Map {
    /// Makes a map for `cpus` vCPUs.
    pub fn create(attr: &MapAttr, cpus: u32) -> Result<Arc<Map>, Errno> {
        attr.check()?;
        attr.check_type()?;
        let cpus = cpus.max(1);
        let mut max_entries = attr.max_entries;
        if attr.has(flags::map::NO_COMMON_LRU) {
            // The same share for each vCPU.
            max_entries = max_entries
                .checked_next_multiple_of(cpus)
                .unwrap_or(max_entries);
        }
        let fits = |bytes: u64| {
            if bytes > attr.memory_limit {
                Err(Errno::ENOMEM)
            } else {
                Ok(())
            }
        };
        let storage = match attr.map_type {
            MapType::Array => {
                fits(Array::footprint(max_entries, attr.value_size, 1))?;
                let shared = attr.has(flags::map::MMAPABLE);
                Storage::Array(Array::new(max_entries, attr.value_size, shared)?)
            }
            MapType::PercpuArray => {
                fits(Array::footprint(max_entries, attr.value_size, cpus))?;
                Storage::Array(Array::percpu(max_entries, attr.value_size, cpus)?)
            }
            MapType::Hash | MapType::PercpuHash | MapType::LruHash | MapType::LruPercpuHash => {
                let mut shape = Shape {
                    key_size: attr.key_size,
                    value_size: attr.value_size,
                    capacity: max_entries,
                    elements: max_entries,
                    cpus,
                    percpu: attr.percpu(),
                    lru: attr.lru(),
                    lru_shares: attr.has(flags::map::NO_COMMON_LRU),
                    zero_seed: attr.has(flags::map::ZERO_SEED),
                };
                fits(shape.table_bytes())?;
                let room = (attr.memory_limit - shape.table_bytes()) / shape.element_bytes();
                if room < u64::from(max_entries) {
                    if !attr.has(flags::map::NO_PREALLOC) {
                        return Err(Errno::ENOMEM);
                    }
                    shape.elements = room as u32;
                }
                Storage::Hash(Hash::new(shape)?)
            }
            _ => return Err(Errno::EINVAL),
        };
        Ok(Arc::new(Map {
            map_type: attr.map_type,
            key_size: attr.key_size,
            value_size: attr.value_size,
            max_entries,
            flags: attr.flags & !(flags::map::RDONLY | flags::map::WRONLY),
            cpus,
            storage,
        }))
    }

    /// What kind of map.
    pub fn map_type(&self) -> MapType {
        self.map_type
    }

    /// Bytes of a key.
    pub fn key_size(&self) -> u32 {
        self.key_size
    }

    /// Bytes of a value, as programs see it.
    pub fn value_size(&self) -> u32 {
        self.value_size
    }

    /// Elements at most.
    pub fn max_entries(&self) -> u32 {
        self.max_entries
    }

    /// `map_flags` without those of the fd.
    pub fn flags(&self) -> u32 {
        self.flags
    }

    /// vCPUs that per-CPU values are for.
    pub fn cpus(&self) -> u32 {
        self.cpus
    }

    /// Whether each vCPU has its own values.
    pub fn percpu(&self) -> bool {
        use MapType::{LruPercpuHash, PercpuArray, PercpuHash};
        matches!(self.map_type, PercpuArray | PercpuHash | LruPercpuHash)
    }

    /// Bytes of a value, as system calls see it: a per-CPU map's are rounded up to 8 and one
    /// behind the other.
    pub fn user_value_size(&self) -> usize {
        let size = self.value_size as usize;
        if self.percpu() {
            size.next_multiple_of(8) * self.cpus as usize
        } else {
            size
        }
    }

    // The side of programs. Keys and values are of the map's sizes, as verified programs'
    // are; shorter ones would panic.

    /// `bpf_map_lookup_elem`: the address of the vCPU's value.
    #[inline]
    pub fn lookup(&self, key: &[u8], cpu: u32) -> Option<NonNull<u8>> {
        match &self.storage {
            Storage::Array(array) => array.lookup(index_of(key), cpu),
            Storage::Hash(hash) => hash.lookup(&key[..self.key_size as usize], cpu),
        }
    }

    /// `bpf_map_lookup_percpu_elem`: the address of any vCPU's value.
    pub fn lookup_percpu(&self, key: &[u8], cpu: u32) -> Option<NonNull<u8>> {
        if self.percpu() && cpu < self.cpus {
            self.lookup(key, cpu)
        } else {
            None
        }
    }

    /// `bpf_map_update_elem`.
    #[inline]
    pub fn update(&self, key: &[u8], value: &[u8], flags: u64, cpu: u32) -> Result<(), Errno> {
        self.update_as(key, value, flags, Caller::Program(cpu))
    }

    #[inline]
    fn update_as(&self, key: &[u8], value: &[u8], flags: u64, by: Caller) -> Result<(), Errno> {
        match &self.storage {
            Storage::Array(array) => array.update(index_of(key), value, flags, by),
            Storage::Hash(hash) => hash.update(&key[..self.key_size as usize], value, flags, by),
        }
    }

    /// `bpf_map_delete_elem`.
    pub fn delete(&self, key: &[u8], cpu: u32) -> Result<(), Errno> {
        self.delete_as(key, Caller::Program(cpu))
    }

    fn delete_as(&self, key: &[u8], by: Caller) -> Result<(), Errno> {
        match &self.storage {
            Storage::Array(_) => Err(Errno::EINVAL),
            Storage::Hash(hash) => hash.delete(&key[..self.key_size as usize], by),
        }
    }

    /// The next element in the order of `bpf_for_each_map_elem`, which visits what was there
    /// throughout exactly once.
    pub fn walk(&self, cursor: &mut Cursor, cpu: u32) -> Option<Element> {
        match &self.storage {
            Storage::Array(array) => {
                let index = cursor.0.home;
                let value = array.lookup(index, cpu)?;
                cursor.0.home += 1;
                Some(Element {
                    key: None,
                    index,
                    value,
                })
            }
            Storage::Hash(hash) => {
                let (key, value, next) = hash.walk(cursor.0, cpu)?;
                cursor.0 = next;
                Some(Element {
                    key: Some(key),
                    index: 0,
                    value,
                })
            }
        }
    }

    /// Address of byte `offset` of an array's only value, which `BPF_PSEUDO_MAP_VALUE` asks
    /// for. ENOTSUPP for other maps, EINVAL past the value.
    pub fn direct_value(&self, offset: u32) -> Result<NonNull<u8>, Errno> {
        match &self.storage {
            Storage::Array(array) if self.map_type == MapType::Array && self.max_entries == 1 => {
                if offset >= self.value_size {
                    return Err(Errno::EINVAL);
                }
                let base = array.lookup(0, 0).ok_or(Errno::EINVAL)?;
                // SAFETY: inside the value, as just checked.
                Ok(unsafe { base.add(offset as usize) })
            }
            _ => Err(Errno::ENOTSUPP),
        }
    }

    /// The memory that user space may map: of an array with `BPF_F_MMAPABLE`.
    pub fn shared(&self) -> Option<&SharedMemory> {
        match &self.storage {
            Storage::Array(array) => array.shared(),
            Storage::Hash(_) => None,
        }
    }

    // The side of system calls. `flags` are the command's; EPERM and EFAULT are the
    // caller's; keys are `key_size` and values `user_value_size` bytes long.

    /// MAP_LOOKUP_ELEM.
    pub fn lookup_copy(&self, key: &[u8], out: &mut [u8], flags: u64) -> Result<(), Errno> {
        if flags != 0 {
            // BPF_F_LOCK, but no value has a lock.
            return Err(Errno::EINVAL);
        }
        match &self.storage {
            Storage::Array(array) => array.read(index_of(key), out),
            Storage::Hash(hash) => hash.read(key, out),
        }
    }

    /// MAP_UPDATE_ELEM.
    pub fn update_from_user(&self, key: &[u8], value: &[u8], flags: u64) -> Result<(), Errno> {
        self.update_as(key, value, flags, Caller::System)
    }

    /// MAP_DELETE_ELEM.
    pub fn delete_from_user(&self, key: &[u8]) -> Result<(), Errno> {
        self.delete_as(key, Caller::System)
    }

    /// MAP_GET_NEXT_KEY: ENOENT behind the last.
    pub fn next_key(&self, key: Option<&[u8]>, out: &mut [u8]) -> Result<(), Errno> {
        match &self.storage {
            Storage::Array(_) => {
                let next = array::next_index(key.map(index_of), self.max_entries)?;
                out.copy_from_slice(&next.to_ne_bytes());
                Ok(())
            }
            Storage::Hash(hash) => hash.next_key(key, out),
        }
    }

    /// MAP_LOOKUP_AND_DELETE_ELEM.
    pub fn lookup_and_delete(&self, key: &[u8], out: &mut [u8], flags: u64) -> Result<(), Errno> {
        if flags != 0 {
            return Err(Errno::EINVAL);
        }
        match &self.storage {
            Storage::Hash(hash) => hash.read_and_delete(key, out),
            Storage::Array(_) => Err(Errno::ENOTSUPP),
        }
    }

    /// Bytes of `in_batch` and `out_batch`.
    pub fn batch_cursor_size(&self) -> usize {
        match &self.storage {
            Storage::Hash(_) => 4,
            _ => self.key_size as usize,
        }
    }

    /// MAP_LOOKUP_BATCH, or with `delete` MAP_LOOKUP_AND_DELETE_BATCH. `keys` and `values`
    /// have room for `batch.count` elements.
    pub fn lookup_batch(
        &self,
        cursor: Option<&[u8]>,
        keys: &mut [u8],
        values: &mut [u8],
        elem_flags: u64,
        flags: u64,
        delete: bool,
    ) -> BatchResult {
        let hash = match &self.storage {
            Storage::Hash(hash) => Some(hash),
            Storage::Array(_) if delete => return BatchResult::refused(Errno::ENOTSUPP),
            Storage::Array(_) => None,
        };
        if elem_flags != 0 || hash.is_some() && flags != 0 {
            return BatchResult::refused(Errno::EINVAL);
        }
        let mut batch = Batch::new(self, keys, values);
        if batch.room() == 0 {
            return BatchResult {
                result: Ok(()),
                count: None,
                cursor: None,
            };
        }
        let (result, cursor) = match hash {
            Some(hash) => {
                let (next, result) =
                    hash.read_batch(cursor.map_or(0, index_of), &mut batch, delete);
                (result, Some(next.to_ne_bytes().to_vec()))
            }
            None => self.lookup_batch_by_keys(cursor, &mut batch),
        };
        BatchResult {
            result,
            count: Some(batch.done()),
            cursor,
        }
    }

    /// `generic_map_lookup_batch()`: the cursor is the last key handed out.
    fn lookup_batch_by_keys(
        &self,
        cursor: Option<&[u8]>,
        batch: &mut Batch<'_>,
    ) -> (Result<(), Errno>, Option<Vec<u8>>) {
        let mut last = cursor.map(<[u8]>::to_vec);
        let mut key = vec![0; self.key_size as usize];
        let mut value = vec![0; self.user_value_size()];
        let mut result = Ok(());
        while batch.room() > 0 && result.is_ok() {
            result = self.next_key(last.as_deref(), &mut key);
            if result.is_ok() {
                match self.lookup_copy(&key, &mut value, 0) {
                    Ok(()) => {
                        let (to_key, to_value) = batch.next();
                        to_key.copy_from_slice(&key);
                        to_value.copy_from_slice(&value);
                    }
                    // Deleted meanwhile.
                    Err(Errno::ENOENT) => {}
                    Err(errno) => return (Err(errno), None),
                }
                last = Some(key.clone());
            }
        }
        (result, last.filter(|_| batch.done() > 0))
    }

    /// MAP_UPDATE_BATCH: as many elements as both slices hold.
    pub fn update_batch(&self, keys: &[u8], values: &[u8], elem_flags: u64) -> BatchResult {
        let keys = keys.chunks_exact(self.key_size.max(1) as usize);
        let values = values.chunks_exact(self.user_value_size());
        self.each(elem_flags, keys.zip(values), |(key, value)| {
            self.update_from_user(key, value, elem_flags)
        })
    }

    /// MAP_DELETE_BATCH: as many elements as the slice holds.
    pub fn delete_batch(&self, keys: &[u8], elem_flags: u64) -> BatchResult {
        if matches!(self.storage, Storage::Array(_)) {
            return BatchResult::refused(Errno::ENOTSUPP);
        }
        let keys = keys.chunks_exact(self.key_size.max(1) as usize);
        self.each(elem_flags, keys, |key| self.delete_from_user(key))
    }

    fn each<T>(
        &self,
        elem_flags: u64,
        mut elements: impl ExactSizeIterator<Item = T>,
        mut act: impl FnMut(T) -> Result<(), Errno>,
    ) -> BatchResult {
        if elem_flags != 0 {
            return BatchResult::refused(Errno::EINVAL);
        }
        if elements.len() == 0 {
            return BatchResult {
                result: Ok(()),
                count: None,
                cursor: None,
            };
        }
        let mut count = 0;
        let result = elements.try_for_each(|element| {
            act(element)?;
            count += 1;
            Ok(())
        });
        BatchResult {
            result,
            count: Some(count),
            cursor: None,
        }
    }
}
