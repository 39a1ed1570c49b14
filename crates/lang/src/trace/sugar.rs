//! What maps mean: a map without a key is its element 0, and `@m[k] = count()` is a call
//! that is told map and key. Which maps have keys is found by their uses.

use std::collections::{HashMap, HashSet};

use super::ast::{
    Element, Expr, ExprId, ExprKind, Ids, Iterable, Map, Name, Statement, StatementKind, Target,
    TypeOf, TypeOfKind,
};
use super::diagnostic::Diagnostics;
use super::macros::{self, Macros};
use super::unit::Unit;
use super::walk::{self, Visitor};

/// Functions that fill a map.
pub const AGGREGATIONS: [&str; 9] =
    ["hist", "lhist", "count", "sum", "min", "max", "avg", "stats", "tseries"];

/// Functions whose first argument is a whole map.
pub const WHOLE_MAP: [&str; 10] = [
    "print",
    "clear",
    "zero",
    "len",
    "is_scalar",
    "__delete",
    "__has_key",
    "__find",
    "__map_len",
    "__delete_all",
];

/// What uses say about maps.
#[derive(Clone, Debug, Default)]
pub struct MapUses {
    /// Whether a map is without keys.
    pub scalar: HashMap<Name, bool>,
    /// Uses with a key of a map that has none.
    pub wrongly_keyed: HashSet<ExprId>,
    /// Uses without a key of a map that has keys.
    pub wrongly_plain: HashSet<ExprId>,
    /// Loops over maps without keys.
    pub wrongly_iterated: HashSet<ExprId>,
}

/// Rewrites all uses of maps.
pub fn rewrite(unit: &mut Unit<'_>, macros: &Macros) -> MapUses {
    old_delete(unit, macros);
    let mut keys = Keys {
        uses: MapUses::default(),
        ids: &mut unit.ids,
        diagnostics: &mut unit.diagnostics,
        types: false,
    };
    // Types come last: they ask about maps, and decide nothing.
    for types in [false, true] {
        keys.types = types;
        for function in &mut unit.functions {
            keys.block(&mut function.body);
        }
        for probe in &mut unit.probes {
            keys.block(&mut probe.body);
        }
    }
    let uses = keys.uses;
    if !unit.is_ok() {
        return uses;
    }
    for function in &mut unit.functions {
        Inject.block(&mut function.body);
    }
    for probe in &mut unit.probes {
        Inject.block(&mut probe.body);
    }
    let mut lone = Lone { diagnostics: &mut unit.diagnostics };
    for function in &mut unit.functions {
        lone.block(&mut function.body);
    }
    for probe in &mut unit.probes {
        lone.block(&mut probe.body);
    }
    let mut asked = Asked { scalar: &uses.scalar, diagnostics: &mut unit.diagnostics };
    for function in &mut unit.functions {
        asked.block(&mut function.body);
    }
    for probe in &mut unit.probes {
        asked.block(&mut probe.body);
    }
    uses
}

/// `delete(@m[k])` of old scripts is `delete(@m, k)`.
fn old_delete(unit: &mut Unit<'_>, macros: &Macros) {
    struct Old<'o, 'a>(&'o mut Unit<'a>, &'o Macros);
    impl Visitor for Old<'_, '_> {
        fn expr(&mut self, expr: &mut Expr) {
            walk::expr_parts(self, expr);
            let ExprKind::Call(call) = &mut expr.kind else {
                return;
            };
            if &*call.function != "__deprecated_delete" || call.arguments.len() != 1 {
                return;
            }
            let ExprKind::Element(element) = call.arguments[0].kind.clone() else {
                return;
            };
            call.function = "delete".into();
            let map = Expr {
                id: self.0.ids.fresh(),
                place: element.map.place,
                kind: ExprKind::Map(element.map),
            };
            call.arguments = vec![map, *element.key];
            macros::expand_one(self.0, self.1, expr);
        }
    }
    let mut probes = std::mem::take(&mut unit.probes);
    let mut functions = std::mem::take(&mut unit.functions);
    let mut old = Old(unit, macros);
    for function in &mut functions {
        old.block(&mut function.body);
    }
    for probe in &mut probes {
        old.block(&mut probe.body);
    }
    unit.probes = probes;
    unit.functions = functions;
}

struct Keys<'a> {
    uses: MapUses,
    ids: &'a mut Ids,
    diagnostics: &'a mut Diagnostics,
    /// Whether this is the run over types.
    types: bool,
}

impl Keys<'_> {
    /// Notes a use; whether it agrees with those before.
    fn agrees(&mut self, map: &Map, keyed: bool) -> bool {
        match self.uses.scalar.get(&map.name) {
            Some(scalar) => *scalar != keyed,
            None => {
                self.uses.scalar.insert(map.name.clone(), !keyed);
                true
            }
        }
    }

    fn used(&mut self, map: &Map, keyed: bool) {
        if self.agrees(map, keyed) {
            return;
        }
        if keyed {
            self.uses.wrongly_keyed.insert(map.id);
        } else {
            self.uses.wrongly_plain.insert(map.id);
        }
    }

    fn zero(&mut self, map: Map) -> Element {
        let place = map.place;
        let zero = Expr { id: self.ids.fresh(), kind: ExprKind::Int(0, None), place };
        Element { map, key: Box::new(zero), place }
    }

    fn call(&mut self, expr: &mut Expr) {
        let place = expr.place;
        let ExprKind::Call(call) = &mut expr.kind else {
            return;
        };
        let whole = WHOLE_MAP.contains(&&*call.function);
        let function = call.function.clone();
        let count = call.arguments.len();
        for (at, argument) in call.arguments.iter_mut().enumerate() {
            if at == 0
                && whole
                && let ExprKind::Map(map) = &argument.kind
            {
                if self.types {
                    continue;
                }
                match &*function {
                    "len" | "__map_len" => {
                        let map = map.clone();
                        self.agrees(&map, true);
                    }
                    "is_scalar" if count != 1 => {
                        let text = format!("is_scalar() requires 1 argument ({count} provided)");
                        self.diagnostics.error(place, text);
                    }
                    _ => {}
                }
                continue;
            }
            self.expr(argument);
        }
    }
}

