//! Values that know where they may point: what the tagged interpreter computes with.
//!
//! A [`Value`] is 64 bits and the [`Region`] that they may be an address in. The
//! bits come from the program and prove nothing; the region is made by the kernel
//! around it and bounds every access. A wild address is a [`Fault`], never a host
//! access.
//!
//! Invariant: whoever makes a region promises that its memory stays mapped for as
//! long as a run can hold a value of it (see [`Region::new`]).

use std::sync::atomic::{AtomicU8, AtomicU16, AtomicU32, AtomicU64, Ordering::Relaxed};

use skep_isa::Size;

use skep_maps::mem::words;

/// What a value is or points into.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Kind {
    /// A number.
    Scalar,
    /// Nothing was written to it.
    Uninit,
    /// The program's stack, of the frame in `epoch`.
    Stack,
    /// The context; accesses go through the hook.
    Context,
    /// The packet as it was in `epoch`.
    Packet,
    /// A value of a map.
    MapValue,
    /// A ring buffer record, number `epoch` of the run.
    Record,
    /// Other memory: an application's, a raw run's.
    Memory,
    /// A map itself.
    Map,
    /// A subprogram; the bits are its first slot.
    Function,
}

impl Kind {
    /// A word for messages.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Scalar => "scalar",
            Kind::Uninit => "uninitialised register",
            Kind::Stack => "stack",
            Kind::Context => "context",
            Kind::Packet => "packet",
            Kind::MapValue => "map value",
            Kind::Record => "ring buffer record",
            Kind::Memory => "memory",
            Kind::Map => "map",
            Kind::Function => "function",
        }
    }
}

/// Memory that a value may point into.
#[derive(Clone, Copy, Debug)]
pub struct Region {
    start: u64,
    /// Wide enough that no run counts it through: a number that came round would let
    /// pointers hold again whose memory is gone.
    epoch: u64,
    len: u32,
    kind: Kind,
    writable: bool,
}

/// Why an access was not made.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fault {
    /// The value is no pointer to memory.
    NotMemory,
    /// Outside of the region.
    OutOfBounds,
    /// A store into what may only be read.
    ReadOnly,
}

impl Region {
    const NONE: Region = Region { start: 0, len: 0, epoch: 0, kind: Kind::Scalar, writable: false };

    /// `len` bytes from `start`.
    ///
    /// # Safety
    /// They must stay mapped (and writable, if `writable`) for as long as the run
    /// that gets the region lasts, and nobody may hold a Rust reference to them
    /// while the run makes accesses.
    pub unsafe fn new(start: *mut u8, len: u32, kind: Kind, writable: bool) -> Region {
        Region { start: start.addr() as u64, len, epoch: 0, kind, writable }
    }

    /// The same region, marked with an epoch.
    pub fn with_epoch(self, epoch: u64) -> Region {
        Region { epoch, ..self }
    }

    /// The same region under another name.
    pub fn with_kind(self, kind: Kind) -> Region {
        Region { kind, ..self }
    }

    /// `len` bytes of it from its byte `offset` on, to write only where it may be written and
    /// `write` says so; `None` where it has not as many.
    pub fn part(self, offset: u64, len: u32, write: bool) -> Option<Region> {
        let end = offset.checked_add(len.into())?;
        let start = self.start.wrapping_add(offset);
        let writable = self.writable && write;
        (end <= self.len.into()).then_some(Region { start, len, writable, ..self })
    }

    /// What starts at an address that a verifier vouches for, however long it is.
    ///
    /// # Safety
    /// Whatever is accessed through it must be what [`Region::new`] asks for: the caller
    /// knows that the address is a verified program's, and how much of it may be used.
    pub(crate) unsafe fn vouched(start: u64) -> Region {
        Region { start, len: u32::MAX, epoch: 0, kind: Kind::Memory, writable: true }
    }

    /// Whether it may be written.
    pub fn is_writable(&self) -> bool {
        self.writable
    }

    /// The first address.
    pub fn start(&self) -> u64 {
        self.start
    }

    /// Number of bytes.
    pub fn size(&self) -> u32 {
        self.len
    }

    /// Its mark.
    #[inline(always)]
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// What it is.
    #[inline(always)]
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// A value with these bits, which may point into it.
    #[inline(always)]
    pub fn value(self, bits: u64) -> Value {
        Value { bits, region: self }
    }

    /// A pointer to its byte `offset`, which may be outside.
    pub fn pointer(self, offset: u64) -> Value {
        Value { bits: self.start.wrapping_add(offset), region: self }
    }
}

/// 64 bits and what they may point into.
#[derive(Clone, Copy, Debug)]
pub struct Value {
    /// The bits as the program sees them.
    pub bits: u64,
    region: Region,
}

impl Value {
    /// The value of a register that nothing was written to.
    pub const UNINIT: Value =
        Value { bits: 0, region: Region { kind: Kind::Uninit, ..Region::NONE } };

    /// A number.
    #[inline(always)]
    pub const fn scalar(bits: u64) -> Value {
        Value { bits, region: Region::NONE }
    }

