//! What the object expects from elsewhere: symbols that it names and does not define.
//!
//! The section in the BTF says what an extern is: `.kconfig` or `.ksyms`.
//! Counterpart: the first half of libbpf's `bpf_object__collect_externs`.

use rustc_hash::FxHashMap;
use skep_btf::{Array, Btf, Enum, FuncLinkage, Type, VarLinkage};

use crate::elf::{Elf, st};
use crate::error::{ObjectError, ObjectErrorKind as Kind};
use crate::object::{Extern, ExternKind, KconfigType};

/// The most that all values of the configuration take together.
const MAX_KCONFIG: u32 = 1 << 20;

/// All externs: configuration first (the most aligned and the smallest first), then
/// kernel symbols by their names.
pub(super) fn collect(elf: &Elf<'_>, btf: Option<&Btf>) -> Result<Vec<Extern>, ObjectError> {
    let declarations = btf.map(declarations).unwrap_or_default();
    let homes = btf.map(homes).unwrap_or_default();
    let mut externs = Vec::new();
    for (symbol, of) in elf.symbols.iter().enumerate() {
        if !of.is_extern() || of.name.is_empty() {
            continue;
        }
        let weak = of.bind == st::WEAK;
        let kind = match (btf, declarations.get(&*of.name)) {
            (Some(btf), Some(&id)) => kind(btf, id, &of.name, homes.get(&id).copied())?,
            // Without a declaration nothing is known but that it may be missing.
            _ if weak => ExternKind::Variable { type_id: 0 },
            _ => return Err(Kind::Undefined { symbol: of.name.clone().into() }.into()),
        };
        externs.push(Extern { name: of.name.clone().into(), weak, kind, symbol });
    }
    externs.sort_by(|one, other| order(one).cmp(&order(other)));
    place(&mut externs)?;
    Ok(externs)
}

/// The section that each variable and function of the BTF is in.
fn homes(btf: &Btf) -> FxHashMap<u32, &str> {
    let mut homes = FxHashMap::default();
    for (_, ty) in btf.types() {
        if let Type::DataSec(section) = ty {
            for var in section.vars.iter() {
                homes.entry(var.type_id).or_insert(section.name);
            }
        }
    }
    homes
}

/// The first variable or function of each name.
fn declarations(btf: &Btf) -> FxHashMap<&str, u32> {
    let mut declarations = FxHashMap::default();
    for (id, ty) in btf.types() {
        if let Type::Var { name, .. } | Type::Func { name, .. } = ty {
            declarations.entry(name).or_insert(id);
        }
    }
    declarations
}

fn kind(btf: &Btf, id: u32, name: &str, section: Option<&str>) -> Result<ExternKind, ObjectError> {
    let wrong = |reason: String| ObjectError::from(Kind::Extern { name: name.into(), reason });
    let ty = btf.type_by_id(id)?;
    if let Type::Var { linkage, .. } = ty
        && linkage != VarLinkage::Extern
    {
        return Err(wrong("the BTF has it as a variable of this object".into()));
    }
    if let Type::Func { linkage, .. } = ty
        && linkage != FuncLinkage::Extern
    {
        return Err(wrong("the BTF has it as a function of this object".into()));
    }
    match (section, ty) {
        (Some(".kconfig"), Type::Var { target, .. }) => {
            let size = btf.size_of(target)?;
            let value = kconfig_type(btf, target, 0)?
                .ok_or_else(|| wrong("nothing in the configuration has its type".into()))?;
            Ok(ExternKind::Kconfig {
                value,
                size: u32::try_from(size)
                    .ok()
                    .filter(|size| (1..=MAX_KCONFIG).contains(size))
                    .ok_or_else(|| wrong(format!("it takes {size} bytes")))?,
                align: btf.align_of(target)?,
                offset: 0,
            })
        }
        (Some(".ksyms"), Type::Var { target, .. }) => {
            Ok(ExternKind::Variable { type_id: btf.resolve_modifiers(target)? })
        }
        (Some(".ksyms"), Type::Func { proto, .. }) => Ok(ExternKind::Function { type_id: proto }),
        (Some(".kconfig"), _) => Err(wrong("the configuration has no functions".into())),
        (Some(other), _) => {
            Err(wrong(format!("it is in section {other:?}, expected .kconfig or .ksyms")))
        }
        // Declared, but neither `__ksym` nor `__kconfig`.
        (None, _) => Err(Kind::Undefined { symbol: name.into() }.into()),
    }
}

/// How a type holds a value of the configuration; `None`: not at all.
fn kconfig_type(btf: &Btf, id: u32, depth: u32) -> Result<Option<KconfigType>, ObjectError> {
    Ok(match btf.type_by_id(btf.resolve_modifiers(id)?)? {
        Type::Int(int) if int.is_bool() => (int.size == 1).then_some(KconfigType::Bool),
        Type::Int(int) => match int.size {
            1 => Some(KconfigType::Char { signed: int.is_signed() }),
            2 | 4 | 8 => Some(KconfigType::Int { signed: int.is_signed() }),
            _ => None,
        },
        Type::Enum(Enum { name: "libbpf_tristate", size: 4, .. })
        | Type::Enum64(Enum { name: "libbpf_tristate", .. }) => Some(KconfigType::Tristate),
        Type::Array(Array { element, len: 1.., .. }) if depth == 0 => {
            match kconfig_type(btf, element, 1)? {
                Some(KconfigType::Char { .. }) => Some(KconfigType::CharArray),
                _ => None,
            }
        }
        _ => None,
    })
}

fn order(of: &Extern) -> (u8, std::cmp::Reverse<u32>, u32, &str) {
    match of.kind {
        ExternKind::Kconfig { align, size, .. } => (0, std::cmp::Reverse(align), size, &of.name),
        _ => (1, std::cmp::Reverse(0), 0, &of.name),
    }
}

/// Gives the values of the configuration their places, one after the other.
fn place(externs: &mut [Extern]) -> Result<(), ObjectError> {
    let mut end = 0u32;
    for of in externs {
        if let ExternKind::Kconfig { align, size, offset, .. } = &mut of.kind {
            let start = end.checked_next_multiple_of((*align).max(1));
            let after = start.and_then(|start| start.checked_add(*size));
            let (Some(start), Some(after @ ..=MAX_KCONFIG)) = (start, after) else {
                let reason = format!("the configuration takes more than {MAX_KCONFIG} bytes");
                return Err(Kind::Extern { name: of.name.clone(), reason }.into());
            };
            *offset = start;
            end = after;
        }
    }
    Ok(())
}
