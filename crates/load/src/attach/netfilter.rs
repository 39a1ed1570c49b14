//! Packets on their way through the filters of the network stack.

use skep_abi::AttachType;
use skep_abi::flags::netfilter;
use skep_sys::{Command, LinkCreateNetfilter};

use crate::error::LinkErrorKind as Kind;
use crate::load::Program;

use super::hook::Hook;
use super::link::Link;

/// Whose packets.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs, reason = "the names say it")]
#[repr(u32)]
pub enum Family {
    Ipv4 = 2,
    Ipv6 = 10,
}

/// Where on their way.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs, reason = "the names are those of the kernel's hooks")]
#[repr(u32)]
pub enum Stage {
    PreRouting = 0,
    LocalIn = 1,
    Forward = 2,
    LocalOut = 3,
    PostRouting = 4,
}

/// A filter of the calling thread's network namespace.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Netfilter {
    family: Family,
    stage: Stage,
    priority: i32,
    flags: u32,
}

impl Netfilter {
    /// At this place, with the priority that libbpf's users take most (-128).
    pub fn new(family: Family, stage: Stage) -> Netfilter {
        Netfilter { family, stage, priority: -128, flags: 0 }
    }

    /// Lower ones come first.
    pub fn priority(self, priority: i32) -> Netfilter {
        Netfilter { priority, ..self }
    }

    /// Fragments are put together first.
    pub fn defragmented(self) -> Netfilter {
        Netfilter { flags: netfilter::IP_DEFRAG, ..self }
    }
}

impl Hook for Netfilter {
    fn place(&self) -> String {
        format!("netfilter {:?} {:?}", self.family, self.stage)
    }

    fn link(&self, program: &Program) -> Result<Link, Kind> {
        let mut command = Command::LinkCreateNetfilter(LinkCreateNetfilter {
            prog_fd: program.fd().raw() as u32,
            attach_type: AttachType::Netfilter as u32,
            pf: self.family as u32,
            hooknum: self.stage as u32,
            priority: self.priority,
            netfilter_flags: self.flags,
            ..LinkCreateNetfilter::default()
        });
        Link::create(program, &mut command)
    }
}
