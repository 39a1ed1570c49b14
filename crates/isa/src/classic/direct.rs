//! Classic programs as eBPF that reads packets directly, for classifiers (`struct __sk_buff`
//! with `data` and `data_end`): they decide the packets of files as the interpreter does, and
//! call nothing. Where [`super::translate()`] leaves the packet's end to the kernel, here the
//! packet's length is compared, and as seldom as can be:
//!
//! - A packet is refused wherever a byte is missing, so that at a read may be asked for all
//!   that every accepting way from there on reads.
//! - What is known to be there is not asked for again; ways that meet know what both did.
//!
//! A is r0, X is r7, the packet starts at r6 and ends at r9; r8 is the packet's start and X,
//! where that was needed. The cells are the 64 bytes below r10. Offsets and X stay below
//! [`MOST_BYTES`], which is more than packets have that are run by this.

use skep_abi::context::at::skb;

use super::{ClassicError, Cond, Filter, Insn, Op, Operand, Reg};
use crate::build::{BuildError, Builder, Label};
use crate::{self as ebpf, AluOp, Order, Size, Width};

/// The longest packet that the program of [`direct`] decides right.
pub const MOST_BYTES: u32 = 0x7fff;

const A: ebpf::Reg = ebpf::Reg::R0;
const CONTEXT: ebpf::Reg = ebpf::Reg::R1;
const END: ebpf::Reg = ebpf::Reg::R4;
const DATA: ebpf::Reg = ebpf::Reg::R6;
const X: ebpf::Reg = ebpf::Reg::R7;
const BEHIND: ebpf::Reg = ebpf::Reg::R8;
const DATA_END: ebpf::Reg = ebpf::Reg::R9;

/// Why a program has no direct form.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum DirectError {
    /// Linux would refuse it.
    #[error(transparent)]
    Refused(#[from] ClassicError),
    /// It becomes too long.
    #[error(transparent)]
    TooLong(#[from] BuildError),
}

/// Writes a program as eBPF that reads packets directly. It decides packets of at most
/// [`MOST_BYTES`] bytes without metadata as [`super::Program::run`] does.
///
/// # Errors
/// What [`super::check()`] refuses, and programs that become too long.
pub fn direct(filters: &[Filter]) -> Result<Vec<ebpf::Insn>, DirectError> {
    let insns = super::check(filters)?;
    let mut code = Builder::new();
    let labels: Vec<Label> = insns.iter().map(|_| code.label()).collect();
    let refuse = code.label();
    for (field, dst) in [(skb::DATA, DATA), (skb::DATA_END, DATA_END)] {
        code.load(Size::W, dst, CONTEXT, field as i16);
    }
    code.set(A, 0);
    code.set(X, 0);
    let needs = needs(&insns);
    let mut arriving: Vec<Option<Known>> = vec![None; insns.len()];
    arriving[0] = Some(Known::START);
    let mut writer = Writer { code, labels, refuse, known: Known::START };
    for (index, insn) in insns.iter().enumerate() {
        let Some(known) = arriving[index] else { continue };
        writer.known = known;
        writer.code.place(writer.labels[index]);
        writer.insn(*insn, index, needs[index]);
        for target in targets(*insn, index).into_iter().flatten() {
            let there = &mut arriving[target];
            *there = Some(there.map_or(writer.known, |other| other.meet(writer.known)));
        }
    }
    let mut code = writer.code;
    code.place(refuse);
    code.set(A, 0);
    code.exit();
    code.prune();
    Ok(code.finish()?)
}

/// Where an instruction goes on.
fn targets(insn: Insn, index: usize) -> [Option<usize>; 2] {
    let to = |skip: usize| Some(index + 1 + skip);
    match insn {
        Insn::RetA | Insn::RetK(_) => [None, None],
        Insn::Ja(off) => [to(off as usize), None],
        Insn::Branch { jt, jf, .. } => [to(jt.into()), to(jf.into())],
        _ => [to(0), None],
    }
}

/// Bytes that a packet has on every way that accepts it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Need {
    /// From its start.
    len: u32,
    /// From X on, as X is here.
    behind: u32,
}

impl Need {
    const NONE: Need = Need { len: 0, behind: 0 };

    /// Of what does not accept.
    const ANY: Need = Need { len: u32::MAX, behind: u32::MAX };

    fn either(self, other: Need) -> Need {
        Need { len: self.len.min(other.len), behind: self.behind.min(other.behind) }
    }
}

