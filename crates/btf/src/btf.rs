//! The parsed object.
use crate::{BtfError, Kind, Type};
use std::sync::Arc;

/// Byte order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Endian {
    Little,
    Big,
}

/// A parsed BTF object. Ids are `u32`; id 0 is void; a split BTF continues its base's ids and strings.
#[derive(Debug)]
pub struct Btf {
    _private: (),
}

impl Btf {
    /// Parses a whole `.BTF` section (or `/sys/kernel/btf/vmlinux`), of either endianness.
    pub fn parse(_bytes: impl Into<Vec<u8>>) -> Result<Btf, BtfError> {
        todo!()
    }
    /// Parses a module's BTF, which continues `base`.
    pub fn parse_split(_bytes: impl Into<Vec<u8>>, _base: Arc<Btf>) -> Result<Btf, BtfError> {
        todo!()
    }
    /// The base of a split BTF.
    pub fn base(&self) -> Option<&Arc<Btf>> {
        todo!()
    }
    /// The first id of its own: 1, or the base's `len()`.
    pub fn start_id(&self) -> u32 {
        todo!()
    }
    /// The number of types, void and the base's included: ids are `0..len()`.
    pub fn len(&self) -> u32 {
        todo!()
    }
    /// Whether there is nothing but void.
    pub fn is_empty(&self) -> bool {
        self.len() <= 1
    }
    /// The byte order that it was parsed from.
    pub fn endian(&self) -> Endian {
        todo!()
    }
    /// 4 or 8, as the size of `long` tells, else 8.
    pub fn pointer_size(&self) -> u32 {
        todo!()
    }
    /// The string at an offset of the string section (names, CO-RE access strings, source lines).
    pub fn string(&self, _offset: u32) -> Result<&str, BtfError> {
        todo!()
    }
    /// The type with this id.
    pub fn type_by_id(&self, _id: u32) -> Result<Type<'_>, BtfError> {
        todo!()
    }
    /// All types of its own (not the base's), with ids.
    pub fn types(&self) -> impl Iterator<Item = (u32, Type<'_>)> {
        std::iter::empty()
    }
    /// The first type with this exact name and kind; the base is searched first.
    pub fn find(&self, _name: &str, _kind: Kind) -> Option<u32> {
        todo!()
    }
    /// Follows typedef, const, volatile, restrict and type tags; never returns one of them.
    pub fn resolve_modifiers(&self, _id: u32) -> Result<u32, BtfError> {
        todo!()
    }
    /// `sizeof` in bytes; void, functions and forward declarations are errors.
    pub fn size_of(&self, _id: u32) -> Result<u64, BtfError> {
        todo!()
    }
    /// C alignment in bytes; 1 for packed structs.
    pub fn align_of(&self, _id: u32) -> Result<u32, BtfError> {
        todo!()
    }
    /// The bytes as they were parsed.
    pub fn raw_bytes(&self) -> &[u8] {
        todo!()
    }
    /// The whole object in the given byte order.
    pub fn to_bytes(&self, _endian: Endian) -> Vec<u8> {
        todo!()
    }
}
