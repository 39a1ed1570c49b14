//! Which program of an object runs, and which come along.

use skep::abi::{MapType, ProgType};
use skep::load::{Object, ProgramDef};

use super::fill::Fill;
use crate::failure::Failure;

/// Whether a type of program takes frames.
pub fn takes_packets(prog_type: Option<ProgType>) -> bool {
    matches!(
        prog_type,
        Some(ProgType::Xdp | ProgType::SchedCls | ProgType::SchedAct | ProgType::SocketFilter)
    )
}

/// The program of this name, or the only one that takes packets and is not merely
/// there to be tail-called.
///
/// # Errors
/// There is none, or several; the hint names them.
pub fn choose(object: &Object, name: Option<&str>) -> Result<usize, Failure> {
    let file = &object.file;
    if let Some(name) = name {
        let Some(index) = object.programs.iter().position(|program| program.name == name) else {
            let failure = Failure::unusable(format!("{file}: no program {name:?}"));
            return Err(failure.hint(format!("it has {}", list(object.programs.iter()))));
        };
        let program = &object.programs[index];
        if !takes_packets(program.prog_type) {
            let kind = program.prog_type.map_or("unknown", ProgType::name);
            let message =
                format!("{file}: program {name:?} is of type {kind}, which takes no packets");
            return Err(Failure::unusable(message).hint(TYPES));
        }
        return Ok(index);
    }
    let tail_called = |index: usize| {
        let arrays = object.maps.iter().filter(|map| map.kind() == Some(MapType::ProgArray));
        arrays.flat_map(|map| &map.slots).any(|slot| slot.1 == index)
    };
    let takes = |program: &ProgramDef| program.autoload && takes_packets(program.prog_type);
    let all: Vec<usize> =
        (0..object.programs.len()).filter(|&index| takes(&object.programs[index])).collect();
    let entries: Vec<usize> = all.iter().copied().filter(|&index| !tail_called(index)).collect();
    match (&entries[..], &all[..]) {
        ([one], _) | ([], [one]) => Ok(*one),
        ([], []) => {
            let failure = Failure::unusable(format!("{file}: has no program that takes packets"));
            Err(match object.programs.is_empty() {
                true => {
                    failure.hint("a program is a global function with SEC(\"xdp\") or its like")
                }
                false => failure.hint(format!("{TYPES}; it has {}", list(object.programs.iter()))),
            })
        }
        (several, _) => {
            let count = several.len().max(all.len());
            let failure =
                Failure::unusable(format!("{file}: has {count} programs that take packets"));
            let programs = all.iter().map(|&index| &object.programs[index]);
            Err(failure.hint(format!("choose with --program: {}", list(programs))))
        }
    }
}

const TYPES: &str = "xdp, sched_cls, sched_act and socket_filter programs run on captures";

/// `syn_guard (xdp), other (kprobe)`.
fn list<'a>(programs: impl Iterator<Item = &'a ProgramDef>) -> String {
    const MOST: usize = 12;
    let shown = |program: &ProgramDef| {
        format!("{} ({})", program.name, program.prog_type.map_or("unknown", ProgType::name))
    };
    let all: Vec<String> = programs.map(shown).collect();
    match all.len() {
        0 => "none".into(),
        len if len > MOST => format!("{} and {} more", all[..MOST].join(", "), len - MOST),
        _ => all.join(", "),
    }
}

/// Loads the chosen program and those that program arrays hold, no others.
pub fn load_only(object: &mut Object, chosen: usize, fills: &[Fill]) {
    let arrays = || object.maps.iter().filter(|map| map.kind() == Some(MapType::ProgArray));
    let mut wanted = vec![chosen];
    wanted.extend(arrays().flat_map(|map| &map.slots).map(|slot| slot.1));
    for fill in fills {
        if arrays().any(|map| map.name == fill.map) {
            wanted.extend(object.programs.iter().position(|program| program.name == fill.value));
        }
    }
    for (index, program) in object.programs.iter_mut().enumerate() {
        program.autoload = wanted.contains(&index);
    }
}
