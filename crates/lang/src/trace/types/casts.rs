//! Whether values fit where they are put: what a conversion cannot do is an error, what it
//! may change a warning.

use super::Typed;
use super::promote::{fits, part, promote};
use crate::trace::ast::{
    Block, Call, Element, Expr, ExprKind, Function, Iterable, Statement, StatementKind, Target,
    TypeOf, TypeOfKind,
};
use crate::trace::diagnostic::Diagnostics;
use crate::trace::flow;
use crate::trace::kind::{Kind, Type};
use crate::trace::place::Place;
use crate::trace::sugar::AGGREGATIONS;
use crate::trace::unit::Unit;

/// Checks a whole unit.
pub(super) fn check(unit: &mut Unit<'_>, typed: Typed) -> Typed {
    let mut casts = Casts { typed: &typed, diagnostics: &mut unit.diagnostics, function: None };
    for function in &unit.functions {
        casts.function = Some(function);
        casts.block(&function.body);
        let result = typed.of(function.result.id);
        if result.kind != Kind::Void && !flow::always_returns(&function.body) {
            casts.no_value(function, function.body.place);
        }
    }
    casts.function = None;
    for probe in &unit.probes {
        casts.block(&probe.body);
    }
    typed
}

/// Whether a literal lies in a number type's range.
fn in_range(value: i128, of: &Type) -> bool {
    let bits = of.size() * 8;
    if bits == 0 || bits > 64 {
        return false;
    }
    if of.is_signed() {
        let most = (1i128 << (bits - 1)) - 1;
        (-most - 1..=most).contains(&value)
    } else {
        (0..(1i128 << bits)).contains(&value)
    }
}

struct Casts<'c> {
    typed: &'c Typed,
    diagnostics: &'c mut Diagnostics,
    function: Option<&'c Function>,
}

impl<'c> Casts<'c> {
    fn of(&self, expr: &Expr) -> Type {
        self.typed.of(expr.id)
    }

    fn full(&self, of: &Type) -> String {
        self.typed.full(of)
    }

    fn error(&mut self, place: Place, text: String) {
        self.diagnostics.error(place, text);
    }

    fn no_value(&mut self, function: &Function, place: Place) {
        let of = self.typed.of(function.result.id);
        let text =
            format!("Function {} is of type {}, cannot return void", function.name, self.full(&of));
        self.error(place, text);
    }

    /// Whether a value of the first type can be put where the second stands. The expression
    /// is there where it is the value itself and not a part of it.
    fn puts(&mut self, expr: Option<&Expr>, place: Place, from: &Type, to: &Type) -> bool {
        if from == to {
            return true;
        }
        let number = |of: &Type| of.is_int() || of.is_castable_aggregate();
        let same = std::mem::discriminant(&from.kind) == std::mem::discriminant(&to.kind);
        if same && from.is_castable_aggregate() {
            return true;
        }
        if number(from) && number(to) {
            return self.puts_number(expr, place, from, to);
        }
        if !same {
            return false;
        }
        match (&from.kind, &to.kind) {
            (Kind::String(a), Kind::String(b)) => a <= b,
            (Kind::Tuple(a), Kind::Tuple(b)) => {
                let values = match inner(expr).map(|expr| &expr.kind) {
                    Some(ExprKind::Tuple(values)) => Some(values),
                    _ => None,
                };
                a.len() == b.len()
                    && a.iter().zip(b.iter()).enumerate().all(|(at, (a, b))| {
                        let value = values.and_then(|values| values.get(at));
                        let place = value.map_or(place, |value| value.place);
                        self.puts(value, place, a, b)
                    })
            }
            (Kind::Named(a), Kind::Named(b)) => {
                let values = match inner(expr).map(|expr| &expr.kind) {
                    Some(ExprKind::Record(values)) => Some(values),
                    _ => None,
                };
                b.iter().all(|(name, b)| {
                    let value = values
                        .and_then(|values| values.iter().find(|value| value.name == *name))
                        .map(|value| &value.value);
                    let place = value.map_or(place, |value| value.place);
                    part(a, name).is_some_and(|a| self.puts(value, place, a, b))
                })
            }
            (Kind::Pointer(_), _) | (Kind::Buffer(_), _) => true,
            _ => false,
        }
    }

