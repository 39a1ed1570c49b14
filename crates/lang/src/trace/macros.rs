//! Macros: calls of them become their bodies.
//!
//! A parameter `$x` or `@x` stands for the variable or map of the call; a plain one for the
//! call's expression. Variables that a macro begins get names of its own. A name may have
//! several macros: the one whose parameters fit the arguments is taken, the script's own
//! before the language's, and macros of the language see only those of the language.

use std::collections::{HashMap, HashSet};
use std::rc::Rc;

use super::ast::{
    Block, Expr, ExprKind, Ids, Iterable, Macro, Map, Name, Statement, StatementKind, Target,
    TypeName, TypeOf, TypeOfKind, Variable,
};
use super::diagnostic::Diagnostics;
use super::place::Sources;
use super::unit::Unit;
use super::walk::{self, Visitor};

/// Expansions of one script, at most.
const MOST: u32 = 20_000;

/// Expansions inside expansions, at most.
const DEEPEST: usize = 40;

/// Nesting of expressions after expansion beyond this is refused.
const NESTED: u32 = 700;

/// Expressions of a script and its expansions, at most.
const EXPRESSIONS: u32 = 300_000;

/// All macros by name.
#[derive(Clone, Default)]
pub struct Macros {
    by_name: HashMap<Name, Vec<Rc<Known>>>,
}

struct Known {
    body: Macro,
    of_language: bool,
}

enum Found {
    Exactly(Rc<Known>),
    /// The name is a macro's, but not with these arguments.
    Nearly(Rc<Known>),
    No,
}

impl Macros {
    /// Takes the macros of a unit, and says where two collide.
    pub fn collect(unit: &mut Unit<'_>) -> Macros {
        let mut macros = Macros::default();
        for (body, of_language) in std::mem::take(&mut unit.macros) {
            let found = macros.find(&body.name, &body.parameters, Some(of_language));
            if let Found::Exactly(first) = found {
                let text = format!("Redefinition of macro: {}", body.name);
                unit.diagnostics
                    .error(body.place, text)
                    .context(first.body.place, "This is the original definition.");
                continue;
            }
            if twice(&body, &mut unit.diagnostics) {
                continue;
            }
            let name = body.name.clone();
            macros.by_name.entry(name).or_default().push(Rc::new(Known { body, of_language }));
        }
        macros
    }

    fn find(&self, name: &str, arguments: &[Expr], of_language: Option<bool>) -> Found {
        let Some(known) = self.by_name.get(name) else {
            return Found::No;
        };
        let mut nearest: Option<(usize, &Rc<Known>)> = None;
        let (mut own, mut of_the_language) = (None, None);
        for one in known {
            if of_language.is_some_and(|wanted| wanted != one.of_language) {
                continue;
            }
            let away = distance(&one.body, arguments);
            if away == 0 {
                let exact = if one.of_language { &mut of_the_language } else { &mut own };
                exact.get_or_insert(one);
            }
            if nearest.is_none_or(|(least, _)| away < least) {
                nearest = Some((away, one));
            }
        }
        match (own.or(of_the_language), nearest) {
            (Some(exact), _) => Found::Exactly(exact.clone()),
            (None, Some((_, near))) => Found::Nearly(near.clone()),
            (None, None) => Found::No,
        }
    }
}

/// How badly arguments fit: a wrong count counts more than any wrong kind.
fn distance(one: &Macro, arguments: &[Expr]) -> usize {
    let wrong = one
        .parameters
        .iter()
        .zip(arguments)
        .filter(|(parameter, argument)| match parameter.kind {
            ExprKind::Map(_) => !matches!(argument.kind, ExprKind::Map(_)),
            ExprKind::Variable(_) => !matches!(argument.kind, ExprKind::Variable(_)),
            _ => false,
        })
        .count();
    one.parameters.len().abs_diff(arguments.len()) * 1024 + wrong
}

/// Whether a parameter's name is there twice.
fn twice(one: &Macro, diagnostics: &mut Diagnostics) -> bool {
    let mut seen = HashSet::new();
    for parameter in &one.parameters {
        let (kind, name) = match &parameter.kind {
            ExprKind::Variable(name) => ("Variable", name),
            ExprKind::Map(map) => ("Map", &map.name),
            ExprKind::Ident(name) => ("Ident", name),
            _ => continue,
        };
        if !seen.insert((kind, name)) {
            let text = format!("{kind} for macro argument has already been used: {name}");
            diagnostics.error(parameter.place, text);
            return true;
        }
    }
    false
}

