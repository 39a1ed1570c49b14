//! Helpers of applications' hooks: how their arguments come to them, and what they give.

use std::sync::Arc;

use skep_abi::hook::Shape;
use skep_abi::{Arg, ArgKind, Proto, TrapKind, TypeFlags};
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
    args: &'static [Arg],
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
    fn refused(&self, at: usize, why: &'static str) -> HelperEnd {
        self.run.bad_argument(self.name, at.min(ARGUMENTS.len()) as u8 + 1, why).into()
    }

    /// The register of a memory argument that so many bytes are used of: no more than the
    /// verifier was asked to see to.
    fn memory(&self, at: usize, len: usize, write: bool) -> Result<Reg, HelperEnd> {
        let most = match self.args.get(at).map(|arg| arg.kind) {
            Some(ArgKind::FixedMem(size)) => u64::from(size),
            Some(ArgKind::Mem) => self.number(at + 1)?,
            _ => return Err(self.refused(at, "is no memory")),
        };
        if len as u64 > most {
            return Err(self.refused(at, "has fewer bytes"));
        }
        if write && !self.args[at].flags.contains(TypeFlags::WRITE) {
            return Err(self.refused(at, "is not to be written"));
        }
        Ok(ARGUMENTS[at])
    }
}

impl Arguments for Call<'_, '_> {
    fn number(&self, at: usize) -> Result<u64, HelperEnd> {
        let kind = self.args.get(at).map(|arg| arg.kind);
        match kind {
            Some(ArgKind::Anything | ArgKind::Size | ArgKind::SizeOrZero) => {
                Ok(self.run.read(ARGUMENTS[at])?.bits)
            }
            _ => Err(self.refused(at, "is no number")),
        }
    }

    fn read(&self, at: usize, bytes: &mut [u8]) -> Result<(), HelperEnd> {
        let reg = self.memory(at, bytes.len(), false)?;
        let pointer = self.run.memory_argument(self.name, reg, bytes.len() as u64, false)?;
        pointer.read(bytes).map_err(|_| self.refused(at, "cannot be read"))
    }

    fn write(&mut self, at: usize, bytes: &[u8]) -> Result<(), HelperEnd> {
        let reg = self.memory(at, bytes.len(), true)?;
        Ok(self.run.write_argument(self.name, reg, bytes)?)
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
    let args = row.protos.first().map_or(&[][..], |proto| proto.args);
    let r0 = function(&mut Call { run, name: row.name, args })?;
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
