//! Host memory.
#![allow(unsafe_code)]

pub mod packet;
pub mod stack;
pub mod value;
