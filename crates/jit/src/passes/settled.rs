//! Passes that need not run again: a pass that left a function as it was will do so
//! again as long as nobody else changes it.
//!
//! What a function is like is told by a hash of its reachable blocks. Where two of them
//! collide, a pass is left out that might have found something: slower code, not wrong
//! code.

use std::hash::{Hash, Hasher};

use rustc_hash::FxHasher;

use crate::ir::{Func, Module};

type Pass = fn(&mut Func);

/// What is known of a module's functions while passes run over them, and nothing else
/// changes them.
pub struct Settled {
    funcs: Vec<State>,
}

#[derive(Clone, Default)]
struct State {
    /// Passes by address, each with the last function that it did not change.
    idle: Vec<(usize, u64)>,
    /// The function as the last pass left it.
    now: Option<u64>,
}

impl Settled {
    /// Nothing yet.
    pub fn new(module: &Module) -> Settled {
        Settled { funcs: vec![State::default(); module.funcs.len()] }
    }

    /// Runs a pass on the functions that it might change.
    pub fn run(&mut self, module: &mut Module, pass: Pass) {
        for (func, state) in module.funcs.iter_mut().zip(&mut self.funcs) {
            let before = state.now.unwrap_or_else(|| fingerprint(func));
            let idle = state.idle.iter_mut().find(|(known, _)| *known == pass as usize);
            if idle.as_ref().is_some_and(|(_, at)| *at == before) {
                state.now = Some(before);
                continue;
            }
            pass(func);
            let after = fingerprint(func);
            state.now = Some(after);
            match idle {
                _ if after != before => {}
                Some((_, at)) => *at = after,
                None => state.idle.push((pass as usize, after)),
            }
        }
    }
}

/// A hash of what is reachable in a function.
fn fingerprint(func: &Func) -> u64 {
    let mut hasher = FxHasher::default();
    for &blk in &func.order {
        let block = &func.blocks[blk.at()];
        blk.hash(&mut hasher);
        block.params.hash(&mut hasher);
        for &inst in &block.insts {
            inst.hash(&mut hasher);
            func.op(inst).hash(&mut hasher);
        }
        block.term.hash(&mut hasher);
    }
    hasher.finish()
}
