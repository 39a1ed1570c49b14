//! Timers in values of maps ([`crate::objects::alarms`]). Counterpart: `bpf_timer_*` in
//! `kernel/bpf/helpers.c`.

use std::sync::Arc;
use std::time::Duration;

use skep_abi::helper::id;
use skep_abi::{Errno, FieldKind};
use skep_isa::Reg;

use super::{Function, failure, number, status};
use crate::memory::value::{Kind, Value};
use crate::objects::map::MapHandle;
use crate::run::{Run, Stop};

pub(super) const FUNCTIONS: &[(u32, Function)] = &[
    (id::TIMER_INIT, init),
    (id::TIMER_SET_CALLBACK, set_callback),
    (id::TIMER_START, start),
    (id::TIMER_CANCEL, cancel),
];

/// Bytes of the smallest field.
pub(crate) const SIZE: u64 = 8;

/// Makes the field at an address one of its map's value.
pub(crate) fn make(
    run: &Run<'_>,
    field: u64,
    map: &Arc<MapHandle>,
    kind: FieldKind,
) -> Result<(), Errno> {
    let offset = map.map.field(kind).ok_or(Errno::EINVAL)?;
    let value = field.wrapping_sub(offset.into());
    run.env.heap.alarms.make(field, map, value)
}

/// `bpf_timer_init(timer, map, flags)`.
fn init(run: &mut Run<'_>) -> Result<Value, Stop> {
    const NAME: &str = "bpf_timer_init";
    /// Real time, monotonic, since boot.
    const CLOCKS: [u64; 3] = [0, 1, 7];
    let timer = run.memory_argument(NAME, Reg::R1, SIZE, true)?.bits;
    let flags = run.read(Reg::R3)?.bits;
    let map = Arc::clone(run.map_argument(NAME, Reg::R2)?);
    if !CLOCKS.contains(&flags) {
        return Ok(failure(Errno::EINVAL));
    }
    Ok(status(make(run, timer, &map, FieldKind::Timer)))
}

/// `bpf_timer_set_callback(timer, callback)`.
fn set_callback(run: &mut Run<'_>) -> Result<Value, Stop> {
    let (timer, callback) = (run.read(Reg::R1)?.bits, run.read(Reg::R2)?);
    if callback.kind() != Kind::Function {
        return Err(run.bad_argument("bpf_timer_set_callback", 2, "is no subprogram"));
    }
    Ok(status(run.env.heap.alarms.call(timer, &run.program, callback.bits as u32)))
}

/// `bpf_timer_start(timer, ns, flags)`.
fn start(run: &mut Run<'_>) -> Result<Value, Stop> {
    const ABSOLUTE: u64 = 1;
    const ON_THIS_CPU: u64 = 2;
    let (timer, ns) = (run.read(Reg::R1)?.bits, run.read(Reg::R2)?.bits);
    let flags = run.read(Reg::R3)?.bits;
    if flags & !(ABSOLUTE | ON_THIS_CPU) != 0 {
        return Ok(failure(Errno::EINVAL));
    }
    let after = match flags & ABSOLUTE {
        0 => ns,
        _ => ns.saturating_sub(run.env.now()),
    };
    Ok(status(run.env.heap.alarms.start(timer, Duration::from_nanos(after))))
}

/// `bpf_timer_cancel(timer)`: 1 where it was to be called.
fn cancel(run: &mut Run<'_>) -> Result<Value, Stop> {
    let timer = run.read(Reg::R1)?.bits;
    let alarms = &run.env.heap.alarms;
    if alarms.running() == Some(timer) && run.is_callback() {
        return Ok(failure(Errno::EDEADLK));
    }
    Ok(number(alarms.cancel(timer).map(u64::from)))
}
