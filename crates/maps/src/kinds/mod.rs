//! What maps are made of, one file for each kind of storage.

pub mod arena;
pub mod array;
pub mod batch;
pub mod bloom;
pub mod hash;
mod hashes;
pub mod kind;
pub mod lpm;
pub mod model;
pub mod objects;
pub mod owned;
mod percpu;
pub mod perf;
pub mod queue;
pub mod ringbuf;
pub mod sockets;
pub mod stacks;
pub mod targets;

/// Who asks: decides which vCPU's value is meant.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Caller {
    /// A program on this vCPU: it reads and writes that vCPU's value.
    Program(u32),
    /// A system call: it brings or takes the values of all vCPUs.
    System,
}
