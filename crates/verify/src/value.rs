//! What is known of a 64-bit number: its bits, and its ranges read as unsigned and
//! signed, in 64 and in its lower 32 bits. Each keeps what the others cannot say.
//! Counterpart: the value part of `struct bpf_reg_state` and `tnum.c`.

use std::fmt;

use skep_isa::{AluOp, Cond, Width};

/// Known bits: a bit that is set in `mask` is unknown, else it is as in `value`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tnum {
    pub value: u64,
    pub mask: u64,
}

impl Tnum {
    pub(crate) const UNKNOWN: Tnum = Tnum { value: 0, mask: u64::MAX };

    pub(crate) const fn constant(value: u64) -> Tnum {
        Tnum { value, mask: 0 }
    }

    /// The tightest for all of `min..=max`.
    pub(crate) fn range(min: u64, max: u64) -> Tnum {
        let bits = 64 - (min ^ max).leading_zeros();
        if bits > 63 {
            return Tnum::UNKNOWN;
        }
        let delta = (1 << bits) - 1;
        Tnum { value: min & !delta, mask: delta }
    }

    pub(crate) fn is_constant(self) -> bool {
        self.mask == 0
    }

    fn shl(self, by: u32) -> Tnum {
        Tnum { value: self.value << by, mask: self.mask << by }
    }

    fn shr(self, by: u32) -> Tnum {
        Tnum { value: self.value >> by, mask: self.mask >> by }
    }

    fn sar(self, by: u32, width: Width) -> Tnum {
        let shift = |bits: u64| match width {
            Width::W32 => u64::from((bits as i32 >> by) as u32),
            Width::W64 => (bits as i64 >> by) as u64,
        };
        Tnum { value: shift(self.value), mask: shift(self.mask) }
    }

    pub(crate) fn add(self, other: Tnum) -> Tnum {
        let masks = self.mask.wrapping_add(other.mask);
        let values = self.value.wrapping_add(other.value);
        let carries = masks.wrapping_add(values) ^ values;
        let mask = carries | self.mask | other.mask;
        Tnum { value: values & !mask, mask }
    }

    pub(crate) fn sub(self, other: Tnum) -> Tnum {
        let difference = self.value.wrapping_sub(other.value);
        let borrows = difference.wrapping_add(self.mask) ^ difference.wrapping_sub(other.mask);
        let mask = borrows | self.mask | other.mask;
        Tnum { value: difference & !mask, mask }
    }

    fn and(self, other: Tnum) -> Tnum {
        let value = self.value & other.value;
        let may = (self.value | self.mask) & (other.value | other.mask);
        Tnum { value, mask: may & !value }
    }

    fn or(self, other: Tnum) -> Tnum {
        let value = self.value | other.value;
        Tnum { value, mask: (self.mask | other.mask) & !value }
    }

    fn xor(self, other: Tnum) -> Tnum {
        let mask = self.mask | other.mask;
        Tnum { value: (self.value ^ other.value) & !mask, mask }
    }

    fn union(self, other: Tnum) -> Tnum {
        let mask = (self.value ^ other.value) | self.mask | other.mask;
        Tnum { value: self.value & other.value & !mask, mask }
    }

    /// What both say; a bit on which they disagree counts as set.
    fn intersect(self, other: Tnum) -> Tnum {
        let mask = self.mask & other.mask;
        Tnum { value: (self.value | other.value) & !mask, mask }
    }

    fn mul(mut self, mut other: Tnum) -> Tnum {
        let mut sum = Tnum::constant(0);
        while self.value | self.mask != 0 {
            if self.value & 1 != 0 {
                sum = sum.add(other);
            } else if self.mask & 1 != 0 {
                sum = sum.union(sum.add(other));
            }
            self = self.shr(1);
            other = other.shl(1);
        }
        sum
    }

    fn overlaps(self, other: Tnum) -> bool {
        let known = !self.mask & !other.mask;
        self.value & known == other.value & known
    }

    /// Whether all numbers of `other` are among its own.
    pub(crate) fn contains(self, other: Tnum) -> bool {
        other.mask & !self.mask == 0 && self.value == other.value & !self.mask
    }

    fn low_bytes(self, bytes: u32) -> Tnum {
        let keep = if bytes >= 8 { u64::MAX } else { (1 << (8 * bytes)) - 1 };
        Tnum { value: self.value & keep, mask: self.mask & keep }
    }

    pub(crate) fn low(self) -> Tnum {
        self.low_bytes(4)
    }

