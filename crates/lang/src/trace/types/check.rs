//! What is checked when all types are known: arguments of functions, formats, casts,
//! conditions, keys of maps, and what a type does not allow.

use std::collections::{HashMap, HashSet};

use super::Typed;
use crate::trace::ast::{
    BinaryOp, Block, Call, Element, Expr, ExprKind, Iterable, Let, Map, MapDeclaration, Name,
    Statement, StatementKind, Target, TypeOf, TypeOfKind,
};
use crate::trace::c::Definitions;
use crate::trace::checked::MapKind;
use crate::trace::diagnostic::{Diagnostic, Diagnostics};
use crate::trace::kind::{Aggregate, Clock, Kind, Type};
use crate::trace::names;
use crate::trace::place::Place;
use crate::trace::unit::Unit;
use crate::trace::world::{Feature, World};
use crate::trace::{arguments, format};

/// Kinds of map by their words.
pub const MAP_KINDS: [(&str, MapKind); 5] = [
    ("hash", MapKind::Hash),
    ("lruhash", MapKind::LruHash),
    ("percpuarray", MapKind::PercpuArray),
    ("percpuhash", MapKind::PercpuHash),
    ("percpulruhash", MapKind::PercpuLruHash),
];

/// The kind that a word names.
pub fn map_kind(word: &str) -> Option<MapKind> {
    MAP_KINDS.iter().find(|(name, _)| *name == word).map(|(_, kind)| *kind)
}

/// Whether a kind keeps values for each processor.
fn is_percpu(kind: MapKind) -> bool {
    matches!(kind, MapKind::PercpuHash | MapKind::PercpuArray | MapKind::PercpuLruHash)
}

/// Checks a whole unit.
pub(super) fn check(unit: &mut Unit<'_>, typed: &Typed, c: &Definitions) {
    let mut checker = Checker {
        typed,
        c,
        world: unit.world,
        max_strlen: unit.config.max_strlen,
        diagnostics: &mut unit.diagnostics,
        in_probe: false,
        loops: 0,
        declared: HashMap::new(),
        used: HashSet::new(),
    };
    for map in &unit.maps {
        checker.map_declaration(map);
    }
    for function in &unit.functions {
        for parameter in &function.parameters {
            checker.type_of(&parameter.of);
            if typed.of(parameter.of.id).is_none() {
                checker.error(parameter.place, "Unable to resolve argument type.");
            }
        }
        checker.block(&function.body);
        checker.type_of(&function.result);
        if typed.of(function.result.id).is_none() {
            checker.error(function.result.place, "Unable to resolve suitable return type.");
        }
    }
    checker.in_probe = true;
    for probe in &unit.probes {
        checker.block(&probe.body);
    }
    let used = checker.used;
    for map in &unit.maps {
        if !used.contains(&map.name) {
            let text = format!("Unused map: {}", map.name);
            unit.diagnostics.warning(map.place, text);
        }
    }
}

struct Checker<'c> {
    typed: &'c Typed,
    c: &'c Definitions,
    world: &'c dyn World,
    max_strlen: u64,
    diagnostics: &'c mut Diagnostics,
    in_probe: bool,
    loops: u32,
    declared: HashMap<Name, MapKind>,
    used: HashSet<Name>,
}

