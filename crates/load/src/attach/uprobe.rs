//! An instruction of a file: whoever runs it runs the program.

use std::ffi::CString;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use skep_sys::{PerfKind, PerfSpec};

use crate::error::LinkErrorKind as Kind;
use crate::load::Program;

use super::hook::Hook;
use super::link::Link;
use super::symbols;

/// Where in a file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Spot {
    /// So many bytes behind a function's start.
    Function(String, u64),
    /// So many bytes behind the file's start.
    Offset(u64),
}

/// A probe of a function of a file, at its start or at its return.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Uprobe {
    file: PathBuf,
    spot: Spot,
    is_return: bool,
    pid: Option<u32>,
    ref_ctr_offset: u32,
    cookie: u64,
}

impl Uprobe {
    /// The function of this name in a file; a file without a folder is looked for among
    /// libraries and programs.
    pub fn new(file: impl Into<PathBuf>, function: impl Into<String>) -> Uprobe {
        Uprobe::at(file, Spot::Function(function.into(), 0))
    }

    /// Some place of a file.
    pub fn at(file: impl Into<PathBuf>, spot: Spot) -> Uprobe {
        let (pid, file) = (None, file.into());
        Uprobe { file, spot, is_return: false, pid, ref_ctr_offset: 0, cookie: 0 }
    }

    /// At the function's return.
    pub fn at_return(mut self) -> Uprobe {
        self.is_return = true;
        self
    }

    /// In this process alone; 0 is the caller's.
    pub fn of_process(mut self, pid: u32) -> Uprobe {
        self.pid = Some(pid);
        self
    }

    /// Where in the file the counter is that the kernel raises while somebody looks.
    pub fn ref_ctr_offset(mut self, offset: u32) -> Uprobe {
        self.ref_ctr_offset = offset;
        self
    }

    /// What `bpf_get_attach_cookie` gives.
    pub fn cookie(mut self, cookie: u64) -> Uprobe {
        self.cookie = cookie;
        self
    }
}

impl Hook for Uprobe {
    fn place(&self) -> String {
        let what = if self.is_return { "uretprobe" } else { "uprobe" };
        let spot = match &self.spot {
            Spot::Function(name, 0) => name.clone(),
            Spot::Function(name, offset) => format!("{name}+{offset:#x}"),
            Spot::Offset(offset) => format!("{offset:#x}"),
        };
        format!("{what} {}:{spot}", self.file.display())
    }

    fn link(&self, program: &Program) -> Result<Link, Kind> {
        let path = symbols::resolve(&self.file).map_err(Kind::Missing)?;
        let offset = match &self.spot {
            Spot::Offset(offset) => *offset,
            Spot::Function(name, behind) => {
                let start = symbols::offset_of(&path, name).map_err(Kind::Missing)?;
                start.checked_add(*behind).ok_or_else(|| Kind::Missing("no such offset".into()))?
            }
        };
        let kind = PerfKind::Uprobe {
            path: path_text(&path)?,
            offset,
            ref_ctr_offset: self.ref_ctr_offset,
            is_return: self.is_return,
        };
        // One CPU stands for all: the program is the probe's, not the event's.
        let cpu = if self.pid.is_none() { Some(0) } else { None };
        let event = PerfSpec { pid: self.pid, cpu, ..PerfSpec::new(kind) };
        Link::on_event(program, &event, self.cookie)
    }
}

/// A path as the kernel takes it.
pub(super) fn path_text(path: &Path) -> Result<CString, Kind> {
    CString::new(path.as_os_str().as_bytes())
        .map_err(|_| Kind::Missing("the path has a zero in it".into()))
}
