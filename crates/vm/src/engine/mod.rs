//! What runs the programs of a kernel: compiled code wherever there can be some, without
//! checks for what the verifier accepted, else the interpreter.

mod alarms;
pub(crate) mod event;
mod iterate;
pub(crate) mod machine;
pub(crate) mod runner;
#[cfg(test)]
mod tests;
pub(crate) mod workspaces;

use skep_jit::Passes;

use crate::objects::program::How;

/// What runs programs.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Engine {
    /// Compiled code: without checks for programs that the verifier accepted, with all of
    /// them for others.
    #[default]
    Auto,
    /// Compiled code with all checks.
    Guarded,
    /// The interpreter.
    Interpreter,
}

impl Engine {
    /// How it compiles programs, with these passes, if it does.
    pub(crate) fn how(self, passes: Passes) -> Option<How> {
        let guarded = match self {
            Engine::Auto => false,
            Engine::Guarded => true,
            Engine::Interpreter => return None,
        };
        Some(How { guarded, passes })
    }
}
