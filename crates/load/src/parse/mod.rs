//! From the bytes of a file to an [`Object`], in the order of libbpf's
//! `bpf_object_open`: sections, functions, types, externs, maps, programs, and last
//! what instructions refer to, which needs all the others.

mod data;
mod externs;
mod functions;
mod legacy;
mod maps;
mod references;
mod struct_ops;
mod types;

use skep_abi::{Loader, ProgType, SectionDef, SectionFlags};
use skep_btf::Btf;

use crate::elf::{Elf, Section, sh};
use crate::error::{ObjectError, ObjectErrorKind as Kind};
use crate::object::{Object, ProgramDef, prog_flags};

/// Parses a file; the error does not name the file yet.
pub(crate) fn object(file: &str, bytes: &[u8], loader: Loader) -> Result<Object, ObjectError> {
    let elf = Elf::parse(bytes)?;
    let sections = Sections::classify(&elf)?;
    let mut object = Object {
        name: object_name(file),
        file: file.into(),
        loader,
        license: license(&elf),
        kernel_version: kernel_version(&elf)?,
        ..Object::default()
    };
    object.functions = functions::collect(&elf)?;
    let types = types::read(&elf, &sections, &mut object.notes)?;
    object.externs = externs::collect(&elf, types.btf.as_ref())?;
    if let Some(btf) = types.btf {
        let btf = types::complete(btf, &elf, &object)?;
        object.btf = Some(btf.into());
    }
    functions::attach_records(&mut object, &elf, types.ext)?;
    object.programs = programs(&object, &sections)?;
    collect_maps(&elf, &sections, &mut object)?;
    references::collect(&elf, &sections, &mut object)?;
    Ok(object)
}

/// What a section is to us.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Role {
    /// Nothing.
    Other,
    Code,
    Data,
    Rodata,
    Bss,
    /// Maps, defined by types.
    Maps,
    /// Maps, defined by structures.
    LegacyMaps,
    StructOps,
    /// Variables in an arena.
    Arena,
    JumpTables,
}

/// The sections' roles, by the sections' numbers.
pub(crate) struct Sections {
    roles: Vec<Role>,
}

impl Sections {
    fn classify(elf: &Elf<'_>) -> Result<Sections, ObjectError> {
        let mut roles = Vec::with_capacity(elf.sections.len());
        for section in &elf.sections {
            let role = role(section);
            if role != Role::Other && section.flags & sh::COMPRESSED != 0 {
                let kind = Kind::Malformed("is compressed, which BPF objects are not".into());
                return Err(ObjectError::from(kind).in_section(&section.name));
            }
            roles.push(role);
        }
        Ok(Sections { roles })
    }

    /// What a section is to us.
    pub fn role(&self, index: usize) -> Role {
        self.roles.get(index).copied().unwrap_or(Role::Other)
    }

    /// The first section of a role.
    pub fn first(&self, role: Role) -> Option<usize> {
        self.roles.iter().position(|&of| of == role)
    }

    /// All sections of a role.
    pub fn all(&self, role: Role) -> impl Iterator<Item = usize> {
        (0..self.roles.len()).filter(move |&index| self.roles[index] == role)
    }
}

fn role(section: &Section<'_>) -> Role {
    let name = &*section.name;
    let is = |base: &str| match name.strip_prefix(base) {
        Some(rest) => rest.is_empty() || rest.starts_with('.'),
        None => false,
    };
    match section.kind {
        sh::PROGBITS | sh::NOBITS if name == ".maps" => Role::Maps,
        sh::PROGBITS if name == "maps" => Role::LegacyMaps,
        sh::PROGBITS if section.data.is_empty() => Role::Other,
        sh::PROGBITS if section.is_code() => Role::Code,
        sh::PROGBITS if is(".data") => Role::Data,
        sh::PROGBITS if is(".rodata") => Role::Rodata,
        sh::PROGBITS if name == ".addr_space.1" => Role::Arena,
        sh::PROGBITS if name == ".jumptables" => Role::JumpTables,
        sh::PROGBITS => match name.strip_prefix('?').unwrap_or(name) {
            ".struct_ops" | ".struct_ops.link" => Role::StructOps,
            _ => Role::Other,
        },
        sh::NOBITS if is(".bss") && section.size > 0 => Role::Bss,
        _ => Role::Other,
    }
}

/// libbpf's name for an object: the file's name up to its first dot, cut to what fits
/// the kernel's names.
fn object_name(file: &str) -> String {
    let base = file.rsplit('/').next().unwrap_or(file);
    let stem = base.split('.').next().unwrap_or(base);
    truncated(stem, 15).into()
}

/// At most `len` bytes of `text`, whole characters.
pub(crate) fn truncated(text: &str, len: usize) -> &str {
    &text[..text.floor_char_boundary(len)]
}

