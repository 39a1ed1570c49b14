//! ELF as far as BPF objects use it: 64-bit little-endian relocatable files of
//! machine 247 (or 0, from compilers of old), their sections, symbols and
//! relocations without addends.
//!
//! Every offset and length of the file is checked here, so that what the other
//! modules get are slices. Nothing is copied and nothing is allocated beyond one
//! record for each header, symbol and relocation of the file. System V ABI, chapters
//! 4 and 5.

use std::borrow::Cow;

use rustc_hash::FxHashMap;

use crate::error::{ObjectError, ObjectErrorKind as Kind};

/// `EM_BPF`.
pub(crate) const MACHINE: u16 = 247;

/// Section types.
pub(crate) mod sh {
    pub(crate) const PROGBITS: u32 = 1;
    pub(crate) const SYMTAB: u32 = 2;
    pub(crate) const STRTAB: u32 = 3;
    pub(crate) const NOBITS: u32 = 8;
    pub(crate) const REL: u32 = 9;

    /// `SHF_ALLOC`: the section is there when the object runs.
    pub(crate) const ALLOC: u64 = 0x2;
    /// `SHF_EXECINSTR`: the section holds code.
    pub(crate) const EXEC: u64 = 0x4;
    /// `SHF_COMPRESSED`.
    pub(crate) const COMPRESSED: u64 = 0x800;
}

/// Symbol types, bindings, and special sections.
pub(crate) mod st {
    pub(crate) const NOTYPE: u8 = 0;
    pub(crate) const OBJECT: u8 = 1;
    pub(crate) const FUNC: u8 = 2;
    pub(crate) const SECTION: u8 = 3;

    pub(crate) const GLOBAL: u8 = 1;
    pub(crate) const WEAK: u8 = 2;

    pub(crate) const UNDEFINED: usize = 0;
    /// Section numbers from here on are no sections.
    pub(crate) const RESERVED: usize = 0xff00;
}

/// A file, taken apart.
pub(crate) struct Elf<'a> {
    /// Sections by their number; number 0 is no section.
    pub sections: Vec<Section<'a>>,
    /// Symbols by their number; number 0 is no symbol.
    pub symbols: Vec<Symbol<'a>>,
    /// Whether the assembler has added the values of symbols to what stands in place,
    /// although relocations add them again: that of binutils up to 2.40, which goes
    /// with gcc up to 12, does so for all symbols but those of sections.
    pub values_in_place: bool,
    /// The first section of each name.
    names: FxHashMap<String, usize>,
}

/// A section.
pub(crate) struct Section<'a> {
    pub name: Cow<'a, str>,
    /// One of [`sh`].
    pub kind: u32,
    pub flags: u64,
    /// Its size; that of `data`, or of the zeros that it stands for.
    pub size: u64,
    /// Its bytes, none for `NOBITS`.
    pub data: &'a [u8],
    link: u32,
    /// For relocations, the section that they are for.
    pub info: u32,
    /// In bytes, 0 for 1.
    pub align: u64,
    entry_size: u64,
}

impl Section<'_> {
    /// Whether it holds code.
    pub fn is_code(&self) -> bool {
        self.kind == sh::PROGBITS && self.flags & sh::EXEC != 0 && !self.data.is_empty()
    }
}

/// A symbol.
pub(crate) struct Symbol<'a> {
    pub name: Cow<'a, str>,
    pub value: u64,
    pub size: u64,
    /// The section that it is in.
    pub section: usize,
    /// One of [`st`].
    pub kind: u8,
    /// One of [`st`].
    pub bind: u8,
    /// `STV_HIDDEN` or `STV_INTERNAL`.
    pub hidden: bool,
}

impl Symbol<'_> {
    /// Whether it stands for something outside of the file.
    pub fn is_extern(&self) -> bool {
        self.section == st::UNDEFINED && self.is_global() && self.kind == st::NOTYPE
    }

    /// Whether other files see it.
    pub fn is_global(&self) -> bool {
        matches!(self.bind, st::GLOBAL | st::WEAK)
    }
}

/// A relocation.
pub(crate) struct Rel {
    /// Place in the section that it is for, in bytes.
    pub offset: u64,
    /// Number of the symbol.
    pub symbol: usize,
    /// Its type, of which linking alone makes something.
    pub kind: u32,
}

