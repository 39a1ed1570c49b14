//! The object's BTF: read it, and complete what a compiler cannot know, as libbpf
//! does before it gives the types to a kernel.
//!
//! Sections get their size, variables their offset, and externs are made to look like
//! variables and functions of the object itself, since Linux knows no others.
//! Counterparts: `bpf_object_fixup_btf`, the second half of
//! `bpf_object__collect_externs`, `bpf_object__sanitize_and_load_btf`.

use rustc_hash::FxHashMap;
use skep_btf::{
    Btf, BtfError, Builder, Ext, FuncLinkage, Int, Kind as TypeKind, SecVar, Type, VarLinkage,
};

use super::{Role, Sections};
use crate::elf::{Elf, Symbol, sh, st};
use crate::error::{ObjectError, ObjectErrorKind as Kind};
use crate::object::{Extern, ExternKind, Object};

/// The types as they stand in the file.
#[derive(Default)]
pub(super) struct Types {
    pub btf: Option<Btf>,
    pub ext: Ext,
}

/// Reads `.BTF` and `.BTF.ext`. Where nothing needs them, broken ones are left out
/// with a note, since a program runs without.
pub(super) fn read(
    elf: &Elf<'_>,
    sections: &Sections,
    notes: &mut Vec<String>,
) -> Result<Types, ObjectError> {
    let is_needed =
        [Role::Maps, Role::StructOps].iter().any(|&role| sections.first(role).is_some());
    let mut failed = |name: &str, error: BtfError| {
        if is_needed {
            return Err(ObjectError::from(error).in_section(name));
        }
        notes.push(format!("{name} is broken and left out: {error}"));
        Ok(())
    };
    let mut types = Types::default();
    let Some(data) = section(elf, ".BTF")? else { return Ok(types) };
    match Btf::parse(data) {
        Ok(btf) => types.btf = Some(btf.with_pointer_size(8)),
        Err(error) => failed(".BTF", error)?,
    }
    if let (Some(btf), Some(data)) = (&types.btf, section(elf, ".BTF.ext")?) {
        match Ext::parse(data, btf) {
            Ok(ext) => types.ext = ext,
            Err(error) => failed(".BTF.ext", error)?,
        }
    }
    Ok(types)
}

fn section<'a>(elf: &Elf<'a>, name: &str) -> Result<Option<&'a [u8]>, ObjectError> {
    let Some(index) = elf.section(name) else { return Ok(None) };
    let section = &elf.sections[index];
    if section.kind != sh::PROGBITS || section.flags & sh::COMPRESSED != 0 {
        let kind = Kind::Malformed("is no section of plain data".into());
        return Err(ObjectError::from(kind).in_section(name));
    }
    Ok(Some(section.data))
}

/// The same types, completed.
pub(super) fn complete(btf: Btf, elf: &Elf<'_>, object: &Object) -> Result<Btf, ObjectError> {
    let mut completion = Completion {
        builder: Builder::from_btf(&btf),
        btf: &btf,
        elf,
        variables: global_variables(elf),
        externs: object.externs.iter().map(|of| (&*of.name, of)).collect(),
    };
    let sections = btf.types().filter_map(|(id, ty)| match ty {
        Type::DataSec(section) => Some((id, section.name, section.size, section.vars)),
        _ => None,
    });
    for (id, name, size, vars) in sections {
        let vars: Vec<SecVar> = vars.iter().collect();
        match name {
            ".kconfig" => completion.kconfig(id, vars)?,
            ".ksyms" => completion.ksyms(id, vars)?,
            _ => completion.variables(id, name, size, vars)?,
        }
    }
    for function in &object.functions {
        if function.hidden && function.section == ".text" {
            completion.hide(&function.name)?;
        }
    }
    Ok(completion.builder.build()?.with_pointer_size(8))
}

struct Completion<'a> {
    builder: Builder,
    btf: &'a Btf,
    elf: &'a Elf<'a>,
    /// The object's global variables by their names.
    variables: FxHashMap<&'a str, &'a Symbol<'a>>,
    externs: FxHashMap<&'a str, &'a Extern>,
}

