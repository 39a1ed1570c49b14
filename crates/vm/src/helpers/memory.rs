//! Arguments that are memory, and the helpers that only move it.

use skep_abi::helper::id;
use skep_isa::{Reg, Size};
use skep_maps::mem::bytes::Bytes;

use super::Function;
use crate::memory::value::Value;
use crate::run::{Run, Stop, describe};

pub(super) const FUNCTIONS: &[(u32, Function)] = &[(id::STRNCMP, strncmp)];

/// Most bytes that one argument may have; more than any map's value.
const MAX_ARGUMENT: u64 = 1 << 30;

impl Run<'_> {
    /// Checks that `len` bytes at a register can be read or written.
    pub(crate) fn memory_argument(
        &self,
        helper: &'static str,
        reg: Reg,
        len: u64,
        write: bool,
    ) -> Result<Value, Stop> {
        let value = self.read(reg)?;
        if !self.holds(&value) {
            return Err(self.bad_argument(helper, reg.number(), "points to memory that is gone"));
        }
        if len > MAX_ARGUMENT {
            return Err(self.bad_argument(helper, reg.number(), "has an impossible size"));
        }
        value
            .check(0, len, write)
            .map_err(|fault| describe(fault, value, reg.number(), 0, len, write))?;
        Ok(value)
    }

    /// Checks that a register points to `len` bytes that may be written.
    pub(crate) fn writable_argument(
        &self,
        helper: &'static str,
        reg: Reg,
        len: u64,
    ) -> Result<(), Stop> {
        self.memory_argument(helper, reg, len, true).map(|_| ())
    }

    /// Reads the `len` bytes that a register points to.
    pub(crate) fn bytes_argument(
        &self,
        helper: &'static str,
        reg: Reg,
        len: u64,
    ) -> Result<Bytes, Stop> {
        let pointer = self.memory_argument(helper, reg, len, false)?;
        let mut bytes = Bytes::zeros(len as usize);
        pointer
            .read(&mut bytes)
            .map_err(|fault| describe(fault, pointer, reg.number(), 0, len, false))?;
        Ok(bytes)
    }

    /// Writes bytes to where a register points.
    pub(crate) fn write_argument(
        &mut self,
        helper: &'static str,
        reg: Reg,
        bytes: &[u8],
    ) -> Result<(), Stop> {
        let len = bytes.len() as u64;
        let pointer = self.memory_argument(helper, reg, len, true)?;
        pointer
            .write(bytes)
            .map_err(|fault| describe(fault, pointer, reg.number(), 0, len, true))?;
        self.stack_overwritten(pointer, len);
        Ok(())
    }

    /// A byte of what a pointer points to, if it is there.
    #[inline]
    pub(crate) fn byte_at(&self, pointer: Value, index: u64) -> Option<u8> {
        let at = pointer.with_bits(pointer.bits.wrapping_add(index));
        self.holds(&at).then(|| at.load(0, Size::B).ok()).flatten().map(|byte| byte as u8)
    }

    /// A size in a register.
    pub(crate) fn size_argument(&self, reg: Reg) -> Result<u64, Stop> {
        Ok(u64::from(self.read(reg)?.bits as u32))
    }
}

/// `bpf_strncmp(s1, s1_sz, s2)`.
fn strncmp(run: &mut Run<'_>) -> Result<Value, Stop> {
    const NAME: &str = "bpf_strncmp";
    let size = run.size_argument(Reg::R2)?;
    let first = run.bytes_argument(NAME, Reg::R1, size)?;
    let second = run.read(Reg::R3)?;
    for (index, &left) in first.iter().enumerate() {
        let Some(right) = run.byte_at(second, index as u64) else {
            return Err(run.bad_argument(NAME, 3, "is no zero-terminated string"));
        };
        if left != right {
            return Ok(Value::scalar((i64::from(left) - i64::from(right)).signum() as u64));
        }
        if left == 0 {
            break;
        }
    }
    Ok(Value::scalar(0))
}
