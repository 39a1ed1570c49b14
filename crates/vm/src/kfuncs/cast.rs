//! Pointers under another type. What the kernel keeps of a context leads nowhere here.

use skep_abi::kfunc::id;
use skep_isa::Reg;

use super::{Arg, Entry};
use crate::memory::value::{Kind, Value};
use crate::run::{Run, Stop};

pub(super) const FUNCTIONS: &[Entry] = &[
    (id::CAST_TO_KERN_CTX, to_kernel, &[Arg::Context]),
    (id::RDONLY_CAST, read_only, &[Arg::Address, Arg::Number]),
];

/// Where the kernel's side of contexts would be.
const CONTEXTS: u64 = 0xffff_8880_4358_0000;

/// `bpf_cast_to_kern_ctx(ctx)`.
fn to_kernel(run: &mut Run<'_>) -> Result<Value, Stop> {
    run.read(Reg::R1)?;
    Ok(Value::scalar(CONTEXTS))
}

/// `bpf_rdonly_cast(pointer, type)`.
fn read_only(run: &mut Run<'_>) -> Result<Value, Stop> {
    let pointer = run.read(Reg::R1)?;
    Ok(match pointer.kind() {
        Kind::Context => Value::scalar(CONTEXTS),
        _ => pointer,
    })
}
