//! The tagged interpreter: the reference semantics of the instruction set.
//!
//! Every register knows what it may point into, so a bad access ends the run with a
//! [`Trap`] and never touches the host. A program that the verifier accepted must
//! never trap here. Counterpart: `___bpf_prog_run` in `kernel/bpf/core.c`.

mod access;
mod call;
mod facts;
mod step;

pub(crate) use call::{call_back, unwind};

use std::sync::Arc;

use skep_abi::{Frame, Trap, TrapKind};
use skep_isa::{Pc, Reg};

use crate::memory::value::Value;
use crate::run::panics::caught;
use crate::run::registers::Registers;
use crate::run::{Caller, MAY_GOTO_LIMIT, Outcome, Run, Stop};

/// Runs the run's program with these in r1 and on; the run is new, or was begun anew.
pub(crate) fn run(run: &mut Run<'_>, arguments: &[Value]) -> Outcome {
    run_at(run, 0, arguments)
}

/// The same from another instruction on, the first one of a subprogram.
pub(crate) fn run_at(run: &mut Run<'_>, entry: Pc, arguments: &[Value]) -> Outcome {
    run.regs.set_arguments(arguments);
    run.regs.set(Reg::R10, run.stack.enter(0));
    match run.run_from(entry, 0) {
        Ok(value) => Outcome::Returned(value.bits),
        Err(Stop::Return(bits)) => Outcome::Returned(bits),
        Err(Stop::Budget) => Outcome::OutOfBudget,
        Err(Stop::Trap(kind)) => Outcome::Trapped(run.trap(kind)),
    }
}

/// Runs the run's program, which compiled code went on to, on the frame that this many
/// frames of it lie below.
pub(crate) fn go_on(run: &mut Run<'_>, context: Value, depth: usize) -> Result<u64, Stop> {
    let program = Arc::clone(&run.program);
    let saved = [Value::UNINIT; 4];
    let below = || Caller { program: Arc::clone(&program), pc: 0, saved, may_goto: 0 };
    run.callers.clear();
    run.callers.resize_with(depth, below);
    run.regs = Registers::new();
    run.regs.set(Reg::R1, context);
    run.regs.set(Reg::R10, run.stack.enter(depth));
    run.may_goto = MAY_GOTO_LIMIT;
    let result = run.run_from(0, depth);
    run.callers.clear();
    result.map(|value| value.bits)
}

impl Run<'_> {
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
