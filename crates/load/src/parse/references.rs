//! What instructions and maps refer to: relocations, made references to our lists.
//!
//! As in libbpf, the kind of a relocation does not matter: the instruction and the
//! symbol say what is meant. Counterparts: `bpf_program__record_reloc`,
//! `bpf_object__collect_map_relos`, `bpf_object__collect_st_ops_relos`.

use std::collections::BTreeMap;

use rustc_hash::FxHashMap;
use skep_abi::{Loader, MapType, ProgType};
use skep_btf::{Btf, Kind as TypeKind, Type};
use skep_isa::{Callee, Insn, Slot, decode_at};

use super::functions::containing;
use super::maps::is_map_of_maps;
use super::{Role, Sections};
use crate::elf::{Elf, Rel, Section, Symbol as ElfSymbol, sh, st};
use crate::error::{ObjectError, ObjectErrorKind as Kind};
use crate::object::{Object, Operation, Reference, Symbol};

/// Reads all relocations that are for code, maps or structures of operations.
pub(super) fn collect(
    elf: &Elf<'_>,
    sections: &Sections,
    object: &mut Object,
) -> Result<(), ObjectError> {
    let places = Places::new(object);
    for section in elf.sections.iter().filter(|section| section.kind == sh::REL) {
        let target = section.info as usize;
        let relocate = match sections.role(target) {
            Role::Code => in_code,
            Role::Maps => in_maps,
            Role::StructOps => in_struct_ops,
            _ => continue,
        };
        for rel in elf.relocations(section)? {
            let here =
                |error: ObjectError| error.in_section(elf.section_name(target)).at(rel.offset);
            let symbol = elf.symbols.get(rel.symbol).ok_or_else(|| {
                here(Kind::Malformed(format!("there is no symbol {}", rel.symbol)).into())
            })?;
            let site = Site { elf, sections, target, rel: &rel, symbol };
            relocate(&site, &places, object).map_err(here)?;
        }
    }
    for map in &mut object.maps {
        // The last relocation for an element is the one that counts.
        map.slots.reverse();
        map.slots.sort_by_key(|&(slot, _)| slot);
        map.slots.dedup_by_key(|&mut (slot, _)| slot);
    }
    leave_out_operations(object);
    let text = elf.section(".text");
    for index in 0..object.functions.len() {
        calls_within(object, index, text);
        object.functions[index].references.sort_by_key(|reference| reference.at);
    }
    Ok(())
}

/// Programs that only structures refer to which are not created are not loaded.
fn leave_out_operations(object: &mut Object) {
    let mut is_used: FxHashMap<usize, bool> = FxHashMap::default();
    for map in &object.maps {
        for operation in &map.operations {
            *is_used.entry(operation.program).or_default() |= map.autocreate;
        }
    }
    for (program, is_used) in is_used {
        object.programs[program].autoload = is_used;
    }
}

/// Where things are, by what relocations say.
struct Places {
    /// Maps by their section and place in it.
    maps: BTreeMap<(usize, u64), usize>,
    map_names: FxHashMap<String, usize>,
    program_names: FxHashMap<String, usize>,
    /// Programs by their function.
    programs: FxHashMap<usize, usize>,
    /// Externs by the number of their symbol.
    externs: FxHashMap<usize, usize>,
    /// The map that variables of `.addr_space.1` are in.
    arena: Option<usize>,
}

impl Places {
    fn new(object: &Object) -> Places {
        let mut places = Places {
            maps: BTreeMap::new(),
            map_names: FxHashMap::default(),
            program_names: FxHashMap::default(),
            programs: FxHashMap::default(),
            externs: FxHashMap::default(),
            arena: object.maps.iter().position(|map| map.kind() == Some(MapType::Arena)),
        };
        for (index, map) in object.maps.iter().enumerate() {
            if map.place.section != 0 {
                places.maps.insert((map.place.section, map.place.start), index);
            }
            places.map_names.entry(map.name.clone()).or_insert(index);
        }
        for (index, program) in object.programs.iter().enumerate() {
            places.program_names.entry(program.name.clone()).or_insert(index);
            places.programs.insert(program.function, index);
        }
        let externs = object.externs.iter().enumerate();
        places.externs.extend(externs.map(|(index, of)| (of.symbol, index)));
        places
    }

    /// The map whose definition has a byte of a section.
    fn map_around(&self, object: &Object, section: usize, offset: u64) -> Option<usize> {
        let (_, &index) = self.maps.range((section, 0)..=(section, offset)).next_back()?;
        (offset < object.maps[index].place.end).then_some(index)
    }
}

/// One relocation.
struct Site<'a> {
    elf: &'a Elf<'a>,
    sections: &'a Sections,
    /// The section that it is for.
    target: usize,
    rel: &'a Rel,
    symbol: &'a ElfSymbol<'a>,
}

