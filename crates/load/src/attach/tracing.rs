//! What a program names by BTF when it is loaded: tracepoints with typed arguments (tp_btf),
//! functions (fentry, fexit, fmod_ret), and security hooks (lsm).

use skep_abi::Errno;
use skep_sys::{Command, LinkCreate, RawTracepointOpen};

use crate::error::LinkErrorKind as Kind;
use crate::load::Program;

use super::hook::Hook;
use super::link::Link;

/// Where the program's own section says: it was loaded for that, and for nothing else.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Tracing {
    cookie: u64,
}

impl Tracing {
    /// Where the program was loaded for.
    pub fn new() -> Tracing {
        Tracing::default()
    }

    /// What `bpf_get_attach_cookie` gives.
    pub fn cookie(mut self, cookie: u64) -> Tracing {
        self.cookie = cookie;
        self
    }
}

impl Hook for Tracing {
    fn place(&self) -> String {
        "the function or tracepoint that it was loaded for".into()
    }

    fn link(&self, program: &Program) -> Result<Link, Kind> {
        let prog_fd = program.fd().raw() as u32;
        let mut command = Command::LinkCreate(LinkCreate {
            prog_fd,
            attach_type: program.def().attach_type.map_or(0, |of| of as u32),
            cookie: self.cookie,
            ..LinkCreate::default()
        });
        match Link::create(program, &mut command) {
            // Before 5.19 there was the older command alone, which has no cookies.
            Err(Kind::Kernel { errno: Errno::EINVAL, .. }) if self.cookie == 0 => {
                let open = RawTracepointOpen { prog_fd, ..RawTracepointOpen::default() };
                Link::create(program, &mut Command::RawTracepointOpen(open))
            }
            other => other,
        }
    }
}
