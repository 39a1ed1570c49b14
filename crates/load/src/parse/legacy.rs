//! Maps that are defined by structures: the section `maps`, as objects had it before
//! there was BTF.
//!
//! libbpf gave these up in its version 1.0; cilium/ebpf and aya still read them. Two layouts
//! were in use: `struct bpf_map_def` (type, key size, value size, entries, flags) and
//! iproute2's `struct bpf_elf_map` (type, key size, value size, entries, flags, id,
//! pinning, inner id, inner index), where the second is 36 bytes long. aya reads as far as
//! the pinning of what follows the first five numbers and passes over the rest; cilium/ebpf
//! leaves all of it to the application, which we are for iproute2's.

use skep_abi::Loader;
use skep_btf::{Btf, Kind as TypeKind, Type};

use crate::elf::{Elf, st};
use crate::error::{ObjectError, ObjectErrorKind as Kind};
use crate::object::{MapDef, MapOrigin, Object, Place};

const BPF_MAP_DEF: usize = 20;
const BPF_ELF_MAP: usize = 36;

/// The maps of the section `maps`, whose number is `index`.
pub(super) fn collect(
    elf: &Elf<'_>,
    index: usize,
    object: &Object,
) -> Result<Vec<MapDef>, ObjectError> {
    let data = elf.sections[index].data;
    let mut symbols: Vec<_> = elf
        .symbols
        .iter()
        .filter(|symbol| symbol.section == index && symbol.kind == st::OBJECT)
        .collect();
    symbols.sort_by_key(|symbol| symbol.value);
    let mut maps = Vec::new();
    for (at, symbol) in symbols.iter().enumerate() {
        let next = symbols.get(at + 1).map_or(data.len() as u64, |next| next.value);
        let wrong = |reason: String| {
            let kind = Kind::Map { name: symbol.name.clone().into(), reason };
            ObjectError::from(kind).in_section("maps").at(symbol.value)
        };
        let end = symbol.value.checked_add(symbol.size).filter(|_| symbol.size > 0);
        let range = symbol.value as usize..end.unwrap_or(next) as usize;
        let Some(bytes) = data.get(range) else {
            return Err(wrong("it ends behind its section".into()));
        };
        let mut map = define(bytes, object.loader).map_err(wrong)?;
        map.name = symbol.name.clone().into();
        map.place =
            Place { section: index, start: symbol.value, end: symbol.value + bytes.len() as u64 };
        if let Some(btf) = object.btf.as_deref() {
            add_types(btf, &mut map);
        }
        maps.push(map);
    }
    Ok(maps)
}

fn define(bytes: &[u8], loader: Loader) -> Result<MapDef, String> {
    let (words, _) = bytes.as_chunks::<4>();
    let word = |index: usize| words.get(index).map_or(0, |word| u32::from_le_bytes(*word));
    if bytes.len() < BPF_MAP_DEF {
        return Err(format!("a definition of {} bytes, expected at least 20", bytes.len()));
    }
    let mut map = MapDef {
        origin: MapOrigin::Legacy,
        map_type: word(0),
        key_size: word(1),
        value_size: word(2),
        max_entries: word(3),
        flags: word(4),
        autocreate: true,
        ..MapDef::default()
    };
    if loader == Loader::Aya {
        map.pinned = match word(6) {
            0 => false,
            1 => true,
            other => return Err(format!("pinning is {other}, expected 0 or 1")),
        };
    } else if bytes.len() == BPF_ELF_MAP {
        // 1 is "for this object", 2 is "for all", each by the map's name.
        map.pinned = match word(6) {
            0 => false,
            1 | 2 => true,
            other => return Err(format!("pinning is {other}, expected 0, 1 or 2")),
        };
        if word(7) != 0 || word(8) != 0 {
            return Err("it holds maps that another definition describes, which only \
                        iproute2 understands"
                .into());
        }
    } else if bytes[BPF_MAP_DEF..].iter().any(|&byte| byte != 0) {
        return Err(format!(
            "a definition of {} bytes with more than the five numbers of `struct bpf_map_def`",
            bytes.len()
        ));
    }
    if map.map_type == 0 {
        return Err("it has no type".into());
    }
    Ok(map)
}

/// `BPF_ANNOTATE_KV_PAIR(name, key, value)` left a structure of both types.
fn add_types(btf: &Btf, map: &mut MapDef) {
    let name = format!("____btf_map_{}", map.name);
    let Some(Ok(Type::Struct(pair))) =
        btf.find(&name, TypeKind::Struct).map(|id| btf.type_by_id(id))
    else {
        return;
    };
    let sized = |index: usize, name: &str, size: u32| {
        let member = pair.members.get(index).filter(|member| member.name == name)?;
        (btf.size_of(member.type_id).ok()? == u64::from(size)).then_some(member.type_id)
    };
    if let (Some(key), Some(value)) =
        (sized(0, "key", map.key_size), sized(1, "value", map.value_size))
    {
        (map.key_type_id, map.value_type_id) = (key, value);
    }
}
