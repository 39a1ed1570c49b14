//! Messages that sockets send (`struct sk_msg_md`): how much of one a verdict is for, and bytes
//! put in or taken out. Here a message is in one piece. Counterpart: `net/core/filter.c`.

use skep_abi::context::at::sk_msg as at;
use skep_abi::helper::id;
use skep_abi::{Errno, ProgType};
use skep_isa::Reg;

use super::{Function, status};
use crate::contexts::plain::Plain;
use crate::memory::value::Value;
use crate::run::{Run, Stop};

pub(super) const FUNCTIONS: &[(u32, Function)] = &[
    (id::MSG_APPLY_BYTES, counted),
    (id::MSG_CORK_BYTES, counted),
    (id::MSG_PULL_DATA, pull),
    (id::MSG_PUSH_DATA, push),
    (id::MSG_POP_DATA, pop),
];

fn message<'r>(run: &'r mut Run<'_>, name: &'static str) -> Result<&'r mut Plain, Stop> {
    run.context_argument(name)?;
    let missing = run.bad_argument(name, 1, "is no message");
    run.context.plain().filter(|plain| plain.kind() == ProgType::SkMsg).ok_or(missing)
}

/// `bpf_msg_apply_bytes(msg, bytes)`, `bpf_msg_cork_bytes(msg, bytes)`: all of a message is here.
fn counted(run: &mut Run<'_>) -> Result<Value, Stop> {
    run.read(Reg::R2)?;
    message(run, "bpf_msg_apply_bytes")?;
    Ok(Value::scalar(0))
}

/// `bpf_msg_pull_data(msg, start, end, flags)`.
fn pull(run: &mut Run<'_>) -> Result<Value, Stop> {
    let (start, end) = (run.read(Reg::R2)?.bits as u32, run.read(Reg::R3)?.bits as u32);
    let flags = run.read(Reg::R4)?.bits;
    let frame = message(run, "bpf_msg_pull_data")?.frame_mut();
    let there = flags == 0 && start < end && end as usize <= frame.len();
    Ok(status(if there { Ok(()) } else { Err(Errno::EINVAL) }))
}

/// `bpf_msg_push_data(msg, start, len, flags)`: new bytes are zero.
fn push(run: &mut Run<'_>) -> Result<Value, Stop> {
    /// Most bytes of a message.
    const MOST: usize = 1 << 16;
    let (start, len) = (run.read(Reg::R2)?.bits as u32, run.read(Reg::R3)?.bits as u32);
    let flags = run.read(Reg::R4)?.bits;
    let context = message(run, "bpf_msg_push_data")?;
    let (start, len) = (start as usize, len as usize);
    let frame = context.frame_mut();
    if flags != 0 || start > frame.len() {
        return Ok(status(Err(Errno::EINVAL)));
    }
    if frame.len() + len > MOST {
        return Ok(status(Err(Errno::ENOMEM)));
    }
    let mut bytes = frame.bytes().to_vec();
    bytes.splice(start..start, std::iter::repeat_n(0, len));
    replace(context, &bytes);
    Ok(Value::scalar(0))
}

/// `bpf_msg_pop_data(msg, start, len, flags)`.
fn pop(run: &mut Run<'_>) -> Result<Value, Stop> {
    let (start, len) = (run.read(Reg::R2)?.bits as u32, run.read(Reg::R3)?.bits as u32);
    let flags = run.read(Reg::R4)?.bits;
    let context = message(run, "bpf_msg_pop_data")?;
    let frame = context.frame_mut();
    let (start, end) = (start as usize, start as usize + len as usize);
    if flags == 0 && len == 0 {
        return Ok(Value::scalar(0));
    }
    if flags != 0 || start >= frame.len() || end > frame.len() {
        return Ok(status(Err(Errno::EINVAL)));
    }
    let mut bytes = frame.bytes().to_vec();
    bytes.drain(start..end);
    replace(context, &bytes);
    Ok(Value::scalar(0))
}

fn replace(context: &mut Plain, bytes: &[u8]) {
    let frame = context.frame_mut();
    let by = bytes.len() as isize - frame.len() as isize;
    frame.reserve(0, by.max(0) as usize);
    frame.move_end(by);
    frame.bytes_mut().copy_from_slice(bytes);
    context.put_word(at::SIZE, bytes.len() as u32);
}
