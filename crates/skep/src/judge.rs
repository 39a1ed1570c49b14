//! Linked programs as the verifier takes them: nothing needs to be created for a verdict.

use std::sync::Arc;

use skep_abi::{MapType, ProgType};
use skep_load::{Linked, LinkedProgram, MapDef, MapOrigin, Target};
use skep_verify::{self as verify, FuncInfo, LineInfo, MapRef};

/// The first number for maps: lower ones are standard input, output and error.
const FIRST_FD: usize = 3;

/// Stands for the address of an arena that has yet to be mapped.
const ARENA_ADDRESS: u64 = 1 << 32;

/// The programs of a linked object, in its order, with their maps by definition. What
/// the object itself freezes (`.rodata`) is known as it will be.
pub fn programs(linked: &Linked, target: &Target) -> Vec<Arc<verify::Program>> {
    let map = |(index, map)| MapRef {
        fd: (FIRST_FD + index) as i32,
        map: Arc::new(definition(linked, map)),
    };
    let maps: Vec<MapRef> = linked.maps.iter().enumerate().map(map).collect();
    linked.programs.iter().map(|one| Arc::new(program(linked, one, target, &maps))).collect()
}

/// A map by its definition. What the kernel reads only is known while it verifies.
fn definition(linked: &Linked, map: &MapDef) -> verify::MapDef {
    verify::MapDef {
        name: map.name.clone(),
        kind: map.kind().unwrap_or(MapType::Unspec),
        key_size: map.key_size,
        value_size: map.value_size,
        max_entries: map.max_entries,
        flags: map.flags,
        extra: match map.kind() {
            // The loader maps an arena before its programs, wherever there is room.
            Some(MapType::Arena) if map.extra == 0 => ARENA_ADDRESS,
            _ => map.extra,
        },
        btf: linked.btf.clone().filter(|_| map.value_type_id != 0),
        key_type: map.key_type_id,
        value_type: map.value_type_id,
        inner: map.inner.as_deref().map(|inner| Arc::new(definition(linked, inner))),
        frozen: frozen(map),
    }
}

fn frozen(map: &MapDef) -> Option<Arc<[u8]>> {
    if !matches!(map.origin, MapOrigin::Rodata(_) | MapOrigin::Kconfig) {
        return None;
    }
    let mut bytes = map.contents.clone();
    bytes.resize(map.value_size as usize, 0);
    Some(bytes.into())
}

/// A linked program as the verifier takes it: maps by number.
fn program(
    linked: &Linked,
    program: &LinkedProgram,
    target: &Target,
    maps: &[MapRef],
) -> verify::Program {
    let mut slots = program.insns.clone();
    for reference in &program.map_references {
        if let Some(slot) = slots.get_mut(reference.at as usize) {
            slot.imm = (FIRST_FD + reference.map) as i32;
        }
    }
    verify::Program {
        slots,
        kind: program.def.prog_type.unwrap_or(ProgType::Unspec),
        attach_type: program.def.attach_type.map_or(0, |attach| attach as u32),
        flags: program.def.flags,
        gpl: skep_abi::is_gpl_compatible(linked.license.as_bytes()),
        name: program.def.name.clone(),
        maps: maps.to_vec(),
        btf: linked.btf.clone(),
        func_info: program
            .func_info
            .iter()
            .map(|info| FuncInfo { pc: info.insn_off, type_id: info.type_id })
            .collect(),
        line_info: program
            .line_info
            .iter()
            .map(|info| LineInfo {
                pc: info.insn_off,
                file_name_off: info.file_name_off,
                line_off: info.line_off,
                line: info.line,
                column: info.column,
            })
            .collect(),
        attach_btf_id: target.attach_btf_id(&program.def).ok().flatten().unwrap_or(0),
        ..verify::Program::default()
    }
}
