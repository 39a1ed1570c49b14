//! Where `break`, `continue`, `return` and `exit()` may stand, and what is never reached.

use super::ast::{Block, Expr, ExprKind, Statement, StatementKind};
use super::diagnostic::Diagnostics;
use super::unit::Unit;
use super::walk::{self, Visitor};

/// Checks a unit, its macros included.
pub fn check(unit: &mut Unit<'_>) {
    let mut checker = Checker {
        diagnostics: &mut unit.diagnostics,
        inside: "function",
        jumps: false,
        returns: true,
        exits: true,
    };
    for function in &mut unit.functions {
        checker.block(&mut function.body);
    }
    checker.inside = "probe";
    for probe in &mut unit.probes {
        checker.block(&mut probe.body);
    }
    checker.inside = "macro";
    checker.returns = false;
    for (one, of_language) in &mut unit.macros {
        if !*of_language {
            checker.block(&mut one.body);
        }
    }
}

struct Checker<'a> {
    diagnostics: &'a mut Diagnostics,
    inside: &'static str,
    /// `break` and `continue` may stand here.
    jumps: bool,
    /// `return` may stand here.
    returns: bool,
    /// `exit()`, which returns, may stand here.
    exits: bool,
}

impl Checker<'_> {
    fn refuse(&mut self, word: &str, place: super::place::Place) {
        let text = format!("'{word}' statement is not allowed in a {}", self.inside);
        self.diagnostics.error(place, text);
    }

    fn inside_loop(&mut self, inside: &'static str, exits: bool, block: &mut Block) {
        let before = (self.inside, self.jumps, self.exits);
        (self.inside, self.jumps, self.exits) = (inside, true, exits);
        self.block(block);
        (self.inside, self.jumps, self.exits) = before;
    }
}

impl Visitor for Checker<'_> {
    fn statement(&mut self, statement: &mut Statement) {
        let place = statement.place;
        match &mut statement.kind {
            StatementKind::Break if !self.jumps => self.refuse("break", place),
            StatementKind::Continue if !self.jumps => self.refuse("continue", place),
            StatementKind::Return(_) if !self.returns => self.refuse("return", place),
            StatementKind::For(_, over, block) => {
                if let super::ast::Iterable::Range(first, last, _) = over {
                    self.expr(first);
                    self.expr(last);
                }
                return self.inside_loop("for-loop", false, block);
            }
            StatementKind::While(condition, block) => {
                self.expr(condition);
                return self.inside_loop("while-loop", self.exits, block);
            }
            _ => {}
        }
        walk::statement_parts(self, statement);
    }

    fn expr(&mut self, expr: &mut Expr) {
        if !self.exits
            && let ExprKind::Call(call) = &expr.kind
            && &*call.function == "exit"
            && call.arguments.len() <= 1
        {
            self.refuse("return", expr.place);
        }
        walk::expr_parts(self, expr);
    }
}

/// Which jumps end a block.
#[derive(Clone, Copy)]
struct Ends {
    returns: bool,
    loops: bool,
}

/// Warns of what is never reached, and says so of functions that end without a value.
pub fn warn_unreachable(unit: &mut Unit<'_>) {
    let returns = Ends { returns: true, loops: false };
    let mut bodies: Vec<&mut Block> =
        unit.functions.iter_mut().map(|function| &mut function.body).collect();
    bodies.extend(unit.probes.iter_mut().map(|probe| &mut probe.body));
    for body in bodies {
        ends(body, returns, &mut unit.diagnostics);
        let mut loops = Loops { diagnostics: &mut unit.diagnostics };
        loops.block(body);
    }
}

/// Whether a function's body always ends in `return`.
pub fn always_returns(body: &Block) -> bool {
    let returns = Ends { returns: true, loops: false };
    ends(body, returns, &mut Diagnostics::default())
}

struct Loops<'a> {
    diagnostics: &'a mut Diagnostics,
}

impl Visitor for Loops<'_> {
    fn statement(&mut self, statement: &mut Statement) {
        let inside = match &mut statement.kind {
            StatementKind::For(_, _, block) => Some((block, false)),
            StatementKind::While(_, block) => Some((block, true)),
            _ => None,
        };
        if let Some((block, returns)) = inside {
            let loops = Ends { returns, loops: true };
            ends(block, loops, self.diagnostics);
        }
        walk::statement_parts(self, statement);
    }
}

fn ends(block: &Block, by: Ends, diagnostics: &mut Diagnostics) -> bool {
    for (at, statement) in block.statements.iter().enumerate() {
        if !statement_ends(statement, by, diagnostics) {
            continue;
        }
        if let Some(next) = block.statements.get(at + 1) {
            diagnostics.warning(next.place, "Unreachable statement.");
        }
        if !block.value.is_none() {
            diagnostics.warning(
                block.value.place,
                "Unreachable expression; block type is implicitly none.",
            );
        }
        return true;
    }
    expr_ends(&block.value, by, diagnostics)
}

fn statement_ends(statement: &Statement, by: Ends, diagnostics: &mut Diagnostics) -> bool {
    match &statement.kind {
        StatementKind::Return(_) => by.returns,
        StatementKind::Break | StatementKind::Continue => by.loops,
        StatementKind::Expr(expr)
        | StatementKind::Discard(expr)
        | StatementKind::Assign(_, expr) => expr_ends(expr, by, diagnostics),
        StatementKind::Unroll(_, block) => ends(block, by, diagnostics),
        // A loop may run never.
        _ => false,
    }
}

fn expr_ends(expr: &Expr, by: Ends, diagnostics: &mut Diagnostics) -> bool {
    match &expr.kind {
        ExprKind::Block(block) => ends(block, by, diagnostics),
        ExprKind::If(branches) => {
            let then = expr_ends(&branches.then, by, diagnostics);
            let otherwise = expr_ends(&branches.otherwise, by, diagnostics);
            then && otherwise
        }
        ExprKind::Call(call) => {
            by.returns && &*call.function == "exit" && call.arguments.len() <= 1
        }
        _ => false,
    }
}
