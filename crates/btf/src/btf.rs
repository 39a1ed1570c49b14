//! One parsed BTF object: the type table, the strings, and the index by name.
//!
//! Parsing is two passes over the type section: one records where each type
//! starts, one checks that all ids and string offsets are in range. Names are
//! indexed on the first look-up only. Memory is at most about three times the
//! input. The kernel's own is parsed when a type is first asked for: most programs
//! need none. Counterpart: libbpf's `btf_parse_type_sec` and `btf_sanity_check`.

use std::borrow::Cow;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use crate::index::NameIndex;
use crate::wire::{Endian, Header, Info, TYPE_LEN, word};
use crate::{BtfError, Kind, Type};

/// A parsed BTF object.
///
/// Ids are `u32`; id 0 is void. A split BTF (a module's) continues the ids and
/// the string offsets of its base.
pub struct Btf {
    raw: Cow<'static, [u8]>,
    header: Header,
    /// Made at once, but for the kernel's.
    body: OnceLock<Body>,
    start_id: u32,
    start_string: u64,
    base: Option<Arc<Btf>>,
    index: OnceLock<NameIndex>,
    pointer_size: OnceLock<u32>,
    /// Target and id of each declaration tag, sorted.
    decl_tags: OnceLock<Vec<(u32, u32)>>,
    /// Which of its own types were looked at, where someone wants to know.
    looked_at: Option<Box<[AtomicBool]>>,
}

/// What parsing finds.
#[derive(Default)]
struct Body {
    /// The types as little-endian words, where `raw` has them the other way round.
    turned: Option<Vec<u8>>,
    /// The strings, where a byte of them is no UTF-8: it reads as `?`.
    strings: Cow<'static, str>,
    /// Where each type starts in the type section, from `start_id` on.
    offsets: Vec<u32>,
}

impl Btf {
    /// Parses a whole `.BTF` section (or `/sys/kernel/btf/vmlinux`) of either byte order.
    pub fn parse(bytes: impl Into<Vec<u8>>) -> Result<Btf, BtfError> {
        Btf::parse_over(Cow::Owned(bytes.into()), None)
    }

    /// The running kernel's own types, which are parsed when one is asked for. The
    /// kernel is taken at its word: should they turn out to be malformed, there are none.
    ///
    /// # Errors
    /// A header that is none.
    pub fn of_kernel(bytes: &'static [u8]) -> Result<Btf, BtfError> {
        let header = Header::parse(bytes)?;
        Ok(Btf::unparsed(Cow::Borrowed(bytes), header, None))
    }

    /// Parses a split BTF, such as a kernel module's, which continues `base`.
    pub fn parse_split(bytes: impl Into<Vec<u8>>, base: Arc<Btf>) -> Result<Btf, BtfError> {
        Btf::parse_over(Cow::Owned(bytes.into()), Some(base))
    }

    fn parse_over(raw: Cow<'static, [u8]>, base: Option<Arc<Btf>>) -> Result<Btf, BtfError> {
        let header = Header::parse(&raw)?;
        let lasting = match &raw {
            Cow::Borrowed(bytes) => Some(*bytes),
            Cow::Owned(_) => None,
        };
        let strings = parse_strings(&raw, lasting, &header, base.is_some())?;
        let turned = (header.endian == Endian::Big).then(|| {
            let mut words = raw[header.types.clone()].to_vec();
            Endian::Big.turn(&mut words);
            words
        });
        let btf = Btf::unparsed(raw, header, base);
        let types = turned.as_deref().unwrap_or(&btf.raw[btf.header.types.clone()]);
        let offsets = btf.locate_types(types)?;
        let btf = Btf { body: OnceLock::from(Body { turned, strings, offsets }), ..btf };
        btf.check_references()?;
        Ok(btf)
    }

