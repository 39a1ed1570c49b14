//! Arithmetic on scalars (`adjust_scalar_min_max_vals`), and on the offsets of
//! pointers.
//!
//! Each view is computed from the same view of the operands; then they are
//! synchronised. A 32-bit operation is that of the lower half, extended by zeros.
//! Shifts are followed only by known amounts; divisions and changes of the byte order
//! not at all.

use skep_isa::{AluOp, Width, Word};

use super::range::{Range, Signed, Unsigned};
use super::register::{Register, WordExt};
use super::scalar::Scalar;
use super::tnum::Tnum;

impl<W: Register> Scalar<W> {
    /// `self op other`, synchronised. The caller still has to ask whether the result
    /// [is consistent](Scalar::is_consistent).
    #[inline]
    pub fn alu(self, op: AluOp, width: Width, other: Self) -> Self {
        match (op, width) {
            // A copy stays as it is.
            (AluOp::Mov, Width::W64) => other,
            _ => self.transfer(op, width, other).sync(),
        }
    }

    /// `-self`, synchronised.
    #[inline]
    pub fn neg(self, width: Width) -> Self {
        Scalar::constant(W::zero()).alu(AluOp::Sub, width, self)
    }

    /// Whether the result of `op other` is followed: of a shift, if the amount is known
    /// and less than the width; of a division never. Else it may be any number
    /// (`is_safe_to_compute_dst_reg_range`).
    #[inline(always)]
    pub fn is_followed(op: AluOp, width: Width, other: Self) -> W::Bit {
        match op {
            AluOp::Lsh | AluOp::Rsh | AluOp::Arsh => {
                let (bits, exact) = match width {
                    Width::W64 => (
                        W::BITS,
                        other.is_constant()
                            & other.signed.is_constant()
                            & other.unsigned.is_constant(),
                    ),
                    Width::W32 => (
                        W::BITS / 2,
                        other.is_constant32()
                            & other.signed32.is_constant()
                            & other.unsigned32.is_constant(),
                    ),
                };
                exact & other.unsigned.max.ult(W::lit(bits.into()))
            }
            AluOp::Div | AluOp::SDiv | AluOp::Mod | AluOp::SMod => W::bit(false),
            _ => W::bit(true),
        }
    }

    /// `self op other`, not synchronised.
    #[inline(always)]
    pub(super) fn transfer(self, op: AluOp, width: Width, other: Self) -> Self {
        let result = match op {
            AluOp::Add => self.add(other),
            AluOp::Sub => self.sub(other),
            AluOp::Mul => self.mul(other),
            AluOp::And => self.and(other),
            AluOp::Or => self.or(other),
            AluOp::Xor => self.xor(other),
            AluOp::Mov => other,
            AluOp::Lsh | AluOp::Rsh | AluOp::Arsh => return self.shift(op, width, other),
            // Linux 6.18 leaves even the upper half of a 32-bit quotient open.
            AluOp::Div | AluOp::SDiv | AluOp::Mod | AluOp::SMod => return Scalar::unknown(),
        };
        match width {
            Width::W64 => result,
            Width::W32 => result.zero_extend(),
        }
    }

    /// The two numbers that it may be, if it is -1 or 0, as a sign that was shifted
    /// through: first -1. Else the same twice for its lower half. Linux goes on with
    /// each on its own where it is the left operand of `&=` or `|=` and the right one
    /// is constant.
    pub fn sign_cases(self) -> (W::Bit, [Self; 2]) {
        fn is_sign<V: Word>(range: Range<V, Signed>) -> V::Bit {
            range.min.eq(V::ones()) & range.max.is_zero()
        }
        let (wide, half) = (is_sign(self.signed), is_sign(self.signed32));
        let case = |value: W| {
            let lower = value.lower();
            let with_lower = Scalar {
                tnum: self.tnum.with_lower(Tnum::constant(lower)),
                unsigned32: Range::constant(lower),
                signed32: Range::constant(lower),
                ..self
            };
            Scalar::pick(wide, Scalar::constant(value), with_lower)
        };
        (wide | half, [case(W::ones()), case(W::zero())])
    }

