//! Numbers that are known, worked out as 64-bit arithmetic that never wraps.

use crate::trace::ast::{BinaryOp, ExprKind};

/// Largest number with a sign.
const SIGNED: i128 = i64::MAX as i128;

/// The literal that an operator gives; `None` if it overflows.
pub(super) fn work_out(op: BinaryOp, left: i128, right: i128) -> Option<ExprKind> {
    let signed = left < 0 || right < 0;
    if signed && (left > SIGNED || right > SIGNED) {
        return None;
    }
    if op.gives_truth() {
        return Some(ExprKind::Bool(match op {
            BinaryOp::Eq => left == right,
            BinaryOp::Ne => left != right,
            BinaryOp::Le => left <= right,
            BinaryOp::Ge => left >= right,
            BinaryOp::Lt => left < right,
            BinaryOp::Gt => left > right,
            BinaryOp::And => left != 0 && right != 0,
            _ => left != 0 || right != 0,
        }));
    }
    let shift = || u32::try_from(right).ok().filter(|by| *by < 64);
    let value = match op {
        BinaryOp::Add => left + right,
        BinaryOp::Sub => {
            let value = left - right;
            if signed && value > SIGNED {
                return None;
            }
            value
        }
        BinaryOp::Mul => left.checked_mul(right)?,
        BinaryOp::Div => left.checked_div(right)?,
        BinaryOp::Mod => left.checked_rem(right)?,
        BinaryOp::BitAnd => left & right,
        BinaryOp::BitOr => left | right,
        BinaryOp::BitXor => left ^ right,
        // Shifts cut off what does not fit.
        BinaryOp::Left if signed => i128::from((left as i64) << shift()?),
        BinaryOp::Left => i128::from((left as u64) << shift()?),
        _ => left >> shift()?,
    };
    if value < 0 {
        return i64::try_from(value).ok().map(ExprKind::Negative);
    }
    u64::try_from(value).ok().map(|value| ExprKind::Int(value, None))
}
