//! Claims about scalars: their operations, step by step and as wholes.

use skep_isa::{AluOp, Cond, Size, Width, alu_on, condition_on, movsx_on, neg_on};

use super::draw::Draw;
use super::{ScalarFn, Source, SyncStep};
use crate::domain::range::Signed;
use crate::domain::register::Register;
use crate::domain::scalar::Scalar;

/// Whether the result of the operation is followed at all.
pub(super) fn is_followed(op: AluOp) -> bool {
    !matches!(op, AluOp::Div | AluOp::SDiv | AluOp::Mod | AluOp::SMod | AluOp::Mov)
}

/// The function that computes the operation before it is synchronised.
pub(super) fn function(op: AluOp) -> &'static str {
    match op {
        AluOp::Add => "add",
        AluOp::Sub => "sub",
        AluOp::Mul => "mul",
        AluOp::And => "and",
        AluOp::Or => "or",
        AluOp::Xor => "xor",
        AluOp::Lsh | AluOp::Rsh | AluOp::Arsh => "shift",
        _ => "alu",
    }
}

/// Contains the word, with well-formed bits: all that holds before it is synchronised.
fn holds<W: Register>(scalar: Scalar<W>, word: W) -> W::Bit {
    scalar.contains(word) & scalar.tnum.well_formed()
}

/// Contains the word, and is consistent.
fn settled<W: Register>(scalar: Scalar<W>, word: W) -> W::Bit {
    scalar.contains(word) & scalar.is_consistent()
}

