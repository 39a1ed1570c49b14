//! From the tree to rules: what each expression, variable and map has its type from.

use std::collections::{HashMap, HashSet};

use super::lookup::Finder;
use super::rules::How;
use super::solve::{Slot, SlotId, Solver};
use crate::trace::ast::{
    BinaryOp, Block, Call, Element, Expr, ExprId, ExprKind, Iterable, Map, Name, Statement,
    StatementKind, Target, TypeName, TypeOf, TypeOfKind, UnaryOp,
};
use crate::trace::config::Config;
use crate::trace::diagnostic::Diagnostics;
use crate::trace::kind::{Kind, Stack, StackMode, Type};
use crate::trace::params::NamedParameters;
use crate::trace::place::Place;
use crate::trace::points::{Attach, Provider};
use crate::trace::sugar::MapUses;

/// Goes through a script and says the rules.
pub struct Collector<'c, 'a> {
    pub solver: &'c mut Solver<How>,
    pub finder: &'c mut Finder<'a>,
    pub diagnostics: &'c mut Diagnostics,
    pub config: &'c Config,
    pub uses: &'c MapUses,
    pub parameters: &'c NamedParameters,
    /// The probe's point, outside of functions.
    pub point: Option<Attach>,
    /// Variables by the scope that they begin in.
    pub scopes: Vec<(ExprId, HashSet<Name>)>,
    /// Variables whose declaration says their size.
    pub sized: HashSet<(ExprId, Name)>,
    /// The call that an argument stands in.
    pub function: Option<Name>,
    /// Inside `sizeof`, `typeof` and its like.
    pub asking: u32,
    /// Variables and maps that were asked about.
    pub asked: HashSet<Slot>,
    /// Maps whose values may be known by nothing else.
    pub values: Vec<Name>,
    /// `comptime` expressions that are not known yet.
    pub comptimes: Vec<(ExprId, Place)>,
    /// Which variable each use means.
    pub variables: HashMap<ExprId, (ExprId, Name)>,
}

impl Collector<'_, '_> {
    pub(super) fn error(&mut self, place: Place, text: impl Into<String>) {
        self.diagnostics.error(place, text);
    }

    pub(super) fn node(&mut self, expr: &Expr) -> SlotId {
        self.solver.node(expr.id)
    }

    pub(super) fn set(&mut self, expr: &Expr, of: Type) {
        let slot = self.node(expr);
        self.solver.set(slot, of);
    }

    pub(super) fn rule(&mut self, expr: &Expr, inputs: Vec<SlotId>, how: How) {
        let slot = self.node(expr);
        self.solver.rule(slot, inputs, how);
    }

    pub(super) fn value_slot(&mut self, map: &Name) -> SlotId {
        self.solver.slot(Slot::Value(map.clone()))
    }

    pub(super) fn key_slot(&mut self, map: &Name) -> SlotId {
        self.solver.slot(Slot::Key(map.clone()))
    }

    /// The probe's point, with an error outside of one.
    pub(super) fn inside_probe(&mut self, word: &str, place: Place) -> Option<Attach> {
        if self.point.is_none() {
            self.error(place, format!("Builtin {word} not supported outside probe"));
        }
        self.point.clone()
    }

    /// The scope that a variable begins in; this one if it begins here.
    pub(super) fn scope_of(&mut self, name: &Name) -> ExprId {
        let known = self.scopes.iter().find(|(_, names)| names.contains(name));
        if let Some((scope, _)) = known {
            return *scope;
        }
        match self.scopes.last_mut() {
            Some((scope, names)) => {
                names.insert(name.clone());
                *scope
            }
            None => ExprId(0),
        }
    }

    /// A use of a variable: its type is the variable's.
    fn variable(&mut self, id: ExprId, name: &Name) -> SlotId {
        let scope = self.scope_of(name);
        self.variables.insert(id, (scope, name.clone()));
        let slot = Slot::Variable(scope, name.clone());
        if self.asking > 0 {
            self.asked.insert(slot.clone());
        }
        let variable = self.solver.slot(slot);
        let node = self.solver.node(id);
        self.solver.rule(node, vec![variable], How::Same);
        variable
    }

    fn inside(&mut self, scope: ExprId, run: impl FnOnce(&mut Self)) {
        self.scopes.push((scope, HashSet::new()));
        run(self);
        self.scopes.pop();
    }

