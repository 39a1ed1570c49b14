//! The `skep` command: one binary, one file (or folder) for each subcommand.
//!
//! A subcommand is a function from its arguments to a [`Status`] or a [`Failure`];
//! this file alone turns those into what the shell sees. Nothing here panics on bad
//! input: every message is one `error:` line and, where it helps, one `hint:` line.
#![forbid(unsafe_code)]

mod asm;
mod btf;
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
mod children;
mod clock;
mod dis;
mod doctor;
mod embedded;
mod failure;
mod files;
mod filter;
mod generate;
mod hex;
mod inspect;
mod kernels;
mod objects;
mod output;
mod run;
mod seccomp;
mod shell;
mod signal;
mod table;
mod terminal;
#[cfg(target_os = "linux")]
mod tool;
mod trace;
mod types;
#[cfg(target_os = "linux")]
mod verbs;
mod verify;

use std::io::{BufWriter, Write};
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use failure::{Failure, Status};

/// Run, read and write eBPF programs: on packets from a file, in user space or in
/// Linux, without a line of glue.
#[derive(Parser)]
#[command(name = "skep", version, max_term_width = 100, after_help = EXAMPLES)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "\
Examples:
  skep run prog.bpf.o --pcap traffic.pcapng               in user space, no root
  skep run prog.bpf.o --pcap traffic.pcapng --kernel both  and in Linux, compared
  skep dis prog.bpf.o                                     its instructions
  skep filter -r in.pcapng --count 'tcp port 80'          packets that match an expression
  skep seccomp run policy.toml -- ./server                a command under a policy
  skep doctor                                             what this machine allows

Exit status: 0 done; 1 a program was rejected, trapped or differed; 2 the input or
the command line is unusable; 130 or 143 stopped by a signal. Manual pages: skep man DIR; docs/cli.md has the JSON.";

#[derive(Subcommand)]
enum Command {
    Run(Box<run::Args>),
    Verify(Box<verify::Args>),
    Stat(Box<verify::StatArgs>),
    Dis(dis::Args),
    Asm(asm::Args),
    Inspect(inspect::Args),
    Btf(btf::Args),
    Gen(generate::Args),
    Filter(Box<filter::Args>),
    Seccomp(seccomp::Args),
    Trace(Box<trace::Args>),
    #[cfg(target_os = "linux")]
    Tool(tool::Args),
    Doctor(doctor::Args),
    /// Programs in Linux, with bpftool's words: show, dump, load, pin, attach (skep prog help)
    #[cfg(target_os = "linux")]
    Prog(verbs::Args),
    /// Maps in Linux, with bpftool's words: show, dump, lookup, update (skep map help)
    #[cfg(target_os = "linux")]
    Map(verbs::Args),
    /// Links in Linux, with bpftool's words: show, pin, detach (skep link help)
    #[cfg(target_os = "linux")]
    Link(verbs::Args),
    /// Programs of cgroups, with bpftool's words: show, tree, attach, detach (skep cgroup help)
    #[cfg(target_os = "linux")]
    Cgroup(verbs::Args),
    /// Programs of interfaces, with bpftool's words: show, attach, detach (skep net help)
    #[cfg(target_os = "linux")]
    Net(verbs::Args),
    /// Events of processes that programs are attached to, with bpftool's words
    #[cfg(target_os = "linux")]
    Perf(verbs::Args),
    /// Iterators as files, with bpftool's words: pin, show (skep iter help)
    #[cfg(target_os = "linux")]
    Iter(verbs::Args),
    /// What a kernel has, found out by trying, with bpftool's words: probe, list_builtins
    #[cfg(target_os = "linux")]
    Feature(verbs::Args),
    /// Structures of operations, with bpftool's words: show, register, unregister
    #[cfg(target_os = "linux")]
    #[command(name = "struct_ops")]
    StructOps(verbs::Args),
    Completions(shell::CompletionsArgs),
    Man(shell::ManArgs),
}

fn main() -> ExitCode {
    let cli = Cli::parse_from(words());
    let mut out = BufWriter::new(std::io::stdout().lock());
    let result = match cli.command {
        Command::Run(args) => run::run(&args, &mut out),
        Command::Dis(args) => dis::run(args, &mut out),
        Command::Asm(args) => asm::run(args, &mut out),
        Command::Verify(args) => verify::run(*args, &mut out),
        Command::Stat(args) => verify::stat(*args, &mut out),
        Command::Inspect(args) => inspect::run(args, &mut out),
        Command::Btf(args) => btf::run(args, &mut out),
        Command::Gen(args) => generate::run(args, &mut out),
        Command::Filter(args) => filter::run(&args, &mut out),
        Command::Seccomp(args) => seccomp::run(&args, &mut out),
        Command::Trace(args) => trace::run(&args, &mut out),
        #[cfg(target_os = "linux")]
        Command::Tool(args) => tool::run(&args, &mut out),
        Command::Doctor(args) => doctor::run(args, &mut out),
        #[cfg(target_os = "linux")]
        Command::Prog(args) => verbs::prog(args, &mut out),
        #[cfg(target_os = "linux")]
        Command::Map(args) => verbs::map(args, &mut out),
        #[cfg(target_os = "linux")]
        Command::Link(args) => verbs::link(args, &mut out),
        #[cfg(target_os = "linux")]
        Command::Cgroup(args) => verbs::cgroup(args, &mut out),
        #[cfg(target_os = "linux")]
        Command::Net(args) => verbs::net(args, &mut out),
        #[cfg(target_os = "linux")]
        Command::Perf(args) => verbs::perf(args, &mut out),
        #[cfg(target_os = "linux")]
        Command::Iter(args) => verbs::iter(args, &mut out),
        #[cfg(target_os = "linux")]
        Command::Feature(args) => verbs::feature(args, &mut out),
        #[cfg(target_os = "linux")]
        Command::StructOps(args) => verbs::struct_ops(args, &mut out),
        Command::Completions(args) => shell::completions(args, &mut out),
        Command::Man(args) => shell::man(args),
    };
    let flushed = out.flush().map_err(Failure::from);
    match result.and_then(|status| flushed.map(|()| status)) {
        Ok(Status::Stopped(signal)) => {
            drop(out);
            signal.die();
            ExitCode::from(signal.status())
        }
        Ok(status) => status.into(),
        Err(failure) => {
            failure.print();
            failure.status().into()
        }
    }
}

/// The words of the command line. Under the name of bpftrace, skep is what it traces with.
fn words() -> Vec<std::ffi::OsString> {
    let mut words: Vec<std::ffi::OsString> = std::env::args_os().collect();
    let name = words.first().map(std::path::Path::new).and_then(|path| path.file_name());
    if name.is_some_and(|name| name == "bpftrace") {
        words.insert(1, "trace".into());
    }
    // The tools by their names alone, but for the one that is called as the language.
    #[cfg(target_os = "linux")]
    if words.get(1).and_then(|word| word.to_str()).is_some_and(tool::is_one) {
        words.insert(1, "tool".into());
    }
    words
}
