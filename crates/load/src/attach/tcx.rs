//! Packets of an interface in the network stack, in and out (tcx), and those of a netkit pair.

use skep_abi::AttachType;
use skep_sys::{Command, LinkCreate};

use crate::error::LinkErrorKind as Kind;
use crate::load::Program;

use super::hook::Hook;
use super::interface::name_of;
use super::link::Link;
use super::order::Order;

/// Packets of an interface, one way.
#[derive(Clone, Copy, Debug)]
pub struct Tcx<'a> {
    ifindex: u32,
    attach_type: AttachType,
    order: Order<'a>,
}

impl<'a> Tcx<'a> {
    /// What comes in.
    pub fn ingress(ifindex: u32) -> Tcx<'a> {
        Tcx { ifindex, attach_type: AttachType::TcxIngress, order: Order::Last }
    }

    /// What goes out.
    pub fn egress(ifindex: u32) -> Tcx<'a> {
        Tcx { ifindex, attach_type: AttachType::TcxEgress, order: Order::Last }
    }

    /// What the primary end of a netkit pair sends.
    pub fn netkit_primary(ifindex: u32) -> Tcx<'a> {
        Tcx { ifindex, attach_type: AttachType::NetkitPrimary, order: Order::Last }
    }

    /// What its peer sends; the interface is the primary one.
    pub fn netkit_peer(ifindex: u32) -> Tcx<'a> {
        Tcx { ifindex, attach_type: AttachType::NetkitPeer, order: Order::Last }
    }

    /// Where among the programs that are there.
    pub fn order(self, order: Order<'a>) -> Tcx<'a> {
        Tcx { order, ..self }
    }
}

impl Hook for Tcx<'_> {
    fn place(&self) -> String {
        format!("{} of {}", self.attach_type, name_of(self.ifindex))
    }

    fn link(&self, program: &Program) -> Result<Link, Kind> {
        let (flags, beside) = self.order.numbers(program)?;
        let mut command = Command::LinkCreate(LinkCreate {
            prog_fd: program.fd().raw() as u32,
            target_fd: self.ifindex,
            attach_type: self.attach_type as u32,
            flags,
            target_btf_id: beside,
            ..LinkCreate::default()
        });
        Link::create(program, &mut command)
    }
}
