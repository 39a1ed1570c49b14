//! The arithmetic of the instruction set (RFC 9669, sections 4.1 to 4.3), written
//! once over [`Word`]: what the interpreter computes, and the specification that
//! the verifier's transfer functions are proved against.
//!
//! A register is one word; a 32-bit operation works on its lower half and clears
//! the upper. On a word of `N` bits, "32 bits" are `N / 2`, "a byte" is `N / 8`.

use crate::word::{W64, Word};
use crate::{AluOp, Cond, Order, Size, Width};

/// `dst op src`.
#[inline(always)]
pub fn alu_on<W: Word>(op: AluOp, width: Width, dst: W, src: W) -> W {
    match width {
        Width::W64 => full(op, dst, src, W::BITS),
        Width::W32 => match op {
            AluOp::SDiv | AluOp::SMod | AluOp::Arsh => {
                let half = W::BITS / 2;
                full(op, dst.extend_sign(half), half_operand(op, src), half).low()
            }
            _ => full(op, dst.low(), src.low(), W::BITS / 2).low(),
        },
    }
}

/// The right operand of a signed 32-bit operation: sign-extended, but for shifts.
#[inline(always)]
fn half_operand<W: Word>(op: AluOp, src: W) -> W {
    if matches!(op, AluOp::Arsh) { src } else { src.extend_sign(W::BITS / 2) }
}

/// The operation on whole words; shift amounts count modulo `bits`.
#[inline(always)]
fn full<W: Word>(op: AluOp, dst: W, src: W, bits: u32) -> W {
    let zero = W::lit(0);
    let amount = src & W::lit((bits - 1).into());
    let by_zero = src.eq(zero);
    let divisor = || W::pick(by_zero, W::lit(1), src);
    match op {
        AluOp::Add => dst + src,
        AluOp::Sub => dst - src,
        AluOp::Mul => dst * src,
        AluOp::Div => W::pick(by_zero, zero, dst.udiv(divisor())),
        AluOp::SDiv => W::pick(by_zero, zero, dst.sdiv(divisor())),
        AluOp::Mod => W::pick(by_zero, dst, dst.urem(divisor())),
        AluOp::SMod => W::pick(by_zero, dst, dst.srem(divisor())),
        AluOp::Or => dst | src,
        AluOp::And => dst & src,
        AluOp::Xor => dst ^ src,
        AluOp::Mov => src,
        AluOp::Lsh => dst.shl(amount),
        AluOp::Rsh => dst.shr(amount),
        AluOp::Arsh => dst.sar(amount),
    }
}

/// `-dst`.
#[inline(always)]
pub fn neg_on<W: Word>(width: Width, dst: W) -> W {
    match width {
        Width::W64 => dst.negate(),
        Width::W32 => dst.negate().low(),
    }
}

/// The lower `from` bytes, sign-extended to `width`.
#[inline(always)]
pub fn movsx_on<W: Word>(width: Width, from: Size, src: W) -> W {
    let extended = src.extend_sign(W::BITS - from.bytes() * W::BITS / 8);
    match width {
        Width::W64 => extended,
        Width::W32 => extended.low(),
    }
}

/// The lower `size` bytes in another order; on a little-endian machine, "to little
/// endian" only cuts off the rest.
#[inline(always)]
pub fn byte_swap_on<W: Word>(order: Order, size: Size, dst: W) -> W {
    let (byte, count) = (W::BITS / 8, size.bytes());
    let mask = W::lit(u64::MAX >> (64 - byte));
    let mut result = W::lit(0);
    for index in 0..count {
        let to = match order {
            Order::Le => index,
            Order::Be | Order::Swap => count - 1 - index,
        };
        let bits = dst.shr(W::lit((index * byte).into())) & mask;
        result = result | bits.shl(W::lit((to * byte).into()));
    }
    result
}

