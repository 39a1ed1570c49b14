//! Host memory that maps are made of.
//!
//! Two kinds: [`Mapping`], private to this process, and [`SharedMemory`], backed
//! by a memfd so that user space may map it too (arrays with `BPF_F_MMAPABLE`,
//! ring buffers). Both are zero-filled, page-aligned, committed by the first
//! touch only, and stay at their address until dropped. Other threads and the
//! programs themselves write to this memory at any time, therefore it is only
//! ever read and written through [`words`] (relaxed atomics), never through
//! references. Linux's counterpart is `bpf_map_area_alloc()`.
#![allow(unsafe_code)]

pub mod bytes;
mod mapping;
mod shared;
pub mod words;

pub use mapping::Mapping;
pub use shared::{SharedMemory, View};

/// The page size that layouts are made with, in bytes (that of every target which Linux's
/// BPF tests run on).
pub const PAGE: usize = 4096;

/// `bytes` rounded up to whole pages; `None` past the address space.
pub fn page_align(bytes: u64) -> Option<usize> {
    usize::try_from(bytes.checked_next_multiple_of(PAGE as u64)?).ok()
}
