//! Loops over memory do 2 to 16 rounds at a time, in lanes of vectors: sums, least and
//! greatest, counts, and stores of what was computed from other places.
//!
//! A loop qualifies if it is one block that runs a known number of times, goes through
//! memory element by element, and carries nothing from round to round but counters and
//! sums whose order does not matter. Blocks of a loop that only choose between values
//! are made one block by selections first, where that leads to vectors. A round of
//! vectors reads and writes exactly what its rounds would have; where there are stores,
//! all accesses are to the same object, and each pair of them is either of the same
//! element or apart over the whole loop. Sums in lanes are done in the narrowest lanes
//! that the whole loop cannot overflow, and put together behind the loop.

use skep_isa::{Cond, Size, Width};

use super::bits::{Bits, mask};
use super::lanes::Builder;
use super::loops::{self, Loop};
use super::{clean, if_convert, simplify};
use crate::ir::flow::Dominators;
use crate::ir::vector::{BYTES, Vector, lanes, twice};
use crate::ir::{Bin, Blk, Block, Edge, Func, Op, Term, Val};

/// Operations of a loop that is looked at, and blocks of it before they become one.
const LARGEST: usize = 160;
const BLOCKS: usize = 12;
/// Values of a function after which it is left alone.
const FUNC_LIMIT: usize = 6000;
/// Steps of counters: so small that they do not come round.
const STEP: u64 = 1 << 16;

/// Vectorises the loops of a function.
pub fn run(func: &mut Func) {
    if !is_there() || func.ops.len() > FUNC_LIMIT {
        return;
    }
    for head in func.order.clone() {
        let preds = func.preds();
        // Blocks that an earlier loop led past are unreachable by now.
        if func.order.contains(&head) && preds.of(head).contains(&head) {
            one_block(func, head);
        }
    }
    let dominators = Dominators::new(func, &func.preds());
    for (head, body) in loops_of_blocks(func, &dominators) {
        let mut copy = func.clone();
        if_convert::within(&mut copy, &body);
        clean::run(&mut copy);
        simplify::run(&mut copy);
        clean::run(&mut copy);
        if copy.order.contains(&head) && one_block(&mut copy, head).is_some() {
            *func = copy;
        }
    }
}

/// Whether loops of one block divide by constants, which there are no lanes for.
pub fn divides(func: &Func) -> bool {
    let preds = func.preds();
    func.order.iter().filter(|&&blk| preds.of(blk).contains(&blk)).any(|blk| {
        func.blocks[blk.at()].insts.iter().any(|&inst| match func.op(inst) {
            Op::Bin(Bin::Div | Bin::Mod, _, _, by) => func.number(by).is_some(),
            _ => false,
        })
    })
}

/// Whether this machine has the vectors that code is made for.
fn is_there() -> bool {
    #[cfg(target_arch = "x86_64")]
    return std::arch::is_x86_feature_detected!("avx");
    #[cfg(not(target_arch = "x86_64"))]
    false
}

/// Heads and blocks of loops of several blocks that have no loops inside.
fn loops_of_blocks(func: &Func, dominators: &Dominators) -> Vec<(Blk, Vec<Blk>)> {
    let preds = func.preds();
    let mut found = Vec::new();
    for &head in &func.order {
        let latches = preds.of(head).iter().copied();
        let latches: Vec<Blk> = latches.filter(|&pred| dominators.dominates(head, pred)).collect();
        let [latch] = latches[..] else { continue };
        let mut body = vec![head];
        let mut work = vec![latch];
        while let Some(blk) = work.pop().filter(|_| body.len() <= BLOCKS) {
            if !body.contains(&blk) {
                body.push(blk);
                work.extend(preds.of(blk));
            }
        }
        let inner = |&blk: &Blk| {
            blk != head && preds.of(blk).iter().any(|&pred| dominators.dominates(blk, pred))
        };
        let size: usize = body.iter().map(|blk| func.blocks[blk.at()].insts.len()).sum();
        let fits = (2..=BLOCKS).contains(&body.len()) && size <= LARGEST;
        if fits && !body.iter().any(inner) {
            found.push((head, body));
        }
    }
    found
}

