//! Captures piece by piece, each as the bytes that it has in the file: what passes the
//! filter is written as it was read, with all options, in the file's own byte order.
//!
//! One buffer, which holds at most one piece that is larger than itself; a length that the
//! file claims is no promise.

use std::io::Read;

/// The largest record or block.
const MAX_PIECE: usize = 16 << 20;

/// Bytes that are read at once: few enough to stay in a core's own cache until they are
/// looked at.
const WINDOW: usize = 1 << 16;

/// Interfaces of a section that are remembered; no machine has as many.
const MAX_INTERFACES: usize = 65_536;

/// Why a capture ends early.
#[derive(Debug)]
pub struct Broken {
    /// What is wrong.
    pub reason: String,
    /// What to do about it.
    pub hint: Option<&'static str>,
}

impl Broken {
    fn new(reason: impl Into<String>) -> Broken {
        Broken { reason: reason.into(), hint: None }
    }
}

/// A piece of a file.
#[derive(Debug)]
pub struct Piece<'a> {
    /// All its bytes.
    pub raw: &'a [u8],
    /// The packet, where it is one.
    pub packet: Option<Packet<'a>>,
}

/// A packet.
#[derive(Debug)]
pub struct Packet<'a> {
    /// What was captured of it.
    pub data: &'a [u8],
    /// Its length on the wire.
    pub len: u32,
    /// The number of its link type.
    pub link: u16,
    /// When it was captured, in nanoseconds since 1970; 0 where the file does not say.
    pub time: u64,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Order {
    Little,
    Big,
}

impl Order {
    fn u32(self, bytes: &[u8], at: usize) -> u32 {
        let field = bytes.get(at..).and_then(|rest| rest.first_chunk()).copied();
        let field = field.unwrap_or_default();
        match self {
            Order::Little => u32::from_le_bytes(field),
            Order::Big => u32::from_be_bytes(field),
        }
    }

    fn u16(self, bytes: &[u8], at: usize) -> u16 {
        let field = bytes.get(at..).and_then(|rest| rest.first_chunk()).copied();
        let field = field.unwrap_or_default();
        match self {
            Order::Little => u16::from_le_bytes(field),
            Order::Big => u16::from_be_bytes(field),
        }
    }
}

#[derive(Debug)]
enum Format {
    /// Records of one link type; before them a header that is still to be given.
    Pcap { link: u16, nanoseconds: bool, header: bool },
    /// Blocks, with the interfaces so far.
    Pcapng { interfaces: Vec<Interface> },
}

/// An interface of a section.
#[derive(Clone, Copy, Debug)]
struct Interface {
    link: u16,
    snaplen: u32,
    /// Parts of a second that time stamps count.
    ticks: u64,
    /// Seconds that are added to them.
    since: i64,
}

/// Options of interfaces: the unit of time stamps, and what is added to them.
const RESOLUTION: u16 = 9;
const SINCE: u16 = 14;

impl Interface {
    fn read(body: &[u8], order: Order) -> Interface {
        let mut interface = Interface {
            link: order.u16(body, 0),
            snaplen: order.u32(body, 4),
            ticks: 1_000_000,
            since: 0,
        };
        let mut rest = body.get(8..).unwrap_or_default();
        while rest.len() >= 4 {
            let (code, len) = (order.u16(rest, 0), usize::from(order.u16(rest, 2)));
            let Some(value) = rest.get(4..4 + len).filter(|_| code != 0) else { break };
            match (code, value) {
                (RESOLUTION, &[unit, ..]) => {
                    let base = if unit & 0x80 == 0 { 10u64 } else { 2 };
                    interface.ticks = base.checked_pow((unit & 0x7f).into()).unwrap_or(u64::MAX);
                }
                (SINCE, value) if len == 8 => {
                    let (one, other) = (order.u32(value, 0), order.u32(value, 4));
                    interface.since = match order {
                        Order::Big => i64::from(one as i32) << 32 | i64::from(other),
                        Order::Little => i64::from(other as i32) << 32 | i64::from(one),
                    };
                }
                _ => {}
            }
            rest = rest.get(4 + len.next_multiple_of(4)..).unwrap_or_default();
        }
        interface
    }

    /// Nanoseconds since 1970 of a time stamp.
    fn time(&self, stamp: u64) -> u64 {
        let second = 1_000_000_000;
        let part = u128::from(stamp % self.ticks) * second / u128::from(self.ticks);
        let seconds = (stamp / self.ticks).saturating_add_signed(self.since);
        seconds.saturating_mul(second as u64).saturating_add(part as u64)
    }
}

/// A file that is read.
#[derive(Debug)]
pub struct Capture<R> {
    input: R,
    window: Vec<u8>,
    /// What of the window is still to be given.
    start: usize,
    end: usize,
    order: Order,
    format: Format,
    offset: u64,
}

/// Bytes before the first record of a pcap file, and before each one.
const PCAP_HEADER: usize = 24;
const PCAP_RECORD: usize = 16;

