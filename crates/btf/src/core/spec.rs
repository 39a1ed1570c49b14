//! Which field, type or enumerator a record means, in the object's types and in
//! the kernel's.
//!
//! A spec keeps the access as written (`raw`) and its turning points only
//! (`accessors`: named members and array elements), because anonymous structs
//! may differ between the two sides. Counterpart: `bpf_core_parse_spec` and
//! `bpf_core_spec_match`.

use std::fmt;

use super::compat::Compat;
use super::{Problem, Relocation, RelocationKind, essential_name};
use crate::layout::{MAX_CHAIN, nesting};
use crate::{Array, Btf, BtfError, Type};

/// libbpf's `BPF_CORE_SPEC_MAX_LEN`.
const MAX_LEN: usize = 64;

/// A turning point on the way to the field.
#[derive(Clone, Copy, Debug)]
pub(super) struct Accessor<'a> {
    /// The struct or union, or the type of the array's elements.
    pub type_id: u32,
    /// The member or the element.
    pub index: u32,
    /// The member's (or enumerator's) name; `None` for an array element.
    pub name: Option<&'a str>,
}

#[derive(Clone, Debug)]
pub(super) struct Spec<'a> {
    pub btf: &'a Btf,
    pub kind: RelocationKind,
    /// The type that it starts from, typedefs and all.
    pub root: u32,
    pub accessors: Vec<Accessor<'a>>,
    pub raw: Vec<i32>,
    /// Modulo 2^32, as libbpf computes it.
    pub bit_offset: u32,
}

impl<'a> Spec<'a> {
    fn new(btf: &'a Btf, kind: RelocationKind, root: u32) -> Spec<'a> {
        Spec { btf, kind, root, accessors: Vec::new(), raw: Vec::new(), bit_offset: 0 }
    }

    /// What a record means in the object's own types.
    pub fn parse(btf: &'a Btf, relocation: &Relocation) -> Result<Spec<'a>, Problem> {
        let kind = relocation.kind;
        let text = btf.string(relocation.access_str_off)?;
        let mut spec = Spec::new(btf, kind, relocation.type_id);
        if kind.is_type() {
            btf.type_by_id(relocation.type_id)?;
            return match text {
                "0" => Ok(spec),
                _ => Err("the access string of a record about a type is not 0".into()),
            };
        }
        for index in text.split(':') {
            let Ok(index) = index.parse::<i32>() else {
                return Err(Problem::Bad(format!("bad access string {text:?}")));
            };
            if spec.raw.len() == MAX_LEN {
                return Err("an access string of more than 64 steps".into());
            }
            spec.raw.push(index);
        }
        let mut id = btf.resolve_modifiers(relocation.type_id)?;
        let first = spec.raw[0];
        if kind.is_enumval() {
            let enumerator = (spec.raw.len() == 1)
                .then(|| usize::try_from(first).ok())
                .flatten()
                .and_then(|index| btf.type_by_id(id).ok()?.enumeration()?.enumerators.get(index));
            let Some(enumerator) = enumerator else {
                return Err("it names no enumerator".into());
            };
            spec.accessors.push(Accessor {
                type_id: id,
                index: first as u32,
                name: Some(enumerator.name),
            });
            return Ok(spec);
        }

        spec.push_element(id, first as u32)?;
        for step in 1..spec.raw.len() {
            id = btf.resolve_modifiers(id)?;
            let index = spec.raw[step] as u32;
            match btf.type_by_id(id)? {
                Type::Struct(composite) | Type::Union(composite) => {
                    let Some(member) = composite.members.get(index as usize) else {
                        return Err(Problem::Bad(format!("[{id}] has no member {index}")));
                    };
                    spec.bit_offset = spec.bit_offset.wrapping_add(member.bit_offset);
                    if !member.name.is_empty() {
                        spec.accessors.push(Accessor {
                            type_id: id,
                            index,
                            name: Some(member.name),
                        });
                    }
                    id = member.type_id;
                }
                Type::Array(array) => {
                    if index >= array.len && !spec.at_flexible_array(&array) {
                        return Err(Problem::Bad(format!("[{id}] has no element {index}")));
                    }
                    id = btf.resolve_modifiers(array.element)?;
                    spec.push_element(id, index)?;
                }
                other => {
                    let reason = format!("step {step} goes into [{id}], a {}", other.kind());
                    return Err(Problem::Bad(reason));
                }
            }
        }
        Ok(spec)
    }

    /// Notes the element `index` of an array of the (resolved) type `id`.
    fn push_element(&mut self, id: u32, index: u32) -> Result<(), Problem> {
        self.accessors.push(Accessor { type_id: id, index, name: None });
        let bits = (self.btf.size_of(id)? as u32).wrapping_mul(8);
        self.bit_offset = self.bit_offset.wrapping_add(index.wrapping_mul(bits));
        Ok(())
    }

    /// Whether the array just reached is the flexible end of a struct.
    fn at_flexible_array(&self, array: &Array) -> bool {
        let Some(&Accessor { type_id, index, name: Some(_) }) = self.accessors.last() else {
            return false;
        };
        let members = match self.btf.type_by_id(type_id) {
            Ok(Type::Struct(composite) | Type::Union(composite)) => composite.members.len(),
            _ => return false,
        };
        array.len == 0 && index as usize + 1 == members
    }

    /// What this spec means starting from the type `id` of `target`; `None` if nothing.
    pub fn match_with<'t>(&self, target: &'t Btf, id: u32) -> Result<Option<Spec<'t>>, Problem> {
        let mut found = Spec::new(target, self.kind, id);
        let mut compat = Compat::new(self.btf, target);
        if self.kind.is_type() {
            let matches = match self.kind {
                RelocationKind::TypeMatches => compat.types_match(self.root, id)?,
                _ => compat.types_are_compatible(self.root, id)?,
            };
            return Ok(matches.then_some(found));
        }
        if self.kind.is_enumval() {
            return Ok(self.match_enumerator(&mut found)?.then_some(found));
        }
        let mut at = id;
        for (step, accessor) in self.accessors.iter().enumerate() {
            at = target.resolve_modifiers(at)?;
            if accessor.name.is_some() {
                match found.match_member(accessor, self.btf, at, &mut compat)? {
                    Some(member_type) => at = member_type,
                    None => return Ok(None),
                }
                continue;
            }
            // The first step indexes what the pointer points to, which is of the root type itself.
            if step > 0 {
                let Type::Array(array) = target.type_by_id(at)? else {
                    return Ok(None);
                };
                if accessor.index >= array.len && !found.at_flexible_array(&array) {
                    return Ok(None);
                }
                at = target.resolve_modifiers(array.element)?;
            }
            found.push_raw(accessor.index)?;
            found.push_element(at, accessor.index)?;
        }
        Ok(Some(found))
    }

