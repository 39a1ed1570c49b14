//! What a command does, for scripts in the embedded kernel: system calls, functions, forks, execs
//! and ends of threads, without rights.

use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use skep::Vm;
use skep::abi::ProgType;
use skep::lang::trace::ast::Name;
use skep::lang::trace::checked::{Point as Probe, Script};
use skep::lang::trace::lower::{self, Machine};
use skep::lang::trace::run::{Mapping, Places, Source};
use skep::load::Program;
use skep::sys::host::tree::{Called, Event, Tree, Watch, What};
use skep::vm::hooks::EventHook;
use skep::vm::hooks::calls::{Calls, Layout, Point};

use super::record::{self, Recorder};
use crate::children;
use crate::failure::Failure;

/// A command and the programs that its events are for.
pub struct Command {
    vm: Arc<Vm>,
    command: String,
    process: u32,
    /// Until it has ended.
    tree: Option<Tree>,
    calls: Calls,
    hooks: HashMap<Point, Vec<(Layout, Hook)>>,
    functions: children::Functions,
    /// The numbers of the script's functions, by file, name and offset.
    numbers: HashMap<(Name, Name, u64), u32>,
    /// What processes have mapped, and of which of them that of a function is known.
    places: Arc<Mutex<Places>>,
    placed: HashSet<(u32, u64)>,
    notes: Vec<String>,
    /// Where what programs see is written.
    pub recorder: Option<Arc<Mutex<Recorder>>>,
}

/// A program, and what its probe's events are called in a recording.
struct Hook {
    program: EventHook,
    name: Option<(String, ProgType)>,
}

/// Where the events of a probe come from, if a command does them; functions have numbers only
/// once they are known.
pub fn place(probe: &Probe) -> Option<(Point, Layout)> {
    match probe {
        Probe::Tracepoint { category, event } => children::tracepoint(category, event),
        Probe::RawTracepoint { event, .. } => children::raw_tracepoint(event),
        Probe::Uprobe { ret: false, .. } => Some((Point::Call(0), Layout::Registers)),
        Probe::Uprobe { ret: true, .. } => Some((Point::Return(0), Layout::Registers)),
        _ => None,
    }
}

/// What each of a script's programs looks at.
fn watches(script: &Script) -> Vec<Watch> {
    let is_return = |index: usize| {
        let point = script.programs[index].points.first();
        matches!(point, Some(Probe::Uprobe { ret: true, .. }))
    };
    let plan = lower::lower(script, &Machine::default());
    let mut watches = Vec::new();
    for index in 0..script.programs.len() {
        let ret = is_return(index);
        let Ok(plan) = &plan else {
            watches.push(children::everything(ret));
            continue;
        };
        let object = &plan.object;
        let Some(program) = object.programs.get(index) else {
            watches.push(children::everything(ret));
            continue;
        };
        let is_own = |function: usize| object.programs.iter().any(|of| of.function == function);
        let shared = (0..object.functions.len()).filter(|&function| !is_own(function));
        let code = shared.chain([program.function]);
        let code = code.map(|function| &object.functions[function].insns[..]);
        watches.push(children::watch(code, ret));
    }
    watches
}

impl Command {
    /// Starts the command of a script: what its probes ask for is recorded from the first
    /// instruction on.
    ///
    /// # Errors
    /// It cannot be started or seen; there is no such function.
    pub fn start(vm: &Arc<Vm>, script: &Script, command: &str) -> Result<Command, Failure> {
        let probes = script.programs.iter().flat_map(|program| &program.points);
        let points = probes.clone().filter_map(|probe| Some(place(probe)?.0));
        let (mut functions, mut numbers) = (children::Functions::default(), HashMap::new());
        if probes.clone().any(|probe| matches!(probe, Probe::Uprobe { .. })) {
            for (program, watch) in script.programs.iter().zip(watches(script)) {
                if program.session {
                    let what = format!("{}: a session needs Linux", program.name);
                    return Err(Failure::unusable(what));
                }
                for probe in &program.points {
                    let Probe::Uprobe { path, function, offset, .. } = probe else { continue };
                    let number = functions
                        .add(Path::new(&**path), function, *offset, watch)
                        .map_err(Failure::unusable)?;
                    numbers.insert((path.clone(), function.clone(), *offset), number);
                }
            }
        }
        let tree = children::start(command, &children::options(points, &functions))?;
        Ok(Command {
            vm: vm.clone(),
            command: command.into(),
            process: tree.pid(),
            notes: children::refused(&tree, &functions),
            tree: Some(tree),
            calls: Calls::default(),
            hooks: HashMap::new(),
            functions,
            numbers,
            places: Arc::default(),
            placed: HashSet::new(),
            recorder: None,
        })
    }

