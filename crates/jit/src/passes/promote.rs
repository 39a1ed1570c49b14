//! Stack slots that only this function's own loads and stores touch become values.
//!
//! A frame qualifies if its address is used for nothing but accesses at constant
//! offsets, and as an argument of callees that see a known number of bytes there: then
//! no other pointer to it exists. What a callee sees stays in memory: the keys and
//! values of a known map, and memory whose size is a constant argument; callees keep
//! no pointer to any of these when they return. Accesses that overlap form a slot;
//! slots of up to 8 bytes are promoted, and accesses to parts of one become shifts
//! and masks. What was never written reads as 0.

use skep_isa::{Size, Width};

use super::bits::mask;
use super::reach::reach;
use crate::ir::{Bin, Blk, Forward, Func, Op, Val};
use crate::state::FRAME_SIZE;

/// Most slots of one function: live ones are kept as bits of a word.
const SLOTS: usize = 64;
const FRAME: usize = FRAME_SIZE as usize;

/// A run of bytes of a frame that is one variable.
#[derive(Clone, Copy)]
struct Slot {
    frame: u32,
    /// Offset of its first byte from the frame's end.
    off: i32,
    bytes: u32,
}

/// Promotes what qualifies.
pub fn run(func: &mut Func) {
    let frames = func.frames as usize;
    let mut escaped = vec![false; frames];
    let (mut accesses, mut seen) = (Vec::new(), Vec::new());
    let mut frame_of = frames_of(func);
    survey(func, &frame_of, &mut escaped, &mut accesses, &mut seen);
    let free = |place: &Place| !seen.iter().any(|seen| words_meet(seen, place));
    let apart: Vec<Place> = accesses.iter().copied().filter(free).collect();
    if super::halves::split(func, &frame_of, &escaped, &apart) {
        frame_of = frames_of(func);
        accesses.clear();
        seen.clear();
        survey(func, &frame_of, &mut escaped, &mut accesses, &mut seen);
    }
    let slots = slots(accesses, &escaped, &seen);
    if slots.is_empty() {
        return;
    }
    // The slot that each byte of each frame belongs to.
    let mut owner: Vec<Option<u8>> = vec![None; frames * FRAME];
    for (index, slot) in slots.iter().enumerate() {
        for byte in 0..slot.bytes as i32 {
            let at = slot.off + byte + FRAME as i32;
            owner[slot.frame as usize * FRAME + at as usize] = Some(index as u8);
        }
    }
    let slot_at = |base: Val, off: i32| -> Option<usize> {
        let (frame, inner) = frame_of.get(base.at()).copied().flatten()?;
        if escaped[frame as usize] {
            return None;
        }
        let at = usize::try_from(inner + off + FRAME as i32).ok()?;
        (at < FRAME).then(|| owner[frame as usize * FRAME + at]).flatten().map(usize::from)
    };
    rewrite(func, &slots, slot_at, &frame_of);
}

/// Bytes of a frame: it, the first one's offset from its end, and how many there are.
type Place = (u32, i32, u32);

/// Whether two places have bytes of the same words of 8.
fn words_meet(one: &Place, other: &Place) -> bool {
    let words = |place: &Place| (place.1 >> 3)..=((place.1 + place.2 as i32 - 1) >> 3);
    let (left, right) = (words(one), words(other));
    one.0 == other.0 && left.start() <= right.end() && right.start() <= left.end()
}

/// The frame and the offset from its end of each value that is such an address.
pub type Frames = Vec<Option<(u32, i32)>>;

/// Which values are addresses in a frame at a constant offset from its end.
fn frames_of(func: &Func) -> Frames {
    let mut known: Frames = vec![None; func.ops.len()];
    for &blk in &func.order {
        for &inst in &func.blocks[blk.at()].insts {
            known[inst.at()] = match func.op(inst) {
                Op::Frame(index) => Some((index, 0)),
                Op::Bin(Bin::Add, Width::W64, of, with) => {
                    known[of.at()].zip(func.number(with)).and_then(|((frame, off), with)| {
                        let off = off.checked_add(i32::try_from(with as i64).ok()?)?;
                        (off.unsigned_abs() <= 1 << 20).then_some((frame, off))
                    })
                }
                _ => None,
            };
        }
    }
    known
}

