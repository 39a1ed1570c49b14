//! `diff`: what two policies decide differently.

use std::io::Write;
use std::path::PathBuf;

use serde_json::{Value, json};
use skep_lang::seccomp::{Difference, diff};

use super::call::{data_json, data_text};
use super::policy::{PlaceArgs, compile};
use super::shown::arch_name;
use crate::failure::{Failure, Outcome, Status};
use crate::files;
use crate::terminal::print_json;

/// Say which calls two policies decide differently, and for which arguments
#[derive(clap::Args)]
#[command(after_help = "Exit status: 0 they decide alike; 1 they differ; 2 the input is unusable.")]
pub struct Args {
    /// The old policy
    old: PathBuf,
    /// The new policy
    new: PathBuf,
    /// Both are expressions, not files
    #[arg(short = 'e', long)]
    expression: bool,
    #[command(flatten)]
    place: PlaceArgs,
    /// Print JSON (see docs/cli.md)
    #[arg(long)]
    json: bool,
}

/// `skep seccomp diff`.
pub fn run(args: &Args, out: &mut dyn Write) -> Outcome {
    let read = |file: &PathBuf| {
        let policy = args.place.read(file, args.expression)?;
        compile(&files::shown(file), &policy)
    };
    let (old, new) = (read(&args.old)?, read(&args.new)?);
    let found = diff(old.plan(), new.plan())
        .map_err(|error| Failure::unusable(error).hint("--arch ARCH compares for one"))?;
    if args.json {
        let rows: Vec<Value> = found.iter().map(row).collect();
        print_json(out, &Value::from(rows))?;
    } else {
        for difference in &found {
            writeln!(out, "{}", text(difference))?;
        }
    }
    Ok(if found.is_empty() { Status::Done } else { Status::Refused })
}

fn row(difference: &Difference) -> Value {
    let conditions = difference.conditions.iter();
    json!({
        "arch": arch_name(difference.arch, difference.numbers.0),
        "call": difference.call(), "numbers": [difference.numbers.0, difference.numbers.1],
        "conditions": conditions.map(|(condition, holds)| json!({
            "condition": condition.to_string(), "holds": holds,
        })).collect::<Vec<_>>(),
        "old": difference.old.to_string(), "new": difference.new.to_string(),
        "example": data_json(&difference.example),
    })
}

/// `x86_64 socket where arg0 == 0x10 and not arg2 == 0x9: allow -> errno(EPERM)`
fn text(difference: &Difference) -> String {
    let (first, last) = difference.numbers;
    let call = match difference.call() {
        Some(call) => call.to_owned(),
        None if first == last => format!("call {first}"),
        None => format!("calls {first} to {last}"),
    };
    let arch = match difference.arch {
        0 => "other architectures".into(),
        arch => arch_name(arch, first),
    };
    let conditions: Vec<String> = difference
        .conditions
        .iter()
        .map(|(condition, holds)| format!("{}{condition}", if *holds { "" } else { "not " }))
        .collect();
    let conditions = match conditions.is_empty() {
        true => String::new(),
        false => format!(" where {}", conditions.join(" and ")),
    };
    let example = match difference.conditions.is_empty() {
        true => String::new(),
        false => format!("  (as {})", data_text(&difference.example)),
    };
    format!("{arch} {call}{conditions}: {} -> {}{example}", difference.old, difference.new)
}
