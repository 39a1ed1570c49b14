//! Perf events: every so many page faults, or a hundred times a second of a CPU's time.

use skep_sys::perf::software;
use skep_sys::{PerfKind, PerfSpec, Sampling};

use crate::error::LinkErrorKind as Kind;
use crate::load::Program;

use super::hook::Hook;
use super::link::Link;

/// An event that is counted on one CPU, of one process, or both.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PerfEvent {
    spec: PerfSpec,
    cookie: u64,
}

impl PerfEvent {
    /// The event that this describes.
    pub fn new(spec: PerfSpec) -> PerfEvent {
        PerfEvent { spec, cookie: 0 }
    }

    /// So often in a second of a CPU's time: samples for a profile.
    pub fn cpu_clock(frequency: u64) -> PerfEvent {
        PerfEvent::software(software::CPU_CLOCK).frequency(frequency)
    }

    /// Something that the kernel counts (`PERF_COUNT_SW_*`), each of it.
    pub fn software(config: u64) -> PerfEvent {
        PerfEvent::new(PerfSpec::new(PerfKind::Software(config))).period(1)
    }

    /// About so many events in a second.
    pub fn frequency(mut self, frequency: u64) -> PerfEvent {
        self.spec.sampling = Sampling::Frequency(frequency);
        self
    }

    /// An event for so many of what is counted.
    pub fn period(mut self, period: u64) -> PerfEvent {
        self.spec.sampling = Sampling::Period(period);
        self
    }

    /// What happens on this CPU.
    pub fn on_cpu(mut self, cpu: u32) -> PerfEvent {
        self.spec.cpu = Some(cpu);
        self
    }

    /// What this process does, or thread; 0 is the caller's.
    pub fn of_process(mut self, pid: u32) -> PerfEvent {
        self.spec.pid = Some(pid);
        self
    }

    /// What the processes do that it starts from now on, too.
    pub fn inherited(mut self) -> PerfEvent {
        self.spec.inherit = true;
        self
    }

    /// What happens in user space alone.
    pub fn user_only(mut self) -> PerfEvent {
        self.spec.exclude_kernel = true;
        self
    }

    /// What `bpf_get_attach_cookie` gives.
    pub fn cookie(mut self, cookie: u64) -> PerfEvent {
        self.cookie = cookie;
        self
    }

    /// The same on each CPU that is online.
    pub fn on_each_cpu(&self) -> Vec<PerfEvent> {
        online_cpus().into_iter().map(|cpu| self.clone().on_cpu(cpu)).collect()
    }
}

impl Hook for PerfEvent {
    fn place(&self) -> String {
        let what = match &self.spec.kind {
            PerfKind::Software(config) => format!("software event {config}"),
            PerfKind::Hardware(config) => format!("hardware event {config}"),
            other => format!("event {other:?}"),
        };
        let cpu = self.spec.cpu.map(|cpu| format!(" on CPU {cpu}")).unwrap_or_default();
        let pid = self.spec.pid.map(|pid| format!(" of process {pid}")).unwrap_or_default();
        format!("perf {what}{cpu}{pid}")
    }

    fn link(&self, program: &Program) -> Result<Link, Kind> {
        Link::on_event(program, &self.spec, self.cookie)
    }
}

/// The CPUs that are online (`0-3,8`); CPU 0 where the machine does not say.
fn online_cpus() -> Vec<u32> {
    let text = std::fs::read_to_string("/sys/devices/system/cpu/online").unwrap_or_default();
    let range = |part: &str| {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        Some(first.parse::<u32>().ok()?..=last.parse::<u32>().ok()?)
    };
    let cpus: Vec<u32> = text.trim().split(',').filter_map(range).flatten().collect();
    if cpus.is_empty() { vec![0] } else { cpus }
}