impl Site<'_> {
    /// The symbol's name, or that of the section that it stands for.
    fn name(&self) -> &str {
        match &*self.symbol.name {
            "" if self.symbol.kind == st::SECTION => self.elf.section_name(self.symbol.section),
            name => name,
        }
    }

    fn wrong(&self, reason: impl Into<String>) -> ObjectError {
        Kind::Relocation { symbol: self.name().into(), reason: reason.into() }.into()
    }

    fn target_section(&self) -> &Section<'_> {
        &self.elf.sections[self.target]
    }
}

fn in_code(site: &Site<'_>, places: &Places, object: &mut Object) -> Result<(), ObjectError> {
    let (offset, size) = (site.rel.offset, Slot::SIZE as u64);
    if !offset.is_multiple_of(size) || offset >= site.target_section().size {
        return Err(site.wrong("it is not at an instruction of its section"));
    }
    // Code without a function is that of a weak one which another file's replaced.
    let slot = offset / size;
    let Some(index) = containing(&object.functions, site.target, slot) else { return Ok(()) };
    let function = &object.functions[index];
    let at = slot as u32 - function.start;
    let to = match decode_at(&function.insns, at as usize) {
        Ok(insn @ (Insn::Call(_) | Insn::LoadImm64 { .. })) => {
            symbol(site, places, object, at, index, &insn)?
        }
        Ok(_) => return Err(site.wrong("its instruction is neither a call nor a 64-bit load")),
        Err(error) => return Err(site.wrong(error.to_string())),
    };
    object.functions[index].references.push(Reference { at, to });
    Ok(())
}

/// What a call or a 64-bit load stands for.
fn symbol(
    site: &Site<'_>,
    places: &Places,
    object: &Object,
    at: u32,
    function: usize,
    insn: &Insn,
) -> Result<Symbol, ObjectError> {
    let symbol = site.symbol;
    if symbol.is_extern() {
        let index = places.externs.get(&site.rel.symbol);
        let undefined = || Kind::Undefined { symbol: site.name().into() };
        return index.map(|&index| Symbol::Extern(index)).ok_or_else(|| undefined().into());
    }
    if symbol.section == st::UNDEFINED {
        return Err(Kind::Undefined { symbol: site.name().into() }.into());
    }
    if symbol.section >= st::RESERVED || symbol.section >= site.elf.sections.len() {
        return Err(site.wrong("its symbol is in no section; is it a variable without a value?"));
    }
    let role = site.sections.role(symbol.section);
    match *insn {
        // Against a function, the distance is that to its first instruction (-1); against
        // a section, it is from the section's start.
        Insn::Call(Callee::Local(distance)) => {
            let section = site.elf.section_name(symbol.section);
            if object.loader == Loader::Libbpf && section != ".text" {
                let (of, name) = (&object.functions[function].name, site.name());
                let rule =
                    format!("prog '{of}': bad call relo against '{name}' in section '{section}'");
                let takers = [Loader::Cilium, Loader::Aya];
                return Err(Kind::rule(Loader::Libbpf, rule, &takers).into());
            }
            // An assembler that puts the value in place puts it there in bytes.
            let in_place = (symbol.value - site.elf.value_to_add(symbol)) as i64;
            let target = (symbol.value / Slot::SIZE as u64)
                .checked_add_signed(i64::from(distance).wrapping_sub(in_place).wrapping_add(1))
                .and_then(|slot| containing(&object.functions, symbol.section, slot));
            match target {
                Some(target) if symbol.value.is_multiple_of(Slot::SIZE as u64) => {
                    Ok(Symbol::Call(target))
                }
                _ => Err(site.wrong("it calls something that is no function")),
            }
        }
        Insn::LoadImm64 { imm, .. } if role == Role::Code => {
            let value = site.elf.value_to_add(symbol);
            let offset = value.checked_add_signed(i64::from(imm.lo as i32));
            let slot = offset.filter(|offset| offset.is_multiple_of(Slot::SIZE as u64));
            let target = slot.and_then(|offset| {
                containing(&object.functions, symbol.section, offset / Slot::SIZE as u64)
            });
            match target {
                Some(target) => Ok(Symbol::FunctionAddress(target)),
                None => Err(site.wrong("it takes the address of something that is no function")),
            }
        }
        Insn::LoadImm64 { .. } => data_symbol(site, places, role),
        _ => {
            let name = &object.functions[function].name;
            Err(site
                .wrong(format!("instruction {at} of {name:?} calls no function of this object")))
        }
    }
}

/// A map, or an address in one.
fn data_symbol(site: &Site<'_>, places: &Places, role: Role) -> Result<Symbol, ObjectError> {
    let symbol = site.symbol;
    let offset = u32::try_from(symbol.value)
        .map_err(|_| site.wrong(format!("its symbol is at {:#x}", symbol.value)))?;
    match role {
        Role::Maps | Role::LegacyMaps => {
            let map = places.maps.get(&(symbol.section, symbol.value));
            let none = || site.wrong(format!("there is no map at {:#x}", symbol.value));
            map.map(|&map| Symbol::Map(map)).ok_or_else(none)
        }
        Role::Data | Role::Rodata | Role::Bss => {
            let map = places.maps.get(&(symbol.section, 0));
            let none = || site.wrong("its section has no map");
            let offset = if site.elf.value_to_add(symbol) == 0 { 0 } else { offset };
            map.map(|&map| Symbol::MapValue { map, offset }).ok_or_else(none)
        }
        Role::Arena => {
            match places.arena {
                Some(map) => Ok(Symbol::MapValue { map, offset }),
                None => Err(site.wrong("variables of an arena need a map of type arena")),
            }
        }
        Role::JumpTables => Err(site.wrong(
            "jump tables are not supported; compile with -mllvm -bpf-min-jump-table-entries=1000000",
        )),
        _ => {
            let section = site.elf.section_name(symbol.section);
            Err(site.wrong(format!("section {section:?} holds neither maps nor variables")))
        }
    }
}

