//! Classic programs as eBPF, for the context of socket filters (`struct __sk_buff`).
//! They behave as what Linux makes of a filter internally (`bpf_convert_filter`); but
//! where that reads kernel structures, these are programs that a verifier accepts:
//! packet loads are the legacy ones of eBPF, metadata comes from the context, and code
//! that nothing reaches is left out.
//!
//! A is r0, X is r7, the context is r6, the cells are the 64 bytes below r10; r8 holds
//! A while X is computed. All arithmetic is on 32 bits, so A and X never have an upper
//! half.

use skep_abi::context::at::skb;
use skep_abi::helper::id;

use super::{Ancillary, ClassicError, ClassicErrorKind, Cond, Filter, Insn, Op, Operand, Reg};
use crate::{self as ebpf, AluOp, Callee, Order, Size, Width};

const A: ebpf::Reg = ebpf::Reg::R0;
const X: ebpf::Reg = ebpf::Reg::R7;
const CONTEXT: ebpf::Reg = ebpf::Reg::R6;
const SAVED: ebpf::Reg = ebpf::Reg::R8;

/// Checks a program and writes it as eBPF.
///
/// # Errors
/// What [`super::check()`] refuses, and metadata that no eBPF program can read: netlink
/// attributes, the payload's offset, the hardware type.
pub fn translate(filters: &[Filter]) -> Result<Vec<ebpf::Insn>, ClassicError> {
    let insns = super::check(filters)?;
    let reached = reached(&insns);
    let mut code = Code::default();
    code.mov64(CONTEXT, ebpf::Reg::R1);
    code.alu(AluOp::Mov, A, ebpf::Operand::Imm(0));
    code.alu(AluOp::Mov, X, ebpf::Operand::Imm(0));
    let mut starts = Vec::with_capacity(insns.len());
    for (index, insn) in insns.iter().enumerate() {
        starts.push(code.insns.len());
        if reached[index] {
            code.insn(*insn, index).map_err(|kind| ClassicError { pc: index, kind })?;
        }
    }
    for (pc, index) in code.jumps {
        // At most 4,096 instructions of at most 6 slots: i16 always holds the distance.
        let distance = (starts[index] - pc - 1) as i16;
        if let ebpf::Insn::Ja { off } | ebpf::Insn::Branch { off, .. } = &mut code.insns[pc] {
            *off = distance;
        }
    }
    Ok(code.insns)
}

/// Which instructions control can reach; all jumps go forward.
fn reached(insns: &[Insn]) -> Vec<bool> {
    let mut reached = vec![false; insns.len()];
    reached[0] = true;
    for (index, insn) in insns.iter().enumerate() {
        if !reached[index] {
            continue;
        }
        let mut reach = |skip: usize| reached[index + 1 + skip] = true;
        match *insn {
            Insn::RetA | Insn::RetK(_) => {}
            Insn::Ja(off) => reach(off as usize),
            Insn::Branch { jt, jf, .. } => {
                reach(jt.into());
                reach(jf.into());
            }
            _ => reach(0),
        }
    }
    reached
}

/// The eBPF program so far.
#[derive(Default)]
struct Code {
    insns: Vec<ebpf::Insn>,
    /// Jumps, and the classic instructions that they go to.
    jumps: Vec<(usize, usize)>,
}

impl Code {
    fn insn(&mut self, insn: Insn, index: usize) -> Result<(), ClassicErrorKind> {
        match insn {
            Insn::LoadAbs { size, offset } => self.push(ebpf::Insn::LoadAbs { size, offset }),
            Insn::LoadInd { size, offset } => {
                self.push(ebpf::Insn::LoadInd { size, src: X, offset });
            }
            Insn::LoadAncillary { what, .. } => self.ancillary(what)?,
            Insn::LoadLen(reg) => self.field(register(reg), skb::LEN),
            Insn::LoadImm(reg, k) => self.alu(AluOp::Mov, register(reg), immediate(k)),
            Insn::LoadMem(reg, cell) => {
                let (dst, base) = (register(reg), ebpf::Reg::R10);
                let (size, off) = (Size::W, offset(cell));
                self.push(ebpf::Insn::Load { size, signed: false, dst, base, off });
            }
            Insn::LoadHeaderLen { offset } => {
                self.mov64(SAVED, A);
                self.push(ebpf::Insn::LoadAbs { size: Size::B, offset });
                self.alu(AluOp::And, A, ebpf::Operand::Imm(0xf));
                self.alu(AluOp::Lsh, A, ebpf::Operand::Imm(2));
                self.mov64(X, A);
                self.mov64(A, SAVED);
            }
            Insn::Store(reg, cell) => {
                let (base, src) = (ebpf::Reg::R10, ebpf::Operand::Reg(register(reg)));
                self.push(ebpf::Insn::Store { size: Size::W, base, off: offset(cell), src });
            }
            Insn::Alu(op, src) => self.operation(op, src),
            Insn::Neg => self.push(ebpf::Insn::Neg { width: Width::W32, dst: A }),
            Insn::Ja(off) => self.jump(ebpf::Insn::Ja { off: 0 }, index + 1 + off as usize),
            Insn::Branch { cond, src, jt, jf } => {
                let target = |skip: u8| index + 1 + usize::from(skip);
                self.branch(cond, source(src), target(jt), target(jf), index + 1);
            }
            Insn::Tax => self.mov64(X, A),
            Insn::Txa => self.mov64(A, X),
            Insn::RetK(k) => {
                self.alu(AluOp::Mov, A, immediate(k));
                self.push(ebpf::Insn::Exit);
            }
            Insn::RetA => self.push(ebpf::Insn::Exit),
        }
        Ok(())
    }

