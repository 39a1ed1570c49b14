//! What is known on the way to a node: of numbers a range, bits and what they are not; of
//! the packet, how long it is at least.

use rustc_hash::FxHashMap;
use skep_isa::classic::{Cond, Op, alu, holds};

use super::test::Test;
use super::value::{V, Value, Values, bytes};

/// Numbers that one is known not to be, at most.
const MOST: usize = 300;

/// What is known of a number.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Fact {
    low: u32,
    high: u32,
    ones: u32,
    zeros: u32,
    not: Vec<u32>,
    /// All that it can be, where those are few.
    among: Option<Vec<u32>>,
}

/// The most that a number can be one of.
const FEW: usize = 16;

impl Fact {
    fn any(max: u32) -> Fact {
        let zeros = !max.checked_next_power_of_two().map_or(u32::MAX, |power| (power - 1) | max);
        Fact { low: 0, high: max, ones: 0, zeros, not: Vec::new(), among: None }
    }

    fn exact(value: u32) -> Fact {
        Fact { low: value, high: value, ones: value, zeros: !value, not: Vec::new(), among: None }
    }

    /// Whether nothing is left that it can be.
    pub fn is_empty(&self) -> bool {
        self.low > self.high
            || self.ones & self.zeros != 0
            || self.ones > self.high
            || self.left().is_some_and(|left| left.is_empty())
            || self.value().is_some_and(|value| !self.can_be(value))
    }

    /// Bits that are known to be ones, and to be zeros.
    pub fn bits(&self) -> (u32, u32) {
        (self.ones, self.zeros)
    }

    /// More bits of it.
    pub fn know_bits(&mut self, ones: u32, zeros: u32) {
        self.ones |= ones;
        self.zeros |= zeros;
    }

    /// The least and the most that it can be.
    pub fn range(&self) -> (u32, u32) {
        (self.low, self.high)
    }

    /// Few values of what it can be, those at the ends of its range first.
    pub fn examples(&self, chance: u32) -> Vec<u32> {
        let free = !self.zeros & (chance | self.ones);
        let more = self.among.iter().flatten().copied();
        let near = (0..4).flat_map(|by| [self.low.wrapping_add(by), self.high.wrapping_sub(by)]);
        let shaped = [self.ones, free, !self.zeros, self.low | free];
        let chosen = self.low.wrapping_add(chance % (self.high - self.low).max(1));
        let all = more.chain(near).chain(shaped).chain([chosen, chosen & !self.zeros | self.ones]);
        all.filter(|&value| self.can_be(value)).collect()
    }

    /// The only value, where there is one.
    pub fn value(&self) -> Option<u32> {
        if self.low == self.high {
            return Some(self.low);
        }
        if self.ones | self.zeros == u32::MAX {
            return Some(self.ones);
        }
        let mut left = self.among.iter().flatten().copied().filter(|&value| self.can_be(value));
        left.next().filter(|_| left.next().is_none())
    }

    /// Those of a few that are left.
    fn left(&self) -> Option<Vec<u32>> {
        let only = [self.low];
        let among = match &self.among {
            Some(among) => &among[..],
            None if self.low == self.high => &only,
            None => return None,
        };
        Some(among.iter().copied().filter(|&value| self.can_be(value)).collect())
    }

    pub fn can_be(&self, value: u32) -> bool {
        (self.low..=self.high).contains(&value)
            && value & self.zeros == 0
            && value & self.ones == self.ones
            && !self.not.contains(&value)
            && self.among.as_ref().is_none_or(|among| among.contains(&value))
    }

    fn meet(&self, other: &Fact) -> Fact {
        let among = match (self.left(), other.left()) {
            (Some(mut all), Some(more)) => {
                all.extend(more);
                all.sort_unstable();
                all.dedup();
                Some(all).filter(|all| all.len() <= FEW)
            }
            _ => None,
        };
        Fact {
            among,
            low: self.low.min(other.low),
            high: self.high.max(other.high),
            ones: self.ones & other.ones,
            zeros: self.zeros & other.zeros,
            not: self
                .not
                .iter()
                .copied()
                .chain(other.not.iter().copied())
                .filter(|&value| !self.can_be(value) && !other.can_be(value))
                .collect::<std::collections::BTreeSet<u32>>()
                .into_iter()
                .collect(),
        }
    }

    fn exclude(&mut self, value: u32) {
        if value == self.low && self.low < self.high {
            self.low += 1;
        } else if value == self.high && self.low < self.high {
            self.high -= 1;
        } else if self.not.len() < MOST && !self.not.contains(&value) {
            self.not.push(value);
        }
    }

