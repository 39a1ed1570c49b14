//! Stores of `x`, `x >> 8`, `x >> 16`, ... to neighbouring bytes become one store, with
//! the bytes of `x` swapped where they go the other way.

use skep_isa::{Size, Width};

use crate::describe::ByteOrder;
use crate::ir::{Bin, Func, Op, Val};

/// One store of a part of a value.
#[derive(Clone, Copy)]
struct Part {
    store: Val,
    base: Val,
    off: i32,
    bytes: u32,
    of: Val,
    shift: u32,
}

/// Widens stores in every block.
pub fn run(func: &mut Func) {
    for blk in func.order.clone() {
        let insts = std::mem::take(&mut func.blocks[blk.at()].insts);
        let mut out = Vec::with_capacity(insts.len());
        // Stores that nothing was accessed after: they may still be joined.
        let mut open: Vec<Part> = Vec::new();
        let mut held: Vec<Val> = Vec::new();
        for inst in insts {
            match part(func, inst) {
                Some(part) => {
                    let other = open.first().is_some_and(|first| first.base != part.base);
                    let overlaps = |known: &Part| {
                        part.off < known.off + known.bytes as i32
                            && known.off < part.off + part.bytes as i32
                    };
                    if other || open.iter().any(overlaps) {
                        flush(func, &mut open, &mut held, &mut out);
                    }
                    open.push(part);
                }
                None if func.op(inst).has_effect() || matches!(func.op(inst), Op::Load { .. }) => {
                    flush(func, &mut open, &mut held, &mut out);
                    out.push(inst);
                }
                None => out.push(inst),
            }
        }
        flush(func, &mut open, &mut held, &mut out);
        func.blocks[blk.at()].insts = out;
    }
}

/// A store as part of a value.
fn part(func: &Func, store: Val) -> Option<Part> {
    let Op::Store { size, base, off, value } = func.op(store) else { return None };
    if size == Size::DW {
        return None;
    }
    let bytes = size.bytes();
    let whole = Part { store, base, off, bytes, of: value, shift: 0 };
    // A 32-bit shift moves zeros in from above bit 31, a 64-bit one what is there: they
    // agree on the bytes below that.
    let Op::Bin(Bin::Shr, width, of, amount) = func.op(value) else { return Some(whole) };
    let limit = if width == Width::W64 { 64 } else { 32 };
    let Some(amount) = func.number(amount).filter(|&amount| amount < limit) else {
        return Some(whole);
    };
    if amount + u64::from(size.bits()) > limit {
        return Some(whole);
    }
    Some(Part { of, shift: amount as u32, ..whole })
}

/// Writes the open stores out, joined where they can be. Nothing was loaded or stored
/// in between, so their order does not matter.
fn flush(func: &mut Func, open: &mut Vec<Part>, sorted: &mut Vec<Val>, out: &mut Vec<Val>) {
    sorted.clear();
    let original: Vec<Part> = open.clone();
    open.sort_by_key(|part| part.off);
    let mut joined = false;
    let mut rest = &open[..];
    while let Some(&first) = rest.first() {
        let (count, swapped) = longest(rest, func.bytes);
        rest = &rest[count..];
        if count == 1 {
            sorted.push(first.store);
            continue;
        }
        joined = true;
        let bytes = if swapped { count as u32 } else { first.bytes * count as u32 };
        let size = match bytes {
            2 => Size::H,
            4 => Size::W,
            _ => Size::DW,
        };
        let pc = func.pcs[first.store.at()];
        let mut value = first.of;
        if swapped {
            value = func.push(Op::Swap(8 * bytes as u8, value), pc);
            sorted.push(value);
        }
        func.ops[first.store.at()] = Op::Store { size, base: first.base, off: first.off, value };
        sorted.push(first.store);
    }
    match joined {
        true => out.append(sorted),
        false => out.extend(original.iter().map(|part| part.store)),
    }
    open.clear();
}

/// How many parts from the first on one store can replace, and whether it has to
/// swap bytes.
fn longest(parts: &[Part], order: ByteOrder) -> (usize, bool) {
    let first = parts[0];
    let next = |index: usize| {
        let (last, part) = (parts[index - 1], parts[index]);
        part.of == first.of && part.bytes == first.bytes && part.off == last.off + last.bytes as i32
    };
    let up = |index: usize| {
        next(index) && parts[index].shift == parts[index - 1].shift + 8 * first.bytes
    };
    let down = |index: usize| {
        next(index) && parts[index].shift + 8 * first.bytes == parts[index - 1].shift
    };
    let run = |step: &dyn Fn(usize) -> bool| {
        1 + (1..parts.len()).take_while(|&index| step(index)).count()
    };
    for bytes in [8, 4, 2] {
        let count = (bytes / first.bytes) as usize;
        if count < 2 {
            continue;
        }
        // As the machine itself stores a number, or the other way round.
        let ascends = first.shift == 0 && run(&up) >= count;
        let descends = first.shift == 8 * (bytes - first.bytes) && run(&down) >= count;
        let swapped = match order {
            ByteOrder::Little if ascends => false,
            ByteOrder::Big if descends => false,
            _ if first.bytes == 1 && (ascends || descends) => true,
            _ => continue,
        };
        return (count, swapped);
    }
    (1, false)
}
