//! A lowered script at work: loaded, attached, its records read and done, its maps printed.
//!
//! ```text
//! Child::start ── lower ── load ── begin ── attach ── Child::go ── records ... ── end ── maps
//! ```
//!
//! What skep runs itself (`begin`, `end`, `test:`, signals) is a raw tracepoint's program that
//! `BPF_PROG_TEST_RUN` runs. Intervals are perf events where the kernel has them, else timers
//! here. What found no room in the ring is counted by program and said at the end.

mod attach;
mod child;
mod kernel_symbols;
mod names;
mod printer;
mod records;
mod source;
mod tests;
mod user_symbols;

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use skep_abi::Errno;
use skep_load::attach::Link;
use skep_load::{Error as LoadError, Options as LoadOptions, RingBuffer, Skep, Target};
use skep_sys::{Kernel, TestRun};
use thiserror::Error;

use super::checked::{Point, Rate, Script};
use super::lower::{LowerError, Machine, lower};
use super::plan::{FORKS, LOST, ONLY, Plan, RING, map_name};
pub use child::Child;
use names::Running;
pub use printer::Printer;
pub use source::Source;
pub use user_symbols::{Mapping, Places};

/// How a script is run.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// Nothing is said that the script does not say.
    pub quiet: bool,
    /// Warnings are not printed.
    pub no_warnings: bool,
    /// `system` may run commands.
    pub allow_unsafe: bool,
    /// The command that is started when all is attached.
    pub command: Option<String>,
    /// The process that is traced: its end ends the tracing.
    pub process: Option<u32>,
    /// Only what the command's processes do is seen.
    pub only: bool,
    /// What is run beside `begin` and `end`.
    pub mode: Mode,
    /// All is loaded, and nothing attached or run.
    pub dry_run: bool,
    /// When output is handed on.
    pub buffering: Buffering,
    /// Says on standard output when all is attached, for those who wait for it.
    pub notify: bool,
    /// The map that stands for the clock of time series, in tests.
    pub clock: Option<String>,
}

/// Which probes are run.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Mode {
    /// All but tests and benches.
    #[default]
    Trace,
    /// `test:`
    Test,
    /// `bench:`
    Bench,
}

/// When output is handed on.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Buffering {
    /// At once.
    None,
    /// When nothing more is there to be printed.
    #[default]
    Line,
    /// When there is much of it.
    Full,
}

