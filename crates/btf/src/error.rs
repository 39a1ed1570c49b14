//! What can be wrong with BTF bytes, and which questions about types have no
//! answer. Offsets are bytes from the start of the section that was parsed.

use crate::Kind;

/// Why bytes are not BTF, or why a question about types has no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BtfError {
    /// The input ends before what it announces.
    #[error("{what} needs {need} bytes at offset {offset}, but the data ends at {len}")]
    Truncated {
        /// What was being read.
        what: &'static str,
        /// Where it starts.
        offset: usize,
        /// How many bytes it needs.
        need: u64,
        /// The length of the data.
        len: usize,
    },
    /// A header field has a value that the format excludes.
    #[error("{field} at offset {offset} is {value:#x}, expected {expected}")]
    Header {
        /// The field's name in `struct btf_header` or `struct btf_ext_header`.
        field: &'static str,
        /// Where it stands.
        offset: usize,
        /// What it holds.
        value: u64,
        /// What it should hold.
        expected: &'static str,
    },
    /// A type's own bytes are wrong.
    #[error("type [{id}] at offset {offset}: {reason}")]
    Type {
        /// The type's id.
        id: u32,
        /// Where it starts in the data.
        offset: usize,
        /// What is wrong.
        reason: String,
    },
    /// A record of `.BTF.ext` is wrong.
    #[error("{what} at offset {offset} of .BTF.ext: {reason}")]
    Ext {
        /// `func_info`, `line_info` or `core_relo`.
        what: &'static str,
        /// Where it stands.
        offset: usize,
        /// What is wrong.
        reason: String,
    },
    /// A pack of types is damaged, or types cannot be packed.
    #[error("the pack of types: {reason}")]
    Pack {
        /// What is wrong.
        reason: &'static str,
    },
    /// No such id.
    #[error("no type [{id}]: the BTF has {len} types, void included")]
    NoType {
        /// The id asked for.
        id: u32,
        /// Ids are below this.
        len: u32,
    },
    /// No string starts at this offset.
    #[error("no string at offset {offset}: the strings take {len} bytes")]
    NoString {
        /// The offset asked for.
        offset: u32,
        /// Offsets are below this.
        len: u64,
    },
    /// The type is not of a kind that the operation can handle.
    #[error("type [{id}] is {kind}, expected {expected}")]
    Kind {
        /// The type's id.
        id: u32,
        /// Its kind.
        kind: Kind,
        /// What would do.
        expected: &'static str,
    },
    /// A chain or nest of types is cyclic, or deeper than any real one.
    #[error("types nest in a cycle or deeper than {limit} levels at type [{id}]")]
    Nesting {
        /// Where the walk gave up.
        id: u32,
        /// The bound.
        limit: u32,
    },
    /// A size or an amount of output exceeds what can be represented or is sensible.
    #[error("type [{id}] is too large: {what}")]
    TooLarge {
        /// The type's id.
        id: u32,
        /// What became too large.
        what: &'static str,
    },
    /// Text or bytes do not fit the type that they are meant for.
    #[error("{path}: {reason}")]
    Value {
        /// The member, `key.port[2]`, or the type's name for the whole.
        path: String,
        /// What is wrong.
        reason: String,
    },
    /// Writing failed.
    #[error("cannot write: {0}")]
    Write(String),
}

impl From<std::io::Error> for BtfError {
    fn from(error: std::io::Error) -> BtfError {
        BtfError::Write(error.to_string())
    }
}
