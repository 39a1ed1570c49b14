//! ICMP (RFC 792), ICMPv6 (RFC 4443, 4861, 2710, 3810) and IGMP (RFC 3376).

use super::{Cut, Printed, Text, View, name, put};

/// Other codes of unreachable destinations: what stands before the address, what behind.
const UNREACHABLE: [(u8, &str, &str); 13] = [
    (0, "net ", "unreachable"),
    (1, "host ", "unreachable"),
    (5, "", "unreachable - source route failed"),
    (6, "net ", "unreachable - unknown"),
    (7, "host ", "unreachable - unknown"),
    (8, "", "unreachable - source host isolated"),
    (9, "net ", "unreachable - admin prohibited"),
    (10, "host ", "unreachable - admin prohibited"),
    (11, "net ", "unreachable - tos prohibited"),
    (12, "host ", "unreachable - tos prohibited"),
    (13, "host ", "unreachable - admin prohibited filter"),
    (14, "host ", "unreachable - host precedence violation"),
    (15, "host ", "unreachable - precedence cutoff"),
];

/// ICMPv6's types that need no more than their names.
const TYPES6: [(u8, &str); 24] = [
    (1, "destination unreachable"),
    (2, "packet too big"),
    (3, "time exceeded"),
    (4, "parameter problem"),
    (128, "echo request"),
    (129, "echo reply"),
    (130, "multicast listener query"),
    (131, "multicast listener report"),
    (132, "multicast listener done"),
    (133, "router solicitation"),
    (134, "router advertisement"),
    (135, "neighbor solicitation"),
    (136, "neighbor advertisement"),
    (137, "redirect"),
    (138, "router renumbering"),
    (139, "node information query"),
    (140, "node information reply"),
    (141, "inverse neighbor solicitation"),
    (142, "inverse neighbor advertisement"),
    (143, "multicast listener report v2"),
    (144, "dhaad request"),
    (145, "dhaad reply"),
    (146, "mobile router solicitation"),
    (147, "mobile router advertisement"),
];

