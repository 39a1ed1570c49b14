//! The dynptrs of a run. What they stand for is kept here, by the address of their 16 bytes in
//! the program's memory, of which nothing is ever read: a program that no verifier saw may put
//! there what it likes. Counterpart: `struct bpf_dynptr_kern`.

use skep_abi::Errno;

use crate::memory::value::Value;

/// Most bytes that one stands for (`DYNPTR_MAX_SIZE`).
const MAX_SIZE: u32 = (1 << 24) - 1;

/// What a dynptr stands for.
#[derive(Clone, Copy)]
pub(crate) struct Dynptr {
    pub data: Data,
    /// Where it begins there.
    pub offset: u32,
    /// Bytes from there on.
    pub size: u32,
    pub writable: bool,
}

/// Where the bytes are.
#[derive(Clone, Copy)]
pub(crate) enum Data {
    /// Memory that the program has a pointer to.
    Memory(Value),
    /// A record of a ring buffer.
    Record(Value),
    /// The packet of a socket buffer.
    Skb,
    /// The packet of an XDP buffer.
    Xdp,
}

impl Dynptr {
    /// All of `size` bytes.
    ///
    /// # Errors
    /// `E2BIG`: more than one stands for.
    pub fn new(data: Data, size: u32, writable: bool) -> Result<Dynptr, Errno> {
        check_size(size)?;
        Ok(Dynptr { data, offset: 0, size, writable })
    }

    /// Whether `len` bytes at an offset are its.
    ///
    /// # Errors
    /// `E2BIG`: they are not.
    #[inline]
    pub fn check(&self, offset: u32, len: u32) -> Result<(), Errno> {
        let fits = len <= self.size && offset <= self.size - len;
        if fits { Ok(()) } else { Err(Errno::E2BIG) }
    }
}

/// Whether a dynptr may stand for so many bytes.
///
/// # Errors
/// `E2BIG`: it may not.
pub(crate) fn check_size(size: u32) -> Result<(), Errno> {
    if size > MAX_SIZE { Err(Errno::E2BIG) } else { Ok(()) }
}

/// The dynptrs that a run has made; any other place holds one that is null.
#[derive(Default)]
pub(crate) struct Dynptrs(Vec<(u64, Dynptr)>);

impl Dynptrs {
    /// Whether there is none.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The dynptr at an address; `None` for one that is null.
    #[inline]
    pub fn at(&self, address: u64) -> Option<Dynptr> {
        self.0.iter().rev().find(|(at, _)| *at == address).map(|(_, dynptr)| *dynptr)
    }

    /// Makes a dynptr at an address, or one that is null.
    pub fn set(&mut self, address: u64, dynptr: Option<Dynptr>) {
        let known = self.0.iter().rposition(|(at, _)| *at == address);
        match (known, dynptr) {
            (Some(index), Some(dynptr)) => self.0[index].1 = dynptr,
            (Some(index), None) => {
                self.0.swap_remove(index);
            }
            (None, Some(dynptr)) => self.0.push((address, dynptr)),
            (None, None) => {}
        }
    }

    /// Forgets all of them.
    pub fn clear(&mut self) {
        self.0.clear();
    }
}
