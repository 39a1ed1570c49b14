//! Truncation, sign extension and swapped bytes: what loads, `movsx` and `bswap` make
//! of a scalar (`coerce_reg_to_size`, `coerce_reg_to_size_sx`,
//! `coerce_subreg_to_size_sx`, `scalar_byte_swap`).

use skep_isa::{Order, Size, Width, Word};

use super::range::{Range, Signed, Unsigned};
use super::register::{Register, WordExt};
use super::scalar::Scalar;
use super::tnum::Tnum;

impl<W: Register> Scalar<W> {
    /// The lower `size` bytes, zeros above, synchronised.
    #[inline]
    pub fn truncate(self, size: Size) -> Self {
        if size == Size::DW { self } else { self.cut(size).sync() }
    }

    /// The lower `size` bytes, sign-extended to `width`. A 64-bit extension is not
    /// synchronised, as in Linux; `size` is less than `width`.
    #[inline]
    pub fn movsx(self, width: Width, size: Size) -> Self {
        match width {
            Width::W64 => self.sign_extend(width_of::<W>(size)),
            Width::W32 => self.sign_extend32(size).sync(),
        }
    }

    /// The lower `size` bytes in another order, zeros above, synchronised.
    #[inline]
    pub fn byte_swap(self, order: Order, size: Size) -> Self {
        match order {
            Order::Le => self.truncate(size),
            Order::Be | Order::Swap => {
                let swapped = Scalar::of_tnum(self.tnum.swap_bytes(size));
                if size == Size::DW { swapped.sync() } else { swapped.truncate(size) }
            }
        }
    }

    /// The lower `size` bytes, less than all, zeros above. Not synchronised.
    #[inline(always)]
    pub(super) fn cut(self, size: Size) -> Self {
        let bits = width_of::<W>(size);
        let low = W::lit((1 << bits) - 1);
        let same = (self.unsigned.min & !low).eq(self.unsigned.max & !low);
        let unsigned = Range::pick(
            same,
            Range::new(self.unsigned.min & low, self.unsigned.max & low),
            Range::new(W::zero(), low),
        );
        let tnum = self.tnum.truncate(bits);
        let cut = Scalar { tnum, unsigned, signed: unsigned.cast(), ..self };
        if size < Size::W { cut.unbounded32() } else { cut }
    }

    /// The lower `bits` bits of the register, sign-extended.
    #[inline(always)]
    fn sign_extend(self, bits: u32) -> Self {
        let (holds, range) = extended(self.signed, bits);
        let (lower, tnum) = (range.lower::<Signed>(), Tnum::range(range.min, range.max));
        let known = Scalar {
            tnum,
            unsigned: range.cast(),
            signed: range,
            unsigned32: lower.cast(),
            signed32: lower,
        };
        let limits = limits::<W>(bits);
        let open = Scalar { signed: limits, signed32: limits.lower(), ..Scalar::unknown() };
        let value = Scalar::constant(self.tnum.value.extend_sign(W::BITS - bits));
        Scalar::pick(self.is_constant(), value, Scalar::pick(holds, known, open))
    }

    /// The lower `size` bytes, sign-extended into the lower half, zeros above. Not
    /// synchronised.
    #[inline(always)]
    pub(super) fn sign_extend32(self, size: Size) -> Self {
        let bits = width_of::<W>(size);
        let (holds, range) = extended(self.signed32, bits);
        let known = Scalar {
            tnum: Tnum::zero_extend(Tnum::range(range.min, range.max)),
            unsigned32: range.cast::<Unsigned>(),
            signed32: range,
            ..self
        };
        let open = Scalar {
            tnum: Tnum::zero_extend(Tnum::unknown()),
            unsigned32: Range::full(),
            signed32: limits::<W::Half>(bits),
            ..self
        };
        let value = Scalar::constant(self.tnum.value.extend_sign(W::BITS - bits));
        let extended = Scalar::pick(holds, known, open);
        Scalar::pick(self.is_constant(), value, extended).zero_extend()
    }
}

/// How many bits that many bytes are, on a word of this width.
fn width_of<W: Word>(size: Size) -> u32 {
    size.bytes() * W::BITS / 8
}

/// The numbers of `bits` bits.
#[inline(always)]
fn limits<V: Word>(bits: u32) -> Range<V, Signed> {
    let greatest = V::lit((1 << (bits - 1)) - 1);
    Range::new(!greatest, greatest)
}

/// The range of the lower `bits` bits, sign-extended, and whether it holds: all bits
/// above are the same throughout, and no sign changes.
#[inline(always)]
fn extended<V: Word>(range: Range<V, Signed>, bits: u32) -> (V::Bit, Range<V, Signed>) {
    let high = V::ones().shl_by(bits);
    let same = (range.min & high).eq(range.max & high);
    let extend = |word: V| word.extend_sign(V::BITS - bits);
    let (min, max) = (extend(range.min), extend(range.max));
    let same_sign = !(min ^ max).is_negative();
    (same & same_sign, Range::new(min, max))
}
