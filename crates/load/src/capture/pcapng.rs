//! The block format (draft-ietf-opsawg-pcapng): sections, each with its byte order
//! and its interfaces, each of those with its link type and resolution of time.
//!
//! Blocks of kinds that hold no packets are passed over, whatever they are.

use std::io::Read;

use super::source::{Order, Source};
use super::{CaptureError, LinkType, Packet};

/// The type of a section header, which reads the same in both byte orders.
pub(super) const MAGIC: [u8; 4] = [0x0a, 0x0d, 0x0d, 0x0a];

/// Types of blocks.
mod block {
    pub const SECTION: u32 = 0x0a0d_0d0a;
    pub const INTERFACE: u32 = 1;
    /// Obsolete; capture tools wrote it until 2012.
    pub const PACKET: u32 = 2;
    pub const SIMPLE_PACKET: u32 = 3;
    pub const ENHANCED_PACKET: u32 = 6;
}

/// Options of an interface.
mod option {
    pub const RESOLUTION: u16 = 9;
    pub const OFFSET: u16 = 14;
}

/// Interfaces of a section that are remembered; no machine has as many.
const MAX_INTERFACES: usize = 65_536;

/// The section that is being read.
pub(super) struct Section {
    order: Order,
    interfaces: Vec<Interface>,
    /// The last packet's time, in ns.
    time: u64,
}

struct Interface {
    link: LinkType,
    /// Bytes kept of each packet; 0 is all.
    snap_len: u32,
    resolution: Resolution,
    /// Seconds that are added to each time stamp.
    offset: i64,
}

/// Units of time in a second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Resolution {
    /// 10 to the power of this, at most 19.
    Decimal(u8),
    /// 2 to the power of this, at most 63.
    Binary(u8),
}

impl Interface {
    /// Nanoseconds since 1970 of a time stamp, at most what 64 bits hold.
    fn nanoseconds(&self, stamp: u64) -> u64 {
        const SECOND: u128 = 1_000_000_000;
        let stamp = u128::from(stamp);
        let since = match self.resolution {
            Resolution::Decimal(power @ 0..=9) => stamp * 10u128.pow(9 - u32::from(power)),
            Resolution::Decimal(power) => stamp / 10u128.pow(u32::from(power) - 9),
            Resolution::Binary(power) => (stamp * SECOND) >> power,
        };
        let offset = i128::from(self.offset) * SECOND as i128;
        let time = i128::try_from(since).unwrap_or(i128::MAX).saturating_add(offset);
        u64::try_from(time.max(0)).unwrap_or(u64::MAX)
    }
}

impl Section {
    /// Reads the first section header, behind its type.
    pub fn open<R: Read>(source: &mut Source<R>) -> Result<Section, CaptureError> {
        let mut section = Section { order: Order::Little, interfaces: Vec::new(), time: 0 };
        section.start(source)?;
        Ok(section)
    }

    /// A section header, behind its type: the byte order, and a fresh list of
    /// interfaces.
    fn start<R: Read>(&mut self, source: &mut Source<R>) -> Result<(), CaptureError> {
        let head = source.array::<8>("a section header")?;
        self.order = match head[4..] {
            [0x4d, 0x3c, 0x2b, 0x1a] => Order::Little,
            [0x1a, 0x2b, 0x3c, 0x4d] => Order::Big,
            _ => {
                let reason = "the byte-order magic of a section header is wrong";
                return Err(source.malformed(4, reason.into()));
            }
        };
        let len = self.order.u32(&head, 0);
        if len < 28 || !len.is_multiple_of(4) {
            let reason = format!("a section header of {len} bytes, expected 28 or more");
            return Err(source.malformed(8, reason));
        }
        let fields = source.array::<12>("a section header")?;
        let (major, minor) = (self.order.u16(&fields, 0), self.order.u16(&fields, 2));
        if major != 1 {
            let reason = format!("pcapng of version {major}.{minor}, expected 1.0");
            return Err(source.malformed(12, reason));
        }
        source.skip("the options of a section header", u64::from(len) - 28)?;
        self.end(source, len)?;
        self.interfaces.clear();
        Ok(())
    }

    /// The length at the end of a block repeats that at its start.
    fn end<R: Read>(&self, source: &mut Source<R>, len: u32) -> Result<(), CaptureError> {
        let again = self.order.u32(&source.array::<4>("the length at a block's end")?, 0);
        if again == len {
            return Ok(());
        }
        let reason = format!("a block has {len} bytes at its start and {again} at its end");
        Err(source.malformed(4, reason))
    }

