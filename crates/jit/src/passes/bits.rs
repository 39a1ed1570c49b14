//! What is known of every value: bits that are surely 0, and an upper bound.
//!
//! Computed forwards from "nothing is possible", joining at parameters until nothing
//! changes; parameters that keep changing are given up. Counted loops bound their
//! counters beforehand, which joining alone would not find. Results hold for all
//! executions; an analysis that does not settle says nothing.

use skep_isa::{Cond, Width};

use crate::ir::flow::{Dominators, Preds};
use crate::ir::{Bin, Blk, Func, Op, Term, Val};

/// Rounds until the analysis gives up, and those before parameters are widened.
const ROUNDS: u32 = 12;
const EXACT_ROUNDS: u32 = 3;
const HALF_ROUNDS: u32 = 6;

/// Known bits and bounds of all values.
pub struct Bits {
    /// Bits that are 0.
    zeros: Vec<u64>,
    /// Unsigned upper bounds.
    upper: Vec<u64>,
}

/// The lower `bits` bits.
pub fn mask(bits: u32) -> u64 {
    if bits >= 64 { u64::MAX } else { (1 << bits) - 1 }
}

/// Bits of a width.
pub fn bits_of(width: Width) -> u32 {
    match width {
        Width::W32 => 32,
        Width::W64 => 64,
    }
}

/// Bits above every number up to `upper`.
fn above(upper: u64) -> u64 {
    !mask(64 - upper.leading_zeros())
}

impl Bits {
    /// Of all values of a function.
    pub fn compute(func: &Func, preds: &Preds, dominators: &Dominators) -> Bits {
        let count = func.ops.len();
        let mut bits = Bits { zeros: vec![u64::MAX; count], upper: vec![0; count] };
        for (index, op) in func.ops.iter().enumerate() {
            if let Op::Const(number) = *op {
                (bits.zeros[index], bits.upper[index]) = (!number, number);
            }
        }
        for &param in &func.blocks[Blk::ENTRY.at()].params {
            (bits.zeros[param.at()], bits.upper[param.at()]) = (0, u64::MAX);
        }
        let counters = counters(func, preds, dominators);
        let mut seen = vec![false; func.blocks.len()];
        for round in 0..ROUNDS {
            // Whether anything is there for another round to do: what goes forwards is
            // done in the same one.
            let mut back = false;
            let mut changed = false;
            seen.fill(false);
            for &blk in &func.order {
                seen[blk.at()] = true;
                let block = &func.blocks[blk.at()];
                for &inst in &block.insts {
                    let (zeros, upper) = bits.eval(&func.ops, func.op(inst));
                    let known = (&mut bits.zeros[inst.at()], &mut bits.upper[inst.at()]);
                    changed |= (*known.0 & zeros, (*known.1).max(upper)) != (*known.0, *known.1);
                    (*known.0, *known.1) = (*known.0 & zeros, (*known.1).max(upper));
                }
                for edge in block.term.edges() {
                    for (&arg, &param) in edge.args.iter().zip(&func.blocks[edge.to.at()].params) {
                        let joined = bits.join(arg, param, counters[param.at()], round);
                        changed |= joined;
                        back |= joined && seen[edge.to.at()];
                    }
                }
            }
            if !changed || !back && round + 1 < ROUNDS {
                return bits;
            }
        }
        Bits { zeros: vec![0; count], upper: vec![u64::MAX; count] }.with_constants(func)
    }

    fn with_constants(mut self, func: &Func) -> Bits {
        for (index, op) in func.ops.iter().enumerate() {
            if let Op::Const(number) = *op {
                (self.zeros[index], self.upper[index]) = (!number, number);
            }
        }
        self
    }

    /// Lets a parameter be what an argument may be.
    fn join(&mut self, arg: Val, param: Val, bound: u64, round: u32) -> bool {
        let (zeros, upper) = (self.zeros[arg.at()], self.upper[arg.at()]);
        let old = (self.zeros[param.at()], self.upper[param.at()]);
        let mut new = (old.0 & zeros, old.1.max(upper));
        if new != old && round >= EXACT_ROUNDS {
            // First to all of the lower half, which counters of 32 bits do not leave.
            let half = new.1 >> 32 == 0 && round < HALF_ROUNDS;
            let low = mask((!new.0).trailing_zeros());
            new = if half { (low | !mask(32), mask(32)) } else { (low, u64::MAX) };
        }
        new.1 = new.1.min(bound);
        if bound != u64::MAX {
            new.0 |= above(new.1) & old.0;
        }
        (self.zeros[param.at()], self.upper[param.at()]) = new;
        new != old
    }

    /// Adds a value that was just made.
    pub fn push(&mut self, ops: &[Op], op: Op) {
        let (zeros, upper) = self.eval(ops, op);
        self.zeros.push(zeros);
        self.upper.push(upper);
    }

    /// Looks again at a value that is defined anew.
    pub fn set(&mut self, ops: &[Op], val: Val) {
        let (zeros, upper) = self.eval(ops, ops[val.at()]);
        (self.zeros[val.at()], self.upper[val.at()]) = (zeros, upper);
    }

