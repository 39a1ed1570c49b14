//! `skep trace`: scripts in bpftrace's language.

mod look;
mod record;
mod replay;
pub mod run;
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
mod source;

use std::io::{Read, Write};
use std::path::PathBuf;

use skep::lang::trace::checked::Script;
use skep::lang::trace::diagnostic::Severity;
use skep::lang::trace::world::{Machine, World};
use skep::lang::trace::{Options, check};

use crate::failure::{Outcome, Status};

/// Run a tracing script in bpftrace's language
///
/// Events come from Linux where the user may, else from the embedded kernel, which has begin,
/// end, interval and test probes.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// The script, - for the standard input; behind it, or behind -e, its parameters $1, $2, ...
    #[arg(value_name = "SCRIPT|PARAMETER")]
    words: Vec<String>,
    /// The script's text; several are put together
    #[arg(short = 'e', value_name = "TEXT")]
    text: Vec<String>,
    /// Named parameters: --name or --name=value
    #[arg(last = true, value_name = "NAMED")]
    named: Vec<String>,
    /// Start a command when all is attached, and end with it
    #[arg(short = 'c', long = "cmd", value_name = "COMMAND")]
    command: Option<String>,
    /// Trace this process, and end with it
    #[arg(short = 'p', value_name = "PID")]
    process: Option<String>,
    /// Allow system(), signal() and others that change what they see
    #[arg(long = "unsafe")]
    allow_unsafe: bool,
    /// Do not print warnings
    #[arg(long)]
    no_warnings: bool,
    /// Check and load, but attach nothing
    #[arg(long)]
    dry_run: bool,
    /// Another folder for #include
    #[arg(short = 'I', value_name = "FOLDER")]
    folders: Vec<PathBuf>,
    /// Another header, in front of the script
    #[arg(long = "include", value_name = "FILE")]
    includes: Vec<String>,
    /// Only probes whose names match
    #[arg(long, value_name = "TEXT")]
    probe_filter: Option<String>,
    #[command(flatten)]
    look: look::LookArgs,
    #[command(flatten)]
    run: run::RunArgs,
}

