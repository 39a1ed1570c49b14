//! DNS (RFC 1035) in one line: what is asked, what is answered.

use super::{Cut, Printed, Text, View, name, put};

const OPERATIONS: [&str; 16] = [
    "",
    " inv_q",
    " stat",
    " op3",
    " notify",
    " update",
    " op6",
    " op7",
    " op8",
    " updateA",
    " updateD",
    " updateDA",
    " updateM",
    " updateMA",
    " zoneInit",
    " zoneRef",
];

const RESULTS: [&str; 16] = [
    "",
    " FormErr",
    " ServFail",
    " NXDomain",
    " NotImp",
    " Refused",
    " YXDomain",
    " YXRRSet",
    " NXRRSet",
    " NotAuth",
    " NotZone",
    " Resp11",
    " Resp12",
    " Resp13",
    " Resp14",
    " NoChange",
];

const TYPES: [(u16, &str); 36] = [
    (1, "A"),
    (2, "NS"),
    (3, "MD"),
    (4, "MF"),
    (5, "CNAME"),
    (6, "SOA"),
    (7, "MB"),
    (8, "MG"),
    (9, "MR"),
    (10, "NULL"),
    (11, "WKS"),
    (12, "PTR"),
    (13, "HINFO"),
    (14, "MINFO"),
    (15, "MX"),
    (16, "TXT"),
    (17, "RP"),
    (18, "AFSDB"),
    (24, "SIG"),
    (25, "KEY"),
    (28, "AAAA"),
    (29, "LOC"),
    (33, "SRV"),
    (35, "NAPTR"),
    (39, "DNAME"),
    (41, "OPT"),
    (43, "DS"),
    (44, "SSHFP"),
    (46, "RRSIG"),
    (47, "NSEC"),
    (48, "DNSKEY"),
    (52, "TLSA"),
    (65, "HTTPS"),
    (252, "AXFR"),
    (255, "ANY"),
    (256, "URI"),
];

const OPT: u16 = 41;
const HEADER: usize = 12;

/// Pointers that one name follows.
const MOST_POINTERS: usize = 64;

