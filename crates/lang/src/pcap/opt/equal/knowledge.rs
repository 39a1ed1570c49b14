//! What is known of a packet on a path through two programs: the optimiser's facts of
//! numbers, and beside them the bits of each byte, since programs read the same bytes by
//! loads of different sizes, and how long the packet is at most.

use std::hash::{Hash, Hasher};

use rustc_hash::{FxHashMap, FxHashSet};
use skep_isa::classic::{Cond, Op};

use crate::pcap::optimize::facts::{Fact, Facts};
use crate::pcap::optimize::test::Test;
use crate::pcap::optimize::value::{V, Value, Values, bytes};

/// A byte: behind a number or the packet's start, at an offset.
pub type Place = (Option<V>, u32);

/// Offsets from which on no file has bytes.
const NOWHERE: u64 = 0x8000_0000;

/// Whether a read succeeds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Read {
    Succeeds,
    Fails,
    Unknown,
}

/// All of it.
#[derive(Clone, Debug)]
pub struct Knowledge {
    pub facts: Facts,
    /// Bits of bytes that are ones, and zeros.
    pub bits: FxHashMap<Place, (u8, u8)>,
    /// The packet has at most so many bytes.
    pub most: u64,
    /// From a number on, the packet does not have so many bytes.
    beyond: FxHashMap<V, u64>,
    /// What else failed.
    failed: Vec<V>,
}

impl Knowledge {
    pub fn new() -> Knowledge {
        Knowledge {
            facts: Facts::default(),
            bits: FxHashMap::default(),
            most: NOWHERE - 1,
            beyond: FxHashMap::default(),
            failed: Vec::new(),
        }
    }

    /// How many bytes the packet has at least.
    pub fn least(&self) -> u64 {
        self.facts.reached().0
    }

    /// Whether a read or a division that is not decided yet succeeds; `is_file` where no
    /// packet has bytes at offsets that are metadata in Linux.
    pub fn read(&self, values: &Values, effect: V, is_file: bool) -> Read {
        if self.facts.is_safe(values, effect) {
            return Read::Succeeds;
        }
        let Value::Load { size, base, offset } = values.get(effect) else {
            return match (values.get(effect), self.failed.contains(&effect)) {
                (Value::Ancillary(..), _) if is_file => Read::Fails,
                (Value::Alu(_, _, right), _) => match self.of(values, right) {
                    fact if fact.value() == Some(0) => Read::Fails,
                    fact if !fact.can_be(0) => Read::Succeeds,
                    _ => Read::Unknown,
                },
                (_, true) => Read::Fails,
                _ => Read::Unknown,
            };
        };
        let end = u64::from(offset) + u64::from(bytes(size));
        if self.failed.contains(&effect) || is_file && end > NOWHERE {
            return Read::Fails;
        }
        let (low, high) = base.map_or((0, 0), |base| self.of(values, base).range());
        let wraps = end > NOWHERE || u64::from(high) + end > u64::from(u32::MAX);
        let fails = base.and_then(|base| self.beyond.get(&base)).is_some_and(|&most| end >= most);
        match () {
            () if fails || !wraps && u64::from(low) + end > self.most => Read::Fails,
            () if !wraps && u64::from(high) + end <= self.least() => Read::Succeeds,
            () => Read::Unknown,
        }
    }

    /// The read succeeded. False where that cannot be.
    pub fn succeed(&mut self, values: &Values, effect: V) -> bool {
        self.facts.reach_all(values, effect);
        if let Value::Alu(_, _, right) = values.get(effect) {
            return !self.learn_bound(values, right, Cond::Eq, 0, false).is_empty();
        }
        self.is_possible()
    }

    /// The read failed. False where that cannot be.
    pub fn fail(&mut self, values: &Values, effect: V) -> bool {
        match values.get(effect) {
            Value::Load { size, base, offset } if u64::from(offset) < NOWHERE => {
                let end = u64::from(offset) + u64::from(bytes(size));
                match base {
                    None => self.most = self.most.min(end - 1),
                    Some(base) => {
                        let high = u64::from(self.of(values, base).range().1);
                        if high + end < NOWHERE {
                            self.most = self.most.min(high + end - 1);
                        }
                        let least = self.beyond.entry(base).or_insert(end);
                        *least = end.min(*least);
                    }
                }
            }
            Value::Alu(_, _, right)
                if self.learn_bound(values, right, Cond::Eq, 0, true).is_empty() =>
            {
                return false;
            }
            _ => {}
        }
        self.failed.push(effect);
        self.is_possible()
    }

