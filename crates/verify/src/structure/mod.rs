//! What can be said of a program before any path is followed: its subprograms, its
//! flow graph, which registers live where, and its loops. One file per stage, in
//! the order in which [`Checker::structure`] runs them, which is Linux's.

mod btf_info;
mod cfg;
mod depth;
mod fastcall;
mod live;
pub(crate) mod resolve;
mod scc;
pub(crate) mod shape;
pub(crate) mod subprogs;

use crate::checker::{Checker, Findings};
use crate::error::Check;

/// One function of the program.
#[derive(Clone, Debug, Default)]
pub(crate) struct Subprog {
    pub start: u32,
    pub stack_depth: i32,
    pub has_tail_call: bool,
    pub has_ld_abs: bool,
    pub is_callback: bool,
    pub is_async_callback: bool,
    pub is_exception_callback: bool,
    pub changes_packet: bool,
    pub might_sleep: bool,
    pub is_global: bool,
    /// Called from code that was followed.
    pub called: bool,
    pub verified: bool,
    /// Its BTF does not describe how it is called.
    pub unreliable: bool,
    /// Below this offset only fastcall patterns use the stack.
    pub fastcall_off: i32,
    pub keep_fastcall_stack: bool,
    /// First entry in the postorder.
    pub postorder: usize,
    pub args: Option<Vec<crate::global::Arg>>,
}

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