/// A parameter that steps by a number each round.
struct Counter {
    index: usize,
    next: Val,
    width: Width,
    by: u64,
}

/// A parameter that terms are put to; those marked are subtracted.
struct Sum {
    param: Val,
    next: Val,
    op: Bin,
    width: Width,
    terms: Vec<(Val, bool)>,
}

/// What a loop consists of.
struct Plan {
    found: Loop,
    counters: Vec<Counter>,
    sums: Vec<Sum>,
    /// Operations that become rows, in order.
    rows: Vec<Val>,
    /// Rounds at a time.
    together: u32,
    /// Which values are made in the loop.
    inside: Vec<bool>,
}

/// Vectorises a loop of one block.
fn one_block(func: &mut Func, blk: Blk) -> Option<()> {
    let preds = func.preds();
    (func.blocks[blk.at()].insts.len() <= LARGEST).then_some(())?;
    let found = loops::counted(func, &preds, blk)?;
    let mut plan = plan(func, found)?;
    let bits = Bits::compute(func, &preds, &Dominators::new(func, &preds));
    let values = func.ops.len();
    // Narrow lanes of few wide elements fill a vector only if more rounds are done.
    while plan.together <= BYTES && plan.found.rounds.is_multiple_of(plan.together.into()) {
        if apply(func, &bits, &plan).is_some() {
            return Some(());
        }
        func.ops.truncate(values);
        func.pcs.truncate(values);
        plan.together *= 2;
    }
    None
}

/// Takes a loop apart, if it is of the kind that is looked for.
fn plan(func: &Func, found: Loop) -> Option<Plan> {
    let block = &func.blocks[found.blk.at()];
    let mut inside = vec![false; func.ops.len()];
    let mut uses = vec![0u32; func.ops.len()];
    for &val in block.params.iter().chain(&block.insts) {
        inside[val.at()] = true;
    }
    block.insts.iter().for_each(|&inst| func.op(inst).each(|val| uses[val.at()] += 1));
    block.term.each_own(|val| uses[val.at()] += 1);
    found.round.args.iter().for_each(|arg| uses[arg.at()] += 1);
    let (mut counters, mut sums) = (Vec::new(), Vec::new());
    for (index, (&param, &next)) in block.params.iter().zip(&found.round.args).enumerate() {
        let Op::Bin(op, width, ..) = func.op(next) else { return None };
        if let Op::Bin(Bin::Add, _, of, by) = func.op(next)
            && let (true, Some(by)) = (of == param, func.number(by))
        {
            let by = if width == Width::W64 { by } else { by as i32 as u64 };
            let small = (by as i64).unsigned_abs();
            (small > 0 && small < STEP).then_some(())?;
            counters.push(Counter { index, next, width, by });
            continue;
        }
        let op = if op == Bin::Sub { Bin::Add } else { op };
        let known = matches!(op, Bin::Add | Bin::And | Bin::Or | Bin::Xor | Bin::Min | Bin::Max);
        let mut sum = Sum { param, next, op, width, terms: Vec::new() };
        let chain = known && uses[param.at()] == 1 && terms(func, &inside, &uses, next, &mut sum);
        chain.then_some(())?;
        sums.push(sum);
    }
    let needed = needed(func, &sums, block);
    let rows = block.insts.iter().copied();
    let rows: Vec<Val> = rows.filter(|inst| needed[inst.at()]).collect();
    let mut smallest = Size::DW;
    let mut accesses: Vec<(Val, i32, Size, bool)> = Vec::new();
    for &inst in &rows {
        match func.op(inst) {
            Op::Load { size, base, off, .. } => accesses.push((base, off, size, false)),
            Op::Store { size, base, off, .. } => accesses.push((base, off, size, true)),
            op if op.has_effect() || !op.is_pure() => return None,
            _ => {}
        }
    }
    for &(base, _, size, _) in &accesses {
        let stride = stride(func, &found, &counters, &inside, base, 0)?;
        (stride == size.bytes().into() && !on_stack(func, base, 0)).then_some(())?;
        smallest = smallest.min(size);
    }
    let effects = |inst: &&Val| func.op(**inst).has_effect() && !needed[inst.at()];
    let together = lanes(smallest);
    let fits = !accesses.is_empty() && block.insts.iter().find(effects).is_none();
    (fits && are_apart(&accesses, found.rounds)).then_some(())?;
    Some(Plan { found, counters, sums, rows, together, inside })
}

