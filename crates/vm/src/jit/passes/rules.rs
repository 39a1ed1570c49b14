//! The algebra of `simplify`. A rule gives a value that is equal for all inputs; it
//! may make others on the way. Rules that look at how often a value is used only
//! choose between equal forms.

use skep_isa::{Cond, Width};

use super::bits::{bits_of, mask, negate};
use super::simplify::Simplify;
use crate::jit::ir::{Bin, Op, Val};

impl Simplify<'_> {
    /// An equal value, or the operation to compute in its usual form.
    pub fn rewrite(&mut self, op: Op) -> Result<Val, Op> {
        match op {
            Op::Const(number) => Ok(self.constant(number)),
            Op::Bin(op, width, left, right) => self.binary(op, width, left, right),
            Op::Ext { bits, signed, of } => self.extension(bits, signed, of),
            Op::Cmp(cond, width, left, right) => {
                let (cond, width, left, right) = self.comparison(cond, width, left, right);
                match self.decide(cond, width, left, right) {
                    Some(holds) => Ok(self.constant(holds.into())),
                    None => Err(Op::Cmp(cond, width, left, right)),
                }
            }
            Op::Select(test, yes, no) => {
                if yes == no {
                    return Ok(yes);
                }
                match self.func.number(test) {
                    Some(0) => Ok(no),
                    Some(_) => Ok(yes),
                    None => self.choice(test, yes, no).ok_or(op),
                }
            }
            Op::Ones(of) => match self.func.number(of) {
                Some(number) => Ok(self.constant(number.count_ones().into())),
                None => Err(op),
            },
            Op::Swap(bits, of) => match self.func.number(of) {
                Some(number) => Ok(self.constant(number.swap_bytes() >> (64 - bits))),
                None => Err(op),
            },
            op => Err(op),
        }
    }

    /// Selections that are arithmetic with the condition: 1 or 0, `x + 1` or `x`.
    fn choice(&mut self, test: Val, yes: Val, no: Val) -> Option<Val> {
        let Op::Cmp(cond, width, left, right) = self.func.op(test) else { return None };
        if (self.func.number(yes), self.func.number(no)) == (Some(1), Some(0)) {
            return Some(test);
        }
        if (self.func.number(yes), self.func.number(no)) == (Some(0), Some(1)) {
            let cond = negate(cond)?;
            return Some(self.make(Op::Cmp(cond, width, left, right)));
        }
        let more = |simplify: &Self, more: Val, than: Val| match simplify.func.op(more) {
            Op::Bin(Bin::Add, width, of, by)
                if of == than
                    && simplify.func.number(by) == Some(1)
                    && (width == Width::W64 || simplify.bits.is_half(than)) =>
            {
                Some(width)
            }
            _ => None,
        };
        if let Some(width) = more(self, yes, no) {
            return Some(self.bin(Bin::Add, width, no, test));
        }
        // One condition and another.
        if self.func.number(no) == Some(0) && self.bits.upper(yes) <= 1 {
            return Some(self.bin(Bin::And, Width::W64, test, yes));
        }
        let whole = width == Width::W64 || self.bits.is_half(yes) && self.bits.is_half(no);
        if whole && ((left, right) == (yes, no) || (left, right) == (no, yes)) {
            let op = match (cond, left == yes) {
                (Cond::Lt | Cond::Le, true) | (Cond::Gt | Cond::Ge, false) => Some(Bin::Min),
                (Cond::Gt | Cond::Ge, true) | (Cond::Lt | Cond::Le, false) => Some(Bin::Max),
                _ => None,
            };
            if let Some(op) = op {
                return Some(self.bin(op, Width::W64, yes, no));
            }
        }
        let (add, cond) = more(self, no, yes).zip(negate(cond))?;
        let test = self.make(Op::Cmp(cond, width, left, right));
        Some(self.bin(Bin::Add, add, yes, test))
    }

    fn bin(&mut self, op: Bin, width: Width, left: Val, right: Val) -> Val {
        self.make(Op::Bin(op, width, left, right))
    }

    fn with_number(&mut self, op: Bin, width: Width, left: Val, right: u64) -> Val {
        let right = self.constant(right);
        self.bin(op, width, left, right)
    }

    fn zero_extend(&mut self, bits: u8, of: Val) -> Val {
        self.make(Op::Ext { bits, signed: false, of })
    }

    /// The same value as a result of this width.
    fn as_result(&mut self, width: Width, val: Val) -> Val {
        match width {
            Width::W64 => val,
            Width::W32 => self.zero_extend(32, val),
        }
    }

    /// A value with the same lower `bits` bits: without what does not touch them.
    pub fn low(&mut self, mut val: Val, bits: u32) -> Val {
        loop {
            val = match self.func.op(val) {
                Op::Ext { bits: kept, of, .. } if u32::from(kept) >= bits => of,
                Op::Bin(Bin::And, _, of, with)
                    if self
                        .func
                        .number(with)
                        .is_some_and(|with| with & mask(bits) == mask(bits)) =>
                {
                    of
                }
                // A 32-bit rotation in 64-bit arithmetic.
                Op::Bin(Bin::Or, Width::W64, left, right) if bits == 32 => {
                    let rotated = self.half_rotation(left, right);
                    return rotated.or_else(|| self.half_rotation(right, left)).unwrap_or(val);
                }
                Op::Const(number) if bits < 64 => return self.constant(number & mask(bits)),
                _ => return val,
            }
        }
    }

    fn half_rotation(&mut self, up: Val, down: Val) -> Option<Val> {
        let Op::Bin(Bin::Shl, _, of, left) = self.func.op(up) else { return None };
        let Op::Bin(Bin::Shr, width, same, right) = self.func.op(down) else { return None };
        let (left, right) = (self.func.number(left)?, self.func.number(right)?);
        // The part that comes down must hold nothing above its 32 bits.
        if width != Width::W32 && !self.bits.is_half(same) {
            return None;
        }
        let (of, same) = (self.low(of, 32), self.low(same, 32));
        (of == same && left > 0 && left + right == 32)
            .then(|| self.with_number(Bin::Rotl, Width::W32, of, left))
    }

    fn binary(&mut self, op: Bin, width: Width, mut left: Val, mut right: Val) -> Result<Val, Op> {
        let bits = bits_of(width);
        if op.commutes() && self.func.number(left).is_some() && self.func.number(right).is_none() {
            (left, right) = (right, left);
        }
        if width == Width::W32 {
            (left, right) = (self.low(left, 32), self.low(right, 32));
        }
        if let (true, Some(amount)) = (op.shifts(), self.func.number(right)) {
            right = self.constant(amount & u64::from(bits - 1));
        }
        match (self.func.number(left), self.func.number(right)) {
            (Some(left), Some(right)) => Ok(self.constant(op.eval(width, left, right))),
            (_, Some(number)) => self.by_number(op, width, left, right, number),
            _ => self.by_value(op, width, left, right),
        }
    }

    /// Rules with a constant on the right; the amounts of shifts are reduced.
    fn by_number(
        &mut self,
        op: Bin,
        width: Width,
        left: Val,
        right: Val,
        number: u64,
    ) -> Result<Val, Op> {
        let bits = bits_of(width);
        let cut = number & mask(bits);
        match op {
            Bin::Add | Bin::Sub | Bin::Or | Bin::Xor if cut == 0 => {
                return Ok(self.as_result(width, left));
            }
            _ if op.shifts() && cut == 0 => return Ok(self.as_result(width, left)),
            Bin::Mul if cut == 0 => return Ok(self.constant(0)),
            Bin::Mul | Bin::Div if cut == 1 => return Ok(self.as_result(width, left)),
            Bin::Mul if cut.is_power_of_two() => {
                return Ok(self.with_number(Bin::Shl, width, left, cut.trailing_zeros().into()));
            }
            Bin::Div if cut.is_power_of_two() => {
                return Ok(self.with_number(Bin::Shr, width, left, cut.trailing_zeros().into()));
            }
            Bin::Mod if cut.is_power_of_two() => {
                return Ok(self.with_number(Bin::And, width, left, cut - 1));
            }
            Bin::Sub => {
                return Ok(self.with_number(Bin::Add, width, left, number.wrapping_neg()));
            }
            Bin::And if width == Width::W32 => {
                return Ok(self.with_number(Bin::And, Width::W64, left, cut));
            }
            _ => {}
        }
        if let Some(val) = self.chain(op, width, left, number) {
            return Ok(val);
        }
        if let Bin::Div | Bin::Mod = op
            && let Some(val) = self.divide(op, width, left, cut)
        {
            return Ok(val);
        }
        let zeros = self.bits.zeros(left);
        match op {
            // Here always 64 bits wide.
            Bin::And if !zeros & !number == 0 => return Ok(left),
            Bin::And if !zeros & number == 0 => return Ok(self.constant(0)),
            Bin::And if number == 0xff => return Ok(self.zero_extend(8, left)),
            Bin::And if number == 0xffff => return Ok(self.zero_extend(16, left)),
            Bin::And if number == 0xffff_ffff => return Ok(self.zero_extend(32, left)),
            // Bits that are shifted out need no mask.
            Bin::Shr if let Op::Bin(Bin::And, _, of, with) = self.func.op(left) => {
                if let Some(with) = self.func.number(with) {
                    let lost = !self.bits.zeros(of) & mask(bits) & !with;
                    if lost >> number == 0 {
                        return Ok(self.bin(Bin::Shr, width, of, right));
                    }
                }
            }
            Bin::Sar if width == Width::W64 && zeros >> 63 == 1 => {
                return Ok(self.bin(Bin::Shr, Width::W64, left, right));
            }
            Bin::Sar if width == Width::W32 && zeros >> 31 & 1 == 1 => {
                return Ok(self.bin(Bin::Shr, Width::W32, left, right));
            }
            _ => {}
        }
        if op == Bin::Shr
            && let Some(val) = self.ones(width, left, number)
        {
            return Ok(val);
        }
        if op == Bin::Shr && width == Width::W64 && number < 32 && self.bits.is_half(left) {
            return Ok(self.bin(Bin::Shr, Width::W32, left, right));
        }
        Err(Op::Bin(op, width, left, right))
    }

    /// Division by a constant as a multiplication by its reciprocal, in 64 bits where
    /// the product fits and by the product's upper half where it does not.
    ///
    /// With `m = 2^p / d + 1` (rounded down) and `e = m * d - 2^p`, `x * m >> p` is `x / d`
    /// for every `x` with `x * e < 2^p`.
    fn divide(&mut self, op: Bin, width: Width, left: Val, by: u64) -> Option<Val> {
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
        let exact = |shift: u32| {
            let factor = (1u128 << shift) / u128::from(by) + 1;
            let error = factor.checked_mul(by.into())? - (1 << shift);
            let fits = factor <= u64::MAX.into() && most * error < 1 << shift;
            fits.then_some((factor as u64, shift))
        };
        let short = |&(factor, _): &(u64, u32)| most * u128::from(factor) <= u64::MAX.into();
        let quotient =
            if let Some((factor, shift)) = (0..64).find_map(|shift| exact(shift).filter(short)) {
                let product = self.with_number(Bin::Mul, Width::W64, left, factor);
                self.with_number(Bin::Shr, Width::W64, product, shift.into())
            } else {
                let (factor, shift) = (64..127).find_map(exact)?;
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
    fn ones(&mut self, width: Width, product: Val, shift: u64) -> Option<Val> {
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

    /// Two operations with constants in a row as one.
    fn chain(&mut self, op: Bin, width: Width, left: Val, number: u64) -> Option<Val> {
        let Op::Bin(inner, inner_width, of, with) = self.func.op(left) else { return None };
        let with = self.func.number(with)?;
        if inner_width != width {
            return None;
        }
        let bits = u64::from(bits_of(width));
        let joined = match (op, inner) {
            (Bin::Add, Bin::Add) => number.wrapping_add(with),
            (Bin::And, Bin::And) => number & with,
            (Bin::Or, Bin::Or) => number | with,
            (Bin::Xor, Bin::Xor) => number ^ with,
            (Bin::Shl, Bin::Shl) | (Bin::Shr, Bin::Shr) => {
                if number + with >= bits {
                    return Some(self.constant(0));
                }
                number + with
            }
            (Bin::Sar, Bin::Shl) if width == Width::W32 && with == number => {
                let kept = match with {
                    16 => 16,
                    24 => 8,
                    _ => return None,
                };
                let of = self.make(Op::Ext { bits: kept, signed: true, of });
                return Some(self.zero_extend(32, of));
            }
            // Up and down again: an extension, shifted by the difference.
            (Bin::Shr, Bin::Shl) | (Bin::Sar, Bin::Shl) if width == Width::W64 => {
                if op == Bin::Shr && with == number {
                    return Some(self.with_number(Bin::And, width, of, u64::MAX >> with));
                }
                let kept = match with {
                    32 => 32,
                    48 => 16,
                    56 => 8,
                    _ => return None,
                };
                let of = self.make(Op::Ext { bits: kept, signed: op == Bin::Sar, of });
                return Some(match number.checked_sub(with) {
                    Some(more) => self.with_number(op, width, of, more),
                    None => self.with_number(Bin::Shl, width, of, with - number),
                });
            }
            _ => return None,
        };
        Some(self.with_number(op, width, of, joined))
    }

    /// Rules without a constant on the right.
    fn by_value(&mut self, op: Bin, width: Width, left: Val, right: Val) -> Result<Val, Op> {
        let bits = bits_of(width);
        if op.shifts() {
            // The machine takes amounts modulo the width too.
            match self.func.op(right) {
                Op::Bin(Bin::And, _, of, with)
                    if self.func.number(with).is_some_and(|with| {
                        let all = u64::from(bits - 1);
                        with & all == all
                    }) =>
                {
                    return Ok(self.bin(op, width, left, of));
                }
                Op::Ext { of, .. } => return Ok(self.bin(op, width, left, of)),
                _ => {}
            }
        }
        if left == right {
            match op {
                Bin::And | Bin::Or => return Ok(self.as_result(width, left)),
                Bin::Xor | Bin::Sub => return Ok(self.constant(0)),
                _ => {}
            }
        }
        // Constants go to the end of a sum, where addresses take them in.
        // (In 32 bits, which no address is, not if the sum is needed by itself too.)
        let sum = |simplify: &Self, val: Val| match simplify.func.op(val) {
            Op::Bin(Bin::Add, inner, of, with)
                if inner == width
                    && simplify.func.number(with).is_some()
                    && (width == Width::W64 || simplify.uses[val.at()] <= 1) =>
            {
                Some((of, with))
            }
            _ => None,
        };
        match op {
            Bin::Add => {
                if let Some((of, with)) = sum(self, left) {
                    let of = self.bin(Bin::Add, width, of, right);
                    return Ok(self.bin(Bin::Add, width, of, with));
                }
                if let Some((of, with)) = sum(self, right) {
                    let of = self.bin(Bin::Add, width, left, of);
                    return Ok(self.bin(Bin::Add, width, of, with));
                }
            }
            Bin::Sub => {
                if let Some((of, with)) = sum(self, left)
                    && of == right
                {
                    return Ok(self.as_result(width, with));
                }
            }
            _ => {}
        }
        let disjoint = self.bits.zeros(left) | self.bits.zeros(right) == u64::MAX;
        if op == Bin::Or || matches!(op, Bin::Add | Bin::Xor) && disjoint {
            let rotated = self.rotation(width, left, right);
            let rotated = rotated.or_else(|| self.rotation(width, right, left));
            let rotated = rotated.or_else(|| self.rotated_product(width, left, right));
            if let Some(val) = rotated.or_else(|| self.rotated_product(width, right, left)) {
                return Ok(val);
            }
        }
        Err(Op::Bin(op, width, left, right))
    }

    /// `x << n | x >> (bits - n)`.
    fn rotation(&mut self, width: Width, up: Val, down: Val) -> Option<Val> {
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
            (Some(left), Some(right)) => left > 0 && left + right == bits,
            (None, None) => self.complements(left, right, bits),
            _ => false,
        };
        complement.then(|| self.bin(Bin::Rotl, up_width, of, left))
    }

    /// `x * (c << n) | x * c >> (bits - n)`: compilers put the shift into the factor.
    fn rotated_product(&mut self, width: Width, up: Val, down: Val) -> Option<Val> {
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

    fn extension(&mut self, bits: u8, signed: bool, of: Val) -> Result<Val, Op> {
        let of = self.low(of, bits.into());
        let kept = mask(bits.into());
        if let Some(number) = self.func.number(of) {
            let up = 64 - u32::from(bits);
            let number = match signed {
                true => ((number << up) as i64 >> up) as u64,
                false => number & kept,
            };
            return Ok(self.constant(number));
        }
        let zeros = self.bits.zeros(of);
        let sign = 1 << (bits - 1);
        if zeros | kept == u64::MAX && (!signed || zeros & sign != 0) {
            return Ok(of);
        }
        if signed && zeros & sign != 0 {
            return Ok(self.zero_extend(bits, of));
        }
        // A 64-bit operation of which only the lower half is used.
        if bits == 32
            && !signed
            && self.uses[of.at()] <= 1
            && let Op::Bin(op, Width::W64, left, right) = self.func.op(of)
        {
            match op {
                Bin::Add | Bin::Sub | Bin::Mul | Bin::And | Bin::Or | Bin::Xor => {
                    return Ok(self.bin(op, Width::W32, left, right));
                }
                Bin::Shl => match self.func.number(right) {
                    Some(0..32) => return Ok(self.bin(op, Width::W32, left, right)),
                    Some(_) => return Ok(self.constant(0)),
                    None => {}
                },
                _ => {}
            }
        }
        Err(Op::Ext { bits, signed, of })
    }

    /// Whether a condition is one of order among signed numbers.
    pub fn is_signed(cond: Cond) -> bool {
        matches!(cond, Cond::Slt | Cond::Sle | Cond::Sgt | Cond::Sge)
    }
}
