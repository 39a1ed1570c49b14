//! Long sums become trees: `a + b + c + d + e` is `a + ((b + c) + (d + e))`, in windows of
//! four terms, so that what is carried from block to block passes through one
//! operation a window instead of four.

use skep_isa::Width;

use crate::ir::{Bin, Func, Op, Val};

/// Terms that are put together before they meet the carried value.
const WINDOW: usize = 4;

/// Rearranges sums in every block.
pub fn run(func: &mut Func) {
    let uses = func.uses();
    // Operations on the longest way from the block's start, from 1; 0 elsewhere.
    let mut depth = vec![0u32; func.ops.len()];
    for blk in func.order.clone() {
        let insts = std::mem::take(&mut func.blocks[blk.at()].insts);
        for &inst in &insts {
            let mut deepest = 0;
            func.op(inst).each(|val| deepest = deepest.max(depth[val.at()]));
            depth[inst.at()] = deepest + 1;
        }
        let out = block(func, &uses, &depth, &insts);
        insts.iter().for_each(|inst| depth[inst.at()] = 0);
        func.blocks[blk.at()].insts = out;
        depth.resize(func.ops.len(), 0);
    }
}

fn block(func: &mut Func, uses: &[u32], depth: &[u32], insts: &[Val]) -> Vec<Val> {
    let mut taken = vec![false; func.ops.len()];
    let mut dropped = vec![false; func.ops.len()];
    let mut before: Vec<(Val, Vec<Val>)> = Vec::new();
    for &top in insts.iter().rev() {
        if taken[top.at()] || depth[top.at()] == 0 {
            continue;
        }
        let Some((op, ..)) = split(func, depth, top) else { continue };
        // Down the carried operand, over sums that nothing else uses.
        let mut nodes = vec![top];
        while let Some((_, carried, _)) = nodes.last().and_then(|&node| split(func, depth, node)) {
            let same = split(func, depth, carried).is_some_and(|(inner, ..)| inner == op);
            let free = depth[carried.at()] > 0 && uses[carried.at()] == 1 && !taken[carried.at()];
            if !same || !free {
                break;
            }
            nodes.push(carried);
        }
        nodes.iter().for_each(|node| taken[node.at()] = true);
        if nodes.len() < 2 {
            continue;
        }
        nodes.reverse();
        let Some((_, mut carried, _)) = split(func, depth, nodes[0]) else { continue };
        // Taken apart before anything is changed.
        let terms: Vec<Val> = nodes
            .iter()
            .filter_map(|&node| split(func, depth, node).map(|(_, _, term)| term))
            .collect();
        for (window, terms) in nodes.chunks(WINDOW).zip(terms.chunks(WINDOW)) {
            let Some((&end, inner)) = window.split_last() else { continue };
            let pc = func.pcs[end.at()];
            let (mut level, mut made) = (terms.to_vec(), Vec::new());
            while level.len() > 1 {
                level = level
                    .chunks(2)
                    .map(|pair| match *pair {
                        [left, right] => {
                            let val = func.push(Op::Bin(op, Width::W64, left, right), pc);
                            made.push(val);
                            val
                        }
                        _ => pair[0],
                    })
                    .collect();
            }
            func.ops[end.at()] = Op::Bin(op, Width::W64, carried, level[0]);
            inner.iter().for_each(|node| dropped[node.at()] = true);
            before.push((end, made));
            carried = end;
        }
    }
    let mut place: Vec<Option<u32>> = vec![None; taken.len()];
    for (index, (end, _)) in before.iter().enumerate() {
        place[end.at()] = Some(index as u32);
    }
    let mut out = Vec::with_capacity(insts.len() + before.len());
    for &inst in insts {
        if dropped[inst.at()] {
            continue;
        }
        if let Some(index) = place[inst.at()] {
            out.append(&mut before[index as usize].1);
        }
        out.push(inst);
    }
    out
}

/// A sum as operation, carried operand (the later one) and term.
fn split(func: &Func, depth: &[u32], val: Val) -> Option<(Bin, Val, Val)> {
    let Op::Bin(op @ (Bin::Add | Bin::Xor | Bin::Min | Bin::Max), Width::W64, left, right) =
        func.op(val)
    else {
        return None;
    };
    if func.number(right).is_some() || func.number(left).is_some() {
        return None;
    }
    let sum = |val: Val| matches!(func.op(val), Op::Bin(inner, Width::W64, ..) if inner == op || matches!((op, inner), (Bin::Add, Bin::Xor) | (Bin::Xor, Bin::Add)));
    let order = |val: Val| {
        let at = depth.get(val.at()).copied().unwrap_or(0);
        (sum(val) && at > 0, func.op(val) == Op::Param, at)
    };
    Some(if order(left) >= order(right) { (op, left, right) } else { (op, right, left) })
}
