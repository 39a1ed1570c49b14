//! Ports: of first fragments in IPv4, right behind the header in IPv6.

use skep_isa::Size;
use skep_isa::classic::Cond;

use super::proto::{IP, IP6};
use super::state::Base;
use super::{Generator, Made, Term};
use crate::pcap::Error;
use crate::pcap::Libpcap;
use crate::pcap::ast::Direction;

pub(super) const UDP: u8 = 17;

/// Protocols that have ports, in the order in which they are asked for.
const WITH_PORTS: [u8; 3] = [6, UDP, 132];

impl Generator<'_> {
    pub(super) fn ports(
        &mut self,
        from: u16,
        to: u16,
        protocol: Option<u8>,
        direction: Direction,
    ) -> Made {
        let four = self.ports4(from, to, protocol, direction)?;
        let six = self.ports6(from, to, protocol, direction)?;
        Ok(self.code.or(six, four))
    }

    fn port_ends(&mut self, base: Base, from: u16, to: u16, direction: Direction) -> Made {
        let range = from != to;
        self.ends(direction, |it, source| {
            let offset = if source { 0 } else { 2 };
            if !range {
                return it.equals(base, offset, Size::H, from.into());
            }
            let least = it.compare(base, offset, Size::H, Cond::Ge, from.into())?;
            let most = it.at_most_k(base, offset, Size::H, to.into())?;
            Ok(it.code.and(least, most))
        })
    }

    fn any_protocol(&mut self, protocol: Option<u8>, is_ip6: bool) -> Result<Term, Error> {
        let wanted: &[u8] = protocol.as_ref().map_or(&WITH_PORTS, std::slice::from_ref);
        let mut terms = Vec::new();
        for &number in wanted {
            terms.push(match is_ip6 {
                true => self.ip6_protocol(number.into())?,
                false => self.ip_protocol(number.into())?,
            });
        }
        Ok(self.code.any(terms))
    }

    pub(super) fn ports4(
        &mut self,
        from: u16,
        to: u16,
        protocol: Option<u8>,
        direction: Direction,
    ) -> Made {
        let ends = self.port_ends(Base::Transport4, from, to, direction)?;
        let protocol = self.any_protocol(protocol, false)?;
        let first = self.first_fragment()?;
        let ip = self.link_type(IP)?;
        Ok(self.code.all([ip, protocol, first, ends]))
    }

    pub(super) fn first_fragment(&mut self) -> Made {
        self.no_bit(Base::Network, 6, Size::H, 0x1fff)
    }

    pub(super) fn ports6(
        &mut self,
        from: u16,
        to: u16,
        protocol: Option<u8>,
        direction: Direction,
    ) -> Made {
        let ends = self.port_ends(Base::Transport6, from, to, direction)?;
        let protocol = self.any_protocol(protocol, true)?;
        let ip6 = self.link_type(IP6)?;
        Ok(self.code.all([ip6, protocol, ends]))
    }

    /// Whether this is the language of libpcap 1.10.
    pub(super) fn is_old(&self) -> bool {
        self.options.libpcap == Libpcap::V1_10
    }
}
