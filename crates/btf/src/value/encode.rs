//! From text to bytes.

use std::cell::Cell;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::bits;
use super::meaning::Meaning;
use super::text::{self, Text};
use crate::layout::{MAX_NESTING, nesting};
use crate::{Array, Btf, BtfError, Composite, Endian, Enum, Int, Type};

/// The largest value that text is made into, in bytes.
const MAX_SIZE: u64 = 1 << 26;

/// How many members a name is looked for among: twice what one struct can have.
const MAX_SEARCH: u32 = 1 << 17;

/// Makes the bytes of a value of the type from text: numbers (`80`, `0x1f`, `-1`),
/// `true`, enumerators, `"strings"`, addresses, `[1, 2]`, `{ saddr: 10.0.0.7, port: 80 }`
/// or the same as JSON, and `hex:0a00...` for the bytes of any type. Members and
/// elements left out are zero.
pub fn encode(btf: &Btf, id: u32, text: &str) -> Result<Vec<u8>, BtfError> {
    let size = btf.size_of(id)?;
    if size > MAX_SIZE {
        return Err(BtfError::TooLarge { id, what: "for a value given as text" });
    }
    let mut bytes = vec![0; size as usize];
    let parsed = text::parse(text)?;
    let path = match btf.type_by_id(id)?.name() {
        "" => "the value".to_string(),
        name => name.to_string(),
    };
    let encoder = Encoder { btf, budget: Cell::new(0) };
    encoder.value(id, "", &parsed, &mut bytes, &path, 0)?;
    Ok(bytes)
}

struct Encoder<'a> {
    btf: &'a Btf,
    /// How many more members may be looked at for the one by name: anonymous ones fan out.
    budget: Cell<u32>,
}

