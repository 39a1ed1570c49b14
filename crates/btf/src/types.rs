//! The kinds of type, as cheap `Copy` views over the bytes of a [`Btf`].
//!
//! A view is decoded when it is asked for; nothing is cached. Ids and string
//! offsets in it were checked by the parser, so decoding cannot fail.
//! Counterpart: `struct btf_type` and what follows it in `include/uapi/linux/btf.h`.

use crate::wire::{self, Info, word};
use crate::{Btf, Kind, Records};

/// One type. Names are "" where the type has none; targets are type ids.
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs, reason = "the field names are the format's")]
pub enum Type<'a> {
    /// Id 0.
    Void,
    Int(Int<'a>),
    Ptr {
        target: u32,
    },
    Array(Array),
    Struct(Composite<'a>),
    Union(Composite<'a>),
    Enum(Enum<'a>),
    Fwd {
        name: &'a str,
        is_union: bool,
    },
    Typedef {
        name: &'a str,
        target: u32,
    },
    Volatile {
        target: u32,
    },
    Const {
        target: u32,
    },
    Restrict {
        target: u32,
    },
    Func {
        name: &'a str,
        proto: u32,
        linkage: FuncLinkage,
    },
    FuncProto(FuncProto<'a>),
    Var {
        name: &'a str,
        target: u32,
        linkage: VarLinkage,
    },
    DataSec(DataSec<'a>),
    Float {
        name: &'a str,
        size: u32,
    },
    /// `component` is -1 for the whole target, else a member's or parameter's
    /// index. `is_attribute`: the name is a whole C attribute.
    DeclTag {
        name: &'a str,
        target: u32,
        component: i32,
        is_attribute: bool,
    },
    TypeTag {
        name: &'a str,
        target: u32,
        is_attribute: bool,
    },
    Enum64(Enum<'a>),
}

/// An integer of `size` bytes. In old bitfields `bits` and `bit_offset` say
/// which part of them is meant.
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs, reason = "the field names are the format's")]
pub struct Int<'a> {
    pub name: &'a str,
    pub size: u32,
    /// A set of [`Int::SIGNED`], [`Int::CHAR`] and [`Int::BOOL`].
    pub encoding: u8,
    pub bit_offset: u8,
    pub bits: u8,
}

impl Int<'_> {
    /// Two's complement.
    pub const SIGNED: u8 = 1;
    /// A character (compilers leave it unset for C's `char`).
    pub const CHAR: u8 = 2;
    /// `_Bool`.
    pub const BOOL: u8 = 4;

    /// Whether it is two's complement.
    pub fn is_signed(&self) -> bool {
        self.encoding & Int::SIGNED != 0
    }

    /// Whether it is a `_Bool`.
    pub fn is_bool(&self) -> bool {
        self.encoding & Int::BOOL != 0
    }

    /// Whether it is a character: flagged as one, or C's `char` by name.
    pub fn is_char(&self) -> bool {
        self.encoding & Int::CHAR != 0 || (self.size == 1 && self.name == "char")
    }
}

/// An array of `len` elements; `index` is the type of its index, of no importance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the field names are the format's")]
pub struct Array {
    pub element: u32,
    pub index: u32,
    pub len: u32,
}

/// A struct or a union; `size` in bytes.
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs, reason = "the field names are the format's")]
pub struct Composite<'a> {
    pub name: &'a str,
    pub size: u32,
    pub members: Records<'a, Member<'a>>,
}

/// A member; `bitfield_size` is 0 for what is not a bitfield. (Old compilers
/// describe a bitfield by the bits of its int instead.)
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs, reason = "the field names are the format's")]
pub struct Member<'a> {
    pub name: &'a str,
    pub type_id: u32,
    pub bit_offset: u32,
    pub bitfield_size: u8,
}

/// An enum (of up to 4 bytes) or an enum64.
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs, reason = "the field names are the format's")]
pub struct Enum<'a> {
    pub name: &'a str,
    pub size: u32,
    pub signed: bool,
    pub enumerators: Records<'a, Enumerator<'a>>,
}

