//! One run of a program: its context, registers and stack, the vCPU that it is on, the time
//! that it sees, and what it holds. Helpers work on it, and either engine drives it: what
//! they do to it stands in their rooms.

mod bits;
pub(crate) mod dynptrs;
pub(crate) mod environment;
pub(crate) mod held;
mod maps;
mod memory;
mod native;
pub(crate) mod network;
pub(crate) mod panics;
mod printer;
mod regions;
pub(crate) mod registers;
pub(crate) mod seats;
pub(crate) mod sequence;
mod sockets;
mod structures;
mod turn;
pub(crate) mod vcpus;
pub(crate) mod world;

pub(crate) use memory::{describe, is_user};
pub(crate) use native::Native;

use std::sync::Arc;

use skep_abi::{Trap, TrapKind};
use skep_isa::Pc;

use crate::contexts::Context;
use crate::memory::stack::Stack;
use crate::memory::value::{Region, Value};
use crate::objects::program::Program;
use environment::Environment;
use held::Held;
use regions::Given;
use registers::Registers;
use sequence::Sequence;
use turn::Turn;
use world::{Call, World};

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It returned r0.
    Returned(u64),
    /// It did something that it may not.
    Trapped(Trap),
    /// It used up its budget of instructions.
    OutOfBudget,
}

/// Why an engine leaves a program.
pub(crate) enum Stop {
    /// The whole program returns this.
    Return(u64),
    /// The instruction at `pc` cannot be done.
    Trap(TrapKind),
    /// The budget is used up.
    Budget,
}

impl From<TrapKind> for Stop {
    fn from(kind: TrapKind) -> Stop {
        Stop::Trap(kind)
    }
}

/// A caller that waits for a subprogram, in the interpreter.
pub(crate) struct Caller {
    pub program: Arc<Program>,
    /// Where to go on; the call is the instruction before.
    pub pc: Pc,
    /// r6 to r9.
    pub saved: [Value; 4],
    pub may_goto: u32,
}

/// How code is entered from below the engines, which stand above all that runs by them.
#[derive(Clone, Copy)]
pub(crate) struct Entries {
    /// Calls a subprogram from a helper, with these in r1 to r5; gives its r0.
    pub call_back: for<'a, 'r> fn(&'a mut Run<'r>, Value, &[Value]) -> Result<u64, Stop>,
    /// Gives up the frames of all that waits for the helper that runs, which is not gone back to.
    pub unwind: for<'a, 'r> fn(&'a mut Run<'r>),
    /// Interprets the run's program, which compiled code goes on to, on this context and on the
    /// frame that so many frames of it lie below; gives r0.
    pub go_on: for<'a, 'r> fn(&'a mut Run<'r>, Value, usize) -> Result<u64, Stop>,
}

/// One run of a program.
pub(crate) struct Run<'r> {
    /// What others wait for. It is dropped first, while the maps that it lies in are there.
    pub held: Held,
    pub env: Arc<Environment>,
    pub context: Box<dyn Context>,
    /// What it has of the vCPU that it is on.
    pub turn: Turn,
    /// The time, where it is not the kernel's.
    pub time: Option<u64>,
    /// The world, where it is not the kernel's.
    pub world: Option<Arc<World>>,
    /// How the program was called.
    pub call: Call,
    /// What it prints as an iterator.
    pub sequence: Option<Arc<Sequence>>,
    pub program: Arc<Program>,
    pub regs: Registers,
    pub stack: Box<Stack>,
    pub callers: Vec<Caller>,
    /// The instruction that runs, for traps.
    pub pc: Pc,
    pub budget: u64,
    pub tail_calls: u32,
    pub may_goto: u32,
    /// Whether to compare with what the verifier was sure of.
    pub asserts: bool,
    /// Memory that the program got besides its context and its maps.
    pub memory: Option<Region>,
    /// Regions that guarded code was given pointers to.
    pub given: Given,
    /// What compiled code needs, while it runs the program.
    pub native: Option<Native<'r>>,
    /// How helpers and compiled code enter what they have no sight of.
    entries: Entries,
    is_callback: bool,
}

