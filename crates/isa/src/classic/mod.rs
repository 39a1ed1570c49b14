//! Classic BPF: the packet filters of `tcpdump` and `SO_ATTACH_FILTER`, with an
//! accumulator A, an index X, sixteen cells of memory, and forward jumps only.
//!
//! [`Filter`] is an instruction's bits, [`Insn`] its meaning, [`check()`] what Linux
//! demands of a program (`bpf_check_classic`), [`Builder`] writes one, [`Program`] runs
//! it, [`translate()`] is the same program as eBPF, [`direct()`] as eBPF for classifiers.
//! Text is `tcpdump -d`'s.

mod build;
mod check;
mod direct;
mod fused;
mod run;
mod text;
mod translate;

use crate::Size;

pub use build::{BuildError, Builder, Label};
pub use check::{ClassicError, ClassicErrorKind, check};
pub use direct::{DirectError, MOST_BYTES, direct};
pub use run::{Machine, Metadata, Packet, Program, alu, holds};
pub use text::{TextError, c_source, decimal, listing, parse};
pub use translate::translate;

/// Most instructions of a program (`BPF_MAXINSNS`).
pub use skep_abi::limits::MAX_INSNS_UNPRIVILEGED as MAX_INSNS;

/// Cells of memory (`BPF_MEMWORDS`).
pub const MEM_WORDS: u32 = 16;

/// Offset from which packet loads read metadata instead (`SKF_AD_OFF`).
const ANCILLARY: u32 = -0x1000_i32 as u32;

/// The bits of an instruction (`struct sock_filter`).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Filter {
    /// Opcode.
    pub code: u16,
    /// Instructions to skip where a condition holds.
    pub jt: u8,
    /// Instructions to skip where it does not.
    pub jf: u8,
    /// Offset, constant or cell.
    pub k: u32,
}

/// A register.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Reg {
    /// The accumulator.
    A,
    /// The index.
    X,
}

/// The right-hand side of an operation.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Operand {
    /// A constant.
    K(u32),
    /// The index.
    X,
}

/// Arithmetic on 32 bits, unsigned.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[allow(missing_docs, reason = "the names say it")]
pub enum Op {
    Add,
    Sub,
    Mul,
    Div,
    Or,
    And,
    Lsh,
    Rsh,
    Mod,
    Xor,
}

/// A condition, unsigned.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[allow(missing_docs, reason = "the names say it")]
pub enum Cond {
    Eq,
    Gt,
    Ge,
    /// `A & operand` is not zero.
    Set,
}

/// Metadata that a load from an offset above `SKF_AD_OFF` gives, and two things that
/// are no load at all.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Ancillary {
    /// Ethernet protocol.
    Protocol,
    /// To us, to others, broadcast, outgoing.
    PacketType,
    /// Index of the interface.
    IfIndex,
    /// Offset of the netlink attribute of type X, searched from offset A.
    Nlattr,
    /// The same among nested attributes.
    NlattrNest,
    /// The packet's mark.
    Mark,
    /// The queue.
    Queue,
    /// Hardware type of the interface.
    HardwareType,
    /// The packet's flow hash.
    RxHash,
    /// The CPU that runs the filter.
    Cpu,
    /// Computes `A ^ X`.
    XorX,
    /// VLAN tag.
    VlanTag,
    /// Whether there is a VLAN tag.
    VlanTagPresent,
    /// Offset of the payload.
    PayloadOffset,
    /// A random number.
    Random,
    /// Protocol of the VLAN tag.
    VlanProtocol,
}

impl Ancillary {
    /// Every one, four apart from `SKF_AD_OFF` on.
    pub const ALL: [Ancillary; 16] = [
        Ancillary::Protocol,
        Ancillary::PacketType,
        Ancillary::IfIndex,
        Ancillary::Nlattr,
        Ancillary::NlattrNest,
        Ancillary::Mark,
        Ancillary::Queue,
        Ancillary::HardwareType,
        Ancillary::RxHash,
        Ancillary::Cpu,
        Ancillary::XorX,
        Ancillary::VlanTag,
        Ancillary::VlanTagPresent,
        Ancillary::PayloadOffset,
        Ancillary::Random,
        Ancillary::VlanProtocol,
    ];

    /// The one that this offset means.
    pub fn from_offset(k: u32) -> Option<Ancillary> {
        let index = k.checked_sub(ANCILLARY).filter(|distance| distance % 4 == 0)? / 4;
        Ancillary::ALL.get(index as usize).copied()
    }

    /// The offset that means it.
    pub fn offset(self) -> u32 {
        ANCILLARY + 4 * self as u32
    }

