//! Files made byte by byte in each variant of the formats, cut at every length, and
//! sent through tcpdump.

use std::process::{Command, Stdio};

use super::*;

/// What a packet says, owned.
type Seen = (u64, Vec<u8>, u32, u16, u32);

fn read_all(bytes: &[u8]) -> Result<Vec<Seen>, CaptureError> {
    let mut reader = Reader::new(bytes)?;
    let mut packets = Vec::new();
    while let Some(packet) = reader.next_packet()? {
        let Packet { time, data, wire_len, link, interface } = packet;
        packets.push((time, data.to_vec(), wire_len, link.0, interface));
    }
    Ok(packets)
}

fn message(bytes: &[u8]) -> String {
    read_all(bytes).unwrap_err().to_string()
}

/// Numbers in one byte order.
struct Bytes {
    big: bool,
    bytes: Vec<u8>,
}

impl Bytes {
    fn new(big: bool) -> Bytes {
        Bytes { big, bytes: Vec::new() }
    }

    fn u16(mut self, number: u16) -> Bytes {
        self.bytes.extend(if self.big { number.to_be_bytes() } else { number.to_le_bytes() });
        self
    }

    fn u32(mut self, number: u32) -> Bytes {
        self.bytes.extend(if self.big { number.to_be_bytes() } else { number.to_le_bytes() });
        self
    }

    fn raw(mut self, bytes: &[u8]) -> Bytes {
        self.bytes.extend_from_slice(bytes);
        self
    }

    /// A pcapng block around `body`, padded.
    fn block(self, kind: u32, body: Bytes) -> Bytes {
        let mut body = body.bytes;
        body.resize(body.len().next_multiple_of(4), 0);
        let len = body.len() as u32 + 12;
        self.u32(kind).u32(len).raw(&body).u32(len)
    }

    fn section(self) -> Bytes {
        let body = Bytes::new(self.big).u32(0x1a2b_3c4d).u16(1).u16(0).raw(&[0xff; 8]);
        self.block(0x0a0d_0d0a, body)
    }

    fn interface(self, link: u16, snap_len: u32, options: &[u8]) -> Bytes {
        let body = Bytes::new(self.big).u16(link).u16(0).u32(snap_len).raw(options);
        self.block(1, body)
    }

    fn packet(self, interface: u32, time: u64, data: &[u8]) -> Bytes {
        let body = Bytes::new(self.big).u32(interface).u32((time >> 32) as u32).u32(time as u32);
        let body = body.u32(data.len() as u32).u32(1500).raw(data);
        self.block(6, body)
    }
}

fn pcap(big: bool, magic: u32, packets: &[(u32, u32, &[u8])]) -> Vec<u8> {
    let mut file = Bytes::new(big).u32(magic).u16(2).u16(4).u32(0).u32(0).u32(65535).u32(1);
    for &(seconds, fraction, data) in packets {
        file = file.u32(seconds).u32(fraction).u32(data.len() as u32).u32(60).raw(data);
    }
    file.bytes
}

#[test]
fn pcap_reads_in_both_byte_orders_and_both_units_of_time() {
    for big in [false, true] {
        for (magic, unit) in [(0xa1b2_c3d4, 1_000), (0xa1b2_3c4d, 1)] {
            let file = pcap(big, magic, &[(7, 5, b"abc"), (8, 6, b"")]);
            let expected = vec![
                (7_000_000_000 + 5 * unit, b"abc".to_vec(), 60, 1, 0),
                (8_000_000_000 + 6 * unit, vec![], 60, 1, 0),
            ];
            assert_eq!(read_all(&file).unwrap(), expected, "big {big}, magic {magic:x}");
        }
    }
}

