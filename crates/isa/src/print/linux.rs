//! The text of Linux 6.18's verifier log and of `bpftool prog dump xlated`
//! (`kernel/bpf/disasm.c`).

use std::fmt;

use skep_abi::Helper;

use super::{Pseudo, Text};
use crate::encode::first_slot;
use crate::{AtomicOp, Callee, Insn, Operand, Reg, Size, Width};

pub(super) fn write(f: &mut fmt::Formatter<'_>, text: &Text<'_>) -> fmt::Result {
    write!(f, "({:02x}) ", first_slot(text.insn).code)?;
    match *text.insn {
        Insn::Alu { op, width, dst, src } => {
            write!(f, "{} {} ", Named(width, dst), op.sign())?;
            match src {
                Operand::Reg(src) => write!(f, "{}", Named(width, src)),
                Operand::Imm(imm) => write!(f, "{imm}"),
            }
        }
        Insn::MovSx { width, from, dst, src } => {
            write!(f, "{} = ({}){}", Named(width, dst), from.signed(), Named(width, src))
        }
        Insn::Neg { width, dst } => write!(f, "{0} = -{0}", Named(width, dst)),
        Insn::ByteSwap { order, size, dst } => {
            write!(f, "{dst} = {}{} {dst}", order.name(), size.bits())
        }
        Insn::AddrSpaceCast { dst, src, to, from } => {
            write!(f, "{dst} = addr_space_cast({src}, {to}, {from})")
        }
        Insn::LoadImm64 { dst, imm } => match text.names.imm64(text.pc, imm) {
            Some(name) => write!(f, "{dst} = {name}"),
            None => write!(f, "{dst} = {}", Pseudo(imm)),
        },
        Insn::Hole => f.write_str("BUG_ld_00"),
        Insn::LoadAbs { size, offset } => write!(f, "r0 = *({} *)skb[{offset}]", size.unsigned()),
        Insn::LoadInd { size, src, offset } => {
            write!(f, "r0 = *({} *)skb[{src} + {offset}]", size.unsigned())
        }
        Insn::Load { size, signed, dst, base, off } => {
            let kind = if signed { size.signed() } else { size.unsigned() };
            write!(f, "{dst} = *({kind} *)({base} {off:+})")
        }
        Insn::Store { size, base, off, src } => {
            write!(f, "*({} *)({base} {off:+}) = ", size.unsigned())?;
            match src {
                Operand::Reg(src) => write!(f, "{src}"),
                Operand::Imm(imm) => write!(f, "{imm}"),
            }
        }
        Insn::Atomic { op, size, base, off, src } => {
            let address = format_args!("({} *)({base} {off:+})", size.unsigned());
            let bits = if size == Size::DW { "64" } else { "" };
            match (op, op.sign()) {
                (_, Some(sign)) => write!(f, "lock *{address} {sign} {src}"),
                (AtomicOp::Xchg, _) => write!(f, "{src} = atomic{bits}_xchg({address}, {src})"),
                (AtomicOp::Cmpxchg, _) => {
                    write!(f, "r0 = atomic{bits}_cmpxchg({address}, r0, {src})")
                }
                _ => write!(f, "{src} = atomic{bits}_fetch_{}({address}, {src})", op.name()),
            }
        }
        Insn::LoadAcquire { size, dst, base, off } => {
            write!(f, "{dst} = load_acquire(({} *)({base} {off:+}))", size.unsigned())
        }
        Insn::StoreRelease { size, base, off, src } => {
            write!(f, "store_release(({} *)({base} {off:+}), {src})", size.unsigned())
        }
        Insn::Ja { off } => write!(f, "goto pc{off:+}"),
        Insn::Gotol { off } => write!(f, "gotol pc{off:+}"),
        Insn::MayGoto { off } => write!(f, "may_goto pc{off:+}"),
        Insn::Branch { cond, width, dst, src, off } => {
            write!(f, "if {} {} ", Named(width, dst), cond.sign())?;
            match src {
                Operand::Reg(src) => write!(f, "{}", Named(width, src))?,
                Operand::Imm(imm) => write!(f, "{imm:#x}")?,
            }
            write!(f, " goto pc{off:+}")
        }
        Insn::Call(callee) => call(f, text, callee),
        Insn::Exit => f.write_str("exit"),
    }
}

fn call(f: &mut fmt::Formatter<'_>, text: &Text<'_>, callee: Callee) -> fmt::Result {
    match (callee, text.names.callee(text.pc, callee)) {
        (Callee::Helper(id), name) => {
            let known = match id {
                0 => Some("bpf_unspec"),
                _ => Helper::from_id(id).map(|helper| helper.name),
            };
            let name = known.or(name.as_deref()).unwrap_or("unknown");
            write!(f, "call {name}#{}", id as i32)
        }
        (Callee::Local(off), Some(name)) => write!(f, "call pc{off:+}#{name}"),
        (Callee::Local(off), None) => write!(f, "call pc{off:+}"),
        (Callee::Kfunc { btf_id, .. }, Some(name)) => write!(f, "call {name}#{btf_id}"),
        (Callee::Kfunc { btf_id, module }, None) => write_kfunc(f, btf_id, module),
        (Callee::Register(reg), _) => write!(f, "callx {reg}"),
    }
}

/// A kernel function without a name; Linux prints no module.
pub(super) fn write_kfunc(f: &mut fmt::Formatter<'_>, btf_id: i32, module: i16) -> fmt::Result {
    write!(f, "call kernel-function#{btf_id}")?;
    if module != 0 { write!(f, " module {module}") } else { Ok(()) }
}

/// A register, called `w1` where only its lower half counts.
struct Named(Width, Reg);

impl fmt::Display for Named {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.0.letter(), self.1.number())
    }
}
