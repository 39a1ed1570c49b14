//! Externs: values of the kernel's configuration, addresses and BTF ids of its
//! symbols.
//!
//! Counterpart: libbpf's `bpf_object__resolve_externs`.

use std::cell::OnceCell;

use rustc_hash::FxHashMap;
use skep_btf::core::{essential_name, types_are_compatible};
use skep_btf::{Btf, Kind as TypeKind, Type};

use crate::error::{RelocateError, RelocateErrorKind as Kind};
use crate::kconfig::{self, Kconfig};
use crate::object::{Extern, ExternKind, Object};
use crate::target::Target;

/// What an extern turned out to be.
pub(super) enum Resolution {
    /// A value in the map `.kconfig`; `None`: missing and weak, so it is 0.
    Kconfig { offset: u32, bytes: Option<Vec<u8>> },
    /// A variable or function of the kernel, by its BTF id.
    Kernel { btf_id: u32 },
    /// A kernel variable, by its address.
    Address(u64),
    /// Nothing, and that is allowed.
    Missing,
}

/// Resolves all externs of an object.
pub(super) fn resolve(object: &Object, target: &Target) -> Result<Vec<Resolution>, RelocateError> {
    let settings = Settings { target, config: OnceCell::new() };
    let addresses = addresses(object, target)?;
    let mut resolutions = Vec::with_capacity(object.externs.len());
    for of in &object.externs {
        let wrong = |reason: String| Kind::Extern { name: of.name.clone(), reason };
        let resolution = match of.kind {
            ExternKind::Kconfig { offset, .. } => {
                let bytes = settings.value(of).map_err(wrong)?;
                Resolution::Kconfig { offset, bytes }
            }
            ExternKind::Variable { type_id: 0 } => match addresses.get(&*of.name) {
                Some(&address) => Resolution::Address(address),
                None => Resolution::Missing,
            },
            ExternKind::Variable { type_id } => {
                let (local, kernel) = both(object, target)?;
                variable(local, kernel, of, type_id).map_err(wrong)?
            }
            ExternKind::Function { type_id } => {
                let (local, kernel) = both(object, target)?;
                function(local, kernel, of, type_id).map_err(wrong)?
            }
        };
        let is_missing =
            matches!(resolution, Resolution::Missing | Resolution::Kconfig { bytes: None, .. });
        if is_missing && !of.weak {
            return Err(Kind::Undefined { name: of.name.clone() }.into());
        }
        resolutions.push(resolution);
    }
    Ok(resolutions)
}

/// The types of the object and of the kernel.
fn both<'a>(object: &'a Object, target: &'a Target) -> Result<(&'a Btf, &'a Btf), RelocateError> {
    let kernel = target
        .kernel_btf()
        .map_err(|reason| Kind::NoKernelBtf { need: "kernel symbols".into(), reason })?;
    let local = object.btf.as_deref().ok_or_else(|| Kind::NoKernelBtf {
        need: "kernel symbols".into(),
        reason: "the object has none of its own".into(),
    })?;
    Ok((local, kernel))
}

/// A typed kernel variable.
fn variable(local: &Btf, kernel: &Btf, of: &Extern, type_id: u32) -> Result<Resolution, String> {
    let Some(id) = kernel.find(&of.name, TypeKind::Var) else { return Ok(Resolution::Missing) };
    let Ok(Type::Var { target, .. }) = kernel.type_by_id(id) else {
        return Ok(Resolution::Missing);
    };
    let are = kernel
        .resolve_modifiers(target)
        .and_then(|target| types_are_compatible(local, type_id, kernel, target));
    match are {
        Ok(true) => Ok(Resolution::Kernel { btf_id: id }),
        Ok(false) => Err("the kernel has it with another type".into()),
        Err(error) => Err(error.to_string()),
    }
}

