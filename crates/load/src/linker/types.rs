//! Types of all files, each once, and what `.BTF.ext` says of instructions, moved to where they
//! are now.

use std::collections::HashMap;

use skep_btf::core::Relocation;
use skep_btf::{
    Btf, BtfError, Builder, Endian, Ext, FuncInfo, FuncLinkage, LineInfo, SecVar,
    Section as Records, Type, VarLinkage, dedup,
};

use super::sections::{Placed, Went};
use super::symbols::Symbols;
use super::{Input, LinkObjectsError};

/// `.BTF` and `.BTF.ext`.
#[derive(Default)]
pub(super) struct Joined {
    pub btf: Vec<u8>,
    pub ext: Vec<u8>,
}

/// Where the types of each input are among all.
struct Ids(Vec<Vec<u32>>);

/// Puts types and records of all inputs together; nothing where no input has any.
pub(super) fn join(
    inputs: &[Input<'_>],
    placed: &Placed,
    symbols: &Symbols,
) -> Result<Joined, LinkObjectsError> {
    if inputs.iter().all(|input| input.btf.is_none()) {
        return Ok(Joined::default());
    }
    let at_file = |error| LinkObjectsError::Btf { file: "the linked object".into(), error };
    let ids = number(inputs, symbols);
    let all = together(inputs, &ids).map_err(at_file)?;
    let (mut builder, once) = dedup::of(&all).map_err(at_file)?;
    let id_of = |input: usize, id: u32| {
        let joined = ids.0[input].get(id as usize).copied().unwrap_or(0);
        once.get(joined as usize).copied().unwrap_or(0)
    };
    for (name, section) in variables(inputs, placed, symbols, &id_of) {
        builder.datasec(&name, section.size, &section.vars);
    }
    let ext = records(inputs, placed, &id_of, &mut builder);
    let endian = Endian::Little;
    Ok(Joined { btf: builder.to_bytes(endian), ext: ext.to_bytes(endian) })
}

/// What an extern is the same as, whose definition is in another file, or that another file
/// asks for as well.
#[derive(PartialEq, Eq, Hash)]
struct Named<'a>(&'a str, bool);

