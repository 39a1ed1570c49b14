//! The directives of an assembler source: which lines are code of which section, what
//! is data, which maps there are.

use std::collections::{HashMap, HashSet};

use super::words::{self, LineError, Word};

/// A source, taken apart.
#[derive(Debug, Default)]
pub struct Source<'a> {
    /// In the order in which they were met.
    pub sections: Vec<Section<'a>>,
    /// The maps.
    pub maps: Vec<MapSource>,
    /// Names that other files see.
    pub globals: HashSet<String>,
    /// Names that may be missing.
    pub weak: HashSet<String>,
    /// Names that are functions.
    pub functions: HashSet<String>,
    /// Bytes that names of data have, where the source says.
    pub sizes: HashMap<String, u64>,
}

/// A section of code or of data.
#[derive(Debug)]
pub struct Section<'a> {
    pub name: String,
    pub content: Content<'a>,
}

/// What a section holds.
#[derive(Debug)]
pub enum Content<'a> {
    /// Lines with their numbers from 1.
    Code(Vec<(usize, &'a str)>),
    /// Bytes, the labels in them, and the names whose addresses stand in them.
    Data { bytes: Vec<u8>, labels: Vec<(String, usize)>, references: Vec<Address> },
}

/// The address of a name, in data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    /// Bytes from the start of the section; what is to be added already stands there.
    pub at: usize,
    pub name: String,
    /// 32 or 64.
    pub bits: u32,
}

/// A map, as `.map` defines it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MapSource {
    pub name: String,
    /// The members of its definition with their numbers, in the order of the line.
    pub members: Vec<(&'static str, u32)>,
}

/// The most bytes that a source's data may have.
const MAX_DATA: usize = 64 << 20;

/// Takes a source apart.
///
/// # Errors
/// A directive that is unknown or wrong, with its line.
pub fn parse(text: &str) -> Result<Source<'_>, LineError> {
    let mut parser = Parser::default();
    for (index, line) in text.lines().enumerate() {
        let number = index + 1;
        parser.line(number, line).map_err(|reason| LineError { line: number, reason })?;
    }
    Ok(parser.source)
}

#[derive(Default)]
struct Parser<'a> {
    source: Source<'a>,
    by_name: HashMap<String, usize>,
    /// The section that the next line belongs to, once there is one.
    current: Option<usize>,
    /// Whether the lines belong to a section of DWARF, which nobody who loads an object
    /// reads.
    skips: bool,
    /// Names that `.local` makes local, for `.comm`.
    locals: HashSet<String>,
    data: usize,
}

impl<'a> Parser<'a> {
    fn line(&mut self, number: usize, line: &'a str) -> Result<(), String> {
        let trimmed = line.trim();
        if let Some(directive) = directive(trimmed) {
            if self.skips && !matches!(directive, ".section" | ".text" | ".data" | ".bss") {
                return Ok(());
            }
            return self.directive(directive, &trimmed[directive.len()..]);
        }
        let blank = trimmed.is_empty() || trimmed.starts_with(['#', ';']);
        if blank || trimmed.starts_with("//") {
            return Ok(());
        }
        if self.skips {
            return Ok(());
        }
        let index = match self.current {
            Some(index) => index,
            None => self.enter(".text", None)?,
        };
        match &mut self.source.sections[index].content {
            Content::Code(lines) => {
                lines.push((number, line));
                Ok(())
            }
            Content::Data { bytes, labels, .. } => {
                let Some((label, rest)) = trimmed.split_once(':') else {
                    return Err(format!("expected data, found `{trimmed}`"));
                };
                labels.push((label.trim().into(), bytes.len()));
                let rest = rest.trim();
                match directive(rest) {
                    Some(directive) => self.directive(directive, &rest[directive.len()..]),
                    None if rest.is_empty() || rest.starts_with(['#', ';']) => Ok(()),
                    None => Err(format!("expected a directive, found `{rest}`")),
                }
            }
        }
    }

    /// Goes on in a section, which is made if need be.
    fn enter(&mut self, name: &str, flags: Option<&str>) -> Result<usize, String> {
        if name.is_empty() || name.contains('\0') {
            return Err("expected the name of a section".into());
        }
        let index = match self.by_name.get(name) {
            Some(&index) => index,
            None => {
                let content = match is_code(name, flags) {
                    true => Content::Code(Vec::new()),
                    false => Content::Data {
                        bytes: Vec::new(),
                        labels: Vec::new(),
                        references: Vec::new(),
                    },
                };
                self.source.sections.push(Section { name: name.into(), content });
                self.by_name.insert(name.into(), self.source.sections.len() - 1);
                self.source.sections.len() - 1
            }
        };
        (self.current, self.skips) = (Some(index), false);
        Ok(index)
    }

