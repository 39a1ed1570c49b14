//! An expression through whatever carries it: it is asked of the packet itself, then behind
//! each row of headers that holds others, in one program that the optimiser makes a tree of.

use skep_isa::Size;
use skep_isa::classic::{Cond, Insn, Op, Operand, Reg};

use super::encap::{BRIDGING, k};
use super::load::Place;
use super::proto::{IP, IP6};
use super::state::{Base, Offset};
use super::{Generator, Made};
use crate::pcap::Error;
use crate::pcap::ast::Expr;
use crate::pcap::link::{Kind, Link};

/// A header that carries others.
#[derive(Clone, Copy)]
enum Carrier {
    Vlan,
    Mpls,
    Pppoe,
    Geneve,
    Vxlan,
    Gre,
    Ip,
}

use Carrier::{Geneve, Gre, Ip, Mpls, Pppoe, Vlan, Vxlan};

/// What an expression is looked for behind, beside the packet itself.
const ROWS: [&[Carrier]; 20] = [
    &[Vlan],
    &[Vlan, Vlan],
    &[Mpls],
    &[Mpls, Mpls],
    &[Mpls, Mpls, Mpls],
    &[Vlan, Mpls],
    &[Vlan, Mpls, Mpls],
    &[Pppoe],
    &[Vlan, Pppoe],
    &[Vlan, Vlan, Pppoe],
    &[Ip],
    &[Gre],
    &[Geneve],
    &[Vxlan],
    &[Vlan, Ip],
    &[Vlan, Gre],
    &[Vlan, Geneve],
    &[Vlan, Vxlan],
    &[Geneve, Vlan],
    &[Vxlan, Vlan],
];

/// IPv4 and IPv6 in IP.
const INNER_IP: [u32; 2] = [4, 41];
const GRE: u32 = 47;

impl Generator<'_> {
    pub(super) fn any_encap(&mut self, expr: &Expr) -> Made {
        // Where all copies find what the start of the program puts into cells.
        if let Kind::Wireless(_) = self.state.outermost.kind {
            self.cell_of(Place::Payload)?;
            if self.state.header.variable {
                self.cell_of(Place::Header)?;
            }
        }
        let start = self.state.clone();
        let mut found = vec![self.expr(expr)?];
        for row in ROWS {
            self.state = start.clone();
            // Rows that the link type does not have, and what cannot be asked behind them
            // (`arp` behind a label, an Ethernet address behind PPP).
            if let Ok(term) = self.behind_row(row, expr) {
                found.push(term);
            }
        }
        self.state = start;
        Ok(self.code.any(found))
    }

    fn behind_row(&mut self, row: &[Carrier], expr: &Expr) -> Made {
        let mut terms = Vec::new();
        for carrier in row {
            terms.push(match carrier {
                // Linux takes only the first tag out of a packet, which then looks as if
                // it had none.
                Vlan => match self.state.link.kind {
                    Kind::Ethernet | Kind::Wireless(_) => self.vlan_in_packet(None)?,
                    _ => return Err(self.not_here("vlan")),
                },
                Mpls => self.mpls(None)?,
                Pppoe => self.pppoes(None)?,
                Geneve => self.geneve(None)?,
                Vxlan => self.vxlan_header(None)?,
                Gre => self.gre()?,
                Ip => self.ip_in_ip()?,
            });
        }
        terms.push(self.expr(expr)?);
        Ok(self.code.all(terms))
    }

    /// IP with one of some protocols; leaves in A and X where those start behind the network
    /// header.
    fn carried(&mut self, numbers: &[u32]) -> Made {
        let mut terms = Vec::new();
        for is_ip6 in [false, true] {
            let ip = self.link_type(if is_ip6 { IP6 } else { IP })?;
            let mut any = Vec::new();
            for &number in numbers {
                any.push(match is_ip6 {
                    true => self.ip6_protocol(number)?,
                    false => self.ip_protocol(number)?,
                });
            }
            let mut found = self.code.any(any);
            if !is_ip6 {
                let first = self.first_fragment()?;
                found = self.code.and(found, first);
            }
            let found = self.code.and(ip, found);
            let base = if is_ip6 { Base::Transport6 } else { Base::Transport4 };
            let found = match numbers {
                // Version 0, without a source route, which nobody sends.
                [GRE] => {
                    let plain = self.masked(base, 0, Size::H, 0, 0x4007)?;
                    self.code.and(found, plain)
                }
                _ => found,
            };
            terms.push(self.behind_ip(is_ip6, found)?);
        }
        Ok(self.code.any(terms))
    }

    /// From the start of the packet to what IP carries, without what is in A.
    fn carried_at(&self) -> u32 {
        self.state.payload.constant.wrapping_add(self.state.network)
    }

    fn ip_in_ip(&mut self) -> Made {
        let outer = self.carried(&INNER_IP)?;
        let at = self.carried_at();
        let header = self.variable_offset()?;
        let cell = self.cell(header)?;
        let raw = Link::of_name("RAW").unwrap_or(Link::ETHERNET);
        self.state.push_header(raw, header);
        self.state.payload = header;
        self.state.network_no_snap = 0;
        let found = self.behind(outer, vec![k(Op::Add, at), Insn::Store(Reg::A, cell)]);
        self.state.encapsulated = false;
        Ok(found)
    }

    fn gre(&mut self) -> Made {
        let outer = self.carried(&[GRE])?;
        let at = self.carried_at();
        let [link_type, header, payload] =
            [self.variable_offset()?, self.variable_offset()?, self.variable_offset()?];
        let (link_type_cell, header_cell) = (self.cell(link_type)?, self.cell(header)?);
        let payload_cell = self.cell(payload)?;
        let flags = Insn::LoadInd { size: Size::B, offset: 0 };
        let code = vec![
            k(Op::Add, at),
            Insn::Tax,
            k(Op::Add, 2),
            Insn::Store(Reg::A, link_type_cell),
            // Four bytes each for a checksum, a key and a sequence number.
            flags,
            k(Op::And, 0x80),
            k(Op::Rsh, 5),
            Insn::Store(Reg::A, payload_cell),
            flags,
            k(Op::And, 0x20),
            k(Op::Rsh, 3),
            Insn::Store(Reg::A, header_cell),
            flags,
            k(Op::And, 0x10),
            k(Op::Rsh, 2),
            Insn::Alu(Op::Add, Operand::X),
            Insn::LoadMem(Reg::X, payload_cell),
            Insn::Alu(Op::Add, Operand::X),
            Insn::LoadMem(Reg::X, header_cell),
            Insn::Alu(Op::Add, Operand::X),
            k(Op::Add, 4),
            Insn::Store(Reg::A, header_cell),
            Insn::Store(Reg::A, payload_cell),
            Insn::LoadMem(Reg::X, link_type_cell),
            Insn::LoadInd { size: Size::H, offset: 0 },
            Insn::Branch { cond: Cond::Eq, src: Operand::K(BRIDGING), jt: 0, jf: 5 },
            // Ethernet: its own header says what it carries.
            Insn::LoadMem(Reg::A, header_cell),
            k(Op::Add, 12),
            Insn::Store(Reg::A, link_type_cell),
            k(Op::Add, 2),
            Insn::Store(Reg::A, payload_cell),
        ];
        self.state.push_header(Generator::inner_ethernet(), header);
        self.state.link_type = link_type;
        self.state.payload = payload;
        Ok(self.behind(outer, code))
    }

    fn cell(&self, offset: Offset) -> Result<u32, Error> {
        offset.cell.ok_or_else(|| self.error("too many registers needed to evaluate expression"))
    }
}
