//! Classic programs as eBPF, for the context of socket filters (`struct __sk_buff`).
//! They behave as what Linux makes of a filter internally (`bpf_convert_filter`); but
//! where that reads kernel structures, these are programs that a verifier accepts:
//! packet loads are the legacy ones of eBPF, metadata comes from the context, and code
//! that nothing reaches is left out.
//!
//! A is r0, X is r7, the context is r6, the cells are the 64 bytes below r10; r8 holds
//! A while X is computed. All arithmetic is on 32 bits, so A and X never have an upper
//! half.
//!
//! Netlink attributes are searched for in a loop that Linux takes from 6.9 on (`may_goto`),
//! and that runs far longer than there are attributes in a packet: r9 is where it is, r8
//! where they end, and headers are read into the 8 bytes below the cells.

use skep_abi::context::at::skb;
use skep_abi::helper::id;

use super::{Ancillary, ClassicError, ClassicErrorKind, Cond, Filter, Insn, Op, Operand, Reg};
use crate::{self as ebpf, AluOp, Callee, Order, Size, Width};

const A: ebpf::Reg = ebpf::Reg::R0;
const X: ebpf::Reg = ebpf::Reg::R7;
const CONTEXT: ebpf::Reg = ebpf::Reg::R6;
const SAVED: ebpf::Reg = ebpf::Reg::R8;
const END: ebpf::Reg = ebpf::Reg::R8;
const AT: ebpf::Reg = ebpf::Reg::R9;

/// Where an attribute's header is read to: its length, and behind that its type.
const HEADER: i16 = -72;

/// Checks a program and writes it as eBPF.
///
/// # Errors
/// What [`super::check()`] refuses, and metadata that no eBPF program can read: the payload's
/// offset, the hardware type.
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
    let code_len = code.insns.len();
    for (pc, index) in code.jumps {
        let distance = starts[index] - pc - 1;
        let distance = i16::try_from(distance)
            .map_err(|_| ClassicError { pc: 0, kind: ClassicErrorKind::Length(code_len) })?;
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
            Ancillary::Nlattr => self.attribute(false),
            Ancillary::NlattrNest => self.attribute(true),
            Ancillary::HardwareType | Ancillary::PayloadOffset => {
                return Err(ClassicErrorKind::NoCounterpart(what));
            }
        }
        Ok(())
    }

    /// Searches for the attribute of type X, from the one at A on, or within that one; A becomes
    /// its offset, or 0.
    fn attribute(&mut self, nested: bool) {
        use ebpf::Cond::{Eq, Lt, Slt};
        use ebpf::Operand::{Imm, Reg};
        use ebpf::Reg::{R1, R2, R3};
        const SIZE: i32 = 4;
        let mut none = Vec::new();
        self.mov64(AT, A);
        if nested {
            none.push(self.header());
            self.half(END, HEADER);
            self.field(R1, skb::LEN);
            self.alu64(AluOp::Sub, R1, Reg(AT));
            none.push(self.skip(Lt, R1, Reg(END)));
            self.alu64(AluOp::Add, END, Reg(AT));
            self.alu64(AluOp::Add, AT, Imm(SIZE));
        } else {
            self.field(END, skb::LEN);
        }
        let start = self.insns.len();
        self.push(ebpf::Insn::MayGoto { off: 0 });
        self.mov64(R3, END);
        self.alu64(AluOp::Sub, R3, Reg(AT));
        none.push(self.skip(Slt, R3, Imm(SIZE)));
        none.push(self.header());
        self.half(R1, HEADER);
        none.push(self.skip(Lt, R1, Imm(SIZE)));
        self.mov64(R3, END);
        self.alu64(AluOp::Sub, R3, Reg(AT));
        none.push(self.skip(Lt, R3, Reg(R1)));
        self.half(R2, HEADER + 2);
        // The two upper bits are flags.
        self.alu64(AluOp::And, R2, Imm(0x3fff));
        let found = self.skip(Eq, R2, Reg(X));
        self.alu64(AluOp::Add, R1, Imm(SIZE - 1));
        self.alu64(AluOp::And, R1, Imm(-SIZE));
        self.alu64(AluOp::Add, AT, Reg(R1));
        let back = start as i64 - self.insns.len() as i64 - 1;
        self.push(ebpf::Insn::Ja { off: back as i16 });
        none.push(start);
        none.into_iter().for_each(|at| self.land(at));
        self.alu(AluOp::Mov, A, Imm(0));
        let done = self.insns.len();
        self.push(ebpf::Insn::Ja { off: 0 });
        self.land(found);
        self.alu(AluOp::Mov, A, Reg(AT));
        self.land(done);
    }

    /// Reads the header at `AT`; gives the jump for packets that end before it does.
    fn header(&mut self) -> usize {
        use ebpf::Reg::{R1, R2, R3, R4};
        self.mov64(R1, CONTEXT);
        self.mov64(R2, AT);
        self.mov64(R3, ebpf::Reg::R10);
        self.alu64(AluOp::Add, R3, ebpf::Operand::Imm(HEADER.into()));
        self.alu64(AluOp::Mov, R4, ebpf::Operand::Imm(4));
        self.call(id::SKB_LOAD_BYTES);
        self.skip(ebpf::Cond::Ne, ebpf::Reg::R0, ebpf::Operand::Imm(0))
    }

    /// A number of 16 bits of the stack, in the machine's order.
    fn half(&mut self, dst: ebpf::Reg, off: i16) {
        let (size, base) = (Size::H, ebpf::Reg::R10);
        self.push(ebpf::Insn::Load { size, signed: false, dst, base, off });
    }

    /// A jump forward that is still to land.
    fn skip(&mut self, cond: ebpf::Cond, dst: ebpf::Reg, src: ebpf::Operand) -> usize {
        self.push(ebpf::Insn::Branch { cond, width: Width::W64, dst, src, off: 0 });
        self.insns.len() - 1
    }

    /// Lets a jump go here.
    fn land(&mut self, at: usize) {
        let distance = (self.insns.len() - at - 1) as i16;
        if let ebpf::Insn::Ja { off }
        | ebpf::Insn::MayGoto { off }
        | ebpf::Insn::Branch { off, .. } = &mut self.insns[at]
        {
            *off = distance;
        }
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

    fn alu64(&mut self, op: AluOp, dst: ebpf::Reg, src: ebpf::Operand) {
        self.push(ebpf::Insn::Alu { op, width: Width::W64, dst, src });
    }

    fn mov64(&mut self, dst: ebpf::Reg, src: ebpf::Reg) {
        self.alu64(AluOp::Mov, dst, ebpf::Operand::Reg(src));
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
