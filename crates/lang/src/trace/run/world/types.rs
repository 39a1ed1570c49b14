//! The kernel's types, as BTF has them, as C.

use std::sync::Arc;

use skep_btf::{Btf, Kind, Type};

use super::super::super::ast::Name;
use super::super::super::c::{CEnum, CFunction, CMember, CRecord, CType};

/// In front of the number of a structure or union without a name.
const ANONYMOUS: &str = "__anonymous_";

/// Types are followed at most so far.
const FARTHEST: usize = 32;

/// The kernel's types.
pub struct Types<'a>(pub &'a Btf);

impl Types<'_> {
    /// A type by its number.
    pub fn c_type(&self, id: u32) -> CType {
        let (mut id, mut tags) = (id, Vec::new());
        for _ in 0..FARTHEST {
            let Ok(of) = self.0.type_by_id(id) else { return CType::Void };
            return match of {
                Type::Const { target }
                | Type::Volatile { target }
                | Type::Restrict { target } => {
                    id = target;
                    continue;
                }
                Type::TypeTag { name, target, .. } => {
                    tags.push(Name::from(name));
                    id = target;
                    continue;
                }
                Type::Int(of) => int(of.name, of.size, of.encoding),
                Type::Float { size, .. } => CType::Float(size as u8),
                Type::Ptr { target } => {
                    let tags = self.tags(target);
                    CType::Pointer(Box::new(self.c_type(target)), tags.into())
                }
                Type::Array(array) => {
                    CType::Array(Box::new(self.c_type(array.element)), u64::from(array.len))
                }
                Type::Struct(of) => CType::Record(record_name("struct", of.name, id)),
                Type::Union(of) => CType::Record(record_name("union", of.name, id)),
                Type::Fwd { name, is_union } => {
                    let word = if is_union { "union" } else { "struct" };
                    CType::Record(record_name(word, name, id))
                }
                Type::Enum(of) | Type::Enum64(of) => CType::Enum(of.name.into()),
                Type::Typedef { name, .. } => CType::Typedef(name.into()),
                _ => CType::Void,
            };
        }
        CType::Void
    }

    /// The attributes of what a pointer points to.
    fn tags(&self, id: u32) -> Vec<Name> {
        let (mut id, mut tags) = (id, Vec::new());
        for _ in 0..FARTHEST {
            match self.0.type_by_id(id) {
                Ok(Type::TypeTag { name, target, .. }) => {
                    tags.push(name.into());
                    id = target;
                }
                Ok(
                    Type::Const { target }
                    | Type::Volatile { target }
                    | Type::Restrict { target },
                ) => id = target,
                _ => break,
            }
        }
        tags
    }

    /// A structure or union by its name.
    pub fn record(&self, name: &str) -> Option<Arc<CRecord>> {
        let (word, plain) = name.split_once(' ')?;
        let kind = if word == "union" { Kind::Union } else { Kind::Struct };
        let id = match plain.strip_prefix(ANONYMOUS) {
            Some(number) => number.parse().ok()?,
            None => self.0.find(plain, kind)?,
        };
        let (Type::Struct(of) | Type::Union(of)) = self.0.type_by_id(id).ok()? else {
            return None;
        };
        let member = |member: skep_btf::Member<'_>| CMember {
            name: member.name.into(),
            of: self.c_type(member.type_id),
            bit: u64::from(member.bit_offset),
            width: (member.bitfield_size > 0).then_some(member.bitfield_size),
        };
        // BTF has no alignments; the size says what they can be.
        let align = [8, 4, 2].into_iter().find(|align| of.size % align == 0).unwrap_or(1);
        Some(Arc::new(CRecord {
            name: name.into(),
            anonymous: of.name.is_empty(),
            size: u64::from(of.size),
            align: u64::from(align),
            members: of.members.iter().map(member).collect(),
        }))
    }

    /// A typedef, or a base type.
    pub fn typedef(&self, name: &str) -> Option<CType> {
        if let Some(id) = self.0.find(name, Kind::Typedef)
            && let Ok(Type::Typedef { target, .. }) = self.0.type_by_id(id)
        {
            return Some(self.c_type(target));
        }
        self.0.find(name, Kind::Int).map(|id| self.c_type(id))
    }

    /// An enumeration.
    pub fn enumeration(&self, name: &str) -> Option<Arc<CEnum>> {
        let id = self.0.find(name, Kind::Enum).or_else(|| self.0.find(name, Kind::Enum64))?;
        let (Type::Enum(of) | Type::Enum64(of)) = self.0.type_by_id(id).ok()? else {
            return None;
        };
        let values = of.enumerators.iter().map(|of| (of.name.into(), of.value as i64));
        Some(Arc::new(CEnum { name: name.into(), values: values.collect() }))
    }

    /// A function's parameters and result.
    pub fn function(&self, name: &str) -> Option<CFunction> {
        let id = self.0.find(name, Kind::Func)?;
        let Type::Func { proto, .. } = self.0.type_by_id(id).ok()? else { return None };
        self.prototype(proto)
    }

    /// The parameters of an event, without the first, which is the tracer's own.
    pub fn event(&self, name: &str) -> Option<CFunction> {
        let id = self.0.find(&format!("btf_trace_{name}"), Kind::Typedef)?;
        let Type::Typedef { target, .. } = self.0.type_by_id(id).ok()? else { return None };
        let Type::Ptr { target } = self.0.type_by_id(target).ok()? else { return None };
        let mut function = self.prototype(target)?;
        if !function.parameters.is_empty() {
            function.parameters.remove(0);
        }
        Some(function)
    }

    fn prototype(&self, id: u32) -> Option<CFunction> {
        let Type::FuncProto(of) = self.0.type_by_id(id).ok()? else { return None };
        let parameters =
            of.params.iter().map(|of| (of.name.into(), self.c_type(of.type_id))).collect();
        Some(CFunction { parameters, result: self.c_type(of.ret) })
    }

    /// A variable's type.
    pub fn variable(&self, name: &str) -> Option<CType> {
        let id = self.0.find(name, Kind::Var)?;
        let Type::Var { target, .. } = self.0.type_by_id(id).ok()? else { return None };
        Some(self.c_type(target))
    }

    /// Names of types of a kind that begin with a prefix, without it.
    pub fn with_prefix(&self, kind: Kind, prefix: &str) -> Vec<Name> {
        let name = |(_, of): (u32, Type<'_>)| {
            let name = match (kind, of) {
                (Kind::Typedef, Type::Typedef { name, .. }) => name,
                (Kind::Struct, Type::Struct(of)) => of.name,
                (Kind::Func, Type::Func { name, .. }) => name,
                _ => return None,
            };
            name.strip_prefix(prefix).map(Name::from)
        };
        self.0.types().filter_map(name).collect()
    }
}

fn record_name(word: &str, name: &str, id: u32) -> Name {
    match name {
        "" => format!("{word} {ANONYMOUS}{id}").into(),
        _ => format!("{word} {name}").into(),
    }
}

fn int(name: &str, size: u32, encoding: u8) -> CType {
    const SIGNED: u8 = 1;
    const BOOL: u8 = 4;
    match name {
        _ if encoding & BOOL != 0 => CType::Bool,
        "char" => CType::Char,
        _ => CType::Int { size: size as u8, signed: encoding & SIGNED != 0 },
    }
}
