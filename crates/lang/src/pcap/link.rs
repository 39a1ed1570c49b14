//! Link types: what the first bytes of a packet are, by the names and numbers of
//! tcpdump's registry (`DLT_` without the prefix).

/// What stands in front of an 802.11 header.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[allow(missing_docs, reason = "the names are the formats'")]
pub enum Radio {
    None,
    Radiotap,
    Prism,
    Avs,
    Ppi,
}

/// How a link type is read.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Kind {
    /// Ethernet II, 802.3.
    Ethernet,
    /// IPv4 or IPv6 without a header before.
    Raw,
    /// IPv4 only.
    Ipv4,
    /// IPv6 only.
    Ipv6,
    /// Linux's cooked captures.
    Cooked,
    /// Linux's cooked captures, version 2.
    Cooked2,
    /// An address family in some host's byte order.
    Null,
    /// An address family in network byte order.
    Loop,
    /// PPP with address and control bytes.
    Ppp,
    /// 802.11.
    Wireless(Radio),
    /// One that is known by name only: conditions on lengths and bytes work.
    Other,
}

/// A link type.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Link {
    /// Its number in captures.
    pub number: u16,
    /// Its name: `EN10MB`.
    pub name: &'static str,
    /// What it is, in words.
    pub description: &'static str,
    /// How it is read.
    pub kind: Kind,
}

const fn link(number: u16, name: &'static str, description: &'static str, kind: Kind) -> Link {
    Link { number, name, description, kind }
}

/// The link types that are known. Where numbers repeat, the first is meant.
pub const LINKS: &[Link] = &[
    link(1, "EN10MB", "Ethernet", Kind::Ethernet),
    link(101, "RAW", "Raw IP", Kind::Raw),
    link(12, "RAW", "Raw IP", Kind::Raw),
    link(14, "RAW", "Raw IP", Kind::Raw),
    link(228, "IPV4", "Raw IPv4", Kind::Ipv4),
    link(229, "IPV6", "Raw IPv6", Kind::Ipv6),
    link(113, "LINUX_SLL", "Linux cooked v1", Kind::Cooked),
    link(276, "LINUX_SLL2", "Linux cooked v2", Kind::Cooked2),
    link(0, "NULL", "BSD loopback", Kind::Null),
    link(108, "LOOP", "OpenBSD loopback", Kind::Loop),
    link(9, "PPP", "PPP", Kind::Ppp),
    link(50, "PPP_SERIAL", "PPP over serial", Kind::Ppp),
    link(105, "IEEE802_11", "802.11", Kind::Wireless(Radio::None)),
    link(127, "IEEE802_11_RADIO", "802.11 plus radiotap header", Kind::Wireless(Radio::Radiotap)),
    link(119, "PRISM_HEADER", "802.11 plus Prism header", Kind::Wireless(Radio::Prism)),
    link(
        163,
        "IEEE802_11_RADIO_AVS",
        "802.11 plus AVS radio information header",
        Kind::Wireless(Radio::Avs),
    ),
    link(192, "PPI", "Per-Packet Information", Kind::Wireless(Radio::Ppi)),
    link(2, "EN3MB", "Experimental Ethernet (3Mb/s)", Kind::Other),
    link(7, "ARCNET", "ARCNET", Kind::Other),
    link(6, "IEEE802", "Token ring", Kind::Other),
    link(8, "SLIP", "SLIP", Kind::Other),
    link(10, "FDDI", "FDDI", Kind::Other),
    link(104, "C_HDLC", "Cisco HDLC", Kind::Other),
    link(107, "FRELAY", "Frame Relay", Kind::Other),
    link(114, "LTALK", "Localtalk", Kind::Other),
    link(117, "PFLOG", "OpenBSD pflog file", Kind::Other),
    link(122, "IP_OVER_FC", "RFC 2625 IP-over-Fibre Channel", Kind::Other),
    link(189, "USB_LINUX", "USB with Linux header", Kind::Other),
    link(220, "USB_LINUX_MMAPPED", "USB with padded Linux header", Kind::Other),
    link(227, "CAN_SOCKETCAN", "CAN-bus with SocketCAN headers", Kind::Other),
    link(239, "NFLOG", "Linux netfilter log messages", Kind::Other),
    link(249, "USBPCAP", "USB with USBPcap header", Kind::Other),
    link(253, "NETLINK", "Linux netlink", Kind::Other),
    link(195, "IEEE802_15_4", "IEEE 802.15.4 with FCS", Kind::Other),
    link(251, "BLUETOOTH_LE_LL", "Bluetooth Low Energy air interface", Kind::Other),
];

impl Link {
    /// Ethernet.
    pub const ETHERNET: Link = LINKS[0];

    /// The link type with a number in captures.
    pub fn of_number(number: u16) -> Option<Link> {
        LINKS.iter().find(|link| link.number == number).copied()
    }

    /// The link type of a name, with `DLT_` or without, in any case.
    pub fn of_name(name: &str) -> Option<Link> {
        let name = name.strip_prefix("DLT_").unwrap_or(name);
        LINKS.iter().find(|link| link.name.eq_ignore_ascii_case(name)).copied()
    }

    /// Name and words, as messages have them.
    pub fn shown(self) -> String {
        format!("DLT_{} ({})", self.name, self.description)
    }
}
