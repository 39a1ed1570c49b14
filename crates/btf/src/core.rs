//! CO-RE: what a relocation's value is on the target kernel.
use crate::Btf;
use std::sync::Arc;

/// The helper number in the call that stands for an instruction whose record cannot be resolved.
pub const POISON_HELPER: i32 = 0xbad2310;

/// What a record asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum RelocationKind {
    FieldByteOffset,
    FieldByteSize,
    FieldExists,
    FieldSigned,
    FieldLshiftU64,
    FieldRshiftU64,
    TypeIdLocal,
    TypeIdTarget,
    TypeExists,
    TypeSize,
    EnumvalExists,
    EnumvalValue,
    TypeMatches,
    Unknown(u32),
}

/// A CO-RE record. `insn_off` in bytes from the section's start; the access string is in the BTF.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Relocation {
    pub insn_off: u32,
    pub type_id: u32,
    pub access_str_off: u32,
    pub kind: RelocationKind,
}

/// What the loader does to the instruction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Resolved {
    /// Put a value in.
    Patch(Patch),
    /// Replace the instruction (both slots of an ld_imm64) by a call of [`POISON_HELPER`]. Not an error:
    /// dead code may hold it. The text names the record, for whoever reaches it.
    Poison(String),
}

/// A value to put into an instruction: imm of ALU, offset of LDX/ST/STX, imm64 of ld_imm64.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patch {
    /// What the instruction must hold now (imm or off sign-extended to 64 bits; imm64 as it is), or
    /// an error; `None`: anything.
    pub expected: Option<u64>,
    /// What it shall hold: truncated to 32 bits for ALU; above `i16::MAX` an error for LDX/ST/STX.
    pub value: u64,
    /// For LDX/ST/STX only.
    pub access: Access,
}

/// What happens to the width of a load or store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// It stays.
    Keep,
    /// It must be `from` bytes (else an error) and becomes `to` (1, 2, 4, 8, else an error).
    Resize {
        /// Bytes now.
        from: u32,
        /// Bytes to be.
        to: u32,
    },
    /// The sizes differ and the value cannot be adjusted (signed or not a number): poison the load or store.
    /// ALU and ld_imm64 are patched all the same.
    Forbidden,
}

/// The BTFs that types are looked for in: vmlinux first; modules only when it has no candidate.
#[derive(Clone, Debug)]
pub struct Targets {
    _btfs: Vec<Arc<Btf>>,
}

impl Targets {
    /// vmlinux, or the user's `--btf`.
    pub fn new(_vmlinux: Arc<Btf>) -> Targets {
        todo!()
    }
    /// A module's split BTF.
    pub fn add_module(&mut self, _btf: Arc<Btf>) {}
}

/// A record that makes the load fail.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct CoreError {
    message: String,
}

/// Resolves the records of one object; candidates are cached, and pruned as libbpf prunes them.
#[derive(Debug)]
pub struct Resolver<'a> {
    _local: &'a Btf,
    _targets: &'a Targets,
}

impl<'a> Resolver<'a> {
    /// For the records of the object that `local` belongs to.
    pub fn new(local: &'a Btf, targets: &'a Targets) -> Resolver<'a> {
        Resolver {
            _local: local,
            _targets: targets,
        }
    }
    /// Computes one record. Call it in the order of the records in the object.
    pub fn resolve(&mut self, _relocation: &Relocation) -> Result<Resolved, CoreError> {
        todo!()
    }
    /// libbpf's one-line form: `<byte_off> [17] struct task_struct.pid (0:4 @ offset 20)`.
    pub fn describe(&self, _relocation: &Relocation) -> String {
        todo!()
    }
}
