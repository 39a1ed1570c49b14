//! The part of a kernel's types that was looked at: what a set of objects needs.
//!
//! Who relocates and judges objects against [watched](Btf::watched) types learns which of
//! them had a say. A BTF of those gives the same answers to the same questions: types that
//! were looked at are whole, in the same order, and what they consist of is whole, too. A
//! pointer that nobody followed leads nowhere, and what is behind one that was followed is a
//! name, unless it was looked at itself.
//!
//! Counterpart: `bpftool gen min_core_btf`, which keeps what CO-RE records name. Verifying
//! asks for more: what functions take, what kernel objects point to, what is tagged.

use crate::{Btf, BtfError, Builder, Endian, Kind, Type};

/// How a type is kept.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Keep {
    No,
    /// A pointer, but not what it points to.
    Nowhere,
    /// A struct or union, by its name alone.
    Named,
    Whole,
}

/// Where a type is referred to from.
#[derive(Clone, Copy, PartialEq, Eq)]
enum From {
    /// As a part, so that its size counts.
    Part,
    /// From a pointer.
    Pointer,
}

/// The raw BTF of what was looked at in `btf`, in little-endian order.
///
/// # Errors
/// The types continue others, or are broken.
pub fn of(btf: &Btf) -> Result<Vec<u8>, BtfError> {
    if btf.base().is_some() {
        return Err(BtfError::Pack { reason: "types that continue others are no whole kernel's" });
    }
    // Before the walk below looks at more.
    let seen: Vec<u32> = (1..btf.len()).filter(|&id| btf.was_looked_at(id)).collect();
    let keep = closure(btf, &seen)?;
    let mut ids = vec![0; keep.len()];
    let mut next = 1;
    for (id, keep) in ids.iter_mut().zip(&keep) {
        if *keep != Keep::No {
            *id = next;
            next += 1;
        }
    }
    let new = |id: u32| ids.get(id as usize).copied().unwrap_or(0);
    let mut builder = Builder::new();
    for (id, keep) in (0..).zip(&keep) {
        let ty = btf.type_by_id(id)?;
        match (keep, ty) {
            (Keep::No, _) => {}
            (Keep::Nowhere, _) => {
                builder.ptr(0);
            }
            (Keep::Named, ty) => {
                builder.forward(ty.name(), ty.kind() == Kind::Union);
            }
            (Keep::Whole, Type::DataSec(section)) => {
                // Of the kernel's variables, those that matter.
                let kept = section.vars.iter().filter(|var| new(var.type_id) != 0);
                let vars: Vec<_> =
                    kept.map(|var| crate::SecVar { type_id: new(var.type_id), ..var }).collect();
                builder.datasec(section.name, section.size, &vars);
            }
            (Keep::Whole, ty) => {
                builder.copy(&ty, new);
            }
        }
    }
    Ok(builder.to_bytes(Endian::Little))
}

/// How each type is kept, so that all that `seen` consist of is there.
fn closure(btf: &Btf, seen: &[u32]) -> Result<Vec<Keep>, BtfError> {
    let mut keep = vec![Keep::No; btf.len() as usize];
    // Qualifiers and names are ways to what they stand for, and may be gone twice.
    let mut went_on = vec![false; btf.len() as usize];
    let mut to_do: Vec<(u32, From, bool)> = seen.iter().map(|&id| (id, From::Part, true)).collect();
    while let Some((id, from, is_seen)) = to_do.pop() {
        let (at, ty) = (id as usize, btf.type_by_id(id)?);
        if id == 0 {
            continue;
        }
        let wanted = match ty.kind() {
            _ if is_seen => Keep::Whole,
            Kind::Ptr => Keep::Nowhere,
            Kind::Struct | Kind::Union if from == From::Pointer && !ty.name().is_empty() => {
                Keep::Named
            }
            _ => Keep::Whole,
        };
        let is_first = keep[at] < wanted;
        keep[at] = keep[at].max(wanted);
        let stands_for = matches!(
            ty,
            Type::Typedef { .. }
                | Type::Volatile { .. }
                | Type::Const { .. }
                | Type::Restrict { .. }
                | Type::TypeTag { .. }
        );
        if stands_for {
            let again = from == From::Part && !std::mem::replace(&mut went_on[at], true);
            if is_first || again {
                to_do.extend(ty.target().map(|target| (target, from, false)));
            }
        } else if is_first && wanted == Keep::Whole {
            parts(&ty, |part, from| to_do.push((part, from, false)));
        }
    }
    Ok(keep)
}

