//! What an iterator's program prints: a file that is read from its start, of which each object
//! that is shown gets a page or some (`struct seq_file`, `fs/seq_file.c`).

use std::sync::{Mutex, MutexGuard, PoisonError};

use skep_abi::limits::SEQUENCE_BYTES;

/// What was printed of one object. One that does not fit is not there at all.
#[derive(Default)]
pub(crate) struct Sequence(Mutex<Printed>);

#[derive(Default)]
struct Printed {
    bytes: Vec<u8>,
    overflowed: bool,
}

impl Sequence {
    fn printed(&self) -> MutexGuard<'_, Printed> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Bytes that still fit, one of which stays free.
    pub fn room(&self) -> usize {
        let printed = self.printed();
        if printed.overflowed { 0 } else { SEQUENCE_BYTES - printed.bytes.len() }
    }

    /// Prints this; false where it does not fit, as from then on nothing does.
    pub fn add(&self, text: &[u8]) -> bool {
        let mut printed = self.printed();
        printed.overflowed |= printed.bytes.len() + text.len() >= SEQUENCE_BYTES;
        if !printed.overflowed {
            printed.bytes.extend_from_slice(text);
        }
        !printed.overflowed
    }

    /// Notes that something was longer than the room for it.
    pub fn overflow(&self) {
        self.printed().overflowed = true;
    }

    /// What was printed, to begin anew; `None` where it did not fit.
    pub fn take(&self) -> Option<Vec<u8>> {
        let printed = std::mem::take(&mut *self.printed());
        (!printed.overflowed).then_some(printed.bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_is_no_part_of_it() {
        let sequence = Sequence::default();
        assert!(sequence.add(&[1; SEQUENCE_BYTES - 2]));
        assert_eq!(sequence.room(), 2);
        assert!(sequence.add(&[2]));
        assert!(!sequence.add(&[3]), "a byte stays free");
        assert!(!sequence.add(&[]));
        assert_eq!(sequence.take(), None);
        assert!(sequence.add(&[4]));
        assert_eq!(sequence.take(), Some(vec![4]));
    }
}
