//! The built binary, as a user runs it.

mod errors;
mod filter;
mod first_hour;
mod harness;
mod printed;
mod raw;
mod run;
mod signals;
mod tools;
mod verify;