    /// Whether a value existed when this was computed.
    pub fn knows(&self, val: Val) -> bool {
        val.at() < self.zeros.len()
    }

    /// Bits of a value that are surely 0.
    pub fn zeros(&self, val: Val) -> u64 {
        self.zeros[val.at()]
    }

    /// What a value is at most.
    pub fn upper(&self, val: Val) -> u64 {
        self.upper[val.at()]
    }

    /// Whether the upper half of a value is 0.
    pub fn is_half(&self, val: Val) -> bool {
        self.upper(val) >> 32 == 0
    }

    fn eval(&self, ops: &[Op], op: Op) -> (u64, u64) {
        let (mut zeros, mut upper) = match op {
            Op::Const(number) => (!number, number),
            Op::Bin(op, width, left, right) => self.binary(ops, op, width, left, right),
            Op::Ext { bits, signed: false, of } => {
                let kept = mask(bits.into());
                (self.zeros(of) | !kept, self.upper(of).min(kept))
            }
            Op::Ext { bits, signed: true, of } if self.zeros(of) >> (bits - 1) & 1 == 1 => {
                let kept = mask(bits.into());
                (self.zeros(of) | !kept, self.upper(of).min(kept))
            }
            Op::Swap(bits, _) => (!mask(bits.into()), u64::MAX),
            Op::Cmp(..) => (!1, 1),
            Op::Ones(_) => (!127, 64),
            Op::Select(_, yes, no) => {
                (self.zeros(yes) & self.zeros(no), self.upper(yes).max(self.upper(no)))
            }
            Op::Load { size, signed: false, .. } | Op::Acquire { size, .. } => {
                (!mask(size.bits()), u64::MAX)
            }
            Op::Atomic { size, .. } => (!mask(size.bits()), u64::MAX),
            _ => (0, u64::MAX),
        };
        upper = upper.min(!zeros);
        zeros |= above(upper);
        (zeros, upper)
    }

    fn binary(&self, ops: &[Op], op: Bin, width: Width, left: Val, right: Val) -> (u64, u64) {
        let bits = bits_of(width);
        let all = mask(bits);
        // What a 32-bit operation sees of its operands.
        let cut = |val: Val| {
            let zeros = self.zeros(val) | !all;
            let upper = self.upper(val);
            (zeros, if upper <= all { upper } else { !zeros })
        };
        let ((left_zeros, left_upper), (right_zeros, right_upper)) = (cut(left), cut(right));
        let number = match ops[right.at()] {
            Op::Const(number) => Some(number & all),
            _ => None,
        };
        let low_zeros = |zeros: u64| (!zeros).trailing_zeros();
        let (zeros, upper) = match op {
            Bin::And => (left_zeros | right_zeros, left_upper.min(right_upper)),
            Bin::Or | Bin::Xor => (left_zeros & right_zeros, all),
            Bin::Add => {
                let low = mask(low_zeros(left_zeros).min(low_zeros(right_zeros)));
                (low, left_upper.saturating_add(right_upper))
            }
            Bin::Sub => (mask(low_zeros(left_zeros).min(low_zeros(right_zeros))), all),
            Bin::Mul => {
                let low = mask((low_zeros(left_zeros) + low_zeros(right_zeros)).min(64));
                (low, left_upper.saturating_mul(right_upper))
            }
            Bin::Shl => match number {
                Some(amount) => {
                    let amount = amount as u32 & (bits - 1);
                    let fits = left_upper.leading_zeros() >= amount;
                    let upper = if fits { left_upper << amount } else { u64::MAX };
                    (left_zeros << amount | mask(amount), upper)
                }
                None => (0, all),
            },
            Bin::Shr => shift_right(left_zeros, left_upper, number, bits),
            Bin::Sar if left_zeros >> (bits - 1) & 1 == 1 => {
                shift_right(left_zeros, left_upper, number, bits)
            }
            Bin::Min => (left_zeros & right_zeros, left_upper.min(right_upper)),
            Bin::Max => (left_zeros & right_zeros, left_upper.max(right_upper)),
            Bin::Div => match number {
                Some(divisor) if divisor != 0 => (0, left_upper / divisor),
                _ => (0, left_upper),
            },
            Bin::Mod => match number {
                Some(divisor) if divisor != 0 => (0, left_upper.min(divisor - 1)),
                _ => (0, left_upper),
            },
            _ => (0, all),
        };
        // A bound above the width says that the operation may wrap.
        (zeros | !all, if upper <= all { upper } else { all })
    }
}

fn shift_right(zeros: u64, upper: u64, number: Option<u64>, bits: u32) -> (u64, u64) {
    match number {
        Some(amount) => {
            let amount = amount as u32 & (bits - 1);
            (!((!zeros & mask(bits)) >> amount), upper >> amount)
        }
        None => (0, upper),
    }
}

