//! Instructions as Linux's verifier prints them. Counterpart: `kernel/bpf/disasm.c`.

use skep_abi::Helper;
use skep_isa::{AluOp, AtomicOp, Callee, Cond, ImmKind, Insn, Operand, Order, Size, Width};

use crate::checker::Checker;

/// The operator of an arithmetic instruction.
pub(crate) fn alu_text(op: AluOp) -> &'static str {
    match op {
        AluOp::Add => "+=",
        AluOp::Sub => "-=",
        AluOp::Mul => "*=",
        AluOp::Div => "/=",
        AluOp::SDiv => "s/=",
        AluOp::Or => "|=",
        AluOp::And => "&=",
        AluOp::Lsh => "<<=",
        AluOp::Rsh => ">>=",
        AluOp::Mod => "%=",
        AluOp::SMod => "s%=",
        AluOp::Xor => "^=",
        AluOp::Mov => "=",
        AluOp::Arsh => "s>>=",
    }
}

/// The operator without its sign, as the messages about pointers have it.
pub(crate) fn unsigned_text(op: AluOp) -> &'static str {
    match op {
        AluOp::SDiv => alu_text(AluOp::Div),
        AluOp::SMod => alu_text(AluOp::Mod),
        _ => alu_text(op),
    }
}

fn cond_text(cond: Cond) -> &'static str {
    match cond {
        Cond::Eq => "==",
        Cond::Gt => ">",
        Cond::Ge => ">=",
        Cond::Set => "&",
        Cond::Ne => "!=",
        Cond::Sgt => "s>",
        Cond::Sge => "s>=",
        Cond::Lt => "<",
        Cond::Le => "<=",
        Cond::Slt => "s<",
        Cond::Sle => "s<=",
    }
}

fn letter(width: Width) -> char {
    if width == Width::W32 { 'w' } else { 'r' }
}

fn operand(width: Width, src: Operand, imm: impl Fn(i32) -> String) -> String {
    match src {
        Operand::Reg(reg) => format!("{}{}", letter(width), reg.number()),
        Operand::Imm(value) => imm(value),
    }
}

/// A helper's name as Linux prints it.
fn helper_name(id: u32) -> &'static str {
    match Helper::from_id(id) {
        Some(helper) => helper.name,
        None if id == 0 => "bpf_unspec",
        None => "unknown",
    }
}

impl Checker<'_> {
    /// The same, where the program's hook may have helpers of its own.
    pub(crate) fn helper_name(&self, id: u32) -> &'static str {
        self.helper(id).map_or_else(|| helper_name(id), |helper| helper.name)
    }

    /// The instruction at this slot, without a line's end.
    pub(crate) fn disassemble(&self, pc: u32) -> String {
        let slot = self.slot(pc);
        let text = match self.insn(pc) {
            Some(insn) => self.text(insn),
            None => "invalid".into(),
        };
        format!("({:02x}) {text}", slot.code)
    }

    fn text(&self, insn: Insn) -> String {
        let at = |size: Size, base: skep_isa::Reg, off: i16| {
            format!("(u{} *)(r{} {off:+})", size.bits(), base.number())
        };
        match insn {
            Insn::Alu { op, width, dst, src } => {
                let src = operand(width, src, |imm| imm.to_string());
                format!("{}{} {} {src}", letter(width), dst.number(), alu_text(op))
            }
            Insn::MovSx { width, from, dst, src } => {
                let c = letter(width);
                format!("{c}{} = (s{}){c}{}", dst.number(), from.bits(), src.number())
            }
            Insn::Neg { width, dst } => {
                let c = letter(width);
                format!("{c}{0} = -{c}{0}", dst.number())
            }
            Insn::ByteSwap { order, size, dst } => {
                let name = match order {
                    Order::Le => "le",
                    Order::Be => "be",
                    Order::Swap => "bswap",
                };
                format!("{dst} = {name}{} {dst}", size.bits())
            }
            Insn::AddrSpaceCast { dst, src, to, from } => {
                format!("{dst} = addr_space_cast({src}, {to}, {from})")
            }
            Insn::LoadImm64 { dst, imm } => match imm.kind {
                ImmKind::Const => format!("{dst} = {}", format_args!("{:#x}", imm.value())),
                ImmKind::Func => format!("{dst} = {}", format_args!("{:#x}", imm.value())),
                _ => format!("{dst} = 0x0"),
            },
            Insn::Hole => String::new(),
            Insn::LoadAbs { size, offset } => format!("r0 = *(u{} *)skb[{offset}]", size.bits()),
            Insn::LoadInd { size, src, offset } => {
                format!("r0 = *(u{} *)skb[{src} + {offset}]", size.bits())
            }
            Insn::Load { size, signed, dst, base, off } => {
                let sign = if signed { 's' } else { 'u' };
                format!("{dst} = *({sign}{} *)({base} {off:+})", size.bits())
            }
            Insn::Store { size, base, off, src } => {
                let src = operand(Width::W64, src, |imm| imm.to_string());
                format!("*{} = {src}", at(size, base, off))
            }
            Insn::Atomic { op, size, base, off, src } => {
                let place = at(size, base, off);
                let wide = if size == Size::DW { "64" } else { "" };
                let (name, sign, fetch) = match op {
                    AtomicOp::Add { fetch } => ("add", "+=", fetch),
                    AtomicOp::Or { fetch } => ("or", "|=", fetch),
                    AtomicOp::And { fetch } => ("and", "&=", fetch),
                    AtomicOp::Xor { fetch } => ("xor", "^=", fetch),
                    AtomicOp::Xchg => return format!("{src} = atomic{wide}_xchg({place}, {src})"),
                    AtomicOp::Cmpxchg => {
                        return format!("r0 = atomic{wide}_cmpxchg({place}, r0, {src})");
                    }
                };
                if fetch {
                    format!("{src} = atomic{wide}_fetch_{name}({place}, {src})")
                } else {
                    format!("lock *{place} {sign} {src}")
                }
            }
            Insn::LoadAcquire { size, dst, base, off } => {
                format!("{dst} = load_acquire({})", at(size, base, off))
            }
            Insn::StoreRelease { size, base, off, src } => {
                format!("store_release({}, {src})", at(size, base, off))
            }
            Insn::Ja { off } => format!("goto pc{off:+}"),
            Insn::Gotol { off } => format!("gotol pc{off:+}"),
            Insn::MayGoto { off } => format!("may_goto pc{off:+}"),
            Insn::Branch { cond, width, dst, src, off } => {
                let src = operand(width, src, |imm| format!("{imm:#x}"));
                let c = letter(width);
                format!("if {c}{} {} {src} goto pc{off:+}", dst.number(), cond_text(cond))
            }
            Insn::Call(Callee::Helper(id)) => {
                format!("call {}#{}", self.helper_name(id), id as i32)
            }
            Insn::Call(Callee::Local(off)) => format!("call pc{off:+}"),
            Insn::Call(Callee::Kfunc { btf_id, module }) => {
                let name = self.kfunc_name(btf_id, module).unwrap_or("kernel-function");
                format!("call {name}#{btf_id}")
            }
            Insn::Call(Callee::Register(reg)) => format!("callx {reg}"),
            Insn::Exit => "exit".into(),
        }
    }
}
