//! A script in one form: two spaces a level, a line for each statement, braces of probes on
//! lines of their own. Comments stay where they were, and so does one empty line between
//! statements.

use super::ast::{
    BinaryOp, Block, Expr, ExprKind, Function, Ids, If, Item, Iterable, Let, Macro, Probe, Script,
    SettingValue, Statement, StatementKind, Target, TypeOf, TypeOfKind, UnaryOp,
};
use super::diagnostic::Diagnostics;
use super::names::type_name;
use super::parse;
use super::place::{Place, Sources};

/// The script formatted, or what is wrong with it.
///
/// # Errors
/// The script cannot be read; the text says why, as it is shown.
pub fn format(text: &str, name: &str) -> Result<String, String> {
    let mut sources = Sources::default();
    let source = sources.add(name, text);
    let (mut ids, mut diagnostics) = (Ids::default(), Diagnostics::default());
    let script = parse::script(text, source, &mut ids, &mut diagnostics);
    if !diagnostics.is_ok() {
        return Err(diagnostics.show_all(&sources));
    }
    let mut printer =
        Printer { text, out: String::new(), level: 0, comments: &script.comments, last: 0 };
    printer.script(&script);
    Ok(printer.out)
}

struct Printer<'p> {
    text: &'p str,
    out: String,
    level: usize,
    /// Those that are still to come.
    comments: &'p [(u32, u32)],
    /// Where what was printed last ended.
    last: u32,
}

