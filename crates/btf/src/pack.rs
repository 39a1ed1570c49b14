//! Packs: a kernel's types in about a quarter of their bytes, for machines and CI jobs
//! that have no `/sys/kernel/btf/vmlinux`.
//!
//! ```text
//!   BTF -> words of the type section, each by its role -> a column for each role,
//!          as numbers near zero -> deflate
//! ```
//! A general compressor sees little in BTF: most words are ids and offsets that never
//! repeat. Told from what stands before them (a member's type from the id of its struct,
//! a name from the string that was used last), most are small. [`Walk`] knows the roles
//! and is the same for both directions, so what was packed comes back to the byte.
//!
//! Reading is for hostile bytes: lengths are bounded before memory is taken, and the
//! types that come out are checked by whoever parses them.

use miniz_oxide::deflate::compress_to_vec_zlib;
use miniz_oxide::inflate::decompress_to_vec_zlib_with_limit;

use crate::{Btf, BtfError, Endian, Kind};

/// What a pack starts with.
pub const MAGIC: &[u8; 8] = b"SKEPBTF1";

/// The most bytes of types and of strings: Linux's own limit for strings is a quarter.
const MOST: usize = 64 << 20;
/// Bytes of `struct btf_header`.
const HEADER: usize = 24;
/// How hard to compress.
const LEVEL: u8 = 9;

/// What a word of the type section is, which says what it is predicted from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Role {
    /// Kind, flag and number of members.
    Info,
    /// A string, for the most part the next one or one from before.
    Name,
    /// A size.
    Size,
    /// A type, by what refers to it.
    Ref(Referrer),
    /// An offset of a member, which grows from member to member.
    Offset,
    /// A value of an enumeration, which grows, too.
    Value,
    /// Anything else.
    Plain,
}

/// Who refers to a type.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Referrer {
    Modifier,
    Function,
    Member,
    Param,
    Array,
}

/// The columns: one for each kind of number.
const COLUMNS: usize = 13;
const FRESH: usize = 1;
const BACK: usize = 2;

impl Role {
    fn column(self) -> usize {
        match self {
            Role::Info => 0,
            Role::Name => FRESH,
            Role::Size => 3,
            Role::Ref(Referrer::Modifier) => 4,
            Role::Ref(Referrer::Function) => 5,
            Role::Ref(Referrer::Member) => 6,
            Role::Ref(Referrer::Param) => 7,
            Role::Ref(Referrer::Array) => 8,
            Role::Offset => 9,
            Role::Value => 10,
            Role::Plain => 11,
        }
    }
}

/// The last column holds the strings.
const STRINGS: usize = 12;

/// Where in the type section a word stands: knows the words before it, and from them its
/// role.
struct Walk<'a> {
    strings: &'a [u8],
    /// The id of the type that is being read.
    id: u32,
    /// Words of its fixed part that are still to come behind its name.
    left: usize,
    kind: Option<Kind>,
    /// Words of its members that are still to come.
    members: usize,
    /// Where the string behind the last fresh one starts.
    fresh: u32,
    /// The last member's offset or value.
    last: u32,
}