/// What a type that is kept whole refers to.
fn parts(ty: &Type<'_>, mut each: impl FnMut(u32, From)) {
    match ty {
        Type::Ptr { target } => each(*target, From::Pointer),
        Type::Array(array) => {
            each(array.element, From::Part);
            each(array.index, From::Part);
        }
        Type::Struct(composite) | Type::Union(composite) => {
            composite.members.iter().for_each(|member| each(member.type_id, From::Part));
        }
        Type::FuncProto(proto) => {
            each(proto.ret, From::Part);
            proto.params.iter().for_each(|param| each(param.type_id, From::Part));
        }
        Type::Func { proto: target, .. }
        | Type::Var { target, .. }
        | Type::DeclTag { target, .. } => each(*target, From::Part),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Member;

    /// `struct inner { int x; }; struct outer { struct inner in; struct far *to; struct far
    /// *other; }; struct far { int y; }; struct alone { int z; };`
    fn sample() -> Btf {
        let mut builder = Builder::new();
        let int = builder.int("int", 4, 1);
        let (inner, far) = (int + 1, int + 2);
        let member =
            |name, type_id, bit_offset| Member { name, type_id, bit_offset, bitfield_size: 0 };
        assert_eq!(builder.structure("inner", 4, &[member("x", int, 0)]), inner);
        assert_eq!(builder.structure("far", 4, &[member("y", int, 0)]), far);
        let followed = builder.ptr(far);
        let ignored = builder.ptr(far);
        let members =
            [member("in", inner, 0), member("to", followed, 64), member("other", ignored, 128)];
        builder.structure("outer", 24, &members);
        builder.structure("alone", 4, &[member("z", int, 0)]);
        Btf::parse(builder.to_bytes(Endian::Little)).unwrap().watched()
    }

    #[test]
    fn what_was_looked_at_is_whole_and_the_rest_is_a_name_or_nothing() {
        let btf = sample();
        let outer = btf.find("outer", Kind::Struct).unwrap();
        let Ok(Type::Struct(view)) = btf.type_by_id(outer) else { panic!("a struct") };
        let to = view.members.iter().find(|member| member.name == "to").unwrap();
        let _ = btf.type_by_id(to.type_id);
        let small = Btf::parse(of(&btf).unwrap()).unwrap();
        let has = |name, kind| small.find(name, kind).is_some();
        assert!(has("outer", Kind::Struct) && has("inner", Kind::Struct) && has("int", Kind::Int));
        assert!(has("far", Kind::Fwd) && !has("far", Kind::Struct));
        assert!(!has("alone", Kind::Struct));
        let outer = small.find("outer", Kind::Struct).unwrap();
        assert_eq!(small.size_of(outer), Ok(24));
        let Ok(Type::Struct(view)) = small.type_by_id(outer) else { panic!("a struct") };
        let targets: Vec<Kind> = view
            .members
            .iter()
            .filter_map(|member| {
                let Ok(Type::Ptr { target }) = small.type_by_id(member.type_id) else {
                    return None;
                };
                Some(small.type_by_id(target).unwrap().kind())
            })
            .collect();
        assert_eq!(targets, [Kind::Fwd, Kind::Void]);
    }

    #[test]
    fn nothing_looked_at_is_nothing_kept() {
        assert_eq!(Btf::parse(of(&sample()).unwrap()).unwrap().len(), 1);
    }
}