    fn directive(&mut self, name: &str, operands: &str) -> Result<(), String> {
        if REMARKS.contains(&name) {
            return Ok(());
        }
        let words = words::split(operands)?;
        let texts = || words.iter().map(|word| word.text().map(str::to_owned));
        match name {
            ".section" => {
                let [section, rest @ ..] = &words[..] else {
                    return Err("expected the name of a section".into());
                };
                if section.text()?.starts_with(".debug_") {
                    self.skips = true;
                    return Ok(());
                }
                let flags = rest.first().map(Word::text).transpose()?;
                self.enter(section.text()?, flags)?;
            }
            ".text" | ".data" | ".bss" => {
                self.enter(name, None)?;
            }
            ".globl" | ".global" => {
                for name in texts() {
                    self.source.globals.insert(name?);
                }
            }
            ".weak" => {
                for name in texts() {
                    self.source.weak.insert(name?);
                }
            }
            ".type" => {
                if let [name, kind] = &words[..]
                    && matches!(kind.text()?, "@function" | "%function" | "function")
                {
                    self.source.functions.insert(name.text()?.into());
                }
            }
            ".local" => {
                for name in texts() {
                    self.locals.insert(name?);
                }
            }
            // What the linker would lay out; we do.
            ".comm" | ".lcomm" => self.common(&words, name == ".lcomm")?,
            ".size" => {
                // `.Lfunc_end0-f` is what we know from the labels.
                if let [name, size] = &words[..]
                    && let Ok(size) = size.number(64)
                {
                    self.source.sizes.insert(name.text()?.into(), size);
                }
            }
            ".p2align" | ".align" | ".balign" => self.align(name, &words)?,
            ".license" => {
                let [license] = &words[..] else { return Err("expected one string".into()) };
                let mut bytes = license.string()?.to_vec();
                bytes.push(0);
                let back = self.current;
                self.enter("license", None)?;
                self.bytes(&bytes)?;
                self.current = back;
            }
            ".map" => {
                let map = map(&words)?;
                if self.source.maps.iter().any(|other| other.name == map.name) {
                    return Err(format!("map `{}` stands twice", map.name));
                }
                self.source.maps.push(map);
            }
            ".byte" => self.numbers(&words, 8)?,
            ".short" | ".half" | ".2byte" => self.numbers(&words, 16)?,
            ".long" | ".int" | ".4byte" => self.numbers(&words, 32)?,
            ".quad" | ".8byte" => self.numbers(&words, 64)?,
            ".zero" | ".skip" | ".space" => {
                let [len] = &words[..] else { return Err("expected a number of bytes".into()) };
                let len = len.number(32)? as usize;
                if len > MAX_DATA {
                    return Err(format!("{len} bytes are too many"));
                }
                self.bytes(&vec![0; len])?;
            }
            ".ascii" | ".asciz" | ".string" => {
                for word in &words {
                    self.bytes(word.string()?)?;
                    if name != ".ascii" {
                        self.bytes(&[0])?;
                    }
                }
            }
            _ => return Err(format!("unknown directive `{name}`")),
        }
        Ok(())
    }

    fn numbers(&mut self, words: &[Word], bits: u32) -> Result<(), String> {
        for word in words {
            let number = match (word.number(bits), word) {
                (Ok(number), _) => number,
                (Err(error), Word::Bare(text)) if bits >= 32 => {
                    let (name, addend) = address(text).ok_or(error)?;
                    self.reference(name, bits);
                    addend as u64
                }
                (Err(error), _) => return Err(error),
            };
            self.bytes(&number.to_le_bytes()[..bits as usize / 8])?;
        }
        Ok(())
    }

    /// Says that the next bytes are a name's address. (In code there are no such bytes,
    /// which is found when they are added.)
    fn reference(&mut self, name: &str, bits: u32) {
        let section = self.current.map(|index| &mut self.source.sections[index].content);
        if let Some(Content::Data { bytes, references, .. }) = section {
            references.push(Address { at: bytes.len(), name: name.into(), bits });
        }
    }

