//! Tristate numbers: what is known of each bit of a word.
//!
//! Always holds: a bit that is unknown (set in `mask`) is clear in `value`. A tnum
//! stands for every word that agrees with `value` outside of `mask`. The operations
//! are as precise as `kernel/bpf/tnum.c`, bit for bit.

use skep_isa::{Order, Size, Word, byte_swap_on};

use super::range::{Range, Signed, Unsigned};
use super::register::{Register, WordExt};

/// The bits of a word, each 0, 1 or unknown.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Tnum<W> {
    /// The bits that are known to be 1.
    pub value: W,
    /// The bits that are unknown.
    pub mask: W,
}

impl<W: Word> Tnum<W> {
    /// Every bit known.
    #[inline(always)]
    pub fn constant(value: W) -> Self {
        Tnum { value, mask: W::zero() }
    }

    /// No bit known.
    #[inline(always)]
    pub fn unknown() -> Self {
        Tnum { value: W::zero(), mask: W::ones() }
    }

    /// What all words from `min` to `max`, unsigned, have in common: the bits above
    /// the highest that differs.
    #[inline(always)]
    pub fn range(min: W, max: W) -> Self {
        let mask = (min ^ max).smear();
        Tnum { value: min & !mask, mask }
    }

    /// `value` for the known bits, where `mask` names the unknown ones.
    #[inline(always)]
    fn masked(value: W, mask: W) -> Self {
        Tnum { value: value & !mask, mask }
    }

    /// `yes` where `bit` is set, else `no`.
    #[inline(always)]
    pub fn pick(bit: W::Bit, yes: Self, no: Self) -> Self {
        Tnum { value: W::pick(bit, yes.value, no.value), mask: W::pick(bit, yes.mask, no.mask) }
    }

    /// Whether no bit is both known and unknown.
    #[inline(always)]
    pub fn well_formed(self) -> W::Bit {
        (self.value & self.mask).is_zero()
    }

    /// Whether the word agrees with every known bit.
    #[inline(always)]
    pub fn contains(self, word: W) -> W::Bit {
        (word & !self.mask).eq(self.value)
    }

    /// Whether every word of `other` is one of this (`tnum_in`).
    #[inline(always)]
    pub fn includes(self, other: Self) -> W::Bit {
        (other.mask & !self.mask).is_zero() & self.contains(other.value)
    }

    /// Whether every bit is known.
    #[inline(always)]
    pub fn is_constant(self) -> W::Bit {
        self.mask.is_zero()
    }

    /// Whether some word may be in both.
    #[inline(always)]
    pub fn overlaps(self, other: Self) -> W::Bit {
        let known = !self.mask & !other.mask;
        (self.value & known).eq(other.value & known)
    }

    /// Whether every member is a multiple of `size`, a power of two
    /// (`tnum_is_aligned`).
    #[inline(always)]
    pub fn is_aligned(self, size: W) -> W::Bit {
        (self.greatest() & (size - W::lit(1))).is_zero()
    }

    /// The bits that may be 1: the greatest member, unsigned.
    #[inline(always)]
    pub fn greatest(self) -> W {
        self.value | self.mask
    }

    /// The range that the bits allow.
    #[inline(always)]
    pub fn unsigned(self) -> Range<W, Unsigned> {
        Range::new(self.value, self.greatest())
    }

    /// The signed range that the bits allow: the least has its sign set if it may
    /// be, and nothing else that need not be.
    #[inline(always)]
    pub fn signed(self) -> Range<W, Signed> {
        let sign = W::sign_bit();
        Range::new(self.value | (self.mask & sign), self.value | (self.mask & !sign))
    }

    /// The least member that is greater than `word`, which is not less than the least
    /// member; the greatest, where there is no other.
    #[inline(always)]
    pub fn next_member(self, word: W) -> W {
        // Members lie at distances from the least that have only unknown bits set.
        // Counting on within these: all others pass the carry on.
        let distance = word - self.value;
        let passing = (distance & !self.mask).smear() | !self.mask;
        let next = ((distance | passing) + W::lit(1)) & self.mask;
        W::pick(word.ult(self.greatest()), self.value | next, self.greatest())
    }

    /// Whether the members and the range have one word in common and no other, and
    /// that word. Neither bound lies outside of the members' own range.
    #[inline(always)]
    pub fn only_member_within(self, range: Range<W, Unsigned>) -> (W::Bit, W) {
        let next = self.next_member(range.min);
        self.only_member(range, next, self.next_member(next))
    }

    /// The same, given the members that follow the least word of the range.
    #[inline(always)]
    pub(super) fn only_member(
        self,
        range: Range<W, Unsigned>,
        next: W,
        after_next: W,
    ) -> (W::Bit, W) {
        let (min, max) = (range.min, range.max);
        let among = self.contains(min);
        let next_alone = !max.ult(next) & max.ult(after_next);
        let last_alone = next.eq(self.greatest());
        let found = (among & max.ult(next)) | (!among & (last_alone | next_alone));
        (found, W::pick(among, min, next))
    }

