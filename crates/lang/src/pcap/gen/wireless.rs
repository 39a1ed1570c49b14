//! 802.11: which of its four addresses is source and which destination depends on where a
//! frame goes.

use skep_isa::Size;

use super::state::Base;
use super::{Generator, Made};
use crate::pcap::ast::Direction;

/// Bits of the first byte: the type, and the subtype.
const TYPE: u32 = 0x0c;
const CONTROL: u32 = 0x04;
const DATA: u32 = 0x08;
const SUBTYPE: u32 = 0xf0;
const CTS: u32 = 0xc0;
const ACK: u32 = 0xd0;

/// Bits of the second byte.
const TO_DS: u32 = 0x01;
const FROM_DS: u32 = 0x02;

impl Generator<'_> {
    pub(super) fn is_data_frame(&mut self) -> Made {
        self.masked(Base::LinkHeader, 0, Size::B, DATA, TYPE)
    }

    /// Whether a bit of a header's byte is set, and then one thing, else another.
    fn either_way(
        &mut self,
        (byte, bit): (u32, u32),
        set: impl FnOnce(&mut Self) -> Made,
        unset: impl FnOnce(&mut Self) -> Made,
    ) -> Made {
        let is_set = self.any_bit(Base::LinkHeader, byte, Size::B, bit)?;
        let one = set(self)?;
        let one = self.code.and(is_set, one);
        let is_unset = self.no_bit(Base::LinkHeader, byte, Size::B, bit)?;
        let other = unset(self)?;
        let other = self.code.and(is_unset, other);
        Ok(self.code.or(other, one))
    }

    /// Control frames have no such addresses.
    fn not_control(&mut self, found: impl FnOnce(&mut Self) -> Made) -> Made {
        let other = self.no_bit(Base::LinkHeader, 0, Size::B, CONTROL)?;
        let found = found(self)?;
        Ok(self.code.and(other, found))
    }

    fn differs(&mut self, value: u32, mask: u32) -> Made {
        let equal = self.masked(Base::LinkHeader, 0, Size::B, value, mask)?;
        Ok(self.code.not(equal))
    }

    /// A transmitter's address is there: but not in CTS and ACK.
    fn has_transmitter(&mut self) -> Made {
        let other = self.differs(CONTROL, TYPE)?;
        let no_cts = self.differs(CTS, SUBTYPE)?;
        let no_ack = self.differs(ACK, SUBTYPE)?;
        let neither = self.code.and(no_cts, no_ack);
        Ok(self.code.or(other, neither))
    }

    pub(super) fn wireless_host(&mut self, address: &[u8; 6], direction: Direction) -> Made {
        let at = |it: &mut Self, offset| it.bytes(Base::LinkHeader, offset, address);
        match direction {
            Direction::Source => self.not_control(|it| {
                it.either_way(
                    (0, DATA),
                    |it| {
                        it.either_way(
                            (1, FROM_DS),
                            |it| it.either_way((1, TO_DS), |it| at(it, 24), |it| at(it, 16)),
                            |it| at(it, 10),
                        )
                    },
                    |it| at(it, 10),
                )
            }),
            Direction::Destination => self.not_control(|it| {
                it.either_way(
                    (0, DATA),
                    |it| it.either_way((1, TO_DS), |it| at(it, 16), |it| at(it, 4)),
                    |it| at(it, 4),
                )
            }),
            Direction::Both => {
                let source = self.wireless_host(address, Direction::Source)?;
                let destination = self.wireless_host(address, Direction::Destination)?;
                Ok(self.code.and(source, destination))
            }
            Direction::Either => {
                let source = self.wireless_host(address, Direction::Source)?;
                let destination = self.wireless_host(address, Direction::Destination)?;
                Ok(self.code.or(source, destination))
            }
            Direction::Addr1 => at(self, 4),
            Direction::Addr2 => {
                let has = self.has_transmitter()?;
                let equal = at(self, 10)?;
                Ok(self.code.and(has, equal))
            }
            Direction::Addr3 => {
                let has = self.differs(CONTROL, TYPE)?;
                let equal = at(self, 16)?;
                Ok(self.code.and(has, equal))
            }
            Direction::Addr4 => {
                let both = TO_DS | FROM_DS;
                let has = self.masked(Base::LinkHeader, 1, Size::B, both, both)?;
                let equal = at(self, 24)?;
                Ok(self.code.and(has, equal))
            }
            Direction::Ra => {
                let data = self.any_bit(Base::LinkHeader, 0, Size::B, DATA)?;
                let equal = at(self, 4)?;
                Ok(self.code.and(data, equal))
            }
            Direction::Ta => {
                let data = self.any_bit(Base::LinkHeader, 0, Size::B, DATA)?;
                let has = self.has_transmitter()?;
                let has = self.code.and(data, has);
                let equal = at(self, 10)?;
                Ok(self.code.and(has, equal))
            }
        }
    }

    pub(super) fn wireless_multicast(&mut self) -> Made {
        let at = |it: &mut Self, offset| it.any_bit(Base::LinkHeader, offset, Size::B, 1);
        self.not_control(|it| {
            it.either_way(
                (0, DATA),
                |it| it.either_way((1, TO_DS), |it| at(it, 16), |it| at(it, 4)),
                |it| at(it, 4),
            )
        })
    }
}
