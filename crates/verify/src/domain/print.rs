//! Scalars as the verifier's log prints them (`print_scalar_ranges` and `tnum_strn` of
//! `kernel/bpf/log.c`): small numbers in decimal, others in hexadecimal; bounds that
//! say nothing are left out, and equal ones share a value.

use std::fmt::{self, Display, Formatter};

use skep_isa::W64;

use super::scalar::Scalar64;
use super::tnum::Tnum;

/// A number as the log prints unsigned ones.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LogUnsigned(pub u64);

/// A number as the log prints signed ones.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LogSigned(pub i64);

impl LogSigned {
    /// Whether it is printed in decimal.
    fn is_decimal(self) -> bool {
        i16::try_from(self.0).is_ok()
    }
}

impl Display for LogUnsigned {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match u16::try_from(self.0) {
            Ok(small) => write!(f, "{small}"),
            Err(_) => write!(f, "{:#x}", self.0),
        }
    }
}

impl Display for LogSigned {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if self.is_decimal() { write!(f, "{}", self.0) } else { write!(f, "{:#x}", self.0) }
    }
}

/// `(value; mask)`, or the number if every bit is known.
impl Display for Tnum<W64> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if self.is_constant() {
            return LogUnsigned(self.value.0).fmt(f);
        }
        write!(f, "({:#x}; {:#x})", self.value.0, self.mask.0)
    }
}

/// One bound, or `None` if it says nothing. Bounds with the same number share it,
/// unless one stands for a negative number and the other does not.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Bound {
    Signed(i64),
    Unsigned(u64),
}

impl Bound {
    /// Signed bounds of 32 bits are not sign-extended where they are printed in
    /// hexadecimal.
    fn signed32(number: i32) -> Bound {
        let wide = i64::from(number);
        Bound::Signed(if LogSigned(wide).is_decimal() { wide } else { (number as u32).into() })
    }

    /// Whether both are printed alike.
    fn shares(self, other: Bound) -> bool {
        let key = |bound| match bound {
            Bound::Signed(number) => (number as u64, number < 0),
            Bound::Unsigned(number) => (number, false),
        };
        key(self) == key(other)
    }
}

impl Display for Bound {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match *self {
            Bound::Signed(number) => LogSigned(number).fmt(f),
            Bound::Unsigned(number) => LogUnsigned(number).fmt(f),
        }
    }
}

/// The bounds and the bits, separated by commas, as in
/// `smin=smin32=0,smax=umax=smax32=umax32=255,var_off=(0x0; 0xff)`; nothing, where
/// nothing is known.
impl Display for Scalar64 {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let bound = |says: bool, bound| says.then_some(bound);
        let mut bounds = [
            ("smin", bound(self.smin() != i64::MIN, Bound::Signed(self.smin()))),
            ("smax", bound(self.smax() != i64::MAX, Bound::Signed(self.smax()))),
            ("umin", bound(self.umin() != 0, Bound::Unsigned(self.umin()))),
            ("umax", bound(self.umax() != u64::MAX, Bound::Unsigned(self.umax()))),
            ("smin32", bound(self.smin32() != i32::MIN, Bound::signed32(self.smin32()))),
            ("smax32", bound(self.smax32() != i32::MAX, Bound::signed32(self.smax32()))),
            ("umin32", bound(self.umin32() != 0, Bound::Unsigned(self.umin32().into()))),
            ("umax32", bound(self.umax32() != u32::MAX, Bound::Unsigned(self.umax32().into()))),
        ];
        let mut separator = "";
        for first in 0..bounds.len() {
            let (name, Some(bound)) = bounds[first] else { continue };
            write!(f, "{separator}{name}=")?;
            separator = ",";
            // Minima share with minima, maxima with maxima.
            for (name, other) in bounds.iter_mut().skip(first + 2).step_by(2) {
                if other.is_some_and(|other| bound.shares(other)) {
                    write!(f, "{name}=")?;
                    *other = None;
                }
            }
            write!(f, "{bound}")?;
        }
        if self.tnum != Tnum::unknown() {
            write!(f, "{separator}var_off={}", self.tnum)?;
        }
        Ok(())
    }
}