/// Collects what `val` is made of besides the sum's parameter, if it is such a sum.
fn terms(func: &Func, inside: &[bool], uses: &[u32], val: Val, sum: &mut Sum) -> bool {
    if val == sum.param {
        return true;
    }
    let Op::Bin(op, width, left, right) = func.op(val) else { return false };
    let same = op == sum.op || op == Bin::Sub && sum.op == Bin::Add;
    if !same || width != sum.width || !inside[val.at()] || uses[val.at()] != 1 {
        return false;
    }
    if terms(func, inside, uses, left, sum) {
        sum.terms.push((right, op == Bin::Sub));
        return true;
    }
    if op != Bin::Sub && terms(func, inside, uses, right, sum) {
        sum.terms.push((left, false));
        return true;
    }
    false
}

/// What stores and sums are made of, addresses excluded.
fn needed(func: &Func, sums: &[Sum], block: &Block) -> Vec<bool> {
    let mut needed = vec![false; func.ops.len()];
    let mut work: Vec<Val> = sums.iter().flat_map(|sum| &sum.terms).map(|term| term.0).collect();
    for &inst in &block.insts {
        if let Op::Store { value, .. } = func.op(inst) {
            needed[inst.at()] = true;
            work.push(value);
        }
    }
    while let Some(val) = work.pop() {
        if !std::mem::replace(&mut needed[val.at()], true)
            && !matches!(func.op(val), Op::Load { .. })
        {
            func.op(val).each(|operand| work.push(operand));
        }
    }
    needed
}

/// How much an address grows each round.
fn stride(
    func: &Func,
    found: &Loop,
    counters: &[Counter],
    inside: &[bool],
    val: Val,
    depth: u32,
) -> Option<u64> {
    if !inside[val.at()] {
        return Some(0);
    }
    let params = &func.blocks[found.blk.at()].params;
    if let Some(counter) = counters.iter().find(|counter| params[counter.index] == val) {
        let end = found.start.saturating_add(found.rounds * counter.by.min(STEP));
        let stays = counter.width == Width::W64
            || counter.index == found.counter && counter.by < STEP && end <= u64::from(u32::MAX);
        return stays.then_some(counter.by);
    }
    let of = |val| stride(func, found, counters, inside, val, depth + 1);
    match func.op(val) {
        _ if depth > 8 => None,
        Op::Bin(Bin::Add, Width::W64, left, right) => Some(of(left)?.wrapping_add(of(right)?)),
        Op::Bin(Bin::Shl, Width::W64, left, by) => Some(of(left)? << (func.number(by)? & 63)),
        Op::Bin(Bin::Mul, Width::W64, left, by) => Some(of(left)?.wrapping_mul(func.number(by)?)),
        _ => None,
    }
}

/// Whether an address may be made from the stack's: such arrays do better as values.
fn on_stack(func: &Func, val: Val, depth: u32) -> bool {
    match func.op(val) {
        Op::Frame(_) => true,
        Op::Bin(Bin::Add | Bin::Sub, _, left, right) => {
            depth > 8 || on_stack(func, left, depth + 1) || on_stack(func, right, depth + 1)
        }
        _ => false,
    }
}

