//! The compiler: instructions to SSA, passes over it, Cranelift's back end, code.
//!
//! ```text
//!   Insn -> ir::build -> passes (one file each) -> lower -> code memory
//! ```
//!
//! [`Checks::Guarded`] and [`Checks::Elided`] come from the same code. Guarded code
//! is for programs that nobody verified: each access compares its address with the
//! memory of the run, backward jumps and calls spend from a budget, and what may not
//! be done leaves the run through an ordinary return with the reason in [`State`], no
//! signals involved. Elided code does what it is told; it is for verified programs.
//!
//! The memory of a run is two ranges: its stack (8 frames) and the memory that r1
//! points to. Addresses are plain numbers, so a pointer of a guarded program that was
//! moved from one range into the other is let through, where the interpreter, whose
//! pointers remember their region, traps. Neither touches anything else. Accesses
//! through r10 at constant offsets are checked when the program is compiled.
#![allow(unsafe_code, reason = "runs machine code; each block says why it may")]

pub mod ir;
mod lower;
pub mod passes;
mod run;

pub use passes::Passes;
pub use run::State;

use skep_isa::{Insn, Pc};

use ir::Module;
use lower::code::CodeMemory;

/// Which checks compiled code makes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Checks {
    /// All: nothing is known about the program.
    Guarded,
    /// None: a verifier proved that they are not needed.
    Elided,
}

/// How to compile.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Checks.
    pub checks: Checks,
    /// Passes to run.
    pub passes: Passes,
}

/// Why a program was not compiled. The interpreter runs it all the same.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum JitError {
    /// An instruction that is not compiled.
    #[error("insn {pc}: {what} are not compiled")]
    Unsupported {
        /// The instruction.
        pc: Pc,
        /// What it does.
        what: &'static str,
    },
    /// More than the compiler takes on.
    #[error("too large to compile: {what}")]
    TooLarge {
        /// Of what there is too much.
        what: &'static str,
    },
    /// The back end gave up.
    #[error("code generation: {0}")]
    Backend(String),
    /// No memory for code.
    #[error("code memory: {0}")]
    Memory(std::io::ErrorKind),
    /// A pass broke the rules of the SSA form (checked under test only).
    #[error("after {pass}: {broken}")]
    Broken {
        /// The pass.
        pass: &'static str,
        /// What does not hold.
        broken: String,
    },
}

/// A compiled program.
pub struct Code {
    memory: CodeMemory,
    checks: Checks,
}

/// Builds and optimises the SSA form of a program.
///
/// # Errors
/// Something that is not compiled.
pub fn optimise(insns: &[Insn], options: Options) -> Result<Module, JitError> {
    let guarded = options.checks == Checks::Guarded;
    let mut module = ir::build::build(insns, guarded)?;
    passes::run(&mut module, options.passes, options.checks)?;
    Ok(module)
}

/// Compiles with every check: any program, however hostile, stays in its memory.
///
/// # Errors
/// Something that is not compiled.
pub fn compile(insns: &[Insn], passes: Passes) -> Result<Code, JitError> {
    generate(insns, Options { checks: Checks::Guarded, passes })
}

/// Compiles without checks.
///
/// # Safety
/// Whenever the code runs, with the arguments that it gets, the program only accesses
/// memory that is its own, ends, and nests at most 8 calls: what a verifier proves.
///
/// # Errors
/// Something that is not compiled.
pub unsafe fn compile_unchecked(insns: &[Insn], passes: Passes) -> Result<Code, JitError> {
    generate(insns, Options { checks: Checks::Elided, passes })
}

fn generate(insns: &[Insn], options: Options) -> Result<Code, JitError> {
    let module = optimise(insns, options)?;
    let memory = lower::lower(&module, options.checks)?;
    Ok(Code { memory, checks: options.checks })
}

impl Code {
    /// Which checks it makes.
    pub fn checks(&self) -> Checks {
        self.checks
    }

    /// The machine code.
    pub fn bytes(&self) -> &[u8] {
        self.memory.bytes()
    }
}

#[cfg(test)]
mod tests;