    /// `NAME, SIZE[, ALIGNMENT]`: zeros in `.bss`.
    fn common(&mut self, words: &[Word], is_local: bool) -> Result<(), String> {
        let ([name, size] | [name, size, _]) = words else {
            return Err("expected a name, its size and its alignment".into());
        };
        let (name, size) = (name.text()?, size.number(32)? as usize);
        let align = words.get(2).map_or(Ok(1), |align| align.number(32))? as usize;
        if size > MAX_DATA {
            return Err(format!("{size} bytes are too many"));
        }
        let back = (self.current, self.skips);
        let index = self.enter(".bss", None)?;
        self.pad(align)?;
        if let Content::Data { bytes, labels, .. } = &mut self.source.sections[index].content {
            labels.push((name.into(), bytes.len()));
        }
        self.bytes(&vec![0; size])?;
        self.source.sizes.insert(name.into(), size as u64);
        if !is_local && !self.locals.contains(name) {
            self.source.globals.insert(name.into());
        }
        (self.current, self.skips) = back;
        Ok(())
    }

    /// Alignment of what comes next. Instructions are aligned as it is.
    fn align(&mut self, name: &str, words: &[Word]) -> Result<(), String> {
        let [align, ..] = words else { return Err("expected a number".into()) };
        let align = match (name, align.number(32)?) {
            (".p2align", power @ 0..=16) => 1 << power,
            (".align" | ".balign", align @ 0..=65536) => align as usize,
            (_, align) => return Err(format!("nothing is aligned to {align}")),
        };
        let section = self.current.map(|index| &self.source.sections[index].content);
        match section {
            Some(Content::Data { .. }) => self.pad(align),
            _ => Ok(()),
        }
    }

    /// Zeros up to a multiple of a power of two.
    fn pad(&mut self, align: usize) -> Result<(), String> {
        let align = align.max(1);
        if !align.is_power_of_two() || align > 65536 {
            return Err(format!("an alignment of {align} is no power of two up to 65536"));
        }
        let section = self.current.map(|index| &self.source.sections[index].content);
        let Some(Content::Data { bytes, .. }) = section else { return Ok(()) };
        self.bytes(&vec![0; bytes.len().next_multiple_of(align) - bytes.len()])
    }

    fn bytes(&mut self, new: &[u8]) -> Result<(), String> {
        let section = self.current.map(|index| &mut self.source.sections[index]);
        let Some(Section { content: Content::Data { bytes, .. }, .. }) = section else {
            return Err("data in a section of code".into());
        };
        self.data += new.len();
        if self.data > MAX_DATA {
            return Err(format!("more than {MAX_DATA} bytes of data"));
        }
        bytes.extend_from_slice(new);
        Ok(())
    }
}

/// Remarks for linkers and debuggers.
const REMARKS: [&str; 14] = [
    ".file",
    ".ident",
    ".hidden",
    ".protected",
    ".internal",
    ".extern",
    ".addrsig",
    ".addrsig_sym",
    ".loc",
    ".cfi_startproc",
    ".cfi_endproc",
    ".cfi_sections",
    ".cfi_def_cfa",
    ".cfi_offset",
];

/// `NAME`, `NAME+8`, `NAME-8`: a name, and what is added to its address.
fn address(text: &str) -> Option<(&str, i64)> {
    let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '$');
    let end = text.find(|c: char| !is_name(c)).unwrap_or(text.len());
    let (name, rest) = text.split_at(end);
    if name.is_empty() || name.starts_with(|c: char| c.is_ascii_digit()) {
        return None;
    }
    let rest = rest.trim();
    let addend = match rest.strip_prefix('+') {
        _ if rest.is_empty() => 0,
        Some(digits) => words::number(digits.trim())?,
        None => -words::number(rest.strip_prefix('-')?.trim())?,
    };
    Some((name, i64::try_from(addend).ok()?))
}

/// The directive that a line starts with; `.LBB0_1:` is a label.
fn directive(line: &str) -> Option<&str> {
    let end =
        line.find(|c: char| c.is_whitespace() || matches!(c, ',' | ':')).unwrap_or(line.len());
    let is_label = line[end..].starts_with(':');
    (line.starts_with('.') && !is_label).then(|| &line[..end])
}

/// Whether a section holds instructions: its flags say it, or else its name.
fn is_code(name: &str, flags: Option<&str>) -> bool {
    let named = |base: &str| {
        name.strip_prefix(base).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    };
    match flags {
        Some(flags) => flags.contains('x'),
        None => {
            !matches!(name, "license" | "version" | "maps" | ".maps" | ".kconfig" | ".ksyms")
                && ![".data", ".rodata", ".bss", ".BTF"].into_iter().any(named)
        }
    }
}

