//! Measurements, each beside a peer in the same run.

use anyhow::Result;
use clap::Subcommand;

use crate::test::succeeds;
use crate::{cargo, packs, seccomp, verify};

/// What to measure.
#[derive(Subcommand, Clone)]
pub enum What {
    /// `skep filter` beside tcpdump, and filters in cache beside libpcap's
    Filter,
    /// What an event costs at an application's hook
    Hook,
    /// The embedded maps beside Linux's
    Maps,
    /// What a packet costs besides its program, by program type, and TEST_RUN beside Linux's
    Packets,
    /// Compiled programs beside Linux's JIT, rbpf and native code
    Run {
        /// `--quick`, `--only PART`, `--write docs/performance.md`: see `bench/src/run.rs`
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// One call of `skep verify` for all of Debian's objects beside their verification in it
    Corpus,
    /// The verifier beside Linux's, on the selftests and on Debian's objects
    Verify,
    /// The program of Debian's container profile: its length, and what is executed of it
    Seccomp,
}

/// Measures. Gives whether the goals are met.
///
/// # Errors
/// A peer that does not build.
pub fn execute(what: &What) -> Result<bool> {
    if matches!(what, What::Seccomp) {
        return seccomp::bench();
    }
    std::fs::create_dir_all("target/bench")?;
    let name = match what {
        What::Filter => "filter",
        What::Hook => "hook",
        What::Maps => "maps",
        What::Packets => "packets",
        What::Run { .. } => "run",
        What::Verify => "verify",
        What::Corpus => return packs::bench(),
        What::Seccomp => "seccomp",
    };
    if matches!(what, What::Filter) {
        // Its peers are programs.
        let folder = cargo::release(&["skep-bench", "skep-cli"], "")?;
        let mut command = std::process::Command::new(folder.join("skep-bench"));
        return succeeds(command.arg(name).arg(folder.join("skep")));
    }
    let mut command = std::process::Command::new(cargo::build("skep-bench", "peers")?);
    command.arg(name);
    match what {
        What::Filter | What::Hook | What::Maps | What::Packets | What::Corpus | What::Seccomp => {}
        What::Run { arguments } => {
            command.args(arguments);
        }
        What::Verify => {
            command.args(verify::all_objects()?);
        }
    }
    succeeds(&mut command)
}
