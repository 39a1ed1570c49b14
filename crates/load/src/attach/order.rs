//! The order of programs at a place that has several.

use skep_abi::flags::attach;
use skep_sys::Fd;

use crate::error::LinkErrorKind as Kind;
use crate::load::Program;

use super::link::Link;

/// Where among the programs of a place one stands: at the end unless said.
#[derive(Clone, Copy, Debug, Default)]
pub enum Order<'a> {
    /// Behind all that are there.
    #[default]
    Last,
    /// In front of all that are there.
    First,
    /// In front of this program.
    Before(&'a Program),
    /// Behind this program.
    After(&'a Program),
    /// In front of this link's program.
    BeforeLink(&'a Link),
    /// Behind this link's program.
    AfterLink(&'a Link),
}

impl Order<'_> {
    /// Flags, and the fd of what it stands beside, which has to be of the program's kernel.
    pub(super) fn numbers(&self, program: &Program) -> Result<(u32, u32), Kind> {
        let own = |fd: Option<&Fd>| match fd {
            Some(fd) if fd.belongs_to(program.fd().kernel()) => Ok(fd.raw() as u32),
            Some(_) => Err(Kind::OtherKernel),
            None => Err(Kind::Missing("what it should stand beside has no link".into())),
        };
        Ok(match self {
            Order::Last => (0, 0),
            Order::First => (attach::BEFORE, 0),
            Order::Before(of) => (attach::BEFORE, own(Some(of.fd()))?),
            Order::After(of) => (attach::AFTER, own(Some(of.fd()))?),
            Order::BeforeLink(of) => (attach::BEFORE | attach::LINK, own(of.fd())?),
            Order::AfterLink(of) => (attach::AFTER | attach::LINK, own(of.fd())?),
        })
    }
}
