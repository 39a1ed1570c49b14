//! `skep trace` with events: the flags of a run, the kernel that it takes, its signals.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use skep::Vm;
use skep::lang::trace::checked::{Point, Script};
use skep::lang::trace::run::{self, Ask, Buffering, Mode, Printer, Settings, Source};
use skep::sys::{Command, Fd, Kernel, MapCreate};

use super::record::Recorder;
use crate::failure::{Failure, Outcome, Status};
use crate::kernels::linux;
use crate::signal::Stop;

/// How a script is run.
#[derive(clap::Args, Default)]
pub struct RunArgs {
    /// A file instead of the standard output
    #[arg(short = 'o', long = "output", value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// text or json
    #[arg(short = 'f', long = "format", value_name = "FORMAT", default_value = "text")]
    pub format: String,
    /// When output is handed on: none, line or full
    #[arg(short = 'B', value_name = "MODE", default_value = "line")]
    pub buffer: String,
    /// Say nothing that the script does not say
    #[arg(short = 'q', long)]
    pub quiet: bool,
    /// Only what the command's processes do
    #[arg(long)]
    pub only: bool,
    /// Run test: probes
    #[arg(long)]
    pub test: bool,
    /// Run bench: probes
    #[arg(long)]
    pub bench: bool,
    /// test or bench, as a word
    #[arg(long, value_name = "MODE", hide = true)]
    pub mode: Option<String>,
    /// Write what the script's probes see of the command to a file, for --replay
    #[arg(long, value_name = "FILE", conflicts_with = "replay")]
    pub record: Option<PathBuf>,
    /// Take events from a file that --record wrote, instead of from a command
    #[arg(long, value_name = "FILE")]
    pub replay: Option<PathBuf>,
    /// The kernel: linux where the user may, else embedded
    #[arg(long, value_enum)]
    pub kernel: Option<Which>,
}

/// Variables that begin as settings do and are none.
pub const OWN: [&str; 1] = ["dummy_ts_map"];

/// A kernel to trace with.
#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum)]
pub enum Which {
    /// The machine's own
    Linux,
    /// In user space, without permission
    Embedded,
}

/// What is said of a run on the command line elsewhere.
#[derive(Clone, Debug, Default)]
pub struct Given {
    /// The command to start.
    pub command: Option<String>,
    /// The process to trace.
    pub process: Option<u32>,
    /// `--unsafe`.
    pub allow_unsafe: bool,
    /// `--no-warnings`.
    pub no_warnings: bool,
    /// `--dry-run`.
    pub dry_run: bool,
}

