//! What is known of the sixteen words of `seccomp_data`: ranges that a word lies in, bits
//! that it has, and bits that it does not all have. Tests are decided exactly.

use std::rc::Rc;

/// Words in `seccomp_data`.
pub(super) const WORDS: usize = 16;
/// The word of the call's number.
pub(super) const NR: u8 = 0;
/// The word of the architecture.
pub(super) const ARCH: u8 = 1;

/// Tries of the search for a value before it gives up.
const BUDGET: u32 = 4096;

/// A question about a word.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) enum Test {
    /// Whether it lies between two values, which both belong to the range.
    Range(u32, u32),
    /// Whether it has this value in the bits of a mask.
    Bits { mask: u32, value: u32 },
}

/// The values that a word may have.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) struct Values {
    /// In order, apart from each other.
    ranges: Vec<(u32, u32)>,
    /// Bits that are known, with what they are.
    mask: u32,
    bits: u32,
    /// Masks with the value that the word does not have in them.
    not: Vec<(u32, u32)>,
}

/// What a search for a value gives.
enum Found {
    Value(u32),
    Nothing,
    /// It took too long.
    Unknown,
}

impl Values {
    fn all() -> Values {
        Values { ranges: vec![(0, u32::MAX)], mask: 0, bits: 0, not: Vec::new() }
    }

    /// Those for which a test comes out so; `None` where there are none.
    pub fn with(&self, test: Test, holds: bool) -> Option<Values> {
        let mut values = self.clone();
        match (test, holds) {
            (Test::Range(first, last), true) => values.clip(first, last),
            (Test::Range(first, last), false) => values.cut(first, last),
            (Test::Bits { mask, value }, true) => {
                if values.mask & mask & (values.bits ^ value) != 0 {
                    return None;
                }
                values.mask |= mask;
                values.bits |= value;
            }
            (Test::Bits { mask, value }, false) => values.not.push((mask, value)),
        }
        values.settle()?;
        match values.search() {
            Found::Nothing => None,
            Found::Value(_) | Found::Unknown => Some(values),
        }
    }

    /// How a test comes out, where that is known.
    pub fn decide(&self, test: Test) -> Option<bool> {
        match (self.with(test, true).is_some(), self.with(test, false).is_some()) {
            (true, false) => Some(true),
            (false, true) => Some(false),
            _ => None,
        }
    }

    /// One of them; `None` where none was found in time.
    pub fn pick(&self) -> Option<u32> {
        match self.search() {
            Found::Value(value) => Some(value),
            Found::Nothing | Found::Unknown => None,
        }
    }

    fn clip(&mut self, first: u32, last: u32) {
        self.ranges.retain_mut(|range| {
            *range = (range.0.max(first), range.1.min(last));
            range.0 <= range.1
        });
    }

    fn cut(&mut self, first: u32, last: u32) {
        let mut rest = Vec::with_capacity(self.ranges.len() + 1);
        for &(from, to) in &self.ranges {
            if from < first {
                rest.push((from, to.min(first - 1)));
            }
            if to > last {
                rest.push((from.max(last + 1), to));
            }
        }
        rest.retain(|range| range.0 <= range.1);
        self.ranges = rest;
    }

    /// Takes the known bits out of what is excluded, and one excluded bit for a known one.
    fn settle(&mut self) -> Option<()> {
        loop {
            let (mask, bits) = (self.mask, self.bits);
            self.not.retain(|not| not.0 & mask & (not.1 ^ bits) == 0);
            self.not.iter_mut().for_each(|not| *not = (not.0 & !mask, not.1 & !mask));
            if self.not.iter().any(|not| not.0 == 0) {
                return None;
            }
            let Some(&(bit, value)) = self.not.iter().find(|not| not.0.is_power_of_two()) else {
                self.not.sort_unstable();
                self.not.dedup();
                return Some(());
            };
            self.mask |= bit;
            self.bits |= bit & !value;
        }
    }

    fn search(&self) -> Found {
        let mut budget = BUDGET;
        self.search_with(self.mask, self.bits, &mut budget)
    }

