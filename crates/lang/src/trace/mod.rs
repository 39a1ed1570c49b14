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
pub mod lower;
pub mod output;
pub mod number;
pub mod parse;
pub mod place;
pub mod plan;
pub mod records;
#[cfg(target_os = "linux")]
pub mod run;
pub mod walk;
pub mod words;
