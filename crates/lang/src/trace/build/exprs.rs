//! Expressions, and conversions between types.

use super::Builder;
use crate::trace::ast::{BinaryOp, Expr, ExprKind as Said, UnaryOp};
use crate::trace::checked::{self, Builtin, ExprKind, Namespace, Value};
use crate::trace::kind::{Kind, Type};
use crate::trace::place::Place;
use crate::trace::types::promote;
use crate::trace::words;

fn made(kind: ExprKind, of: Type, place: Place) -> checked::Expr {
    checked::Expr { kind, of, place }
}

impl Builder<'_> {
    pub(super) fn of(&self, expr: &Expr) -> Type {
        self.typed.of(expr.id)
    }

    /// An expression as another type.
    pub(super) fn expr_as(&mut self, expr: &Expr, to: &Type) -> checked::Expr {
        let expr = self.expr(expr);
        coerce(expr, to)
    }

    /// An expression.
    pub(super) fn expr(&mut self, expr: &Expr) -> checked::Expr {
        let of = self.of(expr);
        let place = expr.place;
        self.note(&of);
        let kind = match &expr.kind {
            Said::Int(value, _) => ExprKind::Constant(Value::Int(*value)),
            Said::Negative(value) => ExprKind::Constant(Value::Negative(*value)),
            Said::Bool(truth) => ExprKind::Constant(Value::Bool(*truth)),
            Said::Str(bytes) => ExprKind::Constant(Value::Str(bytes.clone())),
            Said::Ident(word) => match self.c.constants.get(word) {
                Some((value, _)) if *value < 0 => ExprKind::Constant(Value::Negative(*value)),
                Some((value, _)) => ExprKind::Constant(Value::Int(*value as u64)),
                None => ExprKind::None,
            },
            Said::Builtin(word) => builtin(word, &of),
            Said::Call(call) => return self.call(call, of, place),
            Said::Variable(_) => ExprKind::Variable(self.variable(expr.id)),
            Said::VariableAddress(variable) => {
                let id = self.variable(variable.id);
                if let Some(variable) = self.program.get_mut(id.0 as usize) {
                    variable.addressed = true;
                }
                ExprKind::VariableAddress(id)
            }
            Said::MapAddress(map) => ExprKind::MapAddress(self.map(&map.name)),
            Said::Element(element) => {
                if let Some(parameter) = self.parameters.get(&element.map.name) {
                    let of = self.given[&element.map.name].of.clone();
                    return made(ExprKind::Parameter(*parameter), of, place);
                }
                let map = self.map(&element.map.name);
                ExprKind::Element(map, Box::new(self.key(map, &element.key)))
            }
            Said::Binary(op, left, right) => return self.binary(*op, left, right, of, place),
            Said::Unary(op, inner) if op.steps() => self.step(*op, inner),
            Said::Unary(op, inner) => {
                let inner = self.expr(inner);
                // `*args` is `args`.
                if *op == UnaryOp::Deref && inner.of.is_record() {
                    return inner;
                }
                ExprKind::Unary(*op, Box::new(inner))
            }
            Said::Field(inner, field) => return self.field(inner, field, of, place),
            Said::TupleIndex(inner, at) => {
                ExprKind::Part(Box::new(self.expr(inner)), u32::try_from(*at).unwrap_or(0))
            }
            Said::Index(inner, at) => {
                let (inner, at) = (self.expr(inner), self.expr(at));
                ExprKind::Index(Box::new(inner), Box::new(at))
            }
            Said::Cast(_, inner) => {
                let inner = self.expr(inner);
                if let (true, Some(literal)) = (of.is_int(), literal_as(&inner, &of)) {
                    return literal;
                }
                ExprKind::Cast(Box::new(inner))
            }
            Said::Tuple(values) => {
                let parts: Vec<Type> = of.parts().into_iter().cloned().collect();
                let values = values
                    .iter()
                    .enumerate()
                    .map(|(at, value)| match parts.get(at) {
                        Some(part) => self.expr_as(value, part),
                        None => self.expr(value),
                    })
                    .collect();
                ExprKind::Tuple(values)
            }
            Said::Record(values) => {
                ExprKind::Tuple(values.iter().map(|value| self.expr(&value.value)).collect())
            }
            Said::If(branches) => {
                let condition = self.expr(&branches.condition);
                let then = self.expr_as(&branches.then, &of);
                let otherwise = self.expr_as(&branches.otherwise, &of);
                ExprKind::If(Box::new(condition), Box::new(then), Box::new(otherwise))
            }
            Said::Block(block) => {
                let mut statements = Vec::new();
                self.statements(block, &mut statements);
                let value = self.expr(&block.value);
                if statements.is_empty() {
                    return value;
                }
                ExprKind::Block(checked::Block { statements }, Box::new(value))
            }
            Said::Comptime(inner) => return self.expr(inner),
            Said::None
            | Said::Map(_)
            | Said::Positional(_)
            | Said::PositionalCount
            | Said::Sizeof(_)
            | Said::Offsetof(..)
            | Said::Typeinfo(_)
            | Said::TypeArgument(_) => ExprKind::None,
        };
        made(kind, of, place)
    }

    fn step(&mut self, op: UnaryOp, inner: &Expr) -> ExprKind {
        match &inner.kind {
            Said::Element(element) => {
                let map = self.map(&element.map.name);
                ExprKind::StepElement(op, map, Box::new(self.key(map, &element.key)))
            }
            _ => ExprKind::StepVariable(op, self.variable(inner.id)),
        }
    }

    fn binary(
        &mut self,
        op: BinaryOp,
        left: &Expr,
        right: &Expr,
        of: Type,
        place: Place,
    ) -> checked::Expr {
        let (mut left, mut right) = (self.expr(left), self.expr(right));
        let number = |of: &Type| of.is_int() || of.is_castable_aggregate() || of.kind == Kind::Bool;
        let to = if op.is_logical() || left.of.is_string() || right.of.is_string() {
            None
        } else if op.compares() {
            promote(&left.of, &right.of)
                .or_else(|| (number(&left.of) && number(&right.of)).then(Type::int64))
        } else if number(&left.of) && number(&right.of) {
            Some(of.clone())
        } else {
            None
        };
        if let Some(to) = to {
            left = coerce(left, &to);
            right = coerce(right, &to);
        }
        made(ExprKind::Binary(op, Box::new(left), Box::new(right)), of, place)
    }

    fn field(&mut self, inner: &Expr, field: &str, of: Type, place: Place) -> checked::Expr {
        let mut inner = self.expr(inner);
        while let Some(to) = inner.of.pointee() {
            let at = inner.place;
            let to = Type { context: inner.of.context, inside: inner.of.inside, ..to };
            inner = made(ExprKind::Unary(UnaryOp::Deref, Box::new(inner)), to, at);
        }
        let kind = match &inner.of.kind {
            Kind::Named(parts) => {
                let at = parts.iter().position(|(name, _)| **name == *field).unwrap_or(0);
                ExprKind::Part(Box::new(inner), at as u32)
            }
            Kind::Record { id, .. } => {
                let id = *id;
                let fields = &self.typed.records.get(id).fields;
                let at = fields.iter().position(|one| *one.name == *field).unwrap_or(0);
                ExprKind::Member(Box::new(inner), id, at as u32)
            }
            _ => ExprKind::None,
        };
        made(kind, of, place)
    }
}