impl<'a> Elf<'a> {
    /// Takes a file apart.
    pub fn parse(bytes: &'a [u8]) -> Result<Elf<'a>, ObjectError> {
        check_ident(bytes)?;
        let header = Fields(slice(bytes, 0, 64, "the ELF header")?);
        match (header.u16(16), header.u16(18)) {
            (_, machine) if machine != MACHINE && machine != 0 => {
                return Err(Kind::Machine(machine).into());
            }
            (1, _) => {}
            (kind, _) => return Err(Kind::NotRelocatable(kind).into()),
        }
        let mut sections = read_sections(bytes, &header)?;
        let symbols = read_symbols(&mut sections)?;
        let mut names = FxHashMap::default();
        for (index, section) in sections.iter().enumerate().skip(1) {
            names.entry(section.name.to_string()).or_insert(index);
        }
        let comment = names.get(".comment").map_or(&[][..], |&at| sections[at].data);
        let values_in_place = gcc_version(comment).is_some_and(|version| version <= 12);
        Ok(Elf { sections, symbols, values_in_place, names })
    }

    /// The value of a symbol that relocations for it have to add.
    pub fn value_to_add(&self, symbol: &Symbol<'_>) -> u64 {
        let is_there = self.values_in_place && symbol.kind != st::SECTION;
        if is_there { 0 } else { symbol.value }
    }

    /// The relocations in a section of them.
    pub fn relocations(&self, section: &Section<'a>) -> Result<Vec<Rel>, ObjectError> {
        let records = table(section, 16, "relocations")?;
        let rel = |record: &Fields<'_>| Rel {
            offset: record.u64(0),
            symbol: (record.u64(8) >> 32) as usize,
            kind: record.u64(8) as u32,
        };
        Ok(records.iter().map(rel).collect())
    }

    /// The first section of this name.
    pub fn section(&self, name: &str) -> Option<usize> {
        self.names.get(name).copied()
    }

    /// A section's name for messages.
    pub fn section_name(&self, index: usize) -> &str {
        self.sections.get(index).map_or("?", |section| &section.name)
    }
}

/// The main version of the gcc that left this comment: `GCC: (Debian 12.2.0-14) 12.2.0`.
fn gcc_version(comment: &[u8]) -> Option<u32> {
    let mut texts = comment.split(|&byte| byte == 0);
    let text = texts.find_map(|text| std::str::from_utf8(text).ok()?.strip_prefix("GCC: "))?;
    text.rsplit(' ').next()?.split('.').next()?.parse().ok()
}

/// What the first 16 bytes tell: whether this is an ELF file of our class and order.
fn check_ident(bytes: &[u8]) -> Result<(), ObjectError> {
    if bytes.is_empty() {
        return Err(Kind::Empty.into());
    }
    if !bytes.starts_with(b"\x7fELF") {
        let start = &bytes[..bytes.len().min(4096)];
        let is_text = start.iter().all(|&byte| byte >= b' ' || byte.is_ascii_whitespace());
        return Err(if is_text { Kind::Text } else { Kind::NotElf }.into());
    }
    match slice(bytes, 0, 16, "the ELF header")?[4..6] {
        [2, 1] => Ok(()),
        [2, 2] => Err(Kind::BigEndian.into()),
        [1, _] => Err(Kind::Class32.into()),
        [class, data] => {
            Err(Kind::Malformed(format!("ELF class {class} of byte order {data}")).into())
        }
        _ => Err(Kind::NotElf.into()),
    }
}

fn read_sections<'a>(
    bytes: &'a [u8],
    header: &Fields<'_>,
) -> Result<Vec<Section<'a>>, ObjectError> {
    let (start, entry, count) = (header.u64(40), header.u16(58), u64::from(header.u16(60)));
    if start == 0 {
        return Err(Kind::Malformed("there is no section table".into()).into());
    }
    if entry != 64 {
        return Err(Kind::Malformed(format!("section headers of {entry} bytes, not 64")).into());
    }
    // A file with very many sections keeps their number in the first header.
    let first = Fields(slice(bytes, start, 64, "the section table")?);
    let count = if count == 0 { first.u64(32) } else { count };
    let names_at = match header.u16(62) {
        0xffff => first.u32(40),
        index => u32::from(index),
    };
    let len = count.saturating_mul(64);
    let headers = slice(bytes, start, len, "the section table")?;
    let mut sections = Vec::with_capacity(headers.len() / 64);
    let mut names = Vec::with_capacity(headers.len() / 64);
    for (index, header) in headers.chunks_exact(64).enumerate() {
        let header = Fields(header);
        let (kind, offset, size) = (header.u32(4), header.u64(24), header.u64(32));
        let data = match kind {
            _ if index == 0 => &[][..],
            0 | sh::NOBITS => &[],
            _ => slice(bytes, offset, size, "a section")?,
        };
        names.push(header.u32(0));
        sections.push(Section {
            name: Cow::Borrowed(""),
            kind,
            flags: header.u64(8),
            size,
            data,
            link: header.u32(40),
            info: header.u32(44),
            align: header.u64(48),
            entry_size: header.u64(56),
        });
    }
    let table = match sections.get(names_at as usize) {
        Some(table) if table.kind == sh::STRTAB => table.data,
        _ => {
            let reason = format!("section {names_at} should hold the names of sections");
            return Err(Kind::Malformed(reason).into());
        }
    };
    for (section, name) in sections.iter_mut().zip(names).skip(1) {
        section.name = string(table, name, "the name of a section")?;
    }
    Ok(sections)
}

