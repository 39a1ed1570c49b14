//! The kinds of type, as views over a [`Btf`]'s bytes.
use crate::Btf;

/// The kind of a type, with the number that BTF gives it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
#[allow(missing_docs)]
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

/// One type. Names are "" where the type has none; targets are type ids.
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs)]
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
    /// `component` is -1 for the whole target, else a member's or parameter's index.
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

/// An integer. `size` in bytes; `bits` and `bit_offset` differ from it only in old bitfields.
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs)]
pub struct Int<'a> {
    pub name: &'a str,
    pub size: u32,
    pub signed: bool,
    pub is_char: bool,
    pub is_bool: bool,
    pub bit_offset: u8,
    pub bits: u8,
}

/// An array of `len` elements.
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs)]
pub struct Array {
    pub element: u32,
    pub index: u32,
    pub len: u32,
}

/// A struct or a union; `size` in bytes.
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs)]
pub struct Composite<'a> {
    pub name: &'a str,
    pub size: u32,
    pub members: Records<'a, Member<'a>>,
}

/// A member; `bitfield_size` is 0 for what is not a bitfield.
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs)]
pub struct Member<'a> {
    pub name: &'a str,
    pub type_id: u32,
    pub bit_offset: u32,
    pub bitfield_size: u8,
}

/// An enum (of up to 4 bytes) or an enum64.
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs)]
pub struct Enum<'a> {
    pub name: &'a str,
    pub size: u32,
    pub signed: bool,
    pub enumerators: Records<'a, Enumerator<'a>>,
}

/// An enumerator; `value` holds the number sign-extended when its enum is signed.
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs)]
pub struct Enumerator<'a> {
    pub name: &'a str,
    pub value: u64,
}

/// A function's type. A last parameter without name and type is `...`.
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs)]
pub struct FuncProto<'a> {
    pub ret: u32,
    pub params: Records<'a, Param<'a>>,
}

/// A parameter.
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs)]
pub struct Param<'a> {
    pub name: &'a str,
    pub type_id: u32,
}

/// A section of variables.
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs)]
pub struct DataSec<'a> {
    pub name: &'a str,
    pub size: u32,
    pub vars: Records<'a, SecVar>,
}

/// One variable (or extern function) in a section.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct SecVar {
    pub type_id: u32,
    pub offset: u32,
    pub size: u32,
}

/// A function's linkage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum FuncLinkage {
    Static,
    Global,
    Extern,
    Unknown(u16),
}

/// A variable's linkage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum VarLinkage {
    Static,
    Global,
    Extern,
    Unknown(u32),
}

/// The `vlen` records behind a type: members, enumerators, parameters, variables.
#[derive(Clone, Copy, Debug)]
pub struct Records<'a, T> {
    _btf: &'a Btf,
    _of: std::marker::PhantomData<T>,
}

impl<'a, T> Records<'a, T> {
    /// How many there are.
    pub fn len(&self) -> usize {
        todo!()
    }
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        todo!()
    }
    /// The record at `index`.
    pub fn get(&self, _index: usize) -> Option<T> {
        todo!()
    }
    /// All records in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = T> + 'a
    where
        T: 'a,
    {
        std::iter::empty()
    }
}

impl<'a> Type<'a> {
    /// Its kind.
    pub fn kind(&self) -> Kind {
        todo!()
    }
    /// Its name, "" where it has none.
    pub fn name(&self) -> &'a str {
        todo!()
    }
    /// The struct or union.
    pub fn composite(&self) -> Option<Composite<'a>> {
        todo!()
    }
}
