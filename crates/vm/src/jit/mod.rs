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
//! Addresses are plain numbers. Guarded code compares them with two ranges: the stack,
//! and the region that was used last; what is in neither goes to the host, which knows
//! every region that the run was given pointers to. A pointer that was moved from one
//! region into another is let through, where the interpreter, whose pointers remember
//! their region, traps. Nothing outside of the run's regions is ever touched.
#![allow(unsafe_code, reason = "runs machine code; each block says why it may")]

pub mod ir;
pub(crate) mod lower;
pub mod passes;
pub(crate) mod state;

pub use passes::Passes;
pub use state::{CodeStack, State};

use std::sync::Arc;

use skep_isa::{Insn, Pc, Size};
use skep_verify::Facts;

use crate::objects::map::MapHandle;
use ir::{ByteOrder, Module};
use lower::code::CodeMemory;
pub use lower::machine_code::{MachineCode, MachineFunction};

/// Which checks compiled code makes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Checks {
    /// All: nothing is known about the program.
    Guarded,
    /// None: a verifier proved that they are not needed.
    Elided,
}

/// What is compiled.
#[derive(Clone, Copy)]
pub struct Source<'s> {
    /// Instructions, one for each slot.
    pub insns: &'s [Insn],
    /// The maps that they name by index.
    pub(crate) maps: &'s [Arc<MapHandle>],
    /// What a verifier knows of them; only of code without checks.
    pub(crate) facts: Option<&'s Facts>,
    /// The maps that the facts speak of.
    pub(crate) fact_maps: &'s [Option<Arc<MapHandle>>],
    /// Whether there is a kernel around the run: without one, there are no helpers.
    pub(crate) hosted: bool,
    /// How the machine that code is made for orders bytes.
    pub(crate) bytes: ByteOrder,
}

impl<'s> Source<'s> {
    /// Instructions that know nothing but their memory.
    pub fn bare(insns: &'s [Insn]) -> Source<'s> {
        Source {
            insns,
            maps: &[],
            facts: None,
            fact_maps: &[],
            hosted: false,
            bytes: ByteOrder::HOST,
        }
    }
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
    /// Whether it is a loaded program's, with maps and a context that somebody holds.
    hosted: bool,
    /// Where the functions start that helpers call: by their first slots, sorted.
    callbacks: Vec<(Pc, u32)>,
    /// The fields of the context that it loads from cells.
    pub(crate) cells: Vec<(u32, Size)>,
}

/// Builds and optimises the SSA form of a program.
///
/// # Errors
/// Something that is not compiled.
pub fn optimise(source: Source<'_>, options: Options) -> Result<Module, JitError> {
    let guarded = options.checks == Checks::Guarded;
    let mut module = ir::build::build(source, guarded)?;
    passes::run(&mut module, options.passes, options.checks)?;
    Ok(module)
}

/// Compiles with every check: any program, however hostile, stays in its memory.
///
/// # Errors
/// Something that is not compiled.
pub fn compile(insns: &[Insn], passes: Passes) -> Result<Code, JitError> {
    generate(Source::bare(insns), Options { checks: Checks::Guarded, passes })
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
    generate(Source::bare(insns), Options { checks: Checks::Elided, passes })
}

pub(crate) fn generate(source: Source<'_>, options: Options) -> Result<Code, JitError> {
    let module = optimise(source, options)?;
    let machine = lower::Machine::host()?;
    let native = lower::lower(&module, source.maps, options.checks, machine, false)?;
    Code::new(native, module, options.checks, source.hosted)
}

impl Code {
    /// Machine code of this machine, ready to run.
    fn new(
        native: MachineCode,
        module: Module,
        checks: Checks,
        hosted: bool,
    ) -> Result<Code, JitError> {
        let memory = CodeMemory::new(&native.bytes, native.lead)
            .map_err(|error| JitError::Memory(error.kind()))?;
        let (callbacks, cells) = (native.callbacks, module.cells);
        Ok(Code { memory, checks, hosted, callbacks, cells })
    }

    /// Which checks it makes.
    pub fn checks(&self) -> Checks {
        self.checks
    }

    pub(crate) fn is_guarded(&self) -> bool {
        self.checks == Checks::Guarded
    }

    /// The machine code.
    pub fn bytes(&self) -> &[u8] {
        self.memory.bytes()
    }
}
