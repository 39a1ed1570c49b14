//! What compiled code hands to helpers: plain 64-bit words. The table of helpers says
//! what each of them is, so that it can be made a value again that knows its region.

use std::sync::LazyLock;

use skep_abi::{ArgKind, Helper};

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
    /// Whether it gets the context.
    changes_context: bool,
}

/// A helper that does not exist may look at anything before it traps.
static UNKNOWN: Row = Row { tags: [Tag::Scalar; 5], count: 5, changes_context: false };

static ROWS: LazyLock<Vec<Row>> = LazyLock::new(|| (0..212).map(row).collect());

fn row(id: u32) -> Row {
    const TRACE_PRINTK: u32 = 6;
    let Some(proto) = Helper::from_id(id).and_then(|helper| helper.protos.first()) else {
        return UNKNOWN;
    };
    let mut row = Row { count: proto.args.len(), ..UNKNOWN };
    for (tag, arg) in row.tags.iter_mut().zip(proto.args) {
        *tag = tag_of(arg.kind);
    }
    row.changes_context = row.tags.contains(&Tag::Context);
    if matches!(id, 4 | 45 | 112..=115) {
        row.tags[2] = Tag::Address;
    }
    if id == TRACE_PRINTK {
        row.tags[2..].fill(Tag::Address);
        row.count = 5;
    }
    row
}

fn tag_of(kind: ArgKind) -> Tag {
    use ArgKind as A;
    match kind {
        A::Context => Tag::Context,
        A::Map => Tag::Map,
        A::MapKey | A::MapValue | A::Mem | A::FixedMem(_) | A::ConstStr | A::SpinLock => {
            Tag::Memory
        }
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

/// What a helper takes in r1 to r5.
pub(crate) fn tags(id: u32) -> [Tag; 5] {
    of(id).tags
}

/// How many registers it reads.
pub(crate) fn count(id: u32) -> usize {
    of(id).count
}

/// Whether it may change what loads of the context give: it gets the context, and does
/// more than to read or write the packet's bytes.
pub(crate) fn changes_context(id: u32) -> bool {
    const L3_CSUM_REPLACE: u32 = 10;
    const L4_CSUM_REPLACE: u32 = 11;
    const PERF_EVENT_OUTPUT: u32 = 25;
    const SKB_LOAD_BYTES: u32 = 26;
    const CSUM_UPDATE: u32 = 40;
    const SKB_LOAD_BYTES_RELATIVE: u32 = 68;
    const XDP_GET_BUFF_LEN: u32 = 188;
    const XDP_LOAD_BYTES: u32 = 189;
    const XDP_STORE_BYTES: u32 = 190;
    let leaves_it = matches!(
        id,
        L3_CSUM_REPLACE
            | L4_CSUM_REPLACE
            | PERF_EVENT_OUTPUT
            | SKB_LOAD_BYTES
            | CSUM_UPDATE
            | SKB_LOAD_BYTES_RELATIVE
            | XDP_GET_BUFF_LEN
            | XDP_LOAD_BYTES
            | XDP_STORE_BYTES
    );
    of(id).changes_context && !leaves_it
}

/// Whether it reads from addresses that no verifier vouches for (`bpf_probe_read*`,
/// `%s` of `bpf_trace_printk` and of those that take a list of arguments).
pub(crate) fn reads_any_address(id: u32) -> bool {
    matches!(id, 4 | 6 | 45 | 112..=115 | 165 | 177)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_signatures_of_a_helper_agree_on_what_it_takes() {
        for helper in Helper::all().iter().filter(|helper| super::super::exists(helper.id)) {
            for proto in helper.protos {
                let count = proto.args.len();
                let tags: Vec<Tag> = proto.args.iter().map(|arg| tag_of(arg.kind)).collect();
                let known = Row { ..row(helper.id) };
                let agree = known.tags[..count].iter().zip(&tags);
                // Where some program types pass a kernel's structure, there is none here.
                let mut agree = agree.zip(proto.args).filter(|((known, _), arg)| {
                    **known != Tag::Address && !matches!(arg.kind, ArgKind::Btf(_))
                });
                assert!(agree.all(|((known, tag), _)| known == tag), "{}", helper.name);
                assert!(known.count >= count, "{}", helper.name);
            }
        }
    }
}
