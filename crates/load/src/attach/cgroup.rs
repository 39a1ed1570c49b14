//! What the processes of a cgroup do: sockets, connections, options, devices, sysctls.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use skep_abi::{AttachType, ProgType};
use skep_sys::{Command, LinkCreate};

use crate::error::LinkErrorKind as Kind;
use crate::load::Program;

use super::hook::Hook;
use super::link::Link;
use super::order::Order;

/// A cgroup, and those below it.
#[derive(Clone, Debug)]
pub struct Cgroup<'a> {
    folder: Arc<OwnedFd>,
    path: PathBuf,
    attach_type: Option<AttachType>,
    order: Order<'a>,
}

impl<'a> Cgroup<'a> {
    /// The cgroup of this folder (of version 2).
    ///
    /// # Errors
    /// The folder cannot be opened.
    pub fn open(path: impl AsRef<Path>) -> Result<Cgroup<'a>, Kind> {
        let path = path.as_ref();
        let missing = |why: &dyn std::fmt::Display| {
            Kind::Missing(format!("the cgroup {}: {why}", path.display()))
        };
        let folder = std::fs::File::open(path).map_err(|error| missing(&error))?;
        if !folder.metadata().is_ok_and(|of| of.is_dir()) {
            return Err(missing(&"it is no folder"));
        }
        let (folder, path) = (Arc::new(folder.into()), path.to_owned());
        Ok(Cgroup { folder, path, attach_type: None, order: Order::Last })
    }

    /// At this hook, for a program whose section names none.
    pub fn attach_type(self, attach_type: AttachType) -> Cgroup<'a> {
        Cgroup { attach_type: Some(attach_type), ..self }
    }

    /// Where among the programs that are there.
    pub fn order(self, order: Order<'a>) -> Cgroup<'a> {
        Cgroup { order, ..self }
    }

    /// Its folder.
    pub fn folder(&self) -> BorrowedFd<'_> {
        (*self.folder).as_fd()
    }

    /// The hook of a program: its own, or the only one of its type.
    pub(super) fn hook_of(&self, program: &Program) -> Result<AttachType, Kind> {
        let def = program.def();
        let only = match def.prog_type {
            Some(ProgType::SockOps) => Some(AttachType::CgroupSockOps),
            Some(ProgType::CgroupDevice) => Some(AttachType::CgroupDevice),
            Some(ProgType::CgroupSysctl) => Some(AttachType::CgroupSysctl),
            Some(ProgType::CgroupSock) => Some(AttachType::CgroupInetSockCreate),
            _ => None,
        };
        self.attach_type.or(def.attach_type).or(only).ok_or_else(|| {
            Kind::Missing("its section does not say which hook (cgroup_skb/ingress, ...)".into())
        })
    }
}

impl Hook for Cgroup<'_> {
    fn place(&self) -> String {
        format!("cgroup {}", self.path.display())
    }

    fn link(&self, program: &Program) -> Result<Link, Kind> {
        let (flags, beside) = self.order.numbers(program)?;
        let mut command = Command::LinkCreate(LinkCreate {
            prog_fd: program.fd().raw() as u32,
            target_fd: self.folder.as_raw_fd() as u32,
            attach_type: self.hook_of(program)? as u32,
            flags,
            target_btf_id: beside,
            ..LinkCreate::default()
        });
        Link::create(program, &mut command)
    }
}