    fn unparsed(raw: Cow<'static, [u8]>, header: Header, base: Option<Arc<Btf>>) -> Btf {
        Btf {
            start_id: base.as_ref().map_or(1, |base| base.len()),
            start_string: base.as_ref().map_or(0, |base| base.strings_end()),
            raw,
            header,
            body: OnceLock::new(),
            base,
            index: OnceLock::new(),
            pointer_size: OnceLock::new(),
            decl_tags: OnceLock::new(),
            looked_at: None,
        }
    }

    /// Remembers from now on which types are looked at: by their ids, by their names, or in
    /// the course of a walk. [`subset`](crate::subset) makes BTF of those.
    pub fn watched(mut self) -> Btf {
        let count = self.body().offsets.len();
        self.looked_at = Some((0..count).map(|_| AtomicBool::new(false)).collect());
        self
    }

    /// Whether a type of its own was looked at; never, where nobody wants to know.
    pub fn was_looked_at(&self, id: u32) -> bool {
        let index = id.checked_sub(self.start_id).map(|index| index as usize);
        let seen = self.looked_at.as_deref().zip(index).and_then(|(all, index)| all.get(index));
        seen.is_some_and(|seen| seen.load(Ordering::Relaxed))
    }

    fn body(&self) -> &Body {
        self.body.get_or_init(|| {
            let parsed = match &self.raw {
                Cow::Borrowed(bytes) => Btf::parse_over(Cow::Borrowed(bytes), None).ok(),
                Cow::Owned(_) => None,
            };
            parsed.and_then(|btf| btf.body.into_inner()).unwrap_or_default()
        })
    }

    /// The first pass: where each type starts.
    fn locate_types(&self, types: &[u8]) -> Result<Vec<u32>, BtfError> {
        // A type and its tail take 20 bytes on average; the vector grows if this is one of small ones.
        let mut offsets = Vec::with_capacity(types.len() / 20);
        let mut at = 0;
        while at < types.len() {
            let id = self.start_id as usize + offsets.len();
            let (Ok(id), Some(head)) = (u32::try_from(id), types.get(at..at + TYPE_LEN)) else {
                return Err(BtfError::Truncated {
                    what: "a type",
                    offset: self.header.types.start + at,
                    need: TYPE_LEN as u64,
                    len: self.header.types.end,
                });
            };
            let info = Info(word(head, 1));
            let Some(tail_len) = info.tail_len() else {
                return Err(self.type_error(
                    id,
                    at,
                    format!("unknown kind {}", info.kind_number()),
                ));
            };
            if types.len() - at - TYPE_LEN < tail_len {
                return Err(BtfError::Truncated {
                    what: "a type's records",
                    offset: self.header.types.start + at + TYPE_LEN,
                    need: tail_len as u64,
                    len: self.header.types.end,
                });
            }
            offsets.push(at as u32);
            at += TYPE_LEN + tail_len;
        }
        Ok(offsets)
    }

    /// The second pass: every id and every string offset inside a type is in range.
    fn check_references(&self) -> Result<(), BtfError> {
        let (types, count) = (self.type_section(), self.len());
        for (index, &offset) in self.body().offsets.iter().enumerate() {
            let (id, at) = (self.start_id + index as u32, offset as usize);
            let record = &types[at..self.record_end(index)];
            let info = Info(word(record, 1));
            let string = |what: &str, offset: u32| match self.has_string(offset) {
                true => Ok(()),
                false => {
                    Err(self.type_error(id, at, format!("{what}: no string at offset {offset}")))
                }
            };
            let reference = |what: &str, target: u32| match target < count {
                true => Ok(()),
                false => Err(self.type_error(
                    id,
                    at,
                    format!("{what}: no type [{target}] among {count}"),
                )),
            };
            string("name", word(record, 0))?;
            let (target, tail) = (word(record, 2), &record[TYPE_LEN..]);
            // Which words of each record of the tail are a string and a type.
            let (stride, name, type_id): (usize, Option<usize>, Option<usize>) = match info.kind() {
                Some(Kind::Array) => {
                    reference("element type", word(tail, 0))?;
                    reference("index type", word(tail, 1))?;
                    continue;
                }
                Some(Kind::Struct | Kind::Union) => (12, Some(0), Some(1)),
                Some(Kind::Enum) => (8, Some(0), None),
                Some(Kind::Enum64) => (12, Some(0), None),
                Some(Kind::FuncProto) => {
                    reference("return type", target)?;
                    (8, Some(0), Some(1))
                }
                Some(Kind::DataSec) => (12, None, Some(0)),
                Some(Kind::Func) => {
                    reference("prototype", target)?;
                    if self.kind_of(target) != Some(Kind::FuncProto) {
                        let reason = format!("a function whose type [{target}] is no prototype");
                        return Err(self.type_error(id, at, reason));
                    }
                    continue;
                }
                Some(Kind::Int | Kind::Fwd | Kind::Float) | None | Some(Kind::Void) => continue,
                Some(_) => {
                    reference("target", target)?;
                    continue;
                }
            };
            for record in tail.chunks_exact(stride) {
                if let Some(index) = name {
                    string("a name", word(record, index))?;
                }
                if let Some(index) = type_id {
                    reference("a type", word(record, index))?;
                }
            }
        }
        Ok(())
    }

