//! One program in one piece: its own code, and behind it each function that it calls,
//! directly or not, once.
//!
//! Functions are appended in the order of the first call, each followed by what it
//! calls itself, as libbpf's `bpf_object__reloc_code` has it.

use skep_abi::limits::MAX_INSNS;
use skep_btf::{FuncInfo, FuncLinkage, LineInfo, Type};
use skep_isa::{Callee, ImmKind, Insn, Slot, decode_at};

use super::core::Code;
use super::{PlacedFunction, Poisoned};
use crate::error::{RelocateError, RelocateErrorKind as Kind};
use crate::object::{Object, ProgramDef, Reference, Symbol};

/// A program whose calls are right.
#[derive(Default)]
pub(super) struct Image {
    pub insns: Vec<Slot>,
    /// What is still to be put in; slots of the whole.
    pub sites: Vec<Reference>,
    pub poisoned: Vec<Poisoned>,
    pub functions: Vec<PlacedFunction>,
    pub func_info: Vec<FuncInfo>,
    pub line_info: Vec<LineInfo>,
}

/// Links a program with all that it calls.
pub(super) fn link(
    object: &Object,
    code: &[Code],
    program: &ProgramDef,
) -> Result<Image, RelocateError> {
    let mut linker = Linker {
        object,
        code,
        starts: vec![None; object.functions.len()],
        image: Image::default(),
        has_func_info: true,
        has_line_info: true,
    };
    linker.append_all(program.function)?;
    if let Some(callback) = exception_callback(object, program)? {
        linker.append_all(callback)?;
    }
    let Linker { mut image, has_func_info, has_line_info, .. } = linker;
    if !has_func_info {
        image.func_info.clear();
    }
    if !has_line_info {
        image.line_info.clear();
    }
    Ok(image)
}

struct Linker<'a> {
    object: &'a Object,
    code: &'a [Code],
    /// Where each function is, once it is there.
    starts: Vec<Option<u32>>,
    image: Image,
    /// Whether each function so far has a record of its own; Linux wants all or none.
    has_func_info: bool,
    has_line_info: bool,
}

impl Linker<'_> {
    /// Appends a function and all that it calls, unless they are there.
    fn append_all(&mut self, first: usize) -> Result<(), RelocateError> {
        if self.starts[first].is_some() {
            return Ok(());
        }
        // A function, where it is, and which of its references comes next.
        let mut pending = vec![(first, self.append(first)?, 0)];
        while let Some((function, start, next)) = pending.last_mut() {
            let Some(reference) = self.object.functions[*function].references.get(*next) else {
                pending.pop();
                continue;
            };
            *next += 1;
            let (Symbol::Call(target) | Symbol::FunctionAddress(target)) = reference.to else {
                continue;
            };
            let at = *start + reference.at;
            let (there, is_new) = match self.starts[target] {
                Some(there) => (there, false),
                None => (self.append(target)?, true),
            };
            if is_new {
                pending.push((target, there, 0));
            }
            self.aim(at, there);
        }
        Ok(())
    }

    /// Makes a call, or a load of a function's address, mean the function at `there`.
    fn aim(&mut self, at: u32, there: u32) {
        let distance = i64::from(there) - i64::from(at) - 1;
        if let Some(slot) = self.image.insns.get_mut(at as usize) {
            slot.imm = distance as i32;
        }
    }

    /// Appends one function.
    fn append(&mut self, index: usize) -> Result<u32, RelocateError> {
        let (function, code) = (&self.object.functions[index], &self.code[index]);
        let image = &mut self.image;
        let slots = image.insns.len() + code.insns.len();
        if slots > MAX_INSNS {
            let error = RelocateError::from(Kind::TooLong { slots, most: MAX_INSNS });
            return Err(error.in_function(&function.name));
        }
        check_calls(&code.insns, &function.references)
            .map_err(|error| error.in_function(&function.name))?;
        let start = image.insns.len() as u32;
        self.starts[index] = Some(start);
        image.insns.extend_from_slice(&code.insns);
        for reference in &function.references {
            if let Symbol::FunctionAddress(_) = reference.to
                && let Some(slot) = image.insns.get_mut((start + reference.at) as usize)
            {
                slot.src = ImmKind::Func as u8;
            }
            image.sites.push(Reference { at: start + reference.at, ..*reference });
        }
        let moved = |of: &Poisoned| Poisoned { at: start + of.at, what: of.what.clone() };
        image.poisoned.extend(code.poisoned.iter().map(moved));
        image.functions.push(PlacedFunction { name: function.name.clone(), start });
        self.has_func_info &= !function.func_info.is_empty();
        self.has_line_info &= !function.line_info.is_empty();
        image.func_info.extend(
            function
                .func_info
                .iter()
                .map(|record| FuncInfo { insn_off: start + record.insn_off, ..*record }),
        );
        image.line_info.extend(
            function
                .line_info
                .iter()
                .map(|record| LineInfo { insn_off: start + record.insn_off, ..*record }),
        );
        Ok(start)
    }
}

/// Each call of a function, and each load of one's address, has to refer to one.
fn check_calls(insns: &[Slot], references: &[Reference]) -> Result<(), RelocateError> {
    let mut at = 0;
    while at < insns.len() {
        let Ok(insn) = decode_at(insns, at) else {
            at += 1;
            continue;
        };
        let reason = match insn {
            Insn::Call(Callee::Local(_)) => Some("it calls code that is no function"),
            Insn::LoadImm64 { imm, .. } if imm.kind == ImmKind::Func => {
                Some("it takes the address of code that is no function")
            }
            _ => None,
        };
        if let Some(reason) = reason
            && references.binary_search_by_key(&(at as u32), |reference| reference.at).is_err()
        {
            return Err(RelocateError::from(Kind::Call { reason }).at(at as u32));
        }
        at += insn.slots() as usize;
    }
    Ok(())
}

/// The function that a program names as its exception callback, by a tag on its own
/// (`__exception_cb(name)`). More than one is left for the verifier to refuse.
fn exception_callback(
    object: &Object,
    program: &ProgramDef,
) -> Result<Option<usize>, RelocateError> {
    let Some(btf) = &object.btf else { return Ok(None) };
    let mut names = Vec::new();
    for (_, ty) in btf.types() {
        if let Type::DeclTag { name, target, component: -1, .. } = ty
            && let Some(callback) = name.strip_prefix("exception_callback:")
            && let Ok(Type::Func { name, linkage: FuncLinkage::Global, .. }) =
                btf.type_by_id(target)
            && name == program.name
        {
            names.push(callback);
        }
    }
    let [name] = names[..] else { return Ok(None) };
    let is_it = |function: &crate::object::Function| {
        function.section == ".text" && function.name == name && function.global && !function.hidden
    };
    match object.functions.iter().position(is_it) {
        Some(index) => Ok(Some(index)),
        None => {
            let reason = "its exception callback is no global function of .text";
            Err(RelocateError::from(Kind::Call { reason }).in_function(&program.name))
        }
    }
}
