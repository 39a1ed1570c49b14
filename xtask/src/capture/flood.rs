//! SYN floods that `syn_guard` drops, and bursts below its limit that it must let pass.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::conversation::web;
use super::packet::{ACK, Host, Path, RST, SYN, Segment, Tag, VLAN};
use super::{MS, Random, Recording, US};

/// SYNs from one source, evenly spaced.
struct Burst {
    path: Path,
    start: u64,
    count: u16,
    /// ns
    every: u64,
    options: &'static [u8],
}

impl Burst {
    fn record(&self, recording: &mut Recording, random: &mut Random) {
        for n in 0..self.count {
            let segment = Segment {
                ports: (1024 + random.below(60_000) as u16, 80),
                seq: random.next() as u32,
                ack: 0,
                flags: SYN,
                window: 1024,
                options: self.options,
            };
            let mut path = self.path.clone();
            path.id = random.next() as u16;
            recording.at(self.start + u64::from(n) * self.every, path.tcp(&segment, b""));
        }
    }
}

fn attacker(n: u8) -> Host {
    Host::remote(Ipv4Addr::new(203, 0, 113, n))
}

/// All floods, and what is none.
pub fn record(recording: &mut Recording) {
    let random = &mut Random(2);
    let victim = Host::local(80);
    let victim6 = Host::local6(80);
    let attacker6 = Host::remote(Ipv6Addr::new(0x2001, 0xdb8, 0xbad, 0, 0, 0, 0, 1));
    let vlan: &[Tag] = &[(VLAN, 100)];
    let bursts = [
        // One long flood: one alert.
        (Path::new(attacker(66), victim), 3_000 * MS, 420, 4 * MS, &[][..]),
        // Two short ones with a pause: two alerts.
        (Path::new(attacker(77), victim), 1_000 * MS, 110, 2 * MS, &[2, 4, 5, 180][..]),
        (Path::new(attacker(77), victim), 7_500 * MS, 110, 2 * MS, &[2, 4, 5, 180][..]),
        // In IPv6, and in a VLAN.
        (Path::new(attacker6, victim6), 4_000 * MS, 160, 5 * MS, &[][..]),
        (Path::new(attacker(99), victim).tagged(vlan), 6_000 * MS, 130, 3 * MS, &[][..]),
        // A busy client, 40 in a second: within the limit.
        (Path::new(Host::local(40), web(80)), 8_000 * MS, 60, 25 * MS, &[2, 4, 5, 180][..]),
    ];
    for (path, start, count, every, options) in bursts {
        Burst { path, start, count, every, options }.record(recording, random);
    }
    scattered(recording, random);
    refused(recording, random);
}

/// SYNs from many sources, one each: nobody's flood.
fn scattered(recording: &mut Recording, random: &mut Random) {
    for n in 0..100u8 {
        let path = Path::new(attacker(100 + n), Host::local(80));
        let start = 3_500 * MS + random.below(400 * MS);
        Burst { path, start, count: 1, every: 0, options: &[] }.record(recording, random);
    }
}

/// Connections that the other side refuses, with a reset.
fn refused(recording: &mut Recording, random: &mut Random) {
    for n in 0..25u16 {
        let path = Path::new(attacker(50), Host::local(80));
        let time = 500 * MS + u64::from(n) * 300 * MS;
        let (seq, ports) = (random.next() as u32, (45_000 + n, 1 + n));
        let syn = Segment { ports, seq, ack: 0, flags: SYN, window: 1024, options: &[] };
        recording.at(time, path.tcp(&syn, b""));
        let reset = Segment {
            ports: (ports.1, ports.0),
            seq: 0,
            ack: seq.wrapping_add(1),
            flags: RST | ACK,
            window: 0,
            options: &[],
        };
        recording.at(time + 90 * US, path.back().tcp(&reset, b""));
    }
}
