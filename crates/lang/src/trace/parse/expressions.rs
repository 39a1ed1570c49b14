//! Expressions.

use super::cursor::{Parser, in_word, starts_word};
use crate::trace::ast::{
    Call, Element, Expr, ExprKind, If, Map, Name, NamedValue, TypeOfKind, UnaryOp, Variable,
};
use crate::trace::{number, words};

impl Parser<'_> {
    /// One expression up to the text's end.
    pub(super) fn lone_expression(&mut self) -> Option<Expr> {
        self.layout();
        if self.at_end() {
            return None;
        }
        let before = self.diagnostics.errors();
        let expr = self.expression();
        self.layout();
        if !self.at_end() {
            self.error("unexpected input");
        }
        (self.diagnostics.errors() == before).then_some(expr)
    }

    /// An expression, `c ? a : b` included.
    pub(super) fn expression(&mut self) -> Expr {
        if !self.descend() {
            return self.none();
        }
        let expr = self.ternary();
        self.depth -= 1;
        expr
    }

    fn ternary(&mut self) -> Expr {
        let condition = self.binary(0);
        let after = self.at;
        self.layout();
        if self.peek() != b'?' {
            self.at = after;
            return condition;
        }
        let from = condition.place.start as usize;
        self.advance(1);
        self.layout();
        let then = if self.peek() == b':' { self.copy(&condition) } else { self.expression() };
        self.expect(b':');
        let otherwise = self.expression();
        let place = self.since(from);
        self.expr(ExprKind::If(Box::new(If { condition, then, otherwise })), place)
    }

    /// A copy with numbers of its own.
    pub(super) fn copy(&mut self, expr: &Expr) -> Expr {
        crate::trace::walk::copy(expr, self.ids)
    }

    /// Operators that bind at least so tightly.
    pub(super) fn binary(&mut self, least: u8) -> Expr {
        let left = self.unary();
        self.binary_after(least, left)
    }

    pub(super) fn binary_after(&mut self, least: u8, mut left: Expr) -> Expr {
        loop {
            let after = self.at;
            self.layout();
            let operator = self.binary_operator();
            let Some((op, length, binds)) = operator.filter(|(_, _, binds)| *binds >= least) else {
                self.at = after;
                return left;
            };
            if !self.link() {
                return left;
            }
            let from = left.place.start as usize;
            self.advance(length);
            let right = self.binary(binds + 1);
            let place = self.since(from);
            left = self.expr(ExprKind::Binary(op, Box::new(left), Box::new(right)), place);
        }
    }

    /// Operators before a value.
    pub(super) fn unary(&mut self) -> Expr {
        if !self.descend() {
            return self.none();
        }
        let expr = self.unary_here();
        self.depth -= 1;
        expr
    }

    fn unary_here(&mut self) -> Expr {
        self.layout();
        let from = self.at;
        if let Some(down) = self.step_operator() {
            self.advance(2);
            let value = self.unary();
            if !is_place(&value) {
                let place = value.place;
                self.error_between(
                    place.start as usize,
                    place.end as usize,
                    "increment/decrement requires a variable or map",
                );
            }
            let op = if down { UnaryOp::PreDecrement } else { UnaryOp::PreIncrement };
            let place = self.since(from);
            return self.expr(ExprKind::Unary(op, Box::new(value)), place);
        }
        let op = match (self.peek(), self.ahead(1)) {
            (b'&', _) => return self.address(from),
            (b'*', _) => UnaryOp::Deref,
            (b'!', next) if next != b'=' => UnaryOp::Not,
            (b'~', _) => UnaryOp::BitNot,
            (b'-', _) => UnaryOp::Minus,
            _ => {
                let value = self.primary();
                return self.postfix(value);
            }
        };
        self.advance(1);
        let value = self.unary();
        let place = self.since(from);
        self.expr(ExprKind::Unary(op, Box::new(value)), place)
    }

    fn address(&mut self, from: usize) -> Expr {
        self.advance(1);
        self.layout();
        let kind = match self.peek() {
            b'$' => ExprKind::VariableAddress(self.variable()),
            b'@' => ExprKind::MapAddress(self.map()),
            _ => {
                self.error("address-of operator (&) can only be used on a map or variable");
                return self.unary();
            }
        };
        let place = self.since(from);
        self.expr(kind, place)
    }

    /// Takes `$name` with its place.
    pub(super) fn variable(&mut self) -> Variable {
        let from = self.at;
        let name: Name = self.take_variable().into();
        Variable { id: self.ids.fresh(), name, place: self.since(from) }
    }

    /// Takes `@name` with its place.
    pub(super) fn map(&mut self) -> Map {
        let from = self.at;
        let name: Name = self.take_map().into();
        Map { id: self.ids.fresh(), name, place: self.since(from) }
    }

    /// What follows a value: members, elements, `++`.
    pub(super) fn postfix(&mut self, mut value: Expr) -> Expr {
        loop {
            let after = self.at;
            self.layout();
            let from = value.place.start as usize;
            let kind = if self.peek() == b'.' {
                if self.ahead(1) == b'.' {
                    return value;
                }
                self.advance(1);
                self.layout();
                if self.peek().is_ascii_digit() {
                    let digits = self.take_number();
                    let index = number::unsigned(&digits).unwrap_or(0);
                    ExprKind::TupleIndex(Box::new(value), index)
                } else {
                    let Some(field) = self.take_word("expected field name after '.'") else {
                        return value;
                    };
                    ExprKind::Field(Box::new(value), field.into())
                }
            } else if self.peek() == b'-' && self.ahead(1) == b'>' {
                self.advance(2);
                let Some(field) = self.take_word("expected field name after '->'") else {
                    return value;
                };
                ExprKind::Field(Box::new(value), field.into())
            } else if self.peek() == b'[' {
                self.advance(1);
                let index = self.expression();
                self.expect(b']');
                ExprKind::Index(Box::new(value), Box::new(index))
            } else if let Some(down) = self.step_operator() {
                let operator = self.at;
                self.advance(2);
                if !is_place(&value) {
                    self.error_between(
                        operator,
                        self.at,
                        "increment/decrement requires a variable or map",
                    );
                    return value;
                }
                let op = if down { UnaryOp::PostDecrement } else { UnaryOp::PostIncrement };
                ExprKind::Unary(op, Box::new(value))
            } else {
                self.at = after;
                return value;
            };
            let place = self.since(from);
            value = self.expr(kind, place);
            if !self.link() {
                return value;
            }
        }
    }

    /// A value without operators.
    pub(super) fn primary(&mut self) -> Expr {
        if !self.descend() {
            return self.none();
        }
        let expr = self.primary_here();
        self.depth -= 1;
        expr
    }

    fn primary_here(&mut self) -> Expr {
        self.layout();
        let from = self.at;
        if self.peek() == b'(' {
            return self.parenthesis(from);
        }
        let kind = if self.takes_keyword("if") {
            self.if_expression()
        } else if self.takes_keyword("sizeof") {
            self.of_type(|of| ExprKind::Sizeof(Box::new(of)))
        } else if self.takes_keyword("offsetof") {
            self.offsetof()
        } else if self.takes_keyword("typeinfo") {
            self.of_type(|of| ExprKind::Typeinfo(Box::new(of)))
        } else if self.takes_keyword("comptime") {
            ExprKind::Comptime(Box::new(self.unary()))
        } else if self.peek() == b'{' {
            return match self.block(true) {
                Some(block) => {
                    let place = block.place;
                    self.expr(ExprKind::Block(block), place)
                }
                None => self.none(),
            };
        } else if starts_word(self.peek()) {
            return self.word_expression(from);
        } else if self.peek() == b'@' {
            return self.map_expression(from);
        } else if self.peek() == b'$' {
            self.dollar(from)
        } else if self.peek().is_ascii_digit() {
            self.integer(from)
        } else if self.peek() == b'"' {
            ExprKind::Str(self.take_string().into())
        } else {
            self.error("expected expression");
            return self.none();
        };
        let place = self.since(from);
        self.expr(kind, place)
    }

    /// A condition of `if`, `while` and `unroll`. In parentheses it is an expression, never
    /// a record; without them the block's brace ends it.
    pub(super) fn condition(&mut self) -> Expr {
        self.layout();
        if self.peek() == b'(' {
            self.advance(1);
            let condition = self.expression();
            self.expect(b')');
            condition
        } else {
            self.unary()
        }
    }

    fn block_value(&mut self) -> Expr {
        match self.block(true) {
            Some(block) => {
                let place = block.place;
                self.expr(ExprKind::Block(block), place)
            }
            None => self.none(),
        }
    }

    fn if_expression(&mut self) -> ExprKind {
        let condition = self.condition();
        let then = self.block_value();
        let after = self.at;
        let otherwise = if self.takes_keyword("else") {
            self.layout();
            if self.peek() == b'{' {
                self.block_value()
            } else if self.is_keyword("if") {
                self.primary()
            } else {
                self.error("expected '{' or 'if' after 'else'");
                self.none()
            }
        } else {
            self.at = after;
            self.none()
        };
        ExprKind::If(Box::new(If { condition, then, otherwise }))
    }

    fn of_type(&mut self, make: impl Fn(crate::trace::ast::TypeOf) -> ExprKind) -> ExprKind {
        self.expect(b'(');
        let of = self.annotation(false);
        self.expect(b')');
        of.map_or(ExprKind::None, make)
    }

    fn offsetof(&mut self) -> ExprKind {
        self.expect(b'(');
        let of = self.annotation(false);
        self.expect(b',');
        let mut fields: Vec<Name> = Vec::new();
        loop {
            fields.push(self.take_word("").unwrap_or_default().into());
            if !self.takes(b'.') {
                break;
            }
        }
        self.expect(b')');
        of.map_or(ExprKind::None, |of| ExprKind::Offsetof(Box::new(of), fields))
    }

    fn word_expression(&mut self, from: usize) -> Expr {
        let word = self.take_word("").unwrap_or_default();
        let place = self.since(from);
        if word == "true" || word == "false" {
            return self.expr(ExprKind::Bool(word == "true"), place);
        }
        self.layout();
        if self.peek() == b'(' {
            return self.call(word, from);
        }
        let kind = if words::is_builtin(&word) {
            ExprKind::Builtin(word.into())
        } else {
            ExprKind::Ident(word.into())
        };
        self.expr(kind, place)
    }

    fn call(&mut self, word: String, from: usize) -> Expr {
        self.expect(b'(');
        let mut arguments = Vec::new();
        self.layout();
        if self.peek() != b')' {
            loop {
                let argument = self.argument();
                arguments.push(argument);
                if !self.takes(b',') {
                    break;
                }
            }
        }
        self.expect(b')');
        let place = self.since(from);
        let call = Call { function: word.into(), arguments, injected: 0 };
        self.expr(ExprKind::Call(call), place)
    }

    fn argument(&mut self) -> Expr {
        let from = self.at;
        if self.is_keyword("typeof")
            && let Some(of) = self.annotation(false)
        {
            let place = self.since(from);
            return self.expr(ExprKind::TypeArgument(Box::new(of)), place);
        }
        self.expression()
    }

    /// Takes `@m` or `@m[k, …]`.
    pub(super) fn map_expression(&mut self, from: usize) -> Expr {
        let map = self.map();
        self.layout();
        if self.peek() != b'[' {
            let place = map.place;
            return self.expr(ExprKind::Map(map), place);
        }
        self.advance(1);
        let mut keys = vec![self.expression()];
        while self.takes(b',') {
            keys.push(self.expression());
        }
        self.expect(b']');
        let place = self.since(from);
        let key = match keys.pop() {
            Some(only) if keys.is_empty() => only,
            Some(last) => {
                keys.push(last);
                self.expr(ExprKind::Tuple(keys), place)
            }
            None => self.none(),
        };
        let element = Element { map, key: Box::new(key), place };
        self.expr(ExprKind::Element(element), place)
    }

    fn dollar(&mut self, from: usize) -> ExprKind {
        if self.ahead(1) == b'#' {
            self.advance(2);
            return ExprKind::PositionalCount;
        }
        if !self.ahead(1).is_ascii_digit() {
            return ExprKind::Variable(self.take_variable().into());
        }
        self.advance(1);
        while self.peek().is_ascii_digit() {
            self.advance(1);
        }
        let digits = self.view(from + 1, self.at);
        match digits.parse::<i64>() {
            Ok(number) if number >= 1 => ExprKind::Positional(number as u64),
            _ => {
                let text = format!("param ${digits} is out of integer range [1, {}]", i64::MAX);
                self.error_between(from, self.at, text);
                ExprKind::Positional(1)
            }
        }
    }

    fn integer(&mut self, from: usize) -> ExprKind {
        let digits = self.take_number();
        match number::unsigned(&digits) {
            Ok(value) => ExprKind::Int(value, Some(digits.into())),
            Err(error) => {
                self.error_between(from, self.at, error.to_string());
                ExprKind::Int(0, None)
            }
        }
    }

    /// `()`, `(a=1)`, `(T)a`, `(a)`, `(a, b)`.
    fn parenthesis(&mut self, from: usize) -> Expr {
        self.advance(1);
        self.layout();
        if self.peek() == b')' {
            self.advance(1);
            let place = self.since(from);
            return self.expr(ExprKind::Tuple(Vec::new()), place);
        }
        if self.begins_record() {
            return self.record(from);
        }
        if let Some(cast) = self.cast(from) {
            return cast;
        }
        self.tuple_or_group(from)
    }

    fn begins_record(&self) -> bool {
        if !starts_word(self.peek()) {
            return false;
        }
        let end = self.word_end(self.at);
        let after = self.after_layout(end);
        self.byte(after) == b'='
            && self.byte(after + 1) != b'='
            && !words::is_builtin(&self.view(self.at, end))
    }

    fn record(&mut self, from: usize) -> Expr {
        let mut values: Vec<NamedValue> = Vec::new();
        loop {
            self.layout();
            let start = self.at;
            let Some(name) = self.take_word("expected identifier") else {
                self.skip_parenthesis();
                break;
            };
            self.expect(b'=');
            let value = self.expression();
            let place = self.since(start);
            if values.iter().any(|value| *value.name == *name) {
                self.error_between(
                    start,
                    self.at,
                    format!("Named argument list already contains name: {name}"),
                );
            }
            values.push(NamedValue { name: name.into(), value, place });
            if !self.takes(b',') {
                break;
            }
        }
        self.expect(b')');
        let place = self.since(from);
        self.expr(ExprKind::Record(values), place)
    }

    /// To the `)` that closes what is open.
    fn skip_parenthesis(&mut self) {
        let mut depth = 1;
        while !self.at_end() {
            match self.peek() {
                b'(' => depth += 1,
                b')' => depth -= 1,
                _ => {}
            }
            if depth == 0 {
                return;
            }
            self.advance(1);
        }
    }

    fn cast(&mut self, from: usize) -> Option<Expr> {
        let start = self.at;
        let errors = self.diagnostics.len();
        let cast = self.cast_here(from);
        if cast.is_none() {
            self.at = start;
            // What did not turn out to be a cast is read again, as something else.
            self.diagnostics.truncate(errors);
        }
        cast
    }

    fn cast_here(&mut self, from: usize) -> Option<Expr> {
        let of = if self.is_keyword("typeof") {
            self.annotation(false)?
        } else {
            self.layout();
            let end = self.word_end(self.at);
            if !starts_word(self.peek()) || words::is_builtin(&self.view(self.at, end)) {
                return None;
            }
            let start = self.at;
            let name = self.type_name(false)?;
            self.type_of(TypeOfKind::Type(name), start)
        };
        self.layout();
        if self.peek() != b')' {
            return None;
        }
        self.advance(1);
        self.layout();
        if !self.begins_expression() {
            return None;
        }
        let place = self.since(from);
        let value = self.unary();
        Some(self.expr(ExprKind::Cast(Box::new(of), Box::new(value)), place))
    }

    fn begins_expression(&self) -> bool {
        let next = self.byte(self.after_layout(self.at));
        in_word(next) || (next != 0 && b"$@\"(-!~*&".contains(&next))
    }

    fn tuple_or_group(&mut self, from: usize) -> Expr {
        let first = self.expression();
        self.layout();
        if self.peek() != b',' {
            self.expect(b')');
            return first;
        }
        let mut values = vec![first];
        while self.takes(b',') {
            self.layout();
            if self.peek() == b')' {
                break;
            }
            values.push(self.expression());
        }
        self.expect(b')');
        let place = self.since(from);
        self.expr(ExprKind::Tuple(values), place)
    }
}

/// Whether one can write to it.
fn is_place(expr: &Expr) -> bool {
    matches!(expr.kind, ExprKind::Variable(_) | ExprKind::Map(_) | ExprKind::Element(_))
}