    /// A map, by the number that the run knows it by.
    pub fn map(index: u32) -> Value {
        let bits = MAP_ADDRESS + u64::from(index);
        Value { bits, region: Region { kind: Kind::Map, start: index.into(), ..Region::NONE } }
    }

    /// The number of a map that has these bits, if it is one.
    pub(crate) fn map_number(bits: u64) -> Option<u32> {
        u32::try_from(bits.checked_sub(MAP_ADDRESS)?).ok()
    }

    /// The number of a map.
    pub fn map_index(&self) -> u32 {
        self.region.start as u32
    }

    /// A subprogram.
    pub fn function(pc: u32) -> Value {
        Value { bits: pc.into(), region: Region { kind: Kind::Function, ..Region::NONE } }
    }

    /// The context of a hook; `len` bytes that only the hook can read.
    pub fn context(len: u32) -> Value {
        let region = Region { kind: Kind::Context, len, ..Region::NONE };
        Value { bits: CONTEXT_ADDRESS, region: Region { start: CONTEXT_ADDRESS, ..region } }
    }

    /// What it is or points into.
    #[inline(always)]
    pub fn kind(&self) -> Kind {
        self.region.kind
    }

    /// The mark of its region.
    #[inline(always)]
    pub fn epoch(&self) -> u64 {
        self.region.epoch
    }

    /// Its region.
    pub fn region(&self) -> Region {
        self.region
    }

    /// Offset from the start of its region.
    pub fn offset(&self) -> i64 {
        self.bits.wrapping_sub(self.region.start) as i64
    }

    /// The same region, other bits.
    #[inline(always)]
    pub fn with_bits(self, bits: u64) -> Value {
        Value { bits, region: self.region }
    }

    /// Checks an access of `len` bytes at `offset` from it, and gives the address.
    #[inline(always)]
    pub fn check(&self, offset: i64, len: u64, write: bool) -> Result<u64, Fault> {
        let address = self.bits.wrapping_add(offset as u64);
        let within = address.wrapping_sub(self.region.start);
        // A region without memory has length 0, so that this refuses it too.
        let fits = within.checked_add(len).is_some_and(|end| end <= self.region.len.into());
        if fits && self.is_memory() && (self.region.writable || !write) {
            return Ok(address);
        }
        Err(if !self.is_memory() {
            Fault::NotMemory
        } else if !fits {
            Fault::OutOfBounds
        } else {
            Fault::ReadOnly
        })
    }

    #[inline(always)]
    fn is_memory(&self) -> bool {
        matches!(
            self.region.kind,
            Kind::Stack | Kind::Packet | Kind::MapValue | Kind::Record | Kind::Memory
        )
    }

    /// Loads `size` bytes at `offset` from it, zero-extended.
    ///
    /// # Errors
    /// Why it cannot.
    #[inline(always)]
    pub fn load(&self, offset: i64, size: Size) -> Result<u64, Fault> {
        let address = self.check(offset, size.bytes().into(), false)? as usize;
        // SAFETY: inside of a region, whose maker promised that it is mapped.
        Ok(unsafe { load(std::ptr::with_exposed_provenance_mut(address), size) })
    }

    /// Stores the lower `size` bytes of `bits` at `offset` from it.
    ///
    /// # Errors
    /// Why it cannot.
    #[inline(always)]
    pub fn store(&self, offset: i64, size: Size, bits: u64) -> Result<(), Fault> {
        let address = self.check(offset, size.bytes().into(), true)? as usize;
        // SAFETY: inside of a writable region, whose maker promised that it is mapped.
        unsafe { store(std::ptr::with_exposed_provenance_mut(address), size, bits) };
        Ok(())
    }

    /// Changes the word at `offset` from it atomically (32 or 64 bits) and gives the
    /// old one.
    ///
    /// # Errors
    /// Why it cannot.
    pub fn update(
        &self,
        offset: i64,
        size: Size,
        mut change: impl FnMut(u64) -> u64,
    ) -> Result<u64, Fault> {
        let address = self.check(offset, size.bytes().into(), true)? as usize;
        if !address.is_multiple_of(size.bytes() as usize) {
            // Only programs that no verifier saw get here; there is nothing atomic
            // about such an access on most machines.
            let old = self.load(offset, size)?;
            self.store(offset, size, change(old))?;
            return Ok(old);
        }
        let at = std::ptr::with_exposed_provenance_mut::<u8>(address);
        Ok(match size {
            Size::DW => {
                // SAFETY: inside of a writable region and aligned.
                let word = unsafe { AtomicU64::from_ptr(at.cast()) };
                word.update(std::sync::atomic::Ordering::SeqCst, Relaxed, change)
            }
            _ => {
                // SAFETY: inside of a writable region and aligned.
                let word = unsafe { AtomicU32::from_ptr(at.cast()) };
                let order = std::sync::atomic::Ordering::SeqCst;
                word.update(order, Relaxed, |old| change(old.into()) as u32).into()
            }
        })
    }

