//! Headers that hold others: VLAN tags, MPLS labels, PPPoE sessions, GENEVE and VXLAN.
//! Each moves the place of all headers for what stands to its right.

use skep_isa::Size;
use skep_isa::classic::{Ancillary, Cond, Insn, Op, Operand, Reg};

use super::load::Place;
use super::port::UDP;
use super::state::{Base, IP6_HEADER, LABEL, Offset};
use super::{Generator, Made, Term};
use crate::pcap::Error;
use crate::pcap::ast::Direction;
use crate::pcap::link::{Kind, Link, Radio};

/// Numbers of VLAN tags: 802.1Q, 802.1ad, and the one before it.
const TAGS: [u32; 3] = [0x8100, 0x88a8, 0x9100];
const MPLS: u32 = 0x8847;
/// MPLS by PPP's numbers.
const PPP_MPLS: u32 = 0x0281;
const PPPOE_SESSION: u32 = 0x8864;
/// Ethernet in GENEVE.
pub(super) const BRIDGING: u32 = 0x6558;

const GENEVE_PORT: u16 = 6081;
const VXLAN_PORT: u16 = 4789;

pub(super) fn k(op: Op, value: u32) -> Insn {
    Insn::Alu(op, Operand::K(value))
}

impl Generator<'_> {
    pub(super) fn vlan(&mut self, tag: Option<u32>) -> Made {
        if self.state.labels > 0 {
            return Err(self.error("no VLAN match after MPLS"));
        }
        let header = self.state.header;
        let found = match self.state.link.kind {
            // Linux takes the first tag out of a packet before a filter sees it.
            Kind::Ethernet
                if self.options.live
                    && self.state.tags == 0
                    && !header.variable
                    && header.constant == 0 =>
            {
                self.vlan_taken_out(tag)?
            }
            Kind::Ethernet => self.vlan_in_packet(tag)?,
            Kind::Wireless(radio) if radio != Radio::Ppi => self.vlan_in_packet(tag)?,
            _ => return Err(self.not_here("vlan")),
        };
        self.state.tags += 1;
        Ok(found)
    }

    fn is_tag(&mut self) -> Made {
        let mut terms = Vec::new();
        for number in TAGS {
            terms.push(self.link_type(number)?);
        }
        Ok(self.code.any(terms))
    }

    fn has_tag(&mut self, tag: u32) -> Made {
        self.at_most("VLAN tag", tag, 0x0fff)?;
        self.masked(Base::Network, 0, Size::H, tag, 0x0fff)
    }

    pub(super) fn vlan_in_packet(&mut self, tag: Option<u32>) -> Made {
        let mut found = self.is_tag()?;
        if let Some(tag) = tag {
            let tag = self.has_tag(tag)?;
            found = self.code.and(found, tag);
        }
        for place in [Place::Payload, Place::LinkType] {
            let offset = self.offset(place);
            offset.constant = offset.constant.wrapping_add(4);
        }
        Ok(found)
    }

    /// The tag is in the metadata, or after all in the packet: then what follows is four
    /// bytes further on, which cells say.
    fn vlan_taken_out(&mut self, tag: Option<u32>) -> Made {
        let present = Insn::LoadAncillary { size: Size::B, what: Ancillary::VlanTagPresent };
        let taken_out = self.code.test_k(vec![present], Cond::Eq, 1);
        let mut in_packet = self.is_tag()?;
        let number = match tag {
            Some(tag) => Some(self.has_tag(tag)?),
            None => None,
        };
        self.state.tags_in_cells = true;
        let mut moved = Vec::new();
        for place in [Place::Payload, Place::LinkType] {
            self.offset(place).variable = true;
            let cell = self.cell_of(place)?;
            moved.extend([Insn::LoadMem(Reg::A, cell), k(Op::Add, 4), Insn::Store(Reg::A, cell)]);
        }
        self.code.prepend(moved, &mut in_packet);
        let mut found = self.code.or(taken_out, in_packet);
        if let Some(mut number) = number {
            // The tag itself comes from where it is.
            let own = self.code.blocks[number.head as usize].code.clone();
            let loads = own.iter().take_while(|insn| !matches!(insn, Insn::Alu(..))).count();
            let tag = Insn::LoadAncillary { size: Size::H, what: Ancillary::VlanTag };
            let choice = vec![
                present,
                Insn::Branch { cond: Cond::Eq, src: Operand::K(1), jt: 0, jf: 2 },
                tag,
                Insn::Ja(loads as u32),
            ];
            self.code.prepend(choice, &mut number);
            found = self.code.and(found, number);
        }
        Ok(found)
    }

    pub(super) fn mpls(&mut self, label: Option<u32>) -> Made {
        const MOST: u32 = 0xfffff;
        const SHIFT: u32 = 12;
        let mut found = match self.state.link.kind {
            _ if self.state.labels > 0 => self.no_bit(Base::PreviousLabel, 2, Size::B, 1)?,
            Kind::Ethernet => self.link_type(MPLS)?,
            // Only this one of those that are PPP.
            Kind::Ppp if self.state.link.number == 9 => self.link_type(PPP_MPLS)?,
            _ => return Err(self.not_here("mpls")),
        };
        if let Some(label) = label {
            self.at_most("MPLS label", label, MOST)?;
            let label = self.masked(Base::Network, 0, Size::W, label << SHIFT, MOST << SHIFT)?;
            found = self.code.and(found, label);
        }
        self.state.network = self.state.network.wrapping_add(LABEL);
        self.state.network_no_snap = self.state.network_no_snap.wrapping_add(LABEL);
        self.state.labels += 1;
        Ok(found)
    }

    pub(super) fn pppoes(&mut self, session: Option<u32>) -> Made {
        let mut found = self.link_type(PPPOE_SESSION)?;
        if let Some(session) = session {
            self.at_most("PPPoE session number", session, 0xffff)?;
            let session = self.equals(Base::Network, 2, Size::H, session)?;
            found = self.code.and(found, session);
        }
        let payload = self.state.payload;
        let constant = payload.constant.wrapping_add(self.state.network).wrapping_add(6);
        let header = Offset { constant, ..payload };
        let ppp = Link::of_number(9).unwrap_or(Link::ETHERNET);
        self.state.push_header(ppp, header);
        self.state.link_type = header;
        self.state.payload.constant = constant.wrapping_add(2);
        self.state.network = 0;
        self.state.network_no_snap = 0;
        Ok(found)
    }

    /// UDP to a port, with a byte and a network's number behind its header; leaves in A and
    /// X what is between the network header and UDP's.
    fn tunnel(
        &mut self,
        is_ip6: bool,
        port: u16,
        (value, mask): (u32, u32),
        network: Option<u32>,
    ) -> Result<Term, Error> {
        let to = Direction::Destination;
        let base = if is_ip6 { Base::Transport6 } else { Base::Transport4 };
        let udp = match is_ip6 {
            true => self.ports6(port, port, Some(UDP), to)?,
            false => self.ports4(port, port, Some(UDP), to)?,
        };
        let flags = self.masked(base, 8, Size::B, value, mask)?;
        let mut found = self.code.and(udp, flags);
        if let Some(network) = network {
            let network = self.masked(base, 12, Size::W, network << 8, 0xffff_ff00)?;
            found = self.code.and(found, network);
        }
        self.behind_ip(is_ip6, found)
    }

    /// Leaves in A and X what is between the network header and what IP carries, after a
    /// test that it does.
    pub(super) fn behind_ip(&mut self, is_ip6: bool, found: Term) -> Result<Term, Error> {
        let mut code = match is_ip6 {
            false => self.ip_header_len()?,
            true => {
                let mut code = self.variable(Place::Payload)?;
                let variable = !code.is_empty();
                code.push(Insn::LoadImm(Reg::A, IP6_HEADER));
                if variable {
                    code.push(Insn::Alu(Op::Add, Operand::X));
                }
                code.push(Insn::Tax);
                code
            }
        };
        if !is_ip6 {
            code.push(Insn::Txa);
        }
        let moved = self.code.test(code, Cond::Eq, Operand::X);
        Ok(self.code.and(found, moved))
    }

    fn tunnels(&mut self, port: u16, flags: (u32, u32), network: Option<u32>) -> Made {
        let four = self.tunnel(false, port, flags, network)?;
        let six = self.tunnel(true, port, flags, network)?;
        Ok(self.code.or(four, six))
    }

    /// Code that finds the inner headers, after a test that they are there.
    pub(super) fn behind(&mut self, outer: Term, code: Vec<Insn>) -> Term {
        let mut inner = self.code.constant(true);
        self.code.prepend(code, &mut inner);
        self.state.encapsulated = true;
        self.state.network = 0;
        self.code.and(outer, inner)
    }

    pub(super) fn variable_offset(&mut self) -> Result<Offset, Error> {
        Ok(Offset { constant: 0, variable: true, cell: Some(self.take_cell()?) })
    }

    pub(super) fn geneve(&mut self, network: Option<u32>) -> Made {
        if let Some(network) = network {
            self.at_most("Geneve VNI", network, 0xff_ffff)?;
        }
        // Version 0.
        let outer = self.tunnels(GENEVE_PORT, (0, 0xc0), network)?;
        let udp = self.state.payload.constant.wrapping_add(self.state.network).wrapping_add(8);
        let link_type = self.variable_offset()?;
        let header = self.variable_offset()?;
        let payload = self.variable_offset()?;
        let cells = [link_type, header, payload].map(|offset| offset.cell.unwrap_or_default());
        let [link_type_cell, header_cell, payload_cell] = cells;
        let code = vec![
            k(Op::Add, udp),
            Insn::Tax,
            // What the header carries; then its length, with options.
            k(Op::Add, 2),
            Insn::Store(Reg::A, link_type_cell),
            Insn::LoadInd { size: Size::B, offset: 0 },
            k(Op::And, 0x3f),
            k(Op::Mul, 4),
            k(Op::Add, 8),
            Insn::Alu(Op::Add, Operand::X),
            Insn::Store(Reg::A, header_cell),
            Insn::LoadInd { size: Size::H, offset: 2 },
            Insn::LoadMem(Reg::X, header_cell),
            Insn::Branch { cond: Cond::Eq, src: Operand::K(BRIDGING), jt: 0, jf: 5 },
            // Ethernet: its own header says what it carries.
            Insn::Txa,
            k(Op::Add, 12),
            Insn::Store(Reg::A, link_type_cell),
            k(Op::Add, 2),
            Insn::Tax,
            Insn::Store(Reg::X, payload_cell),
        ];
        self.state.link_type = link_type;
        self.state.push_header(Generator::inner_ethernet(), header);
        self.state.payload = payload;
        Ok(self.behind(outer, code))
    }

    pub(super) fn vxlan(&mut self, network: Option<u32>) -> Made {
        if self.is_old() {
            return Err(self
                .error("can't parse filter expression: syntax error")
                .hint("`vxlan` came with libpcap 1.11"));
        }
        self.vxlan_header(network)
    }

    pub(super) fn vxlan_header(&mut self, network: Option<u32>) -> Made {
        if let Some(network) = network {
            self.at_most("VXLAN VNI", network, 0xff_ffff)?;
        }
        // A network's number is there.
        let outer = self.tunnels(VXLAN_PORT, (0x08, u32::MAX), network)?;
        let udp = self.state.payload.constant.wrapping_add(self.state.network).wrapping_add(8);
        let header = self.variable_offset()?;
        let link_type = self.variable_offset()?;
        let payload = self.variable_offset()?;
        let cells = [link_type, header, payload].map(|offset| offset.cell.unwrap_or_default());
        let [link_type_cell, header_cell, payload_cell] = cells;
        let code = vec![
            k(Op::Add, udp),
            k(Op::Add, 8),
            Insn::Store(Reg::A, header_cell),
            k(Op::Add, 12),
            Insn::Store(Reg::A, link_type_cell),
            k(Op::Add, 2),
            Insn::Tax,
            Insn::Store(Reg::X, payload_cell),
        ];
        self.state.push_header(Generator::inner_ethernet(), header);
        self.state.link_type = link_type;
        self.state.payload = payload;
        Ok(self.behind(outer, code))
    }
}
