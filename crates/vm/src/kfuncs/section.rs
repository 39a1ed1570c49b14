//! Sections: RCU, preemption, interrupts. A run is on a vCPU of its own, nothing interrupts it,
//! and what it finds stays while it runs ([`skep_maps::grace`]): there is nothing to do.

use skep_abi::kfunc::id;

use super::{Arg, Entry};
use crate::memory::value::Value;
use crate::run::{Run, Stop};

/// Bytes of the flags that interrupts are given back by.
const FLAGS: u32 = 8;

pub(super) const FUNCTIONS: &[Entry] = &[
    (id::RCU_READ_LOCK, nothing, &[]),
    (id::RCU_READ_UNLOCK, nothing, &[]),
    (id::PREEMPT_DISABLE, nothing, &[]),
    (id::PREEMPT_ENABLE, nothing, &[]),
    (id::LOCAL_IRQ_SAVE, nothing, &[Arg::Bytes(FLAGS)]),
    (id::LOCAL_IRQ_RESTORE, nothing, &[Arg::Bytes(FLAGS)]),
];

fn nothing(_run: &mut Run<'_>) -> Result<Value, Stop> {
    Ok(Value::scalar(0))
}
