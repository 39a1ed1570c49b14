//! A source as an ELF object: sections, symbols, relocations, and the types of its
//! maps. What it looks like is what clang writes and libbpf reads.

use std::collections::{BTreeMap, HashMap, HashSet};

use object::write::{Object, Relocation, SectionId, Symbol, SymbolId, SymbolSection};
use object::{
    Architecture, BinaryFormat, Endianness, RelocationFlags, SectionKind, SymbolFlags, SymbolKind,
    SymbolScope, elf,
};
use skep::isa::{
    AsmError, Assembly, Callee, Insn, Pc, Reference, ReferenceKind, Slot, assemble_unit, encode,
};

use super::maps;
use super::source::{Address, Content, Section, Source};

/// Relocations of data (`Documentation/bpf/llvm_reloc.rst`).
const R_BPF_64_ABS64: elf::RelocationType = elf::RelocationType(2);
const R_BPF_64_ABS32: elf::RelocationType = elf::RelocationType(3);

/// Why a source cannot become an object.
#[derive(Debug)]
pub enum WriteError {
    Asm(AsmError),
    Other(String),
}

impl std::fmt::Display for WriteError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            WriteError::Asm(error) => error.fmt(f),
            WriteError::Other(reason) => f.write_str(reason),
        }
    }
}

impl From<object::write::Error> for WriteError {
    fn from(error: object::write::Error) -> WriteError {
        WriteError::Other(error.to_string())
    }
}

/// The bytes of the object.
///
/// # Errors
/// What does not assemble, or a name that stands twice.
pub fn write(source: &Source<'_>) -> Result<Vec<u8>, WriteError> {
    let mut writer = Writer {
        source,
        object: Object::new(BinaryFormat::Elf, Architecture::Bpf, Endianness::Little),
        symbols: HashMap::new(),
        places: HashMap::new(),
    };
    let mut addresses = Vec::new();
    let mut code = Vec::new();
    for section in &source.sections {
        match &section.content {
            Content::Code(lines) if lines.is_empty() => {}
            Content::Code(lines) => code.push(writer.code(section, lines)?),
            Content::Data { bytes, labels, references } => {
                let id = writer.data(section, bytes, labels)?;
                addresses.push((id, section.name.starts_with(".BTF"), references));
            }
        }
    }
    writer.maps()?;
    // References go to any section, so they come last.
    for (section, references) in code {
        writer.relocate(section, references)?;
    }
    for (section, is_btf, references) in addresses {
        for address in references {
            match is_btf {
                true => writer.place(section, address)?,
                false => writer.address(section, address)?,
            }
        }
    }
    Ok(writer.object.write()?)
}

struct Writer<'a> {
    source: &'a Source<'a>,
    object: Object<'a>,
    symbols: HashMap<String, SymbolId>,
    /// Where each label is in its section, in bytes.
    places: HashMap<String, u64>,
}

