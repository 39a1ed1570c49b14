//! Iterations over the bits of words (`bpf_iter_bits`). Counterpart: `kernel/bpf/helpers.c`.

use skep_abi::Errno;
use skep_abi::kfunc::id;
use skep_abi::limits::MAX_ITERATED_WORDS;
use skep_isa::{Reg, Size};
use skep_maps::mem::bytes::Bytes;

use super::{Arg, Entry, status};
use crate::memory::value::{Kind, Value};
use crate::run::{Run, Stop, describe};

/// Bytes of an iterator.
const BYTES: u32 = 16;
/// Where the number of the bit is that it is at.
const BIT: i64 = 12;
pub(super) const FUNCTIONS: &[Entry] = &[
    (id::ITER_BITS_NEW, new, &[Arg::Bytes(BYTES), Arg::Address, Arg::Number]),
    (id::ITER_BITS_NEXT, next, &[Arg::Memory]),
    (id::ITER_BITS_DESTROY, destroy, &[Arg::Bytes(BYTES)]),
];

/// `bpf_iter_bits_new(it, words, count)`.
fn new(run: &mut Run<'_>) -> Result<Value, Stop> {
    const NAME: &str = "bpf_iter_bits_new";
    let (source, count) = (run.read(Reg::R2)?, run.read(Reg::R3)?.bits as u32);
    let at = run.memory_argument(NAME, Reg::R1, BYTES.into(), true)?.bits;
    run.held.bits.end(at);
    run.write_argument(NAME, Reg::R1, &[0; BYTES as usize])?;
    if source.bits == 0 || count == 0 {
        return Ok(status(Err(Errno::EINVAL)));
    }
    if count > MAX_ITERATED_WORDS {
        return Ok(status(Err(Errno::E2BIG)));
    }
    let mut bytes = Bytes::zeros(count as usize * 8);
    let found =
        source.kind() != Kind::Context && run.holds(&source) && source.read(&mut bytes).is_ok();
    if !found {
        return Ok(status(Err(Errno::EFAULT)));
    }
    let (words, _) = bytes.as_chunks();
    run.held.bits.begin(at, words.iter().map(|word| u64::from_ne_bytes(*word)).collect());
    Ok(status(Ok(())))
}

/// `bpf_iter_bits_next(it)`: a pointer to the number of a bit, or null.
fn next(run: &mut Run<'_>) -> Result<Value, Stop> {
    const NAME: &str = "bpf_iter_bits_next";
    let it = run.memory_argument(NAME, Reg::R1, BYTES.into(), true)?;
    let Some(bit) = run.held.bits.next(it.bits) else { return Ok(Value::scalar(0)) };
    let wrong = |fault| describe(fault, it, Reg::R1.number(), BIT, 4, true);
    it.store(BIT, Size::W, bit.into()).map_err(wrong)?;
    run.stack_overwritten(it, BYTES.into());
    Ok(it.with_bits(it.bits.wrapping_add(BIT as u64)))
}

/// `bpf_iter_bits_destroy(it)`.
fn destroy(run: &mut Run<'_>) -> Result<Value, Stop> {
    const NAME: &str = "bpf_iter_bits_destroy";
    let at = run.memory_argument(NAME, Reg::R1, BYTES.into(), true)?.bits;
    run.held.bits.end(at);
    Ok(Value::scalar(0))
}
