//! Blocks and statements.

use super::cursor::Parser;
use crate::trace::ast::{
    Block, Expr, ExprKind, Iterable, Let, Map, Statement, StatementKind, Target, UnaryOp,
};

impl Parser<'_> {
    fn statement_of(&self, kind: StatementKind, from: usize) -> Statement {
        Statement { kind, place: self.since(from) }
    }

    /// A block. Whether its last expression, without a semicolon, is its value; where it
    /// is not, it is one more statement.
    pub(super) fn block(&mut self, has_value: bool) -> Option<Block> {
        if !self.descend() {
            return None;
        }
        let links = self.links;
        let block = self.block_here(has_value);
        self.links = links;
        self.depth -= 1;
        block
    }

    fn block_here(&mut self, has_value: bool) -> Option<Block> {
        let from = self.at;
        if !self.expect(b'{') {
            return None;
        }
        let mut statements = Vec::new();
        let mut value = None;
        self.layout();
        while self.peek() != b'}' && !self.at_end() && !self.has_errors() {
            let before = self.at;
            self.links = 0;
            self.block_item(&mut statements, &mut value);
            if self.at == before {
                self.error("unexpected input in block");
                self.advance(1);
            }
            self.layout();
        }
        if self.has_errors() || !self.expect(b'}') {
            return None;
        }
        let place = self.since(from);
        let value = match value {
            Some(value) if has_value => value,
            Some(mut value) => {
                self.flatten(&mut value);
                statements.push(Statement { kind: StatementKind::Expr(value), place });
                self.expr(ExprKind::None, place)
            }
            None => self.expr(ExprKind::None, place),
        };
        Some(Block { id: self.ids.fresh(), statements, value: Box::new(value), place })
    }

    /// Turns the values of blocks inside a statement into statements.
    fn flatten(&mut self, expr: &mut Expr) {
        match &mut expr.kind {
            ExprKind::Block(block) => {
                for statement in &mut block.statements {
                    if let StatementKind::Expr(inner) = &mut statement.kind {
                        self.flatten(inner);
                    }
                }
                if !block.value.is_none() {
                    self.flatten(&mut block.value);
                    let none = self.expr(ExprKind::None, block.place);
                    let value = std::mem::replace(&mut *block.value, none);
                    block
                        .statements
                        .push(Statement { kind: StatementKind::Expr(value), place: block.place });
                }
            }
            ExprKind::If(branches) => {
                self.flatten(&mut branches.then);
                self.flatten(&mut branches.otherwise);
            }
            _ => {}
        }
    }

    fn block_item(&mut self, statements: &mut Vec<Statement>, value: &mut Option<Expr>) {
        let from = self.at;
        match self.word() {
            b"import" => {
                if let Some(path) = self.import_path() {
                    statements.push(self.statement_of(StatementKind::Import(path), from));
                }
            }
            b"while" => statements.extend(self.repeat("while", StatementKind::While)),
            b"unroll" => statements.extend(self.repeat("unroll", StatementKind::Unroll)),
            b"for" => statements.extend(self.for_loop()),
            b"break" => statements.push(self.jump("break", StatementKind::Break)),
            b"continue" => statements.push(self.jump("continue", StatementKind::Continue)),
            b"return" => statements.push(self.return_statement()),
            b"let" => statements.push(self.let_statement()),
            _ if self.discards() => statements.push(self.discard()),
            _ if matches!(self.peek(), b'$' | b'@') => self.sigil_item(statements, value),
            _ => self.expression_item(statements, value),
        }
    }

    fn discards(&self) -> bool {
        let after = self.after_layout(self.at + 1);
        self.peek() == b'_' && self.byte(after) == b'=' && self.byte(after + 1) != b'='
    }

    fn discard(&mut self) -> Statement {
        let from = self.at;
        self.advance(1);
        self.layout();
        self.advance(1);
        let value = self.expression();
        let statement = self.statement_of(StatementKind::Discard(value), from);
        self.statement_end();
        statement
    }

    fn expression_item(&mut self, statements: &mut Vec<Statement>, value: &mut Option<Expr>) {
        let from = self.at;
        let expr = self.expression();
        self.layout();
        match self.peek() {
            b'}' => *value = Some(expr),
            b';' => {
                self.advance(1);
                statements.push(self.statement_of(StatementKind::Expr(expr), from));
            }
            _ => {
                if !matches!(expr.kind, ExprKind::If(_) | ExprKind::Block(_)) {
                    self.error("expected ';'");
                }
                statements.push(self.statement_of(StatementKind::Expr(expr), from));
            }
        }
    }

    fn sigil_item(&mut self, statements: &mut Vec<Statement>, value: &mut Option<Expr>) {
        let from = self.at;
        let errors = self.diagnostics.errors();
        let statement = self.sigil_statement();
        let after = self.at;
        self.layout();
        let plain = matches!(statement.kind, StatementKind::Expr(_));
        if !plain || self.diagnostics.errors() > errors {
            statements.push(statement);
            return;
        }
        match self.peek() {
            b';' => {
                self.advance(1);
                statements.push(statement);
            }
            b'}' => {
                // A value after all: read again as the expression it is.
                self.at = from;
                let expr = self.expression();
                self.layout();
                if self.peek() == b'}' {
                    *value = Some(expr);
                } else {
                    self.at = after;
                    statements.push(statement);
                }
            }
            _ => {
                self.error("expected ';'");
                statements.push(statement);
            }
        }
    }

    fn statement_end(&mut self) {
        self.layout();
        if self.peek() == b'}' {
            return;
        }
        self.expect(b';');
    }

    fn jump(&mut self, word: &str, kind: StatementKind) -> Statement {
        let from = self.at;
        self.takes_keyword(word);
        self.statement_end();
        self.statement_of(kind, from)
    }

    fn return_statement(&mut self) -> Statement {
        let from = self.at;
        self.takes_keyword("return");
        self.layout();
        let value = match self.peek() {
            b';' | b'}' => None,
            _ => Some(self.expression()),
        };
        self.statement_end();
        self.statement_of(StatementKind::Return(value), from)
    }

    pub(super) fn import_path(&mut self) -> Option<String> {
        if !self.expect_keyword("import") {
            return None;
        }
        self.layout();
        if self.peek() != b'"' {
            self.error("expected string after 'import'");
            return None;
        }
        let path = self.take_string();
        if !self.takes(b';') {
            self.error("expected ';' after import");
            return None;
        }
        Some(String::from_utf8_lossy(&path).into_owned())
    }

    fn repeat(
        &mut self,
        word: &str,
        make: impl Fn(Expr, Block) -> StatementKind,
    ) -> Option<Statement> {
        let from = self.at;
        self.takes_keyword(word);
        let condition = self.condition();
        let block = self.block(false)?;
        Some(self.statement_of(make(condition, block), from))
    }

    fn for_loop(&mut self) -> Option<Statement> {
        let from = self.at;
        self.takes_keyword("for");
        let statement = self.for_here(from);
        if statement.is_none() {
            self.skip_block();
        }
        statement
    }

    fn for_here(&mut self, from: usize) -> Option<Statement> {
        let parenthesis = self.takes(b'(');
        self.layout();
        if self.peek() != b'$' {
            self.error("expected variable in for loop");
            return None;
        }
        let variable = self.variable();
        if !self.expect(b':') {
            return None;
        }
        self.layout();
        let first = self.primary();
        self.layout();
        let range = self.peek() == b'.' && self.ahead(1) == b'.';
        let over = if range {
            self.advance(2);
            let last = self.primary();
            Some(Iterable::Range(Box::new(first), Box::new(last), self.since(from)))
        } else {
            match first.kind {
                ExprKind::Map(map) => Some(Iterable::Map(map)),
                _ => None,
            }
        };
        if parenthesis && !self.expect(b')') {
            return None;
        }
        let Some(over) = over else {
            self.error("expected map or range in for loop");
            return None;
        };
        let block = self.block(false)?;
        let kind = StatementKind::For(variable, over, block);
        Some(self.statement_of(kind, from))
    }

    /// Past the block that comes next, so that one error does not make others.
    fn skip_block(&mut self) {
        while !self.at_end() && !matches!(self.peek(), b'{' | b'}') {
            self.advance(1);
        }
        if self.peek() == b'{' {
            self.at = self.after_balanced(self.at, b'{', b'}');
        }
    }

    fn let_statement(&mut self) -> Statement {
        let from = self.at;
        self.takes_keyword("let");
        self.layout();
        if self.peek() != b'$' {
            self.error("expected variable after 'let'");
            let none = self.none();
            return self.statement_of(StatementKind::Expr(none), from);
        }
        let variable = self.variable();
        let place = self.since(from);
        let mut of = None;
        self.layout();
        if self.peek() == b':' {
            self.advance(1);
            of = self.annotation(true);
        }
        self.layout();
        let declared = Let { variable, of, place };
        if self.peek() == b'=' {
            self.advance(1);
            let value = self.expression();
            let kind = StatementKind::Assign(Target::Let(declared), value);
            let statement = self.statement_of(kind, from);
            self.statement_end();
            return statement;
        }
        let statement = self.statement_of(StatementKind::Let(declared), from);
        self.statement_end();
        statement
    }

    /// A statement that begins with `$` or `@`.
    fn sigil_statement(&mut self) -> Statement {
        let from = self.at;
        let next = self.ahead(1);
        if self.peek() == b'$' && (next.is_ascii_digit() || next == b'#') {
            let expr = self.expression();
            return self.statement_of(StatementKind::Expr(expr), from);
        }
        let left = if self.peek() == b'$' {
            let variable = self.variable();
            let place = variable.place;
            self.expr(ExprKind::Variable(variable.name), place)
        } else {
            self.map_expression(from)
        };
        self.assignment_or_expression(left, from)
    }

    fn target(&mut self, expr: Expr) -> Option<Target> {
        match expr.kind {
            ExprKind::Map(map) => Some(Target::Map(map)),
            ExprKind::Element(element) => Some(Target::Element(element)),
            ExprKind::Variable(name) => Some(Target::Variable(crate::trace::ast::Variable {
                id: expr.id,
                name,
                place: expr.place,
            })),
            _ => None,
        }
    }

    fn assign(&mut self, left: Expr, value: Expr, place: crate::trace::place::Place) -> Statement {
        let kind = match self.target(left) {
            Some(target) => StatementKind::Assign(target, value),
            None => StatementKind::Expr(value),
        };
        Statement { kind, place }
    }

    fn assignment_or_expression(&mut self, left: Expr, from: usize) -> Statement {
        self.layout();
        if self.assigns() {
            self.advance(1);
            let value = self.expression();
            let place = self.since(from);
            self.statement_end();
            return self.assign(left, value, place);
        }
        let operator = self.at;
        if let Some(op) = self.compound_operator() {
            let value = self.expression();
            let place = self.since(operator);
            let old = self.copy(&left);
            let kind = ExprKind::Binary(op, Box::new(old), Box::new(value));
            let value = self.expr(kind, place);
            let place = self.since(from);
            self.statement_end();
            return self.assign(left, value, place);
        }
        if let Some(down) = self.step_operator() {
            self.advance(2);
            let op = if down { UnaryOp::PostDecrement } else { UnaryOp::PostIncrement };
            let place = self.since(from);
            let step = self.expr(ExprKind::Unary(op, Box::new(left)), place);
            return self.statement_of(StatementKind::Expr(step), from);
        }
        let value = self.postfix(left);
        self.layout();
        if self.assigns() {
            return self.bad_assignment(value, from);
        }
        let value = self.binary_after(0, value);
        self.statement_of(StatementKind::Expr(value), from)
    }

    fn bad_assignment(&mut self, value: Expr, from: usize) -> Statement {
        self.advance(1);
        self.expression();
        let text = match value.kind {
            ExprKind::TupleIndex(..) | ExprKind::Field(..) => {
                "Tuples and records are immutable once created. Consider creating a new value \
                 and assigning it instead."
            }
            _ => "invalid assignment target",
        };
        self.error_between(from, self.at, text);
        let none = self.none();
        self.statement_of(StatementKind::Expr(none), from)
    }

    /// A map as macros and declarations name it.
    pub(super) fn named_map(&mut self) -> Map {
        self.map()
    }
}
