//! The one formatter of `bpf_trace_printk`, `bpf_trace_vprintk`, `bpf_snprintf` and
//! `bpf_seq_printf`.
//!
//! In two steps, as on Linux, whose limits and quirks come from that: arguments are
//! copied into a buffer of 512 bytes, memory that they point to included
//! (`bpf_bprintf_prepare` in `kernel/bpf/helpers.c`), and printed from there (`bstr_printf`
//! in `lib/vsprintf.c`). No address of the host is ever printed where the format asks
//! for a pointer: those show a number that stands for it, the same each time within a
//! kernel.

use skep_abi::Errno;
use skep_abi::limits::{MAX_ERRNO, MAX_PRINTED_BYTES};
use skep_verify::format::{Conversion, Kind, Piece, pieces};

use crate::memory::value::Value;
use crate::run::Run;
use crate::run::environment::Environment;

/// What a format gave: the bytes that fit, and how many there would be.
pub(super) struct Printed {
    pub bytes: Vec<u8>,
    pub len: i32,
}

/// Formats into a buffer of `room` bytes, of which the last is the zero's.
///
/// # Errors
/// `EINVAL` for a format that Linux refuses, or one with more conversions than arguments;
/// `ENOSPC` for arguments that are too long.
pub(super) fn format(
    run: &Run<'_>,
    format: &[u8],
    arguments: &[Value],
    room: usize,
) -> Result<Printed, Errno> {
    if !format.contains(&0) {
        return Err(Errno::EINVAL);
    }
    let mut packed = Packed::default();
    let mut left = arguments.iter();
    for piece in pieces(format, arguments.len()) {
        if let Piece::Argument(conversion) = piece.map_err(|_| Errno::EINVAL)? {
            let argument = *left.next().ok_or(Errno::EINVAL)?;
            packed.add(run, conversion.kind, argument)?;
        }
    }
    let mut out = Out { bytes: Vec::new(), room, len: 0 };
    let mut from = Unpacked { bytes: &packed.0, at: 0 };
    for piece in pieces(format, arguments.len()).flatten() {
        match piece {
            Piece::Text(text) => out.text(text),
            Piece::Argument(conversion) => out.argument(&run.env, conversion, &mut from),
        }
    }
    out.bytes.truncate(room.saturating_sub(1));
    Ok(Printed { bytes: out.bytes, len: out.len as i32 })
}

/// Copies of arguments, one behind the other.
#[derive(Default)]
struct Packed(Vec<u8>);

impl Packed {
    fn room(&self) -> usize {
        MAX_PRINTED_BYTES - self.0.len()
    }

    fn put(&mut self, bytes: &[u8]) -> Result<(), Errno> {
        if bytes.len() > self.room() {
            return Err(Errno::ENOSPC);
        }
        self.0.extend_from_slice(bytes);
        Ok(())
    }

    fn word(&mut self, bytes: &[u8]) -> Result<(), Errno> {
        let aligned = self.0.len().next_multiple_of(4);
        self.0.resize(aligned, 0);
        self.put(bytes)
    }

    fn text(&mut self, text: &str) -> Result<(), Errno> {
        self.put(text.as_bytes())?;
        self.put(&[0])
    }

    fn add(&mut self, run: &Run<'_>, kind: Kind, argument: Value) -> Result<(), Errno> {
        let bits = argument.bits;
        match kind {
            Kind::Number { long: false, .. } => self.word(&(bits as u32).to_ne_bytes()),
            Kind::Number { long: true, .. } | Kind::Pointer | Kind::Symbol => {
                self.word(&bits.to_ne_bytes())
            }
            Kind::Char => self.put(&[bits as u8]),
            Kind::Text | Kind::KernelText => self.string(run, argument),
            // There are no processes here whose memory it could be.
            Kind::UserText if self.room() == 0 => Err(Errno::ENOSPC),
            Kind::UserText => self.text(""),
            Kind::Backtrace => self.text(&symbol(&run.env, bits)),
            Kind::Address { six: false, plain } => {
                let [a, b, c, d] = self.copied(run, argument)?;
                self.text(&match plain {
                    true => format!("{a:03}.{b:03}.{c:03}.{d:03}"),
                    false => format!("{a}.{b}.{c}.{d}"),
                })
            }
            Kind::Address { six: true, plain } => {
                let words: [u8; 16] = self.copied(run, argument)?;
                let pairs = words.chunks(2).map(|two| format!("{:02x}{:02x}", two[0], two[1]));
                self.text(&pairs.collect::<Vec<_>>().join(if plain { "" } else { ":" }))
            }
        }
    }

    /// What a pointer leads to; zeros where that cannot be read.
    fn copied<const LEN: usize>(&self, run: &Run<'_>, pointer: Value) -> Result<[u8; LEN], Errno> {
        if self.room() < LEN {
            return Err(Errno::ENOSPC);
        }
        let bytes = (0..LEN as u64).map(|at| run.byte_at(pointer, at));
        let bytes: Option<Vec<u8>> = bytes.collect();
        Ok(bytes.and_then(|bytes| bytes.try_into().ok()).unwrap_or([0; LEN]))
    }

