//! bpftool's raw form.
use crate::Btf;
use std::io::{self, Write};

/// Writes all types (of a split BTF: its own) as `bpftool btf dump` does.
pub fn write_raw(_btf: &Btf, _out: &mut dyn Write) -> io::Result<()> {
    todo!()
}
