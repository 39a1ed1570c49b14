//! When a type of the object and a type of the kernel are taken for the same.
//!
//! Three rules, from loose to strict: fields that may be read for one another,
//! types that exist under a name, and types that match member by member. Each
//! walk draws on one budget, so that types which fan out cannot hang it.
//! Counterparts: `bpf_core_fields_are_compat`, `__bpf_core_types_are_compat`,
//! `__bpf_core_types_match`.

use super::{MATCH_BUDGET, Problem, essential_name};
use crate::layout::{MAX_CHAIN, nesting};
use crate::{Btf, BtfError, Composite, Enum, Kind, Type};

/// How deep function prototypes, and structs in structs, may nest.
const MAX_LEVEL: u32 = 32;
/// How many pointers and arrays may follow one another.
const MAX_DEPTH: u32 = 32;

pub(super) struct Compat<'a> {
    local: &'a Btf,
    target: &'a Btf,
    budget: u32,
}

impl<'a> Compat<'a> {
    pub fn new(local: &'a Btf, target: &'a Btf) -> Compat<'a> {
        Compat { local, target, budget: MATCH_BUDGET }
    }

    /// Counts one look at a member of `id`.
    pub fn spend(&mut self, id: u32) -> Result<(), Problem> {
        self.budget = self
            .budget
            .checked_sub(1)
            .ok_or(BtfError::TooLarge { id, what: "too many members to match" })?;
        Ok(())
    }

    fn resolved(&self, local: u32, target: u32) -> Result<(Type<'a>, Type<'a>), BtfError> {
        Ok((self.local.resolved(local)?, self.target.resolved(target)?))
    }

    /// Whether a field of type `target` may be accessed where the program means
    /// one of type `local`. Any two structs or unions will do; sizes are not compared.
    pub fn fields_are_compatible(&self, local: u32, target: u32) -> Result<bool, Problem> {
        let (mut local_id, mut target_id) = (local, target);
        for _ in 0..MAX_CHAIN {
            let pair = self.resolved(local_id, target_id)?;
            if pair.0.kind().is_composite() && pair.1.kind().is_composite() {
                return Ok(true);
            }
            if !pair.0.kind().core_compatible(pair.1.kind()) {
                return Ok(false);
            }
            match pair {
                (Type::Ptr { .. } | Type::Float { .. }, _) => return Ok(true),
                (Type::Fwd { .. } | Type::Enum(_) | Type::Enum64(_), _) => {
                    let local = essential_name(pair.0.name());
                    let target = essential_name(pair.1.name());
                    return Ok(local.is_empty() || target.is_empty() || local == target);
                }
                // An int with an offset is a bitfield of old.
                (Type::Int(local), Type::Int(target)) => {
                    return Ok(local.bit_offset == 0 && target.bit_offset == 0);
                }
                (Type::Array(local), Type::Array(target)) => {
                    (local_id, target_id) = (local.element, target.element);
                }
                _ => return Ok(false),
            }
        }
        Err(nesting(target, MAX_CHAIN).into())
    }

    /// Whether `target` counts as the same type as `local`, whose names are known
    /// to agree: the kind counts, behind pointers and in prototypes too.
    pub fn types_are_compatible(&mut self, local: u32, target: u32) -> Result<bool, Problem> {
        self.compatible(local, target, MAX_LEVEL)
    }

    fn compatible(&mut self, local: u32, target: u32, level: u32) -> Result<bool, Problem> {
        let heads = (self.local.type_by_id(local)?, self.target.type_by_id(target)?);
        if !heads.0.kind().core_compatible(heads.1.kind()) {
            return Ok(false);
        }
        let (mut local_id, mut target_id) = (local, target);
        for _ in 0..MAX_DEPTH {
            self.spend(target)?;
            let pair = self.resolved(local_id, target_id)?;
            if !pair.0.kind().core_compatible(pair.1.kind()) {
                return Ok(false);
            }
            (local_id, target_id) = match pair {
                (Type::Int(local), Type::Int(target)) => {
                    return Ok(local.bit_offset == 0 && target.bit_offset == 0);
                }
                (Type::Ptr { target: local }, Type::Ptr { target }) => (local, target),
                (Type::Array(local), Type::Array(target)) => (local.element, target.element),
                (Type::FuncProto(local), Type::FuncProto(target_proto)) => {
                    if local.params.len() != target_proto.params.len() {
                        return Ok(false);
                    }
                    for (mine, theirs) in local.params.iter().zip(target_proto.params.iter()) {
                        if level == 0 {
                            return Err(nesting(target, MAX_LEVEL).into());
                        }
                        let mine = self.local.resolve_modifiers(mine.type_id)?;
                        let theirs = self.target.resolve_modifiers(theirs.type_id)?;
                        if !self.compatible(mine, theirs, level - 1)? {
                            return Ok(false);
                        }
                    }
                    (local.ret, target_proto.ret)
                }
                (other, _) => {
                    let kind = other.kind();
                    return Ok(kind.is_composite()
                        || kind.is_enum()
                        || matches!(kind, Kind::Void | Kind::Fwd));
                }
            };
        }
        Err(nesting(target, MAX_DEPTH).into())
    }

    /// Whether `target` has all that `local` has: its members by name and
    /// matching type, its enumerators by name, its size and sign.
    pub fn types_match(&mut self, local: u32, target: u32) -> Result<bool, Problem> {
        self.matches(local, target, false, MAX_LEVEL)
    }

    fn matches(
        &mut self,
        local: u32,
        target: u32,
        mut behind_pointer: bool,
        level: u32,
    ) -> Result<bool, Problem> {
        if level == 0 {
            return Err(nesting(target, MAX_LEVEL).into());
        }
        let (mut local_id, mut target_id) = (local, target);
        for _ in 0..MAX_DEPTH {
            self.spend(target)?;
            let pair = self.resolved(local_id, target_id)?;
            if !names_match(pair.0.name(), pair.1.name()) {
                return Ok(false);
            }
            (local_id, target_id) = match pair {
                (Type::Void, other) => return Ok(other.kind() == Kind::Void),
                (Type::Fwd { is_union, .. }, other) => {
                    return Ok(match other {
                        Type::Fwd { is_union: theirs, .. } => theirs == is_union,
                        Type::Struct(_) => behind_pointer && !is_union,
                        Type::Union(_) => behind_pointer && is_union,
                        _ => false,
                    });
                }
                (Type::Enum(local) | Type::Enum64(local), other) => {
                    return match other.enumeration() {
                        Some(view) => self.enums_match(&local, &view, target_id),
                        None => Ok(false),
                    };
                }
                (Type::Struct(_) | Type::Union(_), other) if behind_pointer => {
                    return Ok(match other {
                        Type::Fwd { is_union, .. } => is_union == (pair.0.kind() == Kind::Union),
                        _ => pair.0.kind() == other.kind(),
                    });
                }
                (Type::Struct(local), Type::Struct(theirs))
                | (Type::Union(local), Type::Union(theirs)) => {
                    return self.composites_match(&local, &theirs, level);
                }
                (Type::Int(local), Type::Int(theirs)) => {
                    return Ok(local.size == theirs.size && local.is_signed() == theirs.is_signed());
                }
                (Type::Ptr { target: local }, Type::Ptr { target }) => {
                    behind_pointer = true;
                    (local, target)
                }
                (Type::Array(local), Type::Array(theirs)) if local.len == theirs.len => {
                    (local.element, theirs.element)
                }
                (Type::FuncProto(local), Type::FuncProto(theirs))
                    if local.params.len() == theirs.params.len() =>
                {
                    for (mine, theirs) in local.params.iter().zip(theirs.params.iter()) {
                        if !self.matches(mine.type_id, theirs.type_id, behind_pointer, level - 1)? {
                            return Ok(false);
                        }
                    }
                    (local.ret, theirs.ret)
                }
                _ => return Ok(false),
            };
        }
        Err(nesting(target, MAX_DEPTH).into())
    }

    fn enums_match(
        &mut self,
        local: &Enum<'_>,
        target: &Enum<'_>,
        id: u32,
    ) -> Result<bool, Problem> {
        if local.size != target.size || local.enumerators.len() > target.enumerators.len() {
            return Ok(false);
        }
        for mine in local.enumerators.iter() {
            let mut found = false;
            for theirs in target.enumerators.iter() {
                self.spend(id)?;
                if names_match(mine.name, theirs.name) {
                    found = true;
                    break;
                }
            }
            if !found {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn composites_match(
        &mut self,
        local: &Composite<'_>,
        target: &Composite<'_>,
        level: u32,
    ) -> Result<bool, Problem> {
        if local.members.len() > target.members.len() {
            return Ok(false);
        }
        for mine in local.members.iter() {
            let mut found = false;
            for theirs in target.members.iter() {
                self.spend(theirs.type_id)?;
                if names_match(mine.name, theirs.name)
                    && self.matches(mine.type_id, theirs.type_id, false, level - 1)?
                {
                    found = true;
                    break;
                }
            }
            if !found {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// Equal but for flavours; a name matches no name only if it is none itself.
fn names_match(local: &str, target: &str) -> bool {
    essential_name(local) == essential_name(target)
}
