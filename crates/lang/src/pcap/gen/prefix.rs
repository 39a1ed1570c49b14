//! What must run before everything else: the lengths of headers that vary, put in cells.

use skep_isa::Size;
use skep_isa::classic::{Cond, Insn, Op, Operand, Reg};

use super::load::Place;
use super::state::Base;
use super::{Generator, Made, Term};
use crate::pcap::link::{Kind, Radio};

fn k(op: Op, value: u32) -> Insn {
    Insn::Alu(op, Operand::K(value))
}

fn absolute(size: Size, offset: i32) -> Insn {
    Insn::LoadAbs { size, offset }
}

/// A branch whose distances are still targets: indexes into the code, [`END`] behind it.
fn branch(cond: Cond, value: u32, yes: u8, no: u8) -> Insn {
    Insn::Branch { cond, src: Operand::K(value), jt: yes, jf: no }
}

const END: u8 = u8::MAX;

impl Generator<'_> {
    /// Puts it before the first block of the whole formula.
    pub(super) fn prefix(&mut self, mut whole: Term) -> Made {
        let mut code = Vec::new();
        if let Kind::Wireless(radio) = self.state.outermost.kind {
            if self.state.payload.cell.is_some() && self.state.header.variable {
                self.cell_of(Place::Header)?;
            }
            code = self.radio_prefix(radio);
            if let Some(cell) = self.state.payload.cell {
                if code.is_empty() {
                    code.push(Insn::LoadImm(Reg::X, 0));
                }
                header_len(&mut code, cell, self.state.link.kind);
            }
        } else if self.state.tags_in_cells {
            let payload = self.cell_of(Place::Payload)?;
            let link_type = self.cell_of(Place::LinkType)?;
            code = vec![
                Insn::LoadImm(Reg::A, 0),
                Insn::Store(Reg::A, payload),
                Insn::Store(Reg::A, link_type),
            ];
        }
        if !code.is_empty() {
            self.code.prepend(code, &mut whole);
        }
        if self.state.link.kind == Kind::Wireless(Radio::Ppi) {
            // What it holds must be 802.11, which the header says in little endian.
            let is_wireless = self.equals(Base::Packet, 4, Size::W, 105u32.swap_bytes())?;
            whole = self.code.and(is_wireless, whole);
        }
        Ok(whole)
    }

    /// The length of what stands before the 802.11 header, into X and its cell.
    fn radio_prefix(&mut self, radio: Radio) -> Vec<Insn> {
        let Some(cell) = self.state.header.cell else { return Vec::new() };
        let mut code = match radio {
            Radio::None => return Vec::new(),
            // Some drivers put an AVS header where Prism's is announced.
            Radio::Prism => vec![
                absolute(Size::W, 0),
                k(Op::And, 0xffff_f000),
                branch(Cond::Eq, 0x8021_1000, 0, 2),
                absolute(Size::W, 4),
                Insn::Ja(1),
                Insn::LoadImm(Reg::A, 144),
            ],
            Radio::Avs => vec![absolute(Size::W, 4)],
            // In little endian.
            Radio::Radiotap | Radio::Ppi => vec![
                absolute(Size::B, 3),
                k(Op::Lsh, 8),
                Insn::Tax,
                absolute(Size::B, 2),
                Insn::Alu(Op::Or, Operand::X),
            ],
        };
        code.extend([Insn::Store(Reg::A, cell), Insn::Tax]);
        code
    }
}

/// The offset behind an 802.11 header, from that of the header in X: 24 bytes, 26 with
/// QoS; radiotap may say that they are padded to a multiple of four.
fn header_len(code: &mut Vec<Insn>, cell: u32, kind: Kind) {
    const DATA: u32 = 0x08;
    const CONTROL: u32 = 0x04;
    const QOS: u32 = 0x80;
    const PADDED: u32 = 0x20;
    let mut length = vec![
        Insn::Txa,
        k(Op::Add, 24),
        Insn::Store(Reg::A, cell),
        Insn::LoadInd { size: Size::B, offset: 0 },
        branch(Cond::Set, DATA, 5, END),
        branch(Cond::Set, CONTROL, END, 6),
        branch(Cond::Set, QOS, 7, 10),
        Insn::LoadMem(Reg::A, cell),
        k(Op::Add, 2),
        Insn::Store(Reg::A, cell),
    ];
    if kind == Kind::Wireless(Radio::Radiotap) {
        // Which fields there are: flags, more words of this kind, a time before the flags.
        let flag = |bit: u32| bit.swap_bytes();
        length.extend([
            absolute(Size::W, 4),
            branch(Cond::Set, flag(0x0000_0002), 12, END),
            branch(Cond::Set, flag(0x8000_0000), END, 13),
            branch(Cond::Set, flag(0x0000_0001), 14, 16),
            absolute(Size::B, 16),
            branch(Cond::Set, PADDED, 18, END),
            absolute(Size::B, 8),
            branch(Cond::Set, PADDED, 18, END),
            Insn::LoadMem(Reg::A, cell),
            k(Op::Add, 3),
            k(Op::And, !3),
            Insn::Store(Reg::A, cell),
        ]);
    }
    let end = length.len();
    for (at, insn) in length.iter_mut().enumerate() {
        if let Insn::Branch { jt, jf, .. } = insn {
            for target in [jt, jf] {
                let absolute = if *target == END { end } else { usize::from(*target) };
                *target = (absolute - at - 1) as u8;
            }
        }
    }
    code.extend(length);
}
