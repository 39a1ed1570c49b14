//! Bytes by their type.
use crate::{Btf, BtfError};

/// A decoded value.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs)]
pub enum Value {
    Unsigned(u64),
    Signed(i64),
    /// Little-endian u128 and wider.
    Wide(i128),
    Bool(bool),
    Float(f64),
    Pointer(u64),
    /// An enumerator by name; `None` for a number without one.
    Enum {
        name: Option<String>,
        value: i128,
    },
    /// A char array up to its NUL.
    String(String),
    Array(Vec<Value>),
    /// Name "" for anonymous members.
    Struct(Vec<(String, Value)>),
    /// Bytes without a type that we can read.
    Bytes(Vec<u8>),
}

/// Reads `bytes` (native order) as a value of the type.
pub fn decode(_btf: &Btf, _id: u32, _bytes: &[u8]) -> Result<Value, BtfError> {
    todo!()
}

/// Parses text (`80`, `10.0.0.7`, `0x1f`, `XDP_DROP`, `"name"`, `{ saddr: 10.0.0.7, port: 80 }`, `[1, 2]`)
/// into the bytes of a value of the type; its length is the type's size.
pub fn encode(_btf: &Btf, _id: u32, _text: &str) -> Result<Vec<u8>, BtfError> {
    todo!()
}

impl std::fmt::Display for Value {
    /// `{ saddr: 10.0.0.7, packets: 1201 }`
    fn fmt(&self, _f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        todo!()
    }
}
