//! Arrays and per-CPU arrays.
//!
//! An array's values stand one after the other, each rounded up to 8 bytes: value
//! `i` is at `base + i * slot`, which is what an inlined look-up computes. With
//! `BPF_F_MMAPABLE` the memory is a memfd's. Answers to `kernel/bpf/arraymap.c`.

use std::ptr::NonNull;

use skep_abi::{Errno, flags};

use super::Caller;
use super::batch::{Batch, BatchKind};
use super::hash::Position;
use super::kind::{Element, Kind, index_of, next_index};
use super::percpu::PerCpu;
use crate::fields::Fields;
use crate::mem::{self, Mapping, SharedMemory};

/// An array's storage.
#[derive(Debug)]
pub struct Array {
    values: Values,
    count: u32,
    slot: usize,
    value_size: usize,
    fields: Fields,
}

/// Where an array's values are: `base + vcpu * area + index * slot`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Layout {
    /// Address of the first value of vCPU 0.
    pub base: u64,
    /// Bytes from a value to the next one.
    pub slot: u64,
    /// Bytes from a vCPU's values to the next one's; 0 where all share them.
    pub area: u64,
    /// How many values there are.
    pub count: u32,
}

#[derive(Debug)]
enum Values {
    Private(Mapping),
    Shared(SharedMemory),
    PerCpu(PerCpu),
}

impl Array {
    /// Bytes that an array takes, `cpus` times if per vCPU.
    pub fn footprint(count: u32, value_size: u32, cpus: u32) -> u64 {
        PerCpu::footprint(u64::from(count), value_size, cpus)
    }

    /// An array of zeros that user space may map if `shared`.
    pub fn new(count: u32, value_size: u32, shared: bool, fields: Fields) -> Result<Array, Errno> {
        let bytes = Array::footprint(count, value_size, 1);
        let values = if shared {
            let len = mem::page_align(bytes).ok_or(Errno::ENOMEM)?;
            Values::Shared(SharedMemory::new(0, len, 0)?)
        } else {
            Values::Private(Mapping::new(bytes)?)
        };
        Ok(Array::from_values(values, count, value_size, fields))
    }

    /// A per-CPU array of zeros.
    pub fn percpu(count: u32, value_size: u32, cpus: u32, fields: Fields) -> Result<Array, Errno> {
        let values = PerCpu::new(u64::from(count), value_size, cpus, fields.clone())?;
        Ok(Array::from_values(Values::PerCpu(values), count, value_size, fields))
    }

    fn from_values(values: Values, count: u32, value_size: u32, fields: Fields) -> Array {
        let value_size = value_size as usize;
        Array { values, count, slot: value_size.next_multiple_of(8), value_size, fields }
    }

    /// Value `index` on a vCPU, as long as there is one.
    #[inline(always)]
    pub fn lookup(&self, index: u32, cpu: u32) -> Option<NonNull<u8>> {
        (index < self.count).then(|| self.value(index, cpu)).and_then(NonNull::new)
    }

    #[inline(always)]
    fn value(&self, index: u32, cpu: u32) -> *mut u8 {
        let base = match &self.values {
            Values::Private(memory) => memory.base(),
            Values::Shared(memory) => memory.base(),
            Values::PerCpu(values) => return values.slot(index as usize, cpu),
        };
        // SAFETY: every caller has checked `index` against the count.
        unsafe { base.add(index as usize * self.slot) }
    }

    /// Where values are: the address of the first one, bytes from one to the next, and
    /// from a vCPU's to the next vCPU's.
    pub fn layout(&self) -> Layout {
        let (base, area) = match &self.values {
            Values::Private(memory) => (memory.base(), 0),
            Values::Shared(memory) => (memory.base(), 0),
            Values::PerCpu(values) => (values.slot(0, 0), values.area()),
        };
        base.expose_provenance();
        Layout { base: base.addr() as u64, slot: self.slot as u64, area, count: self.count }
    }

