//! Loads from headers, and tests of what was loaded.

use skep_isa::Size;
use skep_isa::classic::{Cond, Insn, Op, Operand};

use super::state::{Base, IP6_HEADER, LABEL, Offset, load_variable};
use super::{Generator, Made};
use crate::pcap::error::Error;
use crate::pcap::options::Libpcap;

/// Which of the offsets.
#[derive(Clone, Copy)]
pub(super) enum Place {
    Header,
    Payload,
    LinkType,
}

impl Generator<'_> {
    pub(super) fn take_cell(&mut self) -> Result<u32, Error> {
        let cell = self.state.take_cell();
        cell.ok_or_else(|| {
            self.error("too many registers needed to evaluate expression")
                .hint("fewer parentheses within each other, or fewer `vlan`, `geneve`, `vxlan`")
        })
    }

    pub(super) fn offset(&mut self, place: Place) -> &mut Offset {
        match place {
            Place::Header => &mut self.state.header,
            Place::Payload => &mut self.state.payload,
            Place::LinkType => &mut self.state.link_type,
        }
    }

    /// Its cell, made where it has none.
    pub(super) fn cell_of(&mut self, place: Place) -> Result<u32, Error> {
        match self.offset(place).cell {
            Some(cell) => Ok(cell),
            None => {
                let cell = self.take_cell()?;
                self.offset(place).cell = Some(cell);
                Ok(cell)
            }
        }
    }

    /// Loads the variable part of an offset into X: nothing where there is none.
    pub(super) fn variable(&mut self, place: Place) -> Result<Vec<Insn>, Error> {
        match self.offset(place).variable {
            true => Ok(vec![load_variable(self.cell_of(place)?)]),
            false => Ok(Vec::new()),
        }
    }

    /// Loads into X what must be added to the network header to get behind IPv4's.
    pub(super) fn ip_header_len(&mut self) -> Result<Vec<Insn>, Error> {
        let mut code = self.variable(Place::Payload)?;
        let offset = self.state.payload.constant.wrapping_add(self.state.network) as i32;
        if code.is_empty() {
            return Ok(vec![Insn::LoadHeaderLen { offset }]);
        }
        code.extend([
            Insn::LoadInd { size: Size::B, offset },
            Insn::Alu(Op::And, Operand::K(0xf)),
            Insn::Alu(Op::Lsh, Operand::K(2)),
            Insn::Alu(Op::Add, Operand::X),
            Insn::Tax,
        ]);
        Ok(code)
    }

    /// Loads from a place into A.
    pub(super) fn load(&mut self, base: Base, offset: u32, size: Size) -> Result<Vec<Insn>, Error> {
        let (network, no_snap) = (self.state.network, self.state.network_no_snap);
        let (mut code, place, more) = match base {
            Base::Packet => (Vec::new(), None, 0),
            Base::LinkHeader => (self.variable(Place::Header)?, Some(Place::Header), 0),
            Base::LinkType => (self.variable(Place::LinkType)?, Some(Place::LinkType), 0),
            Base::Llc => (self.variable(Place::Payload)?, Some(Place::Payload), 0),
            Base::Network => (self.variable(Place::Payload)?, Some(Place::Payload), network),
            Base::NetworkNoSnap => (self.variable(Place::Payload)?, Some(Place::Payload), no_snap),
            Base::PreviousLabel => {
                let more = network.wrapping_sub(LABEL);
                (self.variable(Place::Payload)?, Some(Place::Payload), more)
            }
            Base::Transport4 => (self.ip_header_len()?, Some(Place::Payload), network),
            Base::Transport6 => {
                let more = network.wrapping_add(IP6_HEADER);
                (self.variable(Place::Payload)?, Some(Place::Payload), more)
            }
        };
        let constant = place.map_or(0, |place| self.offset(place).constant);
        let offset = offset.wrapping_add(constant).wrapping_add(more) as i32;
        code.push(match code.is_empty() {
            true => absolute(size, offset),
            false => Insn::LoadInd { size, offset },
        });
        Ok(code)
    }

    pub(super) fn compare(
        &mut self,
        base: Base,
        offset: u32,
        size: Size,
        cond: Cond,
        value: u32,
    ) -> Made {
        let code = self.load(base, offset, size)?;
        Ok(self.code.test_k(code, cond, value))
    }

    pub(super) fn equals(&mut self, base: Base, offset: u32, size: Size, value: u32) -> Made {
        self.compare(base, offset, size, Cond::Eq, value)
    }

    pub(super) fn at_most_k(&mut self, base: Base, offset: u32, size: Size, most: u32) -> Made {
        let more = self.compare(base, offset, size, Cond::Gt, most)?;
        Ok(self.code.not(more))
    }

    /// Equality under a mask.
    pub(super) fn masked(
        &mut self,
        base: Base,
        offset: u32,
        size: Size,
        value: u32,
        mask: u32,
    ) -> Made {
        if mask == 0 && self.options.libpcap == Libpcap::V1_11 {
            return Ok(self.code.constant(value == 0));
        }
        let mut code = self.load(base, offset, size)?;
        if mask != u32::MAX {
            code.push(Insn::Alu(Op::And, Operand::K(mask)));
        }
        Ok(self.code.test_k(code, Cond::Eq, value))
    }

    /// Whether any bit of a mask is set.
    pub(super) fn any_bit(&mut self, base: Base, offset: u32, size: Size, mask: u32) -> Made {
        self.compare(base, offset, size, Cond::Set, mask)
    }

    pub(super) fn no_bit(&mut self, base: Base, offset: u32, size: Size, mask: u32) -> Made {
        let set = self.any_bit(base, offset, size, mask)?;
        Ok(self.code.not(set))
    }

    /// Bytes that must stand at a place: the last words first.
    pub(super) fn bytes(&mut self, base: Base, offset: u32, bytes: &[u8]) -> Made {
        let mut terms = Vec::new();
        let mut rest = bytes;
        while let Some((start, word)) = rest.split_last_chunk::<4>() {
            let at = offset + start.len() as u32;
            terms.push(self.equals(base, at, Size::W, u32::from_be_bytes(*word))?);
            rest = start;
        }
        while let Some((start, half)) = rest.split_last_chunk::<2>() {
            let at = offset + start.len() as u32;
            terms.push(self.equals(base, at, Size::H, u16::from_be_bytes(*half).into())?);
            rest = start;
        }
        if let Some(&byte) = rest.first() {
            terms.push(self.equals(base, offset, Size::B, byte.into())?);
        }
        Ok(self.code.all(terms))
    }
}

/// A load from the packet's start; offsets that mean metadata are what they are.
fn absolute(size: Size, offset: i32) -> Insn {
    let load = Insn::LoadAbs { size, offset };
    load.encode().decode().unwrap_or(load)
}
