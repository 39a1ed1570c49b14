//! Types as C: a header that compiles and lays them out as BTF says.
//!
//! [`Printer::define`] writes what C wants in front of a type, then the type:
//! what is embedded must be defined, what is only pointed to is declared, and a
//! typedef is always defined first. C's own rules make that order free of
//! cycles; where hostile input is not, it is an error. The whole form is that of
//! `bpftool btf dump format c` (counterpart: libbpf's `btf_dump.c`), with the
//! layout computed rather than guessed: see `body`.

mod body;
mod declare;
mod names;

use std::io::Write;

use crate::layout::{Shapes, nesting};
use crate::{Btf, BtfError, Int, Kind, Type};
use names::Names;

/// How deep definitions may depend on one another.
const MAX_DEPTH: u32 = 256;

/// What stands in front of all types.
const PREAMBLE: &str = "\
#ifndef __VMLINUX_H__
#define __VMLINUX_H__

#ifndef BPF_NO_PRESERVE_ACCESS_INDEX
#pragma clang attribute push (__attribute__((preserve_access_index)), apply_to = record)
#endif

";

const BEFORE_KFUNCS: &str = "\
#ifndef BPF_NO_KFUNC_PROTOTYPES
#ifndef __ksym
#define __ksym __attribute__((section(\".ksyms\")))
#endif

#ifndef __weak
#define __weak __attribute__((weak))
#endif

";

const AFTER_KFUNCS: &str = "\
#endif

";

const POSTAMBLE: &str = "\
#ifndef BPF_NO_PRESERVE_ACCESS_INDEX
#pragma clang attribute pop
#endif

#endif /* __VMLINUX_H__ */
";

/// Writes a whole header: all types of `btf` (of a split BTF its own, and what they
/// need of the base), then prototypes of the kernel functions that programs may call.
pub fn write_header(btf: &Btf, out: &mut dyn Write) -> Result<(), BtfError> {
    let mut printer = Printer::new(btf);
    out.write_all(PREAMBLE.as_bytes())?;
    for id in btf.start_id()..btf.len() {
        printer.define(id)?;
        out.write_all(printer.take().as_bytes())?;
    }
    printer.kfuncs()?;
    out.write_all(printer.take().as_bytes())?;
    out.write_all(POSTAMBLE.as_bytes())?;
    Ok(())
}

/// A declaration of `name` as the type: `int (*name)[4]`. Anonymous types are
/// spelled out.
pub fn declaration(btf: &Btf, id: u32, name: &str) -> Result<String, BtfError> {
    Printer::new(btf).declare(id, name.to_string(), 0, 0)
}

/// How much of a type must be known where it is mentioned.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Need {
    /// That it exists: behind a pointer, in a prototype.
    Name,
    /// Its size and members.
    Whole,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    New,
    /// What it needs is being written: meeting it again is a cycle.
    Started,
    Defined,
}

/// Prints types of one BTF, each once, with all that they need.
pub struct Printer<'a> {
    btf: &'a Btf,
    states: Vec<State>,
    /// Structs and unions that have at least been declared.
    declared: Vec<bool>,
    /// Types that other types mention: an anonymous enum is printed by itself only if none does.
    mentioned: Vec<bool>,
    names: Names,
    shapes: Shapes<'a>,
    text: String,
    /// How many more steps may be taken and bytes be written: types that mention
    /// anonymous types that mention others fan out without end.
    budget: u64,
}

