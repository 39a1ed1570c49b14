//! Protocols by number and by name.

use skep_isa::Size;
use skep_isa::classic::{Cond, Insn, Op, Operand, Reg};

use super::link_type::{LLC_IPX, LLC_ISO, LLC_NETBEUI, LLC_STP};
use super::load::Place;
use super::state::{Base, IP6_HEADER};
use super::{Generator, Made, Term};
use crate::pcap::ast::Protocol;
use crate::pcap::check::Layer;

pub(super) const IP: u32 = 0x0800;
pub(super) const ARP: u32 = 0x0806;
pub(super) const RARP: u32 = 0x8035;
pub(super) const IP6: u32 = 0x86dd;
pub(super) const ATALK: u32 = 0x809b;
pub(super) const AARP: u32 = 0x80f3;
pub(super) const DECNET: u32 = 0x6003;

const ISIS: u32 = 0x83;
const FRAGMENT: u32 = 44;
const AH: u32 = 51;
const NO_NEXT: u32 = 59;

/// Headers of IPv6 that a chain goes through: hop by hop, destination, routing, fragment.
const EXTENSIONS: [u32; 4] = [0, 60, 43, FRAGMENT];

/// Headers that a `protochain` goes through at most. libpcap's code loops; this is a
/// program that kernels take.
const CHAIN_IP: usize = 4;
const CHAIN_IP6: usize = 6;

/// What a protocol's name stands for.
enum Abbreviation {
    /// The link header's number.
    Link(u32),
    /// A number of IPv4 or IPv6, of one or of both.
    Ip(Layer, u32),
    /// A number of ISO's.
    Iso(u32),
    /// Kinds of IS-IS packets.
    Isis(&'static [u32]),
}

/// The rows of [`Abbreviation`].
fn abbreviation(protocol: Protocol) -> Option<Abbreviation> {
    use Abbreviation as A;
    Some(match protocol {
        Protocol::Ip => A::Link(IP),
        Protocol::Arp => A::Link(ARP),
        Protocol::Rarp => A::Link(RARP),
        Protocol::Ip6 => A::Link(IP6),
        Protocol::Atalk => A::Link(ATALK),
        Protocol::Aarp => A::Link(AARP),
        Protocol::Decnet => A::Link(DECNET),
        Protocol::Sca => A::Link(0x6007),
        Protocol::Lat => A::Link(0x6004),
        Protocol::Mopdl => A::Link(0x6001),
        Protocol::Moprc => A::Link(0x6002),
        Protocol::Iso => A::Link(LLC_ISO),
        Protocol::Stp => A::Link(LLC_STP),
        Protocol::Ipx => A::Link(LLC_IPX),
        Protocol::Netbeui => A::Link(LLC_NETBEUI),
        Protocol::Sctp => A::Ip(Layer::Any, 132),
        Protocol::Tcp => A::Ip(Layer::Any, 6),
        Protocol::Udp => A::Ip(Layer::Any, 17),
        Protocol::Ah => A::Ip(Layer::Any, AH),
        Protocol::Esp => A::Ip(Layer::Any, 50),
        Protocol::Pim => A::Ip(Layer::Any, 103),
        Protocol::Icmp => A::Ip(Layer::Ip, 1),
        Protocol::Igmp => A::Ip(Layer::Ip, 2),
        Protocol::Igrp => A::Ip(Layer::Ip, 9),
        Protocol::Vrrp | Protocol::Carp => A::Ip(Layer::Ip, 112),
        Protocol::Icmp6 => A::Ip(Layer::Ip6, 58),
        Protocol::Esis => A::Iso(0x82),
        Protocol::Isis => A::Iso(ISIS),
        Protocol::Clnp => A::Iso(0x81),
        Protocol::L1 => A::Isis(&[26, 24, 18, 17, 15]),
        Protocol::L2 => A::Isis(&[27, 25, 20, 17, 16]),
        Protocol::Iih => A::Isis(&[17, 15, 16]),
        Protocol::Lsp => A::Isis(&[18, 20]),
        Protocol::Snp => A::Isis(&[27, 26, 25, 24]),
        Protocol::Csnp => A::Isis(&[24, 25]),
        Protocol::Psnp => A::Isis(&[26, 27]),
        Protocol::Link | Protocol::Radio => return None,
    })
}

/// The IPv4 or IPv6 protocol number of those that have one.
pub(super) fn ip_number(protocol: Protocol) -> Option<u32> {
    match abbreviation(protocol)? {
        Abbreviation::Ip(_, number) => Some(number),
        _ => None,
    }
}

impl Generator<'_> {
    pub(super) fn abbreviation(&mut self, protocol: Protocol) -> Made {
        let Some(meaning) = abbreviation(protocol) else {
            let text = format!("'{}' cannot be used as an abbreviation", protocol.name());
            return Err(self.error(text).hint("a qualifier alone is no condition"));
        };
        match meaning {
            Abbreviation::Link(number) => self.link_type(number),
            Abbreviation::Ip(layer, number) => self.protocol(layer, number),
            Abbreviation::Iso(number) => self.protocol(Layer::Iso, number),
            Abbreviation::Isis(kinds) => {
                let mut terms = Vec::new();
                for &kind in kinds {
                    terms.push(self.protocol(Layer::Isis, kind)?);
                }
                Ok(self.code.any(terms))
            }
        }
    }

    pub(super) fn ip_protocol(&mut self, number: u32) -> Made {
        self.equals(Base::Network, 9, Size::B, number)
    }

    pub(super) fn ip6_protocol(&mut self, number: u32) -> Made {
        self.equals(Base::Network, 6, Size::B, number)
    }

