//! Machine words that arithmetic is written over once: `u64` runs it, [`Bits`] runs
//! it exhaustively on a few bits, and a solver's terms prove it.
//!
//! Code over [`Word`] has no `if` on data: it chooses with [`Word::pick`], and its
//! loops have fixed trip counts. That is what lets a symbolic word follow it.

use std::ops::{Add, BitAnd, BitOr, BitXor, Mul, Not, Sub};

/// A word of [`Word::BITS`] bits, a power of two; arithmetic wraps.
pub trait Word:
    Copy
    + Add<Output = Self>
    + Sub<Output = Self>
    + Mul<Output = Self>
    + BitAnd<Output = Self>
    + BitOr<Output = Self>
    + BitXor<Output = Self>
    + Not<Output = Self>
{
    /// The result of a comparison.
    type Bit: Copy
        + BitAnd<Output = Self::Bit>
        + BitOr<Output = Self::Bit>
        + Not<Output = Self::Bit>;

    /// Number of bits.
    const BITS: u32;

    /// A constant, of which the lower `BITS` bits count.
    fn lit(value: u64) -> Self;
    /// Shifts left by less than `BITS`.
    fn shl(self, amount: Self) -> Self;
    /// Shifts right by less than `BITS`, filling with zeros.
    fn shr(self, amount: Self) -> Self;
    /// Shifts right by less than `BITS`, filling with the sign.
    fn sar(self, amount: Self) -> Self;
    /// Unsigned quotient; the divisor is not zero.
    fn udiv(self, divisor: Self) -> Self;
    /// Unsigned remainder; the divisor is not zero.
    fn urem(self, divisor: Self) -> Self;
    /// Whether the words are equal.
    fn eq(self, other: Self) -> Self::Bit;
    /// Whether this is less, unsigned.
    fn ult(self, other: Self) -> Self::Bit;
    /// Whether this is less, signed.
    fn slt(self, other: Self) -> Self::Bit;
    /// `yes` where `bit` is set, else `no`.
    fn pick(bit: Self::Bit, yes: Self, no: Self) -> Self;

    /// A bit that is always the same.
    fn bit(value: bool) -> Self::Bit {
        let one = Self::lit(1);
        Self::eq(one, Self::lit(u64::from(value)))
    }

    /// Sets every bit below the highest that is set.
    #[inline(always)]
    fn smear(self) -> Self {
        let mut word = self;
        let mut step = 1;
        while step < Self::BITS {
            word = word | word.shr(Self::lit(step.into()));
            step *= 2;
        }
        word
    }

    /// Two's complement.
    #[inline(always)]
    fn negate(self) -> Self {
        Self::lit(0) - self
    }

    /// The lower half, zero-extended.
    #[inline(always)]
    fn low(self) -> Self {
        self & Self::lit(u64::MAX >> (64 - Self::BITS / 2))
    }

    /// The lower `BITS - amount` bits, sign-extended.
    #[inline(always)]
    fn extend_sign(self, amount: u32) -> Self {
        let amount = Self::lit(amount.into());
        self.shl(amount).sar(amount)
    }

    /// Signed quotient, truncating; overflow wraps. The divisor is not zero.
    #[inline(always)]
    fn sdiv(self, divisor: Self) -> Self {
        let zero = Self::lit(0);
        let (left, right) = (self.slt(zero), divisor.slt(zero));
        let quotient = self.magnitude().udiv(divisor.magnitude());
        let differ = (left & !right) | (!left & right);
        Self::pick(differ, quotient.negate(), quotient)
    }

    /// Signed remainder with the dividend's sign. The divisor is not zero.
    #[inline(always)]
    fn srem(self, divisor: Self) -> Self {
        let remainder = self.magnitude().urem(divisor.magnitude());
        Self::pick(self.slt(Self::lit(0)), remainder.negate(), remainder)
    }

    /// The absolute value as an unsigned number.
    #[inline(always)]
    fn magnitude(self) -> Self {
        Self::pick(self.slt(Self::lit(0)), self.negate(), self)
    }
}

/// A 64-bit word that wraps; what programs run on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(transparent)]
pub struct W64(pub u64);

/// A word of `N` bits (a power of two, at most 16), for exhaustive tests.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Bits<const N: u32>(u32);

impl<const N: u32> Bits<N> {
    const MASK: u32 = (1 << N) - 1;

