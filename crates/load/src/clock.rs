//! The packet's clock for kernels whose clock is not ours to set: calls of the helpers
//! that tell the time, and of the one that gives random numbers, become loads from a
//! hidden map, which is set before each packet.
//!
//! A call takes one slot and the load three, so what lies behind moves: jumps, records
//! and references are moved along. A program whose jumps cannot reach any further is
//! left as it is.

use skep_abi::{Errno, Helper, MapType, Yield};
use skep_isa::{Callee, Imm64, ImmKind, Insn, Pc, Reg, Size, decode, encode};

use crate::{Linked, LinkedProgram, MapDef, MapReference, Skep};

/// The hidden map's name; no C identifier, so no object has it.
pub const MAP: &str = "skep.clock";

/// Bytes of the hidden map's only value: `{ u64 ns; u64 random; u64 jiffies; }`.
pub const SIZE: u32 = 24;

/// Slots that a load takes more than a call.
const MORE: usize = 2;

/// Replaces the calls of all programs, and adds the map. Gives a note for each program
/// that keeps its calls.
pub fn replace(linked: &mut Linked) -> Vec<String> {
    let map = linked.maps.len();
    let mut replaced = false;
    let mut notes = Vec::new();
    for program in &mut linked.programs {
        match replace_in(program, map) {
            Some(any) => replaced |= any,
            None => notes.push(format!(
                "program {:?} reads the kernel's own clock: its jumps are too long to change it",
                program.def.name
            )),
        }
    }
    if replaced {
        linked.maps.push(MapDef {
            name: MAP.into(),
            map_type: MapType::Array as u32,
            key_size: 4,
            value_size: SIZE,
            max_entries: 1,
            autocreate: true,
            ..MapDef::default()
        });
    }
    notes
}

/// Sets what programs read next.
///
/// # Errors
/// What the kernel says to the map's update.
pub fn set(skep: &Skep, ns: u64, random: u32) -> Result<(), Errno> {
    let Some(map) = skep.map(MAP) else { return Ok(()) };
    map.update(&0u32.to_ne_bytes(), &value(ns, random), 0)
}

/// The hidden map's value at a time.
pub fn value(ns: u64, random: u32) -> [u8; SIZE as usize] {
    // 250 a second, from 300 seconds before 32 bits wrap.
    let jiffies = (ns / 4_000_000).wrapping_add(u64::from(u32::MAX - 75_000 + 1));
    let mut value = [0; SIZE as usize];
    let words = [ns, u64::from(random), jiffies];
    for (bytes, word) in value.as_chunks_mut::<8>().0.iter_mut().zip(words) {
        *bytes = word.to_ne_bytes();
    }
    value
}

/// Instructions with their calls replaced.
pub struct Replaced {
    /// The instructions.
    pub insns: Vec<Insn>,
    /// The slots of the loads of the hidden map's address.
    pub loads: Vec<Pc>,
    /// Where each slot moved to, and the end.
    moved: Vec<Pc>,
}

/// Where in the hidden map's value the result of a call is, if it is one to replace.
fn replacement(insn: &Insn) -> Option<(i16, Size)> {
    let Insn::Call(Callee::Helper(id)) = insn else { return None };
    match Helper::from_id(*id)?.yields {
        Yield::Time => Some((0, Size::DW)),
        Yield::Chance => Some((8, Size::W)),
        Yield::Jiffies => Some((16, Size::DW)),
        Yield::Anything | Yield::Length | Yield::Cpu => None,
    }
}

/// Whether there was anything to replace; `None` where it cannot be.
fn replace_in(program: &mut LinkedProgram, map: usize) -> Option<bool> {
    // What does not decode is for the kernel to refuse.
    let Ok(insns) = decode(&program.insns) else { return Some(false) };
    if !insns.iter().any(|insn| replacement(insn).is_some()) {
        return Some(false);
    }
    let Replaced { insns, loads, moved } = replace_calls(&insns, map as u32)?;
    let to = |at: u32| moved.get(at as usize).copied().unwrap_or(at);
    program.map_references.iter_mut().for_each(|reference| reference.at = to(reference.at));
    program.map_references.extend(loads.into_iter().map(|at| MapReference { at, map }));
    program.map_references.sort_by_key(|reference| reference.at);
    program.poisoned.iter_mut().for_each(|poisoned| poisoned.at = to(poisoned.at));
    program.functions.iter_mut().for_each(|function| function.start = to(function.start));
    program.func_info.iter_mut().for_each(|record| record.insn_off = to(record.insn_off));
    program.line_info.iter_mut().for_each(|record| record.insn_off = to(record.insn_off));
    program.insns = encode(&insns);
    Some(true)
}

