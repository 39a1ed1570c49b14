//! Constant expressions become literals; `if` with a constant condition of `comptime`
//! becomes its branch; parameters on the command line become what they are.

mod arithmetic;

use super::ast::{BinaryOp, Block, Expr, ExprKind, NamedValue, Statement, StatementKind, UnaryOp};
use super::diagnostic::Diagnostics;
use super::number;
use super::options::Options;
use super::points::Provider;
use super::unit::Unit;
use super::walk::{self, Visitor};

const FLOW: &str = "unable to fold literals due to overflow or underflow";

/// Folds a whole unit; parameters are put in where asked to.
pub fn fold(unit: &mut Unit<'_>, parameters: bool) {
    let mut folder = Folder {
        diagnostics: &mut unit.diagnostics,
        ids: &mut unit.ids,
        options: parameters.then_some(unit.options),
        usermode: None,
    };
    for function in &mut unit.functions {
        folder.block(&mut function.body);
    }
    for probe in &mut unit.probes {
        folder.usermode = usermode(probe.points.iter().map(|point| point.provider));
        folder.block(&mut probe.body);
    }
}

/// What `usermode` is in a probe without registers.
fn usermode(mut providers: impl Iterator<Item = Provider>) -> Option<u64> {
    let without = providers.find(|provider| !provider.has_registers())?;
    Some(u64::from(without.is_special()))
}

struct Folder<'a> {
    diagnostics: &'a mut Diagnostics,
    ids: &'a mut super::ast::Ids,
    options: Option<&'a Options>,
    usermode: Option<u64>,
}

/// What a literal is as a condition.
pub fn truth(expr: &Expr) -> Option<bool> {
    Some(match &expr.kind {
        ExprKind::Int(value, _) => *value != 0,
        ExprKind::Negative(_) => true,
        ExprKind::Str(bytes) => !bytes.is_empty(),
        ExprKind::Bool(truth) => *truth,
        _ => return None,
    })
}

fn int(value: u64) -> ExprKind {
    ExprKind::Int(value, None)
}

fn text(bytes: &[u8]) -> ExprKind {
    ExprKind::Str(bytes.into())
}