const SECTION: u32 = 0x0a0d_0d0a;
const INTERFACE: u32 = 1;
const OLD_PACKET: u32 = 2;
const SIMPLE_PACKET: u32 = 3;
const PACKET: u32 = 6;

impl<R: Read> Capture<R> {
    /// Reads a file's first bytes.
    ///
    /// # Errors
    /// It is no capture.
    pub fn new(input: R) -> Result<Capture<R>, Broken> {
        let format = Format::Pcapng { interfaces: Vec::new() };
        let mut capture = Capture {
            input,
            window: vec![0; WINDOW],
            start: 0,
            end: 0,
            order: Order::Little,
            format,
            offset: 0,
        };
        if !capture.have(4)? {
            return Err(Broken::new("is too short for a capture"));
        }
        let magic = Order::Big.u32(&capture.window, 0);
        let order = match magic {
            SECTION => return Ok(capture),
            0xa1b2_c3d4 | 0xa1b2_3c4d => Order::Big,
            0xd4c3_b2a1 | 0x4d3c_b2a1 => Order::Little,
            _ => {
                let hint = "captures are written by `tcpdump -w` and by Wireshark";
                let broken = Broken::new("is no capture, neither pcap nor pcapng");
                return Err(Broken { hint: Some(hint), ..broken });
            }
        };
        if !capture.have(PCAP_HEADER)? {
            return Err(Broken::new("ends within its header"));
        }
        capture.order = order;
        // The upper bits say how long a checksum is behind each packet.
        let link = order.u32(&capture.window, 20) as u16;
        let nanoseconds = matches!(magic, 0xa1b2_3c4d | 0x4d3c_b2a1);
        capture.format = Format::Pcap { link, nanoseconds, header: true };
        Ok(capture)
    }

    /// Bytes that were given so far.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// The link type of the packets, where the file says one for all.
    pub fn link(&self) -> Option<u16> {
        match &self.format {
            Format::Pcap { link, .. } => Some(*link),
            Format::Pcapng { .. } => None,
        }
    }

    /// Makes so many bytes be there; false where the file ends before.
    fn have(&mut self, len: usize) -> Result<bool, Broken> {
        if self.end - self.start >= len {
            return Ok(true);
        }
        self.window.copy_within(self.start..self.end, 0);
        self.end -= self.start;
        self.start = 0;
        while self.end < len {
            if self.end == self.window.len() {
                // As bytes come, so that a length alone takes no memory.
                let grown = (self.window.len() * 2).min(MAX_PIECE + WINDOW);
                self.window.resize(grown, 0);
            }
            match self.input.read(&mut self.window[self.end..]) {
                Ok(0) => return Ok(false),
                Ok(read) => self.end += read,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => return Err(Broken::new(format!("cannot be read: {error}"))),
            }
        }
        Ok(true)
    }

    fn cut(&self, what: &str) -> Broken {
        let reason = format!("offset {}: the file ends within {what}", self.offset);
        Broken {
            hint: Some("what stands before is whole, and was filtered"),
            ..Broken::new(reason)
        }
    }

    /// Takes the next bytes, which are there.
    fn take(&mut self, len: usize) -> std::ops::Range<usize> {
        let range = self.start..self.start + len;
        self.start += len;
        self.offset += len as u64;
        range
    }

