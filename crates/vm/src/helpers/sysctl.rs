//! Reads and writes of sysctls. What a context comes with are texts, each with a zero behind it:
//! the name (`net/ipv4/ip_forward`), the value, and the one that somebody wants to write.
//! Counterpart: `kernel/bpf/cgroup.c`.

use skep_abi::context::at::sysctl as at;
use skep_abi::helper::id;
use skep_abi::{Errno, ProgType};
use skep_isa::Reg;

use super::{Function, failure, number};
use crate::contexts::plain::Plain;
use crate::memory::value::Value;
use crate::run::{Run, Stop};

pub(super) const FUNCTIONS: &[(u32, Function)] = &[
    (id::SYSCTL_GET_NAME, name),
    (id::SYSCTL_GET_CURRENT_VALUE, current),
    (id::SYSCTL_GET_NEW_VALUE, new),
    (id::SYSCTL_SET_NEW_VALUE, set_new),
];

const NAME: usize = 0;
const CURRENT: usize = 1;
const NEW: usize = 2;

fn context<'r>(run: &'r mut Run<'_>, name: &'static str) -> Result<&'r mut Plain, Stop> {
    run.context_argument(name)?;
    let missing = run.bad_argument(name, 1, "is no sysctl");
    run.context.plain().filter(|plain| plain.kind() == ProgType::CgroupSysctl).ok_or(missing)
}

/// A text of the context.
fn text(context: &Plain, which: usize) -> Option<Vec<u8>> {
    let mut texts = context.data().split(|&byte| byte == 0);
    texts.nth(which).filter(|text| !text.is_empty()).map(<[u8]>::to_vec)
}

/// Puts a text and a zero into the buffer at r2; what is cut off is told.
fn give(
    run: &mut Run<'_>,
    helper: &'static str,
    text: &[u8],
    clears: bool,
) -> Result<Result<u64, Errno>, Stop> {
    let room = run.size_argument(Reg::R3)? as usize;
    if room == 0 {
        return Ok(Err(Errno::E2BIG));
    }
    run.writable_argument(helper, Reg::R2, room as u64)?;
    let kept = text.len().min(room - 1);
    let mut bytes = text[..kept].to_vec();
    bytes.resize(if clears { room } else { kept + 1 }, 0);
    run.write_argument(helper, Reg::R2, &bytes)?;
    Ok(if kept < text.len() { Err(Errno::E2BIG) } else { Ok(kept as u64) })
}

/// `bpf_sysctl_get_name(ctx, buffer, len, flags)`.
fn name(run: &mut Run<'_>) -> Result<Value, Stop> {
    const HELPER: &str = "bpf_sysctl_get_name";
    /// Without the folders.
    const BASE: u64 = 1;
    let flags = run.read(Reg::R4)?.bits;
    let Some(mut path) = text(context(run, HELPER)?, NAME) else {
        return Ok(failure(Errno::EINVAL));
    };
    if flags & BASE != 0
        && let Some(last) = path.iter().rposition(|&byte| byte == b'/')
    {
        path.drain(..=last);
    }
    give(run, HELPER, &path, false).map(number)
}

/// `bpf_sysctl_get_current_value(ctx, buffer, len)`.
fn current(run: &mut Run<'_>) -> Result<Value, Stop> {
    value(run, "bpf_sysctl_get_current_value", CURRENT)
}

/// `bpf_sysctl_get_new_value(ctx, buffer, len)`.
fn new(run: &mut Run<'_>) -> Result<Value, Stop> {
    value(run, "bpf_sysctl_get_new_value", NEW)
}

fn value(run: &mut Run<'_>, helper: &'static str, which: usize) -> Result<Value, Stop> {
    let context = context(run, helper)?;
    let there = which == CURRENT || context.word(at::WRITE) != 0;
    match text(context, which).filter(|_| there) {
        Some(text) => give(run, helper, &text, true).map(number),
        None => {
            let _nothing_is_cut = give(run, helper, &[], true)?;
            Ok(failure(Errno::EINVAL))
        }
    }
}

/// `bpf_sysctl_set_new_value(ctx, buffer, len)`.
fn set_new(run: &mut Run<'_>) -> Result<Value, Stop> {
    const HELPER: &str = "bpf_sysctl_set_new_value";
    const PAGE: usize = 4096;
    let len = run.size_argument(Reg::R3)?;
    let value = run.bytes_argument(HELPER, Reg::R2, len)?;
    let context = context(run, HELPER)?;
    if context.word(at::WRITE) == 0 || value.is_empty() {
        return Ok(failure(Errno::EINVAL));
    }
    if value.len() > PAGE - 1 {
        return Ok(failure(Errno::E2BIG));
    }
    let part = |which| text(context, which).unwrap_or_default();
    let mut bytes = [part(NAME), part(CURRENT)].map(|mut text| {
        text.push(0);
        text
    });
    let mut all = std::mem::take(&mut bytes[0]);
    all.append(&mut bytes[1]);
    all.extend_from_slice(&value);
    all.push(0);
    let frame = context.frame_mut();
    let by = all.len() as isize - frame.len() as isize;
    frame.reserve(0, by.max(0) as usize);
    frame.move_end(by);
    frame.bytes_mut().copy_from_slice(&all);
    Ok(Value::scalar(0))
}