    fn puts_number(&mut self, expr: Option<&Expr>, place: Place, from: &Type, to: &Type) -> bool {
        let literal = match expr.map(|expr| &expr.kind) {
            Some(ExprKind::Int(value, _)) => Some(i128::from(*value)),
            Some(ExprKind::Negative(value)) => Some(i128::from(*value)),
            _ => None,
        };
        if let Some(value) = literal {
            return !to.is_int() || in_range(value, to);
        }
        if !fits(from, to) && !from.is_castable_aggregate() {
            let text = format!(
                "Expression of type: {} being cast to type: {}. This may cause unexpected \
                 results. Use an explicit cast to suppress this warning.",
                self.full(from),
                self.full(to)
            );
            self.diagnostics.warning(place, text);
        }
        true
    }

    fn puts_expr(&mut self, expr: &Expr, to: &Type) -> bool {
        let from = self.of(expr);
        self.puts(Some(expr), expr.place, &from, to)
    }

    fn block(&mut self, block: &'c Block) {
        for statement in &block.statements {
            self.statement(statement);
        }
        self.expr(&block.value);
    }

    fn element(&mut self, element: &'c Element) {
        self.expr(&element.key);
        let from = self.of(&element.key);
        let to = self.typed.key(&element.map.name);
        if from.is_none() || to.is_none() || self.puts_expr(&element.key, &to) {
            return;
        }
        let text = format!(
            "Type mismatch for {}: trying to assign key of type '{}' when map already has a key \
             type '{}'",
            element.map.name,
            self.full(&from),
            self.full(&to)
        );
        self.error(element.place, text);
    }

    fn statement(&mut self, statement: &'c Statement) {
        let place = statement.place;
        match &statement.kind {
            StatementKind::Expr(expr) | StatementKind::Discard(expr) => self.expr(expr),
            StatementKind::Let(declared) => {
                if let Some(of) = &declared.of {
                    self.type_of(of);
                }
            }
            StatementKind::Assign(target, value) => self.assign(target, value, place),
            StatementKind::Unroll(expr, block) | StatementKind::While(expr, block) => {
                self.expr(expr);
                self.block(block);
            }
            StatementKind::For(_, over, block) => {
                self.block(block);
                if let Iterable::Range(first, last, _) = over {
                    self.expr(first);
                    self.expr(last);
                    let (a, b) = (self.of(first), self.of(last));
                    if a != b {
                        let larger = if a.size() > b.size() { a } else { b };
                        self.puts_expr(first, &larger);
                        self.puts_expr(last, &larger);
                    }
                }
            }
            StatementKind::Return(value) => self.returns(value.as_ref(), place),
            StatementKind::Break | StatementKind::Continue | StatementKind::Import(_) => {}
        }
    }

    fn returns(&mut self, value: Option<&'c Expr>, place: Place) {
        if let Some(value) = value {
            self.expr(value);
        }
        let Some(function) = self.function else {
            if let Some(value) = value {
                let of = self.of(value);
                if of.is_int() && of.size() != 8 {
                    self.puts_expr(value, &Type::int64());
                }
            }
            return;
        };
        let to = self.typed.of(function.result.id);
        match value {
            None if to.kind != Kind::Void => self.no_value(function, place),
            None => {}
            Some(value) => {
                let from = self.of(value);
                if !self.puts_expr(value, &to) {
                    let text = format!(
                        "Function {} is of type {}, cannot return {}",
                        function.name,
                        self.full(&to),
                        self.full(&from)
                    );
                    self.error(place, text);
                }
            }
        }
    }

