//! Arguments that are memory, and the helpers that only move it.

use skep_abi::Errno;
use skep_abi::helper::id;
use skep_isa::{Reg, Size};
use skep_maps::mem::bytes::Bytes;

use super::{Function, failure};
use crate::memory::value::{Kind, Value};
use crate::run::{Run, Stop, describe};

pub(super) const FUNCTIONS: &[(u32, Function)] = &[
    (id::PROBE_READ, probe_read),
    (id::PROBE_READ_STR, probe_read_str),
    (id::PROBE_READ_USER, probe_read),
    (id::PROBE_READ_KERNEL, probe_read),
    (id::PROBE_READ_USER_STR, probe_read_str),
    (id::PROBE_READ_KERNEL_STR, probe_read_str),
    (id::STRNCMP, strncmp),
];

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

/// `bpf_probe_read*(target, size, unsafe)`: a bad address is no trap but `-EFAULT`
/// and zeros.
fn probe_read(run: &mut Run<'_>) -> Result<Value, Stop> {
    const NAME: &str = "bpf_probe_read";
    let size = run.size_argument(Reg::R2)?;
    let source = run.read(Reg::R3)?;
    run.memory_argument(NAME, Reg::R1, size, true)?;
    let mut bytes = Bytes::zeros(size as usize);
    let found =
        source.kind() != Kind::Context && run.holds(&source) && source.read(&mut bytes).is_ok();
    run.write_argument(NAME, Reg::R1, &bytes)?;
    Ok(if found { Value::scalar(0) } else { failure(Errno::EFAULT) })
}

/// `bpf_probe_read*_str(target, size, unsafe)`: gives the length with its zero.
fn probe_read_str(run: &mut Run<'_>) -> Result<Value, Stop> {
    const NAME: &str = "bpf_probe_read_str";
    let size = run.size_argument(Reg::R2)?;
    let source = run.read(Reg::R3)?;
    run.memory_argument(NAME, Reg::R1, size, true)?;
    let mut text = Vec::new();
    while (text.len() as u64) < size {
        let Some(byte) = run.byte_at(source, text.len() as u64) else {
            run.write_argument(NAME, Reg::R1, &vec![0; size as usize])?;
            return Ok(failure(Errno::EFAULT));
        };
        text.push(byte);
        if byte == 0 {
            break;
        }
    }
    if let Some(last) = text.last_mut() {
        *last = 0;
    }
    run.write_argument(NAME, Reg::R1, &text)?;
    Ok(Value::scalar(text.len() as u64))
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