    fn type_error(&self, id: u32, at: usize, reason: String) -> BtfError {
        BtfError::Type { id, offset: self.header.types.start + at, reason }
    }

    /// The base of a split BTF.
    pub fn base(&self) -> Option<&Arc<Btf>> {
        self.base.as_ref()
    }

    /// The first id of its own: 1, or the base's [`len`](Btf::len).
    pub fn start_id(&self) -> u32 {
        self.start_id
    }

    /// The number of types, void and the base's included: ids are `0..len()`.
    #[allow(clippy::len_without_is_empty, reason = "void is always there")]
    pub fn len(&self) -> u32 {
        self.start_id + self.body().offsets.len() as u32
    }

    /// The byte order that it was parsed from.
    pub fn endian(&self) -> Endian {
        self.header.endian
    }

    /// The bytes as they were parsed.
    pub fn raw_bytes(&self) -> &[u8] {
        &self.raw
    }

    /// The whole object in the given byte order, header and sections without gaps.
    pub fn to_bytes(&self, endian: Endian) -> Vec<u8> {
        let strings = &self.raw[self.header.strings.clone()];
        assemble(endian, self.type_section(), strings)
    }

    /// The size of a pointer in bytes, 4 or 8: that of `long` if there is one, else 8.
    pub fn pointer_size(&self) -> u32 {
        if let Some(base) = &self.base {
            return base.pointer_size();
        }
        *self.pointer_size.get_or_init(|| {
            // BTF from clang for BPF has no `long` at all, so look at the ints only.
            let long = self.types().find_map(|(_, ty)| match ty {
                Type::Int(int) if matches!(int.size, 4 | 8) && is_long(int.name) => Some(int.size),
                _ => None,
            });
            long.unwrap_or(8)
        })
    }

    /// States the size of a pointer, 4 or 8, where the ELF class tells it better
    /// than the types do.
    pub fn with_pointer_size(mut self, size: u32) -> Btf {
        self.pointer_size = OnceLock::from(size);
        self
    }

    /// The string at an offset: names, CO-RE access strings, source lines.
    pub fn string(&self, offset: u32) -> Result<&str, BtfError> {
        let own = match (u64::from(offset).checked_sub(self.start_string), &self.base) {
            (None, Some(base)) => return base.string(offset),
            (own, _) => own.and_then(|own| self.text().get(own as usize..)),
        };
        own.and_then(|rest| rest.split_once('\0'))
            .map(|(string, _)| string)
            .ok_or(BtfError::NoString { offset, len: self.strings_end() })
    }

    /// The strings as text.
    fn text(&self) -> &str {
        &self.body().strings
    }

    /// A string whose offset the parser has checked.
    pub(crate) fn checked_string(&self, offset: u32) -> &str {
        self.string(offset).unwrap_or("")
    }

