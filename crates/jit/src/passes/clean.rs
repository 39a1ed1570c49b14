//! Tidying between passes: parameters that are always the same value, values that
//! nothing uses, blocks that only pass control on.

use crate::ir::{Blk, Edge, Forward, Func, Term, Val};

/// All of it.
pub fn run(func: &mut Func) {
    blocks(func);
    params(func);
    dead(func);
}

/// Removes parameters that every edge gives the same value (or the parameter itself),
/// with a worklist: what a removal makes superfluous is looked at again.
pub fn params(func: &mut Func) {
    let mut inner = func.order.iter().filter(|&&blk| blk != Blk::ENTRY);
    if inner.all(|blk| func.blocks[blk.at()].params.is_empty()) {
        return;
    }
    let mut forward = Forward::new(func.ops.len());
    let preds = func.preds();
    // For each parameter the parameters that get it: to look at again after it went.
    let mut home: Vec<Option<(Blk, u32)>> = vec![None; func.ops.len()];
    for &blk in &func.order {
        for (index, &param) in func.blocks[blk.at()].params.iter().enumerate() {
            home[param.at()] = Some((blk, index as u32));
        }
    }
    let mut feeds: Option<Vec<(Val, Val)>> = None;
    let mut work: Vec<Val> = Vec::new();
    for &blk in func.order.iter().rev() {
        if blk != Blk::ENTRY {
            work.extend(func.blocks[blk.at()].params.iter().rev());
        }
    }
    let mut waits = vec![false; func.ops.len()];
    work.iter().for_each(|param| waits[param.at()] = true);
    while let Some(param) = work.pop() {
        waits[param.at()] = false;
        let Some((blk, index)) = home[param.at()] else { continue };
        if forward.moved(param) {
            continue;
        }
        let mut same = None;
        let mut differs = false;
        for &pred in preds.of(blk) {
            for edge in func.blocks[pred.at()].term.edges().filter(|edge| edge.to == blk) {
                let arg = forward.find(edge.args[index as usize]);
                let equal = |other: Val| {
                    other == arg
                        || func.number(other).is_some() && func.number(other) == func.number(arg)
                };
                match same {
                    _ if arg == param => {}
                    None => same = Some(arg),
                    Some(other) => differs |= !equal(other),
                }
            }
        }
        if let (Some(same), false) = (same, differs) {
            forward.set(param, same);
            let feeds = feeds.get_or_insert_with(|| feeds_of(func, &home));
            let first = feeds.partition_point(|&(from, _)| from < param);
            for &(_, fed) in feeds[first..].iter().take_while(|&&(from, _)| from == param) {
                if !std::mem::replace(&mut waits[fed.at()], true) {
                    work.push(fed);
                }
            }
        }
    }
    if forward.is_idle() {
        return;
    }
    retain_params(func, |param| !forward.moved(param));
    func.forward(&mut forward);
}

/// Parameters and those that edges give them to, sorted by the former.
fn feeds_of(func: &Func, home: &[Option<(Blk, u32)>]) -> Vec<(Val, Val)> {
    let mut feeds = Vec::new();
    for &blk in &func.order {
        for edge in func.blocks[blk.at()].term.edges() {
            let params = &func.blocks[edge.to.at()].params;
            let pairs = edge.args.iter().copied().zip(params.iter().copied());
            feeds.extend(pairs.filter(|&(arg, param)| home[arg.at()].is_some() && arg != param));
        }
    }
    feeds.sort_by_key(|&(from, _)| from);
    feeds
}

/// Keeps the parameters that `keep` says, and their arguments.
fn retain_params(func: &mut Func, keep: impl Fn(Val) -> bool) {
    let mut kept: Vec<Option<Vec<bool>>> = vec![None; func.blocks.len()];
    let mut any = false;
    for &blk in &func.order {
        if blk == Blk::ENTRY {
            continue;
        }
        let block = &mut func.blocks[blk.at()];
        if !block.params.iter().all(|&param| keep(param)) {
            any = true;
            let mask: Vec<bool> = block.params.iter().map(|&param| keep(param)).collect();
            let mut at = mask.iter();
            block.params.retain(|_| at.next().is_none_or(|&keep| keep));
            kept[blk.at()] = Some(mask);
        }
    }
    if !any {
        return;
    }
    for &blk in &func.order {
        for edge in func.blocks[blk.at()].term.edges_mut() {
            if let Some(mask) = &kept[edge.to.at()] {
                let mut at = mask.iter();
                edge.args.retain(|_| at.next().is_none_or(|&keep| keep));
            }
        }
    }
}

