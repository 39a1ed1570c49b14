//! Simplification: each value is made anew from simplified operands by the rules of
//! `rules`, and equal values are computed once (where one dominates the other).
//!
//! The first operand stays where the instruction had it: it is the one that a
//! two-address machine overwrites. Only constants move to the right.

use rustc_hash::{FxBuildHasher, FxHashMap};
use skep_isa::{Cond, Pc, Width, condition};

use super::bits::{Bits, mirror, negate};
use crate::ir::flow::Dominators;
use crate::ir::{Bin, Blk, Forward, Func, Op, Term, Val};

/// Different constants that a function has at most, as a rule.
const CONSTANTS: usize = 56;

/// Simplifies every value and branch.
pub fn run(func: &mut Func) {
    simplify(func, false);
}

/// The same, and divisions by constants become what the machine does faster. Before,
/// divisions are easier to compare.
pub fn last(func: &mut Func) {
    simplify(func, true);
}

fn simplify(func: &mut Func, last: bool) {
    let preds = func.preds();
    let dominators = Dominators::new(func, &preds);
    let bits = Bits::compute(func, &preds, &dominators);
    let uses = func.uses();
    let forward = Forward::new(func.ops.len());
    let mut home = vec![Blk::ENTRY; func.ops.len()];
    let mut insts = 0;
    for &blk in &func.order {
        insts += func.blocks[blk.at()].insts.len();
        func.blocks[blk.at()].insts.iter().for_each(|inst| home[inst.at()] = blk);
    }
    let mut simplify = Simplify {
        func,
        bits,
        dominators,
        forward,
        known: FxHashMap::with_capacity_and_hasher(insts, FxBuildHasher),
        constants: FxHashMap::with_capacity_and_hasher(CONSTANTS, FxBuildHasher),
        home,
        uses,
        blk: Blk::ENTRY,
        pc: 0,
        out: Vec::new(),
        last,
        decided: false,
    };
    for index in 0..simplify.func.ops.len() as u32 {
        if let Op::Const(number) = simplify.func.op(Val(index)) {
            let first = *simplify.constants.entry(number).or_insert(Val(index));
            simplify.forward.set(Val(index), first);
        }
    }
    for blk in simplify.func.order.clone() {
        simplify.block(blk);
    }
    let Simplify { func, mut forward, decided, .. } = simplify;
    // Branches that were decided cut blocks off.
    if decided {
        func.compute_order();
    }
    func.forward(&mut forward);
}

pub struct Simplify<'f> {
    pub func: &'f mut Func,
    pub bits: Bits,
    dominators: Dominators,
    forward: Forward,
    /// The last value with each definition.
    known: FxHashMap<Op, Val>,
    constants: FxHashMap<u64, Val>,
    home: Vec<Blk>,
    pub uses: Vec<u32>,
    blk: Blk,
    pc: Pc,
    out: Vec<Val>,
    /// Whether divisions by constants are written out.
    pub last: bool,
    /// Whether a branch was decided.
    decided: bool,
}

