//! `skep verify`: would Linux load the programs of an object, and if not, why.

mod privilege;
mod render;

use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use serde_json::{Value as Json, json};
use skep::abi::{Capabilities, Reason};
use skep::judge;
use skep::load::{LinkedProgram, Target, relocate};
use skep::sys::{Host, possible_cpus};
use skep::verify::explain::{Explanation, explain};
use skep::verify::{self as verifier, Counts, Env, Log, VerifyError};

use crate::failure::{Failure, Status};
use crate::{Outcome, btf, objects};

/// Say whether Linux 6.18 would load the programs of an object, and if not, why
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  skep verify prog.bpf.o                      every program
  skep verify prog.bpf.o --program ingress    one
  skep verify prog.bpf.o --log                with the log, as Linux prints it at level 2
  skep verify prog.bpf.o --unprivileged       for a process without capabilities
  skep verify prog.bpf.o --caps bpf,net_admin for one with these
  skep verify prog.bpf.o --btf vmlinux-6.18   against the types of another kernel
  skep verify prog.bpf.o --json               for scripts

Exit status: 0 if all are accepted, 1 if one is rejected, 2 if one cannot be judged.")]
pub struct Args {
    /// The BPF object
    object: PathBuf,
    /// Only the program of this name
    #[arg(long, value_name = "NAME")]
    program: Option<String>,
    /// Print the verifier's log, at level 2
    #[arg(long)]
    log: bool,
    /// Judge for a process without capabilities
    #[arg(long, conflicts_with = "caps")]
    unprivileged: bool,
    /// Judge for a process with these capabilities: bpf, perfmon, net_admin, sys_admin
    #[arg(long, value_name = "CAPS", value_parser = privilege::parse)]
    caps: Option<Capabilities>,
    /// The kernel's types: raw BTF or an ELF file with it; this machine's unless given
    #[arg(long, value_name = "FILE")]
    btf: Option<PathBuf>,
    /// One JSON object a line for each program (see docs/verify.md)
    #[arg(long)]
    json: bool,
}

/// `skep verify`.
pub fn run(args: Args, out: &mut dyn Write) -> Outcome {
    let mut object = objects::open(&args.object)?;
    if let Some(name) = &args.program {
        if object.programs.iter().all(|def| def.name != *name) {
            let names: Vec<&str> = object.programs.iter().map(|def| def.name.as_str()).collect();
            let failure = Failure::unusable(format!("there is no program {name:?}"));
            return Err(failure.hint(format!("the object has: {}", names.join(", "))));
        }
        object.select(|def| def.name == *name);
    }
    let mut host = Host::default();
    if let Some(file) = &args.btf {
        // Read it once as itself, so that what is wrong with it is told by its name.
        host.btf = Some(Arc::from(btf::open(file, None)?.raw_bytes()));
    }
    let target = Target::new(host);
    let linked = relocate(&object, &target)?;
    let env = Env {
        caps: privilege::of(&args),
        vmlinux: target.kernel_btf().ok().cloned(),
        cpus: possible_cpus(),
        ..Env::default()
    };
    let types = types(&args, &env);
    if !args.json {
        writeln!(out, "for Linux 6.18, {}, types: {types}", privilege::name(env.caps))?;
    }
    let mut status = Status::Done;
    let inputs = judge::programs(&linked, &target);
    for (program, input) in linked.programs.iter().zip(&inputs) {
        let mut log = Log::new(if args.log { Log::LEVEL2 } else { 0 });
        let started = Instant::now();
        let verdict = verifier::verify(input, &env, &mut log);
        let time = started.elapsed().as_micros();
        let explanation = verdict.is_err().then(|| explain(input, &env)).flatten();
        let judged = Judged {
            program,
            verdict: verdict.map(|verified| verified.counts()),
            explanation: explanation.map(|(_, explanation)| explanation),
            time,
            types: env.vmlinux.is_some(),
        };
        status = match (status, judged.status()) {
            (Status::Unusable, _) | (_, Status::Unusable) => Status::Unusable,
            (Status::Refused, _) | (_, Status::Refused) => Status::Refused,
            _ => Status::Done,
        };
        match args.json {
            true => {
                let line = judged.json(&args.object.to_string_lossy(), &types);
                serde_json::to_writer(&mut *out, &line).map_err(io::Error::from)?;
                writeln!(out)?;
            }
            false => render::write(&judged, out)?,
        }
        if args.log {
            out.write_all(log.text().as_bytes())?;
        }
    }
    Ok(status)
}

/// Which kernel's types the verdict rests on.
fn types(args: &Args, env: &Env) -> String {
    match (&args.btf, &env.vmlinux) {
        (Some(file), _) => file.display().to_string(),
        (None, Some(_)) => {
            let release = Host::default().release().unwrap_or_default();
            format!("this machine's ({release})")
        }
        (None, None) => "none".into(),
    }
}

/// A program and what the verifier said.
struct Judged<'a> {
    program: &'a LinkedProgram,
    verdict: Result<Counts, VerifyError>,
    /// Of a refusal.
    explanation: Option<Explanation>,
    /// In microseconds.
    time: u128,
    /// Whether the kernel's types were at hand.
    types: bool,
}

impl Judged<'_> {
    /// Refused for want of the kernel's types: no verdict.
    fn lacks_types(&self) -> bool {
        let Err(error) = &self.verdict else { return false };
        let needs_types = matches!(
            error.reason,
            Reason::NoKernelBtf | Reason::KfuncsNeedBtf | Reason::AttachNeedsBtfId
        );
        needs_types && !self.types
    }

    fn status(&self) -> Status {
        match self.verdict {
            Ok(_) => Status::Done,
            Err(_) if self.lacks_types() => Status::Unusable,
            Err(_) => Status::Refused,
        }
    }

    fn json(&self, object: &str, types: &str) -> Json {
        let error = self.verdict.as_ref().err();
        let counts = self.verdict.as_ref().ok();
        let verdict = match self.status() {
            Status::Done => "accept",
            Status::Refused => "reject",
            Status::Unusable | Status::Stopped(_) => "error",
        };
        let place = self.explanation.as_ref().and_then(|explanation| explanation.at.as_ref());
        let source = place.and_then(|place| place.source.as_ref());
        json!({
            "object": object,
            "program": self.program.def.name,
            "section": self.program.def.section,
            "type": self.program.def.prog_type.map(|kind| kind.name()),
            "verdict": verdict,
            "errno": error.and_then(|error| error.errno.name()),
            "insn": error.and_then(|error| error.pc),
            "message": error.map(|error| error.reason.to_string()),
            "source": source.map(|source| json!({ "file": source.file, "line": source.line })),
            "processed": counts.map(|counts| counts.processed),
            "states": counts.map(|counts| counts.total_states),
            "time_us": self.time as u64,
            "btf": types,
        })
    }
}