    /// A pointer's offset plus a number, not synchronised; the lower half is not
    /// followed.
    #[inline]
    pub fn offset_add(self, other: Self) -> Self {
        Scalar {
            tnum: self.tnum.add(other.tnum),
            unsigned: self.unsigned.add_unwrapped(other.unsigned),
            signed: self.signed.add_unwrapped(other.signed),
            unsigned32: Range::full(),
            signed32: Range::full(),
        }
    }

    /// A pointer's offset minus a number, not synchronised; the lower half is not
    /// followed.
    #[inline]
    pub fn offset_sub(self, other: Self) -> Self {
        Scalar {
            tnum: self.tnum.sub(other.tnum),
            unsigned: self.unsigned.sub_unwrapped(other.unsigned),
            signed: self.signed.sub_unwrapped(other.signed),
            unsigned32: Range::full(),
            signed32: Range::full(),
        }
    }

    /// The lower half, zeros above; the ranges of the register follow those of the
    /// half (`zext_32_to_64`). Not synchronised.
    #[inline(always)]
    pub(super) fn zero_extend(self) -> Self {
        let (unsigned32, signed32) = (self.unsigned32, self.signed32);
        let unsigned = Range::new(W::zero_extend(unsigned32.min), W::zero_extend(unsigned32.max));
        let positive = !signed32.min.is_negative() & !signed32.max.is_negative();
        let signed = Range::pick(
            positive,
            Range::new(W::zero_extend(signed32.min), W::zero_extend(signed32.max)),
            Range::new(W::zero(), W::zero_extend(W::Half::ones())),
        );
        let tnum = Tnum::zero_extend(self.tnum.lower());
        Scalar { tnum, unsigned, signed, unsigned32, signed32 }
    }

    #[inline(always)]
    fn add(self, other: Self) -> Self {
        Scalar {
            tnum: self.tnum.add(other.tnum),
            unsigned: self.unsigned.add(other.unsigned),
            signed: self.signed.add(other.signed),
            unsigned32: self.unsigned32.add(other.unsigned32),
            signed32: self.signed32.add(other.signed32),
        }
    }

    #[inline(always)]
    fn sub(self, other: Self) -> Self {
        Scalar {
            tnum: self.tnum.sub(other.tnum),
            unsigned: self.unsigned.sub(other.unsigned),
            signed: self.signed.sub(other.signed),
            unsigned32: self.unsigned32.sub(other.unsigned32),
            signed32: self.signed32.sub(other.signed32),
        }
    }

    #[inline(always)]
    fn mul(self, other: Self) -> Self {
        Scalar {
            tnum: self.tnum.mul(other.tnum),
            unsigned: self.unsigned.mul(other.unsigned),
            signed: self.signed.mul(other.signed),
            unsigned32: self.unsigned32.mul(other.unsigned32),
            signed32: self.signed32.mul(other.signed32),
        }
    }

    /// At least the bits set in both for sure, at most the lesser of the operands.
    #[inline(always)]
    fn and(self, other: Self) -> Self {
        fn range<V: Word>(
            tnum: Tnum<V>,
            left: Range<V, Unsigned>,
            right: Range<V, Unsigned>,
        ) -> Range<V, Unsigned> {
            Range::new(tnum.value, V::pick(right.max.ult(left.max), right.max, left.max))
        }
        let tnum = self.tnum.and(other.tnum);
        let unsigned = range(tnum, self.unsigned, other.unsigned);
        let unsigned32 = range(tnum.lower(), self.unsigned32, other.unsigned32);
        Scalar::of_bits(tnum, unsigned, unsigned32, other)
    }

    /// At least the greater of the operands, at most the bits that may be set in
    /// either.
    #[inline(always)]
    fn or(self, other: Self) -> Self {
        fn range<V: Word>(
            tnum: Tnum<V>,
            left: Range<V, Unsigned>,
            right: Range<V, Unsigned>,
        ) -> Range<V, Unsigned> {
            let least = V::pick(left.min.ult(right.min), right.min, left.min);
            Range::new(least, tnum.greatest())
        }
        let tnum = self.tnum.or(other.tnum);
        let unsigned = range(tnum, self.unsigned, other.unsigned);
        let unsigned32 = range(tnum.lower(), self.unsigned32, other.unsigned32);
        Scalar::of_bits(tnum, unsigned, unsigned32, other)
    }

