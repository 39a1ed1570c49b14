//! Packets as bytes, layer by layer: Ethernet with VLAN tags, IPv4 and IPv6, TCP, UDP
//! and ICMP (RFC 791, 8200, 9293, 768, 792, 4443). Lengths and checksums are right
//! unless a caller overwrites them afterwards.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

pub const ICMP: u8 = 1;
pub const IGMP: u8 = 2;
pub const TCP: u8 = 6;
pub const UDP: u8 = 17;
pub const ICMPV6: u8 = 58;

pub const ETH_IPV4: u16 = 0x0800;
pub const ETH_ARP: u16 = 0x0806;
pub const ETH_IPV6: u16 = 0x86dd;
pub const VLAN: u16 = 0x8100;
pub const QINQ: u16 = 0x88a8;

/// Ethernet frames on the wire have at least this many bytes.
const ETH_ZLEN: usize = 60;

/// A hardware address; ours are from 00-00-5E-00-53-xx, which RFC 7042 reserves for
/// documentation.
pub type Mac = [u8; 6];
/// A VLAN tag: its EtherType and its TCI.
pub type Tag = (u16, u16);

pub const BROADCAST: Mac = [0xff; 6];

/// The documentation hardware address with this last byte.
pub fn mac(last: u8) -> Mac {
    [0x00, 0x00, 0x5e, 0x00, 0x53, last]
}

/// The router, behind which all other networks are.
pub fn router() -> Mac {
    mac(0xfe)
}

/// One end of a conversation.
#[derive(Clone, Copy)]
pub struct Host {
    pub mac: Mac,
    pub ip: IpAddr,
}

impl Host {
    /// Host `n` of the local network, 192.0.2.0/24.
    pub fn local(n: u8) -> Host {
        Host { mac: mac(n), ip: Ipv4Addr::new(192, 0, 2, n).into() }
    }

    /// Host `n` of the local network, 2001:db8:1::/64.
    pub fn local6(n: u8) -> Host {
        Host { mac: mac(n), ip: Ipv6Addr::new(0x2001, 0xdb8, 1, 0, 0, 0, 0, n.into()).into() }
    }

    /// A host behind the router.
    pub fn remote(ip: impl Into<IpAddr>) -> Host {
        Host { mac: router(), ip: ip.into() }
    }

    /// A multicast group with the hardware address that follows from it (RFC 1112, 2464).
    pub fn group(ip: impl Into<IpAddr>) -> Host {
        let ip = ip.into();
        let mac = match ip {
            IpAddr::V4(v4) => {
                let [_, b, c, d] = v4.octets();
                [0x01, 0x00, 0x5e, b & 0x7f, c, d]
            }
            IpAddr::V6(v6) => {
                let [.., a, b, c, d] = v6.octets();
                [0x33, 0x33, a, b, c, d]
            }
        };
        Host { mac, ip }
    }
}

/// Who sends to whom, and the fields of the headers on the way.
#[derive(Clone)]
pub struct Path {
    pub from: Host,
    pub to: Host,
    pub tags: Vec<Tag>,
    pub ttl: u8,
    /// IPv4's identification.
    pub id: u16,
    /// IPv4's TOS byte, IPv6's traffic class.
    pub tos: u8,
    /// IPv4's flags and fragment offset.
    pub fragment: u16,
    /// IPv4's options, a multiple of four bytes.
    pub options: Vec<u8>,
    /// IPv6's extension headers, each with its number, without its first byte.
    pub extensions: Vec<(u8, Vec<u8>)>,
}

impl Path {
    pub fn new(from: Host, to: Host) -> Path {
        Path {
            from,
            to,
            tags: Vec::new(),
            ttl: 64,
            id: 0,
            tos: 0,
            fragment: 0x4000,
            options: Vec::new(),
            extensions: Vec::new(),
        }
    }

    /// The same with these VLAN tags, the outer one first.
    pub fn tagged(mut self, tags: &[Tag]) -> Path {
        self.tags = tags.to_vec();
        self
    }

    /// The way back.
    pub fn back(&self) -> Path {
        Path { from: self.to, to: self.from, ..self.clone() }
    }

    /// The whole frame around what IP carries.
    pub fn frame(&self, protocol: u8, payload: &[u8]) -> Vec<u8> {
        let (ethertype, packet) = match (self.from.ip, self.to.ip) {
            (IpAddr::V4(from), IpAddr::V4(to)) => {
                (ETH_IPV4, self.ipv4(from, to, protocol, payload))
            }
            (IpAddr::V6(from), IpAddr::V6(to)) => {
                (ETH_IPV6, self.ipv6(from, to, protocol, payload))
            }
            _ => unreachable!("a path has one family of addresses"),
        };
        ethernet(self.from.mac, self.to.mac, &self.tags, ethertype, &packet)
    }

    fn ipv4(&self, from: Ipv4Addr, to: Ipv4Addr, protocol: u8, payload: &[u8]) -> Vec<u8> {
        let header_len = 20 + self.options.len();
        let mut packet = vec![0x40 | (header_len / 4) as u8, self.tos];
        packet.extend(((header_len + payload.len()) as u16).to_be_bytes());
        packet.extend(self.id.to_be_bytes());
        packet.extend(self.fragment.to_be_bytes());
        packet.extend([self.ttl, protocol, 0, 0]);
        packet.extend(from.octets());
        packet.extend(to.octets());
        packet.extend(&self.options);
        let sum = checksum(&packet);
        packet[10..12].copy_from_slice(&sum);
        packet.extend(payload);
        packet
    }