/// Runs a checked script.
pub fn run(
    script: &Script,
    kernel: Arc<dyn Kernel>,
    args: &RunArgs,
    given: &Given,
    out: &mut dyn Write,
) -> Outcome {
    let json = match &args.format[..] {
        "text" | "" => false,
        "json" => true,
        other => {
            let valid = "Valid formats: 'text', 'json'";
            return failed(format!("Invalid output format \"{other}\"\n{valid}"));
        }
    };
    let buffering = match &args.buffer[..] {
        "none" => Buffering::None,
        "line" => Buffering::Line,
        "full" => Buffering::Full,
        other => {
            return failed(format!(
                "USAGE: -B must be either 'line', 'full', or 'none'. Got '{other}'"
            ));
        }
    };
    let mode = match (args.mode.as_deref(), args.test, args.bench) {
        (Some("test"), ..) | (_, true, _) => Mode::Test,
        (Some("bench"), ..) | (_, _, true) => Mode::Bench,
        _ => Mode::Trace,
    };
    let mut file = match &args.output {
        Some(path) => match File::create(path) {
            Ok(file) => Some(BufWriter::new(file)),
            Err(error) => {
                let reason = error.to_string();
                let reason = reason.split(" (os error").next().unwrap_or_default();
                let path = path.display();
                return failed(format!("Failed to open output file: \"{path}\": {reason}"));
            }
        },
        None => None,
    };
    let mut source = Started { kernel, command: None, recorder: None };
    if source.kernel.name() != "linux" {
        needs_linux(script, mode, given.command.is_some() || args.replay.is_some())?;
        if let (Mode::Trace, false) = (mode, given.dry_run) {
            source.begin(script, given, args)?;
        }
    }
    let settings = Settings {
        quiet: args.quiet,
        no_warnings: given.no_warnings,
        allow_unsafe: given.allow_unsafe,
        command: given.command.clone(),
        process: given.process,
        // A command's own events are those of its processes as they are.
        only: args.only && source.command.is_none(),
        mode,
        dry_run: given.dry_run,
        buffering,
        notify: std::env::var_os("__BPFTRACE_NOTIFY_PROBES_ATTACHED").is_some(),
        clock: std::env::var("BPFTRACE_DUMMY_TS_MAP").ok(),
    };
    let stop = Stop::on_signals();
    let usr1 = Arc::new(AtomicBool::new(false));
    // Where a handler cannot be had, the signal does what it does.
    let _ = signal_hook::flag::register(signal_hook::consts::SIGUSR1, usr1.clone());
    let ask = || match stop.signal() {
        Some(_) => Some(Ask::Stop),
        None => usr1.swap(false, Ordering::Relaxed).then_some(Ask::Usr1),
    };
    let out: &mut dyn Write = match &mut file {
        Some(file) => file,
        None => out,
    };
    let mut printer = Printer { out, err: &mut io::stderr(), json };
    let result = {
        let command = source.command.as_mut().map(|command| &mut **command as &mut dyn Source);
        run::run_with(script, &source.kernel, &settings, &mut printer, &ask, command)
    };
    for note in source.command.iter_mut().flat_map(|command| command.notes()) {
        eprintln!("WARNING: {note}");
    }
    let recorded = source.recorder.as_ref().map(|recorder| {
        let mut recorder = recorder.lock().unwrap_or_else(PoisonError::into_inner);
        recorder.finish()
    });
    match result {
        Ok(_) if matches!(recorded, Some(Err(_))) => {
            failed(recorded.and_then(Result::err).unwrap_or_default())
        }
        Ok(0) => Ok(Status::Done),
        Ok(status) => Ok(Status::Command(status as u8)),
        Err(run::RunError::Output(error)) => Err(error.into()),
        Err(error) => {
            printer.flush()?;
            failed(error.to_string())
        }
    }
}

/// The kernel of a run, and the command whose events do not come from it.
struct Started {
    kernel: Arc<dyn Kernel>,
    command: Option<Box<dyn Source>>,
    recorder: Option<Arc<Mutex<Recorder>>>,
}

impl Started {
    /// Brings what the events come from: a file, or a command, which is started.
    fn begin(&mut self, script: &Script, given: &Given, args: &RunArgs) -> Result<(), Failure> {
        match (&args.replay, &given.command) {
            (Some(file), Some(_)) => Err(Failure::unusable(format!(
                "{}: events come from a file or from a command, not from both",
                file.display()
            ))),
            (Some(file), None) => {
                let vm = Arc::new(Vm::new());
                self.command = Some(Box::new(super::replay::Replay::open(&vm, file)?));
                self.kernel = vm;
                Ok(())
            }
            (None, Some(command)) => self.start(script, command, args.record.as_deref()),
            (None, None) if args.record.is_some() => {
                let failure = Failure::unusable("--record has nothing to record");
                Err(failure.hint("give a command: -c COMMAND"))
            }
            (None, None) => Ok(()),
        }
    }

