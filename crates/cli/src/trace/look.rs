//! `skep trace` without events: what there is to trace, scripts formatted, and scripts checked
//! in a world that a file describes.

use std::io::Write;
use std::path::{Path, PathBuf};

use skep::lang::trace::world::{Fixture, World};
use skep::lang::trace::{self, Options};

use crate::failure::{Failure, Outcome, Status};

/// What is done instead of a run.
#[derive(clap::Args)]
pub struct LookArgs {
    /// List what there is to trace: all, or what a pattern names, as tracepoint:sched:*
    #[arg(short = 'l', long = "list", conflicts_with_all = ["text", "format_script"])]
    pub list: bool,
    /// With -l: parameters, too
    #[arg(short = 'v', long)]
    pub verbose: bool,
    /// Print the script formatted
    #[arg(long = "fmt")]
    pub format_script: bool,
    /// Check only, in the world that a JSON file describes instead of this machine's
    #[arg(long, value_name = "FILE")]
    pub fixture: Option<PathBuf>,
}

/// The world of a file.
pub fn fixture(file: &Path) -> Result<Fixture, Failure> {
    let text = std::fs::read_to_string(file)
        .map_err(|error| Failure::unusable(format!("{}: {error}", file.display())))?;
    Fixture::read(&text).map_err(|error| Failure::unusable(format!("{}: {error}", file.display())))
}

/// Lists what a pattern names.
pub fn list(
    pattern: &str,
    world: &dyn World,
    options: &Options,
    details: bool,
    out: &mut dyn Write,
) -> Outcome {
    lines(trace::list(pattern, world, options, details), out)
}

/// Lists what the probes of a script name.
pub fn list_script(
    (name, text): (&str, &str),
    world: &dyn World,
    options: &Options,
    details: bool,
    out: &mut dyn Write,
) -> Outcome {
    lines(trace::list_script(text, name, world, options, details), out)
}

fn lines(found: Result<Vec<String>, String>, out: &mut dyn Write) -> Outcome {
    match found {
        Ok(lines) => {
            for line in lines {
                writeln!(out, "{line}")?;
            }
            Ok(Status::Done)
        }
        Err(text) => super::failed(&text),
    }
}

/// Prints a script formatted.
pub fn format(text: &str, name: &str, out: &mut dyn Write) -> Outcome {
    match trace::format(text, name) {
        Ok(text) => {
            out.write_all(text.as_bytes())?;
            Ok(Status::Done)
        }
        Err(shown) => {
            eprint!("{shown}");
            Ok(Status::Refused)
        }
    }
}
