//! Perf events: samples for readers in user space, and counters (`kernel/trace/bpf_trace.c`,
//! `net/core/filter.c`).

use std::any::Any;
use std::sync::Arc;

use skep_abi::Errno;
use skep_abi::helper::id;
use skep_isa::Reg;
use skep_maps::{MapObject, PerfEvent, grace};

use super::{Function, failure, status};
use crate::memory::value::Value;
use crate::objects::map::MapHandle;
use crate::run::{Run, Stop};

pub(super) const FUNCTIONS: &[(u32, Function)] = &[
    (id::PERF_EVENT_OUTPUT, output),
    (id::SKB_OUTPUT, kernel_output),
    (id::XDP_OUTPUT, kernel_output),
    (id::PERF_EVENT_READ, read),
    (id::PERF_EVENT_READ_VALUE, read_value),
    (id::PERF_PROG_READ_VALUE, program_value),
    (id::READ_BRANCH_RECORDS, branch_records),
];

/// The slot of the array, or that of the vCPU.
const CURRENT_CPU: u64 = 0xffff_ffff;
/// How much of the packet goes behind the data.
const CONTEXT_LEN: u64 = 0xf_ffff << 32;

/// The event in a slot of an array.
fn event(map: &MapHandle, index: u64) -> Result<Arc<PerfEvent>, Errno> {
    if index >= u64::from(map.map.max_entries()) {
        return Err(Errno::E2BIG);
    }
    let guard = grace::pin();
    let key = (index as u32).to_ne_bytes();
    let object: Arc<dyn MapObject> = map.map.object(&key, &guard).ok_or(Errno::ENOENT)?.clone();
    let object: Arc<dyn Any + Send + Sync> = object;
    object.downcast().map_err(|_| Errno::EINVAL)
}

fn slot(run: &Run<'_>, flags: u64) -> u64 {
    match flags & CURRENT_CPU {
        CURRENT_CPU => run.cpu().into(),
        index => index,
    }
}

/// `bpf_perf_event_output(ctx, map, flags, data, size)`. Of programs on packets the flags say
/// how much of the packet follows the data.
fn output(run: &mut Run<'_>) -> Result<Value, Stop> {
    const NAME: &str = "bpf_perf_event_output";
    let map = Arc::clone(run.map_argument(NAME, Reg::R2)?);
    let flags = run.read(Reg::R3)?.bits;
    let size = run.read(Reg::R5)?.bits;
    let data = run.bytes_argument(NAME, Reg::R4, size)?;
    let packet = match (run.context.frame(), run.context.sends_packets()) {
        (Some(frame), true) => Some(frame.bytes()),
        _ => None,
    };
    let known = if packet.is_some() { CURRENT_CPU | CONTEXT_LEN } else { CURRENT_CPU };
    if flags & !known != 0 {
        return Ok(failure(Errno::EINVAL));
    }
    let len = ((flags & CONTEXT_LEN) >> 32) as usize;
    let Some(rest) = packet.unwrap_or_default().get(..len) else {
        return Ok(failure(Errno::EFAULT));
    };
    Ok(status(send(run, &map, flags, &[&data, rest])))
}

fn send(run: &Run<'_>, map: &MapHandle, flags: u64, parts: &[&[u8]]) -> Result<(), Errno> {
    let event = event(map, slot(run, flags))?;
    if event.cpu() != run.cpu() {
        return Err(Errno::EOPNOTSUPP);
    }
    event.output(parts)
}

/// `bpf_skb_output` and `bpf_xdp_output`, whose first argument is a kernel's structure that
/// leads nowhere here: it has no bytes to follow the data.
fn kernel_output(run: &mut Run<'_>) -> Result<Value, Stop> {
    const NAME: &str = "bpf_skb_output";
    let map = Arc::clone(run.map_argument(NAME, Reg::R2)?);
    let flags = run.read(Reg::R3)?.bits;
    let size = run.read(Reg::R5)?.bits;
    let data = run.bytes_argument(NAME, Reg::R4, size)?;
    if flags & !(CURRENT_CPU | CONTEXT_LEN) != 0 {
        return Ok(failure(Errno::EINVAL));
    }
    if flags & CONTEXT_LEN != 0 {
        return Ok(failure(Errno::EFAULT));
    }
    Ok(status(send(run, &map, flags, &[&data])))
}

/// An event that counts nothing: those of the embedded kernel have samples alone.
fn counter(run: &Run<'_>, map: &MapHandle, flags: u64) -> Result<u64, Errno> {
    if flags & !CURRENT_CPU != 0 {
        return Err(Errno::EINVAL);
    }
    event(map, slot(run, flags)).map(|_| 0)
}

/// `bpf_perf_event_read(map, flags)`.
fn read(run: &mut Run<'_>) -> Result<Value, Stop> {
    let map = Arc::clone(run.map_argument("bpf_perf_event_read", Reg::R1)?);
    let flags = run.read(Reg::R2)?.bits;
    Ok(super::number(counter(run, &map, flags)))
}

/// Bytes of `struct bpf_perf_event_value`.
const VALUE: u64 = 24;

/// `bpf_perf_event_read_value(map, flags, buffer, size)`.
fn read_value(run: &mut Run<'_>) -> Result<Value, Stop> {
    const NAME: &str = "bpf_perf_event_read_value";
    let map = Arc::clone(run.map_argument(NAME, Reg::R1)?);
    let flags = run.read(Reg::R2)?.bits;
    let size = run.size_argument(Reg::R4)?;
    run.writable_argument(NAME, Reg::R3, size)?;
    let result = if size == VALUE { counter(run, &map, flags) } else { Err(Errno::EINVAL) };
    run.write_argument(NAME, Reg::R3, &vec![0; size as usize])?;
    Ok(status(result.map(drop)))
}

/// `bpf_perf_prog_read_value(ctx, buffer, size)`: no event stands behind a synthetic sample.
fn program_value(run: &mut Run<'_>) -> Result<Value, Stop> {
    const NAME: &str = "bpf_perf_prog_read_value";
    let size = run.size_argument(Reg::R3)?;
    run.writable_argument(NAME, Reg::R2, size)?;
    run.write_argument(NAME, Reg::R2, &vec![0; size as usize])?;
    Ok(status(if size == VALUE { Ok(()) } else { Err(Errno::EINVAL) }))
}

/// `bpf_read_branch_records(ctx, buffer, size, flags)`: no sample here has any.
fn branch_records(run: &mut Run<'_>) -> Result<Value, Stop> {
    const GET_SIZE: u64 = 1;
    let flags = run.read(Reg::R4)?.bits;
    Ok(failure(if flags & !GET_SIZE != 0 { Errno::EINVAL } else { Errno::ENOENT }))
}