/// Whether rounds may be done together as far as memory goes: a store and another
/// access have the same base, and are either the same element (the other a load before
/// it) or never meet.
fn are_apart(accesses: &[(Val, i32, Size, bool)], rounds: u64) -> bool {
    let span = |off: i32, size: Size| {
        let start = i64::from(off);
        start..start + rounds as i64 * i64::from(size.bytes())
    };
    accesses.iter().enumerate().all(|(at, &(base, off, size, stores))| {
        accesses.iter().enumerate().all(|(other_at, &(other_base, other_off, other_size, _))| {
            if !stores || at == other_at {
                return true;
            }
            let same = (off, size) == (other_off, other_size) && other_at < at;
            let (one, other) = (span(off, size), span(other_off, other_size));
            base == other_base && (same || one.end <= other.start || other.end <= one.start)
        })
    })
}

/// A sum in lanes: parameters, what they become, and the lanes' size.
struct InLanes {
    params: Vec<Val>,
    next: Vec<Val>,
    size: Size,
}

/// Makes the new loop, if it pays, and puts it in the place of the old one.
fn apply(func: &mut Func, bits: &Bits, plan: &Plan) -> Option<()> {
    let Plan { found, together, .. } = plan;
    let blk = found.blk.at();
    let rounds = found.rounds / u64::from(*together);
    let old = func.blocks[blk].clone();
    let outside = outside(func, plan)?;
    let mut builder = Builder::new(func, bits, *together, plan.inside.clone());
    for &row in &plan.rows {
        builder.inst(row)?;
    }
    let mut sums = Vec::new();
    for sum in &plan.sums {
        sums.push(in_lanes(&mut builder, sum, found.rounds)?);
    }
    let (vector, scalar) = (builder.out.len() as u64, old.insts.len() as u64);
    let around: usize = sums.iter().map(|sum| sum.params.len() + 8).sum();
    let cost = vector * rounds + (builder.before.len() + around) as u64;
    (cost * 4 <= scalar * found.rounds * 3).then_some(())?;
    // Starts of sums; addresses and counters as they were.
    let mut start = Vec::new();
    for (sum, lanes) in plan.sums.iter().zip(&sums) {
        let all = matches!(sum.op, Bin::And | Bin::Min);
        let number = builder.constant(if all { u64::MAX } else { 0 });
        let splat = builder.splat(number, lanes.size);
        start.extend(lanes.params.iter().map(|_| splat));
    }
    let (before, out) = (std::mem::take(&mut builder.before), std::mem::take(&mut builder.out));
    let after: Vec<(Val, Val)> = plan
        .sums
        .iter()
        .zip(&sums)
        .map(|(sum, lanes)| (sum.next, together_again(&mut builder, sum, lanes)))
        .collect();
    let after_insts = std::mem::take(&mut builder.out);
    replace(func, plan, &old, Parts { before, start, out, sums, after, after_insts, outside });
    Some(())
}

struct Parts {
    before: Vec<Val>,
    start: Vec<Val>,
    out: Vec<Val>,
    sums: Vec<InLanes>,
    after: Vec<(Val, Val)>,
    after_insts: Vec<Val>,
    outside: Vec<Val>,
}

/// Values of the loop that are used behind it, if they are all known there.
fn outside(func: &Func, plan: &Plan) -> Option<Vec<Val>> {
    let mut used = Vec::new();
    let mut see = |val: Val| {
        if plan.inside[val.at()] {
            used.push(val);
        }
    };
    for &blk in func.order.iter().filter(|&&blk| blk != plan.found.blk) {
        let block = &func.blocks[blk.at()];
        block.insts.iter().for_each(|&inst| func.op(inst).each(&mut see));
        block.term.each(&mut see);
    }
    plan.found.exit.args.iter().copied().for_each(see);
    used.sort_unstable();
    used.dedup();
    let params = &func.blocks[plan.found.blk.at()].params;
    let known = |val: &Val| {
        plan.sums.iter().any(|sum| sum.next == *val)
            || plan.counters.iter().any(|step| step.next == *val || params[step.index] == *val)
    };
    used.iter().all(known).then_some(used)
}

