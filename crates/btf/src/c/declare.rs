//! Declarations: C writes a type around the name that it declares.
//!
//! The chain of types is followed from the name outwards; what stands at its end
//! (an int, a struct, a typedef) comes to the left of everything.

use super::names::c_name;
use super::{MAX_DEPTH, Printer, keyword};
use crate::layout::nesting;
use crate::{Array, BtfError, FuncProto, Kind, Type};

impl Printer<'_> {
    /// Declares `declarator` (a name, or "" for a bare type) as a type, with inline
    /// definitions indented by `indent` tabs.
    pub(super) fn declare(
        &mut self,
        id: u32,
        mut declarator: String,
        indent: usize,
        depth: u32,
    ) -> Result<String, BtfError> {
        // Qualifiers and tags of what comes next in the chain.
        let mut qualifiers = String::new();
        let mut at = id;
        for _ in 0..MAX_DEPTH {
            self.spend(at, 1)?;
            match self.btf.type_by_id(at)? {
                Type::Ptr { target } => {
                    declarator = format!("*{qualifiers}{declarator}");
                    qualifiers.clear();
                    at = target;
                }
                Type::Const { target } => {
                    add_qualifier(&mut qualifiers, "const");
                    at = target;
                }
                Type::Volatile { target } => {
                    add_qualifier(&mut qualifiers, "volatile");
                    at = target;
                }
                Type::Restrict { target } => {
                    add_qualifier(&mut qualifiers, "restrict");
                    at = target;
                }
                Type::TypeTag { name, target, is_attribute } => {
                    if let Some(attribute) = attribute(name, is_attribute) {
                        add_qualifier(&mut qualifiers, &attribute);
                    }
                    at = target;
                }
                Type::Array(Array { element, len, .. }) => {
                    // gcc qualifies the array as well as its elements, which C has no words for.
                    qualifiers.clear();
                    declarator = format!("{}[{len}]", parenthesized(declarator));
                    at = element;
                }
                Type::FuncProto(proto) => {
                    // gcc marks functions that do not return as volatile.
                    qualifiers.clear();
                    let params = self.params(&proto, indent, depth)?;
                    declarator = format!("{}({params})", parenthesized(declarator));
                    at = proto.ret;
                }
                end => {
                    let base = self.base(at, &end, indent, depth)?;
                    // An attribute in front would be taken for one of the name.
                    let text = match qualifiers.contains("__attribute__") {
                        true => format!("{base} {qualifiers}{declarator}"),
                        false => format!("{qualifiers}{base} {declarator}"),
                    };
                    return Ok(text.trim_end().to_string());
                }
            }
        }
        Err(nesting(id, MAX_DEPTH))
    }

    /// What stands at the end of the chain.
    fn base(
        &mut self,
        id: u32,
        ty: &Type<'_>,
        indent: usize,
        depth: u32,
    ) -> Result<String, BtfError> {
        match *ty {
            Type::Void => Ok("void".into()),
            Type::Int(int) if super::names::is_c_integer(int.name) => Ok(int.name.into()),
            Type::Int(int) => Ok(self.names.identifier_of(id, int.name)),
            Type::Float { name, .. } => Ok(name.into()),
            Type::Typedef { name, .. } if super::names::is_builtin_typedef(name) => Ok(name.into()),
            Type::Typedef { name, .. } => Ok(self.names.identifier_of(id, name)),
            Type::Struct(composite) | Type::Union(composite) if composite.name.is_empty() => {
                if depth > MAX_DEPTH {
                    return Err(nesting(id, MAX_DEPTH));
                }
                self.composite(id, indent, depth + 1)
            }
            Type::Enum(view) | Type::Enum64(view) if view.name.is_empty() => {
                Ok(self.enumeration(id, &view, indent))
            }
            Type::Struct(_)
            | Type::Union(_)
            | Type::Enum(_)
            | Type::Enum64(_)
            | Type::Fwd { .. } => self.tag(id),
            other => Err(BtfError::Kind {
                id,
                kind: other.kind(),
                expected: "a type that C can declare something as",
            }),
        }
    }

    /// `struct task_struct`.
    pub(super) fn tag(&mut self, id: u32) -> Result<String, BtfError> {
        let ty = self.btf.type_by_id(id)?;
        let (keyword, tag) = match ty {
            Type::Fwd { name, is_union } => {
                let (kind, others) = match is_union {
                    true => (Kind::Union, [Kind::Struct, Kind::Enum, Kind::Enum64]),
                    false => (Kind::Struct, [Kind::Union, Kind::Enum, Kind::Enum64]),
                };
                let has = |kind| self.btf.find(name, kind).is_some();
                let is_other = !has(kind) && others.into_iter().any(has);
                let keyword = keyword(kind);
                (keyword, self.names.forward_tag(keyword, name, is_other))
            }
            _ => {
                let keyword = keyword(ty.kind());
                (keyword, self.names.tag_of(id, keyword, ty.name()))
            }
        };
        Ok(format!("{keyword} {tag}"))
    }

    fn params(
        &mut self,
        proto: &FuncProto<'_>,
        indent: usize,
        depth: u32,
    ) -> Result<String, BtfError> {
        if depth > MAX_DEPTH {
            return Err(nesting(proto.ret, MAX_DEPTH));
        }
        let last = proto.params.len().wrapping_sub(1);
        let mut text = String::new();
        for (index, param) in proto.params.iter().enumerate() {
            if index > 0 {
                text.push_str(", ");
            }
            match (param.type_id, index) {
                // clang writes f(void) as a parameter of type void, too.
                (0, 0) if index == last => text.push_str("void"),
                (0, _) if index == last => text.push_str("..."),
                (type_id, _) => {
                    let name = match param.name {
                        "" => String::new(),
                        name => c_name(name),
                    };
                    text.push_str(&self.declare(type_id, name, indent, depth + 1)?);
                }
            }
        }
        if proto.params.is_empty() {
            text.push_str("void");
        }
        self.spend(proto.ret, text.len() as u64)?;
        Ok(text)
    }
}

/// A pointer in front of an array or function needs parentheses.
fn parenthesized(declarator: String) -> String {
    match declarator.starts_with('*') {
        true => format!("({declarator})"),
        false => declarator,
    }
}

/// Qualifiers come in the order of the chain, each followed by a space.
fn add_qualifier(qualifiers: &mut String, qualifier: &str) {
    qualifiers.push_str(qualifier);
    qualifiers.push(' ');
}

/// A type tag as an attribute, unless its text is more than one.
fn attribute(name: &str, is_attribute: bool) -> Option<String> {
    let is_plain = |character: char| {
        character.is_ascii_alphanumeric() || matches!(character, '_' | '(' | ')' | ',' | ' ')
    };
    let mut open = 0u32;
    for character in name.chars() {
        open = match character {
            '(' => open + 1,
            ')' => open.checked_sub(1)?,
            character if is_plain(character) => open,
            _ => return None,
        };
    }
    match (open, is_attribute) {
        (0, true) => Some(format!("__attribute__(({name}))")),
        (0, false) => Some(format!("__attribute__((btf_type_tag(\"{name}\")))")),
        _ => None,
    }
}
