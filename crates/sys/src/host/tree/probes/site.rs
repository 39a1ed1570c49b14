//! What a jump at a place would cover, and whether anything could come to the middle of it.
//!
//! Five bytes are covered, or the one of a breakpoint. Nothing may run from within the other
//! four: no branch goes there (all of the file's long ones are looked at wherever their bytes
//! could be read as one, and the short ones around), no function begins there, and a function
//! that jumps by a table gets its jump over its first instruction alone.

use std::collections::BTreeSet;

use iced_x86::{
    Code, Decoder, DecoderOptions, FlowControl, Instruction, Mnemonic, OpKind, Register,
};

use super::super::layout::{self};
use super::file::File;

/// Bytes of a jump.
const JUMP: u64 = 5;
/// A short branch reaches so far.
const SHORT: u64 = 128;
/// Code is read from so far before, where no function is known to begin.
const BEFORE: u64 = 512;
/// Functions are shorter than this.
const FUNCTION: u64 = 1 << 20;

/// See the module.
pub struct Site {
    pub address: u64,
    /// How many bytes change.
    pub len: u32,
    /// What is moved into the thunk.
    pub moved: Vec<Instruction>,
    /// Where it goes on behind them.
    pub next: u64,
    /// What lies there.
    pub old: [u8; 8],
}
const _: () = assert!(size_of::<layout::Patch>() == 32);

/// Branches to the middle of what jumps would cover.
pub fn targets(file: &File, addresses: &[u64]) -> BTreeSet<u64> {
    let mut targets = BTreeSet::new();
    let (Some(first), Some(last)) = (addresses.first(), addresses.last()) else {
        return targets;
    };
    let mut see = |target: u64| {
        if target > *first && target < last + JUMP {
            let before = addresses.partition_point(|&address| address < target);
            let near = before.checked_sub(1).map(|at| target - addresses[at]);
            if near.is_some_and(|inside| inside < JUMP) {
                targets.insert(target);
            }
        }
    };
    for text in &file.texts {
        let code = file.code(text);
        for (at, bytes) in code.windows(JUMP as usize).enumerate() {
            let is_long = matches!(bytes[0], 0xe8 | 0xe9 | 0x80..=0x8f);
            if is_long {
                let by = i32::from_le_bytes([bytes[1], bytes[2], bytes[3], bytes[4]]);
                let next = text.address + at as u64 + JUMP;
                see(next.wrapping_add_signed(by.into()));
            }
        }
    }
    for &address in addresses {
        let start = start_before(file, address.saturating_sub(SHORT));
        for insn in decoder(file, start) {
            if insn.ip() > address + JUMP + SHORT {
                break;
            }
            if insn.op0_kind() == OpKind::NearBranch64 {
                see(insn.near_branch64());
            }
        }
    }
    targets
}

/// A place where an instruction begins, at or before an address.
fn start_before(file: &File, address: u64) -> u64 {
    let after = file.starts.partition_point(|&start| start <= address);
    let known = after.checked_sub(1).map(|at| file.starts[at]);
    known.filter(|start| address - start < FUNCTION).unwrap_or_else(|| {
        let text = file.texts.iter().find(|text| text.address <= address);
        address.saturating_sub(BEFORE).max(text.map_or(0, |text| text.address))
    })
}

fn decoder(file: &File, from: u64) -> Decoder<'_> {
    Decoder::with_ip(64, file.from(from), from, DecoderOptions::NONE)
}

/// What to do at a place.
///
/// # Errors
/// Why nothing can be done.
pub fn at(
    file: &File,
    address: u64,
    targets: &BTreeSet<u64>,
    addresses: &[u64],
) -> Result<Site, String> {
    let code = file.from(address);
    let Some(old) = code.get(..8).and_then(|bytes| bytes.try_into().ok()) else {
        return Err("it lies at the end of the file's code".into());
    };
    if !is_boundary(file, address) {
        return Err("it lies within an instruction".into());
    }
    let begins =
        |at: u64| [&file.starts[..], addresses].iter().any(|of| of.binary_search(&at).is_ok());
    let clear = (address + 1..address + JUMP).all(|at| !targets.contains(&at) && !begins(at));
    if clear && let Some((moved, next)) = covered(file, address) {
        return Ok(Site { address, len: JUMP as u32, moved, next, old });
    }
    let first = decoder(file, address).into_iter().next().unwrap_or_default();
    if first.is_invalid() || matches!(first.mnemonic(), Mnemonic::Int3 | Mnemonic::Ud2) {
        return Err("no instruction lies there".into());
    }
    check(&first)?;
    Ok(Site { address, len: 1, moved: vec![first], next: first.next_ip(), old })
}

