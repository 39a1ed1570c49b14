//! `skep run` on contexts: one of a file (`--context`), many (`--events`), or once on a context
//! of zeros where no source was given.

use std::collections::BTreeMap;
use std::io::{BufReader, Write};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::{Value as Json, json};
use skep::abi::ProgType;
use skep::load::event::{self, EventReader, EventRecord};
use skep::load::{Object, Options, PerfBuffer, PerfRecord, RingBuffer, Skep, relocate};
use skep::sys::Kernel;
use skep::vm::hooks::{Event, EventError, EventHook, EventOutcome};
use skep::vm::{Captured, Task, World};

use super::records::{Printed, Ring};
use super::{
    Args, Where, contents, embedded_kernel, engine, fill, json as shown_json, report, side,
};
use crate::failure::{Failure, Outcome, Status};
use crate::files::{self, in_file};
use crate::signal::{Input, Signal, Stop};
use crate::terminal::{Guard, Paint, clean};
use crate::{embedded, hex};

/// Pages of a perf event's buffer.
const PERF_PAGES: u32 = 64;
/// The most samples that are kept.
const KEPT: usize = 65_536;

/// Where contexts come from.
pub enum Source<'a> {
    /// One, of a JSON or TOML file.
    Context(&'a Path),
    /// One a line.
    Events(&'a Path),
    /// Zeros, once.
    Zero,
}

impl Source<'_> {
    fn shown(&self) -> String {
        match self {
            Source::Context(path) | Source::Events(path) => files::shown(path),
            Source::Zero => "a context of zeros".into(),
        }
    }
}

/// The program of this name, or the only one.
///
/// # Errors
/// There is none, or several.
pub fn choose(object: &Object, name: Option<&str>) -> Result<usize, Failure> {
    let names = || {
        let shown = object.programs.iter().map(|program| {
            format!("{} ({})", program.name, program.prog_type.map_or("unknown", ProgType::name))
        });
        shown.collect::<Vec<_>>().join(", ")
    };
    let file = &object.file;
    match (name, object.programs.len()) {
        (Some(name), _) => {
            let found = object.programs.iter().position(|program| program.name == name);
            found.ok_or_else(|| {
                let failure = Failure::unusable(format!("{file}: no program {name:?}"));
                failure.hint(format!("it has {}", names()))
            })
        }
        (None, 1) => Ok(0),
        (None, 0) => Err(Failure::unusable(format!("{file}: has no program"))),
        (None, count) => {
            let failure = Failure::unusable(format!("{file}: has {count} programs"));
            Err(failure.hint(format!("choose with --program: {}", names())))
        }
    }
}

/// What came of all events.
pub(super) struct Session {
    skep: Skep,
    name: String,
    prog_type: ProgType,
    engine: &'static str,
    printed: Arc<Mutex<Printed>>,
    rings: Vec<Ring>,
    perf: Vec<Samples>,
    pub(super) notes: Vec<String>,
    events: u64,
    /// Events by what the program returned.
    returned: BTreeMap<u32, u64>,
    /// The last outcome.
    last: Option<EventOutcome>,
    /// The signal that ended it.
    pub(super) stopped: Option<&'static str>,
}

/// A perf event array and what came out of it.
struct Samples {
    name: String,
    reader: PerfBuffer,
    kept: Vec<Vec<u8>>,
    count: u64,
    lost: u64,
}

impl Samples {
    fn drain(&mut self) {
        while let Some(record) = self.reader.next_record() {
            match record {
                PerfRecord::Lost { count, .. } => self.lost += count,
                PerfRecord::Sample { data, .. } => {
                    self.count += 1;
                    if self.kept.len() < KEPT {
                        self.kept.push(data);
                    }
                }
            }
        }
    }
}

