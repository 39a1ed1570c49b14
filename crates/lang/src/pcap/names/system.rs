//! The names of this machine: the files of /etc, and the resolver for hosts.

use std::fs;
use std::net::{IpAddr, ToSocketAddrs};

use super::Names;

/// Files larger than this hold no names for us.
const MAX_FILE: u64 = 16 << 20;

/// What the files of /etc and the resolver say. Files are read when they are needed.
#[derive(Clone, Copy, Debug, Default)]
pub struct System;

/// Protocols that an expression can name on a machine without protocols(5).
const PROTOCOLS: [(&str, u8); 14] = [
    ("ip", 0),
    ("icmp", 1),
    ("igmp", 2),
    ("tcp", 6),
    ("igrp", 9),
    ("udp", 17),
    ("ipv6", 41),
    ("gre", 47),
    ("esp", 50),
    ("ah", 51),
    ("ipv6-icmp", 58),
    ("ospf", 89),
    ("pim", 103),
    ("sctp", 132),
];

pub(super) fn builtin_protocol(name: &str) -> Option<u8> {
    PROTOCOLS.iter().find(|row| row.0 == name).map(|row| row.1)
}

/// The lines of a file of names, without remarks, as words.
fn rows(path: &str) -> Vec<Vec<String>> {
    match fs::metadata(path) {
        Ok(metadata) if metadata.is_file() && metadata.len() <= MAX_FILE => {}
        _ => return Vec::new(),
    }
    let text = fs::read(path).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines = text.lines().map(|line| line.split('#').next().unwrap_or_default());
    lines.map(|line| line.split_whitespace().map(String::from).collect()).collect()
}

/// The second word of the first row that has the name as its first or as one behind.
fn value_of(rows: &[Vec<String>], name: &str, fits: impl Fn(&str) -> bool) -> Option<String> {
    let has = |row: &&Vec<String>| {
        row.len() >= 2
            && fits(&row[1])
            && (row[0] == name || row[2..].iter().any(|alias| alias == name))
    };
    rows.iter().find(has).map(|row| row[1].clone())
}

impl Names for System {
    fn host(&self, name: &str) -> Vec<IpAddr> {
        // RFC 6761: no such name ever exists, so nobody is asked.
        if name.trim_end_matches('.').rsplit('.').next() == Some("invalid") {
            return Vec::new();
        }
        let addresses = (name, 0).to_socket_addrs();
        addresses.map(|found| found.map(|address| address.ip()).collect()).unwrap_or_default()
    }

    fn network(&self, name: &str) -> Option<u32> {
        let value = value_of(&rows("/etc/networks"), name, |_| true)?;
        let mut number = 0u32;
        for part in value.split('.') {
            number = number << 8 | u32::from(part.parse::<u8>().ok()?);
        }
        // What ends in zeros is the number without them, as getnetbyname(3) gives it.
        while number != 0 && number & 0xff == 0 {
            number >>= 8;
        }
        Some(number)
    }

    fn port(&self, name: &str, protocol: u8) -> Option<u16> {
        let suffix = match protocol {
            6 => "/tcp",
            17 => "/udp",
            132 => "/sctp",
            _ => return None,
        };
        let value = value_of(&rows("/etc/services"), name, |value| value.ends_with(suffix))?;
        value.strip_suffix(suffix)?.parse().ok()
    }

    fn protocol(&self, name: &str) -> Option<u8> {
        let value = value_of(&rows("/etc/protocols"), name, |_| true);
        value.and_then(|value| value.parse().ok()).or_else(|| builtin_protocol(name))
    }

    fn ether(&self, name: &str) -> Option<[u8; 6]> {
        let rows = rows("/etc/ethers");
        let row = rows.iter().find(|row| row.len() >= 2 && row[1] == name)?;
        let mut address = [0; 6];
        let mut parts = row[0].split(':');
        for byte in &mut address {
            *byte = u8::from_str_radix(parts.next()?, 16).ok()?;
        }
        parts.next().is_none().then_some(address)
    }
}