    pub fn decide(&self, cond: Cond, k: u32) -> Option<bool> {
        if self.among.is_some()
            && let Some(left) = self.left().filter(|left| !left.is_empty())
        {
            let held = holds(cond, left[0], k);
            if left.iter().all(|&value| holds(cond, value, k) == held) {
                return Some(held);
            }
        }
        match cond {
            Cond::Eq if !self.can_be(k) => Some(false),
            Cond::Eq => (self.value() == Some(k)).then_some(true),
            Cond::Gt if self.low > k => Some(true),
            Cond::Gt => (self.high <= k).then_some(false),
            Cond::Ge if self.low >= k => Some(true),
            Cond::Ge => (self.high < k).then_some(false),
            Cond::Set => match self.value() {
                Some(value) => Some(value & k != 0),
                None if self.ones & k != 0 => Some(true),
                None => (k & !self.zeros == 0).then_some(false),
            },
        }
    }

    /// It was compared with a constant.
    pub fn learn(&mut self, cond: Cond, k: u32, holds: bool) {
        match (cond, holds) {
            (Cond::Eq, true) => *self = Fact::exact(k),
            (Cond::Eq, false) => self.exclude(k),
            (Cond::Gt, true) => self.low = self.low.max(k.saturating_add(1)),
            (Cond::Gt, false) => self.high = self.high.min(k),
            (Cond::Ge, true) => self.low = self.low.max(k),
            (Cond::Ge, false) => self.high = self.high.min(k.saturating_sub(1)),
            (Cond::Set, false) => self.zeros |= k,
            (Cond::Set, true) => {
                if k.is_power_of_two() {
                    self.ones |= k;
                }
                self.exclude(0);
            }
        }
    }
}

/// All that is known at a place.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Facts {
    known: FxHashMap<V, Fact>,
    /// Tests of two numbers and of several bits, with how they ended.
    pairs: FxHashMap<Test, bool>,
    /// The packet has at least so many bytes.
    len: u64,
    /// The packet has so many bytes from a number on.
    behind: FxHashMap<V, u64>,
    /// What else did not fail.
    done: Vec<V>,
}

impl Facts {
    /// What holds whichever way one came.
    pub fn meet(&mut self, other: &Facts) {
        self.known.retain(|value, fact| match other.known.get(value) {
            Some(theirs) => {
                *fact = fact.meet(theirs);
                true
            }
            None => false,
        });
        self.pairs.retain(|test, held| other.pairs.get(test) == Some(held));
        self.len = self.len.min(other.len);
        self.behind.retain(|base, reach| match other.behind.get(base) {
            Some(theirs) => {
                *reach = (*reach).min(*theirs);
                true
            }
            None => false,
        });
        self.done.retain(|value| other.done.contains(value));
    }

    /// The numbers of which something is known, with what.
    pub fn known(&self) -> &FxHashMap<V, Fact> {
        &self.known
    }

    /// Tests of two numbers, with how they ended.
    pub fn pairs(&self) -> &FxHashMap<Test, bool> {
        &self.pairs
    }

    /// How long the packet is at least, and from which numbers on.
    pub fn reached(&self) -> (u64, &FxHashMap<V, u64>) {
        (self.len, &self.behind)
    }

    /// What else did not fail.
    pub fn done(&self) -> &[V] {
        &self.done
    }

    /// What is known of a number, by itself and by what it is made of.
    pub fn of(&self, values: &Values, id: V) -> Fact {
        let own = self.known.get(&id);
        let mut fact = own.cloned().unwrap_or_else(|| Fact::any(values.max(id)));
        match values.get(id) {
            Value::Const(k) => return Fact::exact(k),
            Value::Alu(op, left, right) => {
                let (one, other) = (self.of(values, left), self.of(values, right));
                if let (Some(one), Some(other)) = (one.value(), other.value())
                    && !(matches!(op, Op::Lsh | Op::Rsh) && other > 31)
                    && let Some(value) = alu(op, one, other, false)
                {
                    return Fact::exact(value);
                }
                if let (Op::And, Some(mask)) = (op, other.value()) {
                    fact.ones |= one.ones & mask;
                    fact.zeros |= one.zeros | !mask;
                }
            }
            _ => {}
        }
        fact
    }

    /// How a test ends, where that is known.
    pub fn decide(&self, values: &Values, (cond, left, right): Test) -> Option<bool> {
        if let Some(&held) = self.pairs.get(&(cond, left, right)) {
            return Some(held);
        }
        let k = self.of(values, right).value()?;
        self.of(values, left).decide(cond, k)
    }