impl Writer<'_> {
    fn symbol(
        &mut self,
        name: &str,
        kind: SymbolKind,
        section: SectionId,
        (start, size): (u64, u64),
        global: bool,
    ) -> Result<(), WriteError> {
        let symbol = self.object.add_symbol(Symbol {
            name: name.into(),
            value: start,
            size,
            kind,
            scope: if global { SymbolScope::Dynamic } else { SymbolScope::Compilation },
            weak: self.source.weak.contains(name),
            section: SymbolSection::Section(section),
            flags: SymbolFlags::None,
        });
        match self.symbols.insert(name.into(), symbol) {
            None => Ok(()),
            Some(_) => Err(WriteError::Other(format!("`{name}` is defined twice"))),
        }
    }

    fn code(
        &mut self,
        section: &Section<'_>,
        lines: &[(usize, &str)],
    ) -> Result<(SectionId, Vec<Reference>), WriteError> {
        let text: Vec<&str> = lines.iter().map(|&(_, line)| line).collect();
        let mut assembly = assemble_unit(&text.join("\n")).map_err(|error| {
            let line = lines.get(error.line as usize - 1).map_or(0, |line| line.0 as u32);
            WriteError::Asm(AsmError { line, ..error })
        })?;
        let slots = encode(&assembly.insns);
        let id =
            self.object.add_section(Vec::new(), section.name.clone().into(), SectionKind::Text);
        self.object.append_section_data(id, &Slot::join(&slots), 8);

        for label in &assembly.labels {
            self.places.insert(label.name.clone(), u64::from(label.pc) * 8);
        }
        let functions = self.functions(section, &assembly);
        let ends = functions.keys().skip(1).copied().chain([slots.len() as Pc]);
        let ends: Vec<Pc> = ends.collect();
        for ((start, (name, global)), end) in functions.into_iter().zip(ends) {
            let range = (u64::from(start) * 8, u64::from(end - start) * 8);
            self.symbol(&name, SymbolKind::Text, id, range, global)?;
        }
        Ok((id, std::mem::take(&mut assembly.references)))
    }

    /// The functions of a section by their starts, and whether other files see them.
    /// Functions are what is said to be one, what is called, and what a section starts
    /// with; that one is a program unless the section is `.text`.
    fn functions(
        &self,
        section: &Section<'_>,
        assembly: &Assembly,
    ) -> BTreeMap<Pc, (String, bool)> {
        let mut called = vec![0];
        let elsewhere: HashSet<Pc> = assembly.references.iter().map(|to| to.pc).collect();
        for (pc, insn) in assembly.insns.iter().enumerate() {
            if elsewhere.contains(&(pc as Pc)) {
                continue;
            }
            let local = match *insn {
                Insn::Call(Callee::Local(off)) => Some(off),
                Insn::LoadImm64 { imm, .. } if imm.kind == skep::isa::ImmKind::Func => {
                    Some(imm.lo as i32)
                }
                _ => None,
            };
            let target = local.and_then(|off| (pc as Pc + 1).checked_add_signed(off));
            called.extend(target);
        }
        let mut functions = BTreeMap::new();
        for label in &assembly.labels {
            let name = &label.name;
            let global = self.source.globals.contains(name) || self.source.weak.contains(name);
            let is_function = global
                || self.source.functions.contains(name)
                || (called.contains(&label.pc) && !name.starts_with(".L"));
            if !is_function || label.pc as usize >= assembly.insns.len() {
                continue;
            }
            let starts = label.pc == 0 && section.name != ".text";
            functions.entry(label.pc).or_insert_with(|| (name.clone(), global || starts));
        }
        functions.entry(0).or_insert_with(|| {
            let name = section.name.trim_start_matches(['.', '?']);
            let plain = |c: char| if c.is_ascii_alphanumeric() { c } else { '_' };
            (name.chars().map(plain).collect(), section.name != ".text")
        });
        functions
    }

    fn data(
        &mut self,
        section: &Section<'_>,
        bytes: &[u8],
        labels: &[(String, usize)],
    ) -> Result<SectionId, WriteError> {
        let is_bss = section.name == ".bss" || section.name.starts_with(".bss.");
        let kind = match section.name.starts_with(".rodata") {
            true => SectionKind::ReadOnlyData,
            false if section.name.starts_with(".BTF") => SectionKind::Other,
            false if is_bss => SectionKind::UninitializedData,
            false => SectionKind::Data,
        };
        let id = self.object.add_section(Vec::new(), section.name.clone().into(), kind);
        match is_bss {
            true => self.object.append_section_bss(id, bytes.len() as u64, 8),
            false => self.object.append_section_data(id, bytes, 8),
        };
        let ends = labels.iter().skip(1).map(|label| label.1).chain([bytes.len()]);
        for ((name, start), end) in labels.iter().zip(ends) {
            let room = (end - start) as u64;
            let size = self.source.sizes.get(name).map_or(room, |&size| size.min(room));
            let global = self.source.globals.contains(name);
            self.places.insert(name.clone(), *start as u64);
            self.symbol(name, SymbolKind::Data, id, (*start as u64, size), global)?;
        }
        Ok(id)
    }

    /// Types know a name by its place in its section, which needs no linker.
    fn place(&mut self, section: SectionId, address: &Address) -> Result<(), WriteError> {
        // An extern has none, and says 0.
        let place = self.places.get(&address.name).copied().unwrap_or(0);
        let data = self.object.section_mut(section).data_mut();
        let bytes = data.get_mut(address.at..).and_then(|rest| rest.first_chunk_mut::<4>());
        let Some(bytes) = bytes else {
            return Err(WriteError::Other(format!("`{}` has no room", address.name)));
        };
        *bytes = u32::from_le_bytes(*bytes).wrapping_add(place as u32).to_le_bytes();
        Ok(())
    }

    /// Anyone else has to be told by whoever loads the object.
    fn address(&mut self, section: SectionId, address: &Address) -> Result<(), WriteError> {
        let symbol = self.named(&address.name);
        let r_type = match address.bits {
            64 => R_BPF_64_ABS64,
            _ => R_BPF_64_ABS32,
        };
        let flags = RelocationFlags::Elf { r_type };
        let relocation = Relocation { offset: address.at as u64, symbol, addend: 0, flags };
        Ok(self.object.add_relocation(section, relocation)?)
    }

    /// The symbol of this name; one that is undefined where there is none. Whoever loads
    /// the object says whether that can be.
    fn named(&mut self, name: &str) -> SymbolId {
        if let Some(&symbol) = self.symbols.get(name) {
            return symbol;
        }
        let symbol = self.object.add_symbol(Symbol {
            name: name.into(),
            value: 0,
            size: 0,
            kind: SymbolKind::Unknown,
            scope: SymbolScope::Unknown,
            weak: self.source.weak.contains(name),
            section: SymbolSection::Undefined,
            flags: SymbolFlags::None,
        });
        self.symbols.insert(name.into(), symbol);
        symbol
    }

    fn maps(&mut self) -> Result<(), WriteError> {
        let source = self.source;
        if source.maps.is_empty() {
            return Ok(());
        }
        let id = self.object.add_section(Vec::new(), ".maps".into(), SectionKind::Data);
        for map in &source.maps {
            let size = maps::size(map).into();
            let start = self.object.append_section_data(id, &vec![0; size as usize], 8);
            self.symbol(&map.name, SymbolKind::Data, id, (start, size), true)?;
        }
        let btf = maps::btf(&source.maps).map_err(|error| WriteError::Other(error.to_string()))?;
        let id = self.object.add_section(Vec::new(), ".BTF".into(), SectionKind::Other);
        self.object.append_section_data(id, &btf, 4);
        Ok(())
    }

    fn relocate(
        &mut self,
        section: SectionId,
        references: Vec<Reference>,
    ) -> Result<(), WriteError> {
        for Reference { pc, kind, name, .. } in references {
            let symbol = self.named(&name);
            let r_type = match kind {
                ReferenceKind::Map | ReferenceKind::Symbol => elf::R_BPF_64_64,
                ReferenceKind::Function => elf::R_BPF_64_32,
            };
            let relocation = Relocation {
                offset: u64::from(pc) * 8,
                symbol,
                addend: 0,
                flags: RelocationFlags::Elf { r_type },
            };
            self.object.add_relocation(section, relocation)?;
        }
        Ok(())
    }
}
