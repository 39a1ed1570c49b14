//! The memory that raw attributes, and addresses inside of structures, point to.

use super::wire::Output;

/// The memory of a caller: the buffers that its raw attributes may point to, each
/// at the address that it says it has.
#[derive(Clone, Debug, Default)]
pub struct Memory {
    buffers: Vec<(u64, Vec<u8>)>,
}

impl Memory {
    /// Adds a buffer at an address.
    pub fn add(&mut self, address: u64, bytes: Vec<u8>) {
        self.buffers.push((address, bytes));
    }

    /// The buffers with their addresses.
    pub fn buffers(&self) -> impl Iterator<Item = (u64, &[u8])> {
        self.buffers.iter().map(|(address, bytes)| (*address, bytes.as_slice()))
    }

    /// The buffer that an address is in, and the offset there. An address right behind a
    /// buffer is in it only where no other begins there: nothing can be read or written
    /// at it then, but that is no fault.
    fn find(&self, address: u64) -> Option<(usize, usize)> {
        let offset = |start: u64| usize::try_from(address.checked_sub(start)?).ok();
        let inside = |is_in: fn(usize, usize) -> bool| {
            self.buffers.iter().enumerate().find_map(|(number, (start, bytes))| {
                offset(*start).filter(|&at| is_in(at, bytes.len())).map(|at| (number, at))
            })
        };
        inside(|at, len| at < len).or_else(|| inside(|at, len| at == len))
    }

    /// From `address` to the end of its buffer; empty where there is none.
    pub(crate) fn rest(&self, address: u64) -> &[u8] {
        self.find(address).map_or(&[], |(number, offset)| &self.buffers[number].1[offset..])
    }

    /// Writes what differs between `from` and `before`, which is what was there when the
    /// command started: two outputs may lie in the same buffer, and each is a copy of all
    /// that follows its address.
    pub(crate) fn write(&mut self, address: u64, from: &[u8], before: &Memory) {
        let Some((number, offset)) = self.find(address) else { return };
        let to = &mut self.buffers[number].1[offset..];
        for ((to, from), before) in to.iter_mut().zip(from).zip(before.rest(address)) {
            if from != before {
                *to = *from;
            }
        }
    }
}

/// Memory that an address inside of an info structure means.
#[derive(Debug)]
pub struct NestedBuffer<'a> {
    /// The address, as it stands in the structure.
    pub address: u64,
    /// The memory.
    pub memory: Output<'a>,
}

impl<'a> NestedBuffer<'a> {
    pub(crate) fn copy(&self) -> NestedBuffer<'a> {
        let memory = Output::Owned { address: self.address, bytes: self.memory.to_vec() };
        NestedBuffer { address: self.address, memory }
    }
}
