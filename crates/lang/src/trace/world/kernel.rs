//! Types of the running kernel, from its BTF.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

use skep_btf::{Btf, Kind, Type};

use crate::trace::ast::Name;
use crate::trace::c::{CEnum, CFunction, CMember, CRecord, CType};

/// Types are followed at most so far.
const FARTHEST: u32 = 64;

/// Types of a kernel.
pub(super) struct KernelTypes {
    btf: Btf,
}

impl KernelTypes {
    /// Reads `/sys/kernel/btf/vmlinux` or what stands for it.
    pub(super) fn read(path: &std::path::Path) -> Option<KernelTypes> {
        let bytes = std::fs::read(path).ok()?;
        Some(KernelTypes { btf: Btf::parse(bytes).ok()? })
    }

    fn named(&self, name: &str, kinds: &[Kind]) -> Option<(u32, Type<'_>)> {
        let id = kinds.iter().find_map(|kind| self.btf.find(name, *kind))?;
        Some((id, self.btf.type_by_id(id).ok()?))
    }

    /// A type by its number.
    fn c_type(&self, id: u32) -> Option<CType> {
        let (mut id, mut tags) = (id, Vec::new());
        for _ in 0..FARTHEST {
            let of = self.btf.type_by_id(id).ok()?;
            match of {
                Type::Volatile { target } | Type::Const { target } | Type::Restrict { target } => {
                    id = target;
                }
                Type::TypeTag { name, target, .. } => {
                    tags.push(Name::from(name));
                    id = target;
                }
                _ => return self.plain(id, &of),
            }
        }
        None
    }

    fn plain(&self, id: u32, of: &Type<'_>) -> Option<CType> {
        Some(match of {
            Type::Int(int) if int.is_bool() => CType::Bool,
            Type::Int(int) if int.is_char() && int.is_signed() => CType::Char,
            Type::Int(int) => {
                CType::Int { size: u8::try_from(int.size).ok()?, signed: int.is_signed() }
            }
            Type::Float { size, .. } => CType::Float(u8::try_from(*size).ok()?),
            Type::Enum(of) | Type::Enum64(of) if of.name.is_empty() => {
                CType::Int { size: u8::try_from(of.size).ok()?, signed: of.signed }
            }
            Type::Enum(of) | Type::Enum64(of) => CType::Enum(of.name.into()),
            Type::Struct(of) => CType::Record(record_name("struct", of.name, id)),
            Type::Union(of) => CType::Record(record_name("union", of.name, id)),
            Type::Fwd { name, is_union } => {
                let kind = if *is_union { "union" } else { "struct" };
                CType::Record(record_name(kind, name, id))
            }
            Type::Typedef { name, .. } => CType::Typedef((*name).into()),
            Type::Ptr { target } => {
                let to = self.pointee(*target)?;
                CType::Pointer(Box::new(to.0), to.1)
            }
            Type::Array(array) => {
                CType::Array(Box::new(self.c_type(array.element)?), u64::from(array.len))
            }
            _ => CType::Void,
        })
    }

    /// What a pointer points to, and its attributes.
    fn pointee(&self, id: u32) -> Option<(CType, Arc<[Name]>)> {
        let (mut at, mut tags) = (id, Vec::new());
        for _ in 0..FARTHEST {
            match self.btf.type_by_id(at).ok()? {
                Type::Void => return Some((CType::Void, tags.into())),
                Type::TypeTag { name, target, .. } => {
                    tags.push(Name::from(name));
                    at = target;
                }
                Type::Volatile { target } | Type::Const { target } | Type::Restrict { target } => {
                    at = target;
                }
                _ => break,
            }
        }
        Some((self.c_type(at)?, tags.into()))
    }

    /// A structure or union.
    pub(super) fn record(&self, name: &str) -> Option<Arc<CRecord>> {
        let (kind, tag) = name.split_once(' ')?;
        let kind = if kind == "union" { Kind::Union } else { Kind::Struct };
        let id = match tag.strip_prefix("(unnamed ") {
            Some(rest) => rest.strip_suffix(')')?.parse().ok()?,
            None => self.btf.find(tag, kind)?,
        };
        let of = self.btf.type_by_id(id).ok()?.composite()?;
        let mut members = Vec::new();
        for member in of.members.iter() {
            let bits = self.btf.bitfield(&member).ok()?;
            members.push(CMember {
                name: member.name.into(),
                of: self.c_type(member.type_id)?,
                bit: bits.map_or(u64::from(member.bit_offset), |bits| bits.offset),
                width: bits.and_then(|bits| u8::try_from(bits.size).ok()),
            });
        }
        Some(Arc::new(CRecord {
            name: name.into(),
            anonymous: of.name.is_empty(),
            size: u64::from(of.size),
            align: 8,
            members,
        }))
    }