/// Runs it.
///
/// # Errors
/// What does not load, a file without events, a program that trapped.
pub fn run(
    args: &Args,
    object: &Object,
    program: usize,
    fills: &[fill::Fill],
    source: &Source<'_>,
    out: &mut dyn Write,
) -> Outcome {
    if args.kernel != Where::Embedded {
        let failure = Failure::unusable("contexts are for the embedded kernel");
        return Err(failure.hint("leave out --kernel; captures run in both (--pcap FILE)"));
    }
    let (mut session, mut hooks) = load(args, object, &[program])?;
    let hook = hooks.remove(0);
    fill::maps(&session.skep, fills)?;
    let mut stop = Stop::default();
    match source {
        Source::Zero => session.one(&hook, &EventRecord::default(), None)?,
        Source::Context(path) => {
            let record = read_context(path, session.prog_type)?;
            session.one(&hook, &record, None)?;
        }
        Source::Events(path) => {
            stop = Stop::on_signals();
            let input = Input::open(path, &stop);
            let input = input.map_err(|error| in_file(path, format!("cannot be read: {error}")))?;
            let mut reader = EventReader::new(BufReader::new(input), session.prog_type);
            while stop.signal().is_none() {
                let record = match reader.next_event() {
                    Ok(Some(record)) => record,
                    Ok(None) => break,
                    // Waiting for more has ended.
                    Err(_) if stop.signal().is_some() => break,
                    Err(error) => return Err(in_file(path, error)),
                };
                let line = reader.line();
                session.one(&hook, &record, Some(line))?;
            }
        }
    }
    let stopped = stop.signal();
    session.stopped = stopped.map(Signal::name);
    session.notes.extend(
        stopped.map(|signal| format!("stopped by {} before the end of the events", signal.name())),
    );
    session.ran_by(&hook);
    match args.json {
        true => session.json(&object.file, &source.shown(), args.show, out)?,
        false => session.text(&source.shown(), args.show, out)?,
    }
    Ok(stopped.map_or(Status::Done, Status::Stopped))
}

fn read_context(path: &Path, kind: ProgType) -> Result<EventRecord, Failure> {
    let text = files::read_text(path)?;
    let is_toml = path.extension().is_some_and(|extension| extension == "toml");
    let value: Json = if is_toml {
        toml::from_str(&text).map_err(|error| in_file(path, error))?
    } else {
        serde_json::from_str(&text).map_err(|error| in_file(path, error))?
    };
    event::parse(&value, kind, 1).map_err(|error| {
        // The whole file is one record.
        in_file(path, format!("{}: {}", error.field, error.reason))
    })
}

/// Loads programs into the embedded kernel. The first gives the session its name.
///
/// # Errors
/// What does not load.
pub(super) fn load(
    args: &Args,
    object: &Object,
    programs: &[usize],
) -> Result<(Session, Vec<EventHook>), Failure> {
    let (vm, target) = embedded_kernel(args)?;
    let kernel: Arc<dyn Kernel> = vm.clone();
    let linked = relocate(object, &target)?;
    let mut notes = embedded::notes(&linked);
    let options = Options { pin_dir: args.pin.clone(), ..Options::default() };
    let (skep, left_out) = side::load_what_is_used(&kernel, &linked, &target, &options)?;
    notes.extend(left_out);
    let hook = |&program: &usize| {
        let name = &object.programs[program].name;
        let loaded = skep.program(name);
        let loaded =
            loaded.ok_or_else(|| Failure::unusable(format!("program {name:?} was not loaded")))?;
        EventHook::new(&vm, loaded.fd().raw()).map_err(|error| {
            let failure = Failure::unusable(format!("program {name:?}: {error}"));
            match error {
                EventError::Missing(_) => failure.hint(side::LACKS),
                _ => failure,
            }
        })
    };
    let hooks = programs.iter().map(hook).collect::<Result<Vec<_>, _>>()?;
    let first = programs.first().map(|&program| &object.programs[program]);
    let printed = Arc::new(Mutex::new(Printed::default()));
    let lines = printed.clone();
    vm.environment().set_printer(move |text| {
        lines.lock().unwrap_or_else(PoisonError::into_inner).add(text);
    });
    // What is neither says so.
    let rings = skep
        .maps()
        .filter_map(|map| RingBuffer::new(map).ok().map(|reader| Ring::new(map.clone(), reader)));
    let rings = rings.collect();
    let perf = skep.maps().filter_map(|map| {
        let reader = PerfBuffer::new(map, PERF_PAGES).ok()?;
        Some(Samples { name: map.name().into(), reader, kept: Vec::new(), count: 0, lost: 0 })
    });
    let perf = perf.collect();
    let session = Session {
        prog_type: first.and_then(|def| def.prog_type).unwrap_or(ProgType::Unspec),
        name: first.map_or_else(String::new, |def| def.name.clone()),
        engine: "interpreter",
        printed,
        rings,
        perf,
        notes,
        events: 0,
        returned: BTreeMap::new(),
        last: None,
        stopped: None,
        skep,
    };
    Ok((session, hooks))
}

