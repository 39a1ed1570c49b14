//! Work queues and work of tasks in values of maps ([`crate::objects::alarms`]): what is to be
//! done is called soon. Counterpart: `bpf_wq_*`, `bpf_task_work_*` in `kernel/bpf/helpers.c`.

use std::sync::Arc;
use std::time::Duration;

use skep_abi::kfunc::id;
use skep_abi::{Errno, FieldKind};
use skep_isa::Reg;

use super::{Arg, Entry, status};
use crate::helpers::timer::{SIZE, make};
use crate::memory::value::{Kind, Value};
use crate::run::{Run, Stop};

pub(super) const FUNCTIONS: &[Entry] = &[
    (id::WQ_INIT, init, &[Arg::Memory, Arg::Map, Arg::Number]),
    (id::WQ_SET_CALLBACK, set_callback, &[Arg::Number, Arg::Function, Arg::Number]),
    (id::WQ_START, start, &[Arg::Number, Arg::Number]),
    (id::TASK_WORK_SCHEDULE_SIGNAL, schedule, SCHEDULE),
    (id::TASK_WORK_SCHEDULE_RESUME, schedule, SCHEDULE),
];

/// The task, the field, its map, what is called.
const SCHEDULE: &[Arg] = &[Arg::Number, Arg::Memory, Arg::Map, Arg::Function];

/// `bpf_wq_init(wq, map, flags)`.
fn init(run: &mut Run<'_>) -> Result<Value, Stop> {
    const NAME: &str = "bpf_wq_init";
    let queue = run.memory_argument(NAME, Reg::R1, SIZE, true)?.bits;
    let flags = run.read(Reg::R3)?.bits as u32;
    let map = Arc::clone(run.map_argument(NAME, Reg::R2)?);
    if flags != 0 {
        return Ok(status(Err(Errno::EINVAL)));
    }
    Ok(status(make(run, queue, &map, FieldKind::Workqueue)))
}

fn function(run: &Run<'_>, name: &'static str, reg: Reg) -> Result<u32, Stop> {
    let callback = run.read(reg)?;
    match callback.kind() {
        Kind::Function => Ok(callback.bits as u32),
        _ => Err(run.bad_argument(name, reg.number(), "is no subprogram")),
    }
}

/// `bpf_wq_set_callback_impl(wq, callback, flags, aux)`.
fn set_callback(run: &mut Run<'_>) -> Result<Value, Stop> {
    let (queue, flags) = (run.read(Reg::R1)?.bits, run.read(Reg::R3)?.bits as u32);
    let callback = function(run, "bpf_wq_set_callback", Reg::R2)?;
    if flags != 0 {
        return Ok(status(Err(Errno::EINVAL)));
    }
    Ok(status(run.env.heap.alarms.call(queue, &run.program, callback)))
}

/// `bpf_wq_start(wq, flags)`.
fn start(run: &mut Run<'_>) -> Result<Value, Stop> {
    let (queue, flags) = (run.read(Reg::R1)?.bits, run.read(Reg::R2)?.bits as u32);
    if flags != 0 {
        return Ok(status(Err(Errno::EINVAL)));
    }
    Ok(status(run.env.heap.alarms.start(queue, Duration::ZERO)))
}

/// `bpf_task_work_schedule_signal_impl(task, work, map, callback, aux)`: once at a time.
fn schedule(run: &mut Run<'_>) -> Result<Value, Stop> {
    const NAME: &str = "bpf_task_work_schedule";
    let field = run.memory_argument(NAME, Reg::R2, SIZE, true)?.bits;
    let map = Arc::clone(run.map_argument(NAME, Reg::R3)?);
    let callback = function(run, NAME, Reg::R4)?;
    let alarms = run.env.heap.alarms.clone();
    if alarms.is_due(field) {
        return Ok(status(Err(Errno::EBUSY)));
    }
    // What was made for work before is used again.
    match make(run, field, &map, FieldKind::TaskWork) {
        Ok(()) | Err(Errno::EBUSY) => {}
        Err(errno) => return Ok(status(Err(errno))),
    }
    let started = alarms
        .call(field, &run.program, callback)
        .and_then(|()| alarms.start(field, Duration::ZERO));
    Ok(status(started))
}
