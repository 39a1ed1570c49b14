//! What the sockets in a map send and receive (sk_msg, sk_skb).

use skep_abi::Errno;
use skep_sys::{Command, LinkCreate, ProgAttach};

use crate::error::LinkErrorKind as Kind;
use crate::load::{Map, Program};

use super::hook::Hook;
use super::link::Link;

/// The sockets of a map: a sockmap or a sockhash. A socket has the programs that the map had
/// when it came in, until it leaves.
#[derive(Clone, Debug)]
pub struct Sockmap {
    map: Map,
}

impl Sockmap {
    /// The sockets of this map.
    pub fn new(map: &Map) -> Sockmap {
        Sockmap { map: map.clone() }
    }
}

impl Hook for Sockmap {
    fn place(&self) -> String {
        format!("sockets of map {:?}", self.map.name())
    }

    fn link(&self, program: &Program) -> Result<Link, Kind> {
        let kernel = program.fd().kernel();
        if !self.map.fd().belongs_to(kernel) {
            return Err(Kind::OtherKernel);
        }
        let attach_type = program.def().attach_type.map_or(0, |of| of as u32);
        let (target_fd, prog_fd) = (self.map.fd().raw() as u32, program.fd().raw() as u32);
        let create = LinkCreate { prog_fd, target_fd, attach_type, ..LinkCreate::default() };
        match Link::create(program, &mut Command::LinkCreate(create)) {
            Err(Kind::Kernel { errno: Errno::EINVAL, .. }) => {}
            other => return other,
        }
        // Such links are there since 6.10.
        let attach = move || ProgAttach {
            target_fd,
            attach_bpf_fd: prog_fd,
            attach_type,
            ..ProgAttach::default()
        };
        kernel
            .bpf(&mut Command::ProgAttach(attach()))
            .map_err(|errno| Kind::Kernel { doing: "attaching", errno })?;
        let (map, program) = (self.map.clone(), program.clone());
        Ok(Link::undone_by(move || {
            // The map may have gone with all its programs, or another one taken the place.
            let _ = map.fd().kernel().bpf(&mut Command::ProgDetach(attach()));
            drop(program);
        }))
    }
}
