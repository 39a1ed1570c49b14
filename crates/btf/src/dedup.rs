//! Types that are the same, each once: what remains when the types of several files are put
//! together.
//!
//! Two types are the same if nothing that can be asked of them tells them apart: kind, name,
//! size, members, and, all the way down, the types that they refer to. That is the coarsest
//! partition in which types of one class look alike and refer to types of the same classes; it is
//! refined, from what types say by themselves, until no class splits any more, so that cycles
//! need no care. A declaration (`struct x;`) is the one definition that there is by its name.
//! Counterpart: libbpf's `btf__dedup`. Variables and sections stay what they are.

use std::collections::HashMap;

use crate::{Btf, BtfError, Builder, Type};

/// How many steps away what tells two types apart may be.
const MOST_ROUNDS: u32 = 1024;

/// The types of `btf` without those that are there already, and the new id of each old one.
///
/// # Errors
/// The types continue others, or are broken.
pub fn of(btf: &Btf) -> Result<(Builder, Vec<u32>), BtfError> {
    if btf.base().is_some() {
        return Err(BtfError::Pack { reason: "types that continue others are no whole ones" });
    }
    let mut classes = refine(btf, &identity(btf))?;
    let aliases = declarations(btf, &classes)?;
    if aliases.iter().zip(0..).any(|(alias, id)| *alias != id) {
        classes = refine(btf, &aliases)?;
    }
    // The first of each class is the one that stays, in the order of the file.
    let mut first: HashMap<u32, u32> = HashMap::new();
    let mut new = vec![0; btf.len() as usize];
    let mut kept = Vec::new();
    for id in 1..btf.len() {
        let class = classes[aliases[id as usize] as usize];
        let is_alias = aliases[id as usize] != id;
        if !is_alias && !first.contains_key(&class) {
            kept.push(id);
            first.insert(class, kept.len() as u32);
        }
    }
    for id in 1..btf.len() {
        let class = classes[aliases[id as usize] as usize];
        new[id as usize] = first.get(&class).copied().unwrap_or(0);
    }
    let mut builder = Builder::new();
    for &id in &kept {
        builder.copy(&btf.type_by_id(id)?, |id| new.get(id as usize).copied().unwrap_or(0));
    }
    Ok((builder, new))
}

fn identity(btf: &Btf) -> Vec<u32> {
    (0..btf.len()).collect()
}

/// The class of each type, where `aliases` says which type stands for which.
fn refine(btf: &Btf, aliases: &[u32]) -> Result<Vec<u32>, BtfError> {
    let mut looks: HashMap<String, u32> = HashMap::new();
    let mut classes = vec![0u32; btf.len() as usize];
    let mut links: Vec<Vec<u32>> = vec![Vec::new(); btf.len() as usize];
    for id in 1..btf.len() {
        let ty = btf.type_by_id(id)?;
        let next = looks.len() as u32 + 1;
        classes[id as usize] = *looks.entry(look(id, &ty)).or_insert(next);
        refers(&ty, &mut |to| links[id as usize].push(aliases[to as usize]));
    }
    let mut count = looks.len();
    // Each round tells types apart by what is one step further away.
    for _ in 0..MOST_ROUNDS {
        let mut seen: HashMap<(u32, Vec<u32>), u32> = HashMap::new();
        let mut finer = vec![0u32; classes.len()];
        for id in 1..classes.len() {
            let to = links[id].iter().map(|&to| classes[to as usize]).collect();
            let next = seen.len() as u32 + 1;
            finer[id] = *seen.entry((classes[id], to)).or_insert(next);
        }
        classes = finer;
        if seen.len() == count {
            return Ok(classes);
        }
        count = seen.len();
    }
    Err(BtfError::Nesting { id: 0, limit: MOST_ROUNDS })
}

/// What stands for each type: itself, or for a declaration the one definition by its name.
fn declarations(btf: &Btf, classes: &[u32]) -> Result<Vec<u32>, BtfError> {
    // Of each name, a definition and whether there are others.
    let mut defined: HashMap<(&str, bool), (u32, bool)> = HashMap::new();
    for (id, ty) in btf.types() {
        let is_union = matches!(ty, Type::Union(_));
        if let Type::Struct(of) | Type::Union(of) = ty
            && !of.name.is_empty()
        {
            let (first, several) = defined.entry((of.name, is_union)).or_insert((id, false));
            *several |= classes[*first as usize] != classes[id as usize];
        }
    }
    let mut aliases = identity(btf);
    for (id, ty) in btf.types() {
        if let Type::Fwd { name, is_union } = ty
            && let Some((definition, false)) = defined.get(&(name, is_union))
        {
            aliases[id as usize] = *definition;
        }
    }
    Ok(aliases)
}

