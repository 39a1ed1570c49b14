//! What is known once types are: `sizeof`, `offsetof`, `typeinfo`, and casts of literals to
//! truths become literals.

use super::lookup::Finder;
use super::rules::How;
use super::solve::{Slot, Solver};
use crate::trace::ast::{Expr, ExprId, ExprKind, Ids, Name, NamedValue, Statement, TypeOf};
use crate::trace::diagnostic::Diagnostics;
use crate::trace::fold;
use crate::trace::kind::{Kind, Type};
use crate::trace::names;
use crate::trace::place::Place;
use crate::trace::walk::{self, Visitor};

/// Rewrites with the types of a solution.
pub struct Rewriter<'r, 'a> {
    pub solver: &'r Solver<How>,
    pub finder: &'r mut Finder<'a>,
    pub ids: &'r mut Ids,
    pub diagnostics: &'r mut Diagnostics,
    /// Whether anything was rewritten.
    pub changed: bool,
}

impl Rewriter<'_, '_> {
    fn of(&self, id: ExprId) -> Type {
        self.solver.find(&Slot::Node(id))
    }

    fn literal(&mut self, kind: ExprKind, place: Place) -> Expr {
        Expr { id: self.ids.fresh(), kind, place }
    }

    fn offset(&mut self, of: &TypeOf, fields: &[Name]) -> Option<ExprKind> {
        let mut of = self.of(of.id);
        let mut offset = 0u64;
        if of.is_none() {
            return None;
        }
        for field in fields {
            let Kind::Record { id, .. } = of.kind else {
                return None;
            };
            self.finder.complete(id);
            let found = self.finder.records.field(id, field)?;
            offset += u64::from(found.offset);
            of = found.of.clone();
        }
        Some(ExprKind::Int(offset, None))
    }

    fn info(&mut self, of: &TypeOf, place: Place) -> Option<ExprKind> {
        let of = self.of(of.id);
        if of.is_none() {
            return None;
        }
        let text = |text: &str| ExprKind::Str(text.as_bytes().into());
        let full = names::full(&of, &self.finder.records);
        let values = [
            ("btf_id", ExprKind::Int(0, None)),
            ("base_type", text(names::base(&of))),
            ("full_type", text(&full)),
        ];
        let values = values.map(|(name, kind)| NamedValue {
            name: name.into(),
            value: self.literal(kind, place),
            place,
        });
        Some(ExprKind::Record(values.into()))
    }
}

impl Visitor for Rewriter<'_, '_> {
    fn expr(&mut self, expr: &mut Expr) {
        walk::expr_parts(self, expr);
        let kind = match &expr.kind {
            ExprKind::Sizeof(of) => {
                let of = self.of(of.id);
                (!of.is_none()).then(|| ExprKind::Int(u64::from(of.size()), None))
            }
            ExprKind::Offsetof(of, fields) => self.offset(of, fields),
            ExprKind::Typeinfo(of) => self.info(of, expr.place),
            ExprKind::Cast(_, inner) if self.of(expr.id).kind == Kind::Bool => {
                fold::truth(inner).map(ExprKind::Bool)
            }
            ExprKind::Index(of, at) if self.of(of.id).is_tuple() => match at.as_int() {
                Some(at) => Some(ExprKind::TupleIndex(of.clone(), at)),
                None => {
                    self.diagnostics.error(
                        expr.place,
                        "Array-style access for tuples only valid for integer literals",
                    );
                    None
                }
            },
            _ => None,
        };
        if let Some(kind) = kind {
            expr.kind = kind;
            expr.id = self.ids.fresh();
            self.changed = true;
        }
    }

    fn statement(&mut self, statement: &mut Statement) {
        walk::statement_parts(self, statement);
    }
}
