//! Branches that only choose between values become selections: both sides lead to the
//! same block, over at most a few cheap operations. Data decides such branches, so
//! that they are predicted badly, and a selection costs little.
//!
//! Sums that only one side adds to are added to on both: 0 where the other side was to
//! be taken. What is carried round a loop then still passes through one addition, so
//! that more operations are worth it.

use skep_isa::Width;

use super::bits::Bits;
use crate::ir::flow::{Dominators, Preds};
use crate::ir::{Bin, Blk, Edge, Exit, Func, Op, Term, Val};

/// Operations that are done although the other side might be taken.
const EXTRA: usize = 1;
/// Values that are selected.
const SELECTED: usize = 1;
/// The same where all values are sums, and how many there may be.
const SUMS_EXTRA: usize = 10;
const SUMS: usize = 4;

/// Operations of a side where all of a loop's blocks are to become one.
const ALL_EXTRA: usize = 64;

/// Converts what it finds, inner branches first.
pub fn run(func: &mut Func) {
    convert(func, None);
}

/// Converts branches of these blocks, whatever it costs.
pub fn within(func: &mut Func, body: &[Blk]) {
    convert(func, Some(body));
}

fn convert(func: &mut Func, body: Option<&[Blk]>) {
    let preds = func.preds();
    let bits = Bits::compute(func, &preds, &Dominators::new(func, &preds));
    for blk in func.order.clone().into_iter().rev() {
        let Term::Branch { cond, width, left, right, yes, no } = &func.blocks[blk.at()].term else {
            continue;
        };
        if body.is_some_and(|body| !body.contains(&blk)) {
            continue;
        }
        let (cond, width, left, right) = (*cond, *width, *left, *right);
        let Some((yes, no)) = meet(func, &preds, yes, no) else { continue };
        let extra = yes.0.iter().chain(&no.0).map(|arm| func.blocks[arm.at()].insts.len());
        let extra = extra.sum::<usize>();
        let pairs: Vec<(Val, Val)> = yes.1.args.into_iter().zip(no.1.args).collect();
        let differing = || pairs.iter().filter(|(yes, no)| yes != no);
        let plain = differing().filter(|(yes, no)| sum(func, &bits, *yes, *no).is_none()).count();
        let few = extra <= EXTRA && (1..=SELECTED).contains(&differing().count());
        let sums = extra <= SUMS_EXTRA && plain == 0 && (1..=SUMS).contains(&differing().count());
        let all = body.is_some() && extra <= ALL_EXTRA && yes.1.to != blk;
        if !few && !sums && !all {
            continue;
        }
        for arm in yes.0.into_iter().chain(no.0) {
            let insts = std::mem::take(&mut func.blocks[arm.at()].insts);
            func.blocks[blk.at()].insts.extend(insts);
            func.blocks[arm.at()].term = Term::Trap(Exit::BadJump, 0);
        }
        let test = func.push(Op::Cmp(cond, width, left, right), 0);
        func.blocks[blk.at()].insts.push(test);
        let mut args = Vec::with_capacity(pairs.len());
        for (yes, no) in pairs {
            args.push(match sum(func, &bits, yes, no) {
                _ if yes == no => yes,
                Some(Sum { of, width, added, if_holds }) => {
                    let zero = func.push(Op::Const(0), 0);
                    let (yes, no) = if if_holds { (added, zero) } else { (zero, added) };
                    let added = emit(func, blk, Op::Select(test, yes, no));
                    emit(func, blk, Op::Bin(Bin::Add, width, of, added))
                }
                None => emit(func, blk, Op::Select(test, yes, no)),
            });
        }
        func.blocks[blk.at()].term = Term::Jump(Edge { to: yes.1.to, args });
    }
    func.compute_order();
}

fn emit(func: &mut Func, blk: Blk, op: Op) -> Val {
    let val = func.push(op, 0);
    func.blocks[blk.at()].insts.push(val);
    val
}

/// A value that one side adds to, and the other leaves as it is.
struct Sum {
    of: Val,
    width: Width,
    added: Val,
    if_holds: bool,
}

fn sum(func: &Func, bits: &Bits, yes: Val, no: Val) -> Option<Sum> {
    let more = |more: Val, than: Val| match func.op(more) {
        // Values that were made here are not known to the analysis.
        Op::Bin(Bin::Add, width, left, right)
            if width == Width::W64 || bits.knows(than) && bits.is_half(than) =>
        {
            match (left == than, right == than) {
                (true, _) => Some((width, right)),
                (_, true) => Some((width, left)),
                _ => None,
            }
        }
        _ => None,
    };
    if let Some((width, added)) = more(yes, no) {
        return Some(Sum { of: no, width, added, if_holds: true });
    }
    let (width, added) = more(no, yes)?;
    Some(Sum { of: yes, width, added, if_holds: false })
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
        Op::Ext { .. } | Op::Swap(..) | Op::Cmp(..) | Op::Select(..) => true,
        _ => false,
    }
}
