//! Skeletons: an object and typed handles for what is in it, as source text that an
//! application is built with. [`rust`] writes it over this library, [`c`] as libbpf's
//! (counterpart: `bpftool gen skeleton`).
//!
//! Both are made of the same facts: the maps in the object's order, its programs, and its
//! sections of variables as structures.

mod c;
mod fields;
mod literal;
mod names;
mod rust;
mod types;

use skep_btf::{Btf, SecVar, Type};

pub use c::c;
pub use fields::{bits, read, set_bits};
pub use rust::rust;

use crate::object::{MapDef, MapOrigin, Object};

/// A section of variables.
struct Section<'a> {
    /// As in the object: `.rodata`.
    name: &'a str,
    btf: &'a Btf,
    size: u32,
    vars: Vec<Variable<'a>>,
    /// Whether its first content is the object's to say; the kernel's configuration is not.
    is_given: bool,
}

struct Variable<'a> {
    name: &'a str,
    at: SecVar,
    /// The type, without the variable around it.
    type_id: u32,
    is_static: bool,
}

/// The section that a map stands for, where types say what is in it.
fn section<'a>(object: &'a Object, map: &'a MapDef) -> Option<Section<'a>> {
    let (name, btf) = (map.origin.section()?, object.btf.as_deref()?);
    let Ok(Type::DataSec(data)) = btf.type_by_id(map.value_type_id) else { return None };
    let mut vars = Vec::new();
    for at in data.vars.iter() {
        let Ok(Type::Var { name, target, linkage }) = btf.type_by_id(at.type_id) else { continue };
        let is_static = linkage == skep_btf::VarLinkage::Static;
        vars.push(Variable { name, at, type_id: target, is_static });
    }
    vars.sort_by_key(|var| var.at.offset);
    let is_given = map.origin != MapOrigin::Kconfig;
    Some(Section { name, btf, size: map.value_size, vars, is_given })
}

/// Puts every program of an object at its own section's place, as libbpf's skeletons do: those
/// whose section leaves something open (an interface, a cgroup) stay where they are.
///
/// # Errors
/// A place that is not there, or that the kernel refuses; what was attached is detached again.
#[cfg(target_os = "linux")]
pub fn attach(
    skep: &crate::Skep,
    places: &crate::attach::auto::Places,
) -> Result<Vec<crate::attach::Link>, crate::LinkError> {
    use crate::attach::auto::{Found, find};
    let mut links = Vec::new();
    for program in skep.programs() {
        let unplaced = |kind| crate::LinkError {
            program: Some(program.name().into()),
            place: program.def().section.clone(),
            kind,
        };
        if let Found::At(hook) = find(program, places).map_err(unplaced)? {
            links.push(program.attach(hook)?);
        }
    }
    Ok(links)
}