impl Text<'_> {
    pub(super) fn icmp(&mut self, view: View<'_>, len: usize) -> Printed {
        let view = view.named("icmp");
        let (kind, code) = (view.u8(0)?, view.u8(1)?);
        put!(self, "ICMP ");
        // What the message is about starts behind its header.
        let about = view.from(8);
        match (kind, code) {
            (0 | 8, _) => {
                let what = if kind == 8 { "request" } else { "reply" };
                put!(self, "echo {what}, id {}, seq {}", view.u16(4)?, view.u16(6)?);
            }
            (3, 2) => {
                let (address, protocol) = (about.ip4(16)?, about.u8(9)?);
                put!(self, "{address} protocol {protocol} unreachable");
            }
            (3, 3) => {
                let (address, protocol) = (about.ip4(16)?, about.u8(9)?);
                let header = usize::from(about.u8(0)? & 0xf) * 4;
                let port = about.u16(header + 2)?;
                let known = name(&[(6, "tcp"), (17, "udp")], protocol);
                match known {
                    Some(known) => put!(self, "{address} {known} port {port} unreachable"),
                    None => put!(self, "{address} protocol {protocol} port {port} unreachable"),
                }
            }
            (3, 4) => {
                put!(self, "{} unreachable - need to frag", about.ip4(16)?);
                match view.u16(6)? {
                    0 => {}
                    size => put!(self, " (mtu {size})"),
                }
            }
            (3, code) => match UNREACHABLE.iter().find(|row| row.0 == code) {
                Some((_, before, behind)) => put!(self, "{before}{} {behind}", about.ip4(16)?),
                None => put!(self, "{} unreachable - #{code}", about.ip4(16)?),
            },
            (4, _) => put!(self, "source quench"),
            (5, code) => {
                let what = name(&[(0, "net"), (1, "host"), (2, "net"), (3, "host")], code);
                let service = if code >= 2 { "-tos" } else { "" };
                match what {
                    Some(what) => {
                        let (address, router) = (about.ip4(16)?, view.ip4(4)?);
                        put!(self, "redirect{service} {address} to {what} {router}");
                    }
                    None => {
                        put!(self, "redirect-#{code} {} to net {}", about.ip4(16)?, view.ip4(4)?)
                    }
                }
            }
            (9, _) => put!(self, "router advertisement"),
            (10, _) => put!(self, "router solicitation"),
            (11, 0) => put!(self, "time exceeded in-transit"),
            (11, 1) => put!(self, "ip reassembly time exceeded"),
            (11, code) => put!(self, "time exceeded-#{code}"),
            (12, 0) => put!(self, "parameter problem - octet {}", view.u8(4)?),
            (12, code) => put!(self, "parameter problem - code {code}"),
            (13, _) => put!(self, "time stamp query id {} seq {}", view.u16(4)?, view.u16(6)?),
            (17, _) => put!(self, "address mask request"),
            (18, _) => put!(self, "address mask is 0x{:08x}", view.u32(8)?),
            (kind, _) => put!(self, "type-#{kind}"),
        }
        put!(self, ", length {len}");
        Ok(())
    }

    pub(super) fn igmp(&mut self, view: View<'_>, len: usize) -> Printed {
        let view = view.named("igmp");
        let kind = view.u8(0)?;
        put!(self, "igmp ");
        match kind {
            0x11 if len >= 12 => {
                put!(self, "query v3");
                let (group, sources) = (view.ip4(4)?, view.u16(10)?);
                let code = view.u8(1)?;
                if code != 100 {
                    put!(self, " [max resp time {}]", tenths(code));
                }
                if !group.is_unspecified() {
                    put!(self, " [gaddr {group}");
                    if sources > 0 {
                        put!(self, ", {sources} source(s)");
                    }
                    put!(self, "]");
                }
            }
            0x11 => {
                let (time, group) = (view.u8(1)?, view.ip4(4)?);
                put!(self, "query v{}", if time == 0 { 1 } else { 2 });
                if time != 0 && time != 100 {
                    put!(self, " [max resp time {time}]");
                }
                if !group.is_unspecified() {
                    put!(self, " [gaddr {group}]");
                }
                if len != 8 {
                    put!(self, " [len {len}]");
                }
            }
            0x12 | 0x16 => {
                put!(self, "v{} report {}", if kind == 0x12 { 1 } else { 2 }, view.ip4(4)?);
                if len != 8 {
                    put!(self, " [len {len}]");
                }
            }
            0x17 => {
                put!(self, "leave {}", view.ip4(4)?);
                if len != 8 {
                    put!(self, " [len {len}]");
                }
            }
            0x22 => {
                let groups = view.u16(6)?;
                put!(self, "v3 report, {groups} group record(s)");
                if self.style.verbose > 0 {
                    self.groups(view, groups, 4)?;
                }
            }
            other => put!(self, "igmp-{other}"),
        }
        Ok(())
    }

    /// Records of groups in reports of IGMPv3 and MLDv2, by the size of an address.
    fn groups(&mut self, view: View<'_>, count: u16, size: usize) -> Printed {
        const MODES: [(u8, &str); 6] =
            [(1, "is_in"), (2, "is_ex"), (3, "to_in"), (4, "to_ex"), (5, "allow"), (6, "block")];
        let mut at = 8;
        for _ in 0..count {
            let (mode, more) = (view.u8(at)?, usize::from(view.u8(at + 1)?));
            let sources = usize::from(view.u16(at + 2)?);
            match size {
                4 => put!(self, " [gaddr {} ", view.ip4(at + 4)?),
                _ => put!(self, " [gaddr {} ", view.ip6(at + 4)?),
            }
            put!(self, "{}, {sources} source(s)]", name(&MODES, mode).unwrap_or("unknown"));
            at += 4 + size + size * sources + 4 * more;
        }
        Ok(())
    }

    pub(super) fn icmp6(&mut self, view: View<'_>, len: usize) -> Printed {
        let view = view.named("icmp6");
        let (kind, code) = (view.u8(0)?, view.u8(1)?);
        let known = name(&TYPES6, kind);
        match known {
            Some(known) => put!(self, "ICMP6, {known}"),
            None => put!(self, "ICMP6, unknown icmp6 type ({kind})"),
        }
        match kind {
            1 => self.unreachable6(view, code)?,
            2 => put!(self, ", mtu {}", view.u32(4)?),
            3 => match code {
                0 => put!(self, " in-transit for {}", view.ip6(8 + 24)?),
                1 => put!(self, " in-reassembly"),
                other => put!(self, ", unknown code ({other})"),
            },
            4 => match code {
                0 => put!(self, ", erroneous - octet {}", view.u32(4)?),
                1 => put!(self, ", next header - octet {}", view.u32(4)?),
                2 => put!(self, ", option - octet {}", view.u32(4)?),
                3 => put!(self, ", incomplete header chain - octet {}", view.u32(4)?),
                other => put!(self, ", code-#{other}"),
            },
            128 | 129 => put!(self, ", id {}, seq {}", view.u16(4)?, view.u16(6)?),
            130 => self.listeners(view, len)?,
            131 | 132 => put!(self, "max resp delay: {} addr: {}", view.u16(4)?, view.ip6(8)?),
            135 => put!(self, ", who has {}", view.ip6(8)?),
            136 => put!(self, ", tgt is {}", view.ip6(8)?),
            137 => put!(self, ", {} to {}", view.ip6(24)?, view.ip6(8)?),
            143 => {
                let groups = view.u16(6)?;
                put!(self, ", {groups} group record(s)");
                if self.style.verbose > 0 {
                    self.groups(view, groups, 16)?;
                }
            }
            _ => {}
        }
        put!(self, ", length {len}");
        Ok(())
    }

    /// A query of MLD, version 2 by its length.
    fn listeners(&mut self, view: View<'_>, len: usize) -> Printed {
        if len < 28 {
            put!(self, "max resp delay: {} addr: {}", view.u16(4)?, view.ip6(8)?);
            return Ok(());
        }
        put!(self, " v2");
        put!(self, " [gaddr {}", view.ip6(8)?);
        match view.u16(26)? {
            0 => {}
            sources => put!(self, ", {sources} source(s)"),
        }
        put!(self, "]");
        Ok(())
    }

    fn unreachable6(&mut self, view: View<'_>, code: u8) -> Result<(), Cut> {
        let about = view.from(8);
        let to = about.ip6(24)?;
        match code {
            0 => put!(self, ", unreachable route {to}"),
            1 => put!(self, ", unreachable prohibited {to}"),
            2 => put!(self, ", beyond scope {to}, source address {}", about.ip6(8)?),
            3 => put!(self, ", unreachable address {to}"),
            4 => {
                let (next, port) = (about.u8(6)?, about.u16(42)?);
                match name(&[(6, "tcp"), (17, "udp")], next) {
                    Some(known) => put!(self, ", unreachable port, {to} {known} port {port}"),
                    None => put!(
                        self,
                        ", unreachable port, {to} protocol {next} port {port} unreachable"
                    ),
                }
            }
            other => put!(self, ", unreachable code-#{other}"),
        }
        Ok(())
    }
}

/// The time of a code of IGMPv3 (RFC 3376, section 4.1.1), which counts tenths of seconds.
fn tenths(code: u8) -> String {
    let code = u32::from(code);
    let tenths = match code {
        0..128 => code,
        _ => (code & 0xf | 0x10) << ((code >> 4 & 7) + 3),
    };
    if tenths < 600 {
        return format!("{}.{}s", tenths / 10, tenths % 10);
    }
    let seconds = tenths / 10;
    match (seconds / 60, seconds % 60) {
        (minutes, 0) => format!("{minutes}m"),
        (minutes, seconds) => format!("{minutes}m{seconds}s"),
    }
}
