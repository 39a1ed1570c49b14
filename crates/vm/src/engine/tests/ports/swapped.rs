//! What a big-endian machine would do, as a program for a little-endian one: bytes are
//! swapped behind each load and before each store. Our interpreter so judges code for
//! machines with the other order of bytes.

use skep_isa::{Callee, Insn, Operand, Order, Reg, Size, Width};

/// Where programs keep nothing: a register is set aside there.
const ASIDE: i16 = -512;

/// The program with each access swapped. `None` for what has no such form: atomics.
/// Words of 8 bytes at `pointers` behind r10 are left as they are.
pub fn swapped(insns: &[Insn], pointers: Option<i16>) -> Option<Vec<Insn>> {
    let mut parts: Vec<Vec<Insn>> = Vec::with_capacity(insns.len());
    for &insn in insns {
        parts.push(part(insn, pointers)?);
    }
    let mut starts = vec![0i64];
    for part in &parts {
        starts.push(starts[starts.len() - 1] + part.len() as i64);
    }
    let mut out = Vec::new();
    for (pc, part) in parts.iter().enumerate() {
        for &insn in part {
            let here = out.len() as i64 + 1;
            let moved = |off: i64| {
                let to = usize::try_from(pc as i64 + 1 + off).ok()?;
                Some(starts.get(to)? - here)
            };
            out.push(match insn {
                Insn::Branch { cond, width, dst, src, off } => {
                    let off = moved(off.into())?.try_into().ok()?;
                    Insn::Branch { cond, width, dst, src, off }
                }
                Insn::Ja { off } => Insn::Ja { off: moved(off.into())?.try_into().ok()? },
                Insn::Gotol { off } => Insn::Gotol { off: moved(off.into())?.try_into().ok()? },
                Insn::Call(Callee::Local(off)) => {
                    Insn::Call(Callee::Local(moved(off.into())?.try_into().ok()?))
                }
                Insn::MayGoto { .. } => return None,
                other => other,
            });
        }
    }
    Some(out)
}

fn part(insn: Insn, pointers: Option<i16>) -> Option<Vec<Insn>> {
    let swap = |size, dst| Insn::ByteSwap { order: Order::Swap, size, dst };
    Some(match insn {
        Insn::Load { size: Size::B, .. } | Insn::Store { size: Size::B, .. } => vec![insn],
        Insn::Load { size: Size::DW, base: Reg::R10, off, .. }
        | Insn::Store { size: Size::DW, base: Reg::R10, off, src: Operand::Reg(_) }
            if pointers == Some(off) =>
        {
            vec![insn]
        }
        Insn::Load { size, signed, dst, base, off } => {
            let mut part =
                vec![Insn::Load { size, signed: false, dst, base, off }, swap(size, dst)];
            if signed {
                part.push(Insn::MovSx { width: Width::W64, from: size, dst, src: dst });
            }
            part
        }
        Insn::Store { size, base, off, src: Operand::Imm(imm) } => {
            let bytes = i64::from(imm).to_be_bytes();
            let bytes = &bytes[8 - size.bytes() as usize..];
            let store = |(byte, at): (&u8, i16)| {
                let src = Operand::Imm(i32::from(*byte));
                Insn::Store { size: Size::B, base, off: off + at, src }
            };
            bytes.iter().zip(0..).map(store).collect()
        }
        Insn::Store { base, src: Operand::Reg(reg), .. } if base == reg => return None,
        Insn::Store { size, base, off, src: Operand::Reg(reg) } => {
            let (word, frame) = (Size::DW, Reg::R10);
            vec![
                Insn::Store { size: word, base: frame, off: ASIDE, src: Operand::Reg(reg) },
                swap(size, reg),
                Insn::Store { size, base, off, src: Operand::Reg(reg) },
                Insn::Load { size: word, signed: false, dst: reg, base: frame, off: ASIDE },
            ]
        }
        Insn::ByteSwap { order, size, dst } => {
            let order = match order {
                Order::Le => Order::Be,
                Order::Be => Order::Le,
                Order::Swap => Order::Swap,
            };
            vec![Insn::ByteSwap { order, size, dst }]
        }
        Insn::Atomic { .. } | Insn::LoadAcquire { .. } | Insn::StoreRelease { .. } => return None,
        other => vec![other],
    })
}
