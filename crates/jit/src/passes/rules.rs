//! The algebra of `simplify`. A rule gives a value that is equal for all inputs; it
//! may make others on the way. Rules that look at how often a value is used only
//! choose between equal forms.

use skep_isa::{Cond, Width};

use super::bits::{bits_of, mask, negate};
use super::simplify::Simplify;
use crate::ir::{Bin, Op, Val};

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

    pub fn bin(&mut self, op: Bin, width: Width, left: Val, right: Val) -> Val {
        self.make(Op::Bin(op, width, left, right))
    }

    pub fn with_number(&mut self, op: Bin, width: Width, left: Val, right: u64) -> Val {
        let right = self.constant(right);
        self.bin(op, width, left, right)
    }

    fn zero_extend(&mut self, bits: u8, of: Val) -> Val {
        self.make(Op::Ext { bits, signed: false, of })
    }

    /// The same value as a result of this width.
    pub fn as_result(&mut self, width: Width, val: Val) -> Val {
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