/// Expands all macros of a unit.
pub fn expand(unit: &mut Unit<'_>) -> Macros {
    let macros = Macros::collect(unit);
    let mut probes = std::mem::take(&mut unit.probes);
    let mut functions = std::mem::take(&mut unit.functions);
    let mut budget = MOST;
    let mut expander = Expander {
        shared: Shared {
            ids: &mut unit.ids,
            sources: &mut unit.sources,
            diagnostics: &mut unit.diagnostics,
            macros: &macros,
            budget: &mut budget,
        },
        stack: Vec::new(),
        names: Names::default(),
        renames: false,
        depth: 0,
    };
    for function in &mut functions {
        expander.block(&mut function.body);
    }
    for probe in &mut probes {
        expander.block(&mut probe.body);
    }
    let mut lost = LostTypes(&mut unit.diagnostics);
    for function in &mut functions {
        lost.block(&mut function.body);
    }
    for probe in &mut probes {
        lost.block(&mut probe.body);
    }
    unit.probes = probes;
    unit.functions = functions;
    macros
}

/// Expands one expression that a later step made.
pub fn expand_one(unit: &mut Unit<'_>, macros: &Macros, expr: &mut Expr) {
    let mut budget = MOST;
    let mut expander = Expander {
        shared: Shared {
            ids: &mut unit.ids,
            sources: &mut unit.sources,
            diagnostics: &mut unit.diagnostics,
            macros,
            budget: &mut budget,
        },
        stack: Vec::new(),
        names: Names::default(),
        renames: false,
        depth: 0,
    };
    expander.expr(expr);
}

/// Types as arguments that no macro took.
struct LostTypes<'a>(&'a mut Diagnostics);

impl Visitor for LostTypes<'_> {
    fn expr(&mut self, expr: &mut Expr) {
        if matches!(expr.kind, ExprKind::TypeArgument(_)) {
            self.0.error(
                expr.place,
                "When used as a call argument, `typeof` builtin only valid for macro calls that \
                 are expecting a type parameter",
            );
        }
        walk::expr_parts(self, expr);
    }
}

struct Shared<'s> {
    ids: &'s mut Ids,
    sources: &'s mut Sources,
    diagnostics: &'s mut Diagnostics,
    macros: &'s Macros,
    budget: &'s mut u32,
}

/// What names inside a macro stand for.
#[derive(Default)]
struct Names {
    maps: HashMap<Name, Name>,
    variables: HashMap<Name, Name>,
    /// Variables of the macro's own.
    own: HashSet<Name>,
    expressions: HashMap<Name, Expr>,
}

struct Expander<'s> {
    shared: Shared<'s>,
    stack: Vec<Rc<Known>>,
    names: Names,
    /// Whether this is a macro's body and not an expression of the call.
    renames: bool,
    /// How deep this is in the expanded tree.
    depth: u32,
}