fn builtin(word: &str, of: &Type) -> ExprKind {
    ExprKind::Builtin(match word {
        "pid" => Builtin::Pid(Namespace::Current),
        "tid" => Builtin::Tid(Namespace::Current),
        "nsecs" => Builtin::Nsecs(of.clock),
        "ctx" => Builtin::Context,
        "args" => Builtin::Arguments,
        "kstack" | "ustack" => match of.kind {
            Kind::Stack(stack) => Builtin::Stack(stack),
            _ => return ExprKind::None,
        },
        "__builtin_dw_ustack" => match of.kind {
            Kind::Stack(stack) => Builtin::DwarfStack(stack),
            _ => return ExprKind::None,
        },
        "__builtin_comm" => Builtin::Comm,
        "__builtin_cpid" => Builtin::Cpid,
        "__builtin_cpu" => Builtin::Cpu,
        "__builtin_elapsed" => Builtin::Elapsed,
        "__builtin_func" => Builtin::FunctionAddress,
        "__builtin_ncpus" => Builtin::Ncpus,
        "__builtin_retval" => Builtin::Retval,
        "__builtin_usermode" => Builtin::Usermode,
        _ => match words::argument_number(word) {
            Some(number) => Builtin::Argument(number as u8),
            None => return ExprKind::None,
        },
    })
}

/// A number or truth that is constant, as another number type: cut off as a cast does.
fn literal_as(expr: &checked::Expr, to: &Type) -> Option<checked::Expr> {
    let bits = match &expr.kind {
        ExprKind::Constant(Value::Int(value)) => *value,
        ExprKind::Constant(Value::Negative(value)) => *value as u64,
        ExprKind::Constant(Value::Bool(truth)) => u64::from(*truth),
        _ => return None,
    };
    let unused = 64u32.checked_sub(to.size() * 8)?;
    let value = if to.is_signed() {
        let value = ((bits << unused) as i64) >> unused;
        match u64::try_from(value) {
            Ok(value) => Value::Int(value),
            Err(_) => Value::Negative(value),
        }
    } else {
        Value::Int((bits << unused) >> unused)
    };
    Some(made(ExprKind::Constant(value), to.clone(), expr.place))
}

/// An expression as another type: a cast where the types differ. Tuples that are written out
/// change part by part, records by the names of theirs.
pub(super) fn coerce(expr: checked::Expr, to: &Type) -> checked::Expr {
    if expr.of == *to || to.is_none() || expr.of.is_none() {
        return expr;
    }
    if to.is_int()
        && let Some(literal) = literal_as(&expr, to)
    {
        return literal;
    }
    let place = expr.place;
    let kind = match (expr.kind, &expr.of.kind, &to.kind) {
        (ExprKind::Tuple(values), Kind::Tuple(_), Kind::Tuple(parts))
            if values.len() == parts.len() =>
        {
            let values = values.into_iter().zip(parts.iter());
            ExprKind::Tuple(values.map(|(value, part)| coerce(value, part)).collect())
        }
        (ExprKind::Constant(value @ Value::Str(_)), _, Kind::String(_)) => {
            ExprKind::Constant(value)
        }
        (kind, _, _) => {
            let inner = made(kind, expr.of, place);
            ExprKind::Cast(Box::new(inner))
        }
    };
    made(kind, to.clone(), place)
}
