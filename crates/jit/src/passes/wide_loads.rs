//! Loads of neighbouring bytes that are put together by shifts become one load, with
//! its bytes swapped where they were put together in the other order. Compilers make
//! such code because eBPF has no unaligned accesses; machines have them.

use skep_isa::{Size, Width};

use crate::describe::ByteOrder;
use crate::ir::{Bin, Func, Op, Val};

/// Widest tree of ORs that is looked at.
const DEPTH: u32 = 12;

/// One load in a tree of ORs: its place in memory and in the result.
#[derive(Clone, Copy)]
struct Leaf {
    base: Val,
    off: i32,
    size: u32,
    shift: u32,
    val: Val,
}

/// Widens loads in every block.
pub fn run(func: &mut Func) {
    let mut places = Places { at: vec![0; func.ops.len()], epoch: vec![0; func.ops.len()] };
    let uses = func.uses();
    for blk in func.order.clone() {
        let insts = std::mem::take(&mut func.blocks[blk.at()].insts);
        places.enter(func, &insts);
        let insts = block(func, &places, &uses, insts);
        func.blocks[blk.at()].insts = insts;
    }
}

/// Where values of the block at hand are, and how many effects precede them.
struct Places {
    /// Place from 1; 0 for values of other blocks.
    at: Vec<u32>,
    epoch: Vec<u32>,
}

impl Places {
    fn enter(&mut self, func: &Func, insts: &[Val]) {
        self.at.clear();
        self.at.resize(func.ops.len(), 0);
        self.epoch.resize(func.ops.len(), 0);
        let mut epoch = 0;
        for (index, &inst) in insts.iter().enumerate() {
            epoch += u32::from(func.op(inst).has_effect());
            self.at[inst.at()] = index as u32 + 1;
            self.epoch[inst.at()] = epoch;
        }
    }

    fn here(&self, val: Val) -> bool {
        self.at.get(val.at()).is_some_and(|&at| at > 0)
    }
}

/// A number that is ORed together: loads, and whatever else.
#[derive(Default)]
struct Tree {
    leaves: Vec<Leaf>,
    /// Other values, each with its shift.
    rest: Vec<(Val, u32)>,
    /// Inner ORs and shifts.
    inner: Vec<Val>,
}

/// Collects the tree under a value; `false` where its bits are not simply shifted.
fn collect(func: &Func, val: Val, shift: u32, limit: u32, depth: u32, tree: &mut Tree) -> bool {
    match func.op(val) {
        Op::Bin(Bin::Or, width, left, right) if depth < DEPTH => {
            let limit = if width == Width::W64 { limit } else { limit.min(shift + 32) };
            tree.inner.push(val);
            collect(func, left, shift, limit, depth + 1, tree)
                && collect(func, right, shift, limit, depth + 1, tree)
        }
        Op::Bin(Bin::Shl, width, of, amount) if depth < DEPTH && func.number(amount).is_some() => {
            let bits = if width == Width::W64 { 64 } else { 32 };
            let amount = func.number(amount).unwrap_or(0) as u32 & (bits - 1);
            let limit = if width == Width::W64 { limit } else { limit.min(shift + 32) };
            tree.inner.push(val);
            collect(func, of, shift + amount, limit, depth + 1, tree)
        }
        Op::Load { size, signed: false, base, off } if shift + size.bits() <= limit => {
            tree.leaves.push(Leaf { base, off, size: size.bytes(), shift, val });
            true
        }
        _ => {
            tree.rest.push((val, shift));
            limit == 64 && shift < 64
        }
    }
}

