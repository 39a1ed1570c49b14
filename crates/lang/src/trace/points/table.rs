//! Providers with their short names, events of `software` and `hardware`, units of time.

use crate::trace::kind::Space;

/// What an attach point begins with.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[allow(missing_docs, reason = "the names are those of the language")]
pub enum Provider {
    Begin,
    End,
    SelfProbe,
    Test,
    Bench,
    Kprobe,
    Kretprobe,
    Uprobe,
    Uretprobe,
    Usdt,
    Tracepoint,
    Profile,
    Interval,
    Software,
    Hardware,
    Watchpoint,
    Fentry,
    Fexit,
    Iter,
    RawTracepoint,
}

struct Row {
    provider: Provider,
    name: &'static str,
    short: &'static [&'static str],
    /// Listed among the kernel's, among programs'.
    listed: (bool, bool),
}

const fn row(
    provider: Provider,
    name: &'static str,
    short: &'static [&'static str],
    listed: (bool, bool),
) -> Row {
    Row { provider, name, short, listed }
}

const KERNEL: (bool, bool) = (true, false);
const USER: (bool, bool) = (false, true);
const NOT: (bool, bool) = (false, false);

const ROWS: [Row; 20] = [
    row(Provider::Kprobe, "kprobe", &["k"], KERNEL),
    row(Provider::Kretprobe, "kretprobe", &["kr"], NOT),
    row(Provider::Uprobe, "uprobe", &["u"], USER),
    row(Provider::Uretprobe, "uretprobe", &["ur"], NOT),
    row(Provider::Usdt, "usdt", &["U"], USER),
    row(Provider::Begin, "begin", &[], NOT),
    row(Provider::End, "end", &[], NOT),
    row(Provider::SelfProbe, "self", &[], NOT),
    row(Provider::Test, "test", &[], NOT),
    row(Provider::Bench, "bench", &[], NOT),
    row(Provider::Tracepoint, "tracepoint", &["t"], KERNEL),
    row(Provider::Profile, "profile", &["p"], NOT),
    row(Provider::Interval, "interval", &["i"], NOT),
    row(Provider::Software, "software", &["s"], KERNEL),
    row(Provider::Hardware, "hardware", &["h"], KERNEL),
    row(Provider::Watchpoint, "watchpoint", &["w"], NOT),
    row(Provider::Fentry, "fentry", &["f", "kfunc"], KERNEL),
    row(Provider::Fexit, "fexit", &["fr", "kretfunc"], NOT),
    row(Provider::Iter, "iter", &["it"], KERNEL),
    row(Provider::RawTracepoint, "rawtracepoint", &["rt"], KERNEL),
];

impl Provider {
    /// The provider that a word names, in any case but for short names.
    pub fn of(word: &str) -> Option<Provider> {
        let lower = word.to_ascii_lowercase();
        ROWS.iter()
            .find(|row| {
                row.name == lower || row.short.contains(&word) || row.short.contains(&&*lower)
            })
            .map(|row| row.provider)
    }

