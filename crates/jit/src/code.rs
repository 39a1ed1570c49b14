//! Compiled code: where it is, and how it is entered.

use skep_isa::{Pc, Size};

use crate::describe::{Checks, JitError};
use crate::ir::Module;
use crate::lower::code::CodeMemory;
use crate::lower::machine_code::MachineCode;
use crate::state::{Entry, Exit, State};

/// A compiled program.
pub struct Code {
    memory: CodeMemory,
    checks: Checks,
    /// Whether it is a loaded program's, with maps and a context that somebody holds.
    hosted: bool,
    /// Where the functions start that are called back: by their first slots, sorted.
    callbacks: Vec<(Pc, u32)>,
    /// The fields of the context that it loads from cells.
    cells: Vec<(u32, Size)>,
}

impl Code {
    /// Machine code of this machine, ready to run.
    pub(crate) fn new(
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
    #[inline]
    pub fn checks(&self) -> Checks {
        self.checks
    }

    /// Whether it makes them.
    #[inline]
    pub fn is_guarded(&self) -> bool {
        self.checks == Checks::Guarded
    }

    /// The fields of the context that it loads from cells: offsets and sizes.
    #[inline]
    pub fn cells(&self) -> &[(u32, Size)] {
        &self.cells
    }

    /// The machine code.
    pub fn bytes(&self) -> &[u8] {
        self.memory.bytes()
    }

    /// Runs instructions that were compiled alone, with these in r1 and r2: gives r0. The code
    /// of a loaded program is no instruction here: its kernel enters it, with the program's
    /// own maps and context.
    ///
    /// # Errors
    /// Why code left, and at which instruction.
    pub fn run(&self, state: &mut State<'_>, r1: u64, r2: u64) -> Result<u64, (Exit, Pc)> {
        if self.hosted {
            return Err((Exit::BadInstruction, 0));
        }
        // SAFETY: guarded code stays within the ranges of the state, which its maker
        // vouches for; for other code, the caller of `compile_unchecked` did.
        let r0 = unsafe { (self.entry())(state, r1, r2, 0, 0, 0) };
        if state.goes_on() { Ok(r0) } else { Err((state.exit(), state.pc())) }
    }

    /// The program's first function.
    #[inline]
    pub fn entry(&self) -> Entry {
        self.function(0)
    }

    /// The function that starts this many bytes into the code.
    #[inline]
    fn function(&self, offset: u32) -> Entry {
        // SAFETY: offsets of functions lie inside of the code.
        let address = unsafe { self.memory.entry().add(offset as usize) };
        // SAFETY: the address of a function with this signature; code memory lives as
        // long as `self`.
        unsafe { std::mem::transmute::<*const u8, Entry>(address) }
    }

    /// The function to call back that starts at a slot.
    pub fn callback(&self, pc: u64) -> Option<Entry> {
        let at = self.callbacks.binary_search_by_key(&pc, |&(known, _)| known.into()).ok()?;
        Some(self.function(self.callbacks[at].1))
    }
}
