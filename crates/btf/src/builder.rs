//! Writes BTF: types one after the other, strings once each.
//!
//! Ids are given out in order, so a type may name one that comes later. What is
//! written is checked once, by parsing it, in [`Builder::build`]. A builder that
//! starts from a parsed object keeps all its ids and string offsets, which is
//! how a loader completes an object's BTF (section sizes, variables' offsets).

use std::sync::Arc;

use rustc_hash::FxHashMap;

use crate::btf::assemble;
use crate::wire::{Endian, Info, TYPE_LEN, word};
use crate::{Btf, BtfError, FuncLinkage, Int, Kind, Member, SecVar, Type, VarLinkage};

/// A BTF object in the making.
#[derive(Debug, Default)]
pub struct Builder {
    base: Option<Arc<Btf>>,
    /// Little-endian words.
    types: Vec<u8>,
    /// Where each type starts in `types`.
    offsets: Vec<usize>,
    /// Its own strings, each ended by a NUL.
    strings: Vec<u8>,
    known: FxHashMap<String, u32>,
}

impl Builder {
    /// An empty object.
    pub fn new() -> Builder {
        Builder { strings: vec![0], ..Builder::default() }
    }

    /// An empty split BTF that continues `base`.
    pub fn with_base(base: Arc<Btf>) -> Builder {
        Builder { base: Some(base), ..Builder::default() }
    }

    /// All that `btf` has of its own, with its ids and string offsets.
    pub fn from_btf(btf: &Btf) -> Builder {
        let mut builder = Builder {
            base: btf.base().cloned(),
            types: btf.type_section().to_vec(),
            offsets: btf.type_offsets().collect(),
            strings: btf.string_section().to_vec(),
            known: FxHashMap::default(),
        };
        let mut offset = builder.strings_start();
        for bytes in btf.string_section().split_inclusive(|&byte| byte == 0) {
            if let Ok(text) = std::str::from_utf8(&bytes[..bytes.len() - 1]) {
                builder.known.entry(text.to_string()).or_insert(offset);
            }
            offset += bytes.len() as u32;
        }
        builder
    }

    fn strings_start(&self) -> u32 {
        self.base.as_ref().map_or(0, |base| base.strings_end() as u32)
    }

    /// The id that the next type will get.
    pub fn next_id(&self) -> u32 {
        self.base.as_ref().map_or(1, |base| base.len()) + self.offsets.len() as u32
    }

    /// The offset of a string, which is stored if it is new. What follows a NUL in it is lost.
    pub fn string(&mut self, text: &str) -> u32 {
        let text = text.split('\0').next().unwrap_or("");
        if text.is_empty() {
            return 0;
        }
        if let Some(&offset) = self.known.get(text) {
            return offset;
        }
        let offset = self.strings_start() + self.strings.len() as u32;
        self.strings.extend_from_slice(text.as_bytes());
        self.strings.push(0);
        self.known.insert(text.to_string(), offset);
        offset
    }

    /// Adds a type: its head, and the words behind it.
    fn add(&mut self, name: &str, info: Info, third: u32, tail: &[u32]) -> u32 {
        let id = self.next_id();
        let head = [self.string(name), info.0, third];
        self.offsets.push(self.types.len());
        for word in head.iter().chain(tail) {
            self.types.extend_from_slice(&word.to_le_bytes());
        }
        id
    }

    fn add_plain(&mut self, kind: Kind, name: &str, third: u32) -> u32 {
        self.add(name, Info::new(kind, 0, false), third, &[])
    }

    /// An integer of `size` bytes; `encoding` as in [`Int`].
    pub fn int(&mut self, name: &str, size: u32, encoding: u8) -> u32 {
        let data = u32::from(encoding & 0xf) << 24 | size.saturating_mul(8).min(255);
        self.add(name, Info::new(Kind::Int, 0, false), size, &[data])
    }

    /// A floating-point number of `size` bytes.
    pub fn float(&mut self, name: &str, size: u32) -> u32 {
        self.add_plain(Kind::Float, name, size)
    }

    /// A pointer.
    pub fn ptr(&mut self, target: u32) -> u32 {
        self.add_plain(Kind::Ptr, "", target)
    }

    /// `const`, `volatile` or `restrict`; other kinds make no sense here.
    pub fn qualifier(&mut self, kind: Kind, target: u32) -> u32 {
        self.add_plain(kind, "", target)
    }

    /// An array.
    pub fn array(&mut self, element: u32, index: u32, len: u32) -> u32 {
        self.add("", Info::new(Kind::Array, 0, false), 0, &[element, index, len])
    }

