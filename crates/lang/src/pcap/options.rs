//! What an expression is compiled for.

use super::link::Link;
use super::names::{Names, System};

/// Whose language is meant, where libpcap's versions differ.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[allow(missing_docs, reason = "the names are the versions")]
pub enum Libpcap {
    V1_10,
    #[default]
    V1_11,
}

/// What an expression is compiled for.
#[derive(Clone, Copy)]
pub struct Options<'a> {
    /// What the packets' first bytes are.
    pub link: Link,
    /// Bytes that are wanted of a packet that matches.
    pub snaplen: u32,
    /// The mask of the local network, for `ip broadcast`.
    pub netmask: Option<u32>,
    /// Whether the program runs in Linux, where metadata can be read.
    pub live: bool,
    /// Whether packets come from a file, of any system.
    pub file: bool,
    /// Whether headers that carry others are looked through: VLAN tags, MPLS labels, PPPoE,
    /// GENEVE, VXLAN, GRE, IP in IP. A packet is taken if the expression holds at any of
    /// them.
    pub any_encap: bool,
    /// Whether to optimise.
    pub optimize: bool,
    /// Whose language.
    pub libpcap: Libpcap,
    /// Where names come from.
    pub names: &'a dyn Names,
}

impl Default for Options<'_> {
    /// Ethernet, 262,144 bytes, the machine's names, optimised.
    fn default() -> Options<'static> {
        Options {
            link: Link::ETHERNET,
            snaplen: 262_144,
            netmask: None,
            live: false,
            file: false,
            any_encap: false,
            optimize: true,
            libpcap: Libpcap::default(),
            names: &System,
        }
    }
}
