//! Sizes, alignments, and what stands behind typedefs and qualifiers.
//!
//! Every walk is bounded: chains by [`MAX_CHAIN`], nesting by [`MAX_NESTING`],
//! and a struct's alignment is computed once per walk. Counterpart: libbpf's
//! `btf__resolve_size` and `btf__align_of`, whose results these are.

use rustc_hash::FxHashMap;

use crate::{Btf, BtfError, Int, Kind, Type};

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
        let too_large = || BtfError::TooLarge {
            id,
            what: "its size does not fit in 32 bits",
        };
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
        Alignments::new(self).of(id)
    }
}

/// Alignments, each computed once.
pub(crate) struct Alignments<'a> {
    btf: &'a Btf,
    /// `None` while a struct's members are looked at: meeting it again is a cycle.
    known: FxHashMap<u32, Option<u32>>,
}

impl<'a> Alignments<'a> {
    pub fn new(btf: &'a Btf) -> Self {
        Alignments {
            btf,
            known: FxHashMap::default(),
        }
    }

    /// The alignment in bytes.
    pub fn of(&mut self, id: u32) -> Result<u32, BtfError> {
        self.nested(id, 0)
    }

    fn nested(&mut self, id: u32, depth: u32) -> Result<u32, BtfError> {
        if depth > MAX_NESTING {
            return Err(nesting(id, MAX_NESTING));
        }
        let mut at = id;
        for _ in 0..MAX_CHAIN {
            let ty = self.btf.type_by_id(at)?;
            match ty {
                Type::Int(Int { size, .. }) | Type::Float { size, .. } => return self.scalar(size),
                Type::Enum(view) | Type::Enum64(view) => return self.scalar(view.size),
                Type::Ptr { .. } => return Ok(self.btf.pointer_size()),
                Type::Array(array) => at = array.element,
                Type::Typedef { target, .. }
                | Type::Const { target }
                | Type::Volatile { target }
                | Type::Restrict { target }
                | Type::TypeTag { target, .. } => at = target,
                Type::Struct(_) | Type::Union(_) => return self.composite(at, depth),
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

    fn scalar(&self, size: u32) -> Result<u32, BtfError> {
        Ok(size.clamp(1, self.btf.pointer_size()))
    }

    fn composite(&mut self, id: u32, depth: u32) -> Result<u32, BtfError> {
        match self.known.get(&id) {
            Some(Some(align)) => return Ok(*align),
            Some(None) => return Err(nesting(id, MAX_NESTING)),
            None => {}
        }
        let Some(composite) = self.btf.type_by_id(id)?.composite() else {
            return Ok(1);
        };
        self.known.insert(id, None);
        let mut strictest = 1;
        let mut packed = false;
        for member in composite.members.iter() {
            let align = self.nested(member.type_id, depth + 1)?;
            strictest = strictest.max(align);
            packed |= member.bitfield_size == 0
                && !u64::from(member.bit_offset).is_multiple_of(8 * u64::from(align));
        }
        packed |= !composite.size.is_multiple_of(strictest);
        let align = if packed { 1 } else { strictest };
        self.known.insert(id, Some(align));
        Ok(align)
    }

    /// Whether a struct's layout is possible only with `__attribute__((packed))`.
    pub fn is_packed(&mut self, id: u32) -> Result<bool, BtfError> {
        let Type::Struct(composite) = self.btf.type_by_id(id)? else {
            return Ok(false);
        };
        let mut strictest = 1;
        for member in composite.members.iter() {
            let align = self.of(member.type_id)?;
            if member.bitfield_size == 0
                && !u64::from(member.bit_offset).is_multiple_of(8 * u64::from(align))
            {
                return Ok(true);
            }
            strictest = strictest.max(align);
        }
        Ok(!composite.size.is_multiple_of(strictest))
    }
}

pub(crate) fn nesting(id: u32, limit: u32) -> BtfError {
    BtfError::Nesting { id, limit }
}

impl Kind {
    /// The kinds that CO-RE takes for each other: a kind itself, and the two enums.
    pub(crate) fn core_compatible(self, other: Kind) -> bool {
        self == other || (self.is_enum() && other.is_enum())
    }
}