    /// What the bits say.
    #[inline(always)]
    fn xor(self, other: Self) -> Self {
        let tnum = self.tnum.xor(other.tnum);
        Scalar::of_bits(tnum, tnum.unsigned(), tnum.lower().unsigned(), other)
    }

    /// The result of a bitwise operation with `other`: these bits, and these unsigned
    /// ranges, which stand for the signed ones too where the sign is the same
    /// throughout.
    #[inline(always)]
    fn of_bits(
        tnum: Tnum<W>,
        unsigned: Range<W, Unsigned>,
        unsigned32: Range<W::Half, Unsigned>,
        other: Self,
    ) -> Self {
        fn ranges<V: Word>(
            known: V::Bit,
            value: V,
            unsigned: Range<V, Unsigned>,
        ) -> (Range<V, Unsigned>, Range<V, Signed>) {
            (
                Range::pick(known, Range::constant(value), unsigned),
                Range::pick(known, Range::constant(value), unsigned.cast_or_full()),
            )
        }
        let known = other.is_constant() & tnum.is_constant();
        let known32 = other.is_constant32() & tnum.lower().is_constant();
        let (unsigned, signed) = ranges(known, tnum.value, unsigned);
        let (unsigned32, signed32) = ranges(known32, tnum.value.lower(), unsigned32);
        Scalar { tnum, unsigned, signed, unsigned32, signed32 }
    }

    /// A shift, if the amount is known and less than the width.
    #[inline(always)]
    fn shift(self, op: AluOp, width: Width, other: Self) -> Self {
        let valid = Scalar::is_followed(op, width, other);
        let shifted = match width {
            Width::W64 => self.shift64(op, W::pick(valid, other.unsigned.min, W::zero())),
            Width::W32 => {
                let amount = other.unsigned32.min;
                self.shift32(op, W::Half::pick(valid, amount, W::Half::zero()))
            }
        };
        Scalar::pick(valid, shifted, Scalar::unknown())
    }

    /// A 64-bit shift. Bits cross into the lower half and out of it, so its ranges
    /// are left to the bits; but for a shift to the left that loses none of them.
    #[inline(always)]
    fn shift64(self, op: AluOp, amount: W) -> Self {
        let open = self.unbounded();
        match op {
            AluOp::Lsh => {
                let half = W::lit((W::BITS / 2).into());
                let within = amount.ult(half);
                let low = W::Half::pick(within, amount.lower(), W::Half::zero());
                let unsigned32 = Range::pick(within, self.unsigned32.shl(low), Range::full());
                let signed = self.extended_later(amount.eq(half));
                let unsigned = self.unsigned.shl(amount);
                Scalar { tnum: self.tnum.shl(amount), unsigned, signed, unsigned32, ..open }
            }
            AluOp::Rsh => {
                Scalar { tnum: self.tnum.shr(amount), unsigned: self.unsigned.shr(amount), ..open }
            }
            _ => Scalar { tnum: self.tnum.sar(amount), signed: self.signed.sar(amount), ..open },
        }
    }

    /// The signed range after a shift to the left: known only for one by half the
    /// width, with which compilers begin a sign extension.
    #[inline(always)]
    fn extended_later(self, by_half: W::Bit) -> Range<W, Signed> {
        let shifted = |bound: W::Half| W::join(bound, W::Half::zero());
        let range = Range::new(shifted(self.signed32.min), shifted(self.signed32.max));
        Range::pick(by_half, range, Range::full())
    }

    /// A 32-bit shift, extended by zeros.
    #[inline(always)]
    fn shift32(self, op: AluOp, amount: W::Half) -> Self {
        let bits = self.tnum.lower();
        let (bits, unsigned32, signed32) = match op {
            AluOp::Lsh => (bits.shl(amount), self.unsigned32.shl(amount), Range::full()),
            AluOp::Rsh => (bits.shr(amount), self.unsigned32.shr(amount), Range::full()),
            _ => (bits.sar(amount), Range::full(), self.signed32.sar(amount)),
        };
        let tnum = Tnum::zero_extend(bits);
        Scalar { unsigned32, signed32, ..Scalar::of_tnum(tnum) }.learn32_from_bits().zero_extend()
    }
}
