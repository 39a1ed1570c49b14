//! The passes, in the order they run. Each can be switched off; tests do so in turn.

mod clean;

use super::ir::Module;
#[cfg(debug_assertions)]
use super::ir::check::check_module;
use super::{Checks, JitError};

/// Which passes run.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Passes(u32);

/// The passes by name, each at its bit.
const NAMES: [&str; 1] = ["clean"];

const CLEAN: Passes = Passes(1);

impl Passes {
    /// None but what the rest cannot do without.
    pub const NONE: Passes = Passes(0);
    /// All of them.
    pub const ALL: Passes = Passes((1 << NAMES.len()) - 1);

    /// Names of all passes.
    pub fn names() -> &'static [&'static str] {
        &NAMES
    }

    /// Only the pass with this name.
    pub fn named(name: &str) -> Option<Passes> {
        NAMES.iter().position(|&known| known == name).map(|at| Passes(1 << at))
    }

    /// These, but not those.
    pub fn without(self, those: Passes) -> Passes {
        Passes(self.0 & !those.0)
    }

    /// These and those.
    pub fn with(self, those: Passes) -> Passes {
        Passes(self.0 | those.0)
    }

    fn contains(self, those: Passes) -> bool {
        self.0 & those.0 == those.0
    }
}

/// Runs them on a module.
///
/// # Errors
/// A pass broke the SSA form; only looked for under test.
pub fn run(module: &mut Module, passes: Passes, _checks: Checks) -> Result<(), JitError> {
    verify(module, "build")?;
    if passes.contains(CLEAN) {
        module.funcs.iter_mut().for_each(clean::run);
        verify(module, "clean")?;
    }
    Ok(())
}

#[cfg(debug_assertions)]
fn verify(module: &Module, pass: &'static str) -> Result<(), JitError> {
    check_module(module).map_err(|broken| JitError::Broken { pass, broken })
}

#[cfg(not(debug_assertions))]
fn verify(_module: &Module, _pass: &'static str) -> Result<(), JitError> {
    Ok(())
}
