//! Statements.

use super::Builder;
use crate::trace::ast::{
    self, Call, Expr, ExprKind, Iterable, Statement, StatementKind as Said, Target,
};
use crate::trace::checked::{self, Block, MapId, SeriesOf, Shape, StatementKind};
use crate::trace::kind::Type;
use crate::trace::place::Place;
use crate::trace::sugar::AGGREGATIONS;

type Out = Vec<checked::Statement>;

fn push(out: &mut Out, kind: StatementKind, place: Place) {
    out.push(checked::Statement { kind, place });
}

impl Builder<'_> {
    /// A block whose value does not matter.
    pub(super) fn block_statements(&mut self, block: &ast::Block) -> Block {
        let mut statements = Vec::new();
        self.statements(block, &mut statements);
        self.effect(&block.value, &mut statements);
        Block { statements }
    }

    /// A block's statements without its value.
    pub(super) fn statements(&mut self, block: &ast::Block, out: &mut Out) {
        for statement in &block.statements {
            self.statement(statement, out);
        }
    }

    /// An expression for what it does.
    fn effect(&mut self, expr: &Expr, out: &mut Out) {
        let place = expr.place;
        match &expr.kind {
            ExprKind::None => {}
            ExprKind::Block(block) => {
                self.statements(block, out);
                self.effect(&block.value, out);
            }
            ExprKind::If(branches) => {
                let condition = self.expr(&branches.condition);
                let (mut then, mut otherwise) = (Vec::new(), Vec::new());
                self.effect(&branches.then, &mut then);
                self.effect(&branches.otherwise, &mut otherwise);
                let kind = StatementKind::If(
                    condition,
                    Block { statements: then },
                    Block { statements: otherwise },
                );
                push(out, kind, place);
            }
            ExprKind::Call(call) if AGGREGATIONS.contains(&&*call.function) => {
                self.aggregate(call, place, out);
            }
            _ => {
                let expr = self.expr(expr);
                push(out, StatementKind::Expr(expr), place);
            }
        }
    }

    fn statement(&mut self, statement: &Statement, out: &mut Out) {
        let place = statement.place;
        let kind = match &statement.kind {
            Said::Expr(expr) | Said::Discard(expr) => return self.effect(expr, out),
            Said::Let(declared) => StatementKind::Declare(self.variable(declared.variable.id)),
            Said::Assign(target, value) => return self.assign(target, value, place, out),
            Said::Unroll(count, block) => {
                let count = count.as_int().unwrap_or(1);
                StatementKind::Unroll(count, self.block_statements(block))
            }
            Said::While(condition, block) => {
                let condition = self.expr(condition);
                StatementKind::While(condition, self.block_statements(block))
            }
            Said::For(variable, over, block) => {
                let id = self.variable(variable.id);
                match over {
                    Iterable::Map(map) => {
                        let map = self.map(&map.name);
                        StatementKind::ForMap(id, map, self.block_statements(block))
                    }
                    Iterable::Range(first, last, _) => {
                        let of = self.variable_type(id);
                        let (first, last) = (self.expr_as(first, &of), self.expr_as(last, &of));
                        StatementKind::ForRange(id, first, last, self.block_statements(block))
                    }
                }
            }
            Said::Break => StatementKind::Break,
            Said::Continue => StatementKind::Continue,
            Said::Return(None) => StatementKind::Return(None),
            Said::Return(Some(value)) => {
                StatementKind::Return(Some(self.expr_as(value, &Type::int64())))
            }
            Said::Import(_) => return,
        };
        push(out, kind, place);
    }

    fn assign(&mut self, target: &Target, value: &Expr, place: Place, out: &mut Out) {
        let kind = match target {
            Target::Variable(variable) | Target::Let(ast::Let { variable, .. }) => {
                let id = self.variable(variable.id);
                let of = self.variable_type(id);
                StatementKind::SetVariable(id, self.expr_as(value, &of))
            }
            Target::Element(element) => {
                let map = self.map(&element.map.name);
                let key = self.key(map, &element.key);
                let of = self.script.maps[map.0 as usize].value.clone();
                StatementKind::SetElement(map, key, self.expr_as(value, &of))
            }
            Target::Map(_) => return,
        };
        push(out, kind, place);
    }

    /// A key as its map's keys are.
    pub(super) fn key(&mut self, map: MapId, key: &Expr) -> checked::Expr {
        let of = self.script.maps[map.0 as usize].key.clone();
        self.expr_as(key, &of)
    }

    fn aggregate(&mut self, call: &Call, place: Place, out: &mut Out) {
        let [map, key, rest @ ..] = &call.arguments[..] else {
            return;
        };
        let ExprKind::Map(map) = &map.kind else {
            return;
        };
        let map = self.map(&map.name);
        let key = self.key(map, key);
        let value = rest.first().map(|value| {
            let signed = self.of(value).is_signed();
            self.expr_as(value, &Type::int(8, signed))
        });
        let constant = |at: usize| rest.get(at).and_then(Expr::as_int).unwrap_or(0);
        let shape = match &*call.function {
            "hist" => Shape::Hist { bits: constant(1) as u8 },
            "lhist" => Shape::LHist { min: constant(1), max: constant(2), step: constant(3) },
            "tseries" => Shape::TSeries {
                interval: constant(1),
                count: constant(2),
                holds: match rest.get(3).and_then(Expr::as_text).as_deref() {
                    Some("avg") => SeriesOf::Avg,
                    Some("max") => SeriesOf::Max,
                    Some("min") => SeriesOf::Min,
                    Some("sum") => SeriesOf::Sum,
                    _ => SeriesOf::Last,
                },
                signed: rest.first().is_some_and(|value| self.of(value).is_signed()),
            },
            _ => Shape::Plain,
        };
        if shape != Shape::Plain {
            self.shape(map, shape, place);
        }
        push(out, StatementKind::Aggregate { map, key, value }, place);
    }
}
