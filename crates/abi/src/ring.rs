//! The memory of a ring buffer, as its writers and its reader share it
//! (`struct bpf_ringbuf`): a page of the reader's position, one of the writers', then records.

/// Bytes of a record's header: `u32` length and flags, `u32` pages to the ring's start.
pub const HEADER: u64 = 8;
/// A record that is still being written (`BPF_RINGBUF_BUSY_BIT`).
pub const BUSY: u32 = 1 << 31;
/// A record that readers skip (`BPF_RINGBUF_DISCARD_BIT`).
pub const DISCARDED: u32 = 1 << 30;
