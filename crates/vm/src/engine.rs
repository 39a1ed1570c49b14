//! Which engine runs a program: compiled code wherever there can be some, without
//! checks for what the verifier accepted, else the interpreter.
//!
//! Programs are compiled when they first run, and keep their code. How much is done
//! for it is decided beforehand, by their size.

mod perf_map;

use std::sync::Arc;

use crate::hooks::Context;
use crate::interp::{Outcome, Run};
use crate::jit::host::{self, Native};
use crate::jit::{
    Checks, Code, JitError, MachineCode, Passes, State, compile_program, list_program,
};
use crate::mem::value::{Region, Value};
use crate::program::Program;
use crate::{Vcpu, Vm};

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

    /// Its compiled code, where it was compiled.
    pub fn compiled(&self) -> Option<&Arc<Code>> {
        self.code.get().and_then(|code| code.as_ref().ok())
    }
}

/// A program made ready to run on a context, again and again.
pub(crate) struct Runner<'r> {
    run: Run<'r>,
    state: State<'r>,
    program: Arc<Program>,
    /// The program's own code; `None` where it is interpreted.
    code: Option<Arc<Code>>,
    arguments: [Value; 2],
    budget: u64,
}

impl<'r> Runner<'r> {
    /// Runs `program` with these in r1 and r2; without `how` it is interpreted.
    pub fn new(
        vm: &'r Vm,
        how: Option<How>,
        program: &Arc<Program>,
        vcpu: &'r mut Vcpu,
        context: &'r mut dyn Context,
        arguments: [Value; 2],
    ) -> Runner<'r> {
        let mut state = State::on(&mut vcpu.stack);
        state.cpu = vcpu.id.into();
        let (stack, cpu, budget) = (&mut vcpu.stack, vcpu.id, vm.budget());
        let run = Run::new(vm.environment(), program.clone(), stack, context, cpu, budget);
        let mut run = run.asserting_facts(vm.asserts());
        let code = how.and_then(|how| program.code(how)).cloned();
        if let (Some(code), Some(how)) = (&code, how) {
            run.native = Some(Native::new(code, how, arguments[0]));
        }
        Runner { run, state, program: program.clone(), code, arguments, budget }
    }

    /// Lets it use memory besides what its context and its maps hold.
    pub fn with_memory(mut self, memory: Option<Region>) -> Runner<'r> {
        self.run.memory = memory;
        self
    }

    /// Runs it once.
    #[inline]
    pub fn run(&mut self) -> Outcome {
        if let Some(code) = &self.code {
            let (run, state) = (&mut self.run, &mut self.state);
            if let Some(outcome) = host::execute(run, state, code, self.arguments, self.budget) {
                return outcome;
            }
        }
        self.interpret()
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
