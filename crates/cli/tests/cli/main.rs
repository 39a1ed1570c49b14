//! The built binary, as a user runs it.

mod ci;
mod embedded;
mod errors;
mod filter;
mod first_hour;
mod harness;
mod printed;
mod loaders;
mod raw;
mod reports;
mod run;
mod signals;
mod scale;
mod tools;
mod verify;
