//! Registers as words with halves: 64 bits and the 32-bit subregister in them.
//!
//! [`Register`] lets the domain be written once for both widths: a transfer function
//! over any [`Word`] serves the register as well as its lower half.

use std::ops::{Add, BitAnd, BitOr, BitXor, Mul, Not, Sub};

use skep_isa::{Bits, W64, Word};

/// A word whose lower half is a word too.
pub trait Register: Word {
    /// The subregister.
    type Half: Word<Bit = Self::Bit>;

    /// The lower half.
    fn lower(self) -> Self::Half;
    /// The upper half.
    fn upper(self) -> Self::Half;
    /// The word of these halves.
    fn join(upper: Self::Half, lower: Self::Half) -> Self;

    /// The half as an unsigned number.
    #[inline(always)]
    fn zero_extend(half: Self::Half) -> Self {
        Self::join(Self::Half::lit(0), half)
    }

    /// The half as a signed number.
    #[inline(always)]
    fn sign_extend(half: Self::Half) -> Self {
        Self::zero_extend(half).extend_sign(Self::BITS / 2)
    }

    /// How many of the lower bits can be other than zero: all of them, where the word
    /// does not know itself. Only saves rounds that would change nothing.
    #[inline(always)]
    fn significant_bits(self) -> u32 {
        Self::BITS
    }

    /// What the bit is, where it is known. Only saves choices between two results of
    /// which one is not wanted.
    #[inline(always)]
    fn decided(bit: Self::Bit) -> Option<bool> {
        let _ = bit;
        None
    }
}

/// What the domain asks of words beyond arithmetic.
pub(super) trait WordExt: Word {
    /// The bit that only the least signed number has set.
    #[inline(always)]
    fn sign_bit() -> Self {
        Self::lit(1 << (Self::BITS - 1))
    }

    /// All bits set.
    #[inline(always)]
    fn ones() -> Self {
        Self::lit(u64::MAX)
    }

    #[inline(always)]
    fn zero() -> Self {
        Self::lit(0)
    }

    #[inline(always)]
    fn is_zero(self) -> Self::Bit {
        self.eq(Self::zero())
    }

    #[inline(always)]
    fn is_negative(self) -> Self::Bit {
        self.slt(Self::zero())
    }

    /// Shifts right by a known amount, filling with zeros.
    #[inline(always)]
    fn shr_by(self, amount: u32) -> Self {
        self.shr(Self::lit(amount.into()))
    }

    /// Shifts left by a known amount.
    #[inline(always)]
    fn shl_by(self, amount: u32) -> Self {
        self.shl(Self::lit(amount.into()))
    }

    /// Whether exactly one bit is set.
    #[inline(always)]
    fn is_power_of_two(self) -> Self::Bit {
        !self.is_zero() & (self & (self - Self::lit(1))).is_zero()
    }
}

impl<W: Word> WordExt for W {}

/// A 32-bit word that wraps: the subregister of [`W64`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(transparent)]
pub struct W32(pub u32);

macro_rules! operators {
    ($($name:ident $method:ident: $native:ident;)*) => {$(
        impl $name for W32 {
            type Output = W32;
            #[inline(always)]
            fn $method(self, other: W32) -> W32 {
                W32(self.0.$native(other.0))
            }
        }
    )*};
}

operators! {
    Add add: wrapping_add;
    Sub sub: wrapping_sub;
    Mul mul: wrapping_mul;
    BitAnd bitand: bitand;
    BitOr bitor: bitor;
    BitXor bitxor: bitxor;
}

impl Not for W32 {
    type Output = W32;
    #[inline(always)]
    fn not(self) -> W32 {
        W32(!self.0)
    }
}

impl Word for W32 {
    type Bit = bool;
    const BITS: u32 = 32;

    #[inline(always)]
    fn lit(value: u64) -> W32 {
        W32(value as u32)
    }
    #[inline(always)]
    fn shl(self, amount: W32) -> W32 {
        W32(self.0.wrapping_shl(amount.0))
    }
    #[inline(always)]
    fn shr(self, amount: W32) -> W32 {
        W32(self.0.wrapping_shr(amount.0))
    }
    #[inline(always)]
    fn sar(self, amount: W32) -> W32 {
        W32((self.0 as i32).wrapping_shr(amount.0) as u32)
    }
    #[inline(always)]
    fn udiv(self, divisor: W32) -> W32 {
        W32(self.0.checked_div(divisor.0).unwrap_or(0))
    }
    #[inline(always)]
    fn urem(self, divisor: W32) -> W32 {
        W32(self.0.checked_rem(divisor.0).unwrap_or(0))
    }
    #[inline(always)]
    fn eq(self, other: W32) -> bool {
        self.0 == other.0
    }
    #[inline(always)]
    fn ult(self, other: W32) -> bool {
        self.0 < other.0
    }
    #[inline(always)]
    fn slt(self, other: W32) -> bool {
        (self.0 as i32) < other.0 as i32
    }
    #[inline(always)]
    fn pick(bit: bool, yes: W32, no: W32) -> W32 {
        if bit { yes } else { no }
    }
    #[inline(always)]
    fn bit(value: bool) -> bool {
        value
    }
    #[inline(always)]
    fn smear(self) -> W32 {
        W32(u32::MAX.checked_shr(self.0.leading_zeros()).unwrap_or(0))
    }
}

impl Register for W64 {
    type Half = W32;

    #[inline(always)]
    fn lower(self) -> W32 {
        W32(self.0 as u32)
    }
    #[inline(always)]
    fn upper(self) -> W32 {
        W32((self.0 >> 32) as u32)
    }
    #[inline(always)]
    fn join(upper: W32, lower: W32) -> W64 {
        W64(u64::from(upper.0) << 32 | u64::from(lower.0))
    }
    #[inline(always)]
    fn significant_bits(self) -> u32 {
        64 - self.0.leading_zeros()
    }
    #[inline(always)]
    fn decided(bit: bool) -> Option<bool> {
        Some(bit)
    }
}

macro_rules! small_registers {
    ($($bits:literal $half:literal;)*) => {$(
        impl Register for Bits<$bits> {
            type Half = Bits<$half>;

            fn lower(self) -> Bits<$half> {
                Bits::lit(self.unsigned().into())
            }
            fn upper(self) -> Bits<$half> {
                Bits::lit(u64::from(self.unsigned() >> $half))
            }
            fn join(upper: Bits<$half>, lower: Bits<$half>) -> Self {
                Bits::lit(u64::from(upper.unsigned() << $half | lower.unsigned()))
            }
            fn decided(bit: bool) -> Option<bool> {
                Some(bit)
            }
        }
    )*};
}

small_registers! {
    2 1;
    4 2;
    8 4;
    16 8;
}
