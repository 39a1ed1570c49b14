//! Trees of objects, in the order of a function of the program. How a tree is balanced is not
//! the program's to know: here its nodes are kept in a row, of which the middle one is the root.
//! Counterpart: `bpf_rbtree_add_impl` and its like in `kernel/bpf/helpers.c`.

use skep_abi::Errno;
use skep_abi::kfunc::id;
use skep_isa::Reg;

use super::list::{given, taken};
use super::{Arg, Entry, status};
use crate::memory::value::{Kind, Value};
use crate::run::{Run, Stop};

pub(super) const FUNCTIONS: &[Entry] = &[
    (id::RBTREE_ADD, add, &[Arg::Number, Arg::Number, Arg::Function, Arg::Number, Arg::Number]),
    (id::RBTREE_REMOVE, remove, &[Arg::Number, Arg::Number]),
    (id::RBTREE_FIRST, first, &[Arg::Number]),
    (id::RBTREE_ROOT, root, &[Arg::Number]),
    (id::RBTREE_LEFT, left, &[Arg::Number, Arg::Number]),
    (id::RBTREE_RIGHT, right, &[Arg::Number, Arg::Number]),
];

/// `bpf_rbtree_add_impl(root, node, less, meta, offset)`: behind all nodes that it does not come
/// before.
fn add(run: &mut Run<'_>) -> Result<Value, Stop> {
    const NAME: &str = "bpf_rbtree_add";
    let (root, node) = (run.read(Reg::R1)?.bits, run.read(Reg::R2)?.bits);
    let (less, offset) = (run.read(Reg::R3)?, run.read(Reg::R5)?.bits);
    if less.kind() != Kind::Function {
        return Err(run.bad_argument(NAME, 3, "is no subprogram"));
    }
    let object = given(run, node, offset);
    let members = run.env.heap.members(root);
    let (mut low, mut high) = (0, members.len());
    while low < high {
        let middle = (low + high) / 2;
        let pair = [node, members[middle]].map(|at| run.object_pointer(at));
        match run.call_back(less, &pair)? {
            0 => low = middle + 1,
            _ => high = middle,
        }
    }
    if run.env.heap.insert(root, node, low) {
        return Ok(status(Ok(())));
    }
    run.env.heap.release(object);
    Ok(status(Err(Errno::EINVAL)))
}

/// `bpf_rbtree_remove(root, node)`: null where the node is not in the tree.
fn remove(run: &mut Run<'_>) -> Result<Value, Stop> {
    let (root, node) = (run.read(Reg::R1)?.bits, run.read(Reg::R2)?.bits);
    let removed = run.env.heap.remove(root, node).then_some(node);
    Ok(taken(run, removed))
}

/// `bpf_rbtree_first(root)`.
fn first(run: &mut Run<'_>) -> Result<Value, Stop> {
    let root = run.read(Reg::R1)?.bits;
    let node = run.env.heap.end(root, true);
    Ok(node.map_or(Value::scalar(0), |node| run.object_pointer(node)))
}

/// `bpf_rbtree_root(root)`.
fn root(run: &mut Run<'_>) -> Result<Value, Stop> {
    child(run, None, |_, _| (0, 0))
}

/// `bpf_rbtree_left(root, node)`.
fn left(run: &mut Run<'_>) -> Result<Value, Stop> {
    let node = run.read(Reg::R2)?.bits;
    child(run, Some(node), |(low, _), middle| (low, middle))
}

/// `bpf_rbtree_right(root, node)`.
fn right(run: &mut Run<'_>) -> Result<Value, Stop> {
    let node = run.read(Reg::R2)?.bits;
    child(run, Some(node), |(_, high), middle| (middle + 1, high))
}

/// The node in the middle of a part of the row: of all of it, or of what `part` leaves of the
/// part that `node` is the middle of.
fn child(
    run: &mut Run<'_>,
    node: Option<u64>,
    part: impl Fn((usize, usize), usize) -> (usize, usize),
) -> Result<Value, Stop> {
    let members = run.env.heap.members(run.read(Reg::R1)?.bits);
    let mut range = (0, members.len());
    if let Some(node) = node {
        let Some(at) = members.iter().position(|member| *member == node) else {
            return Ok(Value::scalar(0));
        };
        loop {
            let middle = (range.0 + range.1) / 2;
            match at.cmp(&middle) {
                std::cmp::Ordering::Less => range.1 = middle,
                std::cmp::Ordering::Greater => range.0 = middle + 1,
                std::cmp::Ordering::Equal => break range = part(range, middle),
            }
        }
    }
    let found = (range.0 < range.1).then(|| members[(range.0 + range.1) / 2]);
    Ok(found.map_or(Value::scalar(0), |node| run.object_pointer(node)))
}
