//! Strings at addresses that need not be any: what cannot be read is an error, and so is what
//! goes on for too long. Counterpart: `bpf_strcmp` and its like in `kernel/bpf/helpers.c`.

use skep_abi::Errno;
use skep_abi::kfunc::id;
use skep_abi::limits::MAX_STRING;
use skep_isa::Reg;

use super::{Arg, Entry, word};
use crate::memory::value::{Kind, Value};
use crate::run::{Run, Stop};

const ONE: &[Arg] = &[Arg::Address];
const TWO: &[Arg] = &[Arg::Address, Arg::Address];

pub(super) const FUNCTIONS: &[Entry] = &[
    (id::STRCMP, |run| answer(run, |run| compare(run, |byte| byte)), TWO),
    (id::STRCASECMP, |run| answer(run, |run| compare(run, |byte| byte.to_ascii_lowercase())), TWO),
    (
        id::STRCHR,
        |run| answer(run, |run| find(run, Reg::R2, MAX_STRING)),
        &[Arg::Address, Arg::Number],
    ),
    (id::STRNCHR, strnchr, &[Arg::Address, Arg::Number, Arg::Number]),
    (id::STRCHRNUL, |run| answer(run, find_or_end), &[Arg::Address, Arg::Number]),
    (id::STRRCHR, |run| answer(run, find_last), &[Arg::Address, Arg::Number]),
    (id::STRLEN, |run| answer(run, |run| length(run, MAX_STRING)), ONE),
    (id::STRNLEN, strnlen, &[Arg::Address, Arg::Number]),
    (id::STRSPN, |run| answer(run, |run| span(run, true)), TWO),
    (id::STRCSPN, |run| answer(run, |run| span(run, false)), TWO),
    (id::STRSTR, |run| answer(run, |run| within(run, MAX_STRING)), TWO),
    (id::STRNSTR, strnstr, &[Arg::Address, Arg::Address, Arg::Number]),
];

/// What was looked for, or a negative errno.
fn answer<'r>(
    run: &mut Run<'r>,
    ask: impl FnOnce(&Run<'r>) -> Result<Result<i32, Errno>, Stop>,
) -> Result<Value, Stop> {
    Ok(word(ask(run)?.unwrap_or_else(|errno| -errno.0)))
}

/// A string that a register points to.
#[derive(Clone, Copy)]
struct Str(Value);

/// Gives the error that reading has met, where it has met one.
macro_rules! read {
    ($byte:expr) => {
        match $byte {
            Ok(byte) => byte,
            Err(errno) => return Ok(Err(errno)),
        }
    };
}

impl Str {
    fn of(run: &Run<'_>, reg: Reg) -> Result<Result<Str, Errno>, Stop> {
        let value = run.read(reg)?;
        let is_pointer = !matches!(value.kind(), Kind::Scalar | Kind::Context | Kind::Map);
        // Whatever lies above that is the kernel's own half of the addresses.
        let of_kernel = value.bits >> 63 == 1;
        Ok(if is_pointer || of_kernel { Ok(Str(value)) } else { Err(Errno::ERANGE) })
    }

    fn byte(self, run: &Run<'_>, index: u32) -> Result<u8, Errno> {
        run.byte_at(self.0, index.into()).ok_or(Errno::EFAULT)
    }
}

/// `bpf_strcmp(s1, s2)`, of bytes that are changed first.
fn compare(run: &Run<'_>, change: impl Fn(u8) -> u8) -> Result<Result<i32, Errno>, Stop> {
    let (left, right) = (read!(Str::of(run, Reg::R1)?), read!(Str::of(run, Reg::R2)?));
    for index in 0..MAX_STRING {
        let (one, other) = (read!(left.byte(run, index)), read!(right.byte(run, index)));
        let (one, other) = (change(one), change(other));
        if one != other {
            return Ok(Ok(if one < other { -1 } else { 1 }));
        }
        if one == 0 {
            return Ok(Ok(0));
        }
    }
    Ok(Err(Errno::E2BIG))
}

fn strnchr(run: &mut Run<'_>) -> Result<Value, Stop> {
    let count = run.read(Reg::R2)?.bits.min(u64::from(MAX_STRING) + 1) as u32;
    answer(run, |run| find(run, Reg::R3, count))
}