const EXAMPLES: &str = "\
Examples:
  skep trace -e 'begin { printf(\"hi\\n\"); exit(); }'
  skep trace -e 'tracepoint:syscalls:sys_enter_openat { @[comm] = count(); }' --only -c 'make'
  skep trace script.bt 10 -- --verbose                    $1 is 10, getopt(\"verbose\") is true
  skep trace -f json script.bt | jq .data                 one JSON value a line
  skep trace -lv 'tracepoint:sched:sched_*'               what there is, with parameters
  skep trace --fmt script.bt                              the script formatted";

/// The largest script that is read.
const MOST: u64 = 16 << 20;

/// `skep trace`.
pub fn run(args: &Args, out: &mut dyn Write) -> Outcome {
    if args.look.list {
        return list(args, out);
    }
    let (name, text, rest) = match script(args) {
        Ok(script) => script,
        Err(text) => return failed(&text),
    };
    if args.look.format_script {
        return look::format(&text, &name, out);
    }
    let text =
        args.includes.iter().map(|file| format!("#include <{file}>\n")).collect::<String>() + &text;
    let process = match args.process.as_deref().map(process).transpose() {
        Ok(process) => process,
        Err(text) => return failed(&text),
    };
    let is_named = |word: &&String| word.starts_with("--");
    let (named, more): (Vec<&String>, Vec<&String>) = args.named.iter().partition(is_named);
    let named = named.into_iter().map(|word| {
        let word = word.trim_start_matches('-');
        match word.split_once('=') {
            Some((name, value)) => (name.to_owned(), Some(value.to_owned())),
            None => (word.to_owned(), None),
        }
    });
    let options = Options {
        allow_unsafe: args.allow_unsafe,
        positional: rest.iter().chain(more).cloned().collect(),
        named: named.collect(),
        pid: process,
        has_command: args.command.is_some(),
        settings: std::env::vars()
            .filter_map(|(name, value)| {
                Some((name.strip_prefix("BPFTRACE_")?.to_lowercase(), value))
            })
            .filter(|(name, _)| !run::OWN.contains(&&name[..]))
            .collect(),
        ..Options::default()
    };
    if let Some(file) = &args.look.fixture {
        let found = checked(args, &text, &name, &look::fixture(file)?, &options);
        return Ok(if found.is_some() { Status::Done } else { Status::Refused });
    }
    let kernel = run::kernel(&args.run)?;
    let folder = std::path::Path::new(&name).parent().unwrap_or("".as_ref());
    let world = Machine::new(folder).including(args.folders.clone());
    let Some(mut script) = checked(args, &text, &name, &world, &options) else {
        return Ok(Status::Refused);
    };
    if let Some(filter) = &args.probe_filter
        && let Err(text) = run::keep_matching(&mut script, filter)
    {
        return failed(&text);
    }
    let given = run::Given {
        command: args.command.clone(),
        process,
        allow_unsafe: args.allow_unsafe,
        no_warnings: args.no_warnings,
        dry_run: args.dry_run,
    };
    run::run(&script, kernel, &args.run, &given, out)
}

/// Lists what the pattern behind `-l` names.
fn list(args: &Args, out: &mut dyn Write) -> Outcome {
    let pattern = args.words.first().map_or("", String::as_str);
    let options = Options {
        pid: args.process.as_deref().and_then(|text| process(text).ok()),
        ..Options::default()
    };
    let details = args.look.verbose;
    if let Some(file) = &args.look.fixture {
        return look::list(pattern, &look::fixture(file)?, &options, details, out);
    }
    let world = Machine::default().including(args.folders.clone());
    if std::path::Path::new(pattern).is_file() {
        let (name, text, _) = match script(args) {
            Ok(script) => script,
            Err(text) => return failed(&text),
        };
        return look::list_script((&name, &text), &world, &options, details, out);
    }
    look::list(pattern, &world, &options, details, out)
}

/// Checks a script, and shows what was said of it.
fn checked(
    args: &Args,
    text: &str,
    name: &str,
    world: &dyn World,
    options: &Options,
) -> Option<Script> {
    let outcome = check(text, name, world, options);
    let severity = |severity| outcome.diagnostics.show(severity, &outcome.sources);
    eprint!("{}", severity(Severity::Error));
    if !args.no_warnings {
        eprint!("{}", severity(Severity::Warning));
    }
    outcome.script
}

/// Says what went wrong in bpftrace's form, which people match on.
fn failed(text: &str) -> Outcome {
    eprintln!("ERROR: {text}");
    Ok(Status::Refused)
}

/// The script: what messages call it, its text, and the words that are its parameters.
fn script(args: &Args) -> Result<(String, String, &[String]), String> {
    if !args.text.is_empty() {
        return Ok(("stdin".into(), args.text.join("\n"), &args.words));
    }
    let Some((file, rest)) = args.words.split_first() else {
        return Err("no script: give a file, or its text by -e".into());
    };
    let mut text = String::new();
    let read = match &file[..] {
        "-" => std::io::stdin().take(MOST).read_to_string(&mut text).map(drop),
        file => std::fs::File::open(file)
            .and_then(|file| file.take(MOST).read_to_string(&mut text))
            .map(drop),
    };
    let name = if file == "-" { "stdin" } else { file };
    match read {
        Ok(()) => Ok((name.into(), text, rest)),
        Err(error) => {
            let reason = error.to_string();
            let reason = reason.split(" (os error").next().unwrap_or_default();
            Err(format!("failed to open file '{file}': {reason}"))
        }
    }
}

/// The number of a process.
fn process(text: &str) -> Result<u32, String> {
    /// `PID_MAX_LIMIT`
    const MOST: u32 = 4 << 20;
    let number: u64 =
        text.parse().map_err(|_| format!("Failed to parse pid: invalid integer: {text}"))?;
    match u32::try_from(number) {
        Ok(number) if number <= MOST && number > 0 => Ok(number),
        _ => Err(format!("Pid out of range: {text}")),
    }
}