fn in_lanes(builder: &mut Builder<'_>, sum: &Sum, rounds: u64) -> Option<InLanes> {
    let whole = if sum.width == Width::W64 { Size::DW } else { Size::W };
    let mut size = match sum.op {
        Bin::Add => {
            let (mut floor, mut most) = (Size::B, 0u64);
            for &(term, subtracted) in &sum.terms {
                let (size, upper) = builder.extent(term)?;
                floor = floor.max(size);
                most = most.saturating_add(if subtracted { u64::MAX } else { upper });
            }
            // The lanes of all vectors of the row are added up before they are widened.
            let fits = |size: &Size| {
                let total = most.saturating_mul(rounds / u64::from(lanes(*size)));
                *size == Size::DW || total <= mask(size.bits())
            };
            let sizes = [Size::B, Size::H, Size::W, Size::DW];
            sizes.into_iter().filter(|&size| size >= floor).find(fits)?
        }
        _ => {
            let mut size = Size::B;
            for &(term, _) in &sum.terms {
                size = size.max(builder.unsigned(term, sum.width)?);
            }
            (size < Size::DW || !matches!(sum.op, Bin::Min | Bin::Max)).then_some(())?;
            size
        }
    };
    size = size.min(whole);
    let mut next: Vec<Val> = Vec::new();
    let mut params: Vec<Val> = Vec::new();
    for &(term, subtracted) in &sum.terms {
        let (terms, negative) = match sum.op {
            Bin::Add => builder.term(term, size)?,
            _ => (builder.number(term, size)?, false),
        };
        if params.is_empty() {
            let pc = builder.func.pcs[sum.param.at()];
            let mut param = |_| builder.func.push(Op::Vector(Vector::Param(size)), pc);
            params = (0..terms.len()).map(&mut param).collect();
            next = params.clone();
        }
        let op = if subtracted != negative { Bin::Sub } else { sum.op };
        for (next, term) in next.iter_mut().zip(terms) {
            *next = builder.emit(Vector::Bin(op, size, *next, term));
        }
    }
    Some(InLanes { params, next, size })
}

/// The number that a sum comes to, from its lanes and the number it started with.
fn together_again(builder: &mut Builder<'_>, sum: &Sum, lanes_of: &InLanes) -> Val {
    let (next, mut size) = (&lanes_of.next, lanes_of.size);
    let mut vector = next[0];
    for &other in &next[1..] {
        vector = builder.emit(Vector::Bin(sum.op, size, vector, other));
    }
    // There is no least or greatest of lanes of 64 bits.
    let widest = if matches!(sum.op, Bin::Min | Bin::Max) { Size::W } else { Size::DW };
    while size < widest {
        let mut widen =
            |high| builder.emit(Vector::Widen { from: size, signed: false, high, of: vector });
        let (low, high) = (widen(false), widen(true));
        size = twice(size);
        vector = builder.emit(Vector::Bin(sum.op, size, low, high));
    }
    let mut all = sum.param;
    for lane in 0..lanes(size) {
        let number = builder.emit(Vector::Lane(size, lane as u8, vector));
        let pc = builder.func.pcs[sum.param.at()];
        all = builder.func.push(Op::Bin(sum.op, sum.width, all, number), pc);
        builder.out.push(all);
    }
    all
}

/// Those of the old operations that addresses are made of.
fn addresses(func: &Func, old: &Block, made: &[Val]) -> Vec<Val> {
    let mut needed = vec![false; func.ops.len()];
    for &inst in made {
        if let Op::Vector(Vector::Load { base, .. } | Vector::Store { base, .. }) = func.op(inst) {
            needed[base.at()] = true;
        }
    }
    for &inst in old.insts.iter().rev() {
        if needed[inst.at()] {
            func.op(inst).each(|val| needed[val.at()] = true);
        }
    }
    old.insts.iter().copied().filter(|inst| needed[inst.at()]).collect()
}

