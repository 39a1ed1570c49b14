//! Ring buffer helpers, and the event output of perf buffers.

use std::sync::Arc;

use skep_isa::Reg;

use super::{Function, status};
use crate::interp::{Record, Run, Stop};
use crate::mem::value::{Kind, Value};

pub(super) const FUNCTIONS: &[(u32, Function)] = &[
    (130, ringbuf_output),
    (131, ringbuf_reserve),
    (132, ringbuf_submit),
    (133, ringbuf_discard),
    (134, ringbuf_query),
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
    // A run that reserves more than this has forgotten to give back.
    let Ok(number) = u16::try_from(run.records.len()) else { return Ok(Value::scalar(0)) };
    let Some(region) = map.map.reserve_record(size, flags) else { return Ok(Value::scalar(0)) };
    let region = region.with_epoch(number);
    run.records.push(Some(Record { map, region }));
    Ok(region.pointer(0))
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
    let open = run.records.get_mut(usize::from(record.epoch())).and_then(Option::take);
    let Some(Record { map, .. }) = open else {
        return Err(run.bad_argument(name, 1, "was given back already"));
    };
    map.map.commit_record(record.region(), flags, discard);
    Ok(Value::scalar(0))
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