fn block(func: &mut Func, places: &Places, uses: &[u32], insts: Vec<Val>) -> Vec<Val> {
    let count = insts.len();
    // What goes before and after each place.
    let mut before: Vec<(u32, Val)> = Vec::new();
    let mut after: Vec<(u32, Val)> = Vec::new();
    let mut done = vec![false; count];
    for &root in insts.iter().rev() {
        let place = places.at[root.at()];
        let Op::Bin(Bin::Or, width, ..) = func.op(root) else { continue };
        if std::mem::replace(&mut done[place as usize - 1], true) {
            continue;
        }
        let mut tree = Tree::default();
        let limit = if width == Width::W64 { 64 } else { 32 };
        if !collect(func, root, 0, limit, 0, &mut tree)
            || !(2..=8).contains(&tree.leaves.len())
            || !tree.leaves.iter().all(|leaf| places.here(leaf.val))
        {
            continue;
        }
        let groups = groups(&mut tree.leaves, places, func.bytes);
        if groups.iter().all(|(leaves, _)| leaves.len() == 1) {
            continue;
        }
        for &inner in &tree.inner {
            if places.here(inner) && uses[inner.at()] == 1 {
                done[places.at[inner.at()] as usize - 1] = true;
            }
        }
        let pc = func.pcs[root.at()];
        let mut terms = tree.rest;
        for (leaves, swapped) in groups {
            let [first, ..] = leaves[..] else { continue };
            let shift = leaves.iter().map(|leaf| leaf.shift).min().unwrap_or(0);
            if leaves.len() == 1 {
                terms.push((first.val, shift));
                continue;
            }
            let bytes: u32 = leaves.iter().map(|leaf| leaf.size).sum();
            let size = match bytes {
                2 => Size::H,
                4 => Size::W,
                _ => Size::DW,
            };
            let last = leaves.iter().map(|leaf| places.at[leaf.val.at()]).max().unwrap_or(place);
            let load = Op::Load { size, signed: false, base: first.base, off: first.off };
            let mut val = func.push(load, func.pcs[first.val.at()]);
            after.push((last, val));
            if swapped {
                val = func.push(Op::Swap(8 * bytes as u8, val), pc);
                before.push((place, val));
            }
            terms.push((val, shift));
        }
        let mut sum: Option<Val> = None;
        for (mut val, shift) in terms {
            if shift > 0 {
                let amount = func.push(Op::Const(shift.into()), pc);
                val = func.push(Op::Bin(Bin::Shl, Width::W64, val, amount), pc);
                before.push((place, val));
            }
            sum = Some(match sum {
                None => val,
                Some(sum) => {
                    let val = func.push(Op::Bin(Bin::Or, Width::W64, sum, val), pc);
                    before.push((place, val));
                    val
                }
            });
        }
        // The root stays the value that others use.
        if let Some(sum) = sum {
            let zero = func.push(Op::Const(0), pc);
            func.ops[root.at()] = Op::Bin(Bin::Or, width, sum, zero);
        }
    }
    if after.is_empty() {
        return insts;
    }
    before.sort_by_key(|&(place, _)| place);
    after.sort_by_key(|&(place, _)| place);
    let (mut before, mut after) = (before.into_iter().peekable(), after.into_iter().peekable());
    let mut out = Vec::with_capacity(count);
    for (inst, place) in insts.into_iter().zip(1..) {
        while let Some((_, val)) = before.next_if(|&(at, _)| at == place) {
            out.push(val);
        }
        out.push(inst);
        while let Some((_, val)) = after.next_if(|&(at, _)| at == place) {
            out.push(val);
        }
    }
    out
}

/// Sorts loads into groups that one load can replace: neighbours, put together in
/// one order, nothing stored in between, and as many bytes as a load has.
fn groups(leaves: &mut [Leaf], places: &Places, bytes: ByteOrder) -> Vec<(Vec<Leaf>, bool)> {
    leaves.sort_by_key(|leaf| (leaf.base, leaf.off));
    let mut runs: Vec<(Vec<Leaf>, bool)> = Vec::new();
    for &leaf in leaves.iter() {
        if let Some((run, swapped)) = runs.last_mut()
            && let Some(&last) = run.last()
        {
            let next = last.base == leaf.base
                && last.off + last.size as i32 == leaf.off
                && places.epoch[last.val.at()] == places.epoch[leaf.val.at()];
            let up = leaf.shift == last.shift + 8 * last.size;
            let down = leaf.shift + 8 * leaf.size == last.shift;
            // As the machine itself puts them together, or the other way round.
            let (straight, reverse) = match bytes {
                ByteOrder::Little => (up, down),
                ByteOrder::Big => (down, up),
            };
            let reverse = reverse && last.size == 1 && leaf.size == 1;
            let fresh = run.len() == 1;
            if next && (straight && (fresh || !*swapped) || reverse && (fresh || *swapped)) {
                *swapped = reverse;
                run.push(leaf);
                continue;
            }
        }
        runs.push((vec![leaf], false));
    }
    let mut groups = Vec::new();
    for (run, swapped) in runs {
        let mut rest = &run[..];
        while !rest.is_empty() {
            let fits = |count: &usize| {
                let bytes: u32 = rest[..*count].iter().map(|leaf| leaf.size).sum();
                bytes.is_power_of_two() && bytes <= 8
            };
            let count = (2..=rest.len()).rev().find(fits).unwrap_or(1);
            groups.push((rest[..count].to_vec(), swapped && count > 1));
            rest = &rest[count..];
        }
    }
    groups
}
