//! Words of 8 bytes on the stack whose halves are mostly used apart are stored and
//! loaded as two: compilers copy two numbers at a time, and a slot would else be one
//! value that every access to a half shifts and masks. Part of `promote`.

use rustc_hash::FxHashMap;
use skep_isa::{Size, Width};

use super::promote::Frames;
use crate::describe::ByteOrder;
use crate::ir::{Bin, Func, Op};

/// Accesses to a word and to its halves; `None` for halves where another access crosses
/// their border.
#[derive(Default)]
struct Word {
    whole: u32,
    halves: Option<u32>,
    crossed: bool,
}

/// Splits the words of frames that are only accessed at these places.
pub fn split(
    func: &mut Func,
    frame_of: &Frames,
    escaped: &[bool],
    accesses: &[(u32, i32, u32)],
) -> bool {
    let mut words: FxHashMap<(u32, i32), Word> = FxHashMap::default();
    for &(frame, off, size) in accesses.iter().filter(|access| !escaped[access.0 as usize]) {
        let word = words.entry((frame, off & !7)).or_default();
        match (off & 7, size) {
            (0, 8) => word.whole += 1,
            (0 | 4, 4) => *word.halves.get_or_insert(0) += 1,
            (at, size) if at as u32 + size <= 8 => word.crossed |= at < 4 && at as u32 + size > 4,
            _ => {
                word.crossed = true;
                words.entry((frame, (off & !7) + 8)).or_default().crossed = true;
            }
        }
    }
    words.retain(|_, word| !word.crossed && word.halves.is_some_and(|halves| halves > word.whole));
    if words.is_empty() {
        return false;
    }
    let splits = |base: crate::ir::Val, off: i32| {
        let place = frame_of.get(base.at()).copied().flatten();
        place.is_some_and(|(frame, inner)| words.contains_key(&(frame, inner + off)))
    };
    for blk in func.order.clone() {
        let insts = std::mem::take(&mut func.blocks[blk.at()].insts);
        let mut out = Vec::with_capacity(insts.len());
        for inst in insts {
            let pc = func.pcs[inst.at()];
            let mut emit = |func: &mut Func, op: Op| {
                let val = func.push(op, pc);
                out.push(val);
                val
            };
            // The first half is the lower one where bytes are in that order.
            let (low, high) = if func.bytes == ByteOrder::Little { (0, 4) } else { (4, 0) };
            match func.op(inst) {
                Op::Load { size: Size::DW, base, off, .. } if splits(base, off) => {
                    let half = |at| Op::Load { size: Size::W, signed: false, base, off: off + at };
                    let lower = emit(func, half(low));
                    let upper = emit(func, half(high));
                    let amount = func.push(Op::Const(32), pc);
                    let upper = emit(func, Op::Bin(Bin::Shl, Width::W64, upper, amount));
                    func.ops[inst.at()] = Op::Bin(Bin::Or, Width::W64, lower, upper);
                    out.push(inst);
                }
                Op::Store { size: Size::DW, base, off, value } if splits(base, off) => {
                    let amount = func.push(Op::Const(32), pc);
                    let upper = emit(func, Op::Bin(Bin::Shr, Width::W64, value, amount));
                    let half = |at, value| Op::Store { size: Size::W, base, off: off + at, value };
                    emit(func, half(high, upper));
                    func.ops[inst.at()] = half(low, value);
                    out.push(inst);
                }
                _ => out.push(inst),
            }
        }
        func.blocks[blk.at()].insts = out;
    }
    true
}