/// `left cond right`.
#[inline(always)]
pub fn condition_on<W: Word>(cond: Cond, width: Width, left: W, right: W) -> W::Bit {
    let signed = matches!(cond, Cond::Sgt | Cond::Sge | Cond::Slt | Cond::Sle);
    let half = W::BITS / 2;
    let (left, right) = match (width, signed) {
        (Width::W64, _) => (left, right),
        (Width::W32, true) => (left.extend_sign(half), right.extend_sign(half)),
        (Width::W32, false) => (left.low(), right.low()),
    };
    match cond {
        Cond::Eq => left.eq(right),
        Cond::Ne => !left.eq(right),
        Cond::Set => !(left & right).eq(W::lit(0)),
        Cond::Gt => right.ult(left),
        Cond::Ge => !left.ult(right),
        Cond::Lt => left.ult(right),
        Cond::Le => !right.ult(left),
        Cond::Sgt => right.slt(left),
        Cond::Sge => !left.slt(right),
        Cond::Slt => left.slt(right),
        Cond::Sle => !right.slt(left),
    }
}

/// [`alu_on`] on a machine word.
#[inline(always)]
pub fn alu(op: AluOp, width: Width, dst: u64, src: u64) -> u64 {
    alu_on(op, width, W64(dst), W64(src)).0
}

/// [`neg_on`] on a machine word.
#[inline(always)]
pub fn neg(width: Width, dst: u64) -> u64 {
    neg_on(width, W64(dst)).0
}

/// [`movsx_on`] on a machine word.
#[inline(always)]
pub fn movsx(width: Width, from: Size, src: u64) -> u64 {
    movsx_on(width, from, W64(src)).0
}

/// [`byte_swap_on`] on a machine word.
#[inline(always)]
pub fn byte_swap(order: Order, size: Size, dst: u64) -> u64 {
    byte_swap_on(order, size, W64(dst)).0
}

