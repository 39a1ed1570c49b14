//! A loaded program: decoded instructions and everything that they refer to.

use std::sync::{Arc, OnceLock};

use skep_abi::{Errno, Kfunc, ProgType, TrapKind};
use skep_isa::{Callee, DecodeError, Imm64, ImmKind, Insn, Pc, Slot, decode};
use skep_jit::{Code, JitError, Passes};
use skep_maps::MapObject;
use skep_verify::{KfuncRef, KfuncRefs, Verified};

use super::hook::HookDef;
use super::map::MapHandle;

/// What PROG_LOAD made.
pub struct Program {
    /// Program type.
    pub(crate) prog_type: ProgType,
    /// Number of the attach type it expects.
    pub(crate) expected_attach_type: u32,
    /// `prog_flags` of its load.
    pub(crate) flags: u32,
    /// Instructions, one for each slot, linked ([`skep_isa::link`]).
    pub(crate) insns: Box<[Insn]>,
    /// Maps that the instructions use.
    pub(crate) maps: Box<[Arc<MapHandle>]>,
    /// Kernel functions that they call.
    pub(crate) kfuncs: KfuncRefs,
    /// Where the subprogram starts that an exception calls, if it has one.
    pub(crate) exception_callback: Option<Pc>,
    /// Name, zero-terminated.
    pub(crate) name: [u8; 16],
    /// What Linux calls it by its instructions ([`skep_verify::tag`]).
    pub(crate) tag: [u8; 8],
    /// Id.
    pub(crate) id: u32,
    /// Id of its BTF, or 0.
    pub(crate) btf_id: u32,
    /// What the verifier proved of it; `None` for a program that was never verified.
    pub(crate) proof: Option<Arc<Proof>>,
    /// The hook of an application that it was verified for.
    pub(crate) hook: Option<Arc<HookDef>>,
    /// Its compiled code, or why there is none; made at its first run.
    pub(crate) code: OnceLock<Result<Arc<Code>, JitError>>,
}

/// How programs are compiled.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct How {
    /// With all checks, whatever the verifier says.
    pub guarded: bool,
    /// At most with these passes.
    pub passes: Passes,
}

/// What the verifier proved, and the maps that it speaks of.
pub(crate) struct Proof {
    /// The verdict.
    pub verified: Verified,
    /// The map of each of its [`skep_verify::Facts::maps`]; `None` for one that stands
    /// for the elements of a map of maps.
    pub maps: Vec<Option<Arc<MapHandle>>>,
}

/// Why instructions are no program.
#[derive(Debug, thiserror::Error)]
pub enum ProgramError {
    /// A slot is no instruction.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// An instruction refers to a map that is none.
    #[error("insn {pc}: fd {fd} is not pointing to valid bpf_map")]
    Map {
        /// The instruction.
        pc: u32,
        /// The fd or index.
        fd: i32,
        /// What looking it up gave.
        errno: Errno,
    },
}

impl ProgramError {
    /// What PROG_LOAD returns for it.
    pub fn errno(&self) -> Errno {
        match self {
            ProgramError::Decode(_) => Errno::EINVAL,
            ProgramError::Map { errno, .. } => *errno,
        }
    }

    /// The instruction at fault.
    pub fn pc(&self) -> u32 {
        match self {
            ProgramError::Decode(error) => error.pc,
            ProgramError::Map { pc, .. } => *pc,
        }
    }
}

/// Instructions with what they name ([`skep_isa::link`]).
pub(crate) struct LinkedCode {
    /// Instructions, one for each slot.
    pub insns: Box<[Insn]>,
    /// Maps that they name by index.
    pub maps: Box<[Arc<MapHandle>]>,
    /// Kernel functions that they name by number.
    pub kfuncs: KfuncRefs,
    /// Where the subprogram starts that an exception calls.
    pub exception_callback: Option<Pc>,
}

/// Decodes slots and finds what they name: `map` a map by its immediate, `kfunc` the row of a
/// kernel function by its BTF id.
///
/// # Errors
/// The first slot that is no instruction, or whose map is none.
pub(crate) fn link(
    slots: &[Slot],
    map: impl Fn(Imm64) -> Result<Arc<MapHandle>, Errno>,
    kfunc: impl Fn(i32) -> Option<&'static Kfunc>,
) -> Result<LinkedCode, ProgramError> {
    let mut insns = decode(slots)?;
    let (mut maps, mut kfuncs) = (Vec::<Arc<MapHandle>>::new(), KfuncRefs::default());
    let map_index = |pc, imm: Imm64| {
        let fd = imm.lo as i32;
        let found = map(imm).map_err(|errno| ProgramError::Map { pc, fd, errno })?;
        let index = maps.iter().position(|known| Arc::ptr_eq(known, &found)).unwrap_or(maps.len());
        if index == maps.len() {
            maps.push(found);
        }
        Ok::<_, ProgramError>(index as u32)
    };
    let kfunc_number = |_, btf_id, module| {
        let row = if module == 0 { kfunc(btf_id) } else { None };
        Ok(kfuncs.number(KfuncRef { row, btf_id, module }))
    };
    skep_isa::link(&mut insns, map_index, kfunc_number)?;
    Ok(LinkedCode { insns: insns.into(), maps: maps.into(), kfuncs, exception_callback: None })
}

impl Program {
    /// Its type.
    pub fn prog_type(&self) -> ProgType {
        self.prog_type
    }

    /// Its instructions, one for each slot.
    pub fn insns(&self) -> &[Insn] {
        &self.insns
    }

    /// The trap of a call of a kernel function that is not here.
    pub(crate) fn unknown_kfunc(&self, number: i32) -> TrapKind {
        let called = self.kfuncs.of(number as u32);
        TrapKind::UnknownKfunc { btf_id: called.map_or(0, |called| called.btf_id as u32) }
    }

    /// The instructions in the form that a dump shows: maps by their ids.
    pub(crate) fn dump(&self) -> Vec<u8> {
        let mut insns = self.insns.to_vec();
        for insn in &mut insns {
            match insn {
                Insn::LoadImm64 { imm, .. } => {
                    let kind = match imm.kind {
                        ImmKind::MapIdx => ImmKind::MapFd,
                        ImmKind::MapIdxValue => ImmKind::MapValue,
                        _ => continue,
                    };
                    let id = self.maps[imm.lo as usize].id;
                    *imm = Imm64 { kind, lo: id, hi: imm.hi };
                }
                Insn::Call(Callee::Kfunc { btf_id, module }) => {
                    if let Some(called) = self.kfuncs.of(*btf_id as u32) {
                        (*btf_id, *module) = (called.btf_id, called.module);
                    }
                }
                _ => {}
            }
        }
        Slot::join(&skep_isa::encode(&insns))
    }

    /// The same program without its compiled code, to be compiled otherwise.
    pub(crate) fn uncompiled(&self) -> Program {
        Program {
            insns: self.insns.clone(),
            maps: self.maps.clone(),
            kfuncs: self.kfuncs.clone(),
            proof: self.proof.clone(),
            hook: self.hook.clone(),
            code: OnceLock::new(),
            ..*self
        }
    }
}

impl MapObject for Program {
    fn id(&self) -> u32 {
        self.id
    }

    fn raw(&self) -> *const () {
        (&raw const *self).cast()
    }
}
