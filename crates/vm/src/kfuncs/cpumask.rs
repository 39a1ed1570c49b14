//! Masks of CPUs: objects of the heap ([`crate::objects::heap`]). Counterpart:
//! `kernel/bpf/cpumask.c`.

use skep_abi::Errno;
use skep_abi::kfunc::id;
use skep_isa::{Reg, Size};

use super::{Arg, Entry, word};
use crate::memory::value::Value;
use crate::run::{Run, Stop};

const MASK: Arg = Arg::Address;
const ONE: &[Arg] = &[MASK];
const CPU: &[Arg] = &[Arg::Number, MASK];
const TWO: &[Arg] = &[MASK, MASK];
const THREE: &[Arg] = &[MASK, MASK, MASK];

pub(super) const FUNCTIONS: &[Entry] = &[
    (id::CPUMASK_CREATE, create, &[]),
    (id::CPUMASK_RELEASE, release, ONE),
    (id::CPUMASK_ACQUIRE, acquire, ONE),
    (id::CPUMASK_FIRST, first, ONE),
    (id::CPUMASK_FIRST_ZERO, first_zero, ONE),
    (id::CPUMASK_SET_CPU, set_cpu, CPU),
    (id::CPUMASK_CLEAR_CPU, clear_cpu, CPU),
    (id::CPUMASK_TEST_CPU, test_cpu, CPU),
    (id::CPUMASK_TEST_AND_SET_CPU, set_cpu, CPU),
    (id::CPUMASK_TEST_AND_CLEAR_CPU, clear_cpu, CPU),
    (id::CPUMASK_SETALL, set_all, ONE),
    (id::CPUMASK_CLEAR, clear, ONE),
    (id::CPUMASK_AND, and, THREE),
    (id::CPUMASK_OR, or, THREE),
    (id::CPUMASK_XOR, xor, THREE),
    (id::CPUMASK_EQUAL, equal, TWO),
    (id::CPUMASK_INTERSECTS, intersects, TWO),
    (id::CPUMASK_SUBSET, subset, TWO),
    (id::CPUMASK_EMPTY, empty, ONE),
    (id::CPUMASK_FULL, full, ONE),
    (id::CPUMASK_COPY, copy, TWO),
    (id::CPUMASK_FIRST_AND, first_and, TWO),
    (id::CPUMASK_ANY_DISTRIBUTE, first, ONE),
    (id::CPUMASK_ANY_AND_DISTRIBUTE, first_and, TWO),
    (id::CPUMASK_WEIGHT, weight, ONE),
    (id::CPUMASK_POPULATE, populate, &[MASK, Arg::Bytes(0), Arg::Number]),
];

/// Bytes of a mask, as many as 8192 CPUs need, and of its count of references.
const BYTES: usize = 1024;
const SIZE: u32 = BYTES as u32 + 8;

/// A mask of CPUs that there are: at most as many as the maps of this kernel know.
type Bits = u128;

/// The mask in a register; one that leads nowhere is empty.
fn mask(run: &Run<'_>, reg: Reg) -> Result<Bits, Stop> {
    let mask = run.read(reg)?;
    let half = |at| match run.holds(&mask) {
        true => mask.load(at, Size::DW).unwrap_or(0),
        false => 0,
    };
    Ok((Bits::from(half(8)) << 64 | Bits::from(half(0))) & all(run))
}

/// Every CPU.
fn all(run: &Run<'_>) -> Bits {
    Bits::MAX >> (Bits::BITS - run.env.cpus().clamp(1, Bits::BITS))
}

fn put(run: &Run<'_>, reg: Reg, bits: Bits) -> Result<(), Stop> {
    let mask = run.read(reg)?;
    let stored = mask
        .store(0, Size::DW, bits as u64)
        .and_then(|()| mask.store(8, Size::DW, (bits >> 64) as u64));
    stored.map_err(|_| run.bad_argument("bpf_cpumask", reg.number(), "is no mask"))
}

/// `bpf_cpumask_create()`.
fn create(run: &mut Run<'_>) -> Result<Value, Stop> {
    if run.held.rare().owned.is_full() {
        return Ok(Value::scalar(0));
    }
    let region = run.env.heap.make(SIZE, None);
    run.own_object(region.start());
    Ok(region.pointer(0))
}

/// `bpf_cpumask_release(mask)`.
fn release(run: &mut Run<'_>) -> Result<Value, Stop> {
    let mask = run.read(Reg::R1)?.bits;
    if run.give_object(mask) {
        run.env.heap.release(mask);
    }
    Ok(Value::scalar(0))
}

/// `bpf_cpumask_acquire(mask)`.
fn acquire(run: &mut Run<'_>) -> Result<Value, Stop> {
    let mask = run.read(Reg::R1)?;
    if run.env.heap.acquire(mask.bits) {
        run.own_object(mask.bits);
    }
    Ok(mask)
}

/// The number of the first CPU, or of CPUs where there is none.
fn first_of(run: &Run<'_>, bits: Bits) -> Value {
    Value::scalar(bits.trailing_zeros().min(run.env.cpus()).into())
}