    pub(super) fn protocol(&mut self, layer: Layer, number: u32) -> Made {
        match layer {
            Layer::Link => self.link_type(number),
            Layer::Any => {
                let four = self.protocol(Layer::Ip, number)?;
                let six = self.protocol(Layer::Ip6, number)?;
                Ok(self.code.or(four, six))
            }
            Layer::Ip => {
                let ip = self.link_type(IP)?;
                let number = self.ip_protocol(number)?;
                Ok(self.code.and(ip, number))
            }
            Layer::Ip6 => {
                let ip6 = self.link_type(IP6)?;
                let fragment = self.ip6_protocol(FRAGMENT)?;
                let inside = self.equals(Base::Network, IP6_HEADER, Size::B, number)?;
                let inside = self.code.and(fragment, inside);
                let direct = self.ip6_protocol(number)?;
                let either = self.code.or(direct, inside);
                Ok(self.code.and(ip6, either))
            }
            Layer::Iso => {
                let iso = self.link_type(LLC_ISO)?;
                let number = self.equals(Base::NetworkNoSnap, 0, Size::B, number)?;
                Ok(self.code.and(iso, number))
            }
            Layer::Isis => {
                let isis = self.protocol(Layer::Iso, ISIS)?;
                let kind = self.masked(Base::NetworkNoSnap, 4, Size::B, number, 0x1f)?;
                Ok(self.code.and(isis, kind))
            }
        }
    }

    pub(super) fn protocol_chain(&mut self, layer: Layer, number: u32) -> Made {
        let is_ip6 = match layer {
            Layer::Ip => false,
            Layer::Ip6 => true,
            _ => {
                // libpcap holds on to a cell here, which an expression can run out of.
                self.take_cell()?;
                let four = self.protocol_chain(Layer::Ip, number)?;
                let six = self.protocol_chain(Layer::Ip6, number)?;
                return Ok(self.code.or(four, six));
            }
        };
        if self.state.payload.variable {
            return Err(self.error("'protochain' not supported with variable length headers"));
        }
        let saved = self.take_cell()?;
        let link = self.link_type(if is_ip6 { IP6 } else { IP })?;
        let chain = self.chain(is_ip6, number, saved)?;
        self.state.free_cell(saved);
        Ok(self.code.and(link, chain))
    }

    /// Follows the headers: A is the next one's number, X where it stands.
    fn chain(&mut self, is_ip6: bool, number: u32, saved: u32) -> Result<Term, crate::pcap::Error> {
        let network = self.state.payload.constant.wrapping_add(self.state.network) as i32;
        let mut code = self.load(Base::Network, if is_ip6 { 6 } else { 9 }, Size::B)?;
        code.extend(match is_ip6 {
            true => vec![Insn::LoadImm(Reg::X, IP6_HEADER)],
            false => self.ip_header_len()?,
        });
        debug_assert!(self.variable(Place::Payload)?.is_empty());
        let byte = |offset| Insn::LoadInd { size: Size::B, offset };
        let k = |op, value| Insn::Alu(op, Operand::K(value));
        let extension = [
            byte(network),
            Insn::Store(Reg::A, saved),
            byte(network.wrapping_add(1)),
            k(Op::Add, 1),
            k(Op::Mul, 8),
            Insn::Alu(Op::Add, Operand::X),
            Insn::Tax,
            Insn::LoadMem(Reg::A, saved),
        ];
        // libpcap counts an authentication header's length from the start of the packet.
        let authentication = [
            byte(network),
            Insn::Store(Reg::A, saved),
            Insn::Txa,
            k(Op::Add, 1),
            Insn::Tax,
            byte(network),
            k(Op::Add, 2),
            k(Op::Mul, 4),
            Insn::Tax,
            Insn::LoadMem(Reg::A, saved),
        ];
        // What ends the chain goes to the test; distances are filled in below.
        const OUT: u8 = u8::MAX;
        let mut out = Vec::new();
        let rounds = if is_ip6 { CHAIN_IP6 } else { CHAIN_IP };
        for round in 0..rounds {
            let equal = |value, jt, jf| {
                let src = Operand::K(value);
                Insn::Branch { cond: Cond::Eq, src, jt, jf }
            };
            for value in [number, NO_NEXT] {
                out.push(code.len());
                code.push(equal(value, OUT, 0));
            }
            if round + 1 == rounds {
                break;
            }
            if is_ip6 {
                let others = EXTENSIONS.len() as u8;
                for (index, value) in EXTENSIONS.into_iter().enumerate() {
                    // To what handles them, behind the test for the other kind.
                    let ahead = others - index as u8;
                    code.push(equal(value, ahead + authentication.len() as u8 + 1, 0));
                }
            }
            out.push(code.len());
            code.push(equal(AH, 0, OUT));
            code.extend(authentication);
            if is_ip6 {
                code.push(Insn::Ja(extension.len() as u32));
                code.extend(extension);
            }
        }
        Ok(self.chain_end(code, &out, OUT, number))
    }

    /// Points the branches that leave at the test.
    fn chain_end(&mut self, mut code: Vec<Insn>, out: &[usize], mark: u8, number: u32) -> Term {
        let end = code.len();
        for &at in out {
            if let Insn::Branch { jt, jf, .. } = &mut code[at] {
                let distance = (end - at - 1) as u8;
                for target in [jt, jf] {
                    if *target == mark {
                        *target = distance;
                    }
                }
            }
        }
        debug_assert!(end < usize::from(mark));
        self.code.test_k(code, Cond::Eq, number)
    }
}