    /// A block: its type is its value's.
    pub fn block(&mut self, block: &Block) {
        self.inside(block.id, |inner| {
            for statement in &block.statements {
                inner.statement(statement);
            }
            inner.expr(&block.value);
        });
    }

    /// A function.
    pub fn function(&mut self, function: &crate::trace::ast::Function) {
        self.point = None;
        let scope = function.result.id;
        self.inside(scope, |inner| {
            for parameter in &function.parameters {
                let name = parameter.name.clone();
                inner.declare(scope, &name, &parameter.of);
                inner.variable(parameter.of.id, &name);
            }
            inner.block(&function.body);
            inner.type_of(&function.result);
        });
    }

    /// A variable with a type that is written.
    fn declare(&mut self, scope: ExprId, name: &Name, of: &TypeOf) {
        self.scope_of(name);
        let slot = self.solver.slot(Slot::Variable(scope, name.clone()));
        match &of.kind {
            TypeOfKind::Type(written) => {
                let Some(found) = self.written(written, of) else {
                    return;
                };
                if found.size() != 0 {
                    self.sized.insert((scope, name.clone()));
                }
                self.solver.set(slot, found);
            }
            TypeOfKind::Expr(_) => {
                self.sized.insert((scope, name.clone()));
                self.type_of(of);
                let node = self.solver.node(of.id);
                self.solver.rule(slot, vec![node], How::Same);
            }
        }
    }

    /// A type that is written.
    fn written(&mut self, written: &TypeName, of: &TypeOf) -> Option<Type> {
        match self.finder.written(written) {
            Ok(found) => {
                let slot = self.solver.node(of.id);
                self.solver.set(slot, found.clone());
                Some(found)
            }
            Err(name) => {
                self.error(of.place, format!("Cannot resolve unknown type \"{name}\"\n"));
                None
            }
        }
    }

    /// A type, or an expression whose type it is.
    pub(super) fn type_of(&mut self, of: &TypeOf) {
        let expr = match &of.kind {
            TypeOfKind::Type(written) => {
                self.written(written, of);
                return;
            }
            TypeOfKind::Expr(expr) => expr,
        };
        self.asking += 1;
        self.expr(expr);
        self.asking -= 1;
        let slot = self.solver.node(of.id);
        // The type of a whole map is its key's.
        let from = match &expr.kind {
            ExprKind::Map(map) => self.key_slot(&map.name),
            _ => self.node(expr),
        };
        self.solver.rule(slot, vec![from], How::Same);
    }

    fn statement(&mut self, statement: &Statement) {
        let place = statement.place;
        match &statement.kind {
            StatementKind::Expr(expr)
            | StatementKind::Discard(expr)
            | StatementKind::Return(Some(expr)) => self.expr(expr),
            StatementKind::Let(declared) => self.let_variable(declared),
            StatementKind::Assign(target, value) => self.assign(target, value, place),
            StatementKind::Unroll(expr, block) | StatementKind::While(expr, block) => {
                self.expr(expr);
                self.block(block);
            }
            StatementKind::For(variable, over, block) => {
                self.for_loop(variable, over, block);
            }
            StatementKind::Return(None)
            | StatementKind::Break
            | StatementKind::Continue
            | StatementKind::Import(_) => {}
        }
    }

    fn let_variable(&mut self, declared: &crate::trace::ast::Let) {
        let name = &declared.variable.name;
        if let Some(of) = &declared.of {
            let scope = self.scopes.last().map_or(ExprId(0), |(scope, _)| *scope);
            self.declare(scope, name, of);
        }
        self.variable(declared.variable.id, name);
    }

    fn assign(&mut self, target: &Target, value: &Expr, place: Place) {
        match target {
            Target::Element(element) => {
                self.element(element, None);
                self.expr(value);
                let slot = self.value_slot(&element.map.name);
                let input = self.node(value);
                let from = match &value.kind {
                    ExprKind::Element(from) => Some(from.map.name.clone()),
                    _ => None,
                };
                let how = How::SetElement { map: element.map.name.clone(), place, from };
                self.solver.rule(slot, vec![input], how);
            }
            Target::Map(_) => self.expr(value),
            Target::Let(declared) => {
                self.expr(value);
                self.let_variable(declared);
                self.set_variable(&declared.variable, value, place);
            }
            Target::Variable(variable) => {
                self.expr(value);
                self.variable(variable.id, &variable.name);
                self.set_variable(variable, value, place);
            }
        }
    }

