//! Keys and values of typed maps: from Rust values to a map's bytes and back.
//!
//! Three kinds: plain data, whose memory is the element ([`zerocopy`]); [`PerCpu`], one
//! value for each CPU; and [`ByBtf`](super::ByBtf), which goes by the map's own types.
//! Sizes are checked where a handle is made and again where bytes are.

use skep_btf::Btf;
use zerocopy::{FromBytes, Immutable, IntoBytes};

use crate::error::AccessError;

/// A key or value of a [`Map`](super::Map): plain data, [`PerCpu`] of it, or
/// [`ByBtf`](super::ByBtf).
pub trait Element: Sized {
    /// Checks that values of this type can stand there.
    ///
    /// # Errors
    /// Another size, or no types where they are needed.
    fn fits(place: &Place<'_>) -> Result<(), AccessError>;

    /// The bytes that the kernel gets.
    ///
    /// # Errors
    /// The value cannot stand there.
    fn encode(&self, place: &Place<'_>) -> Result<Vec<u8>, AccessError>;

    /// What the bytes of the kernel mean.
    ///
    /// # Errors
    /// They are no value of this type.
    fn decode(bytes: &[u8], place: &Place<'_>) -> Result<Self, AccessError>;
}

/// Where an element stands: in which map, as a key or a value, and what it is there.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    pub(super) map: &'a str,
    pub(super) part: &'static str,
    /// Bytes of one key or value.
    pub(super) size: usize,
    /// How many CPUs have a value of their own.
    pub(super) cpus: Option<usize>,
    #[cfg_attr(not(feature = "serde"), allow(dead_code, reason = "for values by BTF"))]
    pub(super) btf: Option<(&'a Btf, u32)>,
}

impl Place<'_> {
    /// Bytes of one key or value.
    pub fn size(&self) -> usize {
        self.size
    }

    /// Fails for a type of `size` bytes where the map's have another size.
    fn expect_size(&self, size: usize) -> Result<(), AccessError> {
        match size == self.size {
            true => Ok(()),
            false => Err(self.wrong(format!("has {} bytes, the type has {size}", self.size))),
        }
    }

    pub(super) fn wrong(&self, reason: impl Into<String>) -> AccessError {
        let (name, part) = (self.map.into(), self.part);
        AccessError::Element { name, part, reason: reason.into(), source: None }
    }
}

impl<T: FromBytes + IntoBytes + Immutable> Element for T {
    fn fits(place: &Place<'_>) -> Result<(), AccessError> {
        match place.cpus {
            Some(_) => Err(place.wrong("is one for each CPU: take PerCpu<T>")),
            None => place.expect_size(size_of::<T>()),
        }
    }

    fn encode(&self, place: &Place<'_>) -> Result<Vec<u8>, AccessError> {
        place.expect_size(size_of::<T>())?;
        Ok(self.as_bytes().to_vec())
    }

    fn decode(bytes: &[u8], place: &Place<'_>) -> Result<T, AccessError> {
        T::read_from_bytes(bytes).map_err(|_| place.wrong(format!("has {} bytes", bytes.len())))
    }
}

/// One value for each CPU, as maps of the per-CPU types have them.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct PerCpu<T>(pub Vec<T>);

impl<T> std::ops::Deref for PerCpu<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        &self.0
    }
}

impl<T> IntoIterator for PerCpu<T> {
    type Item = T;
    type IntoIter = std::vec::IntoIter<T>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl<T: Element> Element for PerCpu<T> {
    fn fits(place: &Place<'_>) -> Result<(), AccessError> {
        match place.cpus {
            Some(_) => T::fits(&Place { cpus: None, ..*place }),
            None => Err(place.wrong("is the same for all CPUs: take T, not PerCpu<T>")),
        }
    }

    fn encode(&self, place: &Place<'_>) -> Result<Vec<u8>, AccessError> {
        let cpus = place.cpus.unwrap_or_default();
        if self.0.len() != cpus {
            return Err(place.wrong(format!("is for {cpus} CPUs, and {} are given", self.0.len())));
        }
        let one = Place { cpus: None, ..*place };
        let mut bytes = Vec::new();
        for value in &self.0 {
            bytes.extend(value.encode(&one)?);
            bytes.resize(bytes.len().next_multiple_of(8), 0);
        }
        Ok(bytes)
    }

    fn decode(bytes: &[u8], place: &Place<'_>) -> Result<PerCpu<T>, AccessError> {
        let one = Place { cpus: None, ..*place };
        let slots = bytes.chunks_exact(place.size.next_multiple_of(8).max(8));
        // A slot has at least the size, which it is rounded up from.
        slots.map(|slot| T::decode(&slot[..place.size], &one)).collect::<Result<_, _>>().map(PerCpu)
    }
}
