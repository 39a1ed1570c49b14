//! A compiler of eBPF: instructions to SSA, passes over it, Cranelift's back end, code.
//!
//! ```text
//!   Insn -> ir::build -> passes (one file each) -> lower -> code memory
//! ```
//!
//! What a program's maps are, what it calls, and who runs its code, it is told as data
//! ([`MapView`], [`Callee`], [`Host`]); it knows nothing else of them.
//!
//! [`Checks::Guarded`] and [`Checks::Elided`] come from the same code. Guarded code
//! is for programs that nobody verified: each access compares its address with the
//! memory of the run, backward jumps and calls spend from a budget, and what may not
//! be done leaves the run through an ordinary return with the reason in [`State`], no
//! signals involved. Elided code does what it is told; it is for verified programs.
//!
//! Addresses are plain numbers. Guarded code compares them with two ranges: the stack,
//! and the region that was used last; what is in neither is asked of the host, which knows
//! every region that the run was given pointers to. Nothing outside of the run's regions
//! is ever touched.

mod bare;
mod code;
mod describe;
pub mod ir;
mod lower;
pub mod passes;
mod state;

pub use code::Code;
pub use describe::{
    ByteOrder, Callee, Callees, Checks, Direct, DirectValue, Host, Inline, JitError, KFUNCS,
    Layout, MapView, Range, Reach, Source, atomic_code,
};
pub use lower::Machine;
pub use lower::machine_code::{MachineCode, MachineFunction};
pub use passes::Passes;
pub use state::{
    CodeStack, Entry, Exit, FRAME_SIZE, MAX_FRAMES, PROGRAM_FRAMES, STACK_SIZE, State, offset,
};

use ir::Module;
use skep_isa::Insn;

/// How to compile.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Checks.
    pub checks: Checks,
    /// Passes to run.
    pub passes: Passes,
}

/// Builds and optimises the SSA form of a program.
///
/// # Errors
/// Something that is not compiled.
pub fn optimise(source: Source<'_>, options: Options) -> Result<Module, JitError> {
    let guarded = options.checks == Checks::Guarded;
    let mut module = ir::build::build(source, guarded || source.counted)?;
    passes::run(&mut module, options.passes, options.checks)?;
    Ok(module)
}

/// Compiles for a machine, to be read or taken there; with `lines`, what comes out knows the
/// instruction that each part of it comes from.
///
/// # Errors
/// Something that is not compiled.
pub fn assemble(
    source: Source<'_>,
    options: Options,
    machine: &Machine,
    lines: bool,
) -> Result<MachineCode, JitError> {
    let module = optimise(source, options)?;
    lower::lower(&module, source.maps, source.host, options.checks, machine, lines)
}

/// Compiles with every check: any program, however hostile, stays in its memory.
///
/// # Errors
/// Something that is not compiled.
pub fn compile(insns: &[Insn], passes: Passes) -> Result<Code, JitError> {
    let options = Options { checks: Checks::Guarded, passes };
    // SAFETY: it makes all checks.
    unsafe { generate(Source::bare(insns), options) }
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
    let options = Options { checks: Checks::Elided, passes };
    // SAFETY: as the caller promises.
    unsafe { generate(Source::bare(insns), options) }
}

/// Compiles for this machine, to run.
///
/// # Safety
/// With [`Checks::Elided`], what [`compile_unchecked`] asks for.
///
/// # Errors
/// Something that is not compiled.
pub unsafe fn generate(source: Source<'_>, options: Options) -> Result<Code, JitError> {
    let module = optimise(source, options)?;
    let machine = Machine::host()?;
    let (maps, host) = (source.maps, source.host);
    let native = lower::lower(&module, maps, host, options.checks, machine, false)?;
    Code::new(native, module, options.checks, source.hosted)
}
