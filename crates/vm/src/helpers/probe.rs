//! Reads from addresses that nobody vouches for. They lead into the run's own memory or to what
//! was captured with an event, and otherwise nowhere: never into the host's. Counterparts:
//! `bpf_probe_read_*` in `kernel/trace/bpf_trace.c`, `mm/maccess.c`.

use skep_abi::Errno;
use skep_abi::helper::id;
use skep_isa::Reg;
use skep_maps::mem::bytes::Bytes;

use super::{Function, failure, status};
use crate::memory::value::Value;
use crate::run::{Run, Stop, is_user};

pub(super) const FUNCTIONS: &[(u32, Function)] = &[
    (id::PROBE_READ, |run| probe_read(run, From::Either)),
    (id::PROBE_READ_STR, |run| probe_read_str(run, From::Either)),
    (id::PROBE_READ_USER, |run| probe_read(run, From::User)),
    (id::PROBE_READ_KERNEL, |run| probe_read(run, From::Kernel)),
    (id::PROBE_READ_USER_STR, |run| probe_read_str(run, From::User)),
    (id::PROBE_READ_KERNEL_STR, |run| probe_read_str(run, From::Kernel)),
    (id::COPY_FROM_USER, copy_from_user),
    (id::PROBE_WRITE_USER, probe_write_user),
];

/// Where user space ends on x86-64 (`TASK_SIZE_MAX`).
const USER_END: u64 = (1 << 47) - 4096;

/// Whose memory is read.
#[derive(Clone, Copy, PartialEq, Eq)]
enum From {
    User,
    Kernel,
    /// Whoever's the address looks like.
    Either,
}

impl From {
    /// Whether an address is taken for one of user space.
    fn is_user(self, run: &Run<'_>, pointer: Value) -> bool {
        match self {
            From::User => true,
            From::Kernel => false,
            From::Either => pointer.bits < USER_END && !run.is_own(&pointer),
        }
    }
}

/// Why nothing is read from an address: the kernel's reader asks first whether it could be one
/// of its own at all.
pub(crate) fn refusal(run: &Run<'_>, pointer: Value, user: bool) -> Errno {
    /// Addresses of x86-64 have so many bits; above them, all are as the last one.
    const BITS: u32 = 48;
    let canonical = (pointer.bits as i64) << (64 - BITS) >> (64 - BITS) == pointer.bits as i64;
    let plausible = canonical && !is_user(pointer.bits) || run.is_own(&pointer);
    if user || plausible { Errno::EFAULT } else { Errno::ERANGE }
}

/// `bpf_probe_read*(target, size, unsafe)`: a bad address is no trap but an error and zeros.
fn probe_read(run: &mut Run<'_>, from: From) -> Result<Value, Stop> {
    const NAME: &str = "bpf_probe_read";
    let size = run.size_argument(Reg::R2)?;
    let source = run.read(Reg::R3)?;
    if size == 0 {
        let user = from.is_user(run, source);
        let far = refusal(run, source, user);
        // Of user space nothing is read above its end, not even nothing.
        let beyond = far == Errno::ERANGE || user && source.bits >= USER_END;
        return Ok(if beyond { failure(far) } else { Value::scalar(0) });
    }
    run.memory_argument(NAME, Reg::R1, size, true)?;
    let mut bytes = Bytes::zeros(size as usize);
    let user = from.is_user(run, source);
    let found = run.probe(source, &mut bytes, user);
    if !found {
        bytes.fill(0);
    }
    let errno = refusal(run, source, user);
    run.write_argument(NAME, Reg::R1, &bytes)?;
    Ok(if found { Value::scalar(0) } else { failure(errno) })
}

/// `bpf_probe_read*_str(target, size, unsafe)`: gives the length with its zero.
fn probe_read_str(run: &mut Run<'_>, from: From) -> Result<Value, Stop> {
    const NAME: &str = "bpf_probe_read_str";
    let size = run.size_argument(Reg::R2)?;
    let source = run.read(Reg::R3)?;
    let user = from.is_user(run, source);
    if size == 0 {
        return Ok(Value::scalar(0));
    }
    run.memory_argument(NAME, Reg::R1, size, true)?;
    let mut text = Vec::new();
    while (text.len() as u64) < size {
        let mut byte = [0];
        let at = source.with_bits(source.bits.wrapping_add(text.len() as u64));
        if !run.probe(at, &mut byte, user) {
            let errno = refusal(run, source, user);
            run.write_argument(NAME, Reg::R1, &vec![0; size as usize])?;
            return Ok(failure(errno));
        }
        text.push(byte[0]);
        if byte[0] == 0 {
            break;
        }
    }
    if let Some(last) = text.last_mut() {
        *last = 0;
    }
    run.write_argument(NAME, Reg::R1, &text)?;
    Ok(Value::scalar(text.len() as u64))
}

/// `bpf_copy_from_user(target, size, user)`.
fn copy_from_user(run: &mut Run<'_>) -> Result<Value, Stop> {
    const NAME: &str = "bpf_copy_from_user";
    let size = run.size_argument(Reg::R2)?;
    let source = run.read(Reg::R3)?;
    if size == 0 {
        return Ok(Value::scalar(0));
    }
    run.memory_argument(NAME, Reg::R1, size, true)?;
    let mut bytes = Bytes::zeros(size as usize);
    let found = run.probe(source, &mut bytes, true);
    if !found {
        bytes.fill(0);
    }
    run.write_argument(NAME, Reg::R1, &bytes)?;
    Ok(status(if found { Ok(()) } else { Err(Errno::EFAULT) }))
}

/// `bpf_probe_write_user(target, source, size)`: what user space has here was captured, and
/// stays as it was; nowhere else is anything to be written to.
fn probe_write_user(run: &mut Run<'_>) -> Result<Value, Stop> {
    const NAME: &str = "bpf_probe_write_user";
    let size = run.size_argument(Reg::R3)?;
    run.memory_argument(NAME, Reg::R2, size, false)?;
    Ok(failure(Errno::EPERM))
}