    /// Whether a string starts or goes on at this offset.
    pub fn has_string(&self, offset: u32) -> bool {
        match (u64::from(offset).checked_sub(self.start_string), &self.base) {
            (None, Some(base)) => base.has_string(offset),
            (Some(own), _) => {
                own < self.text().len() as u64 && self.text().is_char_boundary(own as usize)
            }
            (None, None) => false,
        }
    }

    /// The end of the string offsets, the base's included.
    pub(crate) fn strings_end(&self) -> u64 {
        self.start_string + self.header.strings.len() as u64
    }

    /// Where each type of its own starts in the type section.
    pub(crate) fn type_offsets(&self) -> impl Iterator<Item = usize> {
        self.body().offsets.iter().map(|&offset| offset as usize)
    }

    /// The bytes of its own strings.
    pub(crate) fn string_section(&self) -> &[u8] {
        &self.raw[self.header.strings.clone()]
    }

    /// The types of its own, as little-endian words.
    pub(crate) fn type_section(&self) -> &[u8] {
        match &self.body().turned {
            Some(words) => words,
            None => &self.raw[self.header.types.clone()],
        }
    }

    fn record_end(&self, index: usize) -> usize {
        match self.body().offsets.get(index + 1) {
            Some(&next) => next as usize,
            None => self.type_section().len(),
        }
    }

    /// The bytes of a type, head and tail; `None` for void and beyond the end.
    pub(crate) fn record(&self, id: u32) -> Option<&[u8]> {
        let Some(index) = id.checked_sub(self.start_id) else {
            return self.base.as_ref()?.record(id);
        };
        if let Some(seen) = self.looked_at.as_deref().and_then(|all| all.get(index as usize)) {
            seen.store(true, Ordering::Relaxed);
        }
        self.own_record(index as usize)
    }

    /// The bytes of a type of its own, by its place; the same to whoever watches.
    fn own_record(&self, index: usize) -> Option<&[u8]> {
        let start = *self.body().offsets.get(index)? as usize;
        self.type_section().get(start..self.record_end(index))
    }

    /// The kind of a type, without decoding it.
    pub(crate) fn kind_of(&self, id: u32) -> Option<Kind> {
        match id {
            0 => Some(Kind::Void),
            _ => Info(word(self.record(id)?, 1)).kind(),
        }
    }

    /// The type with this id.
    pub fn type_by_id(&self, id: u32) -> Result<Type<'_>, BtfError> {
        if id == 0 {
            return Ok(Type::Void);
        }
        match (id.checked_sub(self.start_id), &self.base) {
            (None, Some(base)) => base.type_by_id(id),
            _ => match self.record(id) {
                Some(record) => Ok(Type::decode(self, record)),
                None => Err(BtfError::NoType { id, len: self.len() }),
            },
        }
    }

    /// All types of its own (not the base's) with their ids.
    pub fn types(&self) -> impl Iterator<Item = (u32, Type<'_>)> {
        (self.start_id..self.len())
            .filter_map(|id| Some((id, Type::decode(self, self.record(id)?))))
    }

    /// The tags of a declaration, of its own (not the base's): each with the member or
    /// argument that it is for, -1 for the whole. In the order of their ids.
    pub fn decl_tags(&self, target: u32) -> impl Iterator<Item = (&str, i32)> {
        let all = self.decl_tags.get_or_init(|| {
            let tagged = |index: usize| {
                let record = self.own_record(index)?;
                let is_tag = Info(word(record, 1)).kind() == Some(Kind::DeclTag);
                is_tag.then(|| (word(record, 2), self.start_id + index as u32))
            };
            let mut all: Vec<(u32, u32)> =
                (0..self.body().offsets.len()).filter_map(tagged).collect();
            all.sort_unstable();
            all
        });
        let first = all.partition_point(|&(other, _)| other < target);
        let own = all[first..].iter().take_while(move |&&(other, _)| other == target);
        own.filter_map(|&(_, id)| match self.type_by_id(id) {
            Ok(Type::DeclTag { name, component, .. }) => Some((name, component)),
            _ => None,
        })
    }

    /// The first type with exactly this name and kind; the base is searched first.
    pub fn find(&self, name: &str, kind: Kind) -> Option<u32> {
        let in_base = self.base.as_ref().and_then(|base| base.find(name, kind));
        in_base.or_else(|| {
            self.flavors(crate::index::essential_name(name))
                .find(|&id| self.kind_of(id) == Some(kind) && self.own_name(id) == Some(name))
        })
    }

    /// The types of its own (not the base's) whose name without `___flavor` is
    /// `essential`, of any kind, in the order of their ids.
    pub fn flavors(&self, essential: &str) -> impl Iterator<Item = u32> {
        let index = self.index.get_or_init(|| {
            let names = self.body().offsets.iter().map(|&at| {
                let name_off = word(&self.type_section()[at as usize..], 0);
                crate::index::essential_name(self.checked_string(name_off))
            });
            NameIndex::build(names)
        });
        index.candidates(essential).map(|index| self.start_id + index).filter(move |&id| {
            self.own_name(id).map(crate::index::essential_name) == Some(essential)
        })
    }

    fn own_name(&self, id: u32) -> Option<&str> {
        // Whoever only shares its bucket was not looked at.
        let record = self.own_record(id.checked_sub(self.start_id)? as usize)?;
        Some(self.checked_string(word(record, 0)))
    }
}

