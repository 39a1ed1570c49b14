//! Commands whose system calls, forks and execs are seen without rights (`sys::host::tree`), as
//! `skep run -c` and `skep trace -c` start them.

use std::collections::BTreeMap;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, ExitStatus};
use std::time::Duration;

use skep::seccomp::Arch;
use skep::sys::host::tree::{CALLS, Counts, Options, Tree};
use skep::vm::hooks::calls::{Layout, Point};

use crate::failure::Failure;

/// How long to wait for an event before looking whether the command has ended.
pub const TICK: Duration = Duration::from_millis(20);

/// Where the events of a tracepoint come from, if a command does them.
pub fn tracepoint(category: &str, name: &str) -> Option<(Point, Layout)> {
    let number = |call: &str| Arch::native().number(call);
    Some((Point::of(category, name, number)?, Layout::Record))
}

/// The same for a raw tracepoint.
pub fn raw_tracepoint(name: &str) -> Option<(Point, Layout)> {
    match name {
        "sys_enter" => Some((Point::Enter(None), Layout::Words)),
        "sys_exit" => Some((Point::Exit(None), Layout::Words)),
        _ => None,
    }
}

/// What has to be seen of a command for programs at these points.
pub fn options(points: impl IntoIterator<Item = Point>) -> Options {
    let (mut options, mut wanted) = (Options::none(), BTreeMap::new());
    let all = || 0..CALLS;
    for point in points {
        let (numbers, enter, exit) = match point {
            Point::Enter(Some(number)) => (number..number + 1, true, false),
            Point::Exit(Some(number)) => (number..number + 1, false, true),
            Point::Enter(None) => (all(), true, false),
            Point::Exit(None) => (all(), false, true),
            Point::Fork | Point::Exec | Point::End => continue,
        };
        for number in numbers {
            let known: &mut (bool, bool) = wanted.entry(number).or_default();
            *known = (known.0 || enter, known.1 || exit);
        }
    }
    // Paths of programs, names of threads, and ends of threads are known from calls.
    let also = ["execve", "execveat", "prctl", "exit", "exit_group"];
    for number in also.into_iter().filter_map(|call| Arch::native().number(call)) {
        wanted.entry(number).or_default().0 = true;
    }
    for (number, (enter, exit)) in wanted {
        // What it was given is asked for when it ends as well.
        options = options.call(number, enter, exit).captured(number);
    }
    options
}

/// Starts a command whose calls are seen.
///
/// # Errors
/// It is none, or cannot be started or seen.
pub fn start(command: &str, options: &Options) -> Result<Tree, Failure> {
    let words = shlex::split(command).filter(|words| !words.is_empty());
    let Some(words) = words else {
        return Err(Failure::unusable(format!("{command:?} is no command")));
    };
    let mut started = Command::new(&words[0]);
    started.args(&words[1..]);
    Tree::start(started, options).map_err(|error| cannot(command, &error))
}

/// What keeps a command from being seen.
pub fn cannot(command: &str, error: &std::io::Error) -> Failure {
    Failure::unusable(format!("{command:?} cannot be traced: {error}"))
}

/// What a reader of the report should know.
pub fn notes(status: Option<ExitStatus>, counts: Counts) -> Vec<String> {
    let mut notes = Vec::new();
    match status {
        Some(status) => match (status.code(), status.signal()) {
            (Some(0), _) => {}
            (Some(code), _) => notes.push(format!("the command ended with status {code}")),
            (_, signal) => {
                notes.push(format!("the command was ended by signal {}", signal.unwrap_or(0)));
            }
        },
        None => notes.push("the command goes on, untraced".into()),
    }
    let told = [
        (counts.lost, "events were lost"),
        (
            counts.untraced,
            "programs or processes ran untraced (set-user-id, 32-bit, or out of reach)",
        ),
        (counts.left, "threads or processes were seen in part: they use what the agent needs"),
        (counts.odd, "calls were none of 64-bit Linux's, and are not among the events"),
    ];
    notes.extend(told.iter().filter(|(n, _)| *n > 0).map(|(n, what)| format!("{n} {what}")));
    notes
}
