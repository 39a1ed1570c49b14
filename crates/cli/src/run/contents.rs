//! What is in a map, for people and for comparison.

use std::collections::BTreeMap;
use std::fmt;

use skep::abi::{Errno, MapType};
use skep::btf::value::{self, Value};
use skep::load::{Map, MapOrigin};

use super::elements::{self, Flow};
use crate::hex;

/// A key, a value or a record: by its type, or bytes.
#[derive(Clone, Debug, PartialEq)]
pub enum Shown {
    Value(Value),
    Bytes(Vec<u8>),
}

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Shown::Value(value) => value.fmt(f),
            Shown::Bytes(bytes) => write!(f, "hex:{}", hex::plain(bytes)),
        }
    }
}

/// The elements of a map, by their keys' bytes; for queues and stacks by their order.
pub type Elements = BTreeMap<Vec<u8>, Vec<u8>>;

/// Reads a map whose elements are values. Queues are emptied.
///
/// # Errors
/// What the kernel says: some types cannot be read from outside.
pub fn read(map: &Map) -> Result<Elements, Errno> {
    let mut elements = Elements::new();
    elements::each(map, &mut |key, value| {
        elements.insert(key.to_vec(), value.to_vec());
        Flow::On
    })?;
    Ok(elements)
}

/// Whether a map's elements are values that can be listed.
pub fn is_listed(map: &Map) -> bool {
    use MapType::*;
    matches!(
        map.def().kind(),
        Some(
            Hash | Array
                | PercpuHash
                | PercpuArray
                | LruHash
                | LruPercpuHash
                | LpmTrie
                | ProgArray
                | HashOfMaps
                | ArrayOfMaps
                | Devmap
                | DevmapHash
                | Cpumap
                | Queue
                | Stack
        )
    )
}

/// Whether a map is constant, so that showing it tells nothing new.
pub fn is_constant(map: &Map) -> bool {
    matches!(map.def().origin, MapOrigin::Rodata(_) | MapOrigin::Kconfig)
}

/// Whether a map is an array: all its elements exist, most are zero.
pub fn is_array(map: &Map) -> bool {
    matches!(map.def().kind(), Some(MapType::Array | MapType::PercpuArray))
}

/// A key by its type.
pub fn key(map: &Map, bytes: &[u8]) -> Shown {
    show(map.key_type().map(|(btf, id)| value::decode(btf, id, bytes)), bytes)
}

/// A value by its type; of a per-CPU map, one CPU's.
pub fn value(map: &Map, bytes: &[u8]) -> Shown {
    show(map.value_type().map(|(btf, id)| value::decode(btf, id, bytes)), bytes)
}

fn show<E>(decoded: Option<Result<Value, E>>, bytes: &[u8]) -> Shown {
    match decoded {
        Some(Ok(value)) => Shown::Value(value),
        Some(Err(_)) | None => Shown::Bytes(bytes.to_vec()),
    }
}

/// The values of all CPUs added up, member by member; `None` where there is something
/// else than numbers that differs.
pub fn sum(values: &[Shown]) -> Option<Value> {
    let mut values = values.iter().map(|shown| match shown {
        Shown::Value(value) => Some(value.clone()),
        Shown::Bytes(_) => None,
    });
    let first = values.next()??;
    values.try_fold(first, |sum, value| add(sum, value?))
}

fn add(one: Value, other: Value) -> Option<Value> {
    Some(match (one, other) {
        (Value::Unsigned(one), Value::Unsigned(other)) => Value::Unsigned(one.checked_add(other)?),
        (Value::Signed(one), Value::Signed(other)) => Value::Signed(one.checked_add(other)?),
        (Value::Struct(one), Value::Struct(other)) if one.len() == other.len() => {
            let pairs = one.into_iter().zip(other);
            Value::Struct(
                pairs
                    .map(|(one, other)| Some((one.0, add(one.1, other.1)?)))
                    .collect::<Option<_>>()?,
            )
        }
        (Value::Array(one), Value::Array(other)) if one.len() == other.len() => {
            let pairs = one.into_iter().zip(other);
            Value::Array(pairs.map(|(one, other)| add(one, other)).collect::<Option<_>>()?)
        }
        (one, other) if one == other => one,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(packets: u128, name: &str) -> Shown {
        Shown::Value(Value::Struct(vec![
            ("packets".into(), Value::Unsigned(packets)),
            ("name".into(), Value::Text(name.into())),
        ]))
    }

    #[test]
    fn values_of_cpus_add_up_where_they_are_numbers() {
        let sum = |values: &[Shown]| sum(values).map(|value| value.to_string());
        let expected = "{ packets: 12, name: \"a\" }";
        assert_eq!(sum(&[count(5, "a"), count(7, "a")]).as_deref(), Some(expected));
        assert_eq!(sum(&[count(5, "a"), count(7, "b")]), None);
        assert_eq!(sum(&[Shown::Bytes(vec![1]), Shown::Bytes(vec![2])]), None);
    }
}
