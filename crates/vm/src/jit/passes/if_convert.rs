//! Branches that only choose between values become selections: both sides lead to the
//! same block, over at most a few cheap operations. Data decides such branches, so
//! that they are predicted badly, and a selection costs little.

use crate::jit::ir::flow::Preds;
use crate::jit::ir::{Bin, Blk, Edge, Exit, Func, Op, Term, Val};

/// Operations that are done although the other side might be taken.
const EXTRA: usize = 1;
/// Values that are selected.
const SELECTED: usize = 1;

/// Converts what it finds, inner branches first.
pub fn run(func: &mut Func) {
    let preds = func.preds();
    for blk in func.order.clone().into_iter().rev() {
        let Term::Branch { cond, width, left, right, yes, no } = &func.blocks[blk.at()].term else {
            continue;
        };
        let (cond, width, left, right) = (*cond, *width, *left, *right);
        let Some((yes, no)) = meet(func, &preds, yes, no) else { continue };
        let extra = yes.0.iter().chain(&no.0).map(|arm| func.blocks[arm.at()].insts.len());
        let differing = yes.1.args.iter().zip(&no.1.args).filter(|(yes, no)| yes != no).count();
        if extra.sum::<usize>() > EXTRA || !(1..=SELECTED).contains(&differing) {
            continue;
        }
        for arm in yes.0.into_iter().chain(no.0) {
            let insts = std::mem::take(&mut func.blocks[arm.at()].insts);
            func.blocks[blk.at()].insts.extend(insts);
            func.blocks[arm.at()].term = Term::Trap(Exit::BadJump, 0);
        }
        let test = func.push(Op::Cmp(cond, width, left, right), 0);
        func.blocks[blk.at()].insts.push(test);
        let pairs: Vec<(Val, Val)> = yes.1.args.into_iter().zip(no.1.args).collect();
        let mut args = Vec::with_capacity(pairs.len());
        for (yes, no) in pairs {
            args.push(if yes == no {
                yes
            } else {
                let val = func.push(Op::Select(test, yes, no), 0);
                func.blocks[blk.at()].insts.push(val);
                val
            });
        }
        func.blocks[blk.at()].term = Term::Jump(Edge { to: yes.1.to, args });
    }
    func.compute_order();
}

/// A side of a branch: a block of its own, if there is one, and the edge to where both
/// sides meet.
type Side = (Option<Blk>, Edge);

fn meet(func: &Func, preds: &Preds, yes: &Edge, no: &Edge) -> Option<(Side, Side)> {
    let arm = |edge: &Edge| -> Option<Side> {
        let block = &func.blocks[edge.to.at()];
        let Term::Jump(on) = &block.term else { return None };
        let own = preds.of(edge.to).len() == 1 && block.params.is_empty() && on.to != edge.to;
        let cheap = block.insts.iter().all(|&inst| is_cheap(func.op(inst)));
        (own && cheap).then(|| (Some(edge.to), on.clone()))
    };
    let straight = |edge: &Edge| -> Side { (None, edge.clone()) };
    if yes.to == no.to {
        return Some((straight(yes), straight(no)));
    }
    match (arm(yes), arm(no)) {
        (Some(yes), Some(no)) if yes.1.to == no.1.to => Some((yes, no)),
        (Some(yes), _) if yes.1.to == no.to => Some((yes, straight(no))),
        (_, Some(no)) if no.1.to == yes.to => Some((straight(yes), no)),
        _ => None,
    }
}

fn is_cheap(op: Op) -> bool {
    match op {
        Op::Bin(op, ..) => !matches!(op, Bin::Mul | Bin::Div | Bin::Mod | Bin::SDiv | Bin::SMod),
        Op::Ext { .. } | Op::Swap(..) | Op::Cmp(..) => true,
        _ => false,
    }
}