    /// A struct of `size` bytes. At most 65535 members count.
    pub fn structure(&mut self, name: &str, size: u32, members: &[Member<'_>]) -> u32 {
        self.composite(Kind::Struct, name, size, members)
    }

    /// A union of `size` bytes. At most 65535 members count.
    pub fn union(&mut self, name: &str, size: u32, members: &[Member<'_>]) -> u32 {
        self.composite(Kind::Union, name, size, members)
    }

    fn composite(&mut self, kind: Kind, name: &str, size: u32, members: &[Member<'_>]) -> u32 {
        let members = bounded(members);
        let has_bitfields = members.iter().any(|member| member.bitfield_size != 0);
        let mut tail = Vec::with_capacity(3 * members.len());
        for member in members {
            let offset = match has_bitfields {
                true => u32::from(member.bitfield_size) << 24 | member.bit_offset & 0xff_ffff,
                false => member.bit_offset,
            };
            tail.extend([self.string(member.name), member.type_id, offset]);
        }
        let info = Info::new(kind, members.len() as u16, has_bitfields);
        self.add(name, info, size, &tail)
    }

    /// An enum of `size` bytes: an `Enum64` if that is 8.
    pub fn enumeration(
        &mut self,
        name: &str,
        size: u32,
        signed: bool,
        values: &[(&str, u64)],
    ) -> u32 {
        let values = bounded(values);
        let mut tail = Vec::with_capacity(3 * values.len());
        for &(name, value) in values {
            tail.extend([self.string(name), value as u32]);
            if size == 8 {
                tail.push((value >> 32) as u32);
            }
        }
        let kind = if size == 8 { Kind::Enum64 } else { Kind::Enum };
        self.add(name, Info::new(kind, values.len() as u16, signed), size, &tail)
    }

    /// A forward declaration.
    pub fn forward(&mut self, name: &str, is_union: bool) -> u32 {
        self.add(name, Info::new(Kind::Fwd, 0, is_union), 0, &[])
    }

    /// A typedef.
    pub fn typedef(&mut self, name: &str, target: u32) -> u32 {
        self.add_plain(Kind::Typedef, name, target)
    }

    /// A function's type; a last parameter `("", 0)` is `...`.
    pub fn func_proto(&mut self, ret: u32, params: &[(&str, u32)]) -> u32 {
        let params = bounded(params);
        let mut tail = Vec::with_capacity(2 * params.len());
        for &(name, type_id) in params {
            tail.extend([self.string(name), type_id]);
        }
        self.add("", Info::new(Kind::FuncProto, params.len() as u16, false), ret, &tail)
    }

    /// A function.
    pub fn func(&mut self, name: &str, proto: u32, linkage: FuncLinkage) -> u32 {
        self.add(name, Info::new(Kind::Func, linkage.number(), false), proto, &[])
    }

    /// A variable.
    pub fn var(&mut self, name: &str, target: u32, linkage: VarLinkage) -> u32 {
        self.add(name, Info::new(Kind::Var, 0, false), target, &[linkage.number()])
    }

    /// A section of variables.
    pub fn datasec(&mut self, name: &str, size: u32, vars: &[SecVar]) -> u32 {
        let vars = bounded(vars);
        let tail = words_of(vars);
        self.add(name, Info::new(Kind::DataSec, vars.len() as u16, false), size, &tail)
    }

    /// A declaration tag; `component` -1 tags all of `target`.
    pub fn decl_tag(&mut self, name: &str, target: u32, component: i32, is_attribute: bool) -> u32 {
        let info = Info::new(Kind::DeclTag, 0, is_attribute);
        self.add(name, info, target, &[component as u32])
    }

    /// A type tag.
    pub fn type_tag(&mut self, name: &str, target: u32, is_attribute: bool) -> u32 {
        self.add(name, Info::new(Kind::TypeTag, 0, is_attribute), target, &[])
    }

    /// Copies a type of any object; `map` gives the ids here for the ids there.
    /// Void, which needs no copy, is 0.
    pub fn copy(&mut self, ty: &Type<'_>, map: impl Fn(u32) -> u32) -> u32 {
        match *ty {
            Type::Void => 0,
            Type::Int(Int { name, size, encoding, bit_offset, bits }) => {
                let data =
                    u32::from(encoding) << 24 | u32::from(bit_offset) << 16 | u32::from(bits);
                self.add(name, Info::new(Kind::Int, 0, false), size, &[data])
            }
            Type::Ptr { target } => self.ptr(map(target)),
            Type::Array(array) => self.array(map(array.element), map(array.index), array.len),
            Type::Struct(composite) | Type::Union(composite) => {
                let members: Vec<Member<'_>> = composite
                    .members
                    .iter()
                    .map(|member| Member { type_id: map(member.type_id), ..member })
                    .collect();
                self.composite(ty.kind(), composite.name, composite.size, &members)
            }
            Type::Enum(view) | Type::Enum64(view) => {
                let width = if ty.kind() == Kind::Enum64 { 3 } else { 2 };
                let mut tail = Vec::with_capacity(width * view.enumerators.len());
                for enumerator in view.enumerators.iter() {
                    let value = enumerator.value;
                    let words = [self.string(enumerator.name), value as u32, (value >> 32) as u32];
                    tail.extend_from_slice(&words[..width]);
                }
                let info = Info::new(ty.kind(), view.enumerators.len() as u16, view.signed);
                self.add(view.name, info, view.size, &tail)
            }
            Type::Fwd { name, is_union } => self.forward(name, is_union),
            Type::Typedef { name, target } => self.typedef(name, map(target)),
            Type::Volatile { target } | Type::Const { target } | Type::Restrict { target } => {
                self.qualifier(ty.kind(), map(target))
            }
            Type::Func { name, proto, linkage } => self.func(name, map(proto), linkage),
            Type::FuncProto(proto) => {
                let params: Vec<(&str, u32)> =
                    proto.params.iter().map(|param| (param.name, map(param.type_id))).collect();
                self.func_proto(map(proto.ret), &params)
            }
            Type::Var { name, target, linkage } => self.var(name, map(target), linkage),
            Type::DataSec(section) => {
                let vars: Vec<SecVar> = section
                    .vars
                    .iter()
                    .map(|var| SecVar { type_id: map(var.type_id), ..var })
                    .collect();
                self.datasec(section.name, section.size, &vars)
            }
            Type::Float { name, size } => self.float(name, size),
            Type::DeclTag { name, target, component, is_attribute } => {
                self.decl_tag(name, map(target), component, is_attribute)
            }
            Type::TypeTag { name, target, is_attribute } => {
                self.type_tag(name, map(target), is_attribute)
            }
        }
    }

    /// Gives a section its size, and its variables (as many as it has) theirs.
    pub fn set_datasec(&mut self, id: u32, size: u32, vars: &[SecVar]) -> Result<(), BtfError> {
        let start = self.place(id, Kind::DataSec, "a data section")?;
        let has = Info(word(&self.types[start..], 1)).vlen();
        if vars.len() != usize::from(has) {
            return Err(BtfError::Type {
                id,
                offset: start,
                reason: format!("{} variables for a section of {has}", vars.len()),
            });
        }
        self.put(start + 8, &[size]);
        self.put(start + TYPE_LEN, &words_of(vars));
        Ok(())
    }

    /// Gives a variable another type and linkage.
    pub fn set_var(&mut self, id: u32, target: u32, linkage: VarLinkage) -> Result<(), BtfError> {
        let start = self.place(id, Kind::Var, "a variable")?;
        self.put(start + 8, &[target, linkage.number()]);
        Ok(())
    }

    /// Gives a function another prototype and linkage.
    pub fn set_func(&mut self, id: u32, proto: u32, linkage: FuncLinkage) -> Result<(), BtfError> {
        let start = self.place(id, Kind::Func, "a function")?;
        let info = Info::new(Kind::Func, linkage.number(), false);
        self.put(start + 4, &[info.0, proto]);
        Ok(())
    }

    /// Names a parameter of a prototype.
    pub fn set_param_name(&mut self, id: u32, index: usize, name: &str) -> Result<(), BtfError> {
        let start = self.place(id, Kind::FuncProto, "a prototype")?;
        let has = usize::from(Info(word(&self.types[start..], 1)).vlen());
        if index >= has {
            return Err(BtfError::Type {
                id,
                offset: start,
                reason: format!("no parameter {index} among {has}"),
            });
        }
        let name_off = self.string(name);
        self.put(start + TYPE_LEN + 8 * index, &[name_off]);
        Ok(())
    }

    /// Names a type.
    pub fn set_name(&mut self, id: u32, name: &str) -> Result<(), BtfError> {
        let start = self.start_of(id)?;
        let name_off = self.string(name);
        self.put(start, &[name_off]);
        Ok(())
    }

    fn start_of(&self, id: u32) -> Result<usize, BtfError> {
        let first = self.next_id() - self.offsets.len() as u32;
        id.checked_sub(first)
            .and_then(|index| self.offsets.get(index as usize).copied())
            .ok_or(BtfError::NoType { id, len: self.next_id() })
    }

    /// Where a type of the given kind starts.
    fn place(&self, id: u32, kind: Kind, expected: &'static str) -> Result<usize, BtfError> {
        let start = self.start_of(id)?;
        match Info(word(&self.types[start..], 1)).kind() {
            Some(found) if found == kind => Ok(start),
            found => Err(BtfError::Kind { id, kind: found.unwrap_or(Kind::Void), expected }),
        }
    }

    fn put(&mut self, at: usize, words: &[u32]) {
        for (place, word) in self.types[at..].as_chunks_mut::<4>().0.iter_mut().zip(words) {
            *place = word.to_le_bytes();
        }
    }

    /// The `.BTF` section, unchecked.
    pub fn to_bytes(&self, endian: Endian) -> Vec<u8> {
        assemble(endian, &self.types, &self.strings)
    }

    /// The finished object; fails if a type names an id or a string that is not there.
    pub fn build(self) -> Result<Btf, BtfError> {
        let bytes = self.to_bytes(Endian::NATIVE);
        match self.base {
            Some(base) => Btf::parse_split(bytes, base),
            None => Btf::parse(bytes),
        }
    }
}

/// As many records as the format can count.
fn bounded<T>(records: &[T]) -> &[T] {
    &records[..records.len().min(usize::from(u16::MAX))]
}

fn words_of(vars: &[SecVar]) -> Vec<u32> {
    vars.iter().flat_map(|var| [var.type_id, var.offset, var.size]).collect()
}
