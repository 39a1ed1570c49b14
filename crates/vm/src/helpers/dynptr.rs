//! Dynptrs: memory of a size that is known when the program runs. What all functions on them
//! have in common is here, and the helpers; the kernel functions are in `kfuncs`.
//! Counterpart: `bpf_dynptr_*` in `kernel/bpf/helpers.c` and `ringbuf.c`.

use skep_abi::limits::DYNPTR;
use std::sync::Arc;

use skep_abi::Errno;
use skep_abi::helper::id;
use skep_isa::Reg;
use skep_maps::mem::bytes::Bytes;

use super::packet::{load_skb, load_xdp, store_skb, store_xdp};
use super::{Function, failure, status};
use crate::memory::value::Value;
use crate::run::dynptrs::{Data, Dynptr, check_size};
use crate::run::{Run, Stop, describe};

pub(super) const FUNCTIONS: &[(u32, Function)] = &[
    (id::DYNPTR_FROM_MEM, from_mem),
    (id::RINGBUF_RESERVE_DYNPTR, ringbuf_reserve),
    (id::RINGBUF_SUBMIT_DYNPTR, ringbuf_submit),
    (id::RINGBUF_DISCARD_DYNPTR, ringbuf_discard),
    (id::DYNPTR_READ, read),
    (id::DYNPTR_WRITE, write),
    (id::DYNPTR_DATA, data),
];

impl Run<'_> {
    /// The address of a dynptr that a function makes.
    pub(crate) fn dynptr_place(&mut self, name: &'static str, reg: Reg) -> Result<u64, Stop> {
        let place = self.memory_argument(name, reg, DYNPTR, true)?;
        self.stack_overwritten(place, DYNPTR);
        Ok(place.bits)
    }

    /// The dynptr that a register points to; `None` for one that is null.
    pub(crate) fn dynptr_argument(
        &self,
        name: &'static str,
        reg: Reg,
    ) -> Result<Option<Dynptr>, Stop> {
        let place = self.memory_argument(name, reg, DYNPTR, false)?;
        Ok(self.held.dynptrs.at(place.bits))
    }

    /// Makes what was tried a dynptr: one that is null where it failed.
    pub(crate) fn make_dynptr(
        &mut self,
        at: u64,
        made: Result<Dynptr, Errno>,
    ) -> Result<(), Errno> {
        self.held.dynptrs.set(at, made.ok());
        made.map(|_| ())
    }

    /// Copies bytes out of a dynptr, which has them.
    pub(crate) fn load_dynptr(
        &mut self,
        from: Dynptr,
        offset: u32,
        to: &mut [u8],
    ) -> Result<Result<(), Errno>, Stop> {
        let at = from.offset.wrapping_add(offset);
        Ok(match from.data {
            Data::Memory(start) | Data::Record(start) => {
                let pointer = self.inside(start, at)?;
                let len = to.len() as u64;
                pointer.read(to).map_err(|fault| describe(fault, pointer, 0, 0, len, false))?;
                Ok(())
            }
            Data::Skb => match self.context.skb() {
                Some(skb) => load_skb(skb, at, to),
                None => Err(Errno::EFAULT),
            },
            Data::Xdp => match self.context.xdp() {
                Some(xdp) => load_xdp(xdp, at, to),
                None => Err(Errno::EFAULT),
            },
        })
    }

    /// Copies bytes into a dynptr, which has room for them.
    pub(crate) fn store_dynptr(
        &mut self,
        to: Dynptr,
        offset: u32,
        bytes: &[u8],
        flags: u64,
    ) -> Result<Result<(), Errno>, Stop> {
        let at = to.offset.wrapping_add(offset);
        Ok(match to.data {
            Data::Skb => match self.context.skb() {
                Some(skb) => store_skb(skb, at, bytes, flags),
                None => Err(Errno::EFAULT),
            },
            _ if flags != 0 => Err(Errno::EINVAL),
            Data::Memory(start) | Data::Record(start) => {
                let (pointer, len) = (self.inside(start, at)?, bytes.len() as u64);
                pointer.write(bytes).map_err(|fault| describe(fault, pointer, 0, 0, len, true))?;
                self.stack_overwritten(pointer, len);
                Ok(())
            }
            Data::Xdp => match self.context.xdp() {
                Some(xdp) => store_xdp(xdp, at, bytes),
                None => Err(Errno::EFAULT),
            },
        })
    }

    /// A pointer to `len` bytes of a dynptr, which has them, where they lie in one piece. In
    /// the interpreter it reaches no further; code with checks knows the region as a whole.
    pub(crate) fn slice_dynptr(
        &self,
        of: Dynptr,
        offset: u32,
        len: u32,
        write: bool,
    ) -> Option<Value> {
        let at = of.offset.wrapping_add(offset);
        let start = match of.data {
            Data::Memory(start) | Data::Record(start) => start,
            Data::Skb | Data::Xdp => self.context.frame()?.data_pointer(),
        };
        if !self.holds(&start) {
            return None;
        }
        let inside = u64::try_from(start.offset()).ok()?.checked_add(at.into())?;
        let part = start.region().part(inside, len, write)?;
        let pointer = start.with_bits(start.bits.wrapping_add(at.into()));
        Some(if self.native.is_none() { part.pointer(0) } else { pointer })
    }

    fn inside(&self, start: Value, at: u32) -> Result<Value, Stop> {
        if !self.holds(&start) {
            return Err(self.bad_argument("bpf_dynptr", 1, "points to memory that is gone"));
        }
        Ok(start.with_bits(start.bits.wrapping_add(at.into())))
    }
}

