//! skep's speed beside its peers', one subcommand each.
//!
//! Every figure is measured on both sides in turns, in this process, and is the median
//! of the repetitions' quotients. The results go to `target/bench/NAME.json`; the
//! last lines say how they stand to their goals. Exit status 1 when short of one.

mod filter;
mod hook;
mod linux;
mod maps;
mod ours;
mod packets;
mod program;
mod run;
mod verify;

use std::process::ExitCode;

fn main() -> ExitCode {
    let name = std::env::args().nth(1).unwrap_or_default();
    match name.as_str() {
        "filter" => filter::run(&std::env::args().skip(2).collect::<Vec<_>>()),
        "hook" => hook::run(),
        "maps" => maps::run(),
        "packets" => packets::run(),
        "run" => run::run(&std::env::args().skip(2).collect::<Vec<_>>()),
        "verify" => verify::run(&std::env::args().skip(2).collect::<Vec<_>>()),
        _ => {
            eprintln!("usage: skep-bench filter|hook|maps|packets|run|verify");
            ExitCode::from(2)
        }
    }
}
