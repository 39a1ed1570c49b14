//! What a command does, for scripts in the embedded kernel: system calls, forks, execs and ends
//! of threads, without rights.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use skep::Vm;
use skep::abi::ProgType;
use skep::lang::trace::checked::{Point as Probe, Script};
use skep::lang::trace::run::Source;
use skep::load::Program;
use skep::sys::host::tree::{Event, Tree};
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
    hooks: Vec<(Point, Layout, Hook)>,
    notes: Vec<String>,
    /// Where what programs see is written.
    pub recorder: Option<Arc<Mutex<Recorder>>>,
}

/// A program, and what its probe's events are called in a recording.
struct Hook {
    program: EventHook,
    name: Option<(String, ProgType)>,
}

/// Where the events of a probe come from, if a command does them.
pub fn place(probe: &Probe) -> Option<(Point, Layout)> {
    match probe {
        Probe::Tracepoint { category, event } => children::tracepoint(category, event),
        Probe::RawTracepoint { event, .. } => children::raw_tracepoint(event),
        _ => None,
    }
}

impl Command {
    /// Starts the command of a script: what its probes ask for is recorded from the first
    /// instruction on.
    ///
    /// # Errors
    /// It cannot be started or seen.
    pub fn start(vm: &Arc<Vm>, script: &Script, command: &str) -> Result<Command, Failure> {
        let probes = script.programs.iter().flat_map(|program| &program.points);
        let points = probes.filter_map(|probe| Some(place(probe)?.0));
        let tree = children::start(command, &children::options(points))?;
        Ok(Command {
            vm: vm.clone(),
            command: command.into(),
            process: tree.pid(),
            tree: Some(tree),
            calls: Calls::default(),
            hooks: Vec::new(),
            notes: Vec::new(),
            recorder: None,
        })
    }

    /// Runs the programs that these events are for; false where the script has ended.
    fn see(
        &mut self,
        events: &[Event],
        each: &mut dyn FnMut() -> Result<bool, String>,
    ) -> Result<bool, String> {
        for happening in events.iter().flat_map(|event| self.calls.events(event)) {
            let hooks = self.hooks.iter().filter(|(point, ..)| happening.point.is(*point));
            // Programs of one probe see one event.
            let mut written: Vec<&str> = Vec::new();
            for (_, layout, hook) in hooks {
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
        Ok(true)
    }
}

impl Source for Command {
    fn process(&self) -> u32 {
        self.process
    }

    fn attach(&mut self, program: &Program, probe: &Probe) -> Result<bool, String> {
        let Some((point, layout)) = place(probe) else { return Ok(false) };
        let program = EventHook::new(&self.vm, program.fd().raw()).map_err(|e| e.to_string())?;
        self.hooks.push((point, layout, Hook { program, name: record::name(probe) }));
        Ok(true)
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
        self.notes = children::notes(ended, counts);
        if goes_on {
            self.see(&events, each)?;
        }
        Ok(true)
    }

    fn notes(&mut self) -> Vec<String> {
        if let Some(tree) = self.tree.take() {
            let (_, _, counts) = tree.finish();
            self.notes = children::notes(None, counts);
        }
        std::mem::take(&mut self.notes)
    }
}