/// Numbers all types but sections, which are made anew, and externs that are known.
fn number(inputs: &[Input<'_>], symbols: &Symbols) -> Ids {
    let mut ids: Vec<Vec<u32>> = Vec::new();
    let mut known: HashMap<Named<'_>, u32> = HashMap::new();
    let mut wait = Vec::new();
    let mut next = 1;
    for (input, of) in inputs.iter().enumerate() {
        let Some(btf) = &of.btf else {
            ids.push(Vec::new());
            continue;
        };
        let mut own = vec![0; btf.len() as usize];
        for (id, ty) in btf.types() {
            let is_here = |name: &str| symbols.defined_by(name) == Some(input);
            match ty {
                Type::DataSec(_) => continue,
                Type::Var { name, linkage: VarLinkage::Extern, .. } => {
                    wait.push((input, id, Named(name, false)));
                    continue;
                }
                Type::Func { name, linkage: FuncLinkage::Extern, .. } => {
                    wait.push((input, id, Named(name, true)));
                    continue;
                }
                Type::Var { name, linkage: VarLinkage::Global, .. } if is_here(name) => {
                    known.insert(Named(name, false), next);
                }
                Type::Func { name, linkage: FuncLinkage::Global, .. } if is_here(name) => {
                    known.insert(Named(name, true), next);
                }
                _ => {}
            }
            own[id as usize] = next;
            next += 1;
        }
        ids.push(own);
    }
    // Those that no file defines come last, the first of each name for all.
    for (input, id, name) in wait {
        let of_name = *known.entry(name).or_insert(next);
        next += u32::from(of_name == next);
        ids[input][id as usize] = of_name;
    }
    Ids(ids)
}

/// All types, numbered so.
fn together(inputs: &[Input<'_>], ids: &Ids) -> Result<Btf, BtfError> {
    // A definition before the externs that it stands for.
    let mut order: Vec<(u32, bool, usize, u32)> = Vec::new();
    for (input, (own, of)) in ids.0.iter().zip(inputs).enumerate() {
        let Some(btf) = &of.btf else { continue };
        for (&new, id) in own.iter().zip(0..).filter(|(new, _)| **new != 0) {
            order.push((new, is_extern(&btf.type_by_id(id)?), input, id));
        }
    }
    order.sort_unstable();
    order.dedup_by_key(|(new, ..)| *new);
    let mut builder = Builder::new();
    for (_, _, input, id) in order {
        let (Some(btf), own) = (&inputs[input].btf, &ids.0[input]) else { continue };
        builder.copy(&btf.type_by_id(id)?, |id| own.get(id as usize).copied().unwrap_or(0));
    }
    builder.build()
}

fn is_extern(ty: &Type<'_>) -> bool {
    matches!(
        ty,
        Type::Var { linkage: VarLinkage::Extern, .. }
            | Type::Func { linkage: FuncLinkage::Extern, .. }
    )
}

/// A section of variables.
#[derive(Default)]
struct Variables {
    size: u32,
    vars: Vec<SecVar>,
}

/// The sections of variables, in the order in which they came.
fn variables(
    inputs: &[Input<'_>],
    placed: &Placed,
    symbols: &Symbols,
    id_of: &dyn Fn(usize, u32) -> u32,
) -> Vec<(String, Variables)> {
    let mut all: Vec<(String, Variables)> = Vec::new();
    for (input, of) in inputs.iter().enumerate() {
        let Some(btf) = &of.btf else { continue };
        for (_, ty) in btf.types() {
            let Type::DataSec(data) = ty else { continue };
            let at = all.iter().position(|(name, _)| name == data.name).unwrap_or_else(|| {
                all.push((data.name.into(), Variables::default()));
                all.len() - 1
            });
            let section = &mut all[at].1;
            let out = placed.sections.iter().find(|section| section.name == data.name);
            section.size = out.map_or(section.size.max(data.size), |out| out.size as u32);
            for var in data.vars.iter() {
                // Functions of the kernel stand in a section as well.
                let (name, global) = match btf.type_by_id(var.type_id) {
                    Ok(Type::Var { name, linkage, .. }) => (name, linkage != VarLinkage::Static),
                    Ok(Type::Func { name, .. }) => (name, true),
                    _ => continue,
                };
                let defined = symbols.defined_by(name);
                if global && defined.is_some_and(|by| by != input) {
                    continue;
                }
                let (went, own) = here(of, &placed.went[input], data.name, name, &var);
                let type_id = id_of(input, var.type_id);
                let offset = went.map_or(var.offset, |went| (went.offset as u32).wrapping_add(own));
                if !section.vars.iter().any(|of| of.type_id == type_id) {
                    section.vars.push(SecVar { type_id, offset, size: var.size });
                }
            }
        }
    }
    for (_, section) in &mut all {
        section.vars.sort_by_key(|var| var.offset);
    }
    all.retain(|(_, section)| !section.vars.is_empty());
    all
}

/// Where a file's section went, and where in it a variable is: compilers leave that to symbols.
fn here(
    input: &Input<'_>,
    went: &HashMap<usize, Went>,
    section: &str,
    name: &str,
    var: &SecVar,
) -> (Option<Went>, u32) {
    let Some(at) = input.elf.section(section) else { return (None, var.offset) };
    let is_it = |symbol: &&crate::elf::Symbol<'_>| symbol.section == at && symbol.name == name;
    let symbol = input.elf.symbols.iter().find(is_it);
    let own = symbol.map_or(var.offset, |symbol| symbol.value as u32);
    (went.get(&at).copied(), own)
}

/// Records of instructions.
fn records(
    inputs: &[Input<'_>],
    placed: &Placed,
    id_of: &dyn Fn(usize, u32) -> u32,
    builder: &mut Builder,
) -> Ext {
    let mut ext = Ext::default();
    for (number, input) in inputs.iter().enumerate() {
        let Some(btf) = &input.btf else { continue };
        let text = |offset: u32| btf.string(offset).unwrap_or_default();
        let moved = |name_off: u32| {
            let at = input.elf.section(text(name_off))?;
            placed.went[number].get(&at).map(|went| went.offset as u32)
        };
        for of in &input.ext.func_info {
            let Some(by) = moved(of.name_off) else { continue };
            let one = |record: &FuncInfo| FuncInfo {
                insn_off: record.insn_off.wrapping_add(by),
                type_id: id_of(number, record.type_id),
            };
            let name = builder.string(text(of.name_off));
            add(&mut ext.func_info, name, of.records.iter().map(one));
        }
        for of in &input.ext.line_info {
            let Some(by) = moved(of.name_off) else { continue };
            let name = builder.string(text(of.name_off));
            let mut one = |record: &LineInfo| LineInfo {
                insn_off: record.insn_off.wrapping_add(by),
                file_name_off: builder.string(text(record.file_name_off)),
                line_off: builder.string(text(record.line_off)),
                ..*record
            };
            let lines: Vec<LineInfo> = of.records.iter().map(&mut one).collect();
            add(&mut ext.line_info, name, lines.into_iter());
        }
        for of in &input.ext.core_relos {
            let Some(by) = moved(of.name_off) else { continue };
            let name = builder.string(text(of.name_off));
            let mut one = |record: &Relocation| Relocation {
                insn_off: record.insn_off.wrapping_add(by),
                type_id: id_of(number, record.type_id),
                access_str_off: builder.string(text(record.access_str_off)),
                ..*record
            };
            let relocations: Vec<Relocation> = of.records.iter().map(&mut one).collect();
            add(&mut ext.core_relos, name, relocations.into_iter());
        }
    }
    ext
}

/// Adds records to those of a section.
fn add<T>(to: &mut Vec<Records<T>>, name_off: u32, records: impl Iterator<Item = T>) {
    match to.iter_mut().find(|of| of.name_off == name_off) {
        Some(of) => of.records.extend(records),
        None => to.push(Records { name_off, records: records.collect() }),
    }
}
