//! What compiled code is told of helpers, and what it asks for while it runs: the only place
//! that knows both.

use skep_abi::limits::DYNPTR;
use std::sync::LazyLock;

use skep_abi::helper::id;
use skep_abi::hook::Shape;
use skep_abi::{ArgKind, Effects, Errno, Helper, Kfunc, Proto, Yield, kfunc};
use skep_jit::{Callee, Direct, Host, Inline, KFUNCS, Range, Reach};

use super::{access, callback, direct, tail};
use crate::helpers::tags::{self, Tag};
use crate::helpers::{NUMBERS, misc::MAX_LOOPS};
use crate::kfuncs;

/// What code asks for.
pub static HOST: Host = Host {
    call: super::helper,
    tail_call: tail::tail_call,
    jump: tail::jump,
    map: direct::map,
    legacy: access::legacy,
    store_context: access::store_context,
    load: access::load,
    store: access::store,
    atomic: access::atomic,
};

static CALLEES: LazyLock<Vec<Callee>> = LazyLock::new(|| (0..NUMBERS as u32).map(callee).collect());

/// What code knows of a helper.
pub fn of(id: u32) -> &'static Callee {
    const UNKNOWN: &Callee = &Callee::UNKNOWN;
    let found = match id.checked_sub(KFUNCS) {
        Some(number) => KFUNC_CALLEES.get(number as usize),
        None => match Shape::of(id) {
            Some(shape) => OWN.get(shape.place()),
            None => CALLEES.get(id as usize),
        },
    };
    found.unwrap_or(UNKNOWN)
}

/// What code knows of helpers of applications' hooks, by their shapes.
static OWN: LazyLock<Vec<Callee>> = LazyLock::new(|| {
    let callee = |shape: Shape| Callee {
        words: shape.words as usize,
        changes_context: shape.changes_context,
        ..Callee::UNKNOWN
    };
    Shape::all().map(callee).collect()
});

static KFUNC_CALLEES: LazyLock<Vec<Callee>> =
    LazyLock::new(|| (0..Kfunc::all().len() as u32).map(kfunc).collect());

/// What code knows of a kernel function.
fn kfunc(number: u32) -> Callee {
    let Some(found) = kfuncs::of(number) else { return Callee::UNKNOWN };
    let reach = |at: usize| match found.args.get(at) {
        Some(arg) => arg.bytes().map_or(Reach::Unknown, Reach::Bytes),
        None => Reach::Unknown,
    };
    Callee {
        words: found.args.len(),
        maps: std::array::from_fn(|at| found.args.get(at) == Some(&kfuncs::Arg::Map)),
        reach: std::array::from_fn(reach),
        changes_context: false,
        direct: None,
        inline: inline_kfunc(number),
    }
}

fn inline_kfunc(number: u32) -> Option<Inline> {
    let errno = |errno: Errno| u64::from(-errno.0 as u32);
    Some(match number {
        kfunc::id::ITER_NUM_NEW => Inline::Range(Range::New {
            most: MAX_LOOPS,
            backward: errno(Errno::EINVAL),
            too_many: errno(Errno::E2BIG),
        }),
        kfunc::id::ITER_NUM_NEXT => Inline::Range(Range::Next),
        kfunc::id::ITER_NUM_DESTROY
        | kfunc::id::RCU_READ_LOCK
        | kfunc::id::RCU_READ_UNLOCK
        | kfunc::id::PREEMPT_DISABLE
        | kfunc::id::PREEMPT_ENABLE => Inline::Nothing,
        _ => return None,
    })
}

/// The function that looks a key up in a map, by the bytes of keys that it takes as words.
pub fn lookup(plain_key: Option<usize>, of_maps: bool) -> usize {
    match plain_key {
        _ if of_maps => direct::inner as *const () as usize,
        Some(4) => direct::lookup_plain::<4> as *const () as usize,
        Some(8) => direct::lookup_plain::<8> as *const () as usize,
        Some(16) => direct::lookup_plain::<16> as *const () as usize,
        _ => direct::lookup as *const () as usize,
    }
}

fn callee(id: u32) -> Callee {
    let row = tags::of(id);
    Callee {
        words: row.count,
        maps: row.tags.map(|tag| tag == Tag::Map),
        reach: std::array::from_fn(|at| reach(id, at)),
        changes_context: tags::changes_context(id),
        direct: direct(id),
        inline: inline(id),
    }
}

