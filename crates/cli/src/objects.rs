//! Objects by name, and what their parts are called.

use std::path::Path;
use std::sync::Arc;

use skep::btf::core::{Resolver, Targets};
use skep::btf::{Btf, Type};
use skep::load::{CoreRecord, Object, Symbol};

use crate::failure::Failure;
use crate::files;

/// Opens an object, or reads one from the standard input for `-`, or from a pipe.
///
/// # Errors
/// It is none that we can use; for a `.c` file the hint is the compiler's command.
pub fn open(path: &Path) -> Result<Object, Failure> {
    match is_piped(path) {
        true => Ok(Object::parse(&files::shown(path), &files::read(path, files::MAX_TEXT)?)?),
        false => Ok(Object::open(path)?),
    }
}

/// Whether a name is the standard input's or a pipe's: it has no length to look at
/// beforehand, and can be read once only.
pub fn is_piped(path: &Path) -> bool {
    let metadata = || std::fs::metadata(path);
    path.as_os_str() == "-"
        || metadata().is_ok_and(|metadata| !metadata.is_file() && !metadata.is_dir())
}

/// The name of what an instruction refers to; `imm` is what its immediate adds.
pub fn symbol_name(object: &Object, symbol: Symbol, imm: u32) -> Option<String> {
    Some(match symbol {
        Symbol::Map(map) => object.maps.get(map)?.name.clone(),
        Symbol::MapValue { map, offset } => {
            let def = object.maps.get(map)?;
            let at = offset.wrapping_add(imm);
            let section = def.origin.section().unwrap_or(&def.name);
            match variable_at(object.btf.as_deref(), def.value_type_id, at) {
                Some(variable) => variable,
                None if at == 0 => section.to_owned(),
                None => format!("{section}+{at:#x}"),
            }
        }
        Symbol::Extern(index) => object.externs.get(index)?.name.clone(),
        Symbol::Call(function) | Symbol::FunctionAddress(function) => {
            object.functions.get(function)?.name.clone()
        }
    })
}

/// Each CO-RE record in libbpf's words: the function's index, the instruction, the text.
pub fn core_records(object: &Object) -> Vec<(usize, u32, String)> {
    let Some(btf) = &object.btf else { return Vec::new() };
    // Only the object's own types are looked at.
    let targets = Targets::new(Arc::clone(btf));
    let resolver = Resolver::new(btf, &targets);
    let text = |record: &CoreRecord| resolver.describe(&record.relocation);
    object.core.iter().map(|record| (record.function, record.at, text(record))).collect()
}

/// The variable at an offset of a section: `counters`, `counters+0x8`.
fn variable_at(btf: Option<&Btf>, section: u32, offset: u32) -> Option<String> {
    let btf = btf?;
    let Ok(Type::DataSec(section)) = btf.type_by_id(section) else { return None };
    let holds = |start: u32, size: u32| (start..start.saturating_add(size)).contains(&offset);
    let var = section.vars.iter().find(|var| holds(var.offset, var.size))?;
    let name = btf.type_by_id(var.type_id).ok()?.name();
    Some(match offset - var.offset {
        0 => name.to_owned(),
        inside => format!("{name}+{inside:#x}"),
    })
}