    /// Runs the programs that these events are for; false where the script has ended.
    fn see(
        &mut self,
        events: &[Event],
        each: &mut dyn FnMut() -> Result<bool, String>,
    ) -> Result<bool, String> {
        for event in events {
            self.remember(event);
            for happening in self.calls.events(event) {
                let any = happening.point.any();
                let points = [Some(happening.point), any.filter(|any| *any != happening.point)];
                let hooks = points.into_iter().flatten().filter_map(|point| self.hooks.get(&point));
                // Programs of one probe see one event.
                let mut written: Vec<&str> = Vec::new();
                for (layout, hook) in hooks.flatten() {
                    let Some(event) = happening.event(*layout) else { continue };
                    if let (Some(recorder), Some((name, kind))) = (&self.recorder, &hook.name)
                        && !written.contains(&&**name)
                    {
                        let mut recorder = recorder.lock().unwrap_or_else(PoisonError::into_inner);
                        recorder.add(name, *kind, &event);
                        written.push(name);
                    }
                    hook.program.run(&event).map_err(|error| error.to_string())?;
                    if !each()? {
                        return Ok(false);
                    }
                }
            }
        }
        Ok(true)
    }

    /// Symbols are asked for later, when processes may be gone.
    fn remember(&mut self, event: &Event) {
        let places = || self.places.lock().unwrap_or_else(PoisonError::into_inner);
        match &event.what {
            What::Function(called) => {
                let Called { number, function, .. } = **called;
                let Some((file, offset)) = self.functions.place(number) else { return };
                let start = function.wrapping_sub(*offset);
                if !self.placed.insert((event.pid, start)) {
                    return;
                }
                let mut places = places();
                places.see(event.pid);
                let end = std::fs::metadata(file).map_or(0, |of| of.len()).saturating_add(start);
                places.add(event.pid, Mapping { start, end, offset: 0, file: file.clone() });
            }
            What::Exec { .. } => {
                places().forget(event.pid);
                self.placed.retain(|(pid, _)| *pid != event.pid);
            }
            _ => {}
        }
    }
}

impl Source for Command {
    fn process(&self) -> u32 {
        self.process
    }

    fn attach(&mut self, program: &Program, probe: &Probe) -> Result<bool, String> {
        let Some((mut point, layout)) = place(probe) else { return Ok(false) };
        if let Probe::Uprobe { path, function, offset, ret } = probe {
            let key = (path.clone(), function.clone(), *offset);
            let Some(&number) = self.numbers.get(&key) else { return Ok(false) };
            point = if *ret { Point::Return(number) } else { Point::Call(number) };
        }
        let program = EventHook::new(&self.vm, program.fd().raw()).map_err(|e| e.to_string())?;
        let hook = Hook { program, name: record::name(probe) };
        self.hooks.entry(point).or_default().push((layout, hook));
        Ok(true)
    }

    fn places(&self) -> Option<Arc<Mutex<Places>>> {
        Some(self.places.clone())
    }

    fn turn(
        &mut self,
        most: Duration,
        each: &mut dyn FnMut() -> Result<bool, String>,
    ) -> Result<bool, String> {
        let Some(tree) = &mut self.tree else { return Ok(true) };
        let events = tree.batch(most.min(children::TICK));
        let ended = tree
            .try_wait()
            .map_err(|error| format!("{:?} cannot be traced: {error}", self.command))?;
        let goes_on = self.see(&events, each)?;
        if ended.is_none() && goes_on {
            return Ok(false);
        }
        let Some(tree) = self.tree.take() else { return Ok(true) };
        let (_, events, counts) = tree.finish();
        self.notes.extend(children::notes(ended, counts));
        if goes_on {
            self.see(&events, each)?;
        }
        Ok(true)
    }

    fn notes(&mut self) -> Vec<String> {
        if let Some(tree) = self.tree.take() {
            let (_, _, counts) = tree.finish();
            self.notes.extend(children::notes(None, counts));
        }
        std::mem::take(&mut self.notes)
    }
}
