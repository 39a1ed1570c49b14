//! A scalar: the five views of one register, and what they stand for together.
//!
//! It contains a word if each view does. The views may contradict each other, on
//! branches that cannot be taken; then it contains nothing.

use skep_isa::{W64, Width, Word};

use super::range::{Range, Signed, Unsigned};
use super::register::{Register, W32};
use super::tnum::Tnum;

/// What is known of a register that holds a number; for a pointer, of the variable
/// part of its offset (`var_off` and the eight bounds of `struct bpf_reg_state`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Scalar<W: Register> {
    /// Its bits (`var_off`).
    pub tnum: Tnum<W>,
    /// `umin` and `umax`.
    pub unsigned: Range<W, Unsigned>,
    /// `smin` and `smax`.
    pub signed: Range<W, Signed>,
    /// `umin32` and `umax32`, of the lower half.
    pub unsigned32: Range<W::Half, Unsigned>,
    /// `smin32` and `smax32`, of the lower half.
    pub signed32: Range<W::Half, Signed>,
}

/// A scalar of 64 bits: what programs hold.
pub type Scalar64 = Scalar<W64>;

impl<W: Register> Scalar<W> {
    /// A known number.
    #[inline(always)]
    pub fn constant(value: W) -> Self {
        Scalar {
            tnum: Tnum::constant(value),
            unsigned: Range::constant(value),
            signed: Range::constant(value),
            unsigned32: Range::constant(value.lower()),
            signed32: Range::constant(value.lower()),
        }
    }

    /// Any number.
    #[inline(always)]
    pub fn unknown() -> Self {
        Scalar::of_tnum(Tnum::unknown())
    }

    /// What the bits say; the ranges say nothing.
    #[inline(always)]
    pub fn of_tnum(tnum: Tnum<W>) -> Self {
        Scalar {
            tnum,
            unsigned: Range::full(),
            signed: Range::full(),
            unsigned32: Range::full(),
            signed32: Range::full(),
        }
    }

    /// This with its ranges forgotten (`__mark_reg_unbounded`).
    #[inline(always)]
    pub fn unbounded(self) -> Self {
        Scalar::of_tnum(self.tnum)
    }

    /// This with the ranges of its lower half forgotten.
    #[inline(always)]
    pub fn unbounded32(self) -> Self {
        Scalar { unsigned32: Range::full(), signed32: Range::full(), ..self }
    }

    /// `yes` where `bit` is set, else `no`.
    #[inline(always)]
    pub fn pick(bit: W::Bit, yes: Self, no: Self) -> Self {
        Scalar {
            tnum: Tnum::pick(bit, yes.tnum, no.tnum),
            unsigned: Range::pick(bit, yes.unsigned, no.unsigned),
            signed: Range::pick(bit, yes.signed, no.signed),
            unsigned32: Range::pick(bit, yes.unsigned32, no.unsigned32),
            signed32: Range::pick(bit, yes.signed32, no.signed32),
        }
    }

    /// The same, computing only the one that is chosen where the bit is known.
    #[inline(always)]
    pub(super) fn choose(
        bit: W::Bit,
        yes: impl FnOnce() -> Self,
        no: impl FnOnce() -> Self,
    ) -> Self {
        match W::decided(bit) {
            Some(true) => yes(),
            Some(false) => no(),
            None => Scalar::pick(bit, yes(), no()),
        }
    }

    /// Whether every view contains the word.
    #[inline(always)]
    pub fn contains(self, word: W) -> W::Bit {
        self.tnum.contains(word)
            & self.unsigned.contains(word)
            & self.signed.contains(word)
            & self.unsigned32.contains(word.lower())
            & self.signed32.contains(word.lower())
    }

    /// Whether each view of `other` lies within this one's: a state with this was
    /// safe, so one with `other` is (`range_within` and `tnum_in`).
    #[inline(always)]
    pub fn includes(self, other: Self) -> W::Bit {
        self.unsigned.includes(other.unsigned)
            & self.signed.includes(other.signed)
            & self.unsigned32.includes(other.unsigned32)
            & self.signed32.includes(other.signed32)
            & self.tnum.includes(other.tnum)
    }

    /// Whether the number is known.
    #[inline(always)]
    pub fn is_constant(self) -> W::Bit {
        self.tnum.is_constant()
    }

    /// Whether the lower half is known.
    #[inline(always)]
    pub fn is_constant32(self) -> W::Bit {
        self.tnum.lower().is_constant()
    }

    /// Whether no bit is both known and unknown, no range is empty, and a constant
    /// is one in each view. What is not consistent contains nothing, so it stands
    /// on a path that no run takes; Linux goes on with [`Scalar::unbounded`] there
    /// (`reg_bounds_sanity_check`), or fails the load if asked to be strict.
    #[inline(always)]
    pub fn is_consistent(self) -> W::Bit {
        let (value, low) = (self.tnum.value, self.tnum.value.lower());
        let exact = self.unsigned.is_constant()
            & self.signed.is_constant()
            & self.unsigned.min.eq(value)
            & self.signed.min.eq(value);
        let exact32 = self.unsigned32.is_constant()
            & self.signed32.is_constant()
            & self.unsigned32.min.eq(low)
            & self.signed32.min.eq(low);
        self.tnum.well_formed()
            & self.unsigned.is_proper()
            & self.signed.is_proper()
            & self.unsigned32.is_proper()
            & self.signed32.is_proper()
            & (!self.is_constant() | exact)
            & (!self.is_constant32() | exact32)
    }