/// All that a type says by itself, but for what it refers to.
fn look(id: u32, ty: &Type<'_>) -> String {
    let (kind, name) = (ty.kind(), ty.name());
    match ty {
        // Each is one of its own.
        Type::Var { .. } | Type::DataSec(_) => format!("{kind:?} {id}"),
        Type::Int(int) => {
            format!(
                "{kind:?} {name:?} {} {} {} {}",
                int.size, int.encoding, int.bit_offset, int.bits
            )
        }
        Type::Float { size, .. } => format!("{kind:?} {name:?} {size}"),
        Type::Array(array) => format!("{kind:?} {}", array.len),
        Type::Struct(of) | Type::Union(of) => {
            let members = of.members.iter().map(|member| {
                format!("{:?}@{}:{}", member.name, member.bit_offset, member.bitfield_size)
            });
            format!("{kind:?} {name:?} {} {:?}", of.size, members.collect::<Vec<_>>())
        }
        Type::Enum(of) | Type::Enum64(of) => {
            let all = of.enumerators.iter().map(|one| (one.name, one.value));
            format!("{kind:?} {name:?} {} {} {:?}", of.size, of.signed, all.collect::<Vec<_>>())
        }
        Type::Fwd { is_union, .. } => format!("{kind:?} {name:?} {is_union}"),
        Type::Func { linkage, .. } => format!("{kind:?} {name:?} {linkage:?}"),
        Type::FuncProto(proto) => {
            format!("{kind:?} {:?}", proto.params.iter().map(|of| of.name).collect::<Vec<_>>())
        }
        Type::DeclTag { component, is_attribute, .. } => {
            format!("{kind:?} {name:?} {component} {is_attribute}")
        }
        Type::TypeTag { is_attribute, .. } => format!("{kind:?} {name:?} {is_attribute}"),
        _ => format!("{kind:?} {name:?}"),
    }
}

/// The types that a type refers to, in its own order.
fn refers(ty: &Type<'_>, each: &mut dyn FnMut(u32)) {
    match ty {
        Type::Array(array) => {
            each(array.element);
            each(array.index);
        }
        Type::Struct(of) | Type::Union(of) => of.members.iter().for_each(|of| each(of.type_id)),
        Type::FuncProto(proto) => {
            each(proto.ret);
            proto.params.iter().for_each(|of| each(of.type_id));
        }
        Type::DataSec(section) => section.vars.iter().for_each(|of| each(of.type_id)),
        Type::Func { proto, .. } => each(*proto),
        Type::DeclTag { target, .. } | Type::Var { target, .. } => each(*target),
        other => {
            if let Some(target) = other.target() {
                each(target);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Kind, Member};

    fn member(name: &str, type_id: u32, bit_offset: u32) -> Member<'_> {
        Member { name, type_id, bit_offset, bitfield_size: 0 }
    }

    /// A list whose nodes hold a number of this many bytes, in types of its own.
    fn list(builder: &mut Builder, size: u32) -> u32 {
        let int = builder.int("int", size, 1);
        let node = int + 1;
        let members = [member("value", int, 0), member("next", int + 2, 64)];
        assert_eq!(builder.structure("node", 16, &members), node);
        builder.ptr(node);
        node
    }

    #[test]
    fn cycles_that_look_alike_are_one_and_others_stay() {
        let mut builder = Builder::new();
        let (one, two, other) =
            (list(&mut builder, 4), list(&mut builder, 4), list(&mut builder, 8));
        let btf = builder.build().unwrap();
        let (small, new) = of(&btf).unwrap();
        let small = small.build().unwrap();
        assert_eq!(small.len(), 7);
        assert_eq!(new[one as usize], new[two as usize]);
        assert_ne!(new[one as usize], new[other as usize]);
        let (again, _) = of(&small).unwrap();
        assert_eq!(again.build().unwrap().raw_bytes(), small.raw_bytes());
    }

    #[test]
    fn a_declaration_is_the_definition_unless_there_are_two() {
        let mut builder = Builder::new();
        let declared = builder.forward("node", false);
        let pointer = builder.ptr(declared);
        let node = list(&mut builder, 4);
        let (small, new) = of(&builder.build().unwrap()).unwrap();
        assert_eq!(new[declared as usize], new[node as usize]);
        assert_eq!(new[pointer as usize], new[node as usize + 1]);
        assert!(small.build().unwrap().find("node", Kind::Fwd).is_none());

        let mut builder = Builder::new();
        let declared = builder.forward("node", false);
        let (one, other) = (list(&mut builder, 4), list(&mut builder, 8));
        let (small, new) = of(&builder.build().unwrap()).unwrap();
        assert!(![one, other].map(|id| new[id as usize]).contains(&new[declared as usize]));
        assert!(small.build().unwrap().find("node", Kind::Fwd).is_some());
    }

    #[test]
    fn variables_of_a_name_stay_apart() {
        let mut builder = Builder::new();
        let int = builder.int("int", 4, 1);
        let one = builder.var("count", int, crate::VarLinkage::Static);
        let other = builder.var("count", int, crate::VarLinkage::Static);
        let (_, new) = of(&builder.build().unwrap()).unwrap();
        assert_ne!(new[one as usize], new[other as usize]);
    }
}
