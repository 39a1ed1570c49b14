//! CO-RE records, applied to the functions of an object.
//!
//! `skep_btf::core` says what an instruction shall hold; here it is put in, or the
//! instruction is poisoned. Counterparts: libbpf's `bpf_object__relocate_core` and
//! `bpf_core_patch_insn`.

use skep_btf::core::{Access, POISON_HELPER, Patch, Resolved, Resolver, Targets};
use skep_isa::{Imm64, ImmKind, Insn, Operand, Size, Slot, decode_at, encode};

use super::{Poisoned, poison};
use crate::error::{RelocateError, RelocateErrorKind as Kind};
use crate::object::Object;
use crate::target::Target;

/// The code of a function, with its CO-RE records applied.
pub(super) struct Code {
    pub insns: Vec<Slot>,
    /// Slots from the start of the function.
    pub poisoned: Vec<Poisoned>,
}

/// Applies the records of all functions but those of programs that stay out.
pub(super) fn apply(object: &Object, target: &Target) -> Result<Vec<Code>, RelocateError> {
    let plain = |function: &crate::object::Function| Code {
        insns: function.insns.clone(),
        poisoned: Vec::new(),
    };
    let mut code: Vec<Code> = object.functions.iter().map(plain).collect();
    let mut is_needed = vec![true; code.len()];
    for program in &object.programs {
        is_needed[program.function] = program.autoload;
    }
    let mut records = object.core.iter().filter(|record| is_needed[record.function]).peekable();
    let (Some(btf), Some(_)) = (&object.btf, records.peek()) else { return Ok(code) };
    let targets = target
        .core_btf()
        .map_err(|reason| Kind::NoKernelBtf { need: "CO-RE records".into(), reason })?;
    let targets = Targets::new(targets.clone());
    let mut resolver = Resolver::new(btf, &targets);
    for record in records {
        let here = |kind: Kind| {
            RelocateError::from(kind)
                .in_function(&object.functions[record.function].name)
                .at(record.at)
        };
        let resolved = resolver.resolve(&record.relocation).map_err(|error| here(error.into()))?;
        let code = &mut code[record.function];
        let at = record.at as usize;
        let outcome = match resolved {
            Resolved::Poison(what) => Outcome::Poison(what),
            Resolved::Patch(patch) => {
                patch_insn(&mut code.insns, at, &patch).map_err(|reason| {
                    let record = resolver.describe(&record.relocation);
                    here(Kind::Patch { record, reason })
                })?
            }
        };
        let what = match outcome {
            Outcome::Done => continue,
            Outcome::Forbid => resolver.describe(&record.relocation),
            Outcome::Poison(what) => what,
        };
        if let Ok(Insn::LoadImm64 { .. }) = decode_at(&code.insns, at) {
            poison(&mut code.insns, at + 1, POISON_HELPER);
        }
        poison(&mut code.insns, at, POISON_HELPER);
        code.poisoned.push(Poisoned { at: record.at, what });
    }
    Ok(code)
}

enum Outcome {
    Done,
    /// The field is there, but no load or store would get it right.
    Forbid,
    /// Nothing is there.
    Poison(String),
}

/// Puts a value into an instruction.
fn patch_insn(insns: &mut [Slot], at: usize, patch: &Patch) -> Result<Outcome, String> {
    let mut insn = match decode_at(insns, at) {
        Ok(insn) => insn,
        Err(error) => return patch_slot(insns, at, patch).unwrap_or(Err(error.to_string())),
    };
    let expect = |found: u64| match patch.expected {
        Some(expected) if expected != found => {
            Err(format!("the instruction holds {found}, but the object's own types say {expected}"))
        }
        _ => Ok(()),
    };
    match &mut insn {
        Insn::Alu { src: Operand::Imm(imm), .. } => {
            expect(i64::from(*imm) as u64)?;
            *imm = patch.value as i32;
        }
        Insn::Load { size, off, .. }
        | Insn::Store { size, off, .. }
        | Insn::Atomic { size, off, .. }
        | Insn::LoadAcquire { size, off, .. }
        | Insn::StoreRelease { size, off, .. } => {
            expect(i64::from(*off) as u64)?;
            let value = i16::try_from(patch.value)
                .map_err(|_| format!("{} is too large for an offset", patch.value))?;
            match patch.access {
                Access::Forbidden => return Ok(Outcome::Forbid),
                Access::Keep => {}
                Access::Resize { from, to } => *size = resize(*size, from, to)?,
            }
            *off = value;
        }
        Insn::LoadImm64 { imm, .. } if imm.kind == ImmKind::Const => {
            expect(imm.value())?;
            *imm = Imm64::constant(patch.value);
        }
        _ => return Err("the instruction has nothing that a record could change".into()),
    }
    // A 64-bit load takes two slots, the others take one.
    let slots = encode(&[insn, Insn::Hole]);
    let len = insn.slots() as usize;
    insns[at..at + len].copy_from_slice(&slots[..len]);
    Ok(Outcome::Done)
}

/// The same for a slot that is no instruction only because of fields which it should not use,
/// as long as it is clear without them what it would be: libbpf looks at the opcode alone
/// and leaves the rest to the verifier. Gives `None` where it is not clear.
fn patch_slot(insns: &mut [Slot], at: usize, patch: &Patch) -> Option<Result<Outcome, String>> {
    let slot = *insns.get(at)?;
    // What a record reads is kept, and what it writes comes back from there.
    let plain = Slot { dst: 0, src: 0, off: 0, ..slot };
    let memory = Slot { dst: 0, src: 0, imm: 0, ..slot };
    let (mut alone, is_memory) = match (decode_at(&[plain], 0), decode_at(&[memory], 0)) {
        (Ok(Insn::Alu { .. }), _) => ([plain], false),
        (_, Ok(Insn::Load { .. } | Insn::Store { .. })) => ([memory], true),
        _ => return None,
    };
    let outcome = patch_insn(&mut alone, 0, patch);
    if let Ok(Outcome::Done) = outcome {
        insns[at] = match is_memory {
            true => Slot { code: alone[0].code, off: alone[0].off, ..slot },
            false => Slot { imm: alone[0].imm, ..slot },
        };
    }
    Some(outcome)
}

fn resize(size: Size, from: u32, to: u32) -> Result<Size, String> {
    if size.bytes() != from {
        return Err(format!("the instruction accesses {} bytes of {from}", size.bytes()));
    }
    let sizes = [Size::B, Size::H, Size::W, Size::DW];
    sizes
        .into_iter()
        .find(|size| size.bytes() == to)
        .ok_or_else(|| format!("the kernel's field has {to} bytes, which no instruction loads"))
}