    fn with_low(self, low: Tnum) -> Tnum {
        self.shr(32).shl(32).or(low.low())
    }

    /// Whether it is a multiple of `size`, a power of two.
    pub(crate) fn is_aligned(self, size: u64) -> bool {
        (self.value | self.mask) & (size.max(1) - 1) == 0
    }
}

impl fmt::Display for Tnum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.mask, self.value) {
            (0, 0..=0xffff) => write!(f, "{}", self.value),
            (0, _) => write!(f, "{:#x}", self.value),
            _ => write!(f, "({:#x}; {:#x})", self.value, self.mask),
        }
    }
}

/// What is known of a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Value {
    pub bits: Tnum,
    pub smin: i64,
    pub smax: i64,
    pub umin: u64,
    pub umax: u64,
    pub smin32: i32,
    pub smax32: i32,
    pub umin32: u32,
    pub umax32: u32,
}

impl Value {
    /// Any number.
    pub(crate) const UNKNOWN: Value = Value {
        bits: Tnum::UNKNOWN,
        smin: i64::MIN,
        smax: i64::MAX,
        umin: 0,
        umax: u64::MAX,
        smin32: i32::MIN,
        smax32: i32::MAX,
        umin32: 0,
        umax32: u32::MAX,
    };

    pub(crate) const fn constant(value: u64) -> Value {
        Value {
            bits: Tnum::constant(value),
            smin: value as i64,
            smax: value as i64,
            umin: value,
            umax: value,
            smin32: value as i32,
            smax32: value as i32,
            umin32: value as u32,
            umax32: value as u32,
        }
    }

    pub(crate) fn as_constant(&self) -> Option<u64> {
        self.bits.is_constant().then_some(self.bits.value)
    }

    pub(crate) fn is_constant(&self) -> bool {
        self.bits.is_constant()
    }

    /// The constant that it is, in this width.
    pub(crate) fn constant_in(&self, width: Width) -> Option<u64> {
        let bits = if width == Width::W32 { self.bits.low() } else { self.bits };
        bits.is_constant().then_some(bits.value)
    }

    /// Bits that the largest number needs.
    pub(crate) fn width(&self) -> u32 {
        64 - self.umax.leading_zeros()
    }

    /// Whether each number of `other` is one of its own, as far as ranges and bits say.
    pub(crate) fn contains(&self, other: &Value) -> bool {
        self.range_contains(other) && self.bits.contains(other.bits)
    }

    fn range_contains(&self, other: &Value) -> bool {
        self.umin <= other.umin
            && self.umax >= other.umax
            && self.smin <= other.smin
            && self.smax >= other.smax
            && self.umin32 <= other.umin32
            && self.umax32 >= other.umax32
            && self.smin32 <= other.smin32
            && self.smax32 >= other.smax32
    }

    fn forget_ranges64(&mut self) {
        (self.smin, self.smax, self.umin, self.umax) = (i64::MIN, i64::MAX, 0, u64::MAX);
    }

    pub(crate) fn forget_ranges32(&mut self) {
        (self.smin32, self.smax32, self.umin32, self.umax32) = (i32::MIN, i32::MAX, 0, u32::MAX);
    }

    pub(crate) fn forget_ranges(&mut self) {
        self.forget_ranges64();
        self.forget_ranges32();
    }

    fn ranges32_from_bits(&mut self) {
        let low = self.bits.low();
        let (value, mask) = (low.value as u32, low.mask as u32);
        self.smin32 = self.smin32.max((value | (mask & 0x8000_0000)) as i32);
        self.smax32 = self.smax32.min((value | (mask & 0x7fff_ffff)) as i32);
        self.umin32 = self.umin32.max(value);
        self.umax32 = self.umax32.min(value | mask);
    }

    fn ranges_from_bits(&mut self) {
        self.ranges32_from_bits();
        let (value, mask) = (self.bits.value, self.bits.mask);
        self.smin = self.smin.max((value | (mask & 1 << 63)) as i64);
        self.smax = self.smax.min((value | (mask & !(1 << 63))) as i64);
        self.umin = self.umin.max(value);
        self.umax = self.umax.min(value | mask);
    }

    fn narrow_u32(&mut self, min: u32, max: u32) {
        self.umin32 = self.umin32.max(min);
        self.umax32 = self.umax32.min(max);
    }

    fn narrow_s32(&mut self, min: i32, max: i32) {
        self.smin32 = self.smin32.max(min);
        self.smax32 = self.smax32.min(max);
    }

