//! Structures of operations: the variables of `.struct_ops` and `.struct_ops.link`,
//! each a map of one element whose functions are programs.
//!
//! Counterparts: libbpf's `init_struct_ops_maps` and `bpf_object__collect_st_ops_relos`.

use skep_abi::{MapType, flags};
use skep_btf::{Btf, Kind as TypeKind, Type};

use super::{Role, Sections, needed};
use crate::elf::Elf;
use crate::error::{ObjectError, ObjectErrorKind as Kind};
use crate::object::{MapDef, MapOrigin, Object, Place};

/// The maps of all such sections.
pub(super) fn collect(
    elf: &Elf<'_>,
    sections: &Sections,
    object: &Object,
) -> Result<Vec<MapDef>, ObjectError> {
    let mut maps = Vec::new();
    for index in sections.all(Role::StructOps) {
        let section = &elf.sections[index];
        let here = |error: ObjectError| error.in_section(&section.name);
        let btf = needed(object.btf.as_deref(), "structures of operations").map_err(here)?;
        let Some(id) = btf.find(&section.name, TypeKind::DataSec) else {
            return Err(here(Kind::NoBtf("structures of operations").into()));
        };
        let Type::DataSec(variables) = btf.type_by_id(id)? else { continue };
        for var in variables.vars.iter() {
            let map = define(btf, var.type_id, var.offset, section.data, &section.name);
            let map = map.map_err(|error| here(error).at(var.offset.into()))?;
            let start = u64::from(var.offset);
            let end = start + u64::from(map.value_size);
            maps.push(MapDef { place: Place { section: index, start, end }, ..map });
        }
    }
    Ok(maps)
}

fn define(
    btf: &Btf,
    variable: u32,
    offset: u32,
    data: &[u8],
    section: &str,
) -> Result<MapDef, ObjectError> {
    let Type::Var { name, target, .. } = btf.type_by_id(variable)? else {
        return Err(Kind::Malformed("something that is no variable".into()).into());
    };
    let wrong =
        |reason: &str| ObjectError::from(Kind::Map { name: name.into(), reason: reason.into() });
    let type_id = btf.resolve_modifiers(target)?;
    let Type::Struct(structure) = btf.type_by_id(type_id)? else {
        return Err(wrong("it is no struct"));
    };
    if structure.name.is_empty() {
        return Err(wrong("its struct has no name"));
    }
    let range = offset as usize..offset as usize + structure.size as usize;
    let contents = data.get(range).ok_or_else(|| wrong("it ends behind its section"))?;
    let plain = section.strip_prefix('?').unwrap_or(section);
    Ok(MapDef {
        name: name.into(),
        origin: MapOrigin::StructOps(plain.into()),
        map_type: MapType::StructOps as u32,
        key_size: 4,
        value_size: structure.size,
        max_entries: 1,
        flags: if plain == ".struct_ops.link" { flags::map::LINK } else { 0 },
        value_type_id: type_id,
        contents: contents.to_vec(),
        autocreate: plain.len() == section.len(),
        ..MapDef::default()
    })
}
