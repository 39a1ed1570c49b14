//! `skep run`: a program on the packets of a capture, or bare instructions on bare
//! memory.
//!
//! ```text
//!   object ── select ──> one program, and those that it tail-calls
//!            fill, clock  its data sections and its time
//!            Side::load   into the embedded kernel, into Linux, or both
//!   capture ─ stream ──>  each frame through each side, compared where there are two
//!            report, json what came of it
//! ```

#[cfg(target_os = "linux")]
mod attached;
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
mod command;
mod compare;
mod contents;
mod elements;
pub mod engine;
pub mod events;
pub mod fill;
mod json;
#[cfg(target_os = "linux")]
mod live;
pub mod raw;
mod records;
mod report;
pub mod select;
pub mod side;
mod stream;
#[cfg(target_os = "linux")]
pub mod trace;
mod verdict;

use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;

use skep::load::{Object, Options, Target, clock, relocate};
use skep::vm::{DEFAULT_BUDGET, Vm};

use crate::failure::{Failure, Outcome, Status};
use crate::signal::{self, Stop};
use crate::{embedded, kernels, objects, types};
use side::Side;

/// Run a program on the packets of a capture, on contexts, or bare instructions on memory
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// The BPF object
    #[arg(required_unless_present = "raw", conflicts_with = "raw")]
    object: Option<PathBuf>,
    /// The capture: pcap or pcapng, of Ethernet frames
    #[arg(long, value_name = "FILE", conflicts_with = "raw")]
    pcap: Option<PathBuf>,
    /// Run once on the context that a JSON or TOML file describes (see docs/run.md)
    #[arg(long, value_name = "FILE", conflicts_with_all = ["raw", "pcap"])]
    context: Option<PathBuf>,
    /// Run once for each record of a file, JSON, one a line; - is the standard input
    #[arg(long, value_name = "FILE", conflicts_with_all = ["raw", "pcap", "context"])]
    events: Option<PathBuf>,
    /// Start a command, and run all programs of the object that are for trace points on what it
    /// and all that comes from it do: system calls, forks, execs. Needs no permission (see
    /// docs/live-processes.md)
    #[arg(short = 'c', long = "command", value_name = "CMD",
        conflicts_with_all = ["raw", "pcap", "context", "events"])]
    command: Option<String>,
    /// Where to run it
    #[arg(long, value_enum, default_value_t = Where::Embedded)]
    kernel: Where,
    /// The program to run, where the object has several
    #[arg(long, value_name = "NAME")]
    program: Option<String>,
    #[cfg(target_os = "linux")]
    #[command(flatten, next_help_heading = "Live")]
    live: attached::AttachArgs,
    /// Put an element into a map first; of a data section, NAME is .rodata or its like and
    /// KEY a variable
    #[arg(long = "map", value_name = "NAME=KEY:VALUE")]
    map: Vec<String>,
    /// Put the elements of a JSON or TOML file into maps first
    #[arg(long, value_name = "FILE")]
    maps: Option<PathBuf>,
    /// Replay the capture N times
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..))]
    repeat: u64,
    /// Take only the first N packets
    #[arg(long, value_name = "N")]
    limit: Option<u64>,
    /// Write the packets as the program left them, each with its verdict, to a pcapng file;
    /// with - to the standard output, and the report to the standard error
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// What clock the program reads: the packet's time stamp, or the machine's
    #[arg(long, value_enum, default_value_t = Clock::Packet)]
    clock: Clock,
    /// Seed the random numbers that the program gets
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// Resolve CO-RE records against the types of this file, not the machine's kernel
    #[arg(long, value_name = "FILE")]
    btf: Option<PathBuf>,
    #[command(flatten)]
    loader: objects::LoaderArgs,
    /// Pin maps that ask for it here, and take those that are here already
    #[arg(long, value_name = "DIR")]
    pin: Option<PathBuf>,
    /// Run what the verifier refuses all the same, in the interpreter (or with --checks
    /// guarded), which stops it before it does harm (embedded kernel only)
    #[arg(long)]
    unverified: bool,
    #[command(flatten)]
    engine: engine::EngineArgs,
    /// Instructions that one run may execute in the embedded kernel
    #[arg(long, value_name = "N")]
    budget: Option<u64>,
    /// Most memory of a map in the embedded kernel: bytes, or with K, M or G behind them; a
    /// quarter of the machine's unless said
    #[arg(long, value_name = "SIZE", value_parser = size)]
    memory_limit: Option<u64>,
    /// Elements of each map, records and printed lines to show: a number, or `all`
    #[arg(long, value_name = "N", default_value = "20", value_parser = show)]
    show: usize,
    /// Print JSON, with --show elements of each map and how many there are (see docs/cli.md)
    #[arg(long)]
    json: bool,
    /// Run bare instructions instead: r1 = memory, r2 = its length; prints r0. - is the
    /// standard input
    #[arg(long, value_name = "FILE", help_heading = "Bare instructions")]
    raw: Option<PathBuf>,
    /// The instructions are hex text
    #[arg(long, requires = "raw", help_heading = "Bare instructions")]
    hex: bool,
    /// The memory, as hex text
    #[arg(long, value_name = "HEX", requires = "raw", help_heading = "Bare instructions")]
    memory: Option<String>,
}

