//! Small damage to a program: the near-valid ones are where verdicts are decided.

use skep_isa::{Cond, Insn, Operand, Reg, Size, Width};

use crate::inputs::Random;

/// Changes one thing about one instruction. Lengths and jumps stay as they are.
pub fn mutate(dice: &mut Random, insns: &mut [Insn]) {
    for _ in 0..20 {
        let at = dice.range(0, insns.len() as i64 - 1) as usize;
        // Most loops without an end take a million steps to be refused.
        let counts =
            matches!(insns[at], Insn::Alu { dst: Reg::R9, .. } | Insn::Branch { dst: Reg::R9, .. });
        if counts && dice.percent(96) {
            continue;
        }
        if let Some(insn) = changed(dice, insns[at]) {
            insns[at] = insn;
            return;
        }
    }
}

fn changed(dice: &mut Random, insn: Insn) -> Option<Insn> {
    let step = dice.choose(&[1, -1, 2, -2, 4, -4, 8, -8, 16, 0x10000]);
    Some(match insn {
        Insn::Alu { op, width, dst, src } => match dice.range(0, 4) {
            0 => Insn::Alu { op, width: other_width(width), dst, src },
            1 => Insn::Alu { op, width, dst: register(dice), src },
            2 => Insn::Ja { off: 0 },
            _ => Insn::Alu { op, width, dst, src: operand(dice, src, step) },
        },
        Insn::Load { size, signed, dst, base, off } => match dice.range(0, 3) {
            0 => Insn::Load { size: other_size(dice), signed: false, dst, base, off },
            1 => Insn::Load { size, signed, dst, base: register(dice), off },
            2 => Insn::Load { size, signed, dst: register(dice), base, off },
            _ => Insn::Load { size, signed, dst, base, off: off.wrapping_add(step as i16) },
        },
        Insn::Store { size, base, off, src } => match dice.range(0, 4) {
            0 => Insn::Store { size: other_size(dice), base, off, src },
            1 => Insn::Store { size, base: register(dice), off, src },
            2 => Insn::Store { size, base, off, src: operand(dice, src, step) },
            3 => Insn::Ja { off: 0 },
            _ => Insn::Store { size, base, off: off.wrapping_add(step as i16), src },
        },
        Insn::Branch { cond, width, dst, src, off } => match dice.range(0, 5) {
            0 => Insn::Branch { cond: other_cond(dice), width, dst, src, off },
            1 => Insn::Branch { cond, width: other_width(width), dst, src, off },
            2 => Insn::Branch { cond, width, dst: register(dice), src, off },
            3 => Insn::Ja { off: 0 },
            _ => Insn::Branch { cond, width, dst, src: operand(dice, src, step), off },
        },
        Insn::Call(_) => Insn::Ja { off: 0 },
        Insn::Atomic { op, size, base, off, src } => {
            Insn::Atomic { op, size, base, off: off.wrapping_add(step as i16), src }
        }
        _ => return None,
    })
}

fn register(dice: &mut Random) -> Reg {
    dice.choose(&Reg::ALL)
}

fn other_width(width: Width) -> Width {
    if width == Width::W64 { Width::W32 } else { Width::W64 }
}

fn other_size(dice: &mut Random) -> Size {
    dice.choose(&[Size::B, Size::H, Size::W, Size::DW])
}

fn other_cond(dice: &mut Random) -> Cond {
    dice.choose(&[
        Cond::Eq,
        Cond::Ne,
        Cond::Gt,
        Cond::Ge,
        Cond::Lt,
        Cond::Le,
        Cond::Sgt,
        Cond::Sge,
        Cond::Slt,
        Cond::Sle,
        Cond::Set,
    ])
}

fn operand(dice: &mut Random, src: Operand, step: i32) -> Operand {
    match src {
        Operand::Reg(_) => Operand::Reg(register(dice)),
        Operand::Imm(imm) => Operand::Imm(imm.wrapping_add(step)),
    }
}
