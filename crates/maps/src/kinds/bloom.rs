//! Bloom filters: values that may be there, or are not. Answers to `kernel/bpf/bloom_filter.c`:
//! the same number of bits and of hash functions, by another hash.

use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use skep_abi::Errno;

use super::Caller;
use super::kind::Kind;

/// Hash functions where nobody says how many.
const HASHES: u32 = 5;

/// A bloom filter.
#[derive(Debug)]
pub struct Bloom {
    bits: Box<[AtomicU64]>,
    mask: u64,
    hashes: u32,
    seed: RandomState,
}

/// Bits for so many values (Linux's 7/5 of all hashes, as a power of two).
fn bits(max_entries: u32, hashes: u32) -> u64 {
    /// Most bits that Linux counts.
    const MOST: u64 = 1 << 32;
    let wanted = (u64::from(max_entries) * u64::from(hashes)).saturating_mul(7) / 5;
    wanted.max(64).checked_next_power_of_two().map_or(MOST, |bits| bits.min(MOST))
}

fn hashes(extra: u64) -> u32 {
    match extra as u32 {
        0 => HASHES,
        given => given,
    }
}

impl Bloom {
    /// Bytes of one for so many values.
    pub fn footprint(max_entries: u32, extra: u64) -> u64 {
        bits(max_entries, hashes(extra)) / 8
    }

    /// One without values.
    pub fn new(max_entries: u32, extra: u64) -> Bloom {
        let hashes = hashes(extra);
        let bits = bits(max_entries, hashes);
        Bloom {
            bits: (0..bits / 64).map(|_| AtomicU64::new(0)).collect(),
            mask: bits - 1,
            hashes,
            seed: RandomState::new(),
        }
    }

    /// The words and the bits of a value.
    fn places(&self, value: &[u8]) -> impl Iterator<Item = (usize, u64)> {
        let first = self.seed.hash_one(value);
        let second = self.seed.hash_one(first) | 1;
        let mask = self.mask;
        (0..u64::from(self.hashes)).map(move |index| {
            let bit = first.wrapping_add(second.wrapping_mul(index)) & mask;
            ((bit / 64) as usize, 1 << (bit % 64))
        })
    }

    /// Adds a value; EINVAL for any flags.
    pub fn push(&self, value: &[u8], flags: u64) -> Result<(), Errno> {
        if flags != 0 {
            return Err(Errno::EINVAL);
        }
        for (word, bit) in self.places(value) {
            self.bits[word].fetch_or(bit, Relaxed);
        }
        Ok(())
    }

    /// ENOENT for a value that was never added.
    pub fn peek(&self, value: &[u8]) -> Result<(), Errno> {
        let set = |(word, bit): (usize, u64)| self.bits[word].load(Relaxed) & bit != 0;
        if self.places(value).all(set) { Ok(()) } else { Err(Errno::ENOENT) }
    }
}

/// For system calls an update adds a value, and a look-up asks for the one in the buffer.
impl Kind for Bloom {
    fn read(&self, _key: &[u8], out: &mut [u8], _locked: bool) -> Result<(), Errno> {
        self.peek(out)
    }

    fn update(&self, _key: &[u8], value: &[u8], flags: u64, by: Caller) -> Result<(), Errno> {
        match by {
            Caller::System => self.push(value, flags),
            Caller::Program(_) => Err(Errno::EINVAL),
        }
    }

    fn delete(&self, _key: &[u8], _by: Caller) -> Result<(), Errno> {
        Err(Errno::EOPNOTSUPP)
    }

    fn push(&self, value: &[u8], flags: u64) -> Result<(), Errno> {
        self.push(value, flags)
    }

    fn pop(&self, _out: &mut [u8]) -> Result<(), Errno> {
        Err(Errno::EOPNOTSUPP)
    }

    fn peek(&self, out: &mut [u8]) -> Result<(), Errno> {
        self.peek(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_added_is_there_and_nearly_nothing_else() {
        let bloom = Bloom::new(1000, 0);
        for value in 0u32..1000 {
            bloom.push(&value.to_ne_bytes(), 0).expect("no flags");
        }
        assert!((0u32..1000).all(|value| bloom.peek(&value.to_ne_bytes()).is_ok()));
        let wrong = (1000u32..11_000).filter(|value| bloom.peek(&value.to_ne_bytes()).is_ok());
        let wrong = wrong.count();
        assert!(wrong < 1000, "{wrong} of 10000");
        assert_eq!(bloom.push(&[0; 4], 1), Err(Errno::EINVAL));
    }
}
