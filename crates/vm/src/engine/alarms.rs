//! Calls of timers and work queues: a subprogram is interpreted on a vCPU of its own, with the
//! map, the key and the value of the element that the timer lies in.

use std::sync::{Arc, Weak};

use super::machine::{DEFAULT_BUDGET, Machine};
use super::runner::ENTRIES;
use crate::contexts::NoContext;
use crate::interp;
use crate::memory::value::Value;
use crate::objects::alarms::Due;
use crate::run::Run;
use crate::run::environment::Environment;
use crate::run::vcpus::Vcpus;

/// Has the timers of a machine call on its vCPUs.
pub(super) fn serve(machine: &Machine) {
    let env = Arc::downgrade(&machine.env);
    let vcpus = machine.vcpus.clone();
    machine.env.heap.alarms.set_caller(Box::new(move |due| call(&env, &vcpus, due)));
}

/// Calls; false where the machine is gone.
fn call(env: &Weak<Environment>, vcpus: &Vcpus, due: Due) -> bool {
    let Some(env) = env.upgrade() else { return false };
    // Who holds all vCPUs for too long loses this call.
    let Ok(lease) = vcpus.lease() else { return true };
    let Some(map) = due.program.maps.iter().position(|map| Arc::ptr_eq(map, &due.map)) else {
        return true;
    };
    let Some(element) = due.map.element_at(due.value, lease.cpu()) else { return true };
    let stack = Box::default();
    let (program, context) = (due.program.clone(), Box::new(NoContext));
    let mut run = Run::new(env, program, stack, context, DEFAULT_BUDGET, ENTRIES).calling_back();
    run.turn.cpu = lease.cpu();
    let key = match due.map.key_region(&element) {
        Some(region) => region.pointer(0),
        None => run.lend(element.index),
    };
    let value = due.map.element_region(&element).pointer(0);
    // Nobody is told of what a callback trapped at; it ends.
    let _outcome = interp::run_at(&mut run, due.function, &[Value::map(map as u32), key, value]);
    run.forget_found();
    run.turn.end();
    true
}