impl Text<'_> {
    pub(super) fn dns(&mut self, view: View<'_>, len: usize, multicast: bool) -> Printed {
        let view = view.named("domain");
        if len < HEADER {
            put!(self, "domain [length {len} < 12] (invalid)");
            return Ok(());
        }
        let (id, flags) = (view.u16(0)?, view.u16(2)?);
        let counts = [view.u16(4)?, view.u16(6)?, view.u16(8)?, view.u16(10)?];
        let operation = OPERATIONS[usize::from(flags >> 11 & 0xf)];
        put!(self, "{id}{operation}");
        match flags & 0x8000 {
            0 => self.question(view, flags, counts, multicast)?,
            _ => self.answer(view, flags, counts, multicast)?,
        }
        put!(self, " ({len})");
        Ok(())
    }

    fn question(
        &mut self,
        view: View<'_>,
        flags: u16,
        [questions, answers, authorities, more]: [u16; 4],
        multicast: bool,
    ) -> Printed {
        put!(self, "{}", if flags & 0x0100 != 0 { "+" } else { "" });
        if flags & 0x06cf != 0 {
            put!(self, " [b2&3=0x{flags:x}]");
        }
        for (count, unusual, letter) in [
            (answers, answers != 0, "a"),
            (questions, questions != 1, "q"),
            (authorities, authorities != 0, "n"),
            (more, more != 0, "au"),
        ] {
            if unusual {
                put!(self, " [{count}{letter}]");
            }
        }
        self.listed(view, questions, HEADER, |text, at| {
            let behind = skip(view, at)?;
            let (kind, class) = (view.u16(behind)?, view.u16(behind + 2)?);
            text.kind(kind);
            text.class(class, multicast, [" (QU)", " (QM)"]);
            put!(text, "? ");
            text.name(view, at)?;
            Ok(behind + 4)
        })?;
        Ok(())
    }

    /// So many parts of a message, with commas between them; gives where the last one ends.
    fn listed(
        &mut self,
        view: View<'_>,
        count: u16,
        mut at: usize,
        mut each: impl FnMut(&mut Self, usize) -> Result<usize, Cut>,
    ) -> Result<usize, Cut> {
        for index in 0..count {
            if at >= view.len() {
                return Err(Cut("domain"));
            }
            if index > 0 {
                put!(self, ",");
            }
            at = each(self, at)?;
        }
        Ok(at)
    }

    fn answer(
        &mut self,
        view: View<'_>,
        flags: u16,
        [questions, answers, authorities, more]: [u16; 4],
        multicast: bool,
    ) -> Printed {
        put!(self, "{}", RESULTS[usize::from(flags & 0xf)]);
        put!(self, "{}", if flags & 0x0400 != 0 { "*" } else { "" });
        put!(self, "{}", if flags & 0x0080 != 0 { "" } else { "-" });
        put!(self, "{}", if flags & 0x0200 != 0 { "|" } else { "" });
        put!(self, "{}", if flags & 0x0020 != 0 { "$" } else { "" });
        if questions != 1 {
            put!(self, " [{questions}q]");
        }
        let at = self.listed(view, questions, HEADER, |_, at| Ok(skip(view, at)? + 4))?;
        put!(self, " {answers}/{authorities}/{more}");
        self.listed(view, answers, at, |text, at| text.record(view, at, multicast))?;
        Ok(())
    }

    fn kind(&mut self, kind: u16) {
        match name(&TYPES, kind) {
            Some(kind) => put!(self, " {kind}"),
            None => put!(self, " Type{kind}"),
        }
    }

    /// What is not the Internet; multicast has a bit of its own there.
    fn class(&mut self, class: u16, multicast: bool, words: [&str; 2]) {
        let (class, bit) = match multicast {
            true => (class & 0x7fff, class & 0x8000 != 0),
            false => (class, false),
        };
        if multicast {
            put!(self, "{}", words[usize::from(!bit)]);
        }
        match class {
            1 => {}
            2 => put!(self, " CSNET"),
            3 => put!(self, " CHAOS"),
            4 => put!(self, " HS"),
            255 => put!(self, " ANY"),
            other => put!(self, " (Class {other})"),
        }
    }

    /// A record; gives where the next one starts.
    fn record(&mut self, view: View<'_>, at: usize, multicast: bool) -> Result<usize, Cut> {
        let at = skip(view, at)?;
        let (kind, class) = (view.u16(at)?, view.u16(at + 2)?);
        let (size, data) = (usize::from(view.u16(at + 8)?), at + 10);
        match kind {
            OPT => put!(self, " UDPsize={class}"),
            _ => self.class(class, multicast, [" (Cache flush)", ""]),
        }
        self.kind(kind);
        match kind {
            1 => put!(self, " {}", view.ip4(data)?),
            28 => put!(self, " {}", view.ip6(data)?),
            2 | 5 | 12 | 39 => {
                put!(self, " ");
                self.name(view, data)?;
            }
            15 => {
                put!(self, " ");
                self.name(view, data + 2)?;
                put!(self, " {}", view.u16(data)?);
            }
            33 => {
                put!(self, " ");
                self.name(view, data + 6)?;
                put!(self, ":{}", view.u16(data + 4)?);
                put!(self, " {} {}", view.u16(data)?, view.u16(data + 2)?);
            }
            256 => {
                let text = view.bytes(data + 4, size.saturating_sub(4))?;
                put!(self, " {} {} ", view.u16(data)?, view.u16(data + 2)?);
                self.escaped(text);
            }
            16 => {
                let mut from = data;
                while from < data + size {
                    let len = usize::from(view.u8(from)?);
                    put!(self, " \"");
                    self.escaped(view.bytes(from + 1, len)?);
                    put!(self, "\"");
                    from += 1 + len;
                }
            }
            _ => {}
        }
        Ok(data + size)
    }

    /// A name, with a dot behind each part.
    fn name(&mut self, view: View<'_>, mut at: usize) -> Printed {
        let mut pointers = 0;
        let mut first = true;
        loop {
            let len = view.u8(at)?;
            match len >> 6 {
                0 if len == 0 => {
                    if first {
                        put!(self, ".");
                    }
                    return Ok(());
                }
                0 => {
                    self.escaped(view.bytes(at + 1, len.into())?);
                    put!(self, ".");
                    at += 1 + usize::from(len);
                }
                3 => {
                    at = usize::from(view.u16(at)? & 0x3fff);
                    pointers += 1;
                    if pointers > MOST_POINTERS {
                        put!(self, "<LOOP>");
                        return Ok(());
                    }
                    continue;
                }
                _ => return Err(Cut("domain")),
            }
            first = false;
        }
    }
}

/// Where a name ends.
fn skip(view: View<'_>, mut at: usize) -> Result<usize, Cut> {
    loop {
        let len = view.u8(at)?;
        match len >> 6 {
            0 if len == 0 => return Ok(at + 1),
            0 => at += 1 + usize::from(len),
            3 => return Ok(at + 2),
            _ => return Err(Cut("domain")),
        }
    }
}
