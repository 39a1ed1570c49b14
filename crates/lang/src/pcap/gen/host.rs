//! Addresses of hosts and networks: IPv4 in IP, ARP and RARP, IPv6, Ethernet, DECnet.

use skep_isa::Size;
use skep_isa::classic::{Cond, Insn, Operand, Reg};

use super::load::Place;
use super::proto::{ARP, DECNET, IP, IP6, RARP};
use super::state::Base;
use super::{Generator, Made};
use crate::pcap::Error;
use crate::pcap::ast::Direction;
use crate::pcap::check::Carrier;
use crate::pcap::link::{Kind, Link};

/// Offsets of source and destination.
const IP_ENDS: (u32, u32) = (12, 16);
const ARP_ENDS: (u32, u32) = (14, 24);
const IP6_ENDS: (u32, u32) = (8, 24);
const ETHERNET_ENDS: (u32, u32) = (6, 0);

impl Generator<'_> {
    /// Joins what is asked of the two ends. 802.11's directions never get here.
    pub(super) fn ends(
        &mut self,
        direction: Direction,
        mut of: impl FnMut(&mut Self, bool) -> Made,
    ) -> Made {
        match direction {
            Direction::Source => of(self, true),
            Direction::Destination => of(self, false),
            Direction::Both => {
                let source = of(self, true)?;
                let destination = of(self, false)?;
                Ok(self.code.and(source, destination))
            }
            _ => {
                let source = of(self, true)?;
                let destination = of(self, false)?;
                Ok(self.code.or(source, destination))
            }
        }
    }

    /// IPv4 addresses; `none` asks for packets that have none of them.
    pub(super) fn hosts(
        &mut self,
        list: &[(u32, u32)],
        carrier: Carrier,
        direction: Direction,
        none: bool,
    ) -> Made {
        let (number, ends) = match carrier {
            Carrier::Ip => (IP, IP_ENDS),
            Carrier::Arp => (ARP, ARP_ENDS),
            Carrier::Rarp => (RARP, ARP_ENDS),
            Carrier::Any => {
                let ip = self.hosts(list, Carrier::Ip, direction, none)?;
                if self.state.labels > 0 {
                    return Ok(ip);
                }
                let arp = self.hosts(list, Carrier::Arp, direction, none)?;
                let rarp = self.hosts(list, Carrier::Rarp, direction, none)?;
                return Ok(self.code.any([ip, arp, rarp]));
            }
        };
        let link = self.link_type(number)?;
        if link.known == Some(false) {
            return Ok(link);
        }
        let mut terms = Vec::new();
        for &(address, mask) in list {
            terms.push(self.ends(direction, |it, source| {
                let offset = if source { ends.0 } else { ends.1 };
                it.masked(Base::Network, offset, Size::W, address, mask)
            })?);
        }
        let any = self.code.any(terms);
        let wanted = if none { self.code.not(any) } else { any };
        Ok(self.code.and(link, wanted))
    }

    pub(super) fn hosts6(&mut self, list: &[(u128, u128)], direction: Direction) -> Made {
        let link = self.link_type(IP6)?;
        let mut terms = Vec::new();
        for &(address, mask) in list {
            terms.push(self.ends(direction, |it, source| {
                let offset = if source { IP6_ENDS.0 } else { IP6_ENDS.1 };
                it.address6(offset, address, mask)
            })?);
        }
        let any = self.code.any(terms);
        Ok(self.code.and(link, any))
    }

    /// The words of an address, the last one first; libpcap 1.10 begins with the first, and
    /// reads those that are not asked for too.
    fn address6(&mut self, offset: u32, address: u128, mask: u128) -> Made {
        let word = |value: u128, index: u32| (value >> (96 - 32 * index)) as u32;
        let order: [u32; 4] = if self.is_old() { [0, 1, 2, 3] } else { [3, 2, 1, 0] };
        let mut terms = Vec::new();
        for index in order {
            let (address, mask) = (word(address, index), word(mask, index));
            if mask != 0 || self.is_old() {
                terms.push(self.masked(
                    Base::Network,
                    offset + 4 * index,
                    Size::W,
                    address,
                    mask,
                )?);
            }
        }
        Ok(self.code.all(terms))
    }

    /// Whether the header in a tunnel is one of Ethernet: of others the payload starts where
    /// the header would.
    fn has_inner_header(&mut self) -> Result<Option<super::Term>, Error> {
        if !self.state.encapsulated {
            return Ok(None);
        }
        let header = self.cell_of(Place::Header)?;
        let payload = self.cell_of(Place::Payload)?;
        let code = vec![Insn::LoadMem(Reg::A, header), Insn::LoadMem(Reg::X, payload)];
        let none = self.code.test(code, Cond::Eq, Operand::X);
        Ok(Some(self.code.not(none)))
    }

    /// Puts a condition on the inner header before one.
    fn inside(&mut self, inner: Option<super::Term>, term: super::Term) -> super::Term {
        match inner {
            Some(inner) => self.code.and(inner, term),
            None => term,
        }
    }

    /// An Ethernet address, by the word that asks for it.
    pub(super) fn mac48(&mut self, address: &[u8; 6], direction: Direction, word: &str) -> Made {
        match self.state.link.kind {
            Kind::Ethernet => {}
            Kind::Wireless(_) => return self.wireless_host(address, direction),
            _ => return Err(self.not_here(word)),
        }
        let inner = self.has_inner_header()?;
        if direction.is_wireless() {
            let text = format!("'{}' is valid for 802.11 syntax only", direction.name());
            return Err(self.error(text));
        }
        let found = self.ends(direction, |it, source| {
            let offset = if source { ETHERNET_ENDS.0 } else { ETHERNET_ENDS.1 };
            it.bytes(Base::LinkHeader, offset, address)
        })?;
        Ok(self.inside(inner, found))
    }

    fn has_mac48(&self) -> bool {
        matches!(self.state.link.kind, Kind::Ethernet | Kind::Wireless(_))
    }

    pub(super) fn ether_name(&mut self, name: &str, direction: Direction, word: &str) -> Made {
        if !self.has_mac48() {
            return Err(self.not_here(word));
        }
        let Some(address) = self.options.names.ether(name) else {
            let text = format!("unknown Ethernet-like host '{name}'");
            return Err(self.error(text).hint("its address must stand in /etc/ethers"));
        };
        self.mac48(&address, direction, word)
    }

    /// Packets that go through a router: its hardware address, but not its own.
    pub(super) fn gateway(&mut self, name: &str, carrier: Carrier) -> Made {
        if self.state.labels > 0 {
            return Err(self.error("'gateway' cannot be used within MPLS"));
        }
        if self.state.encapsulated {
            return Err(self.error("'gateway' cannot be used within VXLAN or Geneve"));
        }
        let ether = self.ether_name(name, Direction::Either, "gateway")?;
        let found = self.options.names.host(name);
        let mut four: Vec<(u32, u32)> = found
            .iter()
            .filter_map(|address| match address {
                std::net::IpAddr::V4(address) => Some((u32::from(*address), u32::MAX)),
                std::net::IpAddr::V6(_) => None,
            })
            .collect();
        four.sort_unstable();
        four.dedup();
        if four.is_empty() {
            return Err(self.error(format!("unknown host '{name}'")));
        }
        let others = self.hosts(&four, carrier, Direction::Either, true)?;
        Ok(self.code.and(ether, others))
    }

    pub(super) fn mac_multicast(&mut self) -> Made {
        match self.state.link.kind {
            Kind::Ethernet => {
                let inner = self.has_inner_header()?;
                let group = self.any_bit(Base::LinkHeader, 0, Size::B, 1)?;
                Ok(self.inside(inner, group))
            }
            Kind::Wireless(_) => self.wireless_multicast(),
            _ => Err(self.not_here("multicast")),
        }
    }

    /// DECnet's addresses stand in four kinds of headers, in little endian.
    pub(super) fn decnet(&mut self, address: u16, direction: Direction) -> Made {
        let link = self.link_type(DECNET)?;
        let swapped = u32::from(address.swap_bytes());
        let found = self.ends(direction, |it, source| it.decnet_end(swapped, source))?;
        Ok(self.code.and(link, found))
    }

    fn decnet_end(&mut self, address: u32, source: bool) -> Made {
        let (short, long) = if source { (3, 15) } else { (1, 7) };
        let at = Base::Network;
        // Long header, with and without a byte of padding.
        let padded = self.masked(at, 2, Size::H, 0x8106, 0xff07)?;
        let equal = self.equals(at, 3 + long, Size::H, address)?;
        let padded_long = self.code.and(padded, equal);
        let plain = self.masked(at, 2, Size::B, 0x06, 0x07)?;
        let equal = self.equals(at, 2 + long, Size::H, address)?;
        let plain_long = self.code.and(plain, equal);
        let longs = self.code.or(plain_long, padded_long);
        // Short header; the destination is in one word with the flags.
        let padded_short = if source {
            let flags = self.masked(at, 2, Size::H, 0x8102, 0xff07)?;
            let equal = self.equals(at, 3 + short, Size::H, address)?;
            self.code.and(flags, equal)
        } else {
            self.masked(at, 2, Size::W, 0x8102_0000 | address, 0xff07_ffff)?
        };
        let rest = self.code.or(padded_short, longs);
        let plain_short = if source {
            let flags = self.masked(at, 2, Size::B, 0x02, 0x07)?;
            let equal = self.equals(at, 2 + short, Size::H, address)?;
            self.code.and(flags, equal)
        } else {
            self.masked(at, 2, Size::W, 0x0200_0000 | address << 8, 0x07ff_ff00)?
        };
        Ok(self.code.or(plain_short, rest))
    }

    /// The link type that GENEVE, VXLAN and others carry.
    pub(super) fn inner_ethernet() -> Link {
        Link::ETHERNET
    }
}
