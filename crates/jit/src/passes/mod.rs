//! The passes, in the order they run. Each can be switched off; tests do so in turn.

mod bits;
mod clean;
mod congruence;
mod constants;
mod halves;
mod idioms;
mod if_convert;
mod inline;
mod jump_threading;
mod lanes;
mod load_cse;
mod loops;
mod promote;
mod ranges;
mod reach;
mod reassociate;
mod rules;
mod settled;
mod simplify;
mod steps;
mod switches;
mod tail_duplication;
mod unroll;
mod vectorise;
mod wide_loads;
mod wide_stores;

#[cfg(debug_assertions)]
use super::ir::check::check_module;
use super::ir::{Func, Module, Op};
use crate::describe::{Checks, JitError};
use settled::Settled;

/// Which passes run.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Passes(u32);

/// The passes by name, each at its bit.
const NAMES: [&str; 18] = [
    "clean",
    "inline",
    "promote",
    "simplify",
    "wide-loads",
    "wide-stores",
    "load-cse",
    "ranges",
    "switches",
    "reassociate",
    "steps",
    "if-convert",
    "congruence",
    "tail-duplication",
    "unroll",
    "constants",
    "vectorise",
    "jump-threading",
];

const CLEAN: Passes = Passes(1);
const INLINE: Passes = Passes(1 << 1);
const PROMOTE: Passes = Passes(1 << 2);
const SIMPLIFY: Passes = Passes(1 << 3);
const WIDE_LOADS: Passes = Passes(1 << 4);
const WIDE_STORES: Passes = Passes(1 << 5);
const LOAD_CSE: Passes = Passes(1 << 6);
const RANGES: Passes = Passes(1 << 7);
const SWITCHES: Passes = Passes(1 << 8);
const REASSOCIATE: Passes = Passes(1 << 9);
const STEPS: Passes = Passes(1 << 10);
const IF_CONVERT: Passes = Passes(1 << 11);
const CONGRUENCE: Passes = Passes(1 << 12);
const TAIL_DUPLICATION: Passes = Passes(1 << 13);
const UNROLL: Passes = Passes(1 << 14);
const CONSTANTS: Passes = Passes(1 << 15);
const VECTORISE: Passes = Passes(1 << 16);
const JUMP_THREADING: Passes = Passes(1 << 17);

impl Passes {
    /// None but what the rest cannot do without.
    pub const NONE: Passes = Passes(0);
    /// All of them.
    pub const ALL: Passes = Passes((1 << NAMES.len()) - 1);

    /// Those that take little time in programs of any size.
    pub const CHEAP: Passes = CLEAN.with(SIMPLIFY);

    /// Names of all passes.
    pub fn names() -> &'static [&'static str] {
        &NAMES
    }

    /// Only the pass with this name.
    pub fn named(name: &str) -> Option<Passes> {
        NAMES.iter().position(|&known| known == name).map(|at| Passes(1 << at))
    }

    /// These, but not those.
    pub fn without(self, those: Passes) -> Passes {
        Passes(self.0 & !those.0)
    }

    /// These and those.
    pub const fn with(self, those: Passes) -> Passes {
        Passes(self.0 | those.0)
    }

    /// Those of these that are among those.
    pub fn only(self, those: Passes) -> Passes {
        Passes(self.0 & those.0)
    }

    fn name(self) -> &'static str {
        NAMES[self.0.trailing_zeros() as usize]
    }

    fn contains(self, those: Passes) -> bool {
        self.0 & those.0 == those.0
    }
}

