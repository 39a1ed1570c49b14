//! TCP (RFC 9293): flags, sequence numbers from the start of each conversation, options.

use std::collections::HashMap;
use std::net::IpAddr;

use super::ip::Ends;
use super::{Printed, Text, View, put};

/// Conversations that are remembered; then all are forgotten, as memory is bounded.
const MOST: usize = 1 << 16;

/// The first numbers of both directions of each conversation.
#[derive(Default)]
pub struct Conversations(HashMap<(IpAddr, IpAddr, u16, u16), (u32, u32)>);

const SYN: u8 = 0x02;
const FIN: u8 = 0x01;
const ACK: u8 = 0x10;

/// Flags in the order in which they are printed.
const FLAGS: [(u8, char); 8] = [
    (FIN, 'F'),
    (SYN, 'S'),
    (0x04, 'R'),
    (0x08, 'P'),
    (ACK, '.'),
    (0x20, 'U'),
    (0x40, 'E'),
    (0x80, 'W'),
];

const HTTP: [u16; 3] = [80, 8080, 3128];
const DNS: u16 = 53;
const BGP: u16 = 179;

/// What lines of HTTP begin with.
const METHODS: [&str; 16] = [
    "GET", "PUT", "COPY", "HEAD", "LOCK", "MOVE", "POLL", "POST", "BCOPY", "BMOVE", "MKCOL",
    "TRACE", "LABEL", "DELETE", "OPTIONS", "HTTP/",
];

