//! Conditions on arguments of 64 bits, as questions about words of 32.

use super::facts::{Facts, Test};
use super::plan::Plan;
use super::policy::{Condition, Op};

/// How a condition stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Look {
    /// It is known to hold, or not to.
    Known(bool),
    /// That depends on the outcome of this test first.
    Ask(u8, Test),
}

/// Looks at a condition, knowing some words.
pub(super) fn look(plan: &Plan, condition: &Condition, facts: &Facts) -> Look {
    let [high, low] = plan.halves(condition.arg);
    let value = condition.value;
    let within = |first, last| range(facts, [high, low], first, last);
    match condition.op {
        Op::Eq => within(value, value),
        Op::Ne => match within(value, value) {
            Look::Known(holds) => Look::Known(!holds),
            ask => ask,
        },
        Op::Le => within(0, value),
        Op::Ge => within(value, u64::MAX),
        Op::Lt => match value.checked_sub(1) {
            Some(last) => within(0, last),
            None => Look::Known(false),
        },
        Op::Gt => match value.checked_add(1) {
            Some(first) => within(first, u64::MAX),
            None => Look::Known(false),
        },
        Op::MaskedEq(mask) => {
            for (word, shift) in [(high, 32), (low, 0)] {
                let mask = (mask >> shift) as u32;
                let test = Test::Bits { mask, value: (value >> shift) as u32 & mask };
                match ask(facts, word, test) {
                    Look::Known(true) => {}
                    other => return other,
                }
            }
            Look::Known(true)
        }
    }
}

/// Whether the two words are a number of a range.
fn range(facts: &Facts, [high, low]: [u8; 2], first: u64, last: u64) -> Look {
    let halves = |number: u64| ((number >> 32) as u32, number as u32);
    let ((first_high, first_low), (last_high, last_low)) = (halves(first), halves(last));
    match ask(facts, high, Test::Range(first_high, last_high)) {
        Look::Known(true) => {}
        other => return other,
    }
    if first_high == last_high {
        return ask(facts, low, Test::Range(first_low, last_low));
    }
    let ends = [
        (first_low > 0, first_high, Test::Range(first_low, u32::MAX)),
        (last_low < u32::MAX, last_high, Test::Range(0, last_low)),
    ];
    for (_, end, within) in ends.into_iter().filter(|end| end.0) {
        match ask(facts, high, Test::Range(end, end)) {
            Look::Known(true) => return ask(facts, low, within),
            Look::Known(false) => {}
            other => return other,
        }
    }
    Look::Known(true)
}

fn ask(facts: &Facts, word: u8, test: Test) -> Look {
    match facts.of(word).decide(test) {
        Some(holds) => Look::Known(holds),
        None => Look::Ask(word, test),
    }
}