    /// Copies `bytes.len()` bytes out.
    ///
    /// # Errors
    /// Why it cannot.
    pub fn read(&self, bytes: &mut [u8]) -> Result<(), Fault> {
        let address = self.check(0, bytes.len() as u64, false)? as usize;
        let from = std::ptr::with_exposed_provenance::<u8>(address);
        // SAFETY: inside of a region, whose maker promised that it is mapped.
        unsafe { words::gather(bytes, from) };
        Ok(())
    }

    /// Copies `bytes` in.
    ///
    /// # Errors
    /// Why it cannot.
    pub fn write(&self, bytes: &[u8]) -> Result<(), Fault> {
        let address = self.check(0, bytes.len() as u64, true)? as usize;
        let to = std::ptr::with_exposed_provenance_mut::<u8>(address);
        let head = to.align_offset(size_of::<u64>()).min(bytes.len());
        let (before, rest) = bytes.split_at(head);
        let (middle, after) = rest.as_chunks::<8>();
        let behind = head + middle.len() * 8;
        for (index, &byte) in before.iter().enumerate() {
            // SAFETY: inside of a writable region, whose maker promised that it is mapped.
            unsafe { store(to.add(index), Size::B, byte.into()) };
        }
        for (index, &word) in middle.iter().enumerate() {
            // SAFETY: as above.
            unsafe { store(to.add(head + index * 8), Size::DW, u64::from_ne_bytes(word)) };
        }
        for (index, &byte) in after.iter().enumerate() {
            // SAFETY: as above.
            unsafe { store(to.add(behind + index), Size::B, byte.into()) };
        }
        Ok(())
    }
}

/// Maps are no memory; this is what a program sees of their address.
const MAP_ADDRESS: u64 = 0x4d41_5000_0000;

/// Contexts are no memory; this is what a program sees of their address. Its lower half is no
/// small number: who takes it for an index finds nothing there.
const CONTEXT_ADDRESS: u64 = 0x7e57_7000_0000;

/// Loads, whole where it is aligned: other threads may store at the same time.
///
/// # Safety
/// `at` is valid for reads of `size` bytes.
#[inline(always)]
unsafe fn load(at: *mut u8, size: Size) -> u64 {
    macro_rules! load {
        ($atomic:ident, $number:ty) => {
            if at.addr().is_multiple_of(size_of::<$number>()) {
                // SAFETY: valid by the caller's promise, and aligned.
                unsafe { $atomic::from_ptr(at.cast()) }.load(Relaxed).into()
            } else {
                // SAFETY: valid by the caller's promise.
                unsafe { at.cast::<$number>().read_unaligned() }.into()
            }
        };
    }
    match size {
        // SAFETY: valid by the caller's promise; bytes are always aligned.
        Size::B => unsafe { AtomicU8::from_ptr(at) }.load(Relaxed).into(),
        Size::H => load!(AtomicU16, u16),
        Size::W => load!(AtomicU32, u32),
        Size::DW => load!(AtomicU64, u64),
    }
}

/// Stores, whole where it is aligned: other threads may load at the same time.
///
/// # Safety
/// `at` is valid for writes of `size` bytes.
#[inline(always)]
unsafe fn store(at: *mut u8, size: Size, bits: u64) {
    macro_rules! store {
        ($atomic:ident, $number:ty) => {
            if at.addr().is_multiple_of(size_of::<$number>()) {
                // SAFETY: valid by the caller's promise, and aligned.
                unsafe { $atomic::from_ptr(at.cast()) }.store(bits as $number, Relaxed)
            } else {
                // SAFETY: valid by the caller's promise.
                unsafe { at.cast::<$number>().write_unaligned(bits as $number) }
            }
        };
    }
    match size {
        // SAFETY: valid by the caller's promise; bytes are always aligned.
        Size::B => unsafe { AtomicU8::from_ptr(at) }.store(bits as u8, Relaxed),
        Size::H => store!(AtomicU16, u16),
        Size::W => store!(AtomicU32, u32),
        Size::DW => store!(AtomicU64, u64),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_takes_32_bytes() {
        assert_eq!(size_of::<Value>(), 32);
    }

    #[test]
    fn accesses_outside_of_the_region_are_refused() {
        let mut bytes = [1u8, 2, 3, 4, 5, 6, 7, 8];
        // SAFETY: `bytes` outlives the region and is not touched while it is used.
        let region = unsafe { Region::new(bytes.as_mut_ptr(), 8, Kind::Memory, true) };
        std::hint::black_box(bytes.as_mut_ptr().expose_provenance());
        let start = region.pointer(0);
        assert_eq!(start.load(0, Size::DW), Ok(u64::from_ne_bytes([1, 2, 3, 4, 5, 6, 7, 8])));
        assert_eq!(start.load(1, Size::DW), Err(Fault::OutOfBounds));
        assert_eq!(start.load(-1, Size::B), Err(Fault::OutOfBounds));
        assert_eq!(start.load(i64::MAX, Size::B), Err(Fault::OutOfBounds));
        assert_eq!(start.store(8, Size::B, 0), Err(Fault::OutOfBounds));
        assert_eq!(Value::scalar(region.start()).load(0, Size::B), Err(Fault::NotMemory));
        assert_eq!(start.update(4, Size::W, |old| old + 1).map(|old| old & 0xff), Ok(5));
    }
}
