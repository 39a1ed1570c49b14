//! The bytes: header, the head of a type, and how long its tail is.
//!
//! Everything after the first four bytes of a BTF section is 32-bit words and
//! strings, so a section of the other byte order is read by turning each word.
//! In memory words are always little-endian. Counterpart:
//! `include/uapi/linux/btf.h`.

use crate::{BtfError, Kind};

pub(crate) const MAGIC: u16 = 0xeb9f;
pub(crate) const VERSION: u8 = 1;
/// `sizeof(struct btf_header)`.
pub(crate) const HEADER_LEN: usize = 24;
/// `sizeof(struct btf_type)`.
pub(crate) const TYPE_LEN: usize = 12;

/// The byte order of a BTF section: that of the machine that it describes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "self-explanatory")]
pub enum Endian {
    Little,
    Big,
}

impl Endian {
    /// This machine's.
    pub const NATIVE: Endian =
        if cfg!(target_endian = "big") { Endian::Big } else { Endian::Little };

    /// The order in which `bytes` hold BTF's magic.
    pub(crate) fn of_magic(bytes: &[u8]) -> Result<Endian, BtfError> {
        let Some(magic) = bytes.first_chunk::<2>() else {
            return Err(BtfError::Truncated {
                what: "the BTF magic",
                offset: 0,
                need: 2,
                len: bytes.len(),
            });
        };
        match u16::from_le_bytes(*magic) {
            MAGIC => Ok(Endian::Little),
            other if other.swap_bytes() == MAGIC => Ok(Endian::Big),
            other => Err(BtfError::Header {
                field: "magic",
                offset: 0,
                value: other.into(),
                expected: "0xeb9f, the mark of BTF",
            }),
        }
    }

    /// The word at byte `offset`, if it is there.
    pub(crate) fn word(self, bytes: &[u8], offset: usize) -> Option<u32> {
        let bytes = *bytes.get(offset..)?.first_chunk::<4>()?;
        Some(match self {
            Endian::Little => u32::from_le_bytes(bytes),
            Endian::Big => u32::from_be_bytes(bytes),
        })
    }

    /// A word's bytes.
    pub(crate) fn bytes(self, word: u32) -> [u8; 4] {
        match self {
            Endian::Little => word.to_le_bytes(),
            Endian::Big => word.to_be_bytes(),
        }
    }

    /// Turns little-endian words into this order, or back.
    pub(crate) fn turn(self, words: &mut [u8]) {
        if self == Endian::Big {
            for word in words.as_chunks_mut::<4>().0 {
                word.reverse();
            }
        }
    }
}

/// The little-endian word number `index` of a record whose length was checked.
pub(crate) fn word(record: &[u8], index: usize) -> u32 {
    u32::from_le_bytes(record.as_chunks::<4>().0[index])
}

/// The second word of a type: kind, number of records behind it, and a flag.
#[derive(Clone, Copy)]
pub(crate) struct Info(pub u32);

impl Info {
    pub fn new(kind: Kind, vlen: u16, kind_flag: bool) -> Info {
        Info(u32::from(vlen) | (kind as u32) << 24 | u32::from(kind_flag) << 31)
    }

    pub fn kind_number(self) -> u8 {
        (self.0 >> 24 & 0x1f) as u8
    }

    pub fn kind(self) -> Option<Kind> {
        Kind::from_number(self.kind_number())
    }

    /// The number of records; for a function its linkage.
    pub fn vlen(self) -> u16 {
        self.0 as u16
    }

    pub fn kind_flag(self) -> bool {
        self.0 >> 31 != 0
    }

    /// The length in bytes of what follows the type's head.
    pub fn tail_len(self) -> Option<usize> {
        let vlen = usize::from(self.vlen());
        Some(match self.kind()? {
            Kind::Void => return None,
            Kind::Int | Kind::Var | Kind::DeclTag => 4,
            Kind::Array => 12,
            Kind::Struct | Kind::Union | Kind::Enum64 | Kind::DataSec => vlen * 12,
            Kind::Enum | Kind::FuncProto => vlen * 8,
            Kind::Ptr
            | Kind::Fwd
            | Kind::Typedef
            | Kind::Volatile
            | Kind::Const
            | Kind::Restrict
            | Kind::Func
            | Kind::Float
            | Kind::TypeTag => 0,
        })
    }
}

/// Where a BTF section keeps its types and its strings.
pub(crate) struct Header {
    pub endian: Endian,
    pub types: std::ops::Range<usize>,
    pub strings: std::ops::Range<usize>,
}

impl Header {
    /// Reads and checks the header against the length of the section.
    pub fn parse(bytes: &[u8]) -> Result<Header, BtfError> {
        let endian = Endian::of_magic(bytes)?;
        if bytes.len() < HEADER_LEN {
            return Err(BtfError::Truncated {
                what: "the BTF header",
                offset: 0,
                need: HEADER_LEN as u64,
                len: bytes.len(),
            });
        }
        let field = |index: usize| endian.word(bytes, 4 * index).unwrap_or(0);
        let wrong = |field, offset, value: u32, expected| BtfError::Header {
            field,
            offset,
            value: value.into(),
            expected,
        };
        if bytes[2] != VERSION {
            return Err(wrong("version", 2, bytes[2].into(), "1"));
        }
        if bytes[3] != 0 {
            return Err(wrong("flags", 3, bytes[3].into(), "0"));
        }
        let (hdr_len, type_off, type_len) = (field(1), field(2), field(3));
        let (str_off, str_len) = (field(4), field(5));
        if (hdr_len as usize) < HEADER_LEN {
            return Err(wrong("hdr_len", 4, hdr_len, "at least 24"));
        }
        let part = |what, offset: u32, len: u32| {
            let start = u64::from(hdr_len) + u64::from(offset);
            match start + u64::from(len) {
                end if end <= bytes.len() as u64 => Ok(start as usize..end as usize),
                _ => Err(BtfError::Truncated {
                    what,
                    offset: start as usize,
                    need: len.into(),
                    len: bytes.len(),
                }),
            }
        };
        let types = part("the type section", type_off, type_len)?;
        let strings = part("the string section", str_off, str_len)?;
        if type_off % 4 != 0 {
            return Err(wrong("type_off", 8, type_off, "a multiple of 4"));
        }
        if type_len % 4 != 0 {
            return Err(wrong("type_len", 12, type_len, "a multiple of 4"));
        }
        if types.end > strings.start {
            return Err(wrong("str_off", 16, str_off, "strings after the types"));
        }
        Ok(Header { endian, types, strings })
    }

    /// A header in front of `types_len` bytes of types and then `strings_len` of strings.
    pub fn write(endian: Endian, types_len: u32, strings_len: u32) -> [u8; HEADER_LEN] {
        let mut header = [0; HEADER_LEN];
        header[..2].copy_from_slice(&match endian {
            Endian::Little => MAGIC.to_le_bytes(),
            Endian::Big => MAGIC.to_be_bytes(),
        });
        header[2] = VERSION;
        let fields = [HEADER_LEN as u32, 0, types_len, types_len, strings_len];
        for (place, field) in header[4..].as_chunks_mut::<4>().0.iter_mut().zip(fields) {
            *place = endian.bytes(field);
        }
        header
    }
}
