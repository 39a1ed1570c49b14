//! What MAP_CREATE checks of the BTF types of keys and values, and the special fields that
//! it finds in values (`map_check_btf()` and the types' own functions of that name).

use skep_abi::{
    Capabilities, Errno, FieldKind, MapType, SpecialField, SpecialFields, Typed, flags::map as flag,
};
use skep_btf::{Btf, Type};
use skep_verify::special_fields;

use skep_maps::{Fields, MapAttr};

/// The special fields of a map's values.
///
/// # Errors
/// EINVAL for types that are not as large as keys and values, or that the map's type does
/// not want; ENOTSUPP where it wants none; EPERM, EACCES and EOPNOTSUPP where values may not
/// have such fields.
pub(super) fn check(
    map: &MapAttr,
    types: &Btf,
    (key_id, value_id): (u32, u32),
    caps: Capabilities,
) -> Result<Fields, Errno> {
    let key = match key_id {
        0 if !accepts_no_key(map.map_type) => return Err(Errno::EINVAL),
        0 => Type::Void,
        id => sized(types, id, map.key_size)?.1,
    };
    let (value_id, value) = sized(types, value_id, map.value_size)?;
    let fields = special_fields(types, value_id);
    if !fields.is_empty() {
        check_fields(map, &fields, caps)?;
    }
    check_type(map, &key, &value)?;
    Ok(Fields::new(fields, map.value_size))
}

/// A type, without what stands before it, of this size (`btf_type_id_size()`).
fn sized(types: &Btf, id: u32, size: u32) -> Result<(u32, Type<'_>), Errno> {
    let invalid = |_| Errno::EINVAL;
    let mut id = types.resolve_modifiers(id).map_err(invalid)?;
    if let Type::Var { target, .. } = types.type_by_id(id).map_err(invalid)? {
        id = types.resolve_modifiers(target).map_err(invalid)?;
    }
    let ty = types.type_by_id(id).map_err(invalid)?;
    let right = types.size_of(id).map_err(invalid)? == u64::from(size);
    if !right || matches!(ty, Type::DeclTag { .. }) {
        return Err(Errno::EINVAL);
    }
    Ok((id, ty))
}

fn check_fields(map: &MapAttr, fields: &[SpecialField], caps: Capabilities) -> Result<(), Errno> {
    if !caps.allow(Capabilities::BPF) {
        return Err(Errno::EPERM);
    }
    // Programs only read where packets are redirected to.
    let read_only = matches!(map.map_type, MapType::Devmap | MapType::DevmapHash);
    if read_only || map.flags & (flag::RDONLY_PROG | flag::WRONLY_PROG) != 0 {
        return Err(Errno::EACCES);
    }
    match fields.iter().all(|field| admits(map.map_type, field.kind)) {
        true => Ok(()),
        false => Err(Errno::EOPNOTSUPP),
    }
}

/// Whether values of a map of this type may have such a field.
fn admits(map_type: MapType, field: FieldKind) -> bool {
    use FieldKind as F;
    let set = match field {
        F::SpinLock | F::ResSpinLock => SpecialFields::LOCKS,
        F::Timer | F::Workqueue | F::TaskWork | F::ListHead | F::RbRoot => SpecialFields::OWNED,
        F::KptrUnref | F::KptrRef | F::KptrPercpu | F::Refcount => SpecialFields::KPTRS,
        F::Uptr => SpecialFields::UPTRS,
        F::ListNode | F::RbNode => return false,
    };
    map_type.row().fields.contains(set)
}

/// Whether a map of this type has a check of its own, which is asked about missing keys too.
fn accepts_no_key(map_type: MapType) -> bool {
    let checks = matches!(map_type, MapType::LpmTrie | MapType::BloomFilter);
    checks || is_array(map_type) || refuses_types(map_type)
}

fn is_array(map_type: MapType) -> bool {
    map_type.row().array
}

fn refuses_types(map_type: MapType) -> bool {
    map_type.row().typed == Typed::Refused
}

fn check_type(map: &MapAttr, key: &Type<'_>, value: &Type<'_>) -> Result<(), Errno> {
    if refuses_types(map.map_type) {
        return Err(Errno::ENOTSUPP);
    }
    let right = match key {
        Type::Void if map.map_type == MapType::BloomFilter => true,
        _ if map.map_type == MapType::BloomFilter => false,
        // A section of variables.
        Type::Void if is_array(map.map_type) => {
            map.map_type == MapType::Array
                && map.max_entries == 1
                && matches!(value, Type::DataSec(_))
        }
        Type::Int(int) if is_array(map.map_type) => int.bits == 32 && int.bit_offset == 0,
        Type::Int(int) if has_owner_fds(map.map_type) => int.bits == 32 && int.bit_offset == 0,
        _ if has_owner_fds(map.map_type) => false,
        Type::Struct(_) => !is_array(map.map_type),
        _ => !is_array(map.map_type) && map.map_type != MapType::LpmTrie,
    };
    if right { Ok(()) } else { Err(Errno::EINVAL) }
}

/// Whether keys are fds of what values belong to.
fn has_owner_fds(map_type: MapType) -> bool {
    use MapType::{CgrpStorage, InodeStorage, SkStorage, TaskStorage};
    matches!(map_type, SkStorage | TaskStorage | InodeStorage | CgrpStorage)
}
