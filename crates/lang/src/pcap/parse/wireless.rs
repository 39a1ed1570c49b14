//! Words of 802.11 and of LLC, and their numbers.

use super::cursor::Cursor;
use crate::pcap::Error;
use crate::pcap::ast::{Llc, Primitive};
use crate::pcap::lex::{Keyword, Token};

/// Bits of the first byte that are the type of a frame.
const TYPE: u32 = 0x0c;
/// Bits of the first byte that are the subtype.
const SUBTYPE: u32 = 0xf0;
/// Bits of the second byte that are the direction.
const DIRECTION: u32 = 0x03;

const MANAGEMENT: u32 = 0x00;
const CONTROL: u32 = 0x04;
const DATA: u32 = 0x08;

const TYPES: [(&str, u32); 5] = [
    ("data", DATA),
    ("mgt", MANAGEMENT),
    ("management", MANAGEMENT),
    ("ctl", CONTROL),
    ("control", CONTROL),
];

/// Names of subtypes, in the order in which they are searched: type, name, number.
const SUBTYPES: &[(u32, &str, u32)] = &[
    (MANAGEMENT, "assocreq", 0x00),
    (MANAGEMENT, "assoc-req", 0x00),
    (MANAGEMENT, "assocresp", 0x10),
    (MANAGEMENT, "assoc-resp", 0x10),
    (MANAGEMENT, "reassocreq", 0x20),
    (MANAGEMENT, "reassoc-req", 0x20),
    (MANAGEMENT, "reassocresp", 0x30),
    (MANAGEMENT, "reassoc-resp", 0x30),
    (MANAGEMENT, "probereq", 0x40),
    (MANAGEMENT, "probe-req", 0x40),
    (MANAGEMENT, "proberesp", 0x50),
    (MANAGEMENT, "probe-resp", 0x50),
    (MANAGEMENT, "beacon", 0x80),
    (MANAGEMENT, "atim", 0x90),
    (MANAGEMENT, "disassoc", 0xa0),
    (MANAGEMENT, "disassociation", 0xa0),
    (MANAGEMENT, "auth", 0xb0),
    (MANAGEMENT, "authentication", 0xb0),
    (MANAGEMENT, "deauth", 0xc0),
    (MANAGEMENT, "deauthentication", 0xc0),
    (CONTROL, "bar", 0x80),
    (CONTROL, "ba", 0x90),
    (CONTROL, "ps-poll", 0xa0),
    (CONTROL, "rts", 0xb0),
    (CONTROL, "cts", 0xc0),
    (CONTROL, "ack", 0xd0),
    (CONTROL, "cf-end", 0xe0),
    (CONTROL, "cf-end-ack", 0xf0),
    (DATA, "data", 0x00),
    (DATA, "data-cf-ack", 0x10),
    (DATA, "data-cf-poll", 0x20),
    (DATA, "data-cf-ack-poll", 0x30),
    (DATA, "null", 0x40),
    (DATA, "cf-ack", 0x50),
    (DATA, "cf-poll", 0x60),
    (DATA, "cf-ack-poll", 0x70),
    (DATA, "qos-data", 0x80),
    (DATA, "qos-data-cf-ack", 0x90),
    (DATA, "qos-data-cf-poll", 0xa0),
    (DATA, "qos-data-cf-ack-poll", 0xb0),
    (DATA, "qos", 0xc0),
    (DATA, "qos-cf-poll", 0xe0),
    (DATA, "qos-cf-ack-poll", 0xf0),
];

const DIRECTIONS: [(&str, u32); 4] = [("nods", 0), ("tods", 1), ("fromds", 2), ("dstods", 3)];

/// Bits of the control field that tell supervisory frames apart, and unnumbered ones.
const LLC_S: u32 = 0x0f;
const LLC_U: u32 = 0xef;

const LLC: [(&str, Llc); 14] = [
    ("i", Llc::Information),
    ("s", Llc::Control { value: 0x01, mask: 0x03 }),
    ("u", Llc::Control { value: 0x03, mask: 0x03 }),
    ("rr", Llc::Control { value: 0x01, mask: LLC_S }),
    ("rnr", Llc::Control { value: 0x05, mask: LLC_S }),
    ("rej", Llc::Control { value: 0x09, mask: LLC_S }),
    ("ui", Llc::Control { value: 0x03, mask: LLC_U }),
    ("ua", Llc::Control { value: 0x63, mask: LLC_U }),
    ("disc", Llc::Control { value: 0x43, mask: LLC_U }),
    ("dm", Llc::Control { value: 0x0f, mask: LLC_U }),
    ("sabme", Llc::Control { value: 0x6f, mask: LLC_U }),
    ("test", Llc::Control { value: 0xe3, mask: LLC_U }),
    ("xid", Llc::Control { value: 0xaf, mask: LLC_U }),
    ("frmr", Llc::Control { value: 0x87, mask: LLC_U }),
];

