//! The `.BTF.ext` section.
use crate::{Btf, BtfError, Endian, core::Relocation};

/// `.BTF.ext`: records per ELF section.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Ext {
    pub func_info: Vec<Section<FuncInfo>>,
    pub line_info: Vec<Section<LineInfo>>,
    pub core_relos: Vec<Section<Relocation>>,
}

/// The records about one ELF section, whose name is the string at `name_off` of the BTF.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Section<T> {
    pub name_off: u32,
    pub records: Vec<T>,
}

/// Which function starts at an instruction. `insn_off` in bytes from the section's start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct FuncInfo {
    pub insn_off: u32,
    pub type_id: u32,
}

/// Which source line an instruction comes from. `insn_off` in bytes; strings are in the BTF.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct LineInfo {
    pub insn_off: u32,
    pub file_name_off: u32,
    pub line_off: u32,
    pub line: u32,
    pub column: u32,
}

impl Ext {
    /// Parses a `.BTF.ext` section; string offsets and type ids are checked against `btf`.
    pub fn parse(_bytes: &[u8], _btf: &Btf) -> Result<Ext, BtfError> {
        todo!()
    }
    /// The section's bytes.
    pub fn to_bytes(&self, _endian: Endian) -> Vec<u8> {
        todo!()
    }
}