impl Folder<'_> {
    fn parameter(&self, number: u64) -> Option<&str> {
        let given = &self.options?.positional;
        let at = usize::try_from(number).ok()?.checked_sub(1)?;
        Some(given.get(at).map_or("", |value| value))
    }

    fn positional(&mut self, expr: &Expr, number: u64) -> Option<ExprKind> {
        let value = self.parameter(number)?.to_owned();
        if value.is_empty() {
            let text = format!("Positional parameter ${number} is empty or not provided. ");
            self.diagnostics.warning(expr.place, text);
            return Some(int(0));
        }
        let of_text = || text(value.as_bytes());
        Some(if value.starts_with('-') {
            number::signed(&value).map_or_else(of_text, ExprKind::Negative)
        } else {
            number::unsigned(&value).map_or_else(|_| of_text(), int)
        })
    }

    fn unary(&mut self, expr: &Expr, op: UnaryOp, inner: &Expr) -> Option<ExprKind> {
        Some(match (op, &inner.kind) {
            (UnaryOp::BitNot, ExprKind::Int(value, _)) => int(!value),
            (UnaryOp::Not, ExprKind::Int(value, _)) => ExprKind::Bool(*value == 0),
            (UnaryOp::Minus, ExprKind::Int(0, text)) => ExprKind::Int(0, text.clone()),
            (UnaryOp::Minus, ExprKind::Int(value, _)) => {
                if *value > i64::MAX as u64 + 1 {
                    self.diagnostics.error(expr.place, "negative value will underflow");
                    return None;
                }
                ExprKind::Negative((*value as i64).wrapping_neg())
            }
            (UnaryOp::BitNot, ExprKind::Negative(value)) => int(!*value as u64),
            (UnaryOp::Not, ExprKind::Negative(value)) => ExprKind::Bool(*value == 0),
            (UnaryOp::Minus, ExprKind::Negative(value)) => int(value.unsigned_abs()),
            (UnaryOp::Not, ExprKind::Bool(truth)) => ExprKind::Bool(!truth),
            _ => return None,
        })
    }

    fn binary(&mut self, expr: &Expr, op: BinaryOp, left: &Expr, right: &Expr) -> Option<ExprKind> {
        if let Some(folded) = self.strings(expr, op, left, right) {
            return folded;
        }
        if let Some(folded) = self.truths(expr, op, left, right) {
            return Some(folded);
        }
        let both = |kind: fn(&ExprKind) -> bool| kind(&left.kind) && kind(&right.kind);
        let tuples = both(|kind| matches!(kind, ExprKind::Tuple(_)));
        let records = both(|kind| matches!(kind, ExprKind::Record(_)));
        if (tuples || records) && matches!(op, BinaryOp::Eq | BinaryOp::Ne) {
            let same = same(left, right)?;
            return Some(ExprKind::Bool(same == (op == BinaryOp::Eq)));
        }
        let (left, right) = (number_of(left)?, number_of(right)?);
        match arithmetic::work_out(op, left, right) {
            Some(kind) => Some(kind),
            None => {
                self.diagnostics.error(expr.place, FLOW);
                None
            }
        }
    }

    /// Operators with a string; `None` if there is none.
    fn strings(
        &mut self,
        expr: &Expr,
        op: BinaryOp,
        left: &Expr,
        right: &Expr,
    ) -> Option<Option<ExprKind>> {
        let (string, other) = match (&left.kind, &right.kind) {
            (ExprKind::Str(string), other) | (other, ExprKind::Str(string)) => (string, other),
            _ => return None,
        };
        let truth = |value| Some(Some(ExprKind::Bool(value)));
        match (op, other) {
            (BinaryOp::Add, ExprKind::Int(from, _)) => {
                let from = usize::try_from(*from).unwrap_or(usize::MAX);
                if from >= string.len() {
                    self.diagnostics.warning(expr.place, "literal string will always be empty");
                    return Some(Some(text(b"")));
                }
                return Some(Some(text(&string[from..])));
            }
            (BinaryOp::And, ExprKind::Bool(other)) => {
                return truth(!string.is_empty() && *other);
            }
            (BinaryOp::Or, ExprKind::Bool(other)) => {
                return truth(!string.is_empty() || *other);
            }
            _ => {}
        }
        let ExprKind::Str(other) = other else {
            return Some(None);
        };
        match op {
            BinaryOp::Eq => truth(string == other),
            BinaryOp::Ne => truth(string != other),
            BinaryOp::Le => truth(string <= other),
            BinaryOp::Ge => truth(string >= other),
            BinaryOp::Lt => truth(string < other),
            BinaryOp::Gt => truth(string > other),
            BinaryOp::And => truth(!string.is_empty() && !other.is_empty()),
            BinaryOp::Or => truth(!string.is_empty() || !other.is_empty()),
            BinaryOp::Add => Some(Some(text(&[&**string, &**other].concat()))),
            _ => {
                self.diagnostics.error(expr.place, "illegal literal operation with strings");
                Some(None)
            }
        }
    }

    /// Operators with a truth.
    fn truths(&mut self, expr: &Expr, op: BinaryOp, left: &Expr, right: &Expr) -> Option<ExprKind> {
        let (a, b) = match (&left.kind, &right.kind) {
            (ExprKind::Bool(a), ExprKind::Bool(b)) => (*a, *b),
            (ExprKind::Bool(_), _) | (_, ExprKind::Bool(_)) if op.is_logical() => {
                (truth(left)?, truth(right)?)
            }
            _ => return None,
        };
        Some(ExprKind::Bool(match op {
            BinaryOp::Eq => a == b,
            BinaryOp::Ne | BinaryOp::BitXor | BinaryOp::Sub => a != b,
            BinaryOp::Le => !a || b,
            BinaryOp::Ge => a || !b,
            BinaryOp::Lt | BinaryOp::Left => !a && b,
            BinaryOp::Gt | BinaryOp::Right => a && !b,
            BinaryOp::And | BinaryOp::Mul | BinaryOp::BitAnd => a && b,
            BinaryOp::Or | BinaryOp::Add | BinaryOp::BitOr => a || b,
            BinaryOp::Div | BinaryOp::Mod => {
                if !b {
                    self.diagnostics.error(expr.place, FLOW);
                }
                op == BinaryOp::Div && a && b
            }
        }))
    }

    /// `str` of what is known, with the length if it is known too.
    fn str_call(&mut self, arguments: &mut [Expr]) -> Option<ExprKind> {
        let whole = match &arguments.first()?.kind {
            ExprKind::Int(value, _) => value.to_string().into_bytes(),
            ExprKind::Negative(value) => value.to_string().into_bytes(),
            ExprKind::Str(bytes) => bytes.to_vec(),
            _ => return None,
        };
        let length = match arguments.get(1).map(|length| &length.kind) {
            None => whole.len(),
            Some(ExprKind::Int(length, _)) => usize::try_from(*length).unwrap_or(usize::MAX),
            Some(_) => return None,
        };
        Some(text(&whole[..length.min(whole.len())]))
    }

    /// Parameters inside `str` are texts, and never the number 0.
    fn str_parameter(&self, arguments: &mut [Expr]) {
        let Some(first) = arguments.first_mut() else {
            return;
        };
        let target = match &mut first.kind {
            ExprKind::Binary(BinaryOp::Add, left, _) => &mut **left,
            _ => first,
        };
        if let ExprKind::Positional(number) = target.kind
            && let Some(value) = self.parameter(number)
        {
            target.kind = text(value.as_bytes());
        }
    }

    fn replacement(&mut self, expr: &mut Expr) -> Option<ExprKind> {
        let copy = Expr { id: expr.id, kind: ExprKind::None, place: expr.place };
        match &mut expr.kind {
            ExprKind::Unary(op, inner) => self.unary(&copy, *op, inner),
            ExprKind::Binary(op, left, right) => self.binary(&copy, *op, left, right),
            ExprKind::PositionalCount => {
                let count = self.options?.positional.len() as u64;
                Some(int(count))
            }
            ExprKind::Positional(number) => {
                let number = *number;
                self.positional(&copy, number)
            }
            ExprKind::Call(call) if &*call.function == "str" => self.str_call(&mut call.arguments),
            ExprKind::Builtin(word) if &**word == "__builtin_usermode" => self.usermode.map(int),
            ExprKind::Block(block) => folded_block(block),
            ExprKind::Index(of, index) => match (&of.kind, &index.kind) {
                (ExprKind::Str(bytes), ExprKind::Int(at, _)) => {
                    let at = usize::try_from(*at).ok()?;
                    if at > bytes.len() {
                        return None;
                    }
                    let byte = bytes.get(at).copied().unwrap_or(0);
                    Some(int(i64::from(byte as i8) as u64))
                }
                _ => None,
            },
            ExprKind::TupleIndex(of, at) if of.is_literal() => match &of.kind {
                ExprKind::Tuple(values) => {
                    let at = usize::try_from(*at).ok()?;
                    values.get(at).map(|value| value.kind.clone())
                }
                _ => None,
            },
            ExprKind::Field(of, field) if of.is_literal() => match &of.kind {
                ExprKind::Record(values) => {
                    let found = values.iter().find(|value| value.name == *field)?;
                    Some(found.value.kind.clone())
                }
                _ => None,
            },
            ExprKind::Comptime(inner) => match &inner.kind {
                ExprKind::Comptime(_) => {
                    let none = ExprKind::None;
                    Some(std::mem::replace(&mut inner.kind, none))
                }
                kind if inner.is_literal() => Some(kind.clone()),
                _ => None,
            },
            _ => None,
        }
    }

    fn branches(&mut self, expr: &mut Expr) {
        let ExprKind::If(branches) = &mut expr.kind else {
            return;
        };
        self.expr(&mut branches.then);
        self.expr(&mut branches.otherwise);
        let mut taken = None;
        if let ExprKind::Comptime(inner) = &mut branches.condition.kind {
            self.expr(inner);
            taken = truth(inner);
        } else {
            self.expr(&mut branches.condition);
            if let Some(truth) = truth(&branches.condition) {
                if branches.then.is_literal() && branches.otherwise.is_literal() {
                    taken = Some(truth);
                } else {
                    branches.condition.kind = ExprKind::Bool(truth);
                }
            }
        }
        if let Some(taken) = taken {
            let none = Expr { id: self.ids.fresh(), kind: ExprKind::None, place: expr.place };
            let branch = if taken { &mut branches.then } else { &mut branches.otherwise };
            *expr = std::mem::replace(branch, none);
        }
    }
}