/// A kernel function.
fn function(local: &Btf, kernel: &Btf, of: &Extern, type_id: u32) -> Result<Resolution, String> {
    let found = kernel.find(essential_name(&of.name), TypeKind::Func);
    let Some((id, Ok(Type::Func { proto, .. }))) = found.map(|id| (id, kernel.type_by_id(id)))
    else {
        return Ok(Resolution::Missing);
    };
    match types_are_compatible(local, type_id, kernel, proto) {
        Ok(true) => Ok(Resolution::Kernel { btf_id: id }),
        _ if of.weak => Ok(Resolution::Missing),
        _ => Err("the kernel has it with other parameters".into()),
    }
}

/// Addresses of the kernel variables that have no type.
fn addresses(object: &Object, target: &Target) -> Result<FxHashMap<String, u64>, RelocateError> {
    let mut wanted: FxHashMap<&str, Option<u64>> = FxHashMap::default();
    for of in &object.externs {
        if of.kind == (ExternKind::Variable { type_id: 0 }) {
            wanted.insert(&of.name, None);
        }
    }
    if wanted.is_empty() {
        return Ok(FxHashMap::default());
    }
    for line in target.kallsyms().lines() {
        let Some((address, rest)) = line.split_once(' ') else { continue };
        let Some((kind, rest)) = rest.split_once(' ') else { continue };
        // The name of a module may follow.
        let name = rest.split_once('\t').map_or(rest, |(name, _)| name);
        let plain = match kind {
            "d" => name.split_once(".llvm.").map_or(name, |(plain, _)| plain),
            _ => name,
        };
        let (Some(known), Ok(address)) = (wanted.get_mut(plain), u64::from_str_radix(address, 16))
        else {
            continue;
        };
        match known {
            Some(known) if *known != address => {
                let reason = format!("it is at {known:#x} or at {address:#x}");
                return Err(Kind::Extern { name: plain.into(), reason }.into());
            }
            _ => *known = Some(address),
        }
    }
    let found = wanted.into_iter().filter_map(|(name, address)| Some((name.into(), address?)));
    Ok(found.collect())
}

/// The settings that an object asks for.
struct Settings<'a> {
    target: &'a Target,
    config: OnceCell<Kconfig<'a>>,
}

impl Settings<'_> {
    /// The bytes of a value; `None` where it is not set.
    fn value(&self, of: &Extern) -> Result<Option<Vec<u8>>, String> {
        let ExternKind::Kconfig { value: kind, size, .. } = of.kind else { return Ok(None) };
        let (size, target) = (size as usize, self.target);
        if of.name.starts_with("CONFIG_") {
            let config = self.config.get_or_init(|| target.kconfig());
            return match config.find(&of.name) {
                Some(text) => kconfig::encode(text, kind, size).map(Some),
                None if config.is_known() => Ok(None),
                None => Err("neither /boot nor /proc/config.gz has the configuration".into()),
            };
        }
        // What loaders tell programs about the kernel.
        let number = match &*of.name {
            "LINUX_KERNEL_VERSION" => match target.kernel_version() {
                Some(version) => version.into(),
                None => return Err("the kernel does not tell its version".into()),
            },
            "LINUX_HAS_BPF_COOKIE" => u64::from(target.has_bpf_cookie()),
            "LINUX_HAS_SYSCALL_WRAPPER" => u64::from(target.has_syscall_wrapper()),
            name if name.starts_with("LINUX_") && of.weak => 0,
            _ => return Err("no value has this name".into()),
        };
        kconfig::encode_number(number, kind, size).map(Some)
    }
}

/// The bytes of the map `.kconfig`.
pub(super) fn kconfig_contents(object: &Object, externs: &[Resolution], size: u32) -> Vec<u8> {
    let mut contents = vec![0; size as usize];
    for (resolution, _) in externs.iter().zip(&object.externs) {
        if let Resolution::Kconfig { offset, bytes: Some(bytes) } = resolution {
            let start = *offset as usize;
            if let Some(place) = contents.get_mut(start..start + bytes.len()) {
                place.copy_from_slice(bytes);
            }
        }
    }
    contents
}
