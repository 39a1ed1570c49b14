//! `skep inspect`: what is in an object, without loading it anywhere.

use std::cell::RefCell;
use std::collections::HashSet;
use std::io::{self, Write};
use std::path::PathBuf;

use object::{Object as _, ObjectSection as _};
use serde_json::{Value as Json, json};
use skep::abi::ProgType;
use skep::btf::c::Printer;
use skep::btf::{Btf, Type};
use skep::load::{ExternKind, MapDef, MapOrigin, Object};

use crate::failure::{Failure, Outcome, Status};
use crate::files::{self, in_file};
use crate::table::{Cell, Table};
use crate::terminal::{Guard, Paint, clean};
use crate::{embedded, objects};

/// Show what is in an object: programs, maps, externs, CO-RE records, sections
#[derive(clap::Args)]
#[command(after_help = "Examples:
  skep inspect prog.bpf.o
  skep inspect prog.bpf.o --json | jq '.maps[].name'
  skep inspect --embedded                  what programs can use without Linux")]
pub struct Args {
    /// The BPF object
    #[arg(required_unless_present = "embedded")]
    object: Option<PathBuf>,
    /// Show what the embedded kernel has: types of maps and programs, helpers
    #[arg(long, conflicts_with_all = ["object", "json"])]
    embedded: bool,
    /// Print JSON (see docs/cli.md)
    #[arg(long)]
    json: bool,
}

/// `skep inspect`.
pub fn run(args: Args, out: &mut dyn Write) -> Outcome {
    let Some(file) = &args.object else {
        embedded::write(out)?;
        return Ok(Status::Done);
    };
    let bytes = files::read(file, files::MAX_TEXT)?;
    let object = objects::read(file, &bytes)?;
    let sections = sections(&bytes).map_err(|error| in_file(file, error))?;
    match args.json {
        true => {
            serde_json::to_writer_pretty(Guard::json(out), &json(&object, &sections))
                .map_err(io::Error::from)?;
            writeln!(out)?;
        }
        false => text(&object, &sections, out)?,
    }
    Ok(Status::Done)
}

/// The file's sections with their sizes.
fn sections(bytes: &[u8]) -> Result<Vec<(String, u64)>, object::Error> {
    let elf = object::File::parse(bytes)?;
    let named = |section: object::Section<'_, '_>| {
        let name = String::from_utf8_lossy(section.name_bytes().unwrap_or_default());
        (name.into_owned(), section.size())
    };
    Ok(elf.sections().map(named).filter(|section| !section.0.is_empty()).collect())
}

fn type_name(prog_type: Option<ProgType>) -> &'static str {
    prog_type.map_or("unknown", ProgType::name)
}

/// CO-RE records of each function.
fn records(object: &Object) -> Vec<usize> {
    let mut counts = vec![0; object.functions.len()];
    for record in &object.core {
        counts[record.function] += 1;
    }
    counts
}

fn insns_of(object: &Object, function: usize) -> usize {
    object.functions.get(function).map_or(0, |function| function.insns.len())
}

/// The object's types, as C writes them.
struct Types<'a> {
    btf: Option<&'a Btf>,
    /// Looks over all types when it is made, so one does for all.
    printer: RefCell<Option<Printer<'a>>>,
}

impl<'a> Types<'a> {
    fn new(object: &'a Object) -> Types<'a> {
        Types { btf: object.btf.as_deref(), printer: RefCell::new(None) }
    }

    /// A type's text, `None` for none.
    fn text(&self, id: u32) -> Option<String> {
        let btf = self.btf.filter(|_| id != 0)?;
        let named =
            |keyword: &str, name: &str| (!name.is_empty()).then(|| format!("{keyword}{name}"));
        let plain = match btf.type_by_id(id).ok()? {
            Type::Int(of) => named("", of.name),
            Type::Typedef { name, .. } => named("", name),
            Type::Struct(of) => named("struct ", of.name),
            Type::Union(of) => named("union ", of.name),
            Type::Enum(of) | Type::Enum64(of) => named("enum ", of.name),
            _ => None,
        };
        if plain.is_some() {
            return plain;
        }
        let mut printer = self.printer.borrow_mut();
        let printer = printer.get_or_insert_with(|| Printer::new(btf));
        let text = printer.declaration(id, "").ok()?;
        // A structure without a name is spelled out over several lines.
        let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
        (!line.is_empty()).then_some(line)
    }
}

fn origin(map: &MapDef) -> &'static str {
    match map.origin {
        MapOrigin::Btf => ".maps",
        MapOrigin::Legacy => "maps",
        MapOrigin::Data(_) => "data",
        MapOrigin::Rodata(_) => "constants",
        MapOrigin::Bss(_) => "zeros",
        MapOrigin::Kconfig => "kernel configuration",
        MapOrigin::StructOps(_) => "operations",
    }
}

