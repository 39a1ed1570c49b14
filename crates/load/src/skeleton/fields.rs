//! What generated code reads and writes members by that are no fields of Rust's: bits of bytes,
//! and members of unions.

use zerocopy::FromBytes;

/// `size` bits (at most 64) from bit `offset` on, the lowest first.
///
/// # Panics
/// They are not all in `bytes`.
pub fn bits(bytes: &[u8], offset: u64, size: u32) -> u64 {
    let one = |at: u64| u64::from(bytes[(at / 8) as usize] >> (at % 8) & 1);
    (0..u64::from(size)).fold(0, |bits, at| bits | one(offset + at) << at)
}

/// Sets `size` bits (at most 64) from bit `offset` on.
///
/// # Panics
/// They are not all in `bytes`.
pub fn set_bits(bytes: &mut [u8], offset: u64, size: u32, value: u64) {
    for at in 0..u64::from(size) {
        let (byte, mask) = (((offset + at) / 8) as usize, 1 << ((offset + at) % 8));
        match value >> at & 1 {
            0 => bytes[byte] &= !mask,
            _ => bytes[byte] |= mask,
        }
    }
}

/// A value that these bytes are.
///
/// # Panics
/// They are not as many as it has.
pub fn read<T: FromBytes>(bytes: &[u8]) -> T {
    match T::read_from_bytes(bytes) {
        Ok(value) => value,
        Err(_) => panic!("{} bytes for a value of {}", bytes.len(), size_of::<T>()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_are_read_as_they_were_set_and_nothing_else_changes() {
        for offset in 0..20 {
            for size in 0..=44 {
                let mut bytes = [0xa5; 8];
                let value = 0x0123_4567_89ab_cdef & ((1u64 << size) - 1);
                set_bits(&mut bytes, offset, size, value);
                assert_eq!(bits(&bytes, offset, size), value);
                set_bits(&mut bytes, offset, size, bits(&[0xa5; 8], offset, size));
                assert_eq!(bytes, [0xa5; 8]);
            }
        }
    }
}