#[test]
fn pcapng_takes_each_packet_by_its_interface() {
    for big in [false, true] {
        let nano = [9, 0, 1, 0, 9, 0, 0, 0];
        let nano_big = [0, 9, 0, 1, 9, 0, 0, 0];
        let nano = if big { nano_big } else { nano };
        let file = Bytes::new(big)
            .section()
            .interface(1, 0, &[])
            .interface(113, 0, &nano)
            .packet(1, 1_234_567_890_123, b"nanoseconds")
            .block(0xbad, Bytes::new(big).raw(b"unknown block"))
            .packet(0, 1_234_567, b"microseconds");
        let expected = vec![
            (1_234_567_890_123, b"nanoseconds".to_vec(), 1500, 113, 1),
            (1_234_567_000, b"microseconds".to_vec(), 1500, 1, 0),
        ];
        assert_eq!(read_all(&file.bytes).unwrap(), expected, "big {big}");
    }
}

#[test]
fn a_new_section_may_change_byte_order_and_forgets_interfaces() {
    let first = Bytes::new(false).section().interface(113, 0, &[]).packet(0, 1, b"one").bytes;
    let second = Bytes::new(true).section().interface(1, 0, &[]).packet(0, 2, b"two").bytes;
    let packets = read_all(&[&first[..], &second[..]].concat()).unwrap();
    assert_eq!(packets[0], (1_000, b"one".to_vec(), 1500, 113, 0));
    assert_eq!(packets[1], (2_000, b"two".to_vec(), 1500, 1, 0));

    let without = Bytes::new(true).section().packet(0, 2, b"two").bytes;
    let both = [&first[..], &without[..]].concat();
    let offset = first.len() + 28;
    let expected = format!(
        "the capture: offset {:#x}, packet 2: a packet of interface 0, the section has 0 interfaces",
        offset + 8
    );
    assert_eq!(message(&both), expected);
}

#[test]
fn simple_and_obsolete_packet_blocks_are_packets() {
    let simple = Bytes::new(false).u32(10).raw(b"0123456789");
    let obsolete = Bytes::new(false).u16(0).u16(9).u32(0).u32(4).u32(3).u32(3).raw(b"abc");
    let file = Bytes::new(false)
        .section()
        .interface(1, 4, &[])
        .packet(0, 3, b"x")
        .block(3, simple)
        .block(2, obsolete);
    let packets = read_all(&file.bytes).unwrap();
    // The simple block has no time of its own, and the interface keeps 4 bytes of it.
    assert_eq!(packets[1], (3_000, b"0123".to_vec(), 10, 1, 0));
    assert_eq!(packets[2], (4_000, b"abc".to_vec(), 3, 1, 0));
}

#[test]
fn times_have_any_resolution_and_offset() {
    let options = |power: u8, offset: i64| {
        let offset = offset.to_le_bytes();
        [&[9, 0, 1, 0, power, 0, 0, 0, 14, 0, 8, 0][..], &offset[..]].concat()
    };
    for (power, offset, stamp, expected) in [
        (0, 0, 3, 3_000_000_000),
        (12, 0, 5_000_000, 5_000),
        (0x80 | 10, 0, 1024, 1_000_000_000),
        (6, 100, 1, 100_000_001_000),
        (6, -100, 1, 0),
        (19, 0, u64::MAX, 1_844_674_407),
        (0x80 | 63, 0, u64::MAX, 1_999_999_999),
        (0, i64::MAX, u64::MAX, u64::MAX),
    ] {
        let interface = Bytes::new(false).section().interface(1, 0, &options(power, offset));
        let packets = read_all(&interface.packet(0, stamp, b"").bytes).unwrap();
        assert_eq!(packets[0].0, expected, "power {power:#x}, offset {offset}, stamp {stamp}");
    }
}

#[test]
fn absurd_units_of_time_are_refused() {
    for (power, unit) in [(20, "10^-20"), (0x7f, "10^-127"), (0x80 | 64, "2^-64"), (0xff, "2^-127")]
    {
        let options = [9, 0, 1, 0, power, 0, 0, 0];
        let file = Bytes::new(false).section().interface(1, 0, &options).packet(0, 1, b"x");
        let error = message(&file.bytes);
        assert!(error.contains(&format!("(if_tsresol) are in units of {unit} s")), "{error}");
    }
}

