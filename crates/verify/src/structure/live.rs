//! Which registers may still be read before each instruction. Counterpart:
//! `compute_live_registers`.

use skep_isa::{AluOp, AtomicOp, Insn, Operand, Reg};

use crate::checker::Checker;
use crate::log::say;

/// r0 to r5: what a call destroys.
pub(crate) const CALLER_SAVED: u16 = 0x3f;

impl Checker<'_> {
    pub(super) fn find_live_registers(&mut self) {
        let effects: Vec<(u16, u16)> = (0..self.len()).map(|pc| self.effect(pc)).collect();
        let mut out = vec![0u16; effects.len()];
        loop {
            let mut changed = false;
            for index in 0..self.code.postorder.len() {
                let pc = self.code.postorder[index];
                let after = self.successors(pc).fold(0, |live, next| {
                    live | self.found.aux.get(next as usize).map_or(0, |aux| aux.live_before)
                });
                let (used, defined) = effects[pc as usize];
                let before = (after & !defined) | used;
                changed |=
                    after != out[pc as usize] || before != self.found.aux[pc as usize].live_before;
                out[pc as usize] = after;
                self.found.aux[pc as usize].live_before = before;
            }
            if !changed {
                break;
            }
        }
        if self.log.is_full() {
            self.log_live_registers();
        }
    }

    fn log_live_registers(&mut self) {
        say!(self.log, "Live regs before insn:\n");
        let mut pc = 0;
        while pc < self.len() {
            match self.found.aux[pc as usize].scc {
                0 => say!(self.log, "    "),
                scc => say!(self.log, "{scc:3} "),
            }
            let live = self.found.aux[pc as usize].live_before;
            let letters: String = (0..10u32)
                .map(|reg| {
                    char::from_digit(reg, 10).filter(|_| live & 1 << reg != 0).unwrap_or('.')
                })
                .collect();
            let text = self.disassemble(pc);
            say!(self.log, "{pc:3}: {letters} {text}\n");
            pc += if self.is_imm64(pc) { 2 } else { 1 };
        }
    }

    /// Registers that an instruction reads, and those that it writes.
    fn effect(&self, pc: u32) -> (u16, u16) {
        let bit = |reg: Reg| 1u16 << reg.number();
        let operand = |src: Operand| match src {
            Operand::Reg(reg) => bit(reg),
            Operand::Imm(_) => 0,
        };
        let Some(insn) = self.insn(pc) else { return (0xffff, 0) };
        match insn {
            Insn::LoadImm64 { dst, .. } => (0, bit(dst)),
            Insn::LoadAbs { .. } | Insn::LoadInd { .. } | Insn::Hole => (0xffff, 0),
            Insn::Load { dst, base, .. } | Insn::LoadAcquire { dst, base, .. } => {
                (bit(base), bit(dst))
            }
            Insn::Store { base, src, .. } => (bit(base) | operand(src), 0),
            Insn::StoreRelease { base, src, .. } => (bit(base) | bit(src), 0),
            Insn::Atomic { op, base, src, .. } => match op {
                AtomicOp::Cmpxchg => (1 | bit(base) | bit(src), 1),
                AtomicOp::Xchg => (bit(base) | bit(src), bit(src)),
                AtomicOp::Add { fetch }
                | AtomicOp::Or { fetch }
                | AtomicOp::And { fetch }
                | AtomicOp::Xor { fetch } => {
                    (bit(base) | bit(src), if fetch { bit(src) } else { 0 })
                }
            },
            Insn::Alu { op: AluOp::Mov, dst, src, .. } => (operand(src), bit(dst)),
            Insn::MovSx { dst, src, .. } | Insn::AddrSpaceCast { dst, src, .. } => {
                (bit(src), bit(dst))
            }
            Insn::Alu { dst, src, .. } => (bit(dst) | operand(src), bit(dst)),
            Insn::Neg { dst, .. } | Insn::ByteSwap { dst, .. } => (bit(dst), bit(dst)),
            Insn::Ja { .. } | Insn::Gotol { .. } | Insn::MayGoto { .. } => (0, 0),
            Insn::Exit => (1, 0),
            Insn::Branch { dst, src, .. } => (bit(dst) | operand(src), 0),
            Insn::Call(callee) => {
                let params = self.call_summary(callee).map_or(5, |summary| summary.params);
                ((1 << (params + 1)) - 2, CALLER_SAVED)
            }
        }
    }
}