impl Encoder<'_> {
    /// Writes a value of the type, the member `name` at `path`, to the start of `bytes`.
    fn value(
        &self,
        id: u32,
        name: &str,
        text: &Text,
        bytes: &mut [u8],
        path: &str,
        depth: u32,
    ) -> Result<(), BtfError> {
        if depth > MAX_NESTING {
            return Err(nesting(id, MAX_NESTING));
        }
        let resolved = match self.btf.type_by_id(id)? {
            Type::Var { target, .. } => self.btf.resolve_modifiers(target)?,
            _ => self.btf.resolve_modifiers(id)?,
        };
        let size = self.btf.size_of(resolved)?;
        let Some(bytes) = usize::try_from(size).ok().and_then(|size| bytes.get_mut(..size)) else {
            return Err(wrong(path, "lies beyond the end of its struct"));
        };
        if let Text::Word(word) | Text::Quoted(word) = text {
            if let Some(digits) = word.strip_prefix("hex:") {
                return hex(digits, bytes, path);
            }
            let meaning = Meaning::of(self.btf, id, name)?;
            if write_meant(meaning, word, bytes, path)? {
                return Ok(());
            }
        }
        match (self.btf.type_by_id(resolved)?, text) {
            (Type::Int(int), Text::Word(word) | Text::Quoted(word)) => {
                let number = integer(&int, word, 8 * int.size, path)?;
                self.put(bytes, 0, 8 * int.size, number, path)
            }
            (Type::Enum(view) | Type::Enum64(view), Text::Word(word) | Text::Quoted(word)) => {
                let number = enumerator(&view, word, 8 * view.size, path)?;
                self.put(bytes, 0, 8 * view.size, number, path)
            }
            (Type::Ptr { .. }, Text::Word(word) | Text::Quoted(word)) => {
                let number = unsigned(word, 8 * size as u32, path)?;
                self.put(bytes, 0, 8 * size as u32, number, path)
            }
            (Type::Float { size, .. }, Text::Word(word) | Text::Quoted(word)) => {
                let Ok(number) = word.parse::<f64>() else {
                    return Err(wrong(path, &format!("{word:?} is no number")));
                };
                let number = match size {
                    4 => (number as f32).to_bits().into(),
                    8 => number.to_bits().into(),
                    _ => return Err(wrong(path, "a float of this size cannot be given as text")),
                };
                self.put(bytes, 0, 8 * size, number, path)
            }
            (Type::Array(array), _) => self.array(&array, name, text, bytes, path, depth),
            (Type::Struct(composite) | Type::Union(composite), Text::Members(members)) => {
                self.members(&composite, members, bytes, path, depth)
            }
            (Type::DataSec(section), Text::Members(members)) => {
                for (name, text) in members {
                    let var = section.vars.iter().find(|var| {
                        let ty = self.btf.type_by_id(var.type_id);
                        name.is_some() && ty.ok().map(|ty| ty.name()) == name.as_deref()
                    });
                    let (Some(var), Some(name)) = (var, name) else {
                        return Err(wrong(path, &format!("no variable {}", quoted(name))));
                    };
                    let bytes = bytes.get_mut(var.offset as usize..).unwrap_or(&mut []);
                    self.value(var.type_id, name, text, bytes, name, depth + 1)?;
                }
                Ok(())
            }
            (ty, text) => {
                Err(wrong(path, &format!("{} is no value for a {}", described(text), ty.kind())))
            }
        }
    }

    fn put(
        &self,
        bytes: &mut [u8],
        offset: u64,
        size: u32,
        number: u128,
        path: &str,
    ) -> Result<(), BtfError> {
        bits::write(bytes, offset, size, self.btf.endian(), number)
            .ok_or_else(|| wrong(path, "lies beyond the end of its struct"))
    }

    fn members(
        &self,
        composite: &Composite<'_>,
        members: &[(Option<String>, Text)],
        bytes: &mut [u8],
        path: &str,
        depth: u32,
    ) -> Result<(), BtfError> {
        for (position, (name, text)) in members.iter().enumerate() {
            let name = match name {
                Some(name) => name.clone(),
                None => match composite.members.get(position) {
                    Some(member) if !member.name.is_empty() => member.name.to_string(),
                    _ => {
                        return Err(wrong(path, &format!("no member for value {}", position + 1)));
                    }
                },
            };
            self.budget.set(MAX_SEARCH);
            if !self.member(composite, &name, text, bytes, path, depth)? {
                let has: Vec<&str> = composite
                    .members
                    .iter()
                    .map(|member| member.name)
                    .filter(|name| !name.is_empty())
                    .take(20)
                    .collect();
                let reason = format!("no member {name:?}; it has {}", has.join(", "));
                return Err(wrong(path, &reason));
            }
        }
        Ok(())
    }

    /// Writes a member by name, of an anonymous member too; false if there is none.
    fn member(
        &self,
        composite: &Composite<'_>,
        name: &str,
        text: &Text,
        bytes: &mut [u8],
        path: &str,
        depth: u32,
    ) -> Result<bool, BtfError> {
        if depth > MAX_NESTING {
            return Err(nesting(0, MAX_NESTING));
        }
        for member in composite.members.iter() {
            let budget = self.budget.get().checked_sub(1).ok_or(BtfError::TooLarge {
                id: member.type_id,
                what: "to look for a member in",
            })?;
            self.budget.set(budget);
            let start = member.bit_offset as usize / 8;
            if member.name.is_empty() {
                let inner = self.btf.resolved(member.type_id)?.composite();
                let bytes = bytes.get_mut(start..).unwrap_or(&mut []);
                if let Some(inner) = inner
                    && self.member(&inner, name, text, bytes, path, depth + 1)?
                {
                    return Ok(true);
                }
                continue;
            }
            if member.name != name {
                continue;
            }
            let path = format!("{path}.{name}");
            let Some(place) = self.btf.bitfield(&member)? else {
                let bytes = bytes.get_mut(start..).unwrap_or(&mut []);
                self.value(member.type_id, name, text, bytes, &path, depth + 1)?;
                return Ok(true);
            };
            let (Text::Word(word) | Text::Quoted(word)) = text else {
                return Err(wrong(
                    &path,
                    &format!("{} is no value for a bitfield", described(text)),
                ));
            };
            let number = match self.btf.resolved(member.type_id)? {
                Type::Enum(view) | Type::Enum64(view) => {
                    enumerator(&view, word, place.size, &path)?
                }
                Type::Int(int) => integer(&int, word, place.size, &path)?,
                _ => unsigned(word, place.size, &path)?,
            };
            self.put(bytes, place.offset, place.size, number, &path)?;
            return Ok(true);
        }
        Ok(false)
    }

    fn is_text(&self, array: &Array) -> Result<bool, BtfError> {
        Ok(match self.btf.resolved(array.element)? {
            Type::Int(int) => int.is_char(),
            _ => false,
        })
    }

    fn array(
        &self,
        array: &Array,
        name: &str,
        text: &Text,
        bytes: &mut [u8],
        path: &str,
        depth: u32,
    ) -> Result<(), BtfError> {
        let size = self.btf.size_of(array.element)? as usize;
        match text {
            Text::List(list) => {
                if list.len() > array.len as usize {
                    let reason = format!("{} elements for an array of {}", list.len(), array.len);
                    return Err(wrong(path, &reason));
                }
                for (index, element) in list.iter().enumerate() {
                    let bytes = bytes.get_mut(index.saturating_mul(size)..).unwrap_or(&mut []);
                    let path = format!("{path}[{index}]");
                    self.value(array.element, name, element, bytes, &path, depth + 1)?;
                }
                Ok(())
            }
            // Digits that are not quoted would be taken for numbers by who wrote them.
            Text::Quoted(string) | Text::Word(string)
                if size == 1 && (matches!(text, Text::Quoted(_)) || self.is_text(array)?) =>
            {
                match bytes.get_mut(..string.len()) {
                    Some(place) => {
                        place.copy_from_slice(string.as_bytes());
                        Ok(())
                    }
                    None => Err(wrong(
                        path,
                        &format!("{} bytes of text for an array of {}", string.len(), array.len),
                    )),
                }
            }
            other => Err(wrong(
                path,
                &format!("{} is no value for an array: [1, 2] or hex:0102 is", described(other)),
            )),
        }
    }
}

