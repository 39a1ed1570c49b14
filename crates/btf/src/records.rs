//! The records behind a type's head: members, enumerators, parameters, variables.
//!
//! They all have one length within a type, so any of them is found by its index.

use std::fmt;
use std::marker::PhantomData;

use crate::wire::word;
use crate::{Btf, Enumerator, Member, Param, SecVar};

/// What stands in [`Records`]: members, enumerators, parameters, variables.
pub trait Record<'a>: Sized {
    #[doc(hidden)]
    fn decode(btf: &'a Btf, bytes: &'a [u8], kind_flag: bool) -> Self;
}

/// The records behind a type, decoded as they are asked for.
pub struct Records<'a, T> {
    btf: &'a Btf,
    bytes: &'a [u8],
    stride: usize,
    kind_flag: bool,
    of: PhantomData<T>,
}

impl<'a, T: Record<'a>> Records<'a, T> {
    pub(crate) fn new(btf: &'a Btf, bytes: &'a [u8], stride: usize, kind_flag: bool) -> Self {
        Records { btf, bytes, stride, kind_flag, of: PhantomData }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.bytes.len() / self.stride
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// The record at `index`.
    pub fn get(&self, index: usize) -> Option<T> {
        let start = index.checked_mul(self.stride)?;
        let bytes = self.bytes.get(start..start.checked_add(self.stride)?)?;
        Some(T::decode(self.btf, bytes, self.kind_flag))
    }

    /// All records in order.
    pub fn iter(
        &self,
    ) -> impl ExactSizeIterator<Item = T> + DoubleEndedIterator + Clone + use<'a, T> {
        let (btf, kind_flag) = (self.btf, self.kind_flag);
        self.bytes.chunks_exact(self.stride).map(move |bytes| T::decode(btf, bytes, kind_flag))
    }
}

impl<T> Clone for Records<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Records<'_, T> {}

impl<'a, T: Record<'a> + fmt::Debug> fmt::Debug for Records<'a, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

impl<'a> Record<'a> for Member<'a> {
    fn decode(btf: &'a Btf, bytes: &'a [u8], kind_flag: bool) -> Self {
        let offset = word(bytes, 2);
        let (bit_offset, bitfield_size) = match kind_flag {
            true => (offset & 0xff_ffff, (offset >> 24) as u8),
            false => (offset, 0),
        };
        Member {
            name: btf.checked_string(word(bytes, 0)),
            type_id: word(bytes, 1),
            bit_offset,
            bitfield_size,
        }
    }
}

impl<'a> Record<'a> for Enumerator<'a> {
    fn decode(btf: &'a Btf, bytes: &'a [u8], signed: bool) -> Self {
        let low = word(bytes, 1);
        let value = match bytes.len() {
            12 => u64::from(low) | u64::from(word(bytes, 2)) << 32,
            _ if signed => low as i32 as u64,
            _ => u64::from(low),
        };
        Enumerator { name: btf.checked_string(word(bytes, 0)), value }
    }
}

impl<'a> Record<'a> for Param<'a> {
    fn decode(btf: &'a Btf, bytes: &'a [u8], _: bool) -> Self {
        Param { name: btf.checked_string(word(bytes, 0)), type_id: word(bytes, 1) }
    }
}

impl Record<'_> for SecVar {
    fn decode(_: &Btf, bytes: &[u8], _: bool) -> Self {
        SecVar { type_id: word(bytes, 0), offset: word(bytes, 1), size: word(bytes, 2) }
    }
}