impl Printer<'_> {
    fn slice(&self, from: u32, to: u32) -> &str {
        self.text.get(from as usize..to as usize).unwrap_or("")
    }

    fn line(&mut self, text: &str) {
        for _ in 0..self.level {
            self.out.push_str("  ");
        }
        self.out.push_str(text);
        self.out.push('\n');
    }

    /// An empty line where there was one or more, but at no block's start.
    fn gap(&mut self, to: u32) {
        let lines = self.slice(self.last, to).matches('\n').count();
        let fresh = self.out.is_empty() || self.out.ends_with("{\n") || self.out.ends_with("\n\n");
        if lines > 1 && !fresh {
            self.out.push('\n');
        }
    }

    /// Comments before a byte, each on its line, or behind what stood before them.
    fn comments(&mut self, before: u32) {
        while let Some((&(from, to), rest)) = self.comments.split_first() {
            if from >= before {
                return;
            }
            self.comments = rest;
            let comment = self.slice(from, to).trim_end().to_owned();
            let behind = self.last > 0
                && !self.slice(self.last, from).contains('\n')
                && !self.out.ends_with("{\n")
                && !comment.contains('\n');
            if behind {
                self.out.pop();
                self.out.push_str(&format!(" {comment}\n"));
            } else {
                self.gap(from);
                let mut lines = comment.lines();
                let first = lines.next().unwrap_or("").to_owned();
                self.line(&first);
                for line in lines {
                    let line = line.trim_start();
                    let star = if line.starts_with('*') { " " } else { "" };
                    self.line(&format!("{star}{line}"));
                }
            }
            self.last = to;
        }
    }

    /// What comes before a thing at its place.
    fn before(&mut self, place: Place) {
        self.comments(place.start);
        self.gap(place.start);
    }

    fn script(&mut self, script: &Script) {
        if let Some(header) = &script.header {
            self.out.push_str(header);
            self.last = header.len() as u32;
        }
        for definition in &script.definitions {
            self.before(definition.place);
            // Comments inside are part of its text.
            let end = definition.place.end;
            self.comments = &self.comments[self.comments.partition_point(|one| one.0 < end)..];
            for line in definition.text.lines() {
                self.line(line);
            }
            self.last = definition.place.end;
        }
        if let Some(place) = script.config_place {
            self.separate();
            self.before(place);
            self.line("config = {");
            self.level += 1;
            for setting in &script.config {
                self.before(setting.place);
                let value = match &setting.value {
                    SettingValue::Int(value) => value.to_string(),
                    SettingValue::Bool(truth) => truth.to_string(),
                    SettingValue::Text(_) => {
                        let said = self.slice(setting.place.start, setting.place.end);
                        said.split_once('=').map_or("", |(_, value)| value.trim()).to_owned()
                    }
                };
                let key = &setting.key;
                self.line(&format!("{key} = {value};"));
                self.last = setting.place.end;
            }
            self.comments(place.end);
            self.level -= 1;
            self.line("}");
            self.last = place.end;
        }
        for import in &script.imports {
            self.before(import.place);
            self.line(&format!("import \"{}\";", import.path));
            self.last = import.place.end;
        }
        for item in &script.items {
            self.item(item);
        }
        self.comments(u32::MAX);
    }

    /// An empty line after what stands before.
    fn separate(&mut self) {
        if !self.out.is_empty() && !self.out.ends_with("\n\n") && self.comments.is_empty() {
            self.out.push('\n');
        }
    }

    fn item(&mut self, item: &Item) {
        match item {
            Item::Probe(probe) => self.probe(probe),
            Item::Function(function) => self.function(function),
            Item::Macro(one) => self.macro_item(one),
            Item::MapDeclaration(map) => {
                self.before(map.place);
                self.line(&format!("let {} = {}({});", map.name, map.kind, map.entries));
                self.last = map.place.end;
            }
        }
    }

    /// An item with a block begins after an empty line.
    fn begin(&mut self, place: Place) {
        let next = self.comments.first().map_or(u32::MAX, |one| one.0);
        if !self.out.is_empty() && !self.out.ends_with("\n\n") && next >= place.start {
            self.out.push('\n');
        }
        self.comments(place.start);
    }

    fn probe(&mut self, probe: &Probe) {
        self.begin(probe.place);
        let points: Vec<&str> = probe.points.iter().map(|point| &*point.raw).collect();
        self.line(&points.join(",\n"));
        self.last = probe.place.end;
        let (condition, body) = predicate(probe);
        if let Some(condition) = condition {
            let condition = self.expr(condition, 0);
            self.line(&format!("/{condition}/"));
        }
        self.line("{");
        self.body(body);
        self.line("}");
        self.last = body.place.end;
    }

    fn function(&mut self, function: &Function) {
        self.begin(function.place);
        let parameters: Vec<String> = function
            .parameters
            .iter()
            .map(|one| format!("{} : {}", one.name, self.type_of(&one.of)))
            .collect();
        let result = self.type_of(&function.result);
        self.line(&format!("fn {}({}) : {result}", function.name, parameters.join(", ")));
        self.line("{");
        self.last = function.place.end;
        self.body(&function.body);
        self.line("}");
        self.last = function.body.place.end;
    }

    fn macro_item(&mut self, one: &Macro) {
        self.begin(one.place);
        let parameters: Vec<String> =
            one.parameters.iter().map(|parameter| self.expr(parameter, 0)).collect();
        self.line(&format!("macro {}({})", one.name, parameters.join(", ")));
        self.line("{");
        self.last = one.place.end;
        self.body(&one.body);
        self.line("}");
        self.last = one.body.place.end;
    }

    /// A block's inside.
    fn body(&mut self, block: &Block) {
        self.level += 1;
        self.last = self.last.max(block.place.start);
        for statement in &block.statements {
            self.statement(statement, block.place);
        }
        if !block.value.is_none() {
            self.before(block.value.place);
            let value = self.whole(&block.value, "");
            self.line(&value);
            self.last = self.last.max(block.value.place.end);
        }
        self.comments(block.place.end.saturating_sub(1));
        self.level -= 1;
    }

    /// A block of an expression, from its brace to its brace.
    fn braces(&mut self, block: &Block) -> String {
        let out = std::mem::take(&mut self.out);
        self.out.push_str("{\n");
        self.body(block);
        let mut inside = std::mem::replace(&mut self.out, out);
        if inside == "{\n" {
            return "{ }".to_owned();
        }
        for _ in 0..self.level {
            inside.push_str("  ");
        }
        inside.push('}');
        inside
    }

    fn statement(&mut self, statement: &Statement, inside: Place) {
        // A last expression was made a statement at its block's place.
        let place = match &statement.kind {
            StatementKind::Expr(expr) if statement.place == inside => expr.place,
            _ => statement.place,
        };
        self.before(place);
        let text = match &statement.kind {
            StatementKind::Expr(expr) => self.whole(expr, ";"),
            StatementKind::Discard(expr) => format!("_ = {};", self.expr(expr, 0)),
            StatementKind::Let(declared) => format!("{};", self.declared(declared)),
            StatementKind::Assign(target, value) => self.assign(target, value),
            StatementKind::Unroll(count, block) => {
                let count = self.expr(count, 0);
                format!("unroll ({count}) {}", self.braces(block))
            }
            StatementKind::While(condition, block) => {
                let condition = self.expr(condition, 0);
                format!("while ({condition}) {}", self.braces(block))
            }
            StatementKind::For(variable, over, block) => {
                let over = match over {
                    Iterable::Map(map) => (*map.name).to_owned(),
                    Iterable::Range(first, last, _) => {
                        // A sign needs brackets there.
                        format!("{}..{}", self.expr(first, 12), self.expr(last, 12))
                    }
                };
                format!("for ({} : {over}) {}", variable.name, self.braces(block))
            }
            StatementKind::Break => "break;".to_owned(),
            StatementKind::Continue => "continue;".to_owned(),
            StatementKind::Return(None) => "return;".to_owned(),
            StatementKind::Return(Some(value)) => format!("return {};", self.expr(value, 0)),
            StatementKind::Import(path) => format!("import \"{path}\";"),
        };
        self.line(&text);
        self.last = self.last.max(place.end);
    }

    fn declared(&mut self, declared: &Let) -> String {
        match &declared.of {
            Some(of) => format!("let {} : {}", declared.variable.name, self.type_of(of)),
            None => format!("let {}", declared.variable.name),
        }
    }

    fn assign(&mut self, target: &Target, value: &Expr) -> String {
        let target = match target {
            Target::Variable(variable) => (*variable.name).to_owned(),
            Target::Let(declared) => self.declared(declared),
            Target::Map(map) => (*map.name).to_owned(),
            Target::Element(element) => {
                format!("{}[{}]", element.map.name, self.keys(&element.key, element.place))
            }
        };
        // `+=` was made `= … + …`, whose place begins at the operator.
        if let ExprKind::Binary(op, left, right) = &value.kind
            && left.place.start < value.place.start
        {
            return format!("{target} {}= {};", op.sign(), self.expr(right, 0));
        }
        format!("{target} = {};", self.expr(value, 0))
    }

    /// Several keys were made a tuple at the element's place.
    fn keys(&mut self, key: &Expr, element: Place) -> String {
        match &key.kind {
            ExprKind::Tuple(keys) if key.place == element => self.list(keys),
            _ => self.expr(key, 0),
        }
    }

    fn list(&mut self, values: &[Expr]) -> String {
        let values: Vec<String> = values.iter().map(|value| self.expr(value, 0)).collect();
        values.join(", ")
    }

    /// A statement's expression: `if` and blocks have no semicolon.
    fn whole(&mut self, expr: &Expr, end: &str) -> String {
        match &expr.kind {
            // Without brackets its values would be statements.
            ExprKind::If(branches) if self.is_if(expr) && !end.is_empty() && gives(branches) => {
                format!("({}){end}", self.if_text(branches))
            }
            ExprKind::If(branches) if self.is_if(expr) => self.if_text(branches),
            ExprKind::Block(block) => self.braces(block),
            _ => format!("{}{end}", self.expr(expr, 0)),
        }
    }

    fn is_if(&self, expr: &Expr) -> bool {
        self.slice(expr.place.start, expr.place.end).starts_with("if")
    }

    fn if_text(&mut self, branches: &If) -> String {
        let condition = match &branches.condition.kind {
            ExprKind::Comptime(inner) => format!("comptime ({})", self.expr(inner, 0)),
            _ => format!("({})", self.expr(&branches.condition, 0)),
        };
        let then = match &branches.then.kind {
            ExprKind::Block(block) => self.braces(block),
            _ => self.expr(&branches.then, 0),
        };
        let otherwise = match &branches.otherwise.kind {
            ExprKind::None => String::new(),
            ExprKind::If(inner) if self.is_if(&branches.otherwise) => {
                format!(" else {}", self.if_text(inner))
            }
            ExprKind::Block(block) => format!(" else {}", self.braces(block)),
            _ => format!(" else {}", self.expr(&branches.otherwise, 0)),
        };
        format!("if {condition} {then}{otherwise}")
    }

    fn type_of(&mut self, of: &TypeOf) -> String {
        let asked = self.slice(of.place.start, of.place.end).starts_with("typeof");
        let inside = match &of.kind {
            TypeOfKind::Type(name) => type_name(name),
            TypeOfKind::Expr(expr) => self.expr(expr, 0),
        };
        if asked { format!("typeof({inside})") } else { inside }
    }

    /// An expression; in parentheses where it binds less than `least`.
    fn expr(&mut self, expr: &Expr, least: u8) -> String {
        let (text, binds) = self.bound(expr);
        if binds < least { format!("({text})") } else { text }
    }

    fn bound(&mut self, expr: &Expr) -> (String, u8) {
        /// A value; an operator before one.
        const VALUE: u8 = 12;
        const UNARY: u8 = 11;
        let text = match &expr.kind {
            ExprKind::None => String::new(),
            ExprKind::Int(value, None) => value.to_string(),
            ExprKind::Int(_, Some(text)) => (**text).to_owned(),
            ExprKind::Negative(value) => value.to_string(),
            ExprKind::Bool(truth) => truth.to_string(),
            ExprKind::Str(_) => self.slice(expr.place.start, expr.place.end).to_owned(),
            ExprKind::Positional(number) => format!("${number}"),
            ExprKind::PositionalCount => "$#".to_owned(),
            ExprKind::Ident(word) | ExprKind::Builtin(word) | ExprKind::Variable(word) => {
                (**word).to_owned()
            }
            ExprKind::Call(call) => {
                format!("{}({})", call.function, self.list(&call.arguments))
            }
            ExprKind::Sizeof(of) => format!("sizeof({})", self.type_of(of)),
            ExprKind::Typeinfo(of) => format!("typeinfo({})", self.type_of(of)),
            ExprKind::TypeArgument(of) => self.type_of(of),
            ExprKind::Offsetof(of, fields) => {
                let fields: Vec<&str> = fields.iter().map(|field| &**field).collect();
                format!("offsetof({}, {})", self.type_of(of), fields.join("."))
            }
            ExprKind::Comptime(inner) => {
                return (format!("comptime {}", self.expr(inner, UNARY)), UNARY);
            }
            ExprKind::Map(map) => (*map.name).to_owned(),
            ExprKind::Element(element) => {
                format!("{}[{}]", element.map.name, self.keys(&element.key, element.place))
            }
            ExprKind::VariableAddress(variable) => return (format!("&{}", variable.name), UNARY),
            ExprKind::MapAddress(map) => return (format!("&{}", map.name), UNARY),
            ExprKind::Binary(op, left, right) => {
                let binds = binds(*op);
                let (left, right) = (self.expr(left, binds), self.expr(right, binds + 1));
                return (format!("{left} {} {right}", op.sign()), binds);
            }
            ExprKind::Unary(op @ (UnaryOp::PostIncrement | UnaryOp::PostDecrement), inner) => {
                format!("{}{}", self.expr(inner, VALUE), op.sign())
            }
            ExprKind::Unary(op, inner) => {
                let inner = self.expr(inner, UNARY);
                // `- -1` is no `--1`.
                let space =
                    if inner.starts_with('-') && op.sign().ends_with('-') { " " } else { "" };
                return (format!("{}{space}{inner}", op.sign()), UNARY);
            }
            ExprKind::Field(inner, field) => format!("{}.{field}", self.expr(inner, VALUE)),
            ExprKind::TupleIndex(inner, at) => format!("{}.{at}", self.expr(inner, VALUE)),
            ExprKind::Index(inner, at) => {
                format!("{}[{}]", self.expr(inner, VALUE), self.expr(at, 0))
            }
            ExprKind::Cast(of, inner) => {
                let text = format!("({}){}", self.type_of(of), self.expr(inner, UNARY));
                return (text, UNARY);
            }
            ExprKind::Tuple(values) if values.len() == 1 => format!("({},)", self.list(values)),
            ExprKind::Tuple(values) => format!("({})", self.list(values)),
            ExprKind::Record(values) => {
                let values: Vec<String> = values
                    .iter()
                    .map(|value| format!("{}={}", value.name, self.expr(&value.value, 0)))
                    .collect();
                format!("({})", values.join(", "))
            }
            ExprKind::If(branches) if self.is_if(expr) => self.if_text(branches),
            ExprKind::If(branches) => {
                let condition = self.expr(&branches.condition, 1);
                let otherwise = self.expr(&branches.otherwise, 0);
                // `a ?: b` was made `a ? a : b`.
                let text = if branches.then.place == branches.condition.place {
                    format!("{condition} ?: {otherwise}")
                } else {
                    format!("{condition} ? {} : {otherwise}", self.expr(&branches.then, 0))
                };
                return (text, 0);
            }
            ExprKind::Block(block) => self.braces(block),
        };
        (text, VALUE)
    }
}

