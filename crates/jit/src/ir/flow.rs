//! The shape of control flow: order, predecessors, dominators.

use super::{Blk, Func};

impl Func {
    /// Computes the reverse post-order; blocks outside of it are unreachable.
    pub fn compute_order(&mut self) {
        let mut seen = vec![false; self.blocks.len()];
        let mut post = Vec::with_capacity(self.blocks.len());
        let successors = |blk: Blk| self.blocks[blk.at()].term.edges().map(|edge| edge.to);
        seen[Blk::ENTRY.at()] = true;
        let mut path = vec![(Blk::ENTRY, successors(Blk::ENTRY))];
        while let Some((blk, left)) = path.last_mut() {
            match left.next() {
                Some(to) if !std::mem::replace(&mut seen[to.at()], true) => {
                    path.push((to, successors(to)));
                }
                Some(_) => {}
                None => {
                    post.push(*blk);
                    path.pop();
                }
            }
        }
        post.reverse();
        self.order = post;
    }

    /// Whether a block leads back to one that precedes it in the order, or to itself.
    pub fn has_loops(&self) -> bool {
        let mut seen = vec![false; self.blocks.len()];
        self.order.iter().any(|blk| {
            seen[blk.at()] = true;
            self.blocks[blk.at()].term.edges().any(|edge| seen[edge.to.at()])
        })
    }

    /// The predecessors of every block, one entry for each edge.
    pub fn preds(&self) -> Preds {
        let mut starts = vec![0u32; self.blocks.len() + 1];
        let edges = || {
            let blocks = self.order.iter();
            blocks.flat_map(|&from| {
                self.blocks[from.at()].term.edges().map(move |edge| (from, edge.to))
            })
        };
        for (_, to) in edges() {
            starts[to.at() + 1] += 1;
        }
        for index in 1..starts.len() {
            starts[index] += starts[index - 1];
        }
        let mut next = starts.clone();
        let mut list = vec![Blk::ENTRY; starts[self.blocks.len()] as usize];
        for (from, to) in edges() {
            list[next[to.at()] as usize] = from;
            next[to.at()] += 1;
        }
        Preds { starts, list }
    }
}

/// Predecessors of every block.
pub struct Preds {
    starts: Vec<u32>,
    list: Vec<Blk>,
}

impl Preds {
    /// Those of one block, one for each edge.
    pub fn of(&self, blk: Blk) -> &[Blk] {
        &self.list[self.starts[blk.at()] as usize..self.starts[blk.at() + 1] as usize]
    }
}

/// The dominator tree (Cooper, Harvey and Kennedy's iteration), numbered so that
/// asking takes two comparisons.
pub struct Dominators {
    /// The closest dominator; the entry's is itself.
    pub parent: Vec<Blk>,
    enter: Vec<u32>,
    leave: Vec<u32>,
}

impl Dominators {
    /// Of a function with a current order.
    pub fn new(func: &Func, preds: &Preds) -> Dominators {
        const NONE: u32 = u32::MAX;
        let count = func.blocks.len();
        let mut place = vec![NONE; count];
        for (index, blk) in func.order.iter().enumerate() {
            place[blk.at()] = index as u32;
        }
        // In order numbers, so that a dominator's is always smaller.
        let mut parent = vec![NONE; func.order.len()];
        parent[0] = 0;
        let mut changed = true;
        while changed {
            changed = false;
            for (index, &blk) in func.order.iter().enumerate().skip(1) {
                let mut found = NONE;
                for pred in preds.of(blk) {
                    let mut pred = place[pred.at()];
                    if parent[pred as usize] == NONE {
                        continue;
                    }
                    if found == NONE {
                        found = pred;
                    }
                    while found != pred {
                        while pred > found {
                            pred = parent[pred as usize];
                        }
                        while found > pred {
                            found = parent[found as usize];
                        }
                    }
                }
                changed |= parent[index] != found;
                parent[index] = found;
            }
        }
        // Sizes of subtrees, then intervals from the root down.
        let mut size = vec![1u32; parent.len()];
        for index in (1..parent.len()).rev() {
            size[parent[index] as usize] += size[index];
        }
        let mut dominators = Dominators {
            parent: vec![Blk::ENTRY; count],
            enter: vec![0; count],
            leave: vec![0; count],
        };
        let mut next = vec![0u32; parent.len()];
        for (index, &blk) in func.order.iter().enumerate() {
            let above = parent[index] as usize;
            let enter = if index == 0 { 0 } else { next[above] };
            if index > 0 {
                next[above] += size[index];
            }
            next[index] = enter + 1;
            dominators.parent[blk.at()] = func.order[above];
            dominators.enter[blk.at()] = enter;
            dominators.leave[blk.at()] = enter + size[index];
        }
        dominators
    }

    /// Whether every way to `below` leads over `above`.
    pub fn dominates(&self, above: Blk, below: Blk) -> bool {
        let at = self.enter[below.at()];
        self.enter[above.at()] <= at && at < self.leave[above.at()]
    }
}
