//! What follows a link header, by link type. Numbers from 0x600 up are Ethernet's; below
//! are LLC's service access points.

use skep_isa::Size;

use super::proto::{AARP, ATALK, IP, IP6};
use super::state::{Base, NOT_SET};
use super::{Generator, Made};
use crate::pcap::link::Kind;

/// The largest number in an Ethernet header that is a length.
pub(super) const MTU: u32 = 1500;

pub(super) const LLC_IP: u32 = 0x06;
pub(super) const LLC_ISO: u32 = 0xfe;
pub(super) const LLC_STP: u32 = 0x42;
pub(super) const LLC_IPX: u32 = 0xe0;
pub(super) const LLC_NETBEUI: u32 = 0xf0;

/// Ethernet's number of IPX.
const IPX: u32 = 0x8137;

/// What a cooked header says of 802.3 frames without LLC, and of those with it.
const COOKED_8023: u32 = 1;
const COOKED_LLC: u32 = 4;

/// Numbers that PPP has of its own.
const PPP: [(u32, u32); 8] = [
    (IP, 0x21),
    (IP6, 0x57),
    (0x6003, 0x27),
    (ATALK, 0x29),
    (0x0600, 0x25),
    (LLC_ISO, 0x23),
    (LLC_STP, 0x31),
    (LLC_IPX, 0x2b),
];

