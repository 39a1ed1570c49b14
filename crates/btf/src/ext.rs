//! `.BTF.ext`: which function, source line and CO-RE record belongs to which
//! instruction.
//!
//! Records are grouped by ELF section and may be longer than what we know of
//! them; all strings and types that they name are checked. Counterpart: libbpf's
//! `btf_ext_parse`, the format in `Documentation/bpf/btf.rst`.

use crate::core::{Relocation, RelocationKind};
use crate::{Btf, BtfError, Endian, wire};

/// The records of an object.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ext {
    /// Which function starts where.
    pub func_info: Vec<Section<FuncInfo>>,
    /// Which source line an instruction comes from.
    pub line_info: Vec<Section<LineInfo>>,
    /// What CO-RE shall patch.
    pub core_relos: Vec<Section<Relocation>>,
}

/// The records about one ELF section, whose name is the string at `name_off`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Section<T> {
    /// The section's name, in the BTF's strings.
    pub name_off: u32,
    /// Its records, in the order of the file.
    pub records: Vec<T>,
}

/// A function's start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FuncInfo {
    /// In bytes from the start of the section.
    pub insn_off: u32,
    /// The `Func` in the BTF.
    pub type_id: u32,
}

/// A source line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LineInfo {
    /// In bytes from the start of the section.
    pub insn_off: u32,
    /// The file's name, in the BTF's strings.
    pub file_name_off: u32,
    /// The line's text, in the BTF's strings.
    pub line_off: u32,
    /// The line's number, from 1 (22 bits); 0 for what the compiler made up.
    pub line: u32,
    /// The column, from 1; 0 if unknown (10 bits).
    pub column: u32,
}

/// `sizeof(struct btf_ext_header)` without and with the CO-RE part.
const SHORT_HEADER: usize = 24;
const FULL_HEADER: usize = 32;

impl Ext {
    /// Parses a `.BTF.ext` section, of the byte order of `btf` or not.
    pub fn parse(bytes: &[u8], btf: &Btf) -> Result<Ext, BtfError> {
        let endian = Endian::of_magic(bytes)?;
        let (Some(hdr_len), &[_, _, version, flags, ..]) = (endian.word(bytes, 4), bytes) else {
            return Err(truncated("the .BTF.ext header", 0, SHORT_HEADER, bytes));
        };
        let wrong = |field, offset, value: u32, expected| BtfError::Header {
            field,
            offset,
            value: value.into(),
            expected,
        };
        if version != wire::VERSION {
            return Err(wrong("version", 2, version.into(), "1"));
        }
        if flags != 0 {
            return Err(wrong("flags", 3, flags.into(), "0"));
        }
        let hdr_len = hdr_len as usize;
        if hdr_len < SHORT_HEADER {
            return Err(wrong("hdr_len", 4, hdr_len as u32, "at least 24"));
        }
        if bytes.len() < hdr_len {
            return Err(truncated("the .BTF.ext header", 0, hdr_len, bytes));
        }
        let part = |what, index: usize| -> Result<Part<'_>, BtfError> {
            let field = |index| endian.word(&bytes[..hdr_len], 4 * index).unwrap_or(0) as usize;
            let (offset, len) = (field(index), field(index + 1));
            let start = hdr_len + offset;
            if len > 0 && offset % 4 != 0 {
                return Err(ext_error(what, start, "not aligned to 4 bytes".into()));
            }
            match start.checked_add(len) {
                Some(end) if end <= bytes.len() => {
                    Ok(Part { what, endian, btf, bytes: &bytes[..end], at: start })
                }
                _ if len == 0 => Ok(Part { what, endian, btf, bytes: &[], at: 0 }),
                _ => Err(truncated(what, start, len, bytes)),
            }
        };
        Ok(Ext {
            func_info: part("func_info", 2)?.sections()?,
            line_info: part("line_info", 4)?.sections()?,
            core_relos: match hdr_len >= FULL_HEADER {
                true => part("core_relo", 6)?.sections()?,
                false => Vec::new(),
            },
        })
    }

    /// The section's bytes. Sections without records are left out: the format has none.
    pub fn to_bytes(&self, endian: Endian) -> Vec<u8> {
        let parts =
            [words_of(&self.func_info), words_of(&self.line_info), words_of(&self.core_relos)];
        // A CO-RE part of length 0 in a full header is what compilers write, too.
        let mut words = vec![0, FULL_HEADER as u32];
        let mut offset = 0;
        for part in &parts {
            let len = 4 * part.len() as u32;
            words.extend([offset, len]);
            offset += len;
        }
        words.extend(parts.concat());
        let mut out: Vec<u8> = words.iter().flat_map(|&word| endian.bytes(word)).collect();
        out[..2].copy_from_slice(&match endian {
            Endian::Little => wire::MAGIC.to_le_bytes(),
            Endian::Big => wire::MAGIC.to_be_bytes(),
        });
        out[2] = wire::VERSION;
        out[3] = 0;
        out
    }
}

/// A record of a fixed number of words, at the start of what may be a longer one.
trait Record: Sized {
    const WORDS: usize;
    /// From as many words as it has.
    fn decode(words: &[u32]) -> Self;
    fn encode(&self, words: &mut Vec<u32>);
    /// Whether the BTF has what it names.
    fn check(&self, btf: &Btf) -> Result<(), BtfError>;
}

