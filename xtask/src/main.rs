//! Set-up, tests, parity, benches.
#![forbid(unsafe_code)]
fn main() {}
