//! Sections of one name, one behind the other, and the relocations in them.

use std::collections::HashMap;

use skep_isa::{Insn, Slot, decode_at};

use super::symbols::Symbols;
use super::{Input, LinkObjectsError};
use crate::elf::{Section, sh, st};

/// Types of relocations (`R_BPF_*`) whose addend stands in place.
mod relocation {
    /// 64 bits of data.
    pub const ABS64: u32 = 2;
    /// 32 bits of data.
    pub const ABS32: u32 = 3;
}

/// A section of the linked file.
pub(super) struct Out {
    pub name: String,
    /// One of [`sh`].
    pub kind: u32,
    pub flags: u64,
    pub align: u64,
    pub size: u64,
    /// None for zeros.
    pub data: Vec<u8>,
    pub relocations: Vec<Moved>,
}

impl Out {
    /// Whether there is one such section, and all files are to say the same in it.
    pub fn is_said_once(&self) -> bool {
        matches!(self.name.as_str(), "license" | "version")
    }
}

/// A relocation of the linked file.
pub(super) struct Moved {
    pub offset: u64,
    pub kind: u32,
    /// Index into [`Symbols::all`].
    pub symbol: usize,
}

/// Where a section of an input went.
#[derive(Clone, Copy)]
pub(super) struct Went {
    /// Index into [`Placed::sections`].
    pub section: usize,
    /// Bytes from the start of that.
    pub offset: u64,
}

/// All sections, and where those of each input went.
pub(super) struct Placed {
    pub sections: Vec<Out>,
    pub went: Vec<HashMap<usize, Went>>,
}

/// Whether a section is of those that stay.
fn stays(section: &Section<'_>) -> bool {
    let is_content = matches!(section.kind, sh::PROGBITS | sh::NOBITS);
    is_content && section.flags & sh::ALLOC != 0 && (section.size > 0 || &*section.name != ".text")
}

