//! What Linux sees in a slot that is no instruction. It checks fields only when a
//! path reaches them, but follows jumps and calls long before, so a slot with a bad
//! field still has a place in the flow graph.

use std::sync::OnceLock;

use skep_abi::{Errno, Reason};
use skep_isa::{Callee, DecodeErrorKind, Insn, Slot, decode_at};

use crate::error::Fault;

/// Where control goes from an instruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flow {
    Next,
    Jump(i32),
    Branch(i32),
    Exit,
    Call,
}

const CLASS: u8 = 0x07;
const OP: u8 = 0xf0;
const X: u8 = 0x08;
const LD: u8 = 0;
const LDX: u8 = 1;
const ST: u8 = 2;
const STX: u8 = 3;
const ALU: u8 = 4;
const JMP: u8 = 5;
const JMP32: u8 = 6;
const ALU64: u8 = 7;
const ATOMIC: u8 = 0xc0;
const MODE: u8 = 0xe0;

/// Where control goes from an instruction, or from a slot that is none.
pub(crate) fn flow(insn: Option<Insn>, slot: Slot) -> Flow {
    match insn {
        Some(Insn::Ja { off }) => Flow::Jump(off.into()),
        Some(Insn::Gotol { off }) => Flow::Jump(off),
        Some(Insn::Branch { off, .. } | Insn::MayGoto { off }) => Flow::Branch(off.into()),
        Some(Insn::Exit) => Flow::Exit,
        Some(Insn::Call(_)) => Flow::Call,
        Some(_) => Flow::Next,
        None => match (slot.code & CLASS, slot.code & OP) {
            (JMP | JMP32, 0x80) => Flow::Call,
            (JMP | JMP32, 0x90) => Flow::Exit,
            (JMP, 0x00) => Flow::Jump(slot.off.into()),
            (JMP32, 0x00) => Flow::Jump(slot.imm),
            (JMP | JMP32, _) => Flow::Branch(slot.off.into()),
            _ => Flow::Next,
        },
    }
}

/// Whether Linux knows the opcode, whatever the other fields hold.
fn is_known(code: u8) -> bool {
    static KNOWN: OnceLock<[bool; 256]> = OnceLock::new();
    KNOWN.get_or_init(|| {
        std::array::from_fn(|code| {
            let slot = Slot { code: code as u8, ..Slot::default() };
            match decode_at(&[slot, Slot::default()], 0) {
                Ok(Insn::Call(Callee::Register(_))) => false,
                Err(error) if error.kind == DecodeErrorKind::UnknownOpcode => {
                    // Byte and half-word atomics exist, for loads and stores alone.
                    slot.code & CLASS == STX && slot.code & MODE == ATOMIC
                }
                _ => true,
            }
        })
    })[usize::from(code)]
}

/// What Linux looks at in a slot before it follows any path.
pub(crate) fn admit(slot: Slot) -> Result<(), Box<Fault>> {
    let is_load = slot.code & CLASS == LDX;
    if is_load && (!matches!(slot.code & MODE, 0x60 | 0x80) || slot.imm != 0) {
        return Err(Fault::new(Errno::EINVAL, Reason::LdxReserved));
    }
    match is_known(slot.code) {
        true => Ok(()),
        false => Err(Fault::new(Errno::EINVAL, Reason::UnknownOpcode { code: slot.code })),
    }
}

/// What Linux says of a slot that is no instruction, when a path reaches it.
pub(crate) fn fault(slot: Slot) -> Box<Fault> {
    let op = slot.code & OP;
    let bad_register = [slot.dst, slot.src].into_iter().find(|&reg| reg > 10);
    let reserved = match slot.code & CLASS {
        LD => match slot.code & MODE {
            0 if slot.off != 0 => Reason::LdImmReserved,
            0 => Reason::RegisterInvalid { reg: slot.dst },
            _ if slot.dst != 0 || slot.off != 0 => Reason::LdAbsReserved,
            0x20 => Reason::LdAbsReserved,
            _ => Reason::RegisterInvalid { reg: slot.src },
        },
        ST if slot.src != 0 => Reason::StReserved,
        STX if slot.code & MODE == ATOMIC => match slot.imm {
            0x00 | 0x01 | 0x40 | 0x41 | 0x50 | 0x51 | 0xa0 | 0xa1 | 0xe1 | 0xf1
                if slot.code & 0x18 != 0 && slot.code & 0x18 != 0x18 =>
            {
                Reason::AtomicSize
            }
            0x00 | 0x01 | 0x40 | 0x41 | 0x50 | 0x51 | 0xa0 | 0xa1 | 0xe1 | 0xf1 | 0x100 | 0x110 => {
                Reason::RegisterInvalid { reg: bad_register.unwrap_or(slot.dst) }
            }
            imm => Reason::AtomicOpcode { imm },
        },
        STX if slot.imm != 0 => Reason::StxReserved,
        ALU | ALU64 => alu_fault(slot, op),
        JMP | JMP32 => match op {
            0x80 => Reason::CallReserved,
            0x00 => Reason::JaReserved,
            0x90 => Reason::ExitReserved,
            0xe0 => Reason::MayGoto { imm: slot.imm },
            _ if slot.code & X != 0 && slot.imm != 0 => Reason::JmpReserved,
            _ if slot.code & X == 0 && slot.src != 0 => Reason::JmpReserved,
            _ => Reason::RegisterInvalid { reg: bad_register.unwrap_or(slot.dst) },
        },
        _ => Reason::RegisterInvalid { reg: if slot.src > 10 { slot.src } else { slot.dst } },
    };
    Fault::new(Errno::EINVAL, reserved)
}

fn alu_fault(slot: Slot, op: u8) -> Reason {
    let x = slot.code & X != 0;
    let bad_fields = if x {
        slot.imm != 0 || !matches!(slot.off, 0 | 1) || (slot.off == 1 && !matches!(op, 0x30 | 0x90))
    } else {
        slot.src != 0 || !matches!(slot.off, 0 | 1) || (slot.off == 1 && !matches!(op, 0x30 | 0x90))
    };
    match op {
        0x80 if x || slot.src != 0 || slot.off != 0 || slot.imm != 0 => Reason::NegReserved,
        0xd0 if slot.src != 0 || slot.off != 0 || !matches!(slot.imm, 16 | 32 | 64) => {
            Reason::EndReserved
        }
        0xb0 if x => {
            let wide = slot.code & CLASS == ALU64;
            if wide && slot.off == 1 {
                Reason::RegisterInvalid { reg: if slot.src > 10 { slot.src } else { slot.dst } }
            } else if slot.imm != 0 || !matches!((slot.off, wide), (0 | 8 | 16, _) | (32, true)) {
                Reason::MovReserved
            } else {
                Reason::RegisterInvalid { reg: if slot.src > 10 { slot.src } else { slot.dst } }
            }
        }
        0xb0 if slot.src != 0 || slot.off != 0 => Reason::MovReserved,
        0x80 | 0xd0 | 0xb0 => Reason::RegisterInvalid { reg: slot.dst },
        _ if op > 0xd0 => Reason::AluOpcode { op },
        _ if bad_fields => Reason::AluReserved,
        _ => Reason::RegisterInvalid { reg: if x && slot.src > 10 { slot.src } else { slot.dst } },
    }
}
