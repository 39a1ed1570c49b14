//! Calls: subprograms, callbacks of helpers, tail calls.

use std::sync::Arc;

use skep_abi::TrapKind;
use skep_isa::{Pc, Reg};

use crate::memory::stack::PROGRAM_FRAMES;
use crate::memory::value::{Kind, Value};
use crate::run::registers::Registers;
use crate::run::{Caller, MAY_GOTO_LIMIT, Run, Stop};

/// Calls a subprogram from a helper, with these in r1 to r5; gives its r0.
pub(crate) fn call_back(
    run: &mut Run<'_>,
    function: Value,
    arguments: &[Value],
) -> Result<u64, Stop> {
    let return_pc = run.pc + 1;
    run.enter(return_pc)?;
    run.regs.forget_arguments();
    run.regs.set_arguments(arguments);
    let depth = run.callers.len();
    let result = run.run_from(function.bits as Pc, depth)?;
    run.pc = run.leave() - 1;
    Ok(result.bits)
}

/// Gives up the frames of all that waits for the helper that runs.
pub(crate) fn unwind(run: &mut Run<'_>) {
    for caller in std::mem::take(&mut run.callers) {
        if !Arc::ptr_eq(&caller.program, &run.program) {
            run.held.left(caller.program);
        }
    }
}

impl Run<'_> {
    /// Enters a subprogram that returns to `pc`.
    pub(super) fn enter(&mut self, pc: Pc) -> Result<(), Stop> {
        let most = PROGRAM_FRAMES * (1 + self.tail_calls as usize);
        if self.callers.len() + 1 >= most {
            return Err(TrapKind::CallDepth.into());
        }
        self.spend(1)?;
        let saved = self.regs.take_saved();
        let program = self.program.clone();
        self.callers.push(Caller { program, pc, saved, may_goto: self.may_goto });
        self.regs.set(Reg::R0, Value::UNINIT);
        self.regs.set(Reg::R10, self.stack.enter(self.callers.len()));
        self.may_goto = MAY_GOTO_LIMIT;
        Ok(())
    }

    /// Leaves a subprogram; gives the slot to go on at.
    pub(super) fn leave(&mut self) -> Pc {
        let Some(caller) = self.callers.pop() else { return Pc::MAX };
        self.regs.restore_saved(caller.saved);
        self.regs.forget_arguments();
        self.regs.set(Reg::R10, self.stack.frame(self.callers.len()));
        self.may_goto = caller.may_goto;
        let left = std::mem::replace(&mut self.program, caller.program);
        if !Arc::ptr_eq(&left, &self.program) {
            self.held.left(left);
        }
        caller.pc
    }

    /// `bpf_tail_call(ctx, map, index)`: true where the program was replaced.
    pub(super) fn tail_call(&mut self) -> Result<bool, Stop> {
        let (context, map) = (self.regs.get(Reg::R1), self.regs.get(Reg::R2));
        let index = self.regs.get(Reg::R3);
        if context.kind() == Kind::Uninit || index.kind() == Kind::Uninit {
            return Err(TrapKind::Uninitialised { register: 1 }.into());
        }
        let Some(target) = self.tail_target(map, index.bits as u32)? else { return Ok(false) };
        let left = std::mem::replace(&mut self.program, target);
        self.held.left(left);
        let frame_pointer = self.stack.enter(self.callers.len());
        self.regs = Registers::new();
        self.regs.set(Reg::R1, context);
        self.regs.set(Reg::R10, frame_pointer);
        self.may_goto = MAY_GOTO_LIMIT;
        Ok(true)
    }
}
