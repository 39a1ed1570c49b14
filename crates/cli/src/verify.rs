//! `skep verify`: would Linux load the programs of an object, and if not, why.

use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use serde_json::{Value as Json, json};
use skep::abi::{Capabilities, MapType};
use skep::load::{Linked, LinkedProgram, MapDef, MapOrigin, Target, relocate};
use skep::sys::{Host, possible_cpus};
use skep::verify::{self as verifier, Env, FuncInfo, LineInfo, Log, MapRef, Program, VerifyError};

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

/// The first number for maps: lower ones are standard input, output and error.
const FIRST_FD: usize = 3;

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
    let maps: Vec<MapRef> = linked
        .maps
        .iter()
        .enumerate()
        .map(|(index, map)| MapRef {
            fd: (FIRST_FD + index) as i32,
            map: Arc::new(definition(&linked, map)),
        })
        .collect();
    let mut status = Status::Done;
    for program in &linked.programs {
        let mut log = if args.log { Log::new(2) } else { Log::new(1) };
        let started = Instant::now();
        let verdict = verifier::verify(&Arc::new(input(&linked, program, &target, &maps)), &env, &mut log);
        let time = started.elapsed().as_micros();
        let judged = Judged { program, verdict: verdict.map(|verified| verified.counts().processed), time };
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

/// A map by its definition. What the kernel reads only is known while it verifies.
fn definition(linked: &Linked, map: &MapDef) -> verifier::MapDef {
    verifier::MapDef {
        name: map.name.clone(),
        kind: map.kind().unwrap_or(MapType::Unspec),
        key_size: map.key_size,
        value_size: map.value_size,
        max_entries: map.max_entries,
        flags: map.flags,
        extra: map.extra,
        btf: linked.btf.clone().filter(|_| map.value_type_id != 0),
        key_type: map.key_type_id,
        value_type: map.value_type_id,
        inner: map.inner.as_deref().map(|inner| Arc::new(definition(linked, inner))),
        frozen: frozen(map),
    }
}

fn frozen(map: &MapDef) -> Option<Arc<[u8]>> {
    if !matches!(map.origin, MapOrigin::Rodata(_) | MapOrigin::Kconfig) {
        return None;
    }
    let mut bytes = map.contents.clone();
    bytes.resize(map.value_size as usize, 0);
    Some(bytes.into())
}

/// A linked program as the verifier takes it: maps by number.
fn input(linked: &Linked, program: &LinkedProgram, target: &Target, maps: &[MapRef]) -> Program {
    let mut slots = program.insns.clone();
    for reference in &program.map_references {
        if let Some(slot) = slots.get_mut(reference.at as usize) {
            slot.imm = (FIRST_FD + reference.map) as i32;
        }
    }
    let licence = linked.license.as_str();
    Program {
        slots,
        kind: program.def.prog_type.unwrap_or(skep::abi::ProgType::Unspec),
        attach_type: program.def.attach_type.map_or(0, |attach| attach as u32),
        flags: program.def.flags,
        gpl: matches!(
            licence,
            "GPL"
                | "GPL v2"
                | "GPL and additional rights"
                | "Dual BSD/GPL"
                | "Dual MIT/GPL"
                | "Dual MPL/GPL"
        ),
        name: program.def.name.clone(),
        maps: maps.to_vec(),
        btf: linked.btf.clone(),
        func_info: program
            .func_info
            .iter()
            .map(|info| FuncInfo { pc: info.insn_off, type_id: info.type_id })
            .collect(),
        line_info: program
            .line_info
            .iter()
            .map(|info| LineInfo {
                pc: info.insn_off,
                file_name_off: info.file_name_off,
                line_off: info.line_off,
                line: info.line,
                column: info.column,
            })
            .collect(),
        attach_btf_id: target.attach_btf_id(&program.def).ok().flatten().unwrap_or(0),
        ..Program::default()
    }
}
