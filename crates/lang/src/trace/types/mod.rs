//! Types: found as the solution of rules, used for what depends on them, and checked.
//!
//! Rules are collected from the tree and solved; what then is known (`sizeof`, `comptime`
//! conditions) is put into the tree, which is folded, and all is done again until nothing
//! changes. Types that were used so can no longer grow. Then conversions between types are
//! checked, and what a type alone does not decide.

mod calls;
mod casts;
mod check;
mod collect;
mod lookup;
mod promote;
mod rewrite;
mod rules;
mod solve;

use std::collections::{HashMap, HashSet};

pub use check::map_kind;
pub use lookup::Finder;
pub use promote::promote;
pub use solve::Slot;

use super::ast::{ExprId, Name};
use super::fold;
use super::kind::Type;
use super::macros::Macros;
use super::params::NamedParameters;
use super::place::Place;
use super::records::Records;
use super::sugar::MapUses;
use super::unit::Unit;
use super::walk::Visitor;
use collect::Collector;
use rewrite::Rewriter;
use rules::{How, Runner};
use solve::Solver;

/// The types of a script.
pub struct Typed {
    solver: Solver<How>,
    /// C structures and the arguments of probes.
    pub records: Records,
    /// Which variable each use means: the scope it begins in, and its name.
    pub variables: HashMap<ExprId, (ExprId, Name)>,
}

impl Typed {
    /// An expression's type.
    pub fn of(&self, id: ExprId) -> Type {
        self.solver.find(&Slot::Node(id))
    }

    /// What has a type.
    pub fn find(&self, slot: &Slot) -> Type {
        self.solver.find(slot)
    }

    /// A map's key.
    pub fn key(&self, map: &Name) -> Type {
        self.solver.find(&Slot::Key(map.clone()))
    }

    /// A map's value.
    pub fn value(&self, map: &Name) -> Type {
        self.solver.find(&Slot::Value(map.clone()))
    }

    /// A type in full.
    pub fn full(&self, of: &Type) -> String {
        super::names::full(of, &self.records)
    }
}

/// Runs at most so often.
const MOST_RUNS: u32 = 50;

/// Finds and checks all types.
pub fn resolve(
    unit: &mut Unit<'_>,
    _macros: &Macros,
    uses: &MapUses,
    parameters: &NamedParameters,
) -> Option<Typed> {
    fold::fold(unit, false);
    let c = std::mem::take(&mut unit.c);
    let typed = resolve_with(unit, &c, uses, parameters);
    unit.c = c;
    typed
}

fn resolve_with(
    unit: &mut Unit<'_>,
    c: &super::c::Definitions,
    uses: &MapUses,
    parameters: &NamedParameters,
) -> Option<Typed> {
    let mut finder = Finder { script: c, world: unit.world, records: Records::default() };
    check_arguments(unit, &mut finder);
    if !unit.is_ok() {
        return None;
    }
    let mut locked: HashMap<Slot, Type> = HashMap::new();
    let mut before: Vec<(ExprId, Place)> = Vec::new();
    for _ in 0..MOST_RUNS {
        let warnings = unit.diagnostics.len();
        let run = run_once(unit, &mut finder, uses, parameters, &locked);
        if !unit.is_ok() {
            return None;
        }
        let changed = rewrite(unit, &mut finder, &run.solver);
        fold::fold(unit, false);
        if !unit.is_ok() {
            return None;
        }
        let stuck = !run.comptimes.is_empty() && run.comptimes == before && !changed;
        if stuck {
            for (_, place) in &run.comptimes {
                unit.diagnostics.error(*place, "Unable to resolve comptime expression");
            }
            return None;
        }
        let again = changed || !run.comptimes.is_empty();
        for slot in &run.asked {
            let of = run.solver.find(slot);
            if !of.is_none() {
                locked.entry(slot.clone()).or_insert(of);
            }
        }
        before = run.comptimes;
        if !again {
            let typed = Typed {
                solver: run.solver,
                records: std::mem::take(&mut finder.records),
                variables: run.variables,
            };
            let typed = casts::check(unit, typed);
            finder.records = Records::default();
            check::check(unit, &typed, c);
            return unit.is_ok().then_some(typed);
        }
        // Warnings come again in the next run.
        unit.diagnostics.truncate(warnings);
    }
    let place = Place::default();
    unit.diagnostics.error(
        place,
        format!(
            "Type resolution exceeded maximum iterations ({MOST_RUNS}); possible infinite loop \
             in comptime expressions"
        ),
    );
    None
}

/// Makes the records of arguments, where `args` or `retval` is used.
fn check_arguments(unit: &mut Unit<'_>, finder: &mut Finder<'_>) {
    struct Uses(bool);
    impl Visitor for Uses {
        fn expr(&mut self, expr: &mut super::ast::Expr) {
            if let super::ast::ExprKind::Builtin(word) = &expr.kind {
                self.0 |= matches!(&**word, "args" | "__builtin_retval");
            }
            super::walk::expr_parts(self, expr);
        }
    }
    for probe in &mut unit.probes {
        let mut uses = Uses(false);
        uses.block(&mut probe.body);
        if !uses.0 {
            continue;
        }
        for point in &probe.points {
            if let Err(why) = finder.arguments(point) {
                unit.diagnostics.error(point.place, why);
            }
        }
    }
}

struct Run {
    solver: Solver<How>,
    comptimes: Vec<(ExprId, Place)>,
    asked: HashSet<Slot>,
    variables: HashMap<ExprId, (ExprId, Name)>,
}

fn run_once(
    unit: &mut Unit<'_>,
    finder: &mut Finder<'_>,
    uses: &MapUses,
    parameters: &NamedParameters,
    locked: &HashMap<Slot, Type>,
) -> Run {
    let mut solver = Solver::default();
    let mut collector = Collector {
        solver: &mut solver,
        finder,
        diagnostics: &mut unit.diagnostics,
        config: &unit.config,
        uses,
        parameters,
        point: None,
        scopes: Vec::new(),
        sized: HashSet::new(),
        function: None,
        asking: 0,
        asked: HashSet::new(),
        values: Vec::new(),
        comptimes: Vec::new(),
        variables: HashMap::new(),
    };
    for function in &unit.functions {
        collector.function(function);
    }
    for probe in &unit.probes {
        collector.point = probe.points.first().cloned();
        collector.block(&probe.body);
    }
    let (values, comptimes, asked, variables) =
        (collector.values, collector.comptimes, collector.asked, collector.variables);
    let mut runner = Runner {
        finder,
        diagnostics: &mut unit.diagnostics,
        scalar: &uses.scalar,
        locked,
        given: HashMap::new(),
    };
    solver.solve(&values, |solver, rule, inputs| runner.run(solver, rule, inputs));
    Run { solver, comptimes, asked, variables }
}

fn rewrite(unit: &mut Unit<'_>, finder: &mut Finder<'_>, solver: &Solver<How>) -> bool {
    let mut rewriter = Rewriter {
        solver,
        finder,
        ids: &mut unit.ids,
        diagnostics: &mut unit.diagnostics,
        changed: false,
    };
    for function in &mut unit.functions {
        rewriter.block(&mut function.body);
    }
    for probe in &mut unit.probes {
        rewriter.block(&mut probe.body);
    }
    rewriter.changed
}
