//! What this kernel has of what tools stand on.

use std::collections::HashSet;
use std::path::Path;
use std::sync::OnceLock;

use skep::lang::trace::world::{Machine, World};

use super::table::{Hook, Tool, Way};

/// What a kernel has.
pub struct Hooks<'a> {
    machine: &'a Machine,
    place: Place,
    raw: OnceLock<HashSet<String>>,
}

/// Where events come from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Place {
    /// This machine's kernel.
    Linux,
    /// A command, seen without rights.
    Command,
    /// The embedded kernel by itself.
    Embedded,
}

impl Place {
    /// The place that a kernel with this name has, and a command, if there is one.
    pub fn of(kernel: &str, has_command: bool) -> Place {
        match (kernel, has_command) {
            ("linux", _) => Place::Linux,
            (_, true) => Place::Command,
            (_, false) => Place::Embedded,
        }
    }
}

/// Whether a command's events, seen without rights, are a hook's.
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
fn is_of_commands(hook: Hook) -> bool {
    match hook {
        Hook::Tracepoint(category, event) => crate::children::tracepoint(category, event).is_some(),
        Hook::Raw(event) => crate::children::raw_tracepoint(event).is_some(),
        Hook::Patterns => true,
        Hook::Fentry(_) | Hook::Kprobe(_) | Hook::Samples => false,
    }
}

#[cfg(not(all(target_os = "linux", target_arch = "x86_64")))]
fn is_of_commands(_: Hook) -> bool {
    false
}

impl Hooks<'_> {
    /// Of a kernel.
    pub fn new(machine: &Machine, place: Place) -> Hooks<'_> {
        Hooks { machine, place, raw: OnceLock::new() }
    }

    /// The first way all of whose hooks are there; else what the ways lack.
    pub fn choose(&self, tool: &'static Tool) -> Result<&'static Way, String> {
        let mut lacks: Vec<String> = Vec::new();
        for way in tool.ways {
            match way.hooks.iter().find_map(|hook| self.lacks(*hook)) {
                None => return Ok(way),
                Some(why) => {
                    if !lacks.contains(&why) {
                        lacks.push(why);
                    }
                }
            }
        }
        Err(lacks.join("; "))
    }

    /// Why a hook is not there.
    fn lacks(&self, hook: Hook) -> Option<String> {
        match (self.place, is_of_commands(hook)) {
            (Place::Linux, _) => {}
            (Place::Command, true) => return None,
            (Place::Embedded, true) => {
                return Some("without root a command's events alone are seen: -c COMMAND".into());
            }
            (_, false) => return Some("the embedded kernel has no such events".into()),
        }
        match hook {
            Hook::Tracepoint(category, event) => {
                let is_there = self.machine.tracepoint_fields(category, event).is_some();
                (!is_there).then(|| format!("no tracepoint {category}:{event}"))
            }
            Hook::Raw(event) => {
                let raw = self.raw.get_or_init(|| {
                    let all = self.machine.raw_tracepoints().into_iter();
                    all.map(|(_, name)| name.to_string()).collect()
                });
                (!raw.contains(event)).then(|| format!("no tracepoint {event}"))
            }
            Hook::Kprobe(_) => {
                let is_there = Path::new("/sys/bus/event_source/devices/kprobe").exists();
                (!is_there).then(|| "this kernel has no kprobes".into())
            }
            Hook::Fentry(function) => {
                let why = trampoline(function)?;
                Some(format!("fentry:{function}: {why}"))
            }
            Hook::Samples | Hook::Patterns => None,
        }
    }
}

/// Why a function has no trampoline for programs: what the kernel says to one that does nothing.
fn trampoline(function: &str) -> Option<String> {
    use skep::lang::trace::run::{Mode, Printer, Settings, run};
    let text = format!("fentry:{function} {{ @ = 1; }}");
    let kernel = crate::kernels::linux().ok()?;
    let machine = Machine::default();
    let outcome = skep::lang::trace::check(&text, "fentry", &machine, &Default::default());
    let Some(script) = outcome.script else { return Some("there is no such function".into()) };
    let settings =
        Settings { quiet: true, dry_run: true, mode: Mode::Trace, ..Settings::default() };
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let mut printer = Printer { out: &mut out, err: &mut err, json: false };
    let error = run(&script, &kernel, &settings, &mut printer, &|| None).err()?.to_string();
    Some(error.rsplit("the kernel refuses it: ").next().unwrap_or(&error).to_owned())
}

/// Hooks as people read them.
pub fn names(hooks: &[Hook]) -> String {
    let name = |hook: &Hook| match hook {
        Hook::Tracepoint(category, event) => format!("{category}:{event}"),
        Hook::Raw(event) => format!("rawtracepoint:{event}"),
        Hook::Fentry(function) => format!("fentry:{function}"),
        Hook::Kprobe(function) => format!("kprobe:{function}"),
        Hook::Samples => "profile".to_owned(),
        Hook::Patterns => "as asked for".to_owned(),
    };
    let first = hooks.first().map(name).unwrap_or_default();
    match hooks.len() {
        0 | 1 => first,
        many => format!("{first} (+{})", many - 1),
    }
}