    /// Its name in listings: `vlan_tci`.
    pub fn name(self) -> &'static str {
        [
            "proto",
            "type",
            "ifidx",
            "nla",
            "nlan",
            "mark",
            "queue",
            "hatype",
            "rxhash",
            "cpu",
            "xor_x",
            "vlan_tci",
            "vlanp",
            "poff",
            "random",
            "vlan_tpid",
        ][self as usize]
    }
}

/// One instruction.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Insn {
    /// `A = packet[offset]`, in network byte order; the program returns 0 where the
    /// packet ends before. Offsets below 0 count from its headers.
    LoadAbs {
        /// B, H or W.
        size: Size,
        /// Offset.
        offset: i32,
    },
    /// `A = packet[X + offset]`.
    LoadInd {
        /// B, H or W.
        size: Size,
        /// Offset.
        offset: i32,
    },
    /// `A = ` something about the packet.
    LoadAncillary {
        /// B, H or W, without meaning.
        size: Size,
        /// What.
        what: Ancillary,
    },
    /// The packet's length.
    LoadLen(Reg),
    /// A constant.
    LoadImm(Reg, u32),
    /// A cell of memory.
    LoadMem(Reg, u32),
    /// `X = 4 * (packet[offset] & 0xf)`: the length of an IPv4 header.
    LoadHeaderLen {
        /// Offset.
        offset: i32,
    },
    /// Writes a cell of memory.
    Store(Reg, u32),
    /// `A = A op operand`.
    Alu(Op, Operand),
    /// `A = -A`.
    Neg,
    /// Skips so many instructions.
    Ja(u32),
    /// Skips `jt` instructions if `A cond operand`, else `jf`.
    Branch {
        /// Condition.
        cond: Cond,
        /// Right operand.
        src: Operand,
        /// Instructions to skip where it holds.
        jt: u8,
        /// Instructions to skip where it does not.
        jf: u8,
    },
    /// `X = A`.
    Tax,
    /// `A = X`.
    Txa,
    /// Returns a constant.
    RetK(u32),
    /// Returns A.
    RetA,
}

const LD: u16 = 0x00;
const LDX: u16 = 0x01;
const ST: u16 = 0x02;
const STX: u16 = 0x03;
const ALU: u16 = 0x04;
const JMP: u16 = 0x05;
const RET: u16 = 0x06;
const MISC: u16 = 0x07;

/// The bit for an operand X; in returns, the bit for A stands at twice that.
const X: u16 = 0x08;
const RET_A: u16 = 0x10;

const IMM: u16 = 0x00;
const ABS: u16 = 0x20;
const IND: u16 = 0x40;
const MEM: u16 = 0x60;
const LEN: u16 = 0x80;
const MSH: u16 = 0xa0;
const BYTE: u16 = 0x10;

const NEG: u16 = 0x80;
const TXA: u16 = 0x80;

/// Operations with their opcode bits.
pub(crate) const OPS: [(u16, Op); 10] = [
    (0x00, Op::Add),
    (0x10, Op::Sub),
    (0x20, Op::Mul),
    (0x30, Op::Div),
    (0x40, Op::Or),
    (0x50, Op::And),
    (0x60, Op::Lsh),
    (0x70, Op::Rsh),
    (0x90, Op::Mod),
    (0xa0, Op::Xor),
];

/// Conditions with their opcode bits.
pub(crate) const CONDS: [(u16, Cond); 4] =
    [(0x10, Cond::Eq), (0x20, Cond::Gt), (0x30, Cond::Ge), (0x40, Cond::Set)];

impl Filter {
    /// Bytes in an instruction.
    pub const SIZE: usize = 8;

    /// Reads an instruction of the machine's byte order.
    pub fn from_bytes(bytes: [u8; 8]) -> Filter {
        let [code0, code1, jt, jf, k @ ..] = bytes;
        let code = u16::from_ne_bytes([code0, code1]);
        Filter { code, jt, jf, k: u32::from_ne_bytes(k) }
    }

    /// Writes it in the machine's byte order.
    pub fn to_bytes(self) -> [u8; 8] {
        let [code0, code1] = self.code.to_ne_bytes();
        let [k0, k1, k2, k3] = self.k.to_ne_bytes();
        [code0, code1, self.jt, self.jf, k0, k1, k2, k3]
    }

