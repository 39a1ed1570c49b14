//! The code generator: a formula over blocks from an expression, in its order. It does
//! what libpcap's unoptimised code does: the same bytes are read in the same order, so
//! that a packet that ends too early is refused by both.

mod any;
mod arith;
mod code;
mod encap;
mod host;
mod link_type;
mod load;
mod port;
mod prefix;
mod proto;
mod state;
mod wireless;

use std::ops::Range;

use skep_isa::Size;
use skep_isa::classic::{Ancillary, Cond, Insn, Op, Operand, Reg};

use super::ast::{ByteOp, Conjunction, Expr, Llc, Primitive, Protocol};
use super::check::{self, Meaning, at_most};
use super::error::Error;
use super::graph::{self, Plain};
use super::link::Kind;
use super::options::{Libpcap, Options};
use code::{Code, Term};
use state::{Base, State};

pub use code::{Block, Formula};

/// What every step of the generator gives.
type Made = Result<Term, Error>;

/// Writes the program of an expression; of none where it is empty.
///
/// # Errors
/// What the link type does not have, numbers that are too large, names that nobody knows.
pub fn generate(expr: Option<&Expr>, options: &Options<'_>) -> Result<Plain, Error> {
    let Some(expr) = expr else { return Ok(Plain::accept(options.snaplen)) };
    let mut generator = Generator {
        code: Code { folds: options.libpcap == Libpcap::V1_11, ..Code::default() },
        state: State::new(options.link),
        options,
        span: 0..0,
    };
    let term = match options.any_encap {
        true => generator.any_encap(expr)?,
        false => generator.expr(expr)?,
    };
    let term = generator.prefix(term)?;
    Ok(graph::lower(
        &generator.code.blocks,
        &generator.code.formulas,
        term.formula,
        options.snaplen,
    ))
}

struct Generator<'a> {
    code: Code,
    state: State,
    options: &'a Options<'a>,
    /// The condition that is being written.
    span: Range<usize>,
}

