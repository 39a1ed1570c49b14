//! A hook for those who write its programs: BTF of its context and its functions, which objects
//! are relocated against, and the same as a header of C.

use std::fmt::Write as _;
use std::sync::Arc;

use skep_abi::{HookRow, RetKind};
use skep_btf::{Btf, BtfError, Builder, FuncLinkage, Member as BtfMember};

use super::helper::{Lending, Parameter};
use super::member::{FieldRow, Integer, MemberType};

/// What a description is made of.
pub(super) struct Described<'d> {
    pub row: &'d HookRow,
    pub fields: &'static [FieldRow],
    /// Of each helper.
    pub parameters: &'d [Vec<Parameter>],
}

/// `BTF_INT_SIGNED`.
const SIGNED: u8 = 1;

impl Integer {
    /// As the headers of Linux call it.
    fn name(self) -> String {
        format!("__{}{}", if self.signed { 's' } else { 'u' }, self.bytes * 8)
    }
}

/// Types that are needed again and again, once each.
#[derive(Default)]
struct Types {
    builder: Builder,
    integers: Vec<(Integer, u32)>,
}

impl Types {
    fn integer(&mut self, of: Integer) -> u32 {
        if let Some((_, id)) = self.integers.iter().find(|(known, _)| *known == of) {
            return *id;
        }
        let encoding = if of.signed { SIGNED } else { 0 };
        let id = self.builder.int(&of.name(), of.bytes, encoding);
        self.integers.push((of, id));
        id
    }

    fn member(&mut self, of: MemberType) -> u32 {
        match of {
            MemberType::Integer(of) => self.integer(of),
            MemberType::Array(of, len) => {
                let (element, index) = (self.integer(of), self.integer(INDEX));
                self.builder.array(element, index, len)
            }
            MemberType::DataStart | MemberType::DataEnd => self.builder.ptr(0),
        }
    }
}

const INDEX: Integer = Integer { bytes: 4, signed: false };
const LONG: Integer = Integer { bytes: 8, signed: true };

impl Described<'_> {
    /// The types.
    pub fn btf(&self) -> Result<Arc<Btf>, BtfError> {
        let mut types = Types { builder: Builder::new(), integers: Vec::new() };
        let ids: Vec<u32> = self.fields.iter().map(|field| types.member(field.of)).collect();
        let members: Vec<BtfMember<'_>> = self
            .fields
            .iter()
            .zip(ids)
            .map(|(field, type_id)| BtfMember {
                name: field.name,
                type_id,
                bit_offset: field.at * 8,
                bitfield_size: 0,
            })
            .collect();
        let context = self.row.context;
        let context = types.builder.structure(context.name, context.size, &members);
        for (helper, parameters) in self.row.helpers.iter().zip(self.parameters) {
            let mut params = Vec::new();
            for parameter in parameters {
                let id = match parameter {
                    Parameter::Number(of) => types.integer(*of),
                    Parameter::Size => types.integer(INDEX),
                    Parameter::Bytes(_) => types.builder.ptr(0),
                    Parameter::Pointer(Lending::Context(_), _) => types.builder.ptr(context),
                    Parameter::Pointer(Lending::Memory(of, _), _) => {
                        let of = types.integer(element(*of));
                        types.builder.ptr(of)
                    }
                };
                params.push(("", id));
            }
            let gives = helper.protos.first().map(|proto| proto.ret.kind);
            let ret = match gives {
                Some(RetKind::Integer) => types.integer(LONG),
                _ => 0,
            };
            let proto = types.builder.func_proto(ret, &params);
            types.builder.func(helper.name, proto, FuncLinkage::Global);
        }
        types.builder.build().map(Arc::new)
    }

    /// The header.
    pub fn header(&self) -> String {
        let (name, context) = (&self.row.name, self.row.context.name);
        let guard: String = name.to_uppercase().replace(|c: char| !c.is_ascii_alphanumeric(), "_");
        let mut text = format!(
            "/* What programs of SEC(\"hook/{name}\") get and may call. Made by skep; the hook's \
             owner makes it anew. */\n#ifndef HOOK_{guard}_H\n#define HOOK_{guard}_H\n\n\
             #include <linux/types.h>\n\n"
        );
        text += &format!("struct {context} {{\n");
        for field in self.fields {
            let note = if field.written { " /* may be written */" } else { "" };
            let declared = match field.of {
                MemberType::Integer(of) => format!("{} {}", of.name(), field.name),
                MemberType::Array(of, len) => format!("{} {}[{len}]", of.name(), field.name),
                MemberType::DataStart | MemberType::DataEnd => format!("void *{}", field.name),
            };
            let _ = writeln!(text, "\t{declared};{note}");
        }
        text += "} __attribute__((preserve_access_index));\n";
        for (helper, parameters) in self.row.helpers.iter().zip(self.parameters) {
            let gives = helper.protos.first().map(|proto| proto.ret.kind);
            let ret = if gives == Some(RetKind::Integer) { "long" } else { "void" };
            let params: Vec<String> = parameters.iter().map(|of| self.declared(of)).collect();
            let params = if params.is_empty() { "void".to_owned() } else { params.join(", ") };
            let _ = writeln!(
                text,
                "\nextern {ret} {}({params}) __attribute__((section(\".ksyms\")));",
                helper.name
            );
        }
        text += "\n#endif\n";
        text
    }

    fn declared(&self, parameter: &Parameter) -> String {
        let constant = |changes: bool| if changes { "" } else { "const " };
        match *parameter {
            Parameter::Number(of) => of.name(),
            Parameter::Size => INDEX.name(),
            Parameter::Bytes(changes) => format!("{}void *", constant(changes)),
            Parameter::Pointer(Lending::Context(_), _) => {
                format!("struct {} *", self.row.context.name)
            }
            Parameter::Pointer(Lending::Memory(of, _), changes) => {
                format!("{}{} *", constant(changes), element(of).name())
            }
        }
    }
}

/// The integer that something is, or is made of.
fn element(of: MemberType) -> Integer {
    match of {
        MemberType::Integer(of) | MemberType::Array(of, _) => of,
        MemberType::DataStart | MemberType::DataEnd => LONG,
    }
}
