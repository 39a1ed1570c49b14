//! Ranges of words from a least to a greatest, as unsigned or as signed numbers.
//!
//! One type for `umin..umax`, `smin..smax` and their 32-bit counterparts of Linux's
//! `struct bpf_reg_state`; the sign is a type parameter, the width is the word's. A
//! range whose least exceeds its greatest is empty: it comes up on branches that
//! cannot be taken.

use std::marker::PhantomData;

use skep_isa::Word;

use super::register::{Register, WordExt};

/// How words are ordered.
pub trait Sign: Copy {
    /// Whether `left` is less.
    fn less<W: Word>(left: W, right: W) -> W::Bit;
    /// The least word.
    fn least<W: Word>() -> W;
    /// The greatest word.
    fn greatest<W: Word>() -> W;
    /// Whether the sum wraps.
    fn add_wraps<W: Word>(left: W, right: W) -> W::Bit;
    /// Whether the difference wraps.
    fn sub_wraps<W: Word>(left: W, right: W) -> W::Bit;
    /// Whether the bounds still enclose what lies between them, given which of
    /// them wrapped: the one nearer to the wrap first.
    fn encloses<W: Word>(near: W::Bit, far: W::Bit) -> W::Bit;
    /// Whether the product of two words wraps.
    fn product_wraps<W: Word>(left: W, right: W) -> W::Bit;
    /// The product of two ranges.
    fn mul<W: Word>(left: Range<W, Self>, right: Range<W, Self>) -> Range<W, Self>;
}

/// Words as numbers from 0.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Unsigned {}

/// Words in two's complement.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Signed {}

/// The words from `min` to `max`, both included.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Range<W, S> {
    /// The least.
    pub min: W,
    /// The greatest.
    pub max: W,
    sign: PhantomData<S>,
}

impl<W: Word, S: Sign> Range<W, S> {
    /// The words from `min` to `max`.
    #[inline(always)]
    pub const fn new(min: W, max: W) -> Self {
        Range { min, max, sign: PhantomData }
    }

    /// One word.
    #[inline(always)]
    pub fn constant(value: W) -> Self {
        Range::new(value, value)
    }

    /// All words.
    #[inline(always)]
    pub fn full() -> Self {
        Range::new(S::least(), S::greatest())
    }

    /// `yes` where `bit` is set, else `no`.
    #[inline(always)]
    pub fn pick(bit: W::Bit, yes: Self, no: Self) -> Self {
        Range::new(W::pick(bit, yes.min, no.min), W::pick(bit, yes.max, no.max))
    }

    /// Whether there is a word in it.
    #[inline(always)]
    pub fn is_proper(self) -> W::Bit {
        !S::less(self.max, self.min)
    }

    /// Whether the word is in it.
    #[inline(always)]
    pub fn contains(self, word: W) -> W::Bit {
        !S::less(word, self.min) & !S::less(self.max, word)
    }

    /// Whether `other` lies within this.
    #[inline(always)]
    pub fn includes(self, other: Self) -> W::Bit {
        !S::less(other.min, self.min) & !S::less(self.max, other.max)
    }

    /// Whether it is exactly one word.
    #[inline(always)]
    pub fn is_constant(self) -> W::Bit {
        self.min.eq(self.max)
    }

    /// Whether the bounds are the same.
    #[inline(always)]
    pub fn same(self, other: Self) -> W::Bit {
        self.min.eq(other.min) & self.max.eq(other.max)
    }

    /// Whether every word of this is less than every word of `other`.
    #[inline(always)]
    pub fn below(self, other: Self) -> W::Bit {
        S::less(self.max, other.min)
    }

    /// Whether no word is in both.
    #[inline(always)]
    pub fn disjoint(self, other: Self) -> W::Bit {
        self.below(other) | other.below(self)
    }

    /// What is in both.
    #[inline(always)]
    pub fn meet(self, other: Self) -> Self {
        Range::new(
            W::pick(S::less(self.min, other.min), other.min, self.min),
            W::pick(S::less(other.max, self.max), other.max, self.max),
        )
    }

    /// What is in both, where `bit` says that `other` is to be believed.
    #[inline(always)]
    pub fn meet_if(self, bit: W::Bit, other: Self) -> Self {
        Range::pick(bit, self.meet(other), self)
    }

