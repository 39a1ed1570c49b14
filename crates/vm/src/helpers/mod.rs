//! The helper functions, one Rust function each, keyed by their rows in `abi`.
//!
//! A helper reads its arguments from r1 to r5 of the run and gives r0. It checks
//! what it is given: on a program that no verifier saw, any argument may be anything.

pub(crate) mod checksum;
pub(crate) mod dynptr;
mod format;
mod header;
pub(crate) mod lock;
mod map;
mod memory;
mod message;
pub(crate) mod misc;
mod object;
mod option;
pub(crate) mod own;
pub(crate) mod packet;
pub(crate) mod path;
mod perf;
pub(crate) mod probe;
mod ring;
mod room;
mod route;
mod sequence;
mod shown;
mod signal;
mod skb;
mod socket;
mod stack;
mod storage;
mod syncookie;
mod sysctl;
pub(crate) mod tags;
mod task;
mod text;
pub(crate) mod timer;
mod tracing;
mod tunnel;

use skep_abi::helper::id::TAIL_CALL;
use skep_abi::hook::Shape;
use skep_abi::{Helper, TrapKind};

use crate::memory::value::Value;
use crate::run::{Run, Stop};

/// A helper's implementation.
pub(crate) type Function = fn(&mut Run<'_>) -> Result<Value, Stop>;

/// Numbers that a helper may have, and 0.
pub(crate) const NUMBERS: usize = Helper::all().len() + 1;

/// What libbpf puts in the place of what did not resolve: a CO-RE record, a map, a
/// kernel function (with its index).
fn is_poison(id: u32) -> bool {
    matches!(id, 195_896_080 | 2_001_000_000..2_003_000_000)
}

/// The implementations, by helper number.
static FUNCTIONS: [Option<Function>; NUMBERS] = {
    let mut table: [Option<Function>; NUMBERS] = [None; NUMBERS];
    let groups: [&[(u32, Function)]; 29] = [
        map::FUNCTIONS,
        perf::FUNCTIONS,
        probe::FUNCTIONS,
        socket::FUNCTIONS,
        stack::FUNCTIONS,
        task::FUNCTIONS,
        text::FUNCTIONS,
        tracing::FUNCTIONS,
        ring::FUNCTIONS,
        lock::FUNCTIONS,
        memory::FUNCTIONS,
        misc::FUNCTIONS,
        packet::FUNCTIONS,
        dynptr::FUNCTIONS,
        room::FUNCTIONS,
        route::FUNCTIONS,
        skb::FUNCTIONS,
        syncookie::FUNCTIONS,
        tunnel::FUNCTIONS,
        message::FUNCTIONS,
        object::FUNCTIONS,
        option::FUNCTIONS,
        signal::FUNCTIONS,
        storage::FUNCTIONS,
        timer::FUNCTIONS,
        sysctl::FUNCTIONS,
        sequence::FUNCTIONS,
        header::FUNCTIONS,
        path::FUNCTIONS,
    ];
    let mut group = 0;
    while group < groups.len() {
        let mut row = 0;
        while row < groups[group].len() {
            let (id, function) = groups[group][row];
            table[id as usize] = Some(function);
            row += 1;
        }
        group += 1;
    }
    table
};

/// Whether the embedded kernel has this helper. Tail calls the interpreter does itself.
pub fn exists(id: u32) -> bool {
    id == TAIL_CALL || FUNCTIONS.get(id as usize).is_some_and(Option::is_some)
}

/// Calls helper `id`.
pub(crate) fn call(run: &mut Run<'_>, id: u32) -> Result<Value, Stop> {
    match FUNCTIONS.get(id as usize) {
        Some(Some(function)) => function(run),
        _ if Shape::of(id).is_some() => own::call(run, id),
        _ if is_poison(id) => Err(TrapKind::Poisoned { what: String::new() }.into()),
        _ => Err(TrapKind::UnknownHelper { id }.into()),
    }
}

/// A helper's negative errno, or 0, as r0.
pub(crate) fn status(result: Result<(), skep_abi::Errno>) -> Value {
    match result {
        Ok(()) => Value::scalar(0),
        Err(errno) => failure(errno),
    }
}

/// A number, or a negative errno, as r0.
pub(crate) fn number(result: Result<u64, skep_abi::Errno>) -> Value {
    match result {
        Ok(number) => Value::scalar(number),
        Err(errno) => failure(errno),
    }
}

/// A negative errno as r0.
pub(crate) fn failure(errno: skep_abi::Errno) -> Value {
    Value::scalar(-i64::from(errno.0) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_here_says_why() {
        for helper in Helper::all() {
            assert_ne!(exists(helper.id), helper.linux_only.is_some(), "{}", helper.name);
        }
    }
}
