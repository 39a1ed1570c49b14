//! Runs of ours, of programs of any type: the context is what the program sees, the data is the
//! packet, message or option. Linux has no such runs; it refuses the flag.

use std::sync::Arc;
use std::time::Instant;

use skep_abi::flags::test_run::{ON_CPU, OWN};
use skep_sys::{Errno, TestRun};

use super::test_run::{finish, finish_context, returned, stopped};
use crate::engine::event::{self, Event, Refused};
use crate::kernel::input;
use crate::kernel::vm::Vm;
use crate::objects::program::Program;

pub(super) fn run(vm: &Vm, program: &Arc<Program>, attr: &mut TestRun<'_>) -> Result<u32, Errno> {
    let on_cpu = attr.flags & ON_CPU != 0;
    if attr.flags & !(OWN | ON_CPU) != 0 || attr.batch_size != 0 || !on_cpu && attr.cpu != 0 {
        return Err(Errno::EINVAL);
    }
    if on_cpu && attr.cpu >= vm.machine.env.cpus() {
        return Err(Errno::ENXIO);
    }
    let context = input(&attr.ctx_in, attr.ctx_size_in as usize)?.to_vec();
    let data = input(&attr.data_in, attr.data_size_in as usize)?.to_vec();
    let types = vm.verifier_env().vmlinux;
    let event = Event {
        context: &context,
        data: &data,
        cpu: on_cpu.then_some(attr.cpu),
        call: event::call_of(program, types.as_deref()),
        times: attr.repeat,
        ..Event::default()
    };
    let started = Instant::now();
    let after = match event::run(&vm.machine, program, &event) {
        Ok(after) => after,
        Err(Refused::Context(errno)) => return Err(errno),
        Err(Refused::Vcpu(why)) => return Err(stopped(attr, why.to_string(), None, Errno::EBUSY)),
    };
    let mean = started.elapsed().as_nanos() / u128::from(attr.repeat.max(1));
    let retval = returned(attr, after.outcome)?;
    finish(attr, retval, u32::try_from(mean).unwrap_or(u32::MAX), &after.data)?;
    finish_context(attr, Some(&after.context))?;
    Ok(0)
}