    /// Searches among the values that have these bits.
    fn search_with(&self, mask: u32, bits: u32, budget: &mut u32) -> Found {
        let mut unknown = false;
        for &(first, last) in &self.ranges {
            if *budget == 0 {
                return Found::Unknown;
            }
            *budget -= 1;
            let Some(value) = next(first, mask, bits).filter(|&value| value <= last) else {
                continue;
            };
            let Some(&(not, _)) = self.not.iter().find(|not| value & not.0 == not.1) else {
                return Found::Value(value);
            };
            // It has to differ in one of these bits: in the first one, or in the second...
            let (mut mask, mut bits) = (mask, bits);
            while let Some(bit) = lowest(not & !mask) {
                match self.search_with(mask | bit, bits | (!value & bit), budget) {
                    Found::Nothing => {}
                    Found::Unknown => unknown = true,
                    found => return found,
                }
                mask |= bit;
                bits |= value & bit;
            }
            // The branches have looked at all ranges.
            break;
        }
        if unknown { Found::Unknown } else { Found::Nothing }
    }
}

fn lowest(mask: u32) -> Option<u32> {
    (mask != 0).then(|| mask & mask.wrapping_neg())
}

/// The smallest number from `from` on that has these bits.
fn next(from: u32, mask: u32, bits: u32) -> Option<u32> {
    let differs = (from ^ bits) & mask;
    if differs == 0 {
        return Some(from);
    }
    let high = 1u32 << (31 - differs.leading_zeros());
    let below = |bit: u32| bit - 1;
    if bits & high != 0 {
        return Some((from & !below(high) & !high) | (bits & (below(high) | high)));
    }
    // A free bit further up has to go from 0 to 1.
    let free = !mask & !from & !(below(high) | high);
    let up = lowest(free)?;
    Some((from & !below(up)) | up | (bits & below(up)))
}

/// What is known of all words.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) struct Facts([Rc<Values>; WORDS]);

impl Facts {
    /// Nothing.
    pub fn none() -> Facts {
        let all = Rc::new(Values::all());
        Facts(std::array::from_fn(|_| all.clone()))
    }

    /// What is known of a word.
    pub fn of(&self, word: u8) -> &Rc<Values> {
        &self.0[usize::from(word) % WORDS]
    }

    /// With the outcome of a test; `None` where it cannot come out so.
    pub fn with(&self, word: u8, test: Test, holds: bool) -> Option<Facts> {
        let values = self.of(word).with(test, holds)?;
        let mut facts = self.clone();
        facts.0[usize::from(word) % WORDS] = Rc::new(values);
        Some(facts)
    }

    /// What is known of some words, beside their indexes.
    pub fn of_all(&self, words: u16) -> Vec<(u8, Rc<Values>)> {
        let words = (0..WORDS as u8).filter(|&word| words & 1 << word != 0);
        words.map(|word| (word, self.of(word).clone())).collect()
    }

    /// Words that have what is known; `None` where none were found in time.
    pub fn pick(&self) -> Option<[u32; WORDS]> {
        let mut words = [0; WORDS];
        for (word, values) in words.iter_mut().zip(&self.0) {
            *word = values.pick()?;
        }
        Some(words)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holds(test: Test, word: u32) -> bool {
        match test {
            Test::Range(first, last) => (first..=last).contains(&word),
            Test::Bits { mask, value } => word & mask == value,
        }
    }

    /// Words of 8 bits, all of them, beside what is said of them.
    #[test]
    fn tests_are_decided_as_counting_decides_them() {
        let mut random = fastrand::Rng::with_seed(7);
        let mut random = |below: u32| random.u32(..below);
        for _ in 0..3000 {
            let mut values = Values::all().with(Test::Range(0, 255), true).unwrap();
            let mut all: Vec<u32> = (0..=255).collect();
            for _ in 0..6 {
                let test = match random(3) {
                    0 => {
                        let first = random(256);
                        Test::Range(first, (first + random(40)).min(255))
                    }
                    1 => Test::Range(random(256), u32::MAX),
                    _ => {
                        let mask = random(256);
                        Test::Bits { mask, value: random(256) & mask }
                    }
                };
                let outcomes = all.iter().map(|&word| holds(test, word));
                let expected = match (outcomes.clone().any(|of| of), outcomes.clone().all(|of| of))
                {
                    (_, true) => Some(true),
                    (false, _) => Some(false),
                    _ => None,
                };
                assert_eq!(values.decide(test), expected, "{test:?} of {values:?}");
                let outcome = random(2) == 0;
                let Some(rest) = values.with(test, outcome) else { continue };
                all.retain(|&word| holds(test, word) == outcome);
                assert!(all.contains(&rest.pick().unwrap()), "{rest:?}");
                values = rest;
            }
        }
    }
}
