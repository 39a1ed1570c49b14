//! Iterations over numbers (`bpf_iter_num`, what `bpf_for` is made of). The iterator lies in
//! the program's memory: two numbers, of which none is an address. Compiled code does the same
//! in place ([`skep_jit::Range`]). Counterpart: `kernel/bpf/bpf_iter.c`.

use skep_abi::Errno;
use skep_abi::kfunc::id;
use skep_isa::{Reg, Size};

use super::{Arg, Entry, status};
use crate::helpers::misc::MAX_LOOPS;
use crate::memory::value::Value;
use crate::run::{Run, Stop, describe};

/// Bytes of an iterator.
const BYTES: u32 = 8;
/// Where the last number of the iteration is; at 0 is the one that it is at.
const END: i64 = 4;

pub(super) const FUNCTIONS: &[Entry] = &[
    (id::ITER_NUM_NEW, new, &[Arg::Bytes(BYTES), Arg::Number, Arg::Number]),
    (id::ITER_NUM_NEXT, next, &[Arg::Memory]),
    (id::ITER_NUM_DESTROY, destroy, &[Arg::Bytes(BYTES)]),
];

/// `bpf_iter_num_new(it, start, end)`.
fn new(run: &mut Run<'_>) -> Result<Value, Stop> {
    const NAME: &str = "bpf_iter_num_new";
    let (start, end) = (run.read(Reg::R2)?.bits as i32, run.read(Reg::R3)?.bits as i32);
    let range = if start > end {
        Err(Errno::EINVAL)
    } else if i64::from(end) - i64::from(start) > MAX_LOOPS as i64 {
        Err(Errno::E2BIG)
    } else {
        Ok((start.wrapping_sub(1), end))
    };
    let (at, end) = range.unwrap_or((0, 0));
    let mut bytes = [0; BYTES as usize];
    bytes[..4].copy_from_slice(&at.to_ne_bytes());
    bytes[4..].copy_from_slice(&end.to_ne_bytes());
    run.write_argument(NAME, Reg::R1, &bytes)?;
    Ok(status(range.map(|_| ())))
}

/// `bpf_iter_num_next(it)`: a pointer to the number, or null.
fn next(run: &mut Run<'_>) -> Result<Value, Stop> {
    const NAME: &str = "bpf_iter_num_next";
    let it = run.memory_argument(NAME, Reg::R1, BYTES.into(), true)?;
    let wrong = |fault| describe(fault, it, Reg::R1.number(), 0, BYTES.into(), true);
    let at = it.load(0, Size::W).map_err(wrong)? as i32;
    let end = it.load(END, Size::W).map_err(wrong)? as i32;
    let at = at.wrapping_add(1);
    run.stack_overwritten(it, BYTES.into());
    if at >= end {
        it.store(0, Size::W, 0).and_then(|()| it.store(END, Size::W, 0)).map_err(wrong)?;
        return Ok(Value::scalar(0));
    }
    it.store(0, Size::W, at as u32 as u64).map_err(wrong)?;
    Ok(it)
}

/// `bpf_iter_num_destroy(it)`.
fn destroy(run: &mut Run<'_>) -> Result<Value, Stop> {
    run.write_argument("bpf_iter_num_destroy", Reg::R1, &[0; BYTES as usize])?;
    Ok(Value::scalar(0))
}