    /// The string at a pointer, as far as it can be read and there is room.
    fn string(&mut self, run: &Run<'_>, pointer: Value) -> Result<(), Errno> {
        let room = self.room().checked_sub(1).ok_or(Errno::ENOSPC)?;
        let bytes = (0..room as u64).map_while(|at| run.byte_at(pointer, at));
        self.0.extend(bytes.take_while(|&byte| byte != 0));
        self.0.push(0);
        Ok(())
    }
}

/// Reads arguments back.
struct Unpacked<'p> {
    bytes: &'p [u8],
    at: usize,
}

impl<'p> Unpacked<'p> {
    fn take<const LEN: usize>(&mut self) -> [u8; LEN] {
        let bytes = self.bytes.get(self.at..).and_then(|rest| rest.first_chunk());
        self.at += LEN;
        bytes.copied().unwrap_or([0; LEN])
    }

    fn word<const LEN: usize>(&mut self) -> [u8; LEN] {
        self.at = self.at.next_multiple_of(4);
        self.take()
    }

    /// The string here, which is not passed yet.
    fn string(&self) -> &'p [u8] {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        rest.split(|&byte| byte == 0).next().unwrap_or_default()
    }
}

/// What is printed.
struct Out {
    bytes: Vec<u8>,
    room: usize,
    len: u64,
}

impl Out {
    fn text(&mut self, text: &[u8]) {
        let room = self.room.saturating_sub(self.bytes.len());
        self.bytes.extend_from_slice(&text[..text.len().min(room)]);
        self.len += text.len() as u64;
    }

    fn repeat(&mut self, byte: u8, times: i64) {
        let times = times.max(0) as u64;
        let room = self.room.saturating_sub(self.bytes.len()) as u64;
        self.bytes.resize(self.bytes.len() + times.min(room) as usize, byte);
        self.len += times;
    }

    /// Text in its field.
    fn field(&mut self, conversion: Conversion, text: &[u8]) {
        let padding = i64::from(conversion.width.unwrap_or(0)) - text.len() as i64;
        if !conversion.left {
            self.repeat(b' ', padding);
        }
        self.text(text);
        if conversion.left {
            self.repeat(b' ', padding);
        }
    }

    /// A number in its field.
    fn number(&mut self, conversion: Conversion, sign: &[u8], digits: &str) {
        let Conversion { left, zeros, width, .. } = conversion;
        let len = (sign.len() + digits.len()) as i64;
        let padding = i64::from(width.unwrap_or(0)) - len;
        if !left && !zeros {
            self.repeat(b' ', padding);
        }
        self.text(sign);
        if !left && zeros {
            self.repeat(b'0', padding);
        }
        self.text(digits.as_bytes());
        if left {
            self.repeat(b' ', padding);
        }
    }

    fn argument(&mut self, env: &Environment, conversion: Conversion, from: &mut Unpacked<'_>) {
        match conversion.kind {
            Kind::Number { long, signed, hex, upper } => {
                let bits = match (long, signed) {
                    (true, _) => u64::from_ne_bytes(from.word()),
                    (false, true) => i64::from(i32::from_ne_bytes(from.word())) as u64,
                    (false, false) => u32::from_ne_bytes(from.word()).into(),
                };
                let (sign, magnitude): (&[u8], u64) = match signed {
                    true if (bits as i64) < 0 => (b"-", (bits as i64).unsigned_abs()),
                    true if conversion.plus => (b"+", bits),
                    true if conversion.space => (b" ", bits),
                    _ => (b"", bits),
                };
                let digits = match (hex, upper) {
                    (false, _) => format!("{magnitude}"),
                    (true, false) => format!("{magnitude:x}"),
                    (true, true) => format!("{magnitude:X}"),
                };
                self.number(conversion, sign, &digits);
            }
            Kind::Char => {
                let [byte] = from.take();
                self.field(conversion, &[byte]);
            }
            Kind::Text => {
                let text = from.string();
                from.at += text.len() + 1;
                self.field(conversion, text);
            }
            // What was read from memory knows no field. Behind the buffer's end Linux leaves
            // it where it is, for the next argument to stumble over.
            Kind::KernelText | Kind::UserText | Kind::Backtrace | Kind::Address { .. } => {
                if self.len < self.room as u64 {
                    let text = from.string();
                    from.at += text.len() + 1;
                    self.text(text);
                }
            }
            Kind::Pointer => {
                let shown = shown(env, u64::from_ne_bytes(from.word()));
                let zeros = conversion.zeros || conversion.width.is_none();
                let width = Some(conversion.width.unwrap_or(16));
                let conversion = Conversion { zeros, width, ..conversion };
                self.number(conversion, b"", &format!("{shown:x}"));
            }
            Kind::Symbol => {
                let name = symbol(env, u64::from_ne_bytes(from.word()));
                self.field(conversion, name.as_bytes());
            }
        }
    }
}

/// What is shown for an address: null and negative errnos are none.
fn shown(env: &Environment, address: u64) -> u64 {
    match address {
        0 => 0,
        _ if address >= u64::from(MAX_ERRNO).wrapping_neg() => address,
        _ => env.pointer_id(address).into(),
    }
}

/// The name of the symbol at an address: none has one, so that Linux would print the address.
fn symbol(env: &Environment, address: u64) -> String {
    format!("{:#x}", shown(env, address))
}
