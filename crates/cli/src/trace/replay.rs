//! `--replay`: events of a file, for the programs of a script in the embedded kernel.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use skep::Vm;
use skep::lang::trace::checked::Point as Probe;
use skep::lang::trace::run::Source;
use skep::load::Program;
use skep::load::event::{EventReader, EventRecord};
use skep::vm::hooks::EventHook;

use super::record;
use crate::failure::Failure;
use crate::files::in_file;
use crate::run::events::event_of;

/// Events between two looks at whether to stop.
const AT_ONCE: usize = 256;

/// A file of events and the programs that they are for.
pub struct Replay {
    vm: Arc<Vm>,
    path: PathBuf,
    reader: EventReader<BufReader<File>>,
    /// The first event, which says the process.
    first: Option<EventRecord>,
    hooks: HashMap<String, Vec<EventHook>>,
    seen: HashSet<String>,
}

impl Replay {
    /// Opens a file.
    ///
    /// # Errors
    /// It cannot be read; its first line is no event.
    pub fn open(vm: &Arc<Vm>, path: &Path) -> Result<Replay, Failure> {
        let file = File::open(path).map_err(|error| in_file(path, error))?;
        let mut reader = EventReader::of_all_types(BufReader::new(file));
        let first = reader.next_event().map_err(|error| in_file(path, error))?;
        Ok(Replay {
            vm: vm.clone(),
            path: path.to_owned(),
            reader,
            first,
            hooks: HashMap::new(),
            seen: HashSet::new(),
        })
    }

    fn next(&mut self) -> Result<Option<EventRecord>, String> {
        match self.first.take() {
            Some(first) => Ok(Some(first)),
            None => self
                .reader
                .next_event()
                .map_err(|error| format!("{}: {error}", self.path.display())),
        }
    }
}

impl Source for Replay {
    fn process(&self) -> u32 {
        let task = self.first.as_ref().and_then(|event| event.task.as_ref());
        task.map_or(0, |task| task.tgid)
    }

    fn attach(&mut self, program: &Program, probe: &Probe) -> Result<bool, String> {
        let Some((name, _)) = record::name(probe) else { return Ok(false) };
        let hook = EventHook::new(&self.vm, program.fd().raw()).map_err(|e| e.to_string())?;
        self.hooks.entry(name).or_default().push(hook);
        Ok(true)
    }

    fn turn(
        &mut self,
        _most: Duration,
        each: &mut dyn FnMut() -> Result<bool, String>,
    ) -> Result<bool, String> {
        for _ in 0..AT_ONCE {
            let Some(record) = self.next()? else { return Ok(true) };
            let Some(hooks) = self.hooks.get(&record.attach) else { continue };
            if !self.seen.contains(&record.attach) {
                self.seen.insert(record.attach.clone());
            }
            let event = event_of(&record);
            for hook in hooks {
                hook.run(&event).map_err(|error| {
                    format!("{}: line {}: {error}", self.path.display(), self.reader.line())
                })?;
                if !each()? {
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }

    fn notes(&mut self) -> Vec<String> {
        let missing = self.hooks.keys().filter(|name| !self.seen.contains(*name));
        let mut notes: Vec<String> = missing
            .map(|name| format!("{}: has no event of {name}", self.path.display()))
            .collect();
        notes.sort();
        notes
    }
}
