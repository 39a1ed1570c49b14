//! Small subprograms are copied into their callers. Their frames stay where a call
//! would have put them: one above the frame that they are called from.

use crate::describe::Checks;
use crate::ir::{Blk, Block, Edge, Func, Module, Op, Term, Val};

/// Values of a subprogram that is copied, and of a function that copies are made into.
const CALLEE_LIMIT: usize = 120;
const CALLER_LIMIT: usize = 4000;
/// Copies deeper than programs can call.
const ROUNDS: usize = 8;

/// Inlines calls of small functions that do not call themselves.
pub fn run(module: &mut Module, checks: Checks) {
    for _ in 0..ROUNDS {
        let sizes: Vec<usize> = module.funcs.iter().map(size).collect();
        let leaf: Vec<bool> = module.funcs.iter().map(|func| calls(func).is_empty()).collect();
        let mut changed = false;
        for caller in 0..module.funcs.len() {
            let mut room = CALLER_LIMIT.saturating_sub(sizes[caller]);
            for (blk, inst) in calls(&module.funcs[caller]) {
                let Op::Call { func: callee, .. } = module.funcs[caller].op(inst) else { continue };
                let callee = callee as usize;
                if callee == caller || !leaf[callee] || sizes[callee] > CALLEE_LIMIT.min(room) {
                    continue;
                }
                room -= sizes[callee];
                let body = module.funcs[callee].clone();
                let at = find(&module.funcs[caller], blk, inst);
                if let Some((blk, at)) = at {
                    copy(&mut module.funcs[caller], &body, blk, at, checks);
                    changed = true;
                }
            }
            module.funcs[caller].compute_order();
        }
        if !changed {
            break;
        }
    }
    drop_uncalled(module);
}

fn size(func: &Func) -> usize {
    func.order.iter().map(|blk| func.blocks[blk.at()].insts.len() + 1).sum()
}

fn calls(func: &Func) -> Vec<(Blk, Val)> {
    let blocks = func.order.iter();
    let all =
        blocks.flat_map(|&blk| func.blocks[blk.at()].insts.iter().map(move |&inst| (blk, inst)));
    all.filter(|&(_, inst)| matches!(func.op(inst), Op::Call { .. })).collect()
}

/// Where a call is by now: copies made before split its block.
fn find(func: &Func, from: Blk, call: Val) -> Option<(Blk, usize)> {
    let within = |blk: Blk| func.blocks[blk.at()].insts.iter().position(|&inst| inst == call);
    if let Some(at) = within(from) {
        return Some((from, at));
    }
    (0..func.blocks.len() as u32).rev().map(Blk).find_map(|blk| within(blk).map(|at| (blk, at)))
}

/// Copies `body` in the place of the call at `at` in `blk`.
fn copy(func: &mut Func, body: &Func, blk: Blk, at: usize, checks: Checks) {
    let call = func.blocks[blk.at()].insts[at];
    let Op::Call { depth, args, .. } = func.op(call) else { return };
    let pc = func.pcs[call.at()];
    let frame = depth + 1;
    func.frames = func.frames.max(frame + body.frames);
    // What follows the call goes on in a block of its own, which gets the result.
    let after = Blk(func.blocks.len() as u32);
    let mut insts = func.blocks[blk.at()].insts.split_off(at);
    insts.remove(0);
    let entry = Blk(after.0 + 1);
    let into = Term::Jump(Edge { to: entry, args: Vec::new() });
    let term = std::mem::replace(&mut func.blocks[blk.at()].term, into);
    func.ops[call.at()] = Op::Param;
    func.blocks.push(Block { params: vec![call], insts, term });
    if checks == Checks::Guarded {
        let enter = func.push(Op::Enter(frame), pc);
        func.blocks[blk.at()].insts.push(enter);
    }
    // The parameters of the body's entry are the arguments; all else is made anew.
    let base = func.ops.len() as u32;
    let mut names: Vec<Val> = (base..base + body.ops.len() as u32).map(Val).collect();
    for (param, arg) in body.blocks[Blk::ENTRY.at()].params.iter().zip(args) {
        names[param.at()] = arg;
    }
    let name = |val: Val| names[val.at()];
    for (&op, &pc) in body.ops.iter().zip(&body.pcs) {
        let mut op = op;
        op.map(name);
        match &mut op {
            Op::Frame(index) => *index += frame,
            Op::Enter(depth)
            | Op::Call { depth, .. }
            | Op::Ask { depth, .. }
            | Op::TailCall { depth, .. } => *depth += frame,
            _ => {}
        }
        func.push(op, pc);
    }
    for block in &body.blocks {
        let mut block = block.clone();
        block.insts.iter_mut().for_each(|inst| *inst = name(*inst));
        block.params.iter_mut().for_each(|param| *param = name(*param));
        block.term.map(name);
        block.term.edges_mut().for_each(|edge| edge.to = Blk(entry.0 + edge.to.0));
        if let Term::Return(val) = block.term {
            block.term = Term::Jump(Edge { to: after, args: vec![val] });
        }
        func.blocks.push(block);
    }
    func.blocks[entry.at()].params.clear();
}

/// Drops functions that nothing calls any more.
fn drop_uncalled(module: &mut Module) {
    let mut kept = vec![false; module.funcs.len()];
    let mut work = vec![0];
    work.extend(module.callbacks.iter().map(|&(_, func)| func as usize));
    while let Some(func) = work.pop() {
        if std::mem::replace(&mut kept[func], true) {
            continue;
        }
        for (_, call) in calls(&module.funcs[func]) {
            if let Op::Call { func: callee, .. } = module.funcs[func].op(call) {
                work.push(callee as usize);
            }
        }
    }
    let mut next = 0;
    let number: Vec<u32> = kept
        .iter()
        .map(|&keep| {
            next += u32::from(keep);
            next.saturating_sub(1)
        })
        .collect();
    let mut at = kept.iter();
    module.funcs.retain(|_| at.next().is_some_and(|&keep| keep));
    for (_, func) in &mut module.callbacks {
        *func = number[*func as usize];
    }
    for func in &mut module.funcs {
        for op in &mut func.ops {
            if let Op::Call { func, .. } = op {
                *func = number[*func as usize];
            }
        }
    }
}
