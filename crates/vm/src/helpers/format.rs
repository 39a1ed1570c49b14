//! The format strings of `bpf_trace_printk` and `bpf_snprintf`
//! (`bpf_bprintf_prepare` in `kernel/bpf/helpers.c`).

use skep_abi::Errno;

use crate::interp::Run;
use crate::mem::value::Value;

/// Formats as Linux does.
///
/// # Errors
/// `EINVAL` for a format that Linux refuses, or one with more conversions than
/// arguments.
pub(super) fn format(run: &Run<'_>, format: &[u8], arguments: &[Value]) -> Result<String, Errno> {
    let end = format.iter().position(|&byte| byte == 0).ok_or(Errno::EINVAL)?;
    let text = &format[..end];
    if !text.iter().all(|byte| byte.is_ascii_graphic() || byte.is_ascii_whitespace()) {
        return Err(Errno::EINVAL);
    }
    let mut arguments = arguments.iter();
    let mut out = String::new();
    let mut rest = text.iter().copied().peekable();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            out.push(char::from(byte));
            continue;
        }
        if rest.next_if_eq(&b'%').is_some() {
            out.push('%');
            continue;
        }
        let conversion = Conversion::parse(&mut rest)?;
        let argument = *arguments.next().ok_or(Errno::EINVAL)?;
        out.push_str(&conversion.render(run, argument)?);
    }
    Ok(out)
}

/// One `%` conversion.
struct Conversion {
    left: bool,
    zeros: bool,
    alternate: bool,
    width: usize,
    long: bool,
    kind: u8,
}

impl Conversion {
    fn parse(
        rest: &mut std::iter::Peekable<impl Iterator<Item = u8>>,
    ) -> Result<Conversion, Errno> {
        const MAX_WIDTH: usize = 4096;
        let (mut left, mut zeros, mut alternate) = (false, false, false);
        while let Some(flag) = rest.next_if(|byte| b"-0+ #".contains(byte)) {
            left |= flag == b'-';
            zeros |= flag == b'0';
            alternate |= flag == b'#';
        }
        let mut width = 0;
        while let Some(digit) = rest.next_if(u8::is_ascii_digit) {
            width = (width * 10 + usize::from(digit - b'0')).min(MAX_WIDTH);
        }
        let mut long = false;
        while rest.next_if_eq(&b'l').is_some() {
            long = true;
        }
        let kind = rest.next().ok_or(Errno::EINVAL)?;
        match kind {
            b'd' | b'i' | b'u' | b'x' | b'X' => {}
            b's' | b'c' | b'p' if !long => {}
            _ => return Err(Errno::EINVAL),
        }
        if kind == b'p' {
            // Ways to print a pointer (`%px`, `%pK`, `%ps`, `%pS`, `%pB`).
            rest.next_if(|byte| b"xKsSB".contains(byte));
        }
        Ok(Conversion { left, zeros, alternate, width, long, kind })
    }

    fn render(&self, run: &Run<'_>, argument: Value) -> Result<String, Errno> {
        let bits = if self.long { argument.bits } else { argument.bits & 0xffff_ffff };
        let signed = if self.long { argument.bits as i64 } else { i64::from(argument.bits as i32) };
        let body = match self.kind {
            b'd' | b'i' => signed.to_string(),
            b'u' => bits.to_string(),
            b'x' if self.alternate => format!("{bits:#x}"),
            b'x' => format!("{bits:x}"),
            b'X' => format!("{bits:X}"),
            b'c' => char::from(argument.bits as u8).to_string(),
            b'p' => format!("{:016x}", argument.bits),
            _ => run.string(argument),
        };
        let padding = self.width.saturating_sub(body.len());
        Ok(match (self.left, self.zeros) {
            (true, _) => body + &" ".repeat(padding),
            (false, true) => match body.strip_prefix('-') {
                Some(digits) => format!("-{}{digits}", "0".repeat(padding)),
                None => "0".repeat(padding) + &body,
            },
            (false, false) => " ".repeat(padding) + &body,
        })
    }
}

impl Run<'_> {
    /// The zero-terminated string at a pointer, as far as it can be read.
    fn string(&self, pointer: Value) -> String {
        const MAX_STRING: u64 = 512;
        let mut text = String::new();
        for offset in 0..MAX_STRING {
            match self.byte_at(pointer, offset) {
                None | Some(0) => break,
                Some(byte) => text.push(char::from(byte)),
            }
        }
        text
    }
}
