//! What an expression says, before anything is looked up: conditions joined from left to
//! right, each with its place in the text.

use std::net::Ipv6Addr;
use std::ops::Range;

use skep_isa::classic::{Cond, Op};

/// What a qualifier or an abbreviation names.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[allow(missing_docs, reason = "the names are the language's")]
pub enum Protocol {
    Link,
    Ip,
    Arp,
    Rarp,
    Sctp,
    Tcp,
    Udp,
    Icmp,
    Igmp,
    Igrp,
    Pim,
    Vrrp,
    Carp,
    Radio,
    Ip6,
    Icmp6,
    Ah,
    Esp,
    Atalk,
    Aarp,
    Decnet,
    Lat,
    Sca,
    Moprc,
    Mopdl,
    Iso,
    Esis,
    Isis,
    L1,
    L2,
    Iih,
    Lsp,
    Snp,
    Csnp,
    Psnp,
    Clnp,
    Stp,
    Ipx,
    Netbeui,
}

/// Which end an address or port belongs to.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[allow(missing_docs, reason = "the names are the language's")]
pub enum Direction {
    Source,
    Destination,
    /// `src or dst`, which is meant where nothing is said.
    Either,
    /// `src and dst`.
    Both,
    Addr1,
    Addr2,
    Addr3,
    Addr4,
    Ra,
    Ta,
}

impl Direction {
    /// The words for it.
    pub fn name(self) -> &'static str {
        match self {
            Direction::Source => "src",
            Direction::Destination => "dst",
            Direction::Either => "src or dst",
            Direction::Both => "src and dst",
            Direction::Addr1 => "addr1",
            Direction::Addr2 => "addr2",
            Direction::Addr3 => "addr3",
            Direction::Addr4 => "addr4",
            Direction::Ra => "ra",
            Direction::Ta => "ta",
        }
    }

    /// Whether only 802.11 has it.
    pub fn is_wireless(self) -> bool {
        self.name().starts_with("addr") || matches!(self, Direction::Ra | Direction::Ta)
    }
}

/// What kind of thing an identifier is.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[allow(missing_docs, reason = "the names are the language's")]
pub enum Type {
    Host,
    Net,
    Port,
    PortRange,
    Gateway,
    Proto,
    ProtoChain,
}

impl Type {
    /// The word for it.
    pub fn name(self) -> &'static str {
        match self {
            Type::Host => "host",
            Type::Net => "net",
            Type::Port => "port",
            Type::PortRange => "portrange",
            Type::Gateway => "gateway",
            Type::Proto => "proto",
            Type::ProtoChain => "protochain",
        }
    }
}

/// What stands before an identifier; `None` where the expression does not say.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Qualifiers {
    /// Protocol.
    pub protocol: Option<Protocol>,
    /// Direction.
    pub direction: Option<Direction>,
    /// Type.
    pub kind: Option<Type>,
}

/// What qualifiers stand before.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Id {
    /// A name, or two joined by `-`.
    Name(String),
    /// A number.
    Number(u32),
    /// An IPv4 address or its first bytes.
    Ipv4(String),
    /// The same with the length of a prefix.
    Ipv4Prefix(String, u32),
    /// The same with a mask.
    Ipv4Mask(String, String),
    /// An IPv6 address, as it was written.
    Ipv6(Ipv6Addr, String),
    /// The same with the length of a prefix.
    Ipv6Prefix(Ipv6Addr, String, u32),
    /// An Ethernet address.
    Mac48([u8; 6]),
    /// An ARCnet address.
    Mac8(u8),
}

/// A step of a computation on a stack of numbers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Step {
    /// Pushes a number.
    Number(u32),
    /// Pushes the packet's length.
    Len,
    /// Replaces an index by what stands there in the header of a protocol: so many bytes.
    Load(Protocol, u32),
    /// The same for a transport protocol behind IPv6's header.
    LoadBehindIp6(Protocol, u32),
    /// Replaces the two on top.
    Op(Op),
    /// Replaces the one on top.
    Negate,
}

/// A computation, each step with its place in the text.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Arithmetic(pub Vec<(Step, Range<usize>)>);

/// The `byte` primitive's comparison.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs, reason = "the names say it")]
pub enum ByteOp {
    Equal,
    Less,
    Greater,
    And,
    Or,
}

/// A condition that does not join others.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Primitive {
    /// An identifier with what stands before it.
    Id(Qualifiers, Id),
    /// An identifier behind something that has no qualifiers to give on.
    Unqualified,
    /// A protocol by itself.
    Protocol(Protocol),
    /// `left cond right`, or its opposite.
    Relation {
        /// Left side.
        left: Arithmetic,
        /// Condition.
        cond: Cond,
        /// Whether its opposite is meant.
        opposite: bool,
        /// Right side.
        right: Arithmetic,
    },
    /// `broadcast`.
    Broadcast(Option<Protocol>),
    /// `multicast`.
    Multicast(Option<Protocol>),
    /// `less N`: at most N bytes.
    Less(u32),
    /// `greater N`: at least N bytes.
    Greater(u32),
    /// `byte N op N`.
    Byte(u32, ByteOp, u32),
    /// `inbound`, and its opposite.
    Inbound,
    /// `outbound`.
    Outbound,
    /// `ifindex N`.
    IfIndex(u32),
    /// `vlan [N]`.
    Vlan(Option<u32>),
    /// `mpls [N]`.
    Mpls(Option<u32>),
    /// `pppoed`.
    Pppoed,
    /// `pppoes [N]`.
    Pppoes(Option<u32>),
    /// `geneve [N]`.
    Geneve(Option<u32>),
    /// `vxlan [N]`.
    Vxlan(Option<u32>),
    /// Frame control of 802.11: value and mask.
    FrameType(u32, u32),
    /// 802.11's direction.
    FrameDirection(u32),
    /// `llc`, with what its control field must hold.
    Llc(Option<Llc>),
    /// A word that only one kind of link type has, and its message's end.
    Elsewhere(&'static str, &'static str),
}

/// LLC frames by their control field.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Llc {
    /// Information.
    Information,
    /// The control field under a mask.
    Control {
        /// What it must be.
        value: u32,
        /// Of which bits.
        mask: u32,
    },
}

/// Where a condition stands.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Place {
    /// What is wrong where it is wrong: behind qualifiers only the name.
    pub span: Range<usize>,
    /// Where it starts, its own qualifiers included.
    pub start: usize,
}

/// An expression. Conjunctions bind equally, from the left.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Expr {
    /// A condition, with its place.
    Primitive(Box<Primitive>, Place),
    /// The opposite.
    Not(Box<Expr>),
    /// The first, then each with what joins it to all before.
    Chain(Box<Expr>, Vec<(Conjunction, Expr)>),
}

/// What joins two expressions.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs, reason = "the names say it")]
pub enum Conjunction {
    And,
    Or,
}