/// Why a script did not run, or ended before its end.
#[derive(Debug, Error)]
pub enum RunError {
    /// It has no object.
    #[error(transparent)]
    Lower(#[from] LowerError),
    /// The kernel does not take it.
    #[error("{0}")]
    Load(Box<LoadError>),
    /// A probe could not be attached.
    #[error("{0}")]
    Attach(String),
    /// The command could not be started.
    #[error("{0}")]
    Child(String),
    /// A kernel's call failed.
    #[error("{doing}: {errno}")]
    Kernel {
        /// What was done.
        doing: &'static str,
        /// What came of it.
        errno: Errno,
    },
    /// What was printed could not be written.
    #[error(transparent)]
    Output(#[from] io::Error),
}

/// Why a run shall end, as whoever asks for it says: signals.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ask {
    /// It ends, with `end` and maps.
    Stop,
    /// The maps are printed, or `self:signal` runs.
    Usr1,
}

/// Runs a script until it ends, is asked to, or its command does. Gives the status.
///
/// # Errors
/// What kept it from running.
pub fn run(
    script: &Script,
    kernel: &Arc<dyn Kernel>,
    settings: &Settings,
    printer: &mut Printer<'_>,
    ask: &dyn Fn() -> Option<Ask>,
) -> Result<i32, RunError> {
    run_with(script, kernel, settings, printer, ask, None)
}

/// The same, with a command whose events do not come from the kernel; it was started before,
/// and what it did waits.
///
/// # Errors
/// What kept it from running.
pub fn run_with(
    script: &Script,
    kernel: &Arc<dyn Kernel>,
    settings: &Settings,
    printer: &mut Printer<'_>,
    ask: &dyn Fn() -> Option<Ask>,
    source: Option<&mut dyn Source>,
) -> Result<i32, RunError> {
    let command = settings.command.as_deref().filter(|_| source.is_none());
    let mut child = command.map(Child::start).transpose()?;
    let pid = match (&child, &source) {
        (Some(child), _) => child.process(),
        (None, Some(source)) => source.process(),
        (None, None) => 0,
    };
    let mut machine = machine(kernel, settings, pid)?;
    if let Some(bytes) = ring_size(script.config.perf_rb_pages) {
        machine.ring = bytes;
    }
    let plan = lower(script, &machine)?;
    let skep = load(&plan, kernel, script, settings)?;
    if settings.dry_run {
        return Ok(0);
    }
    let ring = skep.ring_buffer(RING).map_err(|error| RunError::Attach(error.to_string()))?;
    let names = Running::new(&plan, kernel, &machine);
    if let Some(places) = source.as_ref().and_then(|source| source.places()) {
        names.by(places);
    }
    let mut session = Session {
        script,
        settings,
        plan: &plan,
        skep: &skep,
        ring,
        names,
        printer,
        exit: None,
        status: 0,
        lost: 0,
        errors: 0,
        // Each reference is made a shorter one by itself; a whole option cannot be.
        source: match source {
            Some(source) => Some(source),
            None => None,
        },
    };
    match settings.mode {
        Mode::Trace => session.trace(child.as_mut(), ask)?,
        Mode::Test => session.tests()?,
        Mode::Bench => session.benches()?,
    }
    Ok(session.status)
}

/// The bytes of a ring of so many pages, as kernels take them; `None` where the script does not
/// say.
fn ring_size(pages: u64) -> Option<u32> {
    const PAGE: u32 = 4096;
    const MOST: u32 = 1 << 28;
    let pages = u32::try_from(pages).unwrap_or(u32::MAX).min(MOST / PAGE);
    (pages > 0).then(|| pages.next_power_of_two() * PAGE)
}

/// What the script is lowered for.
fn machine(kernel: &Arc<dyn Kernel>, settings: &Settings, child: u32) -> Result<Machine, RunError> {
    let linux = kernel.name() == "linux";
    let only = (settings.only && child != 0).then(|| names::process_number(kernel)).transpose()?;
    Ok(Machine {
        cpus: kernel.possible_cpus(),
        start: if linux { names::boot_time() } else { 0 },
        child,
        namespace: linux.then(names::process_namespace).flatten(),
        tai: names::tai_offset(),
        clock: settings.clock.clone(),
        only,
        timers: !linux,
        filter: settings.process.filter(|_| linux),
        ..Machine::default()
    })
}

/// Loads the programs that this mode runs.
fn load(
    plan: &Plan,
    kernel: &Arc<dyn Kernel>,
    script: &Script,
    settings: &Settings,
) -> Result<Skep, RunError> {
    let mut object = plan.object.clone();
    let wanted: Vec<bool> = script
        .programs
        .iter()
        .map(|program| is_run(program.points.first(), settings.mode))
        .collect();
    for (program, wanted) in object.programs.iter_mut().zip(wanted) {
        program.autoload = wanted;
    }
    let failed = |error: LoadError| RunError::Load(Box::new(error));
    let target = Target::of(&**kernel);
    let linked = skep_load::relocate(&object, &target).map_err(|error| failed(error.into()))?;
    skep_load::load(&linked, &target, kernel, &LoadOptions::default())
        .map_err(|error| failed(error.into()))
}

fn is_run(point: Option<&Point>, mode: Mode) -> bool {
    match point {
        Some(Point::Begin | Point::End) => true,
        Some(Point::Test(_)) => mode == Mode::Test,
        Some(Point::Bench(_)) => mode == Mode::Bench,
        _ => mode == Mode::Trace,
    }
}

/// A script at work.
struct Session<'a, 'o> {
    script: &'a Script,
    settings: &'a Settings,
    plan: &'a Plan,
    skep: &'a Skep,
    ring: RingBuffer,
    names: Running<'a>,
    printer: &'a mut Printer<'o>,
    /// The status that the script ended with.
    exit: Option<i32>,
    status: i32,
    lost: u64,
    /// How often `errorf` was called.
    errors: u64,
    /// The command whose events do not come from the kernel.
    source: Option<&'a mut dyn Source>,
}

/// An interval without a perf event.
struct Timer {
    program: usize,
    every: Duration,
    next: Instant,
}

/// The longest that nothing is looked at: whether one is asked to stop, whether the child is
/// there.
const TURN: Duration = Duration::from_millis(50);

impl Session<'_, '_> {
    fn trace(
        &mut self,
        mut child: Option<&mut Child>,
        ask: &dyn Fn() -> Option<Ask>,
    ) -> Result<(), RunError> {
        let (begins, ends) = (self.at(&Point::Begin), self.at(&Point::End));
        for program in &begins {
            self.run_program(*program)?;
        }
        let mut links: Vec<Link> = Vec::new();
        let mut timers = Vec::new();
        let mut attached = begins.len() + ends.len();
        let mut waits = 0;
        links.extend(self.restrict(child.as_deref())?);
        for index in attach::order(self.script) {
            let points = &self.script.programs[index].points;
            match points.first() {
                Some(Point::Interval(rate)) if !self.is_linux() => {
                    let every = period(*rate);
                    timers.push(Timer { program: index, every, next: Instant::now() + every });
                }
                Some(Point::SelfSignal(_)) => waits += 1,
                _ if self.take_from_source(index)? => {}
                _ => links.extend(attach::attach(self, index)?),
            }
            attached += points.len();
            waits += 1;
        }
        if attached == 0 {
            return Err(RunError::Attach("Attachment failed for all probes.".into()));
        }
        // A command is waited for, whatever is attached.
        waits += usize::from(self.source.is_some());
        if let Some(child) = child.as_mut() {
            child.go()?;
        }
        if !self.settings.quiet {
            self.printer.attached(attached)?;
        }
        if self.settings.notify {
            self.printer.plain(b"__BPFTRACE_NOTIFY_PROBES_ATTACHED\n")?;
        }
        self.printer.flush()?;
        if waits > 0 {
            self.events(child, &mut timers, ask)?;
        } else {
            self.drain()?;
        }
        drop(links);
        // What came after the script's end is not its any more.
        if self.exit.take().is_some() {
            while self.ring.next_record().is_some() {}
        }
        for program in &ends {
            self.run_program(*program)?;
        }
        self.drain()?;
        self.say_lost()?;
        self.printer.end()?;
        if self.script.config.print_maps_on_exit {
            self.print_maps()?;
        }
        self.printer.flush()?;
        Ok(())
    }