/// Calls of functions in the same section need no relocation: the distance is right
/// as it stands. libbpf takes all of them for calls within `.text`.
fn calls_within(object: &mut Object, index: usize, text: Option<usize>) {
    let function = &object.functions[index];
    let section = match object.loader {
        Loader::Libbpf => text,
        Loader::Cilium | Loader::Aya => Some(function.section_index),
    };
    let mut known: Vec<u32> = function.references.iter().map(|reference| reference.at).collect();
    known.sort_unstable();
    let mut found = Vec::new();
    let mut at = 0;
    while at < function.insns.len() {
        let Ok(insn) = decode_at(&function.insns, at) else {
            at += 1;
            continue;
        };
        if let Insn::Call(Callee::Local(distance)) = insn
            && known.binary_search(&(at as u32)).is_err()
        {
            let slot = u64::from(function.start) + at as u64;
            let target = slot.checked_add_signed(i64::from(distance) + 1);
            let target = target.and_then(|slot| containing(&object.functions, section?, slot));
            if let Some(target) = target {
                found.push(Reference { at: at as u32, to: Symbol::Call(target) });
            }
        }
        at += insn.slots() as usize;
    }
    object.functions[index].references.extend(found);
}

/// An element of a program array or a map of maps.
fn in_maps(site: &Site<'_>, places: &Places, object: &mut Object) -> Result<(), ObjectError> {
    let offset = site.rel.offset;
    let Some(index) = places.map_around(object, site.target, offset) else {
        return Err(site.wrong("it is in no map"));
    };
    let map = &object.maps[index];
    let element = if is_map_of_maps(map) {
        if map.kind() == Some(MapType::HashOfMaps) && map.key_size != 4 {
            return Err(site.wrong("a hash of maps with values should have keys of 4 bytes"));
        }
        let target = places.map_names.get(&*site.symbol.name);
        target
            .filter(|_| site.sections.role(site.symbol.section) == Role::Maps)
            .ok_or_else(|| site.wrong("it is no map of this object"))?
    } else if map.kind() == Some(MapType::ProgArray) {
        let target = places.program_names.get(&*site.symbol.name);
        target.ok_or_else(|| site.wrong("it is no program of this object"))?
    } else {
        return Err(site.wrong("its map holds neither maps nor programs"));
    };
    let slot = object
        .btf
        .as_ref()
        .and_then(|btf| values_start(btf, &map.name))
        .and_then(|start| (offset - map.place.start).checked_sub(start))
        .filter(|offset| offset.is_multiple_of(8))
        .and_then(|offset| u32::try_from(offset / 8).ok())
        .ok_or_else(|| site.wrong("it is not at an element of `values`"))?;
    object.maps[index].slots.push((slot, *element));
    Ok(())
}

/// Where the elements of a map's definition start, in bytes.
fn values_start(btf: &Btf, map: &str) -> Option<u64> {
    let Type::Var { target, .. } = btf.type_by_id(btf.find(map, TypeKind::Var)?).ok()? else {
        return None;
    };
    let Type::Struct(definition) = btf.resolved(target).ok()? else { return None };
    let last = definition.members.len().checked_sub(1)?;
    let member = definition.members.get(last).filter(|member| member.name == "values")?;
    Some(u64::from(member.bit_offset / 8))
}

/// A function of a structure of operations.
fn in_struct_ops(site: &Site<'_>, places: &Places, object: &mut Object) -> Result<(), ObjectError> {
    let offset = site.rel.offset;
    let Some(index) = places.map_around(object, site.target, offset) else {
        return Err(site.wrong("it is in no structure of operations"));
    };
    let map = &object.maps[index];
    let bits = (offset - map.place.start) * 8;
    let member = object.btf.as_ref().and_then(|btf| {
        let structure = btf.type_by_id(map.value_type_id).ok()?.composite()?;
        structure.members.iter().position(|member| u64::from(member.bit_offset) == bits)
    });
    let member = member.ok_or_else(|| site.wrong("it is at no member of its structure"))?;
    let slot = site.symbol.value / Slot::SIZE as u64;
    let function = containing(&object.functions, site.symbol.section, slot);
    match function.and_then(|function| places.programs.get(&function)) {
        Some(&program) if object.programs[program].prog_type == Some(ProgType::StructOps) => {
            object.maps[index].operations.push(Operation { member, program });
            Ok(())
        }
        _ => Err(site.wrong("it is no program of a section `struct_ops`")),
    }
}
