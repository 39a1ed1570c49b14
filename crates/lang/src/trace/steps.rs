//! The steps in their order.

use super::checked::Script;
use super::diagnostic::Diagnostics;
use super::options::{Options, Until};
use super::place::Sources;
use super::unit::Unit;
use super::world::World;
use super::{
    build, builtins, constants, flow, fold, imports, macros, params, parse, points, precheck,
    settings, sugar, types, unstable,
};

/// What became of a script.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// The checked script, where there were no errors and all steps were taken.
    pub script: Option<Script>,
    /// Errors and warnings.
    pub diagnostics: Diagnostics,
    /// The texts that their places refer to.
    pub sources: Sources,
}

impl Outcome {
    /// Errors and warnings as they are shown.
    pub fn shown(&self) -> String {
        self.diagnostics.show_all(&self.sources)
    }
}

/// What the language says in its own words.
const LANGUAGE: &str = include_str!("stdlib.bt");

/// Checks a script. `name` is what messages call it.
pub fn check(text: &str, name: &str, world: &dyn World, options: &Options) -> Outcome {
    let mut unit = Unit::new(world, options);
    let script = run(&mut unit, text, name);
    Outcome { script, diagnostics: unit.diagnostics, sources: unit.sources }
}

fn run(unit: &mut Unit<'_>, text: &str, name: &str) -> Option<Script> {
    let until = unit.options.until;
    let source = unit.sources.add(name, text);
    let script = parse::script(text, source, &mut unit.ids, &mut unit.diagnostics);
    unit.add(script, false);
    go(unit)?;
    if until == Until::Macros {
        language(unit);
        go(unit)?;
        macros::expand(unit);
        return None;
    }
    if until == Until::Text {
        points::parse(unit);
        return None;
    }
    settings::apply(unit);
    go(unit)?;
    imports::take(unit);
    go(unit)?;
    unstable::check(unit);
    go(unit)?;
    points::parse(unit);
    go(unit)?;
    if until == Until::Config {
        return None;
    }
    if until == Until::Points || until >= Until::Names {
        points::check(unit);
        go(unit)?;
    }
    if until == Until::Points {
        return None;
    }
    language(unit);
    go(unit)?;
    flow::check(unit);
    flow::warn_unreachable(unit);
    go(unit)?;
    let known = macros::expand(unit);
    go(unit)?;
    builtins::check_points(unit);
    go(unit)?;
    points::expand(unit);
    go(unit)?;
    imports::prune(unit);
    go(unit)?;
    let words = constants::read(unit);
    go(unit)?;
    fold::fold(unit, true);
    go(unit)?;
    builtins::resolve(unit);
    go(unit)?;
    constants::replace(unit, &words);
    constants::of_kernel(unit);
    go(unit)?;
    let uses = sugar::rewrite(unit, &known);
    go(unit)?;
    let parameters = params::resolve(unit);
    go(unit)?;
    if until == Until::Fold {
        fold::fold(unit, true);
        return None;
    }
    precheck::check(unit);
    go(unit)?;
    if until == Until::Names {
        return None;
    }
    let typed = types::resolve(unit, &known, &uses, &parameters)?;
    go(unit)?;
    let script = build::build(unit, &typed, &uses, &parameters);
    go(unit)?;
    Some(script)
}

/// Ends the steps where something was wrong.
fn go(unit: &Unit<'_>) -> Option<()> {
    unit.is_ok().then_some(())
}

/// Adds the language's own macros.
fn language(unit: &mut Unit<'_>) {
    let source = unit.sources.add("stdlib.bt", LANGUAGE);
    let script = parse::script(LANGUAGE, source, &mut unit.ids, &mut unit.diagnostics);
    unit.add(script, true);
}
