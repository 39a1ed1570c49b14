//! Ports: numbers, names of services, ranges of both.

use super::{Meaning, Subject};
use crate::pcap::Error;
use crate::pcap::ast::{Protocol, Type};
use crate::pcap::lex::{NumberError, number};

const TCP: u8 = 6;
const UDP: u8 = 17;
const SCTP: u8 = 132;

const PROTOCOLS: [(u8, &str); 3] = [(TCP, "tcp"), (UDP, "udp"), (SCTP, "sctp")];

impl Subject<'_> {
    /// The IP protocol that a qualifier asks for.
    fn port_protocol(&self) -> Result<Option<u8>, Error> {
        match self.qualifiers.protocol {
            None => Ok(None),
            Some(Protocol::Tcp) => Ok(Some(TCP)),
            Some(Protocol::Udp) => Ok(Some(UDP)),
            Some(Protocol::Sctp) => Ok(Some(SCTP)),
            Some(protocol) => Err(self
                .misfit(protocol.name(), self.kind().name())
                .hint("ports belong to tcp, udp and sctp")),
        }
    }

    fn ports(&self, from: u32, to: u32, protocol: Option<u8>) -> Result<Meaning, Error> {
        self.at_most("port number", from, 65535)?;
        self.at_most("port number", to, 65535)?;
        let direction = self.direction();
        if direction.is_wireless() {
            return Err(self.misfit(direction.name(), self.kind().name()));
        }
        let (from, to) = (from.min(to) as u16, from.max(to) as u16);
        Ok(Meaning::Ports(from, to, protocol, direction))
    }

    pub(super) fn port_number(&self, number: u32) -> Result<Meaning, Error> {
        let protocol = self.port_protocol()?;
        self.ports(number, number, protocol)
    }

    /// A service's port, and the protocol that alone has it.
    fn service(&self, name: &str) -> Option<(u32, Option<u8>)> {
        let tcp = self.names.port(name, TCP).map(u32::from);
        let udp = self.names.port(name, UDP).map(u32::from);
        match (tcp, udp) {
            (Some(tcp), Some(udp)) if tcp == udp => Some((tcp, None)),
            (Some(tcp), _) => Some((tcp, Some(TCP))),
            (None, Some(udp)) => Some((udp, Some(UDP))),
            (None, None) => self.names.port(name, SCTP).map(|port| (port.into(), Some(SCTP))),
        }
    }

    /// What the qualifier and the service agree on.
    fn agreed(&self, own: Option<u8>, found: Option<u8>, what: &str) -> Result<Option<u8>, Error> {
        match (own, found) {
            (None, found) => Ok(found),
            (Some(own), Some(found)) if own != found => {
                let name = PROTOCOLS.iter().find(|row| row.0 == found).map_or("", |row| row.1);
                Err(self.error(format!("{what} is {name}")))
            }
            (Some(own), _) => Ok(Some(own)),
        }
    }

    pub(super) fn port_name(&self, name: &str) -> Result<Meaning, Error> {
        let own = self.port_protocol()?;
        let Some((port, found)) = self.service(name) else {
            let hint = match name.split_once('-') {
                Some((from, _)) if from.parse::<u16>().is_ok() => "ranges are `portrange FROM-TO`",
                _ => "use the port's number, or a name that /etc/services has",
            };
            return Err(self.error(format!("unknown port '{name}'")).hint(hint));
        };
        let protocol = self.agreed(own, found, &format!("port '{name}'"))?;
        self.ports(port, port, protocol)
    }

    /// One end of a range.
    fn end(&self, text: &str) -> Result<(u32, Option<u8>), Error> {
        match number(text) {
            Ok(number) => Ok((number, None)),
            Err(NumberError::Large(base)) => {
                Err(self.error(format!("{base} number {text} overflows 32 bits")))
            }
            Err(NumberError::Digit(_)) => {
                let unknown = || self.error(format!("'{text}' is not a valid port"));
                self.service(text).ok_or_else(unknown)
            }
        }
    }

    pub(super) fn port_range(&self, text: &str) -> Result<Meaning, Error> {
        let own = self.port_protocol()?;
        let wrong = |what: &str| Err(self.error(format!("port range '{text}' {what}")));
        let Some((from, to)) = text.split_once('-') else {
            return wrong("contains no hyphen");
        };
        if to.contains('-') {
            return wrong("contains more than one hyphen");
        }
        if from.is_empty() {
            return wrong("has no starting port");
        }
        let (first, one) = self.end(from)?;
        if to.is_empty() {
            return wrong("has no ending port");
        }
        let (last, other) = self.end(to)?;
        let found = one.filter(|_| one == other);
        let protocol = self.agreed(own, found, &format!("port in range '{text}'"))?;
        debug_assert_eq!(self.kind(), Type::PortRange);
        self.ports(first, last, protocol)
    }
}