/// An enumerator. `value` is sign-extended if its enum is signed, else zero-extended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the field names are the format's")]
pub struct Enumerator<'a> {
    pub name: &'a str,
    pub value: u64,
}

/// A function's type. A last parameter without name and type is `...`.
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs, reason = "the field names are the format's")]
pub struct FuncProto<'a> {
    pub ret: u32,
    pub params: Records<'a, Param<'a>>,
}

/// A parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the field names are the format's")]
pub struct Param<'a> {
    pub name: &'a str,
    pub type_id: u32,
}

/// A section of variables; compilers leave `size` 0 for the loader to fill in.
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs, reason = "the field names are the format's")]
pub struct DataSec<'a> {
    pub name: &'a str,
    pub size: u32,
    pub vars: Records<'a, SecVar>,
}

/// One variable (or extern function) in a section.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the field names are the format's")]
pub struct SecVar {
    pub type_id: u32,
    pub offset: u32,
    pub size: u32,
}

/// A function's linkage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names are C's")]
pub enum FuncLinkage {
    Static,
    Global,
    Extern,
    Unknown(u16),
}

impl FuncLinkage {
    pub(crate) fn from_number(number: u16) -> FuncLinkage {
        match number {
            0 => FuncLinkage::Static,
            1 => FuncLinkage::Global,
            2 => FuncLinkage::Extern,
            other => FuncLinkage::Unknown(other),
        }
    }

    pub(crate) fn number(self) -> u16 {
        match self {
            FuncLinkage::Static => 0,
            FuncLinkage::Global => 1,
            FuncLinkage::Extern => 2,
            FuncLinkage::Unknown(number) => number,
        }
    }
}

/// A variable's linkage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names are C's")]
pub enum VarLinkage {
    Static,
    Global,
    Extern,
    Unknown(u32),
}

impl VarLinkage {
    pub(crate) fn from_number(number: u32) -> VarLinkage {
        match number {
            0 => VarLinkage::Static,
            1 => VarLinkage::Global,
            2 => VarLinkage::Extern,
            other => VarLinkage::Unknown(other),
        }
    }

    pub(crate) fn number(self) -> u32 {
        match self {
            VarLinkage::Static => 0,
            VarLinkage::Global => 1,
            VarLinkage::Extern => 2,
            VarLinkage::Unknown(number) => number,
        }
    }
}

