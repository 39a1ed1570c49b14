//! How the views of a scalar learn from each other (`reg_bounds_sync`).
//!
//! Each step only intersects: with what the bits say of a range, one range of
//! another, 64 bits of 32 and back. So each keeps every word that all views contain.
//! Their order and number are Linux's, because a fixed point is not reached.

use skep_isa::Word;

use super::range::{Range, Signed, Unsigned};
use super::register::{Register, WordExt};
use super::scalar::Scalar;
use super::tnum::Tnum;

impl<W: Register> Scalar<W> {
    /// All views brought up to what the others know. A number that is known has
    /// nothing to learn.
    #[inline]
    pub fn sync(self) -> Self {
        Scalar::choose(
            self.is_constant(),
            || Scalar::choose(self.is_consistent(), || self, || self.learn_all()),
            || self.learn_all(),
        )
    }

    /// Every step, in order. A round that taught nothing need not be repeated.
    fn learn_all(self) -> Self {
        let start = self.learn_from_bits();
        let once = start.deduce();
        let rounds = || {
            let twice = once.deduce();
            Scalar::choose(twice.same_ranges(once), || twice, || twice.deduce())
        };
        let deduced = Scalar::choose(once.same_ranges(start), || once, rounds);
        deduced.learn_bits().learn_from_bits()
    }

    /// Whether all ranges are the same.
    #[inline(always)]
    fn same_ranges(self, other: Self) -> W::Bit {
        self.unsigned.same(other.unsigned)
            & self.signed.same(other.signed)
            & self.unsigned32.same(other.unsigned32)
            & self.signed32.same(other.signed32)
    }

    /// The ranges learn from one another once.
    #[inline(always)]
    fn deduce(self) -> Self {
        self.deduce32().deduce64().deduce_mixed()
    }

    /// The ranges learn from the bits. Where only one word with these bits lies in
    /// the unsigned range, that is the number.
    #[inline(always)]
    pub(super) fn learn_from_bits(self) -> Self {
        let learnt = self.learn_ranges();
        let (found, number) = self.tnum.only_member_within(learnt.unsigned);
        Scalar::choose(found, || Scalar::constant(number), || learnt)
    }

    /// The ranges learn what the bits allow.
    #[inline(always)]
    pub(super) fn learn_ranges(self) -> Self {
        let lower = self.tnum.lower();
        Scalar {
            unsigned: self.unsigned.meet(self.tnum.unsigned()),
            signed: self.signed.meet(self.tnum.signed()),
            unsigned32: self.unsigned32.meet(lower.unsigned()),
            signed32: self.signed32.meet(lower.signed()),
            ..self
        }
    }

    /// The ranges of the lower half learn from the bits.
    #[inline(always)]
    pub(super) fn learn32_from_bits(self) -> Self {
        let lower = self.tnum.lower();
        let unsigned32 = self.unsigned32.meet(lower.unsigned());
        let signed32 = self.signed32.meet(lower.signed());
        Scalar { unsigned32, signed32, ..self }
    }

    /// The ranges of the lower half learn from those of the register, then from each
    /// other. A range of registers with one upper half is a range of lower halves.
    #[inline(always)]
    pub(super) fn deduce32(self) -> Self {
        let (mut unsigned32, mut signed32) = (self.unsigned32, self.signed32);

        let lower = self.unsigned.lower::<Unsigned>();
        let same = self.unsigned.same_upper();
        unsigned32 = unsigned32.meet_if(same, lower);
        signed32 = signed32.meet_proper_if(same, lower.cast());

        let lower = self.signed.lower::<Signed>();
        let same = self.signed.same_upper();
        unsigned32 = unsigned32.meet_proper_if(same, lower.cast());
        signed32 = signed32.meet_proper_if(same, lower);

        signed32 = signed32.meet_if(self.unsigned.crosses_zero_of_lower(), self.unsigned.lower());
        signed32 = signed32.meet_if(self.signed.crosses_zero_of_lower(), self.signed.lower());

        let (unsigned32, signed32) = reconcile(unsigned32, signed32);
        Scalar { unsigned32, signed32, ..self }
    }

    /// The ranges of the register learn from each other.
    #[inline(always)]
    pub(super) fn deduce64(self) -> Self {
        let (unsigned, signed) = reconcile(self.unsigned, self.signed);
        Scalar { unsigned, signed, ..self }
    }

    /// The ranges of the register learn from those of the lower half.
    #[inline(always)]
    pub(super) fn deduce_mixed(self) -> Self {
        let low = self.unsigned32;
        let least = |min: W| W::join(min.upper(), low.min);
        let greatest = |max: W| W::join(max.upper(), low.max);
        let (unsigned, signed) = (self.unsigned, self.signed);
        let unsigned = unsigned.meet(Range::new(least(unsigned.min), greatest(unsigned.max)));
        let signed = signed.meet(Range::new(least(signed.min), greatest(signed.max)));
        let learnt = Scalar { unsigned, signed, ..self };

        // A small signed number whose lower half is not negative is that half.
        let low = self.signed32;
        let small = Range::<W, Signed>::new(
            W::sign_extend(W::Half::sign_bit()),
            W::zero_extend(!W::Half::sign_bit()),
        );
        let is_half = !low.min.is_negative() & small.includes(signed);
        let half = || {
            let (min, max) = (W::sign_extend(low.min), W::sign_extend(low.max));
            Scalar {
                tnum: learnt.tnum.meet(Tnum::range(min, max)),
                unsigned: Range::new(min, max),
                signed: Range::new(min, max),
                ..learnt
            }
        };
        Scalar::choose(is_half, half, || learnt)
    }

    /// The bits learn from the unsigned ranges.
    #[inline(always)]
    pub(super) fn learn_bits(self) -> Self {
        let wide = self.tnum.meet(Tnum::range(self.unsigned.min, self.unsigned.max));
        let lower = Tnum::range(self.unsigned32.min, self.unsigned32.max);
        Scalar { tnum: wide.with_lower(wide.lower().meet(lower)), ..self }
    }
}

/// What an unsigned and a signed range of the same words learn from each other. A
/// signed range that crosses zero is two unsigned ones, at both ends; if the unsigned
/// range meets only one of them, both shrink to it.
#[inline(always)]
fn reconcile<V: Word>(
    unsigned: Range<V, Unsigned>,
    signed: Range<V, Signed>,
) -> (Range<V, Unsigned>, Range<V, Signed>) {
    let signed = signed.meet_proper(unsigned.cast());
    let one_sign = signed.cast::<Unsigned>().is_proper();
    let shared = unsigned.meet(signed.cast());
    let only_low = !one_sign & unsigned.max.ult(signed.min);
    let only_high = !one_sign & !only_low & signed.max.ult(unsigned.min);
    (
        Range::new(
            V::pick(one_sign | only_high, shared.min, unsigned.min),
            V::pick(one_sign | only_low, shared.max, unsigned.max),
        ),
        Range::new(
            V::pick(only_low, unsigned.min, signed.min),
            V::pick(only_high, unsigned.max, signed.max),
        ),
    )
}
