//! Kernel functions on dynptrs: see [`crate::helpers::dynptr`]. Counterpart:
//! `bpf_dynptr_slice` and its like in `kernel/bpf/helpers.c`, `bpf_dynptr_from_skb` in
//! `net/core/filter.c`.

use skep_abi::kfunc::id;
use skep_abi::{Errno, PacketAccess};
use skep_isa::Reg;
use skep_maps::mem::bytes::Bytes;

use super::{Arg, Entry, status, word};
use crate::memory::value::{Kind, Value};
use crate::run::dynptrs::{Data, Dynptr};
use crate::run::{Run, Stop, describe};

pub(super) const FUNCTIONS: &[Entry] = &[
    (id::DYNPTR_FROM_SKB, from_skb, &[Arg::Context, Arg::Number, Arg::Dynptr]),
    (id::DYNPTR_FROM_XDP, from_xdp, &[Arg::Context, Arg::Number, Arg::Dynptr]),
    (id::DYNPTR_SLICE, slice, SLICE),
    (id::DYNPTR_SLICE_RDWR, slice_rdwr, SLICE),
    (id::DYNPTR_ADJUST, adjust, &[Arg::Dynptr, Arg::Number, Arg::Number]),
    (id::DYNPTR_IS_NULL, is_null, &[Arg::Dynptr]),
    (id::DYNPTR_IS_RDONLY, is_rdonly, &[Arg::Dynptr]),
    (id::DYNPTR_SIZE, size, &[Arg::Dynptr]),
    (id::DYNPTR_CLONE, clone, &[Arg::Dynptr, Arg::Dynptr]),
    (id::DYNPTR_COPY, copy, &[Arg::Dynptr, Arg::Number, Arg::Dynptr, Arg::Number, Arg::Number]),
    (id::DYNPTR_MEMSET, memset, &[Arg::Dynptr, Arg::Number, Arg::Number, Arg::Number]),
];

/// The buffer of a slice is there for what does not lie in one piece.
const SLICE: &[Arg] = &[Arg::Dynptr, Arg::Number, Arg::Memory, Arg::Number];

fn context(run: &Run<'_>, name: &'static str) -> Result<(), Stop> {
    let context = run.read(Reg::R1)?;
    match context.kind() == Kind::Context && context.offset() == 0 {
        true => Ok(()),
        false => Err(run.bad_argument(name, 1, "is no context")),
    }
}

/// A dynptr of all of the packet.
fn of_packet(run: &mut Run<'_>, name: &'static str, data: Data) -> Result<Value, Stop> {
    context(run, name)?;
    let flags = run.read(Reg::R2)?.bits;
    let place = run.dynptr_place(name, Reg::R3)?;
    let is_there = match data {
        Data::Skb => run.context.skb().is_some(),
        _ => run.context.xdp().is_some(),
    };
    let Some(len) = run.context.frame().filter(|_| is_there).map(|frame| frame.len()) else {
        return Err(run.bad_argument(name, 1, "has no packet of this kind"));
    };
    let packet = run.program.prog_type.row().packet;
    let writable = matches!(packet, PacketAccess::Write | PacketAccess::Own);
    let made = match flags {
        0 => Dynptr::new(data, len as u32, writable),
        _ => Err(Errno::EINVAL),
    };
    Ok(status(run.make_dynptr(place, made)))
}

/// `bpf_dynptr_from_skb(skb, flags, ptr)`.
fn from_skb(run: &mut Run<'_>) -> Result<Value, Stop> {
    of_packet(run, "bpf_dynptr_from_skb", Data::Skb)
}

/// `bpf_dynptr_from_xdp(xdp, flags, ptr)`.
fn from_xdp(run: &mut Run<'_>) -> Result<Value, Stop> {
    of_packet(run, "bpf_dynptr_from_xdp", Data::Xdp)
}

/// `bpf_dynptr_slice(ptr, offset, buffer, size)`.
fn slice(run: &mut Run<'_>) -> Result<Value, Stop> {
    piece(run, "bpf_dynptr_slice", false)
}

/// `bpf_dynptr_slice_rdwr(ptr, offset, buffer, size)`.
fn slice_rdwr(run: &mut Run<'_>) -> Result<Value, Stop> {
    piece(run, "bpf_dynptr_slice_rdwr", true)
}

fn piece(run: &mut Run<'_>, name: &'static str, write: bool) -> Result<Value, Stop> {
    let (offset, len) = (run.read(Reg::R2)?.bits as u32, run.read(Reg::R4)?.bits as u32);
    let of = run.dynptr_argument(name, Reg::R1)?.filter(|of| of.writable || !write);
    let found = of
        .filter(|of| of.check(offset, len).is_ok())
        .and_then(|of| run.slice_dynptr(of, offset, len, write));
    Ok(found.unwrap_or(Value::scalar(0)))
}

/// `bpf_dynptr_adjust(ptr, start, end)`.
fn adjust(run: &mut Run<'_>) -> Result<Value, Stop> {
    const NAME: &str = "bpf_dynptr_adjust";
    let (start, end) = (run.read(Reg::R2)?.bits as u32, run.read(Reg::R3)?.bits as u32);
    let found = run.dynptr_argument(NAME, Reg::R1)?.filter(|_| start <= end);
    let Some(of) = found else { return Ok(status(Err(Errno::EINVAL))) };
    if end > of.size {
        return Ok(status(Err(Errno::ERANGE)));
    }
    let moved = Dynptr { offset: of.offset + start, size: end - start, ..of };
    let place = run.dynptr_place(NAME, Reg::R1)?;
    run.held.dynptrs.set(place, Some(moved));
    Ok(status(Ok(())))
}