    /// What is in both, where `other` is a range at all.
    #[inline(always)]
    pub fn meet_proper(self, other: Self) -> Self {
        self.meet_if(other.is_proper(), other)
    }

    /// What is in both, where `bit` says that `other` is to be believed and it is a
    /// range at all.
    #[inline(always)]
    pub fn meet_proper_if(self, bit: W::Bit, other: Self) -> Self {
        self.meet_if(bit & other.is_proper(), other)
    }

    /// The same bounds in another order; to be believed only if it
    /// [is proper](Range::is_proper), which it is where no sign changes in between.
    #[inline(always)]
    pub fn cast<T: Sign>(self) -> Range<W, T> {
        Range::new(self.min, self.max)
    }

    /// The same bounds in another order where that holds, else everything.
    #[inline(always)]
    pub fn cast_or_full<T: Sign>(self) -> Range<W, T> {
        let cast = self.cast::<T>();
        Range::pick(cast.is_proper(), cast, Range::full())
    }

    /// The sums.
    #[inline(always)]
    pub fn add(self, other: Self) -> Self {
        let (min, max) = (self.min + other.min, self.max + other.max);
        let near = S::add_wraps(self.max, other.max);
        let far = S::add_wraps(self.min, other.min);
        Range::pick(S::encloses::<W>(near, far), Range::new(min, max), Range::full())
    }

    /// The differences.
    #[inline(always)]
    pub fn sub(self, other: Self) -> Self {
        let (min, max) = (self.min - other.max, self.max - other.min);
        let near = S::sub_wraps(self.min, other.max);
        let far = S::sub_wraps(self.max, other.min);
        Range::pick(S::encloses::<W>(near, far), Range::new(min, max), Range::full())
    }

    /// The sums, where none of them wraps; pointers' offsets are added so.
    #[inline(always)]
    pub fn add_unwrapped(self, other: Self) -> Self {
        let wraps = S::add_wraps(self.min, other.min) | S::add_wraps(self.max, other.max);
        let sum = Range::new(self.min + other.min, self.max + other.max);
        Range::pick(wraps, Range::full(), sum)
    }

    /// The differences, where none of them wraps.
    #[inline(always)]
    pub fn sub_unwrapped(self, other: Self) -> Self {
        let wraps = S::sub_wraps(self.min, other.max) | S::sub_wraps(self.max, other.min);
        let difference = Range::new(self.min - other.max, self.max - other.min);
        Range::pick(wraps, Range::full(), difference)
    }

    /// The products.
    #[inline(always)]
    pub fn mul(self, other: Self) -> Self {
        S::mul(self, other)
    }

    /// Without `word`, where that is one of the bounds.
    #[inline(always)]
    pub fn without(self, word: W) -> Self {
        let one = W::lit(1);
        Range::new(
            W::pick(self.min.eq(word), self.min + one, self.min),
            W::pick(self.max.eq(word), self.max - one, self.max),
        )
    }
}

impl<W: Word> Range<W, Unsigned> {
    /// Shifted left by less than the width; everything, where a bit might be lost.
    #[inline(always)]
    pub fn shl(self, amount: W) -> Self {
        let last = W::lit((W::BITS - 1).into());
        let lost = W::lit(1).shl(last - amount).ult(self.max);
        let shifted = Range::new(self.min.shl(amount), self.max.shl(amount));
        Range::pick(lost, Range::full(), shifted)
    }

    /// Shifted right by less than the width.
    #[inline(always)]
    pub fn shr(self, amount: W) -> Self {
        Range::new(self.min.shr(amount), self.max.shr(amount))
    }
}

impl<W: Word> Range<W, Signed> {
    /// Shifted right by less than the width, the sign coming in.
    #[inline(always)]
    pub fn sar(self, amount: W) -> Self {
        Range::new(self.min.sar(amount), self.max.sar(amount))
    }
}

impl<W: Register, S: Sign> Range<W, S> {
    /// The lower halves of the bounds.
    #[inline(always)]
    pub fn lower<T: Sign>(self) -> Range<W::Half, T> {
        Range::new(self.min.lower(), self.max.lower())
    }

    /// Whether the upper half is the same throughout.
    #[inline(always)]
    pub fn same_upper(self) -> W::Bit {
        self.min.upper().eq(self.max.upper())
    }

