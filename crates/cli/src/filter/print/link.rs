//! Link headers, and what stands in them by itself: ARP, STP, LLDP.

use super::{Cut, Dump, Printed, Text, View, bits, mac, name, put};

const TAGS: [u16; 4] = [0x8100, 0x88a8, 0x9100, 0x9200];

/// Names of Ethernet types, where their packets are not printed.
const TYPES: [(u16, &str); 14] = [
    (0x0800, "IPv4"),
    (0x0806, "ARP"),
    (0x8035, "Reverse ARP"),
    (0x86dd, "IPv6"),
    (0x8100, "802.1Q"),
    (0x88a8, "802.1Q-QinQ"),
    (0x9100, "802.1Q-9100"),
    (0x9200, "802.1Q-9200"),
    (0x8847, "MPLS unicast"),
    (0x8848, "MPLS multicast"),
    (0x8863, "PPPoE D"),
    (0x8864, "PPPoE S"),
    (0x88cc, "LLDP"),
    (0x809b, "Appletalk"),
];

/// Address families of BSD loopback headers.
const FAMILIES: [(u32, u16); 5] =
    [(2, 0x0800), (10, 0x86dd), (24, 0x86dd), (28, 0x86dd), (30, 0x86dd)];

/// Which way packets of cooked captures went.
const WAYS: [(u8, &str); 5] = [(0, "In"), (1, "B"), (2, "M"), (3, "P"), (4, "Out")];

/// The name of one of the machine's interfaces, which is what tcpdump prints of files, too.
#[cfg(target_os = "linux")]
fn interface(index: u32) -> Option<&'static str> {
    use skep::sys::host::packet::{Interface, interfaces};
    static ALL: std::sync::OnceLock<Vec<Interface>> = std::sync::OnceLock::new();
    let all = ALL.get_or_init(|| interfaces().unwrap_or_default());
    all.iter().find(|interface| interface.index == index).map(|interface| interface.name.as_str())
}

#[cfg(not(target_os = "linux"))]
fn interface(_: u32) -> Option<&'static str> {
    None
}