/// Runs them on a module.
///
/// # Errors
/// A pass broke the SSA form; only looked for under test.
pub fn run(module: &mut Module, passes: Passes, checks: Checks) -> Result<(), JitError> {
    verify(module, "build")?;
    let once = |module: &mut Module, pass: Passes, run: fn(&mut Func)| {
        if !passes.contains(pass) {
            return Ok(());
        }
        module.funcs.iter_mut().for_each(run);
        verify(module, pass.name())
    };
    once(module, CLEAN, clean::run)?;
    if passes.contains(INLINE) {
        inline::run(module, checks);
        verify(module, INLINE.name())?;
    }
    // Not on functions that they left as they are since anything changed them.
    let mut settled = Settled::new(module);
    let mut apply = |module: &mut Module, pass: Passes, run: fn(&mut Func)| {
        if !passes.contains(pass) {
            return Ok(());
        }
        settled.run(module, run);
        verify(module, pass.name())
    };
    apply(module, PROMOTE, promote::run)?;
    apply(module, CLEAN, clean::run)?;
    apply(module, CONGRUENCE, congruence::run)?;
    if passes.contains(UNROLL) && module.funcs.iter().any(keeps_frame) {
        // Arrays on the stack become values once their loops are written out.
        apply(module, SIMPLIFY, simplify::run)?;
        apply(module, IF_CONVERT, if_convert::run)?;
        apply(module, CLEAN, clean::run)?;
        apply(module, SIMPLIFY, simplify::run)?;
        apply(module, UNROLL, unroll::whole)?;
        apply(module, CLEAN, clean::run)?;
        apply(module, SIMPLIFY, simplify::run)?;
        apply(module, PROMOTE, promote::run)?;
        apply(module, CLEAN, clean::run)?;
    }
    for _ in 0..2 {
        apply(module, SIMPLIFY, simplify::run)?;
        apply(module, RANGES, ranges::run)?;
        apply(module, JUMP_THREADING, jump_threading::run)?;
        apply(module, LOAD_CSE, load_cse::run)?;
        apply(module, WIDE_LOADS, wide_loads::run)?;
        apply(module, WIDE_STORES, wide_stores::run)?;
        apply(module, CLEAN, clean::run)?;
    }
    apply(module, CONGRUENCE, congruence::run)?;
    apply(module, IF_CONVERT, if_convert::run)?;
    apply(module, CLEAN, clean::run)?;
    apply(module, SIMPLIFY, simplify::run)?;
    apply(module, CLEAN, clean::run)?;
    if checks == Checks::Elided && passes.contains(VECTORISE) {
        if module.funcs.iter().any(vectorise::divides) {
            apply(module, SIMPLIFY, simplify::last)?;
            apply(module, CLEAN, clean::run)?;
        }
        apply(module, VECTORISE, vectorise::run)?;
        if passes.contains(UNROLL) && module.funcs.iter().any(unroll::is_nested) {
            // A loop whose inner loops are written out is one block.
            apply(module, UNROLL, unroll::whole)?;
            apply(module, CLEAN, clean::run)?;
            apply(module, SIMPLIFY, simplify::last)?;
            apply(module, CLEAN, clean::run)?;
            apply(module, VECTORISE, vectorise::run)?;
        }
    }
    if passes.contains(UNROLL) {
        apply(module, UNROLL, unroll::run)?;
        apply(module, CLEAN, clean::run)?;
        apply(module, SIMPLIFY, simplify::run)?;
        apply(module, PROMOTE, promote::run)?;
        apply(module, LOAD_CSE, load_cse::run)?;
        apply(module, CLEAN, clean::run)?;
    }
    once(module, SIMPLIFY, simplify::last)?;
    once(module, CLEAN, clean::run)?;
    // From here on the form is the machine's: a switch's edges carry no arguments.
    once(module, SWITCHES, switches::run)?;
    once(module, REASSOCIATE, reassociate::run)?;
    once(module, TAIL_DUPLICATION, tail_duplication::run)?;
    once(module, STEPS, steps::run)?;
    once(module, CLEAN, clean::dead)?;
    once(module, CONSTANTS, constants::run)?;
    Ok(())
}

/// Whether a function has memory on its stack that did not become values.
fn keeps_frame(func: &Func) -> bool {
    let mut insts = func.order.iter().flat_map(|blk| &func.blocks[blk.at()].insts);
    insts.any(|&inst| matches!(func.op(inst), Op::Frame(_)))
}

#[cfg(debug_assertions)]
fn verify(module: &Module, pass: &'static str) -> Result<(), JitError> {
    check_module(module).map_err(|broken| JitError::Broken { pass, broken })
}

#[cfg(not(debug_assertions))]
fn verify(_module: &Module, _pass: &'static str) -> Result<(), JitError> {
    Ok(())
}
