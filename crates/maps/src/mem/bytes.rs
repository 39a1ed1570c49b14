//! Copies of a program's bytes, without an allocation where they are few.

use std::ops::{Deref, DerefMut};

/// So many bytes need no allocation.
const SHORT: usize = 64;

/// Bytes of a length that is known when they are copied.
pub struct Bytes {
    short: [u8; SHORT],
    long: Vec<u8>,
    len: usize,
}

impl Bytes {
    /// So many zeros.
    #[inline]
    pub fn zeros(len: usize) -> Bytes {
        let long = if len <= SHORT { Vec::new() } else { vec![0; len] };
        Bytes { short: [0; SHORT], long, len }
    }
}

impl Deref for Bytes {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        if self.len <= SHORT { &self.short[..self.len] } else { &self.long }
    }
}

impl DerefMut for Bytes {
    #[inline]
    fn deref_mut(&mut self) -> &mut [u8] {
        if self.len <= SHORT { &mut self.short[..self.len] } else { &mut self.long }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_as_many_as_asked_for() {
        for len in [0, 1, SHORT, SHORT + 1, 5000] {
            let mut bytes = Bytes::zeros(len);
            bytes.iter_mut().for_each(|byte| *byte += 1);
            assert_eq!(*bytes, vec![1; len]);
        }
    }
}
