//! Probes at their places.

use skep_load::attach::{
    Iter, Kprobe, Kprobes, Link, PerfEvent, RawTracepoint, Spot, Tracepoint, Tracing, Uprobe,
    Uprobes,
};
use skep_sys::perf::software;
use skep_sys::{PerfKind, PerfSpec};

use super::super::checked::{Point, Rate, Script};
use super::{RunError, Session};

/// The order in which programs are attached, so that those of one event run in the order of
/// the script: some lists of the kernel begin with the newest.
pub(super) fn order(script: &Script) -> Vec<usize> {
    let is_attached = |point: Option<&Point>| {
        !matches!(point, None | Some(Point::Begin | Point::End | Point::Test(_) | Point::Bench(_)))
    };
    let is_reversed = |point: Option<&Point>| {
        matches!(
            point,
            Some(
                Point::Fentry { .. }
                    | Point::FentryProgram { .. }
                    | Point::Kprobe { ret: false, .. }
                    | Point::Uprobe { .. }
                    | Point::Usdt { .. }
                    | Point::Iter { .. }
            )
        )
    };
    let point = |index: &usize| script.programs[*index].points.first();
    let all: Vec<usize> =
        (0..script.programs.len()).filter(|index| is_attached(point(index))).collect();
    let (late, early): (Vec<usize>, Vec<usize>) =
        all.into_iter().partition(|index| is_reversed(point(index)));
    early.into_iter().chain(late.into_iter().rev()).collect()
}

/// Software events by their names, and their usual periods.
const SOFTWARE: &[(&str, u64, u64)] = &[
    ("alignment-faults", software::ALIGNMENT_FAULTS, 1),
    ("bpf-output", software::BPF_OUTPUT, 1),
    ("context-switches", software::CONTEXT_SWITCHES, 1000),
    ("cpu-clock", software::CPU_CLOCK, 1_000_000),
    ("cpu-migrations", software::CPU_MIGRATIONS, 1),
    ("dummy", software::DUMMY, 1),
    ("emulation-faults", software::EMULATION_FAULTS, 1),
    ("major-faults", software::PAGE_FAULTS_MAJ, 1),
    ("minor-faults", software::PAGE_FAULTS_MIN, 100),
    ("page-faults", software::PAGE_FAULTS, 100),
    ("task-clock", software::TASK_CLOCK, 1),
];

/// Hardware events (`PERF_COUNT_HW_*`), likewise.
const HARDWARE: &[(&str, u64, u64)] = &[
    ("cpu-cycles", 0, 1_000_000),
    ("instructions", 1, 1_000_000),
    ("cache-references", 2, 1_000_000),
    ("cache-misses", 3, 1_000_000),
    ("branch-instructions", 4, 100_000),
    ("branch-misses", 5, 100_000),
    ("bus-cycles", 6, 100_000),
    ("frontend-stalls", 7, 1_000_000),
    ("backend-stalls", 8, 1_000_000),
    ("ref-cycles", 9, 1_000_000),
];

fn rated(event: PerfEvent, rate: Rate) -> PerfEvent {
    match rate {
        Rate::Hertz(times) => event.frequency(times),
        Rate::Nanoseconds(nanos) => event.period(nanos),
    }
}

