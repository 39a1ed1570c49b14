//! Set-up, tests, parity, benches.
#![forbid(unsafe_code)]

mod corpus;
mod relocate;

use std::process::ExitCode;

use anyhow::{Result, bail};

fn main() -> Result<ExitCode> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words[..] {
        ["parity", "relocate"] => {
            let all_agree = relocate::run()?;
            Ok(if all_agree { ExitCode::SUCCESS } else { ExitCode::FAILURE })
        }
        _ => bail!("usage: cargo xtask parity relocate"),
    }
}
