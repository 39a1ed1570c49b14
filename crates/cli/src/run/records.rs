//! What comes out of programs while they run: ring-buffer records and printed lines.
//! A bounded number is kept, all are counted.

use std::collections::VecDeque;

use skep::btf::value;
use skep::load::{Map, RingBuffer};

use super::contents::Shown;

/// The most that is kept of each.
const KEPT: usize = 65_536;

/// Lines that programs printed.
#[derive(Debug, Default)]
pub struct Printed {
    /// The first of them.
    pub lines: Vec<String>,
    /// All of them.
    pub count: u64,
    /// Whether lines are kept for a comparison.
    pub compares: bool,
    /// Lines that were not yet compared with the other side's.
    pub fresh: VecDeque<String>,
}

impl Printed {
    /// Adds what one call printed.
    pub fn add(&mut self, text: &str) {
        for line in text.trim_end_matches('\n').split('\n') {
            self.count += 1;
            if self.compares {
                self.fresh.push_back(line.to_owned());
            }
            if self.lines.len() < KEPT {
                self.lines.push(line.to_owned());
            }
        }
    }
}

/// A ring buffer and the records that came out of it.
pub struct Ring {
    map: Map,
    reader: RingBuffer,
    /// The first records.
    pub records: Vec<Vec<u8>>,
    /// All of them.
    pub count: u64,
    /// Records that were not yet compared with the other side's.
    pub fresh: VecDeque<Vec<u8>>,
}

impl Ring {
    pub fn new(map: Map, reader: RingBuffer) -> Ring {
        Ring { map, reader, records: Vec::new(), count: 0, fresh: VecDeque::new() }
    }

    /// The map's name.
    pub fn name(&self) -> &str {
        self.map.name()
    }

    /// Takes what is there. With `compare`, keeps it for the comparison, too.
    pub fn drain(&mut self, compare: bool) {
        while let Some(record) = self.reader.next_record() {
            self.count += 1;
            if compare {
                self.fresh.push_back(record.clone());
            }
            if self.records.len() < KEPT {
                self.records.push(record);
            }
        }
    }

    /// A record by its type where that is known, else in hex.
    pub fn show(&self, record: &[u8]) -> Shown {
        let typed = self.map.record_type(record.len());
        let decoded = typed.and_then(|(btf, id)| value::decode(btf, id, record).ok());
        decoded.map_or_else(|| Shown::Bytes(record.to_vec()), Shown::Value)
    }
}