    /// Whether the upper half counts on by one, just where the lower half, as a
    /// signed number, passes from negative to positive.
    #[inline(always)]
    pub fn crosses_zero_of_lower(self) -> W::Bit {
        (self.min.upper() + Word::lit(1)).eq(self.max.upper())
            & self.min.lower().is_negative()
            & !self.max.lower().is_negative()
    }
}

impl Sign for Unsigned {
    #[inline(always)]
    fn less<W: Word>(left: W, right: W) -> W::Bit {
        left.ult(right)
    }
    #[inline(always)]
    fn least<W: Word>() -> W {
        W::zero()
    }
    #[inline(always)]
    fn greatest<W: Word>() -> W {
        W::ones()
    }
    #[inline(always)]
    fn add_wraps<W: Word>(left: W, right: W) -> W::Bit {
        (left + right).ult(left)
    }
    #[inline(always)]
    fn sub_wraps<W: Word>(left: W, right: W) -> W::Bit {
        left.ult(right)
    }
    /// A range that wraps as a whole is a range.
    #[inline(always)]
    fn encloses<W: Word>(near: W::Bit, far: W::Bit) -> W::Bit {
        !near | far
    }
    #[inline(always)]
    fn mul<W: Word>(left: Range<W, Self>, right: Range<W, Self>) -> Range<W, Self> {
        let product = Range::new(left.min * right.min, left.max * right.max);
        Range::pick(Self::product_wraps(left.max, right.max), Range::full(), product)
    }
    /// By the halves of which each word consists.
    #[inline(always)]
    fn product_wraps<W: Word>(left: W, right: W) -> W::Bit {
        if W::BITS == 1 {
            return W::bit(false);
        }
        let half = W::BITS / 2;
        let low = |word: W| word & W::ones().shr_by(W::BITS - half);
        let (a, b) = (left.shr_by(half), low(left));
        let (c, d) = (right.shr_by(half), low(right));
        // (a * 2^half + b) * (c * 2^half + d): either a or c is zero, or it wraps.
        let cross = a * d + b * c;
        let carried = cross + (b * d).shr_by(half);
        (!a.is_zero() & !c.is_zero()) | !carried.shr_by(half).is_zero()
    }
}

impl Sign for Signed {
    #[inline(always)]
    fn less<W: Word>(left: W, right: W) -> W::Bit {
        left.slt(right)
    }
    #[inline(always)]
    fn least<W: Word>() -> W {
        W::sign_bit()
    }
    #[inline(always)]
    fn greatest<W: Word>() -> W {
        !W::sign_bit()
    }
    #[inline(always)]
    fn add_wraps<W: Word>(left: W, right: W) -> W::Bit {
        let sum = left + right;
        ((left ^ sum) & (right ^ sum)).is_negative()
    }
    #[inline(always)]
    fn sub_wraps<W: Word>(left: W, right: W) -> W::Bit {
        ((left ^ right) & (left ^ (left - right))).is_negative()
    }
    #[inline(always)]
    fn encloses<W: Word>(near: W::Bit, far: W::Bit) -> W::Bit {
        !near & !far
    }
    /// The extremes are among the four products of the bounds.
    #[inline(always)]
    fn mul<W: Word>(left: Range<W, Self>, right: Range<W, Self>) -> Range<W, Self> {
        let corner = |a: W, b: W| (Range::constant(a * b), Self::product_wraps(a, b));
        let (first, mut wraps) = corner(left.min, right.min);
        let mut hull = first;
        for (a, b) in [(left.min, right.max), (left.max, right.min), (left.max, right.max)] {
            let (product, more) = corner(a, b);
            hull = Range::new(
                W::pick(product.below(hull), product.min, hull.min),
                W::pick(Range::constant(hull.max).below(product), product.max, hull.max),
            );
            wraps = wraps | more;
        }
        Range::pick(wraps, Range::full(), hull)
    }
    #[inline(always)]
    fn product_wraps<W: Word>(left: W, right: W) -> W::Bit {
        let magnitude = left.magnitude() * right.magnitude();
        let negative = (left ^ right).is_negative();
        // A negative product may have one more in magnitude.
        let room = W::pick(negative, W::sign_bit(), !W::sign_bit());
        Unsigned::product_wraps(left.magnitude(), right.magnitude()) | room.ult(magnitude)
    }
}
