//! Calls: subprograms, callbacks of helpers, tail calls.

use std::sync::Arc;

use skep_abi::TrapKind;
use skep_isa::{Pc, Reg};

use super::registers::Registers;
use super::{Caller, MAY_GOTO_LIMIT, Run, Stop};
use crate::jit::host::Native;
use crate::mem::stack::PROGRAM_FRAMES;
use crate::mem::value::{Kind, Value};
use crate::objects::MapHandle;
use crate::program::Program;

/// Most tail calls in a row (`MAX_TAIL_CALL_CNT`).
pub(crate) const MAX_TAIL_CALLS: u32 = 33;

/// Numbers of maps that were found in other maps start here.
const FOUND_MAPS: u32 = 1 << 31;

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
            self.left.push(left);
        }
        caller.pc
    }

    /// Calls a subprogram from a helper, with these in r1 to r5; gives its r0.
    ///
    /// # Errors
    /// Whatever stopped it.
    pub(crate) fn call_back(&mut self, function: Value, arguments: &[Value]) -> Result<u64, Stop> {
        if self.native.is_some() {
            return self.call_back_native(function, arguments);
        }
        let return_pc = self.pc + 1;
        self.enter(return_pc)?;
        self.regs.forget_arguments();
        self.regs.set_arguments(arguments);
        let depth = self.callers.len();
        let result = self.run_from(function.bits as Pc, depth)?;
        self.pc = self.leave() - 1;
        Ok(result.bits)
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
        self.left.push(left);
        let frame_pointer = self.stack.enter(self.callers.len());
        self.regs = Registers::new();
        self.regs.set(Reg::R1, context);
        self.regs.set(Reg::R10, frame_pointer);
        self.may_goto = MAY_GOTO_LIMIT;
        Ok(true)
    }

    /// The program that a tail call leads to; counts the call.
    pub(crate) fn tail_target(
        &mut self,
        map: Value,
        index: u32,
    ) -> Result<Option<Arc<Program>>, Stop> {
        let map = match map.kind() {
            Kind::Map => self.known_map(map),
            _ => return Err(self.bad_argument("bpf_tail_call", 2, "is no map")),
        };
        if self.tail_calls >= MAX_TAIL_CALLS {
            return Ok(None);
        }
        let target = map.program(index);
        self.tail_calls += u32::from(target.is_some());
        Ok(target)
    }

    /// A word that compiled code knows a map by.
    pub(crate) fn map_of(&self, word: u64) -> Option<Value> {
        let index = Value::map_number(word)?;
        let known = match index.checked_sub(FOUND_MAPS) {
            Some(found) => (found as usize) < self.found_maps.len(),
            None => (index as usize) < self.program.maps.len(),
        };
        known.then(|| Value::map(index))
    }

    /// The map that a value names.
    pub(crate) fn map(&self, value: Value) -> Arc<MapHandle> {
        Arc::clone(self.known_map(value))
    }

    pub(crate) fn known_map(&self, value: Value) -> &Arc<MapHandle> {
        let index = value.map_index();
        match index.checked_sub(FOUND_MAPS) {
            Some(found) => &self.found_maps[found as usize],
            None => &self.program.maps[index as usize],
        }
    }

    /// A value for a map that was found in another one.
    pub(crate) fn found_map(&mut self, map: Arc<MapHandle>) -> Value {
        let known = self.found_maps.iter().position(|other| Arc::ptr_eq(other, &map));
        let index = known.unwrap_or(self.found_maps.len());
        if known.is_none() {
            self.found_maps.push(map);
        }
        Value::map(FOUND_MAPS + index as u32)
    }

    /// A word in memory for a callback of the helper that runs.
    pub(crate) fn lend(&mut self, word: u32) -> Value {
        let depth = self.native.as_ref().map_or(self.callers.len(), Native::depth);
        self.stack.cell(depth, word)
    }

    /// The stop of a helper that got an argument it cannot use.
    pub(crate) fn bad_argument(
        &self,
        helper: &'static str,
        argument: u8,
        why: &'static str,
    ) -> Stop {
        TrapKind::BadArgument { helper, argument, why }.into()
    }
}