/// For each instruction, what is needed from it on.
fn needs(insns: &[Insn]) -> Vec<Need> {
    let mut needs = vec![Need::NONE; insns.len()];
    for (index, insn) in insns.iter().enumerate().rev() {
        let ways = targets(*insn, index).into_iter().flatten();
        let mut need = ways.fold(Need::ANY, |need, to| need.either(needs[to]));
        match *insn {
            Insn::RetK(0) => {}
            Insn::LoadAncillary { .. } => need = Need::ANY,
            Insn::RetK(_) | Insn::RetA => need = Need::NONE,
            Insn::LoadAbs { size, offset } => need.len = need.len.max(reach(offset, size)),
            Insn::LoadHeaderLen { offset } => {
                need = Need { len: need.len.max(reach(offset, Size::B)), behind: 0 };
            }
            Insn::LoadInd { size, offset } => need.behind = need.behind.max(reach(offset, size)),
            insn if writes_x(insn) => need.behind = 0,
            _ => {}
        }
        needs[index] = need;
    }
    needs
}

/// The length that a packet has at least where a read at an offset does not fail.
fn reach(offset: i32, size: Size) -> u32 {
    (offset as u32).saturating_add(size.bytes())
}

fn writes_x(insn: Insn) -> bool {
    matches!(
        insn,
        Insn::LoadHeaderLen { .. }
            | Insn::Tax
            | Insn::LoadLen(Reg::X)
            | Insn::LoadImm(Reg::X, _)
            | Insn::LoadMem(Reg::X, _)
    )
}

/// What is known on the way to an instruction.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Known {
    /// The packet has at least so many bytes.
    len: u32,
    /// What X is at most.
    x: u32,
    /// How many bytes there are from r8 on, which is the packet's start and X.
    behind: Option<u32>,
}

impl Known {
    const START: Known = Known { len: 0, x: 0, behind: None };

    fn meet(self, other: Known) -> Known {
        let behind = self.behind.zip(other.behind).map(|(one, other)| one.min(other));
        Known { len: self.len.min(other.len), x: self.x.max(other.x), behind }
    }
}

struct Writer {
    code: Builder,
    labels: Vec<Label>,
    /// Where packets go that are too short.
    refuse: Label,
    known: Known,
}

impl Writer {
    fn insn(&mut self, insn: Insn, index: usize, need: Need) {
        match insn {
            Insn::LoadAbs { size, offset } => self.load(size, offset, need),
            Insn::LoadInd { size, offset } => self.load_behind(size, offset, need),
            Insn::LoadHeaderLen { offset } => self.header_len(offset, need),
            // In files there is none.
            Insn::LoadAncillary { .. } => self.code.goto(self.refuse),
            Insn::LoadLen(reg) => {
                self.code.load(Size::W, register(reg), CONTEXT, skb::LEN as i16);
                self.wrote(reg, u32::MAX);
            }
            Insn::LoadImm(reg, k) => {
                self.alu(AluOp::Mov, register(reg), immediate(k));
                self.wrote(reg, k);
            }
            Insn::LoadMem(reg, cell) => {
                self.code.load(Size::W, register(reg), ebpf::Reg::R10, place(cell));
                self.wrote(reg, u32::MAX);
            }
            Insn::Store(reg, cell) => {
                let src = ebpf::Operand::Reg(register(reg));
                self.code.store(Size::W, ebpf::Reg::R10, place(cell), src);
            }
            Insn::Alu(op, src) => self.operation(op, src),
            Insn::Neg => self.code.push(ebpf::Insn::Neg { width: Width::W32, dst: A }),
            Insn::Ja(off) => self.code.goto(self.labels[index + 1 + off as usize]),
            Insn::Branch { cond, src, jt, jf } => {
                let to = |skip: u8| index + 1 + usize::from(skip);
                self.branch(cond, source(src), to(jt), to(jf), index + 1);
            }
            Insn::Tax => {
                self.code.copy(X, A);
                self.wrote(Reg::X, u32::MAX);
            }
            Insn::Txa => self.code.copy(A, X),
            Insn::RetK(k) => {
                self.alu(AluOp::Mov, A, immediate(k));
                self.code.exit();
            }
            Insn::RetA => self.code.exit(),
        }
    }

    fn wrote(&mut self, reg: Reg, most: u32) {
        if reg == Reg::X {
            (self.known.x, self.known.behind) = (most, None);
        }
    }

