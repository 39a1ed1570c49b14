//! IPv4 (RFC 791), IPv6 (RFC 8200) with its extensions, GRE (RFC 2784), and which protocol
//! comes next.

use super::{Cut, Printed, Text, View, name, put};

const TCP: u8 = 6;
const UDP: u8 = 17;

/// Names of protocols, for `-v` and for what is not looked into.
const PROTOCOLS: [(u8, &str); 16] = [
    (0, "Options"),
    (1, "ICMP"),
    (2, "IGMP"),
    (4, "IPIP"),
    (TCP, "TCP"),
    (UDP, "UDP"),
    (41, "IPv6"),
    (43, "Routing"),
    (44, "Fragment"),
    (47, "GRE"),
    (50, "ESP"),
    (51, "AH"),
    (58, "ICMPv6"),
    (89, "OSPF"),
    (112, "VRRP"),
    (132, "SCTP"),
];

/// Two ends, as they are printed.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Ends {
    pub from: std::net::IpAddr,
    pub to: std::net::IpAddr,
    /// Whether the addresses stand in the line already.
    pub printed: bool,
}

impl Ends {
    pub(super) fn shown(&self) -> String {
        format!("{} > {}", self.from, self.to)
    }

    pub(super) fn with_ports(&self, from: u16, to: u16) -> String {
        match self.printed {
            true => format!("{from} > {to}"),
            false => format!("{}.{from} > {}.{to}", self.from, self.to),
        }
    }
}

/// How an IPv6 protocol is reached: fragments and routes change what is printed.
struct Inner<'a> {
    protocol: u8,
    view: View<'a>,
    len: usize,
}

