//! What compiled code hands to helpers: plain 64-bit words. The table of helpers says
//! what each of them is, so that it can be made a value again that knows its region.

use std::sync::LazyLock;

use skep_abi::hook::Shape;
use skep_abi::{Arg, ArgKind, Effects, Helper, RetKind, TypeFlags};

/// What a word is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Tag {
    /// A number, or something that is only passed on.
    Scalar,
    /// A map.
    Map,
    /// The context.
    Context,
    /// Memory.
    Memory,
    /// A subprogram.
    Function,
    /// A ring buffer record.
    Record,
    /// Any address, which need not be one.
    Address,
}

/// The words that a helper takes.
#[derive(Clone, Copy)]
pub(crate) struct Row {
    /// What r1 to r5 are.
    pub tags: [Tag; 5],
    /// How many of them it reads.
    pub count: usize,
    /// Whether it may change what loads of the context give.
    changes_context: bool,
    /// Whether it reads from addresses that no verifier vouches for.
    reads_any_address: bool,
}

impl Row {
    /// That of a function which takes these.
    pub fn of(taken: impl ExactSizeIterator<Item = Tag> + Clone) -> Row {
        let mut row = Row { count: taken.len(), ..UNKNOWN };
        row.tags.iter_mut().zip(taken).for_each(|(tag, taken)| *tag = taken);
        row.reads_any_address = row.tags.contains(&Tag::Address);
        row
    }

    /// Whether it reads from addresses that no verifier vouches for.
    pub fn reads_any_address(&self) -> bool {
        self.reads_any_address
    }
}

/// A helper that does not exist may look at anything before it traps.
static UNKNOWN: Row =
    Row { tags: [Tag::Scalar; 5], count: 5, changes_context: false, reads_any_address: false };

static ROWS: LazyLock<Vec<Row>> =
    LazyLock::new(|| (0..super::NUMBERS as u32).map(|id| row(Helper::from_id(id))).collect());

fn row(helper: Option<&'static Helper>) -> Row {
    // Of a helper that some types of programs call with less it is the longest signature, and of
    // those the first.
    let longest =
        |row: &'static Helper| row.protos.iter().rev().max_by_key(|proto| proto.args.len());
    let Some((helper, proto)) = helper.and_then(|row| Some((row, longest(row)?))) else {
        return UNKNOWN;
    };
    let mut row =
        Row { count: proto.args.len(), reads_any_address: helper.reads_any_address(), ..UNKNOWN };
    for (tag, arg) in row.tags.iter_mut().zip(proto.args) {
        *tag = tag_of(*arg);
    }
    row.changes_context =
        row.tags.contains(&Tag::Context) && !helper.effects.contains(Effects::KEEPS_CONTEXT);
    if helper.effects.contains(Effects::VARIADIC) {
        row.tags[row.count..].fill(Tag::Address);
        row.count = row.tags.len();
    }
    row
}

pub(super) fn tag_of(arg: Arg) -> Tag {
    use ArgKind as A;
    match arg.kind {
        _ if arg.flags.contains(TypeFlags::ADDRESS) => Tag::Address,
        A::Context => Tag::Context,
        A::Map => Tag::Map,
        A::MapKey
        | A::MapValue
        | A::Mem
        | A::FixedMem(_)
        | A::ConstStr
        | A::SpinLock
        | A::KptrSlot
        | A::Timer
        | A::SockCommon
        | A::Socket
        | A::KernelSock
        | A::Dynptr => Tag::Memory,
        A::Func => Tag::Function,
        A::RingbufRecord => Tag::Record,
        _ => Tag::Scalar,
    }
}

/// The row of a helper.
#[inline]
pub(crate) fn of(id: u32) -> &'static Row {
    ROWS.get(id as usize).unwrap_or(&UNKNOWN)
}

/// Whether it may change what loads of the context give: it gets the context, and does
/// more than to read or write the packet's bytes.
pub(crate) fn changes_context(id: u32) -> bool {
    match Shape::of(id) {
        Some(shape) => shape.changes_context,
        None => of(id).changes_context,
    }
}

/// Whether it reads from addresses that no verifier vouches for (`bpf_probe_read*`,
/// `%s` of `bpf_trace_printk` and of those that take a list of arguments).
pub(crate) fn reads_any_address(id: u32) -> bool {
    of(id).reads_any_address
}

/// Whether it gives a pointer to one of the kernel's structures.
pub(crate) fn gives_kernel_memory(id: u32) -> bool {
    let kernel = |proto: &skep_abi::Proto| {
        matches!(proto.ret.kind, RetKind::Btf(_) | RetKind::PercpuVariable | RetKind::Kptr)
    };
    Helper::from_id(id).is_some_and(|helper| helper.protos.iter().any(kernel))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_signatures_of_a_helper_agree_on_what_it_takes() {
        for helper in Helper::all().iter().filter(|helper| super::super::exists(helper.id)) {
            for proto in helper.protos {
                let count = proto.args.len();
                let tags: Vec<Tag> = proto.args.iter().map(|arg| tag_of(*arg)).collect();
                let known = Row { ..row(Some(helper)) };
                let agree = known.tags[..count].iter().zip(&tags);
                // Where some program types pass a kernel's structure, there is none here.
                let mut agree = agree.zip(proto.args).filter(|((known, _), arg)| {
                    **known != Tag::Address
                        && !matches!(arg.kind, ArgKind::Btf(_) | ArgKind::KernelSock)
                });
                assert!(agree.all(|((known, tag), _)| known == tag), "{}", helper.name);
                assert!(known.count >= count, "{}", helper.name);
            }
        }
    }
}
