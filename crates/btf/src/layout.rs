//! Sizes, alignments, and what stands behind typedefs and qualifiers.
//!
//! Every walk is bounded: chains by [`MAX_CHAIN`], nesting by [`MAX_NESTING`],
//! and a struct's alignment is computed once per walk. Counterpart: libbpf's
//! `btf__resolve_size` and `btf__align_of`, whose results these are.

use rustc_hash::FxHashMap;

use crate::{Btf, BtfError, Int, Member, Type};

/// How many typedefs, qualifiers and array dimensions may follow one another.
pub(crate) const MAX_CHAIN: u32 = 256;
/// The same where a size is asked for (libbpf's `MAX_RESOLVE_DEPTH`).
const MAX_SIZE_CHAIN: u32 = 32;
/// How deep structs may nest.
pub(crate) const MAX_NESTING: u32 = 128;

impl Btf {
    /// Follows typedefs, const, volatile, restrict and type tags to the type that they name.
    pub fn resolve_modifiers(&self, id: u32) -> Result<u32, BtfError> {
        let mut at = id;
        for _ in 0..MAX_CHAIN {
            match self.type_by_id(at)? {
                Type::Typedef { target, .. }
                | Type::Const { target }
                | Type::Volatile { target }
                | Type::Restrict { target }
                | Type::TypeTag { target, .. } => at = target,
                _ => return Ok(at),
            }
        }
        Err(nesting(id, MAX_CHAIN))
    }

    /// The type itself that [`resolve_modifiers`](Btf::resolve_modifiers) leads to.
    pub fn resolved(&self, id: u32) -> Result<Type<'_>, BtfError> {
        self.type_by_id(self.resolve_modifiers(id)?)
    }

    /// `sizeof` in bytes, below 2^32. Void, functions and forward declarations have none.
    pub fn size_of(&self, id: u32) -> Result<u64, BtfError> {
        let too_large = || BtfError::TooLarge { id, what: "its size does not fit in 32 bits" };
        let mut elements: u32 = 1;
        let mut at = id;
        for _ in 0..MAX_SIZE_CHAIN {
            let ty = self.type_by_id(at)?;
            let size = match ty {
                Type::Int(Int { size, .. }) | Type::Float { size, .. } => size,
                Type::Struct(composite) | Type::Union(composite) => composite.size,
                Type::Enum(view) | Type::Enum64(view) => view.size,
                Type::DataSec(section) => section.size,
                Type::Ptr { .. } => self.pointer_size(),
                Type::Array(array) => {
                    elements = elements.checked_mul(array.len).ok_or_else(too_large)?;
                    at = array.element;
                    continue;
                }
                Type::Typedef { target, .. }
                | Type::Const { target }
                | Type::Volatile { target }
                | Type::Restrict { target }
                | Type::TypeTag { target, .. }
                | Type::Var { target, .. }
                | Type::DeclTag { target, .. } => {
                    at = target;
                    continue;
                }
                Type::Void | Type::Fwd { .. } | Type::Func { .. } | Type::FuncProto(_) => {
                    return Err(BtfError::Kind {
                        id: at,
                        kind: ty.kind(),
                        expected: "a type with a size",
                    });
                }
            };
            let bytes = elements.checked_mul(size).ok_or_else(too_large)?;
            return Ok(bytes.into());
        }
        Err(nesting(id, MAX_SIZE_CHAIN))
    }

    /// The alignment in bytes that C gives the type: 1 for what can only be packed.
    pub fn align_of(&self, id: u32) -> Result<u32, BtfError> {
        Shapes::new(self).align_of(id)
    }
}

/// How C lays out a struct or union.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    /// In bytes.
    pub align: u32,
    /// Whether the members are where they are only by `__attribute__((packed))`.
    pub packed: bool,
}

/// The shapes of structs and unions, each computed once.
pub(crate) struct Shapes<'a> {
    btf: &'a Btf,
    /// `None` while the members are looked at: meeting it again is a cycle.
    known: FxHashMap<u32, Option<Shape>>,
}

impl<'a> Shapes<'a> {
    pub fn new(btf: &'a Btf) -> Self {
        Shapes { btf, known: FxHashMap::default() }
    }

    /// The alignment of any type, in bytes.
    pub fn align_of(&mut self, id: u32) -> Result<u32, BtfError> {
        self.nested(id, 0)
    }

    /// The alignment of a member: 1 for what has none, such as a declared struct.
    pub fn member_align(&mut self, member: &Member<'_>) -> Result<u32, BtfError> {
        self.member_align_at(member, 0)
    }

    fn member_align_at(&mut self, member: &Member<'_>, depth: u32) -> Result<u32, BtfError> {
        match self.nested(member.type_id, depth) {
            Err(BtfError::Kind { .. }) => Ok(1),
            align => align,
        }
    }