/// An event as the hook takes it.
pub fn event_of(record: &EventRecord) -> Event {
    let task = record.task.as_ref().map(|task| Task {
        pid: task.pid,
        tgid: task.tgid,
        uid: task.uid,
        gid: task.gid,
        comm: Task::name(task.comm.as_bytes()),
        cgroups: task.cgroups.clone(),
        parent: task
            .parent
            .as_ref()
            .map_or((0, [0; 16]), |(pid, comm)| (*pid, Task::name(comm.as_bytes()))),
    });
    let memory = record.memory.iter().cloned();
    let [kernel_stack, user_stack] = record.stacks.clone();
    let world = World {
        task,
        memory: memory.map(|(address, bytes)| Captured { address, bytes }).collect(),
        kernel_stack,
        user_stack,
        ..World::default()
    };
    Event {
        context: record.context.clone(),
        data: record.data.clone(),
        socket: record.socket.clone(),
        time: record.time,
        cpu: record.cpu,
        world: Some(world),
        function: record.function,
        cookie: record.cookie,
    }
}

impl Session {
    /// One event, of this line of a file.
    fn one(
        &mut self,
        hook: &EventHook,
        record: &EventRecord,
        line: Option<usize>,
    ) -> Result<(), Failure> {
        self.event(hook, &event_of(record)).map_err(|failure| match line {
            Some(line) => failure.context(&format!("line {line}")),
            None => failure,
        })
    }

    /// One event, whatever it is of.
    pub(super) fn event(&mut self, hook: &EventHook, event: &Event) -> Result<(), Failure> {
        let outcome = hook.run(event).map_err(|error| self.explain(&error))?;
        self.events += 1;
        *self.returned.entry(outcome.retval).or_default() += 1;
        self.last = Some(outcome);
        self.rings.iter_mut().for_each(|ring| ring.drain(false));
        self.perf.iter_mut().for_each(Samples::drain);
        Ok(())
    }

    /// What ran a program.
    pub(super) fn ran_by(&mut self, hook: &EventHook) {
        self.engine = engine::name(hook.program());
        let error = hook.program().compile_error();
        self.notes.extend(error.map(|error| format!("interpreted: {error}")));
    }

    /// What else runs beside the first program.
    pub(super) fn is_called(&mut self, name: String) {
        self.name = name;
    }

    pub(super) fn skep(&self) -> &Skep {
        &self.skep
    }

    fn explain(&self, error: &EventError) -> Failure {
        let program = self.skep.program(&self.name);
        match (error, program) {
            (EventError::Trapped(trap), Some(program)) => {
                side::trapped(program.linked(), &self.skep, trap)
            }
            (EventError::OutOfBudget, _) => Failure::refused(error).hint("--budget N allows more"),
            (EventError::Context(_), _) => {
                let failure = Failure::unusable(error);
                failure.hint(format!("programs of type {} run as docs/run.md says", self.prog_type))
            }
            _ => Failure::unusable(error),
        }
    }