const EXAMPLES: &str = "\
Examples:
  skep run syn_guard.bpf.o --pcap traffic.pcapng
  skep run per_ip.bpf.o --pcap traffic.pcapng --map blocked=192.0.2.10:0
  skep run syn_guard.bpf.o --pcap traffic.pcapng --map .rodata=syn_limit:5
  skep run prog.bpf.o --pcap traffic.pcapng --kernel both    differences end with status 1
  skep run prog.bpf.o --pcap in.pcapng --out out.pcapng --limit 1000
  skep run prog.bpf.o --pcap in.pcapng --interpret           no compiled code
  skep run opensnoop.bpf.o --program tracepoint__syscalls__sys_enter_open --context open.json
  skep run prog.bpf.o --events events.jsonl                  once for each line
  skep run opensnoop.bpf.o -c 'make -j4'                     on the system calls of a command
  skep run prog.bpf.o --program NAME                         once, on a context of zeros
  skep run xdp.bpf.o --interface eth0                        on a copy of each frame, until Ctrl-C
  skep run xdp.bpf.o --interface a --to b                    frames cross as the program says
  skep run xdp.bpf.o --interface eth0 --kernel linux         by a link, until Ctrl-C
  skep run app.bpf.o --attach --kernel linux --cgroup DIR    each program at its own place
  skep run --raw prog.bin --memory '01 02 03'

Programs of the types xdp, sched_cls, sched_act and socket_filter run on captures; nearly all
types run on contexts (docs/run.md). Values
are read and printed by their types: { saddr: 10.0.0.7, packets: 1201 }; unsigned numbers
of 32 bits are addresses where a word of their name is `ip` or ends in `addr`.";

/// Where to run a program.
#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum)]
pub enum Where {
    /// In user space, without permission
    Embedded,
    /// In this machine's kernel, by BPF_PROG_TEST_RUN
    Linux,
    /// In both, packet by packet, and report what differs
    Both,
}

/// What clock a program reads.
#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum)]
pub enum Clock {
    /// The packet's time stamp
    Packet,
    /// The machine's clock
    Real,
}

/// `skep run`.
pub fn run(args: &Args, out: &mut dyn Write) -> Outcome {
    if let Some(file) = &args.raw {
        let memory = args.memory.as_deref();
        let options = raw::Options {
            file,
            hex: args.hex,
            memory,
            budget: args.budget,
            engine: &args.engine,
            json: args.json,
        };
        return raw::run(&options, out);
    }
    let Some(file) = &args.object else {
        return Err(Failure::unusable("there is no object to run"));
    };
    let mut object = objects::open_as(file, args.loader.loader())?;
    #[cfg(target_os = "linux")]
    if args.live.attach || args.live.interface.is_some() {
        return attached::run(args, object, out);
    }
    let fills = fill::read(&args.map, args.maps.as_deref())?;
    if let Some(command) = &args.command {
        #[cfg(all(target_os = "linux", target_arch = "x86_64"))]
        return command::run(args, object, fills, command, out);
        #[cfg(not(all(target_os = "linux", target_arch = "x86_64")))]
        return Err(Failure::unusable(format!(
            "system calls of commands ({command:?}) are seen on Linux on x86-64 only"
        )));
    }
    let Some(pcap) = &args.pcap else {
        let source = match (&args.context, &args.events) {
            (Some(path), _) => events::Source::Context(path),
            (_, Some(path)) => events::Source::Events(path),
            _ => events::Source::Zero,
        };
        let program = events::choose(&object, args.program.as_deref())?;
        select::load_only(&mut object, program, &fills);
        let fills = fill::data_sections(&mut object, fills)?;
        return events::run(args, &object, program, &fills, &source, out);
    };
    let program = select::choose(&object, args.program.as_deref())?;
    select::load_only(&mut object, program, &fills);
    let fills = fill::data_sections(&mut object, fills)?;

    if args.kernel == Where::Linux {
        args.engine.refuse()?;
    }
    let (mut sides, mut notes) = load(args, &object, program)?;
    for side in &sides {
        fill::maps(side.skep(), &fills)?;
    }
    let stop = Stop::on_signals();
    let options = stream::Options {
        pcap,
        object: file,
        out: args.out.as_deref(),
        repeat: args.repeat,
        limit: args.limit,
        clock: args.clock,
        seed: args.seed,
        stop: &stop,
    };
    let mut differences = compare::Differences::default();
    stream::run(&options, &mut sides, &mut differences)?;
    compare::maps(&sides, &mut differences)?;
    notes.extend(sides.iter().filter_map(Side::not_compiled));
    notes.extend(sides.iter().filter_map(Side::not_heard));
    let stopped = stop.signal();
    if let Some(signal) = stopped {
        notes.push(format!("stopped by {} before the end of the capture", signal.name()));
    }

    let run = report::Run {
        stopped: stopped.map(signal::Signal::name),
        capture: pcap,
        object: file,
        sides: &sides,
        differences: (sides.len() > 1).then_some(&differences),
        notes: &notes,
        #[cfg(target_os = "linux")]
        live: None,
        show: args.show,
    };
    // Where the packets go to the standard output, the report makes way.
    let takes_stdout = args.out.as_deref().is_some_and(|path| path.as_os_str() == "-");
    let mut stderr = std::io::stderr();
    let out = if takes_stdout { &mut stderr } else { out };
    match args.json {
        true => json::write(&run, out)?,
        false => report::write(&run, out)?,
    }
    if let Some(signal) = stopped {
        return Ok(Status::Stopped(signal));
    }
    Ok(if differences.count() > 0 { Status::Refused } else { Status::Done })
}