    /// Every word.
    pub fn all() -> impl Iterator<Item = Bits<N>> {
        (0..=Self::MASK).map(Bits)
    }

    /// The lower `N` bits.
    fn cut(value: u32) -> Bits<N> {
        Bits(value & Self::MASK)
    }

    /// As an unsigned number.
    pub fn unsigned(self) -> u32 {
        self.0
    }

    /// As a signed number.
    pub fn signed(self) -> i32 {
        (self.0 << (32 - N)) as i32 >> (32 - N)
    }
}

macro_rules! operators {
    ($($name:ident $method:ident: $wide:ident;)*) => {$(
        impl $name for W64 {
            type Output = W64;
            #[inline(always)]
            fn $method(self, other: W64) -> W64 {
                W64(self.0.$wide(other.0))
            }
        }

        #[allow(clippy::suspicious_arithmetic_impl, reason = "words wrap at N bits")]
        impl<const N: u32> $name for Bits<N> {
            type Output = Bits<N>;
            fn $method(self, other: Bits<N>) -> Bits<N> {
                Bits::cut(self.0.$wide(other.0))
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

impl Not for W64 {
    type Output = W64;
    #[inline(always)]
    fn not(self) -> W64 {
        W64(!self.0)
    }
}

impl<const N: u32> Not for Bits<N> {
    type Output = Bits<N>;
    fn not(self) -> Bits<N> {
        Bits::cut(!self.0)
    }
}

impl Word for W64 {
    type Bit = bool;
    const BITS: u32 = 64;

    #[inline(always)]
    fn lit(value: u64) -> W64 {
        W64(value)
    }
    #[inline(always)]
    fn shl(self, amount: W64) -> W64 {
        W64(self.0.wrapping_shl(amount.0 as u32))
    }
    #[inline(always)]
    fn shr(self, amount: W64) -> W64 {
        W64(self.0.wrapping_shr(amount.0 as u32))
    }
    #[inline(always)]
    fn sar(self, amount: W64) -> W64 {
        W64((self.0 as i64).wrapping_shr(amount.0 as u32) as u64)
    }
    #[inline(always)]
    fn udiv(self, divisor: W64) -> W64 {
        W64(self.0.checked_div(divisor.0).unwrap_or(0))
    }
    #[inline(always)]
    fn urem(self, divisor: W64) -> W64 {
        W64(self.0.checked_rem(divisor.0).unwrap_or(0))
    }
    #[inline(always)]
    fn eq(self, other: W64) -> bool {
        self.0 == other.0
    }
    #[inline(always)]
    fn ult(self, other: W64) -> bool {
        self.0 < other.0
    }
    #[inline(always)]
    fn slt(self, other: W64) -> bool {
        (self.0 as i64) < other.0 as i64
    }
    #[inline(always)]
    fn pick(bit: bool, yes: W64, no: W64) -> W64 {
        if bit { yes } else { no }
    }
    #[inline(always)]
    fn bit(value: bool) -> bool {
        value
    }
    #[inline(always)]
    fn smear(self) -> W64 {
        W64(u64::MAX.checked_shr(self.0.leading_zeros()).unwrap_or(0))
    }
}

impl<const N: u32> Word for Bits<N> {
    type Bit = bool;
    const BITS: u32 = N;

    fn lit(value: u64) -> Bits<N> {
        Bits::cut(value as u32)
    }
    fn shl(self, amount: Bits<N>) -> Bits<N> {
        Bits::cut(self.0 << amount.0)
    }
    fn shr(self, amount: Bits<N>) -> Bits<N> {
        Bits(self.0 >> amount.0)
    }
    fn sar(self, amount: Bits<N>) -> Bits<N> {
        Bits::cut((self.signed() >> amount.0) as u32)
    }
    fn udiv(self, divisor: Bits<N>) -> Bits<N> {
        Bits(self.0.checked_div(divisor.0).unwrap_or(0))
    }
    fn urem(self, divisor: Bits<N>) -> Bits<N> {
        Bits(self.0.checked_rem(divisor.0).unwrap_or(0))
    }
    fn eq(self, other: Bits<N>) -> bool {
        self.0 == other.0
    }
    fn ult(self, other: Bits<N>) -> bool {
        self.0 < other.0
    }
    fn slt(self, other: Bits<N>) -> bool {
        self.signed() < other.signed()
    }
    fn pick(bit: bool, yes: Bits<N>, no: Bits<N>) -> Bits<N> {
        if bit { yes } else { no }
    }
}
