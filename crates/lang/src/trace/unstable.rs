//! Features that may change, and spellings that will go.

use super::ast::{Expr, ExprKind, Statement, StatementKind};
use super::config::{Config, Unstable};
use super::diagnostic::Diagnostics;
use super::place::Place;
use super::unit::Unit;
use super::walk::{self, Visitor};

/// Warns of, or refuses, such features.
pub fn check(unit: &mut Unit<'_>) {
    let mut checker =
        Checker { config: &unit.config, diagnostics: &mut unit.diagnostics, warned: Vec::new() };
    for function in &mut unit.functions {
        checker.block(&mut function.body);
    }
    for probe in &mut unit.probes {
        checker.block(&mut probe.body);
    }
    for (one, _) in &mut unit.macros {
        checker.block(&mut one.body);
    }
}

struct Checker<'a> {
    config: &'a Config,
    diagnostics: &'a mut Diagnostics,
    warned: Vec<&'static str>,
}

impl Checker<'_> {
    fn feature(&mut self, what: &str, key: &'static str, is: Unstable, place: Place) {
        match is {
            Unstable::Enable => {}
            Unstable::Error => {
                let text = format!(
                    "{what} feature is not enabled by default. To enable this unstable feature, \
                     set the config flag to enable. {key}=enable"
                );
                self.diagnostics.error(place, text);
            }
            Unstable::Warn if self.warned.contains(&key) => {}
            Unstable::Warn => {
                self.warned.push(key);
                let text = format!(
                    "Script is using an unstable feature: {what}. To prevent this warning you \
                     must explicitly enable it in the config e.g. {key}=enable"
                );
                self.diagnostics.note(text);
            }
        }
    }
}

impl Visitor for Checker<'_> {
    fn expr(&mut self, expr: &mut Expr) {
        match &expr.kind {
            ExprKind::Call(call) if &*call.function == "tseries" => {
                let is = self.config.unstable_tseries;
                self.feature("tseries", "unstable_tseries", is, expr.place);
            }
            ExprKind::Call(call) if &*call.function == "dw_ustack" => {
                let is = self.config.unstable_dw_ustack;
                let what = "dw_ustack (DWARF stack unwinding)";
                self.feature(what, "unstable_dw_ustack", is, expr.place);
            }
            ExprKind::Builtin(word) if word.starts_with("sarg") => {
                self.diagnostics
                    .error(
                        expr.place,
                        "sarg* is deleted. This was deprecated in v0.21 and was last available \
                         in v0.24.",
                    )
                    .hint("Use *(reg(\"sp\") + <stack_offset>) instead.");
            }
            _ => {}
        }
        walk::expr_parts(self, expr);
    }

    fn statement(&mut self, statement: &mut Statement) {
        if matches!(statement.kind, StatementKind::While(..)) {
            self.diagnostics
                .warning(
                    statement.place,
                    "While loops are deprecated and may be removed in the future.",
                )
                .hint(
                    "For loops support ranges (e.g. `for ($x : $start..$end) { ... }`), and can \
                     be used in place of while. These are more easily proven to be bounded by \
                     the verifier.",
                );
        }
        walk::statement_parts(self, statement);
    }
}
