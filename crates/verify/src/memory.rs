//! How much memory all states take together, so that there is a bound to it: a program
//! may make the verifier keep a state at each of a million instructions. Frames, which
//! states share, are counted where they are made, copied, grown and dropped; the rest of
//! a state while it is kept.

use std::cell::Cell;
use std::rc::Rc;

/// Most bytes that states may take (Linux has no such limit but that of the cgroup).
pub(crate) const MAX_MEMORY: usize = 1 << 30;

/// What an allocation takes beyond its size: the allocator's header and rounding, and the
/// counts of an `Rc`.
pub(crate) const PER_ALLOCATION: usize = 32;

/// Bytes of all shares that were made with it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Meter(Rc<Cell<usize>>);

impl Meter {
    pub(crate) fn bytes(&self) -> usize {
        self.0.get()
    }

    /// A share of this many bytes.
    pub(crate) fn share(&self, bytes: usize) -> Share {
        self.0.set(self.0.get() + bytes);
        Share { meter: self.clone(), bytes }
    }
}

/// The bytes of one frame or kept state; a copy counts as much again.
#[derive(Debug)]
pub(crate) struct Share {
    meter: Meter,
    bytes: usize,
}

impl Share {
    /// It takes this much more.
    pub(crate) fn grow(&mut self, bytes: usize) {
        self.meter.0.set(self.meter.0.get() + bytes);
        self.bytes += bytes;
    }
}

impl Clone for Share {
    fn clone(&self) -> Share {
        self.meter.share(self.bytes)
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.meter.0.set(self.meter.0.get() - self.bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_copied_counts_twice_and_what_is_dropped_not_at_all() {
        let meter = Meter::default();
        let mut first = meter.share(100);
        let second = first.clone();
        first.grow(10);
        assert_eq!(meter.bytes(), 210);
        drop(first);
        assert_eq!(meter.bytes(), 100);
        drop(second);
        assert_eq!(meter.bytes(), 0);
    }
}