    fn set_variable(&mut self, variable: &crate::trace::ast::Variable, value: &Expr, place: Place) {
        let name = variable.name.clone();
        let scope = self.scope_of(&name);
        if self.sized.contains(&(scope, name.clone())) {
            return;
        }
        let slot = self.solver.slot(Slot::Variable(scope, name.clone()));
        let input = self.node(value);
        let how = How::SetVariable { scope, name, place };
        self.solver.rule(slot, vec![input], how);
    }

    fn for_loop(&mut self, variable: &crate::trace::ast::Variable, over: &Iterable, block: &Block) {
        if let Iterable::Map(map) = over
            && self.uses.wrongly_iterated.contains(&map.id)
        {
            let text = format!(
                "{} has no explicit keys (scalar map), and cannot be used for iteration",
                map.name
            );
            self.error(map.place, text);
        }
        let scope = variable.id;
        self.inside(scope, |inner| {
            let slot = inner.variable(variable.id, &variable.name);
            match over {
                Iterable::Map(map) => {
                    inner.map(map);
                    let key = inner.key_slot(&map.name);
                    let value = inner.value_slot(&map.name);
                    let how = How::Pair(map.place);
                    inner.solver.rule(slot, vec![key, value], how);
                }
                Iterable::Range(first, last, place) => {
                    inner.expr(first);
                    inner.expr(last);
                    let inputs = vec![inner.node(first), inner.node(last)];
                    inner.solver.rule(slot, inputs, How::Range(*place));
                }
            }
            inner.block(block);
        });
    }

    /// A map as a whole.
    pub(super) fn map(&mut self, map: &Map) {
        let name = &map.name;
        if self.uses.wrongly_plain.contains(&map.id) {
            let text = format!(
                "{name} used as a map without an explicit key (scalar map), previously used \
                 with an explicit key (non-scalar map)"
            );
            self.error(map.place, text);
            return;
        }
        self.values.push(name.clone());
        if let Some(parameter) = self.parameters.get(name) {
            let (key, value) = (self.key_slot(name), self.value_slot(name));
            self.solver.set(value, parameter.of.clone());
            self.solver.set(key, Type::int64());
        }
        if self.asking > 0 {
            self.asked.insert(Slot::Key(name.clone()));
            self.asked.insert(Slot::Value(name.clone()));
        }
    }

    /// `@m[k]`
    fn element(&mut self, element: &Element, expr: Option<&Expr>) {
        self.map(&element.map);
        self.expr(&element.key);
        let name = &element.map.name;
        if self.uses.wrongly_keyed.contains(&element.map.id) {
            let text = format!(
                "{name} used as a map with an explicit key (non-scalar map), previously used \
                 without an explicit key (scalar map)"
            );
            self.error(element.place, text);
            return;
        }
        let key = self.key_slot(name);
        let input = self.node(&element.key);
        let how = How::Key { map: name.clone(), place: element.place, checked: true };
        self.solver.rule(key, vec![input], how);
        if let Some(expr) = expr {
            let value = self.value_slot(name);
            self.rule(expr, vec![value], How::Same);
        }
    }

