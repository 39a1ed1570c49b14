//! What a parser may get wrong: fragments, options, extension headers, tunnels, frames
//! that are no IP at all, headers that lie, frames that end too early, frames too long.

use std::net::{IpAddr, Ipv4Addr};

use super::conversation::{web, web6};
use super::packet::{
    ACK, BROADCAST, CWR, ECE, ETH_IPV4, ETH_IPV6, FIN, Host, ICMP, ICMPV6, PSH, Path, QINQ, RST,
    SYN, Segment, TCP, UDP, URG, VLAN, ethernet, mac,
};
use super::{MS, Recording};

const HOP_BY_HOP: u8 = 0;
const ROUTING: u8 = 43;
const FRAGMENT: u8 = 44;
const NO_NEXT: u8 = 59;
const DESTINATION: u8 = 60;

/// Every kind three times, over the ten seconds.
pub fn record(recording: &mut Recording) {
    let mut frames = Vec::new();
    fragments(&mut frames);
    options(&mut frames);
    extensions(&mut frames);
    segments(&mut frames);
    tunnels_and_errors(&mut frames);
    other_link_payloads(&mut frames);
    lies(&mut frames);
    cut(&mut frames);

    let every = 9_900 * MS / (3 * frames.len() as u64);
    for (n, frame) in frames.iter().cycle().take(3 * frames.len()).enumerate() {
        recording.at(n as u64 * every + MS / 2, frame.clone());
    }

    // Outside of what Linux's test run takes: kept to a few.
    let mut extremes = Vec::new();
    short(&mut extremes);
    long(&mut extremes);
    for (n, frame) in extremes.into_iter().enumerate() {
        recording.at(n as u64 * 900 * MS + 77 * MS, frame);
    }
}

fn v4() -> Path {
    Path::new(Host::local(21), web(21))
}

fn v6() -> Path {
    Path::new(Host::local6(21), web6(21))
}

fn segment(flags: u8) -> Segment {
    Segment { ports: (33_000, 8080), seq: 7, ack: 9, flags, window: 512, options: &[] }
}

fn text(len: usize) -> Vec<u8> {
    (0..len).map(|n| b'0' + (n % 10) as u8).collect()
}

fn fragments(frames: &mut Vec<Vec<u8>>) {
    let datagram = v4().datagram((7000, 7001), &text(4000));
    for (n, part) in datagram.chunks(1480).enumerate() {
        let mut path = v4();
        path.id = 0x4242;
        let more = u16::from((n + 1) * 1480 < datagram.len());
        path.fragment = more << 13 | (n * 185) as u16;
        frames.push(path.frame(UDP, part));
    }
    // So short that the ports are in the first and the length in the second.
    let datagram = v4().datagram((7000, 7001), b"tiny fragments");
    for (n, part) in datagram.chunks(8).enumerate() {
        let mut path = v4();
        path.id = 0x4343;
        path.fragment = u16::from((n + 1) * 8 < datagram.len()) << 13 | n as u16;
        frames.push(path.frame(UDP, part));
    }
    let message = v6().icmp_message(128, 0, [0, 1, 0, 1], &text(2800));
    for (n, part) in message.chunks(1448).enumerate() {
        let mut path = v6();
        let more = u16::from((n + 1) * 1448 < message.len());
        let [high, low] = ((n * 1448) as u16 | more).to_be_bytes();
        path.extensions = vec![(FRAGMENT, vec![0, high, low, 0, 0, 0x42, 0x42])];
        frames.push(path.frame(ICMPV6, part));
    }
    // A SYN in an "atomic fragment", a fragment of one.
    let mut path = v6();
    path.extensions = vec![(FRAGMENT, vec![0, 0, 0, 1, 2, 3, 4])];
    frames.push(path.tcp(&segment(SYN), b""));
}

fn options(frames: &mut Vec<Vec<u8>>) {
    let with = |options: &[u8]| {
        let mut path = v4();
        path.options = options.to_vec();
        path
    };
    // No operation and end of list; record route; time stamps; 40 bytes in all.
    let mut route = vec![7, 39, 4];
    route.resize(40, 0);
    let mut stamps = vec![68, 36, 5, 0];
    stamps.resize(40, 0);
    for options in [&[1, 1, 1, 0][..], &route, &stamps] {
        frames.push(with(options).tcp(&segment(SYN), b""));
        frames.push(with(options).udp((9000, 53), b"options"));
        frames.push(with(options).icmp(8, 0, [0, 1, 0, 2], &text(32)));
    }
}

