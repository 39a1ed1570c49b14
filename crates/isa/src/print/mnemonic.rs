//! The text of uBPF's assembler and of the BPF conformance vectors, with mnemonics of
//! the same kind for what they have no word for.

use std::fmt;

use super::{Pseudo, Text};
use crate::{AtomicOp, Callee, Insn, Operand, Order, Reg, Size, Width};

pub(super) fn write(f: &mut fmt::Formatter<'_>, text: &Text<'_>) -> fmt::Result {
    match *text.insn {
        Insn::Alu { op, width, dst, src } => {
            write!(f, "{}{} %{dst}, {}", op.name(), width.suffix(), Right(src))
        }
        Insn::MovSx { width, from, dst, src } => {
            let to = if width == Width::W64 { 64 } else { 32 };
            write!(f, "movsx{}{to} %{dst}, %{src}", from.bits())
        }
        Insn::Neg { width, dst } => write!(f, "neg{} %{dst}", width.suffix()),
        Insn::ByteSwap { order: Order::Swap, size, dst } => {
            write!(f, "swap{} %{dst}", size.bits())
        }
        Insn::ByteSwap { order, size, dst } => {
            write!(f, "{}{} %{dst}", order.name(), size.bits())
        }
        Insn::AddrSpaceCast { dst, src, to, from } => {
            write!(f, "addr_space_cast %{dst}, %{src}, {to}, {from}")
        }
        Insn::LoadImm64 { dst, imm } => write!(f, "lddw %{dst}, {}", Pseudo(imm)),
        Insn::Hole => Ok(()),
        Insn::LoadAbs { size, offset } => write!(f, "ldabs{} {offset}", size.suffix()),
        Insn::LoadInd { size, src, offset } => {
            write!(f, "ldind{} %{src}, {offset}", size.suffix())
        }
        Insn::Load { size, signed, dst, base, off } => {
            let sign = if signed { "s" } else { "" };
            write!(f, "ldx{sign}{} %{dst}, {}", size.suffix(), Address(base, off))
        }
        Insn::Store { size, base, off, src } => {
            let register = if matches!(src, Operand::Reg(_)) { "x" } else { "" };
            write!(f, "st{register}{} {}, {}", size.suffix(), Address(base, off), Right(src))
        }
        Insn::Atomic { op, size, base, off, src } => {
            let bits = if size == Size::W { "32" } else { "" };
            let exchange = matches!(op, AtomicOp::Xchg | AtomicOp::Cmpxchg);
            let fetch = if op.fetches() && !exchange { "fetch " } else { "" };
            write!(f, "lock {fetch}{}{bits} {}, %{src}", op.name(), Address(base, off))
        }
        Insn::LoadAcquire { size, dst, base, off } => {
            write!(f, "load_acquire{} %{dst}, {}", size.bits(), Address(base, off))
        }
        Insn::StoreRelease { size, base, off, src } => {
            write!(f, "store_release{} {}, %{src}", size.bits(), Address(base, off))
        }
        Insn::Ja { off } => write!(f, "ja {off:+}"),
        Insn::Gotol { off } => write!(f, "ja32 {off:+}"),
        Insn::MayGoto { off } => write!(f, "may_goto {off:+}"),
        Insn::Branch { cond, width, dst, src, off } => {
            write!(f, "{}{} %{dst}, {}, {off:+}", cond.name(), width.suffix(), Right(src))
        }
        Insn::Call(Callee::Helper(id)) => write!(f, "call {id}"),
        Insn::Call(Callee::Local(off)) => write!(f, "call local {off:+}"),
        Insn::Call(Callee::Kfunc { btf_id, module: 0 }) => write!(f, "call runtime {btf_id}"),
        Insn::Call(Callee::Kfunc { btf_id, module }) => {
            write!(f, "call runtime {btf_id}, {module}")
        }
        Insn::Call(Callee::Register(reg)) => write!(f, "call %{reg}"),
        Insn::Exit => f.write_str("exit"),
    }
}

/// The right-hand side of an operation.
struct Right(Operand);

impl fmt::Display for Right {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Operand::Reg(reg) => write!(f, "%{reg}"),
            Operand::Imm(imm) => write!(f, "{imm}"),
        }
    }
}

/// `[%r10-8]`.
struct Address(Reg, i16);

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.1 {
            0 => write!(f, "[%{}]", self.0),
            off => write!(f, "[%{}{off:+}]", self.0),
        }
    }
}
