//! Ordinary traffic: ARP and neighbour discovery, TCP sessions, DNS and other UDP,
//! pings, multicast, untagged and in VLANs.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::packet::{
    ACK, BROADCAST, ETH_ARP, FIN, Host, IGMP, Mac, PSH, Path, QINQ, SYN, Segment, Tag, VLAN,
    checksum, ethernet, mac,
};
use super::{MS, Random, Recording, US};

/// A day at the office, in ten seconds.
pub fn record(recording: &mut Recording) {
    let random = &mut Random(1);
    arp(recording);
    neighbours(recording);
    dns(recording, random);
    sessions(recording, random);
    downloads(recording, random);
    pings(recording);
    announcements(recording);
}

/// A web server behind the router.
pub fn web(n: u8) -> Host {
    Host::remote(Ipv4Addr::new(198, 51, 100, n))
}

/// The same in IPv6.
pub fn web6(n: u8) -> Host {
    Host::remote(Ipv6Addr::new(0x2001, 0xdb8, 2, 0, 0, 0, 0, n.into()))
}

fn arp(recording: &mut Recording) {
    let message = |operation: u8, from: (Mac, u8), to: (Mac, u8)| {
        let mut body = vec![0, 1, 8, 0, 6, 4, 0, operation];
        body.extend(from.0);
        body.extend([192, 0, 2, from.1]);
        body.extend(to.0);
        body.extend([192, 0, 2, to.1]);
        body
    };
    for n in 0..20u8 {
        let (asker, time) = (10 + n, u64::from(n) * 450 * MS + 3 * MS);
        let request = message(1, (mac(asker), asker), ([0; 6], 254));
        recording.at(time, ethernet(mac(asker), BROADCAST, &[], ETH_ARP, &request));
        let reply = message(2, (mac(254), 254), (mac(asker), asker));
        recording.at(time + 180 * US, ethernet(mac(254), mac(asker), &[], ETH_ARP, &reply));
    }
    // Gratuitous, and one in a VLAN.
    let own = message(1, (mac(30), 30), ([0; 6], 30));
    recording.at(5 * MS, ethernet(mac(30), BROADCAST, &[], ETH_ARP, &own));
    recording.at(6 * MS, ethernet(mac(30), BROADCAST, &[(VLAN, 100)], ETH_ARP, &own));
}

fn neighbours(recording: &mut Recording) {
    for n in 0..10u8 {
        let (host, router) = (Host::local6(10 + n), Host::local6(254));
        let time = u64::from(n) * 900 * MS + 7 * MS;
        let group = Host::group(Ipv6Addr::new(0xff02, 0, 0, 0, 0, 1, 0xff00, 254));
        let IpAddr::V6(target) = router.ip else { continue };

        let mut ask = Path::new(host, group);
        ask.ttl = 255;
        let mut question = target.octets().to_vec();
        question.extend([1, 1]); // source link-layer address
        question.extend(host.mac);
        recording.at(time, ask.icmp(135, 0, [0; 4], &question));

        let mut answer = Path::new(router, host);
        answer.ttl = 255;
        let mut advertisement = target.octets().to_vec();
        advertisement.extend([2, 1]); // target link-layer address
        advertisement.extend(router.mac);
        let flags = [0xe0, 0, 0, 0]; // router, solicited, override
        recording.at(time + 240 * US, answer.icmp(136, 0, flags, &advertisement));
    }
}

/// A DNS message with one question and, as an answer, one address.
fn dns_message(id: u16, name: &str, answer: Option<IpAddr>) -> Vec<u8> {
    let mut message = id.to_be_bytes().to_vec();
    message.extend(if answer.is_some() { [0x81, 0x80] } else { [0x01, 0x00] });
    message.extend([0, 1, 0, u8::from(answer.is_some()), 0, 0, 0, 0]);
    for label in name.split('.') {
        message.push(label.len() as u8);
        message.extend(label.bytes());
    }
    let kind = match answer {
        Some(IpAddr::V6(_)) => 28,
        _ => 1,
    };
    message.extend([0, 0, kind, 0, 1]);
    if let Some(ip) = answer {
        message.extend([0xc0, 12, 0, kind, 0, 1, 0, 0, 0, 60]);
        match ip {
            IpAddr::V4(v4) => {
                message.extend([0, 4]);
                message.extend(v4.octets());
            }
            IpAddr::V6(v6) => {
                message.extend([0, 16]);
                message.extend(v6.octets());
            }
        }
    }
    message
}

