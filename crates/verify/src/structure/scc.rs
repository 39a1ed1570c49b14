//! Postorder, and the loops of each subprogram as strongly connected components.
//! Counterpart: `compute_postorder`, `compute_scc`.

use crate::checker::Checker;
use crate::shape::{Flow, flow};

impl Checker<'_> {
    /// Where control can go next within the subprogram; calls go to the next
    /// instruction.
    pub(crate) fn successors(&self, pc: u32) -> impl Iterator<Item = u32> + use<> {
        let width = if self.is_imm64(pc) { 2 } else { 1 };
        let next = pc + width;
        let target = |off: i32| (i64::from(pc) + 1 + i64::from(off)) as u32;
        let (next, jump) = match flow(self.insn(pc), self.slot(pc)) {
            Flow::Next | Flow::Call => (Some(next), None),
            Flow::Exit => (None, None),
            Flow::Jump(off) => (None, Some(target(off))),
            Flow::Branch(off) => (Some(next), Some(target(off))),
        };
        next.into_iter().chain(jump)
    }

    pub(super) fn number_postorder(&mut self) {
        let mut seen = vec![false; self.len() as usize];
        let mut done = vec![false; self.len() as usize];
        for index in 0..self.found.subprogs.len() {
            self.found.subprogs[index].postorder = self.code.postorder.len();
            let mut stack = vec![self.found.subprogs[index].start];
            while let Some(&top) = stack.last() {
                seen[top as usize] = true;
                if done[top as usize] {
                    self.code.postorder.push(top);
                    stack.pop();
                    continue;
                }
                for next in self.successors(top) {
                    if !seen[next as usize] {
                        seen[next as usize] = true;
                        stack.push(next);
                    }
                }
                done[top as usize] = true;
            }
        }
    }

    pub(super) fn find_loops(&mut self) {
        const OFF_STACK: u32 = u32::MAX;
        let len = self.len() as usize;
        let (mut pre, mut low) = (vec![0u32; len], vec![0u32; len]);
        let (mut stack, mut path) = (Vec::new(), Vec::new());
        let (mut number, mut component) = (1, 1);
        for root in 0..self.len() {
            if pre[root as usize] != 0 {
                continue;
            }
            path.push(root);
            'walk: while let Some(&at) = path.last() {
                let w = at as usize;
                if pre[w] == 0 {
                    (pre[w], low[w]) = (number, number);
                    number += 1;
                    stack.push(at);
                }
                let mut itself = false;
                for next in self.successors(at) {
                    if next >= self.len() {
                        continue;
                    }
                    itself |= next == at;
                    if pre[next as usize] == 0 {
                        path.push(next);
                        continue 'walk;
                    }
                    low[w] = low[w].min(low[next as usize]);
                }
                path.pop();
                if low[w] < pre[w] {
                    continue;
                }
                let is_loop = itself || stack.last() != Some(&at);
                while let Some(member) = stack.pop() {
                    low[member as usize] = OFF_STACK;
                    if is_loop {
                        self.found.aux[member as usize].scc = component;
                    }
                    if member == at {
                        break;
                    }
                }
                component += u32::from(is_loop);
            }
        }
    }
}