fn folded_block(block: &mut Block) -> Option<ExprKind> {
    let value = &block.value;
    let folds = value.is_literal() || matches!(value.kind, ExprKind::Tuple(_) | ExprKind::None);
    (block.statements.is_empty() && folds).then(|| value.kind.clone())
}

/// Whether two literals are the same; `None` if that is not known.
fn same(left: &Expr, right: &Expr) -> Option<bool> {
    if let (ExprKind::Tuple(left), ExprKind::Tuple(right)) = (&left.kind, &right.kind) {
        if left.len() != right.len() {
            return Some(false);
        }
        return all(left.iter().zip(right).map(|(left, right)| same(left, right)));
    }
    if let (ExprKind::Record(left), ExprKind::Record(right)) = (&left.kind, &right.kind) {
        if left.len() != right.len() {
            return Some(false);
        }
        let partner = |one: &NamedValue| right.iter().find(|other| other.name == one.name);
        return all(left
            .iter()
            .map(|one| partner(one).and_then(|other| same(&one.value, &other.value))));
    }
    if !left.is_literal() || !right.is_literal() {
        return None;
    }
    Some(match (&left.kind, &right.kind) {
        (ExprKind::Int(left, _), ExprKind::Int(right, _)) => left == right,
        (ExprKind::Negative(left), ExprKind::Negative(right)) => left == right,
        (ExprKind::Str(left), ExprKind::Str(right)) => left == right,
        (ExprKind::Bool(left), ExprKind::Bool(right)) => left == right,
        _ => false,
    })
}