    pub(super) fn text(
        &self,
        source: &str,
        show: usize,
        out: &mut dyn Write,
    ) -> std::io::Result<()> {
        let paint = Paint::stdout();
        let title = format!("{} ({})", self.name, self.prog_type);
        writeln!(
            out,
            "{} in the embedded kernel ({}), on {}\n",
            paint.bold(&clean(&title)),
            self.engine,
            clean(source)
        )?;
        for (retval, count) in &self.returned {
            let events = if *count == 1 { "event" } else { "events" };
            writeln!(out, "returned {} ({retval:#x}): {count} {events}", *retval as i32)?;
        }
        if let Some(last) = self.last.as_ref().filter(|last| last.set_retval != 0) {
            writeln!(out, "the last one's call returns {}", last.set_retval)?;
        }
        writeln!(out)?;
        let printed = self.printed.lock().unwrap_or_else(PoisonError::into_inner);
        report::listed("bpf_printk", "line", printed.count, printed.lines.iter(), show, out)?;
        for ring in &self.rings {
            let records = ring.records.iter().map(|record| ring.show(record).to_string());
            report::listed(ring.name(), "record", ring.count, records, show, out)?;
        }
        for samples in &self.perf {
            let shown = samples.kept.iter().map(|sample| hex::plain(sample));
            report::listed(&samples.name, "sample", samples.count, shown, show, out)?;
            if samples.lost > 0 {
                writeln!(out, "  {} samples found no room\n", samples.lost)?;
            }
        }
        for map in
            self.skep.maps().filter(|map| !contents::is_constant(map) && contents::is_listed(map))
        {
            report::contents_of(map, None, show, out)?;
        }
        for note in &self.notes {
            writeln!(out, "{} {}", paint.yellow("note:"), clean(note))?;
        }
        Ok(())
    }

    pub(super) fn json(
        &self,
        object: &str,
        source: &str,
        show: usize,
        out: &mut dyn Write,
    ) -> std::io::Result<()> {
        let returned: Vec<Json> = self
            .returned
            .iter()
            .map(|(value, events)| json!({"value": value, "events": events}))
            .collect();
        let printed = self.printed.lock().unwrap_or_else(PoisonError::into_inner);
        let rings: Vec<Json> = self
            .rings
            .iter()
            .map(|ring| {
                let records = ring.records.iter().map(|record| shown_json::shown(&ring.show(record)));
                json!({"map": ring.name(), "count": ring.count, "records": records.collect::<Vec<_>>()})
            })
            .collect();
        let samples: Vec<Json> = self
            .perf
            .iter()
            .map(|of| {
                let samples: Vec<String> =
                    of.kept.iter().map(|sample| hex::plain(sample)).collect();
                json!({"map": of.name, "count": of.count, "lost": of.lost, "samples": samples})
            })
            .collect();
        let last = self.last.as_ref().map(|last| {
            json!({
                "context": hex::plain(&last.context),
                "data": hex::plain(&last.data),
                "set_retval": last.set_retval,
            })
        });
        let mut out = Guard::json(out);
        let out = &mut out as &mut dyn Write;
        writeln!(out, "{{")?;
        for (name, value) in [
            ("object", json!(object)),
            ("source", json!(source)),
            ("program", json!({"name": self.name, "type": self.prog_type.name()})),
            ("kernel", json!("embedded")),
            ("engine", json!(self.engine)),
            ("events", json!(self.events)),
            ("returned", json!(returned)),
            ("last", json!(last)),
            ("printed", json!({"count": printed.count, "lines": printed.lines})),
            ("ring_buffers", json!(rings)),
            ("perf_buffers", json!(samples)),
            ("notes", json!(self.notes)),
        ] {
            shown_json::member(out, "  ", name, &value)?;
        }
        if let Some(signal) = self.stopped {
            shown_json::member(out, "  ", "stopped", &signal.into())?;
        }
        write!(out, "  \"maps\": [")?;
        for (index, map) in self.skep.maps().filter(|map| contents::is_listed(map)).enumerate() {
            write!(out, "{}", if index > 0 { "," } else { "" })?;
            shown_json::map(map, show, out)?;
        }
        writeln!(out, "]\n}}")?;
        out.flush()
    }
}