    /// What it means; `None` for opcodes that Linux refuses. Fields that an
    /// instruction does not use are ignored, as Linux ignores them.
    pub fn decode(self) -> Option<Insn> {
        let Filter { code, jt, jf, k } = self;
        let size = match code & 0x18 {
            0x00 => Size::W,
            0x08 => Size::H,
            0x10 => Size::B,
            _ => Size::DW,
        };
        let src = if code & X != 0 { Operand::X } else { Operand::K(k) };
        let sized = size != Size::DW;
        Some(match (code & !0xff, code & 0x07, code & 0xe0) {
            (0, LD, ABS) if sized => match Ancillary::from_offset(k) {
                Some(what) => Insn::LoadAncillary { size, what },
                None => Insn::LoadAbs { size, offset: k as i32 },
            },
            (0, LD, IND) if sized => Insn::LoadInd { size, offset: k as i32 },
            (0, LD, LEN) if size == Size::W => Insn::LoadLen(Reg::A),
            (0, LD, IMM) if size == Size::W => Insn::LoadImm(Reg::A, k),
            (0, LD, MEM) if size == Size::W => Insn::LoadMem(Reg::A, k),
            (0, LDX, LEN) if size == Size::W => Insn::LoadLen(Reg::X),
            (0, LDX, IMM) if size == Size::W => Insn::LoadImm(Reg::X, k),
            (0, LDX, MEM) if size == Size::W => Insn::LoadMem(Reg::X, k),
            (0, LDX, MSH) if size == Size::B => Insn::LoadHeaderLen { offset: k as i32 },
            (0, ALU, _) if code == ALU | NEG => Insn::Neg,
            (0, ALU, _) => Insn::Alu(row(&OPS, code & 0xf0)?, src),
            (0, JMP, _) if code == JMP => Insn::Ja(k),
            (0, JMP, _) => Insn::Branch { cond: row(&CONDS, code & 0xf0)?, src, jt, jf },
            _ => match code {
                ST => Insn::Store(Reg::A, k),
                STX => Insn::Store(Reg::X, k),
                RET => Insn::RetK(k),
                _ if code == RET | RET_A => Insn::RetA,
                MISC => Insn::Tax,
                _ if code == MISC | TXA => Insn::Txa,
                _ => return None,
            },
        })
    }
}

impl Insn {
    /// Its bits, with zeros in the fields that it does not use.
    pub fn encode(self) -> Filter {
        let plain = |code, k| Filter { code, jt: 0, jf: 0, k };
        let bits = |size| match size {
            Size::W => 0x00,
            Size::H => 0x08,
            Size::B => 0x10,
            Size::DW => 0x18,
        };
        let operand = |src| match src {
            Operand::K(k) => (0, k),
            Operand::X => (X, 0),
        };
        let class = |reg, a, x| if reg == Reg::A { a } else { x };
        match self {
            Insn::LoadAbs { size, offset } => plain(LD | ABS | bits(size), offset as u32),
            Insn::LoadInd { size, offset } => plain(LD | IND | bits(size), offset as u32),
            Insn::LoadAncillary { size, what } => plain(LD | ABS | bits(size), what.offset()),
            Insn::LoadLen(reg) => plain(class(reg, LD, LDX) | LEN, 0),
            Insn::LoadImm(reg, k) => plain(class(reg, LD, LDX) | IMM, k),
            Insn::LoadMem(reg, k) => plain(class(reg, LD, LDX) | MEM, k),
            Insn::LoadHeaderLen { offset } => plain(LDX | MSH | BYTE, offset as u32),
            Insn::Store(reg, k) => plain(class(reg, ST, STX), k),
            Insn::Alu(op, src) => plain(ALU | bits_of(&OPS, op) | operand(src).0, operand(src).1),
            Insn::Neg => plain(ALU | NEG, 0),
            Insn::Ja(k) => plain(JMP, k),
            Insn::Branch { cond, src, jt, jf } => {
                let (x, k) = operand(src);
                Filter { code: JMP | bits_of(&CONDS, cond) | x, jt, jf, k }
            }
            Insn::Tax => plain(MISC, 0),
            Insn::Txa => plain(MISC | TXA, 0),
            Insn::RetK(k) => plain(RET, k),
            Insn::RetA => plain(RET | RET_A, 0),
        }
    }
}

fn row<T: Copy>(table: &[(u16, T)], bits: u16) -> Option<T> {
    table.iter().find(|row| row.0 == bits).map(|row| row.1)
}

fn bits_of<T: Copy + PartialEq>(table: &[(u16, T)], value: T) -> u16 {
    table.iter().find(|row| row.1 == value).map_or(0, |row| row.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All 65,536 opcodes; that Linux allows 49 of them is `chk_code_allowed`'s table.
    #[test]
    fn what_decodes_encodes_back_without_its_unused_fields() {
        let mut codes = 0;
        for code in 0..=u16::MAX {
            for k in [0, 5, u32::MAX, ANCILLARY, ANCILLARY + 60, ANCILLARY + 64, ANCILLARY + 2] {
                let filter = Filter { code, jt: 3, jf: 4, k };
                let Some(insn) = filter.decode() else { continue };
                let back = insn.encode();
                assert_eq!(back.decode(), Some(insn), "{filter:?}");
                assert_eq!(back.code, code);
                assert!(back.k == k || back.k == 0, "{filter:?}");
                codes += usize::from(k == 0);
            }
        }
        assert_eq!(codes, 49);
    }
}
