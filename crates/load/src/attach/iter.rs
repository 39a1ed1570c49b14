//! Iterators: a program that is run for each task, each element of a map, each socket, and
//! what it writes, as a file to read.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

use skep_abi::AttachType;
use skep_sys::{Command, Fd, IterCreate, LinkCreateIter};

use crate::error::{LinkError, LinkErrorKind as Kind};
use crate::load::{Map, Program};

use super::hook::Hook;
use super::link::Link;

/// What an iterator goes over, as far as its program's section leaves that open.
#[derive(Clone, Debug, Default)]
pub struct Iter<'a> {
    over: Over<'a>,
}

#[derive(Clone, Debug, Default)]
enum Over<'a> {
    #[default]
    All,
    Map(&'a Map),
    Task {
        tid: u32,
        pid: u32,
    },
    Cgroup {
        order: u32,
        folder: BorrowedFd<'a>,
    },
}

/// Which way through the cgroups below one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs, reason = "the names say it")]
#[repr(u32)]
pub enum CgroupOrder {
    SelfOnly = 1,
    DescendantsPre = 2,
    DescendantsPost = 3,
    AncestorsUp = 4,
}

impl<'a> Iter<'a> {
    /// All that there is.
    pub fn new() -> Iter<'a> {
        Iter::default()
    }

    /// The elements of a map.
    pub fn over_map(map: &'a Map) -> Iter<'a> {
        Iter { over: Over::Map(map) }
    }

    /// One thread.
    pub fn over_thread(tid: u32) -> Iter<'a> {
        Iter { over: Over::Task { tid, pid: 0 } }
    }

    /// The threads of one process.
    pub fn over_process(pid: u32) -> Iter<'a> {
        Iter { over: Over::Task { tid: 0, pid } }
    }

    /// Cgroups, from one on.
    pub fn over_cgroups(folder: BorrowedFd<'a>, order: CgroupOrder) -> Iter<'a> {
        Iter { over: Over::Cgroup { order: order as u32, folder } }
    }
}

impl Hook for Iter<'_> {
    fn place(&self) -> String {
        match &self.over {
            Over::All => "iterator".into(),
            Over::Map(map) => format!("iterator over map {:?}", map.name()),
            Over::Task { tid: 0, pid } => format!("iterator over process {pid}"),
            Over::Task { tid, .. } => format!("iterator over thread {tid}"),
            Over::Cgroup { .. } => "iterator over cgroups".into(),
        }
    }

    fn link(&self, program: &Program) -> Result<Link, Kind> {
        // A `union bpf_iter_link_info`.
        let mut info = [0u8; 16];
        let mut put = |at: usize, number: u32| {
            info[at..at + 4].copy_from_slice(&number.to_ne_bytes());
        };
        match &self.over {
            Over::All => {}
            Over::Map(map) if !map.fd().belongs_to(program.fd().kernel()) => {
                return Err(Kind::OtherKernel);
            }
            Over::Map(map) => put(0, map.fd().raw() as u32),
            Over::Task { tid, pid } => {
                put(0, *tid);
                put(4, *pid);
            }
            Over::Cgroup { order, folder } => {
                put(0, *order);
                put(4, folder.as_raw_fd() as u32);
            }
        }
        let says = !matches!(self.over, Over::All);
        let mut command = Command::LinkCreateIter(LinkCreateIter {
            prog_fd: program.fd().raw() as u32,
            attach_type: AttachType::TraceIter as u32,
            iter_info: says.then(|| info[..].into()),
            iter_info_len: if says { info.len() as u32 } else { 0 },
            ..LinkCreateIter::default()
        });
        Link::create(program, &mut command)
    }
}

/// One pass of an iterator: what its program writes, to be read.
#[derive(Debug)]
pub struct Pass {
    fd: Fd,
}

impl Link {
    /// Begins a pass of an iterator.
    ///
    /// # Errors
    /// The link is no iterator's.
    pub fn iterate(&self) -> Result<Pass, LinkError> {
        let link = self.link("beginning to read")?;
        let link_fd = link.raw() as u32;
        let mut command = Command::IterCreate(IterCreate { link_fd, ..IterCreate::default() });
        let made = Fd::open(link.kernel(), &mut command);
        made.map(|fd| Pass { fd }).map_err(|errno| self.failed("beginning to read", errno))
    }
}

impl io::Read for Pass {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        self.fd.read(bytes).map_err(|errno| io::Error::from_raw_os_error(errno.0))
    }
}
