//! `skep doctor`: what this machine allows, and what to do about the rest.

pub mod probe;
mod system;

pub use system::missing_capabilities;

use std::io::Write;

use serde_json::json;

use crate::failure::{Outcome, Status};
use crate::table::{Cell, Table};
use crate::terminal::{Paint, clean};

/// Say what this machine allows, and what to do about the rest
#[derive(clap::Args)]
#[command(
    after_help = "The embedded kernel needs nothing from the machine: `skep run` without --kernel works
everywhere. What doctor looks at is for --kernel linux and for building programs."
)]
pub struct Args {
    /// Print JSON (see docs/cli.md)
    #[arg(long)]
    json: bool,
}

/// How a check ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum State {
    /// As it should be.
    Ok,
    /// Not there; something else will do without.
    Missing,
    /// For information.
    Info,
}

impl State {
    fn name(self) -> &'static str {
        match self {
            State::Ok => "ok",
            State::Missing => "missing",
            State::Info => "info",
        }
    }
}

/// One thing that was looked at.
pub struct Check {
    /// Stable, for JSON.
    pub name: String,
    pub state: State,
    /// What was found.
    pub found: String,
    /// What to do about it.
    pub advice: Option<String>,
}

impl Check {
    pub fn new(name: &str, state: State, found: impl Into<String>) -> Check {
        Check { name: name.into(), state, found: found.into(), advice: None }
    }

    pub fn advice(mut self, advice: impl Into<String>) -> Check {
        self.advice = Some(advice.into());
        self
    }
}

/// `skep doctor`.
pub fn run(args: Args, out: &mut dyn Write) -> Outcome {
    let sections = [
        ("machine", system::machine()),
        ("permission", system::permission()),
        ("tools", system::tools()),
        ("program types", probe::programs()),
        ("map types", probe::maps()),
    ];
    if args.json {
        let check = |check: &Check| {
            json!({
                "name": check.name,
                "state": check.state.name(),
                "found": check.found,
                "advice": check.advice,
            })
        };
        let all: serde_json::Map<String, serde_json::Value> = sections
            .iter()
            .map(|(title, checks)| (title.replace(' ', "_"), checks.iter().map(check).collect()))
            .collect();
        serde_json::to_writer_pretty(&mut *out, &all).map_err(std::io::Error::from)?;
        writeln!(out)?;
        return Ok(Status::Done);
    }
    let paint = Paint::stdout();
    for (title, checks) in &sections {
        writeln!(out, "{}", paint.bold(title))?;
        match *title {
            "program types" | "map types" => grid(checks, out)?,
            _ => list(checks, out)?,
        }
        writeln!(out)?;
    }
    let advice: Vec<&Check> = sections
        .iter()
        .flat_map(|(_, checks)| checks)
        .filter(|check| check.advice.is_some())
        .collect();
    if advice.is_empty() {
        writeln!(out, "{}", paint.green("Everything is there."))?;
        return Ok(Status::Done);
    }
    writeln!(out, "{}", paint.bold("what to do"))?;
    let mut said = Vec::new();
    for check in advice {
        let text = check.advice.as_deref().unwrap_or_default();
        // One remedy may help several.
        if !said.contains(&text) {
            writeln!(out, "  {}: {}", paint.yellow(&check.name), clean(text))?;
            said.push(text);
        }
    }
    Ok(Status::Done)
}

fn list(checks: &[Check], out: &mut dyn Write) -> std::io::Result<()> {
    let paint = Paint::stdout();
    let width = checks.iter().map(|check| check.name.len()).max().unwrap_or(0);
    for check in checks {
        let sign = match check.state {
            State::Ok => paint.green("ok     "),
            State::Missing => paint.yellow("missing"),
            State::Info => paint.dim("-      "),
        };
        writeln!(out, "  {sign}  {:width$}  {}", check.name, clean(&check.found))?;
    }
    Ok(())
}

/// Names in columns, by how they fared.
fn grid(checks: &[Check], out: &mut dyn Write) -> std::io::Result<()> {
    const COLUMNS: usize = 4;
    let paint = Paint::stdout();
    let mut groups: Vec<(String, Vec<&str>)> = Vec::new();
    for check in checks {
        match groups.iter_mut().find(|group| group.0 == check.found) {
            Some(group) => group.1.push(&check.name),
            None => groups.push((check.found.clone(), vec![&check.name])),
        }
    }
    for (found, names) in groups {
        writeln!(out, "  {} ({})", paint.dim(&found), names.len())?;
        let mut table = Table::default();
        for row in names.chunks(COLUMNS) {
            table.row(row.iter().map(|name| Cell::text(*name)));
        }
        table.write(out, "    ")?;
    }
    Ok(())
}
