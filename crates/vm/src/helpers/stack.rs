//! Stacks: those that were captured with an event; else empty ones, as of a task without frames
//! (`kernel/bpf/stackmap.c`).

use skep_abi::Errno;
use skep_abi::helper::id;
use skep_abi::limits::BUILD_ID;
use skep_isa::Reg;
use skep_maps::stack_flag;

use super::{Function, failure, number};
use crate::memory::value::Value;
use crate::run::{Run, Stop};

pub(super) const FUNCTIONS: &[(u32, Function)] = &[
    (id::GET_STACKID, stack_id),
    (id::GET_STACK, |run| get_stack(run, "bpf_get_stack")),
    (id::GET_TASK_STACK, |run| get_stack(run, "bpf_get_task_stack")),
];

/// How many frames to leave out.
const SKIP: u64 = 0xff;
/// The stack of user space.
const USER: u64 = 1 << 8;
/// Frames as build ids and offsets.
const USER_BUILD_ID: u64 = 1 << 11;
/// An address that belongs to no file (`BPF_STACK_BUILD_ID_IP`).
const BY_ADDRESS: u32 = 2;

fn addresses(run: &Run<'_>, flags: u64) -> Vec<u64> {
    let world = run.world();
    if flags & USER != 0 { world.user_stack.clone() } else { world.kernel_stack.clone() }
}

/// `bpf_get_stackid(ctx, map, flags)`.
fn stack_id(run: &mut Run<'_>) -> Result<Value, Stop> {
    const NAME: &str = "bpf_get_stackid";
    const KNOWN: u64 = SKIP | USER | stack_flag::FAST_COMPARE | stack_flag::REUSE;
    let flags = run.read(Reg::R3)?.bits;
    let stack = addresses(run, flags);
    let map = run.map_argument(NAME, Reg::R2)?;
    let Some(stacks) = map.map.stacks() else {
        return Err(run.bad_argument(NAME, 2, "is no map of stack traces"));
    };
    if flags & !KNOWN != 0 {
        return Ok(failure(Errno::EINVAL));
    }
    match stack.get((flags & SKIP) as usize..) {
        Some(rest) if !rest.is_empty() => Ok(number(stacks.id(rest, flags).map(u64::from))),
        _ => Ok(failure(Errno::EFAULT)),
    }
}

/// `bpf_get_stack(ctx, buffer, size, flags)`: gives the bytes that were written.
fn get_stack(run: &mut Run<'_>, name: &'static str) -> Result<Value, Stop> {
    let size = run.size_argument(Reg::R3)? as usize;
    let flags = run.read(Reg::R4)?.bits;
    if size > 0 {
        run.writable_argument(name, Reg::R2, size as u64)?;
    }
    let mut out = vec![0; size];
    let filled = fill(run, flags, &mut out);
    if size > 0 {
        run.write_argument(name, Reg::R2, &out)?;
    }
    Ok(number(filled))
}

fn fill(run: &Run<'_>, flags: u64, out: &mut [u8]) -> Result<u64, Errno> {
    let by_build_id = flags & USER_BUILD_ID != 0;
    let element = if by_build_id { BUILD_ID } else { 8 };
    if flags & !(SKIP | USER | USER_BUILD_ID) != 0
        || by_build_id && flags & USER == 0
        || !out.len().is_multiple_of(element)
    {
        return Err(Errno::EINVAL);
    }
    let stack = addresses(run, flags);
    let rest = stack.get((flags & SKIP) as usize..).ok_or(Errno::EFAULT)?;
    let mut written = 0;
    for (place, address) in out.chunks_exact_mut(element).zip(rest) {
        if by_build_id {
            place[..4].copy_from_slice(&BY_ADDRESS.to_ne_bytes());
        }
        place[element - 8..].copy_from_slice(&address.to_ne_bytes());
        written += element as u64;
    }
    Ok(written)
}