fn row<T: Copy>(table: &[(&str, T)], name: &str) -> Option<T> {
    table.iter().find(|row| row.0.eq_ignore_ascii_case(name)).map(|row| row.1)
}

fn names<T>(table: &[(&str, T)]) -> String {
    table.iter().map(|row| row.0).collect::<Vec<_>>().join(", ")
}

impl Cursor<'_> {
    /// Behind `type`.
    pub fn frame_type(&mut self) -> Result<Primitive, Error> {
        let span = self.span();
        let kind = match self.peek() {
            Token::Number(value) if value & !TYPE != 0 => {
                return Err(Error::new(span, format!("invalid 802.11 type value 0x{value:02x}"))
                    .hint("types are 0 (mgt), 4 (ctl) and 8 (data)"));
            }
            Token::Number(value) => *value,
            Token::Id(name) => row(&TYPES, name).ok_or_else(|| {
                Error::new(span, format!("unknown 802.11 type name \"{name}\""))
                    .hint(format!("types are {}", names(&TYPES)))
            })?,
            _ => return Err(self.wanted("a type of frames: mgt, ctl or data")),
        };
        self.next();
        if !self.take_keyword(Keyword::WlanSubtype) {
            return Ok(Primitive::FrameType(kind, TYPE));
        }
        let span = self.span();
        let subtype = match self.peek() {
            Token::Number(value) if value & !SUBTYPE != 0 => {
                return Err(Error::new(
                    span,
                    format!("invalid 802.11 subtype value 0x{value:02x}"),
                )
                .hint("subtypes are multiples of 16 up to 0xf0"));
            }
            Token::Number(value) => *value,
            Token::Id(name) => {
                if !TYPES.iter().any(|row| row.1 == kind) {
                    return Err(Error::new(span, "unknown 802.11 type"));
                }
                let found =
                    SUBTYPES.iter().find(|row| row.0 == kind && row.1.eq_ignore_ascii_case(name));
                let unknown =
                    || Error::new(span, format!("unknown 802.11 subtype name \"{name}\""));
                found.map(|row| row.2).ok_or_else(unknown)?
            }
            _ => return Err(self.wanted("a subtype of frames")),
        };
        self.next();
        Ok(Primitive::FrameType(kind | subtype, TYPE | SUBTYPE))
    }

    /// Behind `subtype`.
    pub fn frame_subtype(&mut self) -> Result<Primitive, Error> {
        let span = self.span();
        let Token::Id(name) = self.peek() else {
            return Err(self.wanted("the name of a subtype of frames, as in `subtype beacon`"));
        };
        let found = SUBTYPES.iter().find(|row| row.1.eq_ignore_ascii_case(name));
        let unknown = || Error::new(span, "unknown 802.11 type name");
        let (kind, _, subtype) = found.ok_or_else(unknown)?;
        self.next();
        Ok(Primitive::FrameType(kind | subtype, TYPE | SUBTYPE))
    }

    /// Behind `dir`.
    pub fn frame_direction(&mut self) -> Result<Primitive, Error> {
        let span = self.span();
        let direction = match self.peek() {
            Token::Number(value) if value & !DIRECTION != 0 => {
                return Err(Error::new(
                    span,
                    format!("invalid 802.11 direction value 0x{value:x}"),
                ));
            }
            Token::Number(value) => *value,
            Token::Id(name) => row(&DIRECTIONS, name).ok_or_else(|| {
                Error::new(span, "unknown 802.11 direction")
                    .hint(format!("directions are {}", names(&DIRECTIONS)))
            })?,
            _ => return Err(self.wanted("a direction of frames: nods, tods, fromds or dstods")),
        };
        self.next();
        Ok(Primitive::FrameDirection(direction))
    }

    /// Behind `llc`.
    pub fn llc(&mut self) -> Result<Primitive, Error> {
        let span = self.span();
        let name = match self.peek() {
            Token::Id(name) => name.as_str(),
            Token::Keyword(Keyword::Firewall("rnr")) => "rnr",
            _ => return Ok(Primitive::Llc(None)),
        };
        let kind = row(&LLC, name).ok_or_else(|| {
            Error::new(span, format!("unknown LLC type name \"{name}\""))
                .hint(format!("types are {}", names(&LLC)))
        })?;
        self.next();
        Ok(Primitive::Llc(Some(kind)))
    }
}
