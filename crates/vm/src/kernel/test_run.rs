//! PROG_TEST_RUN, as `net/bpf/test_run.c` does it: the same limits, contexts and packet layout,
//! for the types that Linux has it for. [`OWN`] asks for a run of ours instead, of any type.

use std::sync::Arc;
use std::time::Instant;

use skep_abi::flags::test_run::OWN;
use skep_abi::{Diagnostic, ProgType, Trap};
use skep_sys::{Errno, TestRun};

use super::vm::Vm;
use super::{input, test_lookup, test_own, test_packet, test_tracing};
use crate::contexts::skb::SkbAccess;
use crate::engine::runner::Scene;
use crate::engine::workspaces::Workspace;
use crate::kfuncs;
use crate::memory::value::Value;
use crate::objects::program::Program;
use crate::run::Outcome;

/// A page, which bounds packet and rooms together.
pub(super) const PAGE: usize = 4096;

pub(super) fn run(vm: &Vm, attr: &mut TestRun<'_>) -> Result<u32, Errno> {
    if (attr.ctx_size_in == 0) != attr.ctx_in.is_none()
        || (attr.ctx_size_out == 0) != attr.ctx_out.is_null()
    {
        return Err(Errno::EINVAL);
    }
    let program = vm.files().prog(attr.prog_fd)?;
    if let Some(missing) = kfuncs::missing(&program) {
        let message = missing.to_string();
        attr.diagnostic = Some(Diagnostic { pc: Some(missing.pc), message, trap: None });
        return Err(Errno::ENOTSUPP);
    }
    if attr.flags & OWN != 0 {
        return test_own::run(vm, &program, attr);
    }
    match program.prog_type {
        ProgType::Xdp => test_packet::run_xdp(vm, &program, attr),
        // Streams of sockets and actions of segment routing have no TEST_RUN.
        ProgType::SkSkb | ProgType::LwtSeg6local => Err(Errno::ENOTSUPP),
        kind if SkbAccess::of(kind).is_some() => test_packet::run_skb(vm, &program, attr),
        ProgType::RawTracepoint => test_tracing::run_raw(vm, &program, attr),
        ProgType::Syscall => test_tracing::run_syscall(vm, &program, attr),
        ProgType::FlowDissector => test_lookup::run_flow_dissector(vm, &program, attr),
        ProgType::SkLookup => test_lookup::run_sk_lookup(vm, &program, attr),
        ProgType::Netfilter => test_lookup::run_netfilter(vm, &program, attr),
        _ => Err(Errno::ENOTSUPP),
    }
}

/// The context of the caller, cut or filled to `size` bytes; `None` without one.
pub(super) fn context_in(attr: &TestRun<'_>, size: usize) -> Result<Option<Vec<u8>>, Errno> {
    if attr.ctx_in.is_none() && attr.ctx_out.is_null() {
        return Ok(None);
    }
    let mut context = vec![0; size];
    if attr.ctx_in.is_some() {
        let given = attr.ctx_size_in as usize;
        if given > PAGE {
            return Err(Errno::E2BIG);
        }
        if given > size && input(&attr.ctx_in, given)?[size..].iter().any(|&byte| byte != 0) {
            return Err(Errno::E2BIG);
        }
        let len = given.min(size);
        context[..len].copy_from_slice(input(&attr.ctx_in, len)?);
    }
    Ok(Some(context))
}

pub(super) fn word(context: &[u8], offset: u32) -> u32 {
    context[offset as usize..].first_chunk().copied().map_or(0, u32::from_ne_bytes)
}

pub(super) fn long(context: &[u8], offset: u32) -> u64 {
    context[offset as usize..].first_chunk().copied().map_or(0, u64::from_ne_bytes)
}

/// Writes a field.
pub(super) fn put<const N: usize>(context: &mut [u8], offset: u32, bytes: [u8; N]) {
    context[offset as usize..][..N].copy_from_slice(&bytes);
}

/// Runs as often as the caller wants and fills in what the last run returned.
pub(super) fn repeat(
    vm: &Vm,
    workspace: &mut Workspace<'_>,
    program: &Arc<Program>,
    attr: &mut TestRun<'_>,
    size: u32,
) -> Result<(), Errno> {
    let times = attr.repeat.max(1);
    let started = Instant::now();
    let arguments = [Value::context(size), Value::UNINIT];
    match workspace.run(vm.machine.how(), program, arguments, Scene::default(), times) {
        Ok((outcome, _)) => attr.retval = returned(attr, outcome)?,
        Err(why) => return Err(stopped(attr, why.to_string(), None, Errno::EBUSY)),
    }
    let mean = started.elapsed().as_nanos() / u128::from(times);
    attr.duration = u32::try_from(mean).unwrap_or(u32::MAX);
    Ok(())
}

/// What a run returned; why it was stopped goes into the diagnostic.
///
/// # Errors
/// `EFAULT` for a trap, `ETIMEDOUT` where the budget was used up.
pub(super) fn returned(attr: &mut TestRun<'_>, outcome: Outcome) -> Result<u32, Errno> {
    match outcome {
        Outcome::Returned(bits) => Ok(bits as u32),
        Outcome::Trapped(trap) => {
            let message = trap.to_string();
            Err(stopped(attr, message, Some(trap), Errno::EFAULT))
        }
        Outcome::OutOfBudget => {
            let message = "the budget of instructions is used up".to_owned();
            Err(stopped(attr, message, None, Errno::ETIMEDOUT))
        }
    }
}

pub(super) fn stopped(
    attr: &mut TestRun<'_>,
    message: String,
    trap: Option<Trap>,
    errno: Errno,
) -> Errno {
    let pc = trap.as_ref().map(|trap| trap.pc);
    attr.diagnostic = Some(Diagnostic { pc, message, trap });
    errno
}

/// `bpf_test_finish`: the packet, its size and the verdict.
pub(super) fn finish(
    attr: &mut TestRun<'_>,
    retval: u32,
    duration: u32,
    packet: &[u8],
) -> Result<(), Errno> {
    let room = match attr.data_size_out as usize {
        0 => packet.len(),
        room => room.min(packet.len()),
    };
    let cut = room < packet.len();
    if !attr.data_out.is_null() && attr.data_out.write(0, &packet[..room]).is_err() {
        return Err(if cut { Errno::ENOSPC } else { Errno::EFAULT });
    }
    attr.data_size_out = packet.len() as u32;
    attr.retval = retval;
    attr.duration = duration;
    if cut { Err(Errno::ENOSPC) } else { Ok(()) }
}

/// `bpf_ctx_finish`.
pub(super) fn finish_context(attr: &mut TestRun<'_>, context: Option<&[u8]>) -> Result<(), Errno> {
    let Some(context) = context.filter(|_| !attr.ctx_out.is_null()) else { return Ok(()) };
    let room = (attr.ctx_size_out as usize).min(context.len());
    let cut = room < context.len();
    if attr.ctx_out.write(0, &context[..room]).is_err() {
        return Err(if cut { Errno::ENOSPC } else { Errno::EFAULT });
    }
    attr.ctx_size_out = context.len() as u32;
    if cut { Err(Errno::ENOSPC) } else { Ok(()) }
}
