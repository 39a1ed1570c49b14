//! The kinds of type, and what they are called.
//!
//! Counterpart: `BTF_KIND_*` in `include/uapi/linux/btf.h`.

use std::fmt;

/// The kind of a type, with the number that BTF gives it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
#[allow(missing_docs, reason = "the names are the format's")]
pub enum Kind {
    Void = 0,
    Int = 1,
    Ptr = 2,
    Array = 3,
    Struct = 4,
    Union = 5,
    Enum = 6,
    Fwd = 7,
    Typedef = 8,
    Volatile = 9,
    Const = 10,
    Restrict = 11,
    Func = 12,
    FuncProto = 13,
    Var = 14,
    DataSec = 15,
    Float = 16,
    DeclTag = 17,
    TypeTag = 18,
    Enum64 = 19,
}

/// Each kind with its name in bpftool's dumps and in libbpf's messages.
const KINDS: [(Kind, &str, &str); 20] = [
    (Kind::Void, "UNKNOWN", "void"),
    (Kind::Int, "INT", "int"),
    (Kind::Ptr, "PTR", "ptr"),
    (Kind::Array, "ARRAY", "array"),
    (Kind::Struct, "STRUCT", "struct"),
    (Kind::Union, "UNION", "union"),
    (Kind::Enum, "ENUM", "enum"),
    (Kind::Fwd, "FWD", "fwd"),
    (Kind::Typedef, "TYPEDEF", "typedef"),
    (Kind::Volatile, "VOLATILE", "volatile"),
    (Kind::Const, "CONST", "const"),
    (Kind::Restrict, "RESTRICT", "restrict"),
    (Kind::Func, "FUNC", "func"),
    (Kind::FuncProto, "FUNC_PROTO", "func_proto"),
    (Kind::Var, "VAR", "var"),
    (Kind::DataSec, "DATASEC", "datasec"),
    (Kind::Float, "FLOAT", "float"),
    (Kind::DeclTag, "DECL_TAG", "decl_tag"),
    (Kind::TypeTag, "TYPE_TAG", "type_tag"),
    (Kind::Enum64, "ENUM64", "enum64"),
];

impl Kind {
    /// The kind with this number.
    pub fn from_number(number: u8) -> Option<Kind> {
        KINDS.get(usize::from(number)).map(|row| row.0)
    }

    /// Its name in a raw dump: `FUNC_PROTO`.
    pub fn dump_name(self) -> &'static str {
        KINDS[self as usize].1
    }

    /// Its name in libbpf's messages: `func_proto`.
    pub fn name(self) -> &'static str {
        KINDS[self as usize].2
    }

    /// Const, volatile, restrict or a type tag.
    pub fn is_modifier(self) -> bool {
        matches!(self, Kind::Const | Kind::Volatile | Kind::Restrict | Kind::TypeTag)
    }

    /// Struct or union.
    pub fn is_composite(self) -> bool {
        matches!(self, Kind::Struct | Kind::Union)
    }

    /// Enum or enum64.
    pub fn is_enum(self) -> bool {
        matches!(self, Kind::Enum | Kind::Enum64)
    }

    /// Whether CO-RE takes one for the other: a kind for itself, and the two enums.
    pub(crate) fn core_compatible(self, other: Kind) -> bool {
        self == other || (self.is_enum() && other.is_enum())
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
