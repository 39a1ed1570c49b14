//! A program made ready to run: by its compiled code where it has some, else interpreted.

use std::sync::Arc;

use skep_jit::{Code, State};

use super::machine::Machine;
use crate::compiled;
use crate::contexts::Context;
use crate::interp;
use crate::memory::stack::Stack;
use crate::memory::value::{Region, Value};
use crate::objects::program::{How, Program};
use crate::run::network::Redirect;
use crate::run::sequence::Sequence;
use crate::run::vcpus::{Lease, NoVcpu, Vcpus};
use crate::run::world::{Call, World};
use crate::run::{Entries, Native, Outcome, Run};

/// How what stands below the engines enters code.
pub(super) const ENTRIES: Entries = Entries {
    call_back: |run, function, arguments| match run.native {
        Some(_) => compiled::call_back(run, function, arguments),
        None => interp::call_back(run, function, arguments),
    },
    unwind: |run| match run.native {
        Some(_) => compiled::unwind(run),
        None => interp::unwind(run),
    },
    go_on: interp::go_on,
};

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

/// What a run sees besides its context and its maps, where that is not the kernel's.
#[derive(Clone, Default)]
pub(crate) struct Scene {
    /// Memory that it may use, a context that is memory among it.
    pub memory: Option<Region>,
    /// The time.
    pub time: Option<u64>,
    /// The world.
    pub world: Option<Arc<World>>,
    /// How the program is called.
    pub call: Call,
    /// The vCPU to run on.
    pub cpu: Option<u32>,
    /// What the program prints as an iterator.
    pub sequence: Option<Arc<Sequence>>,
}

/// A runner while its thread holds a vCPU.
pub(crate) struct Running<'r, 'v> {
    runner: &'r mut Runner,
    /// Given back after the turn has ended; none where it is the caller's.
    _lease: Option<Lease<'v>>,
}

impl Runner {
    /// To run `program` with these in r1 and r2; without `how` it is interpreted.
    pub fn new(
        machine: &Machine,
        how: Option<How>,
        program: Arc<Program>,
        mut stack: Box<Stack>,
        context: Box<dyn Context>,
        arguments: [Value; 2],
    ) -> Runner {
        let (state, budget) = (stack.state(), machine.budget);
        let env = machine.env.clone();
        let run = Run::new(env, program.clone(), stack, context, budget, ENTRIES);
        let run = run.asserting_facts(machine.asserts);
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

    /// Has its runs see this.
    pub fn with_scene(mut self, scene: Scene) -> Runner {
        self.run.memory = scene.memory;
        self.run.time = scene.time;
        self.run.world = scene.world;
        self.run.call = scene.call;
        self.run.sequence = scene.sequence;
        self
    }

    /// How it was called, with what the last run made of it.
    pub fn call(&self) -> Call {
        self.run.call
    }

    /// Where the last run redirected its packet to, of which the next one knows nothing.
    pub fn take_redirect(&mut self) -> Option<Redirect> {
        self.run.call.redirect.take()
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
        self.lease_on(vcpus, None)
    }

    /// The same, of this number; within another run of the thread it is that one's.
    ///
    /// # Errors
    /// There is none for this thread.
    #[inline]
    pub fn lease_on<'r, 'v>(
        &'r mut self,
        vcpus: &'v Vcpus,
        cpu: Option<u32>,
    ) -> Result<Running<'r, 'v>, NoVcpu> {
        let lease = match cpu {
            Some(cpu) => vcpus.lease_of(cpu)?,
            None => vcpus.lease()?,
        };
        self.begin(lease.cpu());
        Ok(Running { runner: self, _lease: Some(lease) })
    }

    /// The same on a vCPU that the thread holds already.
    #[inline]
    pub fn on<'r>(&'r mut self, lease: &'r Lease<'_>) -> Running<'r, 'r> {
        self.begin(lease.cpu());
        Running { runner: self, _lease: None }
    }

    #[inline]
    fn begin(&mut self, cpu: u32) {
        if !self.prepared {
            self.prepare();
        }
        self.run.turn.cpu = cpu;
        self.state.set_cpu(cpu);
    }

    #[cold]
    fn prepare(&mut self) {
        self.prepared = true;
        let Some(how) = self.how else { return };
        self.code = self.program.code(how).cloned();
        self.run.native =
            self.code.as_ref().map(|code| Native::new(code.is_guarded(), how, self.arguments[0]));
    }

    #[cold]
    fn interpret(&mut self) -> Outcome {
        let native = self.run.native.take();
        self.run.restart(&self.program, self.budget);
        let outcome = interp::run(&mut self.run, &self.arguments);
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
            let outcome = compiled::execute(run, state, code, runner.arguments, runner.budget);
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
        self.runner.run.turn.end();
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