    /// An expression.
    pub fn expr(&mut self, expr: &Expr) {
        let place = expr.place;
        match &expr.kind {
            ExprKind::None => {}
            ExprKind::Int(value, _) => self.set(expr, literal(*value)),
            ExprKind::Negative(value) => self.set(expr, negative(*value)),
            ExprKind::Bool(_) => self.set(expr, Type::bool()),
            ExprKind::Str(bytes) => {
                let of = Type::string(bytes.len() as u32 + 1);
                self.set(expr, of.at(crate::trace::kind::Space::Kernel));
            }
            ExprKind::Positional(_) => self.set(expr, Type::int64()),
            ExprKind::PositionalCount => self.set(expr, Type::uint64()),
            ExprKind::Ident(word) => self.word(expr, word),
            ExprKind::Builtin(word) => self.builtin(expr, word),
            ExprKind::Call(call) => self.call_expr(expr, call),
            ExprKind::Sizeof(of) => {
                self.type_of(of);
                let input = self.solver.node(of.id);
                self.rule(expr, vec![input], How::Size);
            }
            ExprKind::Offsetof(of, fields) => {
                self.type_of(of);
                let input = self.solver.node(of.id);
                let how = How::Offset { fields: fields.clone(), place };
                self.rule(expr, vec![input], how);
            }
            ExprKind::Typeinfo(of) => {
                self.asking += 1;
                self.type_of(of);
                self.asking -= 1;
                let input = self.solver.node(of.id);
                self.rule(expr, vec![input], How::Info);
            }
            ExprKind::TypeArgument(_) => {}
            ExprKind::Comptime(inner) => {
                self.expr(inner);
                self.comptimes.push((expr.id, place));
            }
            ExprKind::Map(map) => self.map(map),
            ExprKind::Element(element) => self.element(element, Some(expr)),
            ExprKind::Variable(name) => {
                self.variable(expr.id, name);
            }
            ExprKind::VariableAddress(variable) => {
                self.variable(variable.id, &variable.name);
                let input = self.solver.node(variable.id);
                self.rule(expr, vec![input], How::Address);
            }
            ExprKind::MapAddress(map) => {
                self.map(map);
                let input = self.value_slot(&map.name);
                self.rule(expr, vec![input], How::Address);
            }
            ExprKind::Binary(op, left, right) => self.binary(expr, *op, left, right),
            ExprKind::Unary(op, inner) => self.unary(expr, *op, inner),
            ExprKind::Field(inner, field) => {
                self.expr(inner);
                let input = self.node(inner);
                let how = How::Field { field: field.clone(), place };
                self.rule(expr, vec![input], how);
            }
            ExprKind::TupleIndex(inner, at) => {
                self.expr(inner);
                let input = self.node(inner);
                self.rule(expr, vec![input], How::Part(*at));
            }
            ExprKind::Index(of, at) => {
                self.expr(of);
                self.expr(at);
                let input = self.node(of);
                let how = How::Index { at: at.as_int(), place };
                self.rule(expr, vec![input], how);
            }
            ExprKind::Cast(of, inner) => self.cast(expr, of, inner),
            ExprKind::Tuple(values) => {
                let mut inputs = Vec::new();
                for value in values {
                    self.expr(value);
                    inputs.push(self.node(value));
                }
                if inputs.is_empty() {
                    self.set(expr, Type::tuple(Vec::new()));
                }
                self.rule(expr, inputs, How::Tuple);
            }
            ExprKind::Record(values) => {
                let mut inputs = Vec::new();
                for value in values {
                    self.expr(&value.value);
                    inputs.push(self.node(&value.value));
                }
                let names = values.iter().map(|value| value.name.clone()).collect();
                self.rule(expr, inputs, How::Named(names));
            }
            ExprKind::If(branches) => {
                if let ExprKind::Comptime(inner) = &branches.condition.kind {
                    // Which branch there is is not known yet.
                    self.expr(inner);
                    let condition = &branches.condition;
                    self.comptimes.push((condition.id, condition.place));
                    return;
                }
                self.expr(&branches.condition);
                self.expr(&branches.then);
                self.expr(&branches.otherwise);
                for (branch, first) in [(&branches.then, true), (&branches.otherwise, false)] {
                    let input = self.node(branch);
                    self.rule(expr, vec![input], How::Branch { place, first });
                }
            }
            ExprKind::Block(block) => {
                self.block(block);
                let input = self.node(&block.value);
                self.rule(expr, vec![input], How::Same);
            }
        }
    }

    fn binary(&mut self, expr: &Expr, op: BinaryOp, left: &Expr, right: &Expr) {
        self.expr(left);
        self.expr(right);
        let inputs = vec![self.node(left), self.node(right)];
        let how = How::Binary { op, place: expr.place, left: left.place, right: right.place };
        self.rule(expr, inputs, how);
    }

