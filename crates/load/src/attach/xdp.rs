//! The packets that an interface receives, before the network stack sees them.

use skep_abi::AttachType;
use skep_abi::flags::xdp;
use skep_sys::{Command, LinkCreate};

use crate::error::LinkErrorKind as Kind;
use crate::load::Program;

use super::hook::Hook;
use super::interface::name_of;
use super::link::Link;

/// The packets that an interface receives.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Xdp {
    ifindex: u32,
    flags: u32,
}

impl Xdp {
    /// Those of the interface of this number; in the driver where that can, else in the
    /// network stack.
    pub fn new(ifindex: u32) -> Xdp {
        Xdp { ifindex, flags: 0 }
    }

    /// In the network stack, which works on every interface.
    pub fn generic(self) -> Xdp {
        Xdp { flags: xdp::SKB_MODE, ..self }
    }

    /// In the driver, or not at all.
    pub fn native(self) -> Xdp {
        Xdp { flags: xdp::DRV_MODE, ..self }
    }

    /// In the device, or not at all.
    pub fn offloaded(self) -> Xdp {
        Xdp { flags: xdp::HW_MODE, ..self }
    }
}

impl Hook for Xdp {
    fn place(&self) -> String {
        let mode = match self.flags {
            xdp::SKB_MODE => "generic ",
            xdp::DRV_MODE => "native ",
            xdp::HW_MODE => "offloaded ",
            _ => "",
        };
        format!("{mode}xdp of {}", name_of(self.ifindex))
    }

    fn link(&self, program: &Program) -> Result<Link, Kind> {
        let mut command = Command::LinkCreate(LinkCreate {
            prog_fd: program.fd().raw() as u32,
            target_fd: self.ifindex,
            attach_type: AttachType::Xdp as u32,
            flags: self.flags,
            ..LinkCreate::default()
        });
        Link::create(program, &mut command)
    }
}