/// Replaces the calls by loads from the map that a wide load names by this number (an
/// index or a descriptor). `None` where jumps become too long.
pub fn replace_calls(insns: &[Insn], map: u32) -> Option<Replaced> {
    let mut moved = Vec::with_capacity(insns.len() + 1);
    let mut more = 0;
    for (pc, insn) in insns.iter().enumerate() {
        moved.push((pc + more) as Pc);
        more += if replacement(insn).is_some() { MORE } else { 0 };
    }
    moved.push((insns.len() + more) as Pc);
    let mut out = Vec::with_capacity(insns.len() + more);
    let mut loads = Vec::new();
    for (pc, insn) in insns.iter().enumerate() {
        match replacement(insn) {
            Some((off, size)) => {
                loads.push(moved[pc]);
                let imm = Imm64 { kind: ImmKind::MapValue, lo: map, hi: 0 };
                out.extend([
                    Insn::LoadImm64 { dst: Reg::R0, imm },
                    Insn::Hole,
                    Insn::Load { size, signed: false, dst: Reg::R0, base: Reg::R0, off },
                ]);
            }
            None => out.push(stretch(*insn, pc, &moved)?),
        }
    }
    Some(Replaced { insns: out, loads, moved })
}

/// The instruction at `pc` with its distance to another instruction as it is after the
/// move; `None` where that does not fit.
fn stretch(insn: Insn, pc: usize, moved: &[Pc]) -> Option<Insn> {
    let distance = |off: i32| -> Option<i32> {
        let target = usize::try_from(pc as i64 + 1 + i64::from(off)).ok()?;
        i32::try_from(i64::from(*moved.get(target)?) - i64::from(moved[pc]) - 1).ok()
    };
    let short = |off: i16| i16::try_from(distance(off.into())?).ok();
    Some(match insn {
        Insn::Ja { off } => Insn::Ja { off: short(off)? },
        Insn::MayGoto { off } => Insn::MayGoto { off: short(off)? },
        Insn::Branch { cond, width, dst, src, off } => {
            Insn::Branch { cond, width, dst, src, off: short(off)? }
        }
        Insn::Gotol { off } => Insn::Gotol { off: distance(off)? },
        Insn::Call(Callee::Local(off)) => Insn::Call(Callee::Local(distance(off)?)),
        Insn::LoadImm64 { dst, imm: Imm64 { kind: ImmKind::Func, lo, hi } } => {
            let lo = distance(lo as i32)? as u32;
            Insn::LoadImm64 { dst, imm: Imm64 { kind: ImmKind::Func, lo, hi } }
        }
        other => other,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use skep_isa::{Style, assemble, disassemble};

    #[test]
    fn jumps_over_a_replaced_call_reach_what_they_reached() {
        let text = "r6 = 3\nagain:\ncall bpf_ktime_get_ns\nr6 += -1\nif r6 != 0 goto again\n\
                    call local sub\nif r0 == 0 goto end\ncall bpf_get_prandom_u32\nend:\nexit\n\
                    sub:\nr0 = 0\nexit\n";
        let mut program =
            LinkedProgram { insns: encode(&assemble(text).unwrap()), ..program_of_nothing() };
        assert_eq!(replace_in(&mut program, 7), Some(true));
        let text = "r6 = 3\nagain:\nr0 = map[fd:7][0]+0 ll\nr0 = *(u64 *)(r0 + 0)\nr6 += -1\n\
                    if r6 != 0 goto again\ncall local sub\nif r0 == 0 goto end\n\
                    r0 = map[fd:7][0]+0 ll\nr0 = *(u32 *)(r0 + 8)\nend:\nexit\n\
                    sub:\nr0 = 0\nexit\n";
        let expected = disassemble(&assemble(text).unwrap(), Style::Llvm);
        let replaced = disassemble(&decode(&program.insns).unwrap(), Style::Llvm);
        assert_eq!(replaced, expected);
        let places: Vec<u32> = program.map_references.iter().map(|to| to.at).collect();
        assert_eq!(places, [1, 8]);
    }

    #[test]
    fn a_jump_that_would_become_too_long_keeps_the_program_as_it_is() {
        let mut text = String::from("if r1 == 0 goto end\ncall bpf_ktime_get_ns\n");
        text.push_str(&"r0 = 0\n".repeat(32766));
        text.push_str("end:\nexit\n");
        let insns = encode(&assemble(&text).unwrap());
        let mut program = LinkedProgram { insns: insns.clone(), ..program_of_nothing() };
        assert_eq!(replace_in(&mut program, 0), None);
        assert_eq!(program.insns, insns);
    }

    fn program_of_nothing() -> LinkedProgram {
        use crate::ProgramDef;
        LinkedProgram {
            def: ProgramDef {
                name: "test".into(),
                section: "xdp".into(),
                function: 0,
                autoload: true,
                section_def: None,
                prog_type: None,
                attach_type: None,
                target: None,
                flags: 0,
            },
            index: 0,
            insns: Vec::new(),
            map_references: Vec::new(),
            poisoned: Vec::new(),
            functions: Vec::new(),
            func_info: Vec::new(),
            line_info: Vec::new(),
        }
    }
}