/// A probe's predicate, which was made an `if` around its block at one place with it.
fn predicate(probe: &Probe) -> (Option<&Expr>, &Block) {
    if let ExprKind::If(branches) = &probe.body.value.kind
        && probe.body.value.place == probe.body.place
        && let ExprKind::Block(body) = &branches.then.kind
    {
        return (Some(&branches.condition), body);
    }
    (None, &probe.body)
}

/// Whether an `if` has a value.
fn gives(branches: &If) -> bool {
    match &branches.then.kind {
        ExprKind::Block(block) => !matches!(block.value.kind, ExprKind::None),
        _ => false,
    }
}

fn binds(op: BinaryOp) -> u8 {
    match op {
        BinaryOp::Or => 1,
        BinaryOp::And => 2,
        BinaryOp::BitOr => 3,
        BinaryOp::BitXor => 4,
        BinaryOp::BitAnd => 5,
        BinaryOp::Eq | BinaryOp::Ne => 6,
        BinaryOp::Le | BinaryOp::Ge | BinaryOp::Lt | BinaryOp::Gt => 7,
        BinaryOp::Left | BinaryOp::Right => 8,
        BinaryOp::Add | BinaryOp::Sub => 9,
        BinaryOp::Mul | BinaryOp::Div | BinaryOp::Mod => 10,
    }
}
