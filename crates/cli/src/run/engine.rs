//! Which engine of the embedded kernel runs a program, and how it is compiled.

use skep::vm::Program;
use skep::vm::jit::{Checks, Passes};
use skep::vm::{Engine, Vm};

use crate::failure::Failure;

const HEADING: &str = "Engine of the embedded kernel";

/// How the embedded kernel runs programs.
#[derive(clap::Args, Clone, Debug)]
pub struct EngineArgs {
    /// Interpret the program, which checks every access and says most of a bad one
    #[arg(long, conflicts_with_all = ["checks", "passes"], help_heading = HEADING)]
    interpret: bool,
    #[command(flatten)]
    compiler: CompilerArgs,
}

/// How the embedded kernel compiles programs.
#[derive(clap::Args, Clone, Debug)]
pub struct CompilerArgs {
    /// Checks that compiled code makes: what the verifier did not prove, or all
    #[arg(long, value_enum, value_name = "WHICH", help_heading = HEADING)]
    checks: Option<Kept>,
    /// Passes of the compiler: names, `all`, `none`, or what to leave out: -inline,-ranges
    #[arg(
        long,
        value_name = "LIST",
        value_parser = passes,
        allow_hyphen_values = true,
        long_help = passes_help(),
        help_heading = HEADING
    )]
    passes: Option<Passes>,
}

/// Checks that are kept.
#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum)]
enum Kept {
    /// None of a program that the verifier accepted, all of others
    Elided,
    /// All
    Guarded,
}

impl EngineArgs {
    /// Has a kernel run programs like that. What the verifier refused is interpreted
    /// unless checks were asked for: the interpreter says most of a bad access.
    pub fn apply(&self, vm: Vm) -> Vm {
        let engine = match (self.interpret, self.compiler.checks) {
            (true, _) => Engine::Interpreter,
            (false, Some(Kept::Guarded)) => Engine::Guarded,
            (false, Some(Kept::Elided)) => Engine::Auto,
            (false, None) if vm.verifies() => Engine::Auto,
            (false, None) => Engine::Interpreter,
        };
        vm.with_engine(engine).with_passes(self.compiler.passes.unwrap_or(Passes::ALL))
    }

    /// For a kernel that is not the embedded one.
    ///
    /// # Errors
    /// Something was asked for that only the embedded kernel has.
    pub fn refuse(&self) -> Result<(), Failure> {
        match self.interpret || self.compiler.are_given() {
            true => Err(Failure::unusable(
                "--interpret, --checks and --passes are the embedded kernel's",
            )),
            false => Ok(()),
        }
    }
}

/// `all`, `none`, `inline,ranges`, `-inline,-ranges`.
fn passes(text: &str) -> Result<Passes, String> {
    let names = || text.split(',').map(str::trim).filter(|name| !name.is_empty());
    let starts_with_all = names().next().is_some_and(|name| name.starts_with('-'));
    let mut passes = if starts_with_all { Passes::ALL } else { Passes::NONE };
    for name in names() {
        let (off, name) = match name.strip_prefix('-') {
            Some(name) => (true, name),
            None => (false, name),
        };
        let named = match name {
            "all" => Passes::ALL,
            "none" => Passes::NONE,
            _ => Passes::named(name).ok_or_else(|| {
                format!("no pass is called {name:?}; there are {}", Passes::names().join(", "))
            })?,
        };
        passes = if off { passes.without(named) } else { passes.with(named) };
    }
    Ok(passes)
}

impl CompilerArgs {
    /// Has a kernel compile every program like that.
    pub fn apply(&self, vm: Vm) -> Vm {
        let engine = match self.checks {
            Some(Kept::Guarded) => Engine::Guarded,
            Some(Kept::Elided) | None => Engine::Auto,
        };
        vm.with_engine(engine).with_passes(self.passes.unwrap_or(Passes::ALL))
    }

    /// Whether anything is asked for.
    pub fn are_given(&self) -> bool {
        self.checks.is_some() || self.passes.is_some()
    }
}

fn passes_help() -> String {
    format!(
        "Passes of the compiler: names, `all`, `none`, or what to leave out: -inline,-ranges.\n\
         There are {}",
        Passes::names().join(", ")
    )
}

/// `elided`, `guarded` or `interpreter`: what ran a program.
pub fn name(program: &Program) -> &'static str {
    match program.checks() {
        Some(Checks::Elided) => "elided",
        Some(Checks::Guarded) => "guarded",
        None => "interpreter",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passes_are_named_or_left_out() {
        let named = |name| Passes::named(name).unwrap();
        assert_eq!(passes("all"), Ok(Passes::ALL));
        assert_eq!(passes("none"), Ok(Passes::NONE));
        assert_eq!(passes("inline, ranges"), Ok(named("inline").with(named("ranges"))));
        assert_eq!(passes("-inline"), Ok(Passes::ALL.without(named("inline"))));
        assert!(passes("inlining").is_err());
    }
}