fn dns(recording: &mut Recording, random: &mut Random) {
    let names = ["www.example.com", "mail.example.net", "a.example", "files.example.org"];
    for n in 0..90u16 {
        let name = names[usize::from(n) % names.len()];
        let host = 10 + (n % 20) as u8;
        let (path, answer) = match n % 3 {
            2 => (Path::new(Host::local6(host), web6(53)), web6(80).ip),
            _ => (Path::new(Host::local(host), web(53)), web(80).ip),
        };
        let (ports, id) = ((40_000 + n, 53), random.next() as u16);
        let time = u64::from(n) * 108 * MS + random.below(9 * MS);
        recording.at(time, path.udp(ports, &dns_message(id, name, None)));
        let reply = path.back().udp((53, ports.0), &dns_message(id, name, Some(answer)));
        recording.at(time + 4 * MS + random.below(12 * MS), reply);
    }
}

/// The options of a SYN: MSS 1460, SACK, time stamps, window scale 7.
const SYN_OPTIONS: &[u8] = &[2, 4, 5, 180, 4, 2, 8, 10, 0, 0, 16, 1, 0, 0, 0, 0, 1, 3, 3, 7];
/// Time stamps, behind two NOPs.
const DATA_OPTIONS: &[u8] = &[1, 1, 8, 10, 0, 0, 16, 9, 0, 0, 32, 9];

/// What a TCP session transfers, and how.
struct Session {
    client: Path,
    ports: (u16, u16),
    start: u64,
    /// The way from one end to the other, ns.
    delay: u64,
    response: usize,
    /// Bytes in a segment.
    mss: usize,
}

impl Session {
    /// A request, its response, and the handshakes around them.
    fn record(&self, recording: &mut Recording, random: &mut Random) {
        let server = self.client.back();
        let (mut seq, mut peer) = (random.next() as u32, random.next() as u32);
        let mut time = self.start;
        let sent = |ports, seq, ack, flags, options| Segment {
            ports,
            seq,
            ack,
            flags,
            window: 502,
            options,
        };
        let back = (self.ports.1, self.ports.0);

        recording.at(time, self.client.tcp(&sent(self.ports, seq, 0, SYN, SYN_OPTIONS), b""));
        seq = seq.wrapping_add(1);
        time += self.delay;
        recording.at(time, server.tcp(&sent(back, peer, seq, SYN | ACK, SYN_OPTIONS), b""));
        peer = peer.wrapping_add(1);
        time += self.delay;
        recording.at(time, self.client.tcp(&sent(self.ports, seq, peer, ACK, DATA_OPTIONS), b""));

        let request = format!("GET /{} HTTP/1.1\r\nHost: www.example.com\r\n\r\n", self.response);
        let flags = PSH | ACK;
        recording.at(
            time + 40 * US,
            self.client.tcp(&sent(self.ports, seq, peer, flags, DATA_OPTIONS), request.as_bytes()),
        );
        seq = seq.wrapping_add(request.len() as u32);
        time += self.delay;

        let mut body = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", self.response);
        body.extend((0..self.response).map(|_| char::from(b'a' + random.below(26) as u8)));
        for (n, chunk) in body.as_bytes().chunks(self.mss).enumerate() {
            time += 90 * US;
            recording.at(time, server.tcp(&sent(back, peer, seq, flags, DATA_OPTIONS), chunk));
            peer = peer.wrapping_add(chunk.len() as u32);
            if n % 2 == 1 {
                let ack = sent(self.ports, seq, peer, ACK, DATA_OPTIONS);
                recording.at(time + 30 * US, self.client.tcp(&ack, b""));
            }
        }

        time += self.delay;
        let fin = FIN | ACK;
        recording.at(time, self.client.tcp(&sent(self.ports, seq, peer, fin, DATA_OPTIONS), b""));
        seq = seq.wrapping_add(1);
        time += self.delay;
        recording.at(time, server.tcp(&sent(back, peer, seq, fin, DATA_OPTIONS), b""));
        peer = peer.wrapping_add(1);
        time += self.delay;
        recording.at(time, self.client.tcp(&sent(self.ports, seq, peer, ACK, DATA_OPTIONS), b""));
    }
}

fn sessions(recording: &mut Recording, random: &mut Random) {
    let tags: [&[Tag]; 6] = [
        &[],
        &[],
        &[(VLAN, 100)],
        &[],
        &[(QINQ, 200), (VLAN, 0x6000 | 300)], // the inner one with priority 3
        &[(VLAN, 0)],                         // a priority tag
    ];
    for n in 0..48u8 {
        let host = 10 + n % 20;
        let client = match n % 3 {
            1 => Path::new(Host::local6(host), web6(80 + n % 4)),
            _ => Path::new(Host::local(host), web(80 + n % 4)),
        };
        let mut client = client.tagged(tags[usize::from(n) % tags.len()]);
        client.id = u16::from(n) << 8;
        client.tos = if n % 8 == 5 { 0xb8 } else { 0 }; // expedited forwarding
        let session = Session {
            client,
            ports: (50_000 + u16::from(n), if n % 2 == 0 { 80 } else { 443 }),
            start: u64::from(n) * 195 * MS + random.below(50 * MS),
            delay: 2 * MS + random.below(20 * MS),
            response: 100 + random.below(5_000) as usize,
            mss: 1448,
        };
        session.record(recording, random);
    }
}

