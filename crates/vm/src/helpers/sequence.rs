//! What iterators print, and values as text by the kernel's types. Counterparts: `bpf_seq_*` and
//! `bpf_snprintf_btf` in `kernel/trace/bpf_trace.c`.

use skep_abi::Errno;
use skep_abi::helper::id;
use skep_isa::Reg;

use super::{Function, failure, format, shown, status};
use crate::memory::value::Value;
use crate::run::{Run, Stop, is_user};

pub(super) const FUNCTIONS: &[(u32, Function)] = &[
    (id::SEQ_PRINTF, seq_printf),
    (id::SEQ_WRITE, seq_write),
    (id::SEQ_PRINTF_BTF, seq_printf_btf),
    (id::SNPRINTF_BTF, snprintf_btf),
];

/// Adds to what is printed.
fn add(run: &Run<'_>, helper: &'static str, text: &[u8]) -> Result<Value, Stop> {
    match &run.sequence {
        Some(sequence) => {
            Ok(status(if sequence.add(text) { Ok(()) } else { Err(Errno::EOVERFLOW) }))
        }
        None => Err(run.bad_argument(helper, 1, "is no file of an iterator")),
    }
}

/// `bpf_seq_printf(seq, format, size, arguments, bytes of them)`.
fn seq_printf(run: &mut Run<'_>) -> Result<Value, Stop> {
    const NAME: &str = "bpf_seq_printf";
    let size = run.size_argument(Reg::R3)?;
    let format = run.bytes_argument(NAME, Reg::R2, size)?;
    let arguments = match run.list_argument(NAME, Reg::R4, Reg::R5)? {
        Ok(arguments) => arguments,
        Err(errno) => return Ok(failure(errno)),
    };
    let room = run.sequence.as_ref().map_or(0, |sequence| sequence.room());
    match format::format(run, &format, &arguments, room) {
        Ok(printed) if printed.len as usize != printed.bytes.len() => {
            if let Some(sequence) = &run.sequence {
                sequence.overflow();
            }
            Ok(failure(Errno::EOVERFLOW))
        }
        Ok(printed) => add(run, NAME, &printed.bytes),
        Err(errno) => Ok(failure(errno)),
    }
}

/// `bpf_seq_write(seq, data, len)`.
fn seq_write(run: &mut Run<'_>) -> Result<Value, Stop> {
    const NAME: &str = "bpf_seq_write";
    let size = run.size_argument(Reg::R3)?;
    let bytes = run.bytes_argument(NAME, Reg::R2, size)?;
    add(run, NAME, &bytes)
}

/// `bpf_seq_printf_btf(seq, pointer, size, flags)`.
fn seq_printf_btf(run: &mut Run<'_>) -> Result<Value, Stop> {
    const NAME: &str = "bpf_seq_printf_btf";
    let flags = run.read(Reg::R4)?.bits;
    match typed(run, NAME, [Reg::R2, Reg::R3], flags)? {
        // That it did not fit is for the file to say.
        Ok(text) => add(run, NAME, &text).map(|_| Value::scalar(0)),
        Err(errno) => Ok(failure(errno)),
    }
}

/// `bpf_snprintf_btf(target, size, pointer, its size, flags)`: gives the length that the text
/// has, or would have.
fn snprintf_btf(run: &mut Run<'_>) -> Result<Value, Stop> {
    const NAME: &str = "bpf_snprintf_btf";
    let size = run.size_argument(Reg::R2)?;
    run.writable_argument(NAME, Reg::R1, size)?;
    let flags = run.read(Reg::R5)?.bits;
    let mut text = match typed(run, NAME, [Reg::R3, Reg::R4], flags)? {
        Ok(text) => text,
        Err(errno) => return Ok(failure(errno)),
    };
    let len = text.len();
    if size > 0 && len > 0 {
        text.truncate(size as usize - 1);
        text.push(0);
        run.write_argument(NAME, Reg::R1, &text)?;
    }
    Ok(Value::scalar(len as u64))
}

/// The text of what a `struct btf_ptr` leads to: an address, the number of its type in the
/// kernel's types, and flags, which count for nothing.
fn typed(
    run: &Run<'_>,
    helper: &'static str,
    [pointer, size]: [Reg; 2],
    flags: u64,
) -> Result<Result<Vec<u8>, Errno>, Stop> {
    /// Bytes of `struct btf_ptr`.
    const BYTES: u64 = 16;
    if flags & !shown::ALL != 0 || run.size_argument(size)? != BYTES {
        return Ok(Err(Errno::EINVAL));
    }
    let at = run.memory_argument(helper, pointer, BYTES, false)?;
    let unreadable = || run.bad_argument(helper, pointer.number(), "cannot be read");
    let address = run.word_of(at, 0).ok_or_else(unreadable)?;
    let words = run.word_of(at, 8).ok_or_else(unreadable)?;
    Ok(value_text(run, address, words.bits as u32, flags))
}

fn value_text(run: &Run<'_>, address: Value, type_id: u32, flags: u64) -> Result<Vec<u8>, Errno> {
    /// Bytes of the largest value that is looked at.
    const LARGEST: u64 = 1 << 20;
    let types = run.env.kernel_types().ok_or(Errno::EINVAL)?;
    if type_id == 0 {
        return Err(Errno::EINVAL);
    }
    if i32::try_from(type_id).is_err() || types.type_by_id(type_id).is_err() {
        return Err(Errno::ENOENT);
    }
    let size = types.size_of(type_id).unwrap_or(0);
    if size > LARGEST {
        return Err(Errno::E2BIG);
    }
    let mut bytes = vec![0; size as usize];
    if !run.probe(address, &mut bytes, false) {
        return Err(super::probe::refusal(run, address, false));
    }
    // Only addresses of the kernel's half are shown as they are: the host's are of the other.
    let raw = flags & shown::RAW_POINTERS != 0;
    let pointer = |bits| if raw && !is_user(bits) { bits } else { run.env.pointer_id(bits).into() };
    Ok(shown::text(types, type_id, &bytes, flags, &pointer))
}
