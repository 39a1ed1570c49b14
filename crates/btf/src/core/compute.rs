//! The number that a record asks for, from the field, type or enumerator that it
//! was matched with.
//!
//! Each number is computed twice, from the object's types (what the instruction
//! must hold now) and from the kernel's (what it shall hold). Counterpart:
//! `bpf_core_calc_relo` and the functions below it.

use super::spec::{Spec, innermost_element};
use super::{Access, Problem, RelocationKind};
use crate::{Btf, Endian, Int, Kind, Type};

/// The outcome for one candidate.
#[derive(Clone, Copy, Debug)]
pub(super) struct Computed {
    /// What the instruction must hold now, if that is certain.
    pub expected: Option<u64>,
    /// What it shall hold; `None`: there is no answer, poison it.
    pub value: Option<u64>,
    pub access: Access,
}

/// A number from one side.
struct Answer {
    value: u64,
    /// Whether compilers cannot but agree on it.
    certain: bool,
    /// For a byte offset, what is loaded from there: its size in bytes and its type.
    loaded: Option<(u32, u32)>,
}

impl Answer {
    fn certain(value: u64) -> Answer {
        Answer { value, certain: true, loaded: None }
    }
}

/// Computes a record from its meaning in the object and, if it has one there, in the kernel.
pub(super) fn compute(local: &Spec<'_>, target: Option<&Spec<'_>>) -> Result<Computed, Problem> {
    let ours = match answer(local)? {
        Some(answer) => answer,
        None => return Err("it cannot be computed from the object's own types".into()),
    };
    let theirs = match target {
        Some(spec) => answer(spec)?,
        None => absent(local.kind),
    };
    let access = match (&ours.loaded, theirs.as_ref().and_then(|theirs| theirs.loaded), target) {
        (&Some(from), Some(to), Some(target)) => access(local.btf, from, target.btf, to)?,
        _ => Access::Keep,
    };
    Ok(Computed {
        expected: ours.certain.then_some(ours.value),
        value: theirs.map(|theirs| theirs.value),
        access,
    })
}

/// The answer where the kernel has nothing that matches.
fn absent(kind: RelocationKind) -> Option<Answer> {
    match kind {
        RelocationKind::FieldExists | RelocationKind::EnumvalExists => Some(Answer::certain(0)),
        kind if kind.is_type() => Some(Answer::certain(0)),
        _ => None,
    }
}

/// The answer from one side.
fn answer(spec: &Spec<'_>) -> Result<Option<Answer>, Problem> {
    use RelocationKind::*;
    Ok(Some(match spec.kind {
        FieldExists | TypeExists | TypeMatches | EnumvalExists => Answer::certain(1),
        TypeSize => Answer::certain(spec.btf.size_of(spec.root)?),
        // Linking renumbers types, so the number in the instruction proves nothing.
        TypeIdLocal | TypeIdTarget => {
            Answer { certain: false, ..Answer::certain(spec.root.into()) }
        }
        EnumvalValue => Answer::certain(enumerator(spec)?),
        Unknown(_) => return Ok(None),
        _ => field(spec)?,
    }))
}

fn enumerator(spec: &Spec<'_>) -> Result<u64, Problem> {
    let accessor = spec.accessors.first().ok_or("it names no enumerator")?;
    let ty = spec.btf.type_by_id(accessor.type_id)?;
    let value = ty
        .enumeration()
        .and_then(|view| view.enumerators.get(accessor.index as usize))
        .ok_or("it names no enumerator")?
        .value;
    // A 32-bit value is sign-extended whatever its enum says.
    Ok(match ty.kind() {
        Kind::Enum => value as u32 as i32 as u64,
        _ => value,
    })
}