impl Simplify<'_> {
    fn block(&mut self, blk: Blk) {
        self.blk = blk;
        let mut insts = std::mem::take(&mut self.func.blocks[blk.at()].insts);
        for inst in insts.drain(..) {
            self.pc = self.func.pcs[inst.at()];
            let mut op = self.func.op(inst);
            op.map(|val| self.forward.find(val));
            match op {
                Op::Const(_) | Op::Param => {}
                Op::Load { .. } | Op::Store { .. } | Op::Atomic { .. } => {
                    self.func.ops[inst.at()] = self.access(op);
                    self.out.push(inst);
                }
                _ if !op.is_pure() => {
                    self.func.ops[inst.at()] = op;
                    self.out.push(inst);
                }
                _ => {
                    let val = match self.rewrite(op) {
                        Ok(val) => val,
                        Err(op) => self.intern(op, Some(inst)),
                    };
                    if val != inst {
                        self.forward.set(inst, val);
                        self.uses[val.at()] += self.uses[inst.at()];
                    }
                }
            }
        }
        self.func.blocks[blk.at()].insts = std::mem::replace(&mut self.out, insts);
        let jump = Term::Trap(crate::ir::Exit::BadJump, self.pc);
        let mut term = std::mem::replace(&mut self.func.blocks[blk.at()].term, jump);
        term.map(|val| self.forward.find(val));
        if let Term::Branch { cond, width, left, right, yes, no } = term {
            let (cond, width, left, right) = self.comparison(cond, width, left, right);
            let holds = self.decide(cond, width, left, right);
            self.decided |= holds.is_some();
            term = match holds {
                Some(true) => Term::Jump(yes),
                Some(false) => Term::Jump(no),
                None => Term::Branch { cond, width, left, right, yes, no },
            };
        }
        // What the branch needed was made at the block's end.
        self.func.blocks[blk.at()].insts.append(&mut self.out);
        self.func.blocks[blk.at()].term = term;
    }

    /// Moves constants from the base into the offset, and drops what a narrow store
    /// cuts off.
    fn access(&mut self, mut op: Op) -> Op {
        if let Op::Load { base, off, .. }
        | Op::Store { base, off, .. }
        | Op::Atomic { base, off, .. } = &mut op
        {
            while let Op::Bin(Bin::Add, Width::W64, of, more) = self.func.op(*base)
                && let Some(more) = self.func.number(more)
                && let Ok(more) = i32::try_from(more as i64)
                && let Some(sum) = off.checked_add(more).filter(|sum| sum.unsigned_abs() < 1 << 30)
            {
                (*base, *off) = (of, sum);
            }
        }
        if let Op::Store { size, value, .. } = &mut op
            && size.bits() < 64
        {
            *value = self.low(*value, size.bits());
        }
        op
    }

    /// A constant.
    pub fn constant(&mut self, number: u64) -> Val {
        if let Some(&val) = self.constants.get(&number) {
            return val;
        }
        let val = self.add(Op::Const(number));
        self.constants.insert(number, val);
        val
    }

    fn add(&mut self, op: Op) -> Val {
        self.bits.push(&self.func.ops, op);
        let val = self.func.push(op, self.pc);
        self.forward.grow(self.func.ops.len());
        self.home.push(self.blk);
        self.uses.push(0);
        val
    }

    /// A value that equals `op`: a simpler one, one that is there already, or a new one.
    pub fn make(&mut self, op: Op) -> Val {
        match self.rewrite(op) {
            Ok(val) => val,
            Err(op) => self.intern(op, None),
        }
    }

    /// The value with this definition: one that is there, or `own`, which is what it
    /// is made for, or a new one.
    fn intern(&mut self, op: Op, own: Option<Val>) -> Val {
        let key = match op {
            Op::Bin(op, width, left, right) if op.commutes() && left > right => {
                Op::Bin(op, width, right, left)
            }
            op => op,
        };
        if let Some(&known) = self.known.get(&key)
            && self.dominators.dominates(self.home[known.at()], self.blk)
        {
            return known;
        }
        let val = match own {
            Some(own) => {
                self.func.ops[own.at()] = op;
                self.bits.set(&self.func.ops, own);
                own
            }
            None => self.add(op),
        };
        self.out.push(val);
        self.known.insert(key, val);
        val
    }

    /// The comparison in its usual form: a constant on the right, 32 bits and unsigned
    /// where that is the same.
    pub fn comparison(
        &mut self,
        mut cond: Cond,
        mut width: Width,
        mut left: Val,
        mut right: Val,
    ) -> (Cond, Width, Val, Val) {
        if self.func.number(left).is_some() && self.func.number(right).is_none() {
            (left, right, cond) = (right, left, mirror(cond));
        }
        if width == Width::W32 {
            (left, right) = (self.low(left, 32), self.low(right, 32));
        }
        let sign = if width == Width::W64 { 1 << 63 } else { 1 << 31 };
        if self.bits.zeros(left) & self.bits.zeros(right) & sign != 0 {
            cond = match cond {
                Cond::Slt => Cond::Lt,
                Cond::Sle => Cond::Le,
                Cond::Sgt => Cond::Gt,
                Cond::Sge => Cond::Ge,
                other => other,
            };
        }
        let signed = Simplify::is_signed(cond);
        let equality = matches!(cond, Cond::Eq | Cond::Ne);
        if width == Width::W64 && self.bits.is_half(left) && self.bits.is_half(right) && !signed {
            width = Width::W32;
        }
        let number = self.func.number(right);
        if let (Width::W64, Some(0), true) = (width, number, equality)
            && let Some((test, width, left, right)) = self.null_test(left)
            && let Some(test) = if cond == Cond::Ne { Some(test) } else { negate(test) }
        {
            return (test, width, left, right);
        }
        // The sign of a sign-extended number is one bit of it.
        if let (Some(0), Cond::Slt | Cond::Sge) = (number, cond)
            && let Op::Ext { bits: bits @ (8 | 16), signed: true, of } = self.func.op(left)
        {
            let sign = self.constant(1 << (bits - 1));
            let bit = self.make(Op::Bin(Bin::And, Width::W64, of, sign));
            return (if cond == Cond::Slt { Cond::Ne } else { Cond::Eq }, Width::W32, bit, right);
        }
        if let (Width::W64, Some(number)) = (width, number) {
            match self.func.op(left) {
                // Both shifted up by 32.
                Op::Bin(Bin::Shl, Width::W64, of, amount)
                    if equality && number as u32 == 0 && self.func.number(amount) == Some(32) =>
                {
                    width = Width::W32;
                    left = self.low(of, 32);
                    right = self.constant(number >> 32);
                }
                // Both sign-extended from 32 bits.
                Op::Ext { bits: 32, signed: true, of }
                    if (signed || equality) && number == number as i32 as u64 =>
                {
                    width = Width::W32;
                    left = of;
                    right = self.constant(number as u32 as u64);
                }
                _ => {}
            }
        }
        (cond, width, left, right)
    }

    /// What `test ? address : 0` being no null pointer comes down to.
    fn null_test(&self, pointer: Val) -> Option<(Cond, Width, Val, Val)> {
        let Op::Select(test, address, otherwise) = self.func.op(pointer) else { return None };
        let Op::Cmp(cond, width, left, right) = self.func.op(test) else { return None };
        let Op::Bin(Bin::Add, Width::W64, inside, base) = self.func.op(address) else {
            return None;
        };
        let base = self.func.number(base).filter(|&base| base > 0)?;
        let wraps = self.bits.upper(inside).checked_add(base).is_none();
        (self.func.number(otherwise) == Some(0) && !wraps).then_some((cond, width, left, right))
    }

    /// Whether a comparison holds, if that is clear from its operands.
    pub fn decide(&self, cond: Cond, width: Width, left: Val, right: Val) -> Option<bool> {
        if let (Some(left), Some(right)) = (self.func.number(left), self.func.number(right)) {
            return Some(condition(cond, width, left, right));
        }
        let reflexive = matches!(cond, Cond::Eq | Cond::Le | Cond::Ge | Cond::Sle | Cond::Sge);
        (left == right && cond != Cond::Set).then_some(reflexive)
    }
}
