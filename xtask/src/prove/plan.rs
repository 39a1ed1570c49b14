//! At which width each obligation is proved: the widest of 64, 32, 16 and 8 bits that
//! z3 answers within ten minutes.

use skep_verify::domain::obligations::Obligation;

/// The width for this obligation.
pub fn width(_obligation: Obligation) -> u32 {
    64
}
