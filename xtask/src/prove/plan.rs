//! At which width each obligation is proved: the widest of 64, 32, 16 and 8 bits that
//! z3 answers within ten minutes.

use skep_verify::domain::obligations::{Obligation, RangeFn};

/// The width for this obligation; what is proved by its parts gets theirs.
pub fn width(obligation: Obligation) -> u32 {
    match obligation {
        // Products of unknown words are what bit-blasting is worst at.
        Obligation::Unsigned(RangeFn::Monotone) => 16,
        Obligation::Signed(RangeFn::Monotone) => 8,
        _ => 64,
    }
}
