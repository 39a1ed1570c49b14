//! Maps that stand for sections of variables: one array of one element each, and one
//! for the values of the kernel's configuration.
//!
//! Counterparts: libbpf's `bpf_object__init_global_data_maps`, `internal_map_name`.

use rustc_hash::FxHashMap;
use skep_abi::{MapType, flags};
use skep_btf::{Btf, SecVar, Type, VarLinkage};

use super::{Role, Sections, truncated};
use crate::elf::Elf;
use crate::error::{ObjectError, ObjectErrorKind as Kind};
use crate::object::{ExternKind, MapDef, MapOrigin, Object, Place};

/// The maps of all data sections in their order, then the configuration's.
pub(super) fn collect(
    elf: &Elf<'_>,
    sections: &Sections,
    object: &Object,
) -> Result<Vec<MapDef>, ObjectError> {
    let types = object.btf.as_deref().map(section_types).unwrap_or_default();
    let mut maps = Vec::new();
    for (index, section) in elf.sections.iter().enumerate() {
        let name = section.name.to_string();
        let origin = match sections.role(index) {
            Role::Data => MapOrigin::Data(name),
            Role::Rodata => MapOrigin::Rodata(name),
            Role::Bss => MapOrigin::Bss(name),
            _ => continue,
        };
        let size = u32::try_from(section.size).map_err(|_| {
            let reason = format!("{} bytes, which no map can hold", section.size);
            ObjectError::from(Kind::Malformed(reason)).in_section(&section.name)
        })?;
        let map = define(object, &types, &section.name, origin, size);
        let place = Place { section: index, start: 0, end: section.size };
        maps.push(MapDef { contents: section.data.to_vec(), place, ..map });
    }
    let ends = object.externs.iter().filter_map(|of| match of.kind {
        ExternKind::Kconfig { offset, size, .. } => Some(offset + size),
        _ => None,
    });
    if let Some(size) = ends.max() {
        maps.push(define(object, &types, ".kconfig", MapOrigin::Kconfig, size));
    }
    Ok(maps)
}

fn define(
    object: &Object,
    types: &FxHashMap<&str, SectionType>,
    section: &str,
    origin: MapOrigin,
    size: u32,
) -> MapDef {
    let of_section = types.get(section);
    let read_only = if origin.is_frozen() { flags::map::RDONLY_PROG } else { 0 };
    let shared = match of_section {
        Some(SectionType { has_globals: true, .. }) => flags::map::MMAPABLE,
        _ => 0,
    };
    MapDef {
        name: map_name(&object.name, section),
        origin,
        map_type: MapType::Array as u32,
        key_size: 4,
        value_size: size,
        max_entries: 1,
        flags: read_only | shared,
        value_type_id: of_section.map_or(0, |of| of.id),
        autocreate: true,
        ..MapDef::default()
    }
}

/// What the types say of a section.
struct SectionType {
    id: u32,
    /// Whether user space has variables to see there: global and not hidden ones.
    has_globals: bool,
}

/// The first section of each name in the types.
fn section_types(btf: &Btf) -> FxHashMap<&str, SectionType> {
    let is_global = |var: SecVar| match btf.type_by_id(var.type_id) {
        Ok(Type::Var { linkage, .. }) => linkage != VarLinkage::Static,
        _ => false,
    };
    let mut types = FxHashMap::default();
    for (id, ty) in btf.types() {
        if let Type::DataSec(section) = ty {
            let has_globals = section.vars.iter().any(is_global);
            types.entry(section.name).or_insert(SectionType { id, has_globals });
        }
    }
    types
}

/// libbpf's name for the map of a section: as much of the object's name as leaves
/// room for the section's (or for 7 bytes, if that is shorter), within 15 bytes; no
/// object's name before a section with a name of its own, as `.rodata.tables`.
fn map_name(object: &str, section: &str) -> String {
    let room = section.len().clamp(7, 15);
    let has_own_name = section.get(1..).is_some_and(|rest| rest.contains('.'));
    let prefix = if has_own_name { "" } else { truncated(object, 15 - room) };
    let plain = |c: char| {
        if c.is_ascii_alphanumeric() || c == '_' || c == '.' { c } else { '_' }
    };
    format!("{prefix}{}", truncated(section, room)).chars().map(plain).collect()
}

#[cfg(test)]
mod tests {
    use super::map_name;

    #[test]
    fn map_names_are_libbpf_s() {
        assert_eq!(map_name("my_object_name", ".rodata"), "my_objec.rodata");
        assert_eq!(map_name("my_object_name", ".bss"), "my_objec.bss");
        assert_eq!(map_name("my_object_name", ".kconfig"), "my_obje.kconfig");
        assert_eq!(map_name("my_object_name", ".rodata.abracadabra"), ".rodata.abracad");
        assert_eq!(map_name("a-b", ".data"), "a_b.data");
    }
}
