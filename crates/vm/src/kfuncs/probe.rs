//! Reads from addresses that nobody vouches for, into dynptrs and memory: as
//! [`crate::helpers`]' probes. Counterpart: `bpf_probe_read_*_dynptr` in
//! `kernel/trace/bpf_trace.c`.

use skep_abi::Errno;
use skep_abi::kfunc::id;
use skep_isa::Reg;

use super::{Arg, Entry, word};
use crate::helpers::probe::refusal;
use crate::memory::value::Value;
use crate::run::{Run, Stop};

/// A dynptr, an offset, a size, an address.
const DYNPTR: &[Arg] = &[Arg::Dynptr, Arg::Number, Arg::Number, Arg::Address];

pub(super) const FUNCTIONS: &[Entry] = &[
    (id::PROBE_READ_USER_DYNPTR, |run| bytes(run, true), DYNPTR),
    (id::PROBE_READ_KERNEL_DYNPTR, |run| bytes(run, false), DYNPTR),
    (id::PROBE_READ_USER_STR_DYNPTR, |run| text(run, true), DYNPTR),
    (id::PROBE_READ_KERNEL_STR_DYNPTR, |run| text(run, false), DYNPTR),
    (id::COPY_FROM_USER_DYNPTR, |run| bytes(run, true), DYNPTR),
    (id::COPY_FROM_USER_STR_DYNPTR, |run| text(run, true), DYNPTR),
    (id::COPY_FROM_USER_TASK_DYNPTR, |run| bytes(run, true), DYNPTR),
    (id::COPY_FROM_USER_TASK_STR_DYNPTR, |run| text(run, true), DYNPTR),
    (id::COPY_FROM_USER_STR, copy_text, COPY),
    (id::COPY_FROM_USER_TASK_STR, copy_text, COPY),
];

/// Memory, its size, an address, flags.
const COPY: &[Arg] = &[Arg::Memory, Arg::Number, Arg::Address, Arg::Number];

/// Most bytes of one dynptr that are read at once.
const MOST: u32 = 1 << 24;

/// Why nothing is read into a dynptr, if nothing is.
fn target(run: &Run<'_>) -> Result<Result<(u32, u32), Errno>, Stop> {
    let (offset, len) = (run.read(Reg::R2)?.bits as u32, run.read(Reg::R3)?.bits as u32);
    let of = run.dynptr_argument("bpf_probe_read_dynptr", Reg::R1)?;
    Ok(match of {
        // One that is null has no bytes; of nothing, nothing is read.
        None if offset == 0 && len == 0 => Ok((0, 0)),
        None => Err(Errno::E2BIG),
        Some(of) if !of.writable => Err(Errno::EINVAL),
        Some(of) => of.check(offset, len).map(|()| (offset, len.min(MOST))),
    })
}

fn errno(errno: Errno) -> Value {
    word(-errno.0)
}

fn put(run: &mut Run<'_>, offset: u32, bytes: &[u8]) -> Result<(), Stop> {
    let Some(of) = run.dynptr_argument("bpf_probe_read_dynptr", Reg::R1)? else { return Ok(()) };
    let _of_a_slice = run.store_dynptr(of, offset, bytes, 0)?;
    Ok(())
}

/// `bpf_probe_read_user_dynptr(ptr, offset, size, address)`.
fn bytes(run: &mut Run<'_>, user: bool) -> Result<Value, Stop> {
    let source = run.read(Reg::R4)?;
    let (offset, len) = match target(run)? {
        Ok(target) => target,
        Err(why) => return Ok(errno(why)),
    };
    let mut bytes = vec![0; len as usize];
    if len > 0 && !run.probe(source, &mut bytes, user) {
        return Ok(errno(refusal(run, source, user)));
    }
    put(run, offset, &bytes)?;
    Ok(word(0))
}

/// The text at an address, of at most so many bytes with its zero; `None` where there is none.
fn read_text(run: &Run<'_>, source: Value, most: usize, user: bool) -> Option<Vec<u8>> {
    let mut text = Vec::new();
    while text.len() < most {
        let mut byte = [0];
        let at = source.with_bits(source.bits.wrapping_add(text.len() as u64));
        if !run.probe(at, &mut byte, user) {
            return None;
        }
        text.push(byte[0]);
        if byte[0] == 0 {
            break;
        }
    }
    if let Some(last) = text.last_mut() {
        *last = 0;
    }
    Some(text)
}

/// `bpf_probe_read_user_str_dynptr(ptr, offset, size, address)`: gives the length.
fn text(run: &mut Run<'_>, user: bool) -> Result<Value, Stop> {
    let source = run.read(Reg::R4)?;
    let (offset, len) = match target(run)? {
        Ok(target) => target,
        Err(why) => return Ok(errno(why)),
    };
    let found = read_text(run, source, len as usize, user);
    let Some(text) = found else {
        return Ok(errno(refusal(run, source, user)));
    };
    put(run, offset, &text)?;
    Ok(word(text.len() as i32))
}

/// `bpf_copy_from_user_str(to, size, address, flags)`: gives the length.
fn copy_text(run: &mut Run<'_>) -> Result<Value, Stop> {
    const NAME: &str = "bpf_copy_from_user_str";
    /// Zeros behind the text, too.
    const PAD: u64 = 1;
    let (len, flags) = (run.size_argument(Reg::R2)?, run.read(Reg::R4)?.bits);
    let source = run.read(Reg::R3)?;
    if flags & !PAD != 0 {
        return Ok(errno(Errno::EINVAL));
    }
    if len == 0 {
        return Ok(word(0));
    }
    run.writable_argument(NAME, Reg::R1, len)?;
    let Some(mut text) = read_text(run, source, len as usize, true) else {
        run.write_argument(NAME, Reg::R1, &vec![0; len as usize])?;
        return Ok(errno(Errno::EFAULT));
    };
    let copied = text.len();
    if flags & PAD != 0 {
        text.resize(len as usize, 0);
    }
    run.write_argument(NAME, Reg::R1, &text)?;
    Ok(word(copied as i32))
}
