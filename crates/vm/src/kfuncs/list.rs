//! Lists of objects. Counterpart: `bpf_list_push_front_impl` and its like in
//! `kernel/bpf/helpers.c`.

use skep_abi::Errno;
use skep_abi::kfunc::id;
use skep_isa::Reg;

use super::{Arg, Entry, status};
use crate::memory::value::Value;
use crate::run::{Run, Stop};

pub(super) const FUNCTIONS: &[Entry] = &[
    (id::LIST_PUSH_FRONT, push_front, PUSH),
    (id::LIST_PUSH_BACK, push_back, PUSH),
    (id::LIST_POP_FRONT, pop_front, &[Arg::Number]),
    (id::LIST_POP_BACK, pop_back, &[Arg::Number]),
    (id::LIST_FRONT, front, &[Arg::Number]),
    (id::LIST_BACK, back, &[Arg::Number]),
];

/// A list, a node, what the object is like, and where the node lies in it.
const PUSH: &[Arg] = &[Arg::Number, Arg::Number, Arg::Number, Arg::Number];

/// The first address of the object whose node is at `offset` of it, which the run gives on.
pub(super) fn given(run: &mut Run<'_>, node: u64, offset: u64) -> u64 {
    let object = node.wrapping_sub(offset);
    run.give_object(object);
    object
}

fn push(run: &mut Run<'_>, front: bool) -> Result<Value, Stop> {
    let (head, node) = (run.read(Reg::R1)?.bits, run.read(Reg::R2)?.bits);
    let offset = run.read(Reg::R4)?.bits;
    let object = given(run, node, offset);
    if run.env.heap.push(head, node, front) {
        return Ok(status(Ok(())));
    }
    // It is in a list already, by another reference.
    run.env.heap.release(object);
    Ok(status(Err(Errno::EINVAL)))
}

/// `bpf_list_push_front_impl(head, node, meta, offset)`.
fn push_front(run: &mut Run<'_>) -> Result<Value, Stop> {
    push(run, true)
}

/// `bpf_list_push_back_impl(head, node, meta, offset)`.
fn push_back(run: &mut Run<'_>) -> Result<Value, Stop> {
    push(run, false)
}

/// A node whose object the run owns from now on. The program knows it by the node, and drops
/// it by its first address.
pub(super) fn taken(run: &mut Run<'_>, node: Option<u64>) -> Value {
    let Some(node) = node else { return Value::scalar(0) };
    let pointer = run.object_pointer(node);
    run.own_object(pointer.region().start());
    pointer
}

fn pop(run: &mut Run<'_>, front: bool) -> Result<Value, Stop> {
    let head = run.read(Reg::R1)?.bits;
    let node = run.env.heap.pop(head, front);
    Ok(taken(run, node))
}

/// `bpf_list_pop_front(head)`: a node, or null.
fn pop_front(run: &mut Run<'_>) -> Result<Value, Stop> {
    pop(run, true)
}

/// `bpf_list_pop_back(head)`.
fn pop_back(run: &mut Run<'_>) -> Result<Value, Stop> {
    pop(run, false)
}

fn end(run: &mut Run<'_>, front: bool) -> Result<Value, Stop> {
    let head = run.read(Reg::R1)?.bits;
    let node = run.env.heap.end(head, front);
    Ok(node.map_or(Value::scalar(0), |node| run.object_pointer(node)))
}

/// `bpf_list_front(head)`: the node stays in the list.
fn front(run: &mut Run<'_>) -> Result<Value, Stop> {
    end(run, true)
}

/// `bpf_list_back(head)`.
fn back(run: &mut Run<'_>) -> Result<Value, Stop> {
    end(run, false)
}