/// Attaches a program at all its points.
pub(super) fn attach(session: &Session<'_, '_>, index: usize) -> Result<Vec<Link>, RunError> {
    let program = session.program(index)?;
    let of = &session.script.programs[index];
    let failed = |error: &dyn std::fmt::Display| {
        RunError::Attach(format!("Unable to attach probe: {}: {error}", of.name))
    };
    let process = session.settings.process;
    let one = |hook: &dyn skep_load::attach::Hook| program.attach(hook).map_err(|e| failed(&e));
    if of.points.len() > 1 {
        return several(session, index).map(|link| vec![link]);
    }
    let Some(point) = of.points.first() else { return Ok(Vec::new()) };
    let event = |kind: &[(&str, u64, u64)], name: &str, count: u64| {
        let row = kind.iter().find(|(known, ..)| *known == name);
        row.map(|(_, number, usual)| (*number, if count == 0 { *usual } else { count }))
            .ok_or_else(|| failed(&format!("no event {name:?} is known")))
    };
    let clock = PerfEvent::software(software::CPU_CLOCK);
    match point {
        Point::Interval(rate) => {
            let event = rated(clock, *rate);
            let first = event.on_each_cpu().into_iter().next();
            one(&first.unwrap_or_else(|| event.on_cpu(0))).map(|link| vec![link])
        }
        Point::Profile(rate) => everywhere(&program, &rated(clock, *rate), process, &failed),
        Point::Software { event: name, count } => {
            let (number, count) = event(SOFTWARE, name, *count)?;
            let event = PerfEvent::software(number).period(count);
            everywhere(&program, &event, process, &failed)
        }
        Point::Hardware { event: name, count } => {
            let (number, count) = event(HARDWARE, name, *count)?;
            let event = PerfEvent::new(PerfSpec::new(PerfKind::Hardware(number))).period(count);
            everywhere(&program, &event, process, &failed)
        }
        Point::Tracepoint { category, event } => {
            one(&Tracepoint::new(&**category, &**event)).map(|link| vec![link])
        }
        Point::RawTracepoint { event, .. } => {
            one(&RawTracepoint::new(&**event)).map(|link| vec![link])
        }
        Point::Uprobe { path, function, offset, ret } => {
            let spot = match function.is_empty() {
                true => Spot::Offset(*offset),
                false => Spot::Function(function.to_string(), *offset),
            };
            let mut probe = Uprobe::at(&**path, spot);
            if *ret {
                probe = probe.at_return();
            }
            if let Some(process) = process {
                probe = probe.of_process(process);
            }
            one(&probe).map(|link| vec![link])
        }
        Point::Kprobe { function, offset, ret, .. } => {
            let mut probe = Kprobe::new(function.to_string()).offset(*offset);
            if *ret {
                probe = probe.at_return();
            }
            one(&probe).map(|link| vec![link])
        }
        Point::Fentry { .. } => one(&Tracing::new()).map(|link| vec![link]),
        Point::Iter { .. } => one(&Iter::new()).map(|link| vec![link]),
        Point::Usdt { .. } | Point::Watchpoint { .. } | Point::FentryProgram { .. } => {
            Err(failed(&"such probes are not there yet"))
        }
        Point::Begin | Point::End | Point::Test(_) | Point::Bench(_) | Point::SelfSignal(_) => {
            Ok(Vec::new())
        }
    }
}

/// An event of a process, or on each CPU.
fn everywhere(
    program: &skep_load::Program,
    event: &PerfEvent,
    process: Option<u32>,
    failed: &dyn Fn(&dyn std::fmt::Display) -> RunError,
) -> Result<Vec<Link>, RunError> {
    let events = match process {
        Some(process) => vec![event.clone().of_process(process)],
        None => event.on_each_cpu(),
    };
    events.iter().map(|event| program.attach(event).map_err(|error| failed(&error))).collect()
}

/// One program at many functions.
fn several(session: &Session<'_, '_>, index: usize) -> Result<Link, RunError> {
    let program = session.program(index)?;
    let of = &session.script.programs[index];
    let failed = |error: &dyn std::fmt::Display| {
        RunError::Attach(format!("Unable to attach probe: {}: {error}", of.name))
    };
    match of.points.first() {
        Some(Point::Uprobe { path, ret, .. }) => {
            let mut probes = Uprobes::new(&**path);
            for point in &of.points {
                if let Point::Uprobe { function, .. } = point {
                    probes = probes.function(function.to_string(), 0);
                }
            }
            if *ret {
                probes = probes.at_return();
            }
            if let Some(process) = session.settings.process {
                probes = probes.of_process(process);
            }
            program.attach(probes).map_err(|error| failed(&error))
        }
        Some(Point::Kprobe { ret, .. }) => {
            let mut probes = Kprobes::new();
            for point in &of.points {
                if let Point::Kprobe { function, .. } = point {
                    probes = probes.function(function.to_string(), 0);
                }
            }
            if *ret {
                probes = probes.at_return();
            }
            program.attach(probes).map_err(|error| failed(&error))
        }
        _ => Err(failed(&"such a program has one place")),
    }
}