impl Checker<'_> {
    fn of(&self, expr: &Expr) -> Type {
        self.typed.of(expr.id)
    }

    fn full(&self, of: &Type) -> String {
        self.typed.full(of)
    }

    fn error(&mut self, place: Place, text: impl Into<String>) -> &mut Diagnostic {
        self.diagnostics.error(place, text)
    }

    fn map_declaration(&mut self, map: &MapDeclaration) {
        match map_kind(&map.kind) {
            Some(kind) => {
                self.declared.entry(map.name.clone()).or_insert(kind);
            }
            None => {
                let kinds: Vec<&str> = MAP_KINDS.iter().map(|(name, _)| *name).collect();
                let hint = format!("Valid map types: {}", kinds.join(", "));
                self.error(map.place, format!("Invalid bpf map type: {}", map.kind)).hint(hint);
            }
        }
    }

    fn map(&mut self, map: &Map) {
        self.used.insert(map.name.clone());
        let value = self.typed.value(&map.name);
        if value.is_none() || self.typed.key(&map.name).is_none() {
            self.error(map.place, format!("Undefined map: {}", map.name));
        }
        let Some(declared) = self.declared.get(&map.name).copied() else {
            return;
        };
        if is_percpu(declared) != value.is_aggregate() || declared == MapKind::PercpuArray {
            let word = |kind| {
                let found = MAP_KINDS.iter().find(|(_, one)| *one == kind);
                found.map_or("unknown", |(name, _)| name)
            };
            let needed = if value.is_aggregate() { MapKind::PercpuHash } else { MapKind::Hash };
            let text = format!(
                "Incompatible map types. Type from declaration: {}. Type from value/key type: {}",
                word(declared),
                word(needed)
            );
            self.error(map.place, text);
        }
    }

    fn block(&mut self, block: &Block) {
        for statement in &block.statements {
            self.statement(statement);
        }
        self.expr(&block.value);
    }

    fn type_of(&mut self, of: &TypeOf) {
        if let TypeOfKind::Expr(expr) = &of.kind {
            self.expr(expr);
        }
    }

    fn declared_variable(&mut self, declared: &Let) {
        let Some(of) = &declared.of else {
            return;
        };
        self.type_of(of);
        let found = self.typed.of(of.id);
        if found.is_none() {
            self.error(of.place, "Type cannot be resolved: still none");
        } else if found.is_aggregate() || found.kind == Kind::Void {
            let text = format!("Invalid variable declaration type: {}", self.full(&found));
            self.error(of.place, text);
        }
    }

    fn statement(&mut self, statement: &Statement) {
        let place = statement.place;
        match &statement.kind {
            StatementKind::Expr(expr) => {
                self.expr(expr);
                let steps = matches!(&expr.kind, ExprKind::Unary(op, _) if op.steps());
                let of = self.of(expr);
                if !steps && !matches!(of.kind, Kind::None | Kind::Void) {
                    self.diagnostics.warning(place, "Return value discarded.");
                }
            }
            StatementKind::Discard(expr) => self.expr(expr),
            StatementKind::Let(declared) => self.declared_variable(declared),
            StatementKind::Assign(target, value) => self.assign(target, value, place),
            StatementKind::Unroll(expr, block) => {
                self.expr(expr);
                self.block(block);
            }
            StatementKind::While(condition, block) => {
                self.expr(condition);
                self.loops += 1;
                self.block(block);
                self.loops -= 1;
            }
            StatementKind::For(_, over, block) => {
                match over {
                    Iterable::Map(map) => self.map(map),
                    Iterable::Range(first, last, _) => {
                        if !self.world.has(Feature::Loop) {
                            self.error(place, "Missing required kernel feature: loop");
                        }
                        self.expr(first);
                        self.expr(last);
                    }
                }
                self.loops += 1;
                self.block(block);
                self.loops -= 1;
                self.no_context(block);
            }
            StatementKind::Return(Some(value)) => {
                self.expr(value);
                let of = self.of(value);
                if self.in_probe && !of.is_int() {
                    let text = format!(
                        "Probe return values can only be integers. Found {}",
                        self.full(&of)
                    );
                    self.error(place, text);
                }
            }
            StatementKind::Return(None)
            | StatementKind::Break
            | StatementKind::Continue
            | StatementKind::Import(_) => {}
        }
    }

    /// A loop's body has no context to read.
    fn no_context(&mut self, block: &Block) {
        struct Finds<'f> {
            typed: &'f Typed,
            found: Vec<(Place, Name)>,
        }
        impl crate::trace::walk::Visitor for Finds<'_> {
            fn expr(&mut self, expr: &mut Expr) {
                if let ExprKind::Builtin(word) = &expr.kind
                    && self.typed.of(expr.id).context
                {
                    self.found.push((expr.place, word.clone()));
                }
                crate::trace::walk::expr_parts(self, expr);
            }
        }
        let mut finds = Finds { typed: self.typed, found: Vec::new() };
        crate::trace::walk::Visitor::block(&mut finds, &mut block.clone());
        for (place, word) in finds.found {
            self.error(place, format!("'{word}' builtin is not allowed in a for-loop"));
        }
    }

    fn assign(&mut self, target: &Target, value: &Expr, place: Place) {
        match target {
            Target::Element(element) => {
                self.element(element);
                self.expr(value);
            }
            Target::Map(_) => self.expr(value),
            Target::Let(declared) => {
                self.expr(value);
                self.declared_variable(declared);
                if self.typed.of(declared.variable.id).is_none() {
                    self.error(place, "Invalid expression for assignment");
                }
            }
            Target::Variable(variable) => {
                self.expr(value);
                if self.typed.of(variable.id).is_none() {
                    self.error(place, "Invalid expression for assignment");
                }
            }
        }
    }

    fn element(&mut self, element: &Element) {
        self.map(&element.map);
        self.expr(&element.key);
        let place = element.key.place;
        let of = self.of(&element.key);
        self.key_part(&of, place);
        if matches!(of.kind, Kind::None | Kind::Void) {
            let text = format!("Invalid map key type: {}", self.full(&of));
            self.error(place, text);
        }
        if of.is_tuple() {
            for part in of.parts() {
                self.key_part(part, place);
            }
        }
    }

    fn key_part(&mut self, of: &Type, place: Place) {
        if of.is_pointer() && of.context {
            self.error(place, "context cannot be part of a map key");
        }
        let stats = matches!(of.kind, Kind::Aggregate(Aggregate::Stats { .. }));
        if of.is_histogram() || stats {
            let text = format!("{} cannot be part of a map key", self.full(of));
            self.error(place, text);
        }
    }

    fn expr(&mut self, expr: &Expr) {
        let place = expr.place;
        match &expr.kind {
            ExprKind::Ident(word) => {
                let known = matches!(&**word, "curr_ns" | "init" | "current_pid" | "current_tid");
                if !known && self.of(expr).is_none() {
                    self.error(place, format!("Unknown identifier: '{word}'"));
                }
            }
            ExprKind::Call(call) => self.call(call, expr),
            ExprKind::Sizeof(of)
            | ExprKind::Offsetof(of, _)
            | ExprKind::Typeinfo(of)
            | ExprKind::TypeArgument(of) => self.type_of(of),
            ExprKind::Comptime(inner) | ExprKind::Unary(_, inner) => self.expr(inner),
            ExprKind::Map(map) => self.map(map),
            ExprKind::MapAddress(map) => self.map(map),
            ExprKind::Element(element) => self.element(element),
            ExprKind::Variable(_) if self.of(expr).is_none() => {
                self.error(place, "Could not resolve the type of this variable");
            }
            ExprKind::VariableAddress(variable) if self.of(expr).is_none() => {
                let text = format!("No type available for variable {}", variable.name);
                self.error(place, text);
            }
            ExprKind::Binary(op, left, right) => self.binary(*op, left, right, place),
            ExprKind::Field(inner, field) => self.field(inner, field, place),
            ExprKind::TupleIndex(inner, at) => {
                self.expr(inner);
                let of = self.of(inner);
                if !of.is_tuple() {
                    let text = format!(
                        "Can not access index '{at}' on expression of type '{}'",
                        self.full(&of)
                    );
                    self.error(place, text);
                } else if *at >= of.parts().len() as u64 {
                    let text = format!(
                        "Invalid tuple index: {at}. Found {} elements in tuple.",
                        of.parts().len()
                    );
                    self.error(place, text);
                }
            }
            ExprKind::Index(of, at) => self.index(of, at, place),
            ExprKind::Cast(of, inner) => self.cast(expr, of, inner),
            ExprKind::Tuple(values) => {
                for value in values {
                    self.expr(value);
                    self.no_histogram(value, "a tuple");
                }
            }
            ExprKind::Record(values) => {
                for value in values {
                    self.expr(&value.value);
                    self.no_histogram(&value.value, "a record");
                }
            }
            ExprKind::If(branches) => {
                self.expr(&branches.condition);
                self.expr(&branches.then);
                self.expr(&branches.otherwise);
                let of = self.of(&branches.condition);
                if !(of.is_int() || of.is_pointer() || of.kind == Kind::Bool) {
                    let text = format!("Invalid condition: {}", names::base(&of));
                    self.error(place, text);
                }
            }
            ExprKind::Block(block) => self.block(block),
            _ => {}
        }
    }

    fn no_histogram(&mut self, value: &Expr, what: &str) {
        let of = self.of(value);
        if of.is_histogram() {
            let text = format!("Map type {} cannot exist inside {what}.", self.full(&of));
            self.error(value.place, text);
        }
    }

    fn binary(&mut self, op: BinaryOp, left: &Expr, right: &Expr, place: Place) {
        self.expr(left);
        self.expr(right);
        let (a, b) = (self.of(left), self.of(right));
        let number = |of: &Type| of.is_castable_aggregate() || of.is_int() || of.kind == Kind::Bool;
        if (number(&a) && number(&b)) || a.is_pointer() || b.is_pointer() {
            return;
        }
        let equality = matches!(op, BinaryOp::Eq | BinaryOp::Ne);
        let sign = op.sign();
        if let (Kind::Array(of, m), Kind::Array(_, n)) = (&a.kind, &b.kind) {
            if !equality {
                self.error(place, format!("The {sign} operator cannot be used on arrays."));
            }
            if m != n {
                self.error(place, "Only arrays of same size support comparison operators.");
            }
            if !of.is_int() || a != b {
                self.error(
                    place,
                    "Only arrays of same sized integer support comparison operators.",
                );
            }
            return;
        }
        let (full_a, full_b) = (self.full(&a), self.full(&b));
        let mismatched = !super::promote::compatible(&a, &b)
            || ((a.is_tuple() || a.is_named())
                && equality
                && super::promote::promote(&a, &b).is_none());
        if mismatched {
            let text = format!("Type mismatch for '{sign}': comparing {full_a} with {full_b}");
            self.error(place, text)
                .context(left.place, format!("left ({full_a})"))
                .context(right.place, format!("right ({full_b})"));
        } else if !equality {
            let text = format!(
                "The {sign} operator can not be used on expressions of types {full_a}, {full_b}"
            );
            self.error(place, text);
        }
    }

    fn field(&mut self, inner: &Expr, field: &Name, place: Place) {
        self.expr(inner);
        let mut of = self.of(inner);
        while let Some(to) = of.pointee() {
            of = to;
        }
        let Kind::Record { id, .. } = of.kind else {
            return;
        };
        let record = self.typed.records.get(id);
        let common = record.tracepoint
            && record.fields.iter().any(|one| one.name == *field && one.offset < 8);
        if common {
            self.error(place, "BPF does not support accessing common tracepoint fields");
        }
    }

    fn index(&mut self, of: &Expr, at: &Expr, place: Place) {
        self.expr(of);
        self.expr(at);
        let of = self.of(of);
        if of.pointee().is_some_and(|to| to.size() == 0) {
            self.error(
                place,
                "The array index operator [] cannot be used on a pointer to an unsized type \
                 (void *).",
            );
        }
        if let Some(at) = at.as_int() {
            let count = match of.kind {
                Kind::Array(_, count) | Kind::String(count) => count,
                _ => 0,
            };
            if count != 0 && at >= u64::from(count) {
                let text = format!("the index {at} is out of bounds for array of size {count}");
                self.error(place, text);
            }
            return;
        }
        let by = self.of(at);
        if !by.is_int() || (by.is_signed() && !by.flexible) {
            let text = format!(
                "The array index operator [] only accepts non-negative integer indices. Got: {}",
                self.full(&by)
            );
            self.error(place, text);
        }
    }

    fn cast(&mut self, expr: &Expr, written: &TypeOf, inner: &Expr) {
        self.expr(inner);
        self.type_of(written);
        let place = expr.place;
        let (to, from) = (self.of(expr), self.of(inner));
        if to.is_none() {
            self.error(place, "Incomplete cast, unknown type");
            return;
        }
        let (full_to, full_from) = (self.full(&to), self.full(&from));
        if from.is_record() {
            self.error(place, format!("Cannot cast from C type \"{full_from}\""));
            return;
        }
        if from.is_none() {
            self.error(place, format!("Cannot cast from \"{full_from}\" type"));
            return;
        }
        if to == from {
            let text = format!("Unnecessary cast: expression is already of type {full_from}");
            self.diagnostics.warning(place, text);
            return;
        }
        let cannot = format!("Cannot cast from \"{full_from}\" to \"{full_to}\"");
        if let (Kind::String(wide), Kind::String(narrow)) = (&to.kind, &from.kind) {
            if wide < narrow {
                self.error(place, cannot);
            }
            return;
        }
        if to.kind == Kind::Username && from.is_int() {
            return;
        }
        self.cast_shape(&to, &from, place, &cannot);
        self.cast_enumeration(&to, inner, place);
        let truth = to.kind == Kind::Bool;
        if !from.is_pointer() && !from.is_castable_aggregate() && !from.is_int() {
            if truth && !from.is_string() {
                self.error(place, cannot.clone());
            }
            if to.is_int() && from.kind != Kind::Bool && !from.context && !from.is_array() {
                self.error(place, cannot.clone());
            }
        }
        if from.is_array() && (!to.is_int() || to.size() != from.size()) {
            self.error(place, cannot);
        }
    }

    fn cast_shape(&mut self, to: &Type, from: &Type, place: Place, cannot: &str) {
        let simple = to.is_int() || to.is_pointer() || to.kind == Kind::Bool;
        let Kind::Array(element, count) = &to.kind else {
            if !simple {
                self.error(place, cannot);
            }
            return;
        };
        let plain = element.is_int() || element.kind == Kind::Bool;
        if !plain {
            self.error(place, cannot);
        }
        if *count == 0 {
            if element.size() == 0 {
                self.error(place, "Could not determine size of the array");
            } else if !from.size().is_multiple_of(element.size()) {
                self.error(
                    place,
                    "Cannot determine array size: the element size is incompatible with the \
                     cast integer size",
                );
            }
        }
        let wrong = if from.is_int() {
            let widens = to.size() <= 8 && to.size() > from.size();
            plain && !widens && to.size() != from.size()
        } else {
            (from.kind != Kind::Bool && !from.is_string()) || to.size() != from.size()
        };
        if wrong {
            self.error(place, cannot);
        }
    }

    fn cast_enumeration(&mut self, to: &Type, inner: &Expr, place: Place) {
        let Kind::Int { enumeration: Some(name), .. } = &to.kind else {
            return;
        };
        let known = self.c.enums.get(name).cloned();
        let Some(known) = known.or_else(|| self.world.enumeration(name)) else {
            self.error(place, format!("Unknown enum: {name}"));
            return;
        };
        if let Some(value) = inner.as_int()
            && !known.values.iter().any(|(_, one)| *one as u64 == value)
        {
            let text = format!("Enum: {name} doesn't contain a variant value of {value}");
            self.error(place, text);
        }
    }

    fn call(&mut self, call: &Call, expr: &Expr) {
        for argument in &call.arguments {
            self.expr(argument);
        }
        let place = expr.place;
        let mut fits = true;
        for (at, wanted) in arguments::wanted(&call.function).iter().enumerate() {
            if let (Some(argument), Some(wanted)) = (call.arguments.get(at), wanted) {
                fits = self.argument(call, argument, *wanted, place);
            }
        }
        if fits {
            self.special(call, expr);
        }
    }

    fn argument(
        &mut self,
        call: &Call,
        argument: &Expr,
        wanted: arguments::Wanted,
        place: Place,
    ) -> bool {
        let of = self.of(argument);
        let base = names::base(&of);
        let right = base == wanted.base;
        let function = &call.function;
        if wanted.literal && (!argument.is_literal() || !right) {
            let text = format!("{function}() expects a {} literal ({base} provided)", wanted.base);
            self.error(place, text);
            if wanted.base == "string"
                && let ExprKind::Positional(number) = argument.kind
            {
                let text = format!("Use str(${number}) to treat ${number} as a string");
                self.error(argument.place, text);
            }
            return false;
        }
        if !right {
            let text =
                format!("{function}() only supports {} arguments ({base} provided)", wanted.base);
            self.error(place, text);
        }
        right
    }

    fn special(&mut self, call: &Call, expr: &Expr) {
        let place = expr.place;
        let function = &*call.function;
        let Some(first) = call.arguments.first() else {
            return;
        };
        let of = self.of(first);
        let base = names::base(&of);
        let is = |kinds: &[&str]| kinds.contains(&base);
        match function {
            "str" if !is(&["string", "int", "pointer"]) => {
                let text = format!(
                    "str() expects a string, integer or a pointer type as first argument ({} \
                     provided)",
                    self.full(&of)
                );
                self.error(place, text);
            }
            "buf" => self.buf(call, &of, place),
            "ksym" | "usym" if !is(&["int", "pointer"]) => {
                let text = format!("{function}() expects an integer or pointer argument");
                self.error(place, text);
            }
            "ntop" => self.ntop(call, place),
            "join" if !is(&["int", "pointer"]) => {
                let text = format!("() only supports int or pointer arguments ({base} provided)");
                self.error(place, text);
            }
            "percpu_kaddr" => {
                let symbol = first.as_text().unwrap_or_default();
                if self.world.variable(&symbol).is_none() {
                    let text = format!("Could not resolve variable \"{symbol}\" from BTF");
                    self.error(place, text);
                }
            }
            "printf" | "errorf" | "warnf" | "system" | "cat" | "debugf" => {
                self.formatted(call, place);
            }
            "print" => self.print(call, place),
            "stack_len" if !of.is_stack() => {
                self.error(place, "len() expects a map or stack to be provided");
            }
            "strftime" => {
                if self.of(expr).clock == Clock::Monotonic {
                    self.error(place, "strftime() can not take a monotonic timestamp");
                }
                if matches!(call.arguments[1].kind, ExprKind::Negative(_)) {
                    self.error(place, "strftime() does not accept negative timestamps");
                }
            }
            "path" => {
                if !self.world.has(Feature::DPath) {
                    self.error(place, "BPF_FUNC_d_path not available for your kernel version");
                }
                if !is(&["c_type", "pointer"]) {
                    let text = format!(
                        "path() only supports pointer or C type argument ({base} provided)"
                    );
                    self.error(place, text);
                }
            }
            "kptr" | "uptr" if !is(&["int", "pointer"]) => {
                let text = format!(
                    "{function}() only supports integer or pointer arguments ({base} provided)"
                );
                self.error(place, text);
            }
            "macaddr" => self.macaddr(first, &of, place),
            "nsecs"
                if self.of(expr).clock == Clock::Tai && !self.world.has(Feature::KtimeGetTaiNs) =>
            {
                self.error(place, "Kernel does not support tai timestamp, please try sw_tai");
            }
            "socket_cookie" => {
                let to = of.pointee().unwrap_or_default();
                let name = match &to.kind {
                    Kind::Record { name, .. } => format!("'{name} *'"),
                    _ => base.to_owned(),
                };
                if name != "'struct sock *'" {
                    let text = format!(
                        "socket_cookie() only supports 'struct sock *' as the argument ({name} \
                         provided)"
                    );
                    self.error(place, text);
                }
            }
            "fail" => self.fail(call, place),
            _ => {}
        }
    }

    fn buf(&mut self, call: &Call, of: &Type, place: Place) {
        if self.max_strlen > u64::from(u32::MAX) {
            let text = format!(
                "BPFTRACE_MAX_STRLEN too large to use on buffer ({} > {})",
                self.max_strlen,
                u32::MAX
            );
            self.error(place, text);
        }
        let base = names::base(of);
        if !matches!(base, "int" | "string" | "pointer" | "array") {
            let text =
                format!("buf() expects an integer, string, or array argument but saw {base}");
            self.error(place, text);
        }
        match call.arguments.get(1).map(|length| &length.kind) {
            None if !of.is_array() => {
                let text = format!("buf() expects a length argument for non-array type {base}");
                self.error(place, text);
            }
            Some(ExprKind::Negative(length)) => {
                let text = format!("bufcannot use negative length ({length})");
                self.error(place, text);
            }
            _ => {}
        }
    }

    fn ntop(&mut self, call: &Call, place: Place) {
        let [.., address] = &call.arguments[..] else {
            return;
        };
        if call.arguments.len() == 2 {
            let family = arguments::Wanted { base: "int", literal: false };
            self.argument(call, &call.arguments[0], family, place);
        }
        let of = self.of(address);
        if !of.is_int() && !of.is_string() && !of.is_array() {
            let text =
                format!("ntop() expects an integer or array argument, got {}", names::base(&of));
            self.error(place, text);
        }
        if (of.is_array() || of.is_string()) && !matches!(of.size(), 4 | 16) {
            self.error(place, "ntop() argument must be 4 or 16 bytes in size");
        }
    }

    fn formatted(&mut self, call: &Call, place: Place) {
        let ExprKind::Str(bytes) = &call.arguments[0].kind else {
            return;
        };
        let format = format::parse(bytes);
        let given: Vec<Type> =
            call.arguments[1..].iter().map(|argument| self.of(argument)).collect();
        if let Some(text) = format::mismatch(&format, &given, &self.typed.records) {
            self.error(place, text);
        }
        if &*call.function != "debugf" {
            return;
        }
        let conversions = format::conversions(&format);
        for (at, (conversion, of)) in conversions.iter().zip(&given).enumerate() {
            let letter = &conversion.letter;
            let wanted = match &**letter {
                "d" | "u" | "x" | "p" => "int",
                "s" => "string",
                _ => {
                    let text = format!("Invalid format specifier for `debugf`: {letter}");
                    self.error(call.arguments[0].place, text);
                    continue;
                }
            };
            if names::base(of) != wanted {
                let text = format!("Type does not match format specifier: {letter}");
                self.error(call.arguments[at + 1].place, text);
            }
        }
    }

    fn print(&mut self, call: &Call, place: Place) {
        let count = call.arguments.len();
        if let ExprKind::Map(map) = &call.arguments[0].kind {
            if self.loops > 0 {
                self.diagnostics.warning(
                    place,
                    "Due to it's asynchronous nature using 'print()' in a loop can lead to \
                     unexpected behavior. The map will likely be updated before the runtime can \
                     'print' it.",
                );
            }
            let value = self.typed.value(&map.name);
            let stats = matches!(value.kind, Kind::Aggregate(Aggregate::Stats { .. }));
            if stats && count > 1 {
                self.diagnostics.warning(
                    place,
                    "print()'s top and div arguments are ignored when used on stats() maps.",
                );
            }
            return;
        }
        let of = self.of(&call.arguments[0]);
        let full = self.full(&of);
        let hidden =
            matches!(of.kind, Kind::None | Kind::TimestampMode) || (of.context && !of.arguments);
        if of.is_histogram() {
            let text = format!(
                "Map type {full} cannot print the value of individual keys. You must print the \
                 whole map."
            );
            self.error(place, text);
        } else if hidden {
            self.error(place, format!("{full} type passed to print() is not printable"));
        } else if count != 1 {
            let text = format!("Non-map print() only takes 1 argument, {count} found");
            self.error(place, text);
        }
    }

    fn macaddr(&mut self, argument: &Expr, of: &Type, place: Place) {
        let bytes = matches!(
            of.kind,
            Kind::String(_)
                | Kind::Usym
                | Kind::Inet(_)
                | Kind::Buffer(_)
                | Kind::Timestamp
                | Kind::Mac
                | Kind::CgroupPath
        );
        if !of.is_int() && !of.is_array() && !bytes && !of.is_pointer() {
            let text = format!(
                "macaddr() only supports array or pointer arguments ({} provided)",
                names::base(of)
            );
            self.error(place, text);
        }
        if matches!(argument.kind, ExprKind::Str(_)) {
            self.error(place, "macaddr() does not support literal string arguments");
        }
        if (of.is_array() || bytes) && of.size() < 6 {
            self.error(place, "macaddr() argument must be at least 6 bytes in size");
        }
    }

    fn fail(&mut self, call: &Call, place: Place) {
        let mut literal = true;
        for argument in &call.arguments {
            if !argument.is_literal() {
                literal = false;
                self.error(place, "fail() arguments need to be literals");
            }
        }
        if literal && let ExprKind::Str(bytes) = &call.arguments[0].kind {
            let text = arguments::shown(&format::parse(bytes), &call.arguments[1..]);
            self.error(place, text);
        }
    }
}