fn all(each: impl Iterator<Item = Option<bool>>) -> Option<bool> {
    for one in each {
        match one {
            Some(true) => {}
            other => return other,
        }
    }
    Some(true)
}

fn number_of(expr: &Expr) -> Option<i128> {
    match expr.kind {
        ExprKind::Int(value, _) => Some(i128::from(value)),
        ExprKind::Negative(value) => Some(i128::from(value)),
        _ => None,
    }
}

impl Visitor for Folder<'_> {
    fn expr(&mut self, expr: &mut Expr) {
        match &mut expr.kind {
            ExprKind::If(_) => return self.branches(expr),
            ExprKind::Call(call) if &*call.function == "str" => {
                let mut arguments = std::mem::take(&mut call.arguments);
                self.str_parameter(&mut arguments);
                if let ExprKind::Call(call) = &mut expr.kind {
                    call.arguments = arguments;
                }
                walk::expr_parts(self, expr);
            }
            _ => walk::expr_parts(self, expr),
        }
        if let Some(kind) = self.replacement(expr) {
            expr.kind = kind;
            expr.id = self.ids.fresh();
        }
    }

    fn block(&mut self, block: &mut Block) {
        walk::block_parts(self, block);
        block.statements.retain(
            |statement| !matches!(&statement.kind, StatementKind::Expr(expr) if expr.is_none()),
        );
    }

    fn statement(&mut self, statement: &mut Statement) {
        walk::statement_parts(self, statement);
        let StatementKind::Expr(expr) = &mut statement.kind else {
            return;
        };
        // A block of one expression is that expression.
        if let ExprKind::Block(block) = &mut expr.kind
            && block.value.is_none()
            && let [only] = &mut block.statements[..]
            && let StatementKind::Expr(inner) = &mut only.kind
        {
            let none = Expr { id: self.ids.fresh(), kind: ExprKind::None, place: inner.place };
            let inner = std::mem::replace(inner, none);
            *expr = inner;
        }
    }
}
