//! Loads of what was just loaded or stored need not be made again. What is known holds
//! along blocks with one predecessor; a store ends it for all that it may touch.
//!
//! Two accesses are known to be apart if they have the same base and do not overlap,
//! or if one is to a frame of the function and the other's base is a parameter that
//! the function was entered with: frames are new.

use skep_isa::{Size, Width};

use crate::ir::{Bin, Blk, Forward, Func, Op, Val};

/// Most places known at a time.
const KNOWN: usize = 48;

/// A place whose value is known.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Place {
    base: Val,
    off: i32,
    size: Size,
    signed: bool,
}

/// Where an address was made from.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Root {
    Frame,
    Entry,
    Unknown,
}

/// Removes loads in every function.
pub fn run(func: &mut Func) {
    let preds = func.preds();
    let mut entry = vec![false; func.ops.len()];
    for &param in &func.blocks[Blk::ENTRY.at()].params {
        entry[param.at()] = true;
    }
    let mut forward = Forward::new(func.ops.len());
    let mut states: Vec<Option<Vec<(Place, Val)>>> = vec![None; func.blocks.len()];
    for blk in func.order.clone() {
        let mut known = match preds.of(blk) {
            [pred] => states[pred.at()].clone().unwrap_or_default(),
            _ => Vec::new(),
        };
        let mut insts = std::mem::take(&mut func.blocks[blk.at()].insts);
        insts.retain(|&inst| match func.op(inst) {
            Op::Load { size, signed, base, off } => {
                let place = Place { base: forward.find(base), off, size, signed };
                if let Some((_, val)) = known.iter().find(|(other, _)| *other == place) {
                    forward.set(inst, *val);
                    return false;
                }
                learn(&mut known, place, inst);
                true
            }
            Op::Store { size, base, off, value } => {
                let base = forward.find(base);
                let root = root(func, &entry, base);
                let place = Place { base, off, size, signed: false };
                known.retain(|(other, _)| {
                    apart(other, &place) || separate(root, self::root(func, &entry, other.base))
                });
                if size == Size::DW {
                    learn(&mut known, place, forward.find(value));
                }
                true
            }
            op => {
                // Spending and entering a frame touch nothing.
                if op.has_effect() && !matches!(op, Op::Spend(_) | Op::Enter(_)) {
                    known.clear();
                }
                true
            }
        });
        func.blocks[blk.at()].insts = insts;
        states[blk.at()] = Some(known);
    }
    func.forward(&mut forward);
}

fn learn(known: &mut Vec<(Place, Val)>, place: Place, val: Val) {
    if known.len() == KNOWN {
        known.remove(0);
    }
    known.push((place, val));
}

fn apart(one: &Place, other: &Place) -> bool {
    let end = |place: &Place| i64::from(place.off) + i64::from(place.size.bytes());
    one.base == other.base && (end(one) <= i64::from(other.off) || end(other) <= i64::from(one.off))
}

fn separate(one: Root, other: Root) -> bool {
    matches!((one, other), (Root::Frame, Root::Entry) | (Root::Entry, Root::Frame))
}

fn root(func: &Func, entry: &[bool], mut base: Val) -> Root {
    loop {
        match func.op(base) {
            Op::Frame(_) => return Root::Frame,
            Op::Param if entry.get(base.at()) == Some(&true) => return Root::Entry,
            Op::Bin(Bin::Add, Width::W64, of, by) if func.number(by).is_some() => base = of,
            _ => return Root::Unknown,
        }
    }
}
