//! Tracepoints of the kernel with their arguments as they are.

use skep_sys::{Command, RawTracepointOpen};

use crate::error::LinkErrorKind as Kind;
use crate::load::Program;

use super::hook::Hook;
use super::link::Link;

/// A raw tracepoint, by its name alone: `sched_switch`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RawTracepoint {
    name: String,
    cookie: u64,
}

impl RawTracepoint {
    /// The tracepoint of this name.
    pub fn new(name: impl Into<String>) -> RawTracepoint {
        RawTracepoint { name: name.into(), cookie: 0 }
    }

    /// What `bpf_get_attach_cookie` gives.
    pub fn cookie(mut self, cookie: u64) -> RawTracepoint {
        self.cookie = cookie;
        self
    }
}

impl Hook for RawTracepoint {
    fn place(&self) -> String {
        format!("raw tracepoint {}", self.name)
    }

    fn link(&self, program: &Program) -> Result<Link, Kind> {
        let name = [self.name.as_bytes(), &[0]].concat();
        let mut command = Command::RawTracepointOpen(RawTracepointOpen {
            name: Some(name.into()),
            prog_fd: program.fd().raw() as u32,
            cookie: self.cookie,
            ..RawTracepointOpen::default()
        });
        Link::create(program, &mut command)
    }
}
