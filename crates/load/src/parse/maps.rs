//! Maps that are defined by types: the variables of `.maps`.
//!
//! A definition is a structure whose members' types carry the numbers: an array's
//! length (`__uint`), an enumerator's value (`__ulong`), a pointer's target
//! (`__type`). Counterpart: libbpf's `parse_btf_map_def`, strict as it is by default.

use skep_abi::MapType;
use skep_btf::{Array, Btf, Composite, DataSec, Kind as TypeKind, Member, Type, VarLinkage};

use super::needed;
use crate::elf::Elf;
use crate::error::{ObjectError, ObjectErrorKind as Kind};
use crate::object::{MapDef, Place};

/// Where a page ends that ring buffers are made of.
const PAGE: u32 = 4096;

/// The maps of the section `.maps`, whose number is `index`.
pub(super) fn collect(
    elf: &Elf<'_>,
    index: usize,
    btf: Option<&Btf>,
) -> Result<Vec<MapDef>, ObjectError> {
    let here = |error: ObjectError| error.in_section(".maps");
    let btf = needed(btf, "maps").map_err(here)?;
    let section = definitions(btf).ok_or_else(|| here(Kind::NoBtf("maps").into()))?;
    let size = elf.sections[index].size;
    let mut maps = Vec::new();
    for var in section.vars.iter() {
        let offset = u64::from(var.offset);
        let map = match btf.type_by_id(var.type_id)? {
            Type::Var { name, target, linkage } => {
                let inside = offset + u64::from(var.size) <= size;
                variable(btf, name, target, linkage, var.size, inside).map_err(|reason| {
                    here(Kind::Map { name: name.into(), reason }.into()).at(offset)
                })?
            }
            other => {
                let reason = format!("a {} among the maps, expected variables", other.kind());
                return Err(here(Kind::Malformed(reason).into()).at(offset));
            }
        };
        let place = Place { section: index, start: offset, end: offset + u64::from(var.size) };
        maps.push(MapDef { place, ..map });
    }
    Ok(maps)
}

/// What the types say of the section.
fn definitions(btf: &Btf) -> Option<DataSec<'_>> {
    match btf.type_by_id(btf.find(".maps", TypeKind::DataSec)?).ok()? {
        Type::DataSec(section) => Some(section),
        _ => None,
    }
}

fn variable(
    btf: &Btf,
    name: &str,
    target: u32,
    linkage: VarLinkage,
    size: u32,
    inside: bool,
) -> Result<MapDef, String> {
    if name.is_empty() {
        return Err("it has no name".into());
    }
    if !inside {
        return Err("it ends behind its section".into());
    }
    if linkage != VarLinkage::Global {
        return Err("it is static or extern, expected a global variable".into());
    }
    match btf.resolved(target).map_err(|error| error.to_string())? {
        Type::Struct(definition) if definition.size > size => {
            Err(format!("a definition of {} bytes in {size} bytes", definition.size))
        }
        Type::Struct(definition) => {
            let mut map = define(btf, name, &definition, false)?;
            map.name = name.into();
            Ok(map)
        }
        other => Err(format!("it is defined by a {}, expected a struct", other.kind())),
    }
}

/// Reads a definition, that of an `inner` map or of one at the top.
fn define(
    btf: &Btf,
    name: &str,
    definition: &Composite<'_>,
    inner: bool,
) -> Result<MapDef, String> {
    let mut map = MapDef { autocreate: true, ..MapDef::default() };
    let count = definition.members.len();
    for (index, member) in definition.members.iter().enumerate() {
        let number = || number(btf, &member);
        match member.name {
            "type" => map.map_type = number()?,
            "max_entries" => map.max_entries = number()?,
            "map_flags" => map.flags = number()?,
            "numa_node" => map.numa_node = number()?,
            "map_extra" => map.extra = long_number(btf, &member)?,
            "key_size" => agree("key", &mut map.key_size, number()?)?,
            "value_size" => agree("value", &mut map.value_size, number()?)?,
            "key" => {
                let (id, size) = pointee(btf, &member)?;
                agree("key", &mut map.key_size, size)?;
                map.key_type_id = id;
            }
            "value" => {
                let (id, size) = pointee(btf, &member)?;
                agree("value", &mut map.value_size, size)?;
                map.value_type_id = id;
            }
            "pinning" if inner => return Err("an inner map cannot be pinned".into()),
            "pinning" => match number()? {
                0 => map.pinned = false,
                1 => map.pinned = true,
                other => return Err(format!("pinning is {other}, expected 0 or 1")),
            },
            "values" if inner => return Err("inner maps cannot hold maps themselves".into()),
            "values" if index + 1 != count => {
                return Err("`values` should be the last member".into());
            }
            "values" => values(btf, name, &member, &mut map)?,
            other => return Err(format!("unknown member {other:?}")),
        }
    }
    if map.map_type == 0 {
        return Err("it has no type".into());
    }
    if matches!(map.kind(), Some(MapType::Ringbuf | MapType::UserRingbuf)) {
        map.max_entries = ring_size(map.max_entries);
    }
    Ok(map)
}