    /// Whether lengths do not contradict each other.
    fn is_possible(&self) -> bool {
        self.least() <= self.most
    }

    /// What is known of a number.
    pub fn of(&self, values: &Values, id: V) -> Fact {
        let mut fact = self.facts.of(values, id);
        let (ones, zeros) = self.known_bits(values, id, 0);
        fact.know_bits(ones, zeros);
        fact
    }

    /// Where a byte is: behind a number that is known, it is at a constant place.
    fn place(&self, values: &Values, base: Option<V>, offset: u32) -> Place {
        let known = base.and_then(|base| self.facts.of(values, base).value());
        match known.and_then(|known| known.checked_add(offset)) {
            Some(offset) => (None, offset),
            None => (base, offset),
        }
    }

    /// Bits by the bytes that a number is made of.
    fn known_bits(&self, values: &Values, id: V, depth: u32) -> (u32, u32) {
        const DEEPEST: u32 = 12;
        if depth > DEEPEST {
            return (0, 0);
        }
        let constant = |id| values.as_const(id);
        match values.get(id) {
            Value::Const(k) => (k, !k),
            Value::Load { size, base, offset } => {
                let count = bytes(size);
                let mut found = (0, if count < 4 { u32::MAX << (8 * count) } else { 0 });
                for index in 0..count {
                    let (base, at) = self.place(values, base, offset.wrapping_add(index));
                    if let Some(&(ones, zeros)) = self.bits.get(&(base, at)) {
                        let shift = 8 * (count - 1 - index);
                        found.0 |= u32::from(ones) << shift;
                        found.1 |= u32::from(zeros) << shift;
                    }
                }
                found
            }
            Value::Alu(op, left, right) => {
                let (ones, zeros) = self.known_bits(values, left, depth + 1);
                let (other, nothing) = self.known_bits(values, right, depth + 1);
                match (op, constant(right)) {
                    (Op::And, _) => (ones & other, zeros | nothing),
                    (Op::Or, _) => (ones | other, zeros & nothing),
                    (Op::Xor, _) => {
                        (ones & nothing | zeros & other, ones & other | zeros & nothing)
                    }
                    (Op::Lsh, Some(by @ 0..32)) => (ones << by, zeros << by | !(u32::MAX << by)),
                    (Op::Rsh, Some(by @ 0..32)) => (ones >> by, zeros >> by | !(u32::MAX >> by)),
                    _ => (0, 0),
                }
            }
            _ => (0, 0),
        }
    }

    /// Bits of a number become bits of bytes. False where they contradict what is known.
    fn know(&mut self, values: &Values, id: V, ones: u32, zeros: u32) -> bool {
        if ones & zeros != 0 {
            return false;
        }
        match values.get(id) {
            Value::Load { size, base, offset } => {
                let count = bytes(size);
                for index in 0..count {
                    let shift = 8 * (count - 1 - index);
                    let place = self.place(values, base, offset.wrapping_add(index));
                    let byte = self.bits.entry(place).or_default();
                    byte.0 |= (ones >> shift) as u8;
                    byte.1 |= (zeros >> shift) as u8;
                    if byte.0 & byte.1 != 0 {
                        return false;
                    }
                }
                count == 4 || ones >> (8 * count) == 0
            }
            Value::Alu(op, left, right) => match (op, values.as_const(right)) {
                (Op::And, Some(mask)) => {
                    ones & !mask == 0 && self.know(values, left, ones & mask, zeros & mask)
                }
                (Op::Or, Some(mask)) => {
                    zeros & mask == 0 && self.know(values, left, ones & !mask, zeros & !mask)
                }
                (Op::Xor, Some(mask)) => {
                    let flip = |one: u32, other: u32| one & !mask | other & mask;
                    self.know(values, left, flip(ones, zeros), flip(zeros, ones))
                }
                (Op::Rsh, Some(by @ 0..32)) => {
                    let top = !(u32::MAX >> by);
                    ones & top == 0 && self.know(values, left, ones << by, (zeros & !top) << by)
                }
                (Op::Lsh, Some(by @ 0..32)) => {
                    let low = !(u32::MAX << by);
                    ones & low == 0 && self.know(values, left, ones >> by, zeros >> by)
                }
                _ => true,
            },
            Value::Const(k) => k & zeros == 0 && !k & ones == 0,
            _ => true,
        }
    }