impl<'s> Expander<'s> {
    /// Runs a part with other names.
    fn with(&mut self, names: Names, renames: bool, run: impl FnOnce(&mut Expander<'_>)) {
        let mut inner = Expander {
            shared: Shared {
                ids: self.shared.ids,
                sources: self.shared.sources,
                diagnostics: self.shared.diagnostics,
                macros: self.shared.macros,
                budget: self.shared.budget,
            },
            stack: std::mem::take(&mut self.stack),
            names,
            renames,
            depth: self.depth,
        };
        run(&mut inner);
        self.stack = inner.stack;
    }

    fn variable_name(&self, name: &mut Name) {
        if !self.renames {
            return;
        }
        if let Some(given) = self.names.variables.get(name) {
            *name = given.clone();
        } else if self.names.own.contains(name)
            && let Some(one) = self.stack.last()
        {
            let depth = match self.stack.len() {
                1 => String::new(),
                depth => format!("_{depth}"),
            };
            *name = format!("$${}{depth}_{name}", one.body.name).into();
        }
    }

    fn variable(&self, variable: &mut Variable) {
        self.variable_name(&mut variable.name);
    }

    /// A variable that is assigned to: begins one of the macro's own, unless it is given.
    fn assigned(&mut self, name: &Name) {
        if self.renames && !self.names.variables.contains_key(name) {
            self.names.own.insert(name.clone());
        }
    }

    fn map(&mut self, map: &mut Map) {
        if !self.renames {
            return;
        }
        match self.names.maps.get(&map.name) {
            Some(given) => map.name = given.clone(),
            None => {
                let text = format!(
                    "Unhygienic access to map: {}. Maps must be passed into the macro as \
                     arguments.",
                    map.name
                );
                self.shared.diagnostics.error(map.place, text);
            }
        }
    }

    fn declared(&mut self, declared: &mut super::ast::Let) {
        if !self.renames {
            if let Some(of) = &mut declared.of {
                self.type_of(of);
            }
            return;
        }
        let name = &declared.variable.name;
        if self.names.variables.contains_key(name) {
            let text = format!("Variable declaration shadows macro arg {name}");
            self.shared.diagnostics.error(declared.place, text);
            return;
        }
        self.names.own.insert(name.clone());
        if let Some(of) = &mut declared.of {
            self.type_of(of);
        }
        self.variable(&mut declared.variable);
    }

    /// A word or call that may be a macro's.
    fn call(&mut self, expr: &mut Expr) {
        let (name, empty) = match &mut expr.kind {
            ExprKind::Call(call) => {
                let name = call.function.clone();
                for argument in &mut call.arguments {
                    self.expr(argument);
                }
                (name, false)
            }
            ExprKind::Ident(name) => (name.clone(), true),
            _ => return,
        };
        let arguments: &[Expr] = match &expr.kind {
            ExprKind::Call(call) if !empty => &call.arguments,
            _ => &[],
        };
        let in_language = self.stack.last().is_some_and(|one| one.of_language);
        let found = self.shared.macros.find(&name, arguments, in_language.then_some(true));
        match found {
            Found::No => {}
            Found::Nearly(near) => {
                mismatch(self.shared.diagnostics, expr.place, &name, &near.body, arguments);
            }
            Found::Exactly(one) => self.expand(expr, one),
        }
    }

    /// Whether copies made the script too large.
    fn is_large(&self) -> bool {
        self.shared.ids.count() > EXPRESSIONS
    }

    fn too_much(&mut self, expr: &mut Expr) {
        if self.shared.diagnostics.is_ok() {
            self.shared.diagnostics.error(expr.place, "too many macro calls");
        }
        expr.kind = ExprKind::None;
    }

    fn expand(&mut self, expr: &mut Expr, one: Rc<Known>) {
        let at = self.stack.iter().position(|active| Rc::ptr_eq(active, &one));
        if let Some(at) = at {
            let mut chain = String::new();
            for active in &self.stack[at..] {
                chain += &format!("{} > ", active.body.name);
            }
            let text =
                format!("Recursive macro call detected. Call chain: {chain}{}", one.body.name);
            self.shared.diagnostics.error(expr.place, text);
            return;
        }
        if *self.shared.budget == 0 || self.stack.len() >= DEEPEST || self.is_large() {
            self.too_much(expr);
            return;
        }
        *self.shared.budget -= 1;
        let arguments = match &mut expr.kind {
            ExprKind::Call(call) => std::mem::take(&mut call.arguments),
            _ => Vec::new(),
        };
        let names = self.bind(&one.body, arguments, expr.place);
        let expansion = self.shared.sources.expand(expr.place);
        let mut body = walk::copy_block(&one.body.body, self.shared.ids, |mut place| {
            place.expansion = expansion;
            place
        });
        self.stack.push(one);
        self.with(names, true, |inner| inner.block(&mut body));
        self.stack.pop();
        expr.kind = ExprKind::Block(body);
        expr.id = self.shared.ids.fresh();
        if let ExprKind::Block(body) = &expr.kind {
            expr.place = body.place;
        }
    }

    fn bind(&mut self, one: &Macro, arguments: Vec<Expr>, call: super::place::Place) -> Names {
        let mut names = Names::default();
        for (parameter, argument) in one.parameters.iter().zip(arguments) {
            match (&parameter.kind, argument.kind.clone()) {
                (ExprKind::Variable(parameter), ExprKind::Variable(given)) => {
                    names.variables.insert(parameter.clone(), given);
                }
                (ExprKind::Map(parameter), ExprKind::Map(given)) => {
                    names.maps.insert(parameter.name.clone(), given.name);
                }
                // Wrapped, so that the macro cannot write to it.
                (ExprKind::Ident(parameter), ExprKind::Variable(_) | ExprKind::Map(_)) => {
                    let wrapped = Expr {
                        id: self.shared.ids.fresh(),
                        place: call,
                        kind: ExprKind::Block(Block {
                            id: self.shared.ids.fresh(),
                            statements: Vec::new(),
                            value: Box::new(argument),
                            place: call,
                        }),
                    };
                    names.expressions.insert(parameter.clone(), wrapped);
                }
                (ExprKind::Ident(parameter), _) => {
                    names.expressions.insert(parameter.clone(), argument);
                }
                _ => {}
            }
        }
        names
    }

    /// Where a type may stand, a parameter may be one.
    fn type_parameter(&mut self, of: &mut TypeOf) {
        match &mut of.kind {
            TypeOfKind::Expr(expr) => {
                if let ExprKind::Ident(name) = &expr.kind {
                    match self.names.expressions.get(name).map(|given| &given.kind) {
                        Some(ExprKind::TypeArgument(given)) => {
                            of.kind = walk::copy_type(given, self.shared.ids, |place| place).kind;
                            return;
                        }
                        // A lone word is a type's name, and no macro's.
                        None => return,
                        Some(_) => {}
                    }
                }
                self.expr(expr);
            }
            TypeOfKind::Type(name) => {
                let mut name = name.clone();
                match self.replaced(&mut name) {
                    Replaced::No => {}
                    Replaced::Name => of.kind = TypeOfKind::Type(name),
                    Replaced::Whole(kind) => of.kind = kind,
                    Replaced::Never(parameter) => {
                        let place = self.names.expressions[&parameter].place;
                        let one = self.stack.last().map(|one| one.body.name.clone());
                        let text = format!(
                            "Invalid replacement for macro '{}' type parameter '{parameter}' \
                             which makes up the type '{}'",
                            one.unwrap_or_default(),
                            super::names::type_name(&name)
                        );
                        self.shared.diagnostics.error(place, text);
                    }
                }
            }
        }
    }

    fn replaced(&mut self, name: &mut TypeName) -> Replaced {
        let depth = pointers(name);
        let inner = innermost(name);
        let (word, tagged) = match inner {
            TypeName::Plain(word) => (word.clone(), false),
            TypeName::Struct(word) | TypeName::Union(word) | TypeName::Enum(word) => {
                (word.clone(), true)
            }
            TypeName::Pointer(_) | TypeName::Array(..) => return Replaced::No,
        };
        let Some(given) = self.names.expressions.get(&word) else {
            return Replaced::No;
        };
        let mut put = |new: Name| {
            match inner {
                TypeName::Plain(word)
                | TypeName::Struct(word)
                | TypeName::Union(word)
                | TypeName::Enum(word) => *word = new,
                TypeName::Pointer(_) | TypeName::Array(..) => {}
            }
            Replaced::Name
        };
        match &given.kind {
            ExprKind::Ident(new) => put(new.clone()),
            ExprKind::TypeArgument(of) => match &of.kind {
                TypeOfKind::Type(TypeName::Plain(new)) if tagged => put(new.clone()),
                TypeOfKind::Expr(expr) if matches!(&expr.kind, ExprKind::Ident(_)) => {
                    match &expr.kind {
                        ExprKind::Ident(new) if tagged || depth > 0 => put(new.clone()),
                        _ => Replaced::Whole(of.kind.clone()),
                    }
                }
                _ if tagged => Replaced::Never(word),
                kind if depth == 0 => Replaced::Whole(kind.clone()),
                TypeOfKind::Type(new) => {
                    *inner = new.clone();
                    Replaced::Name
                }
                TypeOfKind::Expr(_) => Replaced::Never(word),
            },
            _ => Replaced::Never(word),
        }
    }

    /// `offsetof(T, field)` whose field is a parameter.
    fn offset_fields(&mut self, fields: &mut Vec<Name>) {
        let [field] = &fields[..] else {
            return;
        };
        let Some(given) = self.names.expressions.get(field) else {
            return;
        };
        let mut path = Vec::new();
        let mut at = given;
        while let ExprKind::Field(inner, name) = &at.kind {
            path.push(name.clone());
            at = inner;
        }
        match &at.kind {
            ExprKind::Ident(first) => {
                path.push(first.clone());
                path.reverse();
                *fields = path;
            }
            _ if path.is_empty() => {}
            _ => {
                self.shared.diagnostics.error(
                    given.place,
                    "FieldAccess expressions must be made up entirely of idents (e.g. a.b.c) to \
                     replace the second argument in `offsetof`",
                );
            }
        }
    }
}

enum Replaced {
    No,
    Name,
    Whole(TypeOfKind),
    Never(Name),
}

fn pointers(name: &TypeName) -> usize {
    match name {
        TypeName::Pointer(of) | TypeName::Array(of, _) => 1 + pointers(of),
        _ => 0,
    }
}

fn innermost(name: &mut TypeName) -> &mut TypeName {
    match name {
        TypeName::Pointer(of) | TypeName::Array(of, _) => innermost(of),
        name => name,
    }
}

impl Expander<'_> {
    fn inside(&mut self, expr: &mut Expr) {
        match &mut expr.kind {
            ExprKind::Ident(name) => {
                if let Some(given) = self.names.expressions.get(name) {
                    if self.is_large() {
                        self.too_much(expr);
                        return;
                    }
                    *expr = walk::copy(given, self.shared.ids);
                    self.with(Names::default(), false, |inner| inner.expr(expr));
                    return;
                }
                self.call(expr);
            }
            ExprKind::Call(_) => self.call(expr),
            ExprKind::Variable(name) => self.variable_name(name),
            ExprKind::VariableAddress(variable) => self.variable(variable),
            ExprKind::Map(map) | ExprKind::MapAddress(map) => self.map(map),
            ExprKind::Element(element) => {
                self.map(&mut element.map);
                self.expr(&mut element.key);
            }
            ExprKind::Offsetof(of, fields) => {
                self.type_parameter(of);
                self.offset_fields(fields);
            }
            _ => walk::expr_parts(self, expr),
        }
    }
}