    fn deduce32(&mut self) {
        let (umin, umax) = (self.umin, self.umax);
        if umin >> 32 == umax >> 32 {
            self.narrow_u32(umin as u32, umax as u32);
            if umin as i32 <= umax as i32 {
                self.narrow_s32(umin as i32, umax as i32);
            }
        }
        let (smin, smax) = (self.smin, self.smax);
        if smin >> 32 == smax >> 32 {
            if smin as u32 <= smax as u32 {
                self.narrow_u32(smin as u32, smax as u32);
            }
            if smin as i32 <= smax as i32 {
                self.narrow_s32(smin as i32, smax as i32);
            }
        }
        let next = |min: u64, max: u64| ((min >> 32) as u32).wrapping_add(1) == (max >> 32) as u32;
        if next(umin, umax) && (umin as i32) < 0 && umax as i32 >= 0 {
            self.narrow_s32(umin as i32, umax as i32);
        }
        if next(smin as u64, smax as u64) && (smin as i32) < 0 && smax as i32 >= 0 {
            self.narrow_s32(smin as i32, smax as i32);
        }
        if self.umin32 as i32 <= self.umax32 as i32 {
            self.narrow_s32(self.umin32 as i32, self.umax32 as i32);
        }
        if self.smin32 as u32 <= self.smax32 as u32 {
            self.narrow_u32(self.smin32 as u32, self.smax32 as u32);
        } else if self.umax32 < self.smin32 as u32 {
            self.smin32 = self.umin32 as i32;
            self.umax32 = self.umax32.min(self.smax32 as u32);
        } else if (self.smax32 as u32) < self.umin32 {
            self.smax32 = self.umax32 as i32;
            self.umin32 = self.umin32.max(self.smin32 as u32);
        }
    }

    fn deduce64(&mut self) {
        if self.umin as i64 <= self.umax as i64 {
            self.smin = self.smin.max(self.umin as i64);
            self.smax = self.smax.min(self.umax as i64);
        }
        if self.smin as u64 <= self.smax as u64 {
            self.umin = self.umin.max(self.smin as u64);
            self.umax = self.umax.min(self.smax as u64);
        } else if self.umax < self.smin as u64 {
            self.smin = self.umin as i64;
            self.umax = self.umax.min(self.smax as u64);
        } else if (self.smax as u64) < self.umin {
            self.smax = self.umax as i64;
            self.umin = self.umin.max(self.smin as u64);
        }
    }

    fn deduce_mixed(&mut self) {
        let with_low = |high: u64, low: u32| high & !0xffff_ffff | u64::from(low);
        self.umin = self.umin.max(with_low(self.umin, self.umin32));
        self.umax = self.umax.min(with_low(self.umax, self.umax32));
        self.smin = self.smin.max(with_low(self.smin as u64, self.umin32) as i64);
        self.smax = self.smax.min(with_low(self.smax as u64, self.umax32) as i64);
        if self.smin32 >= 0 && self.smin >= i64::from(i32::MIN) && self.smax <= i64::from(i32::MAX)
        {
            (self.smin, self.smax) = (self.smin32.into(), self.smax32.into());
            (self.umin, self.umax) = (self.smin as u64, self.smax as u64);
            self.bits = self.bits.intersect(Tnum::range(self.umin, self.umax));
        }
    }

    /// Lets bits and ranges learn from each other.
    pub(crate) fn sync(&mut self) {
        self.ranges_from_bits();
        for _ in 0..3 {
            self.deduce32();
            self.deduce64();
            self.deduce_mixed();
        }
        let bits = self.bits.intersect(Tnum::range(self.umin, self.umax));
        let low = bits.low().intersect(Tnum::range(self.umin32.into(), self.umax32.into()));
        self.bits = bits.shr(32).shl(32).or(low);
        self.ranges_from_bits();
    }