    fn assign(&mut self, target: &'c Target, value: &'c Expr, place: Place) {
        let (name, to, what) = match target {
            Target::Element(element) => {
                self.element(element);
                let to = self.typed.value(&element.map.name);
                (&element.map.name, to, "map already has a value type")
            }
            Target::Variable(variable) => {
                let to = self.typed.of(variable.id);
                (&variable.name, to, "variable already has a type")
            }
            Target::Let(declared) => {
                let to = self.typed.of(declared.variable.id);
                (&declared.variable.name, to, "variable already has a type")
            }
            Target::Map(_) => return,
        };
        self.expr(value);
        if let Target::Let(declared) = target
            && let Some(of) = &declared.of
        {
            self.type_of(of);
        }
        let from = self.of(value);
        if from == to || self.puts_expr(value, &to) {
            return;
        }
        let text = format!(
            "Type mismatch for {name}: trying to assign value of type '{}' when {what} '{}'",
            self.full(&from),
            self.full(&to)
        );
        self.error(place, text);
    }

    fn type_of(&mut self, of: &'c TypeOf) {
        if let TypeOfKind::Expr(expr) = &of.kind {
            self.expr(expr);
        }
    }

    fn call(&mut self, call: &'c Call) {
        for argument in &call.arguments {
            self.expr(argument);
        }
        let keyed = AGGREGATIONS.contains(&&*call.function)
            || matches!(&*call.function, "__delete" | "__has_key" | "__find");
        if keyed
            && let [map, key, ..] = &call.arguments[..]
            && let ExprKind::Map(map) = &map.kind
        {
            let to = self.typed.key(&map.name);
            self.puts_expr(key, &to);
        }
    }

    fn expr(&mut self, expr: &'c Expr) {
        match &expr.kind {
            ExprKind::Call(call) => self.call(call),
            ExprKind::Sizeof(of)
            | ExprKind::Offsetof(of, _)
            | ExprKind::Typeinfo(of)
            | ExprKind::TypeArgument(of) => self.type_of(of),
            ExprKind::Comptime(inner)
            | ExprKind::Unary(_, inner)
            | ExprKind::Field(inner, _)
            | ExprKind::TupleIndex(inner, _) => self.expr(inner),
            ExprKind::Element(element) => self.element(element),
            ExprKind::Index(of, at) => {
                self.expr(of);
                self.expr(at);
            }
            ExprKind::Cast(of, inner) => {
                self.expr(inner);
                self.type_of(of);
            }
            ExprKind::Tuple(values) => values.iter().for_each(|value| self.expr(value)),
            ExprKind::Record(values) => {
                values.iter().for_each(|value| self.expr(&value.value));
            }
            ExprKind::Block(block) => self.block(block),
            ExprKind::Binary(op, left, right) => {
                self.expr(left);
                self.expr(right);
                let (a, b) = (self.of(left), self.of(right));
                if a.is_string() || b.is_string() {
                    return;
                }
                let to = if op.gives_truth() { promote(&a, &b) } else { Some(self.of(expr)) };
                if let Some(to) = to {
                    self.puts_expr(left, &to);
                    self.puts_expr(right, &to);
                }
            }
            ExprKind::If(branches) => {
                self.expr(&branches.condition);
                self.expr(&branches.then);
                self.expr(&branches.otherwise);
                let to = self.of(expr);
                for branch in [&branches.then, &branches.otherwise] {
                    let from = self.of(branch);
                    if !from.is_none() && from != to {
                        self.puts_expr(branch, &to);
                    }
                }
            }
            _ => {}
        }
    }
}

/// The value inside blocks.
fn inner(expr: Option<&Expr>) -> Option<&Expr> {
    let mut expr = expr?;
    while let ExprKind::Block(block) = &expr.kind {
        expr = &block.value;
    }
    Some(expr)
}