fn is_null(run: &mut Run<'_>) -> Result<Value, Stop> {
    let of = run.dynptr_argument("bpf_dynptr_is_null", Reg::R1)?;
    Ok(word(of.is_none().into()))
}

fn is_rdonly(run: &mut Run<'_>) -> Result<Value, Stop> {
    let of = run.dynptr_argument("bpf_dynptr_is_rdonly", Reg::R1)?;
    Ok(word(of.is_some_and(|of| !of.writable).into()))
}

fn size(run: &mut Run<'_>) -> Result<Value, Stop> {
    let of = run.dynptr_argument("bpf_dynptr_size", Reg::R1)?;
    Ok(word(of.map_or(-Errno::EINVAL.0, |of| of.size as i32)))
}

/// `bpf_dynptr_clone(ptr, clone)`.
fn clone(run: &mut Run<'_>) -> Result<Value, Stop> {
    const NAME: &str = "bpf_dynptr_clone";
    let of = run.dynptr_argument(NAME, Reg::R1)?;
    let place = run.dynptr_place(NAME, Reg::R2)?;
    Ok(status(run.make_dynptr(place, of.ok_or(Errno::EINVAL))))
}

/// `bpf_dynptr_copy(dst, dst_off, src, src_off, size)`.
fn copy(run: &mut Run<'_>) -> Result<Value, Stop> {
    const NAME: &str = "bpf_dynptr_copy";
    let number = |reg| run.read(reg).map(|value| value.bits as u32);
    let (to_off, from_off, len) = (number(Reg::R2)?, number(Reg::R4)?, number(Reg::R5)?);
    let (to, from) = (run.dynptr_argument(NAME, Reg::R1)?, run.dynptr_argument(NAME, Reg::R3)?);
    let whole = |of: &Dynptr, off| of.check(off, len).is_ok();
    // Which of the two is at fault decides what Linux says, for it copies by slices.
    let source = from.filter(|from| whole(from, from_off));
    let target = to.filter(|to| to.writable && whole(to, to_off));
    let (from, to) = match (source, target) {
        (Some(from), Some(to)) => (from, to),
        (Some(_), None) => return Ok(status(Err(fault(to, true)))),
        (None, Some(_)) => return Ok(status(Err(fault(from, false)))),
        (None, None) => {
            // One that is null has no bytes; of nothing, nothing is copied.
            let has =
                |of: Option<Dynptr>, off| of.map_or(off == 0 && len == 0, |of| whole(&of, off));
            let nothing = has(to, to_off) && has(from, from_off);
            return Ok(status(if nothing { Ok(()) } else { Err(Errno::E2BIG) }));
        }
    };
    let mut bytes = Bytes::zeros(len as usize);
    let copied = match run.load_dynptr(from, from_off, &mut bytes)? {
        Ok(()) => put(run, to, to_off, &bytes)?,
        Err(errno) => Err(errno),
    };
    Ok(status(copied))
}

/// What reading or writing says of a dynptr that has not the bytes.
fn fault(of: Option<Dynptr>, write: bool) -> Errno {
    match of {
        Some(of) if of.writable || !write => Errno::E2BIG,
        _ => Errno::EINVAL,
    }
}

/// `bpf_dynptr_memset(ptr, offset, size, val)`.
fn memset(run: &mut Run<'_>) -> Result<Value, Stop> {
    const NAME: &str = "bpf_dynptr_memset";
    let number = |reg| run.read(reg).map(|value| value.bits as u32);
    let (offset, len, byte) = (number(Reg::R2)?, number(Reg::R3)?, number(Reg::R4)?);
    let of = run.dynptr_argument(NAME, Reg::R1)?;
    let checked = match of {
        Some(of) if of.writable => of.check(offset, len).map(|()| Some(of)),
        Some(_) => Err(Errno::EINVAL),
        // One that is null has no bytes; nothing may be set to anything.
        None if offset == 0 && len == 0 => Ok(None),
        None => Err(Errno::E2BIG),
    };
    let of = match checked {
        Ok(Some(of)) => of,
        Ok(None) => return Ok(status(Ok(()))),
        Err(errno) => return Ok(status(Err(errno))),
    };
    let mut bytes = Bytes::zeros(len as usize);
    bytes.fill(byte as u8);
    Ok(status(put(run, of, offset, &bytes)?))
}

/// Writes through a slice, which moves no packet.
fn put(
    run: &mut Run<'_>,
    to: Dynptr,
    offset: u32,
    bytes: &[u8],
) -> Result<Result<(), Errno>, Stop> {
    let len = bytes.len() as u32;
    let Some(pointer) = run.slice_dynptr(to, offset, len, true) else {
        return run.store_dynptr(to, offset, bytes, 0);
    };
    pointer.write(bytes).map_err(|fault| describe(fault, pointer, 0, 0, len.into(), true))?;
    run.stack_overwritten(pointer, len.into());
    Ok(Ok(()))
}
