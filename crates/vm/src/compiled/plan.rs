//! How loaded programs are compiled: which checks, which passes, on which maps. They are
//! when they first run, and keep their code. How much is done for it is decided
//! beforehand, by their size.

use std::sync::Arc;

use skep_isa::{Callee, Insn};

use super::perf_map;
use crate::helpers::tags;
use crate::jit::ir::ByteOrder;
use crate::jit::{
    Checks, Code, JitError, MachineCode, Options, Passes, Source, generate, lower, optimise,
};
use crate::objects::program::{How, Program};
use crate::run::panics::caught;

/// Programs of more instructions than this are interpreted.
const MOST_COMPILED: usize = 100_000;
/// Programs of more instructions than this get no passes but the cheap ones.
const MOST_OPTIMISED: usize = 10_000;

impl Program {
    /// Its compiled code, made at the first call; `None` where there is none.
    pub(crate) fn code(&self, how: How) -> Option<&Arc<Code>> {
        let code = self.code.get_or_init(|| {
            let code = compile(self, how.guarded, tier(self, how)?)?;
            perf_map::add(&self.name, self.id, &code);
            Ok(Arc::new(code))
        });
        code.as_ref().ok()
    }

    /// Why it is interpreted, where it was to be compiled and could not be.
    pub fn compile_error(&self) -> Option<&JitError> {
        self.code.get().and_then(|code| code.as_ref().err())
    }

    /// Its compiled code, where it was compiled. It is no one's to run but the kernel's: what
    /// it was verified for is not checked again.
    pub(crate) fn compiled(&self) -> Option<&Arc<Code>> {
        self.code.get().and_then(|code| code.as_ref().ok())
    }

    /// What its compiled code checks, where it was compiled.
    pub fn checks(&self) -> Option<Checks> {
        self.compiled().map(|code| code.checks())
    }
}

/// The passes that a program of its size gets.
fn tier(program: &Program, how: How) -> Result<Passes, JitError> {
    match program.insns.len() {
        0..=MOST_OPTIMISED => Ok(how.passes),
        len if len <= MOST_COMPILED => Ok(how.passes.only(Passes::CHEAP)),
        _ => Err(JitError::TooLarge { what: "instructions" }),
    }
}

/// Compiles a loaded program: without checks where the verifier accepted it and every
/// check is vouched for by that, unless they are `guarded` all the same.
///
/// # Errors
/// Something that is not compiled.
fn compile(program: &Program, guarded: bool, passes: Passes) -> Result<Code, JitError> {
    let (source, options) = plan(program, guarded, passes);
    let generated = caught(|| generate(source, options));
    generated.unwrap_or_else(|panic| Err(JitError::Backend(panic.to_string())))
}

/// What of a loaded program is compiled, and how.
fn plan(program: &Program, guarded: bool, passes: Passes) -> (Source<'_>, Options) {
    // What these helpers read is checked, and only checked code tells where things are.
    let wild = program.insns.iter().any(|insn| match insn {
        Insn::Call(Callee::Helper(id)) => tags::reads_any_address(*id),
        _ => false,
    });
    let facts = program.proof.as_ref().map(|proof| proof.verified.facts());
    let facts = facts.filter(|_| !guarded && !wild);
    let checks = if facts.is_some() { Checks::Elided } else { Checks::Guarded };
    let fact_maps = program.proof.as_ref().map_or(&[][..], |proof| &proof.maps);
    let (insns, maps) = (&*program.insns, &*program.maps);
    let bytes = ByteOrder::HOST;
    let source = Source { insns, maps, facts, fact_maps, hosted: true, bytes };
    (source, Options { checks, passes })
}

/// The machine code of a loaded program, with the instruction that each part of it comes
/// from. It is the code that [`compile`] gives, but it is not made to run.
///
/// # Errors
/// Something that is not compiled.
pub(crate) fn list(program: &Program, how: How) -> Result<(Checks, MachineCode), JitError> {
    let (source, options) = plan(program, how.guarded, tier(program, how)?);
    let module = optimise(source, options)?;
    let machine = lower::Machine::host()?;
    let native = lower::lower(&module, source.maps, options.checks, machine, true)?;
    Ok((options.checks, native))
}
