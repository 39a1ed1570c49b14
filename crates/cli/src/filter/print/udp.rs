//! UDP (RFC 768) and what is known by its port: DNS, DHCP, NTP, VXLAN.

use super::ip::Ends;
use super::{Cut, Printed, Text, View, mac, name, put};

/// Modes of NTP (RFC 5905).
const MODES: [(u8, &str); 8] = [
    (0, "unspecified"),
    (1, "symmetric active"),
    (2, "symmetric passive"),
    (3, "Client"),
    (4, "Server"),
    (5, "Broadcast"),
    (6, "Control Message"),
    (7, "Reserved"),
];

impl Text<'_> {
    pub(super) fn udp(
        &mut self,
        ends: &Ends,
        view: View<'_>,
        len: usize,
        fragments: bool,
    ) -> Printed {
        let view = view.named("udp");
        let ports = view.u16(0).and_then(|from| Ok((from, view.u16(2)?)));
        let Ok((from, to)) = ports else {
            put!(self, "{}: ", ends.shown());
            return Err(Cut("udp"));
        };
        put!(self, "{}: ", ends.with_ports(from, to));
        if len < 8 {
            put!(self, "truncated-udp {len}");
            return Ok(());
        }
        let mut size = usize::from(view.u16(4)?);
        if size == 0 && len > 65_535 {
            size = len;
        }
        if size < 8 {
            put!(self, "truncated-udplength {size}");
            return Ok(());
        }
        let payload = size - 8;
        if size > len && !fragments {
            put!(self, "UDP, bad length {payload} > {}", len - 8);
            return Ok(());
        }
        let size = payload.min(len - 8);
        let inside = view.from(8);
        if inside.len() == 0 && size > 0 {
            return Err(Cut("udp"));
        }
        if self.style.quiet {
            put!(self, "UDP, length {payload}");
            return Ok(());
        }
        if self.style.verbose > 0 && view.u16(6)? == 0 {
            put!(self, "[no cksum] ");
        }
        let inside = inside.first(size);
        let is = |port: u16| [from, to].contains(&port);
        match () {
            () if is(53) => self.dns(inside, size, false),
            () if is(5353) => self.dns(inside, size, true),
            () if is(67) || is(68) => self.dhcp(inside, size),
            () if is(123) => self.ntp(inside, size),
            () if to == 4789 => self.vxlan(inside, size),
            () => {
                put!(self, "UDP, length {payload}");
                Ok(())
            }
        }
    }

    fn ntp(&mut self, view: View<'_>, len: usize) -> Printed {
        let view = view.named("ntp");
        let first = view.u8(0)?;
        let mode = name(&MODES, first & 7).unwrap_or_default();
        put!(self, "NTPv{}, {mode}, length {len}", first >> 3 & 7);
        Ok(())
    }

    fn dhcp(&mut self, view: View<'_>, len: usize) -> Printed {
        let view = view.named("bootp");
        let (operation, hardware, size) = (view.u8(0)?, view.u8(1)?, view.u8(2)?);
        put!(self, "BOOTP/DHCP, ");
        match operation {
            1 => put!(self, "Request"),
            2 => put!(self, "Reply"),
            other => put!(self, "unknown (0x{other:02x})"),
        }
        if operation == 1 && hardware == 1 && size == 6 {
            put!(self, " from {}", mac(view.array(28)?));
        }
        put!(self, ", length {len}");
        Ok(())
    }

    fn vxlan(&mut self, view: View<'_>, len: usize) -> Printed {
        let view = view.named("vxlan");
        if len < 8 {
            return Err(Cut("vxlan"));
        }
        let (flags, network) = (view.u8(0)?, view.u32(4)? >> 8);
        let shown = if flags & 0x08 != 0 { "I" } else { "." };
        put!(self, "VXLAN, flags [{shown}] (0x{flags:02x}), vni {network}\n");
        self.ethernet_inside(view.from(8), len - 8)
    }
}
