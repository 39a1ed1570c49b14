//! Going through a tree: every expression below a node, and copies with numbers of their
//! own. Steps that change a few kinds of node go through the rest with these.

use super::ast::{
    Block, Expr, ExprKind, Ids, Iterable, Statement, StatementKind, Target, TypeOf, TypeOfKind,
};
use super::place::Place;

/// What is done at nodes. Each method may do its own and then go on with the function of
/// the same name in this module.
pub trait Visitor {
    /// At an expression.
    fn expr(&mut self, expr: &mut Expr) {
        expr_parts(self, expr);
    }

    /// At a statement.
    fn statement(&mut self, statement: &mut Statement) {
        statement_parts(self, statement);
    }

    /// At a block.
    fn block(&mut self, block: &mut Block) {
        block_parts(self, block);
    }

    /// At a type.
    fn type_of(&mut self, of: &mut TypeOf) {
        type_parts(self, of);
    }
}

/// Goes through a block.
pub fn block_parts<V: Visitor + ?Sized>(visitor: &mut V, block: &mut Block) {
    for statement in &mut block.statements {
        visitor.statement(statement);
    }
    visitor.expr(&mut block.value);
}

/// Goes through a type.
pub fn type_parts<V: Visitor + ?Sized>(visitor: &mut V, of: &mut TypeOf) {
    if let TypeOfKind::Expr(expr) = &mut of.kind {
        visitor.expr(expr);
    }
}

/// Goes through a statement.
pub fn statement_parts<V: Visitor + ?Sized>(visitor: &mut V, statement: &mut Statement) {
    match &mut statement.kind {
        StatementKind::Expr(expr) | StatementKind::Discard(expr) => visitor.expr(expr),
        StatementKind::Let(declared) => {
            if let Some(of) = &mut declared.of {
                visitor.type_of(of);
            }
        }
        StatementKind::Assign(target, value) => {
            match target {
                Target::Let(declared) => {
                    if let Some(of) = &mut declared.of {
                        visitor.type_of(of);
                    }
                }
                Target::Element(element) => visitor.expr(&mut element.key),
                Target::Variable(_) | Target::Map(_) => {}
            }
            visitor.expr(value);
        }
        StatementKind::Unroll(expr, block) | StatementKind::While(expr, block) => {
            visitor.expr(expr);
            visitor.block(block);
        }
        StatementKind::For(_, over, block) => {
            if let Iterable::Range(first, last, _) = over {
                visitor.expr(first);
                visitor.expr(last);
            }
            visitor.block(block);
        }
        StatementKind::Return(Some(expr)) => visitor.expr(expr),
        StatementKind::Return(None)
        | StatementKind::Break
        | StatementKind::Continue
        | StatementKind::Import(_) => {}
    }
}

/// Goes through an expression.
pub fn expr_parts<V: Visitor + ?Sized>(visitor: &mut V, expr: &mut Expr) {
    match &mut expr.kind {
        ExprKind::None
        | ExprKind::Int(..)
        | ExprKind::Negative(_)
        | ExprKind::Bool(_)
        | ExprKind::Str(_)
        | ExprKind::Positional(_)
        | ExprKind::PositionalCount
        | ExprKind::Ident(_)
        | ExprKind::Builtin(_)
        | ExprKind::Map(_)
        | ExprKind::Variable(_)
        | ExprKind::VariableAddress(_)
        | ExprKind::MapAddress(_) => {}
        ExprKind::Call(call) => {
            for argument in &mut call.arguments {
                visitor.expr(argument);
            }
        }
        ExprKind::Sizeof(of)
        | ExprKind::Offsetof(of, _)
        | ExprKind::Typeinfo(of)
        | ExprKind::TypeArgument(of) => visitor.type_of(of),
        ExprKind::Comptime(inner)
        | ExprKind::Unary(_, inner)
        | ExprKind::Field(inner, _)
        | ExprKind::TupleIndex(inner, _) => visitor.expr(inner),
        ExprKind::Element(element) => visitor.expr(&mut element.key),
        ExprKind::Binary(_, left, right) | ExprKind::Index(left, right) => {
            visitor.expr(left);
            visitor.expr(right);
        }
        ExprKind::Cast(of, inner) => {
            visitor.expr(inner);
            visitor.type_of(of);
        }
        ExprKind::Tuple(values) => {
            for value in values {
                visitor.expr(value);
            }
        }
        ExprKind::Record(values) => {
            for value in values {
                visitor.expr(&mut value.value);
            }
        }
        ExprKind::If(branches) => {
            visitor.expr(&mut branches.condition);
            visitor.expr(&mut branches.then);
            visitor.expr(&mut branches.otherwise);
        }
        ExprKind::Block(block) => visitor.block(block),
    }
}

