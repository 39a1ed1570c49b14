//! `skep verify`: would Linux load the programs of an object, and if not, why.

use std::io::{self, Write};
use std::path::PathBuf;
use std::time::Instant;

use serde_json::{Value as Json, json};
use skep::abi::Capabilities;
use skep::judge;
use skep::load::{LinkedProgram, Target, relocate};
use skep::sys::{Host, possible_cpus};
use skep::verify::{self as verifier, Env, Log, VerifyError};

use crate::failure::Status;
use crate::{Outcome, objects};

/// Say whether Linux 6.18 would load the programs of an object, and if not, why
#[derive(clap::Args)]
#[command(after_help = "Examples:
  skep verify prog.bpf.o                  every program
  skep verify prog.bpf.o --log            with the log, as Linux prints it at level 2
  skep verify prog.bpf.o --unprivileged   for a process without capabilities

The verifier is young: where it knows less than Linux it says so, and
`cargo xtask parity verify` measures how often both agree.")]
pub struct Args {
    /// The BPF object
    object: PathBuf,
    /// Only the program of this name
    #[arg(long)]
    program: Option<String>,
    /// Print the verifier's log, at level 2
    #[arg(long)]
    log: bool,
    /// Judge for a process without capabilities
    #[arg(long)]
    unprivileged: bool,
    /// One JSON object a line for each program (see docs/cli.md)
    #[arg(long)]
    json: bool,
}

/// `skep verify`.
pub fn run(args: Args, out: &mut dyn Write) -> Outcome {
    let mut object = objects::open(&args.object)?;
    if let Some(name) = &args.program {
        object.select(|def| def.name == *name);
    }
    let target = Target::new(Host::default());
    let linked = relocate(&object, &target)?;
    let env = Env {
        caps: if args.unprivileged { Capabilities::empty() } else { Capabilities::all() },
        vmlinux: target.kernel_btf().ok().cloned(),
        cpus: possible_cpus(),
        ..Env::default()
    };
    let mut status = Status::Done;
    let inputs = judge::programs(&linked, &target);
    for (program, input) in linked.programs.iter().zip(&inputs) {
        let mut log = if args.log { Log::new(2) } else { Log::new(1) };
        let started = Instant::now();
        let verdict =
            verifier::verify(input, &env, &mut log);
        let time = started.elapsed().as_micros();
        let judged =
            Judged { program, verdict: verdict.map(|verified| verified.counts().processed), time };
        if judged.verdict.is_err() {
            status = Status::Refused;
        }
        match args.json {
            true => {
                let line = judged.json(&args.object.to_string_lossy());
                serde_json::to_writer(&mut *out, &line).map_err(io::Error::from)?;
                writeln!(out)?;
            }
            false => judged.print(out)?,
        }
        if args.log {
            out.write_all(log.text().as_bytes())?;
        }
    }
    Ok(status)
}

/// A program and what the verifier said.
struct Judged<'a> {
    program: &'a LinkedProgram,
    /// Instructions processed.
    verdict: Result<u32, VerifyError>,
    /// In microseconds.
    time: u128,
}

impl Judged<'_> {
    fn print(&self, out: &mut dyn Write) -> io::Result<()> {
        let name = &self.program.def.name;
        match &self.verdict {
            Ok(processed) => {
                writeln!(out, "accepted  {name}: {processed} insns processed, {} us", self.time)
            }
            Err(error) => {
                let at = error.pc.map_or(String::new(), |pc| format!(" at insn {pc}"));
                writeln!(out, "rejected  {name}{at}: {} ({:?})", error.reason, error.errno)
            }
        }
    }

    fn json(&self, object: &str) -> Json {
        let (verdict, errno, insn, message, processed) = match &self.verdict {
            Ok(processed) => ("accept", None, None, None, Some(*processed)),
            Err(error) => {
                let errno = error.errno.name().map(str::to_owned);
                ("reject", errno, error.pc, Some(error.reason.to_string()), None)
            }
        };
        json!({
            "object": object,
            "program": self.program.def.name,
            "section": self.program.def.section,
            "type": self.program.def.prog_type.map(|kind| kind.name()),
            "verdict": verdict,
            "errno": errno,
            "insn": insn,
            "message": message,
            "processed": processed,
            "time_us": self.time as u64,
        })
    }
}