/// `bpf_dynptr_from_mem(data, size, flags, ptr)`.
fn from_mem(run: &mut Run<'_>) -> Result<Value, Stop> {
    const NAME: &str = "bpf_dynptr_from_mem";
    let size = run.read(Reg::R2)?.bits as u32;
    let flags = run.read(Reg::R3)?.bits;
    let place = run.dynptr_place(NAME, Reg::R4)?;
    let made = match check_size(size) {
        Ok(()) if flags != 0 => Err(Errno::EINVAL),
        Ok(()) => {
            let start = run.memory_argument(NAME, Reg::R1, size.into(), true)?;
            Dynptr::new(Data::Memory(start), size, true)
        }
        Err(errno) => Err(errno),
    };
    Ok(status(run.make_dynptr(place, made)))
}

/// `bpf_ringbuf_reserve_dynptr(ringbuf, size, flags, ptr)`.
fn ringbuf_reserve(run: &mut Run<'_>) -> Result<Value, Stop> {
    const NAME: &str = "bpf_ringbuf_reserve_dynptr";
    let map = Arc::clone(run.map_argument(NAME, Reg::R1)?);
    let (size, flags) = (run.read(Reg::R2)?.bits as u32, run.read(Reg::R3)?.bits);
    let place = run.dynptr_place(NAME, Reg::R4)?;
    if map.map.ring().is_none() {
        return Err(run.bad_argument(NAME, 1, "is no ring buffer"));
    }
    let made = match check_size(size) {
        _ if flags != 0 => Err(Errno::EINVAL),
        Ok(()) => match map.reserve_record(size.into(), 0) {
            Some(region) => {
                let record = run.held.reserve(map, region);
                Dynptr::new(Data::Record(record.pointer(0)), size, true)
            }
            None => Err(Errno::EINVAL),
        },
        Err(errno) => Err(errno),
    };
    Ok(status(run.make_dynptr(place, made)))
}

fn ringbuf_submit(run: &mut Run<'_>) -> Result<Value, Stop> {
    give_back("bpf_ringbuf_submit_dynptr", run, false)
}

fn ringbuf_discard(run: &mut Run<'_>) -> Result<Value, Stop> {
    give_back("bpf_ringbuf_discard_dynptr", run, true)
}

fn give_back(name: &'static str, run: &mut Run<'_>, discard: bool) -> Result<Value, Stop> {
    let flags = run.read(Reg::R2)?.bits;
    let dynptr = run.dynptr_argument(name, Reg::R1)?;
    let place = run.dynptr_place(name, Reg::R1)?;
    if let Some(dynptr) = dynptr {
        let Data::Record(record) = dynptr.data else {
            return Err(run.bad_argument(name, 1, "is no dynptr of a ring buffer"));
        };
        if !run.held.commit(record.region(), flags, discard) {
            return Err(run.bad_argument(name, 1, "was given back already"));
        }
        run.given.take(record.region().start());
        run.held.dynptrs.set(place, None);
    }
    Ok(Value::scalar(0))
}

/// `bpf_dynptr_read(dst, len, src, offset, flags)`.
fn read(run: &mut Run<'_>) -> Result<Value, Stop> {
    const NAME: &str = "bpf_dynptr_read";
    let len = run.read(Reg::R2)?.bits as u32;
    let (offset, flags) = (run.read(Reg::R4)?.bits as u32, run.read(Reg::R5)?.bits);
    run.writable_argument(NAME, Reg::R1, len.into())?;
    let Some(from) = run.dynptr_argument(NAME, Reg::R3)?.filter(|_| flags == 0) else {
        return Ok(failure(Errno::EINVAL));
    };
    if let Err(errno) = from.check(offset, len) {
        return Ok(failure(errno));
    }
    let mut bytes = Bytes::zeros(len as usize);
    let loaded = run.load_dynptr(from, offset, &mut bytes)?;
    if loaded.is_ok() || matches!(from.data, Data::Skb) {
        run.write_argument(NAME, Reg::R1, &bytes)?;
    }
    Ok(status(loaded))
}

/// `bpf_dynptr_write(dst, offset, src, len, flags)`.
fn write(run: &mut Run<'_>) -> Result<Value, Stop> {
    const NAME: &str = "bpf_dynptr_write";
    let (offset, len) = (run.read(Reg::R2)?.bits as u32, run.read(Reg::R4)?.bits as u32);
    let flags = run.read(Reg::R5)?.bits;
    let bytes = run.bytes_argument(NAME, Reg::R3, len.into())?;
    let to = run.dynptr_argument(NAME, Reg::R1)?;
    let Some(to) = to.filter(|to| to.writable) else { return Ok(failure(Errno::EINVAL)) };
    if let Err(errno) = to.check(offset, len) {
        return Ok(failure(errno));
    }
    Ok(status(run.store_dynptr(to, offset, &bytes, flags)?))
}

/// `bpf_dynptr_data(ptr, offset, len)`: a pointer to its bytes, or null.
fn data(run: &mut Run<'_>) -> Result<Value, Stop> {
    const NAME: &str = "bpf_dynptr_data";
    let (offset, len) = (run.read(Reg::R2)?.bits as u32, run.read(Reg::R3)?.bits as u32);
    let of = run.dynptr_argument(NAME, Reg::R1)?;
    let of = of.filter(|of| of.writable && matches!(of.data, Data::Memory(_) | Data::Record(_)));
    let found = of
        .filter(|of| of.check(offset, len).is_ok())
        .and_then(|of| run.slice_dynptr(of, offset, len, true));
    Ok(found.unwrap_or(Value::scalar(0)))
}