/// Gives every node a new number, and a new place where asked to.
struct Renumber<'a, F> {
    ids: &'a mut Ids,
    place: F,
}

impl<F: FnMut(Place) -> Place> Renumber<'_, F> {
    fn variable(&mut self, variable: &mut super::ast::Variable) {
        variable.id = self.ids.fresh();
        variable.place = (self.place)(variable.place);
    }

    fn map(&mut self, map: &mut super::ast::Map) {
        map.id = self.ids.fresh();
        map.place = (self.place)(map.place);
    }
}

impl<F: FnMut(Place) -> Place> Visitor for Renumber<'_, F> {
    fn expr(&mut self, expr: &mut Expr) {
        expr.id = self.ids.fresh();
        expr.place = (self.place)(expr.place);
        match &mut expr.kind {
            ExprKind::Map(map) | ExprKind::MapAddress(map) => self.map(map),
            ExprKind::Element(element) => {
                self.map(&mut element.map);
                element.place = (self.place)(element.place);
            }
            ExprKind::VariableAddress(variable) => self.variable(variable),
            ExprKind::Record(values) => {
                for value in values {
                    value.place = (self.place)(value.place);
                }
            }
            _ => {}
        }
        expr_parts(self, expr);
    }

    fn statement(&mut self, statement: &mut Statement) {
        statement.place = (self.place)(statement.place);
        match &mut statement.kind {
            StatementKind::Let(declared) | StatementKind::Assign(Target::Let(declared), _) => {
                declared.place = (self.place)(declared.place);
                self.variable(&mut declared.variable);
            }
            StatementKind::Assign(Target::Variable(variable), _) => self.variable(variable),
            StatementKind::Assign(Target::Map(map), _) => self.map(map),
            StatementKind::Assign(Target::Element(element), _) => {
                self.map(&mut element.map);
                element.place = (self.place)(element.place);
            }
            StatementKind::For(variable, over, _) => {
                self.variable(variable);
                match over {
                    Iterable::Map(map) => self.map(map),
                    Iterable::Range(_, _, place) => *place = (self.place)(*place),
                }
            }
            _ => {}
        }
        statement_parts(self, statement);
    }

    fn block(&mut self, block: &mut Block) {
        block.id = self.ids.fresh();
        block.place = (self.place)(block.place);
        block_parts(self, block);
    }

    fn type_of(&mut self, of: &mut TypeOf) {
        of.id = self.ids.fresh();
        of.place = (self.place)(of.place);
        type_parts(self, of);
    }
}

/// A copy of an expression with numbers of its own.
pub fn copy(expr: &Expr, ids: &mut Ids) -> Expr {
    copy_at(expr, ids, |place| place)
}

/// A copy of an expression with numbers of its own, its places changed.
pub fn copy_at(expr: &Expr, ids: &mut Ids, place: impl FnMut(Place) -> Place) -> Expr {
    let mut copy = expr.clone();
    Renumber { ids, place }.expr(&mut copy);
    copy
}

/// A copy of a block with numbers of its own, its places changed.
pub fn copy_block(block: &Block, ids: &mut Ids, place: impl FnMut(Place) -> Place) -> Block {
    let mut copy = block.clone();
    Renumber { ids, place }.block(&mut copy);
    copy
}

/// A copy of a type with numbers of its own, its places changed.
pub fn copy_type(of: &TypeOf, ids: &mut Ids, place: impl FnMut(Place) -> Place) -> TypeOf {
    let mut copy = of.clone();
    Renumber { ids, place }.type_of(&mut copy);
    copy
}