    /// Starts the command; what it does is for programs of an embedded kernel of its own.
    #[cfg(all(target_os = "linux", target_arch = "x86_64"))]
    fn start(
        &mut self,
        script: &Script,
        command: &str,
        record: Option<&Path>,
    ) -> Result<(), Failure> {
        let vm = Arc::new(Vm::new());
        let recorder = record.map(Recorder::create).transpose()?;
        self.recorder = recorder.map(|recorder| Arc::new(Mutex::new(recorder)));
        let mut command = super::source::Command::start(&vm, script, command)?;
        command.recorder = self.recorder.clone();
        self.command = Some(Box::new(command));
        self.kernel = vm;
        Ok(())
    }

    #[cfg(not(all(target_os = "linux", target_arch = "x86_64")))]
    fn start(&mut self, _: &Script, _: &str, _: Option<&Path>) -> Result<(), Failure> {
        Ok(())
    }
}

/// Whether a command's events, seen without rights, are a probe's.
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
fn is_of_a_command(point: &Point) -> bool {
    super::source::place(point).is_some()
}

#[cfg(not(all(target_os = "linux", target_arch = "x86_64")))]
fn is_of_a_command(_: &Point) -> bool {
    false
}

/// Says what went wrong in bpftrace's form, which people match on.
fn failed(text: String) -> Outcome {
    eprintln!("ERROR: {text}");
    Ok(Status::Refused)
}

/// The kernel that was asked for; else Linux where the user may, else the embedded one.
pub fn kernel(args: &RunArgs) -> Result<Arc<dyn Kernel>, Failure> {
    let embedded = || Arc::new(Vm::new()) as Arc<dyn Kernel>;
    let by_file = args.record.is_some() || args.replay.is_some();
    match args.kernel {
        Some(Which::Linux) if by_file => {
            let failure = Failure::unusable("events of a file are for the embedded kernel");
            Err(failure.hint("leave out --kernel"))
        }
        None if by_file => Ok(embedded()),
        Some(Which::Linux) => linux(),
        Some(Which::Embedded) => Ok(embedded()),
        None => Ok(linux().ok().filter(may).unwrap_or_else(embedded)),
    }
}

/// Leaves out probes whose names do not match; begin and end stay.
pub fn keep_matching(script: &mut Script, filter: &str) -> Result<(), String> {
    let filter = regex::Regex::new(filter)
        .map_err(|error| format!("Invalid --probe-filter regex '{filter}': {error}"))?;
    script.programs.retain(|program| {
        let stays = matches!(program.points.first(), Some(Point::Begin | Point::End));
        stays || filter.is_match(&program.name)
    });
    Ok(())
}

/// Whether the user may load programs: whether he may make a map that only such users may.
fn may(kernel: &Arc<dyn Kernel>) -> bool {
    let mut create = Command::MapCreate(MapCreate {
        map_type: skep::abi::MapType::Ringbuf as u32,
        max_entries: 4096,
        ..MapCreate::default()
    });
    Fd::open(kernel, &mut create).is_ok()
}

/// Refuses probes that the embedded kernel does not have.
fn needs_linux(script: &Script, mode: Mode, has_command: bool) -> Result<(), Failure> {
    if mode != Mode::Trace {
        return Ok(());
    }
    let is_here = |point: &Point| match point {
        Point::Begin
        | Point::End
        | Point::Interval(_)
        | Point::SelfSignal(_)
        | Point::Test(_)
        | Point::Bench(_) => true,
        point => has_command && is_of_a_command(point),
    };
    let points = script.programs.iter().filter_map(|of| Some((of.points.first()?, &of.name)));
    match points.into_iter().find(|(point, _)| !is_here(point)) {
        Some((_, name)) => {
            let failure =
                Failure::refused(format!("{name}: the embedded kernel has no such probe"));
            Err(failure.hint(match has_command {
                true => {
                    "run it as root, on Linux; of a command, system calls, functions, forks, \
                         execs and exits are seen without"
                }
                false => {
                    "run it as root, on Linux; with -c COMMAND, the command's system calls, \
                          functions, forks, execs and exits are seen without"
                }
            }))
        }
        None => Ok(()),
    }
}
