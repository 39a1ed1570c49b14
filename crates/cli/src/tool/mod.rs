//! `skep tool`: the classic tools as scripts of the tracing language.
//!
//! ```text
//! row of the table -> flags -> hooks: which way -> compose: the script -> run -> sink: its output
//! ```
//!
//! A script prints records with names, and maps; what they look like is said by the tool's row.

mod compose;
mod flags;
mod hooks;
mod patterns;
mod rows;
mod shape;
mod sink;
mod summary;
mod table;
mod values;

use std::io::Write;

use skep::lang::trace::diagnostic::Severity;
use skep::lang::trace::world::Machine;
use skep::lang::trace::{Options, check};

use crate::failure::{Failure, Outcome, Status};
use crate::trace::run::{Given as Run, RunArgs, kernel, run as run_script};
use flags::Given;
use hooks::{Hooks, Place};
use sink::Sink;
use table::{TOOLS, Tool};

/// The classic tools (execsnoop, opensnoop, biolatency, ...) with bcc's flags and columns
///
/// Without a name it lists which work here, and why others do not. Each tool has --help, --script
/// (prints its script), --json, and -c COMMAND (traces the command's processes alone; --cmd where
/// the tool has a -c of its own).
#[derive(clap::Args)]
#[command(disable_help_flag = true, after_help = EXAMPLES)]
pub struct Args {
    /// The tool, its flags and operands
    #[arg(value_name = "NAME", trailing_var_arg = true, allow_hyphen_values = true)]
    words: Vec<String>,
}

const EXAMPLES: &str = "\
Examples:
  skep tool                                               which work here
  skep tool execsnoop -c 'make -j4'                       what make starts
  skep tool opensnoop -x -c ./app                         files that it looks for in vain
  skep tool biolatency 1 5                                five histograms
  skep tool funccount -c ./app './app:parse_*'            how often functions are called
  skep execsnoop -c ./app                                 the same, by its name alone
  skep tool syscount --script                             the script, for skep trace";

/// `skep tool`.
pub fn run(args: &Args, out: &mut dyn Write) -> Outcome {
    let Some((name, words)) = args.words.split_first() else {
        return list(out);
    };
    if matches!(&name[..], "-h" | "--help" | "help") {
        help(out)?;
        return Ok(Status::Done);
    }
    let Some(tool) = table::find(name) else {
        let failure = Failure::unusable(format!("there is no tool {name:?}"));
        return Err(failure.hint("skep tool lists them"));
    };
    let given = match flags::parse(tool, words) {
        Ok(given) => given,
        Err(error) => {
            let shown = error.render().to_string();
            if error.use_stderr() {
                eprint!("{shown}");
                return Ok(Status::Unusable);
            }
            out.write_all(shown.as_bytes())?;
            return Ok(Status::Done);
        }
    };
    trace(tool, &given, out)
}

/// Whether a word is the name of a tool, and of nothing else.
pub fn is_one(word: &str) -> bool {
    word != "trace" && table::find(word).is_some()
}

fn help(out: &mut dyn Write) -> std::io::Result<()> {
    use clap::Args as _;
    let command = Args::augment_args(clap::Command::new("skep tool"));
    let about = command.get_after_help().map(ToString::to_string).unwrap_or_default();
    writeln!(out, "The classic tools with bcc's flags and columns.\n")?;
    writeln!(out, "Usage: skep tool [NAME [FLAGS] [OPERANDS]]\n")?;
    for tool in TOOLS {
        writeln!(out, "  {:12} {}", tool.name, tool.about)?;
    }
    writeln!(out, "\nskep tool NAME --help has a tool's flags.\n\n{about}")
}