    /// A typedef or a base type.
    pub(super) fn typedef(&self, name: &str) -> Option<CType> {
        let (id, of) = self.named(name, &[Kind::Typedef, Kind::Int])?;
        match of {
            Type::Typedef { target, .. } => self.c_type(target),
            of => self.plain(id, &of),
        }
    }

    /// An enumeration.
    pub(super) fn enumeration(&self, name: &str) -> Option<Arc<CEnum>> {
        let (_, of) = self.named(name, &[Kind::Enum, Kind::Enum64])?;
        let of = of.enumeration()?;
        let values = of.enumerators.iter().map(|one| (one.name.into(), one.value as i64));
        Some(Arc::new(CEnum { name: name.into(), values: values.collect() }))
    }

    /// Enumerations that have a constant of one of these names.
    pub(super) fn enumerations_with(&self, words: &HashSet<Name>) -> Vec<Arc<CEnum>> {
        let mut found = Vec::new();
        for (id, of) in self.btf.types() {
            if !matches!(of.kind(), Kind::Enum | Kind::Enum64) {
                continue;
            }
            let Some(of) = of.enumeration() else { continue };
            if !of.enumerators.iter().any(|one| words.contains(one.name)) {
                continue;
            }
            let name = match of.name {
                "" => format!("(unnamed of the kernel {id})").into(),
                name => name.into(),
            };
            let values = of.enumerators.iter().map(|one| (one.name.into(), one.value as i64));
            found.push(Arc::new(CEnum { name, values: values.collect() }));
        }
        found
    }

    /// A function.
    pub(super) fn function(&self, name: &str) -> Option<CFunction> {
        let (_, of) = self.named(name, &[Kind::Func])?;
        let Type::Func { proto, .. } = of else {
            return None;
        };
        self.prototype(proto)
    }

    fn prototype(&self, id: u32) -> Option<CFunction> {
        let Type::FuncProto(proto) = self.btf.type_by_id(id).ok()? else {
            return None;
        };
        let mut parameters = Vec::new();
        for parameter in proto.params.iter() {
            parameters.push((parameter.name.into(), self.c_type(parameter.type_id)?));
        }
        let result = match proto.ret {
            0 => CType::Void,
            ret => self.c_type(ret)?,
        };
        Some(CFunction { parameters, result })
    }

    /// A raw tracepoint's arguments, by the type of its handlers.
    pub(super) fn raw_tracepoint(&self, event: &str) -> Option<CFunction> {
        let id = self.btf.find(&format!("btf_trace_{event}"), Kind::Typedef)?;
        let mut at = id;
        for _ in 0..FARTHEST {
            match self.btf.type_by_id(at).ok()? {
                Type::Typedef { target, .. } | Type::Ptr { target } => at = target,
                Type::FuncProto(_) => return self.prototype(at),
                _ => return None,
            }
        }
        None
    }

    /// A variable.
    pub(super) fn variable(&self, name: &str) -> Option<CType> {
        match self.named(name, &[Kind::Var])?.1 {
            Type::Var { target, .. } => self.c_type(target),
            _ => None,
        }
    }

    /// Names of a kind that begin so, without that.
    pub(super) fn names(&self, kind: Kind, prefix: &str) -> Vec<Name> {
        let mut found = BTreeSet::new();
        for (_, of) in self.btf.types() {
            if of.kind() == kind
                && let Some(rest) = of.name().strip_prefix(prefix)
            {
                found.insert(Name::from(rest));
            }
        }
        found.into_iter().collect()
    }
}

fn record_name(kind: &str, name: &str, id: u32) -> Name {
    if name.is_empty() {
        return format!("{kind} (unnamed {id})").into();
    }
    format!("{kind} {name}").into()
}
