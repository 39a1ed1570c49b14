//! Instructions to slots. Total: what [`Insn`] can hold has one encoding.

use crate::opcode::{self as op, atomic};
use crate::{AluOp, AtomicOp, Callee, Cond, Insn, Operand, Order, Size, Slot, Width};

/// Encodes a program. Each [`Insn::LoadImm64`] writes its second half into the
/// [`Insn::Hole`] that follows it.
pub fn encode(insns: &[Insn]) -> Vec<Slot> {
    let mut slots: Vec<Slot> = insns.iter().map(first_slot).collect();
    for (pc, insn) in insns.iter().enumerate() {
        if let (Insn::LoadImm64 { imm, .. }, Some(second)) = (insn, slots.get_mut(pc + 1)) {
            second.imm = imm.hi as i32;
        }
    }
    slots
}

/// The slot of one instruction; of a 64-bit immediate load, the first.
pub(crate) fn first_slot(insn: &Insn) -> Slot {
    let mut slot = Slot::default();
    match *insn {
        Insn::Alu { op, width, dst, src } => {
            let (bits, off) = alu_bits(op);
            slot.code = alu_class(width) | bits | operand(&mut slot, src);
            slot.dst = dst.number();
            slot.off = off;
        }
        Insn::MovSx { width, from, dst, src } => {
            slot.code = alu_class(width) | alu_bits(AluOp::Mov).0 | op::X;
            slot.dst = dst.number();
            slot.src = src.number();
            slot.off = from.bits() as i16;
        }
        Insn::Neg { width, dst } => {
            slot.code = alu_class(width) | op::NEG;
            slot.dst = dst.number();
        }
        Insn::ByteSwap { order, size, dst } => {
            slot.code = op::END
                | match order {
                    Order::Le => op::ALU,
                    Order::Be => op::ALU | op::X,
                    Order::Swap => op::ALU64,
                };
            slot.dst = dst.number();
            slot.imm = size.bits() as i32;
        }
        Insn::AddrSpaceCast { dst, src, to, from } => {
            slot.code = op::ALU64 | alu_bits(AluOp::Mov).0 | op::X;
            slot.dst = dst.number();
            slot.src = src.number();
            slot.off = 1;
            slot.imm = (u32::from(to) << 16 | u32::from(from)) as i32;
        }
        Insn::LoadImm64 { dst, imm } => {
            slot.code = op::LD_IMM64;
            slot.dst = dst.number();
            slot.src = imm.kind as u8;
            slot.imm = imm.lo as i32;
        }
        Insn::Hole => {}
        Insn::LoadAbs { size, offset } => {
            slot.code = op::LD | op::ABS | size_bits(size);
            slot.imm = offset;
        }
        Insn::LoadInd { size, src, offset } => {
            slot.code = op::LD | op::IND | size_bits(size);
            slot.src = src.number();
            slot.imm = offset;
        }
        Insn::Load { size, signed, dst, base, off } => {
            let mode = if signed { op::MEMSX } else { op::MEM };
            slot.code = op::LDX | mode | size_bits(size);
            slot.dst = dst.number();
            slot.src = base.number();
            slot.off = off;
        }
        Insn::Store { size, base, off, src } => {
            let class = if matches!(src, Operand::Reg(_)) { op::STX } else { op::ST };
            operand(&mut slot, src);
            slot.code = class | op::MEM | size_bits(size);
            slot.dst = base.number();
            slot.off = off;
        }
        Insn::Atomic { op, size, base, off, src } => {
            slot = atomic_slot(size, base.number(), src.number(), off, atomic_imm(op));
        }
        Insn::LoadAcquire { size, dst, base, off } => {
            slot = atomic_slot(size, dst.number(), base.number(), off, atomic::LOAD_ACQUIRE);
        }
        Insn::StoreRelease { size, base, off, src } => {
            slot = atomic_slot(size, base.number(), src.number(), off, atomic::STORE_RELEASE);
        }
        Insn::Ja { off } => {
            slot.code = op::JMP | op::JA;
            slot.off = off;
        }
        Insn::Gotol { off } => {
            slot.code = op::JMP32 | op::JA;
            slot.imm = off;
        }
        Insn::Branch { cond, width, dst, src, off } => {
            let class = match width {
                Width::W64 => op::JMP,
                Width::W32 => op::JMP32,
            };
            slot.code = class | cond_bits(cond) | operand(&mut slot, src);
            slot.dst = dst.number();
            slot.off = off;
        }
        Insn::MayGoto { off } => {
            slot.code = op::JMP | op::JCOND;
            slot.off = off;
        }
        Insn::Call(callee) => {
            slot.code = op::JMP | op::CALL;
            match callee {
                Callee::Helper(id) => slot.imm = id as i32,
                Callee::Local(off) => {
                    slot.src = op::call::LOCAL;
                    slot.imm = off;
                }
                Callee::Kfunc { btf_id, module } => {
                    slot.src = op::call::KFUNC;
                    slot.off = module;
                    slot.imm = btf_id;
                }
                Callee::Register(reg) => {
                    slot.code |= op::X;
                    slot.dst = reg.number();
                }
            }
        }
        Insn::Exit => slot.code = op::JMP | op::EXIT,
    }
    slot
}

