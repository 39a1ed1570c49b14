//! Which engine runs a program: compiled code wherever there can be some, without
//! checks for what the verifier accepted, else the interpreter.
//!
//! Programs are compiled when they first run, and keep their code. How much is done
//! for it is decided beforehand, by their size.

mod perf_map;

use std::sync::Arc;

use crate::Vm;
use crate::hooks::Context;
use crate::interp::{Outcome, Run};
use crate::jit::host::{self, Native};
use crate::jit::{
    Checks, Code, JitError, MachineCode, Passes, State, compile_program, list_program,
};
use crate::mem::stack::Stack;
use crate::mem::value::{Region, Value};
use crate::program::Program;
use crate::vcpus::{Lease, NoVcpu, Vcpus};

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

/// How programs are compiled.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct How {
    /// With all checks, whatever the verifier says.
    pub guarded: bool,
    /// At most with these passes.
    pub passes: Passes,
}

/// Programs of more instructions than this are interpreted.
const MOST_COMPILED: usize = 100_000;
/// Programs of more instructions than this get no passes but the cheap ones.
const MOST_OPTIMISED: usize = 10_000;

impl Program {
    /// Its compiled code, made at the first call; `None` where there is none.
    pub(crate) fn code(&self, how: How) -> Option<&Arc<Code>> {
        let code = self.code.get_or_init(|| {
            let code = compile_program(self, how.guarded, self.tier(how)?)?;
            perf_map::add(&self.name, self.id, &code);
            Ok(Arc::new(code))
        });
        code.as_ref().ok()
    }

    /// The passes that a program of its size gets.
    fn tier(&self, how: How) -> Result<Passes, JitError> {
        match self.insns.len() {
            0..=MOST_OPTIMISED => Ok(how.passes),
            _ if self.insns.len() <= MOST_COMPILED => Ok(how.passes.only(Passes::CHEAP)),
            _ => Err(JitError::TooLarge { what: "instructions" }),
        }
    }

    /// The machine code that it is run by, to be read; `None` where it is interpreted.
    ///
    /// # Errors
    /// Something that is not compiled.
    pub fn machine_code(&self, vm: &Vm) -> Option<Result<(Checks, MachineCode), JitError>> {
        let how = vm.how()?;
        Some(self.tier(how).and_then(|passes| list_program(self, how.guarded, passes)))
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

/// A program made ready to run on a context, again and again, with a stack of its own.
///
/// Between runs it holds neither a vCPU nor a guard of what is found in maps, and may go to
/// another thread: see [`Runner::lease`].
pub(crate) struct Runner {
    run: Run<'static>,
    state: State<'static>,
    program: Arc<Program>,
    how: Option<How>,
    /// The program's own code, from the first run on; `None` where it is interpreted.
    code: Option<Arc<Code>>,
    prepared: bool,
    arguments: [Value; 2],
    budget: u64,
}

/// A runner while its thread holds a vCPU.
pub(crate) struct Running<'r, 'v> {
    runner: &'r mut Runner,
    /// Given back after the runner's guard.
    _lease: Lease<'v>,
}

impl Runner {
    /// To run `program` with these in r1 and r2; without `how` it is interpreted.
    pub fn new(
        vm: &Vm,
        how: Option<How>,
        program: Arc<Program>,
        mut stack: Box<Stack>,
        context: Box<dyn Context>,
        arguments: [Value; 2],
    ) -> Runner {
        let (state, budget) = (State::on(&mut stack), vm.budget());
        let run = Run::new(vm.shared_environment(), program.clone(), stack, context, 0, budget);
        let run = run.asserting_facts(vm.asserts());
        let (code, prepared) = (None, false);
        Runner { run, state, program, how, code, prepared, arguments, budget }
    }

    /// Compiles the program, if that is how it runs.
    pub fn compile(&self) {
        if let Some(how) = self.how {
            // Where there is no code it is interpreted, and keeps why.
            let _ = self.program.code(how);
        }
    }

    /// Lets it use memory besides what its context and its maps hold.
    pub fn with_memory(mut self, memory: Option<Region>) -> Runner {
        self.run.memory = memory;
        self
    }

    /// The stack and the context, for another runner.
    pub fn into_parts(self) -> (Box<Stack>, Box<dyn Context>) {
        self.run.into_parts()
    }

    /// The program.
    pub fn program(&self) -> &Arc<Program> {
        &self.program
    }

    /// What the program runs on.
    pub fn context(&self) -> &dyn Context {
        &*self.run.context
    }

    /// What the program runs on, to change it between runs.
    pub fn context_mut(&mut self) -> &mut dyn Context {
        &mut *self.run.context
    }

    /// Has its runs see this time, or that of the kernel.
    pub fn set_time(&mut self, ns: Option<u64>) {
        self.run.time = ns;
    }

    /// Takes a vCPU to run on. What it takes besides goes with that.
    ///
    /// # Errors
    /// There is none for this thread.
    #[inline]
    pub fn lease<'r, 'v>(&'r mut self, vcpus: &'v Vcpus) -> Result<Running<'r, 'v>, NoVcpu> {
        let lease = vcpus.lease()?;
        if !self.prepared {
            self.prepare();
        }
        self.run.cpu = lease.cpu();
        self.state.cpu = lease.cpu().into();
        Ok(Running { runner: self, _lease: lease })
    }

    #[cold]
    fn prepare(&mut self) {
        self.prepared = true;
        let Some(how) = self.how else { return };
        self.code = self.program.code(how).cloned();
        self.run.native = self.code.as_ref().map(|code| Native::new(code, how, self.arguments[0]));
    }

    #[cold]
    fn interpret(&mut self) -> Outcome {
        let native = self.run.native.take();
        self.run.restart(&self.program, self.budget);
        let outcome = self.run.interpret(&self.arguments);
        self.run.restart(&self.program, self.budget);
        self.run.native = native;
        outcome
    }
}

impl Running<'_, '_> {
    /// Runs the program once.
    #[inline]
    pub fn run(&mut self) -> Outcome {
        let runner = &mut *self.runner;
        if let Some(code) = &runner.code {
            let (run, state) = (&mut runner.run, &mut runner.state);
            let outcome = host::execute(run, state, code, runner.arguments, runner.budget);
            if let Some(outcome) = outcome {
                return outcome;
            }
        }
        runner.interpret()
    }
}

impl Drop for Running<'_, '_> {
    #[inline]
    fn drop(&mut self) {
        if let Some(native) = &mut self.runner.run.native {
            native.release();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Runner;

    #[test]
    fn an_idle_runner_may_go_to_another_thread() {
        fn sends<T: Send>() {}
        sends::<Runner>();
    }
}
