//! An application's own hook: programs that were loaded for it, one of which it runs, from any
//! thread, and may be exchanged for another one while others run.
//!
//! A run takes a vCPU and with it what lies ready for runs there ([`Seats`]): the program and a
//! stack. What lies there is of the program that was current when it was last used; a number
//! tells whether that has changed. So a run reads one shared word, and an exchange is one
//! store: runs that begin after it are the new program's. The old one goes once no vCPU has it
//! any more.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use skep_abi::{ProgType, Trap};
use skep_sys::{Errno, RawFd};

pub use crate::contexts::own::MOST_DATA;
use crate::contexts::own::Own;
use crate::engine::runner::Runner;
use crate::kernel::vm::Vm;
use crate::kfuncs::{self, MissingKfunc};
use crate::memory::value::Value;
use crate::objects::hook::HookDef;
use crate::objects::program::Program;
use crate::run::Outcome;
use crate::run::seats::{Place, Seats};
use crate::run::vcpus::{Lease, NoVcpu};

/// Why a program is not one for a hook.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PointError {
    /// There is no such program.
    #[error("there is no program: {0}")]
    Program(Errno),
    /// It was verified for something else.
    #[error("the program was not verified for this hook")]
    OtherHook,
    /// The program calls what is not here.
    #[error(transparent)]
    Missing(#[from] MissingKfunc),
}

/// Why a run has no result.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PointFailure {
    /// The program did something that it may not, or a helper panicked.
    #[error("{0}")]
    Trapped(Box<Trap>),
    /// The program used up its budget of instructions.
    #[error("the budget of instructions is used up")]
    OutOfBudget,
    /// A run of the same hook is under way in this thread, and the hook does not let them nest.
    #[error("a run of the same hook is under way in this thread")]
    Nested,
    /// The program was made ready for another hook.
    #[error("the program is another hook's")]
    OtherHook,
    /// The program was not run.
    #[error(transparent)]
    Vcpu(#[from] NoVcpu),
}

/// What a program did so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RunCounts {
    /// Runs that returned.
    pub returned: u64,
    /// Runs that trapped.
    pub trapped: u64,
    /// Runs that used up their budget.
    pub out_of_budget: u64,
}

/// Counts of one vCPU: only who holds that writes to them.
#[derive(Default)]
#[repr(align(128))]
struct Counters {
    returned: AtomicU64,
    trapped: AtomicU64,
    out_of_budget: AtomicU64,
}

/// A program that was verified for a hook.
pub struct PointProgram {
    program: Arc<Program>,
    counters: Box<[Counters]>,
    /// For runs of this one, whichever is current.
    seats: Seats<Option<Box<Runner>>>,
    /// That of the hook that it was made ready for: its maps are those of that kernel, and r1
    /// points to that hook's context.
    point: Arc<Identity>,
}

