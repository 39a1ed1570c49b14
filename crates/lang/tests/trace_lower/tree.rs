//! Checked trees in few words.

use skep_lang::trace::ast::BinaryOp;
use skep_lang::trace::checked::{
    Block, ExprKind, Function, Map, Point, Program, Shape, Statement, StatementKind, Value,
    Variable, VariableId,
};
pub use skep_lang::trace::checked::{Expr, Script};
use skep_lang::trace::kind::Type;
use skep_lang::trace::place::Place;

pub fn expr(kind: ExprKind, of: Type) -> Expr {
    Expr { kind, of, place: Place { end: 1, ..Place::default() } }
}

pub fn int(number: i64) -> Expr {
    let value = match u64::try_from(number) {
        Ok(number) => Value::Int(number),
        Err(_) => Value::Negative(number),
    };
    expr(ExprKind::Constant(value), Type::int64())
}

pub fn string(text: &str, size: u32) -> Expr {
    expr(ExprKind::Constant(Value::Str(text.as_bytes().into())), Type::string(size))
}

pub fn variable(number: u32, of: Type) -> Expr {
    expr(ExprKind::Variable(VariableId(number)), of)
}

pub fn cast(e: Expr, to: Type) -> Expr {
    expr(ExprKind::Cast(Box::new(e)), to)
}

pub fn binary(op: BinaryOp, left: Expr, right: Expr) -> Expr {
    let of = if op.compares() { Type::bool() } else { left.of.clone() };
    expr(ExprKind::Binary(op, Box::new(left), Box::new(right)), of)
}

pub fn print(e: Expr) -> StatementKind {
    StatementKind::Expr(expr(ExprKind::Call(Function::PrintValue, vec![e]), Type::void()))
}

pub fn map(name: &str, key: Type, value: Type, shape: Shape) -> Map {
    Map { name: name.into(), scalar: false, key, value, declared: None, entries: 64, shape }
}

pub fn statements_of(kinds: Vec<StatementKind>) -> Vec<Statement> {
    let statement = |kind| Statement { kind, place: Place { end: 1, ..Place::default() } };
    kinds.into_iter().map(statement).collect()
}

/// A script of one `begin`.
pub fn script(body: Vec<StatementKind>, variables: Vec<Type>, maps: Vec<Map>) -> Script {
    let mut script = Script::default();
    script.sources.add("stdin", "begin { print(1) }");
    let variable = |of| Variable { name: "$x".into(), of, addressed: false };
    script.maps = maps;
    script.programs.push(Program {
        name: "begin".into(),
        points: vec![Point::Begin],
        session: false,
        arguments: None,
        variables: variables.into_iter().map(variable).collect(),
        body: Block { statements: statements_of(body) },
        place: Place { end: 5, ..Place::default() },
    });
    script
}