    /// Refuses packets without so many bytes from a register on, which is in the packet.
    fn demand(&mut self, from: ebpf::Reg, bytes: u32) {
        self.code.copy(END, from);
        self.code.alu(AluOp::Add, END, immediate(bytes));
        self.code.branch(ebpf::Cond::Gt, END, ebpf::Operand::Reg(DATA_END), self.refuse);
    }

    /// Whether some way accepts packets from here on. What is written behind this is dead
    /// where none does.
    fn accepts(&mut self, need: Need) -> bool {
        let accepts = need.len.max(need.behind) <= MOST_BYTES;
        if !accepts {
            self.code.goto(self.refuse);
        }
        accepts
    }

    fn demand_len(&mut self, least: u32, need: Need) {
        if self.known.len < least {
            self.demand(DATA, need.len);
            self.known.len = need.len;
        }
    }

    fn load(&mut self, size: Size, offset: i32, need: Need) {
        if self.accepts(need) {
            self.demand_len(reach(offset, size), need);
            self.number(size, A, DATA, offset);
        }
    }

    /// A number in network byte order.
    fn number(&mut self, size: Size, dst: ebpf::Reg, base: ebpf::Reg, offset: i32) {
        self.code.load(size, dst, base, offset as i16);
        if size != Size::B {
            self.code.push(ebpf::Insn::ByteSwap { order: Order::Be, size, dst });
        }
    }

    fn load_behind(&mut self, size: Size, offset: i32, need: Need) {
        if !self.accepts(need) {
            return;
        }
        if self.known.behind.is_none() {
            if self.known.x > MOST_BYTES {
                let most = immediate(MOST_BYTES);
                self.code.branch(ebpf::Cond::Gt, X, most, self.refuse);
                self.known.x = MOST_BYTES;
            }
            self.code.copy(BEHIND, DATA);
            self.code.alu(AluOp::Add, BEHIND, ebpf::Operand::Reg(X));
            self.known.behind = Some(0);
        }
        if self.known.behind < Some(reach(offset, size)) {
            self.demand(BEHIND, need.behind);
            self.known.behind = Some(need.behind);
        }
        self.number(size, A, BEHIND, offset);
    }

    fn header_len(&mut self, offset: i32, need: Need) {
        if self.accepts(need) {
            self.demand_len(reach(offset, Size::B), need);
            self.number(Size::B, X, DATA, offset);
            self.alu(AluOp::And, X, ebpf::Operand::Imm(0xf));
            self.alu(AluOp::Lsh, X, ebpf::Operand::Imm(2));
            self.wrote(Reg::X, 60);
        }
    }

    /// Division by an index of zero refuses the packet; shifts by 32 and more give 0.
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
        match (op, src) {
            (AluOp::Div | AluOp::Mod, Operand::X) => {
                self.code.branch32(ebpf::Cond::Eq, X, ebpf::Operand::Imm(0), self.refuse);
                self.alu(op, A, source(src));
            }
            (AluOp::Lsh | AluOp::Rsh, Operand::X) => {
                let (far, done) = (self.code.label(), self.code.label());
                self.code.branch32(ebpf::Cond::Gt, X, ebpf::Operand::Imm(31), far);
                self.alu(op, A, source(src));
                self.code.goto(done);
                self.code.place(far);
                self.code.set(A, 0);
                self.code.place(done);
            }
            _ => self.alu(op, A, source(src)),
        }
    }

    fn branch(&mut self, cond: Cond, src: ebpf::Operand, yes: usize, no: usize, next: usize) {
        let (holds, fails) = match cond {
            Cond::Eq => (ebpf::Cond::Eq, Some(ebpf::Cond::Ne)),
            Cond::Gt => (ebpf::Cond::Gt, Some(ebpf::Cond::Le)),
            Cond::Ge => (ebpf::Cond::Ge, Some(ebpf::Cond::Lt)),
            Cond::Set => (ebpf::Cond::Set, None),
        };
        match fails {
            Some(fails) if yes == next => self.code.branch32(fails, A, src, self.labels[no]),
            _ => {
                self.code.branch32(holds, A, src, self.labels[yes]);
                if no != next {
                    self.code.goto(self.labels[no]);
                }
            }
        }
    }

    fn alu(&mut self, op: AluOp, dst: ebpf::Reg, src: ebpf::Operand) {
        self.code.push(ebpf::Insn::Alu { op, width: Width::W32, dst, src });
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
fn place(cell: u32) -> i16 {
    -64 + 4 * cell as i16
}