#[test]
fn a_pcap_files_limit_cuts_packets_as_libpcap_does() {
    let packets: [(u32, u32, &[u8]); 1] = [(7, 5, b"abcdef")];
    for (limit, kept) in [(4u32, 4), (6, 6), (0, 6), (u32::MAX, 6)] {
        let mut file = pcap(false, 0xa1b2_c3d4, &packets);
        file[16..20].copy_from_slice(&limit.to_le_bytes());
        let read = read_all(&file).unwrap();
        assert_eq!((&read[0].1[..], read[0].2), (&b"abcdef"[..kept], 60), "limit {limit}");
    }
}

#[test]
fn what_is_no_capture_is_named() {
    for (bytes, expected) in [
        (&b""[..], "is empty, expected a pcap or pcapng capture"),
        (b"ab", "is a text file, expected a pcap or pcapng capture"),
        (b"IP 10.0.0.1 > 10.0.0.2\n", "is a text file, expected a pcap or pcapng capture"),
        (b"\x7fELF\x02", "is an ELF file, expected a pcap or pcapng capture"),
        (b"\x1f\x8b\x08\0\0", "is compressed by gzip, expected a pcap or pcapng capture"),
        (b"\0\0\0\0\0", "is no capture: it starts with 00 00 00 00, expected pcap or pcapng"),
    ] {
        assert_eq!(message(bytes), format!("the capture: {expected}"));
    }
}

#[test]
fn lengths_that_lie_are_refused_where_they_stand() {
    let huge = [pcap(false, 0xa1b2_c3d4, &[]), vec![0; 8], vec![0xff; 8]].concat();
    let expected = "a packet of 4294967295 bytes, expected at most 262144";
    assert_eq!(message(&huge), format!("the capture: offset 0x18, packet 1: {expected}"));

    let start = Bytes::new(false).section().interface(1, 0, &[]);
    let at = start.bytes.len();
    for (tail, place, expected) in [
        (
            Bytes::new(false).u32(6).u32(13).raw(&[0; 20]),
            at,
            "a block of 13 bytes, expected 12 or more, divisible by 4",
        ),
        (
            Bytes::new(false).u32(6).u32(0xffff_fffc).raw(&[0; 20]),
            at + 8,
            "a packet block of 4294967284 bytes, more than 16777216",
        ),
        (Bytes::new(false).u32(6).u32(16).u32(0).u32(16), at + 8, "a packet block of 16 bytes"),
        (
            Bytes::new(false).u32(6).u32(32).raw(&[0; 20]).u32(36),
            at + 28,
            "a block has 32 bytes at its start and 36 at its end",
        ),
        (
            Bytes::new(false).block(6, Bytes::new(false).raw(&[0; 12]).u32(9).u32(9).u32(1)),
            at + 8,
            "a packet of 9 bytes in a block with room for 4",
        ),
        (Bytes::new(false).u32(1).u32(12).u32(12), at + 8, "an interface block of 0 bytes"),
    ] {
        let file = [&start.bytes[..], &tail.bytes[..]].concat();
        let place = format!("the capture: offset {place:#x}, packet 1: {expected}");
        assert_eq!(message(&file), place);
    }
}