fn read_symbols<'a>(sections: &mut [Section<'a>]) -> Result<Vec<Symbol<'a>>, ObjectError> {
    let mut tables = sections.iter().filter(|section| section.kind == sh::SYMTAB);
    let (Some(symtab), None) = (tables.next(), tables.next()) else {
        let several = sections.iter().any(|section| section.kind == sh::SYMTAB);
        return Err(match several {
            true => Kind::Malformed("there are several symbol tables".into()).into(),
            false => Kind::Stripped.into(),
        });
    };
    let names = match sections.get(symtab.link as usize) {
        Some(table) if table.kind == sh::STRTAB => table.data,
        _ => {
            let reason = format!("section {} should hold the names of symbols", symtab.link);
            return Err(ObjectError::from(Kind::Malformed(reason)).in_section(&symtab.name));
        }
    };
    let symbol = |record: &Fields<'_>| {
        let name = string(names, record.u32(0), "the name of a symbol")?;
        let info = record.u8(4);
        Ok(Symbol {
            name,
            value: record.u64(8),
            size: record.u64(16),
            section: record.u16(6).into(),
            kind: info & 0xf,
            bind: info >> 4,
            hidden: matches!(record.u8(5) & 3, 1 | 2),
        })
    };
    table(symtab, 24, "symbols")?.iter().map(symbol).collect()
}

/// The records of a section that is a table.
fn table<'a>(
    section: &Section<'a>,
    record: usize,
    what: &'static str,
) -> Result<Vec<Fields<'a>>, ObjectError> {
    let (records, rest) = (section.data.chunks_exact(record), section.data.len() % record);
    if section.entry_size != record as u64 || rest != 0 {
        let reason = format!(
            "{what} of {} bytes in {} bytes, expected {record} bytes each",
            section.entry_size,
            section.data.len(),
        );
        return Err(ObjectError::from(Kind::Malformed(reason)).in_section(&section.name));
    }
    Ok(records.map(Fields).collect())
}

/// Part of the file.
fn slice<'a>(
    bytes: &'a [u8],
    start: u64,
    len: u64,
    what: &'static str,
) -> Result<&'a [u8], ObjectError> {
    let range = || {
        let (start, len) = (usize::try_from(start).ok()?, usize::try_from(len).ok()?);
        bytes.get(start..start.checked_add(len)?)
    };
    let have = bytes.len() as u64;
    range().ok_or_else(|| ObjectError::from(Kind::Truncated { what, need: len, have }).at(start))
}

/// The string at an offset of a table. Bytes that are no UTF-8 become question marks.
fn string<'a>(
    table: &'a [u8],
    offset: u32,
    what: &'static str,
) -> Result<Cow<'a, str>, ObjectError> {
    let rest = table.get(offset as usize..).unwrap_or_default();
    match rest.iter().position(|&byte| byte == 0) {
        Some(end) => Ok(String::from_utf8_lossy(&rest[..end])),
        None if offset == 0 => Ok(Cow::Borrowed("")),
        None => {
            let reason = format!("{what}: no string at offset {offset} of {}", table.len());
            Err(Kind::Malformed(reason).into())
        }
    }
}

/// A record whose length was checked, read field by field.
struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn array<const N: usize>(&self, at: usize) -> [u8; N] {
        self.0.get(at..).and_then(|rest| rest.first_chunk()).copied().unwrap_or([0; N])
    }

    fn u8(&self, at: usize) -> u8 {
        self.array::<1>(at)[0]
    }

    fn u16(&self, at: usize) -> u16 {
        u16::from_le_bytes(self.array(at))
    }

    fn u32(&self, at: usize) -> u32 {
        u32::from_le_bytes(self.array(at))
    }

    fn u64(&self, at: usize) -> u64 {
        u64::from_le_bytes(self.array(at))
    }
}
