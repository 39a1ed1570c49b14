//! Time, chance, CPUs, loops and messages.

use skep_abi::Errno;
use skep_abi::helper::id;
use skep_abi::limits::{MAX_LINE, MAX_PRINTED};
use skep_isa::Reg;

use super::{Function, failure, format};
use crate::memory::value::{Kind, Value};
use crate::run::{Run, Stop};

pub(super) const FUNCTIONS: &[(u32, Function)] = &[
    (id::KTIME_GET_NS, ktime),
    (id::TRACE_PRINTK, trace_printk),
    (id::GET_PRANDOM_U32, prandom),
    (id::GET_SMP_PROCESSOR_ID, processor_id),
    (id::GET_NUMA_NODE_ID, numa_node),
    (id::JIFFIES64, jiffies),
    (id::KTIME_GET_BOOT_NS, ktime),
    (id::KTIME_GET_COARSE_NS, ktime),
    (id::SNPRINTF, snprintf),
    (id::TRACE_VPRINTK, trace_vprintk),
    (id::LOOP, bpf_loop),
    (id::KTIME_GET_TAI_NS, ktime),
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
    Ok(Value::scalar(run.cpu().into()))
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
    Ok(print(run, &format, &arguments))
}

/// `bpf_trace_vprintk(format, size, arguments, bytes of them)`.
fn trace_vprintk(run: &mut Run<'_>) -> Result<Value, Stop> {
    const NAME: &str = "bpf_trace_vprintk";
    let size = run.size_argument(Reg::R2)?;
    let format = run.bytes_argument(NAME, Reg::R1, size)?;
    match run.list_argument(NAME, Reg::R3, Reg::R4)? {
        Ok(arguments) => Ok(print(run, &format, &arguments)),
        Err(errno) => Ok(failure(errno)),
    }
}

pub(crate) fn print(run: &Run<'_>, format: &[u8], arguments: &[Value]) -> Value {
    match format::format(run, format, arguments, MAX_LINE) {
        Ok(line) => {
            // The line ends at the first zero, which an argument may have brought.
            let text = line.bytes.split(|&byte| byte == 0).next().unwrap_or_default();
            run.env.print(&String::from_utf8_lossy(text));
            Value::scalar(line.len as i64 as u64)
        }
        Err(errno) => failure(errno),
    }
}

/// `bpf_snprintf(target, size, format, arguments, bytes of them)`: gives the length with its
/// zero that the text has, or would have.
fn snprintf(run: &mut Run<'_>) -> Result<Value, Stop> {
    const NAME: &str = "bpf_snprintf";
    let size = run.size_argument(Reg::R2)?;
    if size > 0 {
        run.writable_argument(NAME, Reg::R1, size)?;
    }
    let format = run.text_argument(Reg::R3)?;
    let arguments = match run.list_argument(NAME, Reg::R4, Reg::R5)? {
        Ok(arguments) => arguments,
        Err(errno) => return Ok(failure(errno)),
    };
    match format::format(run, &format, &arguments, size as usize) {
        Ok(mut text) => {
            if size > 0 {
                text.bytes.push(0);
                run.write_argument(NAME, Reg::R1, &text.bytes)?;
            }
            Ok(Value::scalar(text.len.wrapping_add(1) as i64 as u64))
        }
        Err(errno) => Ok(failure(errno)),
    }
}

impl Run<'_> {
    /// The text that a register points to, with its zero.
    pub(crate) fn text_argument(&self, reg: Reg) -> Result<Vec<u8>, Stop> {
        let pointer = self.read(reg)?;
        let bytes = (0..).map_while(|at| self.byte_at(pointer, at));
        let mut text: Vec<u8> = bytes.take_while(|&byte| byte != 0).collect();
        text.push(0);
        Ok(text)
    }

    /// A list of words, each an argument: whatever it is, a pointer may be among them.
    pub(crate) fn list_argument(
        &self,
        helper: &'static str,
        list: Reg,
        bytes: Reg,
    ) -> Result<Result<Vec<Value>, Errno>, Stop> {
        let len = self.size_argument(bytes)?;
        let none = self.read(list)?.bits == 0;
        if !len.is_multiple_of(8) || len > MAX_PRINTED * 8 || len > 0 && none {
            return Ok(Err(Errno::EINVAL));
        }
        if len == 0 {
            return Ok(Ok(Vec::new()));
        }
        let start = self.memory_argument(helper, list, len, false)?;
        let words = (0..len as i64 / 8).map(|at| self.word_of(start, at * 8));
        words.collect::<Option<Vec<_>>>().map(Ok).ok_or_else(|| {
            self.bad_argument(helper, list.number(), "points to memory that cannot be read")
        })
    }
}