/// What tells a hook from all others, by its address.
struct Identity(#[allow(dead_code, reason = "so that it has an address of its own")] u8);

impl PointProgram {
    /// The program.
    pub fn program(&self) -> &Program {
        &self.program
    }

    /// What it did so far, in all threads together.
    pub fn counts(&self) -> RunCounts {
        self.counters.iter().fold(RunCounts::default(), |sum, of| RunCounts {
            returned: sum.returned + of.returned.load(Ordering::Relaxed),
            trapped: sum.trapped + of.trapped.load(Ordering::Relaxed),
            out_of_budget: sum.out_of_budget + of.out_of_budget.load(Ordering::Relaxed),
        })
    }

    #[inline]
    fn count(&self, cpu: u32, outcome: &Outcome) {
        let Some(counters) = self.counters.get(cpu as usize) else { return };
        let counter = match outcome {
            Outcome::Returned(_) => &counters.returned,
            Outcome::Trapped(_) => &counters.trapped,
            Outcome::OutOfBudget => &counters.out_of_budget,
        };
        // The vCPU's holder is the only one that writes.
        counter.store(counter.load(Ordering::Relaxed).wrapping_add(1), Ordering::Relaxed);
    }
}

/// What lies ready for runs on a vCPU.
#[derive(Default)]
struct Ready {
    /// Which exchange it is of.
    generation: u64,
    with: Option<(Arc<PointProgram>, Box<Runner>)>,
}

/// A hook of an application.
pub struct HookPoint {
    vm: Arc<Vm>,
    def: Arc<HookDef>,
    identity: Arc<Identity>,
    nests: bool,
    seats: Seats<Ready>,
    current: Mutex<Option<Arc<PointProgram>>>,
    /// Counts the exchanges; written while `current` is locked.
    generation: AtomicU64,
}

/// What a run is given, and what becomes of it.
pub trait Occasion {
    /// Writes the context's fields.
    fn fill(&self, fields: &mut [u8]);

    /// The bytes that the context leads to: at most [`MOST_DATA`] of them count.
    fn data(&self) -> &[u8] {
        &[]
    }

    /// The program returned: the fields, and the bytes that it leads to, as it left them.
    fn take(&mut self, fields: &[u8], data: &[u8]);
}

impl HookPoint {
    /// A hook whose programs are loaded in this process, which was made for it; `nests` where
    /// runs of it may be started within runs of it, of the same thread. `None` where the process
    /// was made for none.
    pub fn new(vm: &Arc<Vm>, nests: bool) -> Option<HookPoint> {
        let def = Arc::clone(vm.hook()?);
        let seats = Seats::new(&vm.machine.vcpus, vm.machine.env.cpus(), Ready::default);
        let (current, generation) = (Mutex::default(), AtomicU64::new(0));
        let (vm, identity) = (Arc::clone(vm), Arc::new(Identity(0)));
        Some(HookPoint { vm, def, identity, nests, seats, current, generation })
    }

    /// The process that its programs are loaded in.
    pub fn vm(&self) -> &Arc<Vm> {
        &self.vm
    }

    /// The program behind `fd`, made ready for this hook.
    ///
    /// # Errors
    /// It is none, was verified for something else, or calls what is not here.
    pub fn program(&self, fd: RawFd) -> Result<PointProgram, PointError> {
        let program = self.vm.program(fd).map_err(PointError::Program)?;
        let same = program.hook.as_ref().is_some_and(|hook| Arc::ptr_eq(hook, &self.def));
        // What no verifier saw has no proof, whatever it was loaded for.
        if !same || program.prog_type != ProgType::Unspec || program.proof.is_none() {
            return Err(PointError::OtherHook);
        }
        if let Some(missing) = kfuncs::missing(&program) {
            return Err(missing.into());
        }
        if let Some(how) = self.vm.machine.how() {
            // Where there is no code it is interpreted, and keeps why.
            let _ = program.code(how);
        }
        let cpus = self.vm.machine.env.cpus();
        let seats = Seats::new(&self.vm.machine.vcpus, cpus, || None);
        let counters = (0..cpus).map(|_| Counters::default()).collect();
        Ok(PointProgram { program, counters, seats, point: Arc::clone(&self.identity) })
    }

    /// Has runs that begin from now on be of this program, or of none; gives the one before,
    /// which runs that are under way go on with.
    ///
    /// # Errors
    /// It is another hook's.
    pub fn exchange(
        &self,
        program: Option<Arc<PointProgram>>,
    ) -> Result<Option<Arc<PointProgram>>, PointError> {
        if program.as_ref().is_some_and(|program| !self.is_of_this(program)) {
            return Err(PointError::OtherHook);
        }
        let mut current = self.current();
        let before = std::mem::replace(&mut *current, program);
        let generation = self.generation.load(Ordering::Relaxed) + 1;
        self.generation.store(generation, Ordering::SeqCst);
        drop(current);
        // What lies ready of the old one goes, but where it runs: there it goes after the run.
        self.seats.visit(|ready| (ready.generation < generation).then(|| ready.with.take()));
        Ok(before)
    }

    fn is_of_this(&self, program: &PointProgram) -> bool {
        Arc::ptr_eq(&self.identity, &program.point)
    }

    /// The program that runs are of.
    pub fn current_program(&self) -> Option<Arc<PointProgram>> {
        self.current().clone()
    }

    fn current(&self) -> MutexGuard<'_, Option<Arc<PointProgram>>> {
        // It is written in one step.
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn runner(&self, program: &PointProgram) -> Box<Runner> {
        let row = self.def.row().context;
        let (machine, context) = (&self.vm.machine, Box::new(Own::new(row)));
        let arguments = [Value::context(row.size), Value::UNINIT];
        let program = Arc::clone(&program.program);
        let how = machine.how();
        Box::new(Runner::new(machine, how, program, Box::default(), context, arguments))
    }

    /// Runs the current program; gives what it returned, and `None` where there is none.
    ///
    /// # Errors
    /// Why there is no result.
    #[inline]
    pub fn run(&self, occasion: &mut impl Occasion) -> Result<Option<u64>, PointFailure> {
        let mut place = match self.seats.take()? {
            Place::Seat(place) => place,
            Place::Nested(lease) => return self.run_nested(&lease, occasion),
        };
        let (ready, lease) = place.parts();
        if ready.generation != self.generation.load(Ordering::Acquire) {
            self.renew(ready);
        }
        let Some((program, runner)) = &mut ready.with else { return Ok(None) };
        let outcome = turn(program, runner, lease, occasion);
        if ready.generation != self.generation.load(Ordering::Relaxed) {
            // The exchange found this seat taken.
            *ready = Ready::default();
        }
        result(outcome).map(Some)
    }

    #[cold]
    fn renew(&self, ready: &mut Ready) {
        let current = self.current();
        let (generation, program) = (self.generation.load(Ordering::Relaxed), current.clone());
        drop(current);
        let with = program.map(|program| {
            let runner = self.runner(&program);
            (program, runner)
        });
        *ready = Ready { generation, with };
    }

    /// A run within another one, which has the seat: with a stack of its own.
    #[cold]
    fn run_nested(
        &self,
        lease: &Lease<'_>,
        occasion: &mut impl Occasion,
    ) -> Result<Option<u64>, PointFailure> {
        if !self.nests {
            return Err(PointFailure::Nested);
        }
        let Some(program) = self.current_program() else { return Ok(None) };
        let mut runner = self.runner(&program);
        result(turn(&program, &mut runner, lease, occasion)).map(Some)
    }

    /// Runs a program that was loaded for this hook, whichever is current.
    ///
    /// # Errors
    /// Why there is no result.
    pub fn run_program(
        &self,
        program: &PointProgram,
        occasion: &mut impl Occasion,
    ) -> Result<u64, PointFailure> {
        if !self.is_of_this(program) {
            return Err(PointFailure::OtherHook);
        }
        match program.seats.take()? {
            Place::Seat(mut place) => {
                let (runner, lease) = place.parts();
                let runner = runner.get_or_insert_with(|| self.runner(program));
                result(turn(program, runner, lease, occasion))
            }
            Place::Nested(_) if !self.nests => Err(PointFailure::Nested),
            Place::Nested(lease) => {
                result(turn(program, &mut self.runner(program), &lease, occasion))
            }
        }
    }
}

/// One run.
#[inline]
fn turn(
    program: &PointProgram,
    runner: &mut Runner,
    lease: &Lease<'_>,
    occasion: &mut impl Occasion,
) -> Outcome {
    if let Some(own) = runner.context_mut().own() {
        occasion.fill(own.bytes_mut());
        own.fill(occasion.data());
    }
    let outcome = runner.on(lease).run();
    program.count(lease.cpu(), &outcome);
    if matches!(outcome, Outcome::Returned(_))
        && let Some(own) = runner.context_mut().own()
    {
        occasion.take(own.bytes(), own.data());
    }
    outcome
}

#[inline]
fn result(outcome: Outcome) -> Result<u64, PointFailure> {
    match outcome {
        Outcome::Returned(r0) => Ok(r0),
        Outcome::Trapped(trap) => Err(PointFailure::Trapped(Box::new(trap))),
        Outcome::OutOfBudget => Err(PointFailure::OutOfBudget),
    }
}