fn extern_kind(types: &Types<'_>, kind: ExternKind) -> String {
    let ty = |id: u32| types.text(id).unwrap_or_else(|| "untyped".into());
    match kind {
        ExternKind::Kconfig { size, .. } => format!("kernel configuration, {size} bytes"),
        ExternKind::Variable { type_id } => format!("kernel variable, {}", ty(type_id)),
        ExternKind::Function { .. } => "kernel function".into(),
    }
}

/// The functions that are called, and no programs.
fn subprograms(object: &Object) -> Vec<usize> {
    let programs: HashSet<usize> = object.programs.iter().map(|of| of.function).collect();
    (0..object.functions.len()).filter(|index| !programs.contains(index)).collect()
}

fn text(object: &Object, sections: &[(String, u64)], out: &mut dyn Write) -> Result<(), Failure> {
    let paint = Paint::stdout();
    let btf = object.btf.as_deref();
    let names = Types::new(object);
    let license = match object.license.as_str() {
        "" => "no licence".into(),
        license => format!("licence {license:?}"),
    };
    let types = match btf {
        Some(btf) => format!("{} types in {} bytes", btf.len() - 1, btf.raw_bytes().len()),
        None => "no types".into(),
    };
    writeln!(out, "{}: {license}, {types}", paint.bold(&clean(&object.file)))?;

    let mut table = Table::default();
    for program in &object.programs {
        table.row([
            Cell::text(clean(&program.name)),
            Cell::text(type_name(program.prog_type)),
            Cell::text(program.attach_type.map_or("", |kind| kind.name())),
            Cell::text(clean(&format!("SEC({:?})", program.section))),
            Cell::right(insns_of(object, program.function)),
            Cell::text("instructions"),
            Cell::text(if program.autoload { "" } else { "only when named" }),
        ]);
    }
    part(out, "programs", object.programs.len(), &table)?;

    let mut table = Table::default();
    let others = subprograms(object);
    for &index in &others {
        let function = &object.functions[index];
        let linkage = match (function.global, function.hidden) {
            (_, true) => "global, hidden: verified as static",
            (true, false) => "global",
            (false, false) => "static",
        };
        table.row([
            Cell::text(clean(&function.name)),
            Cell::text(linkage),
            Cell::right(function.insns.len()),
            Cell::text("instructions"),
        ]);
    }
    part(out, "subprograms", others.len(), &table)?;

    let mut table = Table::default();
    for map in &object.maps {
        let sized = |what: &str, size: u32, id: u32| match names.text(id) {
            Some(name) if map.origin.section().is_none() => format!("{what} {name} ({size})"),
            _ => format!("{what} {size}"),
        };
        table.row([
            Cell::text(clean(&map.name)),
            Cell::text(
                map.kind().map_or_else(|| map.map_type.to_string(), |kind| kind.to_string()),
            ),
            Cell::text(clean(&sized("key", map.key_size, map.key_type_id))),
            Cell::text(clean(&sized("value", map.value_size, map.value_type_id))),
            Cell::text(format!("entries {}", map.max_entries)),
            Cell::text(if map.flags == 0 {
                String::new()
            } else {
                format!("flags {:#x}", map.flags)
            }),
            Cell::text(origin(map)),
        ]);
    }
    part(out, "maps", object.maps.len(), &table)?;

    let mut table = Table::default();
    for item in &object.externs {
        table.row([
            Cell::text(clean(&item.name)),
            Cell::text(clean(&extern_kind(&names, item.kind))),
            Cell::text(if item.weak { "weak" } else { "" }),
        ]);
    }
    part(out, "externs", object.externs.len(), &table)?;

    let mut table = Table::default();
    let records = objects::core_records(object);
    for (function, at, record) in &records {
        let function = object.functions.get(*function).map_or("?", |function| &function.name);
        table.row([
            Cell::text(clean(&format!("{function}, instruction {at}"))),
            Cell::text(clean(record)),
        ]);
    }
    part(out, "CO-RE records", records.len(), &table)?;

    let missing = embedded::lacks(object);
    let mut table = Table::default();
    for line in &missing {
        table.row([Cell::text(clean(line))]);
    }
    part(out, "what the embedded kernel does not have", missing.len(), &table)?;

    let mut table = Table::default();
    let is_debug = |name: &str| name.starts_with(".debug_") || name.starts_with(".rel.debug_");
    for (name, size) in sections.iter().filter(|section| !is_debug(&section.0)) {
        table.row([Cell::text(clean(name)), Cell::right(size), Cell::text("bytes")]);
    }
    let debug = sections.iter().filter(|section| is_debug(&section.0));
    let (count, bytes) = debug.fold((0, 0u64), |sum, of| (sum.0 + 1, sum.1.saturating_add(of.1)));
    if count > 0 {
        let name = format!("{count} of debug information");
        table.row([Cell::text(name), Cell::right(bytes), Cell::text("bytes")]);
    }
    part(out, "sections", sections.len(), &table)?;
    for note in &object.notes {
        writeln!(out, "{} {}", paint.yellow("note:"), clean(note))?;
    }
    Ok(())
}

