//! What the user puts into maps before the run: `--map NAME=KEY:VALUE`, and files of
//! such elements.
//!
//! ```json
//! { "blocked": { "10.0.0.7": 0 }, "limits": [{ "key": { "port": 80 }, "value": 10 }] }
//! ```

use std::path::Path;

use serde_json::Value as Json;
use skep::abi::MapType;
use skep::abi::flags::update;
use skep::btf::{Btf, Type, value};
use skep::load::{Map, MapDef, Object, Skep};

use crate::failure::Failure;
use crate::files::{self, in_file};
use crate::hex;

/// An element for a map, as text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fill {
    pub map: String,
    pub key: String,
    pub value: String,
    /// Who asks for it, for messages.
    origin: String,
}

impl Fill {
    fn failure(&self, reason: impl std::fmt::Display) -> Failure {
        Failure::unusable(format!("{}: {reason}", self.origin))
    }
}

/// All elements, in the order of the command line, those of the file first.
///
/// # Errors
/// What is no element, or no file of them.
pub fn read(options: &[String], file: Option<&Path>) -> Result<Vec<Fill>, Failure> {
    let mut fills = match file {
        Some(file) => read_file(file)?,
        None => Vec::new(),
    };
    for option in options {
        let origin = format!("--map {option}");
        let parts = option
            .split_once('=')
            .and_then(|(map, entry)| Some((map.trim(), value::split_entry(entry)?)));
        let Some((map, (key, value))) = parts else {
            let failure = Failure::unusable(format!("{origin}: expected NAME=KEY:VALUE"));
            return Err(failure.hint(
                "for example --map blocked=10.0.0.7:1, or \
                                     --map 'rules={ port: 80 }:{ limit: 10 }'",
            ));
        };
        fills.push(Fill { map: map.into(), key: key.into(), value: value.into(), origin });
    }
    Ok(fills)
}

fn read_file(file: &Path) -> Result<Vec<Fill>, Failure> {
    let text = files::read_text(file)?;
    let is_toml = file.extension().is_some_and(|extension| extension == "toml");
    let json: Json = match is_toml {
        true => toml::from_str(&text).map_err(|error| in_file(file, one_line(&error)))?,
        false => serde_json::from_str(&text).map_err(|error| in_file(file, error))?,
    };
    let wrong = |what: &str| {
        let failure = in_file(file, what);
        failure.hint("the form is { \"MAP\": { \"KEY\": VALUE } } or { \"MAP\": [{ \"key\": KEY, \"value\": VALUE }] }")
    };
    let Json::Object(maps) = json else { return Err(wrong("expected an object of maps")) };
    let mut fills = Vec::new();
    for (map, elements) in maps {
        let origin = format!("{}: map {map:?}", files::shown(file));
        let fill = |key: String, value: &Json| Fill {
            map: map.clone(),
            key,
            value: text_of(value),
            origin: origin.clone(),
        };
        match &elements {
            Json::Object(elements) => {
                fills.extend(elements.iter().map(|(key, value)| fill(key.clone(), value)));
            }
            Json::Array(elements) => {
                for element in elements {
                    let (Some(key), Some(value)) = (element.get("key"), element.get("value"))
                    else {
                        return Err(wrong(&format!(
                            "map {map:?}: an element needs \"key\" and \"value\""
                        )));
                    };
                    fills.push(fill(text_of(key), value));
                }
            }
            _ => return Err(wrong(&format!("map {map:?}: expected its elements"))),
        }
    }
    Ok(fills)
}

/// The first line of an error that has several.
fn one_line(error: &toml::de::Error) -> String {
    let place = error.span().map_or(String::new(), |span| format!(" (at byte {})", span.start));
    format!("{}{place}", error.message().lines().next().unwrap_or_default())
}

