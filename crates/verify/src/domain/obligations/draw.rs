//! Draws of views and scalars that contain a word, and the errors planted in results.

use std::marker::PhantomData;
use std::ops::Not;

use skep_isa::Word;

use super::{Plant, Source};
use crate::domain::range::{Range, Sign};
use crate::domain::register::Register;
use crate::domain::scalar::Scalar;
use crate::domain::tnum::Tnum;

/// A draw under way.
pub struct Draw<'a, W, S> {
    pub(super) source: &'a mut S,
    plant: Option<Plant>,
    word: PhantomData<W>,
}

impl<'a, W: Register, S: Source<W>> Draw<'a, W, S> {
    /// Draws from `source`, to plant this error in results.
    pub fn new(source: &'a mut S, plant: Option<Plant>) -> Self {
        Draw { source, plant, word: PhantomData }
    }

    /// A tnum and a word that it contains.
    pub(super) fn tnum(&mut self) -> (Tnum<W>, W) {
        let (word, mask) = (self.source.word(), self.source.word());
        (Tnum { value: word & !mask, mask }, word)
    }

    /// A range that contains the word.
    pub(super) fn range<O: Sign>(&mut self, word: W) -> Option<Range<W, O>> {
        let min = self.source.word();
        self.source.assume(!O::less(word, min))?;
        let max = self.source.word();
        self.source.assume(!O::less(max, word))?;
        Some(Range::new(min, max))
    }

    /// A range of lower halves that contains this one.
    pub(super) fn range32<O: Sign>(&mut self, half: W::Half) -> Option<Range<W::Half, O>> {
        let min = self.source.half();
        self.source.assume(!O::less(half, min))?;
        let max = self.source.half();
        self.source.assume(!O::less(max, half))?;
        Some(Range::new(min, max))
    }

    /// Any scalar, consistent or not, and a word that it contains.
    pub(super) fn loose_scalar(&mut self) -> Option<(Scalar<W>, W)> {
        let (tnum, word) = self.tnum();
        let scalar = Scalar {
            tnum,
            unsigned: self.range(word)?,
            signed: self.range(word)?,
            unsigned32: self.range32(word.lower())?,
            signed32: self.range32(word.lower())?,
        };
        Some((scalar, word))
    }

    /// Any consistent scalar and a word that it contains.
    pub fn scalar(&mut self) -> Option<(Scalar<W>, W)> {
        if let Some(prepared) = self.source.scalar() {
            return Some(prepared);
        }
        let (scalar, word) = self.loose_scalar()?;
        self.source.assume(scalar.is_consistent())?;
        Some((scalar, word))
    }

    /// The result, with the error that is to be planted.
    pub(super) fn planted(&self, result: Scalar<W>) -> Scalar<W> {
        let mut planted = result;
        match self.plant {
            None | Some(Plant::Answer) => {}
            Some(Plant::Bits) => planted.tnum = self.planted_tnum(result.tnum),
            Some(Plant::Unsigned) => planted.unsigned = without_max(result.unsigned),
            Some(Plant::Signed) => planted.signed = without_min(result.signed),
            Some(Plant::Unsigned32) => planted.unsigned32 = without_max(result.unsigned32),
            Some(Plant::Signed32) => planted.signed32 = without_min(result.signed32),
        }
        planted
    }

    pub(super) fn planted_tnum(&self, result: Tnum<W>) -> Tnum<W> {
        match self.plant {
            Some(Plant::Bits) => Tnum { mask: result.mask & (result.mask - W::lit(1)), ..result },
            _ => result,
        }
    }

    /// Either end is left out, whatever the sign.
    pub(super) fn planted_range<O: Sign>(&self, result: Range<W, O>) -> Range<W, O> {
        match self.plant {
            Some(Plant::Unsigned) => without_max(result),
            Some(Plant::Signed) => without_min(result),
            _ => result,
        }
    }

    /// The answer, turned round if that is to be planted.
    pub(super) fn answer<B: Copy + Not<Output = B>>(&self, bit: B) -> B {
        if self.plant == Some(Plant::Answer) { !bit } else { bit }
    }
}

fn without_max<W: Word, O: Sign>(range: Range<W, O>) -> Range<W, O> {
    Range::new(range.min, range.max - W::lit(1))
}

fn without_min<W: Word, O: Sign>(range: Range<W, O>) -> Range<W, O> {
    Range::new(range.min + W::lit(1), range.max)
}