/// A part with its title; nothing where there is nothing.
fn part(out: &mut dyn Write, title: &str, count: usize, table: &Table) -> io::Result<()> {
    if count == 0 {
        return Ok(());
    }
    writeln!(out, "\n{} ({count})", Paint::stdout().bold(title))?;
    table.write(out, "  ")
}

fn json(object: &Object, sections: &[(String, u64)]) -> Json {
    let btf = object.btf.as_deref();
    let (types, counts) = (Types::new(object), records(object));
    let programs: Vec<Json> = object
        .programs
        .iter()
        .map(|program| {
            json!({
                "name": program.name,
                "type": program.prog_type.map(ProgType::name),
                "attach_type": program.attach_type.map(|kind| kind.name()),
                "section": program.section,
                "target": program.target,
                "autoload": program.autoload,
                "flags": program.flags,
                "instructions": insns_of(object, program.function),
                "core_records": counts[program.function],
            })
        })
        .collect();
    let others: Vec<Json> = subprograms(object)
        .into_iter()
        .map(|index| {
            let function = &object.functions[index];
            json!({
                "name": function.name,
                "section": function.section,
                "global": function.global,
                "hidden": function.hidden,
                "instructions": function.insns.len(),
                "core_records": counts[index],
            })
        })
        .collect();
    let maps: Vec<Json> = object.maps.iter().map(|map| json_map(map, &types)).collect();
    let externs: Vec<Json> = object
        .externs
        .iter()
        .map(|item| {
            let kind = match item.kind {
                ExternKind::Kconfig { .. } => "kconfig",
                ExternKind::Variable { .. } => "variable",
                ExternKind::Function { .. } => "function",
            };
            json!({"name": item.name, "kind": kind, "weak": item.weak})
        })
        .collect();
    let records: Vec<Json> = objects::core_records(object)
        .into_iter()
        .map(|(function, at, record)| {
            let function = object.functions.get(function).map(|function| &function.name);
            json!({"function": function, "instruction": at, "record": record})
        })
        .collect();
    json!({
        "file": object.file,
        "license": object.license,
        "btf": btf.map(|btf| json!({
            "types": btf.len() - 1,
            "bytes": btf.raw_bytes().len(),
        })),
        "programs": programs,
        "subprograms": others,
        "maps": maps,
        "externs": externs,
        "core_records": records,
        "sections": sections
            .iter()
            .map(|(name, size)| json!({"name": name, "size": size}))
            .collect::<Vec<_>>(),
        "notes": object.notes,
        "not_embedded": embedded::lacks(object),
    })
}

fn json_map(map: &MapDef, types: &Types<'_>) -> Json {
    let mut json = json!({
        "name": map.name,
        "type": map.kind().map(|kind| kind.name()),
        "key_size": map.key_size,
        "value_size": map.value_size,
        "max_entries": map.max_entries,
        "flags": map.flags,
        "origin": origin(map),
        "pinned": map.pinned,
    });
    if map.origin.section().is_none() {
        json["key_type"] = types.text(map.key_type_id).into();
        json["value_type"] = types.text(map.value_type_id).into();
    } else if let Some(names) = variables(map, types.btf) {
        json["variables"] = names.into();
    }
    if let Some(inner) = &map.inner {
        json["inner"] = json_map(inner, types);
    }
    json
}

/// The variables of a data section.
fn variables(map: &MapDef, btf: Option<&Btf>) -> Option<Vec<String>> {
    let btf = btf?;
    let Ok(Type::DataSec(section)) = btf.type_by_id(map.value_type_id) else { return None };
    let name = |id: u32| btf.type_by_id(id).map_or(String::new(), |ty| ty.name().to_owned());
    Some(section.vars.iter().map(|var| name(var.type_id)).collect())
}
