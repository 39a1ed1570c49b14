//! Keys of hash maps: how they are hashed, compared and stored.
//!
//! Keys of 4, 8 and 16 bytes (addresses, ports, flows, pids: nearly all) are
//! compared as one or two words; other sizes word by word. An element's key
//! stands 8-byte aligned and may be overwritten by its next owner while it is
//! being compared, so each word is an atomic of its own. Linux's counterpart hashes
//! with jhash.

use std::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering::Relaxed};

/// What makes one map's hash differ from another's.
#[derive(Clone, Copy, Debug)]
pub struct Seed {
    mask: u64,
    factor: u64,
}

impl Seed {
    /// The seed that `BPF_F_ZERO_SEED` asks for: the same in every run.
    pub const ZERO: Seed = Seed { mask: 0, factor: 0x9e37_79b9_7f4a_7c15 };

    /// A seed that nobody can guess.
    pub fn random() -> Seed {
        use std::hash::{BuildHasher, RandomState};
        let state = RandomState::new();
        Seed { mask: state.hash_one(1), factor: state.hash_one(2) | 1 }
    }
}

/// The two halves of the 128-bit product, folded.
#[inline(always)]
fn fold(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    product as u64 ^ (product >> 64) as u64
}

/// A second round: one alone leaves equal distances between keys visible in the result.
#[inline(always)]
fn finish(hash: u64) -> u64 {
    fold(hash ^ 0x2545_f491_4f6c_dd1d, 0xd6e8_feb8_6659_fd93)
}

/// A key as the table works with it.
pub trait Key: Copy {
    /// 64 bits, of which the low ones choose a bucket and the high ones are the tag.
    fn hash(self, seed: &Seed) -> u64;

    /// Whether the element's key is this one.
    ///
    /// # Safety
    /// `at` is 8-byte aligned and valid for atomic reads of the key, rounded up to 8 bytes.
    unsafe fn is_at(self, at: *mut u8) -> bool;

    /// Writes the element's key.
    ///
    /// # Safety
    /// As for `is_at`, for writes.
    unsafe fn put(self, at: *mut u8);
}

/// Keys of 4 bytes.
#[derive(Clone, Copy)]
pub struct Key4(pub u32);

impl Key for Key4 {
    #[inline(always)]
    fn hash(self, seed: &Seed) -> u64 {
        finish(fold(u64::from(self.0) ^ seed.mask, seed.factor))
    }

    #[inline(always)]
    unsafe fn is_at(self, at: *mut u8) -> bool {
        // SAFETY: valid and aligned by the caller's promise.
        unsafe { AtomicU32::from_ptr(at.cast()) }.load(Relaxed) == self.0
    }

    #[inline(always)]
    unsafe fn put(self, at: *mut u8) {
        // SAFETY: valid and aligned by the caller's promise.
        unsafe { AtomicU32::from_ptr(at.cast()) }.store(self.0, Relaxed);
    }
}

/// Keys of 8 bytes.
#[derive(Clone, Copy)]
pub struct Key8(pub u64);

impl Key for Key8 {
    #[inline(always)]
    fn hash(self, seed: &Seed) -> u64 {
        finish(fold(self.0 ^ seed.mask, seed.factor))
    }

    #[inline(always)]
    unsafe fn is_at(self, at: *mut u8) -> bool {
        // SAFETY: valid and aligned by the caller's promise.
        unsafe { AtomicU64::from_ptr(at.cast()) }.load(Relaxed) == self.0
    }

    #[inline(always)]
    unsafe fn put(self, at: *mut u8) {
        // SAFETY: valid and aligned by the caller's promise.
        unsafe { AtomicU64::from_ptr(at.cast()) }.store(self.0, Relaxed);
    }
}

/// Keys of 16 bytes.
#[derive(Clone, Copy)]
pub struct Key16(pub [u64; 2]);

impl Key for Key16 {
    #[inline(always)]
    fn hash(self, seed: &Seed) -> u64 {
        finish(fold(self.0[0] ^ seed.mask, self.0[1] ^ seed.factor))
    }

    #[inline(always)]
    unsafe fn is_at(self, at: *mut u8) -> bool {
        // SAFETY: valid and aligned by the caller's promise.
        unsafe { Key8(self.0[0]).is_at(at) && Key8(self.0[1]).is_at(at.add(8)) }
    }

    #[inline(always)]
    unsafe fn put(self, at: *mut u8) {
        // SAFETY: valid and aligned by the caller's promise.
        unsafe {
            Key8(self.0[0]).put(at);
            Key8(self.0[1]).put(at.add(8));
        }
    }
}

/// Keys of any size.
#[derive(Clone, Copy)]
pub struct KeyBytes<'a>(pub &'a [u8]);

impl Key for KeyBytes<'_> {
    fn hash(self, seed: &Seed) -> u64 {
        let (words, tail) = self.0.as_chunks::<8>();
        // In a register: a word that was stored by bytes would have to be waited for.
        let last = tail.iter().rev().fold(0, |word, &byte| word << 8 | u64::from(byte));
        let mixed = words
            .iter()
            .map(|word| u64::from_le_bytes(*word))
            .chain([last])
            .fold(seed.mask, |hash, word| fold(hash ^ word, seed.factor));
        finish(mixed)
    }

    unsafe fn is_at(self, at: *mut u8) -> bool {
        let (words, tail) = self.0.as_chunks::<8>();
        words.iter().enumerate().all(|(index, word)| {
            // SAFETY: valid and aligned by the caller's promise.
            unsafe { Key8(u64::from_ne_bytes(*word)).is_at(at.add(index * 8)) }
        }) && tail.iter().enumerate().all(|(index, byte)| {
            // SAFETY: valid by the caller's promise.
            let stored = unsafe { AtomicU8::from_ptr(at.add(words.len() * 8 + index)) };
            stored.load(Relaxed) == *byte
        })
    }

    unsafe fn put(self, at: *mut u8) {
        // SAFETY: valid and aligned by the caller's promise.
        unsafe { crate::mem::words::store(at, self.0) };
    }
}