impl<'a> Walk<'a> {
    fn new(strings: &'a [u8]) -> Walk<'a> {
        // Offset 0 is the empty string, the first one stands behind it.
        Walk { strings, id: 0, left: 0, kind: None, members: 0, fresh: 1, last: 0 }
    }

    /// The role of the next word.
    fn role(&self) -> Role {
        if self.left > 0 {
            return match self.left {
                2 => Role::Info,
                _ => match self.kind {
                    Some(Kind::Func | Kind::FuncProto) => Role::Ref(Referrer::Function),
                    Some(
                        Kind::Ptr
                        | Kind::Typedef
                        | Kind::Volatile
                        | Kind::Const
                        | Kind::Restrict
                        | Kind::Var
                        | Kind::DeclTag
                        | Kind::TypeTag,
                    ) => Role::Ref(Referrer::Modifier),
                    _ => Role::Size,
                },
            };
        }
        let Some(kind) = self.kind.filter(|_| self.members > 0) else { return Role::Name };
        match (kind, self.members % words(kind)) {
            (Kind::Struct | Kind::Union, 0) => Role::Name,
            (Kind::Struct | Kind::Union, 2) => Role::Ref(Referrer::Member),
            (Kind::Struct | Kind::Union, _) => Role::Offset,
            (Kind::Enum | Kind::Enum64, 0) => Role::Name,
            (Kind::Enum, _) | (Kind::Enum64, 2) => Role::Value,
            (Kind::FuncProto, 0) => Role::Name,
            (Kind::FuncProto, _) => Role::Ref(Referrer::Param),
            (Kind::Array, 0 | 2) => Role::Ref(Referrer::Array),
            (Kind::DataSec, 0) => Role::Ref(Referrer::Member),
            _ => Role::Plain,
        }
    }

    /// Goes on behind a word.
    fn pass(&mut self, role: Role, word: u32) {
        match role {
            Role::Name if word >= self.fresh => {
                let rest = self.strings.get(word as usize..).unwrap_or_default();
                let len = rest.iter().position(|&byte| byte == 0).unwrap_or(rest.len());
                self.fresh = word.saturating_add(len as u32).saturating_add(1);
            }
            Role::Offset | Role::Value => self.last = word,
            _ => {}
        }
        if self.left == 0 && self.members == 0 {
            // That was the first word of a type.
            self.id = self.id.wrapping_add(1);
            (self.left, self.kind, self.last) = (2, None, 0);
        } else if self.left > 0 {
            self.left -= 1;
            if role == Role::Info {
                self.kind = Kind::from_number((word >> 24 & 0x1f) as u8);
                let count = (word & 0xffff) as usize;
                self.members = self.kind.map_or(0, |kind| match kind {
                    Kind::Int | Kind::Var | Kind::DeclTag => 1,
                    Kind::Array => 3,
                    _ => count * words(kind),
                });
            }
        } else {
            self.members -= 1;
        }
    }

    /// The number that stands for a word: near zero where it is what it mostly is.
    fn code(&self, role: Role, word: u32) -> u32 {
        match role {
            Role::Ref(_) => zigzag(self.id.wrapping_sub(word)),
            Role::Offset | Role::Value => zigzag(word.wrapping_sub(self.last)),
            // Kind in the low bits, so that small numbers of members stay small.
            Role::Info => word.rotate_left(8),
            Role::Name | Role::Size | Role::Plain => word,
        }
    }

    /// The word that a number stands for.
    fn word(&self, role: Role, code: u32) -> u32 {
        match role {
            Role::Ref(_) => self.id.wrapping_sub(unzigzag(code)),
            Role::Offset | Role::Value => self.last.wrapping_add(unzigzag(code)),
            Role::Info => code.rotate_right(8),
            Role::Name | Role::Size | Role::Plain => code,
        }
    }
}

/// Words of a member.
fn words(kind: Kind) -> usize {
    match kind {
        Kind::Struct | Kind::Union | Kind::DataSec | Kind::Enum64 | Kind::Array => 3,
        Kind::Enum | Kind::FuncProto => 2,
        Kind::Int | Kind::Var | Kind::DeclTag => 1,
        _ => 0,
    }
}

/// Small numbers of either sign as small numbers.
fn zigzag(number: u32) -> u32 {
    number << 1 ^ ((number as i32) >> 31) as u32
}

fn unzigzag(code: u32) -> u32 {
    code >> 1 ^ (code & 1).wrapping_neg()
}

/// A number in as many bytes as it needs (LEB128).
fn put(column: &mut Vec<u8>, mut number: u32) {
    while number >= 0x80 {
        column.push(number as u8 | 0x80);
        number >>= 7;
    }
    column.push(number as u8);
}

/// Takes a number from the front of a column.
fn take(column: &mut &[u8]) -> Option<u32> {
    let mut number = 0;
    for shift in [0, 7, 14, 21, 28] {
        let (&byte, rest) = column.split_first()?;
        *column = rest;
        number |= u32::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

/// Names that are no fresh string: the empty one, and one of those before.
const EMPTY: u32 = 0;
const NEXT: u32 = 1;
const EARLIER: u32 = 2;
const LATER: u32 = 3;

/// Packs types. A split BTF's own types cannot be packed without its base.
///
/// # Errors
/// The types continue others.
pub fn pack(btf: &Btf) -> Result<Vec<u8>, BtfError> {
    if btf.base().is_some() {
        return Err(broken("types that continue others cannot be packed alone"));
    }
    let bytes = btf.to_bytes(Endian::Little);
    let field = |at: usize| bytes[at..].first_chunk().map_or(0, |word| u32::from_le_bytes(*word));
    let (types_len, strings_len) = (field(12) as usize, field(20) as usize);
    let (types, strings) = bytes[HEADER..].split_at(types_len);
    if types_len > MOST || strings_len > MOST {
        return Err(broken("more types than any kernel has"));
    }
    let mut columns: [Vec<u8>; COLUMNS] = Default::default();
    let mut walk = Walk::new(strings);
    for word in types.as_chunks().0 {
        let word = u32::from_le_bytes(*word);
        let role = walk.role();
        if role == Role::Name {
            let tag = match word {
                0 => EMPTY,
                _ if word == walk.fresh => NEXT,
                _ if word < walk.fresh => EARLIER,
                _ => LATER,
            };
            put(&mut columns[FRESH], tag);
            if tag >= EARLIER {
                put(&mut columns[BACK], word);
            }
        } else {
            put(&mut columns[role.column()], walk.code(role, word));
        }
        walk.pass(role, word);
    }
    columns[STRINGS] = strings.to_vec();
    let mut pack = MAGIC.to_vec();
    pack.extend((types_len as u32).to_le_bytes());
    for column in &columns {
        let packed = compress_to_vec_zlib(column, LEVEL);
        pack.extend((column.len() as u32).to_le_bytes());
        pack.extend((packed.len() as u32).to_le_bytes());
        pack.extend(packed);
    }
    Ok(pack)
}

/// The raw BTF of a pack, in little-endian order.
///
/// # Errors
/// It is no pack, or a damaged one.
pub fn unpack(pack: &[u8]) -> Result<Vec<u8>, BtfError> {
    let mut rest =
        pack.strip_prefix(MAGIC).ok_or_else(|| broken("it starts with another magic"))?;
    let types_len = number(&mut rest)?;
    if types_len > MOST || !types_len.is_multiple_of(4) {
        return Err(broken("the length of its types is absurd"));
    }
    let mut columns: [Vec<u8>; COLUMNS] = Default::default();
    // A word of the types has at most five bytes in a column, and a name one more.
    let mut room = types_len / 4 * 6 + MOST;
    for column in &mut columns {
        let (len, packed) = (number(&mut rest)?, number(&mut rest)?);
        if len > room {
            return Err(broken("a column is longer than its types need"));
        }
        room -= len;
        let bytes = rest.split_off(..packed).ok_or_else(|| broken("it is cut off"))?;
        *column = decompress_to_vec_zlib_with_limit(bytes, len)
            .ok()
            .filter(|column| column.len() == len)
            .ok_or_else(|| broken("a column is damaged"))?;
    }
    if !rest.is_empty() {
        return Err(broken("there is more behind it"));
    }
    let strings = std::mem::take(&mut columns[STRINGS]);
    let types = types(&columns, &strings, types_len)?;
    let mut bytes = Vec::with_capacity(HEADER + types.len() + strings.len());
    bytes.extend([0x9f, 0xeb, 1, 0]);
    for word in [HEADER, 0, types.len(), types.len(), strings.len()] {
        bytes.extend((word as u32).to_le_bytes());
    }
    bytes.extend(types);
    bytes.extend(strings);
    Ok(bytes)
}

/// The type section that the columns stand for.
fn types(columns: &[Vec<u8>; COLUMNS], strings: &[u8], len: usize) -> Result<Vec<u8>, BtfError> {
    let mut columns: [&[u8]; COLUMNS] = std::array::from_fn(|at| &columns[at][..]);
    let mut next =
        |column: usize| take(&mut columns[column]).ok_or_else(|| broken("a column is too short"));
    let mut walk = Walk::new(strings);
    let mut types = Vec::with_capacity(len);
    while types.len() < len {
        let role = walk.role();
        let word = match role {
            Role::Name => match next(FRESH)? {
                EMPTY => 0,
                NEXT => walk.fresh,
                EARLIER | LATER => next(BACK)?,
                _ => return Err(broken("a name is none")),
            },
            role => walk.word(role, next(role.column())?),
        };
        types.extend(word.to_le_bytes());
        walk.pass(role, word);
    }
    Ok(types)
}

fn number(bytes: &mut &[u8]) -> Result<usize, BtfError> {
    let word = bytes.split_off(..4).and_then(|word| word.first_chunk());
    Ok(u32::from_le_bytes(*word.ok_or_else(|| broken("it is cut off"))?) as usize)
}

fn broken(reason: &'static str) -> BtfError {
    BtfError::Pack { reason }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Builder;

    fn sample() -> Btf {
        let mut builder = Builder::new();
        let int = builder.int("int", 4, 1);
        builder.int("char", 1, 2);
        let _ = int;
        Btf::parse(builder.to_bytes(Endian::Little)).unwrap()
    }

    #[test]
    fn numbers_near_zero_are_short_and_come_back() {
        for number in [0, 1, u32::MAX, 63, 64, 1 << 31, 12345] {
            assert_eq!(unzigzag(zigzag(number)), number);
            let mut column = Vec::new();
            put(&mut column, number);
            assert_eq!(take(&mut &column[..]), Some(number));
        }
        assert_eq!((zigzag(1), zigzag(u32::MAX)), (2, 1));
    }

    #[test]
    fn the_machines_own_types_come_back_to_the_byte_and_fit_the_limit() {
        let Ok(raw) = std::fs::read("/sys/kernel/btf/vmlinux") else {
            eprintln!("skipped: the kernel shows no types");
            return;
        };
        let btf = Btf::parse(raw).unwrap();
        let packed = pack(&btf).unwrap();
        assert_eq!(unpack(&packed).unwrap(), btf.to_bytes(Endian::Little));
        assert!(packed.len() <= 3 << 19, "{} bytes of {}", packed.len(), btf.raw_bytes().len());
    }

    #[test]
    fn a_pack_that_is_cut_or_damaged_is_an_error_or_other_bytes_but_no_harm() {
        let packed = pack(&sample()).unwrap();
        assert_eq!(unpack(&packed).unwrap(), sample().to_bytes(Endian::Little));
        for len in 0..packed.len() {
            assert!(unpack(&packed[..len]).is_err(), "cut at {len}");
        }
        for at in 0..packed.len() {
            for bit in 0..8 {
                let mut damaged = packed.clone();
                damaged[at] ^= 1 << bit;
                let _ = unpack(&damaged).map(Btf::parse);
            }
        }
    }
}
