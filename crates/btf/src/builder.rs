//! Writes BTF.
use crate::*;
use std::sync::Arc;

/// A member to be written; `bitfield_size` 0 for no bitfield.
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs)]
pub struct Field<'a> {
    pub name: &'a str,
    pub type_id: u32,
    pub bit_offset: u32,
    pub bitfield_size: u8,
}

/// Writes a BTF object: each method adds one type and returns its id; equal strings are stored once.
#[derive(Debug, Default)]
pub struct Builder {
    _private: (),
}

#[allow(missing_docs)]
impl Builder {
    pub fn new() -> Builder {
        todo!()
    }
    /// A split BTF that continues `base`.
    pub fn with_base(_base: Arc<Btf>) -> Builder {
        todo!()
    }
    /// Starts from all that `btf` holds, to edit or extend it. Ids and string offsets are kept.
    pub fn from_btf(_btf: &Btf) -> Builder {
        todo!()
    }
    /// The id that the next added type will get.
    pub fn next_id(&self) -> u32 {
        todo!()
    }
    pub fn string(&mut self, _text: &str) -> u32 {
        todo!()
    }
    /// Copies a type of another BTF; `map` translates its type ids.
    pub fn copy(&mut self, _ty: &Type<'_>, _map: impl Fn(u32) -> u32) -> u32 {
        todo!()
    }
    pub fn int(&mut self, _name: &str, _size: u32, _signed: bool) -> u32 {
        todo!()
    }
    pub fn ptr(&mut self, _target: u32) -> u32 {
        todo!()
    }
    pub fn array(&mut self, _element: u32, _index: u32, _len: u32) -> u32 {
        todo!()
    }
    pub fn structure(&mut self, _name: &str, _size: u32, _fields: &[Field<'_>]) -> u32 {
        todo!()
    }
    pub fn union(&mut self, _name: &str, _size: u32, _fields: &[Field<'_>]) -> u32 {
        todo!()
    }
    pub fn enumeration(
        &mut self,
        _name: &str,
        _size: u32,
        _signed: bool,
        _values: &[(&str, u64)],
    ) -> u32 {
        todo!()
    }
    pub fn typedef(&mut self, _name: &str, _target: u32) -> u32 {
        todo!()
    }
    pub fn func_proto(&mut self, _ret: u32, _params: &[(&str, u32)]) -> u32 {
        todo!()
    }
    pub fn func(&mut self, _name: &str, _proto: u32, _linkage: FuncLinkage) -> u32 {
        todo!()
    }
    pub fn var(&mut self, _name: &str, _target: u32, _linkage: VarLinkage) -> u32 {
        todo!()
    }
    pub fn datasec(&mut self, _name: &str, _size: u32, _vars: &[SecVar]) -> u32 {
        todo!()
    }
    /// Replaces a section's size and variables, as many as it has (the loader's fix-up from ELF symbols).
    pub fn set_datasec(&mut self, _id: u32, _size: u32, _vars: &[SecVar]) -> Result<(), BtfError> {
        todo!()
    }
    pub fn set_var(
        &mut self,
        _id: u32,
        _target: u32,
        _linkage: VarLinkage,
    ) -> Result<(), BtfError> {
        todo!()
    }
    pub fn set_func_linkage(&mut self, _id: u32, _linkage: FuncLinkage) -> Result<(), BtfError> {
        todo!()
    }
    pub fn set_name(&mut self, _id: u32, _name: &str) -> Result<(), BtfError> {
        todo!()
    }
    pub fn set_param_name(&mut self, _id: u32, _index: usize, _name: &str) -> Result<(), BtfError> {
        todo!()
    }
    /// The `.BTF` section.
    pub fn to_bytes(&self, _endian: Endian) -> Vec<u8> {
        todo!()
    }
    /// The parsed object.
    pub fn build(self) -> Result<Btf, BtfError> {
        todo!()
    }
}
