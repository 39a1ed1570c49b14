//! Functions of other programs, which a program takes the place of (freplace), or watches.

use skep_abi::{AttachType, ProgType};
use skep_sys::{Command, LinkCreate};

use crate::error::LinkErrorKind as Kind;
use crate::load::Program;

use super::hook::Hook;
use super::link::Link;

/// The function that the program was loaded for ([`Options::targets`](crate::Options)).
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Replaced {
    cookie: u64,
}

impl Replaced {
    /// What the program was loaded for.
    pub fn new() -> Replaced {
        Replaced::default()
    }
}

impl Hook for Replaced {
    fn place(&self) -> String {
        "the function of another program that it was loaded for".into()
    }

    fn link(&self, program: &Program) -> Result<Link, Kind> {
        let def = program.def();
        let attach_type = match def.prog_type {
            // The kernel takes no other number for these.
            Some(ProgType::Ext) => AttachType::CgroupInetIngress as u32,
            _ => def.attach_type.map_or(0, |of| of as u32),
        };
        let (prog_fd, cookie) = (program.fd().raw() as u32, self.cookie);
        let mut command = Command::LinkCreate(LinkCreate {
            prog_fd,
            attach_type,
            cookie,
            ..LinkCreate::default()
        });
        Link::create(program, &mut command)
    }
}