impl Generator<'_> {
    /// Whether the link header says that this follows.
    pub(super) fn link_type(&mut self, number: u32) -> Made {
        if self.state.labels > 0 {
            return self.behind_labels(number);
        }
        match self.state.link.kind {
            Kind::Ethernet => self.ethernet_type(number),
            Kind::Cooked => self.cooked_type(number),
            Kind::Wireless(_) => {
                let data = self.is_data_frame()?;
                let llc = self.llc_type(number)?;
                Ok(self.code.and(data, llc))
            }
            Kind::Raw => match number {
                IP => self.masked(Base::LinkHeader, 0, Size::B, 0x40, 0xf0),
                IP6 => self.masked(Base::LinkHeader, 0, Size::B, 0x60, 0xf0),
                _ => Ok(self.code.constant(false)),
            },
            Kind::Ipv4 => Ok(self.code.constant(number == IP)),
            Kind::Ipv6 => Ok(self.code.constant(number == IP6)),
            Kind::Ppp => {
                let own = PPP.iter().find(|row| row.0 == number).map(|row| row.1);
                let own = own.unwrap_or(number);
                self.at_most("PPP protocol", own, 0xffff)?;
                self.equals(Base::LinkType, 0, Size::H, own)
            }
            Kind::Null | Kind::Loop => self.family(number),
            Kind::Cooked2 => {
                self.at_most("EtherType", number, 0xffff)?;
                self.equals(Base::LinkType, 0, Size::H, number)
            }
            Kind::Other => {
                debug_assert_eq!(self.state.link_type.constant, NOT_SET);
                let link = self.state.link.shown();
                let text = format!("link-layer type filtering not implemented for {link}");
                Err(self.error(text).hint("`len`, `ether[N]` and their like work on any link type"))
            }
        }
    }

    fn behind_labels(&mut self, number: u32) -> Made {
        let version = match number {
            IP => 0x40,
            IP6 => 0x60,
            _ => return Err(self.error("unsupported protocol over mpls")),
        };
        let last = self.any_bit(Base::PreviousLabel, 2, Size::B, 1)?;
        let version = self.masked(Base::Network, 0, Size::B, version, 0xf0)?;
        Ok(self.code.and(last, version))
    }

    fn snap(&mut self, organization: u32, number: u32) -> Made {
        let [_, o1, o2, o3] = organization.to_be_bytes();
        let [_, _, n1, n2] = number.to_be_bytes();
        self.bytes(Base::Llc, 0, &[0xaa, 0xaa, 0x03, o1, o2, o3, n1, n2])
    }

    /// AppleTalk and its ARP: in SNAP, or by their own numbers.
    fn apple_snap(&mut self, number: u32) -> Made {
        self.snap(if number == ATALK { 0x080007 } else { 0 }, number)
    }

    fn ethernet_type(&mut self, number: u32) -> Made {
        match number {
            LLC_ISO | LLC_IP | LLC_NETBEUI => {
                let length = self.at_most_k(Base::LinkType, 0, Size::H, MTU)?;
                let both = self.equals(Base::Llc, 0, Size::H, number << 8 | number)?;
                Ok(self.code.and(length, both))
            }
            LLC_IPX => {
                let sap = self.equals(Base::Llc, 0, Size::B, LLC_IPX)?;
                let bare = self.equals(Base::Llc, 0, Size::H, 0xffff)?;
                let snap = self.snap(0, IPX)?;
                let either = self.code.or(sap, bare);
                let any = self.code.or(snap, either);
                let length = self.at_most_k(Base::LinkType, 0, Size::H, MTU)?;
                let framed = self.code.and(length, any);
                let own = self.equals(Base::LinkType, 0, Size::H, IPX)?;
                Ok(self.code.or(own, framed))
            }
            ATALK | AARP => {
                let length = self.at_most_k(Base::LinkType, 0, Size::H, MTU)?;
                let snap = self.apple_snap(number)?;
                let framed = self.code.and(length, snap);
                let own = self.equals(Base::LinkType, 0, Size::H, number)?;
                Ok(self.code.or(own, framed))
            }
            _ if number <= MTU => {
                self.at_most("LLC DSAP", number, 0xff)?;
                let length = self.at_most_k(Base::LinkType, 0, Size::H, MTU)?;
                let sap = self.equals(Base::LinkType, 2, Size::B, number)?;
                Ok(self.code.and(length, sap))
            }
            _ => {
                self.at_most("EtherType", number, 0xffff)?;
                self.equals(Base::LinkType, 0, Size::H, number)
            }
        }
    }

    fn cooked_type(&mut self, number: u32) -> Made {
        match number {
            LLC_ISO | LLC_IP | LLC_NETBEUI => {
                let llc = self.equals(Base::LinkType, 0, Size::H, COOKED_LLC)?;
                let both = self.equals(Base::Llc, 0, Size::H, number << 8 | number)?;
                Ok(self.code.and(llc, both))
            }
            LLC_IPX => {
                let sap = self.equals(Base::Llc, 0, Size::B, LLC_IPX)?;
                let snap = self.snap(0, IPX)?;
                let either = self.code.or(sap, snap);
                let llc = self.equals(Base::LinkType, 0, Size::H, COOKED_LLC)?;
                let framed = self.code.and(llc, either);
                let bare = self.equals(Base::LinkType, 0, Size::H, COOKED_8023)?;
                let any = self.code.or(bare, framed);
                let own = self.equals(Base::LinkType, 0, Size::H, IPX)?;
                Ok(self.code.or(own, any))
            }
            ATALK | AARP => {
                let llc = self.equals(Base::LinkType, 0, Size::H, COOKED_LLC)?;
                let snap = self.apple_snap(number)?;
                let framed = self.code.and(llc, snap);
                let own = self.equals(Base::LinkType, 0, Size::H, number)?;
                Ok(self.code.or(own, framed))
            }
            _ if number <= MTU => {
                self.at_most("LLC DSAP", number, 0xff)?;
                let llc = self.equals(Base::LinkType, 0, Size::H, COOKED_LLC)?;
                let payload = self.state.payload.constant;
                let sap = self.equals(Base::LinkHeader, payload, Size::B, number)?;
                Ok(self.code.and(llc, sap))
            }
            _ => {
                self.at_most("EtherType", number, 0xffff)?;
                self.equals(Base::LinkType, 0, Size::H, number)
            }
        }
    }

    fn llc_type(&mut self, number: u32) -> Made {
        match number {
            LLC_ISO | LLC_IP | LLC_NETBEUI => {
                self.equals(Base::Llc, 0, Size::H, number << 8 | number)
            }
            ATALK => self.apple_snap(number),
            _ if number <= MTU => {
                self.at_most("LLC DSAP", number, 0xff)?;
                self.equals(Base::Llc, 0, Size::B, number)
            }
            _ => {
                self.at_most("EtherType", number, 0xffff)?;
                self.equals(Base::Llc, 6, Size::H, number)
            }
        }
    }

    /// An address family. Which number IPv6 has depends on the system that captured; a
    /// live capture is Linux's.
    fn family(&mut self, number: u32) -> Made {
        let families: &[u32] = match (number, self.options.file) {
            (IP, _) => &[2],
            (IP6, false) => &[10],
            (IP6, true) => &[24, 28, 30],
            _ => return Ok(self.code.constant(false)),
        };
        let is_null = self.state.link.kind == Kind::Null;
        let swapped: &[bool] = match (is_null, self.options.file) {
            (true, true) => &[false, true],
            (true, false) => &[true],
            (false, _) => &[false],
        };
        let mut terms = Vec::new();
        for &swap in swapped {
            for &family in families {
                let value = if swap { family.swap_bytes() } else { family };
                terms.push(self.equals(Base::LinkHeader, 0, Size::W, value)?);
            }
        }
        Ok(self.code.any(terms))
    }
}