    /// The shape of a struct or union.
    pub fn of(&mut self, id: u32) -> Result<Shape, BtfError> {
        self.composite(id, 0)
    }

    fn nested(&mut self, id: u32, depth: u32) -> Result<u32, BtfError> {
        if depth > MAX_NESTING {
            return Err(nesting(id, MAX_NESTING));
        }
        let mut at = id;
        for _ in 0..MAX_CHAIN {
            let ty = self.btf.type_by_id(at)?;
            match ty {
                Type::Int(Int { size, .. }) | Type::Float { size, .. } => {
                    return Ok(self.scalar(size));
                }
                Type::Enum(view) | Type::Enum64(view) => return Ok(self.scalar(view.size)),
                Type::Ptr { .. } => return Ok(self.btf.pointer_size()),
                Type::Array(array) => at = array.element,
                Type::Typedef { target, .. }
                | Type::Const { target }
                | Type::Volatile { target }
                | Type::Restrict { target }
                | Type::TypeTag { target, .. } => at = target,
                Type::Struct(_) | Type::Union(_) => return Ok(self.composite(at, depth)?.align),
                _ => {
                    return Err(BtfError::Kind {
                        id: at,
                        kind: ty.kind(),
                        expected: "a type with an alignment",
                    });
                }
            }
        }
        Err(nesting(id, MAX_CHAIN))
    }

    /// That of its size, at most a pointer's, but for `__int128` and `long double`.
    fn scalar(&self, size: u32) -> u32 {
        let pointer = self.btf.pointer_size();
        match size {
            16 => 2 * pointer,
            size => size.clamp(1, pointer).next_power_of_two(),
        }
    }

    fn composite(&mut self, id: u32, depth: u32) -> Result<Shape, BtfError> {
        match self.known.get(&id) {
            Some(Some(shape)) => return Ok(*shape),
            Some(None) => return Err(nesting(id, MAX_NESTING)),
            None => {}
        }
        let ty = self.btf.type_by_id(id)?;
        let Some(composite) = ty.composite() else {
            return Err(BtfError::Kind { id, kind: ty.kind(), expected: "a struct or union" });
        };
        self.known.insert(id, None);
        let mut shape = Shape { align: 1, packed: false };
        for member in composite.members.iter() {
            let align = self.member_align_at(&member, depth + 1)?;
            shape.align = shape.align.max(align);
            shape.packed |= match self.btf.bitfield(&member)? {
                // A bitfield does not cross the bounds of its type.
                Some(bits) => bits.unit(bits.offset) != bits.unit(bits.end().saturating_sub(1)),
                None => !u64::from(member.bit_offset).is_multiple_of(8 * u64::from(align)),
            };
        }
        shape.packed |= !composite.size.is_multiple_of(shape.align);
        if shape.packed {
            shape.align = 1;
        }
        self.known.insert(id, Some(shape));
        Ok(shape)
    }
}

/// Where a bitfield is, in bits from the start of its struct.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bitfield {
    /// Its first bit.
    pub offset: u64,
    /// How many bits it has.
    pub size: u32,
    /// How many bits its declared type has.
    pub type_bits: u32,
}

impl Bitfield {
    pub(crate) fn end(&self) -> u64 {
        self.offset + u64::from(self.size)
    }

    /// Which of the struct's units of the declared type a bit is in.
    pub(crate) fn unit(&self, bit: u64) -> u64 {
        bit / u64::from(self.type_bits.max(1))
    }
}

impl Btf {
    /// Where a member is if it is a bitfield, in the new form (its own size) or the
    /// old (an int with fewer bits than bytes to hold them).
    pub fn bitfield(&self, member: &Member<'_>) -> Result<Option<Bitfield>, BtfError> {
        let bytes = |size: u32| size.saturating_mul(8);
        let offset = u64::from(member.bit_offset);
        let ty = self.resolved(member.type_id)?;
        Ok(match (member.bitfield_size, ty) {
            (0, Type::Int(int))
                if int.bit_offset != 0 || u32::from(int.bits) != bytes(int.size) =>
            {
                Some(Bitfield {
                    offset: offset + u64::from(int.bit_offset),
                    size: int.bits.into(),
                    type_bits: bytes(int.size),
                })
            }
            (0, _) => None,
            (size, ty) => Some(Bitfield {
                offset,
                size: size.into(),
                type_bits: match ty {
                    Type::Int(Int { size, .. }) => bytes(size),
                    Type::Enum(view) | Type::Enum64(view) => bytes(view.size),
                    _ => 32,
                },
            }),
        })
    }
}

pub(crate) fn nesting(id: u32, limit: u32) -> BtfError {
    BtfError::Nesting { id, limit }
}
