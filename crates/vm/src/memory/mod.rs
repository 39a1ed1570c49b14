//! The memory that programs see: tagged values, stacks, packets, objects.
#![allow(unsafe_code, reason = "reads and writes by address; each block says why it may")]

pub(crate) mod blocks;
pub(crate) mod packet;
pub(crate) mod stack;
pub(crate) mod value;