/// Writes an address, or a number in network order; false if the word is neither.
fn write_meant(
    meaning: Meaning,
    word: &str,
    bytes: &mut [u8],
    path: &str,
) -> Result<bool, BtfError> {
    let address = word.parse::<IpAddr>().ok();
    match (address, bytes.len()) {
        // Four bytes of any type take an address, whatever they are called.
        (Some(IpAddr::V4(address)), 4) => bytes.copy_from_slice(&address.octets()),
        (Some(IpAddr::V6(address)), 16) => bytes.copy_from_slice(&address.octets()),
        // As programs keep addresses of both families in one map.
        (Some(IpAddr::V4(address)), 16) if meaning == Meaning::Ipv6 => {
            bytes.copy_from_slice(&address.to_ipv6_mapped().octets());
        }
        _ if meaning == Meaning::Network => {
            let size = 8 * bytes.len() as u32;
            let number = unsigned(word, size, path)?;
            return match bits::write(bytes, 0, size, Endian::Big, number) {
                Some(()) => Ok(true),
                None => Err(wrong(path, "no number of this size exists")),
            };
        }
        (_, 4) if meaning == Meaning::Ipv4 => {
            // An address as a number is the number that it stands for.
            let number = unsigned(word, 32, path)? as u32;
            bytes.copy_from_slice(&Ipv4Addr::from(number).octets());
        }
        (_, 16) if meaning == Meaning::Ipv6 => match word.parse::<Ipv6Addr>() {
            Ok(address) => bytes.copy_from_slice(&address.octets()),
            Err(_) => return Err(wrong(path, &format!("{word:?} is no IPv6 address"))),
        },
        (_, 6) => match mac(word) {
            Some(address) => bytes.copy_from_slice(&address),
            None => return Ok(false),
        },
        _ => return Ok(false),
    }
    Ok(true)
}

/// `02:00:00:00:00:01`
fn mac(word: &str) -> Option<[u8; 6]> {
    let bytes: Option<Vec<u8>> =
        word.split(':').map(|part| u8::from_str_radix(part, 16).ok()).collect();
    bytes?.try_into().ok()
}

