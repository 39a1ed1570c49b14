//! Map memory as the interpreter sees it: regions that bound every access.

use super::{Element, Map};
use crate::mem::value::{Kind, Region};
use std::ptr::NonNull;
use std::sync::Arc;

use skep_abi::Errno;

impl Map {
    /// The value of a key as a region; the vCPU's own in per-CPU maps.
    pub(crate) fn lookup_region(&self, key: &[u8], cpu: u32) -> Option<Region> {
        self.lookup(key, cpu).map(|value| self.value_region(value))
    }

    /// The value that a walk came to.
    pub(crate) fn element_region(&self, element: &Element) -> Region {
        self.value_region(element.value)
    }

    /// The key of an element, where it is stored; arrays have only its index.
    pub(crate) fn key_region(&self, element: &Element) -> Option<Region> {
        let key = element.key?;
        key.as_ptr().expose_provenance();
        // SAFETY: a stored key is `key_size` bytes of the map's storage; see below.
        Some(unsafe { Region::new(key.as_ptr(), self.key_size(), Kind::Memory, false) })
    }

    /// The only value of an array, which `BPF_PSEUDO_MAP_VALUE` points into.
    pub(crate) fn direct_region(&self) -> Option<Region> {
        self.direct_value(0).ok().map(|value| self.value_region(value))
    }

    /// `bpf_ringbuf_reserve`: a record as a region.
    pub(crate) fn reserve_record(&self, size: u64, flags: u64) -> Option<Region> {
        let record = self.ring()?.reserve(size, flags)?;
        record.as_ptr().expose_provenance();
        // SAFETY: a record is `size` bytes of the ring's data, mapped as long as the map
        // lives, which the run keeps alive until it gives the record back.
        Some(unsafe { Region::new(record.as_ptr(), size as u32, Kind::Record, true) })
    }

    /// `bpf_ringbuf_submit` and `bpf_ringbuf_discard` of such a record.
    pub(crate) fn commit_record(&self, record: Region, flags: u64, discard: bool) {
        let start = std::ptr::with_exposed_provenance_mut(record.start() as usize);
        if let (Some(ring), Some(start)) = (self.ring(), NonNull::new(start)) {
            ring.commit(start, flags, discard);
        }
    }

    /// [`Map::map_into_user`] as what the seam gives.
    ///
    /// # Errors
    /// Those of [`Map::map_into_user`].
    pub(crate) fn user_memory(
        self: &Arc<Map>,
        offset: usize,
        len: usize,
        writable: bool,
    ) -> Result<skep_sys::Mapping, Errno> {
        let mapping = self.map_into_user(offset, len, writable)?;
        let (start, len) = (mapping.view().base(), mapping.view().len());
        // SAFETY: the view is mapped as long as it lives, and for writing if asked for.
        Ok(unsafe { skep_sys::Mapping::owned(start, len, writable, Box::new(mapping)) })
    }

    fn value_region(&self, value: NonNull<u8>) -> Region {
        let writable = self.flags() & skep_abi::flags::map::RDONLY_PROG == 0;
        value.as_ptr().expose_provenance();
        // SAFETY: a value is `value_size` bytes of the map's storage, which the run
        // keeps alive through its program; deleted elements are recycled, not unmapped.
        unsafe { Region::new(value.as_ptr(), self.value_size(), Kind::MapValue, writable) }
    }
}
