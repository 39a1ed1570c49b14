//! Measurements, each beside a peer in the same run.

use anyhow::Result;
use clap::Subcommand;

use crate::cargo;
use crate::test::succeeds;

/// What to measure.
#[derive(Subcommand, Clone, Copy)]
pub enum What {
    /// The embedded maps beside Linux's
    Maps,
    /// Compiled programs beside Linux's JIT, rbpf and native code
    Run,
}

/// Measures. Gives whether the goals are met.
///
/// # Errors
/// A peer that does not build.
pub fn execute(what: &What) -> Result<bool> {
    std::fs::create_dir_all("target/bench")?;
    let bench = cargo::build("skep-bench")?;
    let name = match what {
        What::Maps => "maps",
        What::Run => "run",
    };
    succeeds(std::process::Command::new(bench).arg(name))
}