    fn push_raw(&mut self, index: u32) -> Result<(), Problem> {
        if self.raw.len() == MAX_LEN {
            return Err("the kernel's type nests deeper than 64 levels".into());
        }
        self.raw.push(index as i32);
        Ok(())
    }

    /// Looks for the enumerator of the same name, flavours aside.
    fn match_enumerator(&self, found: &mut Spec<'_>) -> Result<bool, Problem> {
        let wanted = self.accessors.first().and_then(|accessor| accessor.name).unwrap_or("");
        let type_id = found.btf.resolve_modifiers(found.root)?;
        let Some(view) = found.btf.type_by_id(type_id)?.enumeration() else {
            return Ok(false);
        };
        for (index, enumerator) in view.enumerators.iter().enumerate() {
            if essential_name(enumerator.name) == essential_name(wanted) {
                found.accessors.push(Accessor {
                    type_id,
                    index: index as u32,
                    name: Some(enumerator.name),
                });
                found.raw.push(index as i32);
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Looks for a member of the same name and a compatible type in the struct or
    /// union `id`, anonymous members included, and gives its type.
    fn match_member(
        &mut self,
        wanted: &Accessor<'_>,
        local: &Btf,
        id: u32,
        compat: &mut Compat<'_>,
    ) -> Result<Option<u32>, Problem> {
        let id = self.btf.resolve_modifiers(id)?;
        let Some(composite) = self.btf.type_by_id(id)?.composite() else {
            return Ok(None);
        };
        for (index, member) in composite.members.iter().enumerate() {
            compat.spend(id)?;
            let before = (self.bit_offset, self.raw.len());
            self.push_raw(index as u32)?;
            self.bit_offset = self.bit_offset.wrapping_add(member.bit_offset);
            if member.name.is_empty() {
                if let Some(found) = self.match_member(wanted, local, member.type_id, compat)? {
                    return Ok(Some(found));
                }
            } else if Some(member.name) == wanted.name {
                let local_type = local
                    .type_by_id(wanted.type_id)?
                    .composite()
                    .and_then(|composite| composite.members.get(wanted.index as usize))
                    .map_or(0, |member| member.type_id);
                if !compat.fields_are_compatible(local_type, member.type_id)? {
                    return Ok(None);
                }
                self.accessors.push(Accessor {
                    type_id: id,
                    index: index as u32,
                    name: Some(member.name),
                });
                return Ok(Some(member.type_id));
            }
            self.bit_offset = before.0;
            self.raw.truncate(before.1);
        }
        Ok(None)
    }
}

/// The type of an array's elements, of however many dimensions it is; other types
/// are their own.
pub(super) fn innermost_element(btf: &Btf, id: u32) -> Result<u32, BtfError> {
    let mut at = btf.resolve_modifiers(id)?;
    for _ in 0..MAX_CHAIN {
        match btf.type_by_id(at)? {
            Type::Array(array) => at = btf.resolve_modifiers(array.element)?,
            _ => return Ok(at),
        }
    }
    Err(nesting(id, MAX_CHAIN))
}

impl fmt::Display for Spec<'_> {
    /// libbpf's form: `<byte_off> [7] struct task_struct.pid (0:4 @ offset 20)`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Ok(root) = self.btf.type_by_id(self.root) else {
            return write!(f, "<{}> [{}]", self.kind, self.root);
        };
        let name = match root.name() {
            "" => "<anon>",
            name => name,
        };
        write!(f, "<{}> [{}] {} {name}", self.kind, self.root, root.kind())?;
        if self.kind.is_type() {
            return Ok(());
        }
        if self.kind.is_enumval() {
            let enumerator = self.accessors.first().and_then(|accessor| {
                let view = self.btf.type_by_id(accessor.type_id).ok()?.enumeration()?;
                Some((view, view.enumerators.get(accessor.index as usize)?))
            });
            return match enumerator {
                Some((view, enumerator)) if view.signed => {
                    write!(f, "::{} = {}", enumerator.name, enumerator.value as i64)
                }
                Some((_, enumerator)) => write!(f, "::{} = {}", enumerator.name, enumerator.value),
                None => Ok(()),
            };
        }
        for (step, accessor) in self.accessors.iter().enumerate() {
            match accessor.name {
                Some(name) => write!(f, ".{name}")?,
                None if step > 0 || accessor.index > 0 => write!(f, "[{}]", accessor.index)?,
                None => {}
            }
        }
        let raw: Vec<String> = self.raw.iter().map(i32::to_string).collect();
        write!(f, " ({} @ offset {}", raw.join(":"), self.bit_offset / 8)?;
        match self.bit_offset % 8 {
            0 => f.write_str(")"),
            bits => write!(f, ".{bits})"),
        }
    }
}
