//! The iterations over bits of a run (`bpf_iter_bits`), by the address of the iterator: the
//! words are a copy, which the kernel around the run keeps.

/// An iteration over the bits of some words.
struct Bits {
    at: u64,
    words: Vec<u64>,
    next: u32,
}

/// The iterations of a run.
#[derive(Default)]
pub(crate) struct BitIters(Vec<Bits>);

impl BitIters {
    /// Whether there is none.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Begins an iteration at an address.
    pub fn begin(&mut self, at: u64, words: Vec<u64>) {
        self.end(at);
        self.0.push(Bits { at, words, next: 0 });
    }

    /// The next bit that is set, by its number.
    pub fn next(&mut self, at: u64) -> Option<u32> {
        let bits = self.0.iter_mut().rev().find(|bits| bits.at == at)?;
        let mut index = (bits.next / 64) as usize;
        let mut mask = u64::MAX << (bits.next % 64);
        while let Some(word) = bits.words.get(index) {
            let rest = word & mask;
            if rest != 0 {
                let bit = index as u32 * 64 + rest.trailing_zeros();
                bits.next = bit + 1;
                return Some(bit);
            }
            (index, mask) = (index + 1, u64::MAX);
        }
        bits.next = bits.words.len() as u32 * 64;
        None
    }

    /// Ends the iteration at an address, if there is one.
    pub fn end(&mut self, at: u64) {
        self.0.retain(|bits| bits.at != at);
    }

    /// Ends all of them.
    pub fn clear(&mut self) {
        self.0.clear();
    }
}