fn extensions(frames: &mut Vec<Vec<u8>>) {
    let padding = vec![0, 1, 4, 0, 0, 0, 0]; // PadN, 8 bytes with the first
    let longer = {
        let mut options = vec![2, 1, 20];
        options.resize(23, 0);
        options
    };
    // Segment routing whose one segment is the destination, which is reached.
    let mut routing = vec![2, 4, 0, 0, 0, 0, 0];
    let IpAddr::V6(destination) = v6().to.ip else { return };
    routing.extend(destination.octets());
    let chains: [Vec<(u8, Vec<u8>)>; 5] = [
        vec![(HOP_BY_HOP, padding.clone())],
        vec![(HOP_BY_HOP, longer.clone()), (DESTINATION, padding.clone())],
        vec![(ROUTING, routing.clone())],
        vec![(HOP_BY_HOP, padding.clone()), (ROUTING, routing), (DESTINATION, longer)],
        vec![(DESTINATION, padding); 7], // more than programs care to skip
    ];
    for extensions in chains {
        let path = Path { extensions, ..v6() };
        frames.push(path.tcp(&segment(SYN), b""));
        frames.push(path.udp((9000, 53), b"extension headers"));
        frames.push(path.icmp(128, 0, [0, 1, 0, 2], &text(16)));
    }
    frames.push(v6().frame(NO_NEXT, b""));
}

/// TCP flags that no session has.
fn segments(frames: &mut Vec<Vec<u8>>) {
    let odd =
        [0, FIN, URG | PSH | FIN, SYN | FIN, SYN | RST, SYN | ECE | CWR, RST, ACK | URG, 0xff];
    for flags in odd {
        frames.push(v4().tcp(&segment(flags), b""));
        frames.push(v6().tcp(&segment(flags), b""));
    }
    // Fast open: data in a SYN. From and to the same address: "land".
    frames.push(v4().tcp(&segment(SYN), b"early"));
    frames.push(Path::new(web(21), web(21)).tcp(&segment(SYN), b""));
    let mut dying = v4();
    dying.ttl = 1;
    frames.push(dying.tcp(&segment(ACK), b"one hop"));
}

fn tunnels_and_errors(frames: &mut Vec<Vec<u8>>) {
    let inner = v4().tcp(&segment(SYN), b"inner")[14..].to_vec();
    let inner6 = v6().tcp(&segment(SYN), b"inner")[14..].to_vec();
    frames.push(v4().frame(4, &inner));
    frames.push(v4().frame(41, &inner6));
    frames.push(v6().frame(4, &inner));
    frames.push(v4().frame(47, &[&[0, 0, 8, 0][..], &inner].concat())); // GRE
    let vxlan = [&[8, 0, 0, 0, 0, 0, 42, 0][..], &v4().udp((1, 2), b"deep")].concat();
    frames.push(v4().udp((55_555, 4789), &vxlan));
    frames.push(v4().frame(50, &text(64))); // ESP
    frames.push(v4().frame(132, &text(32))); // SCTP
    frames.push(v6().frame(132, &text(32)));

    // Unreachable, too big, time exceeded: each with the packet that it is about.
    let about = &inner[..28];
    for (kind, code, rest) in [(3, 3, [0; 4]), (3, 4, [0, 0, 5, 0]), (11, 0, [0; 4])] {
        frames.push(v4().back().icmp(kind, code, rest, about));
    }
    frames.push(v6().back().icmp(1, 4, [0; 4], &inner6));
    frames.push(v6().back().icmp(2, 0, [0, 0, 5, 0], &inner6));
}

fn other_link_payloads(frames: &mut Vec<Vec<u8>>) {
    let (from, ip) = (mac(21), &v4().udp((9000, 9001), b"tagged")[14..]);
    // 802.3 with LLC: a spanning tree BPDU.
    let mut bpdu = vec![0x42, 0x42, 3, 0, 0, 0, 0];
    bpdu.resize(38, 0);
    frames.push(ethernet(from, [1, 0x80, 0xc2, 0, 0, 0], &[], 38, &bpdu));
    // LLDP; a local experiment; EAPOL; wake on LAN; loopback.
    let lldp = [2, 7, 4, 0, 0, 0x5e, 0, 0x53, 21, 4, 2, 7, b'1', 6, 2, 0, 120, 0, 0];
    frames.push(ethernet(from, [1, 0x80, 0xc2, 0, 0, 0x0e], &[], 0x88cc, &lldp));
    frames.push(ethernet(from, mac(22), &[], 0x88b5, &text(80)));
    frames.push(ethernet(from, [1, 0x80, 0xc2, 0, 0, 3], &[], 0x888e, &[2, 1, 0, 0]));
    frames.push(ethernet(
        from,
        BROADCAST,
        &[],
        0x0842,
        &[&[0xff; 6][..], &from.repeat(16)].concat(),
    ));
    // MPLS with one label, PPPoE with IPv4.
    frames.push(ethernet(from, mac(254), &[], 0x8847, &[&[0, 1, 0x41, 64][..], ip].concat()));
    let session = [0x11, 0, 0, 1, 0, (ip.len() + 2) as u8, 0, 0x21];
    frames.push(ethernet(from, mac(254), &[], 0x8864, &[&session[..], ip].concat()));
    // Tags of all sorts: QinQ as 802.1Q twice, three of them, the highest id, CFI set.
    for tags in [
        &[(VLAN, 10), (VLAN, 20)][..],
        &[(QINQ, 10), (VLAN, 20), (VLAN, 30)],
        &[(VLAN, 0xffff)],
        &[(VLAN, 0x1005)],
        &[(QINQ, 77)],
    ] {
        frames.push(v4().tagged(tags).tcp(&segment(SYN), b""));
        frames.push(v6().tagged(tags).udp((9000, 9001), b"tagged"));
    }
}

