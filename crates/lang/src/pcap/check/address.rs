//! IPv4 addresses: whole, in part, with a prefix or a mask.

use std::net::Ipv4Addr;

use super::{Meaning, Subject};
use crate::pcap::Error;
use crate::pcap::ast::{Protocol, Type};

/// The bytes of an address or of its start, and how many bits they are.
fn parts(text: &str) -> Option<(u32, u32)> {
    let mut address = 0;
    let mut bits = 0;
    for part in text.split('.') {
        let digits = !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
        let value = part.parse::<u8>().ok().filter(|_| digits)?;
        address = address << 8 | u32::from(value);
        bits += 8;
    }
    (bits <= 32).then_some((address, bits))
}

/// The address with zeros behind, and the mask of the bytes that were written.
fn whole(text: &str) -> Option<(u32, u32)> {
    let (address, bits) = parts(text)?;
    let shift = |value: u32| value.checked_shl(32 - bits).unwrap_or(0);
    Some((shift(address), shift(u32::MAX)))
}

impl Subject<'_> {
    fn address(&self, text: &str) -> Result<(u32, u32), Error> {
        whole(text).ok_or_else(|| {
            self.error(format!("invalid IPv4 address '{text}'"))
                .hint("each of its numbers is at most 255")
        })
    }

    /// Kinds of identifiers that are numbers and no addresses.
    pub(super) fn no_number(&self, with: &str) -> Result<(), Error> {
        match self.kind() {
            kind @ (Type::Port | Type::PortRange | Type::Proto | Type::ProtoChain) => {
                let kind = kind.name();
                Err(self.error(format!("'{kind}' qualifier applied to IPv4 address{with}")))
            }
            _ => Ok(()),
        }
    }

    pub(super) fn ipv4(&self, text: &str) -> Result<Meaning, Error> {
        self.no_number("")?;
        let found = self.address(text)?;
        match self.kind() {
            Type::Host | Type::Net if self.qualifiers.protocol == Some(Protocol::Link) => {
                let text = format!("illegal link-layer address '{text}'");
                Err(self.error(text).hint("for an IP address leave out `ether`"))
            }
            Type::Host => self.addresses(vec![found], "host <IPv4 address>"),
            Type::Net => self.addresses(vec![found], "net <IPv4 address>"),
            kind => Err(self.misfit(kind.name(), text)),
        }
    }

    pub(super) fn ipv4_prefix(&self, text: &str, length: u32) -> Result<Meaning, Error> {
        self.no_number(" and prefix length")?;
        let (address, _) = self.address(text)?;
        self.at_most("netmask length", length, 32)?;
        let mask = u32::MAX.checked_shl(32 - length).unwrap_or(0);
        self.network(address, mask, &format!("{text}/{length}"))
    }

    pub(super) fn ipv4_mask(&self, text: &str, mask: &str) -> Result<Meaning, Error> {
        self.no_number(" and netmask")?;
        let (address, _) = self.address(text)?;
        let (mask_bits, _) = self.address(mask)?;
        self.network(address, mask_bits, &format!("{text} mask {mask}"))
    }

    fn network(&self, address: u32, mask: u32, shown: &str) -> Result<Meaning, Error> {
        if address & !mask != 0 {
            let network = Ipv4Addr::from(address & mask);
            return Err(self
                .error(format!("non-network bits set in \"{shown}\""))
                .hint(format!("the network's address is {network}")));
        }
        match self.qualifiers.kind {
            Some(Type::Net) => self.addresses(vec![(address, mask)], "net <IPv4 prefix>"),
            _ => Err(self.misfit(self.kind().name(), shown).hint("put `net` before it")),
        }
    }
}
