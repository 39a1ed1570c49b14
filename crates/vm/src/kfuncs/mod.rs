//! The kernel functions (kfuncs), one Rust function each, keyed by their rows in `abi`, as
//! helpers are. Most take their place by BTF in Linux; what each argument is to compiled code
//! stands here, beside the function.

mod arena;
mod bits;
mod cast;
mod cpumask;
mod dynptr;
mod list;
mod lock;
mod num;
mod object;
mod path;
mod probe;
mod section;
mod string;
mod task;
mod throw;
mod tree;
mod walk;
mod work;
mod world;

use skep_abi::limits::DYNPTR;
use std::sync::LazyLock;

use skep_abi::Kfunc;
use skep_isa::{Callee, Insn, Pc};

use crate::helpers::Function;
use crate::helpers::tags::{Row, Tag};
use crate::memory::value::Value;
use crate::objects::program::Program;
use crate::run::{Run, Stop};

/// What an argument is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Arg {
    /// A number.
    Number,
    /// The context.
    Context,
    /// Memory of which it sees so many bytes, and keeps no pointer to it.
    Bytes(u32),
    /// Memory that it gives pointers to.
    Memory,
    /// A dynptr.
    Dynptr,
    /// Any address, which need not be one.
    Address,
    /// A subprogram.
    Function,
    /// A map.
    Map,
}

impl Arg {
    /// What it is in a register.
    fn tag(self) -> Tag {
        match self {
            Arg::Number => Tag::Scalar,
            Arg::Context => Tag::Context,
            Arg::Bytes(_) | Arg::Memory | Arg::Dynptr => Tag::Memory,
            Arg::Address => Tag::Address,
            Arg::Function => Tag::Function,
            Arg::Map => Tag::Map,
        }
    }

    /// Bytes that are seen of it, where that is always the same number.
    pub fn bytes(self) -> Option<u32> {
        match self {
            Arg::Bytes(bytes) => Some(bytes),
            Arg::Dynptr => Some(DYNPTR as u32),
            _ => None,
        }
    }
}

/// A kernel function that is here.
#[derive(Clone, Copy)]
pub(crate) struct Implementation {
    pub function: Function,
    /// What r1 to r5 are.
    pub args: &'static [Arg],
}

type Entry = (u32, Function, &'static [Arg]);

const COUNT: usize = Kfunc::all().len();

/// The implementations, by the numbers of their rows.
static FUNCTIONS: [Option<Implementation>; COUNT] = {
    let mut table: [Option<Implementation>; COUNT] = [None; COUNT];
    let groups: [&[Entry]; 19] = [
        num::FUNCTIONS,
        bits::FUNCTIONS,
        section::FUNCTIONS,
        dynptr::FUNCTIONS,
        string::FUNCTIONS,
        throw::FUNCTIONS,
        cast::FUNCTIONS,
        cpumask::FUNCTIONS,
        list::FUNCTIONS,
        lock::FUNCTIONS,
        object::FUNCTIONS,
        path::FUNCTIONS,
        task::FUNCTIONS,
        tree::FUNCTIONS,
        work::FUNCTIONS,
        arena::FUNCTIONS,
        probe::FUNCTIONS,
        walk::FUNCTIONS,
        world::FUNCTIONS,
    ];
    let mut group = 0;
    while group < groups.len() {
        let mut row = 0;
        while row < groups[group].len() {
            let (id, function, args) = groups[group][row];
            table[id as usize] = Some(Implementation { function, args });
            row += 1;
        }
        group += 1;
    }
    table
};

static ROWS: LazyLock<Vec<Option<Row>>> = LazyLock::new(|| {
    let row = |found: &Implementation| Row::of(found.args.iter().map(|arg| arg.tag()));
    FUNCTIONS.iter().map(|found| found.as_ref().map(row)).collect()
});

/// The implementation of the function with this number, if it is here.
pub(crate) fn of(number: u32) -> Option<&'static Implementation> {
    FUNCTIONS.get(number as usize)?.as_ref()
}

/// Whether the embedded kernel has this function.
pub fn has(row: &Kfunc) -> bool {
    of(row.number()).is_some()
}

/// A kernel function that a program calls and that is not here.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("insn {pc}: it calls {name}, which the embedded kernel does not have{}", because(*.why))]
pub struct MissingKfunc {
    /// The call.
    pub pc: Pc,
    /// The function.
    pub name: &'static str,
    /// Why it is left to Linux, where that is so.
    pub why: Option<&'static str>,
}

fn because(why: Option<&str>) -> String {
    why.map_or(String::new(), |why| format!(": {why}"))
}

/// The first function that a verified program may call and that is not here: it is not run.
/// Others end when they come to such a call.
pub(crate) fn missing(program: &Program) -> Option<MissingKfunc> {
    let facts = program.proof.as_ref()?.verified.facts();
    program.insns.iter().zip(0..).find_map(|(insn, pc)| match insn {
        Insn::Call(Callee::Kfunc { btf_id, .. }) if facts.at(pc).reached => {
            let row = Kfunc::from_number(*btf_id as u32)?;
            (!has(row)).then_some(MissingKfunc { pc, name: row.name, why: row.linux_only })
        }
        _ => None,
    })
}

/// The words that it takes.
#[inline]
pub(crate) fn row(number: u32) -> Option<&'static Row> {
    ROWS.get(number as usize)?.as_ref()
}

/// Whether it gives a pointer to one of the kernel's structures, of which none is here.
pub(crate) fn gives_kernel_memory(number: u32) -> bool {
    let among = |group: &[Entry]| group.iter().any(|entry| entry.0 == number);
    among(cast::FUNCTIONS) || among(task::FUNCTIONS) || among(walk::FUNCTIONS)
}

/// Calls it.
pub(crate) fn call(run: &mut Run<'_>, number: u32) -> Result<Value, Stop> {
    match of(number) {
        Some(found) => (found.function)(run),
        None => Err(run.program.unknown_kfunc(number as i32).into()),
    }
}

/// A result of 32 bits: what is above is 0, as the processor leaves it.
fn word(number: i32) -> Value {
    Value::scalar(u64::from(number as u32))
}

/// 0 or a negative errno, of 32 bits.
fn status(result: Result<(), skep_abi::Errno>) -> Value {
    word(result.map_or_else(|errno| -errno.0, |()| 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_here_says_why() {
        for row in Kfunc::all() {
            assert_ne!(has(row), row.linux_only.is_some(), "{}", row.name);
        }
    }
}
