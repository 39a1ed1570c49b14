//! Congruent parameters: those of a block that always get equal values become one, a counter that the
//! bytecode keeps twice, a number that the compiler split into two registers. Values
//! are numbered as if parameters of a block were equal until an edge shows that they
//! are not (Simpson's optimistic numbering in reverse post-order), so that counters
//! which only depend on each other are found too.

use rustc_hash::FxHashMap;

use crate::ir::{Blk, Forward, Func, Op, Val};

/// Rounds until the numbering is given up.
const ROUNDS: u32 = 12;
/// Not seen yet: equal to anything.
const ANY: u32 = u32::MAX;

/// Joins equal parameters.
pub fn run(func: &mut Func) {
    let mut inner = func.order.iter().filter(|&&blk| blk != Blk::ENTRY);
    if inner.all(|blk| func.blocks[blk.at()].params.len() < 2) {
        return;
    }
    let Some(numbers) = number(func) else { return };
    let mut forward = Forward::new(func.ops.len());
    let mut any = false;
    for &blk in func.order.iter().filter(|&&blk| blk != Blk::ENTRY) {
        let params = &func.blocks[blk.at()].params;
        for (index, &param) in params.iter().enumerate() {
            let number = numbers[param.at()];
            let equal = params[..index].iter().find(|other| numbers[other.at()] == number);
            if let Some(&equal) = equal {
                forward.set(param, equal);
                any = true;
            }
        }
    }
    if any {
        func.forward(&mut forward);
        super::clean::dead(func);
    }
}

/// What a value is, by the numbers of its parts.
#[derive(PartialEq, Eq, Hash)]
enum Key {
    Op(Op),
    Param(Blk, Vec<u32>),
}

/// Numbers that are the same only for equal values.
fn number(func: &Func) -> Option<Vec<u32>> {
    let mut numbers = vec![ANY; func.ops.len()];
    let mut constants: FxHashMap<u64, u32> = FxHashMap::default();
    for (index, op) in func.ops.iter().enumerate() {
        if let Op::Const(number) = *op {
            numbers[index] = *constants.entry(number).or_insert(index as u32);
        }
    }
    for &param in &func.blocks[Blk::ENTRY.at()].params {
        numbers[param.at()] = param.0;
    }
    let preds = func.preds();
    let loops = func.has_loops();
    for _ in 0..ROUNDS {
        let mut changed = false;
        let mut known: FxHashMap<Key, u32> = FxHashMap::default();
        let mut set = |numbers: &mut [u32], val: Val, number: u32| {
            changed |= std::mem::replace(&mut numbers[val.at()], number) != number;
        };
        for &blk in &func.order {
            let block = &func.blocks[blk.at()];
            if blk != Blk::ENTRY {
                for (index, &param) in block.params.iter().enumerate() {
                    let args = preds.of(blk).iter().flat_map(|pred| {
                        let edges = func.blocks[pred.at()].term.edges();
                        edges.filter(|edge| edge.to == blk).map(|edge| edge.args[index])
                    });
                    let args = args.map(|arg| numbers[arg.at()]).collect();
                    let number = *known.entry(Key::Param(blk, args)).or_insert(param.0);
                    set(&mut numbers, param, number);
                }
            }
            for &inst in &block.insts {
                let mut op = func.op(inst);
                let mut number = inst.0;
                if op.is_pure() {
                    op.map(|val| Val(numbers[val.at()]));
                    number = *known.entry(Key::Op(op)).or_insert(inst.0);
                }
                set(&mut numbers, inst, number);
            }
        }
        // Without a way back, the first round has seen all.
        if !changed || !loops {
            return Some(numbers);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use skep_isa::Width;

    use super::*;
    use crate::describe::{ByteOrder, Callee};
    use crate::ir::{Bin, Block, Edge, Term};

    /// A loop whose two counters start at these numbers and step by 1.
    fn two_counters(first: u64, second: u64) -> Func {
        let (ops, pcs, blocks, order) = (vec![], vec![], vec![], vec![]);
        let (bytes, callees) = (ByteOrder::HOST, |_| &Callee::UNKNOWN);
        let mut func = Func { ops, pcs, blocks, order, frames: 1, bytes, callees };
        let mut push = |op| func.push(op, 0);
        let (start, other) = (push(Op::Const(first)), push(Op::Const(second)));
        let (one, limit) = (push(Op::Const(1)), push(Op::Const(9)));
        let (left, right) = (push(Op::Param), push(Op::Param));
        let next = push(Op::Bin(Bin::Add, Width::W64, left, one));
        let also = push(Op::Bin(Bin::Add, Width::W64, right, one));
        let edge = |to, args: &[Val]| Edge { to: Blk(to), args: args.to_vec() };
        let branch = Term::Branch {
            cond: skep_isa::Cond::Lt,
            width: Width::W64,
            left: next,
            right: limit,
            yes: edge(1, &[next, also]),
            no: edge(2, &[]),
        };
        let block = |params: &[Val], insts: &[Val], term| Block {
            params: params.to_vec(),
            insts: insts.to_vec(),
            term,
        };
        func.blocks = vec![
            block(&[], &[], Term::Jump(edge(1, &[start, other]))),
            block(&[left, right], &[next, also], branch),
            block(&[], &[], Term::Return(also)),
        ];
        func.compute_order();
        func
    }

    #[test]
    fn counters_in_step_become_one() {
        let mut func = two_counters(3, 3);
        run(&mut func);
        assert_eq!(func.blocks[1].params.len(), 1);
    }

    #[test]
    fn counters_with_different_starts_stay_two() {
        let mut func = two_counters(3, 4);
        run(&mut func);
        assert_eq!(func.blocks[1].params.len(), 2);
    }
}
