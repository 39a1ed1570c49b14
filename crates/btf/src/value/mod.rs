//! Bytes by their type: map keys and values as people read and write them.
//!
//! [`decode`] gives a tree, whose `Display` is `{ saddr: 10.0.0.7, packets: 1201 }`;
//! [`encode`] takes such text (or JSON) back to bytes. Both are in the byte order
//! of the BTF. The work is bounded by the bytes at hand, whatever the types say.

mod bits;
mod decode;
mod encode;
mod meaning;
mod text;

use std::fmt;
use std::net::IpAddr;

pub use decode::decode;
pub use encode::encode;
pub use text::split_entry;

/// A decoded value.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// A `_Bool`.
    Bool(bool),
    /// An unsigned integer; of `__be16` and the like, the number that it means.
    Unsigned(u128),
    /// A signed integer.
    Signed(i128),
    /// A floating-point number.
    Float(f64),
    /// A pointer.
    Pointer(u64),
    /// An enumerator; without name if no enumerator has the value.
    Enum {
        /// The first enumerator with the value.
        name: Option<String>,
        /// The number.
        value: i128,
    },
    /// An IPv4 or IPv6 address, told by its type (`struct in_addr`) or by its type and name.
    Address(IpAddr),
    /// A hardware address.
    Mac([u8; 6]),
    /// A `char` array up to its NUL.
    Text(String),
    /// Bytes: of an array of them, or of a type that says no more.
    Bytes(Vec<u8>),
    /// An array.
    Array(Vec<Value>),
    /// A struct, union or data section: its members in order, those of anonymous
    /// members among them.
    Struct(Vec<(String, Value)>),
}

impl fmt::Display for Value {
    /// `{ saddr: 10.0.0.7, packets: 1201 }`, safe for a terminal.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Bool(value) => write!(f, "{value}"),
            Value::Unsigned(value) => write!(f, "{value}"),
            Value::Signed(value) => write!(f, "{value}"),
            Value::Float(value) => write!(f, "{value}"),
            Value::Pointer(value) => write!(f, "{value:#x}"),
            Value::Enum { name: Some(name), .. } => write!(f, "{}", name.escape_debug()),
            Value::Enum { name: None, value } => write!(f, "{value}"),
            Value::Address(address) => write!(f, "{address}"),
            Value::Mac([a, b, c, d, e, g]) => {
                write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
            }
            Value::Text(text) => write!(f, "\"{}\"", text.escape_debug()),
            Value::Bytes(bytes) => {
                f.write_str("hex:")?;
                bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
            Value::Array(elements) => {
                f.write_str("[")?;
                for (index, element) in elements.iter().enumerate() {
                    let comma = if index > 0 { ", " } else { "" };
                    write!(f, "{comma}{element}")?;
                }
                f.write_str("]")
            }
            Value::Struct(members) if members.is_empty() => f.write_str("{}"),
            Value::Struct(members) => {
                f.write_str("{ ")?;
                for (index, (name, value)) in members.iter().enumerate() {
                    let comma = if index > 0 { ", " } else { "" };
                    write!(f, "{comma}{}: {value}", name.escape_debug())?;
                }
                f.write_str(" }")
            }
        }
    }
}
