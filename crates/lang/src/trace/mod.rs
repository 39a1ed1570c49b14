//! bpftrace's language: from text to a checked tree, in the order of the steps below.
//!
//! ```text
//! text -> parse -> macros -> points -> fold -> sugar -> types -> checked::Script
//! ```

mod arguments;
pub mod ast;
mod build;
mod builtins;
pub mod c;
pub mod checked;
pub mod config;
mod constants;
pub mod diagnostic;
mod flow;
mod fmt;
mod fold;
mod format;
mod imports;
pub mod kind;
mod list;
mod macros;
mod names;
pub mod number;
pub mod options;
mod params;
pub mod parse;
pub mod place;
pub mod points;
mod precheck;
pub mod records;
mod settings;
mod steps;
mod sugar;
mod types;
mod types_list;
mod unit;
mod unstable;
mod walk;
mod words;
pub mod world;

pub use fmt::format;
pub use list::{list, list_script};
pub use options::{Options, Until};
pub use steps::{Outcome, check};

// From the checked tree to a run.
pub mod lower;
pub mod output;
pub mod plan;
#[cfg(target_os = "linux")]
pub mod run;
