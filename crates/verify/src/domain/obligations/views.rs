//! Claims about single views: tnums and ranges.

use super::draw::Draw;
use super::{RangeFn, Source, TnumFn};
use crate::domain::range::{Range, Sign, Signed, Unsigned};
use crate::domain::register::Register;
use crate::domain::tnum::Tnum;

impl<W: Register, S: Source<W>> Draw<'_, W, S> {
    /// The result contains the word that the operation gives, or what the function is
    /// asked holds of a word that both operands contain.
    pub(super) fn tnum_claim(&mut self, function: TnumFn) -> Option<W::Bit> {
        let ((a, x), (b, y)) = (self.tnum(), self.tnum());
        let (result, word) = match function {
            TnumFn::Add => (a.add(b), x + y),
            TnumFn::Sub => (a.sub(b), x - y),
            TnumFn::Mul => (a.mul(b), x * y),
            TnumFn::And => (a.and(b), x & y),
            TnumFn::Or => (a.or(b), x | y),
            TnumFn::Xor => (a.xor(b), x ^ y),
            TnumFn::Shl => (a.shl(self.amount(y)?), x.shl(y)),
            TnumFn::Shr => (a.shr(self.amount(y)?), x.shr(y)),
            TnumFn::Sar => (a.sar(self.amount(y)?), x.sar(y)),
            TnumFn::Meet => {
                self.source.assume(b.contains(x))?;
                (a.meet(b), x)
            }
            // Whichever word is the lesser: one of them or the other.
            TnumFn::Join => (a.join(b), W::pick(x.ult(y), x, y)),
            TnumFn::Range => {
                let range = self.range::<Unsigned>(x)?;
                (Tnum::range(range.min, range.max), x)
            }
            TnumFn::Unsigned => return Some(self.planted_range(a.unsigned()).contains(x)),
            TnumFn::Signed => return Some(self.planted_range(a.signed()).contains(x)),
            TnumFn::Overlaps => {
                self.source.assume(b.contains(x))?;
                return Some(self.answer(a.overlaps(b)));
            }
            TnumFn::Includes => return Some(!self.answer(a.includes(b)) | a.contains(y)),
            TnumFn::IsAligned => {
                let size = W::lit(1).shl(self.amount(y)?);
                let rest = x & (size - W::lit(1));
                return Some(!self.answer(a.is_aligned(size)) | rest.eq(W::lit(0)));
            }
            TnumFn::NextMember => {
                self.source.assume(!y.ult(a.value))?;
                let next = self.answer(is_next_member(a, y, a.next_member(y), x));
                return Some(next);
            }
            TnumFn::OnlyMember => {
                let range = self.range::<Unsigned>(x)?.meet(a.unsigned());
                let (next, after) = (self.source.word(), self.source.word());
                self.source.assume(is_next_member(a, range.min, next, x))?;
                self.source.assume(is_next_member(a, next, after, x))?;
                let (found, only) = a.only_member(range, next, after);
                return Some(!self.answer(found) | only.eq(x));
            }
            TnumFn::OnlyMemberWithin => {
                let range = self.range::<Unsigned>(x)?.meet(a.unsigned());
                let (found, only) = a.only_member_within(range);
                return Some(!self.answer(found) | only.eq(x));
            }
            TnumFn::AddProduct => {
                let (left, bits) = self.tnum();
                let odd = (bits & W::lit(1)).eq(W::lit(1));
                (a.add_product(left, b), x + W::pick(odd, y, W::lit(0)))
            }
            // What is left of a product when a bit of its left factor is done.
            TnumFn::LongMultiplication => {
                let (half, bit) = (x, self.source.word());
                let whole = (half + half + bit) * y;
                return Some(self.answer(whole.eq(bit * y + half * (y + y))));
            }
        };
        let result = self.planted_tnum(result);
        Some(result.contains(word) & result.well_formed())
    }

    /// Likewise for ranges of one sign.
    pub(super) fn range_claim<O: Sign>(&mut self, function: RangeFn) -> Option<W::Bit> {
        let (x, y) = (self.source.word(), self.source.word());
        let (a, b) = (self.range::<O>(x)?, self.range::<O>(y)?);
        let (result, word) = match function {
            RangeFn::Add => (a.add(b), x + y),
            RangeFn::Sub => (a.sub(b), x - y),
            RangeFn::Mul => (a.mul(b), x * y),
            RangeFn::AddUnwrapped => (a.add_unwrapped(b), x + y),
            RangeFn::SubUnwrapped => (a.sub_unwrapped(b), x - y),
            RangeFn::Shl | RangeFn::Shr => {
                let (range, amount) = (a.cast::<Unsigned>(), self.amount(y)?);
                let (result, word) = match function {
                    RangeFn::Shl => (range.shl(amount), x.shl(y)),
                    _ => (range.shr(amount), x.shr(y)),
                };
                (result.cast(), word)
            }
            RangeFn::Sar => (a.cast::<Signed>().sar(self.amount(y)?).cast(), x.sar(y)),
            RangeFn::Meet => {
                self.source.assume(b.contains(x))?;
                (a.meet(b), x)
            }
            RangeFn::Without => {
                self.source.assume(!x.eq(y))?;
                (a.without(y), x)
            }
            RangeFn::CastOrFull => {
                let unsigned = self.planted_range(a.cast_or_full::<Unsigned>());
                let signed = self.planted_range(a.cast_or_full::<Signed>());
                return Some(unsigned.contains(x) & signed.contains(x));
            }
            RangeFn::Includes => return Some(!self.answer(a.includes(b)) | a.contains(y)),
            RangeFn::Disjoint => {
                self.source.assume(b.contains(x))?;
                return Some(self.answer(!a.disjoint(b)));
            }
            // Draws other words: see `monotone_claim`.
            RangeFn::Monotone => return None,
            RangeFn::Below => return Some(!self.answer(a.below(b)) | O::less(x, y)),
        };
        Some(self.planted_range::<O>(result).contains(word))
    }

    /// If the products of one word with two others do not wrap, then those with the words
    /// between them do not, and lie between those products.
    pub(super) fn monotone_claim<O: Sign>(&mut self) -> Option<W::Bit> {
        let (factor, word) = (self.source.word(), self.source.word());
        let range = self.range::<O>(word)?;
        self.source.assume(!O::product_wraps(factor, range.min))?;
        self.source.assume(!O::product_wraps(factor, range.max))?;
        let (product, ends) = (factor * word, [factor * range.min, factor * range.max]);
        let rising = Range::<W, O>::new(ends[0], ends[1]).contains(product);
        let falling = Range::<W, O>::new(ends[1], ends[0]).contains(product);
        let wraps = [O::product_wraps(factor, word), O::product_wraps(word, factor)];
        Some(self.answer(!wraps[0] & !wraps[1] & (rising | falling)))
    }

    /// A shift's amount, which is less than the width.
    fn amount(&mut self, word: W) -> Option<W> {
        self.source.assume(word.ult(W::lit(W::BITS.into())))?;
        Some(word)
    }
}

/// What is to be known of the member that follows `word`, as seen from any `member`.
fn is_next_member<W: Register>(tnum: Tnum<W>, word: W, next: W, member: W) -> W::Bit {
    let skipped = word.ult(member) & member.ult(next);
    let (last, goes_on) = (tnum.greatest(), word.ult(tnum.greatest()));
    tnum.contains(next) & !skipped & (!goes_on | word.ult(next)) & (goes_on | next.eq(last))
}
