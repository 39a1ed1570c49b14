//! What can be said of a program before any path is followed: its subprograms, its
//! flow graph, which registers live where, and its loops. One file per stage, in
//! the order in which [`Checker::structure`] runs them, which is Linux's.

mod btf_info;
mod cfg;
mod depth;
mod fastcall;
mod live;
mod resolve;
mod scc;
mod subprogs;

use crate::checker::{Checker, Findings};
use crate::error::Check;

impl Checker<'_> {
    /// All that comes before paths are followed.
    pub(crate) fn structure(&mut self) -> Check {
        self.check_func_info_early()?;
        self.find_subprogs()?;
        self.check_jumps()?;
        self.check_func_info()?;
        self.check_line_info()?;
        self.resolve_immediates()?;
        self.check_cfg()?;
        self.number_postorder();
        self.check_attach()?;
        self.find_loops();
        self.find_live_registers();
        self.find_fastcalls();
        Ok(())
    }

    /// Index of the subprogram that holds this instruction.
    pub(crate) fn subprog_at(&self, pc: u32) -> usize {
        self.found.subprog_at(pc)
    }

    /// Index of the subprogram that starts at this instruction.
    pub(crate) fn subprog_starting(&self, pc: u32) -> Option<usize> {
        self.found.subprog_starting(pc)
    }

    /// One past the last instruction of a subprogram.
    pub(crate) fn subprog_end(&self, index: usize) -> u32 {
        self.found.subprogs.get(index + 1).map_or(self.len(), |next| next.start)
    }
}

impl Findings {
    /// Index of the subprogram that holds this instruction.
    pub(crate) fn subprog_at(&self, pc: u32) -> usize {
        self.subprogs.partition_point(|subprog| subprog.start <= pc).saturating_sub(1)
    }

    /// Index of the subprogram that starts at this instruction.
    pub(crate) fn subprog_starting(&self, pc: u32) -> Option<usize> {
        let index = self.subprog_at(pc);
        (self.subprogs.get(index)?.start == pc).then_some(index)
    }
}