    /// What is inconsistent in it, if anything: it stands for no number at all.
    pub(crate) fn violation(&self) -> Option<&'static str> {
        if self.umin > self.umax
            || self.smin > self.smax
            || self.umin32 > self.umax32
            || self.smin32 > self.smax32
        {
            return Some("range bounds violation");
        }
        if let Some(value) = self.as_constant()
            && ((self.umin, self.umax) != (value, value)
                || (self.smin, self.smax) != (value as i64, value as i64))
        {
            return Some("const tnum out of sync with range bounds");
        }
        if let Some(value) = self.constant_in(Width::W32)
            && ((self.umin32, self.umax32) != (value as u32, value as u32)
                || (self.smin32, self.smax32) != (value as i32, value as i32))
        {
            return Some("const subreg tnum out of sync with range bounds");
        }
        None
    }

    /// Clears the upper half.
    pub(crate) fn zero_extend(&mut self) {
        self.bits = self.bits.low();
        (self.umin, self.umax) = (self.umin32.into(), self.umax32.into());
        (self.smin, self.smax) = if self.smin32 >= 0 && self.smax32 >= 0 {
            (self.smin32.into(), self.smax32.into())
        } else {
            (0, u32::MAX.into())
        };
    }

    /// Keeps the lower `bytes` (fewer than 8), zero-extended.
    pub(crate) fn truncate(&mut self, bytes: u32) {
        self.bits = self.bits.low_bytes(bytes);
        let mask = (1 << (8 * bytes)) - 1;
        if self.umin & !mask == self.umax & !mask {
            self.umin &= mask;
            self.umax &= mask;
        } else {
            (self.umin, self.umax) = (0, mask);
        }
        (self.smin, self.smax) = (self.umin as i64, self.umax as i64);
        if bytes < 4 {
            self.forget_ranges32();
        }
        self.sync();
    }

    /// Keeps the lower `bytes` (1, 2 or 4), sign-extended to 64 bits.
    pub(crate) fn sign_extend(&mut self, bytes: u32) {
        let extend = |value: i64| value << (64 - 8 * bytes) >> (64 - 8 * bytes);
        if let Some(value) = self.as_constant() {
            *self = Value::constant(extend(value as i64) as u64);
            return;
        }
        let top = |value: i64| (value as u64) >> (8 * bytes);
        if top(self.smin) == top(self.smax) {
            let (a, b) = (extend(self.smin), extend(self.smax));
            let (min, max) = (a.min(b), a.max(b));
            if (min >= 0) == (max >= 0) {
                (self.smin, self.smax, self.umin, self.umax) = (min, max, min as u64, max as u64);
                (self.smin32, self.smax32) = (min as i32, max as i32);
                (self.umin32, self.umax32) = (min as u32, max as u32);
                self.bits = Tnum::range(min as u64, max as u64);
                return;
            }
        }
        let limit = 1i64 << (8 * bytes - 1);
        *self = Value {
            smin: -limit,
            smax: limit - 1,
            smin32: -limit as i32,
            smax32: (limit - 1) as i32,
            ..Value::UNKNOWN
        };
    }

    /// Keeps the lower `bytes` (1 or 2), sign-extended to 32 bits; the upper half is
    /// for the caller to clear.
    pub(crate) fn sign_extend32(&mut self, bytes: u32) {
        let extend = |value: i32| value << (32 - 8 * bytes) >> (32 - 8 * bytes);
        if let Some(value) = self.as_constant() {
            let value = extend(value as i32);
            self.bits = Tnum::constant(u64::from(value as u32));
            (self.smin32, self.smax32) = (value, value);
            (self.umin32, self.umax32) = (value as u32, value as u32);
            return;
        }
        let top = |value: i32| (value as u32) >> (8 * bytes);
        if top(self.smin32) == top(self.smax32) {
            let (a, b) = (extend(self.smin32), extend(self.smax32));
            let (min, max) = (a.min(b), a.max(b));
            if (min >= 0) == (max >= 0) {
                (self.smin32, self.smax32) = (min, max);
                (self.umin32, self.umax32) = (min as u32, max as u32);
                self.bits = Tnum::range(min as i64 as u64, max as i64 as u64).low();
                return;
            }
        }
        let limit = 1i32 << (8 * bytes - 1);
        (self.smin32, self.smax32) = (-limit, limit - 1);
        (self.umin32, self.umax32) = (0, u32::MAX);
        self.bits = Tnum::UNKNOWN.low();
    }

    /// `self op other`, where the operation says anything about ranges; else any number.
    pub(crate) fn alu(mut self, op: AluOp, width: Width, other: &Value) -> Value {
        if !computable(op, width, other) {
            return Value::UNKNOWN;
        }
        match op {
            AluOp::Add => self.add_assign(other),
            AluOp::Sub => self.sub_assign(other),
            AluOp::Mul => self.mul_assign(other),
            AluOp::And | AluOp::Or | AluOp::Xor => self.bitwise(op, other),
            AluOp::Lsh => self.shift_left(width, other.umin as u32),
            AluOp::Rsh => self.shift_right(width, other.umin as u32),
            AluOp::Arsh => self.shift_arithmetic(width, other.umin as u32),
            AluOp::Div | AluOp::SDiv | AluOp::Mod | AluOp::SMod | AluOp::Mov => {}
        }
        if width == Width::W32 {
            self.zero_extend();
        }
        self.sync();
        self
    }

    /// `-self`.
    pub(crate) fn negate(self, width: Width) -> Value {
        let mut zero = Value::constant(0);
        zero.sub_assign(&self);
        if width == Width::W32 {
            zero.zero_extend();
        }
        zero.sync();
        zero
    }

    pub(crate) fn add_assign(&mut self, other: &Value) {
        (self.smin32, self.smax32) =
            match (self.smin32.checked_add(other.smin32), self.smax32.checked_add(other.smax32)) {
                (Some(min), Some(max)) => (min, max),
                _ => (i32::MIN, i32::MAX),
            };
        let (min, max) =
            (self.umin32.overflowing_add(other.umin32), self.umax32.overflowing_add(other.umax32));
        (self.umin32, self.umax32) = if !min.1 && max.1 { (0, u32::MAX) } else { (min.0, max.0) };
        (self.smin, self.smax) =
            match (self.smin.checked_add(other.smin), self.smax.checked_add(other.smax)) {
                (Some(min), Some(max)) => (min, max),
                _ => (i64::MIN, i64::MAX),
            };
        let (min, max) =
            (self.umin.overflowing_add(other.umin), self.umax.overflowing_add(other.umax));
        (self.umin, self.umax) = if !min.1 && max.1 { (0, u64::MAX) } else { (min.0, max.0) };
        self.bits = self.bits.add(other.bits);
    }

    fn sub_assign(&mut self, other: &Value) {
        (self.smin32, self.smax32) =
            match (self.smin32.checked_sub(other.smax32), self.smax32.checked_sub(other.smin32)) {
                (Some(min), Some(max)) => (min, max),
                _ => (i32::MIN, i32::MAX),
            };
        let (min, max) =
            (self.umin32.overflowing_sub(other.umax32), self.umax32.overflowing_sub(other.umin32));
        (self.umin32, self.umax32) = if min.1 && !max.1 { (0, u32::MAX) } else { (min.0, max.0) };
        (self.smin, self.smax) =
            match (self.smin.checked_sub(other.smax), self.smax.checked_sub(other.smin)) {
                (Some(min), Some(max)) => (min, max),
                _ => (i64::MIN, i64::MAX),
            };
        let (min, max) =
            (self.umin.overflowing_sub(other.umax), self.umax.overflowing_sub(other.umin));
        (self.umin, self.umax) = if min.1 && !max.1 { (0, u64::MAX) } else { (min.0, max.0) };
        self.bits = self.bits.sub(other.bits);
    }

    fn mul_assign(&mut self, other: &Value) {
        let corners = |a: [i64; 2], b: [i64; 2]| -> Option<(i64, i64)> {
            let mut all = [0; 4];
            for (index, place) in all.iter_mut().enumerate() {
                *place = a[index / 2].checked_mul(b[index % 2])?;
            }
            Some((*all.iter().min()?, *all.iter().max()?))
        };
        let corners32 = corners(
            [self.smin32.into(), self.smax32.into()],
            [other.smin32.into(), other.smax32.into()],
        );
        let fits = |value: i64| i32::try_from(value).ok();
        (self.umin32, self.umax32) =
            match (self.umax32.checked_mul(other.umax32), self.umin32.checked_mul(other.umin32)) {
                (Some(max), Some(min)) => (min, max),
                _ => (0, u32::MAX),
            };
        (self.smin32, self.smax32) = corners32
            .and_then(|(min, max)| Some((fits(min)?, fits(max)?)))
            .unwrap_or((i32::MIN, i32::MAX));
        (self.umin, self.umax) =
            match (self.umax.checked_mul(other.umax), self.umin.checked_mul(other.umin)) {
                (Some(max), Some(min)) => (min, max),
                _ => (0, u64::MAX),
            };
        (self.smin, self.smax) = corners([self.smin, self.smax], [other.smin, other.smax])
            .unwrap_or((i64::MIN, i64::MAX));
        self.bits = self.bits.mul(other.bits);
    }

    fn bitwise(&mut self, op: AluOp, other: &Value) {
        let known32 = self.constant_in(Width::W32).and(other.constant_in(Width::W32)).is_some();
        let known = self.is_constant() && other.is_constant();
        self.bits = match op {
            AluOp::And => self.bits.and(other.bits),
            AluOp::Or => self.bits.or(other.bits),
            _ => self.bits.xor(other.bits),
        };
        let low = self.bits.low();
        let (value, most) = (low.value as u32, (low.value | low.mask) as u32);
        if known32 {
            (self.smin32, self.smax32) = (value as i32, value as i32);
            (self.umin32, self.umax32) = (value, value);
        } else {
            (self.umin32, self.umax32) = match op {
                AluOp::And => (value, self.umax32.min(other.umax32)),
                AluOp::Or => (self.umin32.max(other.umin32), most),
                _ => (value, most),
            };
            (self.smin32, self.smax32) = if self.umin32 as i32 <= self.umax32 as i32 {
                (self.umin32 as i32, self.umax32 as i32)
            } else {
                (i32::MIN, i32::MAX)
            };
        }
        if known {
            *self = Value::constant(self.bits.value);
            return;
        }
        let (value, most) = (self.bits.value, self.bits.value | self.bits.mask);
        (self.umin, self.umax) = match op {
            AluOp::And => (value, self.umax.min(other.umax)),
            AluOp::Or => (self.umin.max(other.umin), most),
            _ => (value, most),
        };
        (self.smin, self.smax) = if self.umin as i64 <= self.umax as i64 {
            (self.umin as i64, self.umax as i64)
        } else {
            (i64::MIN, i64::MAX)
        };
        self.ranges_from_bits();
    }

    fn shift_left(&mut self, width: Width, by: u32) {
        if width == Width::W64 {
            let wide = |low: i32| i64::from(low) << 32;
            self.smax = if by == 32 && self.smax32 >= 0 { wide(self.smax32) } else { i64::MAX };
            self.smin = if by == 32 && self.smin32 >= 0 { wide(self.smin32) } else { i64::MIN };
            if self.umax > 1 << (63 - by) {
                (self.umin, self.umax) = (0, u64::MAX);
            } else {
                self.umin <<= by;
                self.umax <<= by;
            }
        }
        (self.smin32, self.smax32) = (i32::MIN, i32::MAX);
        if by > 31 || u64::from(self.umax32) > 1 << (31 - by) {
            (self.umin32, self.umax32) = (0, u32::MAX);
        } else {
            self.umin32 <<= by;
            self.umax32 = u64::from(self.umax32).wrapping_shl(by) as u32;
        }
        if width == Width::W64 {
            self.bits = self.bits.shl(by);
            self.ranges_from_bits();
        } else {
            self.bits = self.bits.low().shl(by).low();
            self.forget_ranges64();
            self.ranges32_from_bits();
        }
    }

    fn shift_right(&mut self, width: Width, by: u32) {
        if width == Width::W64 {
            (self.smin, self.smax) = (i64::MIN, i64::MAX);
            self.bits = self.bits.shr(by);
            self.umin >>= by;
            self.umax >>= by;
            self.forget_ranges32();
            self.ranges_from_bits();
        } else {
            (self.smin32, self.smax32) = (i32::MIN, i32::MAX);
            self.bits = self.bits.low().shr(by);
            self.umin32 >>= by;
            self.umax32 >>= by;
            self.forget_ranges64();
            self.ranges32_from_bits();
        }
    }

    fn shift_arithmetic(&mut self, width: Width, by: u32) {
        if width == Width::W64 {
            self.smin >>= by;
            self.smax >>= by;
            self.bits = self.bits.sar(by, width);
            (self.umin, self.umax) = (0, u64::MAX);
            self.forget_ranges32();
            self.ranges_from_bits();
        } else {
            self.smin32 >>= by;
            self.smax32 >>= by;
            self.bits = self.bits.low().sar(by, width);
            (self.umin32, self.umax32) = (0, u32::MAX);
            self.forget_ranges64();
            self.ranges32_from_bits();
        }
    }

    /// Whether `a cond b` always or never holds.
    pub(crate) fn decide(cond: Cond, width: Width, a: &Value, b: &Value) -> Option<bool> {
        let narrow = width == Width::W32;
        let bits = |v: &Value| if narrow { v.bits.low() } else { v.bits };
        let unsigned =
            |v: &Value| if narrow { (v.umin32.into(), v.umax32.into()) } else { (v.umin, v.umax) };
        let signed =
            |v: &Value| if narrow { (v.smin32.into(), v.smax32.into()) } else { (v.smin, v.smax) };
        let less = |(min1, max1), (min2, max2)| above_all(min2, max2, min1, max1);
        let sless = |(min1, max1), (min2, max2)| above_all_signed(min2, max2, min1, max1);
        match cond {
            Cond::Eq | Cond::Ne => {
                let equal = if let (Some(x), Some(y)) = (a.constant_in(width), b.constant_in(width))
                {
                    Some(x == y)
                } else if !bits(a).overlaps(bits(b))
                    || disjoint(unsigned(a), unsigned(b))
                    || disjoint(signed(a), signed(b))
                    || (!narrow
                        && (disjoint((a.umin32, a.umax32), (b.umin32, b.umax32))
                            || disjoint((a.smin32, a.smax32), (b.smin32, b.smax32))))
                {
                    Some(false)
                } else {
                    None
                };
                equal.map(|equal| equal == (cond == Cond::Eq))
            }
            Cond::Set => {
                let (a, constant) = match (b.constant_in(width), a.constant_in(width)) {
                    (Some(constant), _) => (a, constant),
                    (None, Some(constant)) => (b, constant),
                    _ => return None,
                };
                let bits = bits(a);
                if !bits.mask & bits.value & constant != 0 {
                    Some(true)
                } else if (bits.mask | bits.value) & constant == 0 {
                    Some(false)
                } else {
                    None
                }
            }
            Cond::Gt => less(unsigned(b), unsigned(a)),
            Cond::Lt => less(unsigned(a), unsigned(b)),
            Cond::Le => less(unsigned(b), unsigned(a)).map(|held| !held),
            Cond::Ge => less(unsigned(a), unsigned(b)).map(|held| !held),
            Cond::Sgt => sless(signed(b), signed(a)),
            Cond::Slt => sless(signed(a), signed(b)),
            Cond::Sle => sless(signed(b), signed(a)).map(|held| !held),
            Cond::Sge => sless(signed(a), signed(b)).map(|held| !held),
        }
    }

    /// Learns that `a cond b` holds, or does not.
    pub(crate) fn refine(cond: Cond, holds: bool, width: Width, a: &mut Value, b: &mut Value) {
        let narrow = width == Width::W32;
        match (cond, holds) {
            (Cond::Eq, true) | (Cond::Ne, false) => refine_equal(narrow, a, b),
            (Cond::Ne, true) | (Cond::Eq, false) => {
                if let Some(value) = b.constant_in(width) {
                    a.exclude(narrow, value);
                } else if let Some(value) = a.constant_in(width) {
                    b.exclude(narrow, value);
                }
            }
            (Cond::Set, _) => {
                let (value, constant) = match (b.constant_in(width), a.constant_in(width)) {
                    (Some(constant), _) => (a, constant),
                    (None, Some(constant)) => (b, constant),
                    _ => return,
                };
                let part = if narrow { value.bits.low() } else { value.bits };
                let part = if holds {
                    if !constant.is_power_of_two() {
                        return;
                    }
                    part.or(Tnum::constant(constant))
                } else {
                    value.forget_ranges();
                    part.and(Tnum::constant(!constant))
                };
                value.bits = if narrow { value.bits.with_low(part) } else { part };
            }
            (Cond::Le, true) | (Cond::Gt, false) => refine_le(narrow, a, b),
            (Cond::Ge, true) | (Cond::Lt, false) => refine_le(narrow, b, a),
            (Cond::Lt, true) | (Cond::Ge, false) => refine_lt(narrow, a, b),
            (Cond::Gt, true) | (Cond::Le, false) => refine_lt(narrow, b, a),
            (Cond::Sle, true) | (Cond::Sgt, false) => refine_sle(narrow, a, b),
            (Cond::Sge, true) | (Cond::Slt, false) => refine_sle(narrow, b, a),
            (Cond::Slt, true) | (Cond::Sge, false) => refine_slt(narrow, a, b),
            (Cond::Sgt, true) | (Cond::Sle, false) => refine_slt(narrow, b, a),
        }
    }

    /// A number at the edge of a range is none of it.
    fn exclude(&mut self, narrow: bool, value: u64) {
        if narrow {
            self.umin32 = self.umin32.wrapping_add((self.umin32 == value as u32).into());
            self.umax32 = self.umax32.wrapping_sub((self.umax32 == value as u32).into());
            self.smin32 = self.smin32.wrapping_add((self.smin32 == value as i32).into());
            self.smax32 = self.smax32.wrapping_sub((self.smax32 == value as i32).into());
        } else {
            self.umin = self.umin.wrapping_add((self.umin == value).into());
            self.umax = self.umax.wrapping_sub((self.umax == value).into());
            self.smin = self.smin.wrapping_add((self.smin == value as i64).into());
            self.smax = self.smax.wrapping_sub((self.smax == value as i64).into());
        }
    }
}

