//! A packet for what is known at the end of a path: bytes are written until every number
//! is what it must be, some of the rest is left to chance, and the programs have the last
//! word.

use skep_isa::Size;
use skep_isa::classic::{Cond, Op, alu, holds};

use super::Witness;
use super::knowledge::Knowledge;
use crate::pcap::optimize::value::{V, Value, Values, bytes};

/// Packets that are tried.
const TRIES: u32 = 200;

/// Rounds of writing numbers into one.
const ROUNDS: u32 = 6;

/// Bytes that a packet has at most beyond what it needs.
const MOST_MORE: u64 = 96;

/// Longer packets are not made.
const LONGEST: u64 = 70_000;

/// A packet that the programs decide differently.
pub fn find(
    values: &Values,
    known: &Knowledge,
    takes: &dyn Fn(usize, &[u8], u32) -> bool,
) -> Option<Witness> {
    let mut chance = Chance(0x9e37_79b9_7f4a_7c15);
    for attempt in 0..TRIES {
        let Some(mut packet) = Made::new(known, attempt, &mut chance) else { continue };
        for _ in 0..ROUNDS {
            if !packet.repair(values, known, &mut chance) {
                break;
            }
        }
        let least = packet.data.len() as u32;
        let fact = known.facts.known().iter().find(|(id, _)| values.get(**id) == Value::Len);
        let lengths = match fact {
            Some((_, fact)) => fact.examples(least),
            None => vec![least],
        };
        for len in lengths.into_iter().filter(|&len| len >= least) {
            let [first, second] = [0, 1].map(|index| takes(index, &packet.data, len));
            if first != second {
                return Some(Witness { data: packet.data, len, first });
            }
        }
    }
    None
}

/// Numbers that only have to be different.
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u32 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 32) as u32
    }

    fn below(&mut self, bound: u64) -> u64 {
        u64::from(self.next()) % bound.max(1)
    }
}

/// A packet in the making.
struct Made {
    data: Vec<u8>,
}

impl Made {
    fn new(known: &Knowledge, attempt: u32, chance: &mut Chance) -> Option<Made> {
        let least = known.least();
        let most = known.most.min(least + MOST_MORE);
        if least > most || least > LONGEST {
            return None;
        }
        let len = match attempt % 4 {
            0 => most,
            1 => least,
            _ => least + chance.below(most - least + 1),
        };
        let noise = attempt % 3 == 2;
        let mut data: Vec<u8> =
            (0..len).map(|_| if noise { chance.next() as u8 } else { 0 }).collect();
        for (&(base, offset), &(ones, zeros)) in &known.bits {
            if let Some(byte) = data.get_mut(offset as usize).filter(|_| base.is_none()) {
                *byte = *byte & !zeros | ones;
            }
        }
        Some(Made { data })
    }

    /// Writes numbers that are not yet what they must be; whether there were some.
    fn repair(&mut self, values: &Values, known: &Knowledge, chance: &mut Chance) -> bool {
        let mut wrote = false;
        for (&(base, offset), &(ones, zeros)) in &known.bits {
            let Some(base) = base.and_then(|base| self.value(values, base)) else { continue };
            let at = u64::from(base) + u64::from(offset);
            if let Some(byte) = self.data.get_mut(usize::try_from(at).unwrap_or(usize::MAX)) {
                let new = *byte & !zeros | ones;
                wrote |= new != *byte;
                *byte = new;
            }
        }
        // What is read first is what others are found by.
        let mut ids: Vec<V> = known.facts.known().keys().copied().collect();
        ids.sort_unstable();
        for id in ids {
            let fact = known.of(values, id);
            let Some(value) = self.value(values, id).filter(|&value| !fact.can_be(value)) else {
                continue;
            };
            let examples = fact.examples(chance.next() ^ value);
            if !examples.is_empty() {
                let wanted = examples[chance.below(examples.len() as u64) as usize];
                wrote |= self.write(values, id, wanted);
            }
        }
        for (&(cond, left, right), &held) in known.facts.pairs() {
            let numbers = (self.value(values, left), self.value(values, right));
            let (Some(one), Some(other)) = numbers else { continue };
            if holds(cond, one, other) != held {
                let near = other.wrapping_add(chance.below(3) as u32).wrapping_sub(1);
                let wanted = if cond == Cond::Eq && held { other } else { near };
                wrote |= match chance.below(2) {
                    0 => self.write(values, left, wanted),
                    _ => self.write(values, right, one.wrapping_add(chance.below(3) as u32)),
                };
            }
        }
        wrote
    }

    /// A number of this packet; `None` where it cannot be read.
    fn value(&self, values: &Values, id: V) -> Option<u32> {
        self.value_within(values, id, 0)
    }

    fn value_within(&self, values: &Values, id: V, depth: u32) -> Option<u32> {
        const DEEPEST: u32 = 64;
        if depth > DEEPEST {
            return None;
        }
        match values.get(id) {
            Value::Const(k) => Some(k),
            Value::Len => Some(self.data.len() as u32),
            Value::Ancillary(..) => None,
            Value::Load { size, base, offset } => {
                let at = self.place(values, base, offset, depth)?;
                let field = self.data.get(at..)?.get(..bytes(size) as usize)?;
                Some(field.iter().fold(0, |value, &byte| value << 8 | u32::from(byte)))
            }
            Value::Neg(inner) => self.value_within(values, inner, depth + 1).map(u32::wrapping_neg),
            Value::Alu(op, left, right) => {
                let left = self.value_within(values, left, depth + 1)?;
                alu(op, left, self.value_within(values, right, depth + 1)?, false)
            }
        }
    }

    fn place(&self, values: &Values, base: Option<V>, offset: u32, depth: u32) -> Option<usize> {
        let base = match base {
            Some(base) => self.value_within(values, base, depth + 1)?,
            None => 0,
        };
        usize::try_from(u64::from(base) + u64::from(offset)).ok()
    }

    /// Makes a number what is wanted, where that is done by writing one field.
    fn write(&mut self, values: &Values, id: V, wanted: u32) -> bool {
        match values.get(id) {
            Value::Load { size, base, offset } => {
                let Some(at) = self.place(values, base, offset, 0) else { return false };
                let count = bytes(size) as usize;
                match self.data.get_mut(at..).and_then(|rest| rest.get_mut(..count)) {
                    Some(field) if size == Size::W || wanted >> (8 * count) == 0 => {
                        field.copy_from_slice(&wanted.to_be_bytes()[4 - count..]);
                        true
                    }
                    _ => false,
                }
            }
            Value::Neg(inner) => self.write(values, inner, wanted.wrapping_neg()),
            Value::Alu(op, left, right) => {
                let (Some(k), Some(now)) = (self.value(values, right), self.value(values, left))
                else {
                    return false;
                };
                let inner = match op {
                    Op::And => now & !k | wanted & k,
                    Op::Or => now & k | wanted & !k,
                    Op::Xor => wanted ^ k,
                    Op::Add => wanted.wrapping_sub(k),
                    Op::Sub => wanted.wrapping_add(k),
                    Op::Rsh if k < 32 => wanted << k | now & !(u32::MAX << k),
                    Op::Lsh if k < 32 => wanted >> k,
                    Op::Mul if k != 0 => wanted / k,
                    Op::Div => wanted.wrapping_mul(k),
                    Op::Mod if k != 0 => (now - now % k).wrapping_add(wanted),
                    _ => return false,
                };
                self.write(values, left, inner)
            }
            Value::Const(_) | Value::Len | Value::Ancillary(..) => false,
        }
    }
}