    /// The same where it is consistent, else its bits alone.
    #[inline(always)]
    pub fn settle(self) -> Self {
        Scalar::pick(self.is_consistent(), self, self.unbounded())
    }

    /// Limited to numbers from `min` to `max`, which is said both of the register as a
    /// signed number and of its lower half; synchronised (`__mark_reg_s32_range`).
    #[inline]
    pub fn limit_signed32(self, min: W::Half, max: W::Half) -> Self {
        self.limited(min, max).sync()
    }

    #[inline(always)]
    pub(super) fn limited(self, min: W::Half, max: W::Half) -> Self {
        let wide = Range::new(W::sign_extend(min), W::sign_extend(max));
        Scalar {
            signed: self.signed.meet(wide),
            signed32: self.signed32.meet(Range::new(min, max)),
            ..self
        }
    }
}

/// The views as the integers that they are.
impl Scalar64 {
    /// Any number.
    pub const UNKNOWN: Scalar64 = Scalar {
        tnum: Tnum { value: W64(0), mask: W64(u64::MAX) },
        unsigned: Range::new(W64(0), W64(u64::MAX)),
        signed: Range::new(W64(i64::MIN as u64), W64(i64::MAX as u64)),
        unsigned32: Range::new(W32(0), W32(u32::MAX)),
        signed32: Range::new(W32(i32::MIN as u32), W32(i32::MAX as u32)),
    };

    /// A known number.
    pub const fn number(value: u64) -> Scalar64 {
        let (wide, half) = (W64(value), W32(value as u32));
        Scalar {
            tnum: Tnum { value: wide, mask: W64(0) },
            unsigned: Range::new(wide, wide),
            signed: Range::new(wide, wide),
            unsigned32: Range::new(half, half),
            signed32: Range::new(half, half),
        }
    }

    /// The least, unsigned.
    pub fn umin(&self) -> u64 {
        self.unsigned.min.0
    }

    /// The greatest, unsigned.
    pub fn umax(&self) -> u64 {
        self.unsigned.max.0
    }

    /// The least, signed.
    pub fn smin(&self) -> i64 {
        self.signed.min.0 as i64
    }

    /// The greatest, signed.
    pub fn smax(&self) -> i64 {
        self.signed.max.0 as i64
    }

    /// The least of the lower half, unsigned.
    pub fn umin32(&self) -> u32 {
        self.unsigned32.min.0
    }

    /// The greatest of the lower half, unsigned.
    pub fn umax32(&self) -> u32 {
        self.unsigned32.max.0
    }

    /// The least of the lower half, signed.
    pub fn smin32(&self) -> i32 {
        self.signed32.min.0 as i32
    }

    /// The greatest of the lower half, signed.
    pub fn smax32(&self) -> i32 {
        self.signed32.max.0 as i32
    }

    /// The number, if it is known.
    pub fn as_constant(&self) -> Option<u64> {
        self.is_constant().then_some(self.tnum.value.0)
    }

    /// The number, or its lower half, if that is known.
    pub fn constant_in(&self, width: Width) -> Option<u64> {
        match width {
            Width::W64 => self.as_constant(),
            Width::W32 => self.is_constant32().then_some(self.tnum.value.low().0),
        }
    }

    /// What is not [consistent](Scalar::is_consistent), in the words of
    /// `reg_bounds_sanity_check`.
    pub fn violation(&self) -> Option<&'static str> {
        if self.is_consistent() {
            return None;
        }
        let proper = self.unsigned.is_proper()
            && self.signed.is_proper()
            && self.unsigned32.is_proper()
            && self.signed32.is_proper();
        let exact = |value: W64| {
            self.unsigned == Range::constant(value) && self.signed == Range::constant(value)
        };
        Some(if !proper {
            "range bounds violation"
        } else if self.is_constant() && !exact(self.tnum.value) {
            "const tnum out of sync with range bounds"
        } else {
            "const subreg tnum out of sync with range bounds"
        })
    }

    /// How many of the lower bits hold the number (`get_reg_width`).
    pub fn width(&self) -> u32 {
        64 - self.umax().leading_zeros()
    }

    /// With all ranges set to `min..=max`, which is not negative as an `i32`, and
    /// synchronised: a return value such as the number of a processor.
    pub fn between(min: u32, max: u32) -> Scalar64 {
        let (wide, half) = ((W64(min.into()), W64(max.into())), (W32(min), W32(max)));
        Scalar {
            tnum: Tnum::unknown(),
            unsigned: Range::new(wide.0, wide.1),
            signed: Range::new(wide.0, wide.1),
            unsigned32: Range::new(half.0, half.1),
            signed32: Range::new(half.0, half.1),
        }
        .sync()
    }

    /// Any number from `min` to `max`, both as a register and as its lower half,
    /// synchronised; bounds that the register had are replaced, its bits stay
    /// (what `do_refine_retval_range` makes of a length or an error).
    pub fn with_signed_bounds(self, min: i32, max: i64) -> Scalar64 {
        Scalar {
            signed: Range::new(W64(i64::from(min) as u64), W64(max as u64)),
            signed32: Range::new(W32(min as u32), W32(max as u32)),
            ..self
        }
        .sync()
    }
}

impl<W: Register> Default for Scalar<W> {
    fn default() -> Self {
        Scalar::unknown()
    }
}
