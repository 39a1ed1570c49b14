//! Calls that leave registers alone, and the spills around them that only older
//! kernels need. They matter here because they can lower the stack depth.
//! Counterpart: `mark_fastcall_patterns`, `remove_fastcall_spills_fills`.

use skep_isa::{Insn, Operand, Reg, Size};

use super::live::CALLER_SAVED;
use crate::checker::Checker;

impl Checker<'_> {
    pub(super) fn find_fastcalls(&mut self) {
        for index in 0..self.found.subprogs.len() {
            let (start, end) = (self.found.subprogs[index].start, self.subprog_end(index));
            let lowest = (start..end).filter_map(|pc| self.spill(pc)).map(|(off, _)| off).min();
            let lowest = lowest.unwrap_or(0).min(0);
            for pc in start..end {
                if let Some(Insn::Call(callee)) = self.insn(pc)
                    && let Some(summary) = self.call_summary(callee)
                {
                    let clobbered = ((2u16 << summary.params) - 1) & !u16::from(summary.is_void);
                    self.match_fastcall(index, pc, lowest, !clobbered & CALLER_SAVED, summary.fast);
                }
            }
        }
    }

    /// `*(u64 *)(r10 + off) = reg`
    fn spill(&self, pc: u32) -> Option<(i32, Reg)> {
        match self.insn(pc)? {
            Insn::Store { size: Size::DW, base: Reg::R10, off, src: Operand::Reg(reg) } => {
                Some((off.into(), reg))
            }
            _ => None,
        }
    }

    /// `reg = *(u64 *)(r10 + off)`
    fn fill(&self, pc: u32) -> Option<(i32, Reg)> {
        match self.insn(pc)? {
            Insn::Load { size: Size::DW, signed: false, dst, base: Reg::R10, off } => {
                Some((off.into(), dst))
            }
            _ => None,
        }
    }

    fn match_fastcall(&mut self, index: usize, pc: u32, lowest: i32, mut free: u16, fast: bool) {
        let (mut off, mut spills) = (lowest, 0);
        for distance in 1..=6u32 {
            let (Some(before), after) = (pc.checked_sub(distance), pc + distance) else { break };
            if after >= self.len() {
                break;
            }
            let (Some(spill), Some(fill)) = (self.spill(before), self.fill(after)) else { break };
            let bit = 1 << spill.1.number();
            if spill != fill || free & bit == 0 || spill.0 != off {
                break;
            }
            free &= !bit;
            self.found.aux[before as usize].fastcall_pattern = true;
            self.found.aux[after as usize].fastcall_pattern = true;
            off += 8;
            spills += 1;
        }
        if spills == 0 {
            return;
        }
        let subprog = &mut self.found.subprogs[index];
        if fast {
            self.found.aux[pc as usize].fastcall_spills = spills;
        } else {
            subprog.keep_fastcall_stack = true;
        }
        subprog.fastcall_off = subprog.fastcall_off.min(off);
    }

    /// A use of the stack outside of the patterns ends them for the function.
    pub(crate) fn check_fastcall_contract(&mut self, subprog: usize, pc: u32, off: i32) {
        if self.found.subprogs[subprog].fastcall_off <= off
            || self.found.aux[pc as usize].fastcall_pattern
        {
            return;
        }
        self.found.subprogs[subprog].fastcall_off = i16::MIN.into();
        let (start, end) = (self.found.subprogs[subprog].start, self.subprog_end(subprog));
        for aux in &mut self.found.aux[start as usize..end as usize] {
            aux.fastcall_spills = 0;
            aux.fastcall_pattern = false;
        }
    }

    /// After the verdict: what the patterns used of the stack is free again.
    pub(crate) fn shrink_fastcall_stacks(&mut self) {
        for index in 0..self.found.subprogs.len() {
            let (start, end) = (self.found.subprogs[index].start, self.subprog_end(index));
            let removed = (start..end).any(|pc| self.found.aux[pc as usize].fastcall_spills > 0);
            let subprog = &mut self.found.subprogs[index];
            if removed && !subprog.keep_fastcall_stack {
                subprog.stack_depth = -subprog.fastcall_off;
            }
        }
    }
}
