//! Branches that earlier branches decide: by the same comparison, by bounds of the
//! values, or by a sum that is at least as far from the limit (`p + 4 <= end` after
//! `p + 8 <= end`, where neither can wrap).

use skep_isa::{Cond, Width};

use super::bits::{Bits, mirror, negate};
use crate::ir::flow::{Dominators, Preds};
use crate::ir::{Bin, Blk, Exit, Func, Op, Term, Val};

/// Conditions that a branch is compared with: the closest ones.
const FACTS: usize = 32;
/// Terms of a sum that is taken apart.
const TERMS: usize = 6;
/// Bounds below this can be added without wrapping.
const SMALL: u64 = 1 << 60;

/// Decides branches of a function.
pub fn run(func: &mut Func) {
    let preds = func.preds();
    let dominators = Dominators::new(func, &preds);
    let bits = Bits::compute(func, &preds, &dominators);
    let mut changed = false;
    for blk in func.order.clone() {
        let &Term::Branch { cond, width, left, right, .. } = &func.blocks[blk.at()].term else {
            continue;
        };
        let mut ranges = Ranges { func, bits: &bits, facts: Vec::new() };
        ranges.gather(blk, &preds, &dominators);
        let Some(holds) = ranges.decide(cond, width, left, right) else { continue };
        let trap = Term::Trap(Exit::BadJump, 0);
        if let Term::Branch { yes, no, .. } =
            std::mem::replace(&mut func.blocks[blk.at()].term, trap)
        {
            func.blocks[blk.at()].term = Term::Jump(if holds { yes } else { no });
        }
        changed = true;
    }
    if changed {
        func.compute_order();
    }
}

/// A comparison of 64-bit numbers that holds.
#[derive(Clone, Copy)]
struct Fact {
    cond: Cond,
    left: Val,
    right: Val,
}

/// What holds where control is, of branches on the way there.
pub struct Ranges<'f> {
    func: &'f Func,
    bits: &'f Bits,
    facts: Vec<Fact>,
}

/// A sum: values and a constant.
struct Sum {
    terms: Vec<Val>,
    plus: i128,
}

