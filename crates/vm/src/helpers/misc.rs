//! Time, chance, CPUs, loops and messages.

use skep_abi::Errno;
use skep_isa::Reg;

use super::{Function, failure};
use crate::interp::{Run, Stop};
use crate::mem::value::{Kind, Value};

pub(super) const FUNCTIONS: &[(u32, Function)] = &[
    (5, ktime),
    (6, trace_printk),
    (7, prandom),
    (8, processor_id),
    (42, numa_node),
    (118, jiffies),
    (125, ktime),
    (160, ktime),
    (181, bpf_loop),
    (208, ktime),
];

/// Most rounds of `bpf_loop` (`BPF_MAX_LOOPS`).
pub(crate) const MAX_LOOPS: u64 = 8 * 1024 * 1024;

fn ktime(run: &mut Run<'_>) -> Result<Value, Stop> {
    Ok(Value::scalar(run.now()))
}

/// Jiffies of a kernel with 250 Hz, which start at -300 seconds.
fn jiffies(run: &mut Run<'_>) -> Result<Value, Stop> {
    const HZ: u64 = 250;
    let since_boot = run.now() / (1_000_000_000 / HZ);
    Ok(Value::scalar(u64::from((-300i32 * HZ as i32) as u32).wrapping_add(since_boot)))
}

fn prandom(run: &mut Run<'_>) -> Result<Value, Stop> {
    Ok(Value::scalar(run.env.random().into()))
}

fn processor_id(run: &mut Run<'_>) -> Result<Value, Stop> {
    Ok(Value::scalar(run.cpu.into()))
}

fn numa_node(_run: &mut Run<'_>) -> Result<Value, Stop> {
    Ok(Value::scalar(0))
}

/// `bpf_loop(count, callback, context, flags)`: the callback gets the index and the
/// context, and stops the loop by returning 1.
fn bpf_loop(run: &mut Run<'_>) -> Result<Value, Stop> {
    let count = run.size_argument(Reg::R1)?;
    let (callback, context) = (run.read(Reg::R2)?, run.read(Reg::R3)?);
    if callback.kind() != Kind::Function {
        return Err(run.bad_argument("bpf_loop", 2, "is no subprogram"));
    }
    if run.read(Reg::R4)?.bits != 0 {
        return Ok(failure(Errno::EINVAL));
    }
    if count > MAX_LOOPS {
        // Linux inlines the loop, and returns this one error as a 32-bit number.
        return Ok(Value::scalar(failure(Errno::E2BIG).bits & 0xffff_ffff));
    }
    for index in 0..count {
        if run.call_back(callback, &[Value::scalar(index), context])? != 0 {
            return Ok(Value::scalar(index + 1));
        }
    }
    Ok(Value::scalar(count))
}

/// `bpf_trace_printk(format, size, ...)`: gives the number of characters.
fn trace_printk(run: &mut Run<'_>) -> Result<Value, Stop> {
    const NAME: &str = "bpf_trace_printk";
    let size = run.size_argument(Reg::R2)?;
    let format = run.bytes_argument(NAME, Reg::R1, size)?;
    let arguments = [Reg::R3, Reg::R4, Reg::R5].map(|reg| run.regs.get(reg));
    match super::format::format(run, &format, &arguments) {
        Ok(text) => {
            run.env.print(&text);
            Ok(Value::scalar(text.len() as u64))
        }
        Err(errno) => Ok(failure(errno)),
    }
}
