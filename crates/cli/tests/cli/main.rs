//! The built binary, as a user runs it.

mod ci;
mod embedded;
mod errors;
mod harness;
mod loaders;
mod raw;
mod reports;
mod run;
mod scale;
mod tools;
mod verify;