fn hex(digits: &str, bytes: &mut [u8], path: &str) -> Result<(), BtfError> {
    let digits: Vec<u32> = digits
        .chars()
        .filter(|character| !character.is_whitespace())
        .map(|character| character.to_digit(16))
        .collect::<Option<_>>()
        .ok_or_else(|| wrong(path, "hex: is followed by hexadecimal digits"))?;
    if digits.len() != 2 * bytes.len() {
        let reason = format!("{} hexadecimal digits for {} bytes", digits.len(), bytes.len());
        return Err(wrong(path, &reason));
    }
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = (pair[0] << 4 | pair[1]) as u8;
    }
    Ok(())
}

/// A number as it is written, and whether it has a minus.
fn magnitude(word: &str) -> Option<(u128, bool)> {
    let (negative, digits) = match word.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, word),
    };
    let digits = digits.replace('_', "");
    let radix = |prefix: &str, radix| {
        let rest = digits.strip_prefix(prefix)?;
        u128::from_str_radix(rest, radix).ok()
    };
    let number = radix("0x", 16)
        .or_else(|| radix("0b", 2))
        .or_else(|| radix("0o", 8))
        .or_else(|| digits.parse().ok())?;
    Some((number, negative))
}

fn unsigned(word: &str, size: u32, path: &str) -> Result<u128, BtfError> {
    match magnitude(word) {
        Some((number, false)) if fits(number, size) => Ok(number),
        Some(_) => Err(wrong(path, &format!("{word} does not fit in {size} bits"))),
        None => Err(wrong(path, &format!("{word:?} is no number"))),
    }
}

fn integer(int: &Int<'_>, word: &str, size: u32, path: &str) -> Result<u128, BtfError> {
    match word {
        "true" if int.is_bool() => return Ok(1),
        "false" if int.is_bool() => return Ok(0),
        _ => {}
    }
    if int.is_char() && magnitude(word).is_none() {
        let mut characters = word.trim_matches('\'').chars();
        if let (Some(character), None) = (characters.next(), characters.next()) {
            return unsigned(&u32::from(character).to_string(), size, path);
        }
    }
    match int.is_signed() {
        true => signed(word, size, path),
        false => unsigned(word, size, path),
    }
}

fn signed(word: &str, size: u32, path: &str) -> Result<u128, BtfError> {
    let half = 1u128.checked_shl(size.saturating_sub(1)).unwrap_or(0);
    match magnitude(word) {
        Some((number, true)) if number <= half => Ok(number.wrapping_neg()),
        // As a hexadecimal pattern all bits may be used.
        Some((number, false))
            if number < half || (word.starts_with("0x") && fits(number, size)) =>
        {
            Ok(number)
        }
        Some(_) => Err(wrong(path, &format!("{word} does not fit in {size} signed bits"))),
        None => Err(wrong(path, &format!("{word:?} is no number"))),
    }
}

fn enumerator(view: &Enum<'_>, word: &str, size: u32, path: &str) -> Result<u128, BtfError> {
    if let Some(found) = view.enumerators.iter().find(|enumerator| enumerator.name == word) {
        return Ok(match view.signed {
            true => found.value as i64 as u128,
            false => found.value.into(),
        });
    }
    if magnitude(word).is_none() {
        let has: Vec<&str> = view.enumerators.iter().map(|of| of.name).take(20).collect();
        return Err(wrong(path, &format!("{word:?} is none of {}", has.join(", "))));
    }
    match view.signed {
        true => signed(word, size, path),
        false => unsigned(word, size, path),
    }
}

fn fits(number: u128, size: u32) -> bool {
    number.checked_shr(size).unwrap_or(0) == 0
}

fn wrong(path: &str, reason: &str) -> BtfError {
    BtfError::Value { path: path.into(), reason: reason.into() }
}

fn quoted(name: &Option<String>) -> String {
    match name {
        Some(name) => format!("{name:?}"),
        None => "without a name".into(),
    }
}

fn described(text: &Text) -> String {
    match text {
        Text::Word(word) => format!("{word:?}"),
        Text::Quoted(_) => "a string".into(),
        Text::List(_) => "a list".into(),
        Text::Members(_) => "a struct".into(),
    }
}