/// Puts the operand into its field and gives the source bit.
fn operand(slot: &mut Slot, src: Operand) -> u8 {
    match src {
        Operand::Reg(reg) => {
            slot.src = reg.number();
            op::X
        }
        Operand::Imm(imm) => {
            slot.imm = imm;
            0
        }
    }
}

fn alu_class(width: Width) -> u8 {
    match width {
        Width::W32 => op::ALU,
        Width::W64 => op::ALU64,
    }
}

/// Operation bits and the offset that marks the signed divisions.
fn alu_bits(op: AluOp) -> (u8, i16) {
    match op {
        AluOp::Add => (0x00, 0),
        AluOp::Sub => (0x10, 0),
        AluOp::Mul => (0x20, 0),
        AluOp::Div => (0x30, 0),
        AluOp::SDiv => (0x30, 1),
        AluOp::Or => (0x40, 0),
        AluOp::And => (0x50, 0),
        AluOp::Lsh => (0x60, 0),
        AluOp::Rsh => (0x70, 0),
        AluOp::Mod => (0x90, 0),
        AluOp::SMod => (0x90, 1),
        AluOp::Xor => (0xa0, 0),
        AluOp::Mov => (0xb0, 0),
        AluOp::Arsh => (0xc0, 0),
    }
}

fn cond_bits(cond: Cond) -> u8 {
    match cond {
        Cond::Eq => 0x10,
        Cond::Gt => 0x20,
        Cond::Ge => 0x30,
        Cond::Set => 0x40,
        Cond::Ne => 0x50,
        Cond::Sgt => 0x60,
        Cond::Sge => 0x70,
        Cond::Lt => 0xa0,
        Cond::Le => 0xb0,
        Cond::Slt => 0xc0,
        Cond::Sle => 0xd0,
    }
}

fn size_bits(size: Size) -> u8 {
    match size {
        Size::W => 0x00,
        Size::H => 0x08,
        Size::B => 0x10,
        Size::DW => 0x18,
    }
}

fn atomic_imm(op: AtomicOp) -> i32 {
    let with = |bits: i32, fetch: bool| bits | if fetch { atomic::FETCH } else { 0 };
    match op {
        AtomicOp::Add { fetch } => with(atomic::ADD, fetch),
        AtomicOp::Or { fetch } => with(atomic::OR, fetch),
        AtomicOp::And { fetch } => with(atomic::AND, fetch),
        AtomicOp::Xor { fetch } => with(atomic::XOR, fetch),
        AtomicOp::Xchg => atomic::XCHG,
        AtomicOp::Cmpxchg => atomic::CMPXCHG,
    }
}

fn atomic_slot(size: Size, dst: u8, src: u8, off: i16, imm: i32) -> Slot {
    Slot { code: op::STX | op::ATOMIC | size_bits(size), dst, src, off, imm }
}
