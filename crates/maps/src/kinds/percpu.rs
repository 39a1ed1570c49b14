//! Values of which each vCPU has its own.
//!
//! One area per vCPU, an element's value at the same place in each: vCPUs never
//! share a cache line but at the areas' ends, and the address is
//! `base + vcpu * area + number * slot`. Slots are values rounded up to 8 bytes, as
//! user space sees them.

use skep_abi::Errno;

use super::Caller;
use crate::fields::Fields;
use crate::mem::{self, Mapping, words};

/// The areas of a per-CPU map.
#[derive(Debug)]
pub struct PerCpu {
    memory: Mapping,
    area: usize,
    slot: usize,
    value_size: usize,
    cpus: u32,
    fields: Fields,
}

impl PerCpu {
    fn slot_size(value_size: u32) -> u64 {
        u64::from(value_size).next_multiple_of(8)
    }

    /// Bytes for this many values.
    pub fn footprint(count: u64, value_size: u32, cpus: u32) -> u64 {
        count.saturating_mul(PerCpu::slot_size(value_size)).saturating_mul(u64::from(cpus))
    }

    /// Zeros for `count` values on each vCPU; ENOMEM where the host has no room.
    pub fn new(count: u64, value_size: u32, cpus: u32, fields: Fields) -> Result<PerCpu, Errno> {
        let slot = PerCpu::slot_size(value_size);
        let area = count.checked_mul(slot).and_then(mem::page_align).ok_or(Errno::ENOMEM)?;
        let bytes = (area as u64).checked_mul(u64::from(cpus)).ok_or(Errno::ENOMEM)?;
        Ok(PerCpu {
            memory: Mapping::new(bytes)?,
            area,
            slot: slot as usize,
            value_size: value_size as usize,
            cpus,
            fields,
        })
    }

    /// Bytes from a vCPU's values to the next one's.
    pub fn area(&self) -> u64 {
        self.area as u64
    }

    /// Address of a value on a vCPU. The number is below the count, the vCPU one of ours.
    #[inline(always)]
    pub fn slot(&self, number: usize, cpu: u32) -> *mut u8 {
        assert!(cpu < self.cpus);
        debug_assert!((number + 1) * self.slot <= self.area);
        // SAFETY: `number` is below the count, by each caller's own bounds, and `cpu` below
        // `cpus`: the slot is inside the mapping.
        unsafe { self.memory.base().add(cpu as usize * self.area + number * self.slot) }
    }

    /// Writes a program's value to its vCPU's slot, or a system call's values to all.
    pub fn overwrite(&self, number: usize, value: &[u8], caller: Caller) {
        match caller {
            // SAFETY: a slot has room for the value and is 8-byte aligned.
            Caller::Program(cpu) => unsafe {
                self.fields.store(self.slot(number, cpu), &value[..self.value_size]);
            },
            Caller::System => {
                for (cpu, value) in (0..self.cpus).zip(value.chunks_exact(self.slot)) {
                    // SAFETY: as above, for the whole slot.
                    unsafe { self.fields.store(self.slot(number, cpu), value) };
                }
            }
        }
    }

    /// Like `overwrite`, for a new element: the other vCPUs' values become zero.
    pub fn fill(&self, number: usize, value: &[u8], caller: Caller) {
        for cpu in 0..self.cpus {
            // SAFETY: a slot is a multiple of 8 bytes and 8-byte aligned.
            unsafe { words::zero(self.slot(number, cpu), self.slot) };
        }
        self.overwrite(number, value, caller);
    }

    /// Copies all vCPUs' slots out, one after the other.
    pub fn copy_out(&self, number: usize, out: &mut [u8]) {
        for (cpu, out) in (0..self.cpus).zip(out.chunks_exact_mut(self.slot)) {
            // SAFETY: a slot is as long as `out` and 8-byte aligned.
            unsafe { self.fields.load(out, self.slot(number, cpu)) };
        }
    }
}