/// Runs the expression with the key in the type that fits its size.
macro_rules! with_key {
    ($key:expr, |$name:ident| $body:expr) => {
        match $key {
            bytes if bytes.len() == 4 => {
                let $name = $crate::kinds::hash::key::Key4(u32::from_ne_bytes([
                    bytes[0], bytes[1], bytes[2], bytes[3],
                ]));
                $body
            }
            bytes if bytes.len() == 8 => {
                let mut word = [0; 8];
                word.copy_from_slice(bytes);
                let $name = $crate::kinds::hash::key::Key8(u64::from_ne_bytes(word));
                $body
            }
            bytes if bytes.len() == 16 => {
                let (words, _) = bytes.as_chunks::<8>();
                let $name = $crate::kinds::hash::key::Key16([
                    u64::from_ne_bytes(words[0]),
                    u64::from_ne_bytes(words[1]),
                ]);
                $body
            }
            bytes => {
                let $name = $crate::kinds::hash::key::KeyBytes(bytes);
                $body
            }
        }
    };
}
pub(crate) use with_key;

/// The same for a key in a program's memory, from where it is read once, straight into
/// registers. Other programs and user space may write to it meanwhile (it may be a map's
/// value). That is harmless: each word is loaded once, by an atomic, and what was loaded is
/// all that is hashed and compared, so that the worst that writers bring about is the
/// answer for a key that was never there as a whole. No address is made of it: a hash is
/// masked to a bucket, and elements come from slots.
macro_rules! with_key_at {
    ($size:expr, $at:expr, |$name:ident| $body:expr) => {{
        let (size, at): (usize, *const u8) = ($size, $at);
        // SAFETY (all below): whoever names the address promises that a key is there.
        match size {
            4 => {
                let $name = $crate::kinds::hash::key::Key4($crate::mem::words::half_at(at));
                $body
            }
            8 => {
                let $name = $crate::kinds::hash::key::Key8($crate::mem::words::word_at(at));
                $body
            }
            16 => {
                let words =
                    [$crate::mem::words::word_at(at), $crate::mem::words::word_at(at.add(8))];
                let $name = $crate::kinds::hash::key::Key16(words);
                $body
            }
            _ => {
                let mut bytes = $crate::mem::bytes::Bytes::zeros(size);
                $crate::mem::words::gather(&mut bytes, at);
                let $name = $crate::kinds::hash::key::KeyBytes(&bytes);
                $body
            }
        }
    }};
}
pub(crate) use with_key_at;

#[cfg(test)]
mod tests {
    use super::*;

    /// The largest bucket when `keys` are spread over 256 buckets by hash bits from `shift`.
    fn fullest(keys: impl Iterator<Item = u64>, shift: u32) -> u32 {
        let mut counts = [0u32; 256];
        for hash in keys {
            counts[(hash >> shift) as usize & 255] += 1;
        }
        *counts.iter().max().unwrap()
    }

    #[test]
    fn regular_keys_spread_over_buckets_and_tags() {
        // 16 keys per bucket on average; a random function stays below 40 but once in 10^6.
        let numbers = (1..=40).map(|number| fold(number, 0x9e37_79b9_7f4a_7c15));
        let mut seeds: Vec<Seed> =
            numbers.map(|number| Seed { mask: finish(number), factor: number | 1 }).collect();
        seeds.push(Seed::ZERO);
        for seed in &seeds {
            for stride in [1u64, 2, 8, 256, 4096, 65537, 1 << 20] {
                for shift in [0, 33] {
                    let four = (0..4096).map(|i| Key4((i as u64 * stride) as u32).hash(seed));
                    let distinct = 4096.min((1u64 << 32) / stride);
                    if distinct == 4096 {
                        assert!(fullest(four, shift) < 48, "u32, stride {stride}");
                    }
                    let eight = (0..4096).map(|i| Key8((i * stride) << 20).hash(seed));
                    assert!(fullest(eight, shift) < 48, "u64, stride {stride}");
                    let first = (0..4096).map(|i| Key16([i * stride, 5]).hash(seed));
                    assert!(fullest(first, shift) < 48, "16 bytes, stride {stride}");
                    let second = (0..4096).map(|i| Key16([5, i * stride]).hash(seed));
                    assert!(fullest(second, shift) < 48, "16 bytes, stride {stride}");
                    let bytes = (0..4096u64).map(|i| {
                        let mut key = [0; 13];
                        key[5..].copy_from_slice(&(i * stride).to_be_bytes());
                        KeyBytes(&key).hash(seed)
                    });
                    assert!(fullest(bytes, shift) < 48, "13 bytes, stride {stride}");
                }
            }
        }
    }

    #[test]
    fn stored_keys_are_found_and_their_neighbours_are_not() {
        for size in [1usize, 3, 4, 7, 8, 9, 12, 16, 20, 33] {
            let key: Vec<u8> = (0..size as u8).collect();
            let mut memory = [0u64; 5];
            let at = memory.as_mut_ptr().cast::<u8>();
            // SAFETY: 40 aligned bytes hold every size above.
            unsafe {
                with_key!(&key[..], |k| k.put(at));
                assert!(with_key!(&key[..], |k| k.is_at(at)), "{size}");
                for byte in 0..size {
                    let mut other = key.clone();
                    other[byte] ^= 0x80;
                    assert!(!with_key!(&other[..], |k| k.is_at(at)), "{size}, byte {byte}");
                }
            }
        }
    }
}
