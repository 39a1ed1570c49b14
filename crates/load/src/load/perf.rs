//! Reading what programs send by `bpf_perf_event_output`, as the only reader of a perf event
//! array.
//!
//! Each CPU has a perf event with a buffer: a page with how far its writer is and how far we
//! are, and the samples behind it. Counterparts: libbpf's `perf_buffer`,
//! `kernel/events/ring_buffer.c`.

use std::time::{Duration, Instant};

use skep_abi::perf::{DATA_HEAD, DATA_TAIL, HEADER, LOST, SAMPLE};
use skep_abi::{Errno, MapType};
use skep_sys::{Fd, Mapping};

use super::Map;

const PAGE: usize = 4096;

/// The reader of a perf event array: it makes the events of all CPUs.
#[derive(Debug)]
pub struct PerfBuffer {
    cpus: Vec<Buffer>,
}

#[derive(Debug)]
struct Buffer {
    cpu: u32,
    fd: Fd,
    memory: Mapping,
    size: u64,
}

/// What came out of a perf event array.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PerfRecord {
    /// What a program sent. Up to 7 bytes of padding follow what it sent: where that is not 4
    /// bytes short of a multiple of 8, the kernel fills it up, and does not say by how much.
    Sample {
        /// The CPU that it ran on.
        cpu: u32,
        /// The bytes.
        data: Vec<u8>,
    },
    /// Samples that found no room.
    Lost {
        /// The CPU.
        cpu: u32,
        /// How many.
        count: u64,
    },
}

impl PerfBuffer {
    /// Makes an event with room for `pages` pages of samples, a power of two, for each CPU that
    /// is there and has a slot of the map, and puts it into the slot.
    ///
    /// # Errors
    /// `EINVAL` for a map that is no perf event array, or such a number of pages; the errno of
    /// `perf_event_open(2)`, of the update or of the mapping.
    pub fn new(map: &Map, pages: u32) -> Result<PerfBuffer, Errno> {
        let def = map.def();
        if def.kind() != Some(MapType::PerfEventArray) || !pages.is_power_of_two() {
            return Err(Errno::EINVAL);
        }
        let kernel = map.fd().kernel();
        let size = (pages as usize).checked_mul(PAGE).ok_or(Errno::EINVAL)?;
        let mut cpus = Vec::new();
        for cpu in 0..kernel.possible_cpus().min(def.max_entries) {
            let fd = match Fd::perf_event(kernel, cpu, pages) {
                Ok(fd) => fd,
                // A CPU that is possible, but not there.
                Err(Errno::ENODEV) => continue,
                Err(errno) => return Err(errno),
            };
            let memory = fd.map(0, PAGE + size, true)?;
            map.update(&cpu.to_ne_bytes(), &fd.raw().to_ne_bytes(), 0)?;
            cpus.push(Buffer { cpu, fd, memory, size: size as u64 });
        }
        Ok(PerfBuffer { cpus })
    }

    /// The next record of some CPU; those of one CPU come in their order. `None` while there is
    /// none.
    pub fn next_record(&mut self) -> Option<PerfRecord> {
        self.cpus.iter_mut().find_map(Buffer::next)
    }

    /// Waits until there is something to read, at most `timeout`.
    ///
    /// # Errors
    /// The errno of `poll(2)`.
    pub fn wait(&self, timeout: Duration) -> Result<bool, Errno> {
        /// One event after the other is waited for so long.
        const TURN: Duration = Duration::from_millis(5);
        let started = Instant::now();
        loop {
            for buffer in &self.cpus {
                let left = timeout.saturating_sub(started.elapsed());
                let turn = if self.cpus.len() == 1 { left } else { left.min(TURN) };
                if buffer.has_some() || buffer.fd.poll(turn)? && buffer.has_some() {
                    return Ok(true);
                }
            }
            if started.elapsed() >= timeout {
                return Ok(false);
            }
        }
    }
}

impl Iterator for PerfBuffer {
    type Item = PerfRecord;

    fn next(&mut self) -> Option<PerfRecord> {
        self.next_record()
    }
}

impl Buffer {
    fn positions(&self) -> Option<(u64, u64)> {
        Some((self.memory.load_u64(DATA_TAIL)?, self.memory.load_u64(DATA_HEAD)?))
    }

    fn has_some(&self) -> bool {
        self.positions().is_some_and(|(tail, head)| tail != head)
    }

    /// Copies bytes at a position, which may go on at the start.
    fn read(&self, position: u64, bytes: &mut [u8]) -> bool {
        let start = position % self.size;
        let before_end = (self.size - start).min(bytes.len() as u64) as usize;
        let (first, wrapped) = bytes.split_at_mut(before_end);
        self.memory.read(PAGE + start as usize, first) && self.memory.read(PAGE, wrapped)
    }

    fn next(&mut self) -> Option<PerfRecord> {
        loop {
            let (tail, head) = self.positions()?;
            if tail == head {
                return None;
            }
            let mut header = [0; HEADER];
            if !self.read(tail, &mut header) {
                return None;
            }
            let [k0, k1, k2, k3, _, _, l0, l1] = header;
            let (kind, len) = (u32::from_ne_bytes([k0, k1, k2, k3]), u16::from_ne_bytes([l0, l1]));
            let len = usize::from(len);
            // The kernel writes no such records; what goes on is not ours to guess.
            if len < HEADER || len as u64 > head.wrapping_sub(tail) {
                return None;
            }
            let mut body = vec![0; len - HEADER];
            let is_read = self.read(tail.wrapping_add(HEADER as u64), &mut body);
            self.memory.store_u64(DATA_TAIL, tail.wrapping_add(len as u64));
            if let Some(record) = record(self.cpu, kind, &body).filter(|_| is_read) {
                return Some(record);
            }
        }
    }
}

/// A record that means something to us.
fn record(cpu: u32, kind: u32, body: &[u8]) -> Option<PerfRecord> {
    match kind {
        SAMPLE => {
            let len = body.first_chunk().copied().map(u32::from_ne_bytes)? as usize;
            let data = body.get(4..4usize.checked_add(len)?)?.to_vec();
            Some(PerfRecord::Sample { cpu, data })
        }
        LOST => {
            let count = body.get(8..)?.first_chunk().copied().map(u64::from_ne_bytes)?;
            Some(PerfRecord::Lost { cpu, count })
        }
        _ => None,
    }
}