    fn ipv6(&self, from: Ipv6Addr, to: Ipv6Addr, protocol: u8, payload: &[u8]) -> Vec<u8> {
        // Each header names the next one; the last one names what IP carries.
        let numbers = self.extensions.iter().map(|(number, _)| *number).chain([protocol]);
        let mut body = Vec::new();
        for ((_, rest), next) in self.extensions.iter().zip(numbers.clone().skip(1)) {
            body.push(next);
            body.extend(rest);
        }
        body.extend(payload);
        let mut packet = vec![0x60 | (self.tos >> 4), self.tos << 4, 0, 0];
        packet.extend((body.len() as u16).to_be_bytes());
        packet.extend([numbers.clone().next().unwrap_or(protocol), self.ttl]);
        packet.extend(from.octets());
        packet.extend(to.octets());
        packet.extend(body);
        packet
    }

    /// A frame with a UDP datagram.
    pub fn udp(&self, ports: (u16, u16), payload: &[u8]) -> Vec<u8> {
        self.frame(UDP, &self.datagram(ports, payload))
    }

    /// A UDP datagram, as IP carries it.
    pub fn datagram(&self, ports: (u16, u16), payload: &[u8]) -> Vec<u8> {
        let mut datagram = Vec::new();
        datagram.extend(ports.0.to_be_bytes());
        datagram.extend(ports.1.to_be_bytes());
        datagram.extend(((8 + payload.len()) as u16).to_be_bytes());
        datagram.extend([0, 0]);
        datagram.extend(payload);
        let sum = self.transport_checksum(UDP, &datagram);
        // 0 would say that there is none.
        datagram[6..8].copy_from_slice(&if sum == [0, 0] { [0xff, 0xff] } else { sum });
        datagram
    }

    /// A frame with a TCP segment.
    pub fn tcp(&self, segment: &Segment, payload: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        bytes.extend(segment.ports.0.to_be_bytes());
        bytes.extend(segment.ports.1.to_be_bytes());
        bytes.extend(segment.seq.to_be_bytes());
        bytes.extend(segment.ack.to_be_bytes());
        bytes.extend([((20 + segment.options.len()) * 4) as u8, segment.flags]);
        bytes.extend(segment.window.to_be_bytes());
        bytes.extend([0; 4]); // checksum, urgent pointer
        bytes.extend(segment.options);
        bytes.extend(payload);
        let sum = self.transport_checksum(TCP, &bytes);
        bytes[16..18].copy_from_slice(&sum);
        self.frame(TCP, &bytes)
    }

    /// A frame with an ICMP message of either version.
    pub fn icmp(&self, kind: u8, code: u8, rest: [u8; 4], payload: &[u8]) -> Vec<u8> {
        let protocol = if self.from.ip.is_ipv4() { ICMP } else { ICMPV6 };
        self.frame(protocol, &self.icmp_message(kind, code, rest, payload))
    }

    /// An ICMP message, as IP carries it.
    pub fn icmp_message(&self, kind: u8, code: u8, rest: [u8; 4], payload: &[u8]) -> Vec<u8> {
        let mut message = vec![kind, code, 0, 0];
        message.extend(rest);
        message.extend(payload);
        let sum = if self.from.ip.is_ipv4() {
            checksum(&message)
        } else {
            self.transport_checksum(ICMPV6, &message)
        };
        message[2..4].copy_from_slice(&sum);
        message
    }

    /// The checksum over the pseudo-header and what follows.
    fn transport_checksum(&self, protocol: u8, bytes: &[u8]) -> [u8; 2] {
        let mut summed = Vec::new();
        for ip in [self.from.ip, self.to.ip] {
            match ip {
                IpAddr::V4(v4) => summed.extend(v4.octets()),
                IpAddr::V6(v6) => summed.extend(v6.octets()),
            }
        }
        summed.extend((bytes.len() as u32).to_be_bytes());
        summed.extend(u32::from(protocol).to_be_bytes());
        summed.extend(bytes);
        checksum(&summed)
    }
}

/// A TCP segment's header.
#[derive(Clone, Copy)]
pub struct Segment {
    pub ports: (u16, u16),
    pub seq: u32,
    pub ack: u32,
    pub flags: u8,
    pub window: u16,
    /// A multiple of four bytes.
    pub options: &'static [u8],
}

pub const FIN: u8 = 0x01;
pub const SYN: u8 = 0x02;
pub const RST: u8 = 0x04;
pub const PSH: u8 = 0x08;
pub const ACK: u8 = 0x10;
pub const URG: u8 = 0x20;
pub const ECE: u8 = 0x40;
pub const CWR: u8 = 0x80;

/// An Ethernet frame. What the router sends came over the wire, where short frames
/// are filled up.
pub fn ethernet(from: Mac, to: Mac, tags: &[Tag], ethertype: u16, payload: &[u8]) -> Vec<u8> {
    let mut frame = Vec::new();
    frame.extend(to);
    frame.extend(from);
    for (kind, tci) in tags {
        frame.extend(kind.to_be_bytes());
        frame.extend(tci.to_be_bytes());
    }
    frame.extend(ethertype.to_be_bytes());
    frame.extend(payload);
    if from == router() && frame.len() < ETH_ZLEN {
        frame.resize(ETH_ZLEN, 0);
    }
    frame
}

/// The Internet checksum (RFC 1071).
pub fn checksum(bytes: &[u8]) -> [u8; 2] {
    let mut sum: u32 = bytes
        .chunks(2)
        .map(|pair| u32::from(u16::from_be_bytes([pair[0], pair.get(1).copied().unwrap_or(0)])))
        .sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    (!(sum as u16)).to_be_bytes()
}
