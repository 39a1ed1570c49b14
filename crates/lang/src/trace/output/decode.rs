//! From the bytes of a kernel to values, by their types.
//!
//! What the bytes only point to (symbols, stacks, users, control groups, clocks) is asked of a
//! [`Names`]. Bytes that are too short decode as zeros: they come from a kernel, and nothing
//! here depends on their being right.

use super::super::checked::Enumeration;
use super::super::kind::{Aggregate, BUFFER_HEAD, Clock, Kind, Stack, Type};
use super::super::records::{Bits, Records};
use super::value::Value;

/// What a type alone does not tell.
pub trait Names {
    /// A kernel address as text.
    fn kernel_symbol(&self, address: u64) -> String;
    /// An address of a process as text.
    fn user_symbol(&self, address: u64, process: u32) -> String;
    /// A stack as text; `process` is that of a user stack.
    fn stack(&self, frames: &[u64], process: Option<u32>, stack: Stack) -> String;
    /// A user's name.
    fn user(&self, id: u64) -> String;
    /// A control group's path, below what matches a filter.
    fn cgroup(&self, id: u64, filter: u64) -> String;
    /// A time by the format of this number.
    fn time(&self, format: u32, clock: Clock, nanos: u64) -> String;
}

/// All that decoding goes by.
#[derive(Clone, Copy)]
pub struct Decoder<'a> {
    /// C structures and unions.
    pub records: &'a Records,
    /// Names of numbers.
    pub enumerations: &'a [Enumeration],
    /// What stands behind text that fills its room.
    pub trailer: &'a str,
    /// The rest.
    pub names: &'a dyn Names,
}

/// `len` bytes from `at`, zeros where there are none.
fn part(bytes: &[u8], at: usize, len: usize) -> Vec<u8> {
    let mut part: Vec<u8> = bytes.iter().skip(at).take(len).copied().collect();
    part.resize(len, 0);
    part
}

/// A number of up to 8 bytes in the machine's order.
pub fn number(bytes: &[u8], at: usize, size: usize) -> u64 {
    let mut word = [0; 8];
    for (place, byte) in word.iter_mut().zip(bytes.iter().skip(at).take(size)) {
        *place = *byte;
    }
    u64::from_le_bytes(word)
}

/// A number of `size` bytes as one of eight, by its sign.
pub fn extend(number: u64, size: usize, signed: bool) -> Value {
    let shift = 64 - 8 * size.clamp(1, 8) as u32;
    match signed {
        true => Value::Int((number << shift).cast_signed() >> shift),
        false => Value::Uint(number << shift >> shift),
    }
}