impl<'f> Ranges<'f> {
    /// Where control goes from one block to another.
    pub fn on_edge(
        func: &'f Func,
        bits: &'f Bits,
        (from, to): (Blk, Blk),
        preds: &Preds,
        dominators: &Dominators,
    ) -> Ranges<'f> {
        let mut ranges = Ranges { func, bits, facts: Vec::new() };
        ranges.learn(from, to);
        ranges.gather(from, preds, dominators);
        ranges
    }

    /// Collects what branches on the way to a block say.
    fn gather(&mut self, mut blk: Blk, preds: &Preds, dominators: &Dominators) {
        while blk != Blk::ENTRY && self.facts.len() < FACTS {
            let above = dominators.parent[blk.at()];
            if let [pred] = *preds.of(blk) {
                self.learn(pred, blk);
            }
            blk = above;
        }
    }

    /// What the end of a block says where control goes on there.
    fn learn(&mut self, from: Blk, to: Blk) {
        if let &Term::Branch { cond, width, left, right, ref yes, ref no } =
            &self.func.blocks[from.at()].term
            && yes.to != no.to
            && self.is_wide(cond, width, left, right)
        {
            let cond = if yes.to == to { Some(cond) } else { negate(cond) };
            let fact = cond.filter(|cond| *cond != Cond::Set);
            self.facts.extend(fact.map(|cond| Fact { cond, left, right }));
        }
    }

    /// Whether a comparison says the same of whole 64-bit values.
    fn is_wide(&self, cond: Cond, width: Width, left: Val, right: Val) -> bool {
        let signed = matches!(cond, Cond::Slt | Cond::Sle | Cond::Sgt | Cond::Sge);
        width == Width::W64 || !signed && self.bits.is_half(left) && self.bits.is_half(right)
    }

    /// Whether a comparison holds, if that is known.
    pub fn decide(&self, cond: Cond, width: Width, left: Val, right: Val) -> Option<bool> {
        if cond == Cond::Set || !self.is_wide(cond, width, left, right) {
            return None;
        }
        if let Some(holds) = self.same_comparison(cond, left, right) {
            return Some(holds);
        }
        match cond {
            Cond::Eq | Cond::Ne => {
                let differ = self.less(left, right, 1) || self.less(right, left, 1);
                differ.then_some(cond == Cond::Ne)
            }
            Cond::Lt => self.order(left, right, 1, 0),
            Cond::Le => self.order(left, right, 0, 1),
            Cond::Gt => self.order(right, left, 1, 0),
            Cond::Ge => self.order(right, left, 0, 1),
            _ => None,
        }
    }

    /// Whether `high - low >= by` always, or `low - high >= other` always.
    fn order(&self, low: Val, high: Val, by: i128, other: i128) -> Option<bool> {
        if self.less(low, high, by) {
            return Some(true);
        }
        self.less(high, low, other).then_some(false)
    }

    fn same_comparison(&self, cond: Cond, left: Val, right: Val) -> Option<bool> {
        for fact in &self.facts {
            let known = match (fact.left == left, fact.right == right) {
                (true, true) => fact.cond,
                _ if fact.left == right && fact.right == left => mirror(fact.cond),
                _ => continue,
            };
            if known == cond {
                return Some(true);
            }
            if negate(known) == Some(cond) {
                return Some(false);
            }
            let holds = match (known, cond) {
                (Cond::Eq, Cond::Le | Cond::Ge | Cond::Sle | Cond::Sge) => true,
                (Cond::Lt, Cond::Le | Cond::Ne) | (Cond::Gt, Cond::Ge | Cond::Ne) => true,
                (Cond::Slt, Cond::Sle | Cond::Ne) | (Cond::Sgt, Cond::Sge | Cond::Ne) => true,
                (Cond::Eq, Cond::Lt | Cond::Gt | Cond::Slt | Cond::Sgt) => false,
                (Cond::Lt, Cond::Eq | Cond::Gt) | (Cond::Gt, Cond::Eq | Cond::Lt) => false,
                (Cond::Slt, Cond::Eq | Cond::Sgt) | (Cond::Sgt, Cond::Eq | Cond::Slt) => false,
                _ => continue,
            };
            return Some(holds);
        }
        None
    }

    /// Whether `high - low >= by`, as numbers without end.
    fn less(&self, low: Val, high: Val, by: i128) -> bool {
        if self.lower(high) - self.upper(low) >= by {
            return true;
        }
        // Sums are only sums while nothing wraps.
        if self.upper(low) >= SMALL.into() || self.upper(high) >= SMALL.into() {
            return false;
        }
        let (low, high) = (self.sum(low), self.sum(high));
        self.facts.iter().any(|fact| {
            let (fact_low, fact_high, gap) = match fact.cond {
                Cond::Le => (fact.left, fact.right, 0),
                Cond::Lt => (fact.left, fact.right, 1),
                Cond::Ge => (fact.right, fact.left, 0),
                Cond::Gt => (fact.right, fact.left, 1),
                _ => return false,
            };
            if self.upper(fact_low) >= SMALL.into() || self.upper(fact_high) >= SMALL.into() {
                return false;
            }
            let (fact_low, fact_high) = (self.sum(fact_low), self.sum(fact_high));
            // high = fact_high + a, low = fact_low + b, with a - b known from below.
            let (Some(above), Some(below)) =
                (without(&high.terms, &fact_high.terms), without(&fact_low.terms, &low.terms))
            else {
                return false;
            };
            let extra = without(&low.terms, &fact_low.terms);
            let Some(extra) = extra.filter(|_| above.is_empty() && below.is_empty()) else {
                return false;
            };
            let extra: i128 = extra.iter().map(|&val| self.upper(val)).sum();
            (high.plus - fact_high.plus) + gap - (low.plus - fact_low.plus) - extra >= by
        })
    }

    fn sum(&self, val: Val) -> Sum {
        let mut sum = Sum { terms: Vec::new(), plus: 0 };
        let mut work = vec![val];
        while let Some(val) = work.pop() {
            match self.func.op(val) {
                Op::Const(number) if number < SMALL => sum.plus += i128::from(number),
                // Parts that are small add up without wrapping.
                Op::Bin(Bin::Add, Width::W64, left, right)
                    if sum.terms.len() + work.len() < TERMS
                        && self.upper(left) < SMALL.into()
                        && self.upper(right) < SMALL.into() =>
                {
                    work.extend([left, right]);
                }
                _ => sum.terms.push(val),
            }
        }
        sum.terms.sort_unstable();
        sum
    }

    fn upper(&self, val: Val) -> i128 {
        let mut upper = self.bits.upper(val);
        for (cond, number) in self.bounds(val) {
            match cond {
                Cond::Le | Cond::Eq => upper = upper.min(number),
                Cond::Lt => upper = upper.min(number.saturating_sub(1)),
                _ => {}
            }
        }
        upper.into()
    }

    fn lower(&self, val: Val) -> i128 {
        let mut lower = self.func.number(val).unwrap_or(0);
        for (cond, number) in self.bounds(val) {
            match cond {
                Cond::Ge | Cond::Eq => lower = lower.max(number),
                Cond::Gt => lower = lower.max(number.saturating_add(1)),
                _ => {}
            }
        }
        lower.into()
    }

    /// Facts that compare a value with a constant.
    fn bounds(&self, val: Val) -> impl Iterator<Item = (Cond, u64)> {
        self.facts.iter().filter_map(move |fact| {
            if fact.left == val {
                self.func.number(fact.right).map(|number| (fact.cond, number))
            } else if fact.right == val {
                self.func.number(fact.left).map(|number| (mirror(fact.cond), number))
            } else {
                None
            }
        })
    }
}

/// The terms of the first without those of the second; `None` where the second has one
/// that the first has not.
fn without(all: &[Val], those: &[Val]) -> Option<Vec<Val>> {
    let mut rest = all.to_vec();
    for val in those {
        let at = rest.iter().position(|other| other == val)?;
        rest.remove(at);
    }
    Some(rest)
}