/// Transfers that cross the threshold of `per_ip`: one by ordinary segments, one by
/// jumbo frames of up to 3,400 bytes.
fn downloads(recording: &mut Recording, random: &mut Random) {
    let ordinary = Session {
        client: Path::new(Host::local(10), web(20)),
        ports: (51_000, 443),
        start: 2_000 * MS,
        delay: 9 * MS,
        response: 125_000,
        mss: 1448,
    };
    ordinary.record(recording, random);
    let jumbo = Session {
        client: Path::new(Host::local6(11), Host::local6(200)),
        ports: (51_001, 80),
        start: 5_000 * MS,
        delay: 300 * US,
        response: 125_000,
        mss: 3400 - 14 - 40 - 32,
    };
    jumbo.record(recording, random);
}

fn pings(recording: &mut Recording) {
    for n in 0..40u8 {
        let path = match n % 4 {
            0 | 1 => Path::new(Host::local(10 + n % 5), web(1)),
            2 => Path::new(Host::local6(10 + n % 5), web6(1)),
            _ => Path::new(Host::local(10 + n % 5), Host::local(254)).tagged(&[(VLAN, 100)]),
        };
        let (ask, answer) = if path.from.ip.is_ipv4() { (8, 0) } else { (128, 129) };
        let payload: Vec<u8> = (0..56).collect();
        let time = u64::from(n) * 240 * MS + 11 * MS;
        let rest = [0x12, 0x34, 0, n];
        recording.at(time, path.icmp(ask, 0, rest, &payload));
        recording.at(time + 7 * MS, path.back().icmp(answer, 0, rest, &payload));
    }
}

/// Multicast and broadcast: mDNS, SSDP, IGMP, DHCP, NTP.
fn announcements(recording: &mut Recording) {
    for n in 0..12u8 {
        let time = u64::from(n) * 800 * MS + 17 * MS;
        let host = Host::local(10 + n);
        let host6 = Host::local6(10 + n);

        let question = dns_message(0, "_http._tcp.local", None);
        let mut mdns = Path::new(host, Host::group(Ipv4Addr::new(224, 0, 0, 251)));
        mdns.ttl = 255;
        recording.at(time, mdns.udp((5353, 5353), &question));
        let mut mdns = Path::new(host6, Host::group(Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0xfb)));
        mdns.ttl = 255;
        recording.at(time + MS, mdns.udp((5353, 5353), &question));

        let mut ssdp = Path::new(host, Host::group(Ipv4Addr::new(239, 255, 255, 250)));
        ssdp.ttl = 4;
        recording.at(time + 2 * MS, ssdp.udp((1900, 1900), b"M-SEARCH * HTTP/1.1\r\n\r\n"));

        // An IGMPv2 report, whose IP header has the router alert option.
        let group = Ipv4Addr::new(239, 255, 255, 250);
        let mut report = vec![0x16, 0, 0, 0];
        report.extend(group.octets());
        let sum = checksum(&report);
        report[2..4].copy_from_slice(&sum);
        let mut igmp = Path::new(host, Host::group(group));
        igmp.ttl = 1;
        igmp.options = vec![0x94, 4, 0, 0];
        recording.at(time + 3 * MS, igmp.frame(IGMP, &report));

        let mut discover = vec![1, 1, 6, 0, 0xde, 0xad, 0xbe, n];
        discover.resize(28, 0);
        discover.extend(host.mac);
        discover.resize(236, 0);
        discover.extend([99, 130, 83, 99, 53, 1, 1, 255]);
        let nobody = Host { mac: host.mac, ip: Ipv4Addr::UNSPECIFIED.into() };
        let all = Host { mac: BROADCAST, ip: Ipv4Addr::BROADCAST.into() };
        recording.at(time + 4 * MS, Path::new(nobody, all).udp((68, 67), &discover));

        let mut ntp = vec![0x23, 0, 6, 0xec];
        ntp.resize(48, 0);
        recording.at(time + 5 * MS, Path::new(host, web(123)).udp((123, 123), &ntp));
        ntp[0] = 0x24;
        recording.at(time + 15 * MS, Path::new(web(123), host).udp((123, 123), &ntp));
    }
}