/// `20`, `all`.
fn show(text: &str) -> Result<usize, String> {
    match text {
        "all" => Ok(usize::MAX),
        number => number.parse().map_err(|_| "expected a number, or all".into()),
    }
}

/// `4096`, `512M`, `2G`.
fn size(text: &str) -> Result<u64, String> {
    let (digits, shift) = match text.char_indices().last() {
        Some((at, 'K' | 'k')) => (&text[..at], 10),
        Some((at, 'M' | 'm')) => (&text[..at], 20),
        Some((at, 'G' | 'g')) => (&text[..at], 30),
        _ => (text, 0),
    };
    let number = digits.parse::<u64>().map_err(|_| "expected a number, or one with K, M or G")?;
    number.checked_mul(1 << shift).ok_or_else(|| "that is too much".into())
}

/// The embedded kernel, and what objects are linked for.
fn embedded_kernel(args: &Args) -> Result<(Arc<Vm>, Target), Failure> {
    let mut vm = Vm::new().with_budget(args.budget.unwrap_or(DEFAULT_BUDGET));
    if let Some(bytes) = args.memory_limit {
        vm = vm.with_memory_limit(bytes);
    }
    if args.unverified {
        vm = vm.unverified();
    }
    let vm = Arc::new(args.engine.apply(vm));
    vm.environment().seed(args.seed.unwrap_or(1));
    let mut target = Target::of(&*vm);
    if let Some(file) = &args.btf {
        target = target.with_core_btf(Arc::new(types::open(file, None)?));
    }
    Ok((vm, target))
}

/// Loads the object wherever it is to run. Gives also what is worth a note.
fn load(args: &Args, object: &Object, program: usize) -> Result<(Vec<Side>, Vec<String>), Failure> {
    let (vm, target) = embedded_kernel(args)?;
    let mut linked = relocate(object, &target)?;
    let mut notes = Vec::new();
    // Linux has one clock and no seed of ours, so the program is given them in a map.
    // In a comparison both sides run the same instructions.
    if args.kernel != Where::Embedded && args.clock == Clock::Packet {
        notes.extend(clock::replace(&mut linked));
    }
    if args.kernel != Where::Linux {
        notes.extend(embedded::notes(&linked));
    }
    let options = Options { pin_dir: args.pin.clone(), ..Options::default() };
    let name = &object.programs[program].name;
    let mut sides = Vec::new();
    if args.kernel != Where::Linux {
        sides.push(Side::embedded(vm, &linked, &target, &options, name)?);
    }
    if args.kernel != Where::Embedded {
        kernels::pin_to_cpu_0();
        let linux = kernels::linux()?;
        sides.push(Side::linux(linux, &linked, &target, &options, name)?);
    }
    notes.extend(sides.iter().flat_map(|side| side.skep().notes().iter().cloned()));
    notes.extend(sides.iter().flat_map(|side| side.notes.iter().cloned()));
    Ok((sides, notes))
}