    /// Its word.
    pub fn name(self) -> &'static str {
        ROWS.iter().find(|row| row.provider == self).map_or("", |row| row.name)
    }

    /// What `probetype` gives.
    pub fn type_name(self) -> &'static str {
        match self {
            Provider::Begin | Provider::End | Provider::SelfProbe => "special",
            Provider::Bench => "benchmark",
            _ => self.name(),
        }
    }

    /// Those that a pattern stands for: the kernel's, or programs'.
    pub fn listed(pattern: &str, user: bool) -> Vec<Provider> {
        ROWS.iter()
            .filter(|row| if user { row.listed.1 } else { row.listed.0 })
            .filter(|row| crate::trace::world::matches(pattern, row.name))
            .map(|row| row.provider)
            .collect()
    }

    /// Whose memory pointers point into, unless they say so.
    pub fn space(self) -> Space {
        use Provider::{
            Fentry, Fexit, Iter, Kprobe, Kretprobe, RawTracepoint, Tracepoint, Uprobe, Uretprobe,
            Usdt,
        };
        match self {
            Kprobe | Kretprobe | Fentry | Fexit | Tracepoint | Iter | RawTracepoint => {
                Space::Kernel
            }
            Uprobe | Uretprobe | Usdt => Space::User,
            _ => Space::None,
        }
    }

    /// Begin, end and signals: no events of a kernel.
    pub fn is_special(self) -> bool {
        matches!(self, Provider::Begin | Provider::End | Provider::SelfProbe)
    }

    /// Whether a program has registers there: for `reg` and `usermode`.
    pub fn has_registers(self) -> bool {
        use Provider::{
            Hardware, Interval, Kprobe, Kretprobe, Profile, Software, Uprobe, Uretprobe, Usdt,
            Watchpoint,
        };
        matches!(
            self,
            Kprobe
                | Kretprobe
                | Uprobe
                | Uretprobe
                | Usdt
                | Profile
                | Interval
                | Software
                | Hardware
                | Watchpoint
        )
    }

    /// Whether programs there are of the kind "tracing", with the kernel's own types.
    pub fn is_tracing(self) -> bool {
        matches!(self, Provider::Fentry | Provider::Fexit | Provider::Iter)
    }

    /// What a program's context is there.
    pub fn context(self) -> Context {
        use Provider::{
            Begin, Bench, End, Fentry, Fexit, Hardware, Interval, Iter, Kprobe, Kretprobe, Profile,
            RawTracepoint, SelfProbe, Software, Test, Tracepoint, Uprobe, Uretprobe, Usdt,
            Watchpoint,
        };
        match self {
            Kprobe | Kretprobe | Uprobe | Uretprobe | Usdt => Context::Registers,
            Profile | Interval | Software | Hardware | Watchpoint => Context::Sample,
            Tracepoint => Context::Tracepoint,
            Fentry | Fexit => Context::Tracing,
            Iter => Context::Iterator,
            RawTracepoint | Begin | End | SelfProbe | Test | Bench => Context::Raw,
        }
    }
}

/// What a program's context is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Context {
    /// `struct pt_regs`
    Registers,
    /// `struct bpf_perf_event_data`
    Sample,
    /// A tracepoint's record.
    Tracepoint,
    /// Arguments of a kernel function.
    Tracing,
    /// `struct bpf_iter__KIND`
    Iterator,
    /// Raw arguments.
    Raw,
}

/// An event of `software` or `hardware`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Event {
    /// Its name.
    pub name: &'static str,
    /// Another name.
    pub alias: &'static str,
    /// Its number for `perf_event_open`.
    pub number: u64,
    /// How many events to a sample, unless the script says it.
    pub count: u64,
}

const fn event(name: &'static str, alias: &'static str, number: u64, count: u64) -> Event {
    Event { name, alias, number, count }
}

const SOFTWARE: [Event; 11] = [
    event("alignment-faults", "", 7, 1),
    event("bpf-output", "", 10, 1),
    event("context-switches", "cs", 3, 1000),
    event("cpu-clock", "cpu", 0, 1_000_000),
    event("cpu-migrations", "", 4, 1),
    event("dummy", "", 9, 1),
    event("emulation-faults", "", 8, 1),
    event("major-faults", "", 6, 1),
    event("minor-faults", "", 5, 100),
    event("page-faults", "faults", 2, 100),
    event("task-clock", "", 1, 1),
];

const HARDWARE: [Event; 10] = [
    event("backend-stalls", "", 8, 1_000_000),
    event("branch-instructions", "branches", 4, 100_000),
    event("branch-misses", "", 5, 100_000),
    event("bus-cycles", "", 6, 100_000),
    event("cache-misses", "", 3, 1_000_000),
    event("cache-references", "", 2, 1_000_000),
    event("cpu-cycles", "cycles", 0, 1_000_000),
    event("frontend-stalls", "", 7, 1_000_000),
    event("instructions", "", 1, 1_000_000),
    event("ref-cycles", "", 9, 1_000_000),
];

/// Events that the kernel counts.
pub fn software() -> &'static [Event] {
    &SOFTWARE
}

/// Events that the processor counts.
pub fn hardware() -> &'static [Event] {
    &HARDWARE
}

/// The event that a word names.
pub(super) fn named(events: &'static [Event], word: &str) -> Option<&'static Event> {
    events.iter().find(|event| event.name == word || (!word.is_empty() && event.alias == word))
}

/// Units of time.
pub(super) const UNITS: [&str; 4] = ["hz", "ms", "s", "us"];

/// Signals that `self:signal` takes.
pub(super) const SELF_SIGNALS: [&str; 1] = ["SIGUSR1"];
