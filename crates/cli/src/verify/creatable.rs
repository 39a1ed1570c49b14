//! Whether a map can be created, so that a program is not blamed for its maps.
//!
//! The rules are those that the embedded kernel's MAP_CREATE has from Linux; types that it
//! does not have pass.

use skep::abi::{Errno, MapType};
use skep::load::MapDef;
use skep::vm::maps::MapAttr;

/// Why it cannot.
pub struct Reason {
    pub what: String,
    pub hint: Option<String>,
}

pub fn check(map: &MapDef) -> Result<(), Reason> {
    let Some(kind) = map.kind() else {
        return Err(Reason { what: format!("there is no map type {}", map.map_type), hint: None });
    };
    let of_maps = matches!(kind, MapType::ArrayOfMaps | MapType::HashOfMaps);
    if of_maps && map.inner.is_none() {
        return Err(Reason {
            what: "nothing says what the maps in it look like".into(),
            hint: Some(format!(
                "--inner {}=MAP has them look like another map of the object, as an application \
                 does that sets it before it loads",
                map.name
            )),
        });
    }
    if !is_checked(kind) {
        return Ok(());
    }
    let mut attr = MapAttr::new(kind, map.key_size, map.value_size, map.max_entries);
    attr.flags = map.flags;
    attr.map_extra = map.extra;
    attr.numa_node = map.numa_node;
    let checked = attr.check().and_then(|()| if of_maps { Ok(()) } else { attr.check_type() });
    checked.map_err(|errno| Reason {
        what: match errno {
            Errno::E2BIG => format!("{kind} of this size is more than Linux takes ({errno})"),
            _ => format!(
                "Linux refuses {kind} with keys of {} and values of {} bytes, {} entries, flags \
                 {:#x}, extra {:#x} ({errno})",
                map.key_size, map.value_size, map.max_entries, map.flags, map.extra
            ),
        },
        hint: (map.max_entries == 0).then(|| {
            let name = &map.name;
            format!(
                "--entries {name}=N says how many, as an application does that sets it before it \
                 loads"
            )
        }),
    })?;
    match &map.inner {
        Some(inner) => check(inner),
        None => Ok(()),
    }
}

/// Types whose attributes the embedded kernel checks; a size that the loader fills in is
/// not there yet.
fn is_checked(kind: MapType) -> bool {
    use MapType::*;
    matches!(
        kind,
        Hash | Array
            | ProgArray
            | PercpuHash
            | PercpuArray
            | LruHash
            | LruPercpuHash
            | LpmTrie
            | HashOfMaps
            | ArrayOfMaps
            | Queue
            | Stack
            | Ringbuf
    )
}
