//! Whether attach points can be: events, units, modes, files.

use super::table::{SELF_SIGNALS, UNITS, named};
use super::{Attach, Provider, hardware, software};
use crate::trace::config::MissingProbes;
use crate::trace::diagnostic::Diagnostics;
use crate::trace::place::Place;
use crate::trace::unit::Unit;
use crate::trace::world::{World, is_pattern};

/// Accesses that this architecture's processors can watch.
#[cfg(target_arch = "x86_64")]
const WATCHED: &[&str] = &["rw", "w", "x"];
#[cfg(not(target_arch = "x86_64"))]
const WATCHED: &[&str] = &["r", "w", "rw", "x"];

/// Checks all attach points.
pub fn check(unit: &mut Unit<'_>) {
    let mut seen: Vec<(Provider, String, Place)> = Vec::new();
    for probe in &mut unit.probes {
        for point in &mut probe.points {
            let mut checker = Checker {
                world: unit.world,
                diagnostics: &mut unit.diagnostics,
                allow_unsafe: unit.options.allow_unsafe,
                has_pid: unit.options.pid.is_some(),
                missing: unit.config.missing_probes,
            };
            checker.point(point, &mut seen);
        }
    }
}

struct Checker<'a> {
    world: &'a dyn World,
    diagnostics: &'a mut Diagnostics,
    allow_unsafe: bool,
    has_pid: bool,
    missing: MissingProbes,
}

