//! Memory of maps as programs see it: regions that bound every access.
#![allow(unsafe_code, reason = "says what may be accessed")]

use std::ptr::NonNull;
use std::sync::Arc;

use skep_abi::{Errno, flags};
use skep_maps::{Element, Sample};

use super::map::MapHandle;
use crate::memory::value::{Kind, Region};

/// Memory for user space, which goes when the mapping does.
pub(crate) fn lend(view: skep_maps::mem::View, writable: bool) -> skep_sys::Mapping {
    let (start, len) = (view.base(), view.len());
    // SAFETY: the view is mapped as long as it lives, and for writing if asked for.
    unsafe { skep_sys::Mapping::owned(start, len, writable, Box::new(view)) }
}

impl MapHandle {
    /// The value of a key as a region; the vCPU's own in per-CPU maps.
    #[inline]
    pub fn lookup_region(&self, key: &[u8], cpu: u32) -> Option<Region> {
        self.map.lookup(key, cpu).map(|value| self.value_region(value))
    }

    /// The value of an owner ([`skep_maps::Map::value_of`]).
    pub fn owned_region(&self, owner: u64, create: bool, new: Option<&[u8]>) -> Option<Region> {
        self.map.value_of(owner, create, new).map(|value| self.value_region(value))
    }

    /// What a cgroup's program keeps, the vCPU's own in per-CPU maps.
    pub fn cgroup_region(&self, owner: u64, cpu: u32) -> Option<Region> {
        let cpu = if self.map.percpu() { cpu } else { 0 };
        self.map.value_of_cpu(owner, cpu).map(|value| self.value_region(value))
    }

    /// Takes an owner's value away, and what its fields own.
    ///
    /// # Errors
    /// `ENOENT` where it has none.
    pub fn forget_owner(&self, owner: u64) -> Result<(), Errno> {
        if let (Some(heap), Some(region)) = (&self.owned, self.owned_region(owner, false, None)) {
            heap.clear(region);
        }
        self.map.forget_owner(owner)
    }

    /// The value that a walk came to.
    pub fn element_region(&self, element: &Element) -> Region {
        self.value_region(element.value)
    }

    /// The key of an element, where it is stored; arrays have only its index.
    pub fn key_region(&self, element: &Element) -> Option<Region> {
        let key = element.key?;
        key.as_ptr().expose_provenance();
        // SAFETY: a stored key is `key_size` bytes of the map's storage; see below.
        Some(unsafe { Region::new(key.as_ptr(), self.map.key_size(), Kind::Memory, false) })
    }

    /// The only value of an array, which `BPF_PSEUDO_MAP_VALUE` points into.
    pub fn direct_region(&self) -> Option<Region> {
        if let Some(arena) = self.map.arena() {
            let len = u32::try_from(arena.len()).unwrap_or(u32::MAX);
            // SAFETY: an arena is so many bytes, mapped as long as the map lives, which the run
            // keeps alive through its program.
            return Some(unsafe { Region::new(arena.base(), len, Kind::Memory, true) });
        }
        self.map.direct_value(0).ok().map(|value| self.value_region(value))
    }

    /// `bpf_ringbuf_reserve`: a record as a region.
    pub fn reserve_record(&self, size: u64, flags: u64) -> Option<Region> {
        let record = self.map.ring()?.reserve(size, flags)?;
        record.as_ptr().expose_provenance();
        // SAFETY: a record is `size` bytes of the ring's data, mapped as long as the map
        // lives, which the run keeps alive until it gives the record back.
        Some(unsafe { Region::new(record.as_ptr(), size as u32, Kind::Record, true) })
    }

    /// A sample that user space wrote.
    pub fn sample_region(&self, sample: Sample) -> Region {
        sample.address.as_ptr().expose_provenance();
        // SAFETY: a sample is so many bytes of the ring's data, mapped as long as the map lives,
        // which the run keeps alive while it drains it.
        unsafe { Region::new(sample.address.as_ptr(), sample.len, Kind::Memory, true) }
    }

    /// `bpf_ringbuf_submit` and `bpf_ringbuf_discard` of such a record.
    pub fn commit_record(&self, record: Region, flags: u64, discard: bool) {
        let start = std::ptr::with_exposed_provenance_mut(record.start() as usize);
        if let (Some(ring), Some(start)) = (self.map.ring(), NonNull::new(start)) {
            ring.commit(start, flags, discard);
        }
    }

    /// The map's memory mapped by user space.
    ///
    /// # Errors
    /// Those of [`Map::map_into_user`](skep_maps::Map::map_into_user).
    pub fn user_memory(
        &self,
        offset: usize,
        len: usize,
        writable: bool,
    ) -> Result<skep_sys::Mapping, Errno> {
        if let Some(arena) = self.map.arena() {
            if offset != 0 || len > arena.len() {
                return Err(Errno::EINVAL);
            }
            let map = Box::new(Arc::clone(&self.map));
            let start = NonNull::new(arena.base()).ok_or(Errno::ENOMEM)?;
            // SAFETY: an arena is mapped as long as its map lives, and for writing.
            return Ok(unsafe { skep_sys::Mapping::owned(start, len, writable, map) });
        }
        let mapping = self.map.map_into_user(offset, len, writable)?;
        let (start, len) = (mapping.view().base(), mapping.view().len());
        // SAFETY: the view is mapped as long as it lives, and for writing if asked for.
        Ok(unsafe { skep_sys::Mapping::owned(start, len, writable, Box::new(mapping)) })
    }

    fn value_region(&self, value: NonNull<u8>) -> Region {
        let writable = self.map.flags() & flags::map::RDONLY_PROG == 0;
        value.as_ptr().expose_provenance();
        // SAFETY: a value is `value_size` bytes of the map's storage, which the run
        // keeps alive through its program; deleted elements are recycled, not unmapped.
        unsafe { Region::new(value.as_ptr(), self.map.value_size(), Kind::MapValue, writable) }
    }
}
