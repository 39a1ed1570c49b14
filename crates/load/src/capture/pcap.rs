//! The classic format, pcap-savefile(5): a header of 24 bytes, then records of a
//! header of 16 bytes and the packet.

use std::io::Read;

use super::source::{Order, Source};
use super::{CaptureError, LinkType, Packet};

/// The largest packet that libpcap takes from a file (`MAXIMUM_SNAPLEN`).
const MAX_PACKET: u32 = 262_144;

/// What the magic number says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Flavour {
    order: Order,
    /// Nanoseconds in a unit of a time stamp's second half.
    unit: u64,
}

impl Flavour {
    pub fn of_magic(magic: [u8; 4]) -> Option<Flavour> {
        let (order, unit) = match magic {
            [0xd4, 0xc3, 0xb2, 0xa1] => (Order::Little, 1_000),
            [0xa1, 0xb2, 0xc3, 0xd4] => (Order::Big, 1_000),
            [0x4d, 0x3c, 0xb2, 0xa1] => (Order::Little, 1),
            [0xa1, 0xb2, 0x3c, 0x4d] => (Order::Big, 1),
            _ => return None,
        };
        Some(Flavour { order, unit })
    }
}

/// What the header says about all packets.
pub(super) struct Header {
    flavour: Flavour,
    link: LinkType,
    /// Bytes of each packet that count: libpcap cuts what lies beyond.
    snap_len: u32,
}

impl Header {
    /// Reads the rest of the header, behind the magic number.
    pub fn read<R: Read>(flavour: Flavour, source: &mut Source<R>) -> Result<Header, CaptureError> {
        let fields = source.array::<20>("the file header")?;
        let (major, minor) = (flavour.order.u16(&fields, 0), flavour.order.u16(&fields, 2));
        if major != 2 {
            let reason = format!("pcap of version {major}.{minor}, expected 2.4");
            return Err(source.malformed(20, reason));
        }
        // Above the link type stands the length of a frame's check sequence.
        let link = LinkType(flavour.order.u32(&fields, 16) as u16);
        let snap_len = match flavour.order.u32(&fields, 12) {
            // What cannot be a limit is none.
            0 | 0x8000_0000.. => MAX_PACKET,
            limit => limit,
        };
        Ok(Header { flavour, link, snap_len })
    }

    pub fn next_packet<'s, R: Read>(
        &self,
        source: &'s mut Source<R>,
    ) -> Result<Option<Packet<'s>>, CaptureError> {
        let Some(record) = source.record("a record's header", 16)? else { return Ok(None) };
        let field = |at| self.flavour.order.u32(record, at);
        let (seconds, fraction, captured, wire_len) = (field(0), field(4), field(8), field(12));
        if captured > MAX_PACKET {
            let reason = format!("a packet of {captured} bytes, expected at most {MAX_PACKET}");
            return Err(source.malformed(16, reason));
        }
        let time = u64::from(seconds) * 1_000_000_000 + u64::from(fraction) * self.flavour.unit;
        source.exact("a packet", captured as usize)?;
        let kept = captured.min(self.snap_len) as usize;
        source.packet(0..kept, time, wire_len, self.link, 0).map(Some)
    }
}