impl Generator<'_> {
    fn error(&self, text: impl Into<String>) -> Error {
        Error::new(self.span.clone(), text)
    }

    /// A word that the link type does not have.
    fn not_here(&self, word: &str) -> Error {
        self.error(format!("'{word}' not supported on {}", self.state.link.shown()))
    }

    fn misfit(&self, qualifier: &str, with: &str) -> Error {
        self.error(format!("'{qualifier}' is not a valid qualifier for '{with}'"))
    }

    fn at_most(&self, what: &str, value: u32, most: u32) -> Result<(), Error> {
        at_most(&self.span, what, value, most)
    }

    fn expr(&mut self, expr: &Expr) -> Made {
        match expr {
            Expr::Primitive(primitive, place) => {
                self.span = place.span.clone();
                self.code.span = place.start..place.span.end;
                self.primitive(primitive)
            }
            Expr::Not(inner) => {
                let inner = self.expr(inner)?;
                Ok(self.code.not(inner))
            }
            Expr::Chain(first, rest) => {
                let mut joined = self.expr(first)?;
                for (conjunction, next) in rest {
                    let next = self.expr(next)?;
                    joined = match conjunction {
                        Conjunction::And => self.code.and(joined, next),
                        Conjunction::Or => self.code.or(joined, next),
                    };
                }
                Ok(joined)
            }
        }
    }

    fn primitive(&mut self, primitive: &Primitive) -> Made {
        match primitive {
            Primitive::Id(qualifiers, id) => {
                let meaning =
                    check::meaning(*qualifiers, id, self.span.clone(), self.options.names)?;
                self.meaning(&meaning)
            }
            Primitive::Unqualified => Err(self
                .error("syntax error in filter expression")
                .hint("what stands before it has no qualifiers to inherit: write them out")),
            Primitive::Protocol(protocol) => self.abbreviation(*protocol),
            Primitive::Relation { left, cond, opposite, right } => {
                self.relation(left, *cond, *opposite, right)
            }
            Primitive::Broadcast(protocol) => self.broadcast(*protocol),
            Primitive::Multicast(protocol) => self.multicast(*protocol),
            Primitive::Greater(bytes) => Ok(self.length(Cond::Ge, *bytes)),
            Primitive::Less(bytes) => {
                let more = self.length(Cond::Gt, *bytes);
                Ok(self.code.not(more))
            }
            Primitive::Byte(index, op, value) => self.byte(*index, *op, *value),
            Primitive::Inbound => self.direction("inbound"),
            Primitive::Outbound => self.direction("outbound"),
            Primitive::IfIndex(index) => self.interface(*index),
            Primitive::Vlan(tag) => self.vlan(*tag),
            Primitive::Mpls(label) => self.mpls(*label),
            Primitive::Pppoed => self.link_type(0x8863),
            Primitive::Pppoes(session) => self.pppoes(*session),
            Primitive::Geneve(network) => self.geneve(*network),
            Primitive::Vxlan(network) => self.vxlan(*network),
            Primitive::FrameType(value, mask) => match self.state.link.kind {
                Kind::Wireless(_) => self.masked(Base::LinkHeader, 0, Size::B, *value, *mask),
                _ => Err(self.not_here("type/subtype")),
            },
            Primitive::FrameDirection(value) => match self.state.link.kind {
                Kind::Wireless(_) => self.masked(Base::LinkHeader, 1, Size::B, *value, 3),
                _ => Err(self.not_here("dir")),
            },
            Primitive::Llc(kind) => self.llc(*kind),
            Primitive::Elsewhere(word, place) => {
                Err(self.error(format!("'{word}' supported only on {place}")))
            }
        }
    }

    fn meaning(&mut self, meaning: &Meaning) -> Made {
        match meaning {
            Meaning::Ip(list, carrier, direction) => self.hosts(list, *carrier, *direction, false),
            Meaning::Ip6(list, direction) => self.hosts6(list, *direction),
            Meaning::Both(four, carrier, six, direction) => {
                let mut terms = Vec::new();
                if !four.is_empty() {
                    terms.push(self.hosts(four, *carrier, *direction, false)?);
                }
                if !six.is_empty() {
                    terms.push(self.hosts6(six, *direction)?);
                }
                Ok(self.code.any(terms))
            }
            Meaning::Mac48(address, direction) => {
                self.mac48(address, *direction, "link host XX:XX:XX:XX:XX:XX")
            }
            Meaning::EtherName(name, direction) => {
                self.ether_name(name, *direction, "link host NAME")
            }
            Meaning::Mac8(..) => Err(self.not_here("link host $XX")),
            Meaning::Decnet(address, direction) => self.decnet(*address, *direction),
            Meaning::Gateway(name, carrier) => self.gateway(name, *carrier),
            Meaning::Ports(from, to, protocol, direction) => {
                self.ports(*from, *to, *protocol, *direction)
            }
            Meaning::Protocol(layer, number) => self.protocol(*layer, *number),
            Meaning::Chain(layer, number) => self.protocol_chain(*layer, *number),
        }
    }

    fn length(&mut self, cond: Cond, bytes: u32) -> Term {
        self.code.test_k(vec![Insn::LoadLen(Reg::A)], cond, bytes)
    }

    fn byte(&mut self, index: u32, op: ByteOp, value: u32) -> Made {
        self.at_most("byte argument", value, 255)?;
        let mut code = self.load(Base::LinkHeader, index, Size::B)?;
        let (cond, k, opposite) = match op {
            ByteOp::Equal => (Cond::Eq, value, false),
            ByteOp::Less => (Cond::Ge, value, true),
            ByteOp::Greater => (Cond::Gt, value, false),
            ByteOp::And | ByteOp::Or => {
                let op = if op == ByteOp::And { Op::And } else { Op::Or };
                code.push(Insn::Alu(op, Operand::K(value)));
                (Cond::Eq, 0, true)
            }
        };
        let term = self.code.test_k(code, cond, k);
        Ok(if opposite { self.code.not(term) } else { term })
    }

    fn broadcast(&mut self, protocol: Option<Protocol>) -> Made {
        match protocol {
            None | Some(Protocol::Link) => {
                self.mac48(&[0xff; 6], super::ast::Direction::Destination, "broadcast")
            }
            Some(Protocol::Ip) => {
                let Some(netmask) = self.options.netmask else {
                    let text = "netmask not known, so 'ip broadcast' not supported";
                    return Err(self.error(text).hint("name it: --netmask 255.255.255.0"));
                };
                let ip = self.link_type(proto::IP)?;
                let hosts = !netmask;
                let zeros = self.masked(Base::Network, 16, Size::W, 0, hosts)?;
                let ones = self.masked(Base::Network, 16, Size::W, hosts, hosts)?;
                let either = self.code.or(zeros, ones);
                Ok(self.code.and(ip, either))
            }
            Some(protocol) => Err(self.misfit(protocol.name(), "broadcast")),
        }
    }

    fn multicast(&mut self, protocol: Option<Protocol>) -> Made {
        match protocol {
            None | Some(Protocol::Link) => self.mac_multicast(),
            Some(Protocol::Ip) => {
                let ip = self.link_type(proto::IP)?;
                let group = match self.options.libpcap {
                    Libpcap::V1_11 => self.masked(Base::Network, 16, Size::B, 0xe0, 0xf0)?,
                    // It takes reserved addresses for groups, and the broadcast address.
                    Libpcap::V1_10 => self.compare(Base::Network, 16, Size::B, Cond::Ge, 0xe0)?,
                };
                Ok(self.code.and(ip, group))
            }
            Some(Protocol::Ip6) => {
                let ip6 = self.link_type(proto::IP6)?;
                let group = self.equals(Base::Network, 24, Size::B, 0xff)?;
                Ok(self.code.and(ip6, group))
            }
            Some(protocol) => Err(self.misfit(protocol.name(), "multicast")),
        }
    }

    /// What only a live capture on Linux knows. libpcap 1.10 does not mind: in a file no
    /// packet has it.
    fn only_live(&self, word: &str) -> Result<(), Error> {
        match self.options.live || self.is_old() {
            true => Ok(()),
            false => Err(self.error(format!(
                "not a live capture, '{word}' not supported on {}",
                self.state.link.shown()
            ))),
        }
    }

    fn metadata(&mut self, what: Ancillary, size: Size, value: u32) -> Term {
        self.code.test_k(vec![Insn::LoadAncillary { size, what }], Cond::Eq, value)
    }

    fn interface(&mut self, index: u32) -> Made {
        match self.state.link.kind {
            Kind::Cooked2 => self.equals(Base::LinkHeader, 4, Size::W, index),
            _ => {
                self.only_live("ifindex")?;
                Ok(self.metadata(Ancillary::IfIndex, Size::W, index))
            }
        }
    }

    fn direction(&mut self, word: &'static str) -> Made {
        /// `PACKET_OUTGOING`, which cooked captures have in their headers.
        const OUTGOING: u32 = 4;
        let outgoing = match self.state.link.kind {
            Kind::Cooked => self.equals(Base::LinkHeader, 0, Size::H, OUTGOING)?,
            Kind::Cooked2 => self.equals(Base::LinkHeader, 10, Size::B, OUTGOING)?,
            _ => {
                self.only_live(word)?;
                self.metadata(Ancillary::PacketType, Size::H, OUTGOING)
            }
        };
        Ok(if word == "outbound" { outgoing } else { self.code.not(outgoing) })
    }

    fn llc(&mut self, kind: Option<Llc>) -> Made {
        let is_llc = match self.state.link.kind {
            Kind::Ethernet => {
                let length = self.at_most_k(Base::LinkType, 0, Size::H, link_type::MTU)?;
                let ipx = self.equals(Base::Llc, 0, Size::H, 0xffff)?;
                let other = self.code.not(ipx);
                self.code.and(length, other)
            }
            Kind::Wireless(_) => self.is_data_frame()?,
            _ => return Err(self.not_here("llc")),
        };
        let control = match kind {
            None => return Ok(is_llc),
            Some(Llc::Information) => {
                let code = self.load(Base::Llc, 2, Size::B)?;
                let other = self.code.test_k(code, Cond::Set, 1);
                self.code.not(other)
            }
            Some(Llc::Control { value, mask }) => {
                self.masked(Base::Llc, 2, Size::B, value, mask)?
            }
        };
        Ok(self.code.and(is_llc, control))
    }
}
