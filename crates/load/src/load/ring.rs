//! Reading a ring buffer, as its only reader.
//!
//! The first page holds how far the reader is, the second how far the writers are,
//! and behind them are the records. (Linux can map those twice in a row, so that one
//! which wraps is still in one piece; bytes are copied here, so once will do.) Each record has a header: its length, whether it is still being written,
//! and whether it was given up. Counterparts: `kernel/bpf/ringbuf.c`, libbpf's
//! `ringbuf.c`.

use std::time::Duration;

use skep_abi::{Errno, MapType};
use skep_sys::Mapping;

use super::Map;

const PAGE: usize = 4096;
const HEADER: u64 = 8;
const BUSY: u32 = 1 << 31;
const DISCARDED: u32 = 1 << 30;

/// The reader of a ring buffer.
#[derive(Debug)]
pub struct RingBuffer {
    map: Map,
    /// The page that we tell how far we are on.
    consumer: Mapping,
    /// The page of the writers, and the records behind it.
    producer: Mapping,
    size: u64,
    position: u64,
}

impl RingBuffer {
    /// Starts to read where the last reader stopped.
    ///
    /// # Errors
    /// `EINVAL` for a map that is no ring buffer, or the errno of the mapping.
    pub fn new(map: &Map) -> Result<RingBuffer, Errno> {
        let def = map.def();
        if def.kind() != Some(MapType::Ringbuf) || !def.max_entries.is_power_of_two() {
            return Err(Errno::EINVAL);
        }
        let consumer = map.fd().map(0, PAGE, true)?;
        let size = def.max_entries as usize;
        let producer = map.fd().map(PAGE as u64, PAGE + size, false)?;
        let position = consumer.load_u64(0).ok_or(Errno::EINVAL)?;
        Ok(RingBuffer { map: map.clone(), consumer, producer, size: size as u64, position })
    }

    /// Waits until there is something to read, at most `timeout`.
    ///
    /// # Errors
    /// The errno of `poll(2)`.
    pub fn wait(&self, timeout: Duration) -> Result<bool, Errno> {
        self.map.fd().poll(timeout)
    }

    /// Copies the bytes at a position, which may go on at the start.
    fn read(&self, position: u64, bytes: &mut [u8]) -> bool {
        let start = position & (self.size - 1);
        let before_end = (self.size - start).min(bytes.len() as u64) as usize;
        let (first, wrapped) = bytes.split_at_mut(before_end);
        self.producer.read(PAGE + start as usize, first) && self.producer.read(PAGE, wrapped)
    }

    /// The next record, which makes room for others; `None` while there is none.
    pub fn next_record(&mut self) -> Option<Vec<u8>> {
        loop {
            let end = self.producer.load_u64(0)?;
            if self.position == end {
                return None;
            }
            let start = PAGE + (self.position & (self.size - 1)) as usize;
            let header = self.producer.load_u32(start)?;
            if header & BUSY != 0 {
                return None;
            }
            let len = u64::from(header & !(BUSY | DISCARDED));
            // A writer cannot do this, but memory is shared and lengths are not ours.
            if len > self.size {
                return None;
            }
            let mut record = vec![0; len as usize];
            let is_read = header & DISCARDED != 0 || self.read(self.position + HEADER, &mut record);
            self.position = self.position.wrapping_add((len + HEADER).next_multiple_of(8));
            self.consumer.store_u64(0, self.position);
            if header & DISCARDED == 0 && is_read {
                return Some(record);
            }
        }
    }
}

impl Iterator for RingBuffer {
    type Item = Vec<u8>;

    fn next(&mut self) -> Option<Vec<u8>> {
        self.next_record()
    }
}
