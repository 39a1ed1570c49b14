//! A packet in a buffer: head room, metadata, data, tail room.

use crate::memory::packet::PacketMemory;
use crate::memory::value::Value;

/// A packet in memory. `meta <= data <= end <= capacity`.
pub struct Frame {
    memory: PacketMemory,
    meta: usize,
    data: usize,
    end: usize,
    epoch: u64,
}

impl Frame {
    /// A buffer of `capacity` bytes with nothing in it.
    pub fn new(capacity: usize) -> Frame {
        Frame { memory: PacketMemory::new(capacity), meta: 0, data: 0, end: 0, epoch: 0 }
    }

    /// Puts a packet at `headroom`, with its first `metadata` bytes as metadata. A
    /// buffer that is too small is replaced, with `tailroom` bytes behind the packet. The
    /// head room is zero, as TEST_RUN's is: no packet sees bytes of one before it.
    pub fn fill(&mut self, packet: &[u8], metadata: usize, headroom: usize, tailroom: usize) {
        let needed = headroom + packet.len() + tailroom;
        if self.memory.capacity() < needed {
            self.memory = PacketMemory::new(needed);
        }
        self.meta = headroom;
        self.data = headroom + metadata.min(packet.len());
        self.end = headroom + packet.len();
        self.epoch = 0;
        self.memory.bytes_mut(0, self.meta).fill(0);
        self.memory.bytes_mut(self.meta, self.end).copy_from_slice(packet);
    }

    /// Where the packet begins in its buffer.
    pub fn start(&self) -> usize {
        self.data
    }

    /// Bytes of the packet, without metadata.
    pub fn len(&self) -> usize {
        self.end - self.data
    }

    /// The packet.
    pub fn bytes(&self) -> &[u8] {
        self.memory.bytes(self.data, self.end)
    }

    /// The packet, to write.
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        self.memory.bytes_mut(self.data, self.end)
    }

    /// Metadata and packet.
    pub fn bytes_with_metadata(&self) -> &[u8] {
        self.memory.bytes(self.meta, self.end)
    }

    /// Bytes of metadata.
    pub fn metadata_len(&self) -> usize {
        self.data - self.meta
    }

    /// Room before the metadata.
    pub fn headroom(&self) -> usize {
        self.meta
    }

    /// Room behind the packet, up to `limit` bytes into the buffer.
    pub fn tailroom(&self, limit: usize) -> usize {
        limit.min(self.memory.capacity()).saturating_sub(self.end)
    }

    /// The generation of pointers into it.
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Makes every pointer into it stale, as each helper does that may move it.
    pub fn invalidate(&mut self) {
        self.epoch += 1;
    }

    /// A pointer to the packet's first byte.
    pub fn data_pointer(&self) -> Value {
        let region = self.memory.region(self.data, self.end, true).with_epoch(self.epoch);
        region.pointer(0)
    }

    /// A pointer past the packet's last byte.
    pub fn end_pointer(&self) -> Value {
        let pointer = self.data_pointer();
        pointer.with_bits(pointer.bits + self.len() as u64)
    }

    /// A pointer to the metadata.
    pub fn metadata_pointer(&self) -> Value {
        let region = self.memory.region(self.meta, self.data, true).with_epoch(self.epoch);
        region.pointer(0)
    }

    /// Moves the packet's start by `by` bytes; metadata moves along.
    pub fn move_start(&mut self, by: isize) {
        let metadata = self.memory.bytes(self.meta, self.data).to_vec();
        self.meta = self.meta.saturating_add_signed(by);
        self.data = self.data.saturating_add_signed(by);
        self.memory.bytes_mut(self.meta, self.data).copy_from_slice(&metadata);
    }

    /// Moves the packet's end by `by` bytes; new bytes are zero.
    pub fn move_end(&mut self, by: isize) {
        let old = self.end;
        self.end = self.end.saturating_add_signed(by);
        if self.end > old {
            self.memory.bytes_mut(old, self.end).fill(0);
        }
    }

    /// Moves the metadata's start by `by` bytes.
    pub fn move_metadata(&mut self, by: isize) {
        self.meta = self.meta.saturating_add_signed(by);
    }

    /// Makes room for `head` bytes before and `tail` bytes behind the packet, and for as
    /// much again where there is too little: who asks once may ask often.
    pub fn reserve(&mut self, head: usize, tail: usize) {
        if self.meta >= head && self.memory.capacity() - self.end >= tail {
            return;
        }
        let all = self.bytes_with_metadata().to_vec();
        let metadata = self.metadata_len();
        let spare = |needed: bool| if needed { all.len() } else { 0 };
        let (head, tail) = (head + spare(head > self.meta), tail + spare(tail > 0));
        let mut memory = PacketMemory::new(head + all.len() + tail);
        memory.bytes_mut(head, head + all.len()).copy_from_slice(&all);
        self.memory = memory;
        self.meta = head;
        self.data = head + metadata;
        self.end = head + all.len();
        self.invalidate();
    }
}