/// Which tools work here, by which hooks, and why others do not.
fn list(out: &mut dyn Write) -> Outcome {
    let kernel = kernel(&RunArgs::default())?;
    let machine = Machine::default();
    let place = Place::of(kernel.name(), true);
    let hooks = Hooks::new(&machine, place);
    if place == Place::Command {
        writeln!(out, "Without root, on what a command does (-c COMMAND):\n")?;
    }
    writeln!(out, "{:12} {:5} {:44} ABOUT", "TOOL", "HERE", "HOOKS")?;
    for tool in TOOLS {
        match hooks.choose(tool) {
            Ok(way) => {
                let by = hooks::names(way.hooks);
                writeln!(out, "{:12} {:5} {by:44} {}", tool.name, "yes", tool.about)?;
                if !way.without.is_empty() {
                    writeln!(out, "{:18} {}", "", way.without)?;
                }
            }
            Err(why) => {
                writeln!(out, "{:12} {:5} {:44} {}", tool.name, "no", "", tool.about)?;
                writeln!(out, "{:18} {why}", "")?;
                if !tool.nearest.is_empty() {
                    writeln!(out, "{:18} nearest: {}", "", tool.nearest)?;
                }
            }
        }
    }
    Ok(Status::Done)
}

/// Runs a tool, or prints its script.
fn trace(tool: &'static Tool, given: &Given, out: &mut dyn Write) -> Outcome {
    let mut args = RunArgs {
        format: "json".into(),
        buffer: "line".into(),
        only: tool.tree && given.command.is_some(),
        ..RunArgs::default()
    };
    args.kernel = given.kernel;
    let kernel = kernel(&args)?;
    let machine = Machine::default();
    let place = Place::of(kernel.name(), given.command.is_some());
    let hooks = Hooks::new(&machine, place);
    let chosen = hooks.choose(tool);
    // Where none works, a script to read is that of the last way.
    let way = match &chosen {
        Err(_) if given.script => tool.ways.last(),
        Err(_) => None,
        Ok(way) => Some(*way),
    };
    let Some(way) = way else {
        let why = chosen.err().unwrap_or_default();
        let failure = Failure::refused(format!("{} does not work here: {why}", tool.name));
        return Err(match tool.nearest {
            "" => failure.hint("run it as root, on Linux"),
            nearest => failure.hint(format!("the nearest is {nearest}")),
        });
    };
    let composed = compose::compose(tool, way, given).map_err(Failure::unusable)?;
    if given.script {
        out.write_all(composed.text.as_bytes())?;
        return Ok(Status::Done);
    }
    let mut named = composed.named;
    // Of a command's new programs, memory is not read: what the call was given is.
    if place == Place::Command && tool.name == "execsnoop" {
        named.push(("words".into(), None));
    }
    let options = Options {
        positional: Vec::new(),
        named,
        pid: given.process,
        has_command: given.command.is_some(),
        ..Options::default()
    };
    let outcome = check(&composed.text, tool.name, &machine, &options);
    let errors = outcome.diagnostics.show(Severity::Error, &outcome.sources);
    let Some(script) = outcome.script else {
        return Err(Failure::refused(errors.lines().next().unwrap_or("the script is refused")));
    };
    let run = Run {
        command: given.command.clone(),
        process: given.process,
        no_warnings: true,
        ..Run::default()
    };
    let mut sink = Sink::new(tool, given, out);
    let status = run_script(&script, kernel, &args, &run, &mut sink)?;
    sink.finish()?;
    Ok(status)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_tool_has_a_way_and_a_name_of_its_own() {
        for tool in TOOLS {
            assert!(!tool.ways.is_empty(), "{}", tool.name);
            let found = table::find(tool.name).map(|found| found.about);
            assert_eq!(found, Some(tool.about));
            flags::command(tool).debug_assert();
        }
        assert_eq!(TOOLS.len(), 20);
    }

    #[test]
    fn a_flag_that_is_a_parameter_is_one_of_each_script() {
        for tool in TOOLS {
            let names = tool
                .flags
                .iter()
                .filter(|flag| matches!(flag.to, table::To::Parameter | table::To::Scaled(_)));
            for name in names.map(|flag| flags::parameter(flag.long)) {
                let asked = format!("getopt(\"{name}\"");
                let is_there = tool.ways.iter().any(|way| way.script.contains(&asked));
                assert!(is_there, "{} does not ask for {name}", tool.name);
            }
        }
    }
}
