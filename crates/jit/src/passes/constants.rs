//! Constants of 64 bits that loops use are made before the loop and kept in registers.
//! The back end would put them into memory, or write them out, at every use; it does
//! not see through an exclusive or, which is what they are made by.

use rustc_hash::FxHashMap;
use skep_isa::Width;

use crate::ir::flow::Dominators;
use crate::ir::{Bin, Blk, Func, Op, Val};

/// Constants of a loop that are kept.
const KEPT: usize = 4;

/// Moves constants out of the outermost loops.
pub fn run(func: &mut Func) {
    let preds = func.preds();
    let dominators = Dominators::new(func, &preds);
    let mut inside = vec![false; func.blocks.len()];
    for head in func.order.clone() {
        let latches =
            preds.of(head).iter().filter(|&&pred| dominators.dominates(head, pred)).copied();
        let mut work: Vec<Blk> = latches.collect();
        if work.is_empty() || inside[head.at()] {
            continue;
        }
        // Backwards from where the loop goes round to its head.
        let mut body = vec![head];
        inside[head.at()] = true;
        while let Some(blk) = work.pop() {
            if !std::mem::replace(&mut inside[blk.at()], true) {
                body.push(blk);
                work.extend(preds.of(blk));
            }
        }
        keep(func, &body, dominators.parent[head.at()]);
    }
}

/// Whether the machine has no room for a number in an instruction.
fn is_long(number: u64) -> bool {
    i32::try_from(number as i64).is_err()
}

/// Uses one value for each of a loop's long constants, made at the end of `before`.
fn keep(func: &mut Func, body: &[Blk], before: Blk) {
    let mut uses: FxHashMap<u64, usize> = FxHashMap::default();
    for &blk in body {
        for &inst in &func.blocks[blk.at()].insts {
            if takes(func.op(inst)) {
                func.op(inst).each(|val| {
                    if let Some(number) = func.number(val).filter(|&number| is_long(number)) {
                        *uses.entry(number).or_default() += 1;
                    }
                });
            }
        }
    }
    let mut numbers: Vec<(usize, u64)> =
        uses.into_iter().map(|(number, uses)| (uses, number)).collect();
    numbers.sort_unstable_by(|a, b| b.cmp(a));
    numbers.truncate(KEPT);
    let pc = func.blocks[before.at()].insts.last().map_or(0, |last| func.pcs[last.at()]);
    let mut kept: Vec<(u64, Val)> = Vec::new();
    for (_, number) in numbers {
        let (inverse, all) =
            (func.push(Op::Const(!number), pc), func.push(Op::Const(u64::MAX), pc));
        let val = func.push(Op::Bin(Bin::Xor, Width::W64, inverse, all), pc);
        func.blocks[before.at()].insts.push(val);
        kept.push((number, val));
    }
    for &blk in body {
        for index in 0..func.blocks[blk.at()].insts.len() {
            let inst = func.blocks[blk.at()].insts[index];
            let mut op = func.op(inst);
            if takes(op) {
                op.map(|val| {
                    let number = func.number(val);
                    let known = kept.iter().find(|(kept, _)| Some(*kept) == number);
                    known.map_or(val, |&(_, kept)| kept)
                });
                func.ops[inst.at()] = op;
            }
        }
    }
}

/// Operations of 64 bits that are as good with a register.
fn takes(op: Op) -> bool {
    matches!(
        op,
        Op::Bin(
            Bin::Add | Bin::Sub | Bin::Mul | Bin::MulHigh | Bin::And | Bin::Or | Bin::Xor,
            Width::W64,
            ..
        )
    )
}
