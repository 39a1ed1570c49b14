//! Computations: each step's result goes to a cell, as in an expression every number may
//! be the index of another load.

use skep_isa::Size;
use skep_isa::classic::{Cond, Insn, MAX_INSNS, Op, Operand, Reg};

use super::load::Place;
use super::proto::ip_number;
use super::state::{Base, IP6_HEADER};
use super::{Generator, Made, Term};
use crate::pcap::Error;
use crate::pcap::ast::{Arithmetic, Protocol, Step};
use crate::pcap::link::{Kind, Radio};

/// A number that was computed.
struct Value {
    code: Vec<Insn>,
    /// Where it is.
    cell: u32,
    /// What must hold of the packet for its loads.
    checks: Option<Term>,
}

/// Where a header is: what loads the variable part into X, the constant part, and what must
/// hold.
type Header = (Vec<Insn>, u32, Option<Term>);

impl Generator<'_> {
    pub(super) fn relation(
        &mut self,
        left: &Arithmetic,
        cond: Cond,
        opposite: bool,
        right: &Arithmetic,
    ) -> Made {
        let left = self.value(left)?;
        let right = self.value(right)?;
        let mut code = left.code;
        code.extend(right.code);
        code.extend([Insn::LoadMem(Reg::X, right.cell), Insn::LoadMem(Reg::A, left.cell)]);
        // The optimiser goes as deep as a computation is long.
        if code.len() > MAX_INSNS {
            let text = format!("the computation has more than {MAX_INSNS} instructions");
            return Err(self.error(text).hint("compare parts of it by themselves"));
        }
        let mut found = self.code.test(code, cond, Operand::X);
        if opposite {
            found = self.code.not(found);
        }
        self.state.free_cell(left.cell);
        self.state.free_cell(right.cell);
        // The last one put before is the first one asked; libpcap 1.10 asks for the left
        // side's first.
        let mut order = [left.checks, right.checks];
        if self.is_old() {
            order.reverse();
        }
        for checks in order.into_iter().flatten() {
            found = self.code.and(checks, found);
        }
        Ok(found)
    }

    fn value(&mut self, steps: &Arithmetic) -> Result<Value, Error> {
        let mut stack: Vec<Value> = Vec::new();
        let whole = self.span.clone();
        for (step, span) in &steps.0 {
            self.span = span.clone();
            let value = match *step {
                Step::Number(number) => self.constant(Insn::LoadImm(Reg::A, number))?,
                Step::Len => self.constant(Insn::LoadLen(Reg::A))?,
                Step::Load(protocol, size) => {
                    let index = self.pop(&mut stack)?;
                    self.header_bytes(|it| it.header(protocol), index, size)?
                }
                Step::LoadBehindIp6(protocol, size) => {
                    let index = self.pop(&mut stack)?;
                    self.header_bytes(|it| it.header_behind_ip6(protocol), index, size)?
                }
                Step::Negate => {
                    let mut value = self.pop(&mut stack)?;
                    let cell = value.cell;
                    value.code.extend([
                        Insn::LoadMem(Reg::A, cell),
                        Insn::Neg,
                        Insn::Store(Reg::A, cell),
                    ]);
                    value
                }
                Step::Op(op) => {
                    let right = self.pop(&mut stack)?;
                    let left = self.pop(&mut stack)?;
                    self.operation(op, left, right)?
                }
            };
            stack.push(value);
        }
        self.span = whole;
        self.pop(&mut stack)
    }

    /// The parser leaves exactly one number.
    fn pop(&self, stack: &mut Vec<Value>) -> Result<Value, Error> {
        stack.pop().ok_or_else(|| self.error("the computation is empty"))
    }

    fn constant(&mut self, load: Insn) -> Result<Value, Error> {
        let cell = self.take_cell()?;
        Ok(Value { code: vec![load, Insn::Store(Reg::A, cell)], cell, checks: None })
    }

    fn operation(&mut self, op: Op, left: Value, right: Value) -> Result<Value, Error> {
        if let Some(&Insn::LoadImm(Reg::A, k)) = right.code.first() {
            match op {
                Op::Div if k == 0 => return Err(self.error("division by zero")),
                Op::Mod if k == 0 => return Err(self.error("modulus by zero")),
                Op::Lsh | Op::Rsh if k > 31 => {
                    return Err(self.error("shift by more than 31 bits"));
                }
                _ => {}
            }
        }
        let mut code = left.code;
        code.extend(right.code);
        code.extend([
            Insn::LoadMem(Reg::X, right.cell),
            Insn::LoadMem(Reg::A, left.cell),
            Insn::Alu(op, Operand::X),
        ]);
        self.state.free_cell(left.cell);
        self.state.free_cell(right.cell);
        let cell = self.take_cell()?;
        code.push(Insn::Store(Reg::A, cell));
        // libpcap lets a right side's conditions go: its loads stand on their own.
        Ok(Value { code, cell, checks: left.checks })
    }

    fn header_bytes(
        &mut self,
        header: impl FnOnce(&mut Self) -> Result<Header, Error>,
        index: Value,
        size: u32,
    ) -> Result<Value, Error> {
        let cell = self.take_cell()?;
        self.state.free_cell(index.cell);
        let size = match size {
            1 => Size::B,
            2 => Size::H,
            4 => Size::W,
            _ => return Err(self.error("data size must be 1, 2, or 4")),
        };
        let (variable, constant, checks) = header(self)?;
        let mut code = index.code;
        code.extend(match variable.is_empty() {
            true => vec![Insn::LoadMem(Reg::X, index.cell)],
            false => {
                let mut sum = variable;
                sum.extend([
                    Insn::LoadMem(Reg::A, index.cell),
                    Insn::Alu(Op::Add, Operand::X),
                    Insn::Tax,
                ]);
                sum
            }
        });
        code.push(Insn::LoadInd { size, offset: constant as i32 });
        code.push(Insn::Store(Reg::A, cell));
        let checks = match (index.checks, checks) {
            (Some(one), Some(other)) => Some(self.code.and(one, other)),
            (one, other) => one.or(other),
        };
        Ok(Value { code, cell, checks })
    }

    /// Where a transport header is behind an IPv6 header without extensions, as for ports.
    fn header_behind_ip6(&mut self, protocol: Protocol) -> Result<Header, Error> {
        let network = self.state.payload.constant.wrapping_add(self.state.network);
        let variable = self.variable(Place::Payload)?;
        let ip6 = self.abbreviation(Protocol::Ip6)?;
        let number = self.ip6_protocol(ip_number(protocol).unwrap_or_default())?;
        Ok((variable, network.wrapping_add(IP6_HEADER), Some(self.code.and(ip6, number))))
    }

    /// Where the header of a protocol is.
    fn header(&mut self, protocol: Protocol) -> Result<Header, Error> {
        let network = self.state.payload.constant.wrapping_add(self.state.network);
        Ok(match protocol {
            Protocol::Link => (self.variable(Place::Header)?, self.state.header.constant, None),
            Protocol::Radio => match self.state.link.kind {
                Kind::Wireless(Radio::Radiotap | Radio::Prism | Radio::Avs) => {
                    (Vec::new(), 0, None)
                }
                _ => return Err(self.error("radio information not present in capture")),
            },
            Protocol::Ip
            | Protocol::Arp
            | Protocol::Rarp
            | Protocol::Atalk
            | Protocol::Decnet
            | Protocol::Sca
            | Protocol::Lat
            | Protocol::Moprc
            | Protocol::Mopdl
            | Protocol::Ip6 => {
                let variable = self.variable(Place::Payload)?;
                let checks = self.abbreviation(protocol)?;
                (variable, network, Some(checks))
            }
            Protocol::Sctp
            | Protocol::Tcp
            | Protocol::Udp
            | Protocol::Icmp
            | Protocol::Igmp
            | Protocol::Igrp
            | Protocol::Pim
            | Protocol::Vrrp
            | Protocol::Carp => {
                let variable = self.ip_header_len()?;
                let ip = self.abbreviation(Protocol::Ip)?;
                let number = self.ip_protocol(ip_number(protocol).unwrap_or_default())?;
                let first = self.first_fragment()?;
                (variable, network, Some(self.code.all([ip, number, first])))
            }
            Protocol::Icmp6 => {
                let ip6 = self.abbreviation(Protocol::Ip6)?;
                let number = self.equals(Base::Network, 6, Size::B, 58)?;
                let checks = self.code.and(ip6, number);
                let variable = self.variable(Place::Payload)?;
                (variable, network.wrapping_add(IP6_HEADER), Some(checks))
            }
            _ => {
                let text = format!("'{}' does not support the index operation", protocol.name());
                return Err(self.error(text));
            }
        })
    }
}
