//! What compilers write where eBPF has no instruction: rotations as two shifts,
//! population counts as sums of masked halves, and divisions, which the machine has but
//! does slowly. Part of `simplify`.

use skep_isa::Width;

use super::bits::{bits_of, mask};
use super::simplify::Simplify;
use crate::ir::{Bin, Op, Val};

impl Simplify<'_> {
    /// A 32-bit rotation in 64-bit arithmetic, seen by its lower half.
    pub fn half_rotation(&mut self, up: Val, down: Val) -> Option<Val> {
        let Op::Bin(Bin::Shl, _, of, left) = self.func.op(up) else { return None };
        let Op::Bin(Bin::Shr, width, same, right) = self.func.op(down) else { return None };
        let (left, right) = (self.func.number(left)?, self.func.number(right)?);
        // The part that comes down must hold nothing above its 32 bits.
        if width != Width::W32 && !self.bits.is_half(same) {
            return None;
        }
        let (of, same) = (self.low(of, 32), self.low(same, 32));
        (of == same && left > 0 && left.checked_add(right) == Some(32))
            .then(|| self.with_number(Bin::Rotl, Width::W32, of, left))
    }

    /// `x << n | x >> (bits - n)`.
    pub fn rotation(&mut self, width: Width, up: Val, down: Val) -> Option<Val> {
        let Op::Bin(Bin::Shl, up_width, of, left) = self.func.op(up) else { return None };
        let Op::Bin(Bin::Shr, down_width, same, right) = self.func.op(down) else { return None };
        let half = up_width == Width::W32;
        if up_width != down_width || half != (width == Width::W32) && !half {
            return None;
        }
        if of != same && !(half && self.low(of, 32) == self.low(same, 32)) {
            return None;
        }
        let bits = u64::from(bits_of(up_width));
        let complement = match (self.func.number(left), self.func.number(right)) {
            (Some(left), Some(right)) => left > 0 && left.checked_add(right) == Some(bits),
            (None, None) => self.complements(left, right, bits),
            _ => false,
        };
        complement.then(|| self.bin(Bin::Rotl, up_width, of, left))
    }

    /// `x * (c << n) | x * c >> (bits - n)`: compilers put the shift into the factor.
    pub fn rotated_product(&mut self, width: Width, up: Val, down: Val) -> Option<Val> {
        let Op::Bin(Bin::Mul, up_width, of, high) = self.func.op(up) else { return None };
        let Op::Bin(Bin::Shr, down_width, product, right) = self.func.op(down) else { return None };
        let Op::Bin(Bin::Mul, inner, same, low) = self.func.op(product) else { return None };
        let bits = u64::from(bits_of(width));
        let (high, low) = (self.func.number(high)?, self.func.number(low)?);
        let left = bits.checked_sub(self.func.number(right)?)?;
        let shifted = low.checked_shl(left as u32).unwrap_or(0);
        let fits = [up_width, down_width, inner] == [width; 3]
            && of == same
            && (1..bits).contains(&left)
            && (high ^ shifted) & mask(bits as u32) == 0;
        fits.then(|| self.with_number(Bin::Rotl, width, product, left))
    }

    /// Whether `right` is surely `-left`, modulo the width.
    fn complements(&mut self, left: Val, right: Val, bits: u64) -> bool {
        let Op::Bin(Bin::Sub, width, from, of) = self.func.op(right) else { return false };
        let fits = self.func.number(from).is_some_and(|from| from.is_multiple_of(bits));
        let same = of == left || width == Width::W32 && self.low(of, 32) == self.low(left, 32);
        fits && same
    }

    /// Division by a constant as a multiplication by its reciprocal, in 64 bits where
    /// the product fits and by the product's upper half where it does not.
    ///
    /// With `m = 2^p / d + 1` (rounded down) and `e = m * d - 2^p`, `x * m >> p` is `x / d`
    /// for every `x` with `x * e < 2^p`.
    pub fn divide(&mut self, op: Bin, width: Width, left: Val, by: u64) -> Option<Val> {
        if by < 2 {
            return None;
        }
        // Of a quotient: that of the first dividend, which may be needed itself too.
        if let Op::Bin(Bin::Div, inner, of, first) = self.func.op(left)
            && inner == width
            && let Some(first) = self.func.number(first).filter(|&first| first > 1)
            && let Some(both) =
                by.checked_mul(first).filter(|both| both & !mask(bits_of(width)) == 0)
        {
            let quotient = self.with_number(Bin::Div, width, of, both);
            if op == Bin::Div {
                return Some(quotient);
            }
            let whole = self.with_number(Bin::Mul, width, quotient, by);
            return Some(self.bin(Bin::Sub, width, left, whole));
        }
        if !self.last {
            return None;
        }
        let left = self.as_result(width, left);
        let most = u128::from(self.bits.upper(left));
        let exact = |most: u128, by: u64, shift: u32| {
            let factor = (1u128 << shift) / u128::from(by) + 1;
            let error = factor.checked_mul(by.into())? - (1 << shift);
            let fits = factor <= u64::MAX.into() && most * error < 1 << shift;
            fits.then_some((factor as u64, shift))
        };
        // The factor whose product with all of the dividend fits.
        let short = |most: u128, by: u64| {
            let fits = |&(factor, _): &(u64, u32)| most * u128::from(factor) <= u64::MAX.into();
            (0..64).find_map(|shift| exact(most, by, shift).filter(fits))
        };
        let twos = by.trailing_zeros();
        let quotient = if let Some((factor, shift)) = short(most, by) {
            let product = self.with_number(Bin::Mul, Width::W64, left, factor);
            self.with_number(Bin::Shr, Width::W64, product, shift.into())
        } else if let Some((factor, shift)) = short(most >> twos, by >> twos) {
            // An even divisor's twos first: fewer bits are left.
            let odd = self.with_number(Bin::Shr, Width::W64, left, twos.into());
            let product = self.with_number(Bin::Mul, Width::W64, odd, factor);
            self.with_number(Bin::Shr, Width::W64, product, shift.into())
        } else {
            let (factor, shift) = (64..127).find_map(|shift| exact(most, by, shift))?;
            let product = self.with_number(Bin::MulHigh, Width::W64, left, factor);
            self.with_number(Bin::Shr, Width::W64, product, u64::from(shift) - 64)
        };
        if op == Bin::Div {
            return Some(quotient);
        }
        let whole = self.with_number(Bin::Mul, Width::W64, quotient, by);
        Some(self.bin(Bin::Sub, Width::W64, left, whole))
    }

    /// Counting ones in pairs, nibbles and bytes, whose sums a multiplication adds up:
    /// what compilers make of a population count, which eBPF has no instruction for.
    pub fn ones(&mut self, width: Width, product: Val, shift: u64) -> Option<Val> {
        let all = mask(bits_of(width));
        let with = |simplify: &Self, val: Val, wanted: Bin, number: u64| match simplify.func.op(val)
        {
            Op::Bin(op, inner, of, with) if op == wanted && (inner == width || op == Bin::And) => {
                let with = simplify.func.number(with)?;
                (with & all == number & all).then_some(of)
            }
            _ => None,
        };
        let shifted = |simplify: &Self, val: Val, of: Val, by: u64| {
            with(simplify, val, Bin::Shr, by).is_some_and(|from| from == of)
        };
        let sum = |simplify: &Self, val: Val| match simplify.func.op(val) {
            Op::Bin(Bin::Add, inner, left, right) if inner == width => Some((left, right)),
            _ => None,
        };
        if shift != u64::from(bits_of(width)) - 8 {
            return None;
        }
        let bytes = with(self, product, Bin::Mul, 0x0101_0101_0101_0101)?;
        let nibbles = with(self, bytes, Bin::And, 0x0f0f_0f0f_0f0f_0f0f)?;
        let (left, right) = sum(self, nibbles)?;
        let nibble = if shifted(self, right, left, 4) { left } else { right };
        if !shifted(self, left, nibble, 4) && !shifted(self, right, nibble, 4) {
            return None;
        }
        let (left, right) = sum(self, nibble)?;
        let pairs = 0x3333_3333_3333_3333;
        let low = with(self, left, Bin::And, pairs)?;
        let high = with(self, right, Bin::And, pairs)?;
        let pair = if shifted(self, high, low, 2) { low } else { high };
        if !shifted(self, low, pair, 2) && !shifted(self, high, pair, 2) {
            return None;
        }
        let Op::Bin(Bin::Sub, inner, of, odd) = self.func.op(pair) else { return None };
        let half = with(self, odd, Bin::And, 0x5555_5555_5555_5555)?;
        if inner != width || !shifted(self, half, of, 1) {
            return None;
        }
        let of = self.as_result(width, of);
        Some(self.make(Op::Ones(of)))
    }
}