/// Upper bounds of parameters that count: `p = (const, p + step)`, tested against a
/// constant on every way round; `u64::MAX` for all others.
fn counters(func: &Func, preds: &Preds, dominators: &Dominators) -> Vec<u64> {
    let mut bounds = vec![u64::MAX; func.ops.len()];
    for &header in func.order.iter().filter(|&&header| header != Blk::ENTRY) {
        for (index, &param) in func.blocks[header.at()].params.iter().enumerate() {
            let counter = counter(func, preds, header, index);
            let bound =
                counter.and_then(|(counter, latch)| counter.bound(func, preds, dominators, latch));
            bounds[param.at()] = bound.unwrap_or(u64::MAX);
        }
    }
    bounds
}

/// The counter that a parameter is, and where it steps: it starts at one number
/// wherever its block is entered, steps in one place, and else stays as it is.
fn counter(func: &Func, preds: &Preds, header: Blk, index: usize) -> Option<(Counter, Blk)> {
    let param = func.blocks[header.at()].params[index];
    let (mut start, mut step) = (None, None);
    for &pred in preds.of(header) {
        for edge in func.blocks[pred.at()].term.edges().filter(|edge| edge.to == header) {
            let arg = edge.args[index];
            match func.number(arg) {
                _ if arg == param => {}
                Some(number) if number < 1 << 31 && start.is_none_or(|start| start == number) => {
                    start = Some(number);
                }
                Some(_) => return None,
                None if step.is_none_or(|step| step == (arg, pred)) => step = Some((arg, pred)),
                None => return None,
            }
        }
    }
    let (start, (next, latch)) = start.zip(step)?;
    // Bounds are small enough for steps of either width.
    let Op::Bin(Bin::Add, _, of, step) = func.op(next) else { return None };
    let step = func.number(step).filter(|step| (1..0x4000_0000).contains(step))?;
    (of == param).then_some((Counter { header, param, next, start, step }, latch))
}

struct Counter {
    header: Blk,
    param: Val,
    next: Val,
    start: u64,
    step: u64,
}

impl Counter {
    /// Walks from the latch up to the header, looking for a test that holds on the
    /// edge that goes round.
    fn bound(
        &self,
        func: &Func,
        preds: &Preds,
        dominators: &Dominators,
        latch: Blk,
    ) -> Option<u64> {
        let (mut to, mut blk) = (Some(self.header), latch);
        loop {
            if let Some(bound) = to.and_then(|to| self.test(func, blk, to)) {
                return Some(bound);
            }
            if blk == self.header || blk == Blk::ENTRY {
                return None;
            }
            // The edge into a block counts only if it is the only one.
            let above = dominators.parent[blk.at()];
            to = (preds.of(blk).len() == 1).then_some(blk);
            blk = above;
        }
    }

    fn test(&self, func: &Func, blk: Blk, to: Blk) -> Option<u64> {
        let Term::Branch { cond, left, right, yes, no, .. } = &func.blocks[blk.at()].term else {
            return None;
        };
        let limit = func.number(*right)?;
        if yes.to == no.to || limit <= self.start || limit >= 1 << 31 {
            return None;
        }
        // A 32-bit test bounds 64 bits too: steps are too small to jump over it.
        let cond = if yes.to == to { *cond } else { negate(*cond)? };
        let rounds = (limit - self.start).is_multiple_of(self.step);
        let bound = if *left == self.next {
            match cond {
                Cond::Ne if rounds => limit - self.step,
                Cond::Lt => limit - 1,
                Cond::Le => limit,
                _ => return None,
            }
        } else if *left == self.param {
            match cond {
                Cond::Ne if rounds => limit,
                Cond::Lt => limit - 1 + self.step,
                Cond::Le => limit + self.step,
                _ => return None,
            }
        } else {
            return None;
        };
        Some(bound.max(self.start))
    }
}

/// The condition that holds where this one does not.
pub fn negate(cond: Cond) -> Option<Cond> {
    Some(match cond {
        Cond::Eq => Cond::Ne,
        Cond::Ne => Cond::Eq,
        Cond::Gt => Cond::Le,
        Cond::Le => Cond::Gt,
        Cond::Ge => Cond::Lt,
        Cond::Lt => Cond::Ge,
        Cond::Sgt => Cond::Sle,
        Cond::Sle => Cond::Sgt,
        Cond::Sge => Cond::Slt,
        Cond::Slt => Cond::Sge,
        Cond::Set => return None,
    })
}

/// The condition with its operands in the other order.
pub fn mirror(cond: Cond) -> Cond {
    match cond {
        Cond::Gt => Cond::Lt,
        Cond::Lt => Cond::Gt,
        Cond::Ge => Cond::Le,
        Cond::Le => Cond::Ge,
        Cond::Sgt => Cond::Slt,
        Cond::Slt => Cond::Sgt,
        Cond::Sge => Cond::Sle,
        Cond::Sle => Cond::Sge,
        Cond::Eq | Cond::Ne | Cond::Set => cond,
    }
}
