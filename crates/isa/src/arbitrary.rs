//! Random instructions and programs for fuzzers and property tests: everything that
//! [`Insn`] can hold and `decode` accepts, edge values often.

use arbitrary::{Arbitrary, Result, Unstructured};

use crate::classic::{self, Ancillary, MEM_WORDS};
use crate::{
    AluOp, AtomicOp, Callee, Cond, Imm64, ImmKind, Insn, Operand, Order, Reg, Size, Width,
};

impl<'a> Arbitrary<'a> for Insn {
    /// Any instruction but [`Insn::Hole`]. Jumps and calls go anywhere.
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<Insn> {
        Ok(match u.int_in_range(0..=25)? {
            0..=4 => {
                let (op, width) = (*u.choose(&AluOp::ALL)?, width(u)?);
                Insn::Alu { op, width, dst: reg(u)?, src: operand(u)? }
            }
            5 => {
                let width = width(u)?;
                let from = match width {
                    Width::W32 => *u.choose(&Size::ALL[..2])?,
                    Width::W64 => *u.choose(&Size::ALL[..3])?,
                };
                Insn::MovSx { width, from, dst: reg(u)?, src: reg(u)? }
            }
            6 => Insn::Neg { width: width(u)?, dst: reg(u)? },
            7 => {
                let (order, size) = (*u.choose(&Order::ALL)?, *u.choose(&Size::ALL[1..])?);
                Insn::ByteSwap { order, size, dst: reg(u)? }
            }
            8 => {
                let (to, from) = (u.arbitrary()?, u.arbitrary()?);
                Insn::AddrSpaceCast { dst: reg(u)?, src: reg(u)?, to, from }
            }
            9 => {
                let kind = if u.arbitrary()? { ImmKind::Const } else { *u.choose(&ImmKind::ALL)? };
                let imm = Imm64 { kind, lo: imm(u)? as u32, hi: imm(u)? as u32 };
                Insn::LoadImm64 { dst: reg(u)?, imm }
            }
            10 => Insn::LoadAbs { size: *u.choose(&Size::ALL[..3])?, offset: imm(u)? },
            11 => {
                let size = *u.choose(&Size::ALL[..3])?;
                Insn::LoadInd { size, src: reg(u)?, offset: imm(u)? }
            }
            12..=13 => {
                let size = *u.choose(&Size::ALL)?;
                let signed = size != Size::DW && u.arbitrary()?;
                Insn::Load { size, signed, dst: reg(u)?, base: reg(u)?, off: off(u)? }
            }
            14..=15 => {
                let size = *u.choose(&Size::ALL)?;
                Insn::Store { size, base: reg(u)?, off: off(u)?, src: operand(u)? }
            }
            16..=17 => {
                let (op, size) = (*u.choose(&AtomicOp::ALL)?, *u.choose(&Size::ALL[2..])?);
                Insn::Atomic { op, size, base: reg(u)?, off: off(u)?, src: reg(u)? }
            }
            18 => {
                let (size, dst) = (*u.choose(&Size::ALL)?, reg(u)?);
                Insn::LoadAcquire { size, dst, base: reg(u)?, off: off(u)? }
            }
            19 => {
                let (size, src) = (*u.choose(&Size::ALL)?, reg(u)?);
                Insn::StoreRelease { size, base: reg(u)?, off: off(u)?, src }
            }
            20 => match u.int_in_range(0..=2)? {
                0 => Insn::Ja { off: off(u)? },
                1 => Insn::Gotol { off: imm(u)? },
                _ => Insn::MayGoto { off: off(u)? },
            },
            21..=23 => {
                let (cond, width) = (*u.choose(&Cond::ALL)?, width(u)?);
                Insn::Branch { cond, width, dst: reg(u)?, src: operand(u)?, off: off(u)? }
            }
            24 => Insn::Call(match u.int_in_range(0..=3)? {
                0 => Callee::Helper(imm(u)? as u32),
                1 => Callee::Local(imm(u)?),
                2 => Callee::Kfunc { btf_id: imm(u)?, module: off(u)? },
                _ => Callee::Register(reg(u)?),
            }),
            _ => Insn::Exit,
        })
    }
}

