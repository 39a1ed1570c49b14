//! The sockets of the world that a run looked up: what programs see of each
//! (`struct bpf_sock`, `struct bpf_tcp_sock`), and how often it was not given back.

use skep_abi::context::at::sock as at;
use skep_abi::limits::TCP_SOCK;

use super::network::Socket;
use crate::memory::packet::PacketMemory;
use crate::memory::value::{Kind, Region};

/// Bytes of `struct bpf_sock`, which `struct bpf_tcp_sock` is behind.
const SOCK: usize = at::SIZE_OF as usize;

/// A socket that was looked up.
struct Known {
    socket: Socket,
    memory: PacketMemory,
    references: u32,
}

/// The sockets of a run.
#[derive(Default)]
pub(crate) struct Sockets(Vec<Known>);

impl Sockets {
    /// One more reference to a socket; gives its fields.
    pub fn acquire(&mut self, socket: &Socket) -> Region {
        let known = self.0.iter().position(|known| known.socket == *socket);
        let index = known.unwrap_or_else(|| {
            let mut memory = PacketMemory::new(SOCK + TCP_SOCK);
            memory.bytes_mut(0, SOCK).copy_from_slice(&fields(socket));
            self.0.push(Known { socket: socket.clone(), memory, references: 0 });
            self.0.len() - 1
        });
        let known = &mut self.0[index];
        known.references += 1;
        known.memory.region(0, SOCK, false).with_kind(Kind::Memory)
    }

    /// The socket whose fields start at an address.
    pub fn at(&self, address: u64) -> Option<&Socket> {
        self.find(address).map(|known| &known.socket)
    }

    /// What a connection of TCP knows of itself.
    pub fn tcp(&self, address: u64) -> Option<Region> {
        const TCP: u8 = 6;
        let known = self.find(address).filter(|known| known.socket.protocol == TCP)?;
        Some(known.memory.region(SOCK, SOCK + TCP_SOCK, false).with_kind(Kind::Memory))
    }

    /// Gives a reference back; false where there is none.
    pub fn release(&mut self, address: u64) -> bool {
        let starts = |known: &&mut Known| known.memory.region(0, 1, false).start() == address;
        let known = self.0.iter_mut().find(starts).filter(|known| known.references > 0);
        known.map(|known| known.references -= 1).is_some()
    }

    fn find(&self, address: u64) -> Option<&Known> {
        self.0.iter().find(|known| known.memory.region(0, 1, false).start() == address)
    }
}

/// `struct bpf_sock` of a socket.
fn fields(socket: &Socket) -> [u8; SOCK] {
    const AF_INET: u32 = 2;
    const AF_INET6: u32 = 10;
    const STREAM: u32 = 1;
    const DATAGRAM: u32 = 2;
    const ESTABLISHED: u32 = 1;
    const CLOSE: u32 = 7;
    const LISTEN: u32 = 10;
    const TCP: u8 = 6;
    let mut bytes = [0; SOCK];
    let mut put = |at: u32, part: &[u8]| {
        bytes[at as usize..at as usize + part.len()].copy_from_slice(part);
    };
    let state = match (socket.listens, socket.remote) {
        (true, _) => LISTEN,
        (false, Some(_)) => ESTABLISHED,
        (false, None) => CLOSE,
    };
    let family = if socket.local.is_ipv4() { AF_INET } else { AF_INET6 };
    let kind = if socket.protocol == TCP { STREAM } else { DATAGRAM };
    for (at, word) in [
        (at::FAMILY, family),
        (at::TYPE, kind),
        (at::PROTOCOL, socket.protocol.into()),
        (at::MARK, socket.mark),
        (at::SRC_PORT, socket.local.port().into()),
        (at::STATE, state),
        (at::RX_QUEUE_MAPPING, u32::MAX),
    ] {
        put(at, &word.to_ne_bytes());
    }
    let mut address = |(v4, v6): (u32, u32), of: std::net::IpAddr| match of {
        std::net::IpAddr::V4(of) => put(v4, &of.octets()),
        std::net::IpAddr::V6(of) => put(v6, &of.octets()),
    };
    address((at::SRC_IP4, at::SRC_IP6), socket.local.ip());
    if let Some(remote) = socket.remote {
        address((at::DST_IP4, at::DST_IP6), remote.ip());
        put(at::DST_PORT, &remote.port().to_be_bytes());
    }
    bytes
}