/// Whether an instruction begins there, as far as a function says where its own do.
fn is_boundary(file: &File, address: u64) -> bool {
    let after = file.starts.partition_point(|&start| start <= address);
    let Some(start) = after.checked_sub(1).map(|at| file.starts[at]) else {
        return true;
    };
    if address - start > FUNCTION {
        return true;
    }
    let found =
        decoder(file, start).into_iter().find(|insn| insn.ip() >= address || insn.is_invalid());
    found.is_none_or(|insn| insn.ip() == address || insn.is_invalid())
}

/// What cannot be moved.
fn check(insn: &Instruction) -> Result<(), String> {
    let stack = |register: Register| register.full_register() == Register::RSP;
    let by_stack = stack(insn.memory_base()) || stack(insn.op0_register());
    match insn.mnemonic() {
        Mnemonic::Call if by_stack => Err("it calls by the stack".into()),
        Mnemonic::Call if !matches!(insn.code(), Code::Call_rel32_64 | Code::Call_rm64) => {
            Err("it is a far call".into())
        }
        Mnemonic::Xbegin => Err("it begins a transaction".into()),
        _ => Ok(()),
    }
}

/// The instructions that a jump covers, and what is behind them; None where it cannot be.
fn covered(file: &File, address: u64) -> Option<(Vec<Instruction>, u64)> {
    let end = address + JUMP;
    let (mut moved, mut next, mut open) = (Vec::new(), address, true);
    for insn in decoder(file, address) {
        if next >= end {
            break;
        }
        if insn.is_invalid() || insn.ip() != next {
            return None;
        }
        next = insn.next_ip();
        if !open {
            // Behind the end of a function only padding may be covered.
            match insn.mnemonic() {
                Mnemonic::Nop | Mnemonic::Int3 => continue,
                _ => return None,
            }
        }
        check(&insn).ok()?;
        let inside = |target: u64| (address..end).contains(&target);
        if insn.op0_kind() == OpKind::NearBranch64 && inside(insn.near_branch64()) {
            return None;
        }
        match insn.flow_control() {
            FlowControl::Next | FlowControl::ConditionalBranch => {}
            // The called function returns behind it.
            FlowControl::Call | FlowControl::IndirectCall
                if next >= end || insn.mnemonic() != Mnemonic::Call => {}
            FlowControl::UnconditionalBranch
            | FlowControl::Return
            | FlowControl::IndirectBranch => {
                open = false;
            }
            _ => return None,
        }
        moved.push(insn);
    }
    let alone = moved.len() == 1;
    (next >= end && (alone || !has_table(file, address))).then_some((moved, next))
}

/// Whether the function at an address may jump by a table: where to is not known. Tables are
/// read by an index; a jump through a pointer goes to another function.
fn has_table(file: &File, address: u64) -> bool {
    let after = file.starts.partition_point(|&start| start <= address);
    let end = file.starts.get(after).copied().unwrap_or(address + FUNCTION);
    let (mut reads, mut jumps) = (false, false);
    for insn in decoder(file, address) {
        if insn.ip() >= end || insn.ip() - address > FUNCTION {
            break;
        }
        let indexed = insn.memory_index() != Register::None && insn.memory_index_scale() >= 4;
        reads |= indexed && matches!(insn.mnemonic(), Mnemonic::Mov | Mnemonic::Movsxd);
        if insn.flow_control() == FlowControl::IndirectBranch {
            jumps |= insn.op0_kind() == OpKind::Register;
            if indexed {
                return true;
            }
        }
    }
    reads && jumps
}