    /// Has programs see the command's processes alone, where that was asked for.
    fn restrict(&self, child: Option<&Child>) -> Result<Option<Link>, RunError> {
        let (Some(child), Some(map)) = (child, self.skep.map(ONLY)) else { return Ok(None) };
        let Some(program) = self.skep.program(FORKS) else { return Ok(None) };
        let link = program
            .attach(skep_load::attach::RawTracepoint::new("sched_process_fork"))
            .map_err(|error| RunError::Attach(error.to_string()))?;
        map.update(&child.process().to_ne_bytes(), &1u32.to_ne_bytes(), 0)
            .map_err(|errno| RunError::Kernel { doing: "naming the command's process", errno })?;
        Ok(Some(link))
    }

    fn is_linux(&self) -> bool {
        self.skep.programs().first().is_none_or(|of| of.fd().kernel().name() == "linux")
    }

    /// The programs at a point that stands for itself.
    fn at(&self, point: &Point) -> Vec<usize> {
        let is_there = |points: &[Point]| points.first() == Some(point);
        let programs = self.script.programs.iter().enumerate();
        programs.filter(|(_, of)| is_there(&of.points)).map(|(index, _)| index).collect()
    }

    /// The loaded program of this number.
    fn program(&self, index: usize) -> Result<skep_load::Program, RunError> {
        let name = self.plan.object.programs.get(index).map(|of| of.name.as_str());
        let found = name.and_then(|name| self.skep.program(name)).cloned();
        found.ok_or_else(|| RunError::Attach("the program was not loaded".into()))
    }

    /// Runs a program once, here and now; gives what it returned.
    fn run_program(&mut self, index: usize) -> Result<u32, RunError> {
        let program = self.program(index)?;
        let (run, result) = program.test_run(TestRun::default());
        let retval = run.retval;
        result.map_err(|errno| RunError::Kernel { doing: "running a program", errno })?;
        Ok(retval)
    }

