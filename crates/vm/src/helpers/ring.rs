//! Ring buffer helpers, and the event output of perf buffers.

use skep_abi::helper::id;
use std::sync::Arc;

use skep_isa::Reg;

use super::{Function, status};
use crate::memory::value::{Kind, Value};
use crate::run::{Run, Stop};

pub(super) const FUNCTIONS: &[(u32, Function)] = &[
    (id::RINGBUF_OUTPUT, ringbuf_output),
    (id::RINGBUF_RESERVE, ringbuf_reserve),
    (id::RINGBUF_SUBMIT, ringbuf_submit),
    (id::RINGBUF_DISCARD, ringbuf_discard),
    (id::RINGBUF_QUERY, ringbuf_query),
];

/// `bpf_ringbuf_output(ringbuf, data, size, flags)`.
fn ringbuf_output(run: &mut Run<'_>) -> Result<Value, Stop> {
    const NAME: &str = "bpf_ringbuf_output";
    let map = run.map_argument(NAME, Reg::R1)?;
    let size = run.read(Reg::R3)?.bits;
    let data = run.bytes_argument(NAME, Reg::R2, size)?;
    let flags = run.read(Reg::R4)?.bits;
    match map.map.ring() {
        Some(ring) => Ok(status(ring.output(&data, flags))),
        None => Err(run.bad_argument(NAME, 1, "is no ring buffer")),
    }
}

/// `bpf_ringbuf_reserve(ringbuf, size, flags)`: a record, or null.
fn ringbuf_reserve(run: &mut Run<'_>) -> Result<Value, Stop> {
    const NAME: &str = "bpf_ringbuf_reserve";
    let map = Arc::clone(run.map_argument(NAME, Reg::R1)?);
    let (size, flags) = (run.read(Reg::R2)?.bits, run.read(Reg::R3)?.bits);
    if map.map.ring().is_none() {
        return Err(run.bad_argument(NAME, 1, "is no ring buffer"));
    }
    let Some(region) = map.reserve_record(size, flags) else { return Ok(Value::scalar(0)) };
    Ok(run.held.reserve(map, region).pointer(0))
}

fn ringbuf_submit(run: &mut Run<'_>) -> Result<Value, Stop> {
    give_back("bpf_ringbuf_submit", run, false)
}

fn ringbuf_discard(run: &mut Run<'_>) -> Result<Value, Stop> {
    give_back("bpf_ringbuf_discard", run, true)
}

fn give_back(name: &'static str, run: &mut Run<'_>, discard: bool) -> Result<Value, Stop> {
    let record = run.read(Reg::R1)?;
    let flags = run.read(Reg::R2)?.bits;
    if record.kind() != Kind::Record || record.offset() != 0 {
        return Err(run.bad_argument(name, 1, "is no ring buffer record"));
    }
    match run.held.commit(record.region(), flags, discard) {
        true => Ok(Value::scalar(0)),
        false => Err(run.bad_argument(name, 1, "was given back already")),
    }
}

/// `bpf_ringbuf_query(ringbuf, what)`.
fn ringbuf_query(run: &mut Run<'_>) -> Result<Value, Stop> {
    const NAME: &str = "bpf_ringbuf_query";
    let map = run.map_argument(NAME, Reg::R1)?;
    let what = run.read(Reg::R2)?.bits;
    match map.map.ring() {
        Some(ring) => Ok(Value::scalar(ring.query(what))),
        None => Err(run.bad_argument(NAME, 1, "is no ring buffer")),
    }
}
