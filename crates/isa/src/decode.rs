//! Slots to instructions. Refuses what is reserved (RFC 9669, section 3 and 4.1)
//! with the slot and the field at fault; what it accepts, `encode` writes back
//! byte for byte.

use std::fmt;

use crate::opcode::{self as op, atomic};
use crate::{
    AluOp, AtomicOp, Callee, Cond, Imm64, ImmKind, Insn, Operand, Order, Pc, Reg, Size, Slot, Width,
};

/// Why a slot is no instruction.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub struct DecodeError {
    /// The slot.
    pub pc: Pc,
    /// Its opcode.
    pub code: u8,
    /// What is wrong with it.
    pub kind: DecodeErrorKind,
}

/// What is wrong with a slot.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DecodeErrorKind {
    /// No instruction has this opcode.
    UnknownOpcode,
    /// A register field above 10.
    Register(u8),
    /// A field that this instruction does not use is not zero.
    Reserved(&'static str),
    /// A field has a value that means nothing.
    Value(&'static str, i64),
    /// A 64-bit immediate load without its second slot, or with a wrong one.
    Imm64,
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "insn {}: opcode {:#04x}: ", self.pc, self.code)?;
        match self.kind {
            DecodeErrorKind::UnknownOpcode => f.write_str("no such instruction"),
            DecodeErrorKind::Register(number) => write!(f, "R{number} is invalid"),
            DecodeErrorKind::Reserved(field) => write!(f, "reserved field `{field}` is not zero"),
            DecodeErrorKind::Value(field, value) => {
                write!(f, "field `{field}` cannot be {value}")
            }
            DecodeErrorKind::Imm64 => f.write_str("invalid bpf_ld_imm64 insn"),
        }
    }
}

/// Decodes a program: one [`Insn`] for each slot.
///
/// # Errors
/// The first slot that is no instruction.
pub fn decode(slots: &[Slot]) -> Result<Vec<Insn>, DecodeError> {
    let mut insns = Vec::with_capacity(slots.len());
    while insns.len() < slots.len() {
        let insn = decode_at(slots, insns.len())?;
        insns.push(insn);
        if insn.slots() == 2 {
            insns.push(Insn::Hole);
        }
    }
    Ok(insns)
}

/// Decodes each slot by itself, as what control may come to: `None` where it starts no
/// instruction.
pub fn decode_each(slots: &[Slot]) -> Vec<Option<Insn>> {
    (0..slots.len()).map(|index| decode_at(slots, index).ok()).collect()
}

/// The immediate of the 64-bit load that starts at a slot, whatever its other fields hold: what
/// it names is looked up before anybody looks at those. `None` where no such load starts.
pub fn imm64_at(slots: &[Slot], index: usize) -> Option<Result<Imm64, DecodeErrorKind>> {
    let slot = slots.get(index).filter(|slot| slot.code == op::LD_IMM64)?;
    Some(second_half(slots.get(index + 1)).and_then(|hi| immediate(*slot, hi)))
}

/// The slots whose immediate is the fd of a map, with the fd.
pub fn map_fds(slots: &[Slot]) -> impl Iterator<Item = (usize, i32)> {
    let mut next = 0;
    std::iter::from_fn(move || {
        while next < slots.len() {
            let index = next;
            next += 1;
            let Some(found) = imm64_at(slots, index) else { continue };
            next += 1;
            if let Ok(Imm64 { kind: ImmKind::MapFd | ImmKind::MapValue, lo, .. }) = found {
                return Some((index, lo as i32));
            }
        }
        None
    })
}

/// Decodes the instruction that starts at `slots[index]`.
///
/// # Errors
/// Why it is none; [`DecodeErrorKind::Imm64`] also where `index` is out of range.
pub fn decode_at(slots: &[Slot], index: usize) -> Result<Insn, DecodeError> {
    let Some(&slot) = slots.get(index) else {
        return Err(DecodeError { pc: index as Pc, code: 0, kind: DecodeErrorKind::Imm64 });
    };
    let decoded = match slot.code & 0x07 {
        op::LD => ld(slot, slots.get(index + 1)),
        op::LDX => ldx(slot),
        op::ST | op::STX => store(slot),
        op::ALU => alu(slot, Width::W32),
        op::ALU64 => alu(slot, Width::W64),
        op::JMP => jump(slot, Width::W64),
        _ => jump(slot, Width::W32),
    };
    decoded.map_err(|kind| DecodeError { pc: index as Pc, code: slot.code, kind })
}