/// [`condition_on`] on machine words.
#[inline(always)]
pub fn condition(cond: Cond, width: Width, left: u64, right: u64) -> bool {
    condition_on(cond, width, W64(left), W64(right))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::word::Bits;

    /// The operations on Rust's own integers.
    fn native32(op: AluOp, a: u32, b: u32) -> u32 {
        let (x, y) = (a as i32, b as i32);
        match op {
            AluOp::Add => a.wrapping_add(b),
            AluOp::Sub => a.wrapping_sub(b),
            AluOp::Mul => a.wrapping_mul(b),
            AluOp::Div => a.checked_div(b).unwrap_or(0),
            AluOp::SDiv if b == 0 => 0,
            AluOp::SDiv => x.wrapping_div(y) as u32,
            AluOp::Mod => a.checked_rem(b).unwrap_or(a),
            AluOp::SMod if b == 0 => a,
            AluOp::SMod => x.wrapping_rem(y) as u32,
            AluOp::Or => a | b,
            AluOp::And => a & b,
            AluOp::Xor => a ^ b,
            AluOp::Mov => b,
            AluOp::Lsh => a << (b & 31),
            AluOp::Rsh => a >> (b & 31),
            AluOp::Arsh => (x >> (b & 31)) as u32,
        }
    }

    fn native64(op: AluOp, a: u64, b: u64) -> u64 {
        let (x, y) = (a as i64, b as i64);
        match op {
            AluOp::Add => a.wrapping_add(b),
            AluOp::Sub => a.wrapping_sub(b),
            AluOp::Mul => a.wrapping_mul(b),
            AluOp::Div => a.checked_div(b).unwrap_or(0),
            AluOp::SDiv if b == 0 => 0,
            AluOp::SDiv => x.wrapping_div(y) as u64,
            AluOp::Mod => a.checked_rem(b).unwrap_or(a),
            AluOp::SMod if b == 0 => a,
            AluOp::SMod => x.wrapping_rem(y) as u64,
            AluOp::Or => a | b,
            AluOp::And => a & b,
            AluOp::Xor => a ^ b,
            AluOp::Mov => b,
            AluOp::Lsh => a << (b & 63),
            AluOp::Rsh => a >> (b & 63),
            AluOp::Arsh => (x >> (b & 63)) as u64,
        }
    }

    const EDGES: [u64; 14] = [
        0,
        1,
        2,
        7,
        31,
        32,
        63,
        0x7fff_ffff,
        0x8000_0000,
        0xffff_ffff,
        0x1_0000_0000,
        i64::MAX as u64,
        i64::MIN as u64,
        u64::MAX,
    ];

    #[test]
    fn machine_words_compute_what_native_integers_do() {
        for op in AluOp::ALL {
            for a in EDGES {
                for b in EDGES {
                    assert_eq!(
                        alu(op, Width::W64, a, b),
                        native64(op, a, b),
                        "{op:?} {a:#x} {b:#x}"
                    );
                    let half = native32(op, a as u32, b as u32);
                    assert_eq!(alu(op, Width::W32, a, b), half.into(), "{op:?} {a:#x} {b:#x}");
                }
            }
        }
    }

    #[test]
    fn comparisons_are_those_of_native_integers() {
        for a in EDGES {
            for b in EDGES {
                let (x, y) = (a as i64, b as i64);
                assert_eq!(condition(Cond::Slt, Width::W64, a, b), x < y);
                assert_eq!(condition(Cond::Ge, Width::W64, a, b), a >= b);
                assert_eq!(condition(Cond::Sge, Width::W32, a, b), x as i32 >= y as i32);
                assert_eq!(condition(Cond::Gt, Width::W32, a, b), a as u32 > b as u32);
                assert_eq!(condition(Cond::Set, Width::W32, a, b), a as u32 & b as u32 != 0);
            }
        }
    }

    #[test]
    fn extensions_and_byte_orders() {
        assert_eq!(movsx(Width::W64, Size::B, 0x80), 0xffff_ffff_ffff_ff80);
        assert_eq!(movsx(Width::W32, Size::H, 0xffff_8000), 0xffff_8000);
        assert_eq!(byte_swap(Order::Be, Size::H, 0xaabb_ccdd), 0xddcc);
        assert_eq!(byte_swap(Order::Le, Size::W, 0x1122_3344_5566_7788), 0x5566_7788);
        assert_eq!(byte_swap(Order::Swap, Size::DW, 0x1122_3344_5566_7788), 0x8877_6655_4433_2211);
        assert_eq!(neg(Width::W32, 1), 0xffff_ffff);
    }

    /// What an operation gives on `bits` bits, by plain integers.
    fn plain(op: AluOp, bits: u32, p: u32, q: u32) -> u32 {
        let signed = |value: u32| (value << (32 - bits)) as i32 >> (32 - bits);
        let (x, y, amount) = (signed(p), signed(q), q & (bits - 1));
        let result = match op {
            AluOp::SDiv if q == 0 => 0,
            AluOp::SDiv => (x / y) as u32,
            AluOp::SMod if q == 0 => p,
            AluOp::SMod => (x % y) as u32,
            AluOp::Lsh => p << amount,
            AluOp::Rsh => p >> amount,
            AluOp::Arsh => (x >> amount) as u32,
            _ => native32(op, p, q),
        };
        result & ((1 << bits) - 1)
    }

    /// Every pair of words of `N` bits, with halves of `N / 2`.
    fn every_pair<const N: u32>() {
        let half = (1 << (N / 2)) - 1;
        for a in Bits::<N>::all() {
            for b in Bits::<N>::all() {
                let (p, q) = (a.unsigned(), b.unsigned());
                for op in AluOp::ALL {
                    let full = alu_on(op, Width::W64, a, b).unsigned();
                    assert_eq!(full, plain(op, N, p, q), "{op:?} {p} {q}");
                    let low = alu_on(op, Width::W32, a, b).unsigned();
                    assert_eq!(low, plain(op, N / 2, p & half, q & half), "{op:?} {p} {q} low");
                }
                for (width, bits) in [(Width::W64, N), (Width::W32, N / 2)] {
                    let signed = |value: u32| (value << (32 - bits)) as i32 >> (32 - bits);
                    let cut = |value: u32| value & ((1 << bits) - 1);
                    let (p, q, x, y) = (cut(p), cut(q), signed(p), signed(q));
                    let expected = [
                        (Cond::Eq, p == q),
                        (Cond::Ne, p != q),
                        (Cond::Set, p & q != 0),
                        (Cond::Gt, p > q),
                        (Cond::Ge, p >= q),
                        (Cond::Lt, p < q),
                        (Cond::Le, p <= q),
                        (Cond::Sgt, x > y),
                        (Cond::Sge, x >= y),
                        (Cond::Slt, x < y),
                        (Cond::Sle, x <= y),
                    ];
                    for (cond, holds) in expected {
                        assert_eq!(condition_on(cond, width, a, b), holds, "{cond:?} {p} {q}");
                    }
                }
            }
        }
    }

    #[test]
    fn small_words_behave_as_large_ones_do() {
        every_pair::<4>();
        every_pair::<8>();
    }
}