/// Collects accesses to frames and what callees see of them, and finds frames whose
/// address goes elsewhere.
fn survey(
    func: &Func,
    frame_of: &Frames,
    escaped: &mut [bool],
    accesses: &mut Vec<Place>,
    seen: &mut Vec<Place>,
) {
    let mut escape = |val: Val| {
        if let Some((frame, _)) = frame_of[val.at()] {
            escaped[frame as usize] = true;
        }
    };
    for &blk in &func.order {
        let block = &func.blocks[blk.at()];
        for &inst in &block.insts {
            match func.op(inst) {
                Op::Load { size, base, off, .. } => {
                    if let Some((frame, inner)) = frame_of[base.at()] {
                        accesses.push((frame, inner + off, size.bytes()));
                    }
                }
                Op::Store { size, base, off, value } => {
                    escape(value);
                    if let Some((frame, inner)) = frame_of[base.at()] {
                        accesses.push((frame, inner + off, size.bytes()));
                    }
                }
                // The sum is an address in the frame itself; else this one gets lost.
                Op::Bin(Bin::Add, Width::W64, of, _) if frame_of[inst.at()].is_some() => {
                    debug_assert!(frame_of[of.at()].is_some());
                }
                Op::Ask { callee, sizes, args, .. } => {
                    for (at, &arg) in args.iter().enumerate() {
                        let Some((frame, off)) = frame_of[arg.at()] else { continue };
                        let next = args.get(at + 1).and_then(|&next| func.number(next));
                        match reach(func, callee, at, sizes, next) {
                            Some(bytes) => seen.push((frame, off, bytes)),
                            None => escape(arg),
                        }
                    }
                }
                op => op.each(&mut escape),
            }
        }
        block.term.each(&mut escape);
    }
    for &(frame, off, size) in accesses.iter().chain(seen.iter()) {
        if off < -(FRAME as i32) || off + size as i32 > 0 {
            escaped[frame as usize] = true;
        }
    }
}

/// Groups accesses that overlap; those that callees see are left out.
fn slots(mut accesses: Vec<Place>, escaped: &[bool], seen: &[Place]) -> Vec<Slot> {
    accesses.retain(|&(frame, ..)| !escaped[frame as usize]);
    accesses.sort_unstable();
    let mut slots: Vec<Slot> = Vec::new();
    for (frame, off, size) in accesses {
        match slots.last_mut() {
            Some(last) if last.frame == frame && off < last.off + last.bytes as i32 => {
                last.bytes = last.bytes.max((off - last.off) as u32 + size);
            }
            _ => slots.push(Slot { frame, off, bytes: size }),
        }
    }
    let hidden = |slot: &Slot| {
        let end = slot.off + slot.bytes as i32;
        !seen.iter().any(|&(frame, off, bytes)| {
            frame == slot.frame && off < end && slot.off < off + bytes as i32
        })
    };
    slots.retain(|slot| slot.bytes <= 8 && hidden(slot));
    slots.truncate(SLOTS);
    slots
}