/// A program whose control flow is well formed: it ends in `exit`, and its jumps and
/// local calls land on instructions. Its registers, memory and calls may be nonsense.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Program(pub Vec<Insn>);

impl<'a> Arbitrary<'a> for Program {
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<Program> {
        let (mut insns, mut starts) = (Vec::new(), Vec::new());
        let count = u.int_in_range(0..=64)?;
        for insn in u.arbitrary_iter::<Insn>()?.take(count) {
            let insn = insn?;
            starts.push(insns.len());
            insns.push(insn);
            if insn.slots() == 2 {
                insns.push(Insn::Hole);
            }
        }
        starts.push(insns.len());
        insns.push(Insn::Exit);
        for (pc, insn) in insns.iter_mut().enumerate() {
            match insn {
                Insn::Ja { off } | Insn::Branch { off, .. } | Insn::MayGoto { off } => {
                    *off = (*u.choose(&starts)? as i64 - pc as i64 - 1) as i16;
                }
                Insn::Gotol { off } | Insn::Call(Callee::Local(off)) => {
                    *off = (*u.choose(&starts)? as i64 - pc as i64 - 1) as i32;
                }
                _ => {}
            }
        }
        Ok(Program(insns))
    }
}

impl<'a> Arbitrary<'a> for classic::Insn {
    /// Any instruction, jumps of a few instructions, offsets of small packets.
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<classic::Insn> {
        use classic::Insn;
        let size = *u.choose(&Size::ALL[..3])?;
        let reg = *u.choose(&[classic::Reg::A, classic::Reg::X])?;
        let cell = u.int_in_range(0..=MEM_WORDS)?.min(u.int_in_range(0..=MEM_WORDS)?);
        let offset = u.int_in_range(0..=80)?;
        let src = match u.arbitrary()? {
            true => classic::Operand::X,
            false => classic::Operand::K(imm(u)? as u32),
        };
        Ok(match u.int_in_range(0..=18)? {
            0..=1 => Insn::LoadAbs { size, offset },
            2 => Insn::LoadInd { size, offset },
            3 => Insn::LoadAncillary { size, what: *u.choose(&Ancillary::ALL)? },
            4 => Insn::LoadLen(reg),
            5 => Insn::LoadImm(reg, imm(u)? as u32),
            6 => Insn::LoadMem(reg, cell),
            7 => Insn::LoadHeaderLen { offset },
            8..=9 => Insn::Store(reg, cell),
            10..=11 => {
                let op = u.choose(&classic::OPS)?.1;
                Insn::Alu(op, src)
            }
            12 => Insn::Neg,
            13 => Insn::Ja(u.int_in_range(0..=3)?),
            14..=15 => {
                let cond = u.choose(&classic::CONDS)?.1;
                let (jt, jf) = (u.int_in_range(0..=3)?, u.int_in_range(0..=3)?);
                Insn::Branch { cond, src, jt, jf }
            }
            16 => Insn::Tax,
            17 => Insn::Txa,
            _ => match u.arbitrary()? {
                true => Insn::RetA,
                false => Insn::RetK(imm(u)? as u32),
            },
        })
    }
}

fn reg(u: &mut Unstructured<'_>) -> Result<Reg> {
    u.choose(&Reg::ALL).copied()
}

fn width(u: &mut Unstructured<'_>) -> Result<Width> {
    u.choose(&[Width::W32, Width::W64]).copied()
}

fn operand(u: &mut Unstructured<'_>) -> Result<Operand> {
    Ok(if u.arbitrary()? { Operand::Reg(reg(u)?) } else { Operand::Imm(imm(u)?) })
}

fn imm(u: &mut Unstructured<'_>) -> Result<i32> {
    Ok(match u.int_in_range(0..=4)? {
        0 => *u.choose(&[0, 1, -1, i32::MIN, i32::MAX, 31, 32, 63, 64])?,
        1..=3 => u.arbitrary::<i8>()?.into(),
        _ => u.arbitrary()?,
    })
}

fn off(u: &mut Unstructured<'_>) -> Result<i16> {
    Ok(match u.int_in_range(0..=4)? {
        0 => *u.choose(&[0, 1, -1, i16::MIN, i16::MAX])?,
        1..=3 => u.arbitrary::<i8>()?.into(),
        _ => u.arbitrary()?,
    })
}