    /// What is known when both hold. Where they contradict each other, the bit
    /// counts as 1.
    #[inline(always)]
    pub fn meet(self, other: Self) -> Self {
        Tnum::masked(self.value | other.value, self.mask & other.mask)
    }

    /// What is known when either holds.
    #[inline(always)]
    pub fn join(self, other: Self) -> Self {
        let differ = self.value ^ other.value;
        Tnum::masked(self.value & other.value, differ | self.mask | other.mask)
    }

    /// The sum: a carry is unknown from where the least and the greatest sum
    /// differ.
    #[inline(always)]
    pub fn add(self, other: Self) -> Self {
        let least = self.value + other.value;
        let greatest = least + (self.mask + other.mask);
        Tnum::masked(least, (least ^ greatest) | self.mask | other.mask)
    }

    /// The difference, with borrows as [`Tnum::add`] has carries.
    #[inline(always)]
    pub fn sub(self, other: Self) -> Self {
        let difference = self.value - other.value;
        let (greatest, least) = (difference + self.mask, difference - other.mask);
        Tnum::masked(difference, (greatest ^ least) | self.mask | other.mask)
    }

    /// The bits set in both.
    #[inline(always)]
    pub fn and(self, other: Self) -> Self {
        let value = self.value & other.value;
        Tnum { value, mask: self.greatest() & other.greatest() & !value }
    }

    /// The bits set in either.
    #[inline(always)]
    pub fn or(self, other: Self) -> Self {
        let value = self.value | other.value;
        Tnum { value, mask: (self.mask | other.mask) & !value }
    }

    /// The bits that differ.
    #[inline(always)]
    pub fn xor(self, other: Self) -> Self {
        Tnum::masked(self.value ^ other.value, self.mask | other.mask)
    }

    /// Shifted left by less than the width.
    #[inline(always)]
    pub fn shl(self, amount: W) -> Self {
        Tnum { value: self.value.shl(amount), mask: self.mask.shl(amount) }
    }

    /// Shifted right by less than the width, zeros coming in.
    #[inline(always)]
    pub fn shr(self, amount: W) -> Self {
        Tnum { value: self.value.shr(amount), mask: self.mask.shr(amount) }
    }

    /// Shifted right by less than the width, the sign, known or not, coming in.
    #[inline(always)]
    pub fn sar(self, amount: W) -> Self {
        Tnum { value: self.value.sar(amount), mask: self.mask.sar(amount) }
    }

    /// The lower `size` bytes in reverse order, zeros above (`tnum_bswap16` and its
    /// siblings).
    #[inline(always)]
    pub fn swap_bytes(self, size: Size) -> Self {
        let swap = |word| byte_swap_on(Order::Swap, size, word);
        Tnum { value: swap(self.value), mask: swap(self.mask) }
    }

    /// The lower `bits` bits, zeros above; `bits` is less than the width.
    #[inline(always)]
    pub fn truncate(self, bits: u32) -> Self {
        let low = W::lit((1 << bits) - 1);
        Tnum { value: self.value & low, mask: self.mask & low }
    }
}

impl<W: Register> Tnum<W> {
    /// The product, by long multiplication over the bits of this: each adds the
    /// shifted `other`, or not, or perhaps.
    #[inline(always)]
    pub fn mul(self, other: Self) -> Self {
        let one = W::lit(1);
        let (mut left, mut right) = (self, other);
        let mut product = Tnum::constant(W::zero());
        for _ in 0..self.greatest().significant_bits() {
            product = product.add_product(left, right);
            (left, right) = (left.shr(one), right.shl(one));
        }
        product
    }

    /// The sum of this and `right` as often as the lowest bit of `left` says.
    #[inline(always)]
    pub(super) fn add_product(self, left: Self, right: Self) -> Self {
        let one = W::lit(1);
        let more = self.add(right);
        let set = (left.value & one).eq(one);
        let maybe = (left.mask & one).eq(one);
        Tnum::pick(set, more, Tnum::pick(maybe, self.join(more), self))
    }

    /// The lower half.
    #[inline(always)]
    pub fn lower(self) -> Tnum<W::Half> {
        Tnum { value: self.value.lower(), mask: self.mask.lower() }
    }

    /// This with another lower half.
    #[inline(always)]
    pub fn with_lower(self, lower: Tnum<W::Half>) -> Self {
        Tnum {
            value: W::join(self.value.upper(), lower.value),
            mask: W::join(self.mask.upper(), lower.mask),
        }
    }

    /// The half, zeros above.
    #[inline(always)]
    pub fn zero_extend(lower: Tnum<W::Half>) -> Self {
        Tnum { value: W::zero_extend(lower.value), mask: W::zero_extend(lower.mask) }
    }
}