/// Puts the sections of all inputs together.
pub(super) fn place(inputs: &[Input<'_>]) -> Result<Placed, LinkObjectsError> {
    let mut placed = Placed { sections: Vec::new(), went: Vec::new() };
    let mut names: HashMap<String, usize> = HashMap::new();
    for input in inputs {
        let mut went = HashMap::new();
        for (index, section) in input.elf.sections.iter().enumerate().skip(1) {
            if !stays(section) {
                continue;
            }
            if section.flags & sh::COMPRESSED != 0 {
                return Err(input.clash(format!("section {:?} is compressed", section.name)));
            }
            let next = placed.sections.len();
            let at = *names.entry(section.name.to_string()).or_insert(next);
            if at == next {
                placed.sections.push(new(section));
            }
            let out = &mut placed.sections[at];
            let offset = append(out, section, at != next).map_err(|reason| input.clash(reason))?;
            went.insert(index, Went { section: at, offset });
        }
        placed.went.push(went);
    }
    Ok(placed)
}

fn new(section: &Section<'_>) -> Out {
    Out {
        name: section.name.to_string(),
        kind: section.kind,
        flags: section.flags,
        align: 1,
        size: 0,
        data: Vec::new(),
        relocations: Vec::new(),
    }
}

/// Adds a section's bytes; gives where they are.
fn append(out: &mut Out, section: &Section<'_>, is_more: bool) -> Result<u64, String> {
    let name = &out.name;
    if out.kind != section.kind || out.flags != section.flags {
        return Err(format!("section {name:?} is another kind of section in a file before"));
    }
    let align = section.align.max(1);
    if !align.is_power_of_two() || align > 1 << 16 {
        return Err(format!("section {name:?} is aligned to {align} bytes"));
    }
    if is_more && out.is_said_once() {
        return match out.data == section.data {
            true => Ok(0),
            false => Err(format!("section {name:?} says something else in a file before")),
        };
    }
    out.align = out.align.max(align);
    // As libbpf aligns it, so that variables are at the same places.
    let offset = out.size.next_multiple_of(out.align);
    let end = offset.checked_add(section.size).filter(|&end| u32::try_from(end).is_ok());
    out.size = end.ok_or_else(|| format!("section {name:?} grows over 4 GB"))?;
    if section.kind != sh::NOBITS {
        out.data.resize(offset as usize, 0);
        out.data.extend_from_slice(section.data);
    }
    Ok(offset)
}

/// Moves the relocations of all inputs, and what stands in place for those that are by section.
pub(super) fn relocations(
    inputs: &[Input<'_>],
    placed: &mut Placed,
    symbols: &Symbols,
) -> Result<(), LinkObjectsError> {
    let Placed { sections, went } = placed;
    for (number, input) in inputs.iter().enumerate() {
        for of in input.elf.sections.iter().filter(|section| section.kind == sh::REL) {
            let Some(to) = went[number].get(&(of.info as usize)) else { continue };
            if sections[to.section].is_said_once() {
                continue;
            }
            let records = input.elf.relocations(of);
            for rel in records.map_err(|error| error.of_file(input.file))? {
                let symbol = input.elf.symbols.get(rel.symbol);
                let index = symbols.of[number].get(rel.symbol).copied().flatten();
                let (Some(symbol), Some(index)) = (symbol, index) else {
                    let reason = format!(
                        "a relocation of section {:?} is by symbol {}, which is in no section \
                         that stays",
                        sections[to.section].name, rel.symbol
                    );
                    return Err(input.clash(reason));
                };
                let source = &input.elf.sections[of.info as usize];
                if rel.offset >= source.size {
                    let name = &source.name;
                    return Err(input.clash(format!("a relocation lies outside of {name:?}")));
                }
                let offset = to.offset + rel.offset;
                if symbol.kind == st::SECTION
                    && let Some(by) = went[number].get(&symbol.section)
                {
                    move_addend(&mut sections[to.section], offset, rel.kind, by.offset)
                        .map_err(|reason| input.clash(reason))?;
                }
                let moved = Moved { offset, kind: rel.kind, symbol: index };
                sections[to.section].relocations.push(moved);
            }
        }
    }
    Ok(())
}

/// Adds to what stands in place: the section that it counts from begins `by` bytes later.
fn move_addend(out: &mut Out, offset: u64, kind: u32, by: u64) -> Result<(), String> {
    let at = offset as usize;
    let name = &out.name;
    let outside = || format!("a relocation lies outside of {name:?}");
    if out.flags & sh::EXEC == 0 {
        let bytes = match kind {
            relocation::ABS64 => out.data.get_mut(at..at + 8),
            relocation::ABS32 => out.data.get_mut(at..at + 4),
            kind => return Err(format!("a relocation of {name:?} has type {kind}")),
        };
        let bytes = bytes.ok_or_else(outside)?;
        let mut word = [0; 8];
        word[..bytes.len()].copy_from_slice(bytes);
        let sum = u64::from_le_bytes(word).wrapping_add(by).to_le_bytes();
        let len = bytes.len();
        bytes.copy_from_slice(&sum[..len]);
        return Ok(());
    }
    let here = out.data.get(at..).ok_or_else(outside)?;
    let slots = Slot::split(&here[..here.len().min(2 * Slot::SIZE) / Slot::SIZE * Slot::SIZE]);
    let mut slots = slots.filter(|slots| !slots.is_empty()).ok_or_else(outside)?;
    let by = match decode_at(&slots, 0) {
        Ok(Insn::Call(_)) => by / Slot::SIZE as u64,
        Ok(Insn::LoadImm64 { .. }) => by,
        _ => return Err(format!("a relocation of {name:?} is at no call and no 64-bit load")),
    };
    slots[0].imm = slots[0].imm.wrapping_add(by as i32);
    out.data[at..at + Slot::SIZE].copy_from_slice(&slots[0].to_bytes());
    Ok(())
}