/// Puts the new loop between a block before it and one behind it.
fn replace(func: &mut Func, plan: &Plan, old: &Block, parts: Parts) {
    let Plan { found, counters, sums, together, .. } = plan;
    let blk = found.blk;
    let pc = func.pcs[sums.first().map_or(found.round.args[0], |sum| sum.param).at()];
    // Before: gets what the loop got. A counter has another name there.
    let ahead = Blk(func.blocks.len() as u32);
    let behind = Blk(ahead.0 + 1);
    let mut forward = parts.after;
    let (mut ahead_params, mut behind_insts) = (Vec::new(), parts.after_insts);
    for (index, &param) in old.params.iter().enumerate() {
        let Some(counter) = counters.iter().find(|counter| counter.index == index) else {
            ahead_params.push(param);
            continue;
        };
        let first = func.push(Op::Param, pc);
        ahead_params.push(first);
        // Behind the loop it has made all its steps, or all but the last.
        for (val, steps) in [(counter.next, found.rounds), (param, found.rounds - 1)] {
            if parts.outside.contains(&val) {
                let steps = func.push(Op::Const(counter.by.wrapping_mul(steps)), pc);
                let last = func.push(Op::Bin(Bin::Add, counter.width, first, steps), pc);
                behind_insts.push(last);
                forward.push((val, last));
            }
        }
    }
    let name = |val: Val| forward.iter().find(|(from, _)| *from == val).map_or(val, |&(_, to)| to);
    for other in func.order.clone() {
        if other == blk {
            continue;
        }
        for index in 0..func.blocks[other.at()].insts.len() {
            let inst = func.blocks[other.at()].insts[index];
            func.ops[inst.at()].map(name);
        }
        let term = &mut func.blocks[other.at()].term;
        term.edges_mut().filter(|edge| edge.to == blk).for_each(|edge| edge.to = ahead);
        term.map(name);
    }
    // In the loop: counters step for all rounds together.
    let (mut params, mut start, mut round) = (Vec::new(), Vec::new(), Vec::new());
    let mut test = Term::Jump(Edge { to: behind, args: Vec::new() });
    let mut steps = Vec::new();
    for counter in counters {
        let by = func.push(Op::Const(counter.by.wrapping_mul((*together).into())), pc);
        let param = old.params[counter.index];
        let next = func.push(Op::Bin(Bin::Add, counter.width, param, by), pc);
        steps.push(next);
        params.push(param);
        start.push(ahead_params[counter.index]);
        round.push(next);
        if counter.index == found.counter {
            let end = found.start.wrapping_add(counter.by.wrapping_mul(found.rounds));
            let end = if counter.width == Width::W64 { end } else { end as u32 as u64 };
            let right = func.push(Op::Const(end), pc);
            let yes = Edge { to: blk, args: Vec::new() };
            let no = Edge { to: behind, args: Vec::new() };
            test = Term::Branch { cond: Cond::Ne, width: Width::W64, left: next, right, yes, no };
        }
    }
    start.extend(parts.start);
    for sum in &parts.sums {
        params.extend(&sum.params);
        round.extend(&sum.next);
    }
    if let Term::Branch { yes, .. } = &mut test {
        yes.args = round;
    }
    let mut insts = addresses(func, old, &parts.out);
    insts.extend(parts.out);
    insts.extend(steps);
    let exit = &found.exit;
    let args = exit.args.iter().map(|&arg| name(arg)).collect();
    func.blocks[blk.at()] = Block { params, insts, term: test };
    let entry = Term::Jump(Edge { to: blk, args: start });
    func.blocks.push(Block { params: ahead_params, insts: parts.before, term: entry });
    let leave = Term::Jump(Edge { to: exit.to, args });
    func.blocks.push(Block { params: Vec::new(), insts: behind_insts, term: leave });
    func.compute_order();
    clean::run(func);
}
