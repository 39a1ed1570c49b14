//! Tail duplication: the end of a loop, a few operations and the branch that goes round, is copied to
//! each place that jumps to it: a way through the loop then takes one jump instead of
//! two, and each copy has a branch of its own to predict.

use crate::ir::flow::{Dominators, Preds};
use crate::ir::{Blk, Forward, Func, Op, Term, Val};

/// Operations of an end that is copied, and places that it is copied to.
const LARGEST: usize = 6;
const COPIES: usize = 16;
/// Ends of one function that are copied: each is a walk through all of it.
const ENDS: usize = 64;

/// Copies the ends of loops.
pub fn run(func: &mut Func) {
    let preds = func.preds();
    let dominators = Dominators::new(func, &preds);
    let mut done = 0;
    for latch in func.order.clone() {
        let Some(exit) = exit(func, &preds, &dominators, latch) else { continue };
        let jumps = |&pred: &Blk| {
            pred != latch
                && matches!(&func.blocks[pred.at()].term, Term::Jump(edge) if edge.to == latch)
        };
        let places: Vec<Blk> = preds.of(latch).iter().copied().filter(jumps).collect();
        if done == ENDS {
            break;
        }
        if preds.of(latch).len() < 2 || places.is_empty() || places.len() > COPIES {
            continue;
        }
        close(func, latch, exit);
        places.into_iter().for_each(|place| copy(func, latch, place));
        done += 1;
    }
    if done > 0 {
        func.compute_order();
    }
}

/// Where a small end of a loop leads to besides the loop's head.
fn exit(func: &Func, preds: &Preds, dominators: &Dominators, latch: Blk) -> Option<Blk> {
    let block = &func.blocks[latch.at()];
    let Term::Branch { yes, no, .. } = &block.term else { return None };
    let round = |head: Blk| head != latch && dominators.dominates(head, latch);
    let exit = match (round(yes.to), round(no.to)) {
        (true, false) => no.to,
        (false, true) => yes.to,
        _ => return None,
    };
    (block.insts.len() <= LARGEST && exit != latch && preds.of(exit).len() == 1).then_some(exit)
}

/// Gives what the end defines to the exit as parameters. All uses outside of the loop's
/// end are behind the exit, since the head is not dominated by it.
fn close(func: &mut Func, latch: Blk, exit: Blk) {
    let block = &func.blocks[latch.at()];
    let own: Vec<Val> = block.params.iter().chain(&block.insts).copied().collect();
    let mut forward = Forward::new(func.ops.len());
    let mut outside = vec![false; func.ops.len()];
    for &blk in func.order.iter().filter(|&&blk| blk != latch) {
        let block = &func.blocks[blk.at()];
        block.insts.iter().for_each(|&inst| func.op(inst).each(|val| outside[val.at()] = true));
        block.term.each(|val| outside[val.at()] = true);
    }
    let mut passed = Vec::new();
    for val in own.into_iter().filter(|val| outside[val.at()]) {
        let param = func.push(Op::Param, func.pcs[val.at()]);
        forward.grow(func.ops.len());
        forward.set(val, param);
        func.blocks[exit.at()].params.push(param);
        passed.push(val);
    }
    for blk in func.order.clone().into_iter().filter(|&blk| blk != latch) {
        for index in 0..func.blocks[blk.at()].insts.len() {
            let inst = func.blocks[blk.at()].insts[index];
            func.ops[inst.at()].map(|val| forward.find(val));
        }
        func.blocks[blk.at()].term.map(|val| forward.find(val));
    }
    let to_exit = func.blocks[latch.at()].term.edges_mut().find(|edge| edge.to == exit);
    to_exit.into_iter().for_each(|edge| edge.args.extend(&passed));
}

/// Puts a copy of the end in the place of a jump to it.
fn copy(func: &mut Func, latch: Blk, place: Blk) {
    let Term::Jump(edge) = func.blocks[place.at()].term.clone() else { return };
    let mut names: Vec<(Val, Val)> =
        func.blocks[latch.at()].params.iter().copied().zip(edge.args).collect();
    let name = |names: &[(Val, Val)], val: Val| {
        names.iter().find(|(from, _)| *from == val).map_or(val, |&(_, to)| to)
    };
    for inst in func.blocks[latch.at()].insts.clone() {
        let mut op = func.op(inst);
        op.map(|val| name(&names, val));
        let made = func.push(op, func.pcs[inst.at()]);
        func.blocks[place.at()].insts.push(made);
        names.push((inst, made));
    }
    let mut term = func.blocks[latch.at()].term.clone();
    term.map(|val| name(&names, val));
    func.blocks[place.at()].term = term;
}
