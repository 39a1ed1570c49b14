//! CO-RE records as an object holds them, and what becomes of them.
//!
//! Counterpart: `struct bpf_core_relo` and `enum bpf_core_relo_kind` in
//! `include/uapi/linux/bpf.h`.

use std::fmt;

/// What a record asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RelocationKind {
    /// Where the field is, in bytes; for a bitfield, where the load that covers it is.
    FieldByteOffset,
    /// The field's size in bytes.
    FieldByteSize,
    /// 1 if the field exists.
    FieldExists,
    /// 1 if the field is signed.
    FieldSigned,
    /// How far left to shift a bitfield's 64-bit load.
    FieldLshiftU64,
    /// How far right to shift it then.
    FieldRshiftU64,
    /// The type's id in the object.
    TypeIdLocal,
    /// The type's id in the kernel; 0 if it has none.
    TypeIdTarget,
    /// 1 if the kernel has a type of this name and kind.
    TypeExists,
    /// The type's size in bytes; 0 if it does not exist.
    TypeSize,
    /// 1 if the enumerator exists.
    EnumvalExists,
    /// The enumerator's value.
    EnumvalValue,
    /// 1 if the kernel has a type that has all of this one's members.
    TypeMatches,
    /// A number without meaning: an error to resolve.
    Unknown(u32),
}

/// Each kind with libbpf's name, in the order of their numbers.
const KINDS: [(RelocationKind, &str); 13] = [
    (RelocationKind::FieldByteOffset, "byte_off"),
    (RelocationKind::FieldByteSize, "byte_sz"),
    (RelocationKind::FieldExists, "field_exists"),
    (RelocationKind::FieldSigned, "signed"),
    (RelocationKind::FieldLshiftU64, "lshift_u64"),
    (RelocationKind::FieldRshiftU64, "rshift_u64"),
    (RelocationKind::TypeIdLocal, "local_type_id"),
    (RelocationKind::TypeIdTarget, "target_type_id"),
    (RelocationKind::TypeExists, "type_exists"),
    (RelocationKind::TypeSize, "type_size"),
    (RelocationKind::EnumvalExists, "enumval_exists"),
    (RelocationKind::EnumvalValue, "enumval_value"),
    (RelocationKind::TypeMatches, "type_matches"),
];

impl RelocationKind {
    /// The kind with this number.
    pub fn from_number(number: u32) -> RelocationKind {
        match KINDS.get(number as usize) {
            Some(row) => row.0,
            None => RelocationKind::Unknown(number),
        }
    }

    /// Its number.
    pub fn number(self) -> u32 {
        match self {
            RelocationKind::Unknown(number) => number,
            known => KINDS.iter().take_while(|row| row.0 != known).count() as u32,
        }
    }

    pub(super) fn is_enumval(self) -> bool {
        matches!(self, RelocationKind::EnumvalExists | RelocationKind::EnumvalValue)
    }

    pub(super) fn is_type(self) -> bool {
        use RelocationKind::*;
        matches!(self, TypeIdLocal | TypeIdTarget | TypeExists | TypeMatches | TypeSize)
    }
}

impl fmt::Display for RelocationKind {
    /// libbpf's name for it: `byte_off`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match KINDS.get(self.number() as usize) {
            Some(row) => f.write_str(row.1),
            None => f.write_str("unknown"),
        }
    }
}

/// A CO-RE record of `.BTF.ext`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Relocation {
    /// The instruction, in bytes from the start of its section.
    pub insn_off: u32,
    /// The type that the access starts from.
    pub type_id: u32,
    /// The offset of the access string: `0:1:2` is the member 2 of the member 1 of `type[0]`.
    pub access_str_off: u32,
    /// What is asked.
    pub kind: RelocationKind,
}

/// What the loader does to the instruction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Resolved {
    /// Put a value in.
    Patch(Patch),
    /// Replace the instruction (both slots of an ld_imm64) by a call of
    /// [`POISON_HELPER`](super::POISON_HELPER). This is no error: the program may
    /// never get there. The text names the record, for whoever does.
    Poison(String),
}

/// A value for an instruction: the immediate of an ALU instruction or of ld_imm64,
/// the offset of a load or store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patch {
    /// What stands there now, or the object is broken: the 32-bit immediate or the
    /// offset, sign-extended, or the immediate of ld_imm64. `None`: anything may.
    pub expected: Option<u64>,
    /// What shall stand there: truncated to 32 bits for ALU instructions, an error
    /// above `i16::MAX` for loads and stores.
    pub value: u64,
    /// What happens to a load or store besides.
    pub access: Access,
}

/// What happens to the width of a load or store. Other instructions ignore it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Nothing.
    Keep,
    /// The field has another size: a width of `from` bytes becomes `to`. Another
    /// width than `from`, and `to` other than 1, 2, 4 or 8, are errors.
    Resize {
        /// The field's size in the object, in bytes.
        from: u32,
        /// The field's size in the kernel, in bytes.
        to: u32,
    },
    /// The field has another size and is neither a pointer nor unsigned, so no
    /// width would load it: poison the load or store (after the checks of the value).
    Forbidden,
}