fn field(spec: &Spec<'_>) -> Result<Answer, Problem> {
    let btf = spec.btf;
    let accessor = spec.accessors.last().ok_or("it names no field")?;
    if accessor.name.is_none() {
        return match spec.kind {
            RelocationKind::FieldByteOffset => {
                let element = innermost_element(btf, accessor.type_id)?;
                Ok(Answer {
                    value: (spec.bit_offset / 8).into(),
                    certain: true,
                    loaded: Some((btf.size_of(element)? as u32, accessor.type_id)),
                })
            }
            RelocationKind::FieldByteSize => Ok(Answer::certain(btf.size_of(accessor.type_id)?)),
            _ => Err("an array element has no such property".into()),
        };
    }
    let member = btf
        .type_by_id(accessor.type_id)?
        .composite()
        .and_then(|composite| composite.members.get(accessor.index as usize))
        .ok_or("it names no field")?;
    let field_type = btf.resolve_modifiers(member.type_id)?;
    let place = match member.bitfield_size {
        0 => Place::of_field(btf, field_type, spec.bit_offset)?,
        bits => Place::of_bitfield(btf, field_type, spec.bit_offset, bits.into())?,
    };
    let certain = member.bitfield_size == 0;
    let answer = |value: u64, certain: bool| Answer { value, certain, loaded: None };
    Ok(match spec.kind {
        RelocationKind::FieldByteOffset => Answer {
            loaded: match certain {
                true => {
                    let element = innermost_element(btf, field_type)?;
                    Some((btf.size_of(element)? as u32, field_type))
                }
                false => None,
            },
            ..answer(place.byte_offset.into(), certain)
        },
        RelocationKind::FieldByteSize => answer(place.byte_size.into(), certain),
        RelocationKind::FieldSigned => {
            let signed = match btf.type_by_id(field_type)? {
                Type::Enum(view) | Type::Enum64(view) => view.signed,
                Type::Int(int) => int.is_signed(),
                _ => false,
            };
            answer(signed.into(), true)
        }
        RelocationKind::FieldLshiftU64 => answer(place.left_shift(btf.endian()).into(), certain),
        RelocationKind::FieldRshiftU64 => answer(64u32.wrapping_sub(place.bit_size).into(), true),
        _ => return Err("it is about no field".into()),
    })
}

/// Where a field is: the bytes to load, and the bits of interest in them.
struct Place {
    bit_offset: u32,
    bit_size: u32,
    byte_offset: u32,
    byte_size: u32,
}

impl Place {
    fn of_field(btf: &Btf, field_type: u32, bit_offset: u32) -> Result<Place, Problem> {
        let byte_size = btf.size_of(field_type)? as u32;
        Ok(Place {
            bit_offset,
            bit_size: byte_size.wrapping_mul(8),
            byte_offset: bit_offset / 8,
            byte_size,
        })
    }

    /// The smallest aligned load, of at least the declared type, that covers a bitfield.
    fn of_bitfield(
        btf: &Btf,
        field_type: u32,
        bit_offset: u32,
        bit_size: u32,
    ) -> Result<Place, Problem> {
        let mut byte_size = match btf.type_by_id(field_type)? {
            Type::Int(Int { size, .. }) => size,
            Type::Enum(view) | Type::Enum64(view) => view.size,
            _ => 0,
        };
        if byte_size == 0 {
            return Err("a bitfield that is neither an integer nor an enum".into());
        }
        loop {
            let byte_offset = bit_offset / 8 / byte_size * byte_size;
            let end = u64::from(bit_offset) + u64::from(bit_size) - 8 * u64::from(byte_offset);
            if end <= 8 * u64::from(byte_size) {
                return Ok(Place { bit_offset, bit_size, byte_offset, byte_size });
            }
            if byte_size >= 8 {
                return Err("a bitfield that no 64-bit load covers".into());
            }
            byte_size *= 2;
        }
    }

    /// How far left a 64-bit value of the load goes to drop what is above the field.
    fn left_shift(&self, endian: Endian) -> u32 {
        let first_bit = self.bit_offset.wrapping_sub(self.byte_offset.wrapping_mul(8));
        match endian {
            Endian::Little => 64u32.wrapping_sub(first_bit.wrapping_add(self.bit_size)),
            Endian::Big => {
                8u32.wrapping_sub(self.byte_size).wrapping_mul(8).wrapping_add(first_bit)
            }
        }
    }
}

/// What a load of a field of `from` bytes becomes where the field has `to`. Zero
/// extension makes other widths right for pointers and unsigned integers only.
fn access(
    local: &Btf,
    (from, from_type): (u32, u32),
    target: &Btf,
    (to, to_type): (u32, u32),
) -> Result<Access, Problem> {
    if from == to {
        return Ok(Access::Keep);
    }
    let adjustable = match (local.type_by_id(from_type)?, target.type_by_id(to_type)?) {
        (Type::Ptr { .. }, Type::Ptr { .. }) => true,
        (Type::Int(ours), Type::Int(theirs)) => {
            ours.encoding != Int::SIGNED && theirs.encoding != Int::SIGNED
        }
        _ => false,
    };
    Ok(match adjustable {
        true => Access::Resize { from, to },
        false => Access::Forbidden,
    })
}
