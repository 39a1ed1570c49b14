//! Jump threading: where a block does little but branch on what the way there has
//! decided already (a flag, a return code of an inlined function, a check made before),
//! that way gets a copy of the block which goes straight on.
//!
//! Heads of loops are left alone, so that loops keep one entry. Values that the block
//! defines come from several places afterwards: blocks behind it get parameters for
//! them where ways meet (Braun et al., on-demand construction).

use std::collections::VecDeque;

use rustc_hash::FxHashMap;
use skep_isa::condition;

use super::bits::{Bits, mask};
use super::ranges::Ranges;
use crate::ir::flow::{Dominators, Preds};
use crate::ir::{Blk, Block, Edge, Func, Op, Term, Val};

/// Operations of a block that is copied, copies that one block gets, and blocks of a
/// function that get some: each is a walk through all of it.
const LARGEST: usize = 4;
const COPIES: usize = 3;
const BLOCKS: usize = 32;
/// Ways into a block that are looked at.
const WAYS: usize = 64;

/// Leads ways past branches that they decide.
pub fn run(func: &mut Func) {
    let preds = func.preds();
    let may = |&blk: &Blk| preds.of(blk).len() > 1 && is_small(func, blk);
    let mut candidates: Vec<Blk> = func.order.iter().copied().filter(may).collect();
    if candidates.is_empty() {
        return;
    }
    let dominators = Dominators::new(func, &preds);
    candidates.retain(|&blk| {
        let mut ways = preds.of(blk).iter();
        ways.len() <= WAYS && !ways.any(|&pred| dominators.dominates(blk, pred))
    });
    if candidates.is_empty() {
        return;
    }
    let bits = Bits::compute(func, &preds, &dominators);
    let decided = candidates.into_iter().filter_map(|blk| {
        let ways = decided_ways(func, blk, &preds, &dominators, &bits);
        (!ways.is_empty()).then_some((blk, ways))
    });
    // What is decided stays so whatever other ways are led past.
    for (blk, ways) in decided.take(BLOCKS).collect::<Vec<_>>() {
        thread(func, blk, &ways);
    }
}

fn is_small(func: &Func, blk: Blk) -> bool {
    let block = &func.blocks[blk.at()];
    let calls =
        |&inst: &Val| func.op(inst).calls_host() || matches!(func.op(inst), Op::Call { .. });
    matches!(block.term, Term::Branch { .. } | Term::Switch { .. })
        && block.insts.len() <= LARGEST
        && !block.insts.iter().any(calls)
}

/// An edge into a block, and which of the block's edges it leads to.
struct Way {
    from: Blk,
    /// Among the edges of `from`.
    edge: usize,
    /// Among the edges of the block.
    out: usize,
}

fn decided_ways(
    func: &Func,
    blk: Blk,
    preds: &Preds,
    dominators: &Dominators,
    bits: &Bits,
) -> Vec<Way> {
    let mut ways: Vec<Way> = Vec::new();
    let mut outs: Vec<usize> = Vec::new();
    let mut from: Vec<Blk> = preds.of(blk).to_vec();
    from.sort_unstable();
    from.dedup();
    for from in from {
        for (edge, way) in func.blocks[from.at()].term.edges().enumerate() {
            if way.to != blk {
                continue;
            }
            let facts = || Ranges::on_edge(func, bits, (from, blk), preds, dominators);
            let Some(out) = decide(func, blk, way, facts) else { continue };
            if !outs.contains(&out) {
                if outs.len() == COPIES {
                    continue;
                }
                outs.push(out);
            }
            ways.push(Way { from, edge, out });
        }
    }
    ways
}

/// Which of its edges a block takes where it is entered by this one.
fn decide<'f>(
    func: &'f Func,
    blk: Blk,
    way: &Edge,
    facts: impl FnOnce() -> Ranges<'f>,
) -> Option<usize> {
    let block = &func.blocks[blk.at()];
    let param = |val: Val| block.params.iter().position(|&param| param == val);
    let name = |val: Val| param(val).map_or(val, |index| way.args[index]);
    let mut numbers: Vec<(Val, u64)> = Vec::new();
    let number = |numbers: &[(Val, u64)], val: Val| {
        let computed = numbers.iter().find(|(known, _)| *known == val);
        computed.map(|&(_, number)| number).or_else(|| func.number(name(val)))
    };
    for &inst in &block.insts {
        if let Some(result) = evaluate(func.op(inst), |val| number(&numbers, val)) {
            numbers.push((inst, result));
        }
    }
    match &block.term {
        Term::Branch { cond, width, left, right, .. } => {
            let holds = match (number(&numbers, *left), number(&numbers, *right)) {
                (Some(left), Some(right)) => condition(*cond, *width, left, right),
                _ if block.insts.contains(left) || block.insts.contains(right) => return None,
                _ => facts().decide(*cond, *width, name(*left), name(*right))?,
            };
            Some(if holds { 0 } else { 1 })
        }
        Term::Switch { on, cases, .. } => {
            let on = number(&numbers, *on)?;
            Some(cases.iter().position(|&(case, _)| case == on).unwrap_or(cases.len()))
        }
        _ => None,
    }
}

/// The number that an operation gives on numbers.
fn evaluate(op: Op, number: impl Fn(Val) -> Option<u64>) -> Option<u64> {
    match op {
        Op::Bin(op, width, left, right) => Some(op.eval(width, number(left)?, number(right)?)),
        Op::Cmp(cond, width, left, right) => {
            Some(condition(cond, width, number(left)?, number(right)?).into())
        }
        Op::Select(test, yes, no) => match number(test)? {
            0 => number(no),
            _ => number(yes),
        },
        Op::Ext { bits, signed, of } => {
            let number = number(of)?;
            let unused = 64 - u32::from(bits);
            Some(match signed {
                true => ((number << unused) as i64 >> unused) as u64,
                false => number & mask(bits.into()),
            })
        }
        _ => None,
    }
}