impl<'a> Type<'a> {
    /// Decodes the type whose 12-byte head starts `record`; `record` ends with its tail.
    pub(crate) fn decode(btf: &'a Btf, record: &'a [u8]) -> Type<'a> {
        let (name_off, info, third) = (word(record, 0), Info(word(record, 1)), word(record, 2));
        let name = || btf.checked_string(name_off);
        let tail = &record[wire::TYPE_LEN..];
        let flag = info.kind_flag();
        match info.kind() {
            None | Some(Kind::Void) => Type::Void,
            Some(Kind::Int) => {
                let data = word(tail, 0);
                Type::Int(Int {
                    name: name(),
                    size: third,
                    encoding: (data >> 24 & 0xf) as u8,
                    bit_offset: (data >> 16) as u8,
                    bits: data as u8,
                })
            }
            Some(Kind::Ptr) => Type::Ptr { target: third },
            Some(Kind::Array) => Type::Array(Array {
                element: word(tail, 0),
                index: word(tail, 1),
                len: word(tail, 2),
            }),
            Some(kind @ (Kind::Struct | Kind::Union)) => {
                let composite = Composite {
                    name: name(),
                    size: third,
                    members: Records::new(btf, tail, 12, flag),
                };
                match kind {
                    Kind::Struct => Type::Struct(composite),
                    _ => Type::Union(composite),
                }
            }
            Some(kind @ (Kind::Enum | Kind::Enum64)) => {
                let stride = if kind == Kind::Enum { 8 } else { 12 };
                let view = Enum {
                    name: name(),
                    size: third,
                    signed: flag,
                    enumerators: Records::new(btf, tail, stride, flag),
                };
                match kind {
                    Kind::Enum => Type::Enum(view),
                    _ => Type::Enum64(view),
                }
            }
            Some(Kind::Fwd) => Type::Fwd { name: name(), is_union: flag },
            Some(Kind::Typedef) => Type::Typedef { name: name(), target: third },
            Some(Kind::Volatile) => Type::Volatile { target: third },
            Some(Kind::Const) => Type::Const { target: third },
            Some(Kind::Restrict) => Type::Restrict { target: third },
            Some(Kind::Func) => Type::Func {
                name: name(),
                proto: third,
                linkage: FuncLinkage::from_number(info.vlen()),
            },
            Some(Kind::FuncProto) => {
                Type::FuncProto(FuncProto { ret: third, params: Records::new(btf, tail, 8, flag) })
            }
            Some(Kind::Var) => Type::Var {
                name: name(),
                target: third,
                linkage: VarLinkage::from_number(word(tail, 0)),
            },
            Some(Kind::DataSec) => Type::DataSec(DataSec {
                name: name(),
                size: third,
                vars: Records::new(btf, tail, 12, flag),
            }),
            Some(Kind::Float) => Type::Float { name: name(), size: third },
            Some(Kind::DeclTag) => Type::DeclTag {
                name: name(),
                target: third,
                component: word(tail, 0) as i32,
                is_attribute: flag,
            },
            Some(Kind::TypeTag) => {
                Type::TypeTag { name: name(), target: third, is_attribute: flag }
            }
        }
    }

    /// Its kind.
    pub fn kind(&self) -> Kind {
        match self {
            Type::Void => Kind::Void,
            Type::Int(_) => Kind::Int,
            Type::Ptr { .. } => Kind::Ptr,
            Type::Array(_) => Kind::Array,
            Type::Struct(_) => Kind::Struct,
            Type::Union(_) => Kind::Union,
            Type::Enum(_) => Kind::Enum,
            Type::Fwd { .. } => Kind::Fwd,
            Type::Typedef { .. } => Kind::Typedef,
            Type::Volatile { .. } => Kind::Volatile,
            Type::Const { .. } => Kind::Const,
            Type::Restrict { .. } => Kind::Restrict,
            Type::Func { .. } => Kind::Func,
            Type::FuncProto(_) => Kind::FuncProto,
            Type::Var { .. } => Kind::Var,
            Type::DataSec(_) => Kind::DataSec,
            Type::Float { .. } => Kind::Float,
            Type::DeclTag { .. } => Kind::DeclTag,
            Type::TypeTag { .. } => Kind::TypeTag,
            Type::Enum64(_) => Kind::Enum64,
        }
    }

    /// Its name, "" where it has none.
    pub fn name(&self) -> &'a str {
        match *self {
            Type::Int(Int { name, .. })
            | Type::Struct(Composite { name, .. })
            | Type::Union(Composite { name, .. })
            | Type::Enum(Enum { name, .. })
            | Type::Enum64(Enum { name, .. })
            | Type::Fwd { name, .. }
            | Type::Typedef { name, .. }
            | Type::Func { name, .. }
            | Type::Var { name, .. }
            | Type::DataSec(DataSec { name, .. })
            | Type::Float { name, .. }
            | Type::DeclTag { name, .. }
            | Type::TypeTag { name, .. } => name,
            _ => "",
        }
    }

    /// The one type that it stands in front of: a pointer's or modifier's target,
    /// a typedef's or variable's type, a function's prototype, a tag's target.
    pub fn target(&self) -> Option<u32> {
        match *self {
            Type::Ptr { target }
            | Type::Volatile { target }
            | Type::Const { target }
            | Type::Restrict { target }
            | Type::Typedef { target, .. }
            | Type::Var { target, .. }
            | Type::DeclTag { target, .. }
            | Type::TypeTag { target, .. }
            | Type::Func { proto: target, .. } => Some(target),
            _ => None,
        }
    }

    /// The struct or union that it is.
    pub fn composite(&self) -> Option<Composite<'a>> {
        match *self {
            Type::Struct(composite) | Type::Union(composite) => Some(composite),
            _ => None,
        }
    }

    /// The enum or enum64 that it is.
    pub fn enumeration(&self) -> Option<Enum<'a>> {
        match *self {
            Type::Enum(view) | Type::Enum64(view) => Some(view),
            _ => None,
        }
    }
}