/// `NAME, type=hash, key=4, value=8, entries=1024`.
fn map(words: &[Word]) -> Result<MapSource, String> {
    let [name, fields @ ..] = words else { return Err("expected the name of a map".into()) };
    let mut members = Vec::new();
    for field in fields {
        let field = field.text()?;
        let Some((key, value)) = field.split_once('=') else {
            return Err(format!("expected `NAME=VALUE`, found `{field}`"));
        };
        let (key, value) = (key.trim(), value.trim());
        let number = || Word::Bare(value.into()).number(32).map(|number| number as u32);
        let member = match key {
            "type" => ("type", map_type(value)?),
            "key" => ("key_size", number()?),
            "value" => ("value_size", number()?),
            "entries" => ("max_entries", number()?),
            "flags" => ("map_flags", number()?),
            "extra" => ("map_extra", number()?),
            _ => {
                let known = "type, key, value, entries, flags, extra";
                return Err(format!("a map has no field `{key}`: it has {known}"));
            }
        };
        if members.iter().any(|&(other, _)| other == member.0) {
            return Err(format!("field `{key}` stands twice"));
        }
        members.push(member);
    }
    match members.iter().any(|&(name, _)| name == "type") {
        true => Ok(MapSource { name: name.text()?.into(), members }),
        false => Err("a map needs `type=`".into()),
    }
}

fn map_type(name: &str) -> Result<u32, String> {
    use skep::abi::MapType;
    match MapType::from_name(name).or_else(|| MapType::from_number(name.parse().ok()?)) {
        Some(kind) => Ok(kind as u32),
        None => Err(format!("unknown map type `{name}`")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(text: &str) -> String {
        parse(text).unwrap_err().to_string()
    }

    #[test]
    fn lines_go_to_their_sections() {
        let text = "  .license \"GPL\"\n.section xdp,\"ax\",@progbits\nfirst:\n r0 = 1\n.LBB0_1:\n \
                    exit # done\n.section .rodata\nvalue: .long 7\n.text\nr0 = 0\n";
        let source = parse(text).unwrap();
        let [license, xdp, rodata, text] = &source.sections[..] else { panic!("{source:?}") };
        assert!(matches!(&license.content, Content::Data { bytes, .. } if bytes == b"GPL\0"));
        let Content::Code(lines) = &xdp.content else { panic!("{xdp:?}") };
        let numbers: Vec<usize> = lines.iter().map(|line| line.0).collect();
        assert_eq!(numbers, [3, 4, 5, 6]);
        let Content::Data { bytes, labels, .. } = &rodata.content else { panic!("{rodata:?}") };
        assert_eq!((&bytes[..], &labels[..]), (&[7, 0, 0, 0][..], &[("value".into(), 0)][..]));
        assert!(matches!(&text.content, Content::Code(lines) if lines.len() == 1));
    }

    #[test]
    fn data_may_hold_addresses_and_common_names() {
        let text = ".data\n.byte 1\n.p2align 3\nv: .quad other+8\n.local c\n.comm c,4,4\n\
                    .comm g,8,8\n.long 5\n.section .debug_info,\"\",@progbits\n.uleb128 7\nx y z\n\
                    .data\n.byte 2\n";
        let source = parse(text).unwrap();
        let [data, bss] = &source.sections[..] else { panic!("{source:?}") };
        let Content::Data { bytes, labels, references } = &data.content else { panic!() };
        assert_eq!(bytes[..], [1, 0, 0, 0, 0, 0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 5, 0, 0, 0, 2]);
        assert_eq!(labels[..], [("v".into(), 8)]);
        assert_eq!(references[..], [Address { at: 8, name: "other".into(), bits: 64 }]);
        let Content::Data { bytes, labels, .. } = &bss.content else { panic!() };
        assert_eq!((bytes.len(), &labels[..]), (16, &[("c".into(), 0), ("g".into(), 8)][..]));
        assert!(source.globals.contains("g") && !source.globals.contains("c"));
    }

    #[test]
    fn wrong_directives_are_named_with_their_line() {
        for (text, expected) in [
            ("\n.foo 1", "line 2: unknown directive `.foo`"),
            (".byte 1", "line 1: data in a section of code"),
            (".section .data\nr0 = 1", "line 2: expected data, found `r0 = 1`"),
            (".map m", "line 1: a map needs `type=`"),
            (".map m, type=hush", "line 1: unknown map type `hush`"),
            (
                ".map m, type=hash, size=4",
                "line 1: a map has no field `size`: it has type, key, value, entries, flags, extra",
            ),
            (".license GPL", "line 1: expected a string in quotes, found `GPL`"),
            (".data\n.zero 99999999999", "line 2: 99999999999 does not fit 32 bits"),
        ] {
            assert_eq!(error(text), expected);
        }
    }
}
