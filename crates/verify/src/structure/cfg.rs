//! The flow graph: every instruction is reached, and without CAP_BPF there is no
//! loop. Counterpart: `check_cfg`.

use skep_isa::{Callee, ImmKind, Insn};

use crate::checker::Checker;
use crate::error::{Check, fail};
use crate::shape::{Flow, flow};

/// How far an instruction was looked at.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd)]
enum Visit {
    Unseen,
    Discovered,
    DiscoveredNext,
    DiscoveredBranch,
    Explored,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Edge {
    Next,
    Branch,
}

struct Walk {
    visits: Vec<Visit>,
    stack: Vec<u32>,
}

impl Checker<'_> {
    pub(super) fn check_cfg(&mut self) -> Check {
        let len = self.len() as usize;
        let mut walk = Walk { visits: vec![Visit::Unseen; len], stack: Vec::new() };
        let mut roots = vec![0];
        roots.extend(self.code.exception_callback.map(|index| self.found.subprogs[index].start));
        for root in roots {
            if walk.visits[root as usize] == Visit::Explored {
                continue;
            }
            walk.visits[root as usize] = Visit::Discovered;
            walk.stack.push(root);
            while let Some(&pc) = walk.stack.last() {
                if !self.visit(&mut walk, pc)? {
                    walk.visits[pc as usize] = Visit::Explored;
                    walk.stack.pop();
                }
            }
        }
        let mut pc = 0;
        while pc < self.len() {
            if walk.visits[pc as usize] != Visit::Explored {
                fail!(EINVAL, UnreachableInsn { pc });
            }
            if matches!(self.insn(pc), Some(Insn::LoadImm64 { .. })) || self.is_imm64(pc) {
                if walk.visits.get(pc as usize + 1).is_some_and(|&visit| visit != Visit::Unseen) {
                    fail!(EINVAL, JumpIntoLdImm64 { pc });
                }
                pc += 1;
            }
            pc += 1;
        }
        Ok(())
    }

    /// Takes one more edge of an instruction; false when there is none left.
    fn visit(&mut self, walk: &mut Walk, pc: u32) -> Check<bool> {
        let insn = self.insn(pc);
        if let Some(Insn::LoadImm64 { imm, .. }) = insn
            && imm.kind == ImmKind::Func
        {
            return self.visit_call(walk, pc, 2, true);
        }
        let width = if self.is_imm64(pc) { 2 } else { 1 };
        match flow(insn, self.slot(pc)) {
            Flow::Next => self.push(walk, pc, i64::from(pc) + width, Edge::Next),
            Flow::Exit => Ok(false),
            Flow::Call => {
                self.note_call(pc, insn);
                let local = matches!(insn, Some(Insn::Call(Callee::Local(_))));
                self.visit_call(walk, pc, 1, local)
            }
            Flow::Jump(off) => {
                let to = i64::from(pc) + 1 + i64::from(off);
                let pushed = self.push(walk, pc, to, Edge::Next)?;
                self.mark_target(to);
                Ok(pushed)
            }
            Flow::Branch(off) => {
                self.found.aux[pc as usize].prune_point = true;
                if matches!(insn, Some(Insn::MayGoto { .. })) {
                    self.found.aux[pc as usize].force_checkpoint = true;
                }
                Ok(self.push(walk, pc, i64::from(pc) + 1, Edge::Next)?
                    || self.push(walk, pc, i64::from(pc) + 1 + i64::from(off), Edge::Branch)?)
            }
        }
    }

    fn mark_target(&mut self, to: i64) {
        if let Some(aux) = self.found.aux.get_mut(to as usize) {
            aux.prune_point = true;
            aux.jump_point = true;
        }
    }

    /// What the call does to packets and sleep, and where states must be kept.
    fn note_call(&mut self, pc: u32, insn: Option<Insn>) {
        let Some(Insn::Call(callee)) = insn else { return };
        let traits = self.call_traits(pc, callee);
        let aux = &mut self.found.aux[pc as usize];
        aux.iter_next |= traits.iter_next;
        aux.prune_point |= traits.async_callback || traits.sync_callback || traits.iter_next;
        aux.force_checkpoint |= traits.sync_callback || traits.iter_next;
        aux.jump_point |= traits.sync_callback;
        aux.calls_callback |= traits.sync_callback;
        let index = self.subprog_at(pc);
        self.found.subprogs[index].might_sleep |= traits.sleeps;
        self.found.subprogs[index].changes_packet |= traits.changes_packet;
    }

    fn visit_call(&mut self, walk: &mut Walk, pc: u32, width: u32, local: bool) -> Check<bool> {
        if self.push(walk, pc, i64::from(pc + width), Edge::Next)? {
            return Ok(true);
        }
        self.mark_target((pc + width).into());
        let Some(target) = self.callee_pc(pc).filter(|_| local) else { return Ok(false) };
        self.found.aux[pc as usize].prune_point = true;
        let (caller, callee) = (self.subprog_at(pc), self.subprog_at(target as u32));
        let (packet, sleep) =
            (self.found.subprogs[callee].changes_packet, self.found.subprogs[callee].might_sleep);
        self.found.subprogs[caller].changes_packet |= packet;
        self.found.subprogs[caller].might_sleep |= sleep;
        self.push(walk, pc, target, Edge::Branch)
    }

    /// Follows an edge; true if its end was not seen before.
    fn push(&mut self, walk: &mut Walk, from: u32, to: i64, edge: Edge) -> Check<bool> {
        let labelled = match edge {
            Edge::Next => Visit::DiscoveredNext,
            Edge::Branch => Visit::DiscoveredBranch,
        };
        if walk.visits[from as usize] >= labelled {
            return Ok(false);
        }
        let Some(target) = u32::try_from(to).ok().filter(|&to| to < self.len()) else {
            fail!(EINVAL, JumpOutOfRange { from, to });
        };
        if edge == Edge::Branch {
            self.mark_target(to);
        }
        match walk.visits[target as usize] {
            Visit::Unseen => {
                walk.visits[from as usize] = labelled;
                walk.visits[target as usize] = Visit::Discovered;
                walk.stack.push(target);
                Ok(true)
            }
            Visit::Explored => {
                walk.visits[from as usize] = labelled;
                Ok(false)
            }
            _ if self.rights.bpf => Ok(false),
            _ => fail!(EINVAL, BackEdge { from, to: target }),
        }
    }
}