impl Visitor for Expander<'_> {
    fn expr(&mut self, expr: &mut Expr) {
        if self.depth >= NESTED {
            self.too_much(expr);
            return;
        }
        self.depth += 1;
        self.inside(expr);
        self.depth -= 1;
    }

    fn type_of(&mut self, of: &mut TypeOf) {
        self.type_parameter(of);
    }

    fn statement(&mut self, statement: &mut Statement) {
        match &mut statement.kind {
            StatementKind::Let(declared) => self.declared(declared),
            StatementKind::Assign(target, value) => {
                match target {
                    Target::Variable(variable) => {
                        self.assigned(&variable.name);
                        self.variable(variable);
                    }
                    Target::Let(declared) => self.declared(declared),
                    Target::Map(map) => self.map(map),
                    Target::Element(element) => {
                        self.map(&mut element.map);
                        self.expr(&mut element.key);
                    }
                }
                self.expr(value);
            }
            StatementKind::For(variable, over, block) => {
                match over {
                    Iterable::Map(map) => self.map(map),
                    Iterable::Range(first, last, _) => {
                        self.expr(first);
                        self.expr(last);
                    }
                }
                self.assigned(&variable.name);
                self.variable(variable);
                self.block(block);
            }
            _ => walk::statement_parts(self, statement),
        }
    }
}