impl<W: Register, S: Source<W>> Draw<'_, W, S> {
    /// A step keeps every word. The first and the last make a scalar with a word
    /// in it consistent.
    pub(super) fn sync_claim(&mut self, step: SyncStep) -> Option<W::Bit> {
        let (a, x) = self.loose_scalar()?;
        let result = match step {
            SyncStep::LearnFromBits => return Some(settled(self.planted(a.learn_from_bits()), x)),
            SyncStep::Sync => return Some(settled(self.planted(a.sync()), x)),
            SyncStep::Learn32FromBits => a.learn32_from_bits(),
            SyncStep::Deduce32 => a.deduce32(),
            SyncStep::Deduce64 => a.deduce64(),
            SyncStep::DeduceMixed => a.deduce_mixed(),
            SyncStep::LearnBits => a.learn_bits(),
        };
        Some(holds(self.planted(result), x))
    }

    /// The views of the result contain what the operation gives; those of the upper
    /// half are not yet cut off from 32-bit results.
    pub(super) fn raw_claim(&mut self, op: AluOp, width: Width) -> Option<W::Bit> {
        let ((a, x), (b, y)) = (self.scalar()?, self.scalar()?);
        let full = match op {
            AluOp::Add => a.add(b),
            AluOp::Sub => a.sub(b),
            AluOp::Mul => a.mul(b),
            AluOp::And => a.and(b),
            AluOp::Or => a.or(b),
            AluOp::Xor => a.xor(b),
            _ => return self.shift_claim(op, width, (a, x), y),
        };
        let result = match width {
            Width::W64 => full,
            Width::W32 => full.zero_extend(),
        };
        Some(holds(self.planted(result), alu_on(op, width, x, y)))
    }

    /// A shift by a known amount, which is less than the width.
    fn shift_claim(
        &mut self,
        op: AluOp,
        width: Width,
        (a, x): (Scalar<W>, W),
        amount: W,
    ) -> Option<W::Bit> {
        let bits = if width == Width::W64 { W::BITS } else { W::BITS / 2 };
        self.source.assume(amount.ult(W::lit(bits.into())))?;
        let result = match width {
            Width::W64 => a.shift64(op, amount),
            Width::W32 => a.shift32(op, amount.lower()),
        };
        Some(holds(self.planted(result), alu_on(op, width, x, amount)))
    }

    pub(super) fn alu_claim(&mut self, op: AluOp, width: Width) -> Option<W::Bit> {
        let ((a, x), (b, y)) = (self.scalar()?, self.scalar()?);
        Some(settled(self.planted(a.alu(op, width, b)), alu_on(op, width, x, y)))
    }

    pub(super) fn neg_claim(&mut self, width: Width) -> Option<W::Bit> {
        let (a, x) = self.scalar()?;
        Some(settled(self.planted(a.neg(width)), neg_on(width, x)))
    }

    pub(super) fn movsx_claim(&mut self, width: Width, size: Size) -> Option<W::Bit> {
        let (a, x) = self.scalar()?;
        Some(settled(self.planted(a.movsx(width, size)), movsx_on(width, size, x)))
    }

    pub(super) fn truncate_claim(&mut self, size: Size) -> Option<W::Bit> {
        let (a, x) = self.scalar()?;
        let low = W::lit((1 << (size.bytes() * W::BITS / 8)) - 1);
        Some(settled(self.planted(a.truncate(size)), x & low))
    }

    pub(super) fn learn_claim(
        &mut self,
        cond: Cond,
        width: Width,
        condition_holds: bool,
    ) -> Option<W::Bit> {
        let ((a, x), (b, y)) = (self.scalar()?, self.scalar()?);
        let condition = condition_on(cond, width, x, y);
        self.source.assume(if condition_holds { condition } else { !condition })?;
        let (a, b) = Scalar::learn(cond, condition_holds, width, a, b);
        Some(holds(self.planted(a), x) & holds(self.planted(b), y))
    }

    pub(super) fn refine_claim(&mut self, cond: Cond, width: Width) -> Option<W::Bit> {
        let ((a, x), (b, y)) = (self.scalar()?, self.scalar()?);
        let refined = Scalar::refine(cond, width, a, b);
        let condition = condition_on(cond, width, x, y);
        let side = |(a, b): (Scalar<W>, Scalar<W>)| {
            settled(self.planted(a), x) & settled(self.planted(b), y)
        };
        Some((!condition | side(refined.taken)) & (condition | side(refined.not_taken)))
    }

    pub(super) fn refine_self_claim(&mut self, cond: Cond, width: Width) -> Option<W::Bit> {
        let (a, x) = self.scalar()?;
        let refined = Scalar::refine_self(cond, width, a);
        let condition = condition_on(cond, width, x, x);
        let side = |a: Scalar<W>| settled(self.planted(a), x);
        Some((!condition | side(refined.taken)) & (condition | side(refined.not_taken)))
    }

    pub(super) fn outcome_claim(&mut self, cond: Cond, width: Width) -> Option<W::Bit> {
        let ((a, x), (b, y)) = (self.scalar()?, self.scalar()?);
        let (always, never) = Scalar::outcome_bits(cond, width, a, b);
        let condition = self.answer(condition_on(cond, width, x, y));
        Some((!always | condition) & (!never | !condition))
    }

    pub(super) fn scalar_claim(&mut self, function: ScalarFn) -> Option<W::Bit> {
        let (a, x) = match function {
            ScalarFn::ZeroExtend | ScalarFn::Settle => self.loose_scalar()?,
            _ => self.scalar()?,
        };
        Some(match function {
            ScalarFn::ZeroExtend => holds(self.planted(a.zero_extend()), x.low()),
            ScalarFn::Settle => holds(self.planted(a.settle()), x),
            ScalarFn::Linked => {
                let distance = self.source.word();
                holds(self.planted(a.linked(distance)), x + distance)
            }
            ScalarFn::OffsetAdd => {
                let (b, y) = self.scalar()?;
                settled(self.planted(a.offset_add(b)), x + y)
            }
            ScalarFn::OffsetSub => {
                let (b, y) = self.scalar()?;
                settled(self.planted(a.offset_sub(b)), x - y)
            }
            ScalarFn::SignCases => {
                let (forks, [negative, zero]) = a.sign_cases();
                !forks | holds(self.planted(negative), x) | holds(self.planted(zero), x)
            }
            ScalarFn::Includes => {
                let (b, y) = self.scalar()?;
                !self.answer(a.includes(b)) | a.contains(y)
            }
            ScalarFn::LimitSigned32 => {
                self.source.assume(x.eq(W::sign_extend(x.lower())))?;
                let limits = self.range32::<Signed>(x.lower())?;
                settled(self.planted(a.limit_signed32(limits.min, limits.max)), x)
            }
        })
    }
}