impl Visitor for Keys<'_> {
    fn expr(&mut self, expr: &mut Expr) {
        match &mut expr.kind {
            ExprKind::Call(_) => self.call(expr),
            ExprKind::Map(map) => {
                let map = map.clone();
                self.used(&map, false);
                expr.id = self.ids.fresh();
                expr.kind = ExprKind::Element(self.zero(map));
            }
            ExprKind::Element(element) => {
                // In the second run keys that the first put in are no keys.
                if !self.types {
                    let map = element.map.clone();
                    self.used(&map, true);
                }
                self.expr(&mut element.key);
            }
            _ => walk::expr_parts(self, expr),
        }
    }

    fn type_of(&mut self, of: &mut TypeOf) {
        if !self.types {
            return;
        }
        if let TypeOfKind::Expr(expr) = &of.kind
            && let ExprKind::Map(map) = &expr.kind
            && self.uses.scalar.get(&map.name) == Some(&false)
        {
            // The type of a whole map is its key's.
            return;
        }
        // Expressions inside are seen for the first time here.
        self.types = false;
        walk::type_parts(self, of);
        self.types = true;
    }

    fn statement(&mut self, statement: &mut Statement) {
        match &mut statement.kind {
            StatementKind::Assign(target, value) => {
                match target {
                    Target::Map(map) => {
                        let map = map.clone();
                        self.used(&map, false);
                        let mut element = self.zero(map);
                        element.place = statement.place;
                        *target = Target::Element(element);
                    }
                    Target::Element(element) => {
                        if !self.types {
                            let map = element.map.clone();
                            self.used(&map, true);
                        }
                        self.expr(&mut element.key);
                    }
                    Target::Let(declared) => {
                        if let Some(of) = &mut declared.of {
                            self.type_of(of);
                        }
                    }
                    Target::Variable(_) => {}
                }
                self.expr(value);
            }
            StatementKind::For(_, over, block) => {
                match over {
                    Iterable::Map(map) => {
                        if !self.types {
                            let map = map.clone();
                            if !self.agrees(&map, true) {
                                self.uses.wrongly_iterated.insert(map.id);
                            }
                        }
                    }
                    Iterable::Range(first, last, _) => {
                        self.expr(first);
                        self.expr(last);
                    }
                }
                self.block(block);
            }
            _ => walk::statement_parts(self, statement),
        }
    }
}

/// Tells functions that fill a map which map and key.
struct Inject;

fn inject(expr: &mut Expr, element: &Element) -> bool {
    match &mut expr.kind {
        ExprKind::Call(call) if AGGREGATIONS.contains(&&*call.function) => {
            let map = Expr {
                id: element.map.id,
                kind: ExprKind::Map(element.map.clone()),
                place: element.map.place,
            };
            call.arguments.splice(0..0, [map, (*element.key).clone()]);
            call.injected = 2;
            true
        }
        ExprKind::Block(block) => inject(&mut block.value, element),
        _ => false,
    }
}

impl Visitor for Inject {
    fn statement(&mut self, statement: &mut Statement) {
        if let StatementKind::Assign(Target::Element(element), value) = &mut statement.kind
            && inject(value, element)
        {
            let none = Expr { id: value.id, kind: ExprKind::None, place: value.place };
            let value = std::mem::replace(value, none);
            statement.kind = StatementKind::Discard(value);
        }
        walk::statement_parts(self, statement);
    }
}

/// Functions that fill a map, where there is none to fill.
struct Lone<'a> {
    diagnostics: &'a mut Diagnostics,
}

impl Visitor for Lone<'_> {
    fn expr(&mut self, expr: &mut Expr) {
        if let ExprKind::Call(call) = &expr.kind
            && AGGREGATIONS.contains(&&*call.function)
            && call.injected == 0
        {
            let text = format!("{}() must be assigned directly to a map", call.function);
            self.diagnostics.error(expr.place, text);
        }
        walk::expr_parts(self, expr);
    }
}

/// `is_scalar(@m)` is known now.
struct Asked<'a> {
    scalar: &'a HashMap<Name, bool>,
    diagnostics: &'a mut Diagnostics,
}

impl Visitor for Asked<'_> {
    fn expr(&mut self, expr: &mut Expr) {
        walk::expr_parts(self, expr);
        let ExprKind::Call(call) = &expr.kind else {
            return;
        };
        if &*call.function != "is_scalar" {
            return;
        }
        let map = match call.arguments.first().map(|argument| &argument.kind) {
            Some(ExprKind::Map(map)) => map,
            _ => {
                self.diagnostics
                    .error(expr.place, "is_scalar() expects a map for the first argument");
                return;
            }
        };
        match self.scalar.get(&map.name) {
            Some(scalar) => expr.kind = ExprKind::Bool(*scalar),
            None => {
                let text = format!("Unknown map: {}", map.name);
                self.diagnostics.error(expr.place, text);
            }
        }
    }
}
