//! Types as they are written, and where an expression may stand for its type.

use super::cursor::{Parser, starts_word};
use crate::trace::ast::{ExprKind, TypeName, TypeOf, TypeOfKind};
use crate::trace::{number, words};

impl Parser<'_> {
    pub(super) fn type_of(&mut self, kind: TypeOfKind, from: usize) -> TypeOf {
        TypeOf { id: self.ids.fresh(), kind, place: self.since(from) }
    }

    /// Takes a type; without one says so, if asked to.
    pub(super) fn type_name(&mut self, say: bool) -> Option<TypeName> {
        let otherwise = |text| if say { text } else { "" };
        let word = self.take_word(otherwise("expected type name"))?;
        let made: Option<fn(std::sync::Arc<str>) -> TypeName> = match &*word {
            "struct" => Some(TypeName::Struct),
            "union" => Some(TypeName::Union),
            "enum" => Some(TypeName::Enum),
            _ => None,
        };
        let mut name = match made {
            Some(made) => made(self.take_word(otherwise("expected identifier"))?.into()),
            None => TypeName::Plain(word.into()),
        };
        self.layout();
        let mut parts = 0;
        while matches!(self.peek(), b'*' | b'[') {
            parts += 1;
            if parts > super::cursor::DEEPEST {
                self.error("type nested too deep");
                return None;
            }
            if self.takes(b'*') {
                name = TypeName::Pointer(Box::new(name));
            } else {
                self.advance(1);
                self.layout();
                let mut size = 0;
                if self.peek() != b']' {
                    let digits = self.take_number();
                    size = number::unsigned(&digits).unwrap_or(0);
                }
                self.expect(b']');
                name = TypeName::Array(Box::new(name), size);
            }
            self.layout();
        }
        Some(name)
    }

    /// After `*` and `[n]` behind a type's name, and whether there was one.
    fn after_suffixes(&self, at: usize) -> Option<(usize, bool)> {
        let mut at = self.after_layout(at);
        let mut any = false;
        loop {
            match self.byte(at) {
                b'*' => at = self.after_layout(at + 1),
                b'[' => {
                    let after = self.after_balanced(at, b'[', b']');
                    if self.byte(after - 1) != b']' {
                        return None;
                    }
                    at = self.after_layout(after);
                }
                _ => return Some((at, any)),
            }
            any = true;
        }
    }

    /// Takes a type, or a lone word that may be one, where a sign of `ends` follows it.
    fn type_reference(&mut self, ends: &[u8]) -> Option<TypeOfKind> {
        let start = self.at;
        self.layout();
        let from = self.at;
        let found = self.type_reference_here(ends);
        match found {
            None => {
                self.at = start;
                None
            }
            Some(true) => self.type_name(true).map(TypeOfKind::Type),
            Some(false) => {
                let word = self.take_word("")?;
                let place = self.since(from);
                let word = self.expr(ExprKind::Ident(word.into()), place);
                Some(TypeOfKind::Expr(Box::new(word)))
            }
        }
    }

    /// Whether a type stands here (`true`) or a lone word.
    fn type_reference_here(&self, ends: &[u8]) -> Option<bool> {
        if !starts_word(self.peek()) {
            return None;
        }
        let mut end = self.word_end(self.at);
        let word = self.view(self.at, end);
        if words::is_builtin(&word) {
            return None;
        }
        let mut known = words::type_of_word(&word).is_some();
        if matches!(&*word, "struct" | "union" | "enum") {
            end = self.after_layout(end);
            if !starts_word(self.byte(end)) {
                return None;
            }
            end = self.word_end(end);
            known = true;
        }
        let (after, suffixes) = self.after_suffixes(end)?;
        let next = self.byte(after);
        if next == 0 || !ends.contains(&next) {
            return None;
        }
        Some(known || suffixes)
    }

    /// Takes `typeof(…)`, a type, or (unless only a type may stand here) an expression.
    pub(super) fn annotation(&mut self, only_type: bool) -> Option<TypeOf> {
        self.layout();
        let from = self.at;
        if self.takes_keyword("typeof") {
            self.expect(b'(');
            self.layout();
            let kind = match self.type_reference(b")") {
                Some(kind) => kind,
                None => TypeOfKind::Expr(Box::new(self.expression())),
            };
            self.expect(b')');
            return Some(self.type_of(kind, from));
        }
        let kind = if only_type {
            TypeOfKind::Type(self.type_name(true)?)
        } else {
            match self.type_reference(b";,=){}") {
                Some(kind) => kind,
                None => TypeOfKind::Expr(Box::new(self.expression())),
            }
        };
        Some(self.type_of(kind, from))
    }
}
