//! Pages of arenas ([`skep_maps::Arena`]). Counterpart: `bpf_arena_alloc_pages` and its like in
//! `kernel/bpf/arena.c`.

use skep_abi::Errno;
use skep_abi::kfunc::id;
use skep_isa::Reg;

use super::{Arg, Entry, status};
use crate::memory::value::Value;
use crate::run::{Run, Stop};

pub(super) const FUNCTIONS: &[Entry] = &[
    (id::ARENA_ALLOC_PAGES, take, &[Arg::Map, Arg::Number, Arg::Number, Arg::Number, Arg::Number]),
    (id::ARENA_FREE_PAGES, give_back, &[Arg::Map, Arg::Number, Arg::Number]),
    (id::ARENA_RESERVE_PAGES, reserve, &[Arg::Map, Arg::Number, Arg::Number]),
];

/// The lower half of an address says where it is in an arena: above is what user space has.
fn page(arena: &skep_maps::Arena, address: u64) -> Option<u32> {
    let base = arena.base().addr() as u64;
    let offset = (address as u32).wrapping_sub(base as u32);
    arena.page_at(base + u64::from(offset))
}

/// `bpf_arena_alloc_pages(map, address, count, node, flags)`: null where there is no room.
fn take(run: &mut Run<'_>) -> Result<Value, Stop> {
    const NAME: &str = "bpf_arena_alloc_pages";
    const ANY_NODE: i32 = -1;
    let (at, count) = (run.read(Reg::R2)?.bits, run.read(Reg::R3)?.bits as u32);
    let (node, flags) = (run.read(Reg::R4)?.bits as i32, run.read(Reg::R5)?.bits);
    let map = run.map_argument(NAME, Reg::R1)?;
    let Some(arena) = map.map.arena() else {
        return Err(run.bad_argument(NAME, 1, "is no arena"));
    };
    // There is one node of memory.
    let null = Ok(Value::scalar(0));
    if flags != 0 || !matches!(node, ANY_NODE | 0) {
        return null;
    }
    let wanted = match at {
        0 => None,
        at => match page(arena, at) {
            Some(page) => Some(page),
            None => return null,
        },
    };
    let Some(taken) = arena.take(wanted, count) else { return null };
    let address = arena.address(taken);
    Ok(map.direct_region().map_or(Value::scalar(address), |region| region.value(address)))
}

/// `bpf_arena_free_pages(map, address, count)`.
fn give_back(run: &mut Run<'_>) -> Result<Value, Stop> {
    const NAME: &str = "bpf_arena_free_pages";
    let (at, count) = (run.read(Reg::R2)?.bits, run.read(Reg::R3)?.bits as u32);
    let map = run.map_argument(NAME, Reg::R1)?;
    if let Some(arena) = map.map.arena()
        && at != 0
        && let Some(page) = page(arena, at & !0xfff)
    {
        arena.give_back(page, count);
    }
    Ok(Value::scalar(0))
}

/// `bpf_arena_reserve_pages(map, address, count)`: nobody gets them.
fn reserve(run: &mut Run<'_>) -> Result<Value, Stop> {
    let (at, count) = (run.read(Reg::R2)?.bits, run.read(Reg::R3)?.bits as u32);
    let map = run.map_argument("bpf_arena_reserve_pages", Reg::R1)?;
    if count == 0 {
        return Ok(status(Ok(())));
    }
    let reserved = map.map.arena().ok_or(Errno::EINVAL).and_then(|arena| {
        let page = page(arena, at).ok_or(Errno::EINVAL)?;
        if arena.len() / 4096 < page as usize + count as usize {
            return Err(Errno::EINVAL);
        }
        arena.take(Some(page), count).map(|_| ()).ok_or(Errno::EBUSY)
    });
    Ok(status(reserved))
}
