//! Values by their types as bpftool's JSON has them: numbers as numbers, arrays of characters
//! as text where they are text, bitfields and 128 bits in hex, enumerators by name.

use serde_json::{Map as Members, Value as Json};
use skep::btf::{Btf, Int, Type};

/// How deep a value may be nested.
const DEEPEST: u32 = 64;

/// A value; `plain`: not in JSON, but in the form that bpftool has for people.
pub fn json(btf: &Btf, id: u32, bytes: &[u8], plain: bool) -> Json {
    Dump { btf, plain }.value(id, 0, bytes, 0)
}

struct Dump<'b> {
    btf: &'b Btf,
    plain: bool,
}

impl Dump<'_> {
    /// The value whose first bit is `bit` of the first byte.
    fn value(&self, id: u32, bit: u32, bytes: &[u8], depth: u32) -> Json {
        let Ok(of) = self.btf.type_by_id(id) else { return Json::Null };
        if depth > DEEPEST {
            return Json::Null;
        }
        match of {
            Type::Int(int) => self.int(&int, bit, bytes),
            Type::Struct(of) | Type::Union(of) => {
                let mut members = Members::new();
                for member in of.members.iter() {
                    let rest = bytes.get(member.bit_offset as usize / 8..).unwrap_or_default();
                    let bit = member.bit_offset % 8;
                    let value = match member.bitfield_size {
                        0 => self.value(member.type_id, bit, rest, depth + 1),
                        size => bits(rest, bit, size.into()),
                    };
                    insert(&mut members, member.name, value);
                }
                Json::Object(members)
            }
            Type::Array(array) => {
                if let Some(text) = self.text(array.element, array.len, bytes) {
                    return text.into();
                }
                let size = self.btf.size_of(array.element).unwrap_or(0) as usize;
                let element = |index: u32| {
                    let rest = bytes.get(index as usize * size..).unwrap_or_default();
                    self.value(array.element, 0, rest, depth + 1)
                };
                // No more than there are bytes for, or the array's own length of nothing.
                let most = bytes.len().checked_div(size).map_or(0, |most| most as u32);
                (0..array.len.min(most)).map(element).collect()
            }
            Type::Enum(of) | Type::Enum64(of) => {
                let raw = unsigned(bytes, of.size as usize);
                let value = if of.size < 8 && of.signed {
                    sign_extended(raw, of.size * 8) as u64
                } else {
                    raw
                };
                match of.enumerators.iter().find(|known| known.value == value) {
                    Some(known) => known.name.into(),
                    None => (sign_extended(raw, of.size * 8)).into(),
                }
            }
            Type::Ptr { .. } => {
                let address = unsigned(bytes, self.btf.pointer_size() as usize);
                match (self.plain, address) {
                    (true, 0) => "(nil)".into(),
                    (true, address) => format!("{address:#x}").into(),
                    (false, address) => address.into(),
                }
            }
            Type::Typedef { target, .. }
            | Type::Volatile { target }
            | Type::Const { target }
            | Type::Restrict { target }
            | Type::TypeTag { target, .. } => self.value(target, bit, bytes, depth + 1),
            Type::Var { name, target, .. } => {
                let mut member = Members::new();
                member.insert(name.into(), self.value(target, bit, bytes, depth + 1));
                Json::Object(member)
            }
            Type::DataSec(section) => {
                let variable = |var: skep::btf::SecVar| {
                    let rest = bytes.get(var.offset as usize..).unwrap_or_default();
                    self.value(var.type_id, 0, rest, depth + 1)
                };
                let variables: Vec<Json> = section.vars.iter().map(variable).collect();
                let mut member = Members::new();
                member.insert(section.name.into(), variables.into());
                Json::Object(member)
            }
            Type::Float { size, .. } => match size {
                4 => f32::from_bits(unsigned(bytes, 4) as u32).into(),
                8 => f64::from_bits(unsigned(bytes, 8)).into(),
                _ => Json::Null,
            },
            Type::Void | Type::Fwd { .. } | Type::Func { .. } | Type::FuncProto(_) => Json::Null,
            Type::DeclTag { .. } => Json::Null,
        }
    }

    fn int(&self, int: &Int<'_>, bit: u32, bytes: &[u8]) -> Json {
        let (size, all) = (int.size as usize, u32::from(int.bits));
        if bit != 0 || int.bit_offset != 0 || !all.is_multiple_of(8) {
            let from = bit + u32::from(int.bit_offset);
            return bits(bytes.get(from as usize / 8..).unwrap_or_default(), from % 8, all);
        }
        if all == 128 {
            return bits(bytes, 0, 128);
        }
        let value = unsigned(bytes, size);
        match int.encoding {
            0 => value.into(),
            Int::SIGNED => sign_extended(value, all).into(),
            Int::CHAR => {
                let letter = value as u8;
                match (letter.is_ascii_graphic() || letter == b' ', self.plain) {
                    (true, _) => char::from(letter).to_string().into(),
                    (false, true) => format!("{letter:#x}").into(),
                    (false, false) => char::from(letter).to_string().into(),
                }
            }
            Int::BOOL => (value & 0xff != 0).into(),
            _ => Json::Null,
        }
    }

    /// An array of characters that is a text: printable, and a zero behind it.
    fn text(&self, element: u32, len: u32, bytes: &[u8]) -> Option<String> {
        let mut element = self.btf.type_by_id(element).ok()?;
        // A typedef of a character is none.
        while let Type::Const { target } | Type::Volatile { target } | Type::Restrict { target } =
            element
        {
            element = self.btf.type_by_id(target).ok()?;
        }
        let Type::Int(int) = element else { return None };
        if int.size != 1 || !int.is_char() {
            return None;
        }
        let bytes = bytes.get(..len as usize)?;
        let end = bytes.iter().position(|&byte| byte == 0)?;
        let text = &bytes[..end];
        text.iter()
            .all(|byte| (0x20..0x7f).contains(byte))
            .then(|| String::from_utf8_lossy(text).into_owned())
    }
}

/// Members of the same name, or of none, are all there are in bpftool; JSON that is read again
/// has the last of them.
fn insert(members: &mut Members<String, Json>, name: &str, value: Json) {
    members.insert(name.into(), value);
}

/// Bits as a number in hex.
fn bits(bytes: &[u8], from: u32, count: u32) -> Json {
    let mut all = 0u128;
    let needed = (from + count).div_ceil(8).min(16) as usize;
    for (index, &byte) in bytes.iter().take(needed).enumerate() {
        all |= u128::from(byte) << (8 * index);
    }
    let mask = if count >= 128 { u128::MAX } else { (1 << count) - 1 };
    format!("{:#x}", (all >> from.min(127)) & mask).into()
}

fn unsigned(bytes: &[u8], size: usize) -> u64 {
    let mut word = [0; 8];
    let size = size.min(8).min(bytes.len());
    word[..size].copy_from_slice(&bytes[..size]);
    u64::from_le_bytes(word)
}

fn sign_extended(value: u64, bits: u32) -> i64 {
    let unused = 64 - bits.clamp(1, 64);
    (value << unused) as i64 >> unused
}