type Decoded<T> = Result<T, DecodeErrorKind>;

fn reg(number: u8) -> Decoded<Reg> {
    Reg::new(number).ok_or(DecodeErrorKind::Register(number))
}

/// Fails for the first field, named by its letters, that is not zero.
fn zero(slot: Slot, fields: &str) -> Decoded<()> {
    for field in fields.split(' ') {
        let (name, value) = match field {
            "dst" => ("dst", i32::from(slot.dst)),
            "src" => ("src", i32::from(slot.src)),
            "off" => ("off", i32::from(slot.off)),
            _ => ("imm", slot.imm),
        };
        if value != 0 {
            return Err(DecodeErrorKind::Reserved(name));
        }
    }
    Ok(())
}

fn size(code: u8) -> Size {
    match code & 0x18 {
        0x00 => Size::W,
        0x08 => Size::H,
        0x10 => Size::B,
        _ => Size::DW,
    }
}

fn operand(slot: Slot) -> Decoded<Operand> {
    if slot.code & op::X != 0 {
        zero(slot, "imm")?;
        Ok(Operand::Reg(reg(slot.src)?))
    } else {
        zero(slot, "src")?;
        Ok(Operand::Imm(slot.imm))
    }
}

fn alu(slot: Slot, width: Width) -> Decoded<Insn> {
    let op = match slot.code & 0xf0 {
        0x00 => AluOp::Add,
        0x10 => AluOp::Sub,
        0x20 => AluOp::Mul,
        0x30 if slot.off == 1 => AluOp::SDiv,
        0x30 => AluOp::Div,
        0x40 => AluOp::Or,
        0x50 => AluOp::And,
        0x60 => AluOp::Lsh,
        0x70 => AluOp::Rsh,
        op::NEG => return neg(slot, width),
        0x90 if slot.off == 1 => AluOp::SMod,
        0x90 => AluOp::Mod,
        0xa0 => AluOp::Xor,
        0xb0 if slot.code & op::X != 0 && slot.off != 0 => return extending_mov(slot, width),
        0xb0 => AluOp::Mov,
        0xc0 => AluOp::Arsh,
        op::END => return byte_swap(slot, width),
        _ => return Err(DecodeErrorKind::UnknownOpcode),
    };
    match op {
        AluOp::SDiv | AluOp::SMod => {}
        AluOp::Div | AluOp::Mod if slot.off != 0 => {
            return Err(DecodeErrorKind::Value("off", slot.off.into()));
        }
        _ => zero(slot, "off")?,
    }
    Ok(Insn::Alu { op, width, dst: reg(slot.dst)?, src: operand(slot)? })
}

fn neg(slot: Slot, width: Width) -> Decoded<Insn> {
    if slot.code & op::X != 0 {
        return Err(DecodeErrorKind::UnknownOpcode);
    }
    zero(slot, "src off imm")?;
    Ok(Insn::Neg { width, dst: reg(slot.dst)? })
}

fn extending_mov(slot: Slot, width: Width) -> Decoded<Insn> {
    let (dst, src) = (reg(slot.dst)?, reg(slot.src)?);
    let from = match (slot.off, width) {
        (8, _) => Size::B,
        (16, _) => Size::H,
        (32, Width::W64) => Size::W,
        (1, Width::W64) => {
            let spaces = slot.imm as u32;
            let (to, from) = ((spaces >> 16) as u16, spaces as u16);
            return Ok(Insn::AddrSpaceCast { dst, src, to, from });
        }
        (off, _) => return Err(DecodeErrorKind::Value("off", off.into())),
    };
    zero(slot, "imm")?;
    Ok(Insn::MovSx { width, from, dst, src })
}