    /// Reads records until the script ends, or shall.
    fn events(
        &mut self,
        mut child: Option<&mut Child>,
        timers: &mut [Timer],
        ask: &dyn Fn() -> Option<Ask>,
    ) -> Result<(), RunError> {
        loop {
            let had_some = self.drain()?;
            if self.exit.is_some() {
                return Ok(());
            }
            match ask() {
                Some(Ask::Stop) => return Ok(()),
                Some(Ask::Usr1) => self.usr1()?,
                None => {}
            }
            let now = Instant::now();
            for timer in timers.iter_mut().filter(|timer| timer.next <= now) {
                timer.next = now + timer.every;
                self.run_program(timer.program)?;
            }
            let next = timers.iter().map(|timer| timer.next.saturating_duration_since(now)).min();
            let wait = next.unwrap_or(TURN).min(TURN);
            // What a child did before its end is read before ours.
            let gone = child.as_mut().is_some_and(|child| child.is_gone())
                || self.turn_of_source(wait)?
                || self.settings.process.is_some_and(|process| !names::is_there(process));
            if gone {
                self.drain()?;
                return Ok(());
            }
            if had_some {
                continue;
            }
            if self.settings.buffering != Buffering::Full {
                self.printer.flush()?;
            }
            if self.source.is_some() {
                continue;
            }
            match self.ring.wait(wait) {
                Ok(_) | Err(Errno::EINTR) => {}
                Err(errno) => return Err(RunError::Kernel { doing: "waiting for records", errno }),
            }
        }
    }

    /// What SIGUSR1 asks for: probes of it, else all maps.
    fn usr1(&mut self) -> Result<(), RunError> {
        let is_it = |point: Option<&Point>| matches!(point, Some(Point::SelfSignal(_)));
        let programs = self.script.programs.iter().enumerate();
        let programs: Vec<usize> =
            programs.filter(|(_, of)| is_it(of.points.first())).map(|(index, _)| index).collect();
        for program in &programs {
            self.run_program(*program)?;
        }
        if programs.is_empty() {
            self.print_maps()?;
        }
        Ok(())
    }

    /// Does what all records ask for that are there; gives whether there were any.
    fn drain(&mut self) -> Result<bool, RunError> {
        let mut had_some = false;
        while self.exit.is_none() {
            let Some(record) = self.ring.next_record() else { break };
            had_some = true;
            self.record(&record)?;
            if self.settings.buffering == Buffering::None {
                self.printer.flush()?;
            }
        }
        Ok(had_some)
    }

    /// All maps, by their names.
    fn print_maps(&mut self) -> Result<(), RunError> {
        let mut maps: Vec<usize> = (0..self.script.maps.len()).collect();
        maps.sort_by_key(|map| self.script.maps[*map].name.clone());
        for map in maps {
            self.print_map(map, Default::default(), false)?;
        }
        Ok(())
    }

    /// Says what was lost, for each program.
    fn say_lost(&mut self) -> Result<(), RunError> {
        let Some(map) = self.skep.map(LOST) else { return Ok(()) };
        let mut total = 0;
        let mut by_program = Vec::new();
        for (index, program) in self.script.programs.iter().enumerate() {
            let cpus = map.lookup_per_cpu(&(index as u32).to_ne_bytes());
            let cpus = cpus.ok().flatten().unwrap_or_default();
            let count: u64 = cpus.iter().map(|cpu| super::output::decode::number(cpu, 0, 8)).sum();
            if count > 0 {
                by_program.push((program.name.to_string(), count));
            }
            total += count;
        }
        if total > 0 {
            self.lost = total;
            self.printer.lost(total, &by_program)?;
        }
        Ok(())
    }
}

/// How long an interval is.
fn period(rate: Rate) -> Duration {
    match rate {
        Rate::Hertz(times) => Duration::from_nanos(1_000_000_000 / times.max(1)),
        Rate::Nanoseconds(nanos) => Duration::from_nanos(nanos.max(1)),
    }
}

/// The object's map of a script's map.
fn live_map<'s>(skep: &'s Skep, name: &str) -> Option<&'s skep_load::Map> {
    skep.map(&map_name(name))
}
