//! TEST_RUN of raw tracepoints and of syscall programs: the context is their memory.

use std::borrow::Cow;
use std::sync::Arc;

use skep_abi::context::memory::{MOST_ARGUMENTS, MOST_SYSCALL, WORD};
use skep_abi::flags::test_run::ON_CPU;
use skep_sys::{Errno, TestRun};

use super::test_run::{returned, stopped};
use crate::engine::event::{self, After, Event, Refused};
use crate::kernel::input;
use crate::kernel::vm::Vm;
use crate::objects::program::Program;

/// Runs it on the caller's context.
fn run(
    vm: &Vm,
    program: &Arc<Program>,
    attr: &mut TestRun<'_>,
    cpu: Option<u32>,
) -> Result<After, Errno> {
    let context = input(&attr.ctx_in, attr.ctx_size_in as usize)?.to_vec();
    let event = Event { context: &context, cpu, ..Event::default() };
    match event::run(&vm.machine, program, &event) {
        Ok(after) => Ok(after),
        Err(Refused::Context(errno)) => Err(errno),
        Err(Refused::Vcpu(why)) => Err(stopped(attr, why.to_string(), None, Errno::EBUSY)),
    }
}

/// What neither takes.
fn takes_too_much(attr: &TestRun<'_>) -> bool {
    attr.data_in.is_some()
        || !attr.data_out.is_null()
        || !attr.ctx_out.is_null()
        || attr.duration != 0
        || attr.repeat != 0
        || attr.batch_size != 0
}

/// `bpf_prog_test_run_raw_tp`.
pub(super) fn run_raw(
    vm: &Vm,
    program: &Arc<Program>,
    attr: &mut TestRun<'_>,
) -> Result<u32, Errno> {
    let on_cpu = attr.flags & ON_CPU != 0;
    if takes_too_much(attr)
        || attr.ctx_size_in < event::reaches(program)
        || attr.ctx_size_in > MOST_ARGUMENTS * WORD
        || !on_cpu && attr.cpu != 0
    {
        return Err(Errno::EINVAL);
    }
    input(&attr.ctx_in, attr.ctx_size_in as usize)?;
    if on_cpu && attr.cpu >= vm.machine.env.cpus() {
        return Err(Errno::ENXIO);
    }
    let after = run(vm, program, attr, on_cpu.then_some(attr.cpu))?;
    attr.retval = returned(attr, after.outcome)?;
    Ok(0)
}

/// `bpf_prog_test_run_syscall`: the context comes back to where it was taken from, where that is
/// memory of the command's own.
pub(super) fn run_syscall(
    vm: &Vm,
    program: &Arc<Program>,
    attr: &mut TestRun<'_>,
) -> Result<u32, Errno> {
    if takes_too_much(attr)
        || attr.flags != 0
        || attr.ctx_size_in < event::reaches(program)
        || attr.ctx_size_in > MOST_SYSCALL
    {
        return Err(Errno::EINVAL);
    }
    let after = run(vm, program, attr, None)?;
    attr.retval = returned(attr, after.outcome)?;
    if let Some(Cow::Owned(bytes)) = &mut attr.ctx_in {
        let len = bytes.len().min(attr.ctx_size_in as usize);
        bytes[..len].copy_from_slice(&after.context[..len]);
    }
    Ok(0)
}