impl Text<'_> {
    pub(super) fn ip4(&mut self, view: View<'_>, length: usize) -> Printed {
        let view = view.named("ip");
        if !self.style.link || self.depth > 1 {
            put!(self, "IP ");
        }
        let first = view.u8(0)?;
        if first >> 4 != 4 {
            match first >> 4 {
                6 => put!(self, "wrong link-layer encapsulation (invalid)"),
                version => put!(self, "unknown ip {version}"),
            }
            return Ok(());
        }
        if length < 20 {
            put!(self, "truncated-ip {length}");
            return Ok(());
        }
        let header = usize::from(first & 0xf) * 4;
        if header < 20 {
            put!(self, "bad-hlen {header}");
            return Ok(());
        }
        let total = usize::from(view.u16(2)?);
        if length < total {
            put!(self, "truncated-ip - {} bytes missing! ", total - length);
        }
        if total < header {
            put!(self, "bad-len {total}");
            return Ok(());
        }
        let view = view.first(total);
        let (fragment, protocol) = (view.u16(6)?, view.u8(9)?);
        let printed = protocol != TCP && protocol != UDP;
        let ends = Ends { from: view.ip4(12)?.into(), to: view.ip4(16)?.into(), printed };
        if self.style.verbose > 0 {
            self.ip4_fields(view, total, fragment)?;
        }
        let offset = fragment & 0x1fff;
        if offset != 0 {
            put!(self, "{}:", ends.shown());
            put!(self, " ip-proto-{protocol}");
            return Ok(());
        }
        if printed {
            put!(self, "{}: ", ends.shown());
        }
        let inside = view.from(header);
        if inside.len() == 0 && view.len() < total {
            return Err(Cut("ip"));
        }
        let more = fragment & 0x2000 != 0;
        self.inside(&ends, protocol, inside, total - header, more)
    }

    fn ip4_fields(&mut self, view: View<'_>, total: usize, fragment: u16) -> Printed {
        let (tos, ttl, protocol) = (view.u8(1)?, view.u8(8)?, view.u8(9)?);
        put!(self, "(tos 0x{tos:x}");
        match tos & 3 {
            1 => put!(self, ",ECT(1)"),
            2 => put!(self, ",ECT(0)"),
            3 => put!(self, ",CE"),
            _ => {}
        }
        put!(self, ", ");
        if ttl >= 1 {
            put!(self, "ttl {ttl}, ");
        }
        let flags = super::bits(
            &[(0x2000, "+"), (0x4000, "DF"), (0x8000, "rsvd")],
            u32::from(fragment & 0xe000),
        );
        let (id, offset) = (view.u16(4)?, (fragment & 0x1fff) * 8);
        put!(self, "id {id}, offset {offset}, flags [{flags}], proto ");
        let shown = name(&PROTOCOLS, protocol).unwrap_or("unknown");
        put!(self, "{shown} ({protocol}), length {total}");
        let header = usize::from(view.u8(0)? & 0xf) * 4;
        if header > 20 {
            put!(self, ", options ({} bytes)", header - 20);
        }
        put!(self, ")\n    ");
        Ok(())
    }

    /// What a header of IP carries.
    fn inside(
        &mut self,
        ends: &Ends,
        protocol: u8,
        view: View<'_>,
        len: usize,
        fragments: bool,
    ) -> Printed {
        if !self.enter() {
            return Ok(());
        }
        match protocol {
            TCP => self.tcp(ends, view, len),
            UDP => self.udp(ends, view, len, fragments),
            1 => self.icmp(view, len),
            2 => self.igmp(view, len),
            4 => self.ip4(view, len),
            41 => self.ip6(view, len),
            47 => self.gre(view, len),
            58 => self.icmp6(view, len),
            other => {
                put!(self, " ip-proto-{other} {len}");
                Ok(())
            }
        }
    }

    pub(super) fn ip6(&mut self, view: View<'_>, length: usize) -> Printed {
        let view = view.named("ip6");
        if length < 40 {
            put!(self, "truncated-ip6 {length}");
            return Ok(());
        }
        if !self.style.link || self.depth > 1 {
            put!(self, "IP6 ");
        }
        if view.u8(0)? >> 4 != 6 {
            // The name is followed by a comma then.
            self.out.pop();
            put!(self, ", wrong link-layer encapsulation (invalid)");
            return Ok(());
        }
        let payload = usize::from(view.u16(4)?);
        let len = match payload {
            0 => length - 40,
            _ => payload,
        };
        if length < len + 40 {
            put!(self, "truncated-ip6 - {} bytes missing!", len + 40 - length);
        }
        let next = view.u8(6)?;
        if self.style.verbose > 0 {
            let word = view.u32(0)?;
            put!(self, "(");
            if word >> 20 & 0xff != 0 {
                put!(self, "class 0x{:02x}, ", word >> 20 & 0xff);
            }
            if word & 0xf_ffff != 0 {
                put!(self, "flowlabel 0x{:05x}, ", word & 0xf_ffff);
            }
            let shown = name(&PROTOCOLS, next).unwrap_or("unknown");
            put!(self, "hlim {}, next-header {shown} ({next}), ", view.u8(7)?);
            put!(self, "payload length: {payload}) ");
        }
        let printed = next != TCP && next != UDP;
        let ends = Ends { from: view.ip6(8)?.into(), to: view.ip6(24)?.into(), printed };
        let view = view.first(40 + len);
        let inner = Inner { protocol: next, view: view.from(40), len };
        if printed {
            put!(self, "{}: ", ends.shown());
        }
        self.extensions(&ends, inner)
    }

    fn extensions(&mut self, ends: &Ends, mut inner: Inner<'_>) -> Printed {
        for _ in 0..super::DEEPEST {
            let view = inner.view;
            let head = view.named("ip6");
            let size = match inner.protocol {
                0 => {
                    put!(self, "HBH ");
                    8 * (usize::from(head.u8(1)?) + 1)
                }
                60 => {
                    put!(self, "DSTOPT ");
                    8 * (usize::from(head.u8(1)?) + 1)
                }
                44 => {
                    let (word, id) = (head.u16(2)?, head.u32(4)?);
                    let size = inner.len.saturating_sub(8);
                    match self.style.verbose {
                        0 => put!(self, "frag ({}|{size})", word & 0xfff8),
                        _ => put!(self, "frag (0x{id:08x}:{}|{size})", word & 0xfff8),
                    }
                    put!(self, " ");
                    if word & 0xfff8 != 0 {
                        return Ok(());
                    }
                    8
                }
                59 => {
                    put!(self, "no next header");
                    return Ok(());
                }
                _ => break,
            };
            inner.protocol = head.u8(0)?;
            inner.view = view.from(size);
            inner.len = inner.len.saturating_sub(size);
            if inner.view.len() == 0 && inner.len > 0 {
                return Err(Cut("ip6"));
            }
        }
        self.inside(ends, inner.protocol, inner.view, inner.len, false)
    }

    fn gre(&mut self, view: View<'_>, len: usize) -> Printed {
        let view = view.named("gre");
        let flags = view.u16(0)?;
        put!(self, "GREv{}", flags & 7);
        match flags & 7 {
            0 => {}
            1 => return self.gre1(view, flags, len),
            _ => {
                put!(self, " ERROR: unknown-version");
                return Ok(());
            }
        }
        let protocol = view.u16(2)?;
        let mut at = 4;
        if self.style.verbose > 0 {
            let names = [
                (0x8000, "checksum present"),
                (0x4000, "routing present"),
                (0x2000, "key present"),
                (0x1000, "sequence# present"),
            ];
            put!(self, ", Flags [{}]", super::bits(&names, flags.into()));
        }
        if flags & 0xc000 != 0 {
            let sum = view.u16(at)?;
            if self.style.verbose > 0 {
                put!(self, ", sum 0x{sum:x}");
            }
            put!(self, ", off 0x{:x}", view.u16(at + 2)?);
            at += 4;
        }
        if flags & 0x2000 != 0 {
            put!(self, ", key=0x{:x}", view.u32(at)?);
            at += 4;
        }
        if flags & 0x1000 != 0 {
            put!(self, ", seq {}", view.u32(at)?);
            at += 4;
        }
        if self.style.link {
            put!(self, ", proto 0x{protocol:04x}");
        }
        put!(self, ", length {len}");
        put!(self, "{}", if self.style.verbose > 0 { "\n\t" } else { ": " });
        let (inside, rest) = (view.from(at), len.saturating_sub(at));
        match protocol {
            0x6558 => self.ethernet_inside(inside, rest),
            0x0800 | 0x86dd if self.ethertype(protocol, inside, rest)? => Ok(()),
            _ => {
                put!(self, "gre-proto-0x{protocol:x}");
                Ok(())
            }
        }
    }

    /// PPTP's GRE (RFC 2637).
    fn gre1(&mut self, view: View<'_>, flags: u16, len: usize) -> Printed {
        let protocol = view.u16(2)?;
        let mut at = 4;
        if flags & 0x2000 != 0 {
            put!(self, ", call {}", view.u32(at)? & 0xffff);
            at += 4;
        }
        if flags & 0x1000 != 0 {
            put!(self, ", seq {}", view.u32(at)?);
            at += 4;
        }
        if flags & 0x0080 != 0 {
            put!(self, ", ack {}", view.u32(at)?);
        }
        if flags & 0x1000 == 0 {
            put!(self, ", no-payload, length {len}");
            return Ok(());
        }
        put!(self, ", length {len}: gre-proto-0x{protocol:x}");
        Ok(())
    }

    /// Ethernet in a tunnel.
    pub(super) fn ethernet_inside(&mut self, view: View<'_>, len: usize) -> Printed {
        match self.enter() {
            true => self.ethernet(view, len),
            false => Ok(()),
        }
    }
}