/// Says how arguments do not fit the nearest macro.
fn mismatch(
    diagnostics: &mut Diagnostics,
    place: super::place::Place,
    name: &str,
    near: &Macro,
    arguments: &[Expr],
) {
    let text = format!("Call to {name}() has arguments that do not match any definition.");
    let whole = diagnostics.error(place, text);
    if near.parameters.len() != arguments.len() {
        let text = format!(
            "The closest definition of {}() has a different number of arguments. Expected: {} \
             but got {}",
            near.name,
            near.parameters.len(),
            arguments.len()
        );
        whole.context(near.place, text);
        return;
    }
    for (parameter, argument) in near.parameters.iter().zip(arguments) {
        let (wanted, word) = match &parameter.kind {
            ExprKind::Map(map) => ("a map", &map.name),
            ExprKind::Variable(name) => ("a variable", name),
            _ => continue,
        };
        let got = match argument.kind {
            ExprKind::Variable(_) if wanted == "a map" => "a variable",
            ExprKind::Map(_) if wanted == "a variable" => "a map",
            ExprKind::Variable(_) | ExprKind::Map(_) => continue,
            _ => "an expression",
        };
        let text = format!(
            "Mismatched arg. {}() expects {wanted} for arg {word} but got {got}.",
            near.name
        );
        diagnostics
            .error(argument.place, text)
            .context(parameter.place, "This is the argument in the closest definition.");
    }
}