/// Replaces accesses by values; blocks with several predecessors get parameters for
/// slots that are live there.
fn rewrite(
    func: &mut Func,
    slots: &[Slot],
    slot_at: impl Fn(Val, i32) -> Option<usize>,
    frame_of: &Frames,
) {
    let preds = func.preds();
    let live = live(func, slots, &slot_at, frame_of);
    let zero = func.zero();
    let mut params: Vec<Vec<Val>> = vec![Vec::new(); func.blocks.len()];
    let mut states: Vec<Option<Vec<Val>>> = vec![None; func.blocks.len()];
    let mut forward = Forward::new(func.ops.len());
    let wanted = |blk: Blk| {
        let live = live[blk.at()];
        (0..slots.len()).filter(move |&slot| live >> slot & 1 == 1)
    };
    for blk in func.order.clone() {
        let mut state = match preds.of(blk) {
            [] => vec![zero; slots.len()],
            [pred] => states[pred.at()].clone().unwrap_or_else(|| vec![zero; slots.len()]),
            _ => {
                let mut state = vec![zero; slots.len()];
                for slot in wanted(blk) {
                    let param = func.push(Op::Param, 0);
                    params[blk.at()].push(param);
                    state[slot] = param;
                }
                state
            }
        };
        let insts = std::mem::take(&mut func.blocks[blk.at()].insts);
        let mut out = Vec::with_capacity(insts.len());
        for inst in insts {
            let pc = func.pcs[inst.at()];
            let mut emit = |func: &mut Func, op: Op| {
                let val = func.push(op, pc);
                out.push(val);
                val
            };
            match func.op(inst) {
                Op::Load { size, signed, base, off } if let Some(slot) = slot_at(base, off) => {
                    let (_, inner) = frame_of[base.at()].unwrap_or_default();
                    let (into, whole) = ((inner + off - slots[slot].off) as u32, slots[slot].bytes);
                    let shift = u64::from(func.bytes.shift(whole, into, size.bytes()));
                    let mut val = state[slot];
                    if shift > 0 {
                        let amount = func.push(Op::Const(shift), pc);
                        val = emit(func, Op::Bin(Bin::Shr, Width::W64, val, amount));
                    }
                    if size != Size::DW && (signed || size.bytes() < slots[slot].bytes) {
                        let bits = size.bits() as u8;
                        val = emit(func, Op::Ext { bits, signed, of: val });
                    }
                    forward.grow(func.ops.len());
                    forward.set(inst, val);
                }
                Op::Store { size, base, off, value } if let Some(slot) = slot_at(base, off) => {
                    let (_, inner) = frame_of[base.at()].unwrap_or_default();
                    let (into, whole) = ((inner + off - slots[slot].off) as u32, slots[slot].bytes);
                    let shift = u64::from(func.bytes.shift(whole, into, size.bytes()));
                    let mut val = value;
                    if size != Size::DW {
                        let bits = size.bits() as u8;
                        val = emit(func, Op::Ext { bits, signed: false, of: val });
                    }
                    if size.bytes() < slots[slot].bytes {
                        let kept = func.push(Op::Const(!(mask(size.bits()) << shift)), pc);
                        let amount = func.push(Op::Const(shift), pc);
                        let old = emit(func, Op::Bin(Bin::And, Width::W64, state[slot], kept));
                        let new = emit(func, Op::Bin(Bin::Shl, Width::W64, val, amount));
                        val = emit(func, Op::Bin(Bin::Or, Width::W64, old, new));
                    }
                    state[slot] = val;
                }
                _ => out.push(inst),
            }
        }
        func.blocks[blk.at()].insts = out;
        states[blk.at()] = Some(state);
    }
    for blk in func.order.clone() {
        let block = &mut func.blocks[blk.at()];
        block.params.extend(&params[blk.at()]);
        let Some(state) = &states[blk.at()] else { continue };
        for edge in block.term.edges_mut() {
            if preds.of(edge.to).len() > 1 {
                edge.args.extend(wanted(edge.to).map(|slot| state[slot]));
            }
        }
    }
    forward.grow(func.ops.len());
    func.forward(&mut forward);
}

/// Slots that are read before they are written, from the start of each block on.
fn live(
    func: &Func,
    slots: &[Slot],
    slot_at: &impl Fn(Val, i32) -> Option<usize>,
    frame_of: &Frames,
) -> Vec<u64> {
    let mut reads = vec![0u64; func.blocks.len()];
    let mut writes = vec![0u64; func.blocks.len()];
    for &blk in &func.order {
        let (read, written) = (&mut reads[blk.at()], &mut writes[blk.at()]);
        for &inst in &func.blocks[blk.at()].insts {
            match func.op(inst) {
                Op::Load { base, off, .. } => {
                    if let Some(slot) = slot_at(base, off) {
                        *read |= 1 << slot & !*written;
                    }
                }
                Op::Store { size, base, off, .. } => {
                    if let Some(slot) = slot_at(base, off) {
                        let (_, inner) = frame_of[base.at()].unwrap_or_default();
                        let whole = size.bytes() == slots[slot].bytes;
                        debug_assert!(inner + off >= slots[slot].off);
                        // A part of it written leaves the rest to be read.
                        match whole {
                            true => *written |= 1 << slot,
                            false => *read |= 1 << slot & !*written,
                        }
                    }
                }
                _ => {}
            }
        }
    }
    let mut live = reads.clone();
    let mut changed = true;
    while changed {
        changed = false;
        for &blk in func.order.iter().rev() {
            let edges = func.blocks[blk.at()].term.edges();
            let out = edges.fold(0, |out, edge| out | live[edge.to.at()]);
            let new = reads[blk.at()] | out & !writes[blk.at()];
            changed |= new != live[blk.at()];
            live[blk.at()] = new;
        }
    }
    live
}
