//! From bytes to a tree.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::meaning::Meaning;
use super::{Value, bits};
use crate::layout::{MAX_NESTING, nesting};
use crate::{Array, Btf, BtfError, Composite, Enum, Int, Type};

/// Reads `bytes` as a value of the type. Bytes beyond the type's size are ignored,
/// fewer are an error.
pub fn decode(btf: &Btf, id: u32, bytes: &[u8]) -> Result<Value, BtfError> {
    let mut decoder = Decoder {
        btf,
        // Unions show each byte several times, but not without end.
        budget: 65_536 + 16 * bytes.len() as u64,
    };
    decoder.value(id, "", bytes, 0)
}

struct Decoder<'a> {
    btf: &'a Btf,
    /// How many more values may be made.
    budget: u64,
}

impl Decoder<'_> {
    /// The value of the type at the start of `bytes`; `name` is the member that it is.
    fn value(&mut self, id: u32, name: &str, bytes: &[u8], depth: u32) -> Result<Value, BtfError> {
        if depth > MAX_NESTING {
            return Err(nesting(id, MAX_NESTING));
        }
        self.spend(id, 1)?;
        let resolved = match self.btf.type_by_id(id)? {
            Type::Var { target, .. } => self.btf.resolve_modifiers(target)?,
            _ => self.btf.resolve_modifiers(id)?,
        };
        let size = self.btf.size_of(resolved)?;
        let Some(bytes) = usize::try_from(size).ok().and_then(|size| bytes.get(..size)) else {
            return Err(BtfError::Value {
                path: shown(name).into(),
                reason: format!("needs {size} bytes, there are {}", bytes.len()),
            });
        };
        if let Some(value) = meant(Meaning::of(self.btf, id, name)?, bytes) {
            return Ok(value);
        }
        Ok(match self.btf.type_by_id(resolved)? {
            Type::Int(int) => match self.number(bytes, 0, 8 * int.size) {
                Some(number) => integer(&int, number, 8 * int.size),
                None => Value::Bytes(bytes.to_vec()),
            },
            Type::Enum(view) | Type::Enum64(view) => {
                self.spend_search(id, &view)?;
                match self.number(bytes, 0, 8 * view.size) {
                    Some(number) => enumerator(&view, number, 8 * view.size),
                    None => Value::Bytes(bytes.to_vec()),
                }
            }
            Type::Ptr { .. } => {
                Value::Pointer(self.number(bytes, 0, 8 * size as u32).unwrap_or(0) as u64)
            }
            Type::Float { size, .. } => match (size, self.number(bytes, 0, 8 * size)) {
                (4, Some(number)) => Value::Float(f32::from_bits(number as u32).into()),
                (8, Some(number)) => Value::Float(f64::from_bits(number as u64)),
                _ => Value::Bytes(bytes.to_vec()),
            },
            Type::Array(array) => self.array(&array, name, bytes, depth)?,
            Type::Struct(composite) | Type::Union(composite) => {
                let mut members = Vec::new();
                self.members(&composite, bytes, depth, &mut members)?;
                Value::Struct(members)
            }
            Type::DataSec(section) => {
                let mut members = Vec::new();
                for var in section.vars.iter() {
                    let name = self.btf.type_by_id(var.type_id)?.name();
                    let bytes = bytes.get(var.offset as usize..).unwrap_or(&[]);
                    let value = self.value(var.type_id, name, bytes, depth + 1)?;
                    members.push((name.to_string(), value));
                }
                Value::Struct(members)
            }
            _ => Value::Bytes(bytes.to_vec()),
        })
    }

    fn spend(&mut self, id: u32, amount: u64) -> Result<(), BtfError> {
        self.budget = self
            .budget
            .checked_sub(amount)
            .ok_or(BtfError::TooLarge { id, what: "as a tree of values" })?;
        Ok(())
    }

    /// Counts a search among the enumerators.
    fn spend_search(&mut self, id: u32, view: &Enum<'_>) -> Result<(), BtfError> {
        self.spend(id, view.enumerators.len() as u64 / 16)
    }

    fn number(&self, bytes: &[u8], offset: u64, size: u32) -> Option<u128> {
        bits::read(bytes, offset, size, self.btf.endian())
    }

    /// The members of a struct, with those of its anonymous members in their place.
    fn members(
        &mut self,
        composite: &Composite<'_>,
        bytes: &[u8],
        depth: u32,
        out: &mut Vec<(String, Value)>,
    ) -> Result<(), BtfError> {
        for member in composite.members.iter() {
            let start = member.bit_offset as usize / 8;
            let value = match self.btf.bitfield(&member)? {
                Some(place) => {
                    self.spend(member.type_id, 1)?;
                    let Some(number) = self.number(bytes, place.offset, place.size) else {
                        return Err(BtfError::Value {
                            path: shown(member.name).into(),
                            reason: format!("lies beyond the {} bytes", bytes.len()),
                        });
                    };
                    match self.btf.resolved(member.type_id)? {
                        Type::Int(int) => integer(&int, number, place.size),
                        Type::Enum(view) | Type::Enum64(view) => {
                            self.spend_search(member.type_id, &view)?;
                            enumerator(&view, number, place.size)
                        }
                        _ => Value::Unsigned(number),
                    }
                }
                None => {
                    let bytes = bytes.get(start..).unwrap_or(&[]);
                    if member.name.is_empty() {
                        self.anonymous(member.type_id, bytes, depth + 1, out)?;
                        continue;
                    }
                    self.value(member.type_id, member.name, bytes, depth + 1)?
                }
            };
            if !member.name.is_empty() {
                out.push((member.name.to_string(), value));
            }
        }
        Ok(())
    }

    fn anonymous(
        &mut self,
        id: u32,
        bytes: &[u8],
        depth: u32,
        out: &mut Vec<(String, Value)>,
    ) -> Result<(), BtfError> {
        match self.value(id, "", bytes, depth)? {
            Value::Struct(members) => out.extend(members),
            other => out.push((String::new(), other)),
        }
        Ok(())
    }

    fn array(
        &mut self,
        array: &Array,
        name: &str,
        bytes: &[u8],
        depth: u32,
    ) -> Result<Value, BtfError> {
        let size = self.btf.size_of(array.element)? as usize;
        if size == 0 {
            return Ok(Value::Array(Vec::new()));
        }
        if let (1, Type::Int(int)) = (size, self.btf.resolved(array.element)?) {
            if int.is_char()
                && let Some(text) = printable(bytes)
            {
                return Ok(Value::Text(text));
            }
            if !int.is_bool() {
                return Ok(Value::Bytes(bytes.to_vec()));
            }
        }
        bytes
            .chunks_exact(size)
            .map(|bytes| self.value(array.element, name, bytes, depth + 1))
            .collect::<Result<_, _>>()
            .map(Value::Array)
    }
}