fn license(elf: &Elf<'_>) -> String {
    let Some(index) = elf.section("license") else { return String::new() };
    let data = elf.sections[index].data;
    let text = data.split(|&byte| byte == 0).next().unwrap_or_default();
    String::from_utf8_lossy(&text[..text.len().min(63)]).into_owned()
}

fn kernel_version(elf: &Elf<'_>) -> Result<Option<u32>, ObjectError> {
    let Some(index) = elf.section("version") else { return Ok(None) };
    match <[u8; 4]>::try_from(elf.sections[index].data) {
        Ok(bytes) => Ok(Some(u32::from_le_bytes(bytes))),
        Err(_) => {
            let reason = format!("{} bytes, expected 4", elf.sections[index].data.len());
            Err(ObjectError::from(Kind::Malformed(reason)).in_section("version"))
        }
    }
}

/// The functions that are programs: those outside of `.text`. libbpf wants them global,
/// cilium/ebpf and aya take static ones, too.
fn programs(object: &Object, sections: &Sections) -> Result<Vec<ProgramDef>, ObjectError> {
    let is_program = |function: &crate::object::Function| {
        function.section != ".text" && sections.role(function.section_index) == Role::Code
    };
    let mut programs = Vec::new();
    let functions = object.functions.iter().enumerate();
    for (index, function) in functions.filter(|(_, function)| is_program(function)) {
        let (section, name) = (&function.section, &function.name);
        if object.loader == Loader::Libbpf && !function.global {
            let rule = format!("sec '{section}': program '{name}' is static and not supported");
            return Err(Kind::rule(Loader::Libbpf, rule, &[Loader::Cilium, Loader::Aya]).into());
        }
        programs.push(program(index, function, object.loader)?);
    }
    Ok(programs)
}

fn program(
    index: usize,
    function: &crate::object::Function,
    loader: Loader,
) -> Result<ProgramDef, ObjectError> {
    let plain = function.section.strip_prefix('?').filter(|_| loader != Loader::Aya);
    let section = plain.unwrap_or(&function.section);
    let (def, target) = SectionDef::find_for(section, loader).unzip();
    if def.is_none() && loader == Loader::Aya {
        let rule = format!("invalid program section `{section}`");
        return Err(Kind::rule(Loader::Aya, rule, &knowing(section)).into());
    }
    // cilium/ebpf does not say of XDP how it is attached, for kernels that do not ask.
    let is_silent = |def: &SectionDef| {
        loader == Loader::Cilium
            && def.prog_type == ProgType::Xdp
            && def.flags.contains(SectionFlags::ATTACH_TYPE_OPTIONAL)
    };
    Ok(ProgramDef {
        name: function.name.clone(),
        section: section.into(),
        function: index,
        // cilium/ebpf reads over the mark.
        autoload: plain.is_none() || loader == Loader::Cilium,
        section_def: def,
        prog_type: def.map(|def| def.prog_type),
        attach_type: def.filter(|def| !is_silent(def)).and_then(|def| def.attach_type),
        target: target.flatten().map(str::to_owned),
        flags: def.map_or(0, |def| prog_flags(def.flags)),
    })
}

/// The loaders that know a section's name.
pub(crate) fn knowing(section: &str) -> Vec<Loader> {
    let plain = section.strip_prefix('?');
    let knows = |loader: &Loader| {
        let name = plain.filter(|_| *loader != Loader::Aya).unwrap_or(section);
        SectionDef::find_for(name, *loader).is_some()
    };
    Loader::ALL.into_iter().filter(knows).collect()
}

fn collect_maps(
    elf: &Elf<'_>,
    sections: &Sections,
    object: &mut Object,
) -> Result<(), ObjectError> {
    let mut all = Vec::new();
    if let Some(index) = sections.first(Role::Maps) {
        all.extend(maps::collect(elf, index, object.btf.as_deref())?);
    }
    if let Some(index) = sections.first(Role::LegacyMaps) {
        if object.loader == Loader::Libbpf {
            let rule = "legacy map definitions in 'maps' section are not supported by libbpf v1.0+";
            let takers = [Loader::Cilium, Loader::Aya];
            return Err(Kind::rule(Loader::Libbpf, rule.into(), &takers).into());
        }
        all.extend(legacy::collect(elf, index, object)?);
    }
    all.extend(data::collect(elf, sections, object)?);
    all.extend(struct_ops::collect(elf, sections, object)?);
    object.maps = all;
    if let Some(index) = sections.first(Role::Arena) {
        object.arena = elf.sections[index].data.to_vec();
    }
    Ok(())
}

/// The BTF that part of an object needs.
fn needed<'a>(btf: Option<&'a Btf>, what: &'static str) -> Result<&'a Btf, ObjectError> {
    btf.ok_or_else(|| Kind::NoBtf(what).into())
}