/// Times that a `may_goto` lets a loop go on (`BPF_MAX_LOOPS`).
pub(crate) const MAY_GOTO_LIMIT: u32 = 8 * 1024 * 1024;

impl<'r> Run<'r> {
    /// Prepares a run. `budget` bounds the instructions executed, counted at
    /// backward jumps and calls.
    pub fn new(
        env: Arc<Environment>,
        program: Arc<Program>,
        stack: Box<Stack>,
        context: Box<dyn Context>,
        budget: u64,
        entries: Entries,
    ) -> Run<'r> {
        Run {
            held: Held::default(),
            env,
            context,
            turn: Turn::default(),
            time: None,
            world: None,
            call: Call::default(),
            sequence: None,
            program,
            regs: Registers::new(),
            stack,
            callers: Vec::new(),
            pc: 0,
            budget,
            tail_calls: 0,
            may_goto: MAY_GOTO_LIMIT,
            asserts: false,
            memory: None,
            given: Given::default(),
            native: None,
            entries,
            is_callback: false,
        }
    }

    /// The stack and the context, when it is over.
    pub fn into_parts(self) -> (Box<Stack>, Box<dyn Context>) {
        (self.stack, self.context)
    }

    /// Whether it is a call of a timer's.
    pub fn is_callback(&self) -> bool {
        self.is_callback
    }

    /// It is a call of a timer's.
    pub fn calling_back(mut self) -> Run<'r> {
        self.is_callback = true;
        self
    }

    /// Compares what is done with all that the verifier was sure of; traps where they
    /// differ.
    pub fn asserting_facts(mut self, asserts: bool) -> Run<'r> {
        self.asserts = asserts;
        self
    }

    /// Begins anew, with this program.
    pub fn restart(&mut self, program: &Arc<Program>, budget: u64) {
        self.forget_found();
        if !Arc::ptr_eq(&self.program, program) {
            self.program = program.clone();
        }
        self.regs = Registers::new();
        self.callers.clear();
        self.may_goto = MAY_GOTO_LIMIT;
        self.budget = budget;
    }

    /// What a run was given by helpers is gone with it. While this is done, the run still
    /// has its programs and maps.
    pub fn forget_found(&mut self) {
        self.tail_calls = 0;
        self.held.give_back();
    }

    /// The time that the program sees.
    #[inline]
    pub fn now(&self) -> u64 {
        self.time.unwrap_or_else(|| self.env.now())
    }

    /// The world that the program sees.
    pub fn world(&self) -> Arc<World> {
        self.world.clone().unwrap_or_else(|| self.env.world())
    }

    /// Number of the vCPU.
    #[inline]
    pub fn cpu(&self) -> u32 {
        self.turn.cpu
    }

    /// Calls a subprogram from a helper, with these in r1 to r5; gives its r0.
    ///
    /// # Errors
    /// Whatever stopped it.
    pub fn call_back(&mut self, function: Value, arguments: &[Value]) -> Result<u64, Stop> {
        (self.entries.call_back)(self, function, arguments)
    }

    /// Calls a subprogram in the place of all that waits for the helper that runs, with this in
    /// r1, and ends the run with what it gives.
    pub fn end_with(&mut self, function: Value, argument: Value) -> Stop {
        (self.entries.unwind)(self);
        self.call_back(function, &[argument]).map_or_else(|stop| stop, Stop::Return)
    }

    /// Interprets the run's program: see [`Entries::go_on`].
    ///
    /// # Errors
    /// Whatever stopped it.
    pub fn go_on(&mut self, context: Value, depth: usize) -> Result<u64, Stop> {
        (self.entries.go_on)(self, context, depth)
    }

    /// The stop of a helper that got an argument it cannot use.
    pub fn bad_argument(&self, helper: &'static str, argument: u8, why: &'static str) -> Stop {
        TrapKind::BadArgument { helper, argument, why }.into()
    }
}
