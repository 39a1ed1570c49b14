//! `parity seccomp`: what policies decide.
//!
//! - *cases*: policies as data, with what they shall decide (`cases.rs`).
//! - *random*: random policies; the program is proved, and run beside the rules.
//! - *diff*: pairs of random policies; what `diff` and `why` say beside the rules.
//! - *profile*: Debian's container profile, proved and counted.
//! - *numbers*: calls of every architecture as `scmp_sys_resolver` has them.
//!
//! The data is not part of the repository; without it a line says so.

mod cases;
mod differences;
mod numbers;
mod profile;
mod random;
pub mod tables;

pub use profile::bench;

use std::path::PathBuf;

use anyhow::Result;

/// What to compare.
#[derive(clap::Args, Clone)]
pub struct Options {
    /// Random policies
    #[arg(long, default_value_t = 10_000)]
    count: u32,
    /// Calls that each is tried on
    #[arg(long, default_value_t = 400)]
    inputs: u32,
    /// The first seed
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Numbers of every so many calls are compared
    #[arg(long, default_value_t = 1)]
    step: usize,
}

impl Options {
    /// What continuous integration runs.
    pub fn short() -> Options {
        Options { count: 2000, inputs: 200, seed: 1, step: 10 }
    }
}

/// Compares. Gives whether all agree.
///
/// # Errors
/// Data that cannot be read.
pub fn execute(options: &Options) -> Result<bool> {
    let mut good = true;
    match data() {
        Some(folder) => good &= cases::execute(&folder)?,
        None => println!("skipped: parity seccomp: its cases are not there (SKEP_DATA)"),
    }
    good &= profile::execute()?;
    good &= numbers::execute(options.step)?;
    good &= numbers::sets()?;
    good &= random::execute(options)?;
    good &= differences::execute(options)?;
    Ok(good)
}

/// The folder of the data: `SKEP_DATA`, or `shared/data` beside the checkout or above it.
fn data() -> Option<PathBuf> {
    let named = std::env::var_os("SKEP_DATA").map(PathBuf::from);
    let workspace = crate::cargo::workspace();
    let above = workspace.ancestors().skip(1).map(|folder| folder.join("shared/data"));
    named.into_iter().chain(above).find(|folder| folder.join("seccomp-cases.jsonl").is_file())
}
