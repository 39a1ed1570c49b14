//! One socket: what it receives, or, of a group that share a port, which of them does.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use skep_sys::SocketPlace;

use crate::error::LinkErrorKind as Kind;
use crate::load::Program;

use super::hook::Hook;
use super::link::Link;

/// A socket of this process.
#[derive(Clone, Copy, Debug)]
pub struct Socket<'a> {
    socket: BorrowedFd<'a>,
    place: SocketPlace,
}

impl<'a> Socket<'a> {
    /// What a socket receives: it gets the packets that the program lets through.
    pub fn filter(socket: BorrowedFd<'a>) -> Socket<'a> {
        Socket { socket, place: SocketPlace::Filter }
    }

    /// Which socket of those that share this one's port gets a packet.
    pub fn reuseport(socket: BorrowedFd<'a>) -> Socket<'a> {
        Socket { socket, place: SocketPlace::Reuseport }
    }
}

impl Hook for Socket<'_> {
    fn place(&self) -> String {
        match self.place {
            SocketPlace::Filter => "socket filter".into(),
            SocketPlace::Reuseport => "group of sockets".into(),
        }
    }

    fn link(&self, program: &Program) -> Result<Link, Kind> {
        let failed = |doing| move |errno| Kind::Kernel { doing, errno };
        let kept: OwnedFd =
            self.socket.try_clone_to_owned().map_err(|error| Kind::Missing(error.to_string()))?;
        program.fd().attach_socket(self.socket, self.place).map_err(failed("attaching"))?;
        let (kernel, place) = (program.fd().kernel().clone(), self.place);
        Ok(Link::undone_by(move || {
            // The socket may have another program by now, or none.
            let _ = kernel.detach_socket(kept.as_fd(), place);
        }))
    }
}
