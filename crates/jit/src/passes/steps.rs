//! Loop counters in one register: the step of a counter goes behind the other uses of
//! its old value, and a test of the old value becomes one of the new.

use skep_isa::{Cond, Width};

use super::bits::Bits;
use crate::ir::flow::Dominators;
use crate::ir::{Bin, Func, Op, Term, Val};

/// Numbers that stay positive in 32 bits when a step is added.
const LIMIT: u64 = 1 << 30;

/// Rearranges counters in every block.
pub fn run(func: &mut Func) {
    compare_next(func);
    sink(func);
}

/// The counter and the step, if a value is a counter plus a constant.
fn step(func: &Func, val: Val) -> Option<(Val, u64)> {
    let Op::Bin(Bin::Add, _, of, by) = func.op(val) else { return None };
    let by = func.number(by)?;
    (func.op(of) == Op::Param).then_some((of, by))
}

/// `p < n` after `p + c` was made in the same block: `p + c < n + c`.
fn compare_next(func: &mut Func) {
    let preds = func.preds();
    let dominators = Dominators::new(func, &preds);
    let bits = Bits::compute(func, &preds, &dominators);
    let uses = func.uses();
    for blk in func.order.clone() {
        let block = &func.blocks[blk.at()];
        let &Term::Branch { cond, width, left, right, .. } = &block.term else { continue };
        let Some(limit) = func.number(right).filter(|limit| *limit <= LIMIT) else { continue };
        let ordered =
            matches!(cond, Cond::Eq | Cond::Ne | Cond::Lt | Cond::Le | Cond::Gt | Cond::Ge);
        if !ordered || func.op(left) != Op::Param {
            continue;
        }
        let next = block.insts.iter().copied().find_map(|inst| {
            let (of, by) = step(func, inst)?;
            let wide = width == Width::W64 && matches!(func.op(inst), Op::Bin(_, Width::W64, ..));
            let fits = bits.upper(left) <= if wide { 1 << 60 } else { LIMIT };
            (of == left && (1..LIMIT).contains(&by) && fits).then_some((inst, by))
        });
        let Some((next, by)) = next else { continue };
        // Only where it is the counter of a loop that goes on from here.
        let passed = block.term.edges().any(|edge| edge.args.contains(&next));
        // Or where nothing else needs the old value.
        if !passed && uses[left.at()] != 2 {
            continue;
        }
        let pc = func.pcs[next.at()];
        let limit = func.push(Op::Const(limit + by), pc);
        if let Term::Branch { left, right, .. } = &mut func.blocks[blk.at()].term {
            (*left, *right) = (next, limit);
        }
    }
}

/// Moves steps that nothing in their block uses to its end.
fn sink(func: &mut Func) {
    let mut used = vec![false; func.ops.len()];
    for blk in func.order.clone() {
        let block = &func.blocks[blk.at()];
        let operands = |mark: &mut dyn FnMut(Val)| {
            block.insts.iter().for_each(|&inst| func.op(inst).each(&mut *mark));
        };
        operands(&mut |val| used[val.at()] = true);
        let (steps, rest): (Vec<Val>, Vec<Val>) =
            block.insts.iter().partition(|&&inst| step(func, inst).is_some() && !used[inst.at()]);
        operands(&mut |val| used[val.at()] = false);
        func.blocks[blk.at()].insts = rest;
        func.blocks[blk.at()].insts.extend(steps);
    }
}
