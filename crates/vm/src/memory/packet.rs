//! Memory of one packet: the bytes, with room before and after them to grow into. It
//! ends where nothing can be accessed.

use skep_maps::mem::Mapping;

use super::value::{Kind, Region};

/// A buffer of fixed size in which the packet lies somewhere.
///
/// Programs write to it by address while the kernel around them moves the packet's
/// ends, so the bytes are behind a raw pointer and slices of them are short-lived.
pub struct PacketMemory {
    start: *mut u8,
    capacity: usize,
    /// What holds the bytes.
    _mapping: Mapping,
}

// SAFETY: the memory is owned; nothing else points to it outside of a run.
unsafe impl Send for PacketMemory {}

/// Packets start at a multiple of this, where their room does.
const ALIGNMENT: usize = 16;

impl PacketMemory {
    /// Zeroed memory of `capacity` bytes.
    ///
    /// # Panics
    /// The host has no memory.
    pub fn new(capacity: usize) -> PacketMemory {
        let room = capacity.next_multiple_of(ALIGNMENT).max(ALIGNMENT);
        let mapping = Mapping::new(room as u64).expect("memory for a packet");
        // SAFETY: the mapping has `room` bytes or more.
        let start = unsafe { mapping.base().add(mapping.len() - room) };
        start.expose_provenance();
        PacketMemory { start, capacity, _mapping: mapping }
    }

    /// Bytes in all.
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// Bytes `from..to`.
    ///
    /// # Panics
    /// Where they are not in order and inside.
    pub fn bytes(&self, from: usize, to: usize) -> &[u8] {
        assert!(from <= to && to <= self.capacity);
        // SAFETY: inside of the allocation; programs do not run while the slice lives,
        // since a run needs the buffer's owner mutably.
        unsafe { std::slice::from_raw_parts(self.start.add(from), to - from) }
    }

    /// Bytes `from..to`, to write.
    ///
    /// # Panics
    /// Where they are not in order and inside.
    pub fn bytes_mut(&mut self, from: usize, to: usize) -> &mut [u8] {
        assert!(from <= to && to <= self.capacity);
        // SAFETY: as in `bytes`, and `self` is borrowed mutably.
        unsafe { std::slice::from_raw_parts_mut(self.start.add(from), to - from) }
    }

    /// Bytes `from..to` as a region for programs.
    ///
    /// # Panics
    /// Where they are not in order and inside.
    pub fn region(&self, from: usize, to: usize, writable: bool) -> Region {
        assert!(from <= to && to <= self.capacity);
        // SAFETY: inside of the allocation, which the packet's owner keeps for longer
        // than the run.
        unsafe { Region::new(self.start.add(from), (to - from) as u32, Kind::Packet, writable) }
    }
}