    /// The next piece; `None` at the end.
    ///
    /// # Errors
    /// The file is damaged, or cut within a piece.
    pub fn next(&mut self) -> Result<Option<Piece<'_>>, Broken> {
        match self.format {
            Format::Pcap { link, nanoseconds, header } => {
                self.next_record(link, nanoseconds, header)
            }
            Format::Pcapng { .. } => self.next_block(),
        }
    }

    fn next_record(
        &mut self,
        link: u16,
        nanoseconds: bool,
        header: bool,
    ) -> Result<Option<Piece<'_>>, Broken> {
        if header {
            self.format = Format::Pcap { link, nanoseconds, header: false };
            let range = self.take(PCAP_HEADER);
            return Ok(Some(Piece { raw: &self.window[range], packet: None }));
        }
        if !self.have(PCAP_RECORD)? {
            return match self.start == self.end {
                true => Ok(None),
                false => Err(self.cut("the header of a record")),
            };
        }
        let fields = &self.window[self.start..];
        let captured = self.order.u32(fields, 8) as usize;
        let len = self.order.u32(fields, 12);
        let part = u64::from(self.order.u32(fields, 4)) * if nanoseconds { 1 } else { 1000 };
        let time = u64::from(self.order.u32(fields, 0)) * 1_000_000_000 + part;
        if captured > MAX_PIECE {
            let reason = format!("offset {}: a packet of {captured} bytes", self.offset);
            return Err(Broken::new(reason));
        }
        if !self.have(PCAP_RECORD + captured)? {
            return Err(self.cut("a packet"));
        }
        let range = self.take(PCAP_RECORD + captured);
        let raw = &self.window[range];
        let packet = Packet { data: &raw[PCAP_RECORD..], len, link, time };
        Ok(Some(Piece { raw, packet: Some(packet) }))
    }

    fn next_block(&mut self) -> Result<Option<Piece<'_>>, Broken> {
        if !self.have(12)? {
            return match self.start == self.end {
                true => Ok(None),
                false => Err(self.cut("the header of a block")),
            };
        }
        let fields = &self.window[self.start..];
        if Order::Big.u32(fields, 0) == SECTION {
            self.order = match Order::Big.u32(fields, 8) {
                0x1a2b_3c4d => Order::Big,
                0x4d3c_2b1a => Order::Little,
                _ => {
                    let reason = format!("offset {}: a section of no byte order", self.offset);
                    return Err(Broken::new(reason));
                }
            };
            self.format = Format::Pcapng { interfaces: Vec::new() };
        }
        let fields = &self.window[self.start..];
        let kind = self.order.u32(fields, 0);
        let len = self.order.u32(fields, 4) as usize;
        if len < 12 || !len.is_multiple_of(4) || len > MAX_PIECE {
            let reason = format!("offset {}: a block of {len} bytes", self.offset);
            return Err(Broken::new(reason));
        }
        if !self.have(len)? {
            return Err(self.cut("a block"));
        }
        let offset = self.offset;
        let range = self.take(len);
        let (order, raw) = (self.order, &self.window[range]);
        let Format::Pcapng { interfaces } = &mut self.format else {
            return Ok(Some(Piece { raw, packet: None }));
        };
        let body = &raw[8..len - 4];
        if kind == INTERFACE && interfaces.len() < MAX_INTERFACES {
            interfaces.push(Interface::read(body, order));
        }
        // Where the packet starts, which interface it is of, captured and whole lengths.
        let (start, interface, captured, len) = match kind {
            PACKET => (20, order.u32(body, 0) as usize, order.u32(body, 12), order.u32(body, 16)),
            OLD_PACKET => (20, order.u16(body, 0).into(), order.u32(body, 12), order.u32(body, 16)),
            SIMPLE_PACKET => {
                let len = order.u32(body, 0);
                let most = interfaces.first().map_or(0, |interface| interface.snaplen);
                let captured = if most == 0 { len } else { len.min(most) };
                (4, 0, captured, len)
            }
            _ => return Ok(Some(Piece { raw, packet: None })),
        };
        let Some(&known) = interfaces.get(interface) else {
            let reason = format!(
                "offset {offset}: a packet of interface {interface}, which the \
                                  section does not have"
            );
            return Err(Broken::new(reason));
        };
        let data = body.get(start..).and_then(|rest| rest.get(..captured as usize));
        let Some(data) = data else {
            let reason = format!(
                "offset {offset}: a packet of {captured} bytes in a block of {}",
                raw.len()
            );
            return Err(Broken::new(reason));
        };
        let time = match kind {
            SIMPLE_PACKET => 0,
            _ => {
                let (high, low) = (order.u32(body, 4), order.u32(body, 8));
                known.time(u64::from(high) << 32 | u64::from(low))
            }
        };
        Ok(Some(Piece { raw, packet: Some(Packet { data, len, link: known.link, time }) }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The length of a piece, and the packet in it.
    type Found = (usize, Option<Vec<u8>>);

    fn pieces(bytes: &[u8]) -> Result<Vec<Found>, Broken> {
        let mut capture = Capture::new(bytes)?;
        let mut found = Vec::new();
        while let Some(piece) = capture.next()? {
            found.push((piece.raw.len(), piece.packet.map(|packet| packet.data.to_vec())));
        }
        Ok(found)
    }

    fn pcap(order: fn(u32) -> [u8; 4]) -> Vec<u8> {
        let mut file = Vec::new();
        for word in [0xa1b2_c3d4, 0, 0, 0, 65535, 1, 7, 8, 3, 60] {
            file.extend(order(word));
        }
        file.extend([1, 2, 3]);
        file
    }

    #[test]
    fn records_are_given_whole_in_either_byte_order() {
        for order in [u32::to_be_bytes, u32::to_le_bytes] {
            let found = pieces(&pcap(order)).unwrap();
            assert_eq!(found, [(24, None), (19, Some(vec![1, 2, 3]))]);
        }
    }

    #[test]
    fn a_cut_file_says_where() {
        let file = pcap(u32::to_le_bytes);
        let reason = pieces(&file[..42]).unwrap_err().reason;
        assert_eq!(reason, "offset 24: the file ends within a packet");
        assert!(pieces(&file[..30]).is_err());
        assert!(pieces(b"no capture at all").is_err());
        assert!(pieces(b"").is_err());
    }

    #[test]
    fn a_large_length_takes_no_memory() {
        let mut file = pcap(u32::to_le_bytes);
        file[32..36].copy_from_slice(&(15u32 << 20).to_le_bytes());
        let mut capture = Capture::new(&file[..]).unwrap();
        capture.next().unwrap();
        assert!(capture.next().is_err());
        assert!(capture.window.len() <= 2 * WINDOW);
    }
}