fn first(run: &mut Run<'_>) -> Result<Value, Stop> {
    Ok(first_of(run, mask(run, Reg::R1)?))
}

fn first_zero(run: &mut Run<'_>) -> Result<Value, Stop> {
    Ok(first_of(run, !mask(run, Reg::R1)?))
}

fn first_and(run: &mut Run<'_>) -> Result<Value, Stop> {
    Ok(first_of(run, mask(run, Reg::R1)? & mask(run, Reg::R2)?))
}

/// The CPU in r1 as a mask; nothing for one that there is none of.
fn cpu(run: &Run<'_>) -> Result<Option<Bits>, Stop> {
    let cpu = run.read(Reg::R1)?.bits as u32;
    Ok((cpu < run.env.cpus()).then(|| Bits::from(1u8).checked_shl(cpu).unwrap_or(0)))
}

fn change(run: &mut Run<'_>, set: bool) -> Result<Value, Stop> {
    let Some(cpu) = cpu(run)? else { return Ok(Value::scalar(0)) };
    let old = mask(run, Reg::R2)?;
    put(run, Reg::R2, if set { old | cpu } else { old & !cpu })?;
    Ok(truth(old & cpu != 0))
}

fn truth(is: bool) -> Value {
    Value::scalar(is.into())
}

fn set_cpu(run: &mut Run<'_>) -> Result<Value, Stop> {
    change(run, true)
}

fn clear_cpu(run: &mut Run<'_>) -> Result<Value, Stop> {
    change(run, false)
}

fn test_cpu(run: &mut Run<'_>) -> Result<Value, Stop> {
    let cpu = cpu(run)?.unwrap_or(0);
    Ok(truth(mask(run, Reg::R2)? & cpu != 0))
}

fn set_all(run: &mut Run<'_>) -> Result<Value, Stop> {
    let all = all(run);
    put(run, Reg::R1, all)?;
    Ok(Value::scalar(0))
}

fn clear(run: &mut Run<'_>) -> Result<Value, Stop> {
    put(run, Reg::R1, 0)?;
    Ok(Value::scalar(0))
}

fn combine(run: &mut Run<'_>, with: impl Fn(Bits, Bits) -> Bits) -> Result<Bits, Stop> {
    let bits = with(mask(run, Reg::R2)?, mask(run, Reg::R3)?);
    put(run, Reg::R1, bits)?;
    Ok(bits)
}

/// `bpf_cpumask_and(to, one, other)`: whether anything is left.
fn and(run: &mut Run<'_>) -> Result<Value, Stop> {
    Ok(truth(combine(run, |one, other| one & other)? != 0))
}

fn or(run: &mut Run<'_>) -> Result<Value, Stop> {
    combine(run, |one, other| one | other)?;
    Ok(Value::scalar(0))
}

fn xor(run: &mut Run<'_>) -> Result<Value, Stop> {
    combine(run, |one, other| one ^ other)?;
    Ok(Value::scalar(0))
}

fn equal(run: &mut Run<'_>) -> Result<Value, Stop> {
    Ok(truth(mask(run, Reg::R1)? == mask(run, Reg::R2)?))
}

fn intersects(run: &mut Run<'_>) -> Result<Value, Stop> {
    Ok(truth(mask(run, Reg::R1)? & mask(run, Reg::R2)? != 0))
}

fn subset(run: &mut Run<'_>) -> Result<Value, Stop> {
    Ok(truth(mask(run, Reg::R1)? & !mask(run, Reg::R2)? == 0))
}

fn empty(run: &mut Run<'_>) -> Result<Value, Stop> {
    Ok(truth(mask(run, Reg::R1)? == 0))
}

fn full(run: &mut Run<'_>) -> Result<Value, Stop> {
    let all = all(run);
    Ok(truth(mask(run, Reg::R1)? == all))
}

fn copy(run: &mut Run<'_>) -> Result<Value, Stop> {
    let bits = mask(run, Reg::R2)?;
    put(run, Reg::R1, bits)?;
    Ok(Value::scalar(0))
}

fn weight(run: &mut Run<'_>) -> Result<Value, Stop> {
    Ok(Value::scalar(mask(run, Reg::R1)?.count_ones().into()))
}

/// `bpf_cpumask_populate(mask, words, size)`.
fn populate(run: &mut Run<'_>) -> Result<Value, Stop> {
    let size = run.size_argument(Reg::R3)?;
    let cpus = u64::from(run.env.cpus());
    // As many words as all CPUs need.
    if size < cpus.div_ceil(64) * 8 {
        return Ok(word(-Errno::EACCES.0));
    }
    let bytes = run.bytes_argument("bpf_cpumask_populate", Reg::R2, size)?;
    let half = |at: usize| {
        bytes.get(at..).and_then(|rest| rest.first_chunk()).copied().map_or(0, u64::from_ne_bytes)
    };
    let bits = Bits::from(half(8)) << 64 | Bits::from(half(0));
    put(run, Reg::R1, bits & all(run))?;
    Ok(word(0))
}
