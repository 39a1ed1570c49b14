//! An instruction of the kernel, by a perf event.

use std::ffi::CString;

use skep_sys::{PerfKind, PerfSpec};

use crate::error::LinkErrorKind as Kind;
use crate::load::Program;

use super::hook::Hook;
use super::link::Link;

/// A probe of a function of the kernel, at its start or at its return.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Kprobe {
    function: String,
    offset: u64,
    is_return: bool,
    cookie: u64,
}

impl Kprobe {
    /// The function of this name.
    pub fn new(function: impl Into<String>) -> Kprobe {
        Kprobe { function: function.into(), offset: 0, is_return: false, cookie: 0 }
    }

    /// The function that a system call is, by the call's name, on this machine.
    pub fn system_call(name: &str) -> Kprobe {
        let prefix = match std::env::consts::ARCH {
            "x86_64" => "__x64_sys_",
            "aarch64" => "__arm64_sys_",
            "riscv64" => "__riscv_sys_",
            "s390x" => "__s390x_sys_",
            _ => "sys_",
        };
        Kprobe::new(format!("{prefix}{name}"))
    }

    /// So many bytes behind its start.
    pub fn offset(mut self, offset: u64) -> Kprobe {
        self.offset = offset;
        self
    }

    /// At its return.
    pub fn at_return(mut self) -> Kprobe {
        self.is_return = true;
        self
    }

    /// What `bpf_get_attach_cookie` gives.
    pub fn cookie(mut self, cookie: u64) -> Kprobe {
        self.cookie = cookie;
        self
    }
}

impl Hook for Kprobe {
    fn place(&self) -> String {
        let what = if self.is_return { "kretprobe" } else { "kprobe" };
        match self.offset {
            0 => format!("{what} {}", self.function),
            offset => format!("{what} {}+{offset:#x}", self.function),
        }
    }

    fn link(&self, program: &Program) -> Result<Link, Kind> {
        let name = CString::new(self.function.as_bytes())
            .map_err(|_| Kind::Missing("the name has a zero in it".into()))?;
        let (function, offset, is_return) = (Some(name), self.offset, self.is_return);
        let kind = PerfKind::Kprobe { function, offset, is_return };
        // One CPU stands for all: the program is the probe's, not the event's.
        let event = PerfSpec { cpu: Some(0), ..PerfSpec::new(kind) };
        Link::on_event(program, &event, self.cookie)
    }
}