/// A size that is given twice has to be the same.
fn agree(what: &str, known: &mut u32, size: u32) -> Result<(), String> {
    if *known != 0 && *known != size {
        return Err(format!("{what}s of {known} bytes and of {size} bytes"));
    }
    *known = size;
    Ok(())
}

/// `__uint(name, value)`: a pointer to an array of that length.
fn number(btf: &Btf, member: &Member<'_>) -> Result<u32, String> {
    let wrong = |kind: TypeKind| {
        format!("`{}` is a {kind}, expected a number as `__uint` makes it", member.name)
    };
    let target = match resolved(btf, member.type_id)? {
        Type::Ptr { target } => target,
        other => return Err(wrong(other.kind())),
    };
    match btf.type_by_id(target).map_err(|error| error.to_string())? {
        Type::Array(array) => Ok(array.len),
        other => Err(wrong(other.kind())),
    }
}

/// `__ulong(name, value)`: an enum of one enumerator; or a `__uint`.
fn long_number(btf: &Btf, member: &Member<'_>) -> Result<u64, String> {
    match resolved(btf, member.type_id)? {
        Type::Ptr { .. } => number(btf, member).map(u64::from),
        Type::Enum(of) | Type::Enum64(of) if of.enumerators.len() == 1 => {
            Ok(of.enumerators.get(0).map_or(0, |only| only.value))
        }
        other => Err(format!(
            "`{}` is a {}, expected a number as `__ulong` makes it",
            member.name,
            other.kind()
        )),
    }
}

/// `__type(name, type)`: a pointer to the type. Gives its id and its size.
fn pointee(btf: &Btf, member: &Member<'_>) -> Result<(u32, u32), String> {
    match btf.type_by_id(member.type_id).map_err(|error| error.to_string())? {
        Type::Ptr { target } => {
            let size = btf
                .size_of(target)
                .map_err(|error| format!("the type of its {} has no size: {error}", member.name))?;
            Ok((target, u32::try_from(size).map_err(|_| format!("{} bytes", size))?))
        }
        other => Err(format!(
            "`{}` is a {}, expected a type as `__type` makes it",
            member.name,
            other.kind()
        )),
    }
}

/// `__array(values, type)`: what is in the map, an array of pointers of no length.
fn values(btf: &Btf, name: &str, member: &Member<'_>, map: &mut MapDef) -> Result<(), String> {
    let of_maps = is_map_of_maps(map);
    if !of_maps && map.kind() != Some(MapType::ProgArray) {
        return Err("`values` in a map that holds neither maps nor programs".into());
    }
    agree("value", &mut map.value_size, 4)?;
    let element = match btf.type_by_id(member.type_id).map_err(|error| error.to_string())? {
        Type::Array(Array { element, len: 0, .. }) => element,
        other => {
            return Err(format!(
                "`values` is a {}, expected an array of no length as `__array` makes it",
                other.kind()
            ));
        }
    };
    let Type::Ptr { target } = resolved(btf, element)? else {
        return Err("`values` should hold pointers".into());
    };
    match (of_maps, resolved(btf, target)?) {
        (true, Type::Struct(definition)) => {
            let inner_name = format!("{name}.inner");
            let mut inner = define(btf, &inner_name, &definition, true)?;
            inner.name = inner_name;
            map.inner = Some(Box::new(inner));
            Ok(())
        }
        (false, Type::FuncProto(_)) => Ok(()),
        (true, other) => Err(format!("`values` points to a {}, expected a map", other.kind())),
        (false, other) => Err(format!("`values` points to a {}, expected a program", other.kind())),
    }
}

fn resolved(btf: &Btf, id: u32) -> Result<Type<'_>, String> {
    btf.resolved(id).map_err(|error| error.to_string())
}

/// Whether a map holds maps.
pub(super) fn is_map_of_maps(map: &MapDef) -> bool {
    map.kind().is_some_and(|kind| kind.row().of_maps)
}

/// The size of a ring buffer: a power of two of pages, the next one where the object
/// asks for another. 0 stays, so that its owner sees an error.
fn ring_size(size: u32) -> u32 {
    let is_fine = size.is_multiple_of(PAGE) && (size / PAGE).is_power_of_two();
    if size == 0 || is_fine {
        return size;
    }
    // Strictly larger, and at least a page; what does not fit stays, and is refused.
    let pages = (size / PAGE).saturating_add(1).checked_next_power_of_two();
    pages.and_then(|pages| pages.checked_mul(PAGE)).unwrap_or(size)
}

#[cfg(test)]
mod tests {
    use super::ring_size;

    #[test]
    fn ring_buffers_grow_to_a_power_of_two_of_pages() {
        assert_eq!(ring_size(0), 0);
        assert_eq!(ring_size(1), 4096);
        assert_eq!(ring_size(4096), 4096);
        assert_eq!(ring_size(4097), 8192);
        assert_eq!(ring_size(12288), 16384);
        assert_eq!(ring_size(u32::MAX), u32::MAX);
    }
}
