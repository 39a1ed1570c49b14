//! Claims about scalars: their operations, step by step and as wholes.

use skep_isa::{
    AluOp, Cond, Order, Size, Width, alu_on, byte_swap_on, condition_on, movsx_on, neg_on,
};

use super::draw::Draw;
use super::{ScalarFn, Source, SyncStep};
use crate::domain::range::Signed;
use crate::domain::register::Register;
use crate::domain::scalar::Scalar;

/// Whether the operation is one whose result is not followed.
pub(super) fn is_division(op: AluOp) -> bool {
    matches!(op, AluOp::Div | AluOp::SDiv | AluOp::Mod | AluOp::SMod)
}

/// Contains the word, with well-formed bits: all that holds before it is synchronised.
fn holds<W: Register>(scalar: Scalar<W>, word: W) -> W::Bit {
    scalar.contains(word) & scalar.tnum.well_formed()
}

/// Contains the word, and is consistent.
fn settled<W: Register>(scalar: Scalar<W>, word: W) -> W::Bit {
    scalar.contains(word) & scalar.is_consistent()
}

/// The lower `size` bytes, of which a word has eight.
fn low_bytes<W: Register>(size: Size, word: W) -> W {
    word & W::lit((1 << (size.bytes() * W::BITS / 8)) - 1)
}

impl<W: Register, S: Source<W>> Draw<'_, W, S> {
    /// A step keeps every word; what the ranges learn from the bits makes a scalar with
    /// a word in it consistent.
    pub(super) fn sync_claim(&mut self, step: SyncStep) -> Option<W::Bit> {
        let (a, x) = self.loose_scalar()?;
        let result = match step {
            SyncStep::LearnRanges => return Some(settled(self.planted(a.learn_ranges()), x)),
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

    pub(super) fn transfer_claim(&mut self, op: AluOp, width: Width) -> Option<W::Bit> {
        let ((a, x), (b, y)) = (self.scalar()?, self.scalar()?);
        Some(holds(self.planted(a.transfer(op, width, b)), alu_on(op, width, x, y)))
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

    pub(super) fn sign_extend32_claim(&mut self, size: Size) -> Option<W::Bit> {
        let (a, x) = self.scalar()?;
        Some(holds(self.planted(a.sign_extend32(size)), movsx_on(Width::W32, size, x)))
    }

    pub(super) fn truncate_claim(&mut self, size: Size) -> Option<W::Bit> {
        let (a, x) = self.scalar()?;
        Some(settled(self.planted(a.truncate(size)), low_bytes(size, x)))
    }

    pub(super) fn cut_claim(&mut self, size: Size) -> Option<W::Bit> {
        let (a, x) = self.scalar()?;
        Some(holds(self.planted(a.cut(size)), low_bytes(size, x)))
    }

    pub(super) fn swap_bytes_claim(&mut self, size: Size) -> Option<W::Bit> {
        let (a, x) = self.tnum();
        let swapped = self.planted_tnum(a.swap_bytes(size));
        Some(swapped.well_formed() & swapped.contains(byte_swap_on(Order::Swap, size, x)))
    }

    pub(super) fn byte_swap_claim(&mut self, size: Size) -> Option<W::Bit> {
        let (a, x) = self.scalar()?;
        let swapped = self.planted(a.byte_swap(Order::Swap, size));
        Some(settled(swapped, byte_swap_on(Order::Swap, size, x)))
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
            ScalarFn::OffsetAdd => {
                let (b, y) = self.scalar()?;
                holds(self.planted(a.offset_add(b)), x + y)
            }
            ScalarFn::OffsetSub => {
                let (b, y) = self.scalar()?;
                holds(self.planted(a.offset_sub(b)), x - y)
            }
            ScalarFn::SignCases => {
                let (forks, [negative, zero]) = a.sign_cases();
                !forks | holds(self.planted(negative), x) | holds(self.planted(zero), x)
            }
            ScalarFn::Includes => {
                let (b, y) = self.scalar()?;
                !self.answer(a.includes(b)) | a.contains(y)
            }
            ScalarFn::Limited | ScalarFn::LimitSigned32 => {
                self.source.assume(x.eq(W::sign_extend(x.lower())))?;
                let limits = self.range32::<Signed>(x.lower())?;
                match function {
                    ScalarFn::Limited => holds(self.planted(a.limited(limits.min, limits.max)), x),
                    _ => settled(self.planted(a.limit_signed32(limits.min, limits.max)), x),
                }
            }
        })
    }
}
