//! `run`, `notify` and `learn`: commands under filters.
//!
//! A command whose policy notifies nobody takes the place of this process. Otherwise this
//! one stays as the supervisor: it answers calls until no thread is left under the filter,
//! and ends as the command did.

mod learn;
mod open;
mod table;

use std::ffi::OsString;
use std::io::{ErrorKind, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::time::Duration;

use skep::sys::host::seccomp::{Answer, Flags, Listener, Notification, exec, supervise};
use skep_lang::seccomp::{Arch, Data, Filter, Policy};

use super::call::data_text;
use super::policy::PolicyArgs;
use crate::failure::{Failure, Outcome, Status};
use crate::signal::Stop;
use table::Table;

/// How long a call is waited for before signals are looked at.
const MOMENT: Duration = Duration::from_millis(100);
/// What a call gives that no answer is for.
const ENOSYS: i32 = 38;

/// Run a command under a policy
#[derive(clap::Args)]
#[command(after_help = "Examples:
  skep seccomp run profile.json -- ./server --port 80
  skep seccomp run -e 'default allow errno(EACCES) { mkdir, mkdirat }' -- sh -c 'mkdir x'

It gives up new privileges (no_new_privs), installs the filter and executes the command; no
root is needed. Of calls whose action is notify a line is printed, and they fail with ENOSYS;
skep seccomp notify has other answers. The exit status is the command's.")]
pub struct RunArgs {
    #[command(flatten)]
    policy: PolicyArgs,
    /// The command, behind --
    #[arg(last = true, required = true)]
    command: Vec<OsString>,
}

/// Run a command under a policy and answer its calls whose action is notify
#[derive(clap::Args)]
#[command(after_help = table::HELP)]
pub struct NotifyArgs {
    /// The answers (TOML)
    answers: PathBuf,
    #[command(flatten)]
    policy: PolicyArgs,
    /// The command, behind --
    #[arg(last = true, required = true)]
    command: Vec<OsString>,
}

/// Run a command and write a policy that lets it do what it did
#[derive(clap::Args)]
#[command(after_help = "Example:
  skep seccomp learn -o server.toml -- ./server --self-test
  skep seccomp run server.toml -- ./server

Calls are recorded by the filter's notifications, without root and without ptrace; so are
those of its children. Of calls that do many things (socket, ioctl, prctl, clone and others)
the arguments that choose are recorded, too. What was recorded is also written when the
command is ended by Ctrl-C.")]
pub struct LearnArgs {
    /// Where the policy goes (TOML)
    #[arg(short = 'o', long, value_name = "FILE", default_value = "-")]
    output: PathBuf,
    /// Record no arguments
    #[arg(long)]
    calls_only: bool,
    /// The command, behind --
    #[arg(last = true, required = true)]
    command: Vec<OsString>,
}

/// `skep seccomp run`.
pub fn run(args: &RunArgs) -> Outcome {
    let (policy, filter) = args.policy.compile()?;
    is_for_this_machine(&policy)?;
    // Under the filter it may be too late to say so.
    if !exists(&args.command) {
        return Err(not_started(&args.command, &ErrorKind::NotFound.into()));
    }
    let command = command(&args.command);
    if !policy.notifies() {
        let error = exec(command, &bytes(&filter), flags(&policy));
        return Err(not_started(&args.command, &error));
    }
    supervised(command, &args.command, &policy, &filter, &mut |listener, call| {
        eprintln!("notify: {}", data_text(&data(call)));
        listener.answer(call.id, Answer::Errno(ENOSYS))
    })
}

/// `skep seccomp notify`.
pub fn notify(args: &NotifyArgs) -> Outcome {
    let table = Table::read(&args.answers)?;
    let (policy, filter) = args.policy.compile()?;
    is_for_this_machine(&policy)?;
    let command = command(&args.command);
    supervised(command, &args.command, &policy, &filter, &mut |listener, call| {
        table.answer(listener, call)
    })
}

/// `skep seccomp learn`.
pub fn learn(args: &LearnArgs, out: &mut dyn Write) -> Outcome {
    let policy = learn::watching();
    let filter = super::policy::compile("what watches", &policy)?;
    let mut record = learn::Record::new(!args.calls_only);
    let command = command(&args.command);
    let outcome = supervised(command, &args.command, &policy, &filter, &mut |listener, call| {
        record.add(&data(call));
        listener.answer(call.id, Answer::Continue)
    })?;
    let text = skep_lang::seccomp::convert::to_toml(&record.policy());
    match args.output.as_os_str() == "-" {
        true => out.write_all(text.as_bytes())?,
        false => crate::output::write(&args.output, &[], text.as_bytes())?,
    }
    eprintln!("{} different calls recorded", record.len());
    Ok(outcome)
}

/// Runs a command to its end, with an answer for each of its calls that waits.
fn supervised(
    command: Command,
    words: &[OsString],
    policy: &Policy,
    filter: &Filter,
    answer: &mut dyn FnMut(&Listener, &Notification) -> std::io::Result<()>,
) -> Outcome {
    let (listener, started) = supervise(command, &bytes(filter), flags(policy))
        .map_err(|error| not_started(words, &error))?;
    let stop = Stop::on_signals();
    let mut told = false;
    loop {
        match listener.receive(MOMENT) {
            Ok(Some(call)) => match answer(&listener, &call) {
                // Its thread was ended meanwhile.
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => eprintln!("note: {}: {error}", data_text(&data(&call))),
                Ok(()) => {}
            },
            Ok(None) => {}
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => break,
            Err(error) => return Err(Failure::unusable(format!("the listener: {error}"))),
        }
        if stop.signal().is_some() && !told {
            told = true;
            let term = rustix::process::Signal::TERM;
            let _ = rustix::process::pidfd_send_signal(listener.process(), term);
        }
    }
    let child = started.join().map_err(|_| Failure::unusable("the command was not started"))?;
    let status = child.and_then(|mut child| child.wait());
    status.map(ended).map_err(|error| not_started(words, &error))
}

/// A command's status as this one's.
fn ended(status: ExitStatus) -> Status {
    match (status.code(), status.signal()) {
        (Some(code), _) => Status::Command(code as u8),
        (None, signal) => Status::Command(128 + signal.unwrap_or_default() as u8),
    }
}

fn command(words: &[OsString]) -> Command {
    let mut command = Command::new(words.first().map_or("".as_ref(), OsString::as_os_str));
    command.args(words.iter().skip(1));
    command
}

/// Whether there is such a file, by its path or in the folders of `PATH`.
fn exists(words: &[OsString]) -> bool {
    let Some(name) = words.first() else { return false };
    let path = std::env::var_os("PATH").unwrap_or_default();
    match Path::new(name).components().count() {
        1 => std::env::split_paths(&path).any(|folder| folder.join(name).is_file()),
        _ => Path::new(name).is_file(),
    }
}

fn not_started(words: &[OsString], error: &std::io::Error) -> Failure {
    let name = words.first().map(|word| word.to_string_lossy()).unwrap_or_default();
    let failure = Failure::unusable(format!("{name}: {error}"));
    match error.kind() {
        ErrorKind::NotFound => failure.hint("there is no such command"),
        ErrorKind::PermissionDenied => failure.hint(
            "the policy has to allow execve; with notify, /proc/sys/kernel/yama/ptrace_scope must \
             be below 2",
        ),
        _ => failure.hint("Linux refuses the filter, or lacks seccomp: skep doctor"),
    }
}

fn is_for_this_machine(policy: &Policy) -> Result<(), Failure> {
    let native = Arch::native();
    match policy.arches.contains(&native) {
        true => Ok(()),
        false => Err(Failure::refused(format!("the policy is not for {}", native.name()))
            .hint(format!("--arch {} takes it for this machine", native.name()))),
    }
}

/// The program as `struct sock_filter`s of this machine.
fn bytes(filter: &Filter) -> Vec<[u8; 8]> {
    filter.filters().iter().map(|insn| insn.to_bytes()).collect()
}

fn flags(policy: &Policy) -> Flags {
    let skep_lang::seccomp::Flags { tsync, log, spec_allow, wait_killable } = policy.flags;
    Flags { tsync, log, spec_allow, wait_killable }
}

fn data(call: &Notification) -> Data {
    Data { nr: call.nr, arch: call.arch, ip: call.ip, args: call.args }
}
