//! Instructions of loaded programs: those that the verifier left, and the machine's.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};

use serde_json::{Value as Json, json};

use skep::isa::{Callee, Imm64, ImmKind, Names, Pc, Slot, SlotText, Style};
use skep::sys::ProgCode;

use crate::dis::machine as code;
use crate::hex;

/// The name of a function of the program, by its number.
type FunctionName<'a> = &'a dyn Fn(usize) -> Option<String>;

/// What the kernel calls, by the distance that a call has instead of a helper's number.
struct Symbols {
    called: BTreeMap<u32, String>,
}

impl Symbols {
    /// Those of these distances.
    fn read(wanted: &BTreeSet<u32>) -> Symbols {
        let text = std::fs::read_to_string("/proc/kallsyms").unwrap_or_default();
        let parsed = |line: &'_ str| {
            let mut parts = line.split_ascii_whitespace();
            let address = u64::from_str_radix(parts.next()?, 16).ok()?;
            Some((address, parts.nth(1)?.to_owned()))
        };
        let base = text.lines().filter_map(parsed).find(|(_, name)| name == "__bpf_call_base");
        let mut called = BTreeMap::new();
        let Some((base @ 1.., _)) = base else { return Symbols { called } };
        for (address, name) in text.lines().filter_map(parsed) {
            let distance = address.wrapping_sub(base) as i64;
            if let Ok(distance) = i32::try_from(distance)
                && wanted.contains(&(distance as u32))
            {
                called.entry(distance as u32).or_insert(name);
            }
        }
        Symbols { called }
    }
}

impl Names for Symbols {
    fn callee(&self, _: Pc, callee: Callee) -> Option<String> {
        match callee {
            Callee::Helper(distance) => self.called.get(&distance).cloned(),
            _ => None,
        }
    }

    fn imm64(&self, _: Pc, imm: Imm64) -> Option<String> {
        let (low, high) = (imm.value() as u32, (imm.value() >> 32) as u32);
        match imm.kind {
            ImmKind::MapFd => Some(format!("map[id:{low}]")),
            ImmKind::MapValue => Some(format!("map[id:{low}][0]+{high}")),
            _ => None,
        }
    }
}

/// Prints instructions as the verifier left them.
pub fn instructions(
    out: &mut dyn Write,
    as_json: bool,
    opcodes: bool,
    program: &ProgCode,
    names: FunctionName<'_>,
) -> io::Result<()> {
    let (whole, _) = program.xlated.as_chunks::<{ Slot::SIZE }>();
    let slots: Vec<Slot> = whole.iter().map(|slot| Slot::from_bytes(*slot)).collect();
    const CALL: u8 = 0x85;
    let wanted = slots.iter().filter(|slot| slot.code == CALL && slot.src == 0);
    let symbols = Symbols::read(&wanted.map(|slot| slot.imm as u32).collect());
    let starts: Vec<u32> = program
        .func_info
        .chunks_exact(8)
        .map(|record| record.first_chunk().copied().map_or(0, u32::from_ne_bytes))
        .collect();
    let mut all = Vec::new();
    let mut at = 0;
    while at < slots.len() {
        const WIDE: u8 = 0x18;
        let len = if slots[at].code == WIDE { 2 } else { 1 };
        let text = SlotText::new(&slots, at, Style::Linux).with(&symbols).to_string();
        let bytes = &program.xlated[at * 8..((at + len) * 8).min(program.xlated.len())];
        let function = starts.iter().position(|&start| start as usize == at).and_then(names);
        if as_json {
            let mut line = json!({});
            if let Some(name) = function {
                line["name"] = name.into();
            }
            line["disasm"] = text.into();
            if opcodes {
                line["opcodes"] = hex::plain(bytes).into();
            }
            all.push(line);
        } else {
            if let Some(name) = function {
                writeln!(out, "{name}:")?;
            }
            writeln!(out, "{at:4}: {text}")?;
            if opcodes {
                writeln!(out, "       {}", hex::spaced(bytes))?;
            }
        }
        at += len;
    }
    if as_json {
        writeln!(out, "{}", Json::Array(all))?;
    }
    Ok(())
}

/// Prints the machine's instructions, function by function.
pub fn machine(
    out: &mut dyn Write,
    as_json: bool,
    opcodes: bool,
    program: &ProgCode,
    names: FunctionName<'_>,
) -> io::Result<()> {
    let mut all = Vec::new();
    let mut start = 0;
    for (index, &len) in program.func_lens.iter().enumerate() {
        let end = (start + len as usize).min(program.jited.len());
        let bytes = program.jited.get(start..end).unwrap_or_default();
        start = end;
        let name = names(index).unwrap_or_else(|| "unknown".into());
        let lines = code::straight(bytes);
        if as_json {
            let insns = lines.iter().map(|line| {
                let mut of = json!({ "pc": format!("{:#x}", line.at), "text": line.text });
                if opcodes {
                    of["opcodes"] = hex::plain(&bytes[line.at..line.at + line.len]).into();
                }
                of
            });
            all.push(json!({ "name": name, "insns": insns.collect::<Json>() }));
            continue;
        }
        writeln!(out, "{name}:")?;
        for line in lines {
            writeln!(out, "{:4x}:\t{}", line.at, line.text)?;
            if opcodes {
                writeln!(out, "\t{}", hex::spaced(&bytes[line.at..line.at + line.len]))?;
            }
        }
        writeln!(out)?;
    }
    if as_json {
        writeln!(out, "{}", Json::Array(all))?;
    }
    Ok(())
}