impl Decoder<'_> {
    /// The value of a type that these bytes are.
    pub fn value(&self, of: &Type, bytes: &[u8]) -> Value {
        let size = of.size() as usize;
        match &of.kind {
            Kind::None | Kind::Void | Kind::TimestampMode => Value::None,
            Kind::Bool => Value::Bool(number(bytes, 0, 1) != 0),
            Kind::Int { size, signed, enumeration } => {
                let (size, word) = (usize::from(*size), number(bytes, 0, usize::from(*size)));
                match enumeration {
                    Some(name) => self.named(name, word),
                    None => extend(word, size, *signed),
                }
            }
            Kind::Aggregate(of) => match of {
                Aggregate::Count => Value::Uint(number(bytes, 0, 8)),
                _ => extend(number(bytes, 0, 8), 8, of_signed(*of)),
            },
            Kind::String(_) => self.text(&part(bytes, 0, size)),
            Kind::Buffer(most) => {
                let len = number(bytes, 0, BUFFER_HEAD as usize).min(u64::from(*most)) as usize;
                Value::Buffer(part(bytes, BUFFER_HEAD as usize, len))
            }
            Kind::Pointer(_) => {
                let address = number(bytes, 0, 8);
                Value::Symbol { text: format!("{address:#x}").into_bytes(), number: address }
            }
            Kind::Array(of, count) => {
                let one = of.size() as usize;
                let element = |at: usize| self.value(of, &part(bytes, at * one, one));
                Value::Array((0..*count as usize).map(element).collect())
            }
            Kind::Record { id, .. } => self.record(*id, bytes),
            Kind::Tuple(parts) => {
                let places = of.layout().offsets;
                let one = |(of, at): (&Type, u32)| {
                    self.value(of, &part(bytes, at as usize, of.size() as usize))
                };
                Value::Tuple(parts.iter().zip(places).map(one).collect())
            }
            Kind::Named(parts) => {
                let places = of.layout().offsets;
                let one = |((name, of), at): (&(std::sync::Arc<str>, Type), u32)| {
                    let bytes = part(bytes, at as usize, of.size() as usize);
                    (name.to_string(), self.value(of, &bytes))
                };
                Value::Record(parts.iter().zip(places).map(one).collect())
            }
            Kind::Stack(stack) => self.stack(*stack, bytes),
            Kind::Inet(_) => Value::text(address(number(bytes, 0, 8), &part(bytes, 8, 16))),
            Kind::Mac => {
                let bytes: Vec<String> =
                    part(bytes, 0, 6).iter().map(|byte| format!("{byte:02X}")).collect();
                Value::text(bytes.join(":"))
            }
            Kind::Ksym => Value::text(self.names.kernel_symbol(number(bytes, 0, 8))),
            Kind::Usym => {
                let process = number(bytes, 8, 4) as u32;
                Value::text(self.names.user_symbol(number(bytes, 0, 8), process))
            }
            Kind::Username => Value::text(self.names.user(number(bytes, 0, 8))),
            Kind::CgroupPath => {
                Value::text(self.names.cgroup(number(bytes, 0, 8), number(bytes, 8, 8)))
            }
            Kind::Timestamp => {
                let (format, clock) = (number(bytes, 8, 4) as u32, clock(number(bytes, 12, 4)));
                Value::text(self.names.time(format, clock, number(bytes, 0, 8)))
            }
        }
    }

    fn named(&self, enumeration: &str, number: u64) -> Value {
        let of = self.enumerations.iter().find(|of| &*of.name == enumeration);
        let name = of.and_then(|of| of.values.iter().find(|(value, _)| *value == number));
        let text = name.map_or_else(|| number.to_string(), |(_, name)| name.to_string());
        Value::Symbol { text: text.into_bytes(), number }
    }

    fn text(&self, bytes: &[u8]) -> Value {
        let end = bytes.iter().position(|byte| *byte == 0);
        let mut text = bytes[..end.unwrap_or(bytes.len())].to_vec();
        if end.is_none() {
            text.extend_from_slice(self.trailer.as_bytes());
        }
        Value::Text(text)
    }

    fn record(&self, id: super::super::kind::RecordId, bytes: &[u8]) -> Value {
        let one = |field: &super::super::records::Field| {
            let mut bytes = part(bytes, field.offset as usize, field.of.size() as usize);
            if let Some(Bits { read, shift, width }) = field.bits {
                let word = number(&bytes, 0, usize::from(read)) >> shift.min(63);
                let word = word & (u64::MAX >> (64 - u32::from(width.clamp(1, 64))));
                bytes = word.to_le_bytes().to_vec();
            }
            (field.name.to_string(), self.value(&field.of, &bytes))
        };
        Value::Record(self.records.get(id).fields.iter().map(one).collect())
    }

    fn stack(&self, stack: Stack, bytes: &[u8]) -> Value {
        let (process, at) = match stack.kernel {
            true => (None, 0),
            false => (Some(number(bytes, 0, 4) as u32), 8),
        };
        let count = number(bytes, at, 8).min(u64::from(stack.limit)) as usize;
        let size = if stack.mode == super::super::kind::StackMode::BuildId { 32 } else { 8 };
        let frame = |index: usize| bytes.get(at + 8 + index * size..).unwrap_or_default();
        if size == 32 {
            let lines: Vec<String> = (0..count).map(|index| build_id_line(frame(index))).collect();
            return Value::text(format!("\n{}", lines.concat()));
        }
        let frames: Vec<u64> = (0..count).map(|index| number(frame(index), 0, 8)).collect();
        Value::text(self.names.stack(&frames, process, stack))
    }
}

/// A frame by the build id of its file and the offset there (`struct bpf_stack_build_id`).
fn build_id_line(frame: &[u8]) -> String {
    const VALID: u64 = 1;
    let offset = number(frame, 24, 8);
    match number(frame, 0, 4) {
        VALID => {
            let id: String = part(frame, 4, 20).iter().map(|byte| format!("{byte:02x}")).collect();
            format!("{id} {offset:#x}\n")
        }
        _ => format!("{offset:x}\n"),
    }
}

fn of_signed(of: Aggregate) -> bool {
    Type::from(Kind::Aggregate(of)).is_signed()
}

/// The number that stands for a clock in values of times.
pub fn clock_number(clock: Clock) -> u32 {
    match clock {
        Clock::Monotonic => 0,
        Clock::Boot => 1,
        Clock::Tai => 2,
        Clock::SoftwareTai => 3,
    }
}

fn clock(number: u64) -> Clock {
    match number {
        0 => Clock::Monotonic,
        2 => Clock::Tai,
        3 => Clock::SoftwareTai,
        _ => Clock::Boot,
    }
}

/// `AF_INET6`
const INET6: u64 = 10;

fn address(family: u64, bytes: &[u8]) -> String {
    match (family, <[u8; 16]>::try_from(bytes)) {
        (INET6, Ok(bytes)) => std::net::Ipv6Addr::from(bytes).to_string(),
        (_, Ok([a, b, c, d, ..])) => std::net::Ipv4Addr::new(a, b, c, d).to_string(),
        _ => String::new(),
    }
}