fn byte_swap(slot: Slot, width: Width) -> Decoded<Insn> {
    zero(slot, "src off")?;
    let order = match (width, slot.code & op::X != 0) {
        (Width::W32, false) => Order::Le,
        (Width::W32, true) => Order::Be,
        (Width::W64, false) => Order::Swap,
        (Width::W64, true) => return Err(DecodeErrorKind::UnknownOpcode),
    };
    let size = match slot.imm {
        16 => Size::H,
        32 => Size::W,
        64 => Size::DW,
        bits => return Err(DecodeErrorKind::Value("imm", bits.into())),
    };
    Ok(Insn::ByteSwap { order, size, dst: reg(slot.dst)? })
}

fn ld(slot: Slot, second: Option<&Slot>) -> Decoded<Insn> {
    let size = size(slot.code);
    match slot.code & 0xe0 {
        op::IMM if size == Size::DW => imm64(slot, second),
        op::ABS if size != Size::DW => {
            zero(slot, "dst src off")?;
            Ok(Insn::LoadAbs { size, offset: slot.imm })
        }
        op::IND if size != Size::DW => {
            zero(slot, "dst off")?;
            Ok(Insn::LoadInd { size, src: reg(slot.src)?, offset: slot.imm })
        }
        _ => Err(DecodeErrorKind::UnknownOpcode),
    }
}

fn imm64(slot: Slot, second: Option<&Slot>) -> Decoded<Insn> {
    let hi = second_half(second)?;
    zero(slot, "off")?;
    let imm = immediate(slot, hi)?;
    Ok(Insn::LoadImm64 { dst: reg(slot.dst)?, imm })
}

/// The upper half of a 64-bit immediate.
fn second_half(second: Option<&Slot>) -> Decoded<u32> {
    second
        .filter(|second| (second.code, second.dst, second.src, second.off) == (0, 0, 0, 0))
        .map(|second| second.imm as u32)
        .ok_or(DecodeErrorKind::Imm64)
}

fn immediate(slot: Slot, hi: u32) -> Decoded<Imm64> {
    let kind = *ImmKind::ALL
        .get(usize::from(slot.src))
        .ok_or(DecodeErrorKind::Value("src", slot.src.into()))?;
    Ok(Imm64 { kind, lo: slot.imm as u32, hi })
}

fn ldx(slot: Slot) -> Decoded<Insn> {
    let size = size(slot.code);
    let signed = match slot.code & 0xe0 {
        op::MEM => false,
        op::MEMSX if size != Size::DW => true,
        _ => return Err(DecodeErrorKind::UnknownOpcode),
    };
    zero(slot, "imm")?;
    Ok(Insn::Load { size, signed, dst: reg(slot.dst)?, base: reg(slot.src)?, off: slot.off })
}

fn store(slot: Slot) -> Decoded<Insn> {
    let (size, base, off) = (size(slot.code), reg(slot.dst)?, slot.off);
    let register = slot.code & 0x07 == op::STX;
    match slot.code & 0xe0 {
        op::MEM if register => {
            zero(slot, "imm")?;
            Ok(Insn::Store { size, base, off, src: Operand::Reg(reg(slot.src)?) })
        }
        op::MEM => {
            zero(slot, "src")?;
            Ok(Insn::Store { size, base, off, src: Operand::Imm(slot.imm) })
        }
        op::ATOMIC if register => atomic(slot, size),
        _ => Err(DecodeErrorKind::UnknownOpcode),
    }
}

fn atomic(slot: Slot, size: Size) -> Decoded<Insn> {
    let (dst, src, off) = (reg(slot.dst)?, reg(slot.src)?, slot.off);
    match slot.imm {
        atomic::LOAD_ACQUIRE => return Ok(Insn::LoadAcquire { size, dst, base: src, off }),
        atomic::STORE_RELEASE => return Ok(Insn::StoreRelease { size, base: dst, off, src }),
        _ => {}
    }
    if size < Size::W {
        return Err(DecodeErrorKind::UnknownOpcode);
    }
    let fetch = slot.imm & atomic::FETCH != 0;
    let op = match slot.imm {
        atomic::XCHG => AtomicOp::Xchg,
        atomic::CMPXCHG => AtomicOp::Cmpxchg,
        imm => match imm & !atomic::FETCH {
            atomic::ADD => AtomicOp::Add { fetch },
            atomic::OR => AtomicOp::Or { fetch },
            atomic::AND => AtomicOp::And { fetch },
            atomic::XOR => AtomicOp::Xor { fetch },
            _ => return Err(DecodeErrorKind::Value("imm", imm.into())),
        },
    };
    Ok(Insn::Atomic { op, size, base: dst, off, src })
}

