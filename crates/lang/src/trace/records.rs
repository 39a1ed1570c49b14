//! C structures and unions that a script knows: by `#include`, by definitions of its own,
//! from BTF, and the arguments of probes.

use std::collections::HashMap;

use super::ast::Name;
use super::kind::{Kind, RecordId, Type};

/// A structure, a union, or the arguments of a probe.
#[derive(Clone, Debug)]
pub struct Record {
    /// With `struct ` or `union ` in front.
    pub name: Name,
    /// Bytes.
    pub size: u32,
    /// Members in their order; those of anonymous members are lifted into it.
    pub fields: Vec<Field>,
    /// The arguments of a tracepoint, whose first eight bytes no program may read.
    pub tracepoint: bool,
    /// Whether the members are known, or only the name.
    pub complete: bool,
    /// Whether it has no name in C.
    pub anonymous: bool,
}

/// A member.
#[derive(Clone, Debug)]
pub struct Field {
    /// Its name.
    pub name: Name,
    /// Its type.
    pub of: Type,
    /// Bytes from the start; of an argument in registers its number times 8.
    pub offset: u32,
    /// Which bits, if not all.
    pub bits: Option<Bits>,
    /// A tracepoint's `__data_loc`: the low half of four bytes is the offset from the
    /// record's start, the high half the length.
    pub data_loc: bool,
}

/// A bit field: read `read` bytes at the member's offset, shift right, mask.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Bits {
    /// Bytes to read.
    pub read: u8,
    /// Bits to shift right.
    pub shift: u8,
    /// Bits to keep.
    pub width: u8,
}

/// All of a script.
#[derive(Clone, Debug, Default)]
pub struct Records {
    records: Vec<Record>,
    by_name: HashMap<Name, RecordId>,
}

impl Records {
    /// The record.
    pub fn get(&self, id: RecordId) -> &Record {
        &self.records[id.0 as usize]
    }

    /// The record, to complete it.
    pub fn get_mut(&mut self, id: RecordId) -> &mut Record {
        &mut self.records[id.0 as usize]
    }

    /// The record of that name.
    pub fn find(&self, name: &str) -> Option<RecordId> {
        self.by_name.get(name).copied()
    }

    /// The record of that name, a new and empty one if there is none.
    pub fn find_or_add(&mut self, name: &str) -> RecordId {
        if let Some(id) = self.find(name) {
            return id;
        }
        self.add(Record {
            name: name.into(),
            size: 0,
            fields: Vec::new(),
            tracepoint: false,
            complete: false,
            anonymous: false,
        })
    }

    /// Adds a record, in the place of one of the same name.
    pub fn add(&mut self, record: Record) -> RecordId {
        if let Some(id) = self.find(&record.name) {
            self.records[id.0 as usize] = record;
            return id;
        }
        let id = RecordId(self.records.len() as u32);
        self.by_name.insert(record.name.clone(), id);
        self.records.push(record);
        id
    }

    /// The type of a record, under its own name.
    pub fn type_of(&self, id: RecordId) -> Type {
        let record = self.get(id);
        Kind::Record { id, name: record.name.clone(), size: record.size }.into()
    }

    /// Whether it has no name in C.
    pub fn anonymous(&self, id: RecordId) -> bool {
        self.get(id).anonymous
    }

    /// A member by its name.
    pub fn field(&self, id: RecordId, name: &str) -> Option<&Field> {
        self.get(id).fields.iter().find(|field| &*field.name == name)
    }

    /// All, by number.
    pub fn iter(&self) -> impl Iterator<Item = (RecordId, &Record)> {
        self.records.iter().enumerate().map(|(at, record)| (RecordId(at as u32), record))
    }
}
