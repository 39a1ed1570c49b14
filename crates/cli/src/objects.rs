//! Objects by name, and what their parts are called.

use std::path::Path;
use std::sync::Arc;

use skep::abi::SectionDef;
use skep::btf::core::{Resolver, Targets};
use skep::btf::{Btf, Type};
use skep::load::{CoreRecord, Loader, Object, ObjectErrorKind, Symbol};

use crate::failure::Failure;
use crate::files;

/// By whose rules objects are read.
#[derive(clap::Args, Clone, Copy, Debug)]
pub struct LoaderArgs {
    /// Whose rules hold for what an object leaves to its loader: static programs, names of
    /// sections, old definitions of maps
    #[arg(long, value_enum, value_name = "NAME", default_value_t = LoaderName::Libbpf)]
    loader: LoaderName,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum)]
enum LoaderName {
    /// libbpf 1.x
    Libbpf,
    /// cilium/ebpf, in Go
    Cilium,
    /// aya, in Rust
    Aya,
}

impl LoaderArgs {
    /// The loader.
    pub fn loader(self) -> Loader {
        match self.loader {
            LoaderName::Libbpf => Loader::Libbpf,
            LoaderName::Cilium => Loader::Cilium,
            LoaderName::Aya => Loader::Aya,
        }
    }
}

/// Opens an object by the rules of a loader, or reads one from the standard input for `-`, or
/// from a pipe.
///
/// # Errors
/// It is none that the loader takes; for a `.c` file the hint is the compiler's command.
pub fn open_as(path: &Path, loader: Loader) -> Result<Object, Failure> {
    match is_piped(path) {
        true => {
            let bytes = files::read(path, files::MAX_TEXT)?;
            Ok(Object::parse_as(&files::shown(path), &bytes, loader)?)
        }
        false => Ok(Object::open_as(path, loader)?),
    }
}

/// Whether a name is the standard input's or a pipe's: it has no length to look at
/// beforehand, and can be read once only.
fn is_piped(path: &Path) -> bool {
    let metadata = || std::fs::metadata(path);
    path.as_os_str() == "-"
        || metadata().is_ok_and(|metadata| !metadata.is_file() && !metadata.is_dir())
}

/// Opens an object to look into it: by the rules of the first loader that takes it.
///
/// # Errors
/// No loader takes it.
pub fn open(path: &Path) -> Result<Object, Failure> {
    match is_piped(path) {
        true => read(path, &files::read(path, files::MAX_TEXT)?),
        false => first_that_takes(|loader| Object::open_as(path, loader)),
    }
}

/// The same for bytes that were read from `path`.
///
/// # Errors
/// No loader takes it.
pub fn read(path: &Path, bytes: &[u8]) -> Result<Object, Failure> {
    let name = files::shown(path);
    first_that_takes(|loader| Object::parse_as(&name, bytes, loader))
}

fn first_that_takes(
    open: impl Fn(Loader) -> Result<Object, skep::ObjectError>,
) -> Result<Object, Failure> {
    let refusal = match open(Loader::Libbpf) {
        Ok(object) => return Ok(object),
        Err(error) => error,
    };
    let ObjectErrorKind::Rule { others, .. } = refusal.kind() else { return Err(refusal.into()) };
    match others.iter().find_map(|loader| open(*loader).ok()) {
        Some(mut object) => {
            let title = object.loader.title();
            object.notes.push(format!("read as {title} does, for {}", refusal.kind()));
            Ok(object)
        }
        None => Err(refusal.into()),
    }
}

/// What to do about a section that a loader does not know.
pub fn section_hint(section: &str, loader: Loader) -> String {
    let knows =
        |other: &Loader| *other != loader && SectionDef::find_for(section, *other).is_some();
    let near =
        SectionDef::nearest(section).map(|def| format!("the nearest name is {:?}; ", def.name));
    let taker = Loader::ALL.iter().find(|other| knows(other)).map(|other| {
        let kind =
            SectionDef::find_for(section, *other).map_or("", |(def, _)| def.prog_type.name());
        format!("{} takes it for {kind} (--loader {}); ", other.title(), other.name())
    });
    let (near, taker) = (near.unwrap_or_default(), taker.unwrap_or_default());
    format!("{near}{taker}--type TYPE judges programs of any section")
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