#[test]
fn a_file_cut_anywhere_gives_its_whole_packets_and_then_an_error() {
    let classic = pcap(true, 0xa1b2_c3d4, &[(1, 2, b"first"), (3, 4, b"second")]);
    let blocks = Bytes::new(false).section().interface(1, 0, &[]).packet(0, 1, b"first");
    let blocks = blocks.packet(0, 2, b"second").bytes;
    for file in [classic, blocks] {
        let whole = read_all(&file).unwrap();
        for len in 0..file.len() {
            let mut reader = match Reader::new(&file[..len]) {
                Ok(reader) => reader,
                Err(error) => {
                    assert!(error.packets() == 0 && len < 44, "{error} at {len}");
                    continue;
                }
            };
            let mut count = 0;
            let end = loop {
                match reader.next_packet() {
                    Ok(Some(packet)) => assert_eq!(packet.data, whole[count].1),
                    Ok(None) => break None,
                    Err(error) => break Some(error),
                }
                count += 1;
            };
            if let Some(error) = end {
                assert_eq!(error.packets(), count as u64);
                let kind = error.kind();
                assert!(matches!(kind, CaptureErrorKind::Truncated { .. }), "{error} at {len}");
                assert!(count == 0 || error.hint().unwrap().contains(&format!("--limit {count}")));
            }
            assert!(count < whole.len(), "cut at {len}");
        }
    }
}

#[test]
fn what_we_write_is_read_back() {
    let mut writer = Writer::new(Vec::new()).unwrap();
    let packet = Packet {
        time: 1_700_000_000_123_456_789,
        data: b"a frame",
        wire_len: 60,
        link: LinkType::ETHERNET,
        interface: 3,
    };
    writer.packet(&packet, Some("XDP_DROP"), Some(Mark::Xdp(1))).unwrap();
    writer.packet(&Packet { link: LinkType(113), ..packet }, None, None).unwrap();
    let file = writer.finish().unwrap();
    let expected = vec![
        (packet.time, b"a frame".to_vec(), 60, 1, 0),
        (packet.time, b"a frame".to_vec(), 60, 113, 1),
    ];
    assert_eq!(read_all(&file).unwrap(), expected);
}

#[test]
fn packets_without_an_ethernet_header_can_be_refused() {
    let file = Bytes::new(false)
        .section()
        .interface(1, 0, &[])
        .interface(276, 0, &[])
        .packet(0, 1, b"fine")
        .packet(1, 2, b"else");
    let mut reader = Reader::new(&file.bytes[..]).unwrap().ethernet_only();
    assert_eq!(reader.next_packet().unwrap().unwrap().data, b"fine");
    let error = reader.next_packet().unwrap_err();
    let expected = "packet 2: has packets of link type 276 (LINUX_SLL2), expected 1 (Ethernet)";
    assert!(error.to_string().ends_with(expected), "{error}");
}

/// tcpdump reads our pcapng and writes pcap, which must be the same packets.
#[test]
fn tcpdump_reads_what_we_write_and_we_read_what_it_writes() {
    let mut writer = Writer::new(Vec::new()).unwrap();
    for (index, len) in [14usize, 60, 1514, 61].into_iter().enumerate() {
        let data: Vec<u8> = (0..len).map(|at| (at * 7 + index) as u8).collect();
        let packet = Packet {
            time: 1_700_000_000_000_000_001 + index as u64 * 1_000_000_007,
            data: &data,
            wire_len: len as u32 + index as u32,
            link: LinkType::ETHERNET,
            interface: 0,
        };
        writer.packet(&packet, Some("a remark"), Some(Mark::Tc(2))).unwrap();
    }
    let ours = writer.finish().unwrap();
    let child = Command::new("tcpdump")
        .args(["-r", "-", "--time-stamp-precision=nano", "-U", "-w", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn();
    let Ok(mut child) = child else {
        eprintln!("skipped: no tcpdump on this machine");
        return;
    };
    io::Write::write_all(&mut child.stdin.take().unwrap(), &ours).unwrap();
    let theirs = child.wait_with_output().unwrap();
    assert!(theirs.status.success());
    assert_eq!(theirs.stdout[..4], [0x4d, 0x3c, 0xb2, 0xa1], "pcap in nanoseconds");
    assert_eq!(read_all(&ours).unwrap(), read_all(&theirs.stdout).unwrap());
}
