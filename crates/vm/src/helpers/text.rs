//! Numbers in texts (`kernel/bpf/helpers.c`, `lib/kstrtox.c`).

use skep_abi::Errno;
use skep_abi::helper::id;
use skep_isa::Reg;

use super::{Function, failure};
use crate::memory::value::Value;
use crate::run::{Run, Stop};

pub(super) const FUNCTIONS: &[(u32, Function)] = &[(id::STRTOL, strtol), (id::STRTOUL, strtoul)];

/// A number that a text begins with.
struct Parsed {
    magnitude: u64,
    negative: bool,
    /// Bytes that it took, space before it included.
    consumed: usize,
}

/// `bpf_strtol(text, size, flags, result)`: gives how many bytes the number took.
fn strtol(run: &mut Run<'_>) -> Result<Value, Stop> {
    convert(run, "bpf_strtol", |parsed| {
        let bits = if parsed.negative { parsed.magnitude.wrapping_neg() } else { parsed.magnitude };
        let fits = if parsed.negative { bits as i64 <= 0 } else { bits as i64 >= 0 };
        if fits { Ok(bits) } else { Err(Errno::ERANGE) }
    })
}

/// `bpf_strtoul(text, size, flags, result)`.
fn strtoul(run: &mut Run<'_>) -> Result<Value, Stop> {
    convert(run, "bpf_strtoul", |parsed| match parsed.negative {
        true => Err(Errno::EINVAL),
        false => Ok(parsed.magnitude),
    })
}

fn convert(
    run: &mut Run<'_>,
    name: &'static str,
    number: impl FnOnce(&Parsed) -> Result<u64, Errno>,
) -> Result<Value, Stop> {
    let size = run.size_argument(Reg::R2)?;
    let text = run.bytes_argument(name, Reg::R1, size)?;
    let flags = run.read(Reg::R3)?.bits;
    let parsed = parse(&text, flags).and_then(|parsed| Ok((number(&parsed)?, parsed.consumed)));
    let (bits, result) = match parsed {
        Ok((bits, consumed)) => (bits, Value::scalar(consumed as u64)),
        Err(errno) => (0, failure(errno)),
    };
    run.write_argument(name, Reg::R4, &bits.to_ne_bytes())?;
    Ok(result)
}

/// Linux's `isspace`, which knows the spaces of Latin-1.
fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t'..=b'\r' | 0xa0)
}

fn parse(text: &[u8], flags: u64) -> Result<Parsed, Errno> {
    /// Bytes that are looked at, besides space and sign.
    const MOST: usize = 63;
    if text.is_empty() || !matches!(flags, 0 | 8 | 10 | 16) {
        return Err(Errno::EINVAL);
    }
    let spaces = text.iter().take_while(|&&byte| is_space(byte)).count();
    let negative = text.get(spaces) == Some(&b'-');
    let start = spaces + usize::from(negative);
    let digits = &text[start..text.len().min(start + MOST)];
    if digits.is_empty() {
        return Err(Errno::EINVAL);
    }
    let prefixed = digits.len() > 1 && digits[0] == b'0' && digits[1].eq_ignore_ascii_case(&b'x');
    let radix = match flags {
        0 if prefixed && digits.get(2).is_some_and(u8::is_ascii_hexdigit) => 16,
        0 if digits[0] == b'0' => 8,
        0 => 10,
        radix => radix,
    };
    let skipped = if radix == 16 && prefixed { 2 } else { 0 };
    let (mut magnitude, mut taken, mut overflows) = (0u64, 0, false);
    for &byte in &digits[skipped..] {
        let Some(digit) = (byte as char).to_digit(16).filter(|&digit| u64::from(digit) < radix)
        else {
            break;
        };
        let digit = u64::from(digit);
        overflows |= magnitude > (u64::MAX - digit) / radix;
        magnitude = magnitude.wrapping_mul(radix).wrapping_add(digit);
        taken += 1;
    }
    match taken {
        _ if overflows => Err(Errno::ERANGE),
        0 => Err(Errno::EINVAL),
        _ => Ok(Parsed { magnitude, negative, consumed: start + skipped + taken }),
    }
}
