//! What Linux copies from and to a command's slices.
//!
//! A length that stands in the attribute is compared with the slice ([`check`]), and the
//! slice is given to Linux as it is. For all other lengths Linux gets a guarded copy
//! ([`visit`]). Each field of each command that is a pointer is in one of the two.

use std::borrow::Cow;

use crate::command::Command;
use crate::wire::{Input, Output};
use crate::{Errno, ProgLoad};

/// Memory that Linux works on a copy of.
pub(super) enum Bytes<'b> {
    /// Linux reads it, or what it writes is not for the caller.
    Read(&'b [u8]),
    /// Linux writes it too.
    Written(&'b mut [u8]),
}

/// Shows each buffer whose length Linux does not take from the attribute, with the
/// offset of its address there, always in the same order.
pub(super) fn visit(
    command: &mut Command<'_>,
    see: &mut impl FnMut(usize, Bytes<'_>) -> Result<(), Errno>,
) -> Result<(), Errno> {
    match command {
        Command::MapLookup(elem) | Command::MapLookupAndDelete(elem) => {
            input(8, &elem.key, see)?;
            output(16, &mut elem.value, see)
        }
        Command::MapUpdate(elem) => {
            input(8, &elem.key, see)?;
            read(16, &elem.value, see)
        }
        Command::MapDelete(elem) => input(8, &elem.key, see),
        Command::MapNextKey(next) => {
            input(8, &next.key, see)?;
            output(16, &mut next.next_key, see)
        }
        Command::MapLookupBatch(batch) | Command::MapLookupAndDeleteBatch(batch) => {
            input(0, &batch.in_batch, see)?;
            output(8, &mut batch.out_batch, see)?;
            output(16, &mut batch.keys, see)?;
            output(24, &mut batch.values, see)
        }
        Command::MapUpdateBatch(batch) | Command::MapDeleteBatch(batch) => {
            input(0, &batch.in_batch, see)?;
            output(8, &mut batch.out_batch, see)?;
            read(16, &batch.keys, see)?;
            read(24, &batch.values, see)
        }
        // Up to its zero, or as much as Linux has room for.
        Command::ProgLoad(load) => input(16, &load.license, see),
        Command::ObjPin(pin) => input(0, &pin.pathname, see),
        Command::ObjGet(get) => input(0, &get.pathname, see),
        Command::TestRun(run) => {
            if run.data_size_out == 0 {
                // The whole packet, whatever has become of it.
                output(24, &mut run.data_out, see)?;
            }
            // A syscall program's context is given back where it was taken from.
            match &mut run.ctx_in {
                None => Ok(()),
                Some(Cow::Borrowed(bytes)) => see(48, Bytes::Read(bytes)),
                Some(Cow::Owned(bytes)) => see(48, Bytes::Written(bytes)),
            }
        }
        // Its addresses are replaced in the copy.
        Command::ObjInfo(info) => output(8, &mut info.info, see),
        Command::MapCreate(_)
        | Command::MapFreeze(_)
        | Command::GetById(..)
        | Command::NextId(..)
        | Command::BtfLoad(_) => Ok(()),
    }
}

fn input(
    at: usize,
    bytes: &Input<'_>,
    see: &mut impl FnMut(usize, Bytes<'_>) -> Result<(), Errno>,
) -> Result<(), Errno> {
    bytes.as_ref().map_or(Ok(()), |bytes| see(at, Bytes::Read(bytes)))
}

fn output(
    at: usize,
    bytes: &mut Output<'_>,
    see: &mut impl FnMut(usize, Bytes<'_>) -> Result<(), Errno>,
) -> Result<(), Errno> {
    if bytes.is_null() { Ok(()) } else { see(at, Bytes::Written(bytes)) }
}

fn read(
    at: usize,
    bytes: &Output<'_>,
    see: &mut impl FnMut(usize, Bytes<'_>) -> Result<(), Errno>,
) -> Result<(), Errno> {
    if bytes.is_null() { Ok(()) } else { see(at, Bytes::Read(bytes)) }
}

/// Fails with `EFAULT` where the attribute states more bytes than a slice has.
pub(super) fn check(command: &Command<'_>) -> Result<(), Errno> {
    let writes = |memory: &Output<'_>, len: usize| memory.is_null() || memory.len() >= len;
    let reads =
        |memory: &Input<'_>, len: usize| memory.as_ref().is_none_or(|bytes| bytes.len() >= len);
    let fits = match command {
        Command::ProgLoad(load) => {
            let records = |size: u32, count: u32| size as usize * count as usize;
            reads(&load.insns, records(8, load.insn_cnt))
                && writes(&load.log_buf, load.log_size as usize)
                && reads(&load.func_info, records(load.func_info_rec_size, load.func_info_cnt))
                && reads(&load.line_info, records(load.line_info_rec_size, load.line_info_cnt))
                && reads(&load.core_relos, records(load.core_relo_rec_size, load.core_relo_cnt))
                && reads(&load.signature, load.signature_size as usize)
                && fd_array_fits(load)
        }
        Command::TestRun(run) => {
            reads(&run.data_in, run.data_size_in as usize)
                && writes(&run.data_out, run.data_size_out as usize)
                && reads(&run.ctx_in, run.ctx_size_in as usize)
                && writes(&run.ctx_out, run.ctx_size_out as usize)
        }
        Command::ObjInfo(info) => writes(&info.info, info.info_len as usize),
        Command::BtfLoad(load) => {
            reads(&load.btf, load.btf_size as usize)
                && writes(&load.btf_log_buf, load.btf_log_size as usize)
        }
        Command::MapCreate(create) => {
            reads(&create.excl_prog_hash, create.excl_prog_hash_size as usize)
        }
        _ => true,
    };
    if fits { Ok(()) } else { Err(Errno::EFAULT) }
}

/// Whether every entry of `fd_array` that the instructions name is in the slice. Linux
/// reads it by the instructions' own numbers. What stands here may be no program at all,
/// so slots are looked at as bytes.
fn fd_array_fits(load: &ProgLoad<'_>) -> bool {
    const LD_IMM64: u8 = 0x18;
    const CALL: u8 = 0x85;
    let Some(fds) = &load.fd_array else { return true };
    let entries = fds.len() / 4;
    let has = |index: i64| usize::try_from(index).is_ok_and(|index| index < entries);
    let slots = load.insns.as_deref().unwrap_or_default().chunks_exact(8);
    load.fd_array_cnt as usize <= entries
        && slots.take(load.insn_cnt as usize).all(|slot| {
            let imm = i32::from_ne_bytes([slot[4], slot[5], slot[6], slot[7]]);
            let off = i16::from_ne_bytes([slot[2], slot[3]]);
            match (slot[0], slot[1] >> 4) {
                // BPF_PSEUDO_MAP_IDX and _IDX_VALUE.
                (LD_IMM64, 5 | 6) => has(imm.into()),
                // BPF_PSEUDO_KFUNC_CALL of a module's function.
                (CALL, 2) if off != 0 => has(off.into()),
                _ => true,
            }
        })
}