impl fmt::Debug for Btf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Btf")
            .field("endian", &self.header.endian)
            .field("ids", &(self.start_id..self.len()))
            .field("strings", &(self.start_string..self.strings_end()))
            .finish_non_exhaustive()
    }
}

/// Header, types (given as little-endian words) and strings as one section.
pub(crate) fn assemble(endian: Endian, types: &[u8], strings: &[u8]) -> Vec<u8> {
    let header = Header::write(endian, types.len() as u32, strings.len() as u32);
    let mut out = Vec::with_capacity(header.len() + types.len() + strings.len());
    out.extend_from_slice(&header);
    out.extend_from_slice(types);
    endian.turn(&mut out[header.len()..]);
    out.extend_from_slice(strings);
    out
}

/// The string section. Source lines in it may be in any encoding, so each byte
/// that is not UTF-8 becomes a `?`, which keeps all offsets. What lasts is not copied.
fn parse_strings(
    raw: &[u8],
    lasting: Option<&'static [u8]>,
    header: &Header,
    is_split: bool,
) -> Result<Cow<'static, str>, BtfError> {
    let bytes = &raw[header.strings.clone()];
    let wrong = |offset: usize, expected| BtfError::Header {
        field: "the string section",
        offset,
        value: raw.get(offset).copied().unwrap_or(0).into(),
        expected,
    };
    match (bytes, is_split) {
        ([], true) => return Ok(Cow::Borrowed("")),
        ([], false) => return Err(wrong(header.strings.start, "at least the empty string")),
        ([first, ..], false) if *first != 0 => {
            let expected = "the empty string first (split BTF, which needs its base, has none)";
            return Err(wrong(header.strings.start, expected));
        }
        ([.., last], _) if *last != 0 => {
            return Err(wrong(header.strings.end - 1, "a NUL at the end"));
        }
        _ => {}
    }
    // Nearly always all of it is: a test of many bytes at a time.
    let all = match lasting {
        Some(raw) => std::str::from_utf8(&raw[header.strings.clone()]).map(Cow::Borrowed),
        None => std::str::from_utf8(bytes).map(|text| Cow::Owned(text.to_owned())),
    };
    if let Ok(text) = all {
        return Ok(text);
    }
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        text.extend(chunk.invalid().iter().map(|_| '?'));
    }
    Ok(Cow::Owned(text))
}

/// Whether a C compiler calls `long`, signed or not, by this name.
fn is_long(name: &str) -> bool {
    let words = || name.split(' ');
    words().filter(|&word| word == "long").count() == 1
        && words().all(|word| matches!(word, "long" | "int" | "unsigned"))
}
