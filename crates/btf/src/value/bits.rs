//! Numbers at any bit of some bytes, in either byte order.
//!
//! In a little-endian struct bit 0 is the lowest of the first byte, in a
//! big-endian one the highest.

use crate::Endian;

/// The `size` (at most 128) bits from bit `offset` on; `None` beyond the end.
pub(super) fn read(bytes: &[u8], offset: u64, size: u32, endian: Endian) -> Option<u128> {
    let mut value = 0;
    for_each_bit(bytes.len(), offset, size, endian, |byte, mask, weight| {
        if bytes[byte] & mask != 0 {
            value |= weight;
        }
    })?;
    Some(value)
}

/// Sets those bits to the lowest of `value`.
pub(super) fn write(
    bytes: &mut [u8],
    offset: u64,
    size: u32,
    endian: Endian,
    value: u128,
) -> Option<()> {
    for_each_bit(bytes.len(), offset, size, endian, |byte, mask, weight| match value & weight {
        0 => bytes[byte] &= !mask,
        _ => bytes[byte] |= mask,
    })
}

/// Calls `visit` with the byte, the mask in it and the weight of each bit.
fn for_each_bit(
    len: usize,
    offset: u64,
    size: u32,
    endian: Endian,
    mut visit: impl FnMut(usize, u8, u128),
) -> Option<()> {
    let end = offset.checked_add(size.into())?;
    if size > 128 || end > 8 * len as u64 {
        return None;
    }
    for index in 0..size {
        let bit = offset + u64::from(index);
        let byte = (bit / 8) as usize;
        match endian {
            Endian::Little => visit(byte, 1 << (bit % 8), 1 << index),
            Endian::Big => visit(byte, 0x80 >> (bit % 8), 1 << (size - 1 - index)),
        }
    }
    Some(())
}

/// Extends the sign of a number of `size` bits.
pub(super) fn sign_extend(value: u128, size: u32) -> i128 {
    let shift = 128u32.saturating_sub(size).min(127);
    ((value << shift) as i128) >> shift
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_are_counted_from_the_low_end_in_little_endian_structs() {
        let bytes = [0b1010_0101, 0b0000_0011];
        assert_eq!(read(&bytes, 0, 4, Endian::Little), Some(0b0101));
        assert_eq!(read(&bytes, 4, 6, Endian::Little), Some(0b11_1010));
        assert_eq!(read(&bytes, 0, 16, Endian::Little), Some(0x03a5));
        assert_eq!(read(&bytes, 10, 7, Endian::Little), None);
    }

    #[test]
    fn bits_are_counted_from_the_high_end_in_big_endian_structs() {
        let bytes = [0b1010_0101, 0b0000_0011];
        assert_eq!(read(&bytes, 0, 4, Endian::Big), Some(0b1010));
        assert_eq!(read(&bytes, 0, 16, Endian::Big), Some(0xa503));
    }

    #[test]
    fn what_is_written_is_read_again_and_the_rest_is_left_alone() {
        for endian in [Endian::Little, Endian::Big] {
            let mut bytes = [0xff; 4];
            write(&mut bytes, 5, 13, endian, 0x0abc).expect("in range");
            assert_eq!(read(&bytes, 5, 13, endian), Some(0x0abc));
            assert_eq!(read(&bytes, 0, 5, endian), Some(0x1f));
            assert_eq!(read(&bytes, 18, 14, endian), Some(0x3fff));
        }
    }

    #[test]
    fn signs_are_extended_from_the_highest_bit() {
        assert_eq!(sign_extend(0b111, 3), -1);
        assert_eq!(sign_extend(0b011, 3), 3);
        assert_eq!(sign_extend(u128::MAX, 128), -1);
    }
}