/// A value of a file as the text that stands for it: strings without their quotes, so
/// that they may be addresses, numbers or enumerators.
fn text_of(value: &Json) -> String {
    match value {
        Json::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// Sets variables of data sections, before the object is loaded. Gives the elements
/// that are left.
///
/// # Errors
/// A map that is not there, a variable that is not there, or a value that is none of
/// its type.
pub fn data_sections(object: &mut Object, fills: Vec<Fill>) -> Result<Vec<Fill>, Failure> {
    let mut rest = Vec::new();
    for fill in fills {
        let Some(def) = object.map(&fill.map) else {
            let names: Vec<&str> = object.maps.iter().map(|map| map.name.as_str()).collect();
            let failure = fill.failure(format!("the object has no map {:?}", fill.map));
            return Err(match names.is_empty() {
                true => failure.hint("it has no maps at all"),
                false => failure.hint(format!("it has {}", names.join(", "))),
            });
        };
        if def.origin.section().is_none() {
            rest.push(fill);
            continue;
        }
        let (offset, bytes) = variable(object.btf.as_deref(), def, &fill)?;
        let size = def.value_size as usize;
        let Some(def) = object.map_mut(&fill.map) else { continue };
        def.contents.resize(size, 0);
        match def.contents.get_mut(offset..offset + bytes.len()) {
            Some(place) => place.copy_from_slice(&bytes),
            None => return Err(fill.failure("the variable lies outside of its section")),
        }
    }
    Ok(rest)
}

/// Where the variable is that a fill names, and its bytes.
fn variable(btf: Option<&Btf>, def: &MapDef, fill: &Fill) -> Result<(usize, Vec<u8>), Failure> {
    let section = btf.and_then(|btf| match btf.type_by_id(def.value_type_id) {
        Ok(Type::DataSec(section)) => Some((btf, section)),
        _ => None,
    });
    let Some((btf, section)) = section else {
        return Err(fill.failure("its variables have no types").hint("compile with -g"));
    };
    let name_of = |id: u32| btf.type_by_id(id).map_or("", |ty| ty.name());
    let Some(var) = section.vars.iter().find(|var| name_of(var.type_id) == fill.key) else {
        let names: Vec<&str> = section.vars.iter().map(|var| name_of(var.type_id)).collect();
        let failure = fill.failure(format!("{} has no variable {:?}", fill.map, fill.key));
        return Err(failure.hint(format!("it has {}", names.join(", "))));
    };
    let bytes =
        value::encode(btf, var.type_id, &fill.value).map_err(|error| fill.failure(error))?;
    Ok((var.offset as usize, bytes))
}

/// Puts elements into live maps.
///
/// # Errors
/// A key or a value that is none, or what the kernel says.
pub fn maps(skep: &Skep, fills: &[Fill]) -> Result<(), Failure> {
    for fill in fills {
        let Some(map) = skep.map(&fill.map) else {
            return Err(fill.failure("the map was not created"));
        };
        // Queues have no keys.
        let key = match map.def().key_size {
            0 => Vec::new(),
            _ => bytes(map, true, fill)?,
        };
        let value = match map.def().kind() {
            Some(MapType::ProgArray) => program_fd(skep, fill)?,
            Some(MapType::ArrayOfMaps | MapType::HashOfMaps) => {
                return Err(fill.failure("a map of maps cannot be filled from here"));
            }
            _ => bytes(map, false, fill)?,
        };
        map.update(&key, &value, update::ANY)
            .map_err(|errno| fill.failure(format!("the kernel refuses it: {errno}")))?;
    }
    Ok(())
}

fn program_fd(skep: &Skep, fill: &Fill) -> Result<Vec<u8>, Failure> {
    match skep.program(&fill.value) {
        Some(program) => Ok(program.fd().raw().to_ne_bytes().to_vec()),
        None => Err(fill.failure(format!("there is no program {:?}", fill.value))),
    }
}

/// The bytes of a key or value: by its type where it has one, else a number of its size
/// or `hex:`.
fn bytes(map: &Map, is_key: bool, fill: &Fill) -> Result<Vec<u8>, Failure> {
    let def = map.def();
    let (what, text, ty, size) = match is_key {
        true => ("key", &fill.key, map.key_type(), def.key_size),
        false => ("value", &fill.value, map.value_type(), def.value_size),
    };
    if is_key && def.kind() == Some(MapType::LpmTrie) {
        if let Some(bytes) = prefix(text, size as usize) {
            return Ok(bytes);
        }
        let form = "an address and the bits that count: 10.0.0.0/8, or \"2001:db8::/32\" in quotes";
        let typed = ty.map(|(btf, id)| value::encode(btf, id, text));
        let bytes = typed.unwrap_or_else(|| Ok(untyped(text, size as usize).unwrap_or_default()));
        return bytes.ok().filter(|bytes| bytes.len() == size as usize).ok_or_else(|| {
            fill.failure(format!("key {text:?} is no prefix")).hint(format!("the form is {form}"))
        });
    }
    let encoded = match ty {
        Some((btf, id)) => value::encode(btf, id, text).map_err(|error| error.to_string()),
        None => untyped(text, size as usize),
    };
    encoded.map_err(|reason| fill.failure(format!("{what}: {reason}")))
}

/// The key of a trie of `size` bytes that stands for `10.0.0.0/8`: the number of bits,
/// and the address in network order.
fn prefix(text: &str, size: usize) -> Option<Vec<u8>> {
    use std::net::IpAddr;

    let text = text.trim_matches('"');
    let (address, bits) = text.split_once('/')?;
    let (address, bits): (IpAddr, u32) = (address.trim().parse().ok()?, bits.trim().parse().ok()?);
    let (mut bytes, bits) = match (address, size.checked_sub(4)?, bits) {
        (IpAddr::V4(address), 4, 0..=32) => (address.octets().to_vec(), bits),
        (IpAddr::V4(address), 16, 0..=32) => {
            (address.to_ipv6_mapped().octets().to_vec(), bits + 96)
        }
        (IpAddr::V6(address), 16, 0..=128) => (address.octets().to_vec(), bits),
        _ => return None,
    };
    bytes.splice(0..0, bits.to_ne_bytes());
    Some(bytes)
}

/// Bytes without a type.
fn untyped(text: &str, size: usize) -> Result<Vec<u8>, String> {
    if let Some(digits) = text.strip_prefix("hex:") {
        let bytes = hex::parse(digits)?;
        return match bytes.len() == size {
            true => Ok(bytes),
            false => Err(format!("{} bytes, expected {size}", bytes.len())),
        };
    }
    let expected = || format!("its type is unknown: expected a number or hex: and {size} bytes");
    let number: i128 = match text.strip_prefix("0x") {
        Some(digits) => i128::from_str_radix(digits, 16),
        None => text.parse(),
    }
    .map_err(|_| expected())?;
    let bits = 8 * size as u32;
    if size > 8 || number >= 1 << bits || number < -(1 << bits.saturating_sub(1)) {
        return Err(format!("{number} does not fit {size} bytes"));
    }
    Ok(number.to_le_bytes()[..size].to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_split_at_the_first_signs() {
        let options = ["a=1:2".to_owned(), "b = { x: 1 } : { y: \"=:\" }".into()];
        let fills = read(&options, None).unwrap();
        let parts = |fill: &Fill| (fill.map.clone(), fill.key.clone(), fill.value.clone());
        assert_eq!(parts(&fills[0]), ("a".into(), "1".into(), "2".into()));
        assert_eq!(parts(&fills[1]), ("b".into(), "{ x: 1 }".into(), "{ y: \"=:\" }".into()));
        assert!(read(&["a:1".to_owned()], None).is_err());
    }

    #[test]
    fn prefixes_are_keys_of_tries() {
        let key = |bits: u32, address: &[u8]| Some([&bits.to_ne_bytes()[..], address].concat());
        assert_eq!(prefix("10.0.0.0/8", 8), key(8, &[10, 0, 0, 0]));
        let mapped = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 10, 0, 0, 0];
        assert_eq!(prefix("10.0.0.0/8", 20), key(104, &mapped));
        let v6 = [0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        assert_eq!(prefix("\"2001:db8::/32\"", 20), key(32, &v6));
        for (text, size) in [("10.0.0.0/33", 8), ("10.0.0.0", 8), ("2001:db8::/32", 8), ("x/8", 8)]
        {
            assert_eq!(prefix(text, size), None, "{text}");
        }
    }

    #[test]
    fn untyped_values_are_numbers_or_hex_of_the_right_size() {
        assert_eq!(untyped("258", 4), Ok(vec![2, 1, 0, 0]));
        assert_eq!(untyped("-1", 2), Ok(vec![0xff, 0xff]));
        assert_eq!(untyped("0xff", 1), Ok(vec![0xff]));
        assert_eq!(untyped("hex:0a0b", 2), Ok(vec![0x0a, 0x0b]));
        assert_eq!(untyped("256", 1), Err("256 does not fit 1 bytes".into()));
        assert_eq!(untyped("hex:0a", 2), Err("1 bytes, expected 2".into()));
        assert_eq!(
            untyped("", 0).unwrap_err(),
            "its type is unknown: expected a number or hex: and 0 bytes"
        );
    }
}
