//! The built binary, as a user runs it.

mod errors;
mod filter;
mod harness;
mod raw;
mod run;
mod tools;
mod verify;