impl Completion<'_> {
    /// A section of the object's own variables.
    fn variables(
        &mut self,
        id: u32,
        name: &str,
        size: u32,
        mut vars: Vec<SecVar>,
    ) -> Result<(), ObjectError> {
        let in_file = self.elf.section(name).map(|index| self.elf.sections[index].size);
        // A linker for BPF has filled everything in; a compiler leaves zeros.
        let is_complete = size != 0;
        let size = match in_file.and_then(|size| u32::try_from(size).ok()) {
            Some(size) if !is_complete => size,
            _ => size,
        };
        for var in &mut vars {
            let Type::Var { name, target, linkage: VarLinkage::Global } =
                self.btf.type_by_id(var.type_id)?
            else {
                continue;
            };
            let Some(symbol) = self.variables.get(name) else { continue };
            if !is_complete {
                var.offset = u32::try_from(symbol.value).unwrap_or(u32::MAX);
            }
            if symbol.hidden {
                self.builder.set_var(var.type_id, target, VarLinkage::Static)?;
            }
        }
        vars.sort_by_key(|var| var.offset);
        Ok(self.builder.set_datasec(id, size, &vars)?)
    }

    /// The kernel's configuration: the variables get the places that the map has them at.
    fn kconfig(&mut self, id: u32, mut vars: Vec<SecVar>) -> Result<(), ObjectError> {
        let mut end = 0;
        for var in &mut vars {
            let Type::Var { name, target, .. } = self.btf.type_by_id(var.type_id)? else {
                continue;
            };
            if let Some(Extern { kind: ExternKind::Kconfig { offset, size, .. }, .. }) =
                self.externs.get(name)
            {
                var.offset = *offset;
                end = end.max(offset.saturating_add(*size));
                self.builder.set_var(var.type_id, target, VarLinkage::Global)?;
            }
        }
        vars.sort_by_key(|var| var.offset);
        Ok(self.builder.set_datasec(id, end, &vars)?)
    }

    /// Kernel symbols: each becomes an `int` variable; a function leaves its place to a
    /// dummy, and is made a global one whose parameters have names.
    fn ksyms(&mut self, id: u32, mut vars: Vec<SecVar>) -> Result<(), ObjectError> {
        const DUMMY: &str = "dummy_ksym";
        let of_32_bits = |ty: &Type<'_>| matches!(ty, Type::Int(Int { bits: 32, .. }));
        let int = match self.btf.types().find(|(_, ty)| of_32_bits(ty)) {
            Some((id, _)) => id,
            None => self.builder.int("int", 4, Int::SIGNED),
        };
        let mut dummy = None;
        for (index, var) in vars.iter_mut().enumerate() {
            match self.btf.type_by_id(var.type_id)? {
                Type::Func { proto, .. } => {
                    if let Type::FuncProto(of) = self.btf.type_by_id(proto)? {
                        for (index, param) in of.params.iter().enumerate() {
                            if param.type_id != 0 && param.name.is_empty() {
                                self.builder.set_param_name(proto, index, DUMMY)?;
                            }
                        }
                    }
                    self.builder.set_func(var.type_id, proto, FuncLinkage::Global)?;
                    let builder = &mut self.builder;
                    var.type_id =
                        *dummy.get_or_insert_with(|| builder.var(DUMMY, int, VarLinkage::Global));
                }
                Type::Var { .. } => self.builder.set_var(var.type_id, int, VarLinkage::Global)?,
                _ => {}
            }
            var.offset = 4 * index as u32;
            var.size = 4;
        }
        let size = 4 * vars.len() as u32;
        Ok(self.builder.set_datasec(id, size, &vars)?)
    }

    /// Verifies a global function like a static one, with what its callers know.
    fn hide(&mut self, name: &str) -> Result<(), ObjectError> {
        let Some(id) = self.btf.find(name, TypeKind::Func) else { return Ok(()) };
        if let Type::Func { proto, linkage: FuncLinkage::Global, .. } = self.btf.type_by_id(id)? {
            self.builder.set_func(id, proto, FuncLinkage::Static)?;
        }
        Ok(())
    }
}

fn global_variables<'a>(elf: &'a Elf<'a>) -> FxHashMap<&'a str, &'a Symbol<'a>> {
    let mut variables = FxHashMap::default();
    for symbol in &elf.symbols {
        if symbol.kind == st::OBJECT && symbol.is_global() {
            variables.entry(&*symbol.name).or_insert(symbol);
        }
    }
    variables
}
