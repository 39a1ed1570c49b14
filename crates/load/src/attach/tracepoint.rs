//! Tracepoints of the kernel, as tracefs lists them.

use skep_sys::host::tracefs::Tracefs;
use skep_sys::{PerfKind, PerfSpec};

use crate::error::LinkErrorKind as Kind;
use crate::load::Program;

use super::hook::Hook;
use super::link::Link;

/// A tracepoint: `sched/sched_switch`. Programs see it on every CPU.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Tracepoint {
    category: String,
    name: String,
    cookie: u64,
}

impl Tracepoint {
    /// The tracepoint of this category and name.
    pub fn new(category: impl Into<String>, name: impl Into<String>) -> Tracepoint {
        Tracepoint { category: category.into(), name: name.into(), cookie: 0 }
    }

    /// What `bpf_get_attach_cookie` gives.
    pub fn cookie(mut self, cookie: u64) -> Tracepoint {
        self.cookie = cookie;
        self
    }
}

impl Hook for Tracepoint {
    fn place(&self) -> String {
        format!("tracepoint {}/{}", self.category, self.name)
    }

    fn link(&self, program: &Program) -> Result<Link, Kind> {
        let number = Tracefs::open()
            .and_then(|tracefs| tracefs.tracepoint(&self.category, &self.name))
            .map_err(|error| Kind::Missing(error.to_string()))?;
        // One CPU stands for all: the program is the tracepoint's, not the event's.
        let event = PerfSpec { cpu: Some(0), ..PerfSpec::new(PerfKind::Tracepoint(number)) };
        Link::on_event(program, &event, self.cookie)
    }
}
