//! The words of the language, and the numbers that have names.

use crate::pcap::ast::{Direction, Protocol, Type};

/// A word with a meaning of its own.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs, reason = "the table says which words they are")]
pub enum Keyword {
    Protocol(Protocol),
    Source,
    Destination,
    /// `addr1` to `addr4`, `ra`, `ta`.
    Wireless(Direction),
    /// `host`, `net`, `port`, `portrange`.
    Type(Type),
    Proto,
    ProtoChain,
    Gateway,
    Mask,
    WlanType,
    WlanSubtype,
    WlanDirection,
    Less,
    Greater,
    Byte,
    Broadcast,
    Multicast,
    And,
    Or,
    Not,
    Len,
    Inbound,
    Outbound,
    IfIndex,
    Vlan,
    Mpls,
    Pppoed,
    Pppoes,
    Geneve,
    Vxlan,
    Llc,
    /// A firewall's fields, with the word in libpcap's messages.
    Firewall(&'static str),
    /// ATM's kinds and fields.
    Atm(&'static str),
    /// ATM's fields, which want a value.
    AtmField(&'static str),
    /// SS7's kinds.
    Ss7(&'static str),
    /// SS7's fields, which want a value.
    Ss7Field(&'static str),
}

use Keyword as K;
use Protocol as P;

/// Every word. Some have two spellings.
pub const KEYWORDS: &[(&str, Keyword)] = &[
    ("dst", K::Destination),
    ("src", K::Source),
    ("link", K::Protocol(P::Link)),
    ("ether", K::Protocol(P::Link)),
    ("ppp", K::Protocol(P::Link)),
    ("slip", K::Protocol(P::Link)),
    ("fddi", K::Protocol(P::Link)),
    ("tr", K::Protocol(P::Link)),
    ("wlan", K::Protocol(P::Link)),
    ("arp", K::Protocol(P::Arp)),
    ("rarp", K::Protocol(P::Rarp)),
    ("ip", K::Protocol(P::Ip)),
    ("sctp", K::Protocol(P::Sctp)),
    ("tcp", K::Protocol(P::Tcp)),
    ("udp", K::Protocol(P::Udp)),
    ("icmp", K::Protocol(P::Icmp)),
    ("igmp", K::Protocol(P::Igmp)),
    ("igrp", K::Protocol(P::Igrp)),
    ("pim", K::Protocol(P::Pim)),
    ("vrrp", K::Protocol(P::Vrrp)),
    ("carp", K::Protocol(P::Carp)),
    ("radio", K::Protocol(P::Radio)),
    ("ip6", K::Protocol(P::Ip6)),
    ("icmp6", K::Protocol(P::Icmp6)),
    ("ah", K::Protocol(P::Ah)),
    ("esp", K::Protocol(P::Esp)),
    ("atalk", K::Protocol(P::Atalk)),
    ("aarp", K::Protocol(P::Aarp)),
    ("decnet", K::Protocol(P::Decnet)),
    ("lat", K::Protocol(P::Lat)),
    ("sca", K::Protocol(P::Sca)),
    ("moprc", K::Protocol(P::Moprc)),
    ("mopdl", K::Protocol(P::Mopdl)),
    ("iso", K::Protocol(P::Iso)),
    ("esis", K::Protocol(P::Esis)),
    ("es-is", K::Protocol(P::Esis)),
    ("isis", K::Protocol(P::Isis)),
    ("is-is", K::Protocol(P::Isis)),
    ("l1", K::Protocol(P::L1)),
    ("l2", K::Protocol(P::L2)),
    ("iih", K::Protocol(P::Iih)),
    ("lsp", K::Protocol(P::Lsp)),
    ("snp", K::Protocol(P::Snp)),
    ("csnp", K::Protocol(P::Csnp)),
    ("psnp", K::Protocol(P::Psnp)),
    ("clnp", K::Protocol(P::Clnp)),
    ("stp", K::Protocol(P::Stp)),
    ("ipx", K::Protocol(P::Ipx)),
    ("netbeui", K::Protocol(P::Netbeui)),
    ("host", K::Type(Type::Host)),
    ("net", K::Type(Type::Net)),
    ("port", K::Type(Type::Port)),
    ("portrange", K::Type(Type::PortRange)),
    ("mask", K::Mask),
    ("proto", K::Proto),
    ("protochain", K::ProtoChain),
    ("gateway", K::Gateway),
    ("type", K::WlanType),
    ("subtype", K::WlanSubtype),
    ("direction", K::WlanDirection),
    ("dir", K::WlanDirection),
    ("address1", K::Wireless(Direction::Addr1)),
    ("addr1", K::Wireless(Direction::Addr1)),
    ("address2", K::Wireless(Direction::Addr2)),
    ("addr2", K::Wireless(Direction::Addr2)),
    ("address3", K::Wireless(Direction::Addr3)),
    ("addr3", K::Wireless(Direction::Addr3)),
    ("address4", K::Wireless(Direction::Addr4)),
    ("addr4", K::Wireless(Direction::Addr4)),
    ("ra", K::Wireless(Direction::Ra)),
    ("ta", K::Wireless(Direction::Ta)),
    ("less", K::Less),
    ("greater", K::Greater),
    ("byte", K::Byte),
    ("broadcast", K::Broadcast),
    ("multicast", K::Multicast),
    ("and", K::And),
    ("or", K::Or),
    ("not", K::Not),
    ("len", K::Len),
    ("length", K::Len),
    ("inbound", K::Inbound),
    ("outbound", K::Outbound),
    ("ifindex", K::IfIndex),
    ("vlan", K::Vlan),
    ("mpls", K::Mpls),
    ("pppoed", K::Pppoed),
    ("pppoes", K::Pppoes),
    ("geneve", K::Geneve),
    ("vxlan", K::Vxlan),
    ("llc", K::Llc),
    ("on", K::Firewall("ifname")),
    ("ifname", K::Firewall("ifname")),
    ("rset", K::Firewall("ruleset")),
    ("ruleset", K::Firewall("ruleset")),
    ("rnr", K::Firewall("rnr")),
    ("rulenum", K::Firewall("rnr")),
    ("srnr", K::Firewall("srnr")),
    ("subrulenum", K::Firewall("srnr")),
    ("reason", K::Firewall("reason")),
    ("action", K::Firewall("action")),
    ("lane", K::Atm("lane")),
    ("metac", K::Atm("metac")),
    ("bcc", K::Atm("bcc")),
    ("oam", K::Atm("oam")),
    ("oamf4", K::Atm("oamf4")),
    ("oamf4ec", K::Atm("oamf4ec")),
    ("oamf4sc", K::Atm("oamf4sc")),
    ("sc", K::Atm("sc")),
    ("ilmic", K::Atm("ilmic")),
    ("connectmsg", K::Atm("connectmsg")),
    ("metaconnect", K::Atm("metaconnect")),
    ("vpi", K::AtmField("vpi")),
    ("vci", K::AtmField("vci")),
    ("fisu", K::Ss7("fisu")),
    ("lssu", K::Ss7("lssu")),
    ("lsu", K::Ss7("lssu")),
    ("msu", K::Ss7("msu")),
    ("hfisu", K::Ss7("hfisu")),
    ("hlssu", K::Ss7("hlssu")),
    ("hmsu", K::Ss7("hmsu")),
    ("sio", K::Ss7Field("sio")),
    ("opc", K::Ss7Field("opc")),
    ("dpc", K::Ss7Field("dpc")),
    ("sls", K::Ss7Field("sls")),
    ("hsio", K::Ss7Field("hsio")),
    ("hopc", K::Ss7Field("hopc")),
    ("hdpc", K::Ss7Field("hdpc")),
    ("hsls", K::Ss7Field("hsls")),
];

/// Numbers with names: offsets and values of ICMP, ICMPv6 and TCP.
pub const CONSTANTS: &[(&str, u32)] = &[
    ("icmptype", 0),
    ("icmpcode", 1),
    ("icmp-echoreply", 0),
    ("icmp-unreach", 3),
    ("icmp-sourcequench", 4),
    ("icmp-redirect", 5),
    ("icmp-echo", 8),
    ("icmp-routeradvert", 9),
    ("icmp-routersolicit", 10),
    ("icmp-timxceed", 11),
    ("icmp-paramprob", 12),
    ("icmp-tstamp", 13),
    ("icmp-tstampreply", 14),
    ("icmp-ireq", 15),
    ("icmp-ireqreply", 16),
    ("icmp-maskreq", 17),
    ("icmp-maskreply", 18),
    ("icmp6type", 0),
    ("icmp6code", 1),
    ("icmp6-destinationunreach", 1),
    ("icmp6-packettoobig", 2),
    ("icmp6-timeexceeded", 3),
    ("icmp6-parameterproblem", 4),
    ("icmp6-echo", 128),
    ("icmp6-echoreply", 129),
    ("icmp6-multicastlistenerquery", 130),
    ("icmp6-multicastlistenerreportv1", 131),
    ("icmp6-multicastlistenerdone", 132),
    ("icmp6-routersolicit", 133),
    ("icmp6-routeradvert", 134),
    ("icmp6-neighborsolicit", 135),
    ("icmp6-neighboradvert", 136),
    ("icmp6-redirect", 137),
    ("icmp6-routerrenum", 138),
    ("icmp6-nodeinformationquery", 139),
    ("icmp6-nodeinformationresponse", 140),
    ("icmp6-ineighbordiscoverysolicit", 141),
    ("icmp6-ineighbordiscoveryadvert", 142),
    ("icmp6-multicastlistenerreportv2", 143),
    ("icmp6-homeagentdiscoveryrequest", 144),
    ("icmp6-homeagentdiscoveryreply", 145),
    ("icmp6-mobileprefixsolicit", 146),
    ("icmp6-mobileprefixadvert", 147),
    ("icmp6-certpathsolicit", 148),
    ("icmp6-certpathadvert", 149),
    ("icmp6-multicastrouteradvert", 151),
    ("icmp6-multicastroutersolicit", 152),
    ("icmp6-multicastrouterterm", 153),
    ("tcpflags", 13),
    ("tcp-fin", 0x01),
    ("tcp-syn", 0x02),
    ("tcp-rst", 0x04),
    ("tcp-push", 0x08),
    ("tcp-ack", 0x10),
    ("tcp-urg", 0x20),
    ("tcp-ece", 0x40),
    ("tcp-cwr", 0x80),
];

/// The row of a word.
pub fn keyword(word: &str) -> Option<Keyword> {
    KEYWORDS.iter().find(|row| row.0 == word).map(|row| row.1)
}

/// The number of a name.
pub fn constant(word: &str) -> Option<u32> {
    CONSTANTS.iter().find(|row| row.0 == word).map(|row| row.1)
}

/// The word or name that is nearest to one that is none, for hints.
pub fn nearest(word: &str) -> Option<&'static str> {
    let names = KEYWORDS.iter().map(|row| row.0).chain(CONSTANTS.iter().map(|row| row.0));
    let word: Vec<char> = word.chars().take(40).collect();
    let limit = (word.len() / 3).min(3);
    names
        .map(|name| (distance(&word, name), name))
        .filter(|&(distance, _)| distance > 0 && distance <= limit)
        .min()
        .map(|(_, name)| name)
}

/// Letters to add, remove or change (Levenshtein).
fn distance(word: &[char], name: &str) -> usize {
    let mut row: Vec<usize> = (0..=word.len()).collect();
    for (i, other) in name.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, letter) in word.iter().enumerate() {
            let change = diagonal + usize::from(*letter != other);
            diagonal = row[j + 1];
            row[j + 1] = change.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[word.len()]
}

/// The first spelling of a word.
fn spelling(keyword: Keyword) -> &'static str {
    KEYWORDS.iter().find(|row| row.1 == keyword).map_or("", |row| row.0)
}

impl Protocol {
    /// The word for it.
    pub fn name(self) -> &'static str {
        match self {
            Protocol::Link => "link",
            _ => spelling(Keyword::Protocol(self)),
        }
    }
}
