//! The root: definitions, config, imports, and then probes, functions, macros and
//! declarations of maps.

use super::cursor::{Parser, starts_word};
use crate::trace::ast::{
    AttachPoint, Block, Definition, Expr, ExprKind, Function, If, Import, Item, Macro,
    MapDeclaration, Parameter, Probe, Script, Setting, SettingValue, Statement,
};
use crate::trace::place::Place;
use crate::trace::{number, words};

const TOO_LATE: &str = "C definitions must appear before probes and functions";

impl Parser<'_> {
    pub(super) fn script(&mut self) -> Script {
        let mut script = Script::default();
        self.layout();
        if self.peek() == b'#' && self.ahead(1) == b'!' {
            let from = self.at;
            while !self.at_end() && self.peek() != b'\n' {
                self.advance(1);
            }
            self.advance(1);
            script.header = Some(self.view(from, self.at));
            self.layout();
        }
        while !self.at_end() && !self.has_errors() {
            if self.begins_preprocessor() {
                script.definitions.push(self.preprocessor());
            } else if self.begins_definition() {
                script.definitions.push(self.definition());
            } else {
                break;
            }
            self.layout();
        }
        self.settings_and_imports(&mut script);
        while !self.at_end() && !self.has_errors() {
            self.layout();
            if self.at_end() {
                break;
            }
            let before = self.at;
            self.item(&mut script);
            if self.at == before {
                self.error("unexpected input");
                self.advance(1);
            }
            self.layout();
        }
        script.comments = self.comments.iter().map(|(from, to)| (*from, *to)).collect();
        script
    }

    fn settings_and_imports(&mut self, script: &mut Script) {
        let mut configured = false;
        while !self.at_end() && !self.has_errors() {
            match self.word() {
                b"config" if configured => self.skip_config("duplicate config block"),
                b"config" => {
                    configured = true;
                    let from = self.at;
                    script.config = self.config();
                    script.config_place = Some(self.since(from));
                }
                b"import" => {
                    let from = self.at;
                    if let Some(path) = self.import_path() {
                        let place = self.since(from);
                        script.imports.push(Import { path, place });
                    }
                }
                _ => break,
            }
            self.layout();
        }
    }

    fn item(&mut self, script: &mut Script) {
        let from = self.at;
        if self.begins_preprocessor() {
            let late = self.preprocessor();
            script.definitions.push(late);
            self.error_between(from, self.at, TOO_LATE);
            return;
        }
        let item = match self.word() {
            b"struct" | b"union" | b"enum" if self.begins_definition() => {
                let late = self.definition();
                script.definitions.push(late);
                self.error_between(from, self.at, TOO_LATE);
                None
            }
            b"config" => {
                self.skip_config("config must appear before probes and functions");
                None
            }
            b"import" => {
                self.takes_keyword("import");
                self.error_between(
                    from,
                    self.at,
                    "root imports must appear before probes and functions",
                );
                while !self.at_end() && !matches!(self.peek(), b';' | b'\n') {
                    self.advance(1);
                }
                self.takes(b';');
                None
            }
            b"macro" => self.macro_item().map(Item::Macro),
            b"fn" => self.function().map(Item::Function),
            b"let" => {
                let after = self.after_layout(from + 3);
                if self.byte(after) == b'@' {
                    self.map_declaration().map(Item::MapDeclaration)
                } else {
                    self.error(
                        "root-level let statements need to be map declarations, e.g. let @a = \
                         hash(2);",
                    );
                    self.advance(1);
                    None
                }
            }
            _ => self.probe().map(Item::Probe),
        };
        script.items.extend(item);
    }

    fn begins_preprocessor(&self) -> bool {
        self.peek() == b'#' && self.ahead(1) != b'!'
    }

    /// Whether `struct`, `union` or `enum` here begins a definition and no attach point:
    /// words and bracketed groups, then a brace.
    fn begins_definition(&self) -> bool {
        if !matches!(self.word(), b"struct" | b"union" | b"enum") {
            return false;
        }
        let mut at = self.after_layout(self.word_end(self.at));
        loop {
            let byte = self.byte(at);
            let after = match byte {
                b'{' => return true,
                b'(' => self.after_balanced(at, b'(', b')'),
                b'[' => self.after_balanced(at, b'[', b']'),
                _ if starts_word(byte) => self.word_end(at),
                _ => return false,
            };
            at = self.after_layout(after);
        }
    }

    fn preprocessor(&mut self) -> Definition {
        let from = self.at;
        while !self.at_end() && self.peek() != b'\n' {
            self.advance(1);
        }
        let place = self.since(from);
        let text = self.view(from, self.at).trim_end().to_owned();
        self.advance(1);
        Definition { text, place }
    }

    fn definition(&mut self) -> Definition {
        let from = self.at;
        while !self.at_end() && self.peek() != b'{' {
            self.advance(1);
        }
        let mut depth = 0;
        while !self.at_end() {
            let after = self.after_comment();
            if after > self.at {
                self.at = after;
                continue;
            }
            match self.peek() {
                b'{' => depth += 1,
                b'}' => depth -= 1,
                _ => {}
            }
            self.advance(1);
            if depth == 0 {
                break;
            }
        }
        let mut end = self.at;
        while self.takes_keyword("__attribute__") {
            self.layout();
            if self.peek() == b'(' && self.ahead(1) == b'(' {
                let after = self.after_balanced(self.at, b'(', b')');
                let inside = &self.text[self.at..after];
                let count = |sign| inside.iter().filter(|byte| **byte == sign).count();
                if count(b'(') != count(b')') {
                    self.error("__attribute__ syntax error, mismatched '(' and ')'");
                }
                self.at = after;
                end = after;
            } else {
                self.error("__attribute__ syntax error, expected '(('");
                break;
            }
        }
        let text = self.view(from, end);
        self.takes(b';');
        let place = self.since(from);
        // What was left open stays so.
        let end = if depth == 0 { ";" } else { "" };
        Definition { text: format!("{}{end}", text.trim_end()), place }
    }

    /// After a comment that begins here.
    fn after_comment(&self) -> usize {
        if self.peek() == b'/' && matches!(self.ahead(1), b'/' | b'*') {
            self.after_layout(self.at)
        } else {
            self.at
        }
    }

    fn config(&mut self) -> Vec<Setting> {
        let mut settings = Vec::new();
        if !self.expect_keyword("config") || !self.expect(b'=') || !self.expect(b'{') {
            return settings;
        }
        self.layout();
        while self.peek() != b'}' && !self.at_end() {
            let Some(setting) = self.setting() else {
                break;
            };
            settings.extend(setting);
            self.layout();
            if self.peek() != b'}' && !self.takes(b';') {
                self.expect(b';');
                while !self.at_end() && self.peek() != b'}' {
                    self.advance(1);
                }
                break;
            }
            self.layout();
        }
        self.expect(b'}');
        settings
    }

    /// One setting; `None` ends the block.
    fn setting(&mut self) -> Option<Option<Setting>> {
        let from = self.at;
        let key = self.take_word("expected config key")?;
        if !self.expect(b'=') {
            return None;
        }
        self.layout();
        let value = if self.peek() == b'"' {
            let text = self.take_string();
            SettingValue::Text(String::from_utf8_lossy(&text).into_owned())
        } else if self.peek().is_ascii_digit() {
            let digits = self.take_number();
            match number::unsigned(&digits) {
                Ok(value) => SettingValue::Int(value),
                Err(_) => {
                    self.error("invalid integer in config");
                    return None;
                }
            }
        } else {
            let Some(word) = self.take_word("expected string, int, boolean, or ident") else {
                return Some(None);
            };
            match &*word {
                "true" => SettingValue::Bool(true),
                "false" => SettingValue::Bool(false),
                _ => SettingValue::Text(word),
            }
        };
        Some(Some(Setting { key: key.into(), value, place: self.since(from) }))
    }

    fn skip_config(&mut self, text: &str) {
        let from = self.at;
        self.takes_keyword("config");
        self.error_between(from, self.at, text);
        if self.takes(b'=') {
            self.layout();
            self.at = self.after_balanced(self.at, b'{', b'}');
        }
    }

    fn macro_item(&mut self) -> Option<Macro> {
        let from = self.at;
        if !self.expect_keyword("macro") {
            return None;
        }
        let name = self.take_word("expected macro name")?;
        let place = self.since(from);
        if !self.expect(b'(') {
            return None;
        }
        let mut parameters = Vec::new();
        self.layout();
        if self.peek() != b')' {
            loop {
                parameters.push(self.macro_parameter());
                if !self.takes(b',') {
                    break;
                }
            }
        }
        if !self.expect(b')') {
            return None;
        }
        let body = self.block(true)?;
        Some(Macro { name: name.into(), parameters, body, place })
    }

    fn macro_parameter(&mut self) -> Expr {
        self.layout();
        let from = self.at;
        let kind = match self.peek() {
            b'$' => ExprKind::Variable(self.take_variable().into()),
            b'@' => ExprKind::Map(self.named_map()),
            _ => match self.take_word("expected macro argument ($var, @map, or identifier)") {
                None => return self.none(),
                Some(word) if words::is_builtin(&word) => {
                    self.error_between(
                        from,
                        self.at,
                        format!("builtin '{word}' can't be used as a macro argument"),
                    );
                    return self.none();
                }
                Some(word) => ExprKind::Ident(word.into()),
            },
        };
        let place = self.since(from);
        self.expr(kind, place)
    }

    fn function(&mut self) -> Option<Function> {
        let from = self.at;
        if !self.expect_keyword("fn") {
            return None;
        }
        let name = self.take_word("expected function name")?;
        let place = self.since(from);
        if !self.expect(b'(') {
            return None;
        }
        let mut parameters = Vec::new();
        self.layout();
        while self.peek() != b')' {
            let Some(parameter) = self.parameter() else {
                break;
            };
            parameters.push(parameter);
            if !self.takes(b',') {
                break;
            }
            self.layout();
        }
        if !self.expect(b')') || !self.expect(b':') {
            return None;
        }
        let result = self.annotation(true)?;
        let body = self.block(false)?;
        Some(Function { name: name.into(), parameters, result, body, place })
    }

    fn parameter(&mut self) -> Option<Parameter> {
        self.layout();
        let from = self.at;
        if self.peek() != b'$' {
            self.error("expected variable in function argument");
            return None;
        }
        let name = self.take_variable();
        if !self.expect(b':') {
            return None;
        }
        let of = self.annotation(true)?;
        Some(Parameter { name: name.into(), of, place: self.since(from) })
    }

    fn map_declaration(&mut self) -> Option<MapDeclaration> {
        let from = self.at;
        if !self.expect_keyword("let") {
            return None;
        }
        self.layout();
        let name = self.take_map();
        if !self.expect(b'=') {
            return None;
        }
        let kind = self.take_word("expected map type name")?;
        if !self.expect(b'(') {
            return None;
        }
        let digits = self.take_number();
        let Ok(entries) = number::unsigned(&digits) else {
            self.error("expected positive integer for map declaration max entries");
            return None;
        };
        if !self.expect(b')') {
            return None;
        }
        self.takes(b';');
        Some(MapDeclaration {
            name: name.into(),
            kind: kind.into(),
            entries,
            place: self.since(from),
        })
    }

    fn probe(&mut self) -> Option<Probe> {
        let from = self.at;
        let mut points = vec![self.attach_point()?];
        while self.takes(b',') {
            self.layout();
            if matches!(self.peek(), b'/' | b'{') {
                break;
            }
            match self.attach_point() {
                Some(point) => points.push(point),
                None => break,
            }
        }
        let end = points.last()?.place.end;
        let place = self.place(from, end as usize);
        let before = self.at;
        self.links = 0;
        let predicate = self.predicate();
        let after = self.place(before, self.at);
        let body = self.block(false)?;
        let body = match predicate {
            Some(condition) => self.guarded(condition, body, after),
            None => body,
        };
        Some(Probe { points, body, place })
    }

    /// `{ if condition { body } }`
    fn guarded(&mut self, condition: Expr, body: Block, place: Place) -> Block {
        let then_place = body.place;
        let then = self.expr(ExprKind::Block(body), then_place);
        let otherwise = self.expr(ExprKind::None, place);
        let test = self.expr(ExprKind::If(Box::new(If { condition, then, otherwise })), place);
        Block {
            id: self.ids.fresh(),
            statements: Vec::<Statement>::new(),
            value: Box::new(test),
            place,
        }
    }

    fn predicate(&mut self) -> Option<Expr> {
        self.layout();
        if self.peek() != b'/' || matches!(self.ahead(1), b'/' | b'*') {
            return None;
        }
        self.advance(1);
        let condition = self.expression();
        if !self.takes(b'/') {
            self.error("expected '/' to close predicate");
        }
        Some(condition)
    }

    /// Takes an attach point's text: up to space, `,`, `{`, or a predicate's `/`.
    fn attach_point(&mut self) -> Option<AttachPoint> {
        self.layout();
        let from = self.at;
        let mut quoted = false;
        while !self.at_end() {
            match self.peek() {
                b'"' => quoted = !quoted,
                b'\\' if quoted => self.advance(1),
                _ if quoted => {}
                b'{' | b',' => break,
                // Before the first `:` it is no path's.
                b'/' if self.at > from
                    && !self.text[from..self.at].contains(&b':')
                    && !matches!(self.ahead(1), b'/' | b'*') =>
                {
                    break;
                }
                byte if byte.is_ascii_whitespace() => break,
                _ => {}
            }
            self.advance(1);
        }
        if self.at == from {
            self.error("expected attach point");
            return None;
        }
        Some(AttachPoint { raw: self.view(from, self.at), place: self.since(from) })
    }
}
