//! Reading a ring buffer, as its only reader.
//!
//! The first page holds how far the reader is, the second how far the writers are,
//! and behind them are the records. (Linux can map those twice in a row, so that one
//! which wraps is still in one piece; bytes are copied here, so once will do.) Each record has a header: its length, whether it is still being written,
//! and whether it was given up. Counterparts: `kernel/bpf/ringbuf.c`, libbpf's
//! `ringbuf.c`.

use std::io::Read;
use std::marker::PhantomData;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use skep_abi::ring::{BUSY, DISCARDED, HEADER};
use skep_abi::{Errno, MapType};
use skep_sys::Mapping;

use super::Map;
use super::element::{Element, Place};
use crate::error::AccessError;

const PAGE: usize = 4096;

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
    /// What can be waited for, once somebody asked for it.
    event: Option<std::fs::File>,
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
        Ok(RingBuffer {
            map: map.clone(),
            consumer,
            producer,
            size: size as u64,
            position,
            event: None,
        })
    }

    /// Waits until there is something to read, at most `timeout`.
    ///
    /// # Errors
    /// The errno of `poll(2)`.
    pub fn wait(&self, timeout: Duration) -> Result<bool, Errno> {
        self.map.fd().poll(timeout)
    }

    /// A file descriptor that becomes readable when there is something to read, for `poll`,
    /// `epoll` and the loops of others (tokio's `AsyncFd`). It stays readable until
    /// [`next_record`](RingBuffer::next_record) has given `None`.
    ///
    /// # Errors
    /// `EOPNOTSUPP` for a kernel without such descriptors, or what making one failed with.
    pub fn event(&mut self) -> Result<BorrowedFd<'_>, Errno> {
        let event = match self.event.take() {
            Some(event) => event,
            None => {
                let event: OwnedFd = self.map.fd().event()?;
                event.into()
            }
        };
        let event: &std::fs::File = self.event.insert(event);
        Ok(event.as_fd())
    }

    /// Takes the event back, where it is one that stays until it is taken. (Linux's maps
    /// are their own events, and cannot be read.)
    fn clear_event(&mut self) -> bool {
        self.event.as_mut().is_some_and(|event| event.read(&mut [0; 8]).is_ok())
    }

    /// The records as values of a type, each when it is asked for.
    pub fn records<T: Element>(&mut self) -> Records<'_, T> {
        Records { ring: self, elements: PhantomData }
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
        // One that came between the look and the clearing of the event is seen here.
        self.take().or_else(|| if self.clear_event() { self.take() } else { None })
    }

    fn take(&mut self) -> Option<Vec<u8>> {
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

/// The records of a ring buffer as values of a type.
#[derive(Debug)]
pub struct Records<'a, T> {
    ring: &'a mut RingBuffer,
    elements: PhantomData<fn() -> T>,
}

impl<T: Element> Iterator for Records<'_, T> {
    type Item = Result<T, AccessError>;

    fn next(&mut self) -> Option<Result<T, AccessError>> {
        let record = self.ring.next_record()?;
        let map = &self.ring.map;
        let btf = map.record_type(record.len()).map(|(btf, id)| (&**btf, id));
        let place = Place { map: map.name(), part: "record", size: record.len(), cpus: None, btf };
        if let Err(error) = T::fits(&place) {
            return Some(Err(error));
        }
        Some(T::decode(&record, &place))
    }
}
