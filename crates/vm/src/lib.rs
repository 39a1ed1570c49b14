//! Placeholder.
#![deny(unsafe_code)]
pub mod maps;
pub mod mem;
