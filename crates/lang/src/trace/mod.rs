//! bpftrace's language: from text to a checked tree, in the order of the steps below.
//!
//! ```text
//! text -> parse -> macros -> points -> fold -> sugar -> types -> checked::Script
//! ```

pub mod ast;
pub mod c;
pub mod checked;
pub mod config;
pub mod diagnostic;
pub mod kind;
mod macros;
mod names;
pub mod number;
pub mod options;
pub mod parse;
pub mod place;
pub mod points;
pub mod records;
mod settings;
mod unit;
mod walk;
mod words;
pub mod world;

// From the checked tree to a run.
pub mod lower;
pub mod output;
pub mod plan;
#[cfg(target_os = "linux")]
pub mod run;
