//! Names of hosts, networks, ports and protocols: what the system says, behind a trait so
//! that an expression can be compiled against any world.

mod system;

use std::net::IpAddr;

pub use system::System;

/// Where names come from.
pub trait Names {
    /// The addresses of a host.
    fn host(&self, name: &str) -> Vec<IpAddr>;

    /// The number of a network, as in networks(5): `10` is 10.
    fn network(&self, name: &str) -> Option<u32>;

    /// The port of a service of an IP protocol: 6 TCP, 17 UDP.
    fn port(&self, name: &str, protocol: u8) -> Option<u16>;

    /// The number of an IP protocol.
    fn protocol(&self, name: &str) -> Option<u8>;

    /// The Ethernet address of a host, as in ethers(5).
    fn ether(&self, name: &str) -> Option<[u8; 6]>;
}

/// No names at all.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoNames;

impl Names for NoNames {
    fn host(&self, _: &str) -> Vec<IpAddr> {
        Vec::new()
    }

    fn network(&self, _: &str) -> Option<u32> {
        None
    }

    fn port(&self, _: &str, _: u8) -> Option<u16> {
        None
    }

    fn protocol(&self, name: &str) -> Option<u8> {
        system::builtin_protocol(name)
    }

    fn ether(&self, _: &str) -> Option<[u8; 6]> {
        None
    }
}

/// Numbers of link protocols by name, up from 0x600 Ethernet's, below LLC's. libpcap 1.10
/// does not know the last two.
const LINK_PROTOCOLS: [(&str, u32); 18] = [
    ("aarp", 0x80f3),
    ("arp", 0x0806),
    ("atalk", 0x809b),
    ("decnet", 0x6003),
    ("ip", 0x0800),
    ("ip6", 0x86dd),
    ("lat", 0x6004),
    ("loopback", 0x9000),
    ("mopdl", 0x6001),
    ("moprc", 0x6002),
    ("rarp", 0x8035),
    ("sca", 0x6007),
    ("iso", 0xfe),
    ("stp", 0x42),
    ("ipx", 0xe0),
    ("netbeui", 0xf0),
    ("lldp", 0x88cc),
    ("slow", 0x8809),
];

/// The number of a link protocol.
pub(super) fn link_protocol(name: &str) -> Option<u32> {
    LINK_PROTOCOLS.iter().find(|row| row.0 == name).map(|row| row.1)
}

/// The number of an ISO protocol.
pub(super) fn iso_protocol(name: &str) -> Option<u32> {
    match name {
        "esis" => Some(0x82),
        "isis" => Some(0x83),
        "clnp" => Some(0x81),
        _ => None,
    }
}