fn refine_equal(narrow: bool, a: &mut Value, b: &mut Value) {
    if narrow {
        a.narrow_u32(b.umin32, b.umax32);
        a.narrow_s32(b.smin32, b.smax32);
        (b.umin32, b.umax32) = (a.umin32, a.umax32);
        (b.smin32, b.smax32) = (a.smin32, a.smax32);
        let low = a.bits.low().intersect(b.bits.low());
        a.bits = a.bits.with_low(low);
        b.bits = b.bits.with_low(low);
    } else {
        (a.umin, a.umax) = (a.umin.max(b.umin), a.umax.min(b.umax));
        (a.smin, a.smax) = (a.smin.max(b.smin), a.smax.min(b.smax));
        (b.umin, b.umax, b.smin, b.smax) = (a.umin, a.umax, a.smin, a.smax);
        a.bits = a.bits.intersect(b.bits);
        b.bits = a.bits;
    }
}

fn refine_le(narrow: bool, a: &mut Value, b: &mut Value) {
    if narrow {
        a.umax32 = a.umax32.min(b.umax32);
        b.umin32 = b.umin32.max(a.umin32);
    } else {
        a.umax = a.umax.min(b.umax);
        b.umin = b.umin.max(a.umin);
    }
}

fn refine_lt(narrow: bool, a: &mut Value, b: &mut Value) {
    if narrow {
        a.umax32 = a.umax32.min(b.umax32.wrapping_sub(1));
        b.umin32 = b.umin32.max(a.umin32.wrapping_add(1));
    } else {
        a.umax = a.umax.min(b.umax.wrapping_sub(1));
        b.umin = b.umin.max(a.umin.wrapping_add(1));
    }
}

