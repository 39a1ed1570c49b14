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
    /// Bytes, and the labels in them.
    Data { bytes: Vec<u8>, labels: Vec<(String, usize)> },
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
    data: usize,
}

impl<'a> Parser<'a> {
    fn line(&mut self, number: usize, line: &'a str) -> Result<(), String> {
        let trimmed = line.trim();
        if let Some(directive) = directive(trimmed) {
            return self.directive(directive, &trimmed[directive.len()..]);
        }
        let blank = trimmed.is_empty() || trimmed.starts_with(['#', ';']);
        if blank || trimmed.starts_with("//") {
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
            Content::Data { bytes, labels } => {
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
                    false => Content::Data { bytes: Vec::new(), labels: Vec::new() },
                };
                self.source.sections.push(Section { name: name.into(), content });
                self.by_name.insert(name.into(), self.source.sections.len() - 1);
                self.source.sections.len() - 1
            }
        };
        self.current = Some(index);
        Ok(index)
    }

    fn directive(&mut self, name: &str, operands: &str) -> Result<(), String> {
        let words = words::split(operands)?;
        let texts = || words.iter().map(|word| word.text().map(str::to_owned));
        match name {
            ".section" => {
                let [section, rest @ ..] = &words[..] else {
                    return Err("expected the name of a section".into());
                };
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
            // Remarks for linkers and debuggers. Alignment: everything is aligned.
            ".size" | ".file" | ".ident" | ".local" | ".hidden" | ".extern" | ".p2align"
            | ".align" | ".balign" | ".addrsig" | ".addrsig_sym" | ".loc" | ".cfi_startproc"
            | ".cfi_endproc" | ".cfi_sections" => {}
            _ => return Err(format!("unknown directive `{name}`")),
        }
        Ok(())
    }

    fn numbers(&mut self, words: &[Word], bits: u32) -> Result<(), String> {
        for word in words {
            let number = word.number(bits)?;
            self.bytes(&number.to_le_bytes()[..bits as usize / 8])?;
        }
        Ok(())
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
        let Content::Data { bytes, labels } = &rodata.content else { panic!("{rodata:?}") };
        assert_eq!((&bytes[..], &labels[..]), (&[7, 0, 0, 0][..], &[("value".into(), 0)][..]));
        assert!(matches!(&text.content, Content::Code(lines) if lines.len() == 1));
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
