//! The Internet checksum (RFC 1071, RFC 1624) as Linux computes it.

/// A 32-bit one's complement sum.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Sum(pub u32);

impl Sum {
    /// Adds a word, end-around carry.
    pub fn add(self, word: u32) -> Sum {
        let (sum, carry) = self.0.overflowing_add(word);
        Sum(sum + u32::from(carry))
    }

    /// Subtracts a sum.
    pub fn subtract(self, other: Sum) -> Sum {
        self.add(!other.0)
    }

    /// Adds bytes; what is left of the last word is as if zeros followed.
    pub fn add_bytes(self, bytes: &[u8]) -> Sum {
        let (words, rest) = bytes.as_chunks::<4>();
        // So few words that 64 bits hold all carries.
        let mut sum: u64 = words.iter().map(|word| u64::from(u32::from_ne_bytes(*word))).sum();
        if !rest.is_empty() {
            let mut last = [0; 4];
            last[..rest.len()].copy_from_slice(rest);
            sum += u64::from(u32::from_ne_bytes(last));
        }
        self.add(sum as u32).add((sum >> 32) as u32)
    }

    /// Folds to 16 bits.
    pub fn to_16(self) -> u16 {
        let folded = (self.0 >> 16) + (self.0 & 0xffff);
        ((folded >> 16) + (folded & 0xffff)) as u16
    }
}

/// What a seed becomes when `from` gives way to `to`, either of which may be empty.
pub(crate) fn difference(from: &[u8], to: &[u8], seed: u32) -> u64 {
    let sum = match (from.is_empty(), to.is_empty()) {
        (false, false) => Sum(seed).add_bytes(to).subtract(Sum(0).add_bytes(from)),
        (true, false) => Sum(seed).add_bytes(to),
        (false, true) => Sum(!Sum(!seed).add_bytes(from).0),
        (true, true) => Sum(seed),
    };
    sum.to_16().into()
}

/// The checksum field after `from` (where it is known) gave way to `to`.
pub(super) fn fold_difference(field: u16, from: Option<u32>, to: u32) -> u16 {
    let sum = Sum(!u32::from(field));
    let sum = match from {
        Some(from) => sum.subtract(Sum(from)),
        None => sum,
    };
    !sum.add(to).to_16()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn carries_go_around_one_by_one_or_all_together() {
        for bytes in [[0xff; 64], [0x80; 64], [0; 64], std::array::from_fn(|at| (at * 37) as u8)] {
            let words = bytes.as_chunks::<4>().0.iter().map(|word| u32::from_ne_bytes(*word));
            for seed in [0, 1, u32::MAX, 0x8000_0000] {
                let one_by_one = words.clone().fold(Sum(seed), Sum::add);
                assert_eq!(Sum(seed).add_bytes(&bytes), one_by_one);
            }
        }
    }

    #[test]
    fn the_example_of_rfc_1624() {
        // Section 4: HC = 0xDD2F, m = 0x5555, m' = 0x3285 gives 0x0000.
        assert_eq!(fold_difference(0xdd2f, Some(0x5555), 0x3285), 0x0000);
    }
}