fn refine_sle(narrow: bool, a: &mut Value, b: &mut Value) {
    if narrow {
        a.smax32 = a.smax32.min(b.smax32);
        b.smin32 = b.smin32.max(a.smin32);
    } else {
        a.smax = a.smax.min(b.smax);
        b.smin = b.smin.max(a.smin);
    }
}

fn refine_slt(narrow: bool, a: &mut Value, b: &mut Value) {
    if narrow {
        a.smax32 = a.smax32.min(b.smax32.wrapping_sub(1));
        b.smin32 = b.smin32.max(a.smin32.wrapping_add(1));
    } else {
        a.smax = a.smax.min(b.smax.wrapping_sub(1));
        b.smin = b.smin.max(a.smin.wrapping_add(1));
    }
}

fn disjoint<T: PartialOrd>(a: (T, T), b: (T, T)) -> bool {
    a.0 > b.1 || a.1 < b.0
}

/// Whether all of `min1..=max1` is above all of `min2..=max2`, or never.
fn above_all(min1: u64, max1: u64, min2: u64, max2: u64) -> Option<bool> {
    if min1 > max2 {
        Some(true)
    } else if max1 <= min2 {
        Some(false)
    } else {
        None
    }
}

fn above_all_signed(min1: i64, max1: i64, min2: i64, max2: i64) -> Option<bool> {
    if min1 > max2 {
        Some(true)
    } else if max1 <= min2 {
        Some(false)
    } else {
        None
    }
}

/// Whether the operation's result has ranges: shifts only by a constant in range,
/// division never.
pub(crate) fn computable(op: AluOp, width: Width, src: &Value) -> bool {
    match op {
        AluOp::Lsh | AluOp::Rsh | AluOp::Arsh => {
            let (constant, bits) = match width {
                Width::W32 => (
                    src.constant_in(width).is_some()
                        && src.smin32 == src.smax32
                        && src.umin32 == src.umax32,
                    32,
                ),
                Width::W64 => {
                    (src.is_constant() && src.smin == src.smax && src.umin == src.umax, 64)
                }
            };
            constant && src.umax < bits
        }
        AluOp::Div | AluOp::SDiv | AluOp::Mod | AluOp::SMod => false,
        _ => true,
    }
}