    pub fn next_packet<'s, R: Read>(
        &mut self,
        source: &'s mut Source<R>,
    ) -> Result<Option<Packet<'s>>, CaptureError> {
        loop {
            let Some(kind) = source.record("a block's type", 4)? else { return Ok(None) };
            let kind = self.order.u32(kind, 0);
            if kind == block::SECTION {
                self.start(source)?;
                continue;
            }
            let len = self.order.u32(&source.array::<4>("a block's length")?, 0);
            if len < 12 || !len.is_multiple_of(4) {
                let reason = format!("a block of {len} bytes, expected 12 or more, divisible by 4");
                return Err(source.malformed(8, reason));
            }
            let body = len as usize - 12;
            match kind {
                block::INTERFACE => self.interface(source, body)?,
                block::PACKET | block::SIMPLE_PACKET | block::ENHANCED_PACKET => {
                    let found = self.packet(kind, source, body, len)?;
                    let Found { start, captured, wire_len, interface, link } = found;
                    let range = start..start + captured;
                    return source.packet(range, self.time, wire_len, link, interface).map(Some);
                }
                _ => {
                    source.skip("a block", body as u64)?;
                    self.end(source, len)?;
                    continue;
                }
            }
            self.end(source, len)?;
        }
    }

    fn interface<R: Read>(
        &mut self,
        source: &mut Source<R>,
        body: usize,
    ) -> Result<(), CaptureError> {
        let order = self.order;
        let fields = source.exact("an interface block", body)?.to_vec();
        let (link, snap_len) = (order.u16(&fields, 0), order.u32(&fields, 4));
        let mut interface = Interface {
            link: LinkType(link),
            snap_len,
            resolution: Resolution::Decimal(6),
            offset: 0,
        };
        for (code, value) in options(order, fields.get(8..).unwrap_or_default()) {
            match (code, value) {
                (option::RESOLUTION, [power, ..]) => {
                    // The limits are libpcap's: beyond them a second has more units than
                    // 64 bits count.
                    interface.resolution = match power {
                        0..=19 => Resolution::Decimal(*power),
                        0x80..=0xbf => Resolution::Binary(power & 0x7f),
                        _ => {
                            let base = if power >> 7 == 0 { 10 } else { 2 };
                            let reason = format!(
                                "an interface's times (if_tsresol) are in units of \
                                 {base}^-{} s, which is absurd",
                                power & 0x7f
                            );
                            return Err(source.malformed(body, reason));
                        }
                    };
                }
                (option::OFFSET, value) if value.len() >= 8 => {
                    let (first, second) = (order.u32(value, 0), order.u32(value, 4));
                    let (high, low) = match order {
                        Order::Little => (second, first),
                        Order::Big => (first, second),
                    };
                    interface.offset = (u64::from(high) << 32 | u64::from(low)) as i64;
                }
                _ => {}
            }
        }
        if body < 8 {
            return Err(source.malformed(body, format!("an interface block of {body} bytes")));
        }
        if self.interfaces.len() == MAX_INTERFACES {
            return Err(source.malformed(body, format!("more than {MAX_INTERFACES} interfaces")));
        }
        self.interfaces.push(interface);
        Ok(())
    }

    /// Reads a block with a packet to its end, the length there included, so that the
    /// packet stays the last piece that was read.
    fn packet<R: Read>(
        &mut self,
        kind: u32,
        source: &mut Source<R>,
        body: usize,
        len: u32,
    ) -> Result<Found, CaptureError> {
        let order = self.order;
        // The length at the end is read along, and checked below.
        let piece = source.exact("a packet block", body + 4)?;
        let fields = &piece[..body];
        let word = |at| order.u32(fields, at);
        let again = order.u32(piece, body);
        let stamp = |at| u64::from(word(at)) << 32 | u64::from(word(at + 4));
        let (number, stamp, captured, wire_len, start) = match kind {
            block::ENHANCED_PACKET => (word(0), Some(stamp(4)), word(12), word(16), 20),
            block::PACKET => (order.u16(fields, 0).into(), Some(stamp(4)), word(12), word(16), 20),
            // It has no length of its own: the interface's limit says it.
            _ => (0, None, word(0), word(0), 4),
        };
        if body < start {
            return Err(source.malformed(body + 4, format!("a packet block of {len} bytes")));
        }
        if again != len {
            let reason = format!("a block has {len} bytes at its start and {again} at its end");
            return Err(source.malformed(4, reason));
        }
        let Some(interface) = self.interfaces.get(number as usize) else {
            let reason = format!(
                "a packet of interface {number}, the section has {} interfaces",
                self.interfaces.len()
            );
            return Err(source.malformed(body + 4, reason));
        };
        let captured = match (kind, interface.snap_len) {
            (block::SIMPLE_PACKET, limit @ 1..) => captured.min(limit),
            _ => captured,
        };
        if captured as usize > body - start {
            let room = body - start;
            let reason = format!("a packet of {captured} bytes in a block with room for {room}");
            return Err(source.malformed(body + 4, reason));
        }
        if let Some(stamp) = stamp {
            self.time = interface.nanoseconds(stamp);
        }
        let captured = captured as usize;
        Ok(Found { start, captured, wire_len, interface: number, link: interface.link })
    }
}

/// Where a packet is in its block.
struct Found {
    start: usize,
    captured: usize,
    wire_len: u32,
    interface: u32,
    link: LinkType,
}

/// The options at the end of a block, up to the first that does not fit.
fn options(order: Order, mut rest: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let (code, len) = (order.u16(rest, 0), usize::from(order.u16(rest, 2)));
        let value = rest.get(4..4 + len)?;
        rest = rest.get(4 + len.next_multiple_of(4)..).unwrap_or_default();
        (code != 0).then_some((code, value))
    })
}
