//! Types as C.
use crate::{Btf, BtfError};
use std::io::Write;

/// Writes a whole header, as `bpftool btf dump FILE format c` does.
pub fn write_header(_btf: &Btf, _out: &mut dyn Write) -> Result<(), BtfError> {
    todo!()
}
/// A declaration of `name` with this type: `int (*name)[4]`.
pub fn declaration(_btf: &Btf, _id: u32, _name: &str) -> Result<String, BtfError> {
    todo!()
}
