//! The memory that programs see: tagged values, stacks, packets.
#![allow(unsafe_code, reason = "reads and writes by address; each block says why it may")]

pub(crate) mod packet;
pub(crate) mod stack;
pub(crate) mod value;
