//! What C definitions say.

use std::collections::HashMap;
use std::sync::Arc;

use crate::trace::ast::Name;

/// A C type.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum CType {
    /// `void`, and functions, which are only pointed to.
    Void,
    /// `_Bool`
    Bool,
    /// `char`, which has its own strings.
    Char,
    /// A number.
    Int {
        /// Bytes; numbers of 16 bytes are there, but no program reads them.
        size: u8,
        /// Whether it can be negative.
        signed: bool,
    },
    /// A number with a fraction, of so many bytes.
    Float(u8),
    /// An enumeration by its name, without `enum `.
    Enum(Name),
    /// A structure or union by its name with `struct ` or `union `.
    Record(Name),
    /// A typedef by its name, looked up when it is needed.
    Typedef(Name),
    /// An address; attributes as BTF has them.
    Pointer(Box<CType>, Arc<[Name]>),
    /// An array.
    Array(Box<CType>, u64),
}

/// A structure or union.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CRecord {
    /// With `struct ` or `union `.
    pub name: Name,
    /// Whether it had no name.
    pub anonymous: bool,
    /// Bytes.
    pub size: u64,
    /// Bytes.
    pub align: u64,
    /// In their order.
    pub members: Vec<CMember>,
}

/// A member.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CMember {
    /// Empty for an anonymous structure or union.
    pub name: Name,
    /// Its type.
    pub of: CType,
    /// Bits from the start.
    pub bit: u64,
    /// How many bits, of a bit field.
    pub width: Option<u8>,
}

/// An enumeration.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CEnum {
    /// Without `enum `; one that had none is `(unnamed N)`.
    pub name: Name,
    /// Names and values.
    pub values: Vec<(Name, i64)>,
}

/// A function.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CFunction {
    /// Names (at times empty) and types.
    pub parameters: Vec<(Name, CType)>,
    /// What it gives.
    pub result: CType,
}

/// Where a name that is not defined here may be known.
pub trait Lookup {
    /// A structure or union by its name with `struct ` or `union `.
    fn record(&self, name: &str) -> Option<Arc<CRecord>>;
    /// A typedef or a base type.
    fn typedef(&self, name: &str) -> Option<CType>;
    /// An enumeration, without `enum `.
    fn enumeration(&self, name: &str) -> Option<Arc<CEnum>>;
}

/// Definitions by name.
#[derive(Clone, Debug, Default)]
pub struct Definitions {
    /// Structures and unions.
    pub records: HashMap<Name, Arc<CRecord>>,
    /// Enumerations that have a name.
    pub enums: HashMap<Name, Arc<CEnum>>,
    /// Constants of all enumerations: the value, and the enumeration's name.
    pub constants: HashMap<Name, (i64, Name)>,
    /// Typedefs.
    pub typedefs: HashMap<Name, CType>,
    /// Functions.
    pub functions: HashMap<Name, CFunction>,
    /// Variables.
    pub variables: HashMap<Name, CType>,
}

impl Lookup for Definitions {
    fn record(&self, name: &str) -> Option<Arc<CRecord>> {
        self.records.get(name).cloned()
    }

    fn typedef(&self, name: &str) -> Option<CType> {
        self.typedefs.get(name).cloned().or_else(|| base_typedef(name))
    }

    fn enumeration(&self, name: &str) -> Option<Arc<CEnum>> {
        self.enums.get(name).cloned()
    }
}

/// Base types of one word, and the names of `stdint.h`, `stddef.h` and `linux/types.h`
/// that need no header here.
pub fn base_typedef(name: &str) -> Option<CType> {
    let int = |size, signed| Some(CType::Int { size, signed });
    match name {
        "void" => Some(CType::Void),
        "_Bool" | "bool" => Some(CType::Bool),
        "char" => Some(CType::Char),
        "int8_t" | "s8" | "__s8" => int(1, true),
        "uint8_t" | "u8" | "__u8" | "u_char" => int(1, false),
        "short" | "int16_t" | "s16" | "__s16" => int(2, true),
        "uint16_t" | "u16" | "__u16" | "__le16" | "__be16" | "u_short" | "__sum16" => int(2, false),
        "int" | "signed" | "int32_t" | "s32" | "__s32" | "pid_t" | "__kernel_pid_t" => int(4, true),
        "unsigned" | "uint32_t" | "u32" | "__u32" | "__le32" | "__be32" | "u_int" | "uid_t"
        | "gid_t" | "dev_t" | "mode_t" | "__wsum" | "gfp_t" | "fmode_t" => int(4, false),
        "long" | "int64_t" | "s64" | "__s64" | "ssize_t" | "intptr_t" | "ptrdiff_t" | "off_t"
        | "loff_t" | "time_t" | "intmax_t" => int(8, true),
        "uint64_t" | "u64" | "__u64" | "__le64" | "__be64" | "size_t" | "uintptr_t" | "u_long"
        | "sector_t" | "uintmax_t" | "blkcnt_t" => int(8, false),
        "float" => Some(CType::Float(4)),
        "double" => Some(CType::Float(8)),
        _ => None,
    }
}

/// Types are followed at most so far.
const FARTHEST: usize = 64;

impl CType {
    /// The type behind typedefs.
    pub fn plain(&self, known: &dyn Lookup) -> Option<CType> {
        let mut of = self.clone();
        for _ in 0..FARTHEST {
            match of {
                CType::Typedef(name) => of = known.typedef(&name)?,
                _ => return Some(of),
            }
        }
        None
    }

    /// Size and alignment in bytes.
    pub fn layout(&self, known: &dyn Lookup) -> Option<(u64, u64)> {
        match self.plain(known)? {
            CType::Void => Some((1, 1)),
            CType::Bool | CType::Char => Some((1, 1)),
            CType::Int { size, .. } | CType::Float(size) => {
                Some((u64::from(size), u64::from(size)))
            }
            CType::Enum(_) => Some((4, 4)),
            CType::Pointer(..) => Some((8, 8)),
            CType::Record(name) => known.record(&name).map(|record| (record.size, record.align)),
            CType::Array(of, count) => {
                let (size, align) = of.layout(known)?;
                Some((size.checked_mul(count)?, align))
            }
            CType::Typedef(_) => None,
        }
    }
}