/// A copy of a block, and what its values are called in it.
struct Copied {
    blk: Blk,
    out: usize,
    names: Vec<(Val, Val)>,
}

impl Copied {
    fn name(&self, val: Val) -> Val {
        self.names.iter().find(|(from, _)| *from == val).map_or(val, |&(_, to)| to)
    }
}

/// Leads ways to copies of the block that end in a jump.
fn thread(func: &mut Func, blk: Blk, ways: &[Way]) {
    let mut copies: Vec<Copied> = Vec::new();
    for way in ways {
        let copy = match copies.iter().find(|copy| copy.out == way.out) {
            Some(copy) => copy.blk,
            None => {
                let copy = copy(func, blk, way.out);
                copies.push(copy);
                copies[copies.len() - 1].blk
            }
        };
        let edge = func.blocks[way.from.at()].term.edges_mut().nth(way.edge);
        edge.into_iter().for_each(|edge| edge.to = copy);
    }
    func.compute_order();
    Repair::new(func, blk, &copies).run();
}

fn copy(func: &mut Func, blk: Blk, out: usize) -> Copied {
    let Block { params, insts, term } = func.blocks[blk.at()].clone();
    let mut copied = Copied { blk: Blk(func.blocks.len() as u32), out, names: Vec::new() };
    for &val in params.iter().chain(&insts) {
        let mut op = func.op(val);
        op.map(|val| copied.name(val));
        let made = func.push(op, func.pcs[val.at()]);
        copied.names.push((val, made));
    }
    let term = match term.edges().nth(out) {
        Some(edge) => {
            let args = edge.args.iter().map(|&arg| copied.name(arg)).collect();
            Term::Jump(Edge { to: edge.to, args })
        }
        None => term,
    };
    let named = |vals: &[Val]| vals.iter().map(|&val| copied.name(val)).collect();
    let block = Block { params: named(&params), insts: named(&insts), term };
    func.blocks.push(block);
    copied
}

/// Makes uses of a block's values right that its copies lead to as well.
struct Repair<'f> {
    func: &'f mut Func,
    blk: Blk,
    copies: &'f [Copied],
    preds: Preds,
    /// What a value is at the start of a block.
    known: FxHashMap<(Blk, Val), Val>,
    /// Blocks with a parameter for a value whose arguments are still to be given, in the
    /// order of the parameters.
    work: VecDeque<(Blk, Val)>,
}

impl<'f> Repair<'f> {
    fn new(func: &'f mut Func, blk: Blk, copies: &'f [Copied]) -> Repair<'f> {
        let preds = func.preds();
        Repair { func, blk, copies, preds, known: FxHashMap::default(), work: VecDeque::new() }
    }

    fn run(mut self) {
        let block = &self.func.blocks[self.blk.at()];
        let mut own = vec![false; self.func.ops.len()];
        block.params.iter().chain(&block.insts).for_each(|val| own[val.at()] = true);
        let is_own = |val: Val| own.get(val.at()).copied().unwrap_or(false);
        for blk in self.func.order.clone() {
            if blk == self.blk {
                continue;
            }
            for index in 0..self.func.blocks[blk.at()].insts.len() {
                let inst = self.func.blocks[blk.at()].insts[index];
                let mut op = self.func.op(inst);
                op.map(|val| if is_own(val) { self.at_start(blk, val) } else { val });
                self.func.ops[inst.at()] = op;
            }
            let trap = Term::Trap(crate::ir::Exit::BadJump, 0);
            let mut term = std::mem::replace(&mut self.func.blocks[blk.at()].term, trap);
            term.map(|val| if is_own(val) { self.at_start(blk, val) } else { val });
            self.func.blocks[blk.at()].term = term;
        }
        while let Some((blk, val)) = self.work.pop_front() {
            let mut from: Vec<Blk> = self.preds.of(blk).to_vec();
            from.sort_unstable();
            from.dedup();
            for from in from {
                let arg = self.at_end(from, val);
                let edges = self.func.blocks[from.at()].term.edges_mut();
                edges.filter(|edge| edge.to == blk).for_each(|edge| edge.args.push(arg));
            }
        }
    }

    fn at_end(&mut self, blk: Blk, val: Val) -> Val {
        if blk == self.blk {
            return val;
        }
        match self.copies.iter().find(|copy| copy.blk == blk) {
            Some(copy) => copy.name(val),
            None => self.at_start(blk, val),
        }
    }

    /// What one of the block's values is where another block starts that every way to
    /// leads over the block or a copy.
    fn at_start(&mut self, blk: Blk, val: Val) -> Val {
        let mut chain = vec![blk];
        let found = loop {
            let first = chain[chain.len() - 1];
            if let Some(&known) = self.known.get(&(first, val)) {
                break known;
            }
            match *self.preds.of(first) {
                [pred] if self.defines(pred) => break self.at_end(pred, val),
                [pred] => chain.push(pred),
                _ => {
                    let param = self.func.push(Op::Param, self.func.pcs[val.at()]);
                    self.func.blocks[first.at()].params.push(param);
                    self.work.push_back((first, val));
                    break param;
                }
            }
        };
        self.known.extend(chain.into_iter().map(|blk| ((blk, val), found)));
        found
    }

    fn defines(&self, blk: Blk) -> bool {
        blk == self.blk || self.copies.iter().any(|copy| copy.blk == blk)
    }
}
