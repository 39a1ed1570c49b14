//! `skep run OBJECT -c CMD`: the object's programs for trace points and functions, on what a
//! command and all that comes from it do, as it happens: system calls, calls of functions,
//! forks, execs, ends of threads.
//!
//! Linux would need root for that; here it needs nothing (`sys::host::tree`).

use std::io::Write;
use std::path::Path;

use skep::abi::ProgType;
use skep::load::attach::{Pattern, symbols};
use skep::load::{Object, ProgramDef};
use skep::sys::host::tree::Event;
use skep::vm::hooks::EventHook;
use skep::vm::hooks::calls::{Calls, Layout, Point};

use super::{Args, Where, events, fill};
use crate::children::{self, Functions};
use crate::failure::{Failure, Outcome, Status};
use crate::signal::{Signal, Stop};

/// Where a program of an object is hooked.
#[derive(Clone, Copy)]
struct Place {
    program: usize,
    point: Point,
    layout: Layout,
}

/// Runs it.
///
/// # Errors
/// No program for what a command does, what does not load, a command that cannot be started, a
/// program that trapped.
pub fn run(
    args: &Args,
    mut object: Object,
    fills: Vec<fill::Fill>,
    command: &str,
    out: &mut dyn Write,
) -> Outcome {
    if args.kernel != Where::Embedded {
        return Err(Failure::unusable("events of a command are for the embedded kernel"));
    }
    let mut functions = Functions::default();
    let places = choose(&mut object, args.program.as_deref(), &mut functions)?;
    let fills = fill::data_sections(&mut object, fills)?;
    let mut programs: Vec<usize> = places.iter().map(|place| place.program).collect();
    programs.dedup();
    let (mut session, loaded) = events::load(args, &object, &programs)?;
    fill::maps(session.skep(), &fills)?;
    let of = |place: &Place| programs.iter().position(|&program| program == place.program);
    let hooks: Vec<(Place, &EventHook)> =
        places.iter().filter_map(|place| Some((*place, loaded.get(of(place)?)?))).collect();
    if programs.len() > 1 {
        let names = programs.iter().map(|&program| object.programs[program].name.clone());
        session.is_called(names.collect::<Vec<_>>().join(", "));
    }
    // First the command, which has the signals that are ignored here, then handlers.
    let points = places.iter().map(|place| place.point);
    let mut tree = children::start(command, &children::options(points, &functions))?;
    session.notes.extend(children::refused(&tree, &functions));
    let stop = Stop::on_signals();
    let mut calls = Calls::default();
    let mut see = |session: &mut events::Session, events: Vec<Event>| {
        events.iter().try_for_each(|event| one(&mut calls, session, &hooks, event))
    };
    let status = loop {
        see(&mut session, tree.batch(children::TICK))?;
        let ended = tree.try_wait().map_err(|error| children::cannot(command, &error))?;
        if ended.is_some() || stop.signal().is_some() {
            break ended;
        }
    };
    let (_, events, counts) = tree.finish();
    see(&mut session, events)?;

    let stopped = stop.signal();
    session.stopped = stopped.map(Signal::name);
    if let Some((_, hook)) = hooks.first() {
        session.ran_by(hook);
    }
    session.notes.extend(children::notes(status, counts));
    let source = format!("what {command:?} did");
    match args.json {
        true => session.json(&object.file, &source, args.show, out)?,
        false => session.text(&source, args.show, out)?,
    }
    Ok(stopped.map_or(Status::Done, Status::Stopped))
}

/// One thing that happened, by all programs that are hooked to it.
fn one(
    calls: &mut Calls,
    session: &mut events::Session,
    hooks: &[(Place, &EventHook)],
    event: &Event,
) -> Result<(), Failure> {
    for happening in calls.events(event) {
        for (place, hook) in hooks.iter().filter(|(place, _)| happening.point.is(place.point)) {
            if let Some(event) = happening.event(place.layout) {
                session.event(hook, &event)?;
            }
        }
    }
    Ok(())
}