    fn unary(&mut self, expr: &Expr, op: UnaryOp, inner: &Expr) {
        self.expr(inner);
        let place = expr.place;
        let input = self.node(inner);
        if op.steps() {
            let node = self.node(expr);
            match &inner.kind {
                ExprKind::Element(element) => {
                    let map = element.map.name.clone();
                    let value = self.value_slot(&map);
                    let how = How::StepElement { map, place };
                    self.solver.rule(value, vec![node], how);
                    self.rule(expr, vec![input], How::Step(op));
                    return;
                }
                ExprKind::Variable(name) => {
                    let name = name.clone();
                    let scope = self.scope_of(&name);
                    let sized = self.sized.contains(&(scope, name.clone()));
                    let slot = self.solver.slot(Slot::Variable(scope, name.clone()));
                    let how = How::StepVariable { scope, name, place, sized };
                    self.solver.rule(slot, vec![node], how);
                    let how = How::StepOf { slot, sized, op };
                    self.rule(expr, vec![input], how);
                    return;
                }
                _ => {
                    let text =
                        format!("The {} operator must be applied to a map or variable", op.sign());
                    self.error(place, text);
                }
            }
        }
        self.rule(expr, vec![input], How::Unary { op, place });
    }

    fn cast(&mut self, expr: &Expr, of: &TypeOf, inner: &Expr) {
        self.expr(inner);
        let provider = self.point.as_ref().map(|point| point.provider);
        let input = self.node(inner);
        self.rule(expr, vec![input], How::CastOf(provider));
        match &of.kind {
            TypeOfKind::Type(written) => {
                let Some(mut found) = self.written(written, of) else {
                    return;
                };
                let from = self.solver.get(input).clone();
                if !from.is_none() {
                    found = super::rules::cast_to(&found, &from, provider);
                }
                self.set(expr, found);
            }
            TypeOfKind::Expr(_) => {
                self.type_of(of);
                let to = self.solver.node(of.id);
                let how = How::CastTo { inner: input, provider };
                self.rule(expr, vec![to], how);
            }
        }
    }

    /// A word alone: a constant, a type's name, or an argument that only some functions
    /// understand.
    fn word(&mut self, expr: &Expr, word: &Name) {
        let constant = self.finder.script.constants.get(word);
        let of = if let Some((_, name)) = constant {
            if name.is_empty() { Type::uint64() } else { Type::enumeration(name.clone(), 8) }
        } else if let Some(id) = self.finder.records.find(word) {
            self.finder.records.type_of(id)
        } else if self.function.as_deref() == Some("nsecs") {
            match super::calls::clock(word) {
                Some(clock) => Type { clock, ..Kind::TimestampMode.into() },
                None => {
                    self.error(expr.place, format!("Invalid timestamp mode: {word}"));
                    Type::none()
                }
            }
        } else if let Some(mode) = StackMode::of(word) {
            Kind::Stack(Stack { kernel: true, limit: 127, mode }).into()
        } else if self.asking > 0 {
            crate::trace::words::type_of_word(word)
                .or_else(|| self.finder.named(word))
                .unwrap_or_default()
        } else {
            Type::none()
        };
        self.set(expr, of);
    }

    /// Where pointers of this probe point.
    pub(super) fn space(&self) -> crate::trace::kind::Space {
        self.point.as_ref().map(|point| point.provider.space()).unwrap_or_default()
    }

    /// The provider of this probe.
    pub(super) fn provider(&self) -> Option<Provider> {
        self.point.as_ref().map(|point| point.provider)
    }

    fn call_expr(&mut self, expr: &Expr, call: &Call) {
        let before = self.function.replace(call.function.clone());
        for argument in &call.arguments {
            self.expr(argument);
        }
        self.call(expr, call);
        self.function = before;
    }
}

/// The smallest type of a literal, whose sign is not decided.
pub fn literal(value: u64) -> Type {
    let size = if value <= i8::MAX as u64 {
        1
    } else if value <= i16::MAX as u64 {
        2
    } else if value <= i32::MAX as u64 {
        4
    } else if value <= i64::MAX as u64 {
        8
    } else {
        return Type::uint64();
    };
    Type { flexible: true, ..Type::int(size, true) }
}

/// The smallest type of a literal below 0.
fn negative(value: i64) -> Type {
    let size = if i8::try_from(value).is_ok() {
        1
    } else if i16::try_from(value).is_ok() {
        2
    } else if i32::try_from(value).is_ok() {
        4
    } else {
        8
    };
    Type::int(size, true)
}