/// Removes values that nothing with an effect needs, parameters included.
pub fn dead(func: &mut Func) {
    let mut live = vec![false; func.ops.len()];
    let mut work = Vec::new();
    let mut home: Vec<Option<(Blk, u32)>> = vec![None; func.ops.len()];
    for &blk in &func.order {
        let block = &func.blocks[blk.at()];
        work.extend(block.insts.iter().copied().filter(|&inst| func.op(inst).has_effect()));
        block.term.each_own(|val| work.push(val));
        for (index, &param) in block.params.iter().enumerate() {
            home[param.at()] = Some((blk, index as u32));
        }
    }
    let preds = func.preds();
    while let Some(val) = work.pop() {
        if std::mem::replace(&mut live[val.at()], true) {
            continue;
        }
        func.op(val).each(|operand| work.push(operand));
        if let Some((blk, index)) = home[val.at()] {
            for &pred in preds.of(blk) {
                let edges = func.blocks[pred.at()].term.edges().filter(|edge| edge.to == blk);
                work.extend(edges.map(|edge| edge.args[index as usize]));
            }
        }
    }
    retain_params(func, |param| live[param.at()]);
    for &blk in &func.order {
        func.blocks[blk.at()].insts.retain(|inst| live[inst.at()]);
    }
}

/// Drops unreachable blocks, leads edges past blocks that only jump on, and joins
/// blocks with their only successor where they are its only predecessor.
pub fn blocks(func: &mut Func) {
    skip_empty(func);
    func.compute_order();
    let preds = func.preds();
    let mut forward = Forward::new(func.ops.len());
    let mut joined = vec![false; func.blocks.len()];
    let mut any = false;
    for blk in func.order.clone() {
        if joined[blk.at()] {
            continue;
        }
        while let Term::Jump(Edge { to, args }) = &mut func.blocks[blk.at()].term {
            let to = *to;
            if to == blk || preds.of(to).len() != 1 {
                break;
            }
            let args = std::mem::take(args);
            any = true;
            let empty = Term::Jump(Edge { to, args: Vec::new() });
            let next = &mut func.blocks[to.at()];
            let term = std::mem::replace(&mut next.term, empty);
            let (insts, params) =
                (std::mem::take(&mut next.insts), std::mem::take(&mut next.params));
            for (param, arg) in params.into_iter().zip(args) {
                let arg = forward.find(arg);
                forward.set(param, arg);
            }
            joined[to.at()] = true;
            func.blocks[blk.at()].insts.extend(insts);
            func.blocks[blk.at()].term = term;
        }
    }
    if any {
        func.compute_order();
    }
    func.forward(&mut forward);
}

/// Leads edges past blocks without instructions that jump on, where the arguments can
/// be given directly.
fn skip_empty(func: &mut Func) {
    // A block whose parameters are used elsewhere has to stay: count uses outside of
    // its own jump.
    let uses = func.uses();
    let mut next: Vec<Option<Edge>> = vec![None; func.blocks.len()];
    for &blk in &func.order {
        let block = &func.blocks[blk.at()];
        let Term::Jump(edge) = &block.term else { continue };
        if blk == Blk::ENTRY || !block.insts.is_empty() || edge.to == blk {
            continue;
        }
        let only_passed = block.params.iter().all(|param| {
            let passed = edge.args.iter().filter(|&arg| arg == param).count();
            uses[param.at()] as usize == passed
        });
        if only_passed {
            next[blk.at()] = Some(edge.clone());
        }
    }
    for from in func.order.clone() {
        let term = &func.blocks[from.at()].term;
        let leads_on = term.edges().any(|edge| next[edge.to.at()].is_some());
        if !leads_on && !matches!(term, Term::Branch { yes, no, .. } if yes == no) {
            continue;
        }
        let mut term = std::mem::replace(
            &mut func.blocks[from.at()].term,
            Term::Trap(crate::ir::Exit::BadJump, 0),
        );
        for edge in term.edges_mut() {
            // A few steps: rings of empty blocks lead nowhere.
            for _ in 0..4 {
                let Some(on) = &next[edge.to.at()] else { break };
                let params = &func.blocks[edge.to.at()].params;
                let args = on.args.iter().map(|arg| {
                    let index = params.iter().position(|param| param == arg);
                    index.map_or(*arg, |index| edge.args[index])
                });
                *edge = Edge { to: on.to, args: args.collect() };
            }
        }
        if let Term::Branch { yes, no, .. } = &term
            && yes == no
        {
            term = Term::Jump(yes.clone());
        }
        func.blocks[from.at()].term = term;
    }
}
