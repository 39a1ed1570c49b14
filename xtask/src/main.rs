//! Everything about the repository that cargo does not know: what the tests need,
//! the tests, comparison with other implementations, benches, the examples.
#![forbid(unsafe_code)]

mod attach;
mod bench;
mod boundaries;
mod capture;
mod cargo;
mod corpus;
mod debian;
mod elements;
mod engines;
mod examples;
mod filter;
mod first_hour;
mod fuzz;
mod generate;
mod guest;
mod helpers;
mod house;
mod inputs;
mod maps;
mod packages;
mod packs;
mod parity;
mod prove;
mod races;
mod random;
mod relocate;
mod retval;
mod run;
mod seccomp;
mod sound;
mod test;
mod trace;
mod verify;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

/// The repository's own commands.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Install what the tests need, then run all of them; what CI does
    Test(test::Options),
    /// Compare with Linux and libbpf; closes with `parity NAME: agree N of M`
    Parity {
        #[command(subcommand)]
        what: parity::What,
    },
    /// Measure beside a peer in the same run; closes with `bench NAME: FIGURE = VALUE (goal GOAL)`
    Bench {
        #[command(subcommand)]
        what: bench::What,
    },
    /// Have z3 prove the verifier's scalar domain
    Prove(prove::Options),
    /// Do what the documents tell a newcomer to do, and compare with what they show
    FirstHour,
    /// Write the table of system calls from Linux's own tables
    Calls(seccomp::tables::Options),
    /// Feed random input to the parsers and engines (libFuzzer)
    Fuzz(fuzz::Options),
    /// Run a command under another kernel, in a guest that is emulated here
    Guest(guest::Options),
    /// Make random sequences of safe calls under AddressSanitizer
    Boundaries(boundaries::Options),
    /// Check which way the modules of each crate lean, and what they make public
    House(house::Options),
    /// Check that the committed example objects and the capture are what their sources say
    Examples(examples::Options),
}

fn main() -> ExitCode {
    // Tests start it under the names of their programs.
    if let Some(code) = trace::programs::run() {
        return code;
    }
    match execute(Arguments::parse().task) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(2)
        }
    }
}

/// Gives whether all is well.
fn execute(task: Task) -> Result<bool> {
    std::env::set_current_dir(cargo::workspace())?;
    match task {
        Task::Test(options) => test::execute(&options),
        Task::Parity { what } => parity::execute(&what),
        Task::Bench { what } => bench::execute(&what),
        Task::Calls(options) => seccomp::tables::execute(&options),
        Task::Fuzz(options) => fuzz::execute(&options),
        Task::FirstHour => {
            let mut skipped = Vec::new();
            let is_well = first_hour::execute(true, &mut skipped);
            skipped.iter().for_each(|what| println!("skipped: {what}"));
            is_well
        }
        Task::Prove(options) => prove::execute(&options),
        Task::House(options) => house::execute(&options),
        Task::Boundaries(options) => boundaries::execute(&options),
        Task::Guest(options) => guest::execute(&options),
        Task::Examples(options) => examples::execute(&options),
    }
}