impl Text<'_> {
    pub(super) fn tcp(&mut self, ends: &Ends, view: View<'_>, len: usize) -> Printed {
        let view = view.named("tcp");
        let ports = view.u16(0).and_then(|from| Ok((from, view.u16(2)?)));
        let Ok((from, to)) = ports else {
            put!(self, "{}: ", ends.shown());
            return Err(super::Cut("tcp"));
        };
        put!(self, "{}: ", ends.with_ports(from, to));
        let header = usize::from(view.u8(12)? >> 4) * 4;
        if header < 20 {
            put!(
                self,
                "tcp {} [bad hdr length {header} - too short, < 20]",
                len.saturating_sub(header)
            );
            return Ok(());
        }
        let (mut seq, mut ack) = (view.u32(4)?, view.u32(8)?);
        let (flags, window, urgent) = (view.u8(13)?, view.u16(14)?, view.u16(18)?);
        if self.style.quiet {
            put!(self, "tcp {}", len.saturating_sub(header));
            if header > len {
                put!(self, " [bad hdr length {header} - too long, > {len}]");
            }
            return Ok(());
        }
        let mut theirs = 0;
        if !self.style.absolute && flags & ACK != 0 {
            (seq, ack, theirs) = self.relative(ends, (from, to), flags, (seq, ack));
        }
        if header > len {
            put!(self, " [bad hdr length {header} - too long, > {len}]");
            return Ok(());
        }
        let payload = len - header;
        let set: String = FLAGS.iter().filter(|row| flags & row.0 != 0).map(|row| row.1).collect();
        put!(self, "Flags [{}]", if set.is_empty() { "none" } else { &set });
        if self.style.verbose > 0 {
            put!(self, ", cksum 0x{:04x}", view.u16(16)?);
        }
        if self.style.verbose > 1 || payload > 0 || flags & (SYN | FIN | 0x04) != 0 {
            put!(self, ", seq {seq}");
            if payload > 0 {
                put!(self, ":{}", seq.wrapping_add(payload as u32));
            }
        }
        if flags & ACK != 0 {
            put!(self, ", ack {ack}");
        }
        put!(self, ", win {window}");
        if flags & 0x20 != 0 {
            put!(self, ", urg {urgent}");
        }
        if header > 20 {
            self.tcp_options(view, header, theirs)?;
        }
        put!(self, ", length {payload}");
        if payload == 0 {
            return Ok(());
        }
        let inside = view.from(header);
        if flags & 0x04 != 0 && self.style.verbose > 0 {
            put!(self, " [RST ");
            self.escaped(inside.first(payload.min(30)).data);
            put!(self, "]");
        } else if [from, to].contains(&DNS) {
            // The length stands before each message.
            if inside.len() > 2 {
                put!(self, " ");
                return self.dns(inside.from(2), payload - 2, false);
            }
        } else if [from, to].contains(&BGP) {
            put!(self, ": BGP");
        } else if HTTP.iter().any(|port| [from, to].contains(port)) {
            self.http(inside);
        }
        Ok(())
    }

    /// Numbers from the start of the conversation, once there was a packet of it that
    /// acknowledged something; and the other side's first one.
    fn relative(
        &mut self,
        ends: &Ends,
        (from, to): (u16, u16),
        flags: u8,
        (seq, ack): (u32, u32),
    ) -> (u32, u32, u32) {
        let reverse = (from, ends.from) > (to, ends.to);
        let key = match reverse {
            false => (ends.from, ends.to, from, to),
            true => (ends.to, ends.from, to, from),
        };
        let conversations = &mut self.conversations.0;
        if flags & SYN == 0
            && let Some(&(one, other)) = conversations.get(&key)
        {
            let (own, theirs) = if reverse { (other, one) } else { (one, other) };
            return (seq.wrapping_sub(own), ack.wrapping_sub(theirs), theirs);
        }
        if conversations.len() >= MOST {
            conversations.clear();
        }
        let theirs = ack.wrapping_sub(1);
        conversations.insert(key, if reverse { (theirs, seq) } else { (seq, theirs) });
        (seq, ack, theirs)
    }

    fn tcp_options(&mut self, view: View<'_>, header: usize, theirs: u32) -> Printed {
        let mut at = 20;
        let mut separator = ", options [";
        while at < header {
            put!(self, "{separator}");
            separator = ",";
            let kind = view.u8(at)?;
            if kind == 0 {
                put!(self, "eol");
                break;
            }
            if kind == 1 {
                put!(self, "nop");
                at += 1;
                continue;
            }
            let size = usize::from(view.u8(at + 1)?);
            let data = at + 2;
            match kind {
                2 => put!(self, "mss {}", view.u16(data)?),
                3 => put!(self, "wscale {}", view.u8(data)?),
                4 => put!(self, "sackOK"),
                5 => {
                    let blocks = size.saturating_sub(2) / 8;
                    put!(self, "sack");
                    put!(self, " {blocks} ");
                    for block in 0..blocks {
                        let from = view.u32(data + 8 * block)?;
                        let to = view.u32(data + 8 * block + 4)?;
                        let (from, to) = (from.wrapping_sub(theirs), to.wrapping_sub(theirs));
                        put!(self, "{{{from}:{to}}}");
                    }
                }
                8 => put!(self, "TS val {} ecr {}", view.u32(data)?, view.u32(data + 4)?),
                19 => {
                    put!(self, "md5 shared secret not supplied with -M, can't check - ");
                    for byte in view.bytes(data, 16)? {
                        put!(self, "{byte:02x}");
                    }
                }
                28 => {
                    let value = view.u16(data)?;
                    let unit = if value & 0x8000 != 0 { "m" } else { "s" };
                    put!(self, "uto {}{unit}", value & 0x7fff);
                }
                34 => {
                    put!(self, "tfo ");
                    match view.bytes(data, size.saturating_sub(2))? {
                        [] => put!(self, " cookiereq"),
                        cookie => {
                            put!(self, " cookie ");
                            for byte in cookie {
                                put!(self, "{byte:02x}");
                            }
                        }
                    }
                }
                30 => self.mptcp(view.from(at).first(size), size)?,
                _ => {
                    put!(self, "unknown-{kind}");
                    if size > 2 {
                        put!(self, " 0x");
                        for at in data..data + size - 2 {
                            put!(self, "{:02x}", view.u8(at)?);
                        }
                    }
                }
            }
            if size < 2 || at + size > header {
                put!(self, "[bad opt]");
                break;
            }
            at += size;
        }
        put!(self, "]");
        Ok(())
    }

    /// Multipath TCP (RFC 8684).
    fn mptcp(&mut self, view: View<'_>, size: usize) -> Printed {
        const OTHERS: [&str; 5] = ["add-addr", "rem-addr", "prio", "fail", "fast-close"];
        put!(self, "mptcp {size} ");
        let first = view.u8(2)?;
        let long = |at: usize| view.array(at).map(u64::from_be_bytes);
        match first >> 4 {
            0 => {
                put!(self, "capable v{}", first & 0xf);
                if view.u8(3)? & 0x80 != 0 {
                    put!(self, " csum");
                }
                if size >= 12 {
                    put!(self, " {{0x{:x}", long(4)?);
                    if size >= 20 {
                        put!(self, ",0x{:x}", long(12)?);
                    }
                    put!(self, "}}");
                }
            }
            1 => {
                put!(self, "join{}", if first & 1 != 0 { " backup" } else { "" });
                match size {
                    12 => {
                        let (id, token, nonce) = (view.u8(3)?, view.u32(4)?, view.u32(8)?);
                        put!(self, " id {id} token 0x{token:x} nonce 0x{nonce:x}");
                    }
                    16 => {
                        let (id, hmac, nonce) = (view.u8(3)?, long(4)?, view.u32(12)?);
                        put!(self, " id {id} hmac 0x{hmac:x} nonce 0x{nonce:x}");
                    }
                    _ => {
                        put!(self, " hmac 0x");
                        for byte in view.bytes(4, size.saturating_sub(4))? {
                            put!(self, "{byte:02x}");
                        }
                    }
                }
            }
            2 => self.mptcp_data(view, size)?,
            other => {
                let name = OTHERS.get(usize::from(other) - 3);
                put!(self, "{}", name.unwrap_or(&"unknown"));
            }
        }
        Ok(())
    }

    /// A mapping of data to the connection's numbers.
    fn mptcp_data(&mut self, view: View<'_>, size: usize) -> Printed {
        let flags = view.u8(3)?;
        let mut at = 4;
        let mut number = |long: bool| -> Result<u64, super::Cut> {
            at += if long { 8 } else { 4 };
            match long {
                true => view.array(at - 8).map(u64::from_be_bytes),
                false => view.u32(at - 4).map(u64::from),
            }
        };
        put!(self, "dss");
        if flags & 0x10 != 0 {
            put!(self, " fin");
        }
        if flags & 0x01 != 0 {
            put!(self, " ack {}", number(flags & 0x02 != 0)?);
        }
        if flags & 0x04 != 0 {
            put!(self, " seq {}", number(flags & 0x08 != 0)?);
            put!(self, " subseq {}", number(false)?);
            put!(self, " len {}", view.u16(at)?);
            if size >= at + 4 {
                put!(self, " csum 0x{:x}", view.u16(at + 2)?);
            }
        }
        Ok(())
    }

    /// The first line, where it is one.
    fn http(&mut self, view: View<'_>) {
        put!(self, ": HTTP");
        let line = view.data.split(|&byte| byte == b'\r' || byte == b'\n').next();
        let line = line.unwrap_or_default();
        if METHODS.iter().any(|method| line.starts_with(method.as_bytes())) {
            put!(self, ": ");
            self.escaped(line);
        }
    }
}