/// What the bytes mean, if that is not what their type says.
fn meant(meaning: Meaning, bytes: &[u8]) -> Option<Value> {
    Some(match meaning {
        Meaning::Plain => return None,
        Meaning::Network => {
            Value::Unsigned(bytes.iter().fold(0, |number, &byte| number << 8 | u128::from(byte)))
        }
        Meaning::Ipv4 => Value::Address(Ipv4Addr::from(<[u8; 4]>::try_from(bytes).ok()?).into()),
        Meaning::Ipv6 => Value::Address(Ipv6Addr::from(<[u8; 16]>::try_from(bytes).ok()?).into()),
        Meaning::Mac => Value::Mac(bytes.try_into().ok()?),
    })
}

fn integer(int: &Int<'_>, number: u128, size: u32) -> Value {
    match (int.is_bool(), int.is_signed()) {
        (true, _) if number <= 1 => Value::Bool(number == 1),
        (false, true) => Value::Signed(bits::sign_extend(number, size)),
        _ => Value::Unsigned(number),
    }
}

fn enumerator(view: &Enum<'_>, number: u128, size: u32) -> Value {
    let value = match view.signed {
        true => bits::sign_extend(number, size),
        false => number as i128,
    };
    let is_value = |of: u64| match view.signed {
        true => i128::from(of as i64) == value,
        false => i128::from(of) == value,
    };
    let found = view.enumerators.iter().find(|enumerator| is_value(enumerator.value));
    Value::Enum { name: found.map(|enumerator| enumerator.name.to_string()), value }
}

/// The text up to the first NUL, if there is nothing but text before and NULs after.
fn printable(bytes: &[u8]) -> Option<String> {
    let end = bytes.iter().position(|&byte| byte == 0).unwrap_or(bytes.len());
    let (text, rest) = bytes.split_at(end);
    let text = std::str::from_utf8(text).ok()?;
    let is_text = !text.contains(|character: char| character.is_control() && character != '\n');
    (is_text && rest.iter().all(|&byte| byte == 0)).then(|| text.to_string())
}

fn shown(name: &str) -> &str {
    match name {
        "" => "the value",
        name => name,
    }
}
