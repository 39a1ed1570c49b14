//! Objects of the program's own types ([`crate::objects::heap`]). Counterpart:
//! `bpf_obj_new_impl` and its like in `kernel/bpf/helpers.c`.

use skep_abi::kfunc::id;
use skep_isa::Reg;

use super::{Arg, Entry};
use crate::memory::value::Value;
use crate::run::{Run, Stop};

pub(super) const FUNCTIONS: &[Entry] = &[
    (id::OBJ_NEW, new, &[Arg::Number, Arg::Number]),
    (id::PERCPU_OBJ_NEW, new_percpu, &[Arg::Number, Arg::Number]),
    (id::OBJ_DROP, drop, &[Arg::Number, Arg::Number]),
    (id::PERCPU_OBJ_DROP, drop, &[Arg::Number, Arg::Number]),
    (id::REFCOUNT_ACQUIRE, acquire, &[Arg::Number, Arg::Number]),
];

/// Largest object (the largest that Linux's allocator has, less what it keeps before each).
const MOST: u64 = 4096 - 8;

/// Bytes of the type of the program's BTF that r1 names.
fn size(run: &Run<'_>) -> Result<Option<u32>, Stop> {
    let id = run.read(Reg::R1)?.bits as u32;
    let proof = run.program.proof.as_ref();
    let types = proof.and_then(|proof| proof.verified.program().btf.as_ref());
    let size = types.and_then(|types| types.size_of(id).ok());
    Ok(size.filter(|size| *size <= MOST).map(|size| size as u32))
}

fn made(run: &mut Run<'_>, cpus: Option<u32>) -> Result<Value, Stop> {
    let full = run.held.rare().owned.is_full();
    let Some(size) = size(run)?.filter(|_| !full) else { return Ok(Value::scalar(0)) };
    let region = run.env.heap.make(size, cpus);
    run.own_object(region.start());
    Ok(region.pointer(0))
}

/// `bpf_obj_new_impl(type, meta)`.
fn new(run: &mut Run<'_>) -> Result<Value, Stop> {
    made(run, None)
}

/// `bpf_percpu_obj_new_impl(type, meta)`.
fn new_percpu(run: &mut Run<'_>) -> Result<Value, Stop> {
    let cpus = run.env.cpus();
    made(run, Some(cpus))
}

/// `bpf_obj_drop_impl(object, meta)`.
fn drop(run: &mut Run<'_>) -> Result<Value, Stop> {
    let object = run.read(Reg::R1)?.bits;
    // What the run does not own is not its to free: only the verifier says that it does.
    if run.give_object(object) {
        run.env.heap.release(object);
    }
    Ok(Value::scalar(0))
}

/// `bpf_refcount_acquire_impl(object, meta)`: one owner more.
fn acquire(run: &mut Run<'_>) -> Result<Value, Stop> {
    let object = run.read(Reg::R1)?.bits;
    if run.held.rare().owned.is_full() || !run.env.heap.acquire(object) {
        return Ok(Value::scalar(0));
    }
    run.own_object(object);
    Ok(run.object_pointer(object))
}