/// The programs that are for what a command does; only they are loaded.
fn choose(
    object: &mut Object,
    name: Option<&str>,
    functions: &mut Functions,
) -> Result<Vec<Place>, Failure> {
    let file = object.file.clone();
    let named = |program: &ProgramDef| match name {
        Some(name) => program.name == name,
        None => program.autoload,
    };
    let mut places: Vec<Place> = Vec::new();
    for (index, program) in object.programs.iter().enumerate().filter(|(_, of)| named(of)) {
        let of = |(point, layout)| Place { program: index, point, layout };
        places.extend(place(program).map(of));
        places.extend(called(object, program, functions)?.into_iter().map(of));
    }
    if places.is_empty() {
        let what = match name {
            Some(name) => format!("{file}: no program {name:?} for what a command does"),
            None => format!("{file}: has no program for what a command does"),
        };
        let failure = Failure::unusable(what);
        return Err(failure.hint(
            "these are SEC(\"tracepoint/syscalls/sys_enter_X\"), sys_exit_X, \
             raw_syscalls/sys_enter and sys_exit, sched/sched_process_fork, _exec and _exit, \
             raw_tp/sys_enter and sys_exit, and uprobe/FILE:FUNCTION and uretprobe",
        ));
    }
    for (index, program) in object.programs.iter_mut().enumerate() {
        program.autoload = places.iter().any(|place| place.program == index);
    }
    Ok(places)
}

/// Where a program is hooked, if it is for what a command does.
fn place(program: &ProgramDef) -> Option<(Point, Layout)> {
    let target = program.target.as_deref()?;
    match program.prog_type? {
        ProgType::Tracepoint => {
            let (category, name) = target.split_once('/')?;
            children::tracepoint(category, name)
        }
        ProgType::RawTracepoint => children::raw_tracepoint(target),
        _ => None,
    }
}

/// The functions that a program is for: `uprobe/FILE:FUNCTION+OFFSET`, of all that match where
/// the section is `uprobe.multi`.
fn called(
    object: &Object,
    program: &ProgramDef,
    functions: &mut Functions,
) -> Result<Vec<(Point, Layout)>, Failure> {
    let kind = program.section.split('/').next().unwrap_or_default();
    let (kind, ret) = match kind.trim_end_matches(".s") {
        kind @ ("uprobe" | "uprobe.multi") => (kind, false),
        kind @ ("uretprobe" | "uretprobe.multi") => (kind, true),
        _ => return Ok(Vec::new()),
    };
    // Without a place it is for whoever attaches it by hand.
    let place = program.section.split_once('/').and_then(|(_, place)| place.rsplit_once(':'));
    let Some((file, name)) = place else { return Ok(Vec::new()) };
    let failed = |why: String| Failure::unusable(format!("{}: {why}", program.section));
    let is_own = |index: usize| object.programs.iter().any(|of| of.function == index);
    let code = object.functions.iter().enumerate();
    let code = code.filter(|(index, _)| *index == program.function || !is_own(*index));
    let watch = children::watch(code.map(|(_, of)| &of.insns[..]), ret);
    let file = Path::new(file);
    let names: Vec<(String, u64)> = match kind.ends_with(".multi") {
        true => {
            let path = symbols::resolve(file).map_err(failed)?;
            let found = symbols::matching(&path, &Pattern::new(name)).map_err(failed)?;
            found.into_iter().map(|of| (String::new(), of.offset)).collect()
        }
        false => match name.split_once('+') {
            Some((name, offset)) => {
                let offset = number(offset).ok_or_else(|| failed("no such offset".into()))?;
                vec![(name.to_owned(), offset)]
            }
            None => match name.strip_prefix("0x").and(number(name)) {
                Some(offset) => vec![(String::new(), offset)],
                None => vec![(name.to_owned(), 0)],
            },
        },
    };
    let mut points = Vec::new();
    for (name, offset) in names {
        let number = functions.add(file, &name, offset, watch).map_err(failed)?;
        let point = if ret { Point::Return(number) } else { Point::Call(number) };
        points.push((point, Layout::Registers));
    }
    Ok(points)
}

fn number(text: &str) -> Option<u64> {
    match text.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16).ok(),
        None => text.parse().ok(),
    }
}
