//! Packets as lines, in the words of tcpdump 4.99, which tools parse: what is printed for
//! Ethernet, VLAN, ARP, IPv4, IPv6, TCP, UDP, ICMP, ICMPv6, IGMP, DNS, DHCP, NTP, GRE, VXLAN,
//! STP and LLDP. What else there is has its protocol's number.
//!
//! A protocol is printed by a function that adds to the line and says where the packet ends
//! too early. Text of packets is escaped: no control byte gets into a line.

mod dns;
mod dump;
mod icmp;
mod ip;
mod link;
mod tcp;
mod time;
mod udp;

use std::fmt::Write as _;

pub use dump::Dump;
pub use time::{Stamps, date};

use super::capture::Packet;

/// A packet ends within a protocol: `[|tcp]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cut(&'static str);

type Printed = Result<(), Cut>;

/// Bytes that a protocol may look at.
#[derive(Clone, Copy)]
pub struct View<'a> {
    data: &'a [u8],
    name: &'static str,
}

impl<'a> View<'a> {
    fn new(data: &'a [u8], name: &'static str) -> View<'a> {
        View { data, name }
    }

    /// The same bytes by another name.
    fn named(self, name: &'static str) -> View<'a> {
        View { name, ..self }
    }

    /// What is behind so many bytes; nothing where there are fewer.
    fn from(self, at: usize) -> View<'a> {
        View { data: self.data.get(at..).unwrap_or_default(), ..self }
    }

    /// At most so many bytes.
    fn first(self, len: usize) -> View<'a> {
        View { data: self.data.get(..len).unwrap_or(self.data), ..self }
    }

    fn len(self) -> usize {
        self.data.len()
    }

    fn array<const N: usize>(self, at: usize) -> Result<[u8; N], Cut> {
        let found = self.data.get(at..).and_then(|rest| rest.first_chunk());
        found.copied().ok_or(Cut(self.name))
    }

    fn bytes(self, at: usize, len: usize) -> Result<&'a [u8], Cut> {
        self.data.get(at..).and_then(|rest| rest.get(..len)).ok_or(Cut(self.name))
    }

    fn u8(self, at: usize) -> Result<u8, Cut> {
        self.array::<1>(at).map(|[byte]| byte)
    }

    fn u16(self, at: usize) -> Result<u16, Cut> {
        self.array(at).map(u16::from_be_bytes)
    }

    fn u32(self, at: usize) -> Result<u32, Cut> {
        self.array(at).map(u32::from_be_bytes)
    }

    fn ip4(self, at: usize) -> Result<std::net::Ipv4Addr, Cut> {
        self.array::<4>(at).map(Into::into)
    }

    fn ip6(self, at: usize) -> Result<std::net::Ipv6Addr, Cut> {
        self.array::<16>(at).map(Into::into)
    }
}

/// How packets are printed.
#[derive(Clone, Copy, Default, Debug)]
pub struct Style {
    /// `-q`: less.
    pub quiet: bool,
    /// `-v`: more.
    pub verbose: u8,
    /// `-e`: the link header.
    pub link: bool,
    /// `-S`: sequence numbers as they are.
    pub absolute: bool,
    /// `-#`: the number of each packet.
    pub numbered: bool,
    /// `-t`, `-tt`, ...
    pub stamps: u8,
    /// Digits behind seconds: 6 or 9.
    pub nanoseconds: bool,
    /// Bytes too.
    pub dump: Option<Dump>,
}

/// Prints one packet after the other.
pub struct Printer {
    style: Style,
    stamps: Stamps,
    conversations: tcp::Conversations,
    number: u64,
    line: String,
}

impl Printer {
    pub fn new(style: Style) -> Printer {
        let stamps = Stamps::new(style.stamps, style.nanoseconds);
        let conversations = tcp::Conversations::default();
        Printer { style, stamps, conversations, number: 0, line: String::new() }
    }

    /// The lines of a packet, with line ends.
    pub fn packet(&mut self, packet: &Packet<'_>) -> &str {
        self.line.clear();
        self.number += 1;
        if self.style.numbered {
            let _ = write!(self.line, "{:5}  ", self.number);
        }
        self.stamps.print(packet.time, &mut self.line);
        let mut text = Text {
            out: &mut self.line,
            style: self.style,
            conversations: &mut self.conversations,
            depth: 0,
            link_bytes: 0,
        };
        let view = View::new(packet.data, "ether");
        if let Err(Cut(name)) = text.frame(packet.link, view, packet.len as usize) {
            let _ = write!(text.out, " [|{name}]");
        }
        let behind = text.link_bytes;
        self.line.push('\n');
        if let Some(dump) = self.style.dump {
            dump.print(packet.data, behind, &mut self.line);
        }
        &self.line
    }
}

/// Protocols within each other that are printed.
const DEEPEST: u32 = 24;

/// A line in the making.
struct Text<'a> {
    out: &'a mut String,
    style: Style,
    conversations: &'a mut tcp::Conversations,
    depth: u32,
    /// Bytes of the outermost link header.
    link_bytes: usize,
}

/// Adds to a line: writing to a string does not fail.
macro_rules! put {
    ($text:expr, $($arguments:tt)*) => {{
        let _ = std::fmt::Write::write_fmt(&mut *$text.out, format_args!($($arguments)*));
    }};
}
use put;

impl Text<'_> {
    /// Goes into a protocol within another; false where that is too deep.
    fn enter(&mut self) -> bool {
        self.depth += 1;
        self.depth <= DEEPEST
    }

    /// Text of a packet, as tcpdump escapes it: `^X` for control bytes, `M-` for others.
    fn escaped(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            let low = byte & 0x7f;
            if byte != low {
                self.out.push_str("M-");
            }
            match low {
                0x20..=0x7e => self.out.push(low as char),
                _ => {
                    self.out.push('^');
                    self.out.push((low ^ 0x40) as char);
                }
            }
        }
    }
}

/// The name of a value in a table.
fn name<T: PartialEq + Copy>(table: &[(T, &'static str)], value: T) -> Option<&'static str> {
    table.iter().find(|row| row.0 == value).map(|row| row.1)
}

/// The names of the bits that are set, joined; `none` for none.
fn bits(table: &[(u32, &'static str)], value: u32) -> String {
    let names: Vec<&str> = table.iter().filter(|row| value & row.0 != 0).map(|row| row.1).collect();
    if names.is_empty() { "none".into() } else { names.join(", ") }
}

/// A hardware address.
fn mac(bytes: [u8; 6]) -> String {
    let [a, b, c, d, e, f] = bytes;
    format!("{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{f:02x}")
}
