//! The linked file: an ELF file of sections, their relocations, types and symbols.

use super::sections::{Out, Placed};
use super::symbols::Symbols;
use super::types::Joined;
use crate::elf::{MACHINE, sh, st};

/// Bytes of the file's header, of a section's, of a symbol and of a relocation.
const HEADER: usize = 64;
const SECTION: usize = 64;
const SYMBOL: usize = 24;
const RELOCATION: usize = 16;

/// `STV_HIDDEN`.
const HIDDEN: u8 = 2;

/// A table of strings.
struct Strings(Vec<u8>);

impl Strings {
    fn add(&mut self, text: &str) -> u32 {
        if text.is_empty() {
            return 0;
        }
        let at = self.0.len() as u32;
        self.0.extend_from_slice(text.as_bytes());
        self.0.push(0);
        at
    }
}

/// A section as its header has it.
#[derive(Default)]
struct Head {
    name: u32,
    kind: u32,
    flags: u64,
    size: u64,
    link: u32,
    info: u32,
    align: u64,
    entry: u64,
    data: Vec<u8>,
}

/// The file's bytes.
pub(super) fn file(placed: Placed, symbols: &Symbols, types: Joined) -> Vec<u8> {
    let mut strings = Strings(vec![0]);
    // Local symbols come first, and their number stands in the table's header.
    let mut order: Vec<usize> = (0..symbols.all.len()).collect();
    order.sort_by_key(|&at| symbols.all[at].bind != 0);
    let mut numbers = vec![0u64; order.len()];
    for (number, &at) in (1..).zip(&order) {
        numbers[at] = number;
    }
    let locals = symbols.all.iter().filter(|symbol| symbol.bind == 0).count() as u32 + 1;
    let mut heads = vec![Head::default()];
    for section in &placed.sections {
        heads.push(content(section, &mut strings));
    }
    for (name, data) in [(".BTF", types.btf), (".BTF.ext", types.ext)] {
        if !data.is_empty() {
            let (name, size) = (strings.add(name), data.len() as u64);
            heads.push(Head { name, kind: sh::PROGBITS, size, align: 8, data, ..Head::default() });
        }
    }
    let with_relocations = placed.sections.iter().filter(|of| !of.relocations.is_empty()).count();
    let symtab = (heads.len() + with_relocations) as u32;
    for (index, section) in (1..).zip(&placed.sections) {
        if !section.relocations.is_empty() {
            heads.push(relocations(section, index, symtab, &numbers, &mut strings));
        }
    }
    let data = table(symbols, &order, &mut strings);
    heads.push(Head {
        name: strings.add(".symtab"),
        kind: sh::SYMTAB,
        size: data.len() as u64,
        link: symtab + 1,
        info: locals,
        align: 8,
        entry: SYMBOL as u64,
        data,
        ..Head::default()
    });
    let name = strings.add(".strtab");
    let (data, kind) = (strings.0, sh::STRTAB);
    heads.push(Head { name, kind, size: data.len() as u64, align: 1, data, ..Head::default() });
    assemble(&heads)
}

fn content(section: &Out, strings: &mut Strings) -> Head {
    Head {
        name: strings.add(&section.name),
        kind: section.kind,
        flags: section.flags,
        size: section.size,
        align: section.align,
        data: section.data.clone(),
        ..Head::default()
    }
}

fn relocations(
    section: &Out,
    index: u32,
    symtab: u32,
    numbers: &[u64],
    strings: &mut Strings,
) -> Head {
    let mut data = Vec::with_capacity(RELOCATION * section.relocations.len());
    for of in &section.relocations {
        data.extend(of.offset.to_le_bytes());
        data.extend((numbers[of.symbol] << 32 | u64::from(of.kind)).to_le_bytes());
    }
    Head {
        name: strings.add(&format!(".rel{}", section.name)),
        kind: sh::REL,
        size: data.len() as u64,
        link: symtab,
        info: index,
        align: 8,
        entry: RELOCATION as u64,
        data,
        ..Head::default()
    }
}

fn table(symbols: &Symbols, order: &[usize], strings: &mut Strings) -> Vec<u8> {
    let mut data = vec![0; SYMBOL];
    for &at in order {
        let symbol = &symbols.all[at];
        data.extend(strings.add(&symbol.name).to_le_bytes());
        data.push(symbol.bind << 4 | symbol.kind);
        data.push(if symbol.hidden { HIDDEN } else { 0 });
        let section = symbol.section.map_or(st::UNDEFINED, |section| section + 1);
        data.extend((section as u16).to_le_bytes());
        data.extend(symbol.value.to_le_bytes());
        data.extend(symbol.size.to_le_bytes());
    }
    data
}

/// Header, contents, and the headers of sections.
fn assemble(heads: &[Head]) -> Vec<u8> {
    let mut file = vec![0; HEADER];
    let mut offsets = Vec::with_capacity(heads.len());
    for head in heads {
        let align = head.align.max(1) as usize;
        file.resize(file.len().next_multiple_of(align), 0);
        offsets.push(file.len() as u64);
        file.extend_from_slice(&head.data);
    }
    file.resize(file.len().next_multiple_of(8), 0);
    let start = file.len() as u64;
    for (head, &offset) in heads.iter().zip(&offsets) {
        let offset = if head.kind == 0 { 0 } else { offset };
        file.extend(head.name.to_le_bytes());
        file.extend(head.kind.to_le_bytes());
        file.extend(head.flags.to_le_bytes());
        file.extend(0u64.to_le_bytes());
        file.extend(offset.to_le_bytes());
        file.extend(head.size.to_le_bytes());
        file.extend(head.link.to_le_bytes());
        file.extend(head.info.to_le_bytes());
        file.extend(head.align.to_le_bytes());
        file.extend(head.entry.to_le_bytes());
    }
    let mut header = Vec::with_capacity(HEADER);
    // 64 bits, little-endian, version 1; a relocatable file.
    header.extend(b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0");
    header.extend(1u16.to_le_bytes());
    header.extend(MACHINE.to_le_bytes());
    header.extend(1u32.to_le_bytes());
    header.extend(0u64.to_le_bytes());
    header.extend(0u64.to_le_bytes());
    header.extend(start.to_le_bytes());
    header.extend(0u32.to_le_bytes());
    for half in [HEADER, 0, 0, SECTION, heads.len(), heads.len() - 1] {
        header.extend((half as u16).to_le_bytes());
    }
    file[..HEADER].copy_from_slice(&header);
    file
}
