//! The checker: identifiers become what they mean, or are refused where a qualifier does
//! not go with them. Names are looked up here, but for those that only some link types
//! have: the generator knows at which header it stands.

mod address;
pub mod family;
mod port;

use std::net::{IpAddr, Ipv6Addr};
use std::ops::Range;

use super::Error;
use super::ast::{Direction, Id, Protocol, Qualifiers, Type};
use super::names::{Names, iso_protocol, link_protocol};

/// Where a protocol's number stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs, reason = "the names say it")]
pub enum Layer {
    Link,
    Ip,
    Ip6,
    /// In either IP.
    Any,
    Iso,
    Isis,
}

/// Which packets carry an IPv4 address.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs, reason = "the names say it")]
pub enum Carrier {
    Ip,
    Arp,
    Rarp,
    /// Any of them.
    Any,
}

/// What an identifier means.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Meaning {
    /// IPv4 addresses with masks.
    Ip(Vec<(u32, u32)>, Carrier, Direction),
    /// IPv6 addresses with masks.
    Ip6(Vec<(u128, u128)>, Direction),
    /// Addresses of both kinds.
    Both(Vec<(u32, u32)>, Carrier, Vec<(u128, u128)>, Direction),
    /// An Ethernet address.
    Mac48([u8; 6], Direction),
    /// A name in ethers(5).
    EtherName(String, Direction),
    /// An ARCnet address.
    Mac8(u8, Direction),
    /// A DECnet address.
    Decnet(u16, Direction),
    /// A router by its name.
    Gateway(String, Carrier),
    /// Ports from, to, of an IP protocol or of any that has ports.
    Ports(u16, u16, Option<u8>, Direction),
    /// The number of a protocol.
    Protocol(Layer, u32),
    /// The number of a protocol anywhere in a chain of headers.
    Chain(Layer, u32),
}

/// One identifier to judge.
struct Subject<'a> {
    qualifiers: Qualifiers,
    names: &'a dyn Names,
    span: Range<usize>,
}

/// What an identifier means behind its qualifiers.
///
/// # Errors
/// What does not go together, a name that nobody knows, a number that is too large.
pub fn meaning(
    qualifiers: Qualifiers,
    id: &Id,
    span: Range<usize>,
    names: &dyn Names,
) -> Result<Meaning, Error> {
    let subject = Subject { qualifiers, names, span };
    let is_decnet = qualifiers.protocol == Some(Protocol::Decnet);
    if is_decnet && !matches!(id, Id::Ipv6(..) | Id::Ipv6Prefix(..)) {
        return subject.decnet(id);
    }
    match id {
        Id::Name(name) => subject.name(name),
        Id::Number(number) => subject.number(*number),
        Id::Ipv4(text) => subject.ipv4(text),
        Id::Ipv4Prefix(text, length) => subject.ipv4_prefix(text, *length),
        Id::Ipv4Mask(text, mask) => subject.ipv4_mask(text, mask),
        Id::Ipv6(address, text) => subject.ipv6(*address, text, None),
        Id::Ipv6Prefix(address, text, length) => subject.ipv6(*address, text, Some(*length)),
        Id::Mac48(address) => subject.mac48(*address),
        Id::Mac8(address) => subject.mac8(*address),
    }
}