fn inline(id: u32) -> Option<Inline> {
    Some(match id {
        id::MAP_LOOKUP_ELEM => Inline::Element,
        id::GET_SMP_PROCESSOR_ID => Inline::Cpu,
        id::TAIL_CALL => Inline::TailCall,
        id::FOR_EACH_MAP_ELEM => Inline::Walk { entry: callback::for_each as *const () as usize },
        id::LOOP => {
            Inline::Loop { most: MAX_LOOPS, too_many: (-i64::from(Errno::E2BIG.0)) as u32 as u64 }
        }
        _ => return None,
    })
}

/// A helper that needs none of what the run knows of values.
fn direct(id: u32) -> Option<Direct> {
    let yields = Helper::from_id(id).map_or(Yield::Anything, |row| row.yields);
    let entry = match id {
        _ if yields == Yield::Time => direct::ktime as *const () as usize,
        _ if yields == Yield::Chance => direct::random as *const () as usize,
        id::MAP_LOOKUP_ELEM => direct::find as *const () as usize,
        id::MAP_UPDATE_ELEM => direct::update as *const () as usize,
        id::MAP_DELETE_ELEM => direct::delete as *const () as usize,
        id::SKB_LOAD_BYTES => direct::skb_load_bytes as *const () as usize,
        id::CSUM_DIFF => direct::csum_diff as *const () as usize,
        id::XDP_ADJUST_HEAD => direct::xdp_adjust_head as *const () as usize,
        id::XDP_ADJUST_META => direct::xdp_adjust_meta as *const () as usize,
        id::XDP_ADJUST_TAIL => direct::xdp_adjust_tail as *const () as usize,
        id::SPIN_LOCK => direct::spin_lock as *const () as usize,
        id::SPIN_UNLOCK => direct::spin_unlock as *const () as usize,
        id::RINGBUF_OUTPUT => direct::ring_output as *const () as usize,
        id::RINGBUF_RESERVE => direct::ring_reserve as *const () as usize,
        id::RINGBUF_SUBMIT => direct::ring_submit as *const () as usize,
        id::RINGBUF_DISCARD => direct::ring_discard as *const () as usize,
        id::XDP_LOAD_BYTES => direct::xdp_load_bytes as *const () as usize,
        id::XDP_STORE_BYTES => direct::xdp_store_bytes as *const () as usize,
        _ => return None,
    };
    Some(Direct {
        entry,
        guarded: matches!(yields, Yield::Time | Yield::Chance),
        of_map: id == id::MAP_LOOKUP_ELEM,
        // A record is given back as it was reserved: all of a program's, or none.
        balanced: matches!(id, id::RINGBUF_RESERVE | id::RINGBUF_SUBMIT | id::RINGBUF_DISCARD),
    })
}

/// What a helper sees of the memory that argument `at` points to: all of its signatures have to
/// say the same.
fn reach(id: u32, at: usize) -> Reach {
    let keeps = |helper: &&Helper| helper.effects.contains(Effects::KEEPS_POINTER);
    let helper = Helper::from_id(id).filter(|helper| !keeps(helper));
    let mut all = helper.into_iter().flat_map(|helper| helper.protos);
    let Some(first) = all.next().map(|proto| seen(proto, at)) else { return Reach::Unknown };
    if all.all(|proto| seen(proto, at) == first) { first } else { Reach::Unknown }
}

fn seen(proto: &Proto, at: usize) -> Reach {
    let kind = |at: usize| proto.args.get(at).map(|arg| arg.kind);
    match kind(at) {
        Some(ArgKind::MapKey) => Reach::Key,
        Some(ArgKind::MapValue) => Reach::Value,
        Some(ArgKind::FixedMem(bytes)) => Reach::Bytes(bytes),
        Some(ArgKind::Dynptr) => Reach::Bytes(DYNPTR as u32),
        Some(ArgKind::Mem) => match kind(at + 1) {
            Some(ArgKind::Size | ArgKind::SizeOrZero) => Reach::Next,
            _ => Reach::Unknown,
        },
        _ => Reach::Unknown,
    }
}