impl Text<'_> {
    /// A packet by its link type.
    pub(super) fn frame(&mut self, link: u16, view: View<'_>, len: usize) -> Printed {
        let (header, kind) = match link {
            1 => {
                self.link_bytes = 14;
                return self.ethernet(view, len);
            }
            12 | 14 | 101 | 228 | 229 => match view.u8(0).map_err(|_| Cut("raw"))? >> 4 {
                4 => (0, 0x0800),
                6 => (0, 0x86dd),
                version => {
                    put!(self, "ip: unknown ip {version}");
                    return Ok(());
                }
            },
            113 => (16, view.named("sll").u16(14)?),
            276 => (20, self.cooked(view.named("sll2"), len)?),
            0 | 108 => {
                let family = view.named("null").u32(0)?;
                let known = [family, family.swap_bytes()];
                let found = FAMILIES.iter().find(|row| known.contains(&row.0));
                (4, found.map_or(0, |row| row.1))
            }
            _ => {
                put!(self, "unsupported link type {link}, length {len}");
                return Ok(());
            }
        };
        self.link_bytes = header;
        let inside = len.saturating_sub(header);
        if !self.ethertype(kind, view.from(header), inside)? {
            put!(self, "ethertype 0x{kind:04x}, length {inside}");
        }
        Ok(())
    }

    /// The header of packets of all interfaces; gives the type of what is behind it.
    fn cooked(&mut self, view: View<'_>, len: usize) -> Result<u16, Cut> {
        let (kind, index, way) = (view.u16(0)?, view.u32(4)?, view.u8(10)?);
        let interface = interface(index).unwrap_or("?");
        put!(self, "{interface:5} {:3} ", name(&WAYS, way).unwrap_or("?"));
        if self.style.link {
            let address = view.bytes(12, usize::from(view.u8(11)?.min(8)))?;
            let address: Vec<String> = address.iter().map(|byte| format!("{byte:02x}")).collect();
            put!(self, "ifindex {index} {} ", address.join(":"));
            self.type_of(kind);
            put!(self, "length {len}: ");
        }
        Ok(kind)
    }

    pub(super) fn ethernet(&mut self, view: View<'_>, len: usize) -> Printed {
        let view = view.named("ether");
        let (to, from) = (view.array::<6>(0)?, view.array::<6>(6)?);
        let mut kind = view.u16(12)?;
        let mut at = 14;
        if self.style.link {
            put!(self, "{} > {}, ", mac(from), mac(to));
            self.type_of(kind);
            put!(self, "length {len}: ");
        }
        while TAGS.contains(&kind) {
            let tag = view.named("vlan").u16(at)?;
            if self.style.link {
                put!(self, "vlan {}, p {}, ", tag & 0xfff, tag >> 13);
            }
            kind = view.named("vlan").u16(at + 2)?;
            at += 4;
            if self.style.link && kind > 1500 {
                put!(self, "{}, ", full_name(kind));
            }
        }
        let (inside, rest) = (view.from(at), len.saturating_sub(at));
        if kind <= 1500 {
            let rest = rest.min(kind.into());
            return self.llc(inside.first(rest), rest, mac(from), mac(to));
        }
        if self.ethertype(kind, inside, rest)? {
            return Ok(());
        }
        if !self.style.link {
            put!(self, "{} > {}, ", mac(from), mac(to));
            self.type_of(kind);
            put!(self, "length {len}: ");
        }
        self.bytes_below(inside);
        Ok(())
    }

    /// Bytes of what is not known stand below the line.
    fn bytes_below(&mut self, view: View<'_>) {
        if self.style.dump.is_none() {
            self.out.push('\n');
            let dump = Dump { hex: true, text: true, link: true };
            dump.print(view.data, 0, self.out);
            while self.out.ends_with('\n') {
                self.out.pop();
            }
        }
    }

    fn type_of(&mut self, kind: u16) {
        match kind {
            0..=1500 => put!(self, "802.3, "),
            _ => put!(self, "ethertype {}, ", full_name(kind)),
        }
    }

    /// What an Ethernet type says; false where it is not known.
    pub(super) fn ethertype(&mut self, kind: u16, view: View<'_>, len: usize) -> Result<bool, Cut> {
        if !self.enter() {
            return Ok(false);
        }
        match kind {
            0x0800 => self.ip4(view, len)?,
            0x86dd => self.ip6(view, len)?,
            0x0806 | 0x8035 => self.arp(view, len, kind == 0x8035)?,
            0x88cc => self.lldp(view, len)?,
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn llc(&mut self, view: View<'_>, len: usize, from: String, to: String) -> Printed {
        let view = view.named("llc");
        let (dsap, ssap, control) = (view.u8(0)?, view.u8(1)?, view.u8(2)?);
        if dsap == 0x42 && ssap == 0x42 && control == 3 {
            return self.stp(view.from(3).named("stp"), len.saturating_sub(3));
        }
        // Cisco's trees for each VLAN are in SNAP.
        if dsap == 0xaa && view.bytes(3, 5).is_ok_and(|snap| snap == [0, 0, 0x0c, 1, 0x0b]) {
            return self.stp(view.from(8).named("stp"), len.saturating_sub(8));
        }
        if !self.style.link {
            put!(self, "{from} > {to} ");
        }
        put!(self, "LLC, dsap 0x{dsap:02x}, ssap 0x{ssap:02x}, ctrl 0x{control:02x}: length {len}");
        Ok(())
    }

    /// IEEE 802.1D, section 9: flags, root, costs.
    fn stp(&mut self, view: View<'_>, len: usize) -> Printed {
        const ROLES: [&str; 4] = ["Unknown", "Alternate", "Root", "Designated"];
        let versions = [(0, "802.1d"), (2, "802.1w"), (3, "802.1s"), (4, "802.1aq")];
        put!(self, "STP ");
        if view.u16(0)? != 0 {
            put!(self, "unknown protocol ID");
            return Ok(());
        }
        let version = view.u8(2)?;
        put!(self, "{}", name(&versions, version).unwrap_or("Unknown STP protocol"));
        let kind = view.u8(3)?;
        put!(self, ", ");
        match kind {
            0x00 | 0x02 => {}
            0x80 => {
                put!(self, "Topology Change");
                return Ok(());
            }
            other => {
                put!(self, "Unknown ({other})");
                return Ok(());
            }
        }
        put!(self, "{}", if kind == 0 { "Config" } else { "Rapid STP" });
        let flags = u32::from(view.u8(4)?);
        if version == 3 || version == 4 {
            put!(self, ", CIST Flags [{}], length {len}", stp_flags(flags));
            return Ok(());
        }
        put!(self, ", Flags [{}]", stp_flags(flags));
        let [p0, p1, address @ ..] = view.array::<8>(17)?;
        let port = view.u16(25)?;
        put!(self, ", bridge-id {p0:02x}{p1:02x}.{}.{port:04x}, length {len}", mac(address));
        if self.style.verbose > 0 {
            let quarter = |at: usize| view.u16(at).map(|value| f64::from(value) / 256.0);
            put!(self, "\n\tmessage-age {:.2}s", quarter(27)?);
            put!(self, ", max-age {:.2}s", quarter(29)?);
            put!(self, ", hello-time {:.2}s", quarter(31)?);
            put!(self, ", forwarding-delay {:.2}s", quarter(33)?);
            let [r0, r1, root @ ..] = view.array::<8>(5)?;
            let cost = view.u32(13)?;
            put!(self, "\n\troot-id {r0:02x}{r1:02x}.{}, root-pathcost {cost}", mac(root));
            if kind == 2 {
                put!(self, ", port-role {}", ROLES[(flags >> 2 & 3) as usize]);
            }
        }
        Ok(())
    }

    fn lldp(&mut self, view: View<'_>, len: usize) -> Printed {
        put!(self, "LLDP, length {len}");
        // Only the system's name belongs to a short line.
        let view = view.named("lldp");
        let mut at = 0;
        while at + 2 <= view.len() {
            let head = view.u16(at)?;
            let (kind, size) = (head >> 9, usize::from(head & 0x1ff));
            if kind == 0 {
                break;
            }
            let value = view.bytes(at + 2, size)?;
            if kind == 5 && size > 0 {
                put!(self, ": ");
                self.escaped(value);
                break;
            }
            at += 2 + size;
        }
        Ok(())
    }

    /// RFC 826, RFC 903.
    fn arp(&mut self, view: View<'_>, len: usize, reverse: bool) -> Printed {
        let view = view.named("arp");
        let (hardware, protocol) = (view.u16(0)?, view.u16(2)?);
        let (hw_len, proto_len) = (usize::from(view.u8(4)?), usize::from(view.u8(5)?));
        let operation = view.u16(6)?;
        // All that an answer needs must be there.
        let whole = 8 + 2 * (hw_len + proto_len);
        put!(self, "{}, ", if reverse { "Reverse ARP" } else { "ARP" });
        view.bytes(0, whole)?;
        let ordinary = protocol == 0x0800 && proto_len == 4 && hw_len != 0;
        let kinds = [(1, "Ethernet"), (6, "TokenRing"), (15, "Frame Relay"), (24, "FireWire")];
        if !ordinary || self.style.verbose > 0 {
            match name(&kinds, hardware) {
                Some(kind) => put!(self, "{kind} (len {hw_len}), "),
                None => put!(self, "Unknown Hardware ({hardware}) (len {hw_len}), "),
            }
            match name(&TYPES, protocol) {
                Some(kind) => put!(self, "{kind} (len {proto_len})"),
                None => put!(self, "Unknown Protocol (0x{protocol:04x}) (len {proto_len})"),
            }
            if !ordinary {
                put!(self, ", length {len}");
                return Ok(());
            }
            put!(self, ", ");
        }
        let hw = |at: usize| -> Result<String, Cut> {
            let bytes = view.bytes(at, hw_len)?;
            let parts: Vec<String> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            Ok(parts.join(":"))
        };
        let sender = 8 + hw_len;
        let target = sender + 4 + hw_len;
        match operation {
            1 => {
                put!(self, "Request who-has {}", view.ip4(target)?);
                let asked = view.bytes(sender + 4, hw_len)?;
                if asked.iter().any(|&byte| byte != 0) {
                    put!(self, " ({})", hw(sender + 4)?);
                }
                put!(self, " tell {}", view.ip4(sender)?);
            }
            2 => put!(self, "Reply {} is-at {}", view.ip4(sender)?, hw(8)?),
            3 => put!(self, "Reverse Request who-is {} tell {}", hw(sender + 4)?, hw(8)?),
            4 => put!(self, "Reverse Reply {} at {}", hw(sender + 4)?, view.ip4(target)?),
            8 => put!(self, "Inverse Request who-is {} tell {}", hw(sender + 4)?, hw(8)?),
            9 => put!(self, "Inverse Reply {} at {}", hw(8)?, view.ip4(sender)?),
            other => {
                put!(self, "Unknown ({other}) ");
                self.bytes_below(view.first(len));
                return Ok(());
            }
        }
        put!(self, ", length {len}");
        Ok(())
    }
}

fn stp_flags(flags: u32) -> String {
    const NAMES: [(u32, &str); 6] = [
        (0x01, "Topology change"),
        (0x02, "Proposal"),
        (0x10, "Learn"),
        (0x20, "Forward"),
        (0x40, "Agreement"),
        (0x80, "Topology change ACK"),
    ];
    bits(&NAMES, flags)
}

fn full_name(kind: u16) -> String {
    let name = name(&TYPES, kind).unwrap_or("Unknown");
    format!("{name} (0x{kind:04x})")
}