fn jump(slot: Slot, width: Width) -> Decoded<Insn> {
    let cond = match slot.code & 0xf0 {
        op::JA => return ja(slot, width),
        0x10 => Cond::Eq,
        0x20 => Cond::Gt,
        0x30 => Cond::Ge,
        0x40 => Cond::Set,
        0x50 => Cond::Ne,
        0x60 => Cond::Sgt,
        0x70 => Cond::Sge,
        op::CALL if width == Width::W64 => return call(slot),
        op::EXIT if slot.code == op::JMP | op::EXIT => {
            zero(slot, "dst src off imm")?;
            return Ok(Insn::Exit);
        }
        0xa0 => Cond::Lt,
        0xb0 => Cond::Le,
        0xc0 => Cond::Slt,
        0xd0 => Cond::Sle,
        op::JCOND if slot.code == op::JMP | op::JCOND => {
            zero(slot, "dst src imm")?;
            return Ok(Insn::MayGoto { off: slot.off });
        }
        _ => return Err(DecodeErrorKind::UnknownOpcode),
    };
    Ok(Insn::Branch { cond, width, dst: reg(slot.dst)?, src: operand(slot)?, off: slot.off })
}

fn ja(slot: Slot, width: Width) -> Decoded<Insn> {
    if slot.code & op::X != 0 {
        return Err(DecodeErrorKind::UnknownOpcode);
    }
    zero(slot, "dst src")?;
    match width {
        Width::W64 => {
            zero(slot, "imm")?;
            Ok(Insn::Ja { off: slot.off })
        }
        Width::W32 => {
            zero(slot, "off")?;
            Ok(Insn::Gotol { off: slot.imm })
        }
    }
}

fn call(slot: Slot) -> Decoded<Insn> {
    if slot.code & op::X != 0 {
        zero(slot, "src off imm")?;
        return Ok(Insn::Call(Callee::Register(reg(slot.dst)?)));
    }
    zero(slot, "dst")?;
    let callee = match slot.src {
        op::call::HELPER => {
            zero(slot, "off")?;
            Callee::Helper(slot.imm as u32)
        }
        op::call::LOCAL => {
            zero(slot, "off")?;
            Callee::Local(slot.imm)
        }
        op::call::KFUNC => Callee::Kfunc { btf_id: slot.imm, module: slot.off },
        src => return Err(DecodeErrorKind::Value("src", src.into())),
    };
    Ok(Insn::Call(callee))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::encode;

    /// Each opcode with a few values in every field: what decodes, encodes back.
    #[test]
    fn what_decodes_encodes_back_to_the_same_bytes() {
        let mut decoded = 0;
        let imms = [0, 1, 16, 32, 64, 0x40, 0x41, 0x50, 0xa1, 0xe1, 0xf1, 0x100, 0x110, -1];
        for code in 0..=255 {
            for (dst, src) in [(0, 0), (1, 0), (0, 1), (3, 7), (10, 2), (11, 0), (0, 15)] {
                for off in [0, 1, 8, 16, 32, -1, i16::MIN] {
                    for imm in imms {
                        let slots =
                            [Slot { code, dst, src, off, imm }, Slot { imm, ..Slot::default() }];
                        let Ok(insn) = decode_at(&slots, 0) else { continue };
                        let len = insn.slots() as usize;
                        let all = [insn, Insn::Hole];
                        assert_eq!(encode(&all[..len]), slots[..len], "{insn:?}");
                        decoded += 1;
                    }
                }
            }
        }
        assert!(decoded > 1000, "{decoded}");
    }

    #[test]
    fn reserved_fields_are_named() {
        let slot = Slot { code: 0xb7, src: 1, ..Slot::default() };
        let error = decode(&[slot]).unwrap_err();
        assert_eq!(error.to_string(), "insn 0: opcode 0xb7: reserved field `src` is not zero");
    }
}
