//! The tagged interpreter: the reference semantics of the instruction set.
//!
//! Every register knows what it may point into, so a bad access ends the run with a
//! [`Trap`] and never touches the host. A program that the verifier accepted must
//! never trap here. Counterpart: `___bpf_prog_run` in `kernel/bpf/core.c`.

mod call;
mod facts;
mod held;
mod memory;
mod registers;
mod step;

pub(crate) use call::MAX_TAIL_CALLS;
pub(crate) use memory::describe;

use std::sync::Arc;

use skep_abi::{Frame, Trap, TrapKind};
use skep_isa::{Pc, Reg};

use crate::environment::Environment;
use crate::hooks::Context;
use crate::jit::host::Native;
use crate::mem::stack::Stack;
use crate::mem::value::{Region, Value};
use crate::objects::MapHandle;
use crate::panics::caught;
use crate::program::Program;
use held::Held;
use registers::Registers;

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

/// Why the step function leaves.
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

/// A caller that waits for a subprogram.
struct Caller {
    program: Arc<Program>,
    /// Where to go on; the call is the instruction before.
    pc: Pc,
    /// r6 to r9.
    saved: [Value; 4],
    may_goto: u32,
}

/// One run of a program.
pub(crate) struct Run<'r> {
    /// What others wait for. It is dropped first, while the maps that it lies in are there.
    pub(crate) held: Held,
    pub(crate) env: Arc<Environment>,
    pub(crate) context: Box<dyn Context>,
    pub(crate) cpu: u32,
    /// The time, where it is not the kernel's.
    pub(crate) time: Option<u64>,
    pub(crate) program: Arc<Program>,
    pub(crate) regs: Registers,
    stack: Box<Stack>,
    callers: Vec<Caller>,
    /// The instruction that runs, for traps.
    pub(crate) pc: Pc,
    pub(crate) budget: u64,
    pub(crate) tail_calls: u32,
    may_goto: u32,
    /// Whether to compare with what the verifier was sure of.
    asserts: bool,
    /// Maps found in maps of maps.
    found_maps: Vec<Arc<MapHandle>>,
    /// Programs that others went on in the place of: what they had pointers to stays.
    left: Vec<Arc<Program>>,
    /// Memory that the program got besides its context and its maps.
    pub(crate) memory: Option<Region>,
    /// What compiled code needs, while it runs the program.
    pub(crate) native: Option<Native<'r>>,
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
        cpu: u32,
        budget: u64,
    ) -> Run<'r> {
        Run {
            held: Held::default(),
            env,
            context,
            cpu,
            time: None,
            program,
            regs: Registers::new(),
            stack,
            callers: Vec::new(),
            pc: 0,
            budget,
            tail_calls: 0,
            may_goto: MAY_GOTO_LIMIT,
            asserts: false,
            found_maps: Vec::new(),
            left: Vec::new(),
            memory: None,
            native: None,
        }
    }

    /// The stack and the context, when it is over.
    pub fn into_parts(self) -> (Box<Stack>, Box<dyn Context>) {
        (self.stack, self.context)
    }

    /// The time that the program sees.
    #[inline]
    pub(crate) fn now(&self) -> u64 {
        self.time.unwrap_or_else(|| self.env.now())
    }

    /// Compares what is done with all that the verifier was sure of; traps where they
    /// differ.
    pub fn asserting_facts(mut self, asserts: bool) -> Run<'r> {
        self.asserts = asserts;
        self
    }

    /// Runs the program with these in r1 and on; the run is new, or was begun anew.
    pub(crate) fn interpret(&mut self, arguments: &[Value]) -> Outcome {
        self.regs.set_arguments(arguments);
        self.regs.set(Reg::R10, self.stack.enter(0));
        match self.run_from(0, 0) {
            Ok(value) => Outcome::Returned(value.bits),
            Err(Stop::Return(bits)) => Outcome::Returned(bits),
            Err(Stop::Budget) => Outcome::OutOfBudget,
            Err(Stop::Trap(kind)) => Outcome::Trapped(self.trap(kind)),
        }
    }

    /// Begins anew, with this program.
    pub(crate) fn restart(&mut self, program: &Arc<Program>, budget: u64) {
        self.forget_found();
        if !Arc::ptr_eq(&self.program, program) {
            self.program = program.clone();
        }
        self.regs = Registers::new();
        self.callers.clear();
        self.may_goto = MAY_GOTO_LIMIT;
        self.budget = budget;
    }

    /// Whether a run was given something by helpers.
    #[inline]
    pub(crate) fn has_found(&self) -> bool {
        !self.held.is_empty() || !self.found_maps.is_empty()
    }

    /// What a run was given by helpers is gone with it. While this is done, the run still
    /// has its programs and maps.
    pub(crate) fn forget_found(&mut self) {
        self.tail_calls = 0;
        self.held.give_back();
        self.found_maps.clear();
        self.left.clear();
    }

    /// Runs the run's program, which compiled code went on to, on the frame that this many
    /// frames of it lie below.
    pub(crate) fn continue_with(&mut self, context: Value, depth: usize) -> Result<u64, Stop> {
        let program = self.program.clone();
        let saved = [Value::UNINIT; 4];
        let below = || Caller { program: program.clone(), pc: 0, saved, may_goto: 0 };
        self.callers.clear();
        self.callers.resize_with(depth, below);
        self.regs = Registers::new();
        self.regs.set(Reg::R1, context);
        self.regs.set(Reg::R10, self.stack.enter(depth));
        self.may_goto = MAY_GOTO_LIMIT;
        let result = self.run_from(0, depth);
        self.callers.clear();
        result.map(|value| value.bits)
    }

    /// First address of the stack.
    pub(crate) fn stack_start(&self) -> u64 {
        self.stack.start()
    }

    /// A frame as a region.
    pub(crate) fn stack_frame(&self, frame: usize) -> Region {
        self.stack.region(frame)
    }

    /// The ring buffer record at an address, as a pointer to it.
    pub(crate) fn record_at(&self, address: u64) -> Option<Value> {
        self.held.record_at(address).map(|record| record.pointer(0))
    }

    /// Runs from `entry` until the frame at `depth` exits; gives its r0.
    fn run_from(&mut self, entry: Pc, depth: usize) -> Result<Value, Stop> {
        let ran = caught(|| match self.asserts {
            true => self.steps::<true>(entry, depth),
            false => self.steps::<false>(entry, depth),
        });
        ran.unwrap_or_else(|kind| Err(kind.into()))
    }

    fn trap(&self, kind: TrapKind) -> Trap {
        let callers = self.callers.iter().rev().map(|caller| caller.pc.saturating_sub(1));
        let frames = std::iter::once(self.pc).chain(callers).map(|pc| Frame { pc }).collect();
        Trap { pc: self.pc, kind, frames }
    }

    fn spend(&mut self, instructions: u64) -> Result<(), Stop> {
        self.budget = self.budget.checked_sub(instructions).ok_or(Stop::Budget)?;
        Ok(())
    }
}
