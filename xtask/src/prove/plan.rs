//! At which width each obligation is proved: the widest of 64, 32, 16 and 8 bits that
//! z3 answers within ten minutes.

use skep_verify::domain::obligations::{Obligation, RangeFn};

/// The width for this obligation; what is proved by its parts gets theirs.
pub fn width(obligation: Obligation) -> u32 {
    match obligation {
        // That no product lies beyond those of the bounds is too much to multiply out.
        Obligation::Unsigned(RangeFn::Mul) | Obligation::Signed(RangeFn::Mul) => 8,
        _ => 64,
    }
}
