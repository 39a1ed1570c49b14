//! `skep run`: a program on the packets of a capture, or bare instructions on bare
//! memory.

pub mod raw;

use std::io::Write;
use std::path::PathBuf;

use crate::Outcome;

/// Run a program on the packets of a capture
#[derive(clap::Args)]
#[command(after_help = "Examples:
  skep run --raw prog.bin --memory '01 02 03'                     bare instructions, prints r0")]
pub struct Args {
    /// Run bare instructions instead: r1 = memory, r2 = its length; - is the standard input
    #[arg(long, value_name = "FILE")]
    raw: PathBuf,
    /// The instructions are hex text
    #[arg(long)]
    hex: bool,
    /// The memory, as hex text
    #[arg(long, value_name = "HEX")]
    memory: Option<String>,
    /// Instructions that a run may execute
    #[arg(long, value_name = "N")]
    budget: Option<u64>,
    /// Print JSON (see docs/cli.md)
    #[arg(long)]
    json: bool,
}

/// `skep run`.
pub fn run(args: Args, out: &mut dyn Write) -> Outcome {
    let options = raw::Options {
        file: &args.raw,
        hex: args.hex,
        memory: args.memory.as_deref(),
        budget: args.budget,
        json: args.json,
    };
    raw::run(&options, out)
}
