//! `skep seccomp`: policies for system calls: what they say, that their filters keep it,
//! and commands under them.

mod call;
mod difference;
mod policy;
mod shown;
#[cfg(target_os = "linux")]
mod supervise;
mod texts;

use std::io::Write;

use clap::Subcommand;

use crate::failure::Outcome;

/// Policies for system calls: check, prove, explain, compare and convert them, and run
/// commands under them
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "\
Examples:
  skep seccomp check profile.json                    what is wrong with a policy; proves its filter
  skep seccomp why profile.json openat dfd=3         which rule decides a call
  skep seccomp diff old.json new.json                calls and arguments that are decided differently
  skep seccomp run profile.json -- ./server          a command under a policy, without root
  skep seccomp learn -o server.toml -- ./server      a policy that lets a command do what it did
  skep seccomp export --raw profile.json -o f.bpf    for bwrap --seccomp

A POLICY is a file: a container profile (JSON), TOML, lines of a systemd unit, or an
expression; or an expression itself with -e:
  default errno(ENOSYS)  arch x86_64, x86  kernel 6.1
  allow { @basic-io, exit_group, mmap { (prot & PROT_EXEC) == 0 } }
  errno(EPERM) { socket { family != AF_UNIX } }
Of the rules that hold for a call the strictest decides: kill, trap, errno, notify, trace,
log, allow. docs/seccomp.md says more.

Exit status: 0 done; 1 a policy is refused, not proved, or differs; 2 the input is unusable.";

#[derive(Subcommand)]
enum Command {
    Check(shown::CheckArgs),
    Show(shown::ShowArgs),
    Prove(shown::ProveArgs),
    Why(call::WhyArgs),
    Diff(difference::Args),
    Export(texts::ExportArgs),
    Convert(texts::ConvertArgs),
    Resolve(call::ResolveArgs),
    #[cfg(target_os = "linux")]
    Run(supervise::RunArgs),
    #[cfg(target_os = "linux")]
    Learn(supervise::LearnArgs),
    #[cfg(target_os = "linux")]
    Notify(supervise::NotifyArgs),
}

/// `skep seccomp`.
pub fn run(args: &Args, out: &mut dyn Write) -> Outcome {
    match &args.command {
        Command::Check(args) => shown::check(args, out),
        Command::Show(args) => shown::show(args, out),
        Command::Prove(args) => shown::prove(args, out),
        Command::Why(args) => call::why(args, out),
        Command::Diff(args) => difference::run(args, out),
        Command::Export(args) => texts::export(args, out),
        Command::Convert(args) => texts::convert(args, out),
        Command::Resolve(args) => call::resolve(args, out),
        #[cfg(target_os = "linux")]
        Command::Run(args) => supervise::run(args),
        #[cfg(target_os = "linux")]
        Command::Learn(args) => supervise::learn(args, out),
        #[cfg(target_os = "linux")]
        Command::Notify(args) => supervise::notify(args),
    }
}
