//! Keys and values on the command line: bytes, as bpftool has them (`key 1 0 0 0`, `key hex 01
//! 00 00 00`), or what stands for an object (`value id 7`).

use std::sync::Arc;

use skep::abi::MapType;
use skep::abi::flags::update;
use skep::sys::{Fd, Kernel, MapInfo, ObjectKind};

use super::words::{self, Words};
use super::{Failure, pick};

/// Bytes of a value in a command: one for each CPU where there are several.
pub fn value_len(kernel: &dyn Kernel, info: &MapInfo) -> usize {
    match is_per_cpu(info) {
        true => round_up(info.value_size) * kernel.possible_cpus() as usize,
        false => info.value_size as usize,
    }
}

pub fn round_up(size: u32) -> usize {
    (size as usize).next_multiple_of(8)
}

pub fn kind(info: &MapInfo) -> Option<MapType> {
    MapType::from_number(info.map_type)
}

pub fn is_per_cpu(info: &MapInfo) -> bool {
    kind(info).is_some_and(|kind| kind.row().percpu)
}

pub fn holds_maps(info: &MapInfo) -> bool {
    matches!(kind(info), Some(MapType::ArrayOfMaps | MapType::HashOfMaps))
}

/// What a command about an element is given.
#[derive(Default)]
pub struct Element {
    pub key: Option<Vec<u8>>,
    pub value: Option<Vec<u8>>,
    pub flags: u64,
    /// What the value names, open until the element is set.
    pub held: Option<Fd>,
}

/// Which parts there may be.
#[derive(Clone, Copy)]
pub struct Parts {
    pub key: bool,
    pub value: bool,
    pub flags: bool,
}

/// Reads the words that are left.
///
/// # Errors
/// They are no element of the map.
pub fn read(
    kernel: &Arc<dyn Kernel>,
    info: &MapInfo,
    parts: Parts,
    words: &mut Words<'_>,
) -> Result<Element, Failure> {
    let mut element = Element::default();
    let twice = |what: &str| Failure::unusable(format!("there is no place for a (second) {what}"));
    while let Some(word) = words.next() {
        if words::is_prefix(word, "key") {
            if element.key.is_some() || !parts.key {
                return Err(twice("key"));
            }
            element.key = Some(bytes(words, "key", info.key_size as usize)?);
        } else if words::is_prefix(word, "value") {
            if element.value.is_some() || !parts.value {
                return Err(twice("value"));
            }
            let (value, held) = value(kernel, info, words)?;
            (element.value, element.held) = (Some(value), held);
        } else if parts.flags && words::is_prefix(word, "any") {
            element.flags = update::ANY;
        } else if parts.flags && words::is_prefix(word, "noexist") {
            element.flags = update::NOEXIST;
        } else if parts.flags && words::is_prefix(word, "exist") {
            element.flags = update::EXIST;
        } else {
            return Err(Failure::unusable(format!("expected key or value, got {word:?}")));
        }
    }
    if parts.key && element.key.is_none() && info.key_size > 0 {
        return Err(Failure::unusable("the key is missing"));
    }
    if parts.value && element.value.is_none() {
        return Err(Failure::unusable("the value is missing"));
    }
    Ok(element)
}

/// A value, with the fd that it is for maps of objects. That of a CPU is every CPU's.
fn value(
    kernel: &Arc<dyn Kernel>,
    info: &MapInfo,
    words: &mut Words<'_>,
) -> Result<(Vec<u8>, Option<Fd>), Failure> {
    let of = match kind(info) {
        _ if holds_maps(info) => Some(ObjectKind::Map),
        Some(MapType::ProgArray) => Some(ObjectKind::Prog),
        _ => None,
    };
    if let Some(of) = of {
        let fd = pick::one(kernel, of, words)?;
        return Ok((fd.raw().to_ne_bytes().to_vec(), Some(fd)));
    }
    let one = bytes(words, "value", info.value_size as usize)?;
    if !is_per_cpu(info) {
        return Ok((one, None));
    }
    let mut padded = one;
    padded.resize(round_up(info.value_size), 0);
    Ok((padded.repeat(kernel.possible_cpus() as usize), None))
}

/// So many bytes, each a word: numbers, or after `hex` hex digits.
fn bytes(words: &mut Words<'_>, what: &str, count: usize) -> Result<Vec<u8>, Failure> {
    let is_hex = words.take("hex");
    let mut bytes = Vec::new();
    while bytes.len() < count {
        let Some(word) = words.next() else {
            let got = bytes.len();
            return Err(Failure::unusable(format!("the {what} has {count} bytes, not {got}")));
        };
        let number = match is_hex {
            true => u32::from_str_radix(word.trim_start_matches("0x"), 16).ok(),
            false => words::number(word),
        };
        let byte = number.and_then(|number| u8::try_from(number).ok());
        bytes.push(
            byte.ok_or_else(|| Failure::unusable(format!("{word:?} is no byte of the {what}")))?,
        );
    }
    Ok(bytes)
}