/// Headers whose fields do not fit the packet.
fn lies(frames: &mut Vec<Vec<u8>>) {
    const IP: usize = 14;
    const L4: usize = IP + 20;
    let patched = |frame: Vec<u8>, at: usize, bytes: &[u8]| {
        let mut frame = frame;
        frame[at..at + bytes.len()].copy_from_slice(bytes);
        frame
    };
    let tcp = || v4().tcp(&segment(SYN), b"payload");
    let tcp6 = || v6().tcp(&segment(SYN), b"payload");
    frames.push(patched(tcp(), IP, &[0x44])); // header of 16 bytes
    frames.push(patched(tcp(), IP, &[0x40])); // of none
    frames.push(patched(tcp(), IP, &[0x4f])); // of 60: beyond the packet's end
    frames.push(patched(tcp(), IP, &[0x65])); // version 6 behind IPv4's EtherType
    frames.push(patched(tcp6(), IP, &[0x45])); // and the other way
    frames.push(patched(tcp(), IP + 2, &[0xff, 0xff])); // total length too large
    frames.push(patched(tcp(), IP + 2, &[0, 20])); // too small
    frames.push(patched(tcp(), IP + 10, &[0xba, 0xad])); // header checksum
    frames.push(patched(tcp6(), IP + 4, &[0xff, 0xff])); // payload length too large
    frames.push(patched(tcp6(), IP + 4, &[0, 0])); // a jumbogram without its option
    frames.push(patched(tcp(), L4 + 12, &[0x40])); // data offset below 5
    frames.push(patched(tcp(), L4 + 12, &[0xf0])); // beyond the end
    frames.push(patched(tcp(), L4 + 16, &[0xba, 0xad])); // TCP checksum
    let udp = || v4().udp((9000, 53), b"payload");
    frames.push(patched(udp(), L4 + 6, &[0, 0])); // no UDP checksum
    frames.push(patched(udp(), L4 + 4, &[0xff, 0xff])); // UDP length too large
    frames.push(patched(udp(), L4 + 4, &[0, 7])); // too small
    frames.push(patched(v6().udp((9000, 53), b"payload"), IP + 46, &[0, 0])); // forbidden there
    let mut endless = v6();
    endless.extensions = vec![(HOP_BY_HOP, vec![0xff, 1, 4, 0, 0, 0, 0])]; // 2,048 bytes
    frames.push(endless.tcp(&segment(SYN), b""));
    let nobody = Host { mac: mac(21), ip: Ipv4Addr::UNSPECIFIED.into() };
    frames.push(Path::new(nobody, web(21)).tcp(&segment(SYN), b""));
    let loopback = Host { mac: mac(21), ip: Ipv4Addr::LOCALHOST.into() };
    frames.push(Path::new(loopback, web(21)).icmp(8, 0, [0; 4], b""));
}

/// Frames that end inside of a header, from the first byte behind Ethernet's on.
fn cut(frames: &mut Vec<Vec<u8>>) {
    let tcp = v4().tcp(&segment(SYN), b"");
    let tcp6 = v6().tcp(&segment(SYN), b"");
    let tagged = v4().tagged(&[(QINQ, 1), (VLAN, 2)]).tcp(&segment(SYN), b"");
    for len in [15, 16, 24, 33, 34, 35, 38, 47, 53] {
        frames.push(tcp[..len].to_vec());
    }
    for len in [15, 20, 53, 54, 60, 73] {
        frames.push(tcp6[..len].to_vec());
    }
    for len in [16, 17, 18, 20, 22, 23, 41, 60] {
        frames.push(tagged[..len].to_vec());
    }
    frames.push(ethernet(mac(21), mac(22), &[], ETH_IPV4, &[0x45]));
    frames.push(ethernet(mac(21), mac(22), &[], ETH_IPV6, &[0x60]));
    frames.push(v4().frame(ICMP, &[8]));
    frames.push(v4().frame(TCP, b""));
    frames.push(v4().frame(UDP, &[0, 53, 0]));
}

/// No more than Ethernet's header, or less.
fn short(frames: &mut Vec<Vec<u8>>) {
    let frame = v4().udp((1, 2), b"");
    for len in [14, 13, 12, 1] {
        frames.push(frame[..len].to_vec());
    }
}

/// At and beyond the 3,520 bytes that fit into one page with Linux's rooms around them.
fn long(frames: &mut Vec<Vec<u8>>) {
    const HEADERS: usize = 14 + 20 + 8;
    for len in [3400, 3520, 3521, 4096, 9014] {
        frames.push(v4().udp((9000, 9001), &text(len - HEADERS)));
    }
}
