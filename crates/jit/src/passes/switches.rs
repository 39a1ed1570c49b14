//! Chains and trees of comparisons of one value with constants become a switch, which
//! the back end makes a table of. Targets get blocks of their own, so that the edges
//! of a switch carry no arguments.

use skep_isa::{Cond, Width};

use crate::ir::flow::Preds;
use crate::ir::{Blk, Block, Edge, Func, Op, Term, Val};

/// Cases that make a switch worth it, and comparisons that are followed. With fewer, a
/// tree of comparisons is as fast and better predicted than a jump through a table.
const FEWEST: usize = 24;
const MOST: usize = 512;
/// Numbers in a row that lead to the same place and still count as cases.
const NARROW: u64 = 4;
/// Table entries for each case, at most.
const SPARSE: u64 = 8;

/// Finds switches in a function.
pub fn run(func: &mut Func) {
    let preds = func.preds();
    let mut swallowed = vec![false; func.blocks.len()];
    for root in func.order.clone() {
        if swallowed[root.at()] {
            continue;
        }
        let Term::Branch { width, left, .. } = func.blocks[root.at()].term else { continue };
        let high = if width == Width::W64 { u64::MAX } else { u32::MAX.into() };
        let mut tree = Tree { func, preds: &preds, on: left, width, leaves: vec![], tests: vec![] };
        if !tree.split(root, 0, high) {
            continue;
        }
        let Tree { leaves, tests, .. } = tree;
        if build(func, root, left, width, leaves) {
            tests.into_iter().for_each(|test| swallowed[test.at()] = true);
        }
    }
    func.compute_order();
}

/// What a tree of comparisons makes of every number.
struct Tree<'f> {
    func: &'f Func,
    preds: &'f Preds,
    on: Val,
    width: Width,
    /// From, to, and where that leads.
    leaves: Vec<(u64, u64, Edge)>,
    tests: Vec<Blk>,
}

impl Tree<'_> {
    /// Splits an interval by the comparison that a block ends with; `false` where it is
    /// none of this value.
    fn split(&mut self, blk: Blk, low: u64, high: u64) -> bool {
        let func = self.func;
        let Term::Branch { cond, width, left, right, yes, no } = &func.blocks[blk.at()].term else {
            return false;
        };
        let Some(number) = func.number(*right) else { return false };
        let number = if self.width == Width::W64 { number } else { number & 0xffff_ffff };
        if *left != self.on || *width != self.width || self.tests.len() >= MOST {
            return false;
        }
        // Below, at, and above the number.
        let (below, at, above) = match cond {
            Cond::Eq => (no, yes, no),
            Cond::Ne => (yes, no, yes),
            Cond::Lt => (yes, no, no),
            Cond::Le => (yes, yes, no),
            Cond::Gt => (no, no, yes),
            Cond::Ge => (no, yes, yes),
            _ => return false,
        };
        self.tests.push(blk);
        if let Some(before) = number.checked_sub(1) {
            self.follow(below, low, high.min(before));
        }
        self.follow(at, low.max(number), high.min(number));
        if let Some(after) = number.checked_add(1) {
            self.follow(above, low.max(after), high);
        }
        true
    }

    fn follow(&mut self, edge: &Edge, low: u64, high: u64) {
        if low > high {
            return;
        }
        let next = &self.func.blocks[edge.to.at()];
        let inner =
            next.insts.is_empty() && next.params.is_empty() && self.preds.of(edge.to).len() == 1;
        if !(inner && self.split(edge.to, low, high)) {
            self.leaves.push((low, high, edge.clone()));
        }
    }
}

fn build(
    func: &mut Func,
    root: Blk,
    on: Val,
    width: Width,
    mut leaves: Vec<(u64, u64, Edge)>,
) -> bool {
    // Tests may have been met twice, once for each side of a number.
    leaves.sort_by_key(|leaf| leaf.0);
    let narrow = |leaf: &&(u64, u64, Edge)| leaf.1 - leaf.0 < NARROW;
    let Some(default) = leaves.iter().find(|leaf| !narrow(leaf)).map(|leaf| leaf.2.clone()) else {
        return false;
    };
    let others = leaves.iter().filter(|leaf| !narrow(leaf));
    let cases: Vec<(u64, Edge)> = leaves
        .iter()
        .filter(narrow)
        .filter(|leaf| leaf.2 != default)
        .flat_map(|leaf| (leaf.0..=leaf.1).map(|number| (number, leaf.2.clone())))
        .collect();
    let (Some(first), Some(last)) = (cases.first(), cases.last()) else { return false };
    if cases.len() < FEWEST
        || others.clone().any(|leaf| leaf.2 != default)
        || last.0 - first.0 > SPARSE * cases.len() as u64
    {
        return false;
    }
    let mut known: Vec<(Edge, Blk)> = Vec::new();
    let mut target = |func: &mut Func, edge: &Edge| {
        let to = match known.iter().find(|(other, _)| other == edge) {
            Some(&(_, blk)) => blk,
            None => {
                let term = Term::Jump(edge.clone());
                func.blocks.push(Block { params: vec![], insts: vec![], term });
                let blk = Blk(func.blocks.len() as u32 - 1);
                known.push((edge.clone(), blk));
                blk
            }
        };
        Edge { to, args: Vec::new() }
    };
    let default = target(func, &default);
    let cases = cases.iter().map(|(number, edge)| (*number, target(func, edge))).collect();
    let mut on = on;
    if width == Width::W32 {
        on = func.push(Op::Ext { bits: 32, signed: false, of: on }, 0);
        func.blocks[root.at()].insts.push(on);
    }
    func.blocks[root.at()].term = Term::Switch { on, cases, default };
    true
}