impl Checker<'_> {
    fn point(&mut self, point: &mut Attach, seen: &mut Vec<(Provider, String, Place)>) {
        let place = point.place;
        let mut error = |text: String| {
            self.diagnostics.error(place, text);
        };
        match point.provider {
            Provider::Kprobe | Provider::Kretprobe => self.kprobe(point),
            Provider::Uprobe | Provider::Uretprobe => self.uprobe(point),
            Provider::Usdt => self.usdt(point),
            Provider::Tracepoint => {
                if point.target.is_empty() || point.function.is_empty() {
                    error("tracepoint probe must have a target".to_owned());
                }
            }
            Provider::RawTracepoint => {
                if point.function.is_empty() {
                    error("rawtracepoint should be attached to a function".to_owned());
                }
                if !self.world.has_types() {
                    error(
                        "rawtracepoints require kernel BTF. Try using a 'tracepoint' instead."
                            .to_owned(),
                    );
                }
            }
            Provider::Profile | Provider::Interval => {
                let name = point.provider.name();
                if point.target.is_empty() {
                    error(format!("{name} probe must have unit of time"));
                    return;
                }
                if !UNITS.contains(&&*point.target) {
                    error(format!("{} is not an accepted unit of time", point.target));
                }
                if point.frequency == 0 {
                    error(format!("{name} frequency should be a positive integer"));
                }
            }
            Provider::Software | Provider::Hardware => self.counter(point),
            Provider::Watchpoint => self.watchpoint(point),
            Provider::SelfProbe => {
                if point.target != "signal" {
                    error(format!("{} is not a supported trigger", point.target));
                } else if !SELF_SIGNALS.contains(&&*point.function) {
                    error(format!("{} is not a supported signal", point.function));
                }
            }
            Provider::Test | Provider::Bench => self.named_probe(point, seen),
            Provider::Fentry | Provider::Fexit => {
                if point.function.is_empty() {
                    error("fentry/fexit should specify a function".to_owned());
                }
            }
            Provider::Iter => {
                let known = self.world.iterators();
                let known = known.iter().any(|one| **one == *point.function);
                if self.world.has_types() && !known {
                    error(format!(
                        "iter {} not available for your kernel version.",
                        point.function
                    ));
                }
                if point.function.is_empty() {
                    error("iter should specify a iterator's name".to_owned());
                }
            }
            Provider::Begin | Provider::End => {}
        }
    }

    fn error(&mut self, point: &Attach, text: impl Into<String>) {
        self.diagnostics.error(point.place, text);
    }

    fn kprobe(&mut self, point: &Attach) {
        if point.function.is_empty() && point.address == 0 {
            self.error(point, "kprobes should be attached to a function or an address");
        }
        let function = &point.function;
        if self.missing == MissingProbes::Ignore || function.is_empty() || is_pattern(function) {
            return;
        }
        let known = self.world.functions();
        if !known.iter().any(|(_, name)| **name == **function) {
            let text = format!(
                "{function} is not traceable (either non-existing, inlined, or marked as \
                 \"notrace\"); attaching to it will likely fail"
            );
            self.diagnostics.warning(point.place, text);
        }
    }

    fn uprobe(&mut self, point: &mut Attach) {
        let name = point.provider.name();
        if point.target.is_empty() {
            self.error(point, format!("{name} should have a target"));
        }
        let nowhere = point.function.is_empty() && point.address == 0 && point.line.is_none();
        if nowhere && !self.allow_unsafe {
            let how = if self.world.has_debug_info(&point.target) {
                ", address, or source file and line (using DWARF)"
            } else {
                " and/or address"
            };
            self.error(point, format!("{name} should be attached to a function{how}"));
        }
        if !point.language.is_empty() && point.language != "cpp" {
            let text = format!("unsupported language type: {}", point.language);
            self.error(point, text);
        }
        if point.provider == Provider::Uretprobe && point.offset != 0 {
            self.error(point, "uretprobes can not be attached to a function offset");
        }
        self.file(point, "uprobe");
    }

    /// Puts a found file in the place of its name.
    fn file(&mut self, point: &mut Attach, what: &str) {
        let files = self.world.binaries(&point.target);
        let Some(first) = files.first() else {
            let text = format!(
                "{what} target file '{}' does not exist or is not executable",
                point.target
            );
            self.error(point, text);
            return;
        };
        if point.target.contains('*') {
            return;
        }
        if files.len() > 1 {
            let text = format!(
                "attaching to {what} target file '{first}' but matched {} binaries",
                files.len()
            );
            self.diagnostics.warning(point.place, text);
        }
        point.target = (**first).to_owned();
    }

    fn usdt(&mut self, point: &mut Attach) {
        if point.function.is_empty() {
            self.error(point, "usdt probe must have a target function or wildcard");
        }
        if point.target.is_empty() {
            if !self.has_pid {
                self.error(
                    point,
                    "usdt probe must specify at least path or pid to probe. To target all \
                     paths/pids set the path to '*'.",
                );
            }
            return;
        }
        if !(self.has_pid && is_pattern(&point.target)) && point.target != "*" {
            self.file(point, "usdt");
        }
    }

    fn counter(&mut self, point: &Attach) {
        let name = point.provider.name();
        let events = match point.provider {
            Provider::Software => software(),
            _ => hardware(),
        };
        if point.target.is_empty() {
            self.error(point, format!("{name} probe must have a {name} event name"));
        } else if is_pattern(&point.target) {
            let text = format!("wildcards are not allowed for {name} probe type");
            self.error(point, text);
        } else if !point.lenient && named(events, &point.target).is_none() {
            let text = format!("{} is not a {name} probe", point.target);
            self.error(point, text);
        }
    }

    fn watchpoint(&mut self, point: &mut Attach) {
        const MODES: &str = "watchpoint mode must be combination of (r,w,x)";
        if point.address == 0 {
            self.error(point, "watchpoint must be attached to a non-zero address");
        }
        if !matches!(point.length, 1 | 2 | 4 | 8) {
            self.error(point, "watchpoint length must be one of (1,2,4,8)");
        }
        if point.mode.is_empty() {
            self.error(point, MODES);
        }
        let mut letters: Vec<char> = point.mode.chars().collect();
        letters.sort_unstable();
        for _ in letters.iter().filter(|letter| !"rwx".contains(**letter)) {
            self.error(point, MODES);
        }
        for _ in letters.windows(2).filter(|pair| pair[0] == pair[1]) {
            self.error(point, "watchpoint modes may not be duplicated");
        }
        point.mode = letters.into_iter().collect();
        if !WATCHED.contains(&&*point.mode) {
            let text = format!("invalid watchpoint mode: {}", point.mode);
            let hint = format!("supported modes: {}", WATCHED.join(","));
            self.diagnostics.error(point.place, text).hint(hint);
        }
    }

    fn named_probe(&mut self, point: &Attach, seen: &mut Vec<(Provider, String, Place)>) {
        let word = point.provider.name();
        if point.target.is_empty() {
            self.error(point, format!("{word} probes must have a name"));
        }
        let same = seen
            .iter()
            .find(|(provider, name, _)| *provider == point.provider && *name == point.target);
        match same {
            Some((.., first)) => {
                let text = format!(
                    "\"{}\" was used as the name for more than one {} probe",
                    point.target,
                    word.to_ascii_uppercase()
                );
                let first = *first;
                self.diagnostics
                    .error(point.place, text)
                    .context(first, "this is the other instance");
            }
            None => seen.push((point.provider, point.target.clone(), point.place)),
        }
    }
}