impl<'a> Printer<'a> {
    /// A printer that has printed nothing yet.
    pub fn new(btf: &'a Btf) -> Printer<'a> {
        let len = btf.len() as usize;
        let bytes: usize = std::iter::successors(Some(btf), |btf| btf.base().map(|base| &**base))
            .map(|btf| btf.raw_bytes().len())
            .sum();
        Printer {
            btf,
            states: vec![State::New; len],
            declared: vec![false; len],
            mentioned: mentioned(btf),
            names: Names::new(len),
            shapes: Shapes::new(btf),
            text: String::new(),
            budget: bytes as u64 * 16 + (1 << 20),
        }
    }

    /// What [`declaration`] gives. A printer that is asked for many looks over all types once,
    /// and tells types of one name apart.
    ///
    /// # Errors
    /// A type that is broken, or one that fans out without end.
    pub fn declaration(&mut self, id: u32, name: &str) -> Result<String, BtfError> {
        self.declare(id, name.to_string(), 0, 0)
    }

    /// Takes what was printed since the last time.
    pub fn take(&mut self) -> String {
        std::mem::take(&mut self.text)
    }

    /// Prints the definition of a type, after all that it needs, unless it was
    /// printed already. Functions, variables, sections and tags have none; types
    /// without a name are spelled out where they are used.
    pub fn define(&mut self, id: u32) -> Result<(), BtfError> {
        self.define_at(id, 0)
    }

    fn define_at(&mut self, id: u32, depth: u32) -> Result<(), BtfError> {
        match self.states.get(id as usize) {
            Some(State::New) => {}
            Some(State::Started) => return Err(nesting(id, MAX_DEPTH)),
            _ => return Ok(()),
        }
        if depth > MAX_DEPTH {
            return Err(nesting(id, MAX_DEPTH));
        }
        self.states[id as usize] = State::Started;
        match self.btf.type_by_id(id)? {
            // clang's type of array indices is declared by nothing.
            Type::Int(int)
                if !names::is_c_integer(int.name) && int.name != "__ARRAY_SIZE_TYPE__" =>
            {
                self.define_integer(id, &int)?;
            }
            Type::Struct(composite) | Type::Union(composite) if !composite.name.is_empty() => {
                for member in composite.members.iter() {
                    self.prepare(member.type_id, Need::Whole, id, depth + 1)?;
                }
                self.declared[id as usize] = true;
                let text = self.composite(id, 0, depth)?;
                self.emit(id, text)?;
            }
            Type::Enum(view) | Type::Enum64(view)
                if !view.name.is_empty() || !self.mentioned[id as usize] =>
            {
                let text = self.enumeration(id, &view, 0);
                self.emit(id, text)?;
            }
            Type::Fwd { .. } => {
                let text = self.tag(id)?;
                self.emit(id, text)?;
            }
            Type::Typedef { name, target } if !names::is_builtin_typedef(name) => {
                let text = if target == 0 && name == "__gnuc_va_list" {
                    // Old gcc describes it as void.
                    "typedef __builtin_va_list __gnuc_va_list".to_string()
                } else {
                    self.prepare(target, Need::Name, id, depth + 1)?;
                    let name = self.names.identifier_of(id, name);
                    format!("typedef {}", self.declare(target, name, 0, depth)?)
                };
                self.emit(id, text)?;
            }
            _ => {}
        }
        self.states[id as usize] = State::Defined;
        Ok(())
    }

    /// Gives C an integer type of a name that it does not know (Rust's `u32`).
    fn define_integer(&mut self, id: u32, int: &Int<'_>) -> Result<(), BtfError> {
        let name = self.names.identifier_of(id, int.name);
        let known = match (int.size, int.is_bool(), int.is_signed()) {
            (1, true, _) => "_Bool",
            (1, _, true) => "signed char",
            (1, _, false) => "unsigned char",
            (2, _, true) => "short",
            (2, _, false) => "unsigned short",
            (4, _, true) => "int",
            (4, _, false) => "unsigned int",
            (8, _, true) => "long long",
            (8, _, false) => "unsigned long long",
            (_, _, true) => "__int128",
            (_, _, false) => "unsigned __int128",
        };
        self.emit(id, format!("typedef {known} {name}"))
    }

    /// Prints what a mention of the type, in the definition of `inside`, needs in front of it.
    fn prepare(&mut self, id: u32, need: Need, inside: u32, depth: u32) -> Result<(), BtfError> {
        if depth > MAX_DEPTH {
            return Err(nesting(id, MAX_DEPTH));
        }
        self.spend(id, 1)?;
        match self.btf.type_by_id(id)? {
            Type::Ptr { target } => self.prepare(target, Need::Name, inside, depth + 1),
            // An array's elements are whole, even behind a pointer.
            Type::Array(array) => self.prepare(array.element, Need::Whole, inside, depth + 1),
            Type::Const { target }
            | Type::Volatile { target }
            | Type::Restrict { target }
            | Type::TypeTag { target, .. } => self.prepare(target, need, inside, depth + 1),
            Type::FuncProto(proto) => {
                self.prepare(proto.ret, Need::Name, inside, depth + 1)?;
                for param in proto.params.iter() {
                    self.prepare(param.type_id, Need::Name, inside, depth + 1)?;
                }
                Ok(())
            }
            Type::Struct(composite) | Type::Union(composite) => {
                if composite.name.is_empty() {
                    for member in composite.members.iter() {
                        self.prepare(member.type_id, Need::Whole, inside, depth + 1)?;
                    }
                    Ok(())
                } else if need == Need::Whole {
                    self.define_at(id, depth + 1)
                } else if id == inside {
                    // Its own definition declares it.
                    Ok(())
                } else {
                    self.forward(id)
                }
            }
            Type::Fwd { .. } | Type::Int(_) => self.define_at(id, depth + 1),
            Type::Enum(view) | Type::Enum64(view) if !view.name.is_empty() => {
                self.define_at(id, depth + 1)
            }
            Type::Typedef { target, .. } => {
                self.define_at(id, depth + 1)?;
                match need {
                    Need::Whole => self.prepare(target, Need::Whole, inside, depth + 1),
                    Need::Name => Ok(()),
                }
            }
            _ => Ok(()),
        }
    }

    /// Declares a struct or union that nothing has declared yet.
    fn forward(&mut self, id: u32) -> Result<(), BtfError> {
        if std::mem::replace(&mut self.declared[id as usize], true) {
            return Ok(());
        }
        let text = self.tag(id)?;
        self.emit(id, text)
    }

    /// The prototypes of all functions tagged as callable from programs.
    fn kfuncs(&mut self) -> Result<(), BtfError> {
        let mut any = false;
        for (_, ty) in self.btf.types() {
            let Type::DeclTag { name: "bpf_kfunc", target, component: -1, .. } = ty else {
                continue;
            };
            let Type::Func { name, proto, .. } = self.btf.type_by_id(target)? else {
                continue;
            };
            if std::mem::replace(&mut self.states[target as usize], State::Defined)
                == State::Defined
            {
                continue;
            }
            self.prepare(proto, Need::Name, target, 0)?;
            if !std::mem::replace(&mut any, true) {
                self.text.push_str(BEFORE_KFUNCS);
            }
            // A second one by this name would not be callable by another name.
            if let Some(name) = self.names.unused_identifier(name) {
                let text = self.declare(proto, name, 0, 0)?;
                self.spend(target, text.len() as u64)?;
                self.text.push_str(&format!("extern {text} __weak __ksym;\n"));
            }
        }
        if any {
            self.text.push_str(AFTER_KFUNCS);
        }
        Ok(())
    }

    /// Adds a definition to the output.
    fn emit(&mut self, id: u32, text: String) -> Result<(), BtfError> {
        self.spend(id, text.len() as u64)?;
        self.text.push_str(&text);
        self.text.push_str(";\n\n");
        Ok(())
    }

    fn spend(&mut self, id: u32, amount: u64) -> Result<(), BtfError> {
        self.budget = self
            .budget
            .checked_sub(amount)
            .ok_or(BtfError::TooLarge { id, what: "as C, with all anonymous types spelled out" })?;
        Ok(())
    }
}

/// For each id, whether any type mentions it.
fn mentioned(btf: &Btf) -> Vec<bool> {
    let mut mentioned = match btf.base() {
        Some(base) => mentioned(base),
        None => vec![false; 1],
    };
    mentioned.resize(btf.len() as usize, false);
    for (_, ty) in btf.types() {
        let mut mark = |id: u32| mentioned[id as usize] = true;
        match ty {
            Type::Array(array) => {
                mark(array.element);
                mark(array.index);
            }
            Type::Struct(composite) | Type::Union(composite) => {
                composite.members.iter().for_each(|member| mark(member.type_id));
            }
            Type::FuncProto(proto) => {
                mark(proto.ret);
                proto.params.iter().for_each(|param| mark(param.type_id));
            }
            Type::DataSec(section) => section.vars.iter().for_each(|var| mark(var.type_id)),
            other => {
                if let Some(target) = other.target() {
                    mark(target);
                }
            }
        }
    }
    mentioned
}

/// `struct`, `union` or `enum`.
fn keyword(kind: Kind) -> &'static str {
    match kind {
        Kind::Union => "union",
        Kind::Enum | Kind::Enum64 => "enum",
        _ => "struct",
    }
}