/// The first byte like the one in a register, of so many.
fn find(run: &Run<'_>, reg: Reg, count: u32) -> Result<Result<i32, Errno>, Stop> {
    let (string, wanted) = (read!(Str::of(run, Reg::R1)?), run.read(reg)?.bits as u8);
    for index in 0..count.min(MAX_STRING) {
        let byte = read!(string.byte(run, index));
        if byte == wanted {
            return Ok(Ok(index as i32));
        }
        if byte == 0 {
            return Ok(Err(Errno::ENOENT));
        }
    }
    Ok(Err(if count >= MAX_STRING { Errno::E2BIG } else { Errno::ENOENT }))
}

/// `bpf_strchrnul(s, c)`.
fn find_or_end(run: &Run<'_>) -> Result<Result<i32, Errno>, Stop> {
    let (string, wanted) = (read!(Str::of(run, Reg::R1)?), run.read(Reg::R2)?.bits as u8);
    for index in 0..MAX_STRING {
        let byte = read!(string.byte(run, index));
        if byte == wanted || byte == 0 {
            return Ok(Ok(index as i32));
        }
    }
    Ok(Err(Errno::E2BIG))
}

/// `bpf_strrchr(s, c)`, whose character is a whole `int`.
fn find_last(run: &Run<'_>) -> Result<Result<i32, Errno>, Stop> {
    let (string, wanted) = (read!(Str::of(run, Reg::R1)?), run.read(Reg::R2)?.bits as i32);
    let mut last = Err(Errno::ENOENT);
    for index in 0..MAX_STRING {
        let byte = read!(string.byte(run, index));
        if i32::from(byte as i8) == wanted {
            last = Ok(index as i32);
        }
        if byte == 0 {
            return Ok(last);
        }
    }
    Ok(Err(Errno::E2BIG))
}

fn strnlen(run: &mut Run<'_>) -> Result<Value, Stop> {
    let count = run.read(Reg::R2)?.bits.min(u64::from(MAX_STRING) + 1) as u32;
    answer(run, |run| length(run, count))
}

/// Bytes before the one that is 0, of so many.
fn length(run: &Run<'_>, count: u32) -> Result<Result<i32, Errno>, Stop> {
    let string = read!(Str::of(run, Reg::R1)?);
    for index in 0..count.min(MAX_STRING) {
        if read!(string.byte(run, index)) == 0 {
            return Ok(Ok(index as i32));
        }
    }
    Ok(if count >= MAX_STRING { Err(Errno::E2BIG) } else { Ok(count as i32) })
}

/// `bpf_strspn(s, accept)` and, without `of`, `bpf_strcspn(s, reject)`: bytes from the start
/// that are all of the second string's, or none.
fn span(run: &Run<'_>, of: bool) -> Result<Result<i32, Errno>, Stop> {
    let (string, set) = (read!(Str::of(run, Reg::R1)?), read!(Str::of(run, Reg::R2)?));
    for index in 0..MAX_STRING {
        let byte = read!(string.byte(run, index));
        if byte == 0 {
            return Ok(Ok(index as i32));
        }
        let (mut at, mut member) = (0, 1);
        while at < MAX_STRING {
            member = read!(set.byte(run, at));
            if member == byte || member == 0 {
                break;
            }
            at += 1;
        }
        if at == MAX_STRING {
            return Ok(Err(Errno::E2BIG));
        }
        if (member != 0) != of {
            return Ok(Ok(index as i32));
        }
    }
    Ok(Err(Errno::E2BIG))
}

fn strnstr(run: &mut Run<'_>) -> Result<Value, Stop> {
    let len = run.read(Reg::R3)?.bits.min(u64::from(u32::MAX)) as u32;
    answer(run, |run| within(run, len))
}

/// Where the second string begins in the first `len` bytes of the first.
fn within(run: &Run<'_>, len: u32) -> Result<Result<i32, Errno>, Stop> {
    let (string, part) = (read!(Str::of(run, Reg::R1)?), read!(Str::of(run, Reg::R2)?));
    for start in 0..MAX_STRING {
        let mut at = 0;
        // One byte more of the part is looked at than there are of the string: its end.
        while start + at <= len && at < MAX_STRING {
            let wanted = read!(part.byte(run, at));
            if wanted == 0 {
                return Ok(Ok(start as i32));
            }
            if start + at == len {
                break;
            }
            let byte = read!(string.byte(run, start + at));
            if byte == 0 {
                return Ok(Err(Errno::ENOENT));
            }
            if byte != wanted {
                break;
            }
            at += 1;
        }
        if at == MAX_STRING {
            return Ok(Err(Errno::E2BIG));
        }
        if start + at == len {
            return Ok(Err(Errno::ENOENT));
        }
    }
    Ok(Err(Errno::E2BIG))
}