    /// Overwrites value `index`. E2BIG past the end; EEXIST for `BPF_NOEXIST`, since all
    /// values exist; EINVAL for `BPF_F_LOCK` without a lock.
    pub fn update(
        &self,
        index: u32,
        value: &[u8],
        flags: u64,
        caller: Caller,
    ) -> Result<(), Errno> {
        let locked = flags & flags::update::LOCK != 0;
        let flags = flags & !flags::update::LOCK;
        if flags > flags::update::EXIST {
            return Err(Errno::EINVAL);
        }
        if index >= self.count {
            return Err(Errno::E2BIG);
        }
        if flags == flags::update::NOEXIST {
            return Err(Errno::EEXIST);
        }
        if locked {
            return self.update_locked(index, value);
        }
        match &self.values {
            Values::PerCpu(values) => values.overwrite(index as usize, value, caller),
            // SAFETY: the slot has room for a value and is 8-byte aligned.
            _ => unsafe { self.fields.store(self.value(index, 0), &value[..self.value_size]) },
        }
        Ok(())
    }

    /// `BPF_F_LOCK`, which no per-CPU array has a lock for.
    #[cold]
    fn update_locked(&self, index: u32, value: &[u8]) -> Result<(), Errno> {
        let to = self.value(index, 0);
        // SAFETY: as for `update`.
        let store = || unsafe { self.fields.store(to, &value[..self.value_size]) };
        // SAFETY: the slot is 8-byte aligned and holds a value.
        unsafe { self.fields.locked(to, store) }
    }

    /// Copies value `index` out, all vCPUs' if there are several; `locked` by its lock.
    pub fn read(&self, index: u32, out: &mut [u8], locked: bool) -> Result<(), Errno> {
        if index >= self.count {
            return Err(Errno::ENOENT);
        }
        if let Values::PerCpu(values) = &self.values {
            values.copy_out(index as usize, out);
            return Ok(());
        }
        let from = self.value(index, 0);
        // SAFETY: the slot holds a value and is 8-byte aligned.
        let mut load = || unsafe { self.fields.load(&mut out[..self.value_size], from) };
        if locked {
            // SAFETY: as above.
            return unsafe { self.fields.locked(from, load) };
        }
        load();
        Ok(())
    }

    /// The memory that user space may map.
    pub fn shared(&self) -> Option<&SharedMemory> {
        match &self.values {
            Values::Shared(memory) => Some(memory),
            Values::Private(_) | Values::PerCpu(_) => None,
        }
    }
}

impl Kind for Array {
    #[inline(always)]
    fn lookup(&self, key: &[u8], cpu: u32) -> Option<NonNull<u8>> {
        self.lookup(index_of(key), cpu)
    }

    fn read(&self, key: &[u8], out: &mut [u8], locked: bool) -> Result<(), Errno> {
        self.read(index_of(key), out, locked)
    }

    #[inline]
    fn update(&self, key: &[u8], value: &[u8], flags: u64, by: Caller) -> Result<(), Errno> {
        self.update(index_of(key), value, flags, by)
    }

    fn next_key(&self, key: Option<&[u8]>, out: &mut [u8]) -> Result<(), Errno> {
        next_index(key, self.count, out)
    }

    #[inline]
    fn walk(&self, from: Position, cpu: u32) -> Option<(Element, Position)> {
        let index = from.home;
        let value = self.lookup(index, cpu)?;
        Some((Element { key: None, index, value }, Position { home: index + 1, ..from }))
    }

    fn has_batch(&self, kind: BatchKind) -> bool {
        matches!(kind, BatchKind::Lookup | BatchKind::Update)
    }

    /// Without copies, since there may be many millions.
    fn read_batch(
        &self,
        cursor: Option<&[u8]>,
        batch: &mut Batch<'_>,
        _delete: bool,
        locked: bool,
    ) -> (Option<Vec<u8>>, Result<(), Errno>) {
        let mut last = cursor.map(index_of);
        let mut result = Ok(());
        while batch.room() > 0 {
            let index = match last {
                Some(index) if index == self.count - 1 => {
                    result = Err(Errno::ENOENT);
                    break;
                }
                Some(index) if index < self.count => index + 1,
                _ => 0,
            };
            let (to_key, to_value) = batch.next();
            to_key.copy_from_slice(&index.to_ne_bytes());
            if let Err(errno) = self.read(index, to_value, locked) {
                return (None, Err(errno));
            }
            last = Some(index);
        }
        let next = last.filter(|_| batch.done() > 0).map(|last| last.to_ne_bytes().to_vec());
        (next, result)
    }
}
