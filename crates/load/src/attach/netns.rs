//! A network namespace as a whole: who gets a connection (sk_lookup), and what packets are
//! taken for (flow_dissector).

use std::fs::File;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use skep_sys::{Command, LinkCreate};

use crate::error::LinkErrorKind as Kind;
use crate::load::Program;

use super::hook::Hook;
use super::link::Link;

/// A network namespace.
#[derive(Clone, Debug)]
pub struct NetNamespace {
    file: Arc<File>,
    path: PathBuf,
}

impl NetNamespace {
    /// That of the calling thread.
    ///
    /// # Errors
    /// `/proc` is not there.
    pub fn current() -> Result<NetNamespace, Kind> {
        NetNamespace::open("/proc/thread-self/ns/net")
    }

    /// That of a file: `/proc/PID/ns/net`, `/run/netns/NAME`.
    ///
    /// # Errors
    /// The file cannot be opened.
    pub fn open(path: impl AsRef<Path>) -> Result<NetNamespace, Kind> {
        let path = path.as_ref().to_owned();
        let file = File::open(&path).map_err(|error| {
            Kind::Missing(format!("the network namespace {}: {error}", path.display()))
        })?;
        Ok(NetNamespace { file: Arc::new(file), path })
    }
}

impl Hook for NetNamespace {
    fn place(&self) -> String {
        format!("network namespace {}", self.path.display())
    }

    fn link(&self, program: &Program) -> Result<Link, Kind> {
        let mut command = Command::LinkCreate(LinkCreate {
            prog_fd: program.fd().raw() as u32,
            target_fd: self.file.as_raw_fd() as u32,
            attach_type: program.def().attach_type.map_or(0, |of| of as u32),
            ..LinkCreate::default()
        });
        Link::create(program, &mut command)
    }
}