impl Subject<'_> {
    fn error(&self, text: impl Into<String>) -> Error {
        Error::new(self.span.clone(), text)
    }

    fn direction(&self) -> Direction {
        self.qualifiers.direction.unwrap_or(Direction::Either)
    }

    /// The word of the type, `host` where there is none.
    fn kind(&self) -> Type {
        self.qualifiers.kind.unwrap_or(Type::Host)
    }

    /// A qualifier that does not go with something.
    fn misfit(&self, qualifier: &str, with: &str) -> Error {
        self.error(format!("'{qualifier}' is not a valid qualifier for '{with}'"))
    }

    fn at_most(&self, what: &str, value: u32, most: u32) -> Result<(), Error> {
        at_most(&self.span, what, value, most)
    }

    fn not_wireless(&self) -> Result<(), Error> {
        let direction = self.direction();
        match direction.is_wireless() {
            false => Ok(()),
            true => {
                let text = format!("'{}' is valid for 802.11 syntax only", direction.name());
                Err(self.error(text).hint("use it with a hardware address: `wlan addr1 ...`"))
            }
        }
    }

    /// Which packets hold the IPv4 address of this context.
    fn carrier(&self, context: &str) -> Result<Carrier, Error> {
        Ok(match self.qualifiers.protocol {
            None => Carrier::Any,
            Some(Protocol::Ip) => Carrier::Ip,
            Some(Protocol::Arp) => Carrier::Arp,
            Some(Protocol::Rarp) => Carrier::Rarp,
            Some(protocol) => return Err(self.misfit(protocol.name(), context)),
        })
    }

    fn layer(&self, kind: Type) -> Result<Layer, Error> {
        Ok(match (self.qualifiers.protocol, kind) {
            (None, _) => Layer::Any,
            (Some(Protocol::Ip), _) => Layer::Ip,
            (Some(Protocol::Ip6), _) => Layer::Ip6,
            (Some(Protocol::Link), Type::Proto) => Layer::Link,
            (Some(Protocol::Iso), Type::Proto) => Layer::Iso,
            (Some(Protocol::Isis), Type::Proto) => Layer::Isis,
            (Some(protocol), _) => return Err(self.misfit(protocol.name(), kind.name())),
        })
    }

    fn name(&self, name: &str) -> Result<Meaning, Error> {
        match self.kind() {
            Type::Net => {
                let number = self.names.network(name).filter(|&number| number != 0);
                let unknown = || {
                    self.error(format!("unknown network '{name}'"))
                        .hint("networks are numbers (`net 10.0.0.0/8`) or stand in /etc/networks")
                };
                let network = whole_network(number.ok_or_else(unknown)?);
                self.not_wireless()?;
                let carrier = self.carrier("net <IPv4 network name>")?;
                Ok(Meaning::Ip(vec![network], carrier, self.direction()))
            }
            Type::Host if self.qualifiers.protocol == Some(Protocol::Link) => {
                Ok(Meaning::EtherName(name.into(), self.direction()))
            }
            Type::Host => self.host(name),
            Type::Port => self.port_name(name),
            Type::PortRange => self.port_range(name),
            Type::Gateway => {
                let carrier = self.carrier("gateway")?;
                Ok(Meaning::Gateway(name.into(), carrier))
            }
            Type::Proto => {
                let number = self.protocol(name, Type::Proto)?;
                self.proto(Type::Proto, number)
            }
            Type::ProtoChain => {
                let number = self.protocol(name, Type::ProtoChain)?;
                self.proto(Type::ProtoChain, number)
            }
        }
    }

    fn protocol(&self, name: &str, kind: Type) -> Result<u32, Error> {
        let number = match self.qualifiers.protocol {
            None | Some(Protocol::Ip | Protocol::Ip6) => self.names.protocol(name).map(u32::from),
            Some(Protocol::Link) => link_protocol(name),
            Some(Protocol::Iso) => iso_protocol(name),
            Some(_) => None,
        };
        number.ok_or_else(|| {
            let qualifier = match self.qualifiers.protocol {
                None => kind.name().into(),
                Some(protocol) => format!("{} {}", protocol.name(), kind.name()),
            };
            self.error(format!("unknown '{qualifier}' value '{name}'"))
                .hint("use the protocol's number, or a name that /etc/protocols has")
        })
    }

    fn proto(&self, kind: Type, number: u32) -> Result<Meaning, Error> {
        let layer = self.layer(kind)?;
        match layer {
            Layer::Any | Layer::Ip | Layer::Ip6 => self.at_most("protocol number", number, 255)?,
            Layer::Iso => self.at_most("ISO protocol", number, 255)?,
            Layer::Isis => self.at_most("IS-IS PDU type", number, 31)?,
            // That depends on the link type.
            Layer::Link => {}
        }
        Ok(match kind {
            Type::ProtoChain => Meaning::Chain(layer, number),
            _ => Meaning::Protocol(layer, number),
        })
    }

    fn number(&self, number: u32) -> Result<Meaning, Error> {
        match self.kind() {
            Type::Host | Type::Net if self.qualifiers.protocol == Some(Protocol::Link) => {
                Err(self.error(format!("illegal link-layer address '{number}'")))
            }
            Type::Host => self.addresses(vec![(number, u32::MAX)], "host <IPv4 address>"),
            Type::Net => self.addresses(vec![whole_network(number)], "net <IPv4 address>"),
            Type::Port | Type::PortRange => self.port_number(number),
            kind @ (Type::Proto | Type::ProtoChain) => self.proto(kind, number),
            Type::Gateway => Err(self.misfit("gateway", &number.to_string())),
        }
    }

    fn addresses(&self, list: Vec<(u32, u32)>, context: &str) -> Result<Meaning, Error> {
        self.not_wireless()?;
        Ok(Meaning::Ip(list, self.carrier(context)?, self.direction()))
    }

    /// A host's addresses of the kinds that its qualifier allows.
    fn host(&self, name: &str) -> Result<Meaning, Error> {
        const CONTEXT: &str = "host <Internet hostname>";
        let found = self.names.host(name);
        let protocol = self.qualifiers.protocol;
        let unknown = |family| {
            let hint = "names are looked up as for any program; an address needs no look-up";
            self.error(format!("unknown host '{name}'{family}")).hint(hint)
        };
        if found.is_empty() {
            return Err(unknown(""));
        }
        let (mut four, mut six) = (Vec::new(), Vec::new());
        for address in found {
            match address {
                IpAddr::V4(address) => four.push(u32::from(address)),
                IpAddr::V6(address) => six.push(u128::from(address)),
            }
        }
        if protocol == Some(Protocol::Ip6) {
            four.clear();
        }
        if matches!(protocol, Some(Protocol::Ip | Protocol::Arp | Protocol::Rarp)) {
            six.clear();
        }
        four.sort_unstable();
        four.dedup();
        six.sort_unstable();
        six.dedup();
        if four.is_empty() && six.is_empty() {
            let family = if protocol.is_some() { " for specified address family" } else { "" };
            return Err(unknown(family));
        }
        self.not_wireless()?;
        let carrier = match protocol {
            Some(Protocol::Ip6) => Carrier::Any,
            _ => self.carrier(CONTEXT)?,
        };
        let four = four.into_iter().map(|address| (address, u32::MAX)).collect();
        let six = six.into_iter().map(|address| (address, u128::MAX)).collect();
        Ok(Meaning::Both(four, carrier, six, self.direction()))
    }

    fn mac48(&self, address: [u8; 6]) -> Result<Meaning, Error> {
        match (self.kind(), self.qualifiers.protocol) {
            (Type::Host, Some(Protocol::Link)) => Ok(Meaning::Mac48(address, self.direction())),
            _ => Err(self
                .error("Ethernet address used in non-ether expression")
                .hint("put `ether` before it: `ether host ...`, `ether src ...`")),
        }
    }

    fn mac8(&self, address: u8) -> Result<Meaning, Error> {
        self.not_wireless()?;
        if self.kind() != Type::Host {
            return Err(self.misfit(self.kind().name(), "$XX"));
        }
        if self.qualifiers.protocol != Some(Protocol::Link) {
            let text = "'link' is the only valid proto qualifier for 'host $XX'";
            return Err(self.error(text));
        }
        Ok(Meaning::Mac8(address, self.direction()))
    }

    fn decnet(&self, id: &Id) -> Result<Meaning, Error> {
        let kind = self.kind();
        let misfit = || self.misfit("decnet", kind.name());
        match id {
            Id::Ipv4(_) => self.no_number("")?,
            Id::Ipv4Prefix(..) => self.no_number(" and prefix length")?,
            Id::Ipv4Mask(..) => self.no_number(" and netmask")?,
            _ => {}
        }
        let text = match id {
            Id::Ipv4(text) => text.clone(),
            Id::Number(number) => number.to_string(),
            Id::Mac48(address) => return self.mac48(*address),
            Id::Mac8(address) => return self.mac8(*address),
            _ => return Err(misfit()),
        };
        self.not_wireless()?;
        if kind != Type::Host {
            return Err(misfit());
        }
        let parts = text.split_once('.').and_then(|(area, node)| {
            let (area, node) = (area.parse::<u16>().ok()?, node.parse::<u16>().ok()?);
            (area < 64 && node < 1024).then_some(area << 10 | node)
        });
        let wrong = || {
            self.error(format!("invalid DECnet address '{text}'"))
                .hint("write AREA.NODE: an area up to 63 and a node up to 1023")
        };
        Ok(Meaning::Decnet(parts.ok_or_else(wrong)?, self.direction()))
    }

    fn ipv6(&self, address: Ipv6Addr, text: &str, length: Option<u32>) -> Result<Meaning, Error> {
        let kind = self.kind();
        let what = if length.is_some() { " and prefix length" } else { "" };
        if matches!(kind, Type::Port | Type::PortRange | Type::Proto | Type::ProtoChain) {
            let text = format!("'{}' qualifier applied to IPv6 address{what}", kind.name());
            return Err(self.error(text));
        }
        let written = length.filter(|&length| length != 128);
        let shown = written.map_or(text.into(), |length| format!("{text}/{length}"));
        let length = length.unwrap_or(128);
        if length > 128 {
            return Err(self.error("mask length must be <= 128"));
        }
        let mask = u128::MAX.checked_shl(128 - length).unwrap_or(0);
        let address = u128::from(address);
        if address & !mask != 0 {
            return Err(self
                .error(format!("non-network bits set in \"{text}/{length}\""))
                .hint(format!("the network is {}/{length}", Ipv6Addr::from(address & mask))));
        }
        match kind {
            Type::Host if length != 128 => {
                return Err(self.misfit("host", &shown).hint("put `net` before it"));
            }
            Type::Host | Type::Net => {}
            kind => return Err(self.misfit(kind.name(), &shown)),
        }
        self.not_wireless()?;
        if let Some(protocol) = self.qualifiers.protocol.filter(|&it| it != Protocol::Ip6) {
            let context = match self.qualifiers.kind {
                Some(Type::Host) => "host <IPv6 address>",
                _ => "net <IPv6 prefix>",
            };
            return Err(self.misfit(protocol.name(), context));
        }
        Ok(Meaning::Ip6(vec![(address, mask)], self.direction()))
    }
}

/// A value with an upper limit.
pub fn at_most(span: &Range<usize>, what: &str, value: u32, most: u32) -> Result<(), Error> {
    match value > most {
        false => Ok(()),
        true => {
            let text = format!("{what} {value} greater than maximum {most}");
            Err(Error::new(span.clone(), text))
        }
    }
}

/// A network's number with zeros behind, and the mask of what is not zeros.
fn whole_network(mut number: u32) -> (u32, u32) {
    let mut mask = u32::MAX;
    while number != 0 && number & 0xff00_0000 == 0 {
        number <<= 8;
        mask <<= 8;
    }
    (number, mask)
}