impl Record for FuncInfo {
    const WORDS: usize = 2;

    fn decode(words: &[u32]) -> FuncInfo {
        FuncInfo { insn_off: words[0], type_id: words[1] }
    }

    fn encode(&self, words: &mut Vec<u32>) {
        words.extend([self.insn_off, self.type_id]);
    }

    fn check(&self, btf: &Btf) -> Result<(), BtfError> {
        btf.type_by_id(self.type_id).map(drop)
    }
}

impl Record for LineInfo {
    const WORDS: usize = 4;

    fn decode(words: &[u32]) -> LineInfo {
        LineInfo {
            insn_off: words[0],
            file_name_off: words[1],
            line_off: words[2],
            line: words[3] >> 10,
            column: words[3] & 0x3ff,
        }
    }

    fn encode(&self, words: &mut Vec<u32>) {
        let place = self.line << 10 | self.column & 0x3ff;
        words.extend([self.insn_off, self.file_name_off, self.line_off, place]);
    }

    fn check(&self, btf: &Btf) -> Result<(), BtfError> {
        btf.string(self.file_name_off)?;
        btf.string(self.line_off).map(drop)
    }
}

impl Record for Relocation {
    const WORDS: usize = 4;

    fn decode(words: &[u32]) -> Relocation {
        Relocation {
            insn_off: words[0],
            type_id: words[1],
            access_str_off: words[2],
            kind: RelocationKind::from_number(words[3]),
        }
    }

    fn encode(&self, words: &mut Vec<u32>) {
        words.extend([self.insn_off, self.type_id, self.access_str_off, self.kind.number()]);
    }

    fn check(&self, btf: &Btf) -> Result<(), BtfError> {
        btf.type_by_id(self.type_id)?;
        btf.string(self.access_str_off).map(drop)
    }
}

/// One of the three parts: a record size, then sections of records.
struct Part<'a> {
    what: &'static str,
    endian: Endian,
    btf: &'a Btf,
    /// The whole section up to the part's end.
    bytes: &'a [u8],
    at: usize,
}

impl Part<'_> {
    fn sections<T: Record>(mut self) -> Result<Vec<Section<T>>, BtfError> {
        let mut sections = Vec::new();
        if self.at == self.bytes.len() {
            return Ok(sections);
        }
        let size_at = self.at;
        let record_size = self.word()? as usize;
        if record_size < 4 * T::WORDS || !record_size.is_multiple_of(4) {
            let least = 4 * T::WORDS;
            let reason =
                format!("record size {record_size}, expected a multiple of 4 from {least}");
            return Err(ext_error(self.what, size_at, reason));
        }
        if self.at == self.bytes.len() {
            return Err(ext_error(self.what, self.at, "no records".into()));
        }
        while self.at < self.bytes.len() {
            sections.push(self.section(record_size)?);
        }
        Ok(sections)
    }

    fn section<T: Record>(&mut self, record_size: usize) -> Result<Section<T>, BtfError> {
        let start = self.at;
        let (name_off, count) = (self.word()?, self.word()? as usize);
        if let Err(error) = self.btf.string(name_off) {
            return Err(ext_error(self.what, start, error.to_string()));
        }
        if count == 0 {
            return Err(ext_error(self.what, start, "a section of no records".into()));
        }
        let left = self.bytes.len() - self.at;
        let Some(len) = count.checked_mul(record_size).filter(|&len| len <= left) else {
            let reason =
                format!("{count} records of {record_size} bytes, but {left} bytes are left");
            return Err(ext_error(self.what, start, reason));
        };
        let mut records = Vec::with_capacity(count);
        let mut words = Vec::with_capacity(T::WORDS);
        for bytes in self.bytes[self.at..self.at + len].chunks_exact(record_size) {
            words.clear();
            words.extend((0..T::WORDS).filter_map(|index| self.endian.word(bytes, 4 * index)));
            let record = T::decode(&words);
            if let Err(error) = record.check(self.btf) {
                let offset = self.at + records.len() * record_size;
                return Err(ext_error(self.what, offset, error.to_string()));
            }
            records.push(record);
        }
        self.at += len;
        Ok(Section { name_off, records })
    }

    fn word(&mut self) -> Result<u32, BtfError> {
        let word = self.endian.word(self.bytes, self.at);
        let word = word.ok_or_else(|| truncated(self.what, self.at, 4, self.bytes))?;
        self.at += 4;
        Ok(word)
    }
}

/// The words of one part; none if it has no records.
fn words_of<T: Record>(sections: &[Section<T>]) -> Vec<u32> {
    let mut words = vec![4 * T::WORDS as u32];
    for section in sections.iter().filter(|section| !section.records.is_empty()) {
        words.extend([section.name_off, section.records.len() as u32]);
        for record in &section.records {
            record.encode(&mut words);
        }
    }
    match words.len() {
        1 => Vec::new(),
        _ => words,
    }
}

fn truncated(what: &'static str, offset: usize, need: usize, bytes: &[u8]) -> BtfError {
    BtfError::Truncated { what, offset, need: need as u64, len: bytes.len() }
}

fn ext_error(what: &'static str, offset: usize, reason: String) -> BtfError {
    BtfError::Ext { what, offset, reason }
}
