//! Functions: which instructions belong to which symbol, and what `.BTF.ext` says
//! about them.

use skep_btf::{Ext, FuncInfo, LineInfo};
use skep_isa::Slot;

use crate::elf::{Elf, Symbol, st};
use crate::error::{ObjectError, ObjectErrorKind as Kind};
use crate::object::{CoreRecord, Function, Object};

/// All functions, ordered by section and place.
pub(super) fn collect(elf: &Elf<'_>) -> Result<Vec<Function>, ObjectError> {
    let code = elf.sections.iter().filter(|section| section.is_code());
    let code: usize = code.map(|section| section.data.len() / Slot::SIZE).sum();
    let mut functions = Vec::new();
    let mut slots = 0;
    for symbol in elf.symbols.iter().filter(|symbol| symbol.kind == st::FUNC) {
        let Some(section) = elf.sections.get(symbol.section) else { continue };
        if !section.is_code() {
            continue;
        }
        let function = function(elf, symbol)
            .map_err(|error| error.in_section(&section.name).at(symbol.value))?;
        // Functions may share code, but real ones do not share much of it.
        slots += function.insns.len();
        if slots > 2 * code + (1 << 16) {
            return Err(Kind::Malformed("functions overlap one another".into()).into());
        }
        functions.push(function);
    }
    functions.sort_by_key(|function| (function.section_index, function.start));
    Ok(functions)
}

fn function(elf: &Elf<'_>, symbol: &Symbol<'_>) -> Result<Function, ObjectError> {
    let section = &elf.sections[symbol.section];
    let wrong = |reason: &str| {
        ObjectError::from(Kind::Function {
            name: symbol.name.clone().into(),
            reason: reason.into(),
        })
    };
    let size = Slot::SIZE as u64;
    if symbol.size == 0 || !symbol.size.is_multiple_of(size) || !symbol.value.is_multiple_of(size) {
        return Err(wrong(&format!(
            "it has {} bytes at offset {}, expected whole instructions of 8 bytes",
            symbol.size, symbol.value
        )));
    }
    let range = symbol
        .value
        .checked_add(symbol.size)
        .and_then(|end| Some(usize::try_from(symbol.value).ok()?..usize::try_from(end).ok()?));
    let insns = range
        .and_then(|range| section.data.get(range))
        .and_then(Slot::split)
        .ok_or_else(|| wrong("it ends behind its section"))?;
    Ok(Function {
        name: symbol.name.clone().into(),
        section: section.name.clone().into(),
        section_index: symbol.section,
        start: u32::try_from(symbol.value / size).map_err(|_| wrong("it is too far away"))?,
        insns,
        references: Vec::new(),
        global: symbol.is_global(),
        hidden: symbol.is_global() && symbol.hidden,
        func_info: Vec::new(),
        line_info: Vec::new(),
    })
}

/// The function that a slot of a section belongs to: of several, the last one that
/// starts before it, as in libbpf.
pub(super) fn containing(functions: &[Function], section: usize, slot: u64) -> Option<usize> {
    let after = functions.partition_point(|function| {
        (function.section_index, u64::from(function.start)) <= (section, slot)
    });
    let index = after.checked_sub(1)?;
    let function = &functions[index];
    (function.section_index == section && function.contains(slot)).then_some(index)
}

/// Gives each function its records. Those of code that belongs to no function (weak
/// functions that another file's replaced) are left out.
pub(super) fn attach_records(
    object: &mut Object,
    elf: &Elf<'_>,
    ext: Ext,
) -> Result<(), ObjectError> {
    let Some(btf) = object.btf.clone() else { return Ok(()) };
    let functions = &mut object.functions;
    let section_of = |name_off: u32| elf.section(btf.string(name_off).ok()?);
    let place = |functions: &[Function], section: Option<usize>, offset: u32| {
        let slot = u64::from(offset) / Slot::SIZE as u64;
        let index = containing(functions, section?, slot)?;
        Some((index, slot as u32 - functions[index].start))
    };
    for group in ext.func_info {
        let section = section_of(group.name_off);
        for record in group.records {
            if let Some((index, at)) = place(functions, section, record.insn_off) {
                functions[index].func_info.push(FuncInfo { insn_off: at, ..record });
            }
        }
    }
    for group in ext.line_info {
        let section = section_of(group.name_off);
        for record in group.records {
            if let Some((index, at)) = place(functions, section, record.insn_off) {
                functions[index].line_info.push(LineInfo { insn_off: at, ..record });
            }
        }
    }
    for group in ext.core_relos {
        let section = section_of(group.name_off);
        for relocation in group.records {
            if !relocation.insn_off.is_multiple_of(Slot::SIZE as u32) {
                let reason = "a CO-RE record for the middle of an instruction";
                let error = ObjectError::from(Kind::Malformed(reason.into()));
                let name = section.map_or("?", |section| elf.section_name(section));
                return Err(error.in_section(name).at(relocation.insn_off.into()));
            }
            if let Some((function, at)) = place(functions, section, relocation.insn_off) {
                object.core.push(CoreRecord { function, at, relocation });
            }
        }
    }
    Ok(())
}
