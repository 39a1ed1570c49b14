//! Perf events that programs write samples to (`PERF_COUNT_SW_BPF_OUTPUT`), each with its buffer.
//!
//! The memory is laid out as `mmap(2)` of a perf event's fd gives it on Linux: a page with how
//! far the writer is and how far the reader, and the samples behind it. Both positions only
//! grow; what user space writes into its own is never trusted with more than the buffer.
//! Answers to `kernel/events/ring_buffer.c`.

use std::sync::atomic::{AtomicU64, Ordering};

use skep_abi::Errno;
use skep_abi::perf::{
    DATA_HEAD, DATA_OFFSET, DATA_SIZE, DATA_TAIL, HEADER, IN_KERNEL, LOST, SAMPLE,
};

use super::objects::MapObject;
use crate::mem::{PAGE, SharedMemory, words};
use crate::notify::Notifier;
use crate::spin::SpinLock;

/// A perf event of one vCPU.
#[derive(Debug)]
pub struct PerfEvent {
    cpu: u32,
    memory: SharedMemory,
    size: u64,
    lock: SpinLock,
    /// Samples that found no room since one last did.
    lost: AtomicU64,
    notifier: Notifier,
}

impl PerfEvent {
    /// One for what happens on a vCPU, with `pages` pages for samples: EINVAL unless that is
    /// a power of two, ENOMEM where they have more than `limit` bytes.
    pub fn new(cpu: u32, pages: u32, limit: u64) -> Result<PerfEvent, Errno> {
        if !pages.is_power_of_two() {
            return Err(Errno::EINVAL);
        }
        let data = (pages as usize).checked_mul(PAGE).ok_or(Errno::ENOMEM)?;
        if data as u64 > limit {
            return Err(Errno::ENOMEM);
        }
        let memory = SharedMemory::new(0, data.checked_add(PAGE).ok_or(Errno::ENOMEM)?, 0)?;
        let event = PerfEvent {
            cpu,
            memory,
            size: data as u64,
            lock: SpinLock::default(),
            lost: AtomicU64::new(0),
            notifier: Notifier::default(),
        };
        event.word(DATA_OFFSET).store(PAGE as u64, Ordering::Relaxed);
        event.word(DATA_SIZE).store(data as u64, Ordering::Release);
        Ok(event)
    }

    /// The vCPU that it is for.
    pub fn cpu(&self) -> u32 {
        self.cpu
    }

    /// The memory that user space may map.
    pub fn shared(&self) -> &SharedMemory {
        &self.memory
    }

    /// What wakes its readers.
    pub fn notifier(&self) -> &Notifier {
        &self.notifier
    }

    /// Bytes that were not read yet.
    pub fn available(&self) -> u64 {
        let head = self.word(DATA_HEAD).load(Ordering::Acquire);
        head.wrapping_sub(self.word(DATA_TAIL).load(Ordering::Acquire))
    }

    fn word(&self, offset: usize) -> &AtomicU64 {
        // SAFETY: callers ask for words of the first page only.
        unsafe { AtomicU64::from_ptr(self.memory.base().add(offset).cast()) }
    }

    /// Copies bytes, a multiple of 8, to a position, around the end where they pass it.
    fn put(&self, position: u64, bytes: &[u8]) {
        for (index, word) in bytes.chunks_exact(8).enumerate() {
            // The position is read from memory that user space writes, too.
            let at = position.wrapping_add(index as u64 * 8) & (self.size - 1) & !7;
            // SAFETY: masked, it is inside of the data, which begins behind the first page.
            unsafe { words::store(self.memory.base().add(PAGE + at as usize), word) };
        }
    }

    fn has_room(&self, head: u64, len: u64) -> bool {
        let used = head.wrapping_sub(self.word(DATA_TAIL).load(Ordering::Acquire));
        used < self.size && len < self.size - used
    }

    /// Writes a sample, of which each part follows the one before: ENOSPC where there is no
    /// room, and then the reader is told with the next one how many were lost.
    pub fn output(&self, parts: &[&[u8]]) -> Result<(), Errno> {
        let len: usize = parts.iter().map(|part| part.len()).sum();
        let raw = (4 + len).next_multiple_of(8);
        // A record counts its bytes by 16 bits.
        let total = u16::try_from(HEADER + raw).map_err(|_| Errno::E2BIG)?;
        let mut record = header(SAMPLE, total);
        record.extend_from_slice(&(raw as u32 - 4).to_ne_bytes());
        for part in parts {
            record.extend_from_slice(part);
        }
        record.resize(total.into(), 0);
        {
            let _held = self.lock.lock();
            let mut head = self.word(DATA_HEAD).load(Ordering::Relaxed);
            let lost = self.lost.load(Ordering::Relaxed);
            let note = if lost > 0 { self.lost_record(lost) } else { Vec::new() };
            if !self.has_room(head, (note.len() + record.len()) as u64) {
                self.lost.store(lost + 1, Ordering::Relaxed);
                return Err(Errno::ENOSPC);
            }
            self.lost.store(0, Ordering::Relaxed);
            self.put(head, &note);
            self.put(head.wrapping_add(note.len() as u64), &record);
            head = head.wrapping_add((note.len() + record.len()) as u64);
            self.word(DATA_HEAD).store(head, Ordering::Release);
        }
        self.notifier.notify();
        Ok(())
    }

    fn lost_record(&self, lost: u64) -> Vec<u8> {
        let mut record = header(LOST, HEADER as u16 + 16);
        record.extend_from_slice(&0u64.to_ne_bytes());
        record.extend_from_slice(&lost.to_ne_bytes());
        record
    }
}

fn header(kind: u32, size: u16) -> Vec<u8> {
    let mut bytes = kind.to_ne_bytes().to_vec();
    bytes.extend_from_slice(&IN_KERNEL.to_ne_bytes());
    bytes.extend_from_slice(&size.to_ne_bytes());
    bytes
}

impl MapObject for PerfEvent {
    fn id(&self) -> u32 {
        0
    }

    fn raw(&self) -> *const () {
        (&raw const *self).cast()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_go_around_and_lost_ones_are_counted() {
        let event = PerfEvent::new(0, 1, 4096).expect("an event");
        let long = [7; 1000];
        let mut written = 0;
        while event.output(&[&long]).is_ok() {
            written += 1;
        }
        assert_eq!(written, 4);
        assert_eq!(event.output(&[&long]), Err(Errno::ENOSPC));
        assert_eq!(event.available(), 4 * 1016);
        event.word(DATA_TAIL).store(4 * 1016, Ordering::Release);
        assert_eq!(event.output(&[b"abc", b"d"]), Ok(()));
        // What was lost comes first: 24 bytes, then 16 with the sample.
        assert_eq!(event.available(), 40);
        assert_eq!(PerfEvent::new(0, 2, 4096).map(drop), Err(Errno::ENOMEM));
        // Positions are where user space can write: a lie costs samples, and nothing else.
        for head in [u64::MAX, u64::MAX - 7, 3, 1 << 63] {
            event.word(DATA_HEAD).store(head, Ordering::Release);
            event.word(DATA_TAIL).store(head.wrapping_sub(8), Ordering::Release);
            assert_eq!(event.output(&[&long]), Ok(()));
            assert_eq!(event.available(), 8 + 1016);
        }
        assert_eq!(PerfEvent::new(0, 3, u64::MAX).map(drop), Err(Errno::EINVAL));
    }
}