    /// A test ended one way; all that it reads was there.
    pub fn learn(&mut self, values: &Values, (cond, left, right): Test, held: bool) {
        for side in [left, right] {
            self.reach_all(values, side);
        }
        let Some(k) = values.as_const(right) else {
            self.pairs.insert((cond, left, right), held);
            return;
        };
        if cond == Cond::Set && held && !k.is_power_of_two() {
            self.pairs.insert((cond, left, right), held);
        }
        let mut fact = self.of(values, left);
        fact.learn(cond, k, held);
        self.known.insert(left, fact);
        // What a masked number is, its bits are.
        if let (Cond::Eq, true, Value::Alu(Op::And, inner, mask)) = (cond, held, values.get(left))
            && let Some(mask) = values.as_const(mask)
        {
            let mut fact = self.of(values, inner);
            fact.ones |= k;
            fact.zeros |= mask & !k;
            self.known.insert(inner, fact);
        }
    }

    /// A number was computed.
    pub fn reach_all(&mut self, values: &Values, id: V) {
        let mut effects = Vec::new();
        values.effects(id, &mut effects);
        effects.into_iter().for_each(|effect| self.reach(values, effect));
    }

    fn reach(&mut self, values: &Values, id: V) {
        match values.get(id) {
            Value::Load { size, base, offset } => {
                let end = u64::from(offset) + u64::from(bytes(size));
                let least = base.map_or(0, |base| u64::from(self.of(values, base).low));
                // Offsets from 2^31 on mean something else in Linux.
                if offset < 0x8000_0000 {
                    self.len = self.len.max(end + least);
                }
                if let Some(base) = base {
                    let reach = self.behind.entry(base).or_default();
                    *reach = (*reach).max(end);
                } else if offset >= 0x8000_0000 && !self.done.contains(&id) {
                    self.done.push(id);
                }
            }
            _ if !self.done.contains(&id) => self.done.push(id),
            _ => {}
        }
    }

    /// Whether computing this, and nothing inside it, cannot fail.
    pub fn is_safe(&self, values: &Values, id: V) -> bool {
        match values.get(id) {
            Value::Load { size, base, offset } => {
                let end = u64::from(offset) + u64::from(bytes(size));
                match base {
                    None if offset >= 0x8000_0000 => self.done.contains(&id),
                    None => end <= self.len,
                    Some(base) => {
                        let most = u64::from(self.of(values, base).high);
                        self.behind.get(&base).is_some_and(|&reach| end <= reach)
                            || offset < 0x8000_0000 && most + end <= self.len.min(0x7fff_ffff)
                    }
                }
            }
            _ => self.done.contains(&id),
        }
    }
}

/// What is certain to be read on every way to a packet that is taken.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Must {
    /// No packet is taken behind here: everything is certain.
    pub never: bool,
    len: u64,
    behind: FxHashMap<V, u64>,
    done: Vec<V>,
}

impl Must {
    /// At an answer.
    pub fn at_return(taken: bool) -> Must {
        Must { never: !taken, len: 0, behind: FxHashMap::default(), done: Vec::new() }
    }

    /// Either of two ways.
    pub fn either(one: &Must, other: &Must) -> Must {
        if one.never {
            return other.clone();
        }
        if other.never {
            return one.clone();
        }
        let mut both = one.clone();
        both.len = both.len.min(other.len);
        both.behind.retain(|base, reach| match other.behind.get(base) {
            Some(theirs) => {
                *reach = (*reach).min(*theirs);
                true
            }
            None => false,
        });
        both.done.retain(|value| other.done.contains(value));
        both
    }

    /// A number that is computed here.
    pub fn reach_all(&mut self, values: &Values, id: V) {
        let mut effects = Vec::new();
        values.effects(id, &mut effects);
        for effect in effects {
            match values.get(effect) {
                Value::Load { size, base, offset } if offset < 0x8000_0000 => {
                    let end = u64::from(offset) + u64::from(bytes(size));
                    self.len = self.len.max(end);
                    if let Some(base) = base {
                        let reach = self.behind.entry(base).or_default();
                        *reach = (*reach).max(end);
                    }
                }
                _ if !self.done.contains(&effect) => self.done.push(effect),
                _ => {}
            }
        }
    }

    /// Whether what follows would fail where this does.
    pub fn covers(&self, values: &Values, id: V) -> bool {
        if self.never {
            return true;
        }
        match values.get(id) {
            Value::Load { size, base, offset } if offset < 0x8000_0000 => {
                let end = u64::from(offset) + u64::from(bytes(size));
                match base {
                    None => end <= self.len,
                    Some(base) => self.behind.get(&base).is_some_and(|&reach| end <= reach),
                }
            }
            _ => self.done.contains(&id),
        }
    }
}