    /// Division by an index of zero ends the program with 0.
    fn operation(&mut self, op: Op, src: Operand) {
        let op = match op {
            Op::Add => AluOp::Add,
            Op::Sub => AluOp::Sub,
            Op::Mul => AluOp::Mul,
            Op::Div => AluOp::Div,
            Op::Or => AluOp::Or,
            Op::And => AluOp::And,
            Op::Lsh => AluOp::Lsh,
            Op::Rsh => AluOp::Rsh,
            Op::Mod => AluOp::Mod,
            Op::Xor => AluOp::Xor,
        };
        if matches!((op, src), (AluOp::Div | AluOp::Mod, Operand::X)) {
            let (width, zero) = (Width::W32, ebpf::Operand::Imm(0));
            let cond = ebpf::Cond::Ne;
            self.push(ebpf::Insn::Branch { cond, width, dst: X, src: zero, off: 2 });
            self.alu(AluOp::Mov, A, zero);
            self.push(ebpf::Insn::Exit);
        }
        self.alu(op, A, source(src));
    }

    fn branch(&mut self, cond: Cond, src: ebpf::Operand, yes: usize, no: usize, next: usize) {
        let (holds, fails) = match cond {
            Cond::Eq => (ebpf::Cond::Eq, Some(ebpf::Cond::Ne)),
            Cond::Gt => (ebpf::Cond::Gt, Some(ebpf::Cond::Le)),
            Cond::Ge => (ebpf::Cond::Ge, Some(ebpf::Cond::Lt)),
            Cond::Set => (ebpf::Cond::Set, None),
        };
        let branch = |cond| ebpf::Insn::Branch { cond, width: Width::W32, dst: A, src, off: 0 };
        match fails {
            Some(fails) if yes == next => self.jump(branch(fails), no),
            _ => {
                self.jump(branch(holds), yes);
                if no != next {
                    self.jump(ebpf::Insn::Ja { off: 0 }, no);
                }
            }
        }
    }

    fn ancillary(&mut self, what: Ancillary) -> Result<(), ClassicErrorKind> {
        match what {
            Ancillary::Protocol => self.network_field(skb::PROTOCOL),
            Ancillary::PacketType => self.field(A, skb::PKT_TYPE),
            Ancillary::IfIndex => self.field(A, skb::IFINDEX),
            Ancillary::Mark => self.field(A, skb::MARK),
            Ancillary::Queue => self.field(A, skb::QUEUE_MAPPING),
            Ancillary::RxHash => self.field(A, skb::HASH),
            Ancillary::VlanTag => self.field(A, skb::VLAN_TCI),
            Ancillary::VlanTagPresent => self.field(A, skb::VLAN_PRESENT),
            Ancillary::VlanProtocol => self.network_field(skb::VLAN_PROTO),
            Ancillary::Cpu => self.call(id::GET_SMP_PROCESSOR_ID),
            Ancillary::Random => self.call(id::GET_PRANDOM_U32),
            Ancillary::XorX => self.alu(AluOp::Xor, A, ebpf::Operand::Reg(X)),
            Ancillary::Nlattr
            | Ancillary::NlattrNest
            | Ancillary::HardwareType
            | Ancillary::PayloadOffset => return Err(ClassicErrorKind::NoCounterpart(what)),
        }
        Ok(())
    }

    fn push(&mut self, insn: ebpf::Insn) {
        self.insns.push(insn);
    }

    fn jump(&mut self, insn: ebpf::Insn, index: usize) {
        self.jumps.push((self.insns.len(), index));
        self.push(insn);
    }

    fn alu(&mut self, op: AluOp, dst: ebpf::Reg, src: ebpf::Operand) {
        self.push(ebpf::Insn::Alu { op, width: Width::W32, dst, src });
    }

    fn mov64(&mut self, dst: ebpf::Reg, src: ebpf::Reg) {
        let (op, src) = (AluOp::Mov, ebpf::Operand::Reg(src));
        self.push(ebpf::Insn::Alu { op, width: Width::W64, dst, src });
    }

    /// A field of the context.
    fn field(&mut self, dst: ebpf::Reg, off: u32) {
        let (size, base, off) = (Size::W, CONTEXT, off as i16);
        self.push(ebpf::Insn::Load { size, signed: false, dst, base, off });
    }

    /// A 16-bit field of the context that is in network byte order.
    fn network_field(&mut self, off: u32) {
        self.field(A, off);
        self.push(ebpf::Insn::ByteSwap { order: Order::Be, size: Size::H, dst: A });
    }

    fn call(&mut self, helper: u32) {
        self.push(ebpf::Insn::Call(Callee::Helper(helper)));
    }
}

fn register(reg: Reg) -> ebpf::Reg {
    if reg == Reg::A { A } else { X }
}

fn source(src: Operand) -> ebpf::Operand {
    match src {
        Operand::K(k) => immediate(k),
        Operand::X => ebpf::Operand::Reg(X),
    }
}

/// The bits of a constant; 32-bit operations take them as they are.
fn immediate(k: u32) -> ebpf::Operand {
    ebpf::Operand::Imm(k as i32)
}

/// Where a cell, 0 to 15, stands on the stack.
fn offset(cell: u32) -> i16 {
    -64 + 4 * cell as i16
}
