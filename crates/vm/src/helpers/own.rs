//! Helpers of applications' hooks: how their arguments come to them, and what they give.

use std::sync::Arc;

use skep_abi::hook::Shape;
use skep_abi::{ArgKind, Proto, TrapKind};
use skep_isa::Reg;

use super::tags::{self, Row};
use crate::memory::value::Value;
use crate::objects::hook::{Arguments, HelperEnd, Stopped};
use crate::run::{Run, Stop};

const ARGUMENTS: [Reg; 5] = [Reg::R1, Reg::R2, Reg::R3, Reg::R4, Reg::R5];

/// A helper's view of the run that calls it.
struct Call<'c, 'r> {
    run: &'c mut Run<'r>,
    name: &'static str,
}

impl From<Stop> for HelperEnd {
    fn from(stop: Stop) -> HelperEnd {
        HelperEnd(match stop {
            Stop::Trap(kind) => Stopped::Trap(kind),
            // A helper is not in the place to end a run otherwise.
            Stop::Budget | Stop::Return(_) => Stopped::Budget,
        })
    }
}

impl From<HelperEnd> for Stop {
    fn from(end: HelperEnd) -> Stop {
        match end.0 {
            Stopped::Trap(kind) => Stop::Trap(kind),
            Stopped::Budget => Stop::Budget,
        }
    }
}

impl Call<'_, '_> {
    fn register(&self, at: usize) -> Result<Reg, HelperEnd> {
        let none = || Stop::from(TrapKind::BadInstruction).into();
        ARGUMENTS.get(at).copied().ok_or_else(none)
    }
}

impl Arguments for Call<'_, '_> {
    fn number(&self, at: usize) -> Result<u64, HelperEnd> {
        Ok(self.run.read(self.register(at)?)?.bits)
    }

    fn read(&self, at: usize, bytes: &mut [u8]) -> Result<(), HelperEnd> {
        let reg = self.register(at)?;
        let pointer = self.run.memory_argument(self.name, reg, bytes.len() as u64, false)?;
        let gone = |_| self.run.bad_argument(self.name, reg.number(), "cannot be read").into();
        pointer.read(bytes).map_err(gone)
    }

    fn write(&mut self, at: usize, bytes: &[u8]) -> Result<(), HelperEnd> {
        Ok(self.run.write_argument(self.name, self.register(at)?, bytes)?)
    }

    fn context(&mut self) -> &mut [u8] {
        self.run.context.own().map_or(&mut [], |own| own.bytes_mut())
    }
}

/// Calls the helper with this number of the hook that the program is for.
pub(super) fn call(run: &mut Run<'_>, number: u32) -> Result<Value, Stop> {
    let unknown = TrapKind::UnknownHelper { id: number };
    let Some(hook) = run.program.hook.as_ref().map(Arc::clone) else { return Err(unknown.into()) };
    let index = Shape::index(number).unwrap_or(usize::MAX);
    let (Some(row), Some(function)) = (hook.row().helper(number), hook.function(index)) else {
        return Err(unknown.into());
    };
    let r0 = function(&mut Call { run, name: row.name })?;
    Ok(Value::scalar(r0))
}

/// The words that the helper with this number takes.
pub(crate) fn row(run: &Run<'_>, number: u32) -> Option<Row> {
    let shape = Shape::of(number)?;
    let proto: &Proto = run.program.hook.as_ref()?.row().helper(number)?.protos.first()?;
    let context = |kind| kind == ArgKind::Context;
    debug_assert!(shape.words as usize == proto.args.len());
    let row = Row::of(proto.args.iter().map(|arg| tags::tag_of(*arg)));
    debug_assert!(!shape.changes_context || proto.args.iter().any(|arg| context(arg.kind)));
    Some(row)
}
