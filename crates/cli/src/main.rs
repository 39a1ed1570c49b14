//! The skep command.
#![forbid(unsafe_code)]
fn main() {}
