//! What comes out of programs while they run: ring-buffer records and printed lines.
//! A bounded number is kept, all are counted.

use std::collections::VecDeque;
use std::sync::Arc;

use skep::btf::{Btf, Kind, Type, value};
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
}

impl Printed {
    /// Adds what one call printed.
    pub fn add(&mut self, text: &str) {
        for line in text.trim_end_matches('\n').split('\n') {
            self.count += 1;
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
    pub fn show(&self, types: Option<&Arc<Btf>>, record: &[u8]) -> Shown {
        let typed = self.map.value_type().map(|(btf, id)| (btf.as_ref(), id));
        let typed = typed.or_else(|| {
            let btf = types?.as_ref();
            Some((btf, record_type(btf, record.len())?))
        });
        let decoded = typed.and_then(|(btf, id)| value::decode(btf, id, record).ok());
        decoded.map_or_else(|| Shown::Bytes(record.to_vec()), Shown::Value)
    }
}

/// The type of a record of this length: the one structure of that size which a variable
/// of the object points to. (A ring buffer's definition cannot say it, and types that
/// nothing refers to are not in the object, so programs declare
/// `const struct event *unused __attribute__((unused));`.)
fn record_type(btf: &Btf, len: usize) -> Option<u32> {
    let pointee = |(_, ty): (u32, Type<'_>)| {
        let Type::Var { target, .. } = ty else { return None };
        let Ok(Type::Ptr { target }) = btf.resolved(target) else { return None };
        let id = btf.resolve_modifiers(target).ok()?;
        let is_record = btf.type_by_id(id).ok()?.kind() == Kind::Struct;
        (is_record && btf.size_of(id) == Ok(len as u64)).then_some(id)
    };
    let mut found: Vec<u32> = btf.types().filter_map(pointee).collect();
    found.sort_unstable();
    found.dedup();
    match found[..] {
        [one] => Some(one),
        _ => None,
    }
}
