//! The text of `llvm-objdump -d`, LLVM 19 without `--mcpu`; 32-bit atomics other
//! than `+=` and the instructions that it does not know as later versions print them.

use std::fmt;

use super::{Pseudo, Text};
use crate::syntax::{Hex, SignedHex};
use crate::{AtomicOp, Callee, ImmKind, Insn, Operand, Reg, Size, Width};

pub(super) fn write(f: &mut fmt::Formatter<'_>, text: &Text<'_>) -> fmt::Result {
    match *text.insn {
        Insn::Alu { op, width, dst, src } => {
            write!(f, "{} {} {}", Named(width, dst), op.sign(), Right(width, src))
        }
        Insn::MovSx { width, from, dst, src } => {
            write!(f, "{} = ({}){}", Named(width, dst), from.signed(), Named(width, src))
        }
        Insn::Neg { width, dst } => write!(f, "{0} = -{0}", Named(width, dst)),
        Insn::ByteSwap { order, size, dst } => {
            write!(f, "{dst} = {}{} {dst}", order.name(), size.bits())
        }
        Insn::AddrSpaceCast { dst, src, to, from } => {
            write!(f, "{dst} = addr_space_cast({src}, {to:#x}, {from:#x})")
        }
        Insn::LoadImm64 { dst, imm } => {
            match imm.kind {
                ImmKind::Const => write!(f, "{dst} = {} ll", Hex(imm.value() as i64))?,
                _ => write!(f, "{dst} = {} ll", Pseudo(imm))?,
            }
            name(f, text.names.imm64(text.pc, imm))
        }
        Insn::Hole => Ok(()),
        Insn::LoadAbs { size, offset } => {
            write!(f, "r0 = *({} *)skb[{}]", size.unsigned(), Hex(offset.into()))
        }
        Insn::LoadInd { size, src, offset } => {
            write!(f, "r0 = *({} *)skb[{src}", size.unsigned())?;
            if offset != 0 {
                write!(f, "{}", Distance(offset.into()))?;
            }
            f.write_str("]")
        }
        Insn::Load { size, signed, dst, base, off } => {
            let kind = if signed { size.signed() } else { size.unsigned() };
            write!(f, "{dst} = *({kind} *)({})", Address(base, off))
        }
        Insn::Store { size, base, off, src } => {
            let value = Right(Width::W64, src);
            write!(f, "*({} *)({}) = {value}", size.unsigned(), Address(base, off))
        }
        Insn::Atomic { op, size, base, off, src } => atomic(f, op, size, Address(base, off), src),
        Insn::LoadAcquire { size, dst, base, off } => {
            let (dst, address) = (Named(width(size), dst), Address(base, off));
            write!(f, "{dst} = load_acquire(({} *)({address}))", size.unsigned())
        }
        Insn::StoreRelease { size, base, off, src } => {
            let (src, address) = (Named(width(size), src), Address(base, off));
            write!(f, "store_release(({} *)({address}), {src})", size.unsigned())
        }
        Insn::Ja { off } => jump(f, text, "goto", off.into()),
        Insn::Gotol { off } => jump(f, text, "gotol", off),
        Insn::MayGoto { off } => jump(f, text, "may_goto", off.into()),
        Insn::Branch { cond, width, dst, src, off } => {
            write!(f, "if {} {} {} ", Named(width, dst), cond.sign(), Right(width, src))?;
            jump(f, text, "goto", off.into())
        }
        Insn::Call(callee) => {
            match callee {
                Callee::Helper(id) => write!(f, "call {id:#x}")?,
                Callee::Local(off) => write!(f, "call {}", SignedHex(off.into()))?,
                Callee::Kfunc { btf_id, module } => {
                    super::linux::write_kfunc(f, btf_id, module)?;
                }
                Callee::Register(reg) => write!(f, "callx {reg}")?,
            }
            name(f, text.names.callee(text.pc, callee))
        }
        Insn::Exit => f.write_str("exit"),
    }
}

fn atomic(
    f: &mut fmt::Formatter<'_>,
    op: AtomicOp,
    size: Size,
    address: Address,
    src: Reg,
) -> fmt::Result {
    let (kind, named) = (size.unsigned(), Named(width(size), src));
    match (op, op.sign()) {
        // LLVM has an instruction of its own for this one, from before it had w1.
        (AtomicOp::Add { .. }, Some(sign)) => write!(f, "lock *({kind} *)({address}) {sign} {src}"),
        (_, Some(sign)) => write!(f, "lock *({kind} *)({address}) {sign} {named}"),
        (AtomicOp::Xchg, _) => {
            let bits = if size == Size::DW { "_64" } else { "32_32" };
            write!(f, "{named} = xchg{bits}({address}, {named})")
        }
        (AtomicOp::Cmpxchg, _) => {
            let (bits, old) = if size == Size::DW { ("_64", "r0") } else { ("32_32", "w0") };
            write!(f, "{old} = cmpxchg{bits}({address}, {old}, {named})")
        }
        _ => write!(f, "{named} = atomic_fetch_{}(({kind} *)({address}), {named})", op.name()),
    }
}

fn jump(f: &mut fmt::Formatter<'_>, text: &Text<'_>, verb: &str, off: i32) -> fmt::Result {
    write!(f, "{verb} {}", SignedHex(off.into()))?;
    name(f, text.target(off))
}

fn name(f: &mut fmt::Formatter<'_>, name: Option<String>) -> fmt::Result {
    match name {
        Some(name) => write!(f, " <{name}>"),
        None => Ok(()),
    }
}

/// The width of the registers that hold a value of this size.
fn width(size: Size) -> Width {
    if size == Size::DW { Width::W64 } else { Width::W32 }
}

/// A register, called `w1` where only its lower half counts.
struct Named(Width, Reg);

impl fmt::Display for Named {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.0.letter(), self.1.number())
    }
}

/// The right-hand side of an operation.
struct Right(Width, Operand);

impl fmt::Display for Right {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.1 {
            Operand::Reg(reg) => Named(self.0, reg).fmt(f),
            Operand::Imm(imm) => Hex(imm.into()).fmt(f),
        }
    }
}

/// `r1 + 0x8`.
struct Address(Reg, i16);

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.0, Distance(self.1.into()))
    }
}

/// ` + 0x8`, ` - 0x8`.
struct Distance(i64);

impl fmt::Display for Distance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.0 < 0 { '-' } else { '+' };
        write!(f, " {sign} {:#x}", self.0.unsigned_abs())
    }
}