    /// How a test ends, where that is known.
    pub fn decide(&self, values: &Values, test: Test) -> Option<bool> {
        if let Some(held) = self.facts.decide(values, test) {
            return Some(held);
        }
        let (cond, left, right) = test;
        let fact = match values.get(left) {
            // No packet is longer than it was on the wire.
            Value::Len => {
                let mut fact = self.of(values, left);
                let least = u32::try_from(self.least()).unwrap_or(u32::MAX);
                fact.learn(Cond::Ge, least, true);
                fact
            }
            _ => self.of(values, left),
        };
        fact.decide(cond, self.of(values, right).value()?)
    }

    /// A test ended one way. False where that cannot be.
    pub fn learn(&mut self, values: &Values, (cond, left, right): Test, held: bool) -> bool {
        self.facts.learn(values, (cond, left, right), held);
        let Some(k) = values.as_const(right) else { return true };
        // Bits of shared bytes may contradict what is known of other numbers.
        !self.learn_bound(values, left, cond, k, held).is_empty()
            && self.facts.known().keys().all(|&id| !self.of(values, id).is_empty())
    }

    /// A number compared with a constant; gives what is known of it then, which is empty
    /// where that cannot be.
    fn learn_bound(&mut self, values: &Values, id: V, cond: Cond, k: u32, held: bool) -> Fact {
        let mut fact = self.of(values, id);
        fact.learn(cond, k, held);
        if fact.is_empty() {
            return fact;
        }
        if let Some(value) = fact.value() {
            fact.know_bits(value, !value);
        }
        let (ones, zeros) = fact.bits();
        let possible = self.know(values, id, ones, zeros);
        let long = self.least() > u64::from(fact.range().1) && values.get(id) == Value::Len;
        if !possible || long {
            fact.know_bits(u32::MAX, u32::MAX);
        }
        fact
    }

    /// Whether a number is made of one of some bytes.
    fn reads_any(&self, values: &Values, id: V, read: &FxHashSet<Place>) -> bool {
        let own = match values.get(id) {
            Value::Load { size, base, offset } => (0..bytes(size))
                .any(|index| read.contains(&self.place(values, base, offset.wrapping_add(index)))),
            _ => false,
        };
        own || values.parts(id).into_iter().flatten().any(|id| self.reads_any(values, id, read))
    }

    /// Hashes what matters to the numbers of a set, and to the bytes that they read.
    pub fn hash(&self, values: &Values, matter: &dyn Fn(V) -> bool, hasher: &mut impl Hasher) {
        fn sorted<T: Ord + Hash>(list: impl Iterator<Item = T>, hasher: &mut impl Hasher) {
            let mut list: Vec<T> = list.collect();
            list.sort_unstable();
            list.hash(hasher);
        }
        let read: FxHashSet<Place> = values
            .loads()
            .filter(|&(id, ..)| matter(id))
            .flat_map(|(_, size, base, offset)| {
                let place = move |index| self.place(values, base, offset.wrapping_add(index));
                (0..bytes(size)).map(place)
            })
            .collect();
        // What is known of other numbers says something of the bytes that they share.
        let shares = |id: V| matter(id) || self.reads_any(values, id, &read);
        let mut known: Vec<_> = self.facts.known().iter().filter(|(id, _)| shares(**id)).collect();
        known.sort_unstable_by_key(|(id, _)| **id);
        known.hash(hasher);
        sorted(self.bits.iter().filter(|(place, _)| read.contains(place)), hasher);
        let both = |(_, left, right): &Test| shares(*left) && shares(*right);
        let pairs = self.facts.pairs().iter().filter(|(test, _)| both(test));
        sorted(pairs.map(|((cond, left, right), held)| (*cond as u8, left, right, held)), hasher);
        let (least, behind) = self.facts.reached();
        (least, self.most).hash(hasher);
        sorted(behind.iter().filter(|(id, _)| matter(**id)), hasher);
        sorted(self.beyond.iter().filter(|(id, _)| matter(**id)), hasher);
        sorted(self.facts.done().iter().filter(|id| matter(**id)), hasher);
        sorted(self.failed.iter().filter(|id| matter(**id)), hasher);
    }
}
