//! Loops of one small block that run a known number of times do several rounds at a
//! time, or all: fewer branches and steps of counters, and addresses that differ by
//! constants only, so that slots of an array on the stack may become values.

use super::loops::{self, Loop};
use crate::ir::flow::Dominators;
use crate::ir::{Blk, Func, Op, Term, Val};

/// Operations of a loop that is written out as a whole.
const WHOLE: u64 = 128;
/// Operations of several rounds together, and how many rounds that may be.
const LARGEST: u64 = 40;
const FACTORS: [u64; 6] = [8, 4, 2, 6, 5, 3];
/// Values of a function after which it is left alone.
const FUNC_LIMIT: usize = 6000;

/// Unrolls the loops of a function.
pub fn run(func: &mut Func) {
    loops(func, true);
}

/// Writes out loops that are short enough as a whole.
pub fn whole(func: &mut Func) {
    loops(func, false);
}

/// Whether a loop that is short enough to be written out lies in another one.
pub fn is_nested(func: &Func) -> bool {
    let preds = func.preds();
    let dominators = Dominators::new(func, &preds);
    let back = |head: Blk, pred: Blk| pred != head && dominators.dominates(head, pred);
    let outer = func.order.iter().any(|&head| preds.of(head).iter().any(|&pred| back(head, pred)));
    outer
        && func.order.iter().any(|&blk| {
            let size = func.blocks[blk.at()].insts.len() as u64;
            let found = loops::counted(func, &preds, blk);
            found.is_some_and(|found| found.rounds * size <= WHOLE)
        })
}

fn loops(func: &mut Func, parts: bool) {
    let preds = func.preds();
    let mut changed = false;
    for blk in func.order.clone() {
        if func.ops.len() > FUNC_LIMIT {
            break;
        }
        let Some(found) = loops::counted(func, &preds, blk) else { continue };
        let size = func.blocks[blk.at()].insts.len() as u64;
        let calls = |inst: &Val| {
            let op = func.op(*inst);
            matches!(op, Op::Call { .. }) || op.calls_host()
        };
        if func.blocks[blk.at()].insts.iter().any(calls) {
            continue;
        }
        let factor = if found.rounds * size <= WHOLE {
            found.rounds
        } else if !parts {
            1
        } else {
            let fits =
                |factor: &u64| found.rounds.is_multiple_of(*factor) && size * factor <= LARGEST;
            FACTORS.into_iter().find(fits).unwrap_or(1)
        };
        if factor > 1 || found.rounds == 1 {
            unroll(func, &found, factor);
            changed = true;
        }
    }
    if changed {
        func.compute_order();
    }
}

/// Puts copies of all rounds but the last before the block's own operations, which are
/// the last round: what is used behind the loop stays where it is.
fn unroll(func: &mut Func, found: &Loop, factor: u64) {
    let blk = found.blk.at();
    let (params, own) = (func.blocks[blk].params.clone(), func.blocks[blk].insts.clone());
    let mut insts = Vec::with_capacity(own.len() * factor as usize);
    // What each value of the round at hand is called.
    let mut names: Vec<Val> = (0..func.ops.len() as u32).map(Val).collect();
    for _ in 1..factor {
        for &inst in &own {
            let mut op = func.op(inst);
            op.map(|val| names[val.at()]);
            let made = func.push(op, func.pcs[inst.at()]);
            names[inst.at()] = made;
            insts.push(made);
        }
        let next: Vec<Val> = found.round.args.iter().map(|arg| names[arg.at()]).collect();
        for (param, next) in params.iter().zip(next) {
            names[param.at()] = next;
        }
    }
    // The last round, and everything behind, sees the parameters as that round does.
    // One step of renaming: a parameter may have become another one.
    let last = |val: Val| if params.contains(&val) { names[val.at()] } else { val };
    if factor == found.rounds {
        func.blocks[blk].term = Term::Jump(found.exit.clone());
    }
    for &other in &func.order {
        let block = &mut func.blocks[other.at()];
        for &inst in &block.insts {
            func.ops[inst.at()].map(last);
        }
        block.term.map(last);
    }
    insts.extend(own);
    func.blocks[blk].insts = insts;
}
